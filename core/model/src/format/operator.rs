//! The operators: where a value comes from and how it is written.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use ringway_http::{FieldName, Known, ResponseHead};

use super::FormatContext;
use super::address::{self, Part};
use super::call_status::{self, Spelling};
use super::moment::Between;
use super::time::TimeFormat;
use super::tls::TlsValue;
use super::tunnel;
use super::unique;
use crate::route::RequestField;

/// An operator with its arguments.
#[derive(Debug)]
pub(super) struct Operator {
    pub(super) source: Source,
    /// `:Z`: at most so many bytes.
    pub(super) limit: Option<usize>,
}

/// Where a value comes from.
#[derive(Debug)]
pub(super) enum Source {
    StartTime(TimeFormat),
    Request {
        name: RequestField,
        fallback: Option<RequestField>,
    },
    RequestWithoutQuery {
        name: RequestField,
        fallback: Option<RequestField>,
    },
    Response {
        name: ResponseField,
        fallback: Option<ResponseField>,
    },
    Trailer {
        name: FieldName,
        fallback: Option<FieldName>,
    },
    Path {
        query: bool,
        original: Original,
    },
    QueryParameter(Box<[u8]>),
    QueryParameters,
    RequestHeadersBytes,
    ResponseHeadersBytes,
    ResponseTrailersBytes,
    Constant(Box<[u8]>),
    Protocol,
    ResponseCode,
    ResponseCodeDetails {
        keep_blanks: bool,
    },
    ResponseFlags,
    ResponseFlagsLong,
    BytesReceived,
    BytesSent,
    Duration(Span),
    UpstreamHost(Part),
    UpstreamLocal(Part),
    UpstreamCluster,
    UpstreamAttempts,
    UpstreamTransportFailure,
    ConnectionTermination,
    DownstreamLocal(Part),
    DownstreamRemote(Part),
    DownstreamDirectRemote(Part),
    DownstreamDirectLocal(Part),
    UpstreamName {
        port: bool,
    },
    UpstreamProtocol,
    Occasion,
    ChainName,
    EmitTime(TimeFormat),
    UniqueId,
    CallStatus(Spelling),
    Between(Between),
    /// What only QUIC counts.
    Zero,
    /// What nothing that is built can tell.
    Nothing,
    ConnectionId,
    WireBytes(Wire),
    Ja3,
    Ja4,
    Metadata {
        namespace: Box<str>,
        key: Box<str>,
    },
    TunnelHead {
        typed: bool,
    },
    TunnelTrailers {
        typed: bool,
    },
    RouteName,
    ListenerName,
    LocalReplyBody,
    DownstreamTls(TlsValue),
    UpstreamTls(TlsValue),
    DownstreamTransportFailure,
    RequestedServerName(ServerName),
}

/// What `%REQUESTED_SERVER_NAME%` means.
#[derive(Debug, Clone, Copy)]
pub(super) enum ServerName {
    /// The name of the ClientHello, as a listener filter saw it.
    Sni,
    /// The same, or else the host of the request.
    SniFirst,
    /// The host of the request, or else that name.
    HostFirst,
}

/// A stretch of a stream's life, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Span {
    Whole,
    Request,
    Response,
    ResponseTx,
    RequestTx,
}

/// Which bytes of a connection's two sockets.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wire {
    DownstreamReceived,
    DownstreamSent,
    UpstreamReceived,
    UpstreamSent,
}

/// Which path `%PATH%` means.
#[derive(Debug, Clone, Copy)]
pub(super) enum Original {
    /// What the client sent if it was rewritten, or else the path as it is.
    OrPath,
    /// As it is, after rewrites.
    Never,
    /// Only what the client sent.
    Only,
}

/// What may be read of a response head.
#[derive(Debug, Clone)]
pub(super) enum ResponseField {
    Status,
    Field(FieldName),
}

impl Operator {
    /// Appends the value; false when there is none.
    pub(super) fn write(&self, cx: &FormatContext<'_>, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        if !self.source.write(cx, out) {
            return false;
        }
        if let Some(limit) = self.limit {
            out.truncate(out.len().min(start + limit));
        }
        true
    }

    pub(super) fn is_wire_bytes(&self) -> bool {
        matches!(self.source, Source::WireBytes(_))
    }

    /// Whether the value stands in JSON as it is written: a number, or an object.
    pub(super) fn is_number(&self) -> bool {
        match &self.source {
            Source::ResponseCode
            | Source::BytesReceived
            | Source::BytesSent
            | Source::Duration(_)
            | Source::ConnectionId
            | Source::Between(_)
            | Source::Zero
            | Source::CallStatus(Spelling::Number)
            | Source::WireBytes(_)
            | Source::UpstreamAttempts
            | Source::RequestHeadersBytes
            | Source::ResponseHeadersBytes
            | Source::ResponseTrailersBytes => true,
            Source::UpstreamHost(part)
            | Source::UpstreamLocal(part)
            | Source::DownstreamLocal(part)
            | Source::DownstreamRemote(part)
            | Source::DownstreamDirectLocal(part)
            | Source::DownstreamDirectRemote(part) => *part == Part::Port,
            Source::TunnelHead { typed } | Source::TunnelTrailers { typed } => *typed,
            // All but one of the values that the UDP proxy tells are numbers.
            Source::Metadata { namespace, key } => {
                namespace.starts_with("udp.proxy.") && &**key != "cluster_name"
            }
            _ => false,
        }
    }
}

impl Source {
    fn write(&self, cx: &FormatContext<'_>, out: &mut Vec<u8>) -> bool {
        match self {
            Self::StartTime(format) => {
                format.write(cx.info.start_time, out);
                true
            }
            Self::Constant(text) => text_of(Some(text), out),
            Self::Protocol => text_of(cx.info.protocol.map(|v| v.text().as_bytes()), out),
            Self::ResponseCode => number(u64::from(cx.info.response_code), out),
            Self::ResponseCodeDetails { keep_blanks } => details(cx, *keep_blanks, out),
            Self::ResponseFlags => flags(cx.info.flags.short_names(), out),
            Self::ResponseFlagsLong => flags(cx.info.flags.long_names(), out),
            Self::BytesReceived => number(cx.info.bytes_received, out),
            Self::BytesSent => number(cx.info.bytes_sent, out),
            Self::Duration(span) => match span.of(cx) {
                Some(duration) => number(duration.as_millis() as u64, out),
                None => false,
            },
            Self::ConnectionId => number(cx.connection.id, out),
            Self::WireBytes(which) => number(which.of(cx), out),
            Self::Ja3 | Self::Ja4 => {
                let told = self.preamble(cx).unwrap_or_default();
                non_empty(told.as_bytes(), out)
            }
            Self::Metadata { namespace, key } => {
                let noted = cx.info.notes.as_ref();
                let noted = noted.and_then(|notes| {
                    notes.metadata(namespace, key, |value| non_empty(value.as_bytes(), out))
                });
                let told = || self.preamble(cx).unwrap_or_default();
                noted.unwrap_or_else(|| non_empty(told().as_bytes(), out))
            }
            Self::UpstreamAttempts => number(u64::from(cx.info.attempts), out),
            Self::UpstreamCluster => text_of(cx.info.cluster.as_deref().map(str::as_bytes), out),
            Self::UpstreamTransportFailure => {
                one_word(cx.info.upstream_transport_failure.as_deref(), out)
            }
            Self::RouteName => {
                non_empty(cx.info.route_name.as_deref().unwrap_or_default().as_bytes(), out)
            }
            Self::TunnelHead { .. } => tunnel::head(cx.info.tunnel.as_deref(), out),
            Self::TunnelTrailers { .. } => tunnel::trailers(cx.info.tunnel.as_deref(), out),
            Self::DownstreamTransportFailure => {
                one_word(cx.connection.transport_failure.as_deref().map(String::as_str), out)
            }
            Self::RequestedServerName(which) => server_name(cx, *which, out),
            Self::DownstreamTls(value) => value.write(cx.connection.tls.as_deref(), out),
            Self::UpstreamTls(value) => value.write(cx.info.upstream_tls.as_deref(), out),
            // Network filters give reasons; what ends by itself has none.
            Self::ConnectionTermination => {
                let reason = cx.info.notes.as_ref().and_then(|notes| notes.termination.get());
                non_empty(reason.map_or("", |reason| reason).as_bytes(), out)
            }
            Self::ListenerName => non_empty(cx.connection.listener.as_bytes(), out),
            // The body of no local reply is an empty one.
            Self::LocalReplyBody => text_of(Some(cx.local_reply_body.unwrap_or_default()), out),
            Self::RequestHeadersBytes => number(request_bytes(cx), out),
            Self::ResponseHeadersBytes => number(response_bytes(cx), out),
            Self::ResponseTrailersBytes => {
                number(cx.trailers.map_or(0, |trailers| trailers.byte_size() as u64), out)
            }
            _ => self.write_rest(cx, out),
        }
    }

    /// What fewer logs ask for.
    fn write_rest(&self, cx: &FormatContext<'_>, out: &mut Vec<u8>) -> bool {
        match self {
            Self::EmitTime(format) => {
                format.write(SystemTime::now(), out);
                true
            }
            Self::Between(between) => between.of(cx.info).is_some_and(|time| number(time, out)),
            Self::CallStatus(spelling) => call_status::write(cx, *spelling, out),
            Self::UniqueId => unique::write(out),
            Self::Zero => number(0, out),
            Self::Nothing => false,
            _ => self.write_name(cx, out),
        }
    }

    /// Names of what is on the way of a stream.
    fn write_name(&self, cx: &FormatContext<'_>, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Occasion => text_of(Some(cx.occasion.name().as_bytes()), out),
            Self::ChainName => text_of(cx.connection.chain_name().map(str::as_bytes), out),
            Self::UpstreamProtocol => {
                text_of(cx.info.upstream_protocol.map(|v| v.text().as_bytes()), out)
            }
            Self::UpstreamName { port } => {
                let name = cx.info.upstream_name.as_deref();
                let cut = |name| if *port { name } else { address::host_of(name) };
                text_of(name.map(cut).map(str::as_bytes), out)
            }
            _ => self.write_head(cx, out).unwrap_or_else(|| self.write_address(cx, out)),
        }
    }

    /// What listener filters have found.
    fn preamble<'a>(&self, cx: &FormatContext<'a>) -> Option<&'a str> {
        let preamble = cx.connection.preamble.as_deref()?;
        match self {
            Self::Ja3 => preamble.ja3.as_deref(),
            Self::Ja4 => preamble.ja4.as_deref(),
            Self::Metadata { namespace, key } => preamble.metadata(namespace, key),
            _ => None,
        }
    }

    /// Values of heads and trailers; `None` when this is not one.
    fn write_head(&self, cx: &FormatContext<'_>, out: &mut Vec<u8>) -> Option<bool> {
        let value = match self {
            Self::Request { name, fallback } => request_field(cx, name, fallback.as_ref()),
            Self::RequestWithoutQuery { name, fallback } => {
                request_field(cx, name, fallback.as_ref()).map(without_query)
            }
            Self::Response { name, fallback } => {
                return Some(response_field(cx, name, fallback.as_ref(), out));
            }
            Self::Trailer { name, fallback } => cx.trailers.and_then(|trailers| {
                let other = || trailers.get_named(fallback.as_ref()?);
                trailers.get_named(name).or_else(other)
            }),
            Self::Path { query, original } => {
                path(cx, *original).map(|path| if *query { path } else { without_query(path) })
            }
            Self::QueryParameters => cx.request.and_then(|head| head.query()),
            Self::QueryParameter(name) => cx.request.and_then(|head| {
                let mut pairs = crate::route::query_pairs(head.query()?);
                pairs.find(|(key, _)| *key == &**name).map(|(_, value)| value)
            }),
            _ => return None,
        };
        Some(text_of(value, out))
    }

    fn write_address(&self, cx: &FormatContext<'_>, out: &mut Vec<u8>) -> bool {
        match self {
            Self::UpstreamHost(part) => match cx.info.upstream_host.as_deref() {
                Some(text) => address::write_text(text, *part, out),
                None => false,
            },
            Self::UpstreamLocal(part) => match cx.info.upstream_local {
                Some(ip) => address::write_ip(ip, *part, out),
                None => false,
            },
            Self::DownstreamLocal(part) => address::write(&cx.connection.local, *part, out),
            Self::DownstreamDirectLocal(part) => {
                address::write(cx.connection.direct_local(), *part, out)
            }
            Self::DownstreamDirectRemote(part) => {
                address::write(&cx.connection.direct_remote, *part, out)
            }
            Self::DownstreamRemote(part) => match cx.info.remote {
                Some(ip) => address::write_ip(ip, *part, out),
                None => address::write(cx.connection.remote(), *part, out),
            },
            _ => false,
        }
    }
}

impl Wire {
    fn of(self, cx: &FormatContext<'_>) -> u64 {
        let wire = &cx.info.wire;
        match self {
            Self::DownstreamReceived => wire.downstream_received,
            Self::DownstreamSent => wire.downstream_sent,
            Self::UpstreamReceived => wire.upstream_received,
            Self::UpstreamSent => wire.upstream_sent,
        }
    }
}

impl Span {
    fn of(self, cx: &FormatContext<'_>) -> Option<Duration> {
        match self {
            // A stream that is not finished yet has no duration.
            Self::Whole => cx.info.finished,
            Self::Request => cx.info.request_received,
            Self::Response => cx.info.response_received,
            Self::ResponseTx => cx.info.finished?.checked_sub(cx.info.response_received?),
            Self::RequestTx => cx.info.request_sent,
        }
    }
}

fn request_field<'a>(
    cx: &FormatContext<'a>,
    name: &RequestField,
    fallback: Option<&RequestField>,
) -> Option<&'a [u8]> {
    let head = cx.request?;
    name.first(head).or_else(|| fallback?.first(head))
}

fn response_field(
    cx: &FormatContext<'_>,
    name: &ResponseField,
    fallback: Option<&ResponseField>,
    out: &mut Vec<u8>,
) -> bool {
    let Some(head) = cx.response else { return false };
    let mut write = |field: &ResponseField| match field {
        ResponseField::Status => head.status != 0 && number(u64::from(head.status), out),
        ResponseField::Field(name) => text_of(head.fields.get_named(name), out),
    };
    write(name) || fallback.is_some_and(write)
}

fn path<'a>(cx: &FormatContext<'a>, original: Original) -> Option<&'a [u8]> {
    let head = cx.request?;
    let sent = || head.fields.known(Known::XEnvoyOriginalPath);
    let current = || Some(head.path()).filter(|path| !path.is_empty());
    match original {
        Original::OrPath => sent().or_else(current),
        Original::Never => current(),
        Original::Only => sent(),
    }
}

/// Size of the request head as Envoy counts it.
fn request_bytes(cx: &FormatContext<'_>) -> u64 {
    cx.request.map_or(0, |head| head.byte_size() as u64)
}

/// As [`request_bytes`], `:status` and its three digits included.
fn response_bytes(cx: &FormatContext<'_>) -> u64 {
    let size = |head: &ResponseHead| (":status".len() + 3 + head.fields.byte_size()) as u64;
    cx.response.map_or(0, size)
}

/// Details are one word in a line of words, unless blanks are asked for.
fn details(cx: &FormatContext<'_>, keep_blanks: bool, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    if !non_empty(cx.info.details.as_bytes(), out) {
        return false;
    }
    if !keep_blanks {
        join_words(&mut out[start..]);
    }
    true
}

/// A reason in a line of words.
fn one_word(reason: Option<&str>, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let some = non_empty(reason.unwrap_or_default().as_bytes(), out);
    join_words(&mut out[start..]);
    some
}

fn join_words(text: &mut [u8]) {
    for byte in text {
        if byte.is_ascii_whitespace() {
            *byte = b'_';
        }
    }
}

fn server_name(cx: &FormatContext<'_>, which: ServerName, out: &mut Vec<u8>) -> bool {
    let preamble = cx.connection.preamble.as_deref();
    let sni = preamble.map_or(&[][..], |preamble| preamble.server_name.as_bytes());
    let host = cx.request.map(|head| head.authority()).unwrap_or_default();
    match which {
        ServerName::Sni => non_empty(sni, out),
        ServerName::SniFirst => non_empty(sni, out) || non_empty(host, out),
        ServerName::HostFirst => non_empty(host, out) || non_empty(sni, out),
    }
}

fn without_query(path: &[u8]) -> &[u8] {
    let end = path.iter().position(|byte| *byte == b'?');
    &path[..end.unwrap_or(path.len())]
}

pub(super) fn text_of(value: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
    let Some(value) = value else { return false };
    out.extend_from_slice(value);
    true
}

fn non_empty(value: &[u8], out: &mut Vec<u8>) -> bool {
    text_of(Some(value).filter(|value| !value.is_empty()), out)
}

/// Flags joined by commas; `-` for none is the value itself, in JSON too.
fn flags(names: impl Iterator<Item = &'static str>, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    for name in names {
        if out.len() > start {
            out.push(b',');
        }
        out.extend_from_slice(name.as_bytes());
    }
    if out.len() == start {
        out.push(b'-');
    }
    true
}

/// Decimal digits, without the formatting machinery: it is in every line many times.
pub(super) fn number(value: u64, out: &mut Vec<u8>) -> bool {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
    true
}

/// An IP address without its port.
pub(super) fn ip(address: IpAddr, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{address}");
}
