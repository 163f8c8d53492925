//! The TCP proxy: one downstream connection, one upstream connection, and all bytes between them.
//!
//! `session` is the whole of it, from the choice of a cluster to the access log; `relay` moves the
//! bytes both ways, each only as fast as the other side takes them; `simple` are the network
//! filters that need no upstream.

mod relay;
mod session;
mod simple;

pub(crate) use session::{refuse, serve};
pub(crate) use simple::{echo, respond};
