//! Clusters as one worker uses them: which endpoint is next, and connections to it.
//!
//! `cluster` picks and counts, `host` is one endpoint, `dynamic` those that come with requests,
//! `pool` keeps this core's connections to it, which `connect` opens; `http1`, `http2` and `raw`
//! are such connections, counted by their `account`; `tcp` is one that serves one client only,
//! `tunnel` a request that does; `preface` is what sets them apart for their client; `ticket` is a
//! request that waits for one, `leases` are the worker's accounts with the circuit breakers of the
//! process.

mod account;
mod cluster;
mod connect;
mod dynamic;
mod host;
mod http1;
mod http2;
mod in_flight;
mod leases;
mod pool;
mod preface;
mod raw;
mod tcp;
mod ticket;
mod tunnel;

pub(crate) use cluster::Upstream;
pub(crate) use dynamic::{HostsFrom, Named, NoName};
pub(crate) use host::Host;
pub(crate) use http2::Reserved;
pub(crate) use in_flight::InFlight;
pub(crate) use leases::Unit;
pub(crate) use pool::{Acquired, Pool};
pub(crate) use preface::{Client, Preface};
pub(crate) use tcp::{NoConnection, TcpConnection};
pub(crate) use ticket::{Carrier, ConnectFailure, Ticket};
pub(crate) use tunnel::Tunnel;
