//! From format strings to segments.

use std::sync::OnceLock;

use ringway_http::FieldName;

use super::address::Part;
use super::call_status::Spelling;
use super::moment::{Between, Wrong};
use super::operator::{Operator, Original, ResponseField, ServerName, Source, Span, Wire};
use super::time::TimeFormat;
use super::tls::{self, Side, TlsValue};
use super::{FormatError, FormatProblem, Segment};
use crate::route::RequestField;

/// An operator as it stands in the text: `%NAME(arguments):limit%`.
struct Raw<'a> {
    name: &'a str,
    arguments: Option<&'a str>,
    limit: Option<usize>,
}

/// Reads a format string.
pub(super) fn segments(source: &str) -> Result<Vec<Segment>, FormatError> {
    let mut segments = Vec::new();
    let mut literal = Vec::new();
    let mut at = 0;
    while let Some(percent) = source[at..].find('%').map(|offset| at + offset) {
        literal.extend_from_slice(&source.as_bytes()[at..percent]);
        if source[percent + 1..].starts_with('%') {
            literal.push(b'%');
            at = percent + 2;
            continue;
        }
        flush(&mut literal, &mut segments);
        let wrong = |problem| FormatError { position: percent, problem };
        let (raw, length) = raw_operator(&source[percent + 1..]).map_err(wrong)?;
        segments.push(Segment::Value(operator(&raw).map_err(wrong)?));
        at = percent + 1 + length;
    }
    literal.extend_from_slice(&source.as_bytes()[at..]);
    flush(&mut literal, &mut segments);
    Ok(segments)
}

fn flush(literal: &mut Vec<u8>, segments: &mut Vec<Segment>) {
    if !literal.is_empty() {
        segments.push(Segment::Literal(std::mem::take(literal).into_boxed_slice()));
    }
}

/// Splits off the operator that `text` begins with (behind its `%`), with its length in bytes,
/// the closing `%` included.
fn raw_operator(text: &str) -> Result<(Raw<'_>, usize), FormatProblem> {
    let is_name = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    let name_end = text.bytes().take_while(is_name).count();
    let (name, mut rest) = text.split_at(name_end);
    if name.is_empty() {
        return Err(FormatProblem::NotAnOperator);
    }
    let unclosed = || FormatProblem::Unclosed(name.to_owned());
    let mut arguments = None;
    if let Some(inside) = rest.strip_prefix('(') {
        let end = end_of_arguments(inside).ok_or_else(unclosed)?;
        arguments = Some(&inside[..end]);
        rest = &inside[end + 1..];
    }
    let mut limit = None;
    if let Some(digits) = rest.strip_prefix(':') {
        let end = digits.find('%').ok_or_else(unclosed)?;
        let parsed = digits[..end].parse().map_err(|_| FormatProblem::Arguments {
            operator: name.to_owned(),
            message: format!("\"{}\" is not a length", &digits[..end]),
        })?;
        limit = Some(parsed);
        rest = &digits[end..];
    }
    let behind = rest.strip_prefix('%').ok_or_else(unclosed)?;
    Ok((Raw { name, arguments, limit }, text.len() - behind.len()))
}

/// Arguments end at a `)` that is followed by the operator's end: a time format may hold `)`.
fn end_of_arguments(inside: &str) -> Option<usize> {
    let ends = |at: &usize| matches!(inside.as_bytes().get(at + 1), Some(b'%' | b':'));
    inside.match_indices(')').map(|(at, _)| at).find(ends)
}

impl Raw<'_> {
    fn wrong(&self, message: impl Into<String>) -> FormatProblem {
        FormatProblem::Arguments { operator: self.name.to_owned(), message: message.into() }
    }

    fn required(&self) -> Result<&str, FormatProblem> {
        let arguments = self.arguments.filter(|arguments| !arguments.is_empty());
        arguments.ok_or_else(|| self.wrong("arguments in parentheses are required"))
    }

    /// The operator's source, if it was written without arguments.
    fn plain(&self, source: Source) -> Result<Source, FormatProblem> {
        match self.arguments {
            None | Some("") => Ok(source),
            Some(_) => Err(self.wrong("takes no arguments")),
        }
    }
}

/// The operators that take a length, as in Envoy.
const WITH_LENGTH: [&str; 13] = [
    "REQ",
    "REQUEST_HEADER",
    "REQ_WITHOUT_QUERY",
    "RESP",
    "RESPONSE_HEADER",
    "TRAILER",
    "RESPONSE_TRAILER",
    "PATH",
    "QUERY_PARAM",
    "QUERY_PARAMS",
    "ENVIRONMENT",
    "DYNAMIC_METADATA",
    "FILTER_STATE",
];

fn operator(raw: &Raw<'_>) -> Result<Operator, FormatProblem> {
    let source = match with_arguments(raw)? {
        Some(source) => source,
        None => match without_arguments(raw.name) {
            Some(source) => raw.plain(source)?,
            None => return Err(FormatProblem::Unsupported(raw.name.to_owned())),
        },
    };
    if raw.limit.is_some() && !WITH_LENGTH.contains(&raw.name) {
        return Err(raw.wrong("takes no length"));
    }
    Ok(Operator { source, limit: raw.limit })
}

/// `NAMESPACE:KEY`. Only listener filters write metadata so far, and they write texts, so that a
/// path into a value leads nowhere.
fn metadata(raw: &Raw<'_>) -> Result<Source, FormatProblem> {
    let (namespace, key) = raw.required()?.split_once(':').unwrap_or_default();
    if namespace.is_empty() || key.is_empty() || key.contains(':') {
        return Err(raw.wrong("takes a namespace and one key, with a colon between them"));
    }
    Ok(Source::Metadata { namespace: namespace.into(), key: key.into() })
}

/// `KEY[:TYPED|PLAIN|FIELD:...]`. Nothing but the TCP proxy writes such state so far; its two
/// objects have no text of their own, so that `PLAIN` gives the JSON of `TYPED` as a text.
fn filter_state(raw: &Raw<'_>) -> Result<Source, FormatProblem> {
    let (key, form) = raw.required()?.split_once(':').unwrap_or((raw.required()?, "TYPED"));
    let typed = match form {
        "TYPED" => true,
        "PLAIN" => false,
        _ => return Err(FormatProblem::Unsupported(format!("FILTER_STATE({key}:{form})"))),
    };
    match key {
        "envoy.tcp_proxy.propagate_response_headers" => Ok(Source::TunnelHead { typed }),
        "envoy.tcp_proxy.propagate_response_trailers" => Ok(Source::TunnelTrailers { typed }),
        _ => Err(FormatProblem::Unsupported(format!("FILTER_STATE({key})"))),
    }
}

/// Operators that take arguments; `None` for any other.
fn with_arguments(raw: &Raw<'_>) -> Result<Option<Source>, FormatProblem> {
    Ok(Some(match raw.name {
        "START_TIME" => Source::StartTime(time_format(raw)?),
        "EMIT_TIME" => Source::EmitTime(time_format(raw)?),
        "COMMON_DURATION" => between(raw)?,
        "GRPC_STATUS" => Source::CallStatus(match raw.arguments.unwrap_or_default() {
            "" | "CAMEL_STRING" => Spelling::Camel,
            "SNAKE_STRING" => Spelling::Snake,
            "NUMBER" => Spelling::Number,
            other => {
                return Err(raw.wrong(format!(
                    "GrpcStatusFormatter only supports CAMEL_STRING, SNAKE_STRING or NUMBER. Got: \
                     {other}"
                )));
            }
        }),
        "REQ" | "REQUEST_HEADER" => {
            let (name, fallback) = two_names(raw, request_field)?;
            Source::Request { name, fallback }
        }
        "REQ_WITHOUT_QUERY" => {
            let (name, fallback) = two_names(raw, request_field)?;
            Source::RequestWithoutQuery { name, fallback }
        }
        "RESP" | "RESPONSE_HEADER" => {
            let (name, fallback) = two_names(raw, response_field)?;
            Source::Response { name, fallback }
        }
        "TRAILER" | "RESPONSE_TRAILER" => {
            let (name, fallback) = two_names(raw, FieldName::new)?;
            Source::Trailer { name, fallback }
        }
        "PATH" => path(raw)?,
        "QUERY_PARAM" => Source::QueryParameter(raw.required()?.as_bytes().into()),
        "ENVIRONMENT" => environment(raw)?,
        "DYNAMIC_METADATA" => metadata(raw)?,
        "FILTER_STATE" => filter_state(raw)?,
        "RESPONSE_CODE_DETAILS" => match raw.arguments.unwrap_or_default() {
            "" => Source::ResponseCodeDetails { keep_blanks: false },
            "ALLOW_WHITESPACES" => Source::ResponseCodeDetails { keep_blanks: true },
            _ => return Err(raw.wrong("takes ALLOW_WHITESPACES or nothing")),
        },
        "DOWNSTREAM_PEER_CERT_V_START" | "UPSTREAM_PEER_CERT_V_START" => {
            sided(raw.name, TlsValue::PeerStart(time_format(raw)?))
        }
        "DOWNSTREAM_PEER_CERT_V_END" | "UPSTREAM_PEER_CERT_V_END" => {
            sided(raw.name, TlsValue::PeerEnd(time_format(raw)?))
        }
        "REQUESTED_SERVER_NAME" => {
            Source::RequestedServerName(match raw.arguments.unwrap_or_default() {
                "" | "SNI_ONLY" => ServerName::Sni,
                "SNI_FIRST" => ServerName::SniFirst,
                "HOST_FIRST" => ServerName::HostFirst,
                _ => return Err(raw.wrong("takes SNI_ONLY, SNI_FIRST, HOST_FIRST or nothing")),
            })
        }
        name if name.ends_with("_WITHOUT_PORT") => return without_port(raw),
        _ => return Ok(None),
    }))
}

fn time_format(raw: &Raw<'_>) -> Result<TimeFormat, FormatProblem> {
    match raw.arguments {
        None | Some("") => Ok(TimeFormat::Iso),
        Some(format) => TimeFormat::parse(format).map_err(|message| raw.wrong(message)),
    }
}

/// The value of the side that the operator's name begins with.
fn sided(name: &str, value: TlsValue) -> Source {
    match name.starts_with("UPSTREAM_") {
        true => Source::UpstreamTls(value),
        false => Source::DownstreamTls(value),
    }
}

fn between(raw: &Raw<'_>) -> Result<Source, FormatProblem> {
    Between::parse(raw.required()?).map(Source::Between).map_err(|wrong| match wrong {
        Wrong::Form => raw.wrong("takes two moments and ms, us or ns, with colons between them"),
        Wrong::Moment(name) => FormatProblem::Unsupported(format!("COMMON_DURATION({name})")),
    })
}

/// What TLS knows of a side.
fn of_tls(name: &str) -> Option<Source> {
    let downstream = name.strip_prefix("DOWNSTREAM_").map(|rest| (Side::Downstream, rest));
    let side = downstream.or(name.strip_prefix("UPSTREAM_").map(|rest| (Side::Upstream, rest)));
    let (side, rest) = side?;
    Some(sided(name, tls::value(side, rest)?))
}

fn without_arguments(name: &str) -> Option<Source> {
    Some(match name {
        "PROTOCOL" => Source::Protocol,
        "RESPONSE_CODE" => Source::ResponseCode,
        "RESPONSE_FLAGS" => Source::ResponseFlags,
        "RESPONSE_FLAGS_LONG" => Source::ResponseFlagsLong,
        "BYTES_RECEIVED" => Source::BytesReceived,
        "BYTES_SENT" => Source::BytesSent,
        "DURATION" => Source::Duration(Span::Whole),
        "REQUEST_DURATION" => Source::Duration(Span::Request),
        "RESPONSE_DURATION" => Source::Duration(Span::Response),
        "RESPONSE_TX_DURATION" => Source::Duration(Span::ResponseTx),
        "UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW" => Source::UpstreamCluster,
        "UPSTREAM_REQUEST_ATTEMPT_COUNT" => Source::UpstreamAttempts,
        "UPSTREAM_TRANSPORT_FAILURE_REASON" => Source::UpstreamTransportFailure,
        "CONNECTION_TERMINATION_DETAILS" => Source::ConnectionTermination,
        "CONNECTION_ID" => Source::ConnectionId,
        "DOWNSTREAM_WIRE_BYTES_RECEIVED" => Source::WireBytes(Wire::DownstreamReceived),
        "DOWNSTREAM_WIRE_BYTES_SENT" => Source::WireBytes(Wire::DownstreamSent),
        "UPSTREAM_WIRE_BYTES_RECEIVED" => Source::WireBytes(Wire::UpstreamReceived),
        "UPSTREAM_WIRE_BYTES_SENT" => Source::WireBytes(Wire::UpstreamSent),
        "TLS_JA3_FINGERPRINT" => Source::Ja3,
        "TLS_JA4_FINGERPRINT" => Source::Ja4,
        "ROUTE_NAME" => Source::RouteName,
        "LISTENER_NAME" => Source::ListenerName,
        "LOCAL_REPLY_BODY" => Source::LocalReplyBody,
        "QUERY_PARAMS" => Source::QueryParameters,
        "REQUEST_HEADERS_BYTES" => Source::RequestHeadersBytes,
        "RESPONSE_HEADERS_BYTES" => Source::ResponseHeadersBytes,
        "RESPONSE_TRAILERS_BYTES" => Source::ResponseTrailersBytes,
        "HOSTNAME" => Source::Constant(hostname().as_bytes().into()),
        "STREAM_ID" => Source::Request { name: RequestField::new("x-request-id")?, fallback: None },
        "DOWNSTREAM_TRANSPORT_FAILURE_REASON" => Source::DownstreamTransportFailure,
        "ACCESS_LOG_TYPE" => Source::Occasion,
        "FILTER_CHAIN_NAME" => Source::ChainName,
        "GRPC_STATUS_NUMBER" => Source::CallStatus(Spelling::Number),
        "REQUEST_TX_DURATION" => Source::Duration(Span::RequestTx),
        "UNIQUE_ID" => Source::UniqueId,
        "UPSTREAM_PROTOCOL" => Source::UpstreamProtocol,
        "UPSTREAM_HOST_NAME" => Source::UpstreamName { port: true },
        "UPSTREAM_HOST_NAME_WITHOUT_PORT" => Source::UpstreamName { port: false },
        _ => return address(name).or_else(|| of_tls(name)).or_else(|| of_what_is_not_built(name)),
    })
}

/// What Envoy can tell only of things that no configuration can ask for here.
fn of_what_is_not_built(name: &str) -> Option<Source> {
    Some(match name {
        // Retransmissions and round trips are known of QUIC.
        "BYTES_RETRANSMITTED" | "PACKETS_RETRANSMITTED" => Source::Zero,
        "ROUNDTRIP_DURATION" => Source::Nothing,
        // `virtual_clusters`
        "VIRTUAL_CLUSTER_NAME" => Source::Nothing,
        // Flags of filters, and the endpoints of internal listeners: without any, an empty text.
        "CUSTOM_FLAGS"
        | "DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID"
        | "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID" => Source::Constant(Box::default()),
        _ => return None,
    })
}

fn address(name: &str) -> Option<Source> {
    Some(match name {
        "UPSTREAM_HOST" | "UPSTREAM_REMOTE_ADDRESS" => Source::UpstreamHost(Part::Whole),
        "UPSTREAM_REMOTE_PORT" => Source::UpstreamHost(Part::Port),
        "UPSTREAM_LOCAL_ADDRESS" => Source::UpstreamLocal(Part::Whole),
        "UPSTREAM_LOCAL_PORT" => Source::UpstreamLocal(Part::Port),
        "DOWNSTREAM_LOCAL_ADDRESS" => Source::DownstreamLocal(Part::Whole),
        "DOWNSTREAM_LOCAL_PORT" => Source::DownstreamLocal(Part::Port),
        "DOWNSTREAM_REMOTE_ADDRESS" => Source::DownstreamRemote(Part::Whole),
        "DOWNSTREAM_REMOTE_PORT" => Source::DownstreamRemote(Part::Port),
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => Source::DownstreamDirectRemote(Part::Whole),
        "DOWNSTREAM_DIRECT_LOCAL_ADDRESS" => Source::DownstreamDirectLocal(Part::Whole),
        "DOWNSTREAM_DIRECT_LOCAL_PORT" => Source::DownstreamDirectLocal(Part::Port),
        "DOWNSTREAM_DIRECT_REMOTE_PORT" => Source::DownstreamDirectRemote(Part::Port),
        _ => return None,
    })
}

/// `%..._WITHOUT_PORT(bits)%`: an address alone, or its network of so many bits.
fn without_port(raw: &Raw<'_>) -> Result<Option<Source>, FormatProblem> {
    let part = match raw.arguments.unwrap_or_default() {
        "" => Part::WithoutPort,
        bits => match bits.parse() {
            Ok(bits @ 0..=128) => Part::Network(bits),
            _ => return Err(raw.wrong(format!("\"{bits}\" is not a prefix length"))),
        },
    };
    Ok(Some(match raw.name {
        "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => Source::UpstreamHost(part),
        "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => Source::UpstreamLocal(part),
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => Source::DownstreamLocal(part),
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => Source::DownstreamRemote(part),
        "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT" => Source::DownstreamDirectLocal(part),
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" => Source::DownstreamDirectRemote(part),
        _ => return Ok(None),
    }))
}

/// `X` or `X?Y`: a name and the one that is read when there is no such field.
fn two_names<T>(
    raw: &Raw<'_>,
    read: impl Fn(&str) -> Option<T>,
) -> Result<(T, Option<T>), FormatProblem> {
    let (first, second) = raw
        .required()?
        .split_once('?')
        .map_or_else(|| (raw.arguments.unwrap_or_default(), ""), |(first, second)| (first, second));
    if second.contains('?') {
        return Err(raw.wrong("more than one alternative header"));
    }
    let field = |name: &str| {
        let wrong = || raw.wrong(format!("\"{name}\" is not the name of a header"));
        read(name).ok_or_else(wrong)
    };
    match (first, second) {
        ("", "") => Err(raw.wrong("the name of a header is required")),
        ("", only) | (only, "") => Ok((field(only)?, None)),
        (first, second) => Ok((field(first)?, Some(field(second)?))),
    }
}

fn request_field(name: &str) -> Option<RequestField> {
    RequestField::new(name)
}

fn response_field(name: &str) -> Option<ResponseField> {
    match name.eq_ignore_ascii_case(":status") {
        true => Some(ResponseField::Status),
        false => FieldName::new(name).map(ResponseField::Field),
    }
}

/// `%PATH(WQ|NQ:ORIG|PATH|ORIG_OR_PATH)%`: with or without the query, and which path.
fn path(raw: &Raw<'_>) -> Result<Source, FormatProblem> {
    let (query, which) = raw
        .arguments
        .unwrap_or_default()
        .split_once(':')
        .unwrap_or((raw.arguments.unwrap_or_default(), ""));
    let query = match query {
        "" | "WQ" => true,
        "NQ" => false,
        other => return Err(raw.wrong(format!("\"{other}\" is neither WQ nor NQ"))),
    };
    let original = match which {
        "" | "ORIG_OR_PATH" => Original::OrPath,
        "PATH" => Original::Never,
        "ORIG" => Original::Only,
        other => {
            return Err(raw.wrong(format!("\"{other}\" is none of ORIG, PATH, ORIG_OR_PATH")));
        }
    };
    Ok(Source::Path { query, original })
}

/// The environment does not change while the process lives: it is read once, here.
fn environment(raw: &Raw<'_>) -> Result<Source, FormatProblem> {
    let value = std::env::var(raw.required()?).unwrap_or_else(|_| "-".to_owned());
    Ok(Source::Constant(value.into_bytes().into_boxed_slice()))
}

/// The host's name, read once.
fn hostname() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        match name.trim() {
            "" => "-".to_owned(),
            name => name.to_owned(),
        }
    })
}
