//! HTTP/2, upgrades and tunnels: what their fields become, and what holds without them.

use std::time::Duration;

use ringway_http::h1::Underscores;
use ringway_http::{RequestHead, h2};
use ringway_model::cluster::{ClusterPolicy, UpstreamProtocol};
use ringway_model::http::{Codec, H2Keepalive};
use ringway_model::route::{Action, Forward, Found, GrpcDeadline};

use super::*;

fn policy(fields: &str) -> Arc<ClusterPolicy> {
    let draft = compiler().draft(&bootstrap(&[], &[cluster("c", fields, &["127.0.0.1:80"])]));
    let mut clusters = draft.snapshot.clusters.iter().flatten();
    Arc::clone(&clusters.next().expect("a cluster").policy)
}

fn typed(options: &str) -> Arc<ClusterPolicy> {
    let name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    policy(&format!(
        "typed_extension_protocol_options: {{{name}: {{'@type': type.googleapis.com/{name}, \
         {options}}}}}"
    ))
}

fn compiled(manager_fields: &str, routes: &str) -> Arc<ConnectionManager> {
    let clusters = [cluster("c", "", &["127.0.0.1:80"])];
    manager(&compiler().draft(&bootstrap(&[listener("l", manager_fields, routes)], &clusters)))
}

/// The route of a request with this method and this path.
fn forward<'a>(manager: &'a ConnectionManager, method: &str, path: &str) -> Option<&'a Forward> {
    let mut head = RequestHead::new();
    head.set_method(method.as_bytes());
    head.set_path(path.as_bytes());
    head.set_authority(b"a:1");
    match manager.routes.find(&head, false, 0) {
        Found::Route(found) => match &found.route.action {
            Action::Forward(forward) => Some(forward),
            other => panic!("{other:?}"),
        },
        _ => None,
    }
}

#[test]
fn without_options_both_sides_have_the_defaults_of_envoy() {
    let manager = compiled("", "");
    assert_eq!((manager.codec, &manager.h2), (Codec::Auto, &h2::Options::default()));
    assert_eq!(manager.h2_keepalive, H2Keepalive::default());
    let policy = policy("");
    assert_eq!((policy.protocol, &policy.h2), (UpstreamProtocol::Http1, &h2::Options::default()));
}

#[test]
fn the_settings_arrive() {
    let manager = compiled(
        "codec_type: HTTP2, http2_protocol_options: {hpack_table_size: 1, max_concurrent_streams: \
         2, initial_stream_window_size: 65536, initial_connection_window_size: 65537, \
         allow_connect: true, enable_huffman_encoding: false}",
        "",
    );
    let settings = h2::Settings {
        header_table_size: 1,
        max_concurrent_streams: 2,
        initial_stream_window: 65536,
        initial_connection_window: 65537,
        allow_connect: true,
    };
    assert_eq!((manager.codec, manager.h2.settings), (Codec::Http2, settings));
    assert!(!manager.h2.use_huffman);
}

#[test]
fn the_limits_arrive() {
    let manager = compiled(
        "max_request_headers_kb: 96, common_http_protocol_options: {max_headers_count: 5, \
         headers_with_underscores_action: REJECT_REQUEST}, http2_protocol_options: \
         {max_outbound_frames: 6, max_outbound_control_frames: 7, \
         max_consecutive_inbound_frames_with_empty_payload: 0, \
         max_inbound_priority_frames_per_stream: 9, \
         max_inbound_window_update_frames_per_data_frame_sent: 10, max_header_field_size_kb: 90, \
         stream_reset_burst: 11, stream_reset_rate: 12}",
        "",
    );
    let limits = h2::Limits {
        max_head_bytes: 96 * 1024,
        max_fields: 5,
        max_field_bytes: 90 * 1024,
        max_outbound_frames: 6,
        max_outbound_control_frames: 7,
        max_consecutive_empty_frames: 0,
        max_priority_frames_per_stream: 9,
        max_window_updates_per_data_frame: 10,
        stream_reset_burst: 11,
        stream_reset_rate: 12,
        ..h2::Limits::default()
    };
    assert_eq!((manager.h2.limits, manager.h2.underscores), (limits, Underscores::Reject));
    assert_eq!(manager.h1.max_head_bytes, 96 * 1024);
}

#[test]
fn a_custom_setting_that_has_a_name_is_that_setting() {
    let manager = compiled(
        "http2_protocol_options: {custom_settings_parameters: [{identifier: 1, value: 5}, \
         {identifier: 2, value: 0}, {identifier: 3, value: 6}, {identifier: 4, value: 70000}]}",
        "",
    );
    let settings = manager.h2.settings;
    assert_eq!((settings.header_table_size, settings.max_concurrent_streams), (5, 6));
    assert_eq!(settings.initial_stream_window, 70000);
}

#[test]
fn keepalive_is_split_between_the_engine_and_its_caller() {
    let of = |fields: &str| {
        let fields = format!("http2_protocol_options: {{connection_keepalive: {{{fields}}}}}");
        let manager = compiled(&fields, "");
        (manager.h2.keepalive.unwrap(), manager.h2_keepalive)
    };
    let (pings, rest) = of("interval: 0.5s, timeout: 2s");
    assert_eq!(pings, h2::Keepalive { interval_ms: Some(500), timeout_ms: 2000 });
    assert_eq!(rest, H2Keepalive { interval_jitter_percent: 15, idle_interval: None });
    let (pings, rest) =
        of("timeout: 1s, interval_jitter: {value: 0}, connection_idle_interval: 3s");
    assert_eq!(pings, h2::Keepalive { interval_ms: None, timeout_ms: 1000 });
    let idle_interval = Some(Duration::from_secs(3));
    assert_eq!(rest, H2Keepalive { interval_jitter_percent: 0, idle_interval });
}

#[test]
fn the_most_specific_word_on_stream_errors_counts() {
    let of = |fields: &str| compiled(fields, "").h2.stream_error_on_invalid_message;
    let (older, newer) =
        ("stream_error_on_invalid_http_messaging", "override_stream_error_on_invalid_http_message");
    assert!(!of(""));
    assert!(of("stream_error_on_invalid_http_message: true"));
    assert!(of(&format!("http2_protocol_options: {{{older}: true}}")));
    assert!(!of(&format!(
        "stream_error_on_invalid_http_message: false, http2_protocol_options: {{{older}: true}}"
    )));
    assert!(!of(&format!(
        "stream_error_on_invalid_http_message: true, http2_protocol_options: {{{newer}: false}}"
    )));
}

#[test]
fn a_cluster_says_which_http_it_speaks() {
    let cases = [
        (policy("http2_protocol_options: {}"), UpstreamProtocol::Http2),
        (policy("http_protocol_options: {}"), UpstreamProtocol::Http1),
        (policy("protocol_selection: USE_DOWNSTREAM_PROTOCOL"), UpstreamProtocol::Downstream),
        (typed("explicit_http_config: {http2_protocol_options: {}}"), UpstreamProtocol::Http2),
        (typed("use_downstream_protocol_config: {}"), UpstreamProtocol::Downstream),
    ];
    for (policy, protocol) in cases {
        assert_eq!(policy.protocol, protocol);
    }
}

#[test]
fn the_limits_of_responses_hold_for_http2_too() {
    let policy = typed(
        "common_http_protocol_options: {max_response_headers_kb: 70, max_headers_count: 9}, \
         explicit_http_config: {http2_protocol_options: {max_concurrent_streams: 3}}",
    );
    let limits = policy.h2.limits;
    assert_eq!((limits.max_head_bytes, limits.max_fields), (70 * 1024, 9));
    assert_eq!(policy.h2.settings.max_concurrent_streams, 3);
    assert_eq!(policy.max_response_head_bytes, 70 * 1024);
}

#[test]
fn a_route_may_allow_an_upgrade_and_forbid_it() {
    let manager = compiled(
        "upgrade_configs: [{upgrade_type: websocket}, {upgrade_type: foo, enabled: false}]",
        "{match: {path: /no}, route: {cluster: c, upgrade_configs: [{upgrade_type: WebSocket, \
         enabled: false}]}}, {match: {path: /yes}, route: {cluster: c, upgrade_configs: \
         [{upgrade_type: foo}]}}, {match: {prefix: /}, route: {cluster: c}}",
    );
    let allows =
        |kind: &str, path| manager.allows_upgrade(kind.as_bytes(), forward(&manager, "GET", path));
    assert!(allows("WEBSOCKET", "/") && !allows("websocket", "/no") && allows("websocket", "/yes"));
    assert!(!allows("foo", "/") && allows("FOO", "/yes") && !allows("bar", "/yes"));
    assert!(manager.allows_upgrade(b"websocket", None) && !manager.allows_upgrade(b"foo", None));
}

#[test]
fn tunnels_have_routes_of_their_own() {
    let manager = compiled(
        "upgrade_configs: [{upgrade_type: CONNECT}]",
        "{match: {prefix: ''}, route: {cluster: c}}, {match: {connect_matcher: {}}, route: \
         {cluster: c, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]}}",
    );
    assert!(forward(&manager, "CONNECT", "").unwrap().connect_end().is_some());
    assert!(forward(&manager, "GET", "/").unwrap().connect_end().is_none());
}

#[test]
fn a_limit_on_streams_takes_the_place_of_the_timeout() {
    let of = |fields: &str| {
        let routes = format!("{{match: {{prefix: /}}, route: {{cluster: c, {fields}}}}}");
        let manager = compiled("", &routes);
        let forward = forward(&manager, "GET", "/").unwrap();
        (forward.timeout, forward.limits_streams, forward.grpc_stream, forward.grpc_response)
    };
    let (second, tenth) = (Duration::from_secs(1), Duration::from_millis(100));
    assert_eq!(of("timeout: 1s"), (Some(second), false, None, None));
    assert_eq!(of("timeout: 1s, max_stream_duration: {}"), (None, true, None, None));
    let deadline = |max, offset| Some(GrpcDeadline { max, offset });
    assert_eq!(
        of("max_stream_duration: {grpc_timeout_header_max: 1s, grpc_timeout_header_offset: 0.1s}"),
        (None, true, deadline(Some(second), tenth), None)
    );
    let default = Some(Duration::from_secs(15));
    assert_eq!(
        of("max_grpc_timeout: 0s, grpc_timeout_offset: 0.1s"),
        (default, false, None, deadline(None, tenth))
    );
    let both = of("max_grpc_timeout: 1s, max_stream_duration: {grpc_timeout_header_max: 0s}");
    assert_eq!(both, (None, true, deadline(None, Duration::ZERO), None));
}
