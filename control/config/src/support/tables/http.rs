//! The HTTP connection manager, its protocol options and the router filter.

use super::{Field, Message, extension, field, message};
use crate::support::Accept;

pub(super) const CONNECTION_MANAGER: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
pub(super) const ROUTER: &str = "envoy.extensions.filters.http.router.v3.Router";
const UUID: &str = "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig";

pub(super) const MESSAGES: &[Message] = &[
    message(
        CONNECTION_MANAGER,
        &[
            // HTTP3 is wrong on any listener that there is yet, and refused with Envoy's words.
            field("codec_type"),
            field("stat_prefix"),
            field("route_config"),
            field("http_filters"),
            field("common_http_protocol_options"),
            field("http_protocol_options"),
            field("http2_protocol_options"),
            field("server_name"),
            field("server_header_transformation"),
            field("scheme_header_transformation"),
            field("max_request_headers_kb"),
            field("stream_idle_timeout"),
            field("request_timeout"),
            field("request_headers_timeout"),
            field("drain_timeout"),
            field("delayed_close_timeout"),
            field("access_log"),
            field("use_remote_address"),
            field("xff_num_trusted_hops"),
            field("internal_address_config"),
            field("skip_xff_append"),
            field("via"),
            field("generate_request_id"),
            field("preserve_external_request_id"),
            field("always_set_request_id_in_response"),
            field("forward_client_cert_details"),
            field("set_current_client_cert_details"),
            field("proxy_100_continue"),
            field("represent_ipv4_remote_address_as_ipv4_mapped_ipv6"),
            field("normalize_path"),
            field("merge_slashes"),
            field("path_with_escaped_slashes_action"),
            field("upgrade_configs"),
            field("request_id_extension"),
            field("strip_matching_host_port"),
            field("strip_any_host_port"),
            field("stream_error_on_invalid_http_message"),
            field("strip_trailing_host_dot"),
            field("append_x_forwarded_port"),
            field("local_reply_config"),
        ],
    ),
    message(
        "envoy.extensions.filters.network.http_connection_manager.v3.LocalReplyConfig",
        &[field("mappers"), field("body_format")],
    ),
    message(
        "envoy.extensions.filters.network.http_connection_manager.v3.ResponseMapper",
        &[
            field("filter"),
            field("status_code"),
            field("body"),
            field("body_format_override"),
            field("headers_to_add"),
        ],
    ),
    message(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.\
         SetCurrentClientCertDetails",
        &[field("subject"), field("cert"), field("chain"), field("dns"), field("uri")],
    ),
    message(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.\
         InternalAddressConfig",
        &[field("unix_sockets"), field("cidr_ranges")],
    ),
    message(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.\
         UpgradeConfig",
        &[field("upgrade_type"), field("enabled"), field("filters")],
    ),
    message(
        "envoy.extensions.filters.network.http_connection_manager.v3.RequestIDExtension",
        &[extension("typed_config", &[UUID])],
    ),
    message(UUID, &[field("pack_trace_reason")]),
    message(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
        &[field("name"), Field { name: "typed_config", accept: Accept::HttpFilters }],
    ),
    message(ROUTER, &[field("suppress_envoy_headers")]),
    message(
        "envoy.config.core.v3.HttpProtocolOptions",
        &[
            field("idle_timeout"),
            field("max_connection_duration"),
            field("max_headers_count"),
            field("max_response_headers_kb"),
            field("max_stream_duration"),
            field("headers_with_underscores_action"),
            field("max_requests_per_connection"),
        ],
    ),
    message(
        "envoy.config.core.v3.Http1ProtocolOptions",
        &[
            field("allow_absolute_url"),
            field("accept_http_10"),
            field("default_host_for_http_10"),
            field("header_key_format"),
            field("enable_trailers"),
            field("allow_chunked_length"),
            field("override_stream_error_on_invalid_http_message"),
            field("allow_custom_methods"),
        ],
    ),
    message(
        "envoy.config.core.v3.Http2ProtocolOptions",
        &[
            field("hpack_table_size"),
            field("max_concurrent_streams"),
            field("initial_stream_window_size"),
            field("initial_connection_window_size"),
            field("allow_connect"),
            field("max_outbound_frames"),
            field("max_outbound_control_frames"),
            field("max_consecutive_inbound_frames_with_empty_payload"),
            field("max_inbound_priority_frames_per_stream"),
            field("max_inbound_window_update_frames_per_data_frame_sent"),
            field("stream_error_on_invalid_http_messaging"),
            field("override_stream_error_on_invalid_http_message"),
            field("custom_settings_parameters"),
            field("connection_keepalive"),
            field("enable_huffman_encoding"),
            field("max_header_field_size_kb"),
            field("stream_reset_burst"),
            field("stream_reset_rate"),
        ],
    ),
    message(
        "envoy.config.core.v3.Http2ProtocolOptions.SettingsParameter",
        &[field("identifier"), field("value")],
    ),
    message(
        "envoy.config.core.v3.KeepaliveSettings",
        &[
            field("interval"),
            field("timeout"),
            field("interval_jitter"),
            field("connection_idle_interval"),
        ],
    ),
    message(
        "envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat",
        &[field("proper_case_words")],
    ),
    message("envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat.ProperCaseWords", &[]),
    message("envoy.config.core.v3.SchemeHeaderTransformation", &[field("scheme_to_overwrite")]),
];
