//! A downstream connection: request after request until one side has had enough.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ringway_http::h1::{RequestDecoder, RequestError};
use ringway_http::{Fields, RequestHead, ResponseHead};
use ringway_model::filter::FilterState;
use ringway_model::http::ConnectionManager;
use ringway_model::listener::Terminal;
use ringway_model::route::Scratch;
use ringway_model::stream::ConnectionInfo;
use ringway_runtime::deadline::Deadline;

use super::exchange::Exchange;
use super::pump::QUEUE_MAX;
use crate::listener::{Listening, find_chain};
use crate::tell::about_connection;
use crate::transport::Transport;
use crate::wire::{Broken, Event, Wire};
use crate::worker::Worker;

/// How long an idle connection may stay when the worker or its listener is going away: long
/// enough for a request that is on its way, short enough for an operator who waits.
const DRAIN_GRACE: Duration = Duration::from_secs(1);
/// How long the last response may take to be sent when no stream timeout is configured.
const FLUSH_PATIENCE: Duration = Duration::from_secs(300);
/// Requests that one connection may be served in one turn of the loop: a client that sends many at
/// once shares the core with the others.
const BURST_MAX: u32 = 16;
/// Storage for heads that an idle connection keeps; what a large head took beyond it is given back.
const KEPT_BYTES: usize = 16 << 10;
/// Bytes that are read and thrown away from a client that was told to go.
const LINGER_BYTES: u64 = 1 << 20;

/// A connection with the storage that its requests use one after the other.
#[derive(Debug)]
pub(super) struct Downstream {
    pub(super) worker: Rc<Worker>,
    pub(super) wire: Wire<RequestDecoder>,
    pub(super) info: ConnectionInfo,
    pub(super) deadline: Deadline,
    /// The time of this turn of the loop: read once per turn, since reading it costs as much as
    /// looking for a route.
    pub(super) now: Instant,
    pub(super) request: RequestHead,
    pub(super) response: ResponseHead,
    /// Of the response, for the access log.
    pub(super) trailers: Fields,
    pub(super) scratch: Scratch,
    pub(super) text: Vec<u8>,
    /// Where filters keep what they know of a request; empty between requests.
    pub(super) states: Vec<FilterState>,
    /// How much may wait to be sent before reading stops, per direction.
    pub(super) buffer_limit: usize,
    listening: Rc<Listening>,
    chain: Arc<str>,
    revision: u64,
    #[expect(
        clippy::redundant_allocation,
        reason = "each request clones it, and an `Arc` would have all cores write one count"
    )]
    manager: Rc<Arc<ConnectionManager>>,
    /// The next generation has no such chain: the connection ends with its next response.
    orphaned: bool,
    served: u32,
    /// Requests taken since this connection last waited for something.
    burst: u32,
    idle_since: Instant,
    counted: (u64, u64),
    closed_by_peer: bool,
}

/// How an exchange leaves the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may carry another request.
    KeepAlive,
    /// What is queued is sent, then it ends.
    Close,
    /// It ends at once: the peer is gone, or must see that a body is not complete.
    Abort,
}

/// What comes next on a connection between requests.
enum Next {
    Request,
    Malformed(RequestError),
    /// The head did not arrive in time.
    Late {
        idle: bool,
    },
    /// The peer is gone, or nothing came for too long.
    Ended,
}

/// Serves a connection to its end.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    listening: Rc<Listening>,
    chain: Arc<str>,
    manager: Arc<ConnectionManager>,
    stream: Transport,
    info: ConnectionInfo,
) {
    let mut downstream = Downstream::new(worker, listening, chain, manager, stream, info);
    let verdict = downstream.run().await;
    if verdict == Verdict::Close {
        downstream.linger().await;
    }
    downstream.finish();
}

impl Downstream {
    fn new(
        worker: Rc<Worker>,
        listening: Rc<Listening>,
        chain: Arc<str>,
        manager: Arc<ConnectionManager>,
        stream: Transport,
        info: ConnectionInfo,
    ) -> Self {
        let stats = &manager.stats;
        worker.page.inc(stats.downstream_cx_total);
        worker.page.inc(stats.downstream_cx_http1_total);
        worker.page.raise(stats.downstream_cx_active, 1);
        worker.page.raise(stats.downstream_cx_http1_active, 1);
        Self {
            wire: Wire::new(stream, RequestDecoder::new(manager.h1)),
            deadline: Deadline::new(),
            now: info.start,
            request: RequestHead::new(),
            response: ResponseHead::new(),
            trailers: Fields::new(),
            scratch: Scratch::new(),
            text: Vec::new(),
            states: Vec::new(),
            buffer_limit: listening.listener().buffer_limit,
            revision: listening.revision(),
            idle_since: info.start,
            manager: Rc::new(manager),
            worker,
            listening,
            chain,
            info,
            orphaned: false,
            served: 0,
            burst: 0,
            counted: (0, 0),
            closed_by_peer: false,
        }
    }

    async fn run(&mut self) -> Verdict {
        loop {
            let next = self.next().await;
            let manager = Rc::clone(&self.manager);
            let exchange = match next {
                Next::Ended => return Verdict::Abort,
                _ => Exchange::new(self, &manager),
            };
            let verdict = match next {
                Next::Request => exchange.run().await,
                Next::Malformed(error) => exchange.refuse(error),
                Next::Late { idle } => exchange.too_late(idle),
                Next::Ended => Verdict::Abort,
            };
            self.count_bytes();
            if verdict != Verdict::KeepAlive {
                return verdict;
            }
            self.served += 1;
            self.idle_since = self.now;
            self.shrink();
        }
    }

    /// Gives back what a large message took.
    fn shrink(&mut self) {
        self.wire.stream.relax();
        let request = self.request.fields.capacity_bytes() + self.request.path_mut().capacity();
        if request + self.text.capacity() > KEPT_BYTES {
            self.request = RequestHead::new();
            self.scratch = Scratch::new();
            self.text = Vec::new();
        }
        if self.response.fields.capacity_bytes() > KEPT_BYTES {
            self.response = ResponseHead::new();
        }
    }

    /// Waits for the next request head, sending what is still queued of the last response.
    async fn next(&mut self) -> Next {
        let mut head_since = None;
        std::future::poll_fn(|cx| self.poll_next(cx, &mut head_since)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, head_since: &mut Option<Instant>) -> Poll<Next> {
        if let Poll::Ready(Err(_)) = self.wire.stream.poll_flush_unattended(cx) {
            self.closed_by_peer = true;
            return Poll::Ready(Next::Ended);
        }
        if self.must_pause(cx) {
            return self.poll_patience(cx, None);
        }
        match self.wire.poll_event(cx, &mut self.request) {
            Poll::Ready(Ok(Event::Head)) => {
                self.burst += 1;
                self.follow_configuration();
                return Poll::Ready(Next::Request);
            }
            Poll::Ready(Ok(_) | Err(Broken::Closed)) => {
                self.closed_by_peer = true;
                return Poll::Ready(Next::Ended);
            }
            Poll::Ready(Err(Broken::Protocol(error))) => {
                return Poll::Ready(Next::Malformed(error));
            }
            Poll::Pending => self.burst = 0,
        }
        if !self.wire.decoder.is_idle() && head_since.is_none() {
            *head_since = Some(Instant::now());
        }
        self.poll_patience(cx, *head_since)
    }

    /// Whether the next request has to wait: the client does not take the responses that it has
    /// asked for, or has had its turn. The task is woken when it may go on.
    fn must_pause(&mut self, cx: &Context<'_>) -> bool {
        if self.wire.stream.queued_bytes() >= self.buffer_limit.clamp(1, QUEUE_MAX) {
            return true;
        }
        let had_its_turn = self.burst >= BURST_MAX;
        if had_its_turn {
            self.burst = 0;
            cx.waker().wake_by_ref();
        }
        had_its_turn
    }

    /// Whether the time for the next head is over.
    fn poll_patience(&mut self, cx: &mut Context<'_>, head_since: Option<Instant>) -> Poll<Next> {
        let timeouts = self.manager.timeouts;
        let (at, late) = match head_since {
            None => (self.earliest_end(), Next::Ended),
            Some(since) => match (timeouts.request_headers, timeouts.stream_idle) {
                (Some(head), idle) if idle.is_none_or(|idle| head <= idle) => {
                    (Some(since + head), Next::Late { idle: false })
                }
                (_, idle) => (idle.map(|idle| since + idle), Next::Late { idle: true }),
            },
        };
        self.deadline.set(at);
        if self.deadline.poll(cx).is_pending() {
            return Poll::Pending;
        }
        let end = self.idle_end();
        if matches!(late, Next::Ended) && end != at {
            // Another time counts now, as the last response was taken or was not.
            self.deadline.set(end);
            return self.deadline.poll(cx).map(|()| Next::Ended);
        }
        if matches!(late, Next::Ended) && self.ending_since().is_none() {
            self.worker.page.inc(self.manager.stats.downstream_cx_idle_timeout);
            about_connection!(debug, "http", self.info.id, "idle timeout");
        }
        Poll::Ready(late)
    }

    /// When to look whether an idle connection ends. A response that is sent wakes nobody, so
    /// while there is one this is the earlier of both times.
    fn earliest_end(&mut self) -> Option<Instant> {
        match self.wire.stream.is_flushed() {
            true => self.rest_end(),
            false => [self.rest_end(), self.flush_end()].into_iter().flatten().min(),
        }
    }

    /// When an idle connection ends.
    fn idle_end(&mut self) -> Option<Instant> {
        if self.wire.stream.is_flushed() { self.rest_end() } else { self.flush_end() }
    }

    /// A client that does not take its last response is given up like an idle stream, and not
    /// before, whatever else ends connections.
    fn flush_end(&self) -> Option<Instant> {
        self.manager.timeouts.stream_idle.map(|idle| self.idle_since + idle)
    }

    /// When a connection that has nothing to send ends.
    fn rest_end(&self) -> Option<Instant> {
        let timeouts = &self.manager.timeouts;
        let idle = timeouts.connection_idle.map(|idle| self.idle_since + idle);
        let oldest = timeouts.max_connection_duration.map(|max| self.info.start + max);
        let drained = self.ending_since().map(|since| since.max(self.idle_since) + DRAIN_GRACE);
        [idle, oldest, drained].into_iter().flatten().min()
    }

    /// Since when this connection should come to an end, if it should.
    fn ending_since(&self) -> Option<Instant> {
        self.worker.draining_since().or_else(|| self.listening.removed_since())
    }

    /// Takes the newest configuration of this connection's filter chain. A chain that is gone
    /// leaves the connection with what it had, for one more response.
    fn follow_configuration(&mut self) {
        if self.revision == self.listening.revision() {
            return;
        }
        self.revision = self.listening.revision();
        let listener = self.listening.listener();
        let chain = find_chain(&listener, &self.info);
        match chain.filter(|chain| chain.name == self.chain) {
            Some(chain) => {
                let Terminal::Http(manager) = &chain.terminal;
                self.orphaned = manager.h1 != self.manager.h1;
                self.switch(manager);
            }
            None => self.orphaned = true,
        }
    }

    fn switch(&mut self, manager: &Arc<ConnectionManager>) {
        let page = &self.worker.page;
        // The gauges follow the connection when the statistics have another prefix.
        for (old, new) in [
            (self.manager.stats.downstream_cx_active, manager.stats.downstream_cx_active),
            (
                self.manager.stats.downstream_cx_http1_active,
                manager.stats.downstream_cx_http1_active,
            ),
        ] {
            page.lower(old, 1);
            page.raise(new, 1);
        }
        self.manager = Rc::new(Arc::clone(manager));
    }

    /// Whether the response under way should be the last one of this connection, and why.
    pub(super) fn wants_close(&self) -> bool {
        let (page, stats) = (&self.worker.page, &self.manager.stats);
        if self.orphaned || self.worker.wants_close() || self.listening.removed_since().is_some() {
            page.inc(stats.downstream_cx_drain_close);
            return true;
        }
        let max = self.manager.max_requests_per_connection;
        if max.is_some_and(|max| self.served + 1 >= max) {
            page.inc(stats.downstream_cx_max_requests_reached);
            return true;
        }
        let oldest = self.manager.timeouts.max_connection_duration;
        if oldest.is_some_and(|oldest| self.now.duration_since(self.info.start) >= oldest) {
            page.inc(stats.downstream_cx_max_duration_reached);
            return true;
        }
        false
    }

    pub(super) fn note_peer_close(&mut self) {
        self.closed_by_peer = true;
    }

    /// Sends what is queued, says goodbye, and gives the client a moment to read it: closing a
    /// socket with unread bytes would reset the connection and destroy the response on its way
    /// (`delayed_close_timeout`).
    async fn linger(&mut self) {
        let delay = self.manager.timeouts.delayed_close;
        let patience = self.manager.timeouts.stream_idle.unwrap_or(FLUSH_PATIENCE);
        self.deadline.set(Some(Instant::now() + patience));
        self.wire.stream.say_goodbye();
        let flushed = std::future::poll_fn(|cx| match self.wire.stream.poll_flush(cx) {
            Poll::Ready(result) => Poll::Ready(result.is_ok()),
            Poll::Pending => self.poll_flush_patience(cx).map(|()| false),
        });
        if !flushed.await {
            return;
        }
        self.wire.stream.shutdown_write();
        let Some(delay) = delay else { return };
        self.deadline.set(Some(Instant::now() + delay));
        self.wire.discard_input();
        let (start, _) = self.wire.stream.transferred();
        std::future::poll_fn(|cx| self.poll_goodbye(cx, start)).await;
    }

    /// A client that does not take its last response is given up when nothing moves for the idle
    /// time of a stream.
    fn poll_flush_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.deadline.poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.worker.page.inc(self.manager.stats.downstream_cx_delayed_close_timeout);
        Poll::Ready(())
    }

    fn poll_goodbye(&mut self, cx: &mut Context<'_>, start: u64) -> Poll<()> {
        loop {
            if self.deadline.poll(cx).is_ready() {
                self.worker.page.inc(self.manager.stats.downstream_cx_delayed_close_timeout);
                return Poll::Ready(());
            }
            match self.wire.stream.poll_receive(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(bytes)) if !bytes.is_empty() => {
                    if self.wire.stream.transferred().0 - start > LINGER_BYTES {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    }

    fn count_bytes(&mut self) {
        let (received, sent) = self.wire.stream.transferred();
        let (page, stats) = (&self.worker.page, &self.manager.stats);
        page.add(stats.downstream_cx_rx_bytes_total, received - self.counted.0);
        page.add(stats.downstream_cx_tx_bytes_total, sent - self.counted.1);
        self.counted = (received, sent);
    }

    fn finish(mut self) {
        self.count_bytes();
        let (end, served) = (if self.closed_by_peer { "remote" } else { "local" }, self.served);
        about_connection!(debug, "connection", self.info.id, "{end} close after {served} streams");
        let (page, stats) = (&self.worker.page, &self.manager.stats);
        page.lower(stats.downstream_cx_active, 1);
        page.lower(stats.downstream_cx_http1_active, 1);
        page.inc(stats.downstream_cx_destroy);
        page.inc(if self.closed_by_peer {
            stats.downstream_cx_destroy_remote
        } else {
            stats.downstream_cx_destroy_local
        });
        let length = self.info.start.elapsed().as_millis() as u64;
        page.record(stats.downstream_cx_length_ms, length);
    }
}
