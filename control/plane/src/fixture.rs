//! Snapshots for tests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringway_bridge::limit::Limit;
use ringway_bridge::stats::{Catalog, StatName};
use ringway_lb::{Health, Host, Policy, Settings};
use ringway_model::address::Address;
use ringway_model::cluster::{
    Cluster, ClusterId, ClusterPolicy, Endpoint, Locality, PriorityLimits,
};
use ringway_model::listener::{ChainMatcher, Listener, ListenerFilters, Sockets};
use ringway_model::snapshot::Snapshot;
use ringway_model::stats::{ClusterStats, Http2Stats, ListenerStats};

pub(crate) fn cluster_stats(catalog: &Catalog, name: &str) -> ClusterStats {
    let tags = [("envoy.cluster_name", name.to_owned())];
    ClusterStats::register(catalog, &format!("cluster.{name}"), "cluster", &tags)
}

pub(crate) fn policy(catalog: &Catalog, name: &str) -> Arc<ClusterPolicy> {
    let limits = PriorityLimits {
        connections: Limit::new(1024),
        pending: Limit::new(1024),
        requests: Limit::new(1024),
        retries: Limit::new(3),
    };
    Arc::new(ClusterPolicy {
        connect_timeout: Duration::from_secs(5),
        balancing: Policy::RoundRobin,
        settings: Settings::default(),
        limits: [limits.clone(), limits],
        idle_timeout: None,
        max_requests_per_connection: None,
        max_connection_duration: None,
        max_stream_duration: None,
        max_response_headers: 100,
        max_response_head_bytes: 80 * 1024,
        buffer_limit: 1 << 20,
        backlog_timeout: None,
        keepalive: None,
        enable_trailers: false,
        proper_case: false,
        tls: None,
        tls_matches: Vec::new(),
        proxy_header: None,
        proxy_header_matches: Vec::new(),
        protocol: ringway_model::cluster::UpstreamProtocol::Http1,
        h2: Default::default(),
        h2_keepalive: Default::default(),
        resolves_names: false,
        dynamic: None,
        original_dst: None,
        stat_scope: StatName::new("", "", &format!("cluster.{name}"), &[]),
        stats: cluster_stats(catalog, name),
        h2_stats: Http2Stats::register(catalog, &format!("cluster.{name}.http2"), "http2", &[]),
        hash_stats: None,
    })
}

pub(crate) fn cluster(policy: &Arc<ClusterPolicy>, name: &str, endpoints: &[&str]) -> Arc<Cluster> {
    let endpoints = endpoints.iter().map(|address| Arc::new(endpoint(address))).collect();
    Arc::new(Cluster::new(name.into(), ClusterId(0), Arc::clone(policy), endpoints))
}

pub(crate) fn endpoint(address: &str) -> Endpoint {
    let ip: SocketAddr = address.parse().expect("an address");
    Endpoint {
        address: Address::Ip(ip),
        address_text: address.into(),
        hostname: "".into(),
        host: Host { health: Health::Healthy, ..Host::PLAIN },
        locality: Arc::new(Locality::default()),
        transport_match: None,
        hash_key: None,
        tlvs: Default::default(),
        server_name: None,
    }
}

pub(crate) fn listener(catalog: &Catalog, name: &str, address: &str) -> Arc<Listener> {
    let ip: SocketAddr = address.parse().expect("an address");
    let tags = [("envoy.listener_address", address.replace(':', "_"))];
    Arc::new(Listener {
        name: name.into(),
        address: Address::Ip(ip),
        sockets: Arc::new(Sockets::new(Vec::new(), Address::Ip(ip))),
        additional: Vec::new(),
        direction: Default::default(),
        modify_only: false,
        hands_off: false,
        exact_balance: false,
        bypasses_overload: false,
        internal_buffer: None,
        fast_open: None,
        filters: ListenerFilters::default(),
        udp: None,
        chains: Vec::new(),
        matcher: ChainMatcher::default(),
        buffer_limit: 1 << 20,
        backlog_timeout: None,
        access_logs: Vec::new(),
        limits: Default::default(),
        accepts_at_once: u32::MAX,
        stats: ListenerStats::register(catalog, &format!("listener.{name}"), "listener", &tags),
        worker_stats: Vec::new(),
    })
}

/// The clusters take the places of their order.
pub(crate) fn snapshot(listeners: &[Arc<Listener>], clusters: &[Arc<Cluster>]) -> Snapshot {
    Snapshot {
        listeners: listeners.to_vec(),
        clusters: clusters.iter().cloned().map(Some).collect(),
        ..Snapshot::default()
    }
}
