//! The HTTP/1 engine: bytes to steps, heads to bytes. No IO, no clock.
//!
//! Order of calls, for either decoder: give it what was read; act on the step; give it the rest of
//! the input behind the consumed bytes; stop at `NeedMore`, when all of it is consumed. A decoder
//! is never reset between messages: `Complete` leaves it ready for the next one.
//!
//! Strictness is that of Envoy 1.40 where it is safe, and of RFC 9112 where it is not.

mod decode;
mod encode;
mod error;
mod reason;

pub(crate) use decode::host_len;
pub use decode::{
    RequestDecoder, RequestLimits, ResponseDecoder, ResponseLimits, Underscores, Upgrade,
};
pub use encode::{
    ConnectionField, Framing, HeaderKeyFormat, RequestOptions, ResponseOptions, encode_chunk_end,
    encode_chunk_prefix, encode_request, encode_response, encode_trailers,
};
pub use error::{RequestError, ResponseError};
pub use reason::reason_phrase;
