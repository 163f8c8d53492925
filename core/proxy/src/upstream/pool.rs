//! This core's connections to one endpoint, for one protocol.
//!
//! Idle HTTP/1 connections are used last in, first out: the warmest is next, and the others grow
//! old and end. HTTP/2 connections are filled one after the other. A request that finds none waits
//! for the first that is connected or comes back, whichever it is.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use ringway_http::ResetReason;
use ringway_model::cluster::{ClusterPolicy, Endpoint};
use ringway_model::route::Priority;

use super::account::{Account, Tally};
use super::connect;
use super::http1::Connection;
use super::http2::{Mux, Reserved};
use super::leases::{Leases, Unit};
use super::preface::Preface;
use super::raw::Raw;
use super::ticket::{Carrier, ConnectFailure, Place, Ticket};
use crate::transport::Transport;
use crate::worker::Worker;

/// Which HTTP the connections of a pool speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Http1,
    Http2,
    /// What ALPN chooses on each.
    Alpn,
    /// None: each connection is used once.
    Raw,
}

impl Kind {
    /// What is offered by ALPN where the TLS of the cluster names nothing (as in Envoy).
    fn alpn(self) -> &'static [&'static [u8]] {
        match self {
            Self::Http1 => &[b"http/1.1"],
            Self::Http2 => &[b"h2"],
            Self::Alpn => &[b"h2", b"http/1.1"],
            Self::Raw => &[],
        }
    }
}

/// The connections of one endpoint and protocol.
#[derive(Debug)]
pub(crate) struct Pool {
    kind: Kind,
    /// What goes in front of everything on its connections.
    preface: Option<Preface>,
    endpoint: Arc<Endpoint>,
    pub(super) worker: Rc<Worker>,
    pub(super) tally: Rc<Tally>,
    leases: Rc<Leases>,
    #[expect(clippy::vec_box, reason = "connections come and go boxed, and never move")]
    idle: RefCell<Vec<Box<Connection>>>,
    /// HTTP/2 connections that take streams, the fullest first.
    muxes: RefCell<Vec<Rc<Mux>>>,
    waiting: RefCell<VecDeque<Rc<Place>>>,
    /// Connections that are being opened.
    connecting: Cell<usize>,
    /// Connections that are open, idle or not.
    open: Cell<usize>,
    /// No longer a member: connections end instead of coming back.
    retired: Cell<bool>,
}

/// What asking for a connection gives.
#[derive(Debug)]
pub(crate) enum Acquired {
    Ready(Carrier),
    Wait(Ticket),
    Overflow,
}

impl Pool {
    pub(super) fn new(
        (kind, preface): (Kind, Option<Preface>),
        endpoint: Arc<Endpoint>,
        worker: Rc<Worker>,
        tally: Rc<Tally>,
        leases: Rc<Leases>,
    ) -> Rc<Self> {
        Rc::new(Self {
            kind,
            preface,
            endpoint,
            worker,
            tally,
            leases,
            idle: RefCell::default(),
            muxes: RefCell::default(),
            waiting: RefCell::default(),
            connecting: Cell::new(0),
            open: Cell::new(0),
            retired: Cell::new(false),
        })
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it has no connection and nobody waits for one.
    pub(super) fn is_unused(&self) -> bool {
        self.open.get() + self.connecting.get() == 0 && self.waiting.borrow().is_empty()
    }

    fn policy(&self) -> &ClusterPolicy {
        &self.tally.policy
    }

    /// A connection at once where one has room, else a ticket for the next.
    pub(crate) fn acquire(self: &Rc<Self>, priority: Priority) -> Acquired {
        if let Some(reserved) = self.reserve() {
            return Acquired::Ready(Carrier::Http2(reserved));
        }
        while let Some(mut connection) = self.pop_idle() {
            // Nobody waits on it: whoever uses it polls it with his own waker next.
            if connection.is_alive(Waker::noop()) {
                self.tell("using existing connection", connection.local());
                return Acquired::Ready(Carrier::Http1(connection));
            }
            self.closed(connection);
        }
        self.queue(priority)
    }

    fn reserve(&self) -> Option<Reserved> {
        self.muxes.borrow().iter().find_map(Mux::reserve)
    }

    fn pop_idle(&self) -> Option<Box<Connection>> {
        self.idle.borrow_mut().pop()
    }

    fn queue(self: &Rc<Self>, priority: Priority) -> Acquired {
        let (page, stats) = (&self.worker.page, &self.policy().stats);
        let Some(pending) = self.leases.pending(priority) else {
            page.inc(stats.upstream_rq_pending_overflow);
            tracing::debug!(target: "pool", "max pending streams overflow");
            return Acquired::Overflow;
        };
        page.inc(stats.upstream_rq_pending_total);
        tracing::debug!(
            target: "pool",
            "queueing stream due to no available connections (open={} connecting={})",
            self.open.get(),
            self.connecting.get()
        );
        page.raise(stats.upstream_rq_pending_active, 1);
        let place = Rc::new(Place::new(priority));
        self.waiting.borrow_mut().push_back(Rc::clone(&place));
        let ticket = Ticket::new(place, Rc::clone(self), pending);
        self.open_if_needed();
        Acquired::Wait(ticket)
    }

    /// How many requests a connection that is being opened will serve at once.
    fn expected_streams(&self) -> usize {
        match self.kind {
            Kind::Http2 => self.policy().h2.settings.max_concurrent_streams.max(1) as usize,
            Kind::Http1 | Kind::Alpn | Kind::Raw => 1,
        }
    }

    /// Opens a connection when more requests wait than connections on their way can serve.
    fn open_if_needed(self: &Rc<Self>) {
        let expected = self.connecting.get().saturating_mul(self.expected_streams());
        let priority = match self.waiting.borrow().get(expected) {
            Some(place) => place.priority,
            None => return,
        };
        let unit = self.leases.connection(priority);
        if unit.is_none() {
            self.worker.page.inc(self.policy().stats.upstream_cx_overflow);
            // Like Envoy, lets an endpoint without any connection have one even then: nobody
            // could ever serve those who wait here.
            if self.open.get() + self.connecting.get() > 0 {
                return;
            }
        }
        self.open(unit);
    }

    fn open(self: &Rc<Self>, unit: Option<Unit>) {
        self.connecting.set(self.connecting.get() + 1);
        let to = &self.endpoint.address_text;
        tracing::debug!(target: "pool", "creating a new connection to {to}");
        let pool = Rc::clone(self);
        ringway_runtime::spawn(async move {
            let (protocols, preface) = (pool.kind.alpn(), pool.preface.as_ref());
            let outcome =
                connect::open(&pool.worker, &pool.endpoint, &pool.tally, protocols, preface);
            let outcome = outcome.await;
            pool.connecting.set(pool.connecting.get() - 1);
            match outcome {
                Ok(transport) => pool.connected(transport, unit),
                Err(failure) => pool.connect_failed(&failure),
            }
        });
    }

    fn connected(self: &Rc<Self>, transport: Transport, unit: Option<Unit>) {
        self.open.set(self.open.get() + 1);
        self.tell("connected", transport.local_address());
        let account = Account::new(Rc::clone(&self.tally), unit, Instant::now());
        match self.kind {
            Kind::Http2 => self.start_mux(transport, account),
            Kind::Alpn if transport.alpn() == Some(b"h2") => self.start_mux(transport, account),
            Kind::Raw => self.serve_tunnel(Box::new(Raw::new(transport, account))),
            Kind::Http1 | Kind::Alpn => {
                self.serve_next(Box::new(Connection::new(transport, account)));
            }
        }
    }

    fn start_mux(self: &Rc<Self>, transport: Transport, account: Account) {
        let mux = Mux::start(self, transport, account);
        self.muxes.borrow_mut().push(Rc::clone(&mux));
        self.serve_streams(&mux);
    }

    /// Gives a connection to whoever waits longest. One that nobody waits for any more is closed.
    fn serve_tunnel(&self, mut raw: Box<Raw>) {
        while let Some(place) = self.next_waiting() {
            match place.fill(Ok(Carrier::Raw(raw))) {
                Err(Ok(Carrier::Raw(back))) => raw = back,
                _ => return,
            }
        }
        self.tunnel_closed();
    }

    /// The connection of a tunnel is closed.
    pub(super) fn tunnel_closed(&self) {
        self.open.set(self.open.get() - 1);
    }

    /// Like Envoy, fails every request that waits: the endpoint does not answer, and whoever
    /// retries may choose another one.
    fn connect_failed(&self, failure: &ConnectFailure) {
        let (to, reason) = (&self.endpoint.address_text, failure.reason.detail());
        tracing::debug!(target: "pool", "connect failed: {to}: {reason} {}", failure.transport);
        let (page, stats) = (&self.worker.page, &self.policy().stats);
        page.inc(stats.upstream_cx_connect_fail);
        page.inc(self.tally.endpoint.cx_connect_fail);
        page.inc(self.tally.endpoint.cx_total);
        page.inc(stats.upstream_cx_total);
        match self.kind {
            Kind::Http2 => page.inc(stats.upstream_cx_http2_total),
            Kind::Http1 | Kind::Alpn => page.inc(stats.upstream_cx_http1_total),
            Kind::Raw => {}
        }
        page.inc(stats.upstream_cx_destroy);
        page.inc(match failure.reason {
            ResetReason::ConnectionTimeout | ResetReason::LocalConnectionFailure => {
                stats.upstream_cx_destroy_local
            }
            _ => stats.upstream_cx_destroy_remote,
        });
        while let Some(place) = self.next_waiting() {
            if place.fill(Err(failure.clone())).is_ok() {
                page.inc(stats.upstream_rq_pending_failure_eject);
            }
        }
    }

    fn next_waiting(&self) -> Option<Rc<Place>> {
        self.waiting.borrow_mut().pop_front()
    }

    // ---- HTTP/1 -------------------------------------------------------------------------------

    /// Takes a connection back after its request. One that cannot serve again is closed, and
    /// another opened if somebody waits.
    pub(super) fn release(self: &Rc<Self>, mut connection: Box<Connection>, now: Instant) {
        if connection.finish(now) {
            self.serve_next(connection);
        } else {
            self.abandon(connection);
        }
    }

    /// Closes a connection.
    pub(super) fn abandon(self: &Rc<Self>, connection: Box<Connection>) {
        self.closed(connection);
        self.open_if_needed();
    }

    /// Takes back what no request has used.
    pub(crate) fn put_back(self: &Rc<Self>, carrier: Carrier) {
        match carrier {
            Carrier::Http1(connection) => self.serve_next(connection),
            Carrier::Http2(reserved) => {
                let mux = reserved.give_up();
                self.serve_streams(&mux);
            }
            Carrier::Raw(raw) => self.serve_tunnel(raw),
        }
    }

    /// Gives a connection to whoever waits longest, or keeps it for whoever comes next.
    fn serve_next(self: &Rc<Self>, mut connection: Box<Connection>) {
        if !self.waiting.borrow().is_empty() && !connection.is_alive(Waker::noop()) {
            // Its peer has said goodbye behind the last response: no request is risked on it.
            return self.abandon(connection);
        }
        while let Some(place) = self.next_waiting() {
            match place.fill(Ok(Carrier::Http1(connection))) {
                Err(Ok(Carrier::Http1(back))) => connection = back,
                _ => return,
            }
        }
        if !self.retired.get() && connection.is_alive(&self.worker.reaper_waker()) {
            self.idle.borrow_mut().push(connection);
        } else {
            self.closed(connection);
        }
    }

    fn closed(&self, connection: Box<Connection>) {
        self.open.set(self.open.get() - 1);
        self.tell("connection closed", connection.local());
        drop(connection);
    }

    // ---- HTTP/2 -------------------------------------------------------------------------------

    /// Lets those who wait open streams, as many as there is room for.
    pub(super) fn serve_streams(self: &Rc<Self>, mux: &Rc<Mux>) {
        while !self.waiting.borrow().is_empty() {
            let Some(reserved) = Mux::reserve(mux) else { break };
            let Some(place) = self.next_waiting() else { return };
            // A place that was given up gives its reservation up, too.
            drop(place.fill(Ok(Carrier::Http2(reserved))));
        }
        self.open_if_needed();
        if self.retired.get() {
            mux.leave();
        }
    }

    /// An HTTP/2 connection takes no further streams.
    pub(super) fn drop_mux(self: &Rc<Self>, mux: &Rc<Mux>) {
        self.muxes.borrow_mut().retain(|at| !Rc::ptr_eq(at, mux));
        self.open_if_needed();
    }

    /// The connection of a mux is closed.
    pub(super) fn mux_closed(self: &Rc<Self>, mux: &Rc<Mux>) {
        self.open.set(self.open.get() - 1);
        self.tell("connection closed", mux.local());
        self.drop_mux(mux);
    }

    // ---- both ---------------------------------------------------------------------------------

    /// Says what became of a connection, which is known by our own address on it.
    fn tell(&self, what: &str, local: Option<SocketAddr>) {
        if !crate::tell::is_wanted() {
            return;
        }
        let to = &self.endpoint.address_text;
        match local {
            Some(local) => tracing::debug!(target: "pool", "{what}: {to} from {local}"),
            None => tracing::debug!(target: "pool", "{what}: {to}"),
        }
    }

    pub(super) fn ticket_ended(&self) {
        self.worker.page.lower(self.policy().stats.upstream_rq_pending_active, 1);
        self.waiting.borrow_mut().retain(|place| !place.is_abandoned());
    }

    /// Closes idle connections whose peer is gone or whose time is over.
    pub(super) fn reap(self: &Rc<Self>, now: Instant) {
        let muxes: Vec<_> =
            self.muxes.borrow().iter().filter(|mux| mux.is_over(now)).cloned().collect();
        for mux in muxes {
            mux.leave();
        }
        if self.idle.borrow().is_empty() {
            return;
        }
        let waker = self.worker.reaper_waker();
        let mut idle = self.idle.take();
        for connection in idle.extract_if(.., |connection| self.has_ended(connection, now, &waker))
        {
            self.closed(connection);
        }
        *self.idle.borrow_mut() = idle;
    }

    fn has_ended(&self, connection: &mut Connection, now: Instant, waker: &Waker) -> bool {
        let unused = now.duration_since(connection.idle_since);
        let expired = self.policy().idle_timeout.is_some_and(|timeout| unused >= timeout);
        if expired {
            self.worker.page.inc(self.policy().stats.upstream_cx_idle_timeout);
        }
        expired || !connection.is_alive(waker)
    }

    /// The endpoint is no longer a member of the cluster.
    pub(super) fn retire(&self) {
        self.retired.set(true);
        for connection in self.idle.take() {
            self.closed(connection);
        }
        let muxes: Vec<_> = self.muxes.borrow().iter().cloned().collect();
        for mux in muxes {
            mux.leave();
        }
    }
}
