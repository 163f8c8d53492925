//! One worker and a client on a plain socket.

mod filters;
mod first_request;
mod rig;
mod secured;
mod tls_peer;
