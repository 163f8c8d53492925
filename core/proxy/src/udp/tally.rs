//! What is counted of datagrams, and the lines of the access logs.

use std::borrow::Cow;
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use ringway_bridge::stats::Page;
use ringway_model::address::Address;
use ringway_model::cluster::ClusterPolicy;
use ringway_model::format::{FormatContext, Occasion};
use ringway_model::stats::{UdpClusterStats, UdpProxyStats};
use ringway_model::stream::{ConnectionInfo, Preamble, ResponseFlags, StreamInfo};
use ringway_model::udp::{Addresses, UdpProxy};
use ringway_runtime::datagram::Sent;
use ringway_runtime::listener::canonical;

use crate::upstream::Host;
use crate::worker::Worker;

/// The namespaces of Envoy's dynamic metadata.
const SESSION: &str = "udp.proxy.session";
const PROXY: &str = "udp.proxy.proxy";

/// What came from clients and went to them.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) bytes_received: Cell<u64>,
    pub(super) bytes_sent: Cell<u64>,
    pub(super) datagrams_received: Cell<u64>,
    pub(super) datagrams_sent: Cell<u64>,
    pub(super) errors_sent: Cell<u64>,
}

/// All sessions of a proxy on this worker, for `proxy_access_log`.
#[derive(Debug)]
pub(super) struct Totals {
    pub(super) counts: Counts,
    /// Bytes of all datagrams, those included that found no session.
    pub(super) bytes: Cell<u64>,
    pub(super) errors_received: Cell<u64>,
    pub(super) idle_timeout: Cell<u64>,
    pub(super) no_route: Cell<u64>,
    pub(super) session_total: Cell<u64>,
    start: (Instant, SystemTime),
}

pub(super) fn add(counter: &Cell<u64>, more: u64) {
    counter.set(counter.get() + more);
}

impl Counts {
    fn received(&self, bytes: u64) {
        add(&self.bytes_received, bytes);
        add(&self.datagrams_received, 1);
    }

    fn sent(&self, outcome: Result<u64, ()>) {
        match outcome {
            Ok(bytes) => {
                add(&self.bytes_sent, bytes);
                add(&self.datagrams_sent, 1);
            }
            Err(()) => add(&self.errors_sent, 1),
        }
    }
}

/// The client's side of a session.
#[derive(Debug)]
pub(super) struct Downstream {
    pub(super) page: Arc<Page>,
    pub(super) proxy: Arc<UdpProxy>,
    pub(super) counts: Counts,
    pub(super) totals: Rc<Totals>,
}

impl Downstream {
    fn stats(&self) -> &UdpProxyStats {
        &self.proxy.stats
    }

    /// A datagram has come from the client.
    pub(super) fn received(&self, bytes: u64) {
        self.page.add(self.stats().downstream_sess_rx_bytes, bytes);
        self.page.inc(self.stats().downstream_sess_rx_datagrams);
        self.counts.received(bytes);
        self.totals.counts.received(bytes);
    }
}

impl Sent for Downstream {
    fn sent(&self, outcome: io::Result<usize>) {
        let outcome = outcome.map(|bytes| bytes as u64).map_err(drop);
        match outcome {
            Ok(bytes) => {
                self.page.add(self.stats().downstream_sess_tx_bytes, bytes);
                self.page.inc(self.stats().downstream_sess_tx_datagrams);
            }
            Err(()) => self.page.inc(self.stats().downstream_sess_tx_errors),
        }
        self.counts.sent(outcome);
        self.totals.counts.sent(outcome);
    }
}

/// The endpoint's side of a session.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) page: Arc<Page>,
    pub(super) stats: Rc<UdpClusterStats>,
    pub(super) policy: Arc<ClusterPolicy>,
}

impl Upstream {
    /// A datagram has come from the endpoint.
    pub(super) fn received(&self, bytes: u64) {
        self.page.inc(self.stats.sess_rx_datagrams);
        self.page.add(self.policy.stats.upstream_cx_rx_bytes_total, bytes);
    }
}

impl Sent for Upstream {
    fn sent(&self, outcome: io::Result<usize>) {
        match outcome {
            Ok(bytes) => {
                self.page.inc(self.stats.sess_tx_datagrams);
                self.page.add(self.policy.stats.upstream_cx_tx_bytes_total, bytes as u64);
            }
            Err(_) => self.page.inc(self.stats.sess_tx_errors),
        }
    }
}

// ---- access logs ------------------------------------------------------------------------------

/// What a line speaks of, beside the counts.
pub(super) struct Line<'l> {
    pub(super) id: u64,
    pub(super) addresses: Addresses,
    pub(super) listener: &'l Arc<str>,
    pub(super) cluster: &'l str,
    pub(super) start: Instant,
    pub(super) host: Option<&'l Host>,
    pub(super) upstream_local: Option<std::net::SocketAddr>,
    pub(super) flags: ResponseFlags,
    /// Of a tunnel: how often it was asked for.
    pub(super) attempts: u32,
    /// Why there was none.
    pub(super) failure: Option<Cow<'static, str>>,
}

impl Line<'_> {
    /// The client as connections are told of.
    pub(super) fn connection(&self, preamble: Option<Preamble>) -> ConnectionInfo {
        ConnectionInfo {
            id: self.id,
            local: Address::Ip(canonical(self.addresses.destination)),
            socket_local: None,
            direct_remote: Address::Ip(canonical(self.addresses.source)),
            listener: Arc::clone(self.listener),
            tls: None,
            transport_failure: None,
            start: self.start,
            preamble: preamble.map(Rc::new),
            notes: None,
            chain: None,
        }
    }

    /// Writes the session's line in each log that wants one.
    pub(super) fn write(
        &self,
        worker: &Worker,
        proxy: &UdpProxy,
        counts: &Counts,
        occasion: Occasion,
    ) {
        if proxy.access_logs.is_empty() {
            return;
        }
        let mut metadata = Metadata::new(SESSION);
        metadata.counts(counts);
        metadata.text("cluster_name", self.cluster);
        let connection = self.connection(Some(metadata.preamble));
        let mut info = StreamInfo::new(self.start, worker.wall_clock(self.start));
        info.bytes_received = counts.bytes_received.get();
        info.bytes_sent = counts.bytes_sent.get();
        info.flags = self.flags;
        info.attempts = self.attempts;
        info.upstream_transport_failure.clone_from(&self.failure);
        info.upstream_host = self.host.map(|host| Rc::clone(&host.address_text));
        info.upstream_name = self.host.map(|host| Rc::clone(&host.name));
        info.upstream_local = self.upstream_local;
        info.finished = Some(self.start.elapsed());
        let cx = FormatContext::new(&info, &connection).on(occasion);
        worker.log.write(&proxy.access_logs, &cx);
    }
}

impl Totals {
    pub(super) fn new(worker: &Worker) -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self {
            counts: Counts::default(),
            bytes: Cell::default(),
            errors_received: Cell::default(),
            idle_timeout: Cell::default(),
            no_route: Cell::default(),
            session_total: Cell::default(),
            start: (now, worker.wall_clock(now)),
        })
    }

    /// Writes the proxy's line in each log that wants one.
    pub(super) fn write(&self, worker: &Worker, proxy: &UdpProxy, listener: &Arc<str>) {
        if proxy.proxy_access_logs.is_empty() {
            return;
        }
        let mut metadata = Metadata::new(PROXY);
        metadata.counts(&self.counts);
        metadata.number("errors_received", &self.errors_received);
        metadata.number("idle_timeout", &self.idle_timeout);
        metadata.number("no_route", &self.no_route);
        metadata.number("session_total", &self.session_total);
        let (start, start_time) = self.start;
        // A proxy has no addresses: what is empty is written as `-`.
        let nowhere = Address::Pipe(Arc::default());
        let connection = ConnectionInfo {
            id: 0,
            local: nowhere.clone(),
            socket_local: None,
            direct_remote: nowhere,
            listener: Arc::clone(listener),
            tls: None,
            transport_failure: None,
            start,
            preamble: Some(Rc::new(metadata.preamble)),
            notes: None,
            chain: None,
        };
        let mut info = StreamInfo::new(start, start_time);
        info.bytes_received = self.bytes.get();
        info.bytes_sent = self.counts.bytes_sent.get();
        info.finished = Some(start.elapsed());
        worker.log.write(&proxy.proxy_access_logs, &FormatContext::new(&info, &connection));
    }
}

/// Dynamic metadata of one namespace.
struct Metadata {
    namespace: Arc<str>,
    preamble: Preamble,
}

impl Metadata {
    fn new(namespace: &str) -> Self {
        Self { namespace: namespace.into(), preamble: Preamble::default() }
    }

    fn text(&mut self, key: &str, value: &str) {
        let namespace = Arc::clone(&self.namespace);
        self.preamble.metadata.push((namespace, key.into(), value.into()));
    }

    fn number(&mut self, key: &str, value: &Cell<u64>) {
        self.text(key, &value.get().to_string());
    }

    fn counts(&mut self, counts: &Counts) {
        self.number("bytes_received", &counts.bytes_received);
        self.number("bytes_sent", &counts.bytes_sent);
        self.number("datagrams_received", &counts.datagrams_received);
        self.number("datagrams_sent", &counts.datagrams_sent);
        self.number("errors_sent", &counts.errors_sent);
    }
}
