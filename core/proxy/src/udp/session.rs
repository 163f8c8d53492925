//! One session: the datagrams between one client and one endpoint.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use ringway_model::address::Address;
use ringway_model::format::Occasion;
use ringway_model::stream::ResponseFlags;
use ringway_model::udp::{Addresses, UdpProxy};
use ringway_runtime::buffer::Buf;
use ringway_runtime::datagram::{Datagram, Message, Socket, is_about_a_peer};
use ringway_runtime::deadline::Deadline;

use super::listening::{Datagrams, Key};
use super::tally::{Downstream, Line, Upstream, add};
use super::tunnelled::Tunnelled;
use crate::tell::about_connection;
use crate::upstream::{Host, Unit, Upstream as UpstreamCluster};

/// Datagrams of one endpoint that are passed on in one turn of the loop before others have theirs.
pub(super) const TURN_MAX: usize = 64;

/// A session, known to its listener by its key until it ends.
pub(super) struct Session {
    pub(super) key: Key,
    host: RefCell<Rc<Host>>,
    /// Its endpoint is unhealthy: the next datagram looks for another one.
    pub(super) unhealthy: Cell<bool>,
    origin: Origin,
    owner: Rc<Datagrams>,
    /// From which of our addresses the client is answered, where there are several.
    from: Option<IpAddr>,
    way: Way,
    down: Rc<Downstream>,
    up: Rc<Upstream>,
    /// When a datagram last came, from either side.
    last: Cell<Instant>,
    ended: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// Its share of `max_connections`, until it ends.
    unit: Cell<Option<Unit>>,
}

/// What carries the datagrams to the endpoint and back.
enum Way {
    /// A socket of its own.
    Socket(Socket),
    /// Another proxy.
    Tunnel(Box<Tunnelled>),
}

/// Where a session comes from, and with what it goes on whatever is configured later.
pub(super) struct Origin {
    pub(super) id: u64,
    pub(super) addresses: Addresses,
    pub(super) listener: Arc<str>,
    pub(super) cluster: Rc<str>,
    pub(super) proxy: Arc<UdpProxy>,
    pub(super) start: Instant,
}

/// Both sides of a session as they are counted.
pub(super) struct Sides {
    pub(super) down: Rc<Downstream>,
    pub(super) up: Rc<Upstream>,
}

impl Origin {
    /// A line of the access log.
    pub(super) fn line(&self) -> Line<'_> {
        Line {
            id: self.id,
            addresses: self.addresses,
            listener: &self.listener,
            cluster: &self.cluster,
            start: self.start,
            host: None,
            upstream_local: None,
            flags: ResponseFlags::default(),
            attempts: 0,
            failure: None,
        }
    }
}

impl Session {
    /// Opens the way towards the endpoint, and begins to listen to it.
    pub(super) fn open(
        owner: &Rc<Datagrams>,
        origin: Origin,
        key: Key,
        host: Rc<Host>,
        sides: Sides,
        (upstream, unit): (&Rc<UpstreamCluster>, Option<Unit>),
    ) -> io::Result<Rc<Self>> {
        let way = way(&origin.proxy, &host, &sides, upstream)?;
        let (id, to) = (origin.id, &host.address_text);
        about_connection!(debug, "filter", id, "new session to {to}: {:?}", origin.addresses);
        let session = Rc::new(Self {
            from: owner.answers_from(&key),
            key,
            host: RefCell::new(host),
            unhealthy: Cell::new(false),
            last: Cell::new(origin.start),
            origin,
            owner: Rc::clone(owner),
            way,
            down: sides.down,
            up: sides.up,
            ended: Cell::new(false),
            waker: RefCell::default(),
            unit: Cell::new(unit),
        });
        session.page().raise(session.origin.proxy.stats.downstream_sess_active, 1);
        ringway_runtime::spawn(Rc::clone(&session).run());
        Ok(session)
    }

    fn page(&self) -> &ringway_bridge::stats::Page {
        &self.down.page
    }

    /// A datagram of the client.
    pub(super) fn pass_up(&self, payload: Buf) {
        self.down.received(payload.len() as u64);
        self.last.set(ringway_runtime::now());
        match (&self.way, &self.origin.proxy.tunneling) {
            (Way::Tunnel(tunnelled), Some(tunneling)) => {
                tunnelled.push(self.owner.worker(), tunneling, payload);
                self.wake();
            }
            (Way::Socket(socket), _) => {
                let up = Rc::clone(&self.up);
                socket.send(Message { payload, to: None, from: None, teller: up });
            }
            // Whoever has a tunnel has a configuration for it.
            (Way::Tunnel(_), None) => {}
        }
    }

    /// The endpoint.
    pub(super) fn host(&self) -> Rc<Host> {
        Rc::clone(&self.host.borrow())
    }

    /// Whether the health of the endpoint decides about more than the beginning.
    pub(super) fn follows_health(&self) -> bool {
        matches!(self.way, Way::Socket(_))
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// A datagram of the endpoint.
    fn pass_down(&self, datagram: Datagram) {
        if datagram.too_large {
            self.page().inc(self.up.stats.sess_rx_datagrams_dropped);
            return;
        }
        self.up.received(datagram.payload.len() as u64);
        self.answer(datagram.payload);
    }

    fn answer(&self, payload: Buf) {
        let down = Rc::clone(&self.down);
        self.owner.send(Message {
            payload,
            to: Some(self.key.peer),
            from: self.from,
            teller: down,
        });
    }

    async fn run(self: Rc<Self>) {
        let mut times = Times {
            deadline: Deadline::new(),
            log_at: self.origin.proxy.log_interval.map(|pause| self.origin.start + pause),
        };
        match &self.way {
            Way::Socket(socket) => {
                self.relay(&mut times, |cx| self.poll_socket(cx, socket)).await;
            }
            Way::Tunnel(tunnelled) => self.run_tunnel(&mut times, tunnelled).await,
        }
        self.end();
    }

    /// Passes on what comes by `poll`, until there is no more, or the session has ended.
    async fn relay(&self, times: &mut Times, mut poll: impl FnMut(&mut Context<'_>) -> Poll<()>) {
        std::future::poll_fn(|cx| {
            if self.ended.get() || poll(cx).is_ready() {
                return Poll::Ready(());
            }
            self.remember(cx);
            self.poll_times(cx, times)
        })
        .await;
    }

    async fn run_tunnel(&self, times: &mut Times, tunnelled: &Tunnelled) {
        let proxy = Arc::clone(&self.origin.proxy);
        let Some(tunneling) = &proxy.tunneling else { return };
        let connection = self.origin.line().connection(None);
        let mut opened = false;
        let mut connecting = pin!(tunnelled.connect(
            self.owner.shared_worker(),
            &proxy,
            &connection,
            self.host(),
            |host| *self.host.borrow_mut() = Rc::clone(host),
        ));
        self.relay(times, |cx| connecting.as_mut().poll(cx).map(|outcome| opened = outcome)).await;
        if !opened {
            return;
        }
        self.last.set(ringway_runtime::now());
        self.relay(times, |cx| {
            tunnelled.poll(cx, tunneling, |payload| {
                self.page().inc(self.up.stats.sess_rx_datagrams);
                self.last.set(ringway_runtime::now());
                self.answer(payload);
            })
        })
        .await;
        tunnelled.close();
    }

    fn remember(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    /// Passes on what the endpoint says; `Ready` when there is no more to be had of the session.
    fn poll_socket(&self, cx: &mut Context<'_>, socket: &Socket) -> Poll<()> {
        for _ in 0..TURN_MAX {
            if self.ended.get() {
                return Poll::Ready(());
            }
            match socket.poll_receive(cx) {
                Poll::Ready(Ok(datagram)) => self.pass_down(datagram),
                Poll::Ready(Err(error)) => {
                    self.page().inc(self.up.stats.sess_rx_errors);
                    if !is_about_a_peer(&error) {
                        return Poll::Ready(());
                    }
                }
                Poll::Pending => return Poll::Pending,
            }
            self.last.set(ringway_runtime::now());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_times(&self, cx: &mut Context<'_>, Times { deadline, log_at }: &mut Times) -> Poll<()> {
        let proxy = &self.origin.proxy;
        loop {
            let idle_at = self.last.get() + proxy.idle_timeout;
            deadline.set(Some(log_at.map_or(idle_at, |at| at.min(idle_at))));
            if deadline.poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            if idle_at <= now {
                self.page().inc(proxy.stats.idle_timeout);
                add(&self.down.totals.idle_timeout, 1);
                if let Way::Tunnel(tunnelled) = &self.way {
                    tunnelled.flag(ResponseFlags::STREAM_IDLE_TIMEOUT);
                }
                return Poll::Ready(());
            }
            if log_at.is_some_and(|at| at <= now) {
                self.log(Occasion::UdpPeriodic);
                *log_at = proxy.log_interval.map(|pause| now + pause);
            }
        }
    }

    fn log(&self, occasion: Occasion) {
        let host = self.host();
        let mut line = Line { host: Some(&host), ..self.origin.line() };
        match &self.way {
            Way::Socket(socket) => line.upstream_local = socket.local_address(),
            Way::Tunnel(tunnelled) => {
                let told = tunnelled.told();
                (line.attempts, line.flags) = (told.attempts, told.flags);
                line.failure = told.failure;
            }
        }
        line.write(self.owner.worker(), &self.origin.proxy, &self.down.counts, occasion);
    }

    /// Ends the session: nobody finds it any more, and its socket closes with its task.
    pub(super) fn end(&self) {
        if self.ended.replace(true) {
            return;
        }
        self.owner.forget(&self.key);
        drop(self.unit.take());
        self.log(Occasion::UdpSessionEnd);
        self.page().lower(self.origin.proxy.stats.downstream_sess_active, 1);
        about_connection!(debug, "filter", self.origin.id, "session ends");
        self.wake();
    }
}

/// When a session has something to do by itself.
struct Times {
    deadline: Deadline,
    log_at: Option<Instant>,
}

/// What leads to the endpoint.
fn way(
    proxy: &UdpProxy,
    host: &Host,
    sides: &Sides,
    upstream: &Rc<UpstreamCluster>,
) -> io::Result<Way> {
    if proxy.tunneling.is_some() {
        return Ok(Way::Tunnel(Box::new(Tunnelled::new(upstream, &sides.up.stats))));
    }
    let Address::Ip(to) = host.endpoint.address else {
        return Err(io::Error::other("an endpoint that takes datagrams has an IP address"));
    };
    Socket::connected(to, proxy.max_payload).map(Way::Socket)
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("key", &self.key).finish_non_exhaustive()
    }
}
