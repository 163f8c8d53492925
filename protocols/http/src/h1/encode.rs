//! Heads, chunk framing and trailers to bytes.
//!
//! The framing fields come from [`Framing`], never from the message: whatever `content-length`,
//! `transfer-encoding` and `connection` a head carries, the peer sees what this side does.

use super::reason::reason_phrase;
use crate::{Fields, Known, RequestHead, ResponseHead, Version};

/// How the body is framed on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No framing field at all: no body, or a body that ends with the connection.
    None,
    /// `content-length`, in the place where the head carries it, else at the end.
    Length(u64),
    /// `transfer-encoding: chunked`, at the end.
    Chunked,
    /// Answers to HEAD and 304: the `content-length` of the head stays as it is, no body follows.
    Described,
}

/// What the `connection` field says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionField {
    /// Nothing: the version's default holds.
    #[default]
    Absent,
    /// `connection: close`
    Close,
    /// `connection: keep-alive`, for HTTP/1.0.
    KeepAlive,
    /// The message's own `connection` and `upgrade` fields pass (`connection: upgrade` is added
    /// when the message has none).
    Upgrade,
}

/// How field names are written (`header_key_format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderKeyFormat {
    /// `content-type`
    #[default]
    LowerCase,
    /// `Content-Type` (`proper_case_words`)
    ProperCaseWords,
}

/// Options of a request on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestOptions {
    /// The `connection` field.
    pub connection: ConnectionField,
    /// The case of names.
    pub key_format: HeaderKeyFormat,
    /// Write the target in absolute form (`send_fully_qualified_url`).
    pub absolute_form: bool,
}

/// Options of a response on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseOptions {
    /// The `connection` field.
    pub connection: ConnectionField,
    /// The case of names.
    pub key_format: HeaderKeyFormat,
}

/// Writes a request head with its empty line behind `out`.
pub fn encode_request(
    head: &RequestHead,
    framing: Framing,
    options: RequestOptions,
    out: &mut Vec<u8>,
) {
    let _ = (head, framing, options, out);
}

/// Writes a response head with its empty line behind `out`.
pub fn encode_response(
    head: &ResponseHead,
    framing: Framing,
    options: ResponseOptions,
    out: &mut Vec<u8>,
) {
    let _ = (head, framing, options, out, reason_phrase(200), Known::Te, Version::Http10);
}

/// Writes the line that begins a chunk of `len` bytes. Nothing for zero, which would end the body.
pub fn encode_chunk_prefix(len: usize, out: &mut Vec<u8>) {
    let _ = (len, out);
}

/// Writes the line end behind the data of a chunk.
pub fn encode_chunk_end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Ends a chunked body without trailers.
pub fn encode_last_chunk(out: &mut Vec<u8>) {
    encode_trailers(None, HeaderKeyFormat::LowerCase, out);
}

/// Ends a chunked body, with trailers if there are any.
pub fn encode_trailers(trailers: Option<&Fields>, format: HeaderKeyFormat, out: &mut Vec<u8>) {
    let _ = (trailers, format);
    out.extend_from_slice(b"0\r\n\r\n");
}
