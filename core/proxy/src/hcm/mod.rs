//! The HTTP connection manager: one downstream connection, request after request.
//!
//! `sniff` tells which HTTP a client speaks; `http1` and `http2` are a connection and its loop
//! (`idle` one of HTTP/1 that has no request), tied by its `binding` to the configuration; `seat`
//! is where its tasks wait for streams, `farewell` how it ends. `exchange` is one request, from
//! head to access log, between two `sides` of any protocol, in the storage of `downstream`.
//! `request` prepares the head, `client` and `client_cert` say who asks; `forward` sends it
//! upstream and `pump` moves bodies both ways; `response` finishes the head of whatever is
//! answered; `timers` knows which time is over.

mod binding;
mod client;
mod client_cert;
mod downstream;
mod exchange;
mod farewell;
mod filters;
mod forward;
mod grpc;
mod http1;
mod http2;
mod idle;
mod pump;
mod request;
mod response;
mod rewritten;
mod seat;
pub(crate) mod sides;
mod sniff;
mod timers;

use crate::transport::{Refused, Transport};
pub(crate) use binding::{Binding, Policy};
pub(crate) use downstream::Spare;
use sniff::First;

/// Finds out what a connection speaks and has it served in a task of its own. One whose handshake
/// was refused is counted as well: in Envoy, the connection manager has it from the first byte on.
pub(crate) async fn begin(mut binding: Binding, accepted: Result<Transport, Refused>) {
    let mut transport = match accepted {
        Ok(transport) => transport,
        Err(Refused { timed_out: true }) => return,
        Err(Refused { timed_out: false }) => return binding.note_peer_close(),
    };
    match sniff::sniff(&mut binding, &mut transport).await {
        First::Http1(input) => ringway_runtime::spawn(http1::serve(binding, transport, input)),
        First::Http2(input) => ringway_runtime::spawn(http2::serve(binding, transport, input)),
        First::Nothing => {
            transport.part();
            binding.count_bytes(transport.transferred());
        }
    }
}
