//! Clusters: endpoints and the policy by which they are used.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringway_bridge::limit::Limit;
use ringway_bridge::stats::StatName;
use ringway_http::h2;
use ringway_lb as lb;

use crate::address::Address;
use crate::dns::{DynamicHosts, NameCache};
use crate::http::H2Keepalive;
use crate::original_dst::OriginalDst;
use crate::proxy_header::{EndpointTlvs, ProxyHeader};
use crate::stats::{ClusterStats, HashStats, Http2Stats};
use crate::transport::UpstreamTls;

/// A cluster's number, the same for its name as long as the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(pub u32);

impl ClusterId {
    /// Its place in a table of clusters.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A reference to a cluster by name, resolved when the snapshot was compiled.
///
/// The id is valid even when the cluster does not exist (then its place in the table is empty and
/// the request gets `cluster_not_found_response_code`).
#[derive(Debug, Clone)]
pub struct ClusterRef {
    /// As the configuration names it.
    pub name: Arc<str>,
    /// Its number.
    pub id: ClusterId,
}

/// A cluster (Envoy `config.cluster.v3.Cluster`) with the endpoints known at this generation.
#[derive(Debug)]
pub struct Cluster {
    /// Unique among the clusters.
    pub name: Arc<str>,
    /// The same for its name as long as the process lives.
    pub id: ClusterId,
    /// All of it except the endpoints: the same `Arc` means that pools can be kept.
    pub policy: Arc<ClusterPolicy>,
    /// In the order of the configuration or of the resolver's answer.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// What requests are hashed to, where `policy.balancing` says so.
    pub hashing: Option<Hashing>,
}

/// The tables of a cluster that balances by a hash, which all workers share.
#[derive(Debug, Clone)]
pub struct Hashing {
    /// What stands for each endpoint.
    pub keys: Arc<[Arc<str>]>,
    /// Which of them takes a hash.
    pub tables: Arc<lb::HashTables>,
}

impl Cluster {
    /// A cluster with these endpoints, and with tables of them where its policy hashes. That takes
    /// milliseconds for large tables: it is for the control thread.
    pub fn new(
        name: Arc<str>,
        id: ClusterId,
        policy: Arc<ClusterPolicy>,
        endpoints: Vec<Arc<Endpoint>>,
    ) -> Self {
        let hashing = Hashing::new(&policy, &endpoints);
        Self { name, id, policy, endpoints, hashing }
    }

    /// What the statistics of an endpoint are told apart by: several names may have one address.
    pub fn counted_as<'e>(&self, endpoint: &'e Endpoint) -> &'e Arc<str> {
        match self.policy.dynamic {
            Some(_) => &endpoint.hostname,
            None => &endpoint.address_text,
        }
    }

    /// The endpoint that stands for an entry of [`ClusterPolicy::host_table`].
    pub fn endpoint_of(&self, key: Arc<str>, address: SocketAddr) -> Endpoint {
        let name = match self.policy.original_dst {
            // Envoy's name for such a host, which `auto_host_rewrite` shows.
            Some(_) => format!("{}{key}", self.name).into(),
            None => key,
        };
        Endpoint::named(name, address)
    }
}

impl Hashing {
    fn new(policy: &ClusterPolicy, endpoints: &[Arc<Endpoint>]) -> Option<Self> {
        let by_hostname = policy.balancing.consistent()?.by_hostname;
        let keys: Arc<[Arc<str>]> = endpoints
            .iter()
            .map(|endpoint| match &endpoint.hash_key {
                Some(key) => Arc::clone(key),
                None if by_hostname => Arc::clone(&endpoint.hostname),
                None => Arc::clone(&endpoint.address_text),
            })
            .collect();
        let hosts: Vec<lb::Host> = endpoints.iter().map(|endpoint| endpoint.host).collect();
        let (balancing, settings) = (&policy.balancing, &policy.settings);
        let tables = lb::Balancer::hash_tables(&hosts, &keys, balancing, settings)?;
        Some(Self { keys, tables: Arc::new(tables) })
    }
}

/// How a cluster is used, whatever its endpoints are.
#[derive(Debug)]
pub struct ClusterPolicy {
    /// `connect_timeout`, 5 s.
    pub connect_timeout: Duration,
    /// `lb_policy` or `load_balancing_policy`.
    pub balancing: lb::Policy,
    /// `common_lb_config`, `overprovisioning_factor`.
    pub settings: lb::Settings,
    /// `circuit_breakers.thresholds[]` for the default and the high priority.
    pub limits: [PriorityLimits; 2],
    /// `common_http_protocol_options.idle_timeout` of upstream connections, 1 h; `None` is off.
    pub idle_timeout: Option<Duration>,
    /// `max_requests_per_connection`; `None` is unlimited.
    pub max_requests_per_connection: Option<u32>,
    /// `max_connection_duration` of upstream connections.
    pub max_connection_duration: Option<Duration>,
    /// `common_http_protocol_options.max_stream_duration` of upstream streams.
    pub max_stream_duration: Option<Duration>,
    /// `common_http_protocol_options.max_headers_count` of responses, 100.
    pub max_response_headers: usize,
    /// `max_response_headers_kb` of HTTP/1, 80 KiB.
    pub max_response_head_bytes: usize,
    /// `per_connection_buffer_limit_bytes`, 1 MiB.
    pub buffer_limit: usize,
    /// `per_connection_buffer_high_watermark_timeout`: how long a peer may leave what it was sent.
    pub backlog_timeout: Option<Duration>,
    /// `upstream_connection_options.tcp_keepalive`.
    pub keepalive: Option<TcpKeepalive>,
    /// `http_protocol_options.enable_trailers`: send request trailers.
    pub enable_trailers: bool,
    /// `http_protocol_options.header_key_format.proper_case_words`.
    pub proper_case: bool,
    /// `transport_socket`; none means that bytes pass as they are.
    pub tls: Option<Arc<UpstreamTls>>,
    /// `transport_socket_matches`, for the endpoints that name one of them.
    pub tls_matches: Vec<Option<Arc<UpstreamTls>>>,
    /// `upstream_proxy_protocol` around `transport_socket`: the header in front of everything.
    pub proxy_header: Option<Arc<ProxyHeader>>,
    /// The same of `transport_socket_matches`.
    pub proxy_header_matches: Vec<Option<Arc<ProxyHeader>>>,
    /// Which HTTP its endpoints speak.
    pub protocol: UpstreamProtocol,
    /// `http2_protocol_options`, with the limits on heads that hold for HTTP/2. Of
    /// `max_concurrent_streams` and the peer's own number the smaller one counts.
    pub h2: h2::Options,
    /// `http2_protocol_options.connection_keepalive`, as far as it is not the engine's.
    pub h2_keepalive: H2Keepalive,
    /// `STRICT_DNS`: its endpoints come and go with the answers of a resolver.
    pub resolves_names: bool,
    /// Its endpoints are named by requests, and it has no others.
    pub dynamic: Option<DynamicHosts>,
    /// `ORIGINAL_DST`: its endpoints are where connections and requests were meant to go, and it
    /// has no others.
    pub original_dst: Option<OriginalDst>,
    /// `cluster.<name>`, with `alt_stat_name` in place of the name where there is one: what the
    /// names of its statistics begin with.
    pub stat_scope: StatName,
    /// Statistics under `stat_scope`.
    pub stats: ClusterStats,
    /// `cluster.<name>.http2.*`
    pub h2_stats: Http2Stats,
    /// What is told of the tables of a policy that hashes.
    pub hash_stats: Option<HashStats>,
}

/// `typed_extension_protocol_options`: the protocol of requests to a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpstreamProtocol {
    /// `explicit_http_config.http_protocol_options`.
    #[default]
    Http1,
    /// `explicit_http_config.http2_protocol_options`: TLS with ALPN or prior knowledge.
    Http2,
    /// `use_downstream_protocol_config`: the protocol of the request.
    Downstream,
    /// `auto_config`: what ALPN chooses.
    Auto,
}

/// Keepalive probes of TCP; `None` leaves the kernel's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpKeepalive {
    /// `keepalive_probes`.
    pub probes: Option<u32>,
    /// `keepalive_time` in seconds.
    pub time: Option<u32>,
    /// `keepalive_interval` in seconds.
    pub interval: Option<u32>,
}

/// The circuit breakers of one priority, process-wide.
#[derive(Debug, Clone)]
pub struct PriorityLimits {
    /// `max_connections`, 1024.
    pub connections: Arc<Limit>,
    /// `max_pending_requests`, 1024.
    pub pending: Arc<Limit>,
    /// `max_requests`, 1024.
    pub requests: Arc<Limit>,
    /// `max_retries`, 3.
    pub retries: Arc<Limit>,
}

/// An endpoint of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Where it listens.
    pub address: Address,
    /// The address as text, made once for logs and statistics.
    pub address_text: Arc<str>,
    /// The name that was resolved, or `hostname` of the endpoint; empty if none.
    pub hostname: Arc<str>,
    /// Weight, health, priority and locality, as the balancer sees them.
    pub host: lb::Host,
    /// `locality.region/zone/sub_zone` for `/clusters`.
    pub locality: Arc<Locality>,
    /// Which of the cluster's `transport_socket_matches` its metadata meets first.
    pub transport_match: Option<u16>,
    /// `hash_key` of its `envoy.lb` metadata.
    pub hash_key: Option<Arc<str>>,
    /// `added_tlvs` of its own (`PerHostConfig` in its metadata), by type: they go before those of
    /// the transport socket.
    pub tlvs: EndpointTlvs,
    /// What the handshake with it names, where the request decides (`auto_sni`).
    pub server_name: Option<Arc<str>>,
}

impl Endpoint {
    /// An endpoint that requests name: weight 1, healthy, of no locality.
    pub fn named(name: Arc<str>, address: SocketAddr) -> Self {
        let address = Address::Ip(address);
        Self {
            address_text: address.to_string().into(),
            address,
            hostname: name,
            host: lb::Host::PLAIN,
            locality: Arc::default(),
            transport_match: None,
            hash_key: None,
            tlvs: Arc::default(),
            server_name: None,
        }
    }
}

impl ClusterPolicy {
    /// The transport socket of an endpoint.
    pub fn tls_of(&self, endpoint: &Endpoint) -> Option<&UpstreamTls> {
        let matched = endpoint.transport_match.and_then(|at| self.tls_matches.get(usize::from(at)));
        matched.unwrap_or(&self.tls).as_deref()
    }

    /// The hosts in use, where these are not listed but come with connections and requests.
    pub fn host_table(&self) -> Option<&Arc<NameCache>> {
        let dynamic = self.dynamic.as_ref().map(|dynamic| &dynamic.cache);
        dynamic.or_else(|| self.original_dst.as_ref().map(|original| &original.table))
    }

    /// The PROXY header in front of connections to an endpoint.
    pub fn proxy_header_of(&self, endpoint: &Endpoint) -> Option<&ProxyHeader> {
        let at = endpoint.transport_match;
        let matched = at.and_then(|at| self.proxy_header_matches.get(usize::from(at)));
        matched.unwrap_or(&self.proxy_header).as_deref()
    }

    /// All transport sockets.
    pub fn all_tls(&self) -> impl Iterator<Item = &Arc<UpstreamTls>> {
        self.tls.iter().chain(self.tls_matches.iter().flatten())
    }
}

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Locality {
    /// `region`.
    pub region: String,
    /// `zone`.
    pub zone: String,
    /// `sub_zone`.
    pub sub_zone: String,
}
