//! The UDP proxy: datagrams of clients, sorted into sessions, each with a socket of its own
//! towards its endpoint.
//!
//! `listening` takes the datagrams of one worker's socket and finds or opens their sessions;
//! `session` is one of them, to its end; `tally` counts and writes the access log.

mod listening;
mod session;
mod tally;
mod tunnelled;

pub(crate) use listening::Datagrams;
