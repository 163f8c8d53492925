//! One session: the datagrams between one client and one endpoint.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::IpAddr;
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
use crate::tell::about_connection;
use crate::upstream::{Host, Unit};

/// Datagrams of one endpoint that are passed on in one turn of the loop before others have theirs.
const TURN_MAX: usize = 64;

/// A session, known to its listener by its key until it ends.
pub(super) struct Session {
    pub(super) key: Key,
    pub(super) host: Rc<Host>,
    /// Its endpoint is unhealthy: the next datagram looks for another one.
    pub(super) unhealthy: Cell<bool>,
    origin: Origin,
    owner: Rc<Datagrams>,
    /// From which of our addresses the client is answered, where there are several.
    from: Option<IpAddr>,
    socket: Socket,
    down: Rc<Downstream>,
    up: Rc<Upstream>,
    /// When a datagram last came, from either side.
    last: Cell<Instant>,
    ended: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// Its share of `max_connections`, until it ends.
    unit: Cell<Option<Unit>>,
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
        }
    }
}

impl Session {
    /// Opens the socket towards the endpoint, and begins to listen to it.
    pub(super) fn open(
        owner: &Rc<Datagrams>,
        origin: Origin,
        key: Key,
        host: Rc<Host>,
        sides: Sides,
        unit: Unit,
    ) -> io::Result<Rc<Self>> {
        let Address::Ip(to) = host.endpoint.address else {
            return Err(io::Error::other("an endpoint that takes datagrams has an IP address"));
        };
        let socket = Socket::connected(to, origin.proxy.max_payload)?;
        let (id, to) = (origin.id, &host.address_text);
        about_connection!(debug, "filter", id, "new session to {to}: {:?}", origin.addresses);
        let session = Rc::new(Self {
            from: owner.answers_from(&key),
            key,
            host,
            unhealthy: Cell::new(false),
            last: Cell::new(origin.start),
            origin,
            owner: Rc::clone(owner),
            socket,
            down: sides.down,
            up: sides.up,
            ended: Cell::new(false),
            waker: RefCell::default(),
            unit: Cell::new(Some(unit)),
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
        let up = Rc::clone(&self.up);
        self.socket.send(Message { payload, to: None, from: None, teller: up });
    }

    /// A datagram of the endpoint.
    fn pass_down(&self, datagram: Datagram) {
        if datagram.too_large {
            self.page().inc(self.up.stats.sess_rx_datagrams_dropped);
            return;
        }
        self.up.received(datagram.payload.len() as u64);
        let down = Rc::clone(&self.down);
        self.owner.send(Message {
            payload: datagram.payload,
            to: Some(self.key.peer),
            from: self.from,
            teller: down,
        });
    }

    async fn run(self: Rc<Self>) {
        let mut deadline = Deadline::new();
        let mut log_at = self.origin.proxy.log_interval.map(|pause| self.origin.start + pause);
        std::future::poll_fn(|cx| {
            if self.poll_upstream(cx).is_ready() {
                return Poll::Ready(());
            }
            self.poll_times(cx, &mut deadline, &mut log_at)
        })
        .await;
        self.end();
    }

    /// Passes on what the endpoint says; `Ready` when there is no more to be had of the session.
    fn poll_upstream(&self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURN_MAX {
            if self.ended.get() {
                return Poll::Ready(());
            }
            match self.socket.poll_receive(cx) {
                Poll::Ready(Ok(datagram)) => self.pass_down(datagram),
                Poll::Ready(Err(error)) => {
                    self.page().inc(self.up.stats.sess_rx_errors);
                    if !is_about_a_peer(&error) {
                        return Poll::Ready(());
                    }
                }
                Poll::Pending => {
                    let mut waker = self.waker.borrow_mut();
                    if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                        *waker = Some(cx.waker().clone());
                    }
                    return Poll::Pending;
                }
            }
            self.last.set(ringway_runtime::now());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_times(
        &self,
        cx: &mut Context<'_>,
        deadline: &mut Deadline,
        log_at: &mut Option<Instant>,
    ) -> Poll<()> {
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
                return Poll::Ready(());
            }
            if log_at.is_some_and(|at| at <= now) {
                self.log(Occasion::UdpPeriodic);
                *log_at = proxy.log_interval.map(|pause| now + pause);
            }
        }
    }

    fn log(&self, occasion: Occasion) {
        let line = Line {
            host: Some(&self.host),
            upstream_local: self.socket.local_address(),
            ..self.origin.line()
        };
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
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("key", &self.key).finish_non_exhaustive()
    }
}
