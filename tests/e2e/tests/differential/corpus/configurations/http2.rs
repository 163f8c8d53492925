//! HTTP/2, upgrades, tunnels and gRPC timeouts.

use super::{action, cluster, manager, route};

/// The numbers of HTTP/2, on the downstream side.
fn options(options: &str) -> String {
    manager(&format!("http2_protocol_options: {{ {options} }}\nroute_config: {{}}"))
}

fn custom(parameters: &str) -> String {
    options(&format!("custom_settings_parameters: [{parameters}]"))
}

fn keepalive(fields: &str) -> String {
    options(&format!("connection_keepalive: {{ {fields} }}"))
}

/// A cluster with these protocol options.
fn protocol(options: &str) -> String {
    let name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    cluster(&format!(
        "name: c, typed_extension_protocol_options: {{ {name}: {{ '@type': \
         type.googleapis.com/{name}, {options} }} }}"
    ))
}

fn upgrades(configs: &str) -> String {
    manager(&format!("upgrade_configs: [{configs}]\nroute_config: {{}}"))
}

fn of_route(fields: &str) -> String {
    action(&format!("route: {{ cluster: a, {fields} }}"))
}

pub(super) fn codecs() -> Vec<(&'static str, String)> {
    let codec = |name: &str| manager(&format!("codec_type: {name}\nroute_config: {{}}"));
    vec![
        ("codec HTTP2", codec("HTTP2")),
        ("codec HTTP3", codec("HTTP3")),
        ("codec HTTP4", codec("HTTP4")),
        ("no streams", options("max_concurrent_streams: 0")),
        ("streams beyond 31 bits", options("max_concurrent_streams: 2147483648")),
        ("window below 65535", options("initial_stream_window_size: 65534")),
        ("connection window below 65535", options("initial_connection_window_size: 1000")),
        ("no outbound frames", options("max_outbound_frames: 0")),
        ("no empty frames", options("max_consecutive_inbound_frames_with_empty_payload: 0")),
        ("field of 64 KiB in a head of 60", options("max_header_field_size_kb: 64")),
        ("field of 63 KiB", options("max_header_field_size_kb: 63")),
        ("metadata", options("allow_metadata: true")),
        ("custom header table", custom("{ identifier: 1, value: 0 }")),
        ("custom push", custom("{ identifier: 2, value: 1 }")),
        ("custom push off", custom("{ identifier: 2, value: 0 }")),
        ("custom connect", custom("{ identifier: 8, value: 1 }")),
        ("custom without value", custom("{ identifier: 3 }")),
        ("custom beyond 16 bits", custom("{ identifier: 65536, value: 1 }")),
        ("custom twice", custom("{ identifier: 3, value: 1 }, { identifier: 3, value: 1 }")),
        ("custom and other", custom("{ identifier: 3, value: 1 }, { identifier: 3, value: 2 }")),
        (
            "custom and named",
            options(
                "max_concurrent_streams: 5, custom_settings_parameters: \
                 [{ identifier: 3, value: 5 }]",
            ),
        ),
        ("keepalive", keepalive("interval: 1s, timeout: 1s")),
        ("keepalive without timeout", keepalive("interval: 1s")),
        ("keepalive without interval", keepalive("timeout: 1s")),
        ("keepalive of nothing", keepalive("interval: 0s, timeout: 1s")),
        ("jitter of 101 percent", keepalive("timeout: 1s, interval_jitter: { value: 101 }")),
        ("cluster HTTP/2", cluster("name: c, http2_protocol_options: {}")),
        (
            "cluster of both",
            cluster("name: c, http_protocol_options: {}, http2_protocol_options: {}"),
        ),
        (
            "cluster that follows",
            cluster(
                "name: c, protocol_selection: USE_DOWNSTREAM_PROTOCOL, http_protocol_options: \
                 {}, http2_protocol_options: {}",
            ),
        ),
        ("typed HTTP/2", protocol("explicit_http_config: { http2_protocol_options: {} }")),
        ("typed HTTP/3", protocol("explicit_http_config: { http3_protocol_options: {} }")),
        ("typed nothing", protocol("explicit_http_config: {}")),
        ("typed follows", protocol("use_downstream_protocol_config: {}")),
        ("typed auto without TLS", protocol("auto_config: {}")),
        ("typed without a choice", protocol("common_http_protocol_options: {}")),
        (
            "field of 90 KiB in a response head of 80",
            protocol(
                "common_http_protocol_options: { max_response_headers_kb: 80 }, \
                 explicit_http_config: { http2_protocol_options: { max_header_field_size_kb: 90 } }",
            ),
        ),
        (
            "field of 90 KiB in any response head",
            protocol(
                "explicit_http_config: { http2_protocol_options: { max_header_field_size_kb: 90 } }",
            ),
        ),
    ]
}

pub(super) fn tunnels() -> Vec<(&'static str, String)> {
    let connect = |fields: &str| route("connect_matcher: {}", fields);
    vec![
        ("upgrade", upgrades("{ upgrade_type: websocket }")),
        ("upgrade without type", upgrades("{ enabled: false }")),
        (
            "upgrade twice",
            upgrades("{ upgrade_type: websocket }, { upgrade_type: WebSocket, enabled: false }"),
        ),
        ("route upgrade", of_route("upgrade_configs: [{ upgrade_type: websocket }]")),
        ("route upgrade without type", of_route("upgrade_configs: [{ enabled: true }]")),
        (
            "route upgrade twice",
            of_route("upgrade_configs: [{ upgrade_type: x }, { upgrade_type: X }]"),
        ),
        (
            "connect_config of another upgrade",
            of_route("upgrade_configs: [{ upgrade_type: websocket, connect_config: {} }]"),
        ),
        (
            "connect_config",
            connect(
                "route: { cluster: a, upgrade_configs: [{ upgrade_type: connect, \
                 connect_config: {} }] }",
            ),
        ),
        ("connect to a redirect", connect("redirect: {}")),
        ("connect with a rewrite", connect("route: { cluster: a, prefix_rewrite: /x }")),
    ]
}
