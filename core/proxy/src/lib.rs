//! The data path: what one worker does with connections, from accept to the access log.
//!
//! Read it in the order of a request: [`worker`] owns everything that one core owns; `adopt`
//! follows a new configuration; `names` knows the addresses of names that requests bring;
//! `listener` accepts and finds the filter chain; `hcm` is the HTTP
//! connection manager, from the request head to the local reply; `http2` drives connections that
//! carry many streams; `upstream` chooses an endpoint
//! and keeps connections to it; `transport` is what either side is read from and written to;
//! `udp` passes datagrams on; `tell` says at debug level what becomes of connections and requests.
//!
//! It knows filters only through the traits of `ringway-model`, and the kernel only through
//! `ringway-runtime`.
#![forbid(unsafe_code)]

mod adopt;
mod hcm;
mod http2;
mod listener;
mod log;
mod names;
mod tcp;
mod tell;
mod transport;
mod udp;
mod upstream;
mod wire;
pub mod worker;
