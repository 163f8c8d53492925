//! Fields of Envoy 1.40 that are newer than the descriptors of this build.
//!
//! Read from the descriptors in the binary of Envoy 1.40. What the descriptors do not have is an
//! unknown field to the reader; these are known, and not supported yet. A test holds that each
//! leaves this list when the descriptors bring it.

/// Messages with their fields.
pub(crate) const NEWER: &[(&str, &[&str])] = &[
    ("envoy.config.core.v3.HealthCheck", &["name"]),
    ("envoy.config.core.v3.HealthCheck.HttpHealthCheck", &["use_alpn_protocol"]),
    ("envoy.config.metrics.v3.DogStatsdSink", &["scale_histogram_units_to_milliseconds"]),
    ("envoy.config.metrics.v3.StatsdSink", &["scale_histogram_units_to_milliseconds"]),
    (
        "envoy.extensions.clusters.mcp_multicluster.v3.ClusterConfig.McpBackend",
        &["header_forwarding"],
    ),
    (
        "envoy.extensions.common.ratelimit.v3.RateLimitDescriptor.RateLimitOverride",
        &["unit_multiplier"],
    ),
    ("envoy.extensions.filters.http.ai_protocol_manager.v3.RequestHandling", &["reserialize_body"]),
    ("envoy.extensions.filters.http.ai_protocol_manager.v3.RequestPerRoute", &["llm_protocol"]),
    ("envoy.extensions.filters.http.ai_protocol_manager.v3.ResponsePerRoute", &["llm_protocol"]),
    (
        "envoy.extensions.filters.http.ai_protocol_manager.v3.TokenUsageExtraction",
        &["default_llm_protocol"],
    ),
    ("envoy.extensions.filters.http.basic_auth.v3.BasicAuth", &["realm"]),
    ("envoy.extensions.filters.http.basic_auth.v3.BasicAuthPerRoute", &["realm"]),
    ("envoy.extensions.filters.http.ext_authz.v3.ExtAuthz", &["clear_route_cache_headers"]),
    ("envoy.extensions.filters.http.gcp_authn.v3.Audience.AccessToken", &["scopes"]),
    ("envoy.extensions.filters.http.gcp_authn.v3.Audience.BoundAccessToken", &["scopes"]),
    ("envoy.extensions.filters.http.header_mutation.v3.Mutations", &["formatters"]),
    ("envoy.extensions.filters.http.lua.v3.Lua", &["shared_vm_id"]),
    ("envoy.extensions.filters.http.lua.v3.LuaPerRoute", &["shared_vm_id"]),
    ("envoy.extensions.filters.http.mcp.v3.Mcp", &["max_supported_protocol_version"]),
    (
        "envoy.extensions.filters.http.mcp_json_rest_bridge.v3.ServerInfo",
        &["server_discovery_cache_config"],
    ),
    ("envoy.extensions.filters.http.mcp_router.v3.McpRouter.McpBackend", &["header_forwarding"]),
    ("envoy.extensions.filters.http.oauth2.v3.OAuth2Config", &["token_cookie_chunking"]),
    (
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        &["record_route_resolution_stats"],
    ),
    ("envoy.extensions.filters.network.reverse_tunnel.v3.ReverseTunnel", &["handshake_timeout"]),
    (
        "envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig.UdpTunnelingConfig",
        &["formatters"],
    ),
    ("envoy.extensions.http.ai_filters.request_info.v3.RequestInfo", &["token_estimation"]),
    (
        "envoy.extensions.load_balancing_policies.load_aware_locality.v3.LoadAwareLocality",
        &["oob_reporting_config"],
    ),
    (
        "envoy.extensions.stat_sinks.graphite_statsd.v3.GraphiteStatsdSink",
        &["scale_histogram_units_to_milliseconds"],
    ),
    ("envoy.type.tracing.v3.CustomTag", &["value_type"]),
];

/// The newer fields of a message.
pub(crate) fn newer(message: &str) -> &'static [&'static str] {
    NEWER.iter().find(|(name, _)| *name == message).map_or(&[], |(_, fields)| fields)
}

/// Whether `key` names one of them, in snake_case or in camelCase.
pub(crate) fn is_newer(message: &str, key: &str) -> bool {
    newer(message).iter().any(|field| is_named(field, key))
}

fn is_named(field: &str, key: &str) -> bool {
    let mut words = field.split('_');
    let mut rest = words.next().and_then(|word| key.strip_prefix(word));
    for word in words {
        let (first, tail) = word.split_at(1.min(word.len()));
        rest = rest
            .and_then(|rest| rest.strip_prefix(&first.to_ascii_uppercase())?.strip_prefix(tail));
    }
    field == key || rest == Some("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptors;

    #[test]
    fn what_the_descriptors_have_is_not_on_the_list() {
        for (message, fields) in NEWER {
            let Some(descriptor) = descriptors::message(message) else {
                panic!("{message} is not a message of this build: leave it to its type URL");
            };
            for field in *fields {
                assert!(descriptor.get_field_by_name(field).is_none(), "{message}.{field} is here");
            }
        }
    }

    #[test]
    fn keys_come_in_two_cases() {
        let message = "envoy.config.core.v3.HealthCheck.HttpHealthCheck";
        assert!(is_newer(message, "use_alpn_protocol") && is_newer(message, "useAlpnProtocol"));
        assert!(!is_newer(message, "useAlpn") && !is_newer(message, "use_alpnProtocol"));
        assert!(!is_newer(message, "path") && !is_newer("x", "use_alpn_protocol"));
    }
}
