//! The UDP proxy's configuration (Envoy `UdpProxyConfig`), and that of the socket under it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::access_log::AccessLog;
use crate::cluster::ClusterRef;
use crate::listener::ChainQuery;
use crate::matching::Choice;
use crate::route::hash_of_ip;
use crate::stats::{UdpListenerStats, UdpProxyStats};

/// Between whom a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The client.
    pub source: SocketAddr,
    /// Where it sends its datagrams.
    pub destination: SocketAddr,
}

impl Addresses {
    /// What a matcher may ask.
    pub fn query(&self) -> ChainQuery<'static> {
        ChainQuery {
            destination: Some(self.destination),
            source: Some(self.source),
            direct_source: Some(self.source),
            server_name: "",
            transport_protocol: "",
            application_protocols: &[],
        }
    }
}

/// What a listener with a UDP address does.
#[derive(Debug)]
pub struct UdpListener {
    /// `downstream_socket_config.max_rx_datagram_size`, 1500: bytes of the largest payload that a
    /// client may send; 65,535 with `prefer_gro`, as in Envoy.
    pub max_payload: usize,
    /// `envoy.filters.udp_listener.udp_proxy`; the same `Arc` in the next generation means that
    /// nothing of it changed.
    pub proxy: Arc<UdpProxy>,
    /// `listener.<address>.udp.*`
    pub stats: UdpListenerStats,
}

/// A compiled `udp_proxy`.
#[derive(Debug)]
pub struct UdpProxy {
    /// `cluster` or `matcher`.
    pub routes: Choice<ClusterRef>,
    /// `hash_policies`, of which there may be one: what a cluster that balances by a hash goes by.
    pub hash: Option<HashPolicy>,
    /// `idle_timeout`, 1 min; one of zero ends a session with its first datagram.
    pub idle_timeout: Duration,
    /// `upstream_socket_config.max_rx_datagram_size`, 1500: bytes of the largest payload that an
    /// endpoint may send; 65,535 with `prefer_gro`, which is on unless configured otherwise.
    pub max_payload: usize,
    /// `use_per_packet_load_balancing`: each datagram has an endpoint of its own.
    pub per_packet: bool,
    /// `access_log`: a line for each session.
    pub access_logs: Vec<AccessLog>,
    /// `access_log_options.access_log_flush_interval`: lines of sessions that go on.
    pub log_interval: Option<Duration>,
    /// `proxy_access_log`: a line for all of a worker's sessions, when the configuration of the
    /// proxy goes.
    pub proxy_access_logs: Vec<AccessLog>,
    /// `udp.<stat_prefix>.*`
    pub stats: UdpProxyStats,
}

/// `HashPolicy`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashPolicy {
    /// `source_ip`
    SourceIp,
    /// The hash of `key`: all sessions have the same.
    Key(u64),
}

impl HashPolicy {
    /// The hash of a session.
    pub fn hash(self, addresses: &Addresses) -> Option<u64> {
        match self {
            Self::SourceIp => hash_of_ip(Some(addresses.source)),
            Self::Key(hash) => Some(hash),
        }
    }
}
