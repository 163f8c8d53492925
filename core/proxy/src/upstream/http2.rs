//! An HTTP/2 connection to an endpoint, and the streams on it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use ringway_http::h2::{self, ErrorCode};
use ringway_http::{Body, Fields, RequestHead, ResetReason, ResponseHead, Version};
use ringway_model::stream::ResponseFlags;
use ringway_runtime::buffer::Buf;
use ringway_tls::Handshake;

use super::account::Account;
use super::pool::Pool;
use crate::hcm::sides::{Failure, ServerSide};
use crate::http2::{Counts, Driver, Ended, Item, Over, Session, Stream, Turn};
use crate::transport::Transport;
use crate::wire::Event;

/// A connection that carries many requests. Its task ends it.
#[derive(Debug)]
pub(crate) struct Mux {
    session: Rc<Session>,
    account: Account,
    pool: Weak<Pool>,
    local: Option<SocketAddr>,
    handshake: Option<Rc<Handshake>>,
    /// Streams that were promised to requests and are not open yet.
    promised: Cell<usize>,
    /// No further streams are opened on it.
    leaving: Cell<bool>,
    /// Since when no stream is open.
    idle_since: Cell<Instant>,
}

/// The promise of a stream, given back when dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    mux: Rc<Mux>,
}

impl Mux {
    /// Starts the task that drives the connection.
    pub(super) fn start(pool: &Rc<Pool>, transport: Transport, account: Account) -> Rc<Self> {
        account.tally.count(|stats| stats.upstream_cx_http2_total);
        let policy = &account.tally.policy;
        let options = policy.h2_keepalive.vary(&policy.h2, pool.worker.random());
        let counts = Counts::new(&account.tally.page, &policy.h2_stats);
        let local = transport.local_address();
        let handshake = transport.handshake().map(Rc::clone);
        let driver = Driver::new(transport, Buf::default(), counts, |now_ms| {
            h2::Connection::client(options, now_ms)
        });
        let mux = Rc::new(Self {
            session: Rc::clone(&driver.session),
            idle_since: Cell::new(account.opened),
            account,
            pool: Rc::downgrade(pool),
            local,
            handshake,
            promised: Cell::new(0),
            leaving: Cell::new(false),
        });
        ringway_runtime::spawn(drive(Rc::clone(&mux), Rc::clone(pool), driver));
        mux
    }

    pub(super) fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// A stream for a request, if there is room for one.
    pub(super) fn reserve(self: &Rc<Self>) -> Option<Reserved> {
        let free = self.session.free_streams() > self.promised.get();
        if self.leaving.get() || !free {
            return None;
        }
        self.promised.set(self.promised.get() + 1);
        Some(Reserved { mux: Rc::clone(self) })
    }

    /// Opens no further streams, and ends with the last.
    pub(super) fn leave(self: &Rc<Self>) {
        if self.leaving.replace(true) {
            return;
        }
        if let Some(pool) = self.pool.upgrade() {
            pool.drop_mux(self);
        }
        self.part();
    }

    /// Says goodbye behind the last stream. A promise outlives the membership of the endpoint, and
    /// some servers cut answers short when they hear GOAWAY.
    fn part(&self) {
        let is_unused = self.promised.get() == 0 && self.session.open_streams() == 0;
        if self.leaving.get() && is_unused {
            self.session.go_away(ErrorCode::NoError);
        }
    }

    /// Whether an unused connection has had its time. Counts why.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        if self.leaving.get() {
            return false;
        }
        let policy = &self.account.tally.policy;
        let unused = now.duration_since(self.idle_since.get());
        let is_idle = self.session.open_streams() == 0 && self.promised.get() == 0;
        if is_idle && policy.idle_timeout.is_some_and(|timeout| unused >= timeout) {
            self.account.tally.count(|stats| stats.upstream_cx_idle_timeout);
            return true;
        }
        self.account.is_old(now)
    }

    /// `connection_idle_interval`: asks a connection that was silent for long whether it lives.
    fn probe_after_silence(&self) {
        let interval = self.account.tally.policy.h2_keepalive.idle_interval;
        if self.session.open_streams() == 0
            && interval.is_some_and(|interval| self.idle_since.get().elapsed() >= interval)
        {
            self.session.probe();
        }
    }

    /// A stream ended.
    fn stream_ended(self: &Rc<Self>, now: Instant) {
        if self.session.open_streams() == 0 {
            self.account.rest();
            self.idle_since.set(now);
        }
        if !self.leaving.get() && self.account.is_worn(now) {
            return self.leave();
        }
        self.part();
        if let Some(pool) = self.pool.upgrade() {
            pool.serve_streams(self);
        }
    }
}

/// Moves the bytes of a connection, to its end.
async fn drive(mux: Rc<Mux>, pool: Rc<Pool>, mut driver: Driver) {
    let over = std::future::poll_fn(|cx| poll(&mux, &mut driver, cx)).await;
    match over {
        Over::Closed => mux.account.note_peer_close(),
        Over::Failed(error) if error.is_protocol_error() => {
            mux.account.tally.count(|stats| stats.upstream_cx_protocol_error);
        }
        Over::Done | Over::Failed(_) => {}
    }
    mux.session.end(over);
    mux.leaving.set(true);
    pool.mux_closed(&mux);
    // A GOAWAY that does not fit into the socket at once is not worth waiting for.
    if !matches!(over, Over::Closed) {
        driver.say_last_words();
        driver.transport.say_goodbye();
        std::future::poll_fn(|cx| Poll::Ready(driver.transport.poll_flush(cx).is_ready())).await;
    }
    mux.account.count_bytes(driver.transport.transferred());
}

fn poll(mux: &Rc<Mux>, driver: &mut Driver, cx: &mut Context<'_>) -> Poll<Over> {
    while let Poll::Ready(turn) = driver.poll(cx) {
        match turn {
            Turn::Over(over) => return Poll::Ready(over),
            Turn::Leaving => {
                mux.account.tally.count(|stats| stats.upstream_cx_close_notify);
                mux.leave();
            }
            // Servers open no streams.
            Turn::Opened(..) | Turn::Refused => {}
        }
    }
    mux.account.count_bytes(driver.transport.transferred());
    match mux.session.is_done() {
        true => Poll::Ready(Over::Done),
        false => Poll::Pending,
    }
}

impl Reserved {
    /// Gives the promise back.
    pub(super) fn give_up(self) -> Rc<Mux> {
        Rc::clone(&self.mux)
    }

    /// Whether the peer takes no stream any more, since it was promised.
    pub(crate) fn is_void(&self) -> bool {
        self.mux.session.free_streams() == 0
    }

    /// Waits until it is known whether the peer takes upgrades (RFC 8441 section 3).
    pub(crate) fn poll_settled(&self, cx: &Context<'_>) -> Poll<()> {
        self.mux.session.poll_settled(cx)
    }

    /// Opens the stream with a request; `is_end` where nothing follows its head.
    pub(crate) fn open(self, head: &RequestHead, is_end: bool) -> Result<Server, Failure> {
        let mux = Rc::clone(&self.mux);
        mux.probe_after_silence();
        match Stream::open(&mux.session, head, is_end) {
            Ok(stream) => {
                mux.account.begin();
                Ok(Server { stream, mux, body: Body::None })
            }
            // The peer changed its mind since the stream was promised.
            Err(_) => Err(Failure {
                reason: ResetReason::LocalRefusedStreamReset,
                flag: ResponseFlags::LOCAL_RESET,
            }),
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.mux.promised.set(self.mux.promised.get() - 1);
        self.mux.part();
    }
}

/// The server of one stream.
#[derive(Debug)]
pub(crate) struct Server {
    stream: Stream,
    mux: Rc<Mux>,
    body: Body,
}

impl Server {
    fn failure(&self, ended: Ended) -> Failure {
        match ended {
            Ended::Reset { error: Some(_), .. } => Failure {
                reason: ResetReason::ProtocolError,
                flag: ResponseFlags::UPSTREAM_PROTOCOL_ERROR,
            },
            Ended::Reset { reason, .. } => {
                self.mux.account.tally.count(|stats| stats.upstream_rq_rx_reset);
                Failure { reason, flag: ResponseFlags::UPSTREAM_REMOTE_RESET }
            }
            Ended::Connection(Over::Closed | Over::Done) => Failure {
                reason: ResetReason::ConnectionTermination,
                flag: ResponseFlags::UPSTREAM_CONNECTION_TERMINATION,
            },
            // A PING that was not answered: as if the peer had gone.
            Ended::Connection(Over::Failed(error)) if !error.is_protocol_error() => Failure {
                reason: ResetReason::ConnectionTermination,
                flag: ResponseFlags::UPSTREAM_CONNECTION_TERMINATION,
            },
            Ended::Connection(Over::Failed(_)) => Failure {
                reason: ResetReason::ProtocolError,
                flag: ResponseFlags::UPSTREAM_PROTOCOL_ERROR,
            },
        }
    }
}

impl ServerSide for Server {
    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<Event, Failure>> {
        let item = ready!(self.stream.poll_next(cx)).map_err(|ended| self.failure(ended))?;
        Poll::Ready(Ok(match item {
            Item::Informational(hint) => {
                *head = hint;
                Event::Informational
            }
            Item::Head(answer, body) => {
                *head = answer;
                self.body = body;
                Event::Head
            }
            Item::Data(data) => Event::Data(data),
            Item::Trailers => Event::Trailers,
            Item::Complete => Event::Complete,
        }))
    }

    /// A stream is one from the beginning.
    fn open_tunnel(&mut self) {}

    fn body(&self) -> Body {
        self.body
    }

    fn trailers(&self) -> &Fields {
        self.stream.trailers()
    }

    fn send_data(&mut self, data: Buf) {
        self.stream.send_data(data);
    }

    fn send_end(&mut self, trailers: Option<&Fields>) {
        self.stream.send_end(trailers);
    }

    fn queued_bytes(&self) -> usize {
        self.stream.pending_bytes()
    }

    fn queue_max(&self) -> usize {
        self.stream.pending_max()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        self.stream.poll_flush(cx).map_err(drop)
    }

    fn is_flushed(&mut self) -> bool {
        self.stream.is_flushed()
    }

    fn local_address(&self) -> Option<SocketAddr> {
        self.mux.local
    }

    fn version(&self) -> Option<Version> {
        Some(Version::Http2)
    }

    fn handshake(&self) -> Option<&Rc<Handshake>> {
        self.mux.handshake.as_ref()
    }

    fn count_answer(&self, good: bool) {
        self.mux.account.tally.count_answer(good);
    }

    fn end(self, _pool: &Rc<Pool>, is_clean: bool, now: Instant) {
        let Self { stream, mux, .. } = self;
        if !is_clean && !stream.is_over() {
            mux.account.tally.count(|stats| stats.upstream_rq_tx_reset);
        }
        // A handle that is dropped too early resets its stream.
        drop(stream);
        mux.stream_ended(now);
    }
}
