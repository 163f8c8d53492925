//! Clusters as one worker uses them: which endpoint is next, and connections to it.
//!
//! `cluster` picks and counts, `host` keeps this core's connections to one endpoint, `connection`
//! is one of them, `ticket` is a request that waits for one, `leases` are the worker's accounts
//! with the circuit breakers of the process.

mod cluster;
mod connection;
mod host;
mod leases;
mod ticket;

pub(crate) use cluster::Upstream;
pub(crate) use connection::Connection;
pub(crate) use host::{Acquired, Host};
pub(crate) use leases::RequestUnit;
pub(crate) use ticket::{ConnectFailure, Ticket};
