//! Clusters (Envoy `config.cluster.v3.Cluster`): how they are used. What they consist of is in
//! `endpoints`.

use std::sync::Arc;
use std::time::Duration;

use ringway_model::cluster::{ClusterPolicy, TcpKeepalive};

use super::at::At;
use super::breakers::Thresholds;
use super::proto::{cluster, core};
use super::protocol::Common;
use super::upstream_http::{self, UpstreamHttp};
use super::value::{backlog_timeout, buffer_limit, duration, limit_of};
use super::{
    Cx, balancing, breakers, consistent, dns, dynamic, original_dst, proxy_header, stat_names, tls,
};

/// `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How endpoints are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Discovery {
    /// They are listed with their addresses.
    Static,
    /// Each name stands for all its addresses.
    StrictDns,
    /// One name stands for its first address.
    LogicalDns,
    /// Requests name them.
    Dynamic,
    /// They are where connections and requests were meant to go.
    OriginalDst,
}

impl Discovery {
    /// Whether the endpoints come with connections and requests, and none are listed.
    pub(super) fn lists_none(self) -> bool {
        matches!(self, Self::Dynamic | Self::OriginalDst)
    }
}

/// A policy whose limits are still only numbers: they are set when all of the configuration is
/// right.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) policy: ClusterPolicy,
    pub(super) thresholds: [Thresholds; 2],
}

pub(super) fn discovery(at: &At<'_>, cluster: &cluster::Cluster) -> Option<Discovery> {
    use cluster::cluster::{ClusterDiscoveryType, DiscoveryType};
    let number = match &cluster.cluster_discovery_type {
        None => DiscoveryType::Static as i32,
        Some(ClusterDiscoveryType::Type(number)) => *number,
        Some(ClusterDiscoveryType::ClusterType(_)) => return custom_discovery(at, cluster),
    };
    match DiscoveryType::try_from(number) {
        Ok(DiscoveryType::Static) => Some(Discovery::Static),
        Ok(DiscoveryType::StrictDns) => Some(Discovery::StrictDns),
        Ok(DiscoveryType::LogicalDns) => Some(Discovery::LogicalDns),
        Ok(DiscoveryType::OriginalDst) => Some(Discovery::OriginalDst),
        _ => {
            at.field("type").unsupported("");
            None
        }
    }
}

fn custom_discovery(at: &At<'_>, cluster: &cluster::Cluster) -> Option<Discovery> {
    if dynamic::is_dynamic(cluster) {
        return Some(Discovery::Dynamic);
    }
    match dns::typed(at, cluster) {
        Some(config) if config.all_addresses_in_single_endpoint => Some(Discovery::LogicalDns),
        Some(_) => Some(Discovery::StrictDns),
        None => {
            at.field("cluster_type").unsupported("");
            None
        }
    }
}

/// Everything but the endpoints.
pub(super) fn policy(cx: &Cx<'_>, at: &At<'_>, cluster: &cluster::Cluster) -> Option<Policy> {
    let found = at.quietly(|at| discovery(at, cluster));
    let balancing = balancing::policy(at, cluster);
    let http = upstream_http::options(at, cluster);
    let thresholds = breakers::thresholds(cluster.circuit_breakers.as_ref());
    let connect_timeout = duration(&at.field("connect_timeout"), cluster.connect_timeout);
    let stat_name = scope(cluster);
    let socket = dynamic::socket(cluster);
    let tls = tls::upstream(cx, at, socket.as_deref(), stat_name);
    let tls_matches = tls::matches::sockets(cx, at, cluster, stat_name);
    let header = proxy_header::of_socket(cx, at, cluster.transport_socket.as_ref(), stat_name);
    let header_matches = tls::matches::proxy_headers(cx, at, cluster, stat_name);
    let is_secure = matches!(&tls, Some(Some(_)));
    let dynamic = dynamic::hosts(cx, at, cluster, is_secure);
    let original_dst = original_dst::hosts(cx, at, cluster);
    let (balancing, http) = (balancing?, http?);
    let UpstreamHttp { common, enable_trailers, proper_case, protocol, http2 } = http;
    check_requests(at, cluster, &common);
    let policy = ClusterPolicy {
        hash_stats: consistent::stats(cx, &balancing, stat_name),
        connect_timeout: connect_timeout.unwrap_or(CONNECT_TIMEOUT),
        balancing,
        settings: balancing::settings(cluster),
        limits: cx.limits_of(&cluster.name),
        idle_timeout: common.idle_timeout,
        max_requests_per_connection: common
            .max_requests_per_connection
            .or_else(|| limit_of(cluster.max_requests_per_connection)),
        max_connection_duration: common.max_connection_duration,
        max_stream_duration: common.max_stream_duration,
        max_response_headers: common.max_headers,
        max_response_head_bytes: common.max_response_head_bytes,
        buffer_limit: buffer_limit(cluster.per_connection_buffer_limit_bytes),
        backlog_timeout: backlog_timeout(at, cluster.per_connection_buffer_high_watermark_timeout),
        keepalive: keepalive(cluster),
        enable_trailers,
        proper_case,
        tls: tls?,
        tls_matches: tls_matches?,
        proxy_header: header?,
        proxy_header_matches: header_matches?,
        protocol,
        h2: http2.options,
        h2_keepalive: http2.keepalive,
        resolves_names: matches!(found, Some(Discovery::StrictDns | Discovery::LogicalDns)),
        dynamic: dynamic?,
        original_dst: original_dst?,
        stat_scope: stat_names::cluster_scope(stat_name),
        stats: stat_names::cluster(&cx.env.catalog, stat_name),
        h2_stats: stat_names::cluster_http2(&cx.env.catalog, stat_name),
    };
    Some(Policy { policy, thresholds })
}

/// The field of the cluster itself is the older one.
fn check_requests(at: &At<'_>, cluster: &cluster::Cluster, common: &Common) {
    let newer = common.max_requests_per_connection.is_some();
    if newer && cluster.max_requests_per_connection.is_some() {
        at.field("max_requests_per_connection").invalid(
            "Only one of max_requests_per_connection from Cluster or HttpProtocolOptions can be \
             specified",
        );
    }
}

fn keepalive(cluster: &cluster::Cluster) -> Option<TcpKeepalive> {
    let options = cluster.upstream_connection_options.as_ref()?;
    options.tcp_keepalive.as_ref().map(tcp_keepalive)
}

/// `core.v3.TcpKeepalive`: a value of 0 counts as absent, as in Envoy.
pub(super) fn tcp_keepalive(keepalive: &core::TcpKeepalive) -> TcpKeepalive {
    TcpKeepalive {
        probes: limit_of(keepalive.keepalive_probes),
        time: limit_of(keepalive.keepalive_time),
        interval: limit_of(keepalive.keepalive_interval),
    }
}

/// Whether two messages differ in nothing but what `endpoints` reads.
pub(super) fn same_policy(one: &cluster::Cluster, other: &cluster::Cluster) -> bool {
    // The weights of localities belong to the settings of the balancer, and so do the fields of
    // `policy`: those must be equal. The rest of the assignment is endpoints.
    let without_endpoints = |cluster: &cluster::Cluster| {
        let mut cluster = cluster.clone();
        cluster.load_assignment = None;
        cluster
    };
    let weights = |cluster: &cluster::Cluster| -> Vec<_> {
        let assignment = cluster.load_assignment.iter().flat_map(|all| &all.endpoints);
        assignment.map(|locality| locality.load_balancing_weight).collect()
    };
    let shares = |cluster: &cluster::Cluster| {
        cluster.load_assignment.as_ref().and_then(|assignment| assignment.policy.clone())
    };
    shares(one) == shares(other)
        && (!balancing::uses_locality_weights(one) || weights(one) == weights(other))
        && without_endpoints(one) == without_endpoints(other)
}

/// The part of the names of its statistics that stands for the cluster.
pub(super) fn scope(cluster: &cluster::Cluster) -> &str {
    match cluster.alt_stat_name.as_str() {
        "" => &cluster.name,
        other => other,
    }
}

/// The name as the snapshot keeps it.
pub(super) fn name(cluster: &cluster::Cluster) -> Arc<str> {
    Arc::from(cluster.name.as_str())
}
