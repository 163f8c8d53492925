//! Pull decoders: `request` for the downstream side, `response` for the upstream side.
//!
//! Own: the state between calls and the bytes of a head that came in pieces, never bytes of a
//! body. `collect` gathers heads, `lenient` gives those that httparse refuses a second look,
//! `framing` decides how long the body is, `target` reads the request target, `body` and `chunked`
//! walk over the body.

mod body;
mod chunked;
mod collect;
mod error;
mod framing;
mod lenient;
mod request;
mod request_head;
mod response;
mod target;

pub use request::{RequestDecoder, RequestLimits};
pub use response::{ResponseDecoder, ResponseLimits};
pub(crate) use target::host_len;

use std::mem::MaybeUninit;

/// What to do with field names that hold `_`, which some upstreams cannot tell from `-`
/// (`headers_with_underscores_action`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Underscores {
    /// Keep them.
    #[default]
    Allow,
    /// Refuse the request with 400.
    Reject,
    /// Drop the field.
    Drop,
}

/// A request to leave HTTP on this connection: `connection: upgrade` with an `upgrade` field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upgrade {
    /// None asked for; also for `h2c`, which Envoy never performs.
    #[default]
    None,
    /// To `websocket`.
    WebSocket,
    /// To anything else (its value stands in the `upgrade` field).
    Other,
}

/// Field slots on the stack. Left uninitialised, so that they cost nothing; where configuration
/// allows more fields, heads that really have more take a longer way over the heap.
const SLOTS: usize = 128;

/// Slots for one parse.
type Slots<'a> = [MaybeUninit<httparse::Header<'a>>; SLOTS];

#[inline]
fn slots<'a>() -> Slots<'a> {
    [const { MaybeUninit::uninit() }; SLOTS]
}

/// Room for `max_fields` fields and one more, or for as many as so many bytes can hold: a field
/// takes three bytes at the least.
fn many_slots<'a>(max_fields: usize, bytes: usize) -> Vec<httparse::Header<'a>> {
    Vec::with_capacity(max_fields.min(bytes / 3) + 1)
}

/// Empty lines before a start line (RFC 9112 section 2.2) may take so many bytes.
const MAX_BLANK_BYTES: usize = 1024;
