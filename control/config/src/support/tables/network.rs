//! Network filters below HTTP.

use super::{Message, field, message};

pub(super) const TCP_PROXY: &str = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";

pub(super) const CONNECTION_LIMIT: &str =
    "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit";
pub(super) const DIRECT_RESPONSE: &str =
    "envoy.extensions.filters.network.direct_response.v3.Config";
pub(super) const ECHO: &str = "envoy.extensions.filters.network.echo.v3.Echo";
pub(super) const SNI_CLUSTER: &str = "envoy.extensions.filters.network.sni_cluster.v3.SniCluster";

pub(super) const MESSAGES: &[Message] = &[
    message(
        TCP_PROXY,
        &[
            field("stat_prefix"),
            field("cluster"),
            field("weighted_clusters"),
            field("idle_timeout"),
            field("access_log"),
            field("max_connect_attempts"),
            field("backoff_options"),
            // It chooses an endpoint where a cluster balances by a hash, and none does yet.
            field("hash_policy"),
            field("max_downstream_connection_duration"),
            field("max_downstream_connection_duration_jitter_percentage"),
            field("access_log_flush_interval"),
            field("flush_access_log_on_connected"),
            field("access_log_options"),
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
];
