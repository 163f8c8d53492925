//! This core's connections to one endpoint.
//!
//! Idle connections are used last in, first out: the warmest is next, and the others grow old
//! and end. A request that finds none waits for the first that is connected or comes back,
//! whichever it is.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use ringway_http::ResetReason;
use ringway_model::address::Address;
use ringway_model::cluster::{Cluster, ClusterPolicy, Endpoint};
use ringway_model::route::Priority;
use ringway_model::stats::EndpointStats;
use ringway_runtime::stream::Stream;
use ringway_runtime::{connect, deadline::Deadline};

use super::connection::{Connection, Tally};
use super::leases::{Leases, Unit};
use super::ticket::{ConnectFailure, Place, Ticket};
use crate::transport::Transport;
use crate::worker::Worker;

/// An endpoint with what this worker has to do with it.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) endpoint: Arc<Endpoint>,
    /// The address as text, this worker's copy.
    pub(crate) address_text: Rc<str>,
    worker: Rc<Worker>,
    tally: Rc<Tally>,
    leases: Rc<Leases>,
    #[expect(clippy::vec_box, reason = "connections come and go boxed, and never move")]
    idle: RefCell<Vec<Box<Connection>>>,
    waiting: RefCell<VecDeque<Rc<Place>>>,
    /// Connections that are being opened.
    connecting: Cell<usize>,
    /// Connections that are open, idle or not.
    open: Cell<usize>,
    /// Requests under way, for the balancer.
    active: Cell<u32>,
    /// No longer a member: connections end instead of coming back.
    retired: Cell<bool>,
}

/// What asking for a connection gives.
#[derive(Debug)]
pub(crate) enum Acquired {
    Connection(Box<Connection>),
    Wait(Ticket),
    Overflow,
}

impl Host {
    pub(super) fn new(
        worker: &Rc<Worker>,
        endpoint: Arc<Endpoint>,
        cluster: &Cluster,
        leases: &Rc<Leases>,
    ) -> Rc<Self> {
        let tally = Tally {
            page: Arc::clone(&worker.page),
            policy: Arc::clone(&cluster.policy),
            endpoint: EndpointStats::of(&worker.catalog, &cluster.name, &endpoint.address_text),
        };
        Rc::new(Self {
            address_text: Rc::from(&*endpoint.address_text),
            endpoint,
            worker: Rc::clone(worker),
            tally: Rc::new(tally),
            leases: Rc::clone(leases),
            idle: RefCell::default(),
            waiting: RefCell::default(),
            connecting: Cell::new(0),
            open: Cell::new(0),
            active: Cell::new(0),
            retired: Cell::new(false),
        })
    }

    fn policy(&self) -> &ClusterPolicy {
        &self.tally.policy
    }

    pub(crate) fn active(&self) -> u32 {
        self.active.get()
    }

    pub(crate) fn request_begins(&self) {
        self.worker.page.inc(self.tally.endpoint.rq_total);
        self.worker.page.raise(self.tally.endpoint.rq_active, 1);
        self.active.set(self.active.get() + 1);
    }

    pub(crate) fn request_ends(&self) {
        self.worker.page.lower(self.tally.endpoint.rq_active, 1);
        self.active.set(self.active.get() - 1);
    }

    /// Counts a request that the endpoint did not answer.
    pub(crate) fn count_failure(&self) {
        self.worker.page.inc(self.tally.endpoint.rq_error);
    }

    pub(crate) fn count_timeout(&self) {
        self.worker.page.inc(self.tally.endpoint.rq_timeout);
    }

    /// A connection at once where one is idle, else a ticket for the next.
    pub(crate) fn acquire(self: &Rc<Self>, priority: Priority) -> Acquired {
        while let Some(mut connection) = self.pop_idle() {
            // Nobody waits on it: whoever uses it polls it with his own waker next.
            if connection.is_alive(Waker::noop()) {
                self.tell("using existing connection", &connection);
                return Acquired::Connection(connection);
            }
            self.closed(connection);
        }
        self.queue(priority)
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
        let place = Rc::new(Place::default());
        self.waiting.borrow_mut().push_back(Rc::clone(&place));
        let ticket = Ticket::new(place, Rc::clone(self), pending);
        self.open_if_needed(priority);
        Acquired::Wait(ticket)
    }

    /// Opens a connection when more requests wait than connections are on their way.
    fn open_if_needed(self: &Rc<Self>, priority: Priority) {
        if self.connecting.get() >= self.waiting.borrow().len() {
            return;
        }
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
        tracing::debug!(target: "pool", "creating a new connection to {}", self.address_text);
        let host = Rc::clone(self);
        ringway_runtime::spawn(async move {
            let start = Instant::now();
            let outcome = host.connect().await;
            host.connecting.set(host.connecting.get() - 1);
            match outcome {
                Ok(stream) => host.connected(stream, unit, start),
                Err(failure) => host.connect_failed(&failure),
            }
        });
    }

    async fn connect(&self) -> Result<Stream, ConnectFailure> {
        let mut deadline = Deadline::new();
        deadline.set(Some(Instant::now() + self.policy().connect_timeout));
        let mut attempt = std::pin::pin!(connect_to(&self.endpoint.address));
        std::future::poll_fn(|cx| {
            use std::task::Poll;
            if let Poll::Ready(result) = attempt.as_mut().poll(cx) {
                return Poll::Ready(result.map_err(|error| self.refused(&error)));
            }
            deadline.poll(cx).map(|()| Err(self.timed_out()))
        })
        .await
    }

    fn refused(&self, error: &io::Error) -> ConnectFailure {
        ConnectFailure {
            reason: ResetReason::RemoteConnectionFailure,
            transport: format!("delayed connect error: {}", os_text(error)).into(),
        }
    }

    fn timed_out(&self) -> ConnectFailure {
        self.worker.page.inc(self.policy().stats.upstream_cx_connect_timeout);
        ConnectFailure { reason: ResetReason::ConnectionTimeout, transport: "".into() }
    }

    fn connected(self: &Rc<Self>, stream: Stream, unit: Option<Unit>, start: Instant) {
        let now = Instant::now();
        let elapsed = now.duration_since(start).as_millis() as u64;
        self.worker.page.record(self.policy().stats.upstream_cx_connect_ms, elapsed);
        if let Some(keepalive) = self.policy().keepalive {
            stream.set_keepalive(keepalive.time, keepalive.interval, keepalive.probes);
        }
        self.open.set(self.open.get() + 1);
        let tally = Rc::clone(&self.tally);
        let connection = Connection::new(Transport::Plain(stream), tally, unit, now);
        self.tell("connected", &connection);
        self.serve_next(Box::new(connection));
    }

    /// Like Envoy, fails every request that waits: the endpoint does not answer, and whoever
    /// retries may choose another one.
    fn connect_failed(&self, failure: &ConnectFailure) {
        let (to, reason) = (&self.address_text, failure.reason.detail());
        tracing::debug!(target: "pool", "connect failed: {to}: {reason} {}", failure.transport);
        let (page, stats) = (&self.worker.page, &self.policy().stats);
        page.inc(stats.upstream_cx_connect_fail);
        page.inc(self.tally.endpoint.cx_connect_fail);
        page.inc(self.tally.endpoint.cx_total);
        page.inc(stats.upstream_cx_total);
        page.inc(stats.upstream_cx_http1_total);
        page.inc(stats.upstream_cx_destroy);
        page.inc(match failure.reason {
            ResetReason::ConnectionTimeout => stats.upstream_cx_destroy_local,
            _ => stats.upstream_cx_destroy_remote,
        });
        loop {
            let Some(place) = self.waiting.borrow_mut().pop_front() else { break };
            if place.fill(Err(failure.clone())).is_ok() {
                page.inc(stats.upstream_rq_pending_failure_eject);
            }
        }
    }

    /// Takes a connection back after its request. One that cannot serve again is closed, and
    /// another opened if somebody waits.
    pub(crate) fn release(self: &Rc<Self>, mut connection: Box<Connection>, now: Instant) {
        if connection.finish(now) {
            self.serve_next(connection);
        } else {
            self.closed(connection);
            self.open_if_needed(Priority::Default);
        }
    }

    /// Closes a connection in the middle of a request.
    pub(crate) fn abandon(self: &Rc<Self>, connection: Box<Connection>) {
        self.closed(connection);
        self.open_if_needed(Priority::Default);
    }

    /// Takes a connection back that no request has used.
    pub(crate) fn put_back(self: &Rc<Self>, connection: Box<Connection>) {
        self.serve_next(connection);
    }

    /// Gives a connection to whoever waits longest, or keeps it for whoever comes next.
    fn serve_next(self: &Rc<Self>, mut connection: Box<Connection>) {
        if !self.waiting.borrow().is_empty() && !connection.is_alive(Waker::noop()) {
            // Its peer has said goodbye behind the last response: no request is risked on it.
            self.closed(connection);
            return self.open_if_needed(Priority::Default);
        }
        loop {
            let Some(place) = self.waiting.borrow_mut().pop_front() else { break };
            match place.fill(Ok(connection)) {
                Ok(()) => return,
                Err(Ok(back)) => connection = back,
                Err(Err(_)) => return,
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
        self.tell("connection closed", &connection);
        drop(connection);
    }

    /// Says what became of a connection, which is known by our own address on it.
    fn tell(&self, what: &str, connection: &Connection) {
        let to = &self.address_text;
        match connection.local {
            Some(local) => tracing::debug!(target: "pool", "{what}: {to} from {local}"),
            None => tracing::debug!(target: "pool", "{what}: {to}"),
        }
    }

    pub(super) fn ticket_ended(&self) {
        self.worker.page.lower(self.policy().stats.upstream_rq_pending_active, 1);
        self.waiting.borrow_mut().retain(|place| !place.is_abandoned());
    }

    /// Closes idle connections whose peer is gone or whose time is over.
    pub(crate) fn reap(&self, now: Instant) {
        if self.idle.borrow().is_empty() {
            return;
        }
        let waker = self.worker.reaper_waker();
        let mut idle = self.idle.take();
        let ended = |connection: &mut Box<Connection>| {
            let expired = self
                .policy()
                .idle_timeout
                .is_some_and(|timeout| now.duration_since(connection.idle_since) >= timeout);
            if expired {
                self.worker.page.inc(self.policy().stats.upstream_cx_idle_timeout);
            }
            expired || !connection.is_alive(&waker)
        };
        for connection in idle.extract_if(.., ended) {
            self.closed(connection);
        }
        *self.idle.borrow_mut() = idle;
    }

    /// The endpoint is no longer a member of the cluster.
    pub(crate) fn retire(&self) {
        self.retired.set(true);
        for connection in self.idle.take() {
            self.closed(connection);
        }
    }
}

async fn connect_to(address: &Address) -> io::Result<Stream> {
    match address {
        Address::Ip(address) => connect::tcp(*address).await,
        Address::Pipe(path) => connect::unix(path).await,
    }
}

/// The text of `strerror`, as Envoy prints it: `Connection refused`.
fn os_text(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
