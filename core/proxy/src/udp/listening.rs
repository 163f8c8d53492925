//! A UDP listener on this worker: its socket, and the sessions of those who send to it.
//!
//! The kernel sends the datagrams of one client to one worker's socket for as long as the sockets
//! stay the same, so a session needs no other worker.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::RandomState;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use ringway_bridge::stats::StatName;
use ringway_lb::Health;
use ringway_model::cluster::ClusterId;
use ringway_model::format::Occasion;
use ringway_model::listener::Listener;
use ringway_model::route::Priority;
use ringway_model::stats::UdpClusterStats;
use ringway_model::stream::ResponseFlags;
use ringway_model::udp::{Addresses, UdpListener, UdpProxy};
use ringway_runtime::datagram::{Datagram, Message, Options, Socket, is_about_a_peer};
use rustc_hash::{FxHashMap, FxHashSet};

use super::session::{Origin, Session, Sides};
use super::tally::{Downstream, Line, Totals, Upstream as UpstreamTally, add};
use crate::upstream::{Host, Upstream};
use crate::worker::Worker;

/// Datagrams that are looked at in one turn of the loop before others have theirs.
const TURN_MAX: usize = 128;
/// Sessions of one listener on one worker, whatever the clusters' circuit breakers allow.
const SESSIONS_MAX: usize = 1 << 16;
/// Pause after a receive that failed for want of memory.
const PAUSE: Duration = Duration::from_millis(10);

/// By what a session is found. Addresses are the kernel's own, not made canonical.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The client.
    pub(super) peer: SocketAddr,
    /// Where it sent its datagram.
    pub(super) local: SocketAddr,
    /// With `use_per_packet_load_balancing`: which host, by where it lies. The session holds it,
    /// so that no other can lie there.
    host: Option<usize>,
}

/// A UDP listener on this worker.
pub(crate) struct Datagrams {
    worker: Rc<Worker>,
    listener: RefCell<Arc<Listener>>,
    socket: RefCell<Rc<Socket>>,
    bound: SocketAddr,
    /// Clients choose their addresses, so the hash must not be one that they know.
    sessions: RefCell<HashMap<Key, Rc<Session>, RandomState>>,
    totals: RefCell<Rc<Totals>>,
    /// Statistics of the clusters that may be chosen and exist.
    clusters: RefCell<FxHashMap<ClusterId, Rc<UdpClusterStats>>>,
    ended: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// Why a datagram has no session.
enum NoSession {
    /// No cluster, or none that exists.
    NoRoute,
    /// No endpoint; the cluster counts it.
    NoHost,
    /// `max_connections`; the cluster counts it.
    Overflow,
    /// There are too many sessions, or no more sockets.
    Failed,
}

impl Datagrams {
    /// Begins to receive on this worker's socket of `listener`.
    ///
    /// # Errors
    /// The process has no descriptor left, or the listener none for this worker.
    pub(crate) fn start(worker: &Rc<Worker>, listener: &Arc<Listener>) -> io::Result<Rc<Self>> {
        let bound = listener.address.ip().ok_or_else(|| io::Error::other("no IP address"))?;
        let this = Rc::new(Self {
            worker: Rc::clone(worker),
            socket: RefCell::new(open(worker, listener)?),
            listener: RefCell::new(Arc::clone(listener)),
            bound,
            sessions: RefCell::default(),
            totals: RefCell::new(Totals::new(worker)),
            clusters: RefCell::default(),
            ended: Cell::new(false),
            waker: RefCell::default(),
        });
        this.register_clusters();
        ringway_runtime::spawn(Rc::clone(&this).receive());
        Ok(this)
    }

    pub(super) fn worker(&self) -> &Worker {
        &self.worker
    }

    pub(super) fn shared_worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    // ---- from one generation to the next -------------------------------------------------------

    /// Follows the next generation: new sessions are opened by it, and those that there are go on
    /// as they began.
    pub(crate) fn update(&self, listener: &Arc<Listener>) {
        let before = self.listener.replace(Arc::clone(listener));
        let (Some(old), Some(new)) = (&before.udp, &listener.udp) else { return };
        if !Arc::ptr_eq(&old.proxy, &new.proxy) {
            let totals = self.totals.replace(Totals::new(&self.worker));
            totals.write(&self.worker, &old.proxy, &before.name);
        }
        if old.max_payload != new.max_payload {
            match open(&self.worker, listener) {
                Ok(socket) => {
                    socket.count_on_from(&self.socket.borrow());
                    *self.socket.borrow_mut() = socket;
                }
                Err(error) => tracing::error!(%error, "the old max_rx_datagram_size stays"),
            }
            self.wake();
        }
    }

    /// Looks at the endpoints of all sessions after a change of clusters: the sessions of those
    /// that are gone end, and those of unhealthy ones look for another with their next datagram.
    pub(crate) fn follow_clusters(&self) {
        self.register_clusters();
        let mut unhealthy = FxHashSet::default();
        for id in self.clusters.borrow().keys() {
            let Some(upstream) = self.worker.upstream(*id) else { continue };
            let ill = upstream.hosts_with(Health::Unhealthy);
            unhealthy.extend(ill.map(Rc::as_ptr));
        }
        let all: Vec<_> = self.sessions.borrow().values().map(Rc::clone).collect();
        for session in all {
            let host = session.host();
            let is_ill = unhealthy.contains(&Rc::as_ptr(&host));
            session.unhealthy.set(is_ill && session.follows_health());
            if host.is_retired() {
                session.end();
            }
        }
    }

    /// As Envoy, the clusters' statistics are there from the beginning.
    fn register_clusters(&self) {
        let mut clusters = self.clusters.borrow_mut();
        clusters.clear();
        let Some(udp) = &self.listener.borrow().udp else { return };
        udp.proxy.routes.each_action(&mut |cluster| {
            if let Some(upstream) = self.worker.upstream(cluster.id) {
                clusters.insert(cluster.id, stats_of(&self.worker, &upstream));
            }
        });
    }

    /// Receives nothing any more, and ends all sessions.
    pub(crate) fn end(&self) {
        if self.ended.replace(true) {
            return;
        }
        let all: Vec<_> = self.sessions.borrow().values().map(Rc::clone).collect();
        for session in all {
            session.end();
        }
        let listener = self.listener.borrow();
        if let Some(udp) = &listener.udp {
            self.totals.borrow().write(&self.worker, &udp.proxy, &listener.name);
        }
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    // ---- receiving -----------------------------------------------------------------------------

    async fn receive(self: Rc<Self>) {
        while !self.ended.get() {
            let failed = std::future::poll_fn(|cx| self.poll_datagrams(cx)).await;
            if let Err(error) = failed {
                tracing::warn!(%error, "receiving datagrams failed");
                ringway_runtime::sleep(PAUSE).await;
            }
        }
    }

    /// `Ready` when that is all, or when the socket fails.
    fn poll_datagrams(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..TURN_MAX {
            if self.ended.get() {
                return Poll::Ready(Ok(()));
            }
            let socket = Rc::clone(&self.socket.borrow());
            match socket.poll_receive(cx) {
                Poll::Ready(Ok(datagram)) => self.take(datagram),
                Poll::Ready(Err(error)) => {
                    self.note_error();
                    if !is_about_a_peer(&error) {
                        return Poll::Ready(Err(error));
                    }
                }
                Poll::Pending => {
                    self.drop_datagrams(socket.take_dropped());
                    *self.waker.borrow_mut() = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn note_error(&self) {
        if let Some(udp) = &self.listener.borrow().udp {
            self.worker.page.inc(udp.proxy.stats.downstream_sess_rx_errors);
        }
        add(&self.totals.borrow().errors_received, 1);
    }

    fn drop_datagrams(&self, count: u64) {
        if count > 0
            && let Some(udp) = &self.listener.borrow().udp
        {
            self.worker.page.add(udp.stats.downstream_rx_datagram_dropped, count);
        }
    }

    fn take(self: &Rc<Self>, datagram: Datagram) {
        let Some(peer) = datagram.peer.filter(|_| !datagram.too_large) else {
            return self.drop_datagrams(1);
        };
        let listener = self.listener.borrow();
        let Some(udp) = &listener.udp else { return };
        add(&self.totals.borrow().bytes, datagram.payload.len() as u64);
        let ip = datagram.local.unwrap_or(self.bound.ip());
        let local = SocketAddr::new(ip, self.bound.port());
        let key = Key { peer, local, host: None };
        let session = match udp.proxy.per_packet {
            false => self.session(&listener, udp, key),
            true => self.session_of_packet(&listener, udp, key),
        };
        match session {
            Ok(session) => session.pass_up(datagram.payload),
            Err(NoSession::NoRoute) => {
                self.worker.page.inc(udp.proxy.stats.downstream_sess_no_route);
                add(&self.totals.borrow().no_route, 1);
            }
            Err(NoSession::Failed) => self.drop_datagrams(1),
            Err(NoSession::NoHost | NoSession::Overflow) => {}
        }
    }

    // ---- sessions ------------------------------------------------------------------------------

    fn session(
        self: &Rc<Self>,
        listener: &Arc<Listener>,
        udp: &UdpListener,
        key: Key,
    ) -> Result<Rc<Session>, NoSession> {
        let found = self.sessions.borrow().get(&key).map(Rc::clone);
        match found {
            Some(session) if session.unhealthy.get() => {
                Ok(self.replace(listener, udp, &key, &session).unwrap_or(session))
            }
            Some(session) => Ok(session),
            None => {
                let (upstream, host) = self.choose(udp, &key)?;
                self.open(listener, &udp.proxy, key, &upstream, host)
            }
        }
    }

    /// As in Envoy, a session moves from an unhealthy endpoint to one that is better, or stays.
    fn replace(
        self: &Rc<Self>,
        listener: &Arc<Listener>,
        udp: &UdpListener,
        key: &Key,
        session: &Session,
    ) -> Option<Rc<Session>> {
        let (upstream, host) = self.choose(udp, key).ok()?;
        let mut ill = upstream.hosts_with(Health::Unhealthy);
        if Rc::ptr_eq(&host, &session.host()) || ill.any(|one| Rc::ptr_eq(one, &host)) {
            return None;
        }
        session.end();
        self.open(listener, &udp.proxy, key.clone(), &upstream, host).ok()
    }

    /// `use_per_packet_load_balancing`: the host first, then the session with it.
    fn session_of_packet(
        self: &Rc<Self>,
        listener: &Arc<Listener>,
        udp: &UdpListener,
        mut key: Key,
    ) -> Result<Rc<Session>, NoSession> {
        let (upstream, host) = self.choose(udp, &key)?;
        key.host = Some(Rc::as_ptr(&host) as usize);
        let found = self.sessions.borrow().get(&key).map(Rc::clone);
        match found {
            Some(session) => Ok(session),
            None => self.open(listener, &udp.proxy, key, &upstream, host),
        }
    }

    fn choose(&self, udp: &UdpListener, key: &Key) -> Result<(Rc<Upstream>, Rc<Host>), NoSession> {
        let addresses = key.addresses();
        let route = udp.proxy.routes.find(&addresses.query());
        let upstream = route.and_then(|cluster| self.worker.upstream(cluster.id));
        let upstream = upstream.ok_or(NoSession::NoRoute)?;
        let policy = udp.proxy.hash.filter(|_| upstream.hashes());
        let hash = policy.and_then(|policy| policy.hash(&addresses));
        let Some(host) = upstream.pick(&self.worker, hash).map(Rc::clone) else {
            self.worker.page.inc(upstream.cluster.policy.stats.upstream_cx_none_healthy);
            return Err(NoSession::NoHost);
        };
        Ok((upstream, host))
    }

    fn open(
        self: &Rc<Self>,
        listener: &Arc<Listener>,
        proxy: &Arc<UdpProxy>,
        key: Key,
        upstream: &Rc<Upstream>,
        host: Rc<Host>,
    ) -> Result<Rc<Session>, NoSession> {
        if self.sessions.borrow().len() >= SESSIONS_MAX {
            return Err(NoSession::Failed);
        }
        self.worker.page.inc(proxy.stats.downstream_sess_total);
        add(&self.totals.borrow().session_total, 1);
        let origin = Origin {
            id: self.worker.next_number(),
            addresses: key.addresses(),
            listener: Arc::clone(&listener.name),
            cluster: Rc::clone(&upstream.name),
            proxy: Arc::clone(proxy),
            start: Instant::now(),
        };
        let sides = self.sides(proxy, upstream);
        // The pool of connections to the other proxy asks for units itself.
        let unit = upstream.leases.connection(Priority::Default);
        if unit.is_none() && proxy.tunneling.is_none() {
            self.worker.page.inc(upstream.cluster.policy.stats.upstream_cx_overflow);
            let flags = ResponseFlags::UPSTREAM_OVERFLOW;
            let line = Line { flags, ..origin.line() };
            line.write(&self.worker, proxy, &sides.down.counts, Occasion::UdpSessionEnd);
            return Err(NoSession::Overflow);
        }
        let unit = unit.filter(|_| proxy.tunneling.is_none());
        let session = Session::open(self, origin, key.clone(), host, sides, (upstream, unit));
        let session = session.map_err(|error| {
            tracing::debug!(target: "filter", "no session: {error}");
            NoSession::Failed
        })?;
        self.sessions.borrow_mut().insert(key, Rc::clone(&session));
        Ok(session)
    }

    fn sides(&self, proxy: &Arc<UdpProxy>, upstream: &Upstream) -> Sides {
        let page = &self.worker.page;
        let known = self.clusters.borrow().get(&upstream.cluster.id).map(Rc::clone);
        Sides {
            down: Rc::new(Downstream {
                page: Arc::clone(page),
                proxy: Arc::clone(proxy),
                counts: Default::default(),
                totals: Rc::clone(&self.totals.borrow()),
            }),
            up: Rc::new(UpstreamTally {
                page: Arc::clone(page),
                stats: known.unwrap_or_else(|| stats_of(&self.worker, upstream)),
                policy: Arc::clone(&upstream.cluster.policy),
            }),
        }
    }

    /// Sends a datagram to a client.
    pub(super) fn send(&self, message: Message) {
        self.socket.borrow().send(message);
    }

    /// The address that a client is answered from, if the socket has more than one.
    pub(super) fn answers_from(&self, key: &Key) -> Option<IpAddr> {
        self.bound.ip().is_unspecified().then(|| key.local.ip())
    }

    pub(super) fn forget(&self, key: &Key) {
        self.sessions.borrow_mut().remove(key);
    }
}

impl Key {
    fn addresses(&self) -> Addresses {
        Addresses { source: self.peer, destination: self.local }
    }
}

fn open(worker: &Worker, listener: &Listener) -> io::Result<Rc<Socket>> {
    let fd = listener.sockets.fds.duplicate(worker.index)?;
    let is_any = listener.address.ip().is_some_and(|bound| bound.ip().is_unspecified());
    let max_payload = listener.udp.as_ref().map_or(0, |udp| udp.max_payload);
    Ok(Rc::new(Socket::new(fd, Options { max_payload, peers: true, locals: is_any })?))
}

/// `cluster.<name>.udp.*`
fn stats_of(worker: &Worker, upstream: &Upstream) -> Rc<UdpClusterStats> {
    let StatName { full, base, tags } = &upstream.cluster.policy.stat_scope;
    let (full, base) = (format!("{full}.udp"), format!("{base}.udp"));
    Rc::new(UdpClusterStats::register(&worker.catalog, &full, &base, tags))
}

impl std::fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Datagrams").field("bound", &self.bound).finish_non_exhaustive()
    }
}
