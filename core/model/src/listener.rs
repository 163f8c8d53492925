//! Listeners: sockets, filter chains, and how a connection finds its chain.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use ringway_bridge::balance::Balance;
use ringway_bridge::descriptors::Descriptors;
use ringway_bridge::limit::Limit;
use ringway_bridge::stats::CounterId;

mod filter;

pub use filter::{
    DestinationPredicate, HttpInspector, ListenerFilter, ListenerFilterKind, ListenerFilters,
    OriginalSrc, ProxyProtocol, TlsInspector, TlvRule, TlvText,
};

use crate::access_log::AccessLog;
use crate::address::Address;
use crate::http::ConnectionManager;
use crate::matching::Tree;
use crate::network::NetworkFilter;
use crate::stats::{ListenerStats, ListenerWorkerStats};
use crate::tcp::TcpProxy;
use crate::transport::DownstreamTls;
use crate::udp::UdpListener;

/// A listener (Envoy `config.listener.v3.Listener`).
#[derive(Debug)]
pub struct Listener {
    /// Unique among the listeners; workers carry connections over by this name.
    pub name: Arc<str>,
    /// The address as bound (port 0 resolved).
    pub address: Address,
    /// One listening socket per worker, opened on the control thread so that a bad or busy
    /// address is an error of the configuration and not of a worker. The same `Arc` as in the
    /// generation before means: keep listening on it.
    pub sockets: Arc<Sockets>,
    /// `additional_addresses`, in the same way.
    pub additional: Vec<Arc<Sockets>>,
    /// `traffic_direction`
    pub direction: TrafficDirection,
    /// `drain_type: MODIFY_ONLY`: failing health checks do not drain it.
    pub modify_only: bool,
    /// `use_original_dst`: a connection whose destination turns out to be the address of another
    /// listener goes to that one.
    pub hands_off: bool,
    /// `connection_balance_config.exact_balance`: connections go to the worker with the fewest.
    pub exact_balance: bool,
    /// `bypass_overload_manager`: what is done about overload does not concern it, but for times
    /// that get shorter.
    pub bypasses_overload: bool,
    /// `buffer_size_kb` of the bootstrap extension for internal listeners, in bytes: what one side
    /// of a connection may send ahead of the other; `None` leaves it to the kernel.
    pub internal_buffer: Option<usize>,
    /// `tcp_fast_open_queue_length`: how many connections may wait whose first bytes came with the
    /// SYN; 0 turns it off.
    pub fast_open: Option<u32>,
    /// `listener_filters`: what reads the first bytes, before a chain is chosen.
    pub filters: ListenerFilters,
    /// What becomes of datagrams, where the address is one of UDP; it has no chains then.
    pub udp: Option<UdpListener>,
    /// Tried by [`ChainMatcher`]; indices refer to this list.
    pub chains: Vec<Arc<FilterChain>>,
    /// How a connection finds its chain.
    pub matcher: ChainMatcher,
    /// `per_connection_buffer_limit_bytes`: how much may be buffered per connection and
    /// direction before reading stops.
    pub buffer_limit: usize,
    /// `per_connection_buffer_high_watermark_timeout`: how long a peer may leave what it was sent.
    pub backlog_timeout: Option<Duration>,
    /// `access_log`: a line for each connection, those without a filter chain included.
    pub access_logs: Vec<AccessLog>,
    /// How many connections it may have.
    pub limits: ConnectionLimits,
    /// `max_connections_to_accept_per_socket_event`: after so many connections others have their
    /// turn.
    pub accepts_at_once: u32,
    /// Statistics under `listener.<address>.`.
    pub stats: ListenerStats,
    /// The same for each worker, indexed by worker.
    pub worker_stats: Vec<ListenerWorkerStats>,
}

impl Listener {
    /// Whether it is bound to this address, or to all addresses with this port.
    pub fn listens_at(&self, address: SocketAddr) -> bool {
        let all = std::iter::once(&self.sockets).chain(&self.additional);
        all.filter_map(|sockets| sockets.address.ip()).any(|bound| {
            let anywhere = bound.ip().is_unspecified();
            bound.port() == address.port() && (anywhere || bound.ip() == address.ip())
        })
    }

    /// Whether it has a filter chain of this name.
    pub fn has_chain(&self, name: &ChainName) -> bool {
        self.chains.iter().any(|chain| *chain.name == *name)
    }

    /// The sockets of all of its addresses.
    pub fn all_sockets(&self) -> impl Iterator<Item = &Arc<Sockets>> {
        std::iter::once(&self.sockets).chain(&self.additional)
    }
}

/// Envoy `TrafficDirection`: where connections come from, as seen from the workload beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TrafficDirection {
    /// Not told.
    #[default]
    Unspecified,
    /// From elsewhere.
    Inbound,
    /// From that workload.
    Outbound,
}

/// Which listeners are meant by a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listeners {
    /// All of them.
    All,
    /// Those with `traffic_direction: INBOUND`.
    Inbound,
}

impl Listeners {
    /// Whether a listener is one of them.
    pub fn takes(self, listener: &Listener) -> bool {
        self == Self::All || listener.direction == TrafficDirection::Inbound
    }
}

/// The limits on connections that the runtime sets; each is process-wide.
#[derive(Debug, Clone, Default)]
pub struct ConnectionLimits {
    /// `envoy.resource_limits.listener.<name>.connection_limit`
    pub own: Option<Arc<Limit>>,
    /// `envoy.resource_monitors.global_downstream_max_connections`, or of the runtime
    /// `overload.global_downstream_max_connections`: of all listeners together.
    pub global: Option<Arc<Limit>>,
    /// `ignore_global_conn_limit`: its connections count, and none is refused.
    pub ignores_global: bool,
    /// `failed_updates` of the resource monitor that sets the limit of all, where one does.
    pub global_refusals: Option<CounterId>,
}

/// The listening sockets of one address of a listener, one per worker.
#[derive(Debug)]
pub struct Sockets {
    /// Indexed by worker; for a Unix socket all of them are duplicates of one. None where
    /// `bind_to_port` is false: connections come from other listeners then.
    pub fds: Descriptors,
    /// Keeps the kind at hand: accepted peers have an IP address or none.
    pub address: Address,
    /// The process was started with them, and somebody else listens on them after it: they are
    /// never shut down.
    pub given: bool,
    /// How many connections each worker has by them.
    pub balance: Arc<Balance>,
}

impl Sockets {
    /// One socket per worker.
    pub fn new(fds: Vec<OwnedFd>, address: Address) -> Self {
        let balance = Balance::new(fds.len());
        Self { fds: Descriptors::new(fds), address, given: false, balance }
    }
}

/// How a filter chain is called.
#[derive(Debug, PartialEq, Eq)]
pub struct ChainName {
    /// `filter_chains[].name`, or a name made of its position.
    pub text: Box<str>,
    /// Whether the name is one of the configuration.
    pub is_given: bool,
}

/// A filter chain: what is done with the bytes of a connection.
#[derive(Debug)]
pub struct FilterChain {
    /// By which it is known in the next generation, too.
    pub name: Arc<ChainName>,
    /// Network filters before the last one, in their order.
    pub filters: Vec<NetworkFilter>,
    /// What the chain ends in.
    pub terminal: Terminal,
    /// `transport_socket`; none means that bytes pass as they are.
    pub tls: Option<Arc<DownstreamTls>>,
    /// `transport_socket_connect_timeout`.
    pub transport_connect_timeout: Option<Duration>,
}

/// The last network filter of a chain, which takes the bytes.
#[derive(Debug)]
pub enum Terminal {
    /// `http_connection_manager`.
    Http(Arc<ConnectionManager>),
    /// `tcp_proxy`.
    Tcp(Arc<TcpProxy>),
    /// `direct_response`: these bytes, whatever the client says.
    DirectResponse(Arc<[u8]>),
    /// `echo`: what the client says.
    Echo,
}

/// What is known of a connection when its chain is chosen.
#[derive(Debug, Clone, Copy)]
pub struct ChainQuery<'a> {
    /// The address that the client connected to (after `original_dst`, PROXY protocol).
    pub destination: Option<SocketAddr>,
    /// The client's address (after PROXY protocol).
    pub source: Option<SocketAddr>,
    /// The peer of the socket.
    pub direct_source: Option<SocketAddr>,
    /// Lower-case server name of the ClientHello, or empty.
    pub server_name: &'a str,
    /// `raw_buffer` or `tls`.
    pub transport_protocol: &'a str,
    /// ALPN or sniffed protocols.
    pub application_protocols: &'a [&'a str],
}

/// `filter_chain_match.source_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SourceType {
    /// No condition.
    #[default]
    Any,
    /// Source and destination are the same address, or the source is a loopback address.
    SameIpOrLoopback,
    /// Anything else.
    External,
}

/// One chain's conditions (Envoy `FilterChainMatch`); empty lists match everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChainMatch {
    /// `destination_port`.
    pub destination_port: Option<u16>,
    /// `prefix_ranges` on the destination address.
    pub destination: Vec<IpNet>,
    /// `server_names`: exact, `*.suffix`; lower-case.
    pub server_names: Vec<String>,
    /// `transport_protocol`; empty matches everything.
    pub transport_protocol: String,
    /// `application_protocols`.
    pub application_protocols: Vec<String>,
    /// `direct_source_prefix_ranges`.
    pub direct_source: Vec<IpNet>,
    /// `source_type`.
    pub source_type: SourceType,
    /// `source_prefix_ranges`.
    pub source: Vec<IpNet>,
    /// `source_ports`.
    pub source_ports: Vec<u16>,
}

/// Chooses the chain of a connection.
#[derive(Debug, Default)]
pub struct ChainMatcher {
    /// Conditions with the index of their chain.
    pub rules: Vec<(ChainMatch, usize)>,
    /// `filter_chain_matcher`, which takes the place of the rules: the chain of the name that it
    /// finds, or none where no chain has that name.
    pub tree: Option<Box<Tree<Option<usize>>>>,
    /// `default_filter_chain`.
    pub default: Option<usize>,
}

impl ChainMatcher {
    /// The index of the chain that serves the connection.
    ///
    /// Envoy narrows criterion by criterion, in the order of `FilterChainMatch`'s documentation,
    /// each time to the most specific match, and never goes back: a chain that loses on the
    /// destination port is out even when the winner fails on the server name.
    pub fn find(&self, query: &ChainQuery<'_>) -> Option<usize> {
        if let Some(tree) = &self.tree {
            return tree.find(query).copied().unwrap_or(self.default);
        }
        let mut candidates: Vec<&(ChainMatch, usize)> = self.rules.iter().collect();
        for criterion in CRITERIA {
            let best = candidates.iter().filter_map(|(rule, _)| criterion(rule, query)).max();
            let Some(best) = best else { return self.default };
            candidates.retain(|(rule, _)| criterion(rule, query) == Some(best));
        }
        candidates.first().map(|(_, index)| *index).or(self.default)
    }
}

/// How specifically a rule matches: `None` not at all, 0 by having no condition, more is better.
type Criterion = fn(&ChainMatch, &ChainQuery<'_>) -> Option<usize>;

const CRITERIA: [Criterion; 9] = [
    |rule, query| match rule.destination_port {
        None => Some(0),
        Some(port) => (query.destination?.port() == port).then_some(1),
    },
    |rule, query| prefix(&rule.destination, query.destination),
    |rule, query| server_name(&rule.server_names, query.server_name),
    |rule, query| {
        if rule.transport_protocol.is_empty() {
            return Some(0);
        }
        (rule.transport_protocol == query.transport_protocol).then_some(1)
    },
    |rule, query| {
        if rule.application_protocols.is_empty() {
            return Some(0);
        }
        let offered = |own: &String| query.application_protocols.contains(&own.as_str());
        rule.application_protocols.iter().any(offered).then_some(1)
    },
    |rule, query| prefix(&rule.direct_source, query.direct_source),
    |rule, query| match rule.source_type {
        SourceType::Any => Some(0),
        SourceType::SameIpOrLoopback => is_local(query).then_some(1),
        SourceType::External => (!is_local(query)).then_some(1),
    },
    |rule, query| prefix(&rule.source, query.source),
    |rule, query| {
        if rule.source_ports.is_empty() {
            return Some(0);
        }
        rule.source_ports.contains(&query.source?.port()).then_some(1)
    },
];

fn prefix(ranges: &[IpNet], address: Option<SocketAddr>) -> Option<usize> {
    if ranges.is_empty() {
        return Some(0);
    }
    let ip = canonical(address?.ip());
    let lengths = ranges.iter().filter(|range| range.contains(&ip));
    lengths.map(|range| 1 + usize::from(range.prefix_len())).max()
}

/// An IPv4 client of a dual-stack socket is matched as IPv4.
fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

fn server_name(names: &[String], actual: &str) -> Option<usize> {
    if names.is_empty() {
        return Some(0);
    }
    names.iter().filter_map(|name| server_name_rank(name, actual)).max()
}

/// An exact name beats any wildcard; a longer wildcard beats a shorter one.
fn server_name_rank(name: &str, actual: &str) -> Option<usize> {
    match name.strip_prefix('*') {
        Some(suffix) => {
            let long_enough = actual.len() > suffix.len();
            (long_enough && actual.ends_with(suffix)).then_some(name.len())
        }
        None => (name == actual).then_some(usize::MAX),
    }
}

pub(crate) fn is_local(query: &ChainQuery<'_>) -> bool {
    let Some(source) = query.source else { return true };
    let source = canonical(source.ip());
    source.is_loopback() || query.destination.is_some_and(|to| canonical(to.ip()) == source)
}

#[cfg(test)]
mod tests;
