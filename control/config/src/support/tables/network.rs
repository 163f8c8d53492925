//! Network filters below HTTP.

use super::{Message, field, message};

pub(super) const TCP_PROXY: &str = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";

pub(super) const CONNECTION_LIMIT: &str =
    "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit";
pub(super) const DIRECT_RESPONSE: &str =
    "envoy.extensions.filters.network.direct_response.v3.Config";
pub(super) const ECHO: &str = "envoy.extensions.filters.network.echo.v3.Echo";
pub(super) const LOCAL_RATE_LIMIT: &str =
    "envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit";
pub(super) const RBAC: &str = "envoy.extensions.filters.network.rbac.v3.RBAC";
pub(super) const SNI_DYNAMIC: &str =
    "envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig";
pub(super) const SNI_CLUSTER: &str = "envoy.extensions.filters.network.sni_cluster.v3.SniCluster";

pub(super) const MESSAGES: &[Message] = &[
    message(
        TCP_PROXY,
        &[
            field("stat_prefix"),
            field("cluster"),
            field("weighted_clusters"),
            field("idle_timeout"),
            // The next two do nothing in Envoy 1.40 either, and that is said.
            field("downstream_idle_timeout"),
            field("upstream_idle_timeout"),
            field("access_log"),
            field("max_connect_attempts"),
            field("backoff_options"),
            field("hash_policy"),
            field("max_downstream_connection_duration"),
            field("max_downstream_connection_duration_jitter_percentage"),
            field("access_log_flush_interval"),
            field("flush_access_log_on_connected"),
            field("access_log_options"),
            field("tunneling_config"),
            field("upstream_connect_mode"),
            field("max_early_data_bytes"),
            field("check_drain_close"),
            field("proxy_protocol_tlvs"),
            field("proxy_protocol_tlv_merge_policy"),
        ],
    ),
    message(
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TunnelingConfig",
        &[
            field("hostname"),
            field("use_post"),
            field("headers_to_add"),
            field("propagate_response_headers"),
            field("post_path"),
            field("propagate_response_trailers"),
            field("request_id_extension"),
            field("request_id_header"),
            field("request_id_metadata_key"),
        ],
    ),
    message(
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster",
        &[field("clusters")],
    ),
    message(
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight",
        &[field("name"), field("weight")],
    ),
    message(
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TcpAccessLogOptions",
        &[
            field("access_log_flush_interval"),
            field("flush_access_log_on_connected"),
            field("flush_access_log_on_start"),
        ],
    ),
    message(
        "envoy.config.core.v3.BackoffStrategy",
        &[field("base_interval"), field("max_interval")],
    ),
    message("envoy.type.v3.HashPolicy", &[field("source_ip")]),
    message("envoy.type.v3.HashPolicy.SourceIp", &[]),
    message(CONNECTION_LIMIT, &[field("stat_prefix"), field("max_connections"), field("delay")]),
    message(DIRECT_RESPONSE, &[field("response")]),
    message(ECHO, &[]),
    message(SNI_CLUSTER, &[]),
    message(SNI_DYNAMIC, &[field("dns_cache_config"), field("port_value")]),
    message(
        LOCAL_RATE_LIMIT,
        &[
            field("stat_prefix"),
            field("token_bucket"),
            field("runtime_enabled"),
            field("share_key"),
        ],
    ),
    message(
        "envoy.type.v3.TokenBucket",
        &[field("max_tokens"), field("tokens_per_fill"), field("fill_interval")],
    ),
    message(
        RBAC,
        &[
            field("rules"),
            field("matcher"),
            field("shadow_rules"),
            field("shadow_matcher"),
            field("shadow_rules_stat_prefix"),
            field("stat_prefix"),
            field("enforcement_type"),
            field("delay_deny"),
        ],
    ),
    message("envoy.config.rbac.v3.RBAC", &[field("action"), field("policies")]),
    message("envoy.config.rbac.v3.Policy", &[field("permissions"), field("principals")]),
    message(
        "envoy.config.rbac.v3.Permission",
        &[
            field("and_rules"),
            field("or_rules"),
            field("any"),
            // Refused by the compiler: a connection has no header.
            field("header"),
            field("destination_ip"),
            field("destination_port"),
            field("destination_port_range"),
            field("not_rule"),
            field("requested_server_name"),
        ],
    ),
    message("envoy.config.rbac.v3.Permission.Set", &[field("rules")]),
    message(
        "envoy.config.rbac.v3.Principal",
        &[
            field("and_ids"),
            field("or_ids"),
            field("any"),
            field("authenticated"),
            field("source_ip"),
            field("direct_remote_ip"),
            field("remote_ip"),
            // Refused by the compiler: a connection has no header.
            field("header"),
            field("not_id"),
        ],
    ),
    message("envoy.config.rbac.v3.Principal.Set", &[field("ids")]),
    message("envoy.config.rbac.v3.Principal.Authenticated", &[field("principal_name")]),
];
