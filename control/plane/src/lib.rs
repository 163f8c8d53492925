//! The services of the control thread: the admin server, statistics for readers, name
//! resolution, the writer of access logs, watched files, overload, and the publication of
//! snapshots.
//!
//! Everything here runs on one thread (a current-thread tokio runtime) beside the workers, apart
//! from the log writer, which has a thread of its own because files block. It does not compile
//! configuration (`ringway-config`) and never touches a worker except through `ringway-bridge`.

#![forbid(unsafe_code)]

pub mod admin;
mod breaker_stats;
mod certificates;
mod distribution;
pub mod dns;
pub mod endpoint_stats;
#[cfg(test)]
mod fixture;
pub mod log_writer;
pub mod overload;
pub mod plane;
mod process;
pub mod publish;
mod server_stats;
mod telemetry;
mod timestamp;
pub mod watch;

pub use server_stats::ServerStats;
