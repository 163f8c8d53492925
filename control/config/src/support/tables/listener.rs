//! `envoy.config.listener.v3` and the listener filters.

use super::http::CONNECTION_MANAGER;
use super::network::{
    CONNECTION_LIMIT, DIRECT_RESPONSE, ECHO, LOCAL_RATE_LIMIT, RBAC, SNI_CLUSTER, SNI_DYNAMIC,
    TCP_PROXY,
};
use super::udp::UDP_PROXY;
use super::{Message, extension, field, message, only};

const TLS_INSPECTOR: &str = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector";
const HTTP_INSPECTOR: &str = "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector";
const PROXY_PROTOCOL: &str = "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol";
const ORIGINAL_SRC: &str = "envoy.extensions.filters.listener.original_src.v3.OriginalSrc";
const ORIGINAL_DST: &str = "envoy.extensions.filters.listener.original_dst.v3.OriginalDst";

pub(super) const MESSAGES: &[Message] = &[
    message(
        "envoy.config.listener.v3.Listener",
        &[
            field("name"),
            field("address"),
            field("additional_addresses"),
            field("bind_to_port"),
            field("deprecated_v1"),
            field("use_original_dst"),
            field("traffic_direction"),
            field("drain_type"),
            field("connection_balance_config"),
            field("bypass_overload_manager"),
            field("stat_prefix"),
            field("listener_filters"),
            field("listener_filters_timeout"),
            field("continue_on_listener_filters_timeout"),
            field("filter_chains"),
            field("default_filter_chain"),
            field("filter_chain_matcher"),
            field("per_connection_buffer_limit_bytes"),
            field("per_connection_buffer_high_watermark_timeout"),
            field("metadata"),
            field("socket_options"),
            field("enable_reuse_port"),
            field("reuse_port"),
            field("tcp_backlog_size"),
            field("tcp_fast_open_queue_length"),
            field("freebind"),
            field("transparent"),
            field("tcp_keepalive"),
            field("access_log"),
            field("ignore_global_conn_limit"),
            field("max_connections_to_accept_per_socket_event"),
            field("enable_mptcp"),
            field("udp_listener_config"),
            field("internal_listener"),
        ],
    ),
    message("envoy.config.listener.v3.Listener.InternalListenerConfig", &[]),
    message(
        "envoy.config.listener.v3.AdditionalAddress",
        &[field("address"), field("socket_options"), field("tcp_keepalive")],
    ),
    message("envoy.config.core.v3.SocketOptionsOverride", &[field("socket_options")]),
    message("envoy.config.listener.v3.Listener.DeprecatedV1", &[field("bind_to_port")]),
    message("envoy.config.listener.v3.Listener.ConnectionBalanceConfig", &[field("exact_balance")]),
    message("envoy.config.listener.v3.Listener.ConnectionBalanceConfig.ExactBalance", &[]),
    message("envoy.config.listener.v3.UdpListenerConfig", &[field("downstream_socket_config")]),
    message(
        "envoy.config.listener.v3.FilterChain",
        &[
            field("name"),
            field("filter_chain_match"),
            field("filters"),
            field("use_proxy_proto"),
            field("metadata"),
            field("transport_socket"),
            field("transport_socket_connect_timeout"),
        ],
    ),
    message(
        "envoy.config.listener.v3.FilterChainMatch",
        &[
            field("destination_port"),
            field("prefix_ranges"),
            field("direct_source_prefix_ranges"),
            field("source_type"),
            field("source_prefix_ranges"),
            field("source_ports"),
            field("server_names"),
            field("transport_protocol"),
            field("application_protocols"),
        ],
    ),
    message(
        "envoy.config.listener.v3.Filter",
        &[
            field("name"),
            extension(
                "typed_config",
                &[
                    CONNECTION_MANAGER,
                    TCP_PROXY,
                    CONNECTION_LIMIT,
                    DIRECT_RESPONSE,
                    ECHO,
                    SNI_CLUSTER,
                    SNI_DYNAMIC,
                    LOCAL_RATE_LIMIT,
                    RBAC,
                ],
            ),
        ],
    ),
    message(
        "envoy.config.listener.v3.ListenerFilter",
        &[
            field("name"),
            field("filter_disabled"),
            extension(
                "typed_config",
                &[
                    TLS_INSPECTOR,
                    HTTP_INSPECTOR,
                    PROXY_PROTOCOL,
                    ORIGINAL_DST,
                    ORIGINAL_SRC,
                    UDP_PROXY,
                ],
            ),
        ],
    ),
    message(
        "envoy.config.listener.v3.ListenerFilterChainMatchPredicate",
        &[
            field("or_match"),
            field("and_match"),
            field("not_match"),
            field("any_match"),
            field("destination_port_range"),
        ],
    ),
    message(
        "envoy.config.listener.v3.ListenerFilterChainMatchPredicate.MatchSet",
        &[field("rules")],
    ),
    message(
        TLS_INSPECTOR,
        &[
            field("enable_ja3_fingerprinting"),
            field("enable_ja4_fingerprinting"),
            // Buffers grow with what arrives, whatever they began with.
            field("initial_read_buffer_size"),
            field("close_connection_on_client_hello_parsing_errors"),
            field("max_client_hello_size"),
        ],
    ),
    message(HTTP_INSPECTOR, &[]),
    message(ORIGINAL_DST, &[]),
    message(ORIGINAL_SRC, &[field("bind_port"), field("mark")]),
    message(
        PROXY_PROTOCOL,
        &[
            field("rules"),
            field("allow_requests_without_proxy_protocol"),
            field("disallowed_versions"),
            field("stat_prefix"),
            field("pass_through_tlvs"),
            only("tlv_location", &["DYNAMIC_METADATA"]),
        ],
    ),
    message(
        "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol.Rule",
        &[field("tlv_type"), field("on_tlv_present")],
    ),
    message(
        "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol.KeyValuePair",
        &[field("metadata_namespace"), field("key"), field("value_string_encoding")],
    ),
];
