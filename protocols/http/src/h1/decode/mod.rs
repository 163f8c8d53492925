//! Pull decoders: `request` for the downstream side, `response` for the upstream side.
//!
//! Own: the state between calls and the bytes of a head that came in pieces, never bytes of a
//! body. `collect` gathers heads, `fields` reads their lines, `framing` decides how long the body
//! is, `target` reads the request target, `body` and `chunked` walk over the body.

mod body;
mod chunked;
mod collect;
mod fields;
mod framing;
mod request;
mod response;
mod target;

#[cfg(test)]
mod tests;

pub use request::{RequestDecoder, RequestLimits};
pub use response::{ResponseDecoder, ResponseLimits};

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
    /// None asked for.
    #[default]
    None,
    /// To `websocket`.
    WebSocket,
    /// To anything else (its value stands in the `upgrade` field).
    Other,
}

/// Why a body cannot go on; each side has its own error for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyError {
    Malformed(&'static str),
    TrailersTooLarge,
}
