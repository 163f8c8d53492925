//! The prefixes under which listener filters and network filters count.

use ringway_bridge::stats::{Catalog, CounterId, StatName, Tag};
use ringway_model::stats::{
    ConnectionLimitStats, HttpInspectorStats, LocalRateLimitStats, ProxyProtocolStats,
    ProxyProtocolVersionStats, RbacStats, ShadowRbacStats, TcpProxyStats, TlsInspectorStats,
    UdpProxyStats,
};

use super::stat_names::sanitized;

/// `tls_inspector.`
pub(super) fn tls_inspector(catalog: &Catalog) -> TlsInspectorStats {
    TlsInspectorStats::register(catalog, "tls_inspector", "tls_inspector", &[])
}

/// `http_inspector.`
pub(super) fn http_inspector(catalog: &Catalog) -> HttpInspectorStats {
    HttpInspectorStats::register(catalog, "http_inspector", "http_inspector", &[])
}

/// What the filter of the PROXY protocol counts.
pub(super) struct ProxyProtocolNames {
    pub(super) stats: ProxyProtocolStats,
    pub(super) v1: ProxyProtocolVersionStats,
    pub(super) v2: ProxyProtocolVersionStats,
    pub(super) errors: CounterId,
}

/// `proxy_proto.[<stat_prefix>.]`, and what all such filters count together.
pub(super) fn proxy_protocol(catalog: &Catalog, stat_prefix: &str) -> ProxyProtocolNames {
    let prefix = match stat_prefix {
        "" => "proxy_proto".to_owned(),
        prefix => format!("proxy_proto.{}", sanitized(prefix)),
    };
    let tags: Vec<Tag> = match stat_prefix {
        "" => vec![],
        prefix => vec![("envoy.proxy_protocol_prefix", sanitized(prefix))],
    };
    let version = |version: &str| {
        let prefix = format!("{prefix}.versions.{version}");
        let tags = [&tags[..], &[("envoy.proxy_protocol_version", version[1..].to_owned())]];
        let base = "proxy_proto.versions";
        ProxyProtocolVersionStats::register(catalog, &prefix, base, &tags.concat())
    };
    let errors = "downstream_cx_proxy_proto_error";
    ProxyProtocolNames {
        stats: ProxyProtocolStats::register(catalog, &prefix, "proxy_proto", &tags),
        v1: version("v1"),
        v2: version("v2"),
        errors: catalog.counter(StatName::new("", "", errors, &[])),
    }
}

/// `tcp.<stat_prefix>.`
pub(super) fn tcp_proxy(catalog: &Catalog, stat_prefix: &str) -> TcpProxyStats {
    let name = sanitized(stat_prefix);
    let prefix = format!("tcp.{name}");
    TcpProxyStats::register(catalog, &prefix, "tcp", &[("envoy.tcp_prefix", name)])
}

/// `udp.<stat_prefix>.`
pub(super) fn udp_proxy(catalog: &Catalog, stat_prefix: &str) -> UdpProxyStats {
    let name = sanitized(stat_prefix);
    let prefix = format!("udp.{name}");
    UdpProxyStats::register(catalog, &prefix, "udp", &[("envoy.udp_prefix", name)])
}

/// `connection_limit.<stat_prefix>.`
pub(super) fn connection_limit(catalog: &Catalog, stat_prefix: &str) -> ConnectionLimitStats {
    let name = sanitized(stat_prefix);
    let prefix = format!("connection_limit.{name}");
    let tags = [("envoy.connection_limit_prefix", name)];
    ConnectionLimitStats::register(catalog, &prefix, "connection_limit", &tags)
}

/// `local_rate_limit.<stat_prefix>.`; the tag is the prefix up to its first dot, as in Envoy.
pub(super) fn local_rate_limit(catalog: &Catalog, stat_prefix: &str) -> LocalRateLimitStats {
    let name = sanitized(stat_prefix);
    let (tag, rest) = name.split_once('.').unwrap_or((&name, ""));
    let base = match rest {
        "" => "local_rate_limit".to_owned(),
        rest => format!("local_rate_limit.{rest}"),
    };
    let tags = [("envoy.local_network_ratelimit_prefix", tag.to_owned())];
    LocalRateLimitStats::register(catalog, &format!("local_rate_limit.{name}"), &base, &tags)
}

/// `<stat_prefix>.rbac.` and `<stat_prefix>.rbac.<shadow_rules_stat_prefix>.`
pub(super) fn rbac(
    catalog: &Catalog,
    stat_prefix: &str,
    shadow_prefix: &str,
) -> (RbacStats, ShadowRbacStats) {
    let name = sanitized(stat_prefix.trim_end_matches('.'));
    let shadow = sanitized(shadow_prefix.trim_end_matches('.'));
    let below = |prefix: &str| match shadow.as_str() {
        "" => prefix.to_owned(),
        shadow => format!("{prefix}.{shadow}"),
    };
    let prefix = format!("{name}.rbac");
    let tags = [("envoy.rbac_prefix", name)];
    (
        RbacStats::register(catalog, &prefix, "rbac", &tags),
        ShadowRbacStats::register(catalog, &below(&prefix), &below("rbac"), &tags),
    )
}
