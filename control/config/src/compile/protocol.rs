//! Protocol options that both sides of the proxy know (`core.v3.HttpProtocolOptions`,
//! `core.v3.Http1ProtocolOptions`), and which side a field belongs to.

use std::time::Duration;

use ringway_http::h1::Underscores;

use super::at::At;
use super::proto::core;
use super::value::{limit_of, or_bool, or_u32, timeout};

/// Whose options they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Downstream,
    Upstream,
}

/// `idle_timeout`, on both sides.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
/// `max_headers_count`.
const MAX_HEADERS: u32 = 100;
/// `max_response_headers_kb` of HTTP/1.
const MAX_RESPONSE_HEAD_KIB: u32 = 80;

/// Envoy does not say when a cluster has a field that only listeners read.
const OF_DOWNSTREAM: &str = "only the downstream side reads it";

/// `core.v3.HttpProtocolOptions`.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) idle_timeout: Option<Duration>,
    pub(super) max_connection_duration: Option<Duration>,
    pub(super) max_stream_duration: Option<Duration>,
    pub(super) max_requests_per_connection: Option<u32>,
    pub(super) max_headers: usize,
    /// Of HTTP/1.
    pub(super) max_response_head_bytes: usize,
    /// `max_response_headers_kb`, if it is set: HTTP/2 has another default.
    pub(super) max_response_head_kib: Option<u32>,
    pub(super) underscores: Underscores,
}

/// `core.v3.Http1ProtocolOptions`.
#[derive(Debug)]
pub(super) struct Http1 {
    pub(super) allow_absolute_url: bool,
    pub(super) accept_http_10: bool,
    pub(super) default_host_for_http_10: Option<Box<str>>,
    pub(super) proper_case: bool,
    pub(super) enable_trailers: bool,
    pub(super) allow_chunked_length: bool,
    pub(super) allow_custom_methods: bool,
    /// `override_stream_error_on_invalid_http_message`.
    pub(super) keep_connection_on_error: Option<bool>,
}

pub(super) fn common(
    at: &At<'_>,
    options: Option<&core::HttpProtocolOptions>,
    side: Side,
) -> Common {
    let empty = core::HttpProtocolOptions::default();
    let options = options.unwrap_or(&empty);
    check_side(at, options, side);
    let head_kib = or_u32(options.max_response_headers_kb, MAX_RESPONSE_HEAD_KIB);
    Common {
        idle_timeout: timeout(&at.field("idle_timeout"), options.idle_timeout, Some(IDLE_TIMEOUT)),
        max_connection_duration: timeout(
            &at.field("max_connection_duration"),
            options.max_connection_duration,
            None,
        ),
        max_stream_duration: timeout(
            &at.field("max_stream_duration"),
            options.max_stream_duration,
            None,
        ),
        max_requests_per_connection: limit_of(options.max_requests_per_connection),
        max_headers: or_u32(options.max_headers_count, MAX_HEADERS) as usize,
        max_response_head_bytes: head_kib as usize * 1024,
        max_response_head_kib: options.max_response_headers_kb.map(|wrapper| wrapper.value),
        underscores: underscores(options.headers_with_underscores_action),
    }
}

/// A field of the other side.
fn check_side(at: &At<'_>, options: &core::HttpProtocolOptions, side: Side) {
    match side {
        Side::Downstream if options.max_response_headers_kb.is_some() => {
            at.field("max_response_headers_kb").invalid(
                "Error: max_response_headers_kb cannot be set on http_connection_manager.",
            );
        }
        Side::Upstream if options.headers_with_underscores_action != 0 => {
            at.field("headers_with_underscores_action").no_effect(OF_DOWNSTREAM);
        }
        _ => {}
    }
}

fn underscores(number: i32) -> Underscores {
    use core::http_protocol_options::HeadersWithUnderscoresAction as Action;
    match Action::try_from(number) {
        Ok(Action::RejectRequest) => Underscores::Reject,
        Ok(Action::DropHeader) => Underscores::Drop,
        _ => Underscores::Allow,
    }
}

pub(super) fn http1(
    at: &At<'_>,
    options: Option<&core::Http1ProtocolOptions>,
    side: Side,
) -> Http1 {
    let empty = core::Http1ProtocolOptions::default();
    let options = options.unwrap_or(&empty);
    if side == Side::Upstream {
        note_downstream_fields(at, options);
    }
    let host = Some(options.default_host_for_http_10.as_str());
    Http1 {
        allow_absolute_url: or_bool(options.allow_absolute_url, true),
        accept_http_10: options.accept_http_10,
        default_host_for_http_10: host.filter(|host| !host.is_empty()).map(Box::from),
        proper_case: options.header_key_format.is_some(),
        enable_trailers: options.enable_trailers,
        allow_chunked_length: options.allow_chunked_length,
        allow_custom_methods: options.allow_custom_methods,
        keep_connection_on_error: options
            .override_stream_error_on_invalid_http_message
            .map(|wrapper| wrapper.value),
    }
}

fn note_downstream_fields(at: &At<'_>, options: &core::Http1ProtocolOptions) {
    let set = [
        ("allow_absolute_url", options.allow_absolute_url.is_some()),
        ("accept_http_10", options.accept_http_10),
        ("default_host_for_http_10", !options.default_host_for_http_10.is_empty()),
        ("allow_chunked_length", options.allow_chunked_length),
        ("allow_custom_methods", options.allow_custom_methods),
        (
            "override_stream_error_on_invalid_http_message",
            options.override_stream_error_on_invalid_http_message.is_some(),
        ),
    ];
    for (field, _) in set.into_iter().filter(|(_, is_set)| *is_set) {
        at.field(field).no_effect(OF_DOWNSTREAM);
    }
}
