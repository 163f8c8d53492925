//! The one task that moves the bytes of a connection.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use ringway_http::RequestHead;
use ringway_http::h2::{Connection, ConnectionError, Event, StreamId};
use ringway_runtime::buffer::{self, Buf, Class};
use ringway_runtime::deadline::Deadline;

use super::counts::Counts;
use super::session::{Over, Session};
use super::stream::Accepted;
use crate::transport::Transport;

/// Receives that one connection may be served in one turn of the loop.
const BURST_MAX: u32 = 8;
/// Bytes that are sent before more is received.
const SEND_AT: usize = 32 << 10;

/// A connection's transport, its engine, and the bytes that were received but not consumed.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) session: Rc<Session>,
    pub(crate) transport: Transport,
    input: Buf,
    consumed: usize,
    deadline: Deadline,
    burst: u32,
    failed: Option<ConnectionError>,
    /// The peer has sent its SETTINGS.
    settled: bool,
}

/// What the owner of a connection has to know.
#[derive(Debug)]
pub(crate) enum Turn {
    /// The peer opened a stream (server).
    Opened(Accepted),
    /// A stream was refused: its head is no request, or there are too many streams already.
    Refused,
    /// The peer takes no further streams (client).
    Leaving,
    /// The connection is over; what is queued may still be sent.
    Over(Over),
}

impl Driver {
    /// Drives `engine` on `transport`, of which `input` was received already.
    pub(crate) fn new(
        transport: Transport,
        input: Buf,
        counts: Counts,
        engine: impl FnOnce(u64) -> Connection,
    ) -> Self {
        Self {
            session: Session::new(engine, counts),
            transport,
            input,
            consumed: 0,
            deadline: Deadline::new(),
            burst: 0,
            failed: None,
            settled: false,
        }
    }

    /// Moves bytes both ways until something happens that the owner has to know. What that makes
    /// streams say leaves with the rest, when everything that was received has been looked at.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        self.session.register_driver(cx);
        self.session.driving.set(true);
        loop {
            if let Some(turn) = self.next_turn() {
                return Poll::Ready(turn);
            }
            if self.session.engine.borrow().pending_bytes() >= SEND_AT
                && self.poll_send(cx).is_err()
            {
                return Poll::Ready(self.over(Over::Closed));
            }
            match self.poll_input(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(over)) => return Poll::Ready(self.over(over)),
                Poll::Pending => break,
            }
        }
        self.session.driving.set(false);
        if self.poll_send(cx).is_err() {
            return Poll::Ready(self.over(Over::Closed));
        }
        // There is room again for who had to wait.
        if let Some(turn) = self.next_turn() {
            return Poll::Ready(turn);
        }
        self.show();
        self.poll_liveness(cx)
    }

    /// What the gauges and counters of the engine come to.
    fn show(&self) {
        let mut engine = self.session.engine.borrow_mut();
        self.session.counts.show(engine.backlog());
        for _ in 0..engine.take_dropped_fields() {
            self.session.counts.count(|stats| stats.dropped_headers_with_underscores);
        }
    }

    /// The head of the request that was just opened.
    pub(crate) fn take_request(&self) -> Box<RequestHead> {
        let mut head = self.session.spare.borrow_mut().pop().unwrap_or_default();
        self.session.engine.borrow_mut().swap_request(&mut head);
        head
    }

    fn over(&self, over: Over) -> Turn {
        self.session.end(over);
        Turn::Over(over)
    }

    /// Gives the engine's bytes to the transport, each time the last ones are gone: what waits
    /// meanwhile is bounded by the engine.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            if !self.transport.is_flushed() {
                let waits = self.session.engine.borrow().pending_bytes() > 0;
                let flushed = match waits {
                    true => self.transport.poll_flush(cx),
                    false => self.transport.poll_flush_unattended(cx),
                };
                match flushed {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(result) => result?,
                }
            }
            if !self.transmit() {
                self.transport.release_tail();
                return Ok(());
            }
        }
    }

    /// Takes what the engine has to send, if there is anything. The two swap their buffers, so that
    /// one that is large enough goes back: the engine would grow a small one by copying.
    fn transmit(&mut self) -> bool {
        let mut engine = self.session.engine.borrow_mut();
        let (bytes, tail) = (engine.pending_bytes(), self.transport.tail());
        if tail.is_empty() && tail.capacity() < bytes {
            let fitting = buffer::take(Class::fitting(bytes));
            buffer::give(std::mem::replace(tail, fitting));
        }
        engine.poll_transmit(tail)
    }

    /// Hands out events; the first that the owner has to know ends it.
    fn next_turn(&mut self) -> Option<Turn> {
        loop {
            let event = self.session.engine.borrow_mut().poll_event()?;
            match event {
                Event::Head { stream: id, body } if self.is_server() => {
                    let accepted = Accepted::new(&self.session, id, body);
                    self.deliver_what_follows(id, &accepted);
                    return Some(Turn::Opened(accepted));
                }
                Event::Refused { error, .. } => {
                    if let Some(error) = error {
                        self.session.counts.refused(error);
                    }
                    return Some(Turn::Refused);
                }
                Event::GoAway { .. } => return Some(Turn::Leaving),
                event => self.session.deliver(&event, &self.input[..self.consumed]),
            }
        }
    }

    /// What came together with a head is there when its task begins.
    fn deliver_what_follows(&self, id: StreamId, accepted: &Accepted) {
        loop {
            let event = self.session.engine.borrow_mut().poll_event_of(id);
            let Some(event) = event else { return };
            accepted.deliver(&self.session, &event, &self.input[..self.consumed]);
        }
    }

    fn is_server(&self) -> bool {
        self.session.engine.borrow().side() == ringway_http::h2::Side::Server
    }

    /// Feeds the engine.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Over>> {
        if let Some(error) = self.failed {
            return Poll::Ready(Err(Over::Failed(error)));
        }
        self.input.consume(std::mem::take(&mut self.consumed));
        if self.input.is_empty() {
            if self.burst >= BURST_MAX {
                self.burst = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.transport.poll_receive(cx) {
                Poll::Pending => {
                    self.burst = 0;
                    self.input = Buf::default();
                    return Poll::Pending;
                }
                Poll::Ready(Ok(bytes)) if !bytes.is_empty() => self.input = bytes,
                Poll::Ready(_) => return Poll::Ready(Err(Over::Closed)),
            }
            self.burst += 1;
        }
        let now = self.session.now_ms();
        match self.session.engine.borrow_mut().receive(&self.input, now) {
            Ok(consumed) => self.consumed = consumed,
            Err(error) => {
                // What came before it counts: its events are handed out first.
                self.consumed = self.input.len();
                self.failed = Some(error);
            }
        }
        self.note_settings();
        Poll::Ready(Ok(()))
    }

    fn note_settings(&mut self) {
        if !self.settled && self.session.engine.borrow().has_peer_settings() {
            self.settled = true;
            self.session.settle();
        }
    }

    /// PINGs and their answers.
    fn poll_liveness(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        let due = self.session.engine.borrow().next_timeout_ms();
        self.deadline.set(due.map(|ms| self.session.moment(ms)));
        if self.deadline.poll(cx).is_pending() {
            return Poll::Pending;
        }
        let now = self.session.now_ms();
        let alive = self.session.engine.borrow_mut().handle_timeout(now);
        match alive {
            Ok(()) => {
                self.session.kick();
                Poll::Pending
            }
            Err(error) => Poll::Ready(self.over(Over::Failed(error))),
        }
    }

    /// Queues what is left, after the end.
    pub(crate) fn say_last_words(&mut self) {
        self.session.engine.borrow_mut().poll_transmit(self.transport.tail());
        self.input = Buf::default();
    }
}
