//! The TCP proxy: one downstream connection, one upstream connection, and all bytes between them.
//!
//! `session` is the whole of it, from its first moment to the access log; `connecting` finds the
//! endpoint, by which `far` is the upstream side, a connection or a tunnel; `origin` is
//! where it came from; `relay` moves the bytes
//! both ways, each only as fast as the other side takes them; `simple` are the network filters that
//! need no upstream.

mod connecting;
mod far;
mod origin;
mod relay;
mod session;
mod simple;

pub(crate) use session::{Entry, refuse, serve};
pub(crate) use simple::{echo, respond};
