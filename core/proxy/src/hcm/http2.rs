//! A downstream connection that speaks HTTP/2: each stream is served by a task of its own.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use ringway_bridge::stats::Page;
use ringway_http::h1::Upgrade;
use ringway_http::h2::ErrorCode;
use ringway_http::{Body, Fields, Known, RequestHead, ResetReason, ResponseHead, Version};
use ringway_model::http::ConnectionManager;
use ringway_model::stream::ResponseFlags;
use ringway_runtime::buffer::Buf;
use ringway_runtime::deadline::Deadline;
use ringway_runtime::recycled::Recycled;

use super::binding::{Binding, Policy};
use super::downstream::Downstream;
use super::exchange::Exchange;
use super::farewell::linger;
use super::seat::{Seat, Seats};
use super::sides::{Answer, Asked, ClientSide, Lost};
use crate::http2::{Accepted, Counts, Driver, Ended, Item, Over, Session, Stream, Turn};
use crate::transport::Transport;
use crate::wire::Event;

/// How long a connection without streams may stay when the worker or its listener is going away.
const DRAIN_GRACE: Duration = Duration::from_secs(1);
/// How long a connection without streams keeps what makes the next one cheap.
const REST: Duration = Duration::from_secs(1);

/// What the streams of a connection share.
#[derive(Debug)]
struct Shared {
    session: Rc<Session>,
    binding: RefCell<Binding>,
    seats: Seats<Job>,
}

/// A stream with all that its task needs.
#[derive(Debug)]
struct Job {
    accepted: Accepted,
    head: Box<RequestHead>,
    manager: Policy,
}

/// The client of one stream.
#[derive(Debug)]
struct Http2 {
    stream: Stream,
    shared: Rc<Shared>,
    body: Body,
    upgrade: Upgrade,
    expects_continue: bool,
}

/// A connection while it lasts.
struct Connection {
    driver: Driver,
    shared: Rc<Shared>,
    deadline: Deadline,
    /// Streams taken.
    served: u32,
    /// Since when no stream is open.
    idle_since: Option<Instant>,
    /// Since when it is going away.
    leaving_since: Option<Instant>,
    /// Since when the client owes the rest of a head.
    head_since: Option<Instant>,
    /// The last GOAWAY was said.
    said_last: bool,
    /// What an idle connection does not need was given back.
    resting: bool,
}

/// What is due at some time.
#[derive(Debug, Clone, Copy)]
enum Due {
    /// No stream for a while.
    Rest,
    /// `max_connection_duration`
    Leave,
    /// `drain_timeout` after the first GOAWAY.
    LastGoaway,
    /// `request_headers_timeout`, or that of an idle stream.
    Late,
    /// `idle_timeout`, or the end of what was left to do.
    End,
}

/// Serves a connection to its end. `input` was received already.
pub(super) async fn serve(binding: Binding, transport: Transport, input: Buf) {
    let mut connection = Connection::new(binding, transport, input);
    let over = std::future::poll_fn(|cx| connection.poll(cx)).await;
    connection.shared.session.end(over);
    connection.shared.seats.close();
    connection.note(over);
    let Connection { driver, shared, deadline, .. } = &mut connection;
    if !matches!(over, Over::Closed) {
        driver.say_last_words();
        let parting = shared.binding.borrow().parting();
        linger(&mut driver.transport, deadline, &parting, false).await;
    }
    let bytes = driver.transport.transferred();
    shared.binding.borrow_mut().count_bytes(bytes);
}

impl Connection {
    fn new(mut binding: Binding, transport: Transport, input: Buf) -> Self {
        let total = binding.manager.stats.downstream_cx_http2_total;
        binding.speaks(Version::Http2, total, |stats| stats.downstream_cx_http2_active);
        let manager = &binding.manager;
        let options = manager.h2_keepalive.vary(&manager.h2, binding.worker.random());
        let counts = Counts::new(&binding.worker.page, &manager.h2_stats);
        let driver = Driver::new(transport, input, counts, |now_ms| {
            ringway_http::h2::Connection::server(options, now_ms)
        });
        let shared = Shared {
            session: Rc::clone(&driver.session),
            binding: RefCell::new(binding),
            seats: Seats::default(),
        };
        Self {
            driver,
            shared: Rc::new(shared),
            deadline: Deadline::new(),
            served: 0,
            idle_since: None,
            leaving_since: None,
            head_since: None,
            said_last: false,
            resting: false,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Over> {
        while let Poll::Ready(turn) = self.driver.poll(cx) {
            match turn {
                Turn::Opened(accepted) => self.begin(accepted),
                Turn::Refused => self.refused(),
                Turn::Leaving => {}
                Turn::Over(over) => return Poll::Ready(over),
            }
        }
        let bytes = self.driver.transport.transferred();
        self.shared.binding.borrow_mut().count_bytes(bytes);
        self.poll_end(cx)
    }

    /// A new stream: its task begins with its head.
    fn begin(&mut self, accepted: Accepted) {
        self.served += 1;
        self.idle_since = None;
        self.resting = false;
        let mut binding = self.shared.binding.borrow_mut();
        binding.follow_configuration();
        if binding.is_worn(self.served) {
            self.shared.session.announce_leaving();
        }
        let manager = Rc::clone(&binding.manager);
        drop(binding);
        let job = Job { accepted, head: self.driver.take_request(), manager };
        if let Err(job) = self.shared.seats.give(job) {
            let binding = self.shared.binding.borrow();
            let (worker, info) = (Rc::clone(&binding.worker), Rc::clone(&binding.info));
            let side = Http2::new(job.accepted, Rc::clone(&self.shared));
            let down = Downstream::new(side, worker, info, Deadline::new(), binding.buffer_limit());
            ringway_runtime::spawn(serve_streams(down, job.head, job.manager));
        }
    }

    /// As in Envoy, a stream that is refused is no error of its connection.
    fn refused(&self) {
        let binding = self.shared.binding.borrow();
        binding.worker.page.inc(binding.manager.stats.downstream_rq_total);
    }

    /// Whether the connection comes to its end: nobody uses it, or nobody wants it.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Over> {
        loop {
            let now = ringway_runtime::now();
            self.note_streams(now);
            self.leave_if_wanted(now);
            if self.shared.session.is_done() {
                return Poll::Ready(Over::Done);
            }
            let Some((at, due)) = self.next_due() else {
                self.deadline.set(None);
                return Poll::Pending;
            };
            self.deadline.set(Some(at));
            if self.deadline.poll(cx).is_pending() {
                return Poll::Pending;
            }
            match due {
                Due::Rest => self.rest(),
                Due::Leave => {
                    self.count_old_age();
                    self.leave(now);
                }
                Due::LastGoaway => self.say_last(),
                Due::Late => {
                    self.count_late_head();
                    self.say_last();
                    return Poll::Ready(Over::Done);
                }
                Due::End => {
                    self.count_idle_timeout();
                    self.say_last();
                    return Poll::Ready(Over::Done);
                }
            }
        }
    }

    fn note_streams(&mut self, now: Instant) {
        let owes = self.shared.session.is_mid_head();
        self.head_since = owes.then(|| self.head_since.unwrap_or(now));
        if self.shared.session.open_streams() > 0 {
            self.idle_since = None;
            self.resting = false;
        } else if self.idle_since.is_none() {
            self.idle_since = Some(now);
            self.driver.transport.relax();
        }
    }

    /// Gives back what an idle connection does not need.
    fn rest(&mut self) {
        self.resting = true;
        self.shared.seats.dismiss();
        self.shared.session.shrink();
    }

    fn leave_if_wanted(&mut self, now: Instant) {
        let wanted = self.shared.binding.borrow().ending_since().is_some();
        if self.leaving_since.is_none() && (wanted || self.shared.session.is_leaving()) {
            self.leave(now);
        }
    }

    /// The first of the two GOAWAY frames (RFC 9113 section 6.8).
    fn leave(&mut self, now: Instant) {
        self.leaving_since = Some(now);
        self.shared.session.announce_leaving();
    }

    /// The second: streams that the client opens from here are ignored.
    fn say_last(&mut self) {
        self.said_last = true;
        self.shared.session.go_away(ErrorCode::NoError);
    }

    /// What time brings next.
    fn next_due(&self) -> Option<(Instant, Due)> {
        let binding = self.shared.binding.borrow();
        let timeouts = &binding.manager.timeouts;
        let (leaving, idle) = (self.leaving_since, self.idle_since);
        let oldest = timeouts.max_connection_duration.map(|max| binding.info.start + max);
        let leave = oldest.filter(|_| leaving.is_none()).map(|at| (at, Due::Leave));
        let last = leaving.filter(|_| !self.said_last);
        let last = last.map(|since| (since + timeouts.drain, Due::LastGoaway));
        let unused = idle.zip(timeouts.connection_idle).map(|(since, idle)| since + idle);
        let drained = idle.zip(leaving).map(|(idle, leaving)| idle.max(leaving) + DRAIN_GRACE);
        let end = [unused, drained].into_iter().flatten().min().map(|at| (at, Due::End));
        let head = timeouts.request_headers.or(timeouts.stream_idle);
        let late = self.head_since.zip(head).map(|(since, head)| (since + head, Due::Late));
        let rest = idle.filter(|_| !self.resting).map(|since| (since + REST, Due::Rest));
        [rest, leave, last, late, end].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    fn count_late_head(&self) {
        let binding = self.shared.binding.borrow();
        binding.worker.page.inc(binding.manager.stats.downstream_rq_header_timeout);
    }

    fn count_old_age(&self) {
        let binding = self.shared.binding.borrow();
        binding.worker.page.inc(binding.manager.stats.downstream_cx_max_duration_reached);
    }

    fn count_idle_timeout(&self) {
        let binding = self.shared.binding.borrow();
        if self.leaving_since.is_none() {
            binding.worker.page.inc(binding.manager.stats.downstream_cx_idle_timeout);
        }
    }

    /// Counts how the connection ended.
    fn note(&self, over: Over) {
        let mut binding = self.shared.binding.borrow_mut();
        let page = Arc::clone(&binding.worker.page);
        let manager = Rc::clone(&binding.manager);
        let (stats, cut) = (&manager.stats, self.shared.session.has_cut_streams());
        if cut {
            page.inc(stats.downstream_cx_destroy_active_rq);
        }
        match over {
            Over::Closed => {
                binding.note_peer_close();
                if cut {
                    page.inc(stats.downstream_cx_destroy_remote_active_rq);
                }
            }
            Over::Failed(error) if error.is_protocol_error() => {
                page.inc(stats.downstream_cx_protocol_error);
            }
            Over::Done | Over::Failed(_) => {}
        }
    }
}

/// One stream after the other, each from its head to the last byte of its response.
async fn serve_streams(
    mut down: Downstream<Http2>,
    mut head: Box<RequestHead>,
    mut manager: Policy,
) {
    let shared = Rc::clone(&down.side.shared);
    let seat = Seat::new();
    loop {
        std::mem::swap(&mut down.request, &mut head);
        shared.session.spare_request(head);
        down.side.look_at(&down.request);
        // Its state is for the next stream of any connection: a task may wait long for its own.
        Recycled::new(|| serve_one(&mut down, &manager)).await;
        let patience = manager.timeouts.stream_idle;
        drop(manager);
        if !down.side.has_sent_all() {
            down.deadline.set(patience.map(|patience| down.now + patience));
            let (side, deadline) = (&mut down.side, &mut down.deadline);
            std::future::poll_fn(|cx| side.poll_rest(cx, deadline)).await;
        }
        down.deadline.set(None);
        down.side.stream.finish();
        down.shrink();
        let Some(job) = seat.next(&shared.seats).await else {
            down.release();
            return;
        };
        (head, manager) = (job.head, job.manager);
        down.side.begin(job.accepted);
    }
}

async fn serve_one(down: &mut Downstream<Http2>, manager: &ConnectionManager) {
    Exchange::new(down, manager).run().await;
}

impl Http2 {
    fn new(accepted: Accepted, shared: Rc<Shared>) -> Self {
        let body = delimited(accepted.body());
        let stream = Stream::accepted(Rc::clone(&shared.session), accepted);
        Self { stream, shared, body, upgrade: Upgrade::None, expects_continue: false }
    }

    /// The next stream of the same task.
    fn begin(&mut self, accepted: Accepted) {
        self.body = delimited(accepted.body());
        self.stream.reopen(accepted);
    }

    /// What the head says of the stream.
    fn look_at(&mut self, head: &RequestHead) {
        let is_websocket = |to: &[u8]| to.eq_ignore_ascii_case(b"websocket");
        self.upgrade = match head.fields.known(Known::Upgrade) {
            Some(to) if is_websocket(to) => Upgrade::WebSocket,
            Some(_) => Upgrade::Other,
            None => Upgrade::None,
        };
        let expectation = head.fields.known(Known::Expect);
        self.expects_continue =
            expectation.is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"));
    }

    /// Hands over the end of a response; whether nothing of it is left.
    fn has_sent_all(&mut self) -> bool {
        let sent = self.stream.is_ending() && self.stream.flush_now();
        if sent {
            self.stream.set_reset_code(ErrorCode::NoError);
        }
        sent
    }

    /// Sends what is left of a response. A stream whose response is not complete, or not taken in
    /// time, is reset; so is one whose request nobody has read to its end, without an error.
    fn poll_rest(&mut self, cx: &mut Context<'_>, deadline: &mut Deadline) -> Poll<()> {
        let flushed = self.stream.poll_flush(cx);
        if !self.stream.is_ending() {
            self.stream.set_reset_code(ErrorCode::InternalError);
            return Poll::Ready(());
        }
        match flushed {
            Poll::Ready(_) => {
                self.stream.set_reset_code(ErrorCode::NoError);
                Poll::Ready(())
            }
            Poll::Pending => deadline.poll(cx).map(|()| self.stream.note_flush_timeout()),
        }
    }

    fn lost(&self, ended: Ended) -> Lost {
        match ended {
            Ended::Connection(Over::Closed | Over::Done) => Lost::Closed,
            Ended::Connection(Over::Failed(error)) => Lost::Reset {
                details: error.details(),
                flag: ResponseFlags::DOWNSTREAM_PROTOCOL_ERROR,
            },
            Ended::Reset { error: Some(error), .. } => Lost::Reset {
                details: error.details(),
                flag: ResponseFlags::DOWNSTREAM_PROTOCOL_ERROR,
            },
            Ended::Reset { code, reason, .. } => self.reset_by_client(code, reason),
        }
    }
}

impl Http2 {
    /// What Envoy makes of the code of a client's RST_STREAM.
    fn reset_by_client(&self, code: ErrorCode, reason: ResetReason) -> Lost {
        let details = match reason {
            ResetReason::RemoteRefusedStreamReset => "http2.remote_refuse",
            _ => "http2.remote_reset",
        };
        match code {
            // The client has said all that it wanted, and wants to hear nothing.
            ErrorCode::NoError if self.stream.has_received_all() => {
                Lost::Reset { details: "", flag: ResponseFlags::default() }
            }
            ErrorCode::ProtocolError => {
                Lost::Reset { details, flag: ResponseFlags::DOWNSTREAM_PROTOCOL_ERROR }
            }
            _ => Lost::Reset { details, flag: ResponseFlags::DOWNSTREAM_REMOTE_RESET },
        }
    }
}

/// What HTTP/2 ends by a flag goes out in chunks where there is no such flag.
fn delimited(body: Body) -> Body {
    if body == Body::UntilClose { Body::Chunked } else { body }
}

/// Responses are made elsewhere: a stream of a server receives bodies only.
fn event_of(item: Item) -> Option<Event> {
    match item {
        Item::Data(data) => Some(Event::Data(data)),
        Item::Trailers => Some(Event::Trailers),
        Item::Complete => Some(Event::Complete),
        Item::Informational(_) | Item::Head(..) => None,
    }
}

impl ClientSide for Http2 {
    fn count_request(page: &Page, manager: &ConnectionManager) {
        page.inc(manager.stats.downstream_rq_http2_total);
    }

    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        _head: &mut RequestHead,
    ) -> Poll<Result<Event, Lost>> {
        loop {
            match ready!(self.stream.poll_next(cx)) {
                Ok(item) => {
                    if let Some(event) = event_of(item) {
                        return Poll::Ready(Ok(event));
                    }
                }
                Err(ended) => return Poll::Ready(Err(self.lost(ended))),
            }
        }
    }

    fn received_event(&mut self, _head: &mut RequestHead) -> Option<Event> {
        self.stream.next_received().and_then(event_of)
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Lost> {
        self.stream.poll_stopped(cx).map(|ended| self.lost(ended))
    }

    fn body(&self) -> Body {
        self.body
    }

    fn trailers(&self) -> &Fields {
        self.stream.trailers()
    }

    fn upgrade(&self) -> Upgrade {
        self.upgrade
    }

    fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// A stream never decides on its connection.
    fn keep_alive(&self) -> bool {
        true
    }

    /// The connection goes away by its GOAWAY, and this response says nothing of it.
    fn wants_close(&mut self, now: Instant) -> bool {
        if !self.shared.session.is_leaving() && self.shared.binding.borrow().wants_close(now) {
            self.shared.session.announce_leaving();
        }
        false
    }

    /// A stream is one from the beginning.
    fn open_tunnel(&mut self) {}

    fn send_continue(&mut self) {
        let mut head = ResponseHead::new();
        head.status = 100;
        self.stream.send_response(&head, false);
    }

    fn send_informational(&mut self, head: &ResponseHead, _asked: Asked) {
        self.stream.send_response(head, false);
    }

    fn send_head(&mut self, head: &ResponseHead, _answer: Answer, is_end: bool) {
        self.stream.send_response(head, is_end);
    }

    fn send_data(&mut self, data: Buf) {
        self.stream.send_data(data);
    }

    fn send_text(&mut self, text: &[u8]) {
        self.stream.send_text(text);
    }

    fn send_end(&mut self, trailers: Option<&Fields>) {
        self.stream.send_end(trailers);
    }

    fn send_last_text(&mut self, text: &[u8]) {
        self.stream.send_last_text(text);
    }

    fn queued_bytes(&self) -> usize {
        self.stream.pending_bytes()
    }

    fn queue_max(&self) -> usize {
        self.stream.pending_max()
    }

    fn upload_max(&self) -> usize {
        self.shared.session.upload_share()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        self.stream.poll_flush(cx).map_err(|ended| self.lost(ended))
    }

    /// The connection counts its end once, whatever was on it.
    fn note_peer_close(&mut self) {}
}
