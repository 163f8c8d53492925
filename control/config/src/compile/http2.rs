//! `core.v3.Http2ProtocolOptions`, which both sides of the proxy know.

use std::time::Duration;

use ringway_http::h1::Underscores;
use ringway_http::h2;
use ringway_model::http::H2Keepalive;

use super::at::At;
use super::proto::{core, google};
use super::value::{duration, or_bool, or_u32};

/// `interval_jitter`, in percents.
const INTERVAL_JITTER: f64 = 15.0;

/// What HTTP/2 shares with the other protocols.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    /// `max_request_headers_kb` or `max_response_headers_kb`.
    pub(super) max_kib: u32,
    /// The name of that field, if one field may not exceed it; as in Envoy, a cluster without it
    /// is not checked.
    pub(super) max_kib_field: Option<&'static str>,
    /// `max_headers_count`.
    pub(super) max_fields: usize,
    pub(super) underscores: Underscores,
    /// `stream_error_on_invalid_http_message` of the connection manager, if it is set.
    pub(super) stream_error: Option<bool>,
}

/// The options of the engine, and those of whoever drives it.
#[derive(Debug, Default)]
pub(super) struct Http2 {
    pub(super) options: h2::Options,
    pub(super) keepalive: H2Keepalive,
}

pub(super) fn options(
    at: &At<'_>,
    options: Option<&core::Http2ProtocolOptions>,
    heads: Heads,
) -> Option<Http2> {
    let empty = core::Http2ProtocolOptions::default();
    let options = options.unwrap_or(&empty);
    let settings = settings(at, options);
    let limits = limits(at, options, heads);
    let at_keepalive = at.field("connection_keepalive");
    let keepalive = options.connection_keepalive.as_ref();
    let timing = keepalive.map(|keepalive| timing(&at_keepalive, keepalive));
    let keepalive = keepalive.and_then(|keepalive| pings(&at_keepalive, keepalive));
    let options = h2::Options {
        settings: settings?,
        limits: limits?,
        keepalive,
        underscores: heads.underscores,
        stream_error_on_invalid_message: stream_error(options, heads.stream_error),
        use_huffman: or_bool(options.enable_huffman_encoding, true),
    };
    Some(Http2 { options, keepalive: timing.unwrap_or_default() })
}

/// The override goes first, then the connection manager, then the older field.
fn stream_error(options: &core::Http2ProtocolOptions, manager: Option<bool>) -> bool {
    let override_ = options.override_stream_error_on_invalid_http_message;
    override_
        .map(|wrapper| wrapper.value)
        .or(manager)
        .unwrap_or(options.stream_error_on_invalid_http_messaging)
}

fn settings(at: &At<'_>, options: &core::Http2ProtocolOptions) -> Option<h2::Settings> {
    let default = h2::Settings::default();
    let mut settings = h2::Settings {
        header_table_size: or_u32(options.hpack_table_size, default.header_table_size),
        max_concurrent_streams: or_u32(
            options.max_concurrent_streams,
            default.max_concurrent_streams,
        ),
        initial_stream_window: or_u32(
            options.initial_stream_window_size,
            default.initial_stream_window,
        ),
        initial_connection_window: or_u32(
            options.initial_connection_window_size,
            default.initial_connection_window,
        ),
        allow_connect: options.allow_connect,
    };
    custom_settings(&at.field("custom_settings_parameters"), options, &mut settings)
        .then_some(settings)
}

/// `custom_settings_parameters`: those that have a name elsewhere are taken as that; any other
/// would be sent without a meaning.
fn custom_settings(
    at: &At<'_>,
    options: &core::Http2ProtocolOptions,
    settings: &mut h2::Settings,
) -> bool {
    let mut whole = true;
    let mut seen: Vec<(u32, u32)> = Vec::new();
    for (index, parameter) in options.custom_settings_parameters.iter().enumerate() {
        let at = at.index(index);
        // The API's own rules hold that both are there.
        let number = |value: Option<google::UInt32Value>| or_u32(value, 0);
        let one = (number(parameter.identifier), number(parameter.value));
        if seen.iter().any(|before| before.0 == one.0 && before.1 != one.1) {
            at.invalid(format_args!(
                "inconsistent HTTP/2 custom SETTINGS parameter(s) detected; identifiers = \
                 {{{:#04x}}}",
                one.0
            ));
            whole = false;
        }
        seen.push(one);
        whole &= custom_setting(&at, options, one, settings);
    }
    whole
}

/// RFC 9113 section 6.5.2 and RFC 8441 section 3 number the settings.
fn custom_setting(
    at: &At<'_>,
    options: &core::Http2ProtocolOptions,
    (identifier, value): (u32, u32),
    settings: &mut h2::Settings,
) -> bool {
    let (place, named, name) = match identifier {
        0x1 => (
            &mut settings.header_table_size,
            options.hpack_table_size.is_some(),
            "hpack_table_size",
        ),
        0x2 if value == 0 => return true,
        0x2 => {
            at.invalid(
                "server push is not supported by Envoy and can not be enabled via a SETTINGS \
                 parameter.",
            );
            return false;
        }
        0x3 => (
            &mut settings.max_concurrent_streams,
            options.max_concurrent_streams.is_some(),
            "max_concurrent_streams",
        ),
        0x4 if (65_535..1 << 31).contains(&value) => (
            &mut settings.initial_stream_window,
            options.initial_stream_window_size.is_some(),
            "initial_stream_window_size",
        ),
        0x8 => {
            at.invalid(
                "the \"allow_connect\" SETTINGS parameter must only be configured through the \
                 named field",
            );
            return false;
        }
        _ => {
            at.unsupported(format_args!("the SETTINGS parameter {identifier:#x} = {value}"));
            return false;
        }
    };
    if named {
        at.invalid(format_args!(
            "the {{{name}}} HTTP/2 SETTINGS parameter(s) can not be configured through both named \
             and custom parameters"
        ));
        return false;
    }
    *place = value;
    true
}

fn limits(at: &At<'_>, options: &core::Http2ProtocolOptions, heads: Heads) -> Option<h2::Limits> {
    let default = h2::Limits::default();
    let long = |value: Option<google::UInt32Value>, default: u64| {
        value.map_or(default, |wrapper| u64::from(wrapper.value))
    };
    let rate = |value: Option<google::UInt64Value>, default| {
        value.map_or(default, |wrapper| wrapper.value)
    };
    Some(h2::Limits {
        max_head_bytes: heads.max_kib as usize * 1024,
        max_fields: heads.max_fields,
        max_field_bytes: max_field_bytes(at, options, heads)?,
        max_outbound_frames: or_u32(options.max_outbound_frames, default.max_outbound_frames),
        max_outbound_control_frames: or_u32(
            options.max_outbound_control_frames,
            default.max_outbound_control_frames,
        ),
        max_consecutive_empty_frames: or_u32(
            options.max_consecutive_inbound_frames_with_empty_payload,
            default.max_consecutive_empty_frames,
        ),
        max_priority_frames_per_stream: long(
            options.max_inbound_priority_frames_per_stream,
            default.max_priority_frames_per_stream,
        ),
        max_window_updates_per_data_frame: long(
            options.max_inbound_window_update_frames_per_data_frame_sent,
            default.max_window_updates_per_data_frame,
        ),
        stream_reset_burst: rate(options.stream_reset_burst, default.stream_reset_burst),
        stream_reset_rate: rate(options.stream_reset_rate, default.stream_reset_rate),
        ..default
    })
}

/// One field must fit into a head.
fn max_field_bytes(
    at: &At<'_>,
    options: &core::Http2ProtocolOptions,
    heads: Heads,
) -> Option<usize> {
    let Some(kib) = options.max_header_field_size_kb else {
        return Some(h2::Limits::default().max_field_bytes);
    };
    match heads.max_kib_field.filter(|_| kib.value > heads.max_kib) {
        Some(field) => {
            at.field("max_header_field_size_kb")
                .invalid(format_args!("max_header_field_size_kb must not exceed {field}"));
            None
        }
        None => Some(kib.value as usize * 1024),
    }
}

/// The PINGs of the engine.
fn pings(at: &At<'_>, keepalive: &core::KeepaliveSettings) -> Option<h2::Keepalive> {
    let milliseconds = |field, value| {
        let value = duration(&at.field(field), value)?;
        // The API's own rules keep it at a millisecond and above.
        Some(u64::try_from(value.as_millis()).unwrap_or(u64::MAX).max(1))
    };
    Some(h2::Keepalive {
        interval_ms: milliseconds("interval", keepalive.interval),
        timeout_ms: milliseconds("timeout", keepalive.timeout)?,
    })
}

fn timing(at: &At<'_>, keepalive: &core::KeepaliveSettings) -> H2Keepalive {
    let jitter = keepalive.interval_jitter.map_or(INTERVAL_JITTER, |percent| percent.value);
    let idle = duration(&at.field("connection_idle_interval"), keepalive.connection_idle_interval);
    H2Keepalive {
        // The API's own rule keeps it from 0 to 100.
        interval_jitter_percent: jitter.round() as u32,
        idle_interval: idle.filter(|idle| *idle >= Duration::from_millis(1)),
    }
}
