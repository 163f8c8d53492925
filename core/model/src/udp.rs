//! The UDP proxy's configuration (Envoy `UdpProxyConfig`), and that of the socket under it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringway_http::{Known, RequestHead};

use crate::access_log::AccessLog;
use crate::cluster::ClusterRef;
use crate::format::{Format, FormatContext};
use crate::listener::ChainQuery;
use crate::matching::Choice;
use crate::route::{HeaderMutations, Scratch, hash_of_ip};
use crate::stats::{UdpListenerStats, UdpProxyStats};
use crate::tcp::Backoff;

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
    /// `tunneling_config`: datagrams go through another proxy.
    pub tunneling: Option<UdpTunneling>,
    /// `udp.<stat_prefix>.*`
    pub stats: UdpProxyStats,
}

/// `UdpTunnelingConfig`: a request to another proxy for each session (RFC 9298).
#[derive(Debug)]
pub struct UdpTunneling {
    /// `proxy_host`, the authority of the request.
    pub proxy_host: Format,
    /// `proxy_port`, which goes along with the host.
    pub proxy_port: Option<u16>,
    /// `target_host`.
    pub target_host: Format,
    /// `default_target_port`.
    pub target_port: u16,
    /// `use_post` with its `post_path`; none asks for `connect-udp`.
    pub post_path: Option<Box<str>>,
    /// `headers_to_add`.
    pub headers: HeaderMutations,
    /// `retry_options.max_connect_attempts`, 1.
    pub max_connect_attempts: u32,
    /// `retry_options.backoff_options`.
    pub backoff: Option<Backoff>,
    /// `buffer_options`: what may wait for the tunnel; none of it without.
    pub buffer: DatagramBuffer,
    /// The session filter `http_capsule`: each datagram is a capsule (RFC 9297). Without it they
    /// are the bytes of the body as they are, as in Envoy.
    pub capsules: bool,
}

/// `BufferOptions`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DatagramBuffer {
    /// `max_buffered_datagrams`, 1,024.
    pub max_datagrams: usize,
    /// `max_buffered_bytes`, 16 KiB.
    pub max_bytes: usize,
}

impl UdpTunneling {
    /// Writes the request for a tunnel; `scheme` is that of the connection to the other proxy.
    pub fn write_request(&self, scheme: &[u8], cx: &FormatContext<'_>, head: &mut RequestHead) {
        head.clear();
        let mut text = Vec::new();
        self.proxy_host.write(cx, &mut text);
        if let Some(port) = self.proxy_port {
            text.extend_from_slice(format!(":{port}").as_bytes());
        }
        head.set_authority(&text);
        head.set_scheme(scheme);
        match &self.post_path {
            Some(path) => {
                head.set_method(b"POST");
                head.set_path(path.as_bytes());
            }
            None => {
                head.set_method(b"GET");
                head.set_path(&self.path(cx));
                head.fields.set_known(Known::Connection, b"Upgrade");
                head.fields.set_known(Known::Upgrade, b"connect-udp");
                head.fields.push(b"capsule-protocol", b"?1");
            }
        }
        self.headers.apply_request(head, cx, &mut Scratch::new());
    }

    /// RFC 9298 section 3: the default template, in which the colons of an address are escaped.
    fn path(&self, cx: &FormatContext<'_>) -> Vec<u8> {
        let mut host = Vec::new();
        self.target_host.write(cx, &mut host);
        let mut path = b"/.well-known/masque/udp/".to_vec();
        for byte in host {
            match byte {
                b':' => path.extend_from_slice(b"%3A"),
                other => path.push(other),
            }
        }
        path.extend_from_slice(format!("/{}/", self.target_port).as_bytes());
        path
    }
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
