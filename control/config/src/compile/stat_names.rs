//! The prefixes under which statistics are registered, as Envoy 1.40 splits them into a name and
//! tags for Prometheus.

use ringway_bridge::stat_group;
use ringway_bridge::stats::{Catalog, CounterId, GaugeId, HistogramId, StatName, Tag};
use ringway_model::original_dst::OriginalDstStats;
use ringway_model::stats::{
    ClusterStats, Http2Stats, HttpStats, ListenerHttpStats, ListenerStats, ListenerWorkerStats,
    MaglevStats, RingHashStats, SslStats, UdpListenerStats,
};

const CLUSTER: &str = "envoy.cluster_name";
const MANAGER: &str = "envoy.http_conn_manager_prefix";
const LISTENER: &str = "envoy.listener_address";

/// As Envoy writes a name from the configuration into a dotted one.
pub(super) fn sanitized(name: &str) -> String {
    name.replace(':', "_")
}

/// `overload.<resource monitor>.failed_updates` of the one that limits all connections.
pub(super) fn global_refusals(catalog: &Catalog) -> CounterId {
    let scope = format!("overload.{}", super::overload::GLOBAL_CONNECTIONS);
    catalog.counter(StatName::new(&scope, &scope, "failed_updates", &[]))
}

/// `cluster.<name>.`
pub(super) fn cluster(catalog: &Catalog, name: &str) -> ClusterStats {
    let split = split("cluster", CLUSTER, &sanitized(name));
    ClusterStats::register(catalog, &split.prefix, &split.base, &split.tags)
}

/// `cluster.<name>.original_dst_*` of clusters of that type alone.
pub(super) fn original_dst(catalog: &Catalog, name: &str) -> OriginalDstStats {
    let split = split("cluster", CLUSTER, &sanitized(name));
    OriginalDstStats::register(catalog, &split.prefix, &split.base, &split.tags)
}

/// `cluster.<name>`, for names that are met at run time.
pub(super) fn cluster_scope(name: &str) -> StatName {
    let Split { prefix, base, tags } = split("cluster", CLUSTER, &sanitized(name));
    StatName { full: prefix, base, tags }
}

/// `cluster.<name>.upstream.proxyprotocol.v2_tlvs_exceed_max_length`
pub(super) fn cluster_tlvs_exceed_max_length(catalog: &Catalog, name: &str) -> CounterId {
    let StatName { full, base, tags } = cluster_scope(name);
    let leaf = "upstream.proxyprotocol.v2_tlvs_exceed_max_length";
    catalog.counter(StatName::new(&full, &base, leaf, &tags))
}

/// `http.<stat_prefix>.`
pub(super) fn manager(catalog: &Catalog, stat_prefix: &str) -> HttpStats {
    let split = split("http", MANAGER, &sanitized(stat_prefix));
    HttpStats::register(catalog, &split.prefix, &split.base, &split.tags)
}

/// `http2.`: in Envoy it is one scope for all connection managers.
pub(super) fn http2(catalog: &Catalog) -> Http2Stats {
    Http2Stats::register(catalog, "http2", "http2", &[])
}

/// `cluster.<name>.http2.`
pub(super) fn cluster_http2(catalog: &Catalog, name: &str) -> Http2Stats {
    let split = split("cluster", CLUSTER, &sanitized(name));
    let below = |scope: &str| format!("{scope}.http2");
    Http2Stats::register(catalog, &below(&split.prefix), &below(&split.base), &split.tags)
}

/// `cluster.<name>.ring_hash_lb.`
pub(super) fn ring_hash(catalog: &Catalog, name: &str) -> RingHashStats {
    let split = split("cluster", CLUSTER, &sanitized(name));
    let below = |scope: &str| format!("{scope}.ring_hash_lb");
    RingHashStats::register(catalog, &below(&split.prefix), &below(&split.base), &split.tags)
}

/// `cluster.<name>.maglev_lb.`
pub(super) fn maglev(catalog: &Catalog, name: &str) -> MaglevStats {
    let split = split("cluster", CLUSTER, &sanitized(name));
    let below = |scope: &str| format!("{scope}.maglev_lb");
    MaglevStats::register(catalog, &below(&split.prefix), &below(&split.base), &split.tags)
}

/// `listener.<address>.`, or its `stat_prefix` in place of the address.
pub(super) fn listener(catalog: &Catalog, scope: &str) -> ListenerStats {
    let split = listener_split(scope);
    ListenerStats::register(catalog, &split.prefix, &split.base, &split.tags)
}

/// `listener.<address>.udp.`
pub(super) fn udp_listener(catalog: &Catalog, scope: &str) -> UdpListenerStats {
    let Split { prefix, base, tags } = listener_split(scope);
    UdpListenerStats::register(catalog, &format!("{prefix}.udp"), &format!("{base}.udp"), &tags)
}

/// `listener.<address>.ssl.`
pub(super) fn listener_ssl(catalog: &Catalog, scope: &str) -> (SslStats, StatName) {
    ssl(catalog, listener_split(scope))
}

/// `cluster.<name>.ssl.`
pub(super) fn cluster_ssl(catalog: &Catalog, name: &str) -> (SslStats, StatName) {
    ssl(catalog, split("cluster", CLUSTER, &sanitized(name)))
}

/// `listener.<address>.server_ssl_socket_factory.*`
pub(super) fn listener_secrets(catalog: &Catalog, scope: &str) -> SocketFactoryStats {
    SocketFactoryStats::of(catalog, listener_split(scope), "server_ssl_socket_factory")
}

/// `cluster.<name>.client_ssl_socket_factory.*`
pub(super) fn cluster_secrets(catalog: &Catalog, name: &str) -> SocketFactoryStats {
    let above = split("cluster", CLUSTER, &sanitized(name));
    SocketFactoryStats::of(catalog, above, "client_ssl_socket_factory")
}

stat_group! {
    /// `server_ssl_socket_factory.*` of a listener, `client_ssl_socket_factory.*` of a cluster.
    /// Envoy has no `ssl_context_update_rejected`, since it does not read plain files again.
    pub struct SocketFactoryStats {
        counters {
            ssl_context_update_by_sds, ssl_context_update_rejected,
            upstream_context_secrets_not_ready, downstream_context_secrets_not_ready,
        }
        gauges {}
        histograms {}
    }
}

impl SocketFactoryStats {
    /// The secrets of a context are there before it is made; only updates can happen here.
    fn of(catalog: &Catalog, above: Split, kind: &str) -> Self {
        let Split { prefix, base, tags } = above;
        let (prefix, base) = (format!("{prefix}.{kind}"), format!("{base}.{kind}"));
        Self::register(catalog, &prefix, &base, &tags)
    }
}

stat_group! {
    /// `sds.<name>.*`
    pub struct SecretStats {
        counters {
            init_fetch_timeout, key_rotation_failed, update_attempt, update_failure,
            update_rejected, update_success,
        }
        gauges {}
        histograms {}
    }
}

/// `sds.<name>.`
pub(super) fn secret(catalog: &Catalog, name: &str) -> SecretStats {
    let prefix = format!("sds.{}", sanitized(name));
    SecretStats::register(catalog, &prefix, &prefix, &[])
}

/// `certificate.<name>.expiration_unix_time_seconds` under a scope of TLS.
pub(super) fn expiration(catalog: &Catalog, scope: &StatName, name: &str) -> GaugeId {
    const LEAF: &str = "expiration_unix_time_seconds";
    let name = sanitized(name);
    let prefix = format!("{}.certificate.{name}", scope.full);
    let base = format!("{}.certificate", scope.base);
    let tags = [&[("envoy.tls_certificate", name)], &scope.tags[..]].concat();
    catalog.gauge(StatName::new(&prefix, &base, LEAF, &tags))
}

/// The group, and the scope for names that are met at run time.
fn ssl(catalog: &Catalog, above: Split) -> (SslStats, StatName) {
    let Split { prefix, base, tags } = above;
    let scope = StatName { full: format!("{prefix}.ssl"), base: format!("{base}.ssl"), tags };
    (SslStats::register(catalog, &scope.full, &scope.base, &scope.tags), scope)
}

/// `listener.<address>.worker_<index>.`, for each worker.
pub(super) fn listener_workers(
    catalog: &Catalog,
    scope: &str,
    workers: usize,
) -> Vec<ListenerWorkerStats> {
    let Split { prefix, base, tags } = listener_split(scope);
    let base = format!("{base}.worker");
    let each = (0..workers).map(|worker| {
        let prefix = format!("{prefix}.worker_{worker}");
        let tags = [&[("envoy.worker_id", worker.to_string())], &tags[..]].concat();
        ListenerWorkerStats::register(catalog, &prefix, &base, &tags)
    });
    each.collect()
}

/// `listener.<address>.http.<stat_prefix>.`
pub(super) fn listener_manager(
    catalog: &Catalog,
    scope: &str,
    stat_prefix: &str,
) -> ListenerHttpStats {
    let above = listener_split(scope);
    let below = split("http", MANAGER, &sanitized(stat_prefix));
    let prefix = format!("{}.{}", above.prefix, below.prefix);
    let base = format!("{}.{}", above.base, below.base);
    ListenerHttpStats::register(catalog, &prefix, &base, &[above.tags, below.tags].concat())
}

/// `@http.<stat_prefix>.downstream_rq_time_us`, which `/stats` does not list.
pub(super) fn latency(catalog: &Catalog, stat_prefix: &str) -> HistogramId {
    let prefix = format!("@http.{}", sanitized(stat_prefix));
    catalog.histogram(StatName::new(&prefix, "@http", "downstream_rq_time_us", &[]))
}

/// A prefix and what Prometheus sees of it.
#[derive(Debug, PartialEq, Eq)]
struct Split {
    prefix: String,
    base: String,
    tags: Vec<Tag>,
}

/// Envoy's tags end at the first dot: of the cluster `a.b`, `a` is the tag, and `b` stays in the
/// name.
fn split(kind: &str, tag: &'static str, name: &str) -> Split {
    let (value, rest) = name.split_once('.').unwrap_or((name, ""));
    split_at(kind, tag, name, value, rest)
}

fn split_at(kind: &str, tag: &'static str, name: &str, value: &str, rest: &str) -> Split {
    Split {
        prefix: format!("{kind}.{name}"),
        base: if rest.is_empty() { kind.to_owned() } else { format!("{kind}.{rest}") },
        tags: vec![(tag, value.to_owned())],
    }
}

/// The dots of an IPv4 address do not end its tag.
fn listener_split(scope: &str) -> Split {
    let name = sanitized(scope);
    let is_address = name.bytes().all(|byte| byte.is_ascii_digit() || b"._".contains(&byte));
    match is_address {
        true => split_at("listener", LISTENER, &name, &name, ""),
        false => split("listener", LISTENER, &name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Envoy 1.40 prints them.
    #[test]
    fn tags_end_where_envoy_ends_them() {
        let cases = [
            (split("cluster", CLUSTER, "a.b_c"), "cluster.a.b_c", "cluster.b_c", "a"),
            (split("cluster", CLUSTER, "web"), "cluster.web", "cluster", "web"),
            (listener_split("127.0.0.1:80"), "listener.127.0.0.1_80", "listener", "127.0.0.1_80"),
            (listener_split("[::1]:80"), "listener.[__1]_80", "listener", "[__1]_80"),
            (listener_split("/run/u.sock"), "listener./run/u.sock", "listener.sock", "/run/u"),
            (listener_split("@name"), "listener.@name", "listener", "@name"),
            (listener_split("foo.bar:baz"), "listener.foo.bar_baz", "listener.bar_baz", "foo"),
        ];
        for (split, prefix, base, tag) in cases {
            assert_eq!((&*split.prefix, &*split.base, &*split.tags[0].1), (prefix, base, tag));
        }
    }
}
