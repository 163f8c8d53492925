//! `envoy.config.listener.v3`.

use super::http::CONNECTION_MANAGER;
use super::{Message, extension, field, message};

pub(super) const MESSAGES: &[Message] = &[
    message(
        "envoy.config.listener.v3.Listener",
        &[
            field("name"),
            field("address"),
            field("stat_prefix"),
            field("filter_chains"),
            field("default_filter_chain"),
            field("per_connection_buffer_limit_bytes"),
            field("metadata"),
            field("socket_options"),
            field("enable_reuse_port"),
            field("tcp_backlog_size"),
            field("freebind"),
            field("transparent"),
            field("tcp_keepalive"),
        ],
    ),
    message(
        "envoy.config.listener.v3.FilterChain",
        &[
            field("name"),
            field("filter_chain_match"),
            field("filters"),
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
        &[field("name"), extension("typed_config", &[CONNECTION_MANAGER])],
    ),
];
