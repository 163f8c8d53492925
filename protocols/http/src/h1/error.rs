//! What is wrong with a message, whose fault it is, and how Envoy answers it.

use thiserror::Error;

use crate::ResetReason;

/// The downstream broke the rules. The connection cannot go on: after the local reply, if a
/// response has not begun, it is closed. Response flag DPE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The bytes are not a request (line, field or chunk framing), with what is wrong.
    #[error("malformed request: {0}")]
    Malformed(&'static str),
    /// A field value holds a byte that RFC 9110 section 5.5 forbids.
    #[error("malformed request: invalid character in a field")]
    InvalidCharacters,
    /// The target is neither a path, an absolute URI, an authority for CONNECT, nor `*`.
    #[error("malformed request: invalid target")]
    InvalidTarget,
    /// The scheme of an absolute-form target is neither `http` nor `https`.
    #[error("malformed request: invalid scheme")]
    InvalidScheme,
    /// The `host` field holds a byte that no authority holds.
    #[error("malformed request: invalid authority")]
    InvalidAuthority,
    /// The `connection` field names too much, or what it must not name.
    #[error("malformed request: rejected connection field")]
    ConnectionRejected,
    /// HTTP/1.0 or HTTP/0.9, not accepted by configuration.
    #[error("protocol version is not accepted")]
    LowVersion,
    /// More fields (or trailers) than `max_headers_count`.
    #[error("too many header fields")]
    TooManyFields,
    /// More bytes of head (or trailers) than `max_request_headers_kb`.
    #[error("header fields are too large")]
    HeadTooLarge,
    /// A transfer coding other than exactly `chunked`.
    #[error("unsupported transfer coding")]
    InvalidTransferEncoding,
    /// A transfer coding where none may be: CONNECT, HTTP/1.0.
    #[error("transfer coding is not allowed here")]
    TransferEncodingNotAllowed,
    /// Both `content-length` and `transfer-encoding: chunked`.
    #[error("content-length together with chunked coding")]
    LengthAndChunked,
    /// A body where none may be: CONNECT with `content-length`.
    #[error("a body is not allowed here")]
    BodyNotAllowed,
    /// A field name with `_`, under REJECT_REQUEST.
    #[error("underscore in a field name")]
    UnexpectedUnderscore,
}

impl RequestError {
    /// Status of the local reply.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::LowVersion => 426,
            Self::TooManyFields | Self::HeadTooLarge => 431,
            Self::InvalidTransferEncoding => 501,
            _ => 400,
        }
    }

    /// Body of the local reply, `text/plain`.
    #[must_use]
    pub fn body(self) -> &'static str {
        match self.status() {
            426 => "Upgrade Required",
            431 => "Request Header Fields Too Large",
            501 => "Not Implemented",
            _ => "Bad Request",
        }
    }

    /// Envoy's RESPONSE_CODE_DETAILS.
    #[must_use]
    pub fn details(self) -> &'static str {
        match self {
            Self::Malformed(_) => "http1.codec_error",
            Self::InvalidCharacters => "http1.invalid_characters",
            Self::InvalidTarget => "http1.invalid_url",
            Self::InvalidScheme => "http1.invalid_scheme",
            Self::InvalidAuthority => "http.invalid_authority",
            Self::ConnectionRejected => "http1.connection_header_rejected",
            Self::LowVersion => "low_version",
            Self::TooManyFields => "http1.too_many_headers",
            Self::HeadTooLarge => "http1.headers_too_large",
            Self::InvalidTransferEncoding => "http1.invalid_transfer_encoding",
            Self::TransferEncodingNotAllowed => "http1.transfer_encoding_not_allowed",
            Self::LengthAndChunked => "http1.content_length_and_chunked_not_allowed",
            Self::BodyNotAllowed => "http1.body_disallowed",
            Self::UnexpectedUnderscore => "http1.unexpected_underscore",
        }
    }
}

/// The upstream broke the rules. The connection is closed and never pooled; before the head of the
/// response was forwarded the downstream gets 502 `protocol error`, response flag UPE. A retry is
/// as safe as the request is idempotent: the upstream has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ResponseError {
    /// The bytes are not a response (line, field or chunk framing), with what is wrong.
    #[error("malformed response: {0}")]
    Malformed(&'static str),
    /// A field value holds a byte that RFC 9110 section 5.5 forbids.
    #[error("malformed response: invalid character in a field")]
    InvalidCharacters,
    /// More fields than `max_headers_count`.
    #[error("too many header fields in the response")]
    TooManyFields,
    /// More bytes of head than allowed.
    #[error("header fields of the response are too large")]
    HeadTooLarge,
    /// A transfer coding other than exactly `chunked`.
    #[error("unsupported transfer coding in the response")]
    InvalidTransferEncoding,
    /// A transfer coding where none may be: 1xx, 204, an answer to CONNECT.
    #[error("transfer coding is not allowed in this response")]
    TransferEncodingNotAllowed,
    /// Both `content-length` and `transfer-encoding: chunked`.
    #[error("content-length together with chunked coding in the response")]
    LengthAndChunked,
    /// A `content-length` where none may be: 1xx, 204.
    #[error("a body is not allowed in this response")]
    BodyNotAllowed,
    /// 101 for a request that asked for no upgrade.
    #[error("upgrade that was not asked for")]
    UnexpectedUpgrade,
    /// The connection ended within the head or the body.
    #[error("response ended before it was complete")]
    Truncated,
    /// The connection ended where the response should begin: 503, response flag UC.
    #[error("connection closed instead of a response")]
    Closed,
    /// Bytes without a request that asks for them.
    #[error("response without a request")]
    Unsolicited,
}

impl ResponseError {
    /// Status of the local reply when no head was forwarded yet.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Closed => 503,
            _ => 502,
        }
    }

    /// The reason with which the upstream stream is reset.
    #[must_use]
    pub fn reset_reason(self) -> ResetReason {
        match self {
            Self::Closed => ResetReason::ConnectionTermination,
            _ => ResetReason::ProtocolError,
        }
    }
}
