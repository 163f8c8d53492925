//! Envoy's substitution format: `%REQ(:METHOD)% %RESPONSE_CODE%`, compiled.
//!
//! Owns: reading a format string or a JSON tree into segments, and writing a line from what is
//! known of a stream, without allocation. Does not own where lines go (`access_log`), nor the
//! headers whose values are formats (`route::mutation`).

mod address;
mod call_status;
mod json;
mod moment;
mod operator;
mod parse;
mod time;
mod tls;
mod tunnel;
mod unique;

use std::fmt;

use ringway_http::{Fields, RequestHead, ResponseHead};
use thiserror::Error;

pub use self::json::JsonNode;
use self::json::JsonPiece;
use self::json::sparse::SparseNode;
use self::operator::Operator;
use crate::stream::{ConnectionInfo, StreamInfo};

/// The format of an access log that names none.
pub const DEFAULT_ACCESS_LOG_FORMAT: &str = concat!(
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" ",
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ",
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" ",
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n",
);

/// A compiled format.
pub struct Format {
    kind: Kind,
    /// What stands for a value that is missing, in text: `-`, or nothing.
    missing: &'static [u8],
}

enum Kind {
    Text(Vec<Segment>),
    Json(Vec<JsonPiece>),
    /// JSON without the keys whose values are missing.
    SparseJson(SparseNode),
}

/// A piece of a text format.
#[derive(Debug)]
enum Segment {
    Literal(Box<[u8]>),
    Value(Operator),
}

/// What a line can speak of. `Copy`: a caller keeps one and sets what changes.
#[derive(Debug, Clone, Copy)]
pub struct FormatContext<'a> {
    /// The request head, if one arrived.
    pub request: Option<&'a RequestHead>,
    /// The response head, if one was made.
    pub response: Option<&'a ResponseHead>,
    /// The trailers of the response.
    pub trailers: Option<&'a Fields>,
    /// The body of the local reply that is being formatted.
    pub local_reply_body: Option<&'a [u8]>,
    /// The stream.
    pub info: &'a StreamInfo,
    /// Its connection.
    pub connection: &'a ConnectionInfo,
    /// On what occasion it is written.
    pub occasion: Occasion,
}

/// Why a line is written (`%ACCESS_LOG_TYPE%`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Occasion {
    /// No line of a log, or the line of a listener.
    #[default]
    NotSet,
    /// `flush_access_log_on_start` of the TCP proxy.
    TcpConnectionStart,
    /// `flush_access_log_on_connected`
    TcpUpstreamConnected,
    /// `access_log_flush_interval`
    TcpPeriodic,
    /// The end of a connection.
    TcpConnectionEnd,
    /// The end of a request.
    DownstreamEnd,
    /// `access_log_flush_interval` of the UDP proxy.
    UdpPeriodic,
    /// The end of a session of UDP.
    UdpSessionEnd,
}

impl Occasion {
    fn name(self) -> &'static str {
        match self {
            Self::NotSet => "NotSet",
            Self::TcpConnectionStart => "TcpConnectionStart",
            Self::TcpUpstreamConnected => "TcpUpstreamConnected",
            Self::TcpPeriodic => "TcpPeriodic",
            Self::TcpConnectionEnd => "TcpConnectionEnd",
            Self::DownstreamEnd => "DownstreamEnd",
            Self::UdpPeriodic => "UdpPeriodic",
            Self::UdpSessionEnd => "UdpSessionEnd",
        }
    }
}

/// What is wrong with a format string.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("at byte {position} of the format: {problem}")]
pub struct FormatError {
    /// Byte offset of the `%` with which the operator begins.
    pub position: usize,
    /// What is wrong there.
    pub problem: FormatProblem,
}

/// The kinds of [`FormatError`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FormatProblem {
    /// A `%` that begins no operator.
    #[error("a '%' begins an operator such as %PROTOCOL%; write %% for the character")]
    NotAnOperator,
    /// No `%` behind the operator.
    #[error("%{0} has no closing '%'")]
    Unclosed(String),
    /// An operator that this build does not know.
    #[error("not supported yet: %{0}%")]
    Unsupported(String),
    /// Arguments where none may be, or none where some must be, or the wrong ones.
    #[error("%{operator}%: {message}")]
    Arguments {
        /// The operator's name.
        operator: String,
        /// What is wrong with its arguments.
        message: String,
    },
}

impl<'a> FormatContext<'a> {
    /// A context with nothing but the stream and its connection.
    pub fn new(info: &'a StreamInfo, connection: &'a ConnectionInfo) -> Self {
        Self {
            request: None,
            response: None,
            trailers: None,
            local_reply_body: None,
            info,
            connection,
            occasion: Occasion::NotSet,
        }
    }

    /// The same on that occasion.
    #[must_use]
    pub fn on(mut self, occasion: Occasion) -> Self {
        self.occasion = occasion;
        self
    }

    /// The same with a request head.
    #[must_use]
    pub fn request(mut self, head: &'a RequestHead) -> Self {
        self.request = Some(head);
        self
    }

    /// The same with a response head.
    #[must_use]
    pub fn response(mut self, head: &'a ResponseHead) -> Self {
        self.response = Some(head);
        self
    }

    /// The same with response trailers.
    #[must_use]
    pub fn trailers(mut self, trailers: &'a Fields) -> Self {
        self.trailers = Some(trailers);
        self
    }
}

impl Format {
    /// Text, in which `-` stands for a value that is missing (access logs, bodies).
    pub fn text(source: &str) -> Result<Self, FormatError> {
        Ok(Self { kind: Kind::Text(parse::segments(source)?), missing: b"-" })
    }

    /// Text, in which nothing stands for a value that is missing: header values, and
    /// `omit_empty_values`.
    pub fn text_omitting_empty(source: &str) -> Result<Self, FormatError> {
        Ok(Self { kind: Kind::Text(parse::segments(source)?), missing: b"" })
    }

    /// A JSON object (`json_format`) with its line end, its keys sorted. A string that is one
    /// operator keeps the type of its value, and is `null` when that is missing.
    pub fn json(tree: &JsonNode) -> Result<Self, FormatError> {
        Ok(Self { kind: Kind::Json(json::compile(tree)?), missing: b"-" })
    }

    /// As [`Format::json`] with `omit_empty_values`: what would be `null` or an object without
    /// keys is left out.
    pub fn json_omitting_empty(tree: &JsonNode) -> Result<Self, FormatError> {
        Ok(Self { kind: Kind::SparseJson(json::sparse::compile(tree)?), missing: b"" })
    }

    /// The text itself: no operator is read in it.
    pub fn literal(text: &str) -> Self {
        let literal = Segment::Literal(text.as_bytes().into());
        Self { kind: Kind::Text(vec![literal]), missing: b"" }
    }

    /// Whether this is a JSON format.
    pub fn is_json(&self) -> bool {
        matches!(self.kind, Kind::Json(_) | Kind::SparseJson(_))
    }

    /// Whether it speaks of the bytes of two sockets, which only a connection that is passed on as
    /// it is has counted.
    pub fn speaks_of_wire_bytes(&self) -> bool {
        match &self.kind {
            Kind::Text(segments) => speak_of_wire_bytes(segments),
            Kind::Json(pieces) => pieces.iter().any(|piece| match piece {
                JsonPiece::Raw(_) => false,
                JsonPiece::Typed(operator) => operator.is_wire_bytes(),
                JsonPiece::Text(segments) => speak_of_wire_bytes(segments),
            }),
            Kind::SparseJson(tree) => tree.speaks_of_wire_bytes(),
        }
    }

    /// Appends the line. Allocates only what `out` needs to grow.
    pub fn write(&self, cx: &FormatContext<'_>, out: &mut Vec<u8>) {
        match &self.kind {
            Kind::Text(segments) => write_segments(segments, self.missing, cx, out),
            Kind::Json(pieces) => json::write(pieces, self.missing, cx, out),
            Kind::SparseJson(tree) => json::sparse::write(tree, self.missing, cx, out),
        }
    }
}

/// A random UUID as text, such as `%UNIQUE_ID%` writes. Nothing secret depends on it.
pub(crate) fn unique_id() -> String {
    let mut out = Vec::new();
    unique::write(&mut out);
    out.into_iter().map(char::from).collect()
}

fn write_segments(segments: &[Segment], missing: &[u8], cx: &FormatContext<'_>, out: &mut Vec<u8>) {
    for segment in segments {
        match segment {
            Segment::Literal(text) => out.extend_from_slice(text),
            Segment::Value(operator) => {
                if !operator.write(cx, out) {
                    out.extend_from_slice(missing);
                }
            }
        }
    }
}

fn speak_of_wire_bytes(segments: &[Segment]) -> bool {
    segments.iter().any(|segment| match segment {
        Segment::Literal(_) => false,
        Segment::Value(operator) => operator.is_wire_bytes(),
    })
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Text(segments) => f.debug_tuple("Text").field(segments).finish(),
            Kind::Json(pieces) => f.debug_tuple("Json").field(pieces).finish(),
            Kind::SparseJson(tree) => f.debug_tuple("SparseJson").field(tree).finish(),
        }
    }
}

#[cfg(test)]
mod tests;
