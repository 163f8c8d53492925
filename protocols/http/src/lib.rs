//! Bytes to HTTP meaning and back: the message model, the HTTP/1 and the HTTP/2 engine.
//!
//! Owns: heads, fields and trailers in reusable storage, the vocabulary of events between codecs,
//! the HTTP/1 decoders and encoders, the HTTP/2 connection, hop-by-hop rules, path and host
//! normalisation, the form of dates. Does not own: sockets, clocks, random numbers, threads,
//! statistics, or any policy of the connection manager. Hostile bytes give errors, never panics,
//! and every buffer is bounded.
#![forbid(unsafe_code)]

pub mod capsule;
pub mod date;
pub mod decimal;
pub mod event;
pub mod fields;
pub mod h1;
pub mod h2;
pub mod head;
pub mod hop_by_hop;
pub mod known;
pub mod normalize;
pub mod referer;

pub use event::{Body, ResetReason, Step};
pub use fields::{FieldName, Fields};
pub use h1::{RequestError, ResponseError};
pub use head::{Method, RequestHead, ResponseHead, Trailers, Version};
pub use known::Known;
