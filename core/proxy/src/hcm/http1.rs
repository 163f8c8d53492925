//! A downstream connection that speaks HTTP/1: request after request until one side has had
//! enough.

use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use ringway_bridge::stats::Page;
use ringway_http::h1::{
    ConnectionField, Framing, RequestDecoder, RequestError, ResponseOptions, Upgrade,
    encode_response, encode_trailers,
};
use ringway_http::{Body, Fields, RequestHead, ResponseHead, Version};
use ringway_model::http::ConnectionManager;
use ringway_runtime::buffer::Buf;
use ringway_runtime::deadline::Deadline;
use ringway_runtime::recycled::Recycled;

use super::binding::Binding;
use super::downstream::{Downstream, Verdict};
use super::exchange::Exchange;
use super::farewell::linger;
use super::idle::Idle;
use super::pump::QUEUE_MAX;
use super::sides::{Answer, Asked, ClientSide, Lost};
use crate::tell::about_connection;
use crate::transport::Transport;
use crate::wire::{Broken, COPY_MAX, Event, Wire, copied};

/// How long an idle connection may stay when the worker or its listener is going away: long
/// enough for a request that is on its way, short enough for an operator who waits.
const DRAIN_GRACE: Duration = Duration::from_secs(1);
/// Requests that one connection may be served in one turn of the loop: a client that sends many at
/// once shares the core with the others.
const BURST_MAX: u32 = 16;

/// The client of an HTTP/1 connection, as long as it asks for something: what it is between its
/// requests, and what these need.
#[derive(Debug)]
pub(super) struct Http1 {
    resting: Box<Resting>,
    decoder: RequestDecoder,
    /// The response goes out in chunks.
    chunked: bool,
    tunnel: Tunnel,
    /// Our side of a tunnel ends behind what is queued.
    half_close: bool,
}

/// A connection without a request, as which it spends most of its life: as little as possible.
#[derive(Debug)]
pub(super) struct Resting {
    pub(super) wire: Wire,
    pub(super) binding: Binding,
    /// Since when the connection has nothing to do but to send.
    idle_since: Instant,
    /// Requests answered.
    served: u32,
}

/// How far a connection has become a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tunnel {
    No,
    Open,
    /// The client has ended its side.
    Ended,
}

/// A connection that has received something: it holds what a request needs until it has nothing
/// to do again.
#[derive(Debug)]
struct Busy {
    down: Downstream<Http1>,
    /// Requests taken since this connection last waited for something.
    burst: u32,
}

/// What comes next on a busy connection.
enum Next {
    Request,
    Malformed(RequestError),
    /// The head did not arrive in time.
    Late {
        idle: bool,
    },
    /// The client has gone within a head.
    Left,
    /// Nothing for now.
    Nothing,
    /// The peer is gone, or nothing came for too long.
    Ended,
}

/// Serves a connection to its end. `input` was received already.
pub(super) fn serve(
    binding: Binding,
    transport: Transport,
    input: Buf,
) -> impl Future<Output = ()> + 'static {
    // Outside of the future, which would keep room for all three as long as it lives.
    rest(Idle::new(Resting::new(binding, transport, input)))
}

async fn rest(mut idle: Idle) {
    loop {
        if !idle.wait().await {
            idle.side.wire.stream.part();
            break;
        }
        // Most of a connection's life is between its requests: what they need is taken for them.
        let (next, verdict, is_silent) = Recycled::new(|| serve_requests(idle)).await;
        idle = next;
        match verdict {
            Verdict::KeepAlive => {}
            Verdict::Close => {
                Recycled::new(|| part(&mut idle, is_silent)).await;
                break;
            }
            Verdict::Abort => break,
        }
    }
    idle.side.count_bytes();
}

/// Serves what has come, and gives the connection back when there is nothing more. The last value
/// is whether a client whose connection ends will say nothing more.
async fn serve_requests(idle: Idle) -> (Idle, Verdict, bool) {
    let mut busy = Busy::new(idle);
    let verdict = busy.run().await;
    let (Http1 { resting, decoder, .. }, deadline) = busy.down.release();
    // RFC 9112 section 9.6: a client that said `close` sends nothing more, so that nothing unread
    // can destroy the response on its way.
    let is_silent = !decoder.keep_alive() && decoder.is_idle() && !resting.wire.has_input();
    (Idle { side: resting, deadline }, verdict, is_silent)
}

async fn part(idle: &mut Idle, is_silent: bool) {
    let Idle { side, deadline } = idle;
    let parting = side.binding.parting();
    side.wire.discard_input();
    linger(&mut side.wire.stream, deadline, &parting, is_silent).await;
}

impl Busy {
    fn new(Idle { side, deadline }: Idle) -> Self {
        let (worker, info) = (Rc::clone(&side.binding.worker), Rc::clone(&side.binding.info));
        let buffer_limit = side.binding.buffer_limit();
        let side = Http1::new(side);
        Self { down: Downstream::new(side, worker, info, deadline, buffer_limit), burst: 0 }
    }

    async fn run(&mut self) -> Verdict {
        loop {
            let next = self.next().await;
            let manager = Rc::clone(&self.down.side.resting.binding.manager);
            let mut exchange = match next {
                Next::Nothing => return Verdict::KeepAlive,
                Next::Ended => {
                    self.down.side.resting.wire.stream.part();
                    return Verdict::Abort;
                }
                _ => Exchange::new(&mut self.down, &manager),
            };
            let verdict = match next {
                Next::Request => exchange.run().await,
                Next::Malformed(error) => exchange.refuse(error),
                Next::Late { idle } => exchange.too_late(idle),
                Next::Left => exchange.left(),
                Next::Nothing | Next::Ended => Verdict::Abort,
            };
            let (side, now) = (&mut self.down.side.resting, self.down.now);
            side.count_bytes();
            if verdict != Verdict::KeepAlive {
                return verdict;
            }
            side.served += 1;
            side.idle_since = now;
            side.wire.stream.relax();
        }
    }

    /// Waits for the next request head, sending what is still queued of the last response.
    async fn next(&mut self) -> Next {
        let mut head_since = None;
        std::future::poll_fn(|cx| self.poll_next(cx, &mut head_since)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, head_since: &mut Option<Instant>) -> Poll<Next> {
        let Http1 { resting, decoder, .. } = &mut self.down.side;
        if let Poll::Ready(Err(_)) = resting.wire.stream.poll_flush_unattended(cx) {
            resting.binding.note_peer_close();
            return Poll::Ready(Next::Ended);
        }
        let is_clogged = resting.is_clogged();
        if is_clogged && decoder.is_idle() {
            return Poll::Ready(Next::Nothing);
        }
        if is_clogged || self.had_its_turn(cx) {
            return self.poll_patience(cx, *head_since);
        }
        let Http1 { resting, decoder, .. } = &mut self.down.side;
        match resting.wire.poll_event(cx, decoder, &mut self.down.request) {
            Poll::Ready(Ok(Event::Head)) => {
                self.burst += 1;
                resting.binding.follow_configuration();
                return Poll::Ready(Next::Request);
            }
            Poll::Ready(Err(Broken::Closed)) if !decoder.is_idle() => {
                return Poll::Ready(Next::Left);
            }
            Poll::Ready(Ok(_) | Err(Broken::Closed)) => {
                resting.binding.note_peer_close();
                return Poll::Ready(Next::Ended);
            }
            Poll::Ready(Err(Broken::Protocol(error))) => {
                return Poll::Ready(Next::Malformed(error));
            }
            Poll::Pending if decoder.is_idle() => {
                return Poll::Ready(Next::Nothing);
            }
            Poll::Pending => self.burst = 0,
        }
        head_since.get_or_insert_with(ringway_runtime::now);
        self.poll_patience(cx, *head_since)
    }

    /// Whether others have their turn first. The task is woken when it may go on.
    fn had_its_turn(&mut self, cx: &Context<'_>) -> bool {
        let had_its_turn = self.burst >= BURST_MAX;
        if had_its_turn {
            self.burst = 0;
            cx.waker().wake_by_ref();
        }
        had_its_turn
    }

    /// Whether the time for the next head is over.
    fn poll_patience(&mut self, cx: &mut Context<'_>, head_since: Option<Instant>) -> Poll<Next> {
        let Downstream { side: Http1 { resting: side, .. }, deadline, .. } = &mut self.down;
        let Some(since) = head_since else {
            return side.poll_rest_end(cx, deadline).map(|()| Next::Ended);
        };
        let head = side.binding.manager.timeouts.request_headers;
        let (at, late) = match (head, side.binding.stream_idle()) {
            (Some(head), idle) if idle.is_none_or(|idle| head <= idle) => {
                (Some(since + head), Next::Late { idle: false })
            }
            (_, idle) => (idle.map(|idle| since + idle), Next::Late { idle: true }),
        };
        deadline.set(at);
        deadline.poll(cx).map(|()| late)
    }
}

impl Http1 {
    fn new(resting: Box<Resting>) -> Self {
        Self {
            decoder: RequestDecoder::new(resting.binding.manager.h1),
            resting,
            chunked: false,
            tunnel: Tunnel::No,
            half_close: false,
        }
    }

    fn tail(&mut self) -> &mut Vec<u8> {
        self.resting.wire.stream.tail()
    }
}

impl Resting {
    fn new(mut binding: Binding, transport: Transport, input: Buf) -> Box<Self> {
        let total = binding.manager.stats.downstream_cx_http1_total;
        binding.speaks(Version::Http11, total, |stats| stats.downstream_cx_http1_active);
        Box::new(Self {
            wire: Wire::new(transport, input),
            idle_since: binding.info.start,
            binding,
            served: 0,
        })
    }

    fn count_bytes(&mut self) {
        self.binding.count_bytes(self.wire.stream.transferred());
    }

    /// Whether the client does not take the responses that it has asked for: the next request has
    /// to wait.
    pub(super) fn is_clogged(&self) -> bool {
        let queued = self.wire.stream.queued_bytes();
        queued > 0 && queued >= self.binding.buffer_limit().clamp(1, QUEUE_MAX)
    }

    /// Whether the time of a connection without a request is over. Counts it.
    pub(super) fn poll_rest_end(
        &mut self,
        cx: &mut Context<'_>,
        deadline: &mut Deadline,
    ) -> Poll<()> {
        let at = self.earliest_end();
        deadline.set(at);
        ready!(deadline.poll(cx));
        let end = self.idle_end();
        if end != at {
            // Another time counts now, as the last response was taken or was not.
            deadline.set(end);
            return deadline.poll(cx);
        }
        let binding = &self.binding;
        if binding.ending_since().is_none() {
            binding.worker.page.inc(binding.manager.stats.downstream_cx_idle_timeout);
            about_connection!(debug, "http", binding.info.id, "idle timeout");
        }
        Poll::Ready(())
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
        self.binding.stream_idle().map(|idle| self.idle_since + idle)
    }

    /// When a connection that has nothing to send ends.
    fn rest_end(&self) -> Option<Instant> {
        let binding = &self.binding;
        let (idle, oldest) = (binding.idle_end(self.idle_since), binding.oldest_end());
        let drained = binding.ending_since().map(|since| since.max(self.idle_since) + DRAIN_GRACE);
        [idle, oldest, drained].into_iter().flatten().min()
    }
}

impl ClientSide for Http1 {
    fn count_request(page: &Page, manager: &ConnectionManager) {
        page.inc(manager.stats.downstream_rq_http1_total);
    }

    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut RequestHead,
    ) -> Poll<Result<Event, Lost>> {
        match ready!(self.resting.wire.poll_event(cx, &mut self.decoder, head)) {
            Ok(event) => Poll::Ready(Ok(event)),
            // Half of a tunnel may end before the other.
            Err(Broken::Closed) if self.tunnel == Tunnel::Open => {
                self.tunnel = Tunnel::Ended;
                Poll::Ready(Ok(Event::Complete))
            }
            Err(Broken::Closed) => Poll::Ready(Err(Lost::Closed)),
            Err(Broken::Protocol(error)) => Poll::Ready(Err(Lost::Malformed(error))),
        }
    }

    fn received_event(&mut self, head: &mut RequestHead) -> Option<Event> {
        // An error comes again, from `poll_event`.
        self.resting.wire.received_event(&mut self.decoder, head).ok().flatten()
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Lost> {
        match self.tunnel {
            Tunnel::Ended => Poll::Pending,
            _ => self.resting.wire.poll_gone(cx).map(|()| Lost::Closed),
        }
    }

    fn body(&self) -> Body {
        self.decoder.body()
    }

    fn trailers(&self) -> &Fields {
        self.decoder.trailers()
    }

    fn upgrade(&self) -> Upgrade {
        self.decoder.upgrade()
    }

    fn expects_continue(&self) -> bool {
        self.decoder.expect_continue()
    }

    fn keep_alive(&self) -> bool {
        self.decoder.keep_alive()
    }

    fn refuses_request(&self) -> bool {
        self.resting.binding.refuses_request()
    }

    fn wants_close(&mut self, now: Instant) -> bool {
        self.resting.binding.wants_close(now)
            || self.resting.binding.is_worn(self.resting.served + 1)
    }

    fn open_tunnel(&mut self) {
        self.decoder.tunnel();
        self.tunnel = Tunnel::Open;
    }

    fn send_continue(&mut self) {
        self.tail().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    fn send_informational(&mut self, head: &ResponseHead, asked: Asked) {
        let options = ResponseOptions {
            version: asked.version,
            asked: asked.method,
            ..ResponseOptions::default()
        };
        encode_response(head, Framing::None, options, self.tail());
    }

    fn send_head(&mut self, head: &ResponseHead, answer: Answer, _is_end: bool) {
        let options = ResponseOptions {
            version: answer.asked.version,
            asked: answer.asked.method,
            connection: match head.status {
                101 => ConnectionField::Upgrade,
                _ if self.tunnel == Tunnel::Open => ConnectionField::Absent,
                _ => connection_field(answer.close, answer.asked.version),
            },
            key_format: answer.key_format,
        };
        self.chunked = answer.framing == Framing::Chunked;
        encode_response(head, answer.framing, options, self.tail());
    }

    fn send_data(&mut self, data: Buf) {
        self.resting.wire.queue(data, self.chunked);
    }

    fn send_text(&mut self, text: &[u8]) {
        match text.len() <= COPY_MAX {
            true => self.tail().extend_from_slice(text),
            false => self.resting.wire.stream.push(copied(text)),
        }
    }

    fn send_end(&mut self, trailers: Option<&Fields>) {
        if std::mem::take(&mut self.chunked) {
            let trailers = trailers.filter(|_| self.resting.binding.manager.enable_trailers);
            encode_trailers(trailers, self.tail());
        }
        self.half_close = self.tunnel != Tunnel::No;
    }

    fn queued_bytes(&self) -> usize {
        self.resting.wire.stream.queued_bytes()
    }

    fn is_stuck(&mut self) -> bool {
        self.resting.wire.stream.is_stuck()
    }

    fn is_overdue(&self) -> bool {
        self.resting.wire.stream.is_overdue()
    }

    fn is_slow(&self) -> bool {
        self.resting.wire.stream.is_slow()
    }

    fn receive_sparingly(&mut self, sparingly: bool) {
        self.resting.wire.stream.receive_sparingly(sparingly);
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        if !self.half_close {
            return self.resting.wire.stream.poll_flush_unattended(cx).map_err(|_| Lost::Closed);
        }
        ready!(self.resting.wire.stream.poll_flush(cx)).map_err(|_| Lost::Closed)?;
        self.half_close = false;
        self.resting.wire.stream.shutdown_write();
        Poll::Ready(Ok(()))
    }

    fn note_peer_close(&mut self) {
        let (page, stats) =
            (&self.resting.binding.worker.page, &self.resting.binding.manager.stats);
        page.inc(stats.downstream_cx_destroy_active_rq);
        page.inc(stats.downstream_cx_destroy_remote_active_rq);
        self.resting.binding.note_peer_close();
    }
}

/// RFC 9112 section 9.3: HTTP/1.0 closes unless told otherwise, HTTP/1.1 keeps.
fn connection_field(close: bool, version: Version) -> ConnectionField {
    match (close, version) {
        (true, _) => ConnectionField::Close,
        (false, Version::Http10) => ConnectionField::KeepAlive,
        (false, _) => ConnectionField::Absent,
    }
}
