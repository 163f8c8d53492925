//! What goes wrong on an HTTP/2 connection, whose fault it is, and Envoy's words for it.

use thiserror::Error;

use super::hpack::HpackError;
use crate::ResetReason;

/// RFC 9113 section 7. Unknown codes of a peer are kept by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the variants are the names of RFC 9113 section 7")]
pub enum ErrorCode {
    NoError,
    ProtocolError,
    InternalError,
    FlowControlError,
    SettingsTimeout,
    StreamClosed,
    FrameSizeError,
    RefusedStream,
    Cancel,
    CompressionError,
    ConnectError,
    EnhanceYourCalm,
    InadequateSecurity,
    Http11Required,
    Unknown(u32),
}

const CODES: [ErrorCode; 14] = [
    ErrorCode::NoError,
    ErrorCode::ProtocolError,
    ErrorCode::InternalError,
    ErrorCode::FlowControlError,
    ErrorCode::SettingsTimeout,
    ErrorCode::StreamClosed,
    ErrorCode::FrameSizeError,
    ErrorCode::RefusedStream,
    ErrorCode::Cancel,
    ErrorCode::CompressionError,
    ErrorCode::ConnectError,
    ErrorCode::EnhanceYourCalm,
    ErrorCode::InadequateSecurity,
    ErrorCode::Http11Required,
];

impl ErrorCode {
    /// The code of this number.
    #[must_use]
    pub fn from_number(number: u32) -> Self {
        let known = usize::try_from(number).ok().and_then(|at| CODES.get(at));
        known.copied().unwrap_or(Self::Unknown(number))
    }

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::Unknown(number) => number,
            code => CODES.iter().position(|at| *at == code).unwrap_or(0) as u32,
        }
    }

    /// Envoy's reason for a stream that the peer reset with this code.
    #[must_use]
    pub fn reset_reason(self) -> ResetReason {
        match self {
            Self::RefusedStream => ResetReason::RemoteRefusedStreamReset,
            Self::ConnectError => ResetReason::ConnectError,
            _ => ResetReason::RemoteReset,
        }
    }
}

/// A limit that a peer broke so that going on would cost memory or CPU without bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Flood {
    /// `max_outbound_frames`: the peer lets answers pile up and does not read them.
    #[error("Too many frames in the outbound queue.")]
    OutboundFrames,
    /// `max_outbound_control_frames`: the peer makes this side answer (PING, SETTINGS, errors that
    /// reset streams) and does not read the answers (CVE-2019-9512, 9514, 9515).
    #[error("Too many control frames in the outbound queue.")]
    OutboundControlFrames,
    /// `max_consecutive_inbound_frames_with_empty_payload` (CVE-2019-9518).
    #[error("Too many consecutive frames with an empty payload")]
    EmptyPayloads,
    /// `max_inbound_priority_frames_per_stream` (CVE-2019-9513).
    #[error("Too many PRIORITY frames")]
    Priority,
    /// `max_inbound_window_update_frames_per_data_frame_sent`.
    #[error("Too many WINDOW_UPDATE frames")]
    WindowUpdates,
    /// `stream_reset_burst` and `stream_reset_rate`: streams that the peer opens and resets
    /// (CVE-2023-44487, Rapid Reset), or has this side reset (CVE-2025-8671, MadeYouReset).
    #[error("Too many stream resets")]
    StreamResets,
    /// A head in more CONTINUATION frames than any head needs (CVE-2024-27316).
    #[error("Too many CONTINUATION frames following a HEADER frame")]
    Continuations,
    /// A header block that is larger than any head within the limits.
    #[error("header block is too large")]
    HeaderBlock,
    /// More entries than a SETTINGS frame has use for.
    #[error("SETTINGS: too many setting entries")]
    SettingsEntries,
}

impl Flood {
    /// Envoy's counter below `http2.`.
    #[must_use]
    pub fn stat(self) -> &'static str {
        match self {
            Self::OutboundFrames => "outbound_flood",
            Self::OutboundControlFrames => "outbound_control_flood",
            Self::EmptyPayloads => "inbound_empty_frames_flood",
            Self::Priority => "inbound_priority_frames_flood",
            Self::WindowUpdates => "inbound_window_update_frames_flood",
            Self::HeaderBlock => "header_overflow",
            Self::StreamResets | Self::Continuations | Self::SettingsEntries => {
                "rx_messaging_error"
            }
        }
    }
}

/// Why a head or a body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum MessageError {
    /// A name or value with a byte that RFC 9113 section 8.2.1 forbids, or a pseudo header field
    /// whose value is none of its kind.
    #[error("invalid header field")]
    InvalidField,
    /// Pseudo header fields that are missing, repeated, unknown or out of place (section 8.3),
    /// with what is wrong.
    #[error("invalid head: {0}")]
    InvalidHead(&'static str),
    /// A field that concerns one HTTP/1 connection (section 8.2.2).
    #[error("connection-specific header field")]
    ConnectionField,
    /// `te` with anything but `trailers`.
    #[error("invalid te field")]
    InvalidTe,
    /// A `content-length` that is no number, or that a head or trailers belie (section 8.1.1).
    #[error("invalid content-length")]
    ContentLength,
    /// A `content-length` that the data do not add up to (section 8.1.1).
    #[error("data do not add up to content-length")]
    DataLength,
    /// More fields than `max_headers_count`.
    #[error("too many header fields")]
    TooManyFields,
    /// More bytes than `max_request_headers_kb` or `max_response_headers_kb`, as decoded.
    #[error("header fields are too large")]
    HeadTooLarge,
    /// The same with `cookie` crumbs, each counted (CVE-2026-47774).
    #[error("cookies are too large")]
    CookiesTooLarge,
    /// A field name with `_`, under REJECT_REQUEST.
    #[error("underscore in a field name")]
    UnexpectedUnderscore,
}

impl MessageError {
    /// Envoy's RESPONSE_CODE_DETAILS, as 1.40 logs them.
    #[must_use]
    pub fn details(self) -> &'static str {
        match self {
            Self::InvalidField | Self::ConnectionField | Self::InvalidTe => {
                "http2.invalid.header.field"
            }
            Self::InvalidHead(_) | Self::ContentLength => "http2.violation.of.messaging.rule",
            // nghttp2 resets such a stream by itself, and Envoy takes that for the peer's doing.
            Self::DataLength => "http2.remote_reset",
            Self::TooManyFields => "http2.too_many_headers",
            Self::HeadTooLarge | Self::CookiesTooLarge => "http2.header_list_size_too_large",
            Self::UnexpectedUnderscore => "http2.unexpected_underscore",
        }
    }

    /// Whether only the size is wrong, for which Envoy ends the stream and not the connection.
    #[must_use]
    pub fn is_limit(self) -> bool {
        matches!(
            self,
            Self::TooManyFields
                | Self::HeadTooLarge
                | Self::CookiesTooLarge
                | Self::UnexpectedUnderscore
        )
    }
}

/// What ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Cause {
    /// The peer broke RFC 9113, with the rule.
    #[error("{0}")]
    Protocol(&'static str),
    /// A header block could not be decoded.
    #[error("header compression: {0}")]
    Compression(&'static str),
    /// A malformed message, where configuration does not spare the connection
    /// (`override_stream_error_on_invalid_http_message`).
    #[error("malformed message: {0}")]
    Message(MessageError),
    /// The same on a stream that was open, which has its own event.
    #[error("malformed message of a stream: {0}")]
    StreamMessage(MessageError),
    /// A limit.
    #[error("flood: {0}")]
    Flood(Flood),
    /// No answer to a PING within `connection_keepalive.timeout`.
    #[error("keepalive timeout")]
    KeepaliveTimeout,
}

/// The connection is over: what is queued (with a GOAWAY at its end) should still be sent. All
/// streams end with `ResetReason::ConnectionTermination`, or `ProtocolError` where [`Self::code`]
/// says so. Always the peer's fault, except that a keepalive timeout may be the network's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[error("{cause}")]
pub struct ConnectionError {
    /// The code in the GOAWAY.
    pub code: ErrorCode,
    /// What happened.
    pub cause: Cause,
}

impl ConnectionError {
    pub(super) fn protocol(rule: &'static str) -> Self {
        Self { code: ErrorCode::ProtocolError, cause: Cause::Protocol(rule) }
    }

    pub(super) fn with(code: ErrorCode, rule: &'static str) -> Self {
        Self { code, cause: Cause::Protocol(rule) }
    }

    /// Envoy's RESPONSE_CODE_DETAILS for the streams that were under way.
    #[must_use]
    pub fn details(self) -> &'static str {
        match self.cause {
            Cause::Flood(Flood::EmptyPayloads) => "http2.inbound_empty_frames_flood",
            Cause::Flood(Flood::OutboundFrames | Flood::OutboundControlFrames) => {
                "http2.outbound_frames_flood"
            }
            // The words of Envoy's codec for all that it did not look for.
            Cause::Message(_)
            | Cause::StreamMessage(_)
            | Cause::Compression(_)
            | Cause::Protocol(_) => "codec_error:The_user_callback_function_failed",
            Cause::Flood(_) => "http2.violation.of.messaging.rule",
            Cause::KeepaliveTimeout => "http2.ping_timeout",
        }
    }

    /// Whether Envoy counts it as a protocol error of the connection. Floods that have counters of
    /// their own are none there, nor is a PING that nobody answers.
    #[must_use]
    pub fn is_protocol_error(self) -> bool {
        match self.cause {
            Cause::KeepaliveTimeout => false,
            Cause::Flood(flood) => !matches!(
                flood,
                Flood::OutboundFrames
                    | Flood::OutboundControlFrames
                    | Flood::EmptyPayloads
                    | Flood::Priority
                    | Flood::WindowUpdates
            ),
            Cause::Message(_)
            | Cause::StreamMessage(_)
            | Cause::Protocol(_)
            | Cause::Compression(_) => true,
        }
    }

    /// The limit that was broken, if it was one.
    #[must_use]
    pub fn flood(self) -> Option<Flood> {
        match self.cause {
            Cause::Flood(flood) => Some(flood),
            _ => None,
        }
    }
}

impl From<Flood> for ConnectionError {
    fn from(flood: Flood) -> Self {
        let code = match flood {
            // So it stands in the documentation of Envoy's `stream_reset_burst`.
            Flood::StreamResets => ErrorCode::InternalError,
            _ => ErrorCode::EnhanceYourCalm,
        };
        Self { code, cause: Cause::Flood(flood) }
    }
}

impl From<MessageError> for ConnectionError {
    fn from(error: MessageError) -> Self {
        Self { code: ErrorCode::ProtocolError, cause: Cause::Message(error) }
    }
}

impl From<HpackError> for ConnectionError {
    fn from(error: HpackError) -> Self {
        let what = match error {
            HpackError::Truncated => "block ends within a field",
            HpackError::Integer => "integer too large or cut off",
            HpackError::Index => "index of no table entry",
            HpackError::Huffman => "invalid Huffman code",
            HpackError::TableSize => "table size update too large or out of place",
            HpackError::StringTooLong => "name or value too long",
        };
        Self { code: ErrorCode::CompressionError, cause: Cause::Compression(what) }
    }
}

/// Why something could not be sent. None of it is a defect of the caller alone: the peer may have
/// ended the stream or the connection a moment ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum SendError {
    /// The stream is over, or this side has ended it.
    #[error("stream is closed for sending")]
    StreamClosed,
    /// A head where data or trailers belong, or the other way about.
    #[error("out of order")]
    OutOfOrder,
    /// The peer allows no further stream now: another connection is needed, and a retry is safe.
    #[error("too many concurrent streams")]
    TooManyStreams,
    /// GOAWAY was sent or received, or stream identifiers are used up: a retry on another
    /// connection is safe.
    #[error("connection is going away")]
    GoingAway,
    /// An upgrade over a connection whose peer did not announce RFC 8441.
    #[error("peer does not speak extended CONNECT")]
    NoExtendedConnect,
}
