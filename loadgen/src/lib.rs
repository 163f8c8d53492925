//! `ringway-load`: a load generator with honest latencies, and an origin of the same make.
//!
//! Owns: plans of load and when each request is due, the client side of protocols as far as a load
//! needs it, records of what happened, reports. Does not own: sockets and event loops, which are
//! `ringway-runtime`'s; anything of the proxy.
//!
//! The way of a run: `cli` and `compile` turn wishes into a `plan`, `run` starts one `worker` a
//! core, each sends what its `schedule` says and fills a `record`, [`summary`] makes figures of it,
//! `report` makes text.
#![forbid(unsafe_code)]

mod app;
mod check;
mod cli;
mod compile;
mod datagrams;
mod link;
mod plan;
mod progress;
mod protocol;
mod record;
mod report;
mod run;
mod schedule;
mod send;
mod serve;
mod slo;
pub mod summary;
mod template;
mod tls;
mod units;
mod url;
mod worker;

pub use app::main;
pub use record::Failure;
