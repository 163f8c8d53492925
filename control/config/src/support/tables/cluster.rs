//! `envoy.config.cluster.v3`, the load balancing policies and the upstream protocol options.

use super::bootstrap::INTERNAL_LISTENER;
use super::tls::SPIFFE;
use super::{Message, extension, field, message, only};

const ROUND_ROBIN: &str = "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin";
const LEAST_REQUEST: &str =
    "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest";
const RANDOM: &str = "envoy.extensions.load_balancing_policies.random.v3.Random";
const RING_HASH: &str = "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash";
const MAGLEV: &str = "envoy.extensions.load_balancing_policies.maglev.v3.Maglev";
const DNS: &str = "envoy.extensions.clusters.dns.v3.DnsCluster";
const DYNAMIC: &str = "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig";
const CARES: &str = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig";
const PROTOCOL_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

pub(super) const MESSAGES: &[Message] = &[
    message(
        "envoy.config.cluster.v3.Cluster",
        &[
            field("name"),
            field("alt_stat_name"),
            only("type", &["STATIC", "STRICT_DNS", "LOGICAL_DNS", "ORIGINAL_DST"]),
            field("cluster_type"),
            field("connect_timeout"),
            field("per_connection_buffer_limit_bytes"),
            field("per_connection_buffer_high_watermark_timeout"),
            only(
                "lb_policy",
                &[
                    "ROUND_ROBIN",
                    "LEAST_REQUEST",
                    "RANDOM",
                    "RING_HASH",
                    "MAGLEV",
                    "CLUSTER_PROVIDED",
                ],
            ),
            field("load_balancing_policy"),
            field("least_request_lb_config"),
            field("ring_hash_lb_config"),
            field("maglev_lb_config"),
            field("original_dst_lb_config"),
            field("cleanup_interval"),
            field("load_assignment"),
            field("max_requests_per_connection"),
            field("circuit_breakers"),
            field("common_http_protocol_options"),
            field("http_protocol_options"),
            field("http2_protocol_options"),
            field("protocol_selection"),
            extension("typed_extension_protocol_options", &[PROTOCOL_OPTIONS]),
            field("dns_refresh_rate"),
            field("dns_failure_refresh_rate"),
            field("dns_jitter"),
            field("respect_dns_ttl"),
            only("dns_lookup_family", &["AUTO", "V4_ONLY", "V6_ONLY", "V4_PREFERRED", "ALL"]),
            field("typed_dns_resolver_config"),
            field("common_lb_config"),
            field("metadata"),
            field("upstream_connection_options"),
            field("transport_socket"),
            field("transport_socket_matches"),
        ],
    ),
    message(
        "envoy.config.cluster.v3.Cluster.RefreshRate",
        &[field("base_interval"), field("max_interval")],
    ),
    message(
        "envoy.config.cluster.v3.Cluster.LeastRequestLbConfig",
        &[field("choice_count"), field("active_request_bias")],
    ),
    message(
        "envoy.config.cluster.v3.Cluster.CommonLbConfig",
        &[
            field("healthy_panic_threshold"),
            field("locality_weighted_lb_config"),
            field("consistent_hashing_lb_config"),
        ],
    ),
    message(
        "envoy.config.cluster.v3.Cluster.CommonLbConfig.ConsistentHashingLbConfig",
        &[field("use_hostname_for_hashing"), field("hash_balance_factor")],
    ),
    message(
        "envoy.config.cluster.v3.Cluster.RingHashLbConfig",
        &[field("minimum_ring_size"), field("hash_function"), field("maximum_ring_size")],
    ),
    message("envoy.config.cluster.v3.Cluster.MaglevLbConfig", &[field("table_size")]),
    message(
        "envoy.config.cluster.v3.Cluster.OriginalDstLbConfig",
        &[
            field("use_http_header"),
            field("http_header_name"),
            field("upstream_port_override"),
            field("metadata_key"),
        ],
    ),
    message("envoy.type.metadata.v3.MetadataKey", &[field("key"), field("path")]),
    message("envoy.type.metadata.v3.MetadataKey.PathSegment", &[field("key")]),
    message(
        RING_HASH,
        &[
            field("hash_function"),
            field("minimum_ring_size"),
            field("maximum_ring_size"),
            field("use_hostname_for_hashing"),
            field("hash_balance_factor"),
            field("consistent_hashing_lb_config"),
            field("locality_weighted_lb_config"),
        ],
    ),
    message(
        MAGLEV,
        &[
            field("table_size"),
            field("consistent_hashing_lb_config"),
            field("locality_weighted_lb_config"),
        ],
    ),
    message(
        "envoy.extensions.load_balancing_policies.common.v3.ConsistentHashingLbConfig",
        &[field("use_hostname_for_hashing"), field("hash_balance_factor")],
    ),
    message("envoy.config.cluster.v3.Cluster.CommonLbConfig.LocalityWeightedLbConfig", &[]),
    message("envoy.config.cluster.v3.CircuitBreakers", &[field("thresholds")]),
    message(
        "envoy.config.cluster.v3.CircuitBreakers.Thresholds",
        &[
            field("priority"),
            field("max_connections"),
            field("max_pending_requests"),
            field("max_requests"),
            field("max_retries"),
        ],
    ),
    message("envoy.config.cluster.v3.UpstreamConnectionOptions", &[field("tcp_keepalive")]),
    message("envoy.config.cluster.v3.LoadBalancingPolicy", &[field("policies")]),
    message(
        "envoy.config.cluster.v3.LoadBalancingPolicy.Policy",
        &[field("typed_extension_config")],
    ),
    // Its types are those of all places together; the compiler refuses what stands in another's.
    message(
        "envoy.config.core.v3.TypedExtensionConfig",
        &[
            field("name"),
            extension(
                "typed_config",
                &[
                    ROUND_ROBIN,
                    LEAST_REQUEST,
                    RANDOM,
                    RING_HASH,
                    MAGLEV,
                    SPIFFE,
                    CARES,
                    INTERNAL_LISTENER,
                ],
            ),
        ],
    ),
    message(ROUND_ROBIN, &[field("locality_lb_config")]),
    message(
        LEAST_REQUEST,
        &[
            field("choice_count"),
            field("active_request_bias"),
            field("locality_lb_config"),
            field("selection_method"),
        ],
    ),
    message(RANDOM, &[field("locality_lb_config")]),
    message(
        "envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig",
        &[field("locality_weighted_lb_config")],
    ),
    message(
        "envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.\
         LocalityWeightedLbConfig",
        &[],
    ),
    message(
        PROTOCOL_OPTIONS,
        &[
            field("common_http_protocol_options"),
            field("upstream_http_protocol_options"),
            field("explicit_http_config"),
            field("use_downstream_protocol_config"),
            field("auto_config"),
        ],
    ),
    message(
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig",
        &[field("http_protocol_options"), field("http2_protocol_options")],
    ),
    message(
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.UseDownstreamHttpConfig",
        &[field("http_protocol_options"), field("http2_protocol_options")],
    ),
    message(
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.AutoHttpConfig",
        &[field("http_protocol_options"), field("http2_protocol_options")],
    ),
    message(
        "envoy.config.cluster.v3.Cluster.CustomClusterType",
        &[field("name"), extension("typed_config", &[DNS, DYNAMIC])],
    ),
    message(
        DNS,
        &[
            field("dns_refresh_rate"),
            field("dns_failure_refresh_rate"),
            field("respect_dns_ttl"),
            field("dns_jitter"),
            field("typed_dns_resolver_config"),
            field("dns_lookup_family"),
            field("all_addresses_in_single_endpoint"),
        ],
    ),
    message(
        "envoy.extensions.clusters.dns.v3.DnsCluster.RefreshRate",
        &[field("base_interval"), field("max_interval")],
    ),
    message(DYNAMIC, &[field("dns_cache_config"), field("allow_insecure_cluster_options")]),
    message(
        "envoy.extensions.common.dynamic_forward_proxy.v3.DnsCacheConfig",
        &[
            field("name"),
            field("dns_lookup_family"),
            field("dns_refresh_rate"),
            field("dns_min_refresh_rate"),
            field("host_ttl"),
            field("max_hosts"),
            field("disable_dns_refresh_on_failure"),
            field("dns_failure_refresh_rate"),
            field("dns_cache_circuit_breaker"),
            field("typed_dns_resolver_config"),
            field("preresolve_hostnames"),
            field("dns_query_timeout"),
        ],
    ),
    message(
        "envoy.extensions.common.dynamic_forward_proxy.v3.DnsCacheCircuitBreakers",
        &[field("max_pending_requests")],
    ),
    message(
        CARES,
        &[
            field("resolvers"),
            field("dns_resolver_options"),
            field("query_timeout_seconds"),
            field("query_tries"),
        ],
    ),
    message(
        "envoy.config.core.v3.DnsResolverOptions",
        &[field("use_tcp_for_dns_lookups"), field("no_default_search_domain")],
    ),
    message(
        "envoy.config.core.v3.UpstreamHttpProtocolOptions",
        &[field("auto_sni"), field("auto_san_validation")],
    ),
];
