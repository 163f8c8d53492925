//! The streams of a connection: tasks that serve one after the other, and the client that an
//! exchange sees of each.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use ringway_bridge::stats::Page;
use ringway_http::h1::Upgrade;
use ringway_http::h2::ErrorCode;
use ringway_http::{Body, Fields, Known, RequestHead, ResetReason, ResponseHead};
use ringway_model::http::ConnectionManager;
use ringway_model::stream::ResponseFlags;
use ringway_runtime::buffer::Buf;
use ringway_runtime::deadline::Deadline;
use ringway_runtime::recycled::Recycled;

use crate::hcm::binding::{Binding, Policy};
use crate::hcm::downstream::Downstream;
use crate::hcm::exchange::Exchange;
use crate::hcm::seat::{Seat, Seats};
use crate::hcm::sides::{Answer, Asked, ClientSide, Lost};
use crate::http2::{Accepted, Ended, Item, Over, Session, Stream};
use crate::wire::Event;

/// What the streams of a connection share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) session: Rc<Session>,
    pub(super) binding: RefCell<Binding>,
    pub(super) seats: Seats<Job>,
}

/// A stream with all that its task needs.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) accepted: Accepted,
    pub(super) head: Box<RequestHead>,
    pub(super) manager: Policy,
}

/// The client of one stream.
#[derive(Debug)]
pub(super) struct Http2 {
    stream: Stream,
    shared: Rc<Shared>,
    body: Body,
    upgrade: Upgrade,
    expects_continue: bool,
}

/// One stream after the other, each from its head to the last byte of its response.
pub(super) async fn serve_streams(
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
        let patience = shared.binding.borrow().stream_idle();
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
    pub(super) fn new(accepted: Accepted, shared: Rc<Shared>) -> Self {
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

    fn refuses_request(&self) -> bool {
        self.shared.binding.borrow().refuses_request()
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
