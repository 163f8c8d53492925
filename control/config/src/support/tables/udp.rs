//! The UDP proxy, and the matchers by which it finds a cluster and a listener its filter chain.

use super::core::STRING_MATCHER;
use super::{Message, extension, field, message};

pub(super) const UDP_PROXY: &str = "envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig";
const ROUTE: &str = "envoy.extensions.filters.udp.udp_proxy.v3.Route";
const SOURCE_IP: &str = "envoy.extensions.matching.common_inputs.network.v3.SourceIPInput";
const SOURCE_PORT: &str = "envoy.extensions.matching.common_inputs.network.v3.SourcePortInput";
const DESTINATION_IP: &str =
    "envoy.extensions.matching.common_inputs.network.v3.DestinationIPInput";
const DESTINATION_PORT: &str =
    "envoy.extensions.matching.common_inputs.network.v3.DestinationPortInput";
const DIRECT_SOURCE_IP: &str =
    "envoy.extensions.matching.common_inputs.network.v3.DirectSourceIPInput";
const SOURCE_TYPE: &str = "envoy.extensions.matching.common_inputs.network.v3.SourceTypeInput";
const SERVER_NAME: &str = "envoy.extensions.matching.common_inputs.network.v3.ServerNameInput";
const TRANSPORT_PROTOCOL: &str =
    "envoy.extensions.matching.common_inputs.network.v3.TransportProtocolInput";
const APPLICATION_PROTOCOL: &str =
    "envoy.extensions.matching.common_inputs.network.v3.ApplicationProtocolInput";
const HTTP_CAPSULE: &str =
    "envoy.extensions.filters.udp.udp_proxy.session.http_capsule.v3.FilterConfig";
/// What a matcher of `rbac` says.
const RULING: &str = "envoy.config.rbac.v3.Action";
/// The name of a filter chain.
const CHAIN_NAME: &str = "google.protobuf.StringValue";
const IP: &str = "envoy.extensions.matching.input_matchers.ip.v3.Ip";

pub(super) const MESSAGES: &[Message] = &[
    message(
        "envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig.SessionFilter",
        &[field("name"), extension("typed_config", &[HTTP_CAPSULE])],
    ),
    message(HTTP_CAPSULE, &[]),
    message(
        "envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig.UdpTunnelingConfig",
        &[
            field("proxy_host"),
            field("proxy_port"),
            field("target_host"),
            field("default_target_port"),
            field("use_post"),
            field("post_path"),
            field("retry_options"),
            field("headers_to_add"),
            field("buffer_options"),
        ],
    ),
    message(
        "envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig.UdpTunnelingConfig.RetryOptions",
        &[field("max_connect_attempts"), field("backoff_options")],
    ),
    message(
        "envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig.UdpTunnelingConfig.BufferOptions",
        &[field("max_buffered_datagrams"), field("max_buffered_bytes")],
    ),
    message(
        UDP_PROXY,
        &[
            field("stat_prefix"),
            field("cluster"),
            field("matcher"),
            field("idle_timeout"),
            field("hash_policies"),
            field("upstream_socket_config"),
            field("use_per_packet_load_balancing"),
            field("access_log"),
            field("proxy_access_log"),
            field("session_filters"),
            field("tunneling_config"),
            field("access_log_options"),
        ],
    ),
    message(
        "envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig.HashPolicy",
        &[field("source_ip"), field("key")],
    ),
    message(
        "envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig.UdpAccessLogOptions",
        &[field("access_log_flush_interval"), field("flush_access_log_on_tunnel_connected")],
    ),
    message(ROUTE, &[field("cluster")]),
    message(
        "envoy.config.core.v3.UdpSocketConfig",
        // Where it is on, datagrams of any size are taken, as in Envoy.
        &[field("max_rx_datagram_size"), field("prefer_gro")],
    ),
    message(
        "xds.type.matcher.v3.Matcher",
        &[field("matcher_list"), field("matcher_tree"), field("on_no_match")],
    ),
    message(
        "xds.type.matcher.v3.Matcher.OnMatch",
        &[field("matcher"), field("action"), field("keep_matching")],
    ),
    message("xds.type.matcher.v3.Matcher.MatcherList", &[field("matchers")]),
    message(
        "xds.type.matcher.v3.Matcher.MatcherList.FieldMatcher",
        &[field("predicate"), field("on_match")],
    ),
    message(
        "xds.type.matcher.v3.Matcher.MatcherList.Predicate",
        &[
            field("single_predicate"),
            field("or_matcher"),
            field("and_matcher"),
            field("not_matcher"),
        ],
    ),
    message(
        "xds.type.matcher.v3.Matcher.MatcherList.Predicate.SinglePredicate",
        &[field("input"), field("value_match"), field("custom_match")],
    ),
    message(
        "xds.type.matcher.v3.Matcher.MatcherList.Predicate.PredicateList",
        &[field("predicate")],
    ),
    message(
        "xds.type.matcher.v3.Matcher.MatcherTree",
        &[field("input"), field("exact_match_map"), field("prefix_match_map")],
    ),
    message("xds.type.matcher.v3.Matcher.MatcherTree.MatchMap", &[field("map")]),
    // Which of them may stand at a place is the compiler's business.
    message(
        "xds.core.v3.TypedExtensionConfig",
        &[
            field("name"),
            extension(
                "typed_config",
                &[
                    ROUTE,
                    SOURCE_IP,
                    SOURCE_PORT,
                    DESTINATION_IP,
                    DESTINATION_PORT,
                    DIRECT_SOURCE_IP,
                    SOURCE_TYPE,
                    SERVER_NAME,
                    TRANSPORT_PROTOCOL,
                    APPLICATION_PROTOCOL,
                    CHAIN_NAME,
                    RULING,
                    IP,
                ],
            ),
        ],
    ),
    message(SOURCE_IP, &[]),
    message(SOURCE_PORT, &[]),
    message(DESTINATION_IP, &[]),
    message(DESTINATION_PORT, &[]),
    message(RULING, &[field("name"), field("action")]),
    message(CHAIN_NAME, &[field("value")]),
    message(DIRECT_SOURCE_IP, &[]),
    message(SOURCE_TYPE, &[]),
    message(SERVER_NAME, &[]),
    message(TRANSPORT_PROTOCOL, &[]),
    message(APPLICATION_PROTOCOL, &[]),
    message(IP, &[field("cidr_ranges"), field("stat_prefix")]),
    message("xds.type.matcher.v3.StringMatcher", STRING_MATCHER),
    message("xds.type.matcher.v3.RegexMatcher", &[field("google_re2"), field("regex")]),
    message("xds.type.matcher.v3.RegexMatcher.GoogleRE2", &[]),
];
