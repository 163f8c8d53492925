//! The HTTP connection manager: one downstream connection, request after request.
//!
//! `downstream` is the connection and its loop; `exchange` is one request on it, from head to
//! access log; `request` prepares the head and `client` says who asks; `forward` sends it upstream
//! and `pump` moves bodies both ways; `response` finishes the head of whatever is answered;
//! `timers` knows which time is over.

mod client;
mod downstream;
mod exchange;
mod forward;
mod grpc;
mod pump;
mod request;
mod response;
mod timers;

pub(crate) use downstream::serve;
