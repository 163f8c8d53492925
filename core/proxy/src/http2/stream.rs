//! A stream, as the one exchange that it belongs to sees it.

use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll};

use ringway_http::h2::{ErrorCode, Event, SendError, State, StreamId};
use ringway_http::{Body, Fields, RequestHead, ResponseHead};
use ringway_runtime::buffer::{self, Buf, Class};

use super::session::{Ended, Inbox, Over, Session};

/// The handle of a stream. Dropping it before both sides are complete resets the stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) session: Rc<Session>,
    id: StreamId,
    inbox: Rc<Inbox>,
    /// Data that the windows have no room for.
    pending: VecDeque<Buf>,
    pending_bytes: usize,
    end: End,
    /// It counts among those whose peer sends a body.
    is_upload: bool,
    /// The peer has sent everything.
    received_all: bool,
    trailers: Fields,
    /// What a reset says that nobody has given a code for.
    code: ErrorCode,
    finished: bool,
}

/// A stream that the peer opened, on its way to whoever serves it.
#[derive(Debug)]
pub(crate) struct Accepted {
    id: StreamId,
    inbox: Rc<Inbox>,
    body: Body,
}

impl Accepted {
    pub(super) fn new(session: &Session, id: StreamId, body: Body) -> Self {
        Self { id, inbox: session.add(id), body }
    }

    /// Takes what came together with the head: nobody waits for it yet.
    pub(super) fn deliver(&self, session: &Session, event: &Event, input: &[u8]) {
        session.count(event);
        session.put(&mut self.inbox.mail.borrow_mut(), event, input);
    }

    /// What its head says of its body.
    pub(crate) fn body(&self) -> Body {
        self.body
    }
}

/// How far the end of this side has come.
#[derive(Debug)]
enum End {
    No,
    /// Behind the data.
    Wanted,
    /// The same, in the form of trailers.
    Trailers(Box<Fields>),
    Sent,
}

/// What comes next on a stream.
#[derive(Debug)]
pub(crate) enum Item {
    Informational(ResponseHead),
    Head(ResponseHead, Body),
    Data(Buf),
    Trailers,
    Complete,
}

impl Stream {
    /// The handle of a stream that the peer opened.
    pub(crate) fn accepted(session: Rc<Session>, accepted: Accepted) -> Self {
        let mut stream = Self::new(session, accepted.id, Rc::default());
        stream.accept(accepted);
        stream
    }

    /// The same storage for another stream that the peer opened, after the end of the last one.
    pub(crate) fn reopen(&mut self, accepted: Accepted) {
        debug_assert!(self.finished, "a stream ends before its storage serves another");
        self.end = End::No;
        self.received_all = false;
        self.finished = false;
        self.code = ErrorCode::Cancel;
        self.trailers.clear();
        self.accept(accepted);
    }

    fn accept(&mut self, Accepted { id, inbox, body }: Accepted) {
        (self.id, self.inbox) = (id, inbox);
        self.is_upload = !body.is_empty();
        if self.is_upload {
            self.session.upload_begins();
        }
    }

    /// Opens a stream with a request (client).
    pub(crate) fn open(
        session: &Rc<Session>,
        head: &RequestHead,
        is_end: bool,
    ) -> Result<Self, SendError> {
        if session.over.get().is_some() {
            return Err(SendError::GoingAway);
        }
        let id = session.engine.borrow_mut().send_request(head, is_end)?;
        session.kick();
        let mut stream = Self::new(Rc::clone(session), id, session.add(id));
        if is_end {
            stream.end = End::Sent;
        }
        Ok(stream)
    }

    fn new(session: Rc<Session>, id: StreamId, inbox: Rc<Inbox>) -> Self {
        Self {
            session,
            id,
            inbox,
            pending: VecDeque::new(),
            pending_bytes: 0,
            end: End::No,
            is_upload: false,
            received_all: false,
            trailers: Fields::new(),
            code: ErrorCode::Cancel,
            finished: false,
        }
    }

    /// Waits for what comes next. After `Complete` nothing but the end of the stream comes.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Item, Ended>> {
        if let Some(item) = self.next_received() {
            return Poll::Ready(Ok(item));
        }
        let mut mail = self.inbox.mail.borrow_mut();
        match mail.ended {
            Some(ended) => Poll::Ready(Err(ended)),
            None => mail.wait(cx),
        }
    }

    /// What comes next, if it was received already.
    pub(crate) fn next_received(&mut self) -> Option<Item> {
        let mut mail = self.inbox.mail.borrow_mut();
        if let Some(head) = mail.hints.pop_front() {
            return Some(Item::Informational(head));
        }
        if let Some((head, body)) = mail.head.take() {
            return Some(Item::Head(head, body));
        }
        if let Some(data) = mail.take_data() {
            drop(mail);
            self.release(data.len());
            return Some(Item::Data(data));
        }
        if let Some(trailers) = mail.trailers.take() {
            self.trailers = trailers;
            return Some(Item::Trailers);
        }
        if mail.complete && !self.received_all {
            self.received_all = true;
            return Some(Item::Complete);
        }
        None
    }

    /// Whether the peer has sent everything, and whoever reads has seen it.
    pub(crate) fn has_received_all(&self) -> bool {
        self.received_all
    }

    /// Whether the stream ended before its time.
    pub(crate) fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let mut mail = self.inbox.mail.borrow_mut();
        match mail.ended {
            Some(ended) => Poll::Ready(ended),
            None => mail.wait(cx),
        }
    }

    /// The peer may send as much again: whoever takes data has room for it.
    fn release(&self, bytes: usize) {
        let mut engine = self.session.engine.borrow_mut();
        engine.release(self.id, bytes);
        let due = engine.pending_bytes() > 0;
        drop(engine);
        if due {
            self.session.kick();
        }
    }

    /// The trailers of the peer, after [`Item::Trailers`].
    pub(crate) fn trailers(&self) -> &Fields {
        &self.trailers
    }

    /// Sends a head of a response (server).
    pub(crate) fn send_response(&mut self, head: &ResponseHead, is_end: bool) {
        // A stream that is over says so to whoever polls it next.
        let sent = self.session.engine.borrow_mut().send_response(self.id, head, is_end);
        if sent.is_ok() && is_end {
            self.end = End::Sent;
        }
        self.session.kick();
    }

    /// Queues data. What fits behind the last piece is copied there: many small pieces must not
    /// hold a buffer, and become a frame, each.
    pub(crate) fn send_data(&mut self, data: Buf) {
        if data.is_empty() {
            return;
        }
        if self.pending_bytes == 0 {
            self.session.backlog_begins();
        }
        self.pending_bytes += data.len();
        match self.pending.back_mut() {
            Some(last) if last.spare() >= data.len() => last.append(&data),
            _ => self.pending.push_back(data),
        }
    }

    /// Queues a copy of data.
    pub(crate) fn send_text(&mut self, mut text: &[u8]) {
        while !text.is_empty() {
            let mut piece = buffer::take(Class::SMALL);
            let len = text.len().min(piece.capacity());
            piece.extend_from_slice(&text[..len]);
            self.send_data(Buf::new(piece));
            text = &text[len..];
        }
    }

    /// Queues a copy of data, with which this side is complete. Where the windows have room for it
    /// nothing is queued.
    pub(crate) fn send_last_text(&mut self, mut text: &[u8]) {
        if self.pending.is_empty() && matches!(self.end, End::No) && !text.is_empty() {
            let sent = self.session.engine.borrow_mut().send_data(self.id, text, true);
            // A stream that is over says so to whoever polls it next.
            let taken = sent.unwrap_or(text.len());
            text = &text[taken..];
            if text.is_empty() {
                self.end = End::Sent;
                return self.session.kick();
            }
        }
        self.send_text(text);
        self.send_end(None);
    }

    /// This side is complete, behind what is queued.
    pub(crate) fn send_end(&mut self, trailers: Option<&Fields>) {
        if matches!(self.end, End::No) {
            self.end = match trailers {
                Some(trailers) => End::Trailers(Box::new(trailers.clone())),
                None => End::Wanted,
            };
        }
    }

    /// Data that the peer leaves no room for.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// How much of that there may be: all streams of a connection share what may wait on it.
    pub(crate) fn pending_max(&self) -> usize {
        self.session.backlog_share()
    }

    /// Whether everything was given to the connection.
    pub(crate) fn is_flushed(&self) -> bool {
        self.pending.is_empty() && matches!(self.end, End::No | End::Sent)
    }

    /// Whether nothing more can happen on it.
    pub(crate) fn is_over(&self) -> bool {
        let over = self.session.over.get().is_some();
        over || self.session.engine.borrow().state(self.id) == State::Closed
    }

    /// Whether the end of this side was asked for.
    pub(crate) fn is_ending(&self) -> bool {
        !matches!(self.end, End::No)
    }

    /// Gives to the connection what the windows have room for; `Ready` when that is all.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        if self.is_flushed() {
            return Poll::Ready(Ok(()));
        }
        match self.flush() {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => self.inbox.mail.borrow_mut().wait(cx),
            Err(_) => {
                let ended = self.inbox.mail.borrow().ended;
                // Without a reset it is the connection that does not take streams any more.
                Poll::Ready(Err(ended.unwrap_or(Ended::Connection(Over::Closed))))
            }
        }
    }

    /// Gives to the connection what the windows have room for, as above; whether that is all. For
    /// whoever waits in no case.
    pub(crate) fn flush_now(&mut self) -> bool {
        self.is_flushed() || self.flush().is_ok_and(|all| all)
    }

    fn flush(&mut self) -> Result<bool, SendError> {
        let session = Rc::clone(&self.session);
        let mut engine = session.engine.borrow_mut();
        let before = engine.pending_bytes();
        let mut all = true;
        loop {
            let is_last = self.pending.len() == 1 && matches!(self.end, End::Wanted);
            let Some(front) = self.pending.front_mut() else { break };
            let taken = engine.send_data(self.id, front, is_last)?;
            front.consume(taken);
            self.pending_bytes -= taken;
            if taken > 0 && self.pending_bytes == 0 {
                session.backlog_ends();
            }
            if !front.is_empty() {
                all = false;
                break;
            }
            self.pending.pop_front();
            if is_last {
                self.end = End::Sent;
            }
        }
        if all {
            match std::mem::replace(&mut self.end, End::Sent) {
                End::No => self.end = End::No,
                End::Wanted => drop(engine.send_data(self.id, &[], true)?),
                End::Trailers(trailers) => engine.send_trailers(self.id, &trailers)?,
                End::Sent => {}
            }
        }
        let moved = engine.pending_bytes() != before;
        drop(engine);
        if moved {
            self.session.kick();
        }
        Ok(all)
    }

    /// The peer has not taken the rest in time.
    pub(crate) fn note_flush_timeout(&self) {
        self.session.counts.count(|stats| stats.tx_flush_timeout);
    }

    /// What the peer is told when the handle is dropped too early.
    pub(crate) fn set_reset_code(&mut self, code: ErrorCode) {
        self.code = code;
    }

    /// Ends what has not ended: a stream that is not over is reset.
    pub(crate) fn finish(&mut self) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        self.pending.clear();
        if std::mem::take(&mut self.pending_bytes) > 0 {
            self.session.backlog_ends();
        }
        if self.is_upload {
            self.session.upload_ends();
        }
        self.session.remove(self.id, &mut self.inbox);
        if !self.is_over() {
            self.session.counts.count(|stats| stats.tx_reset);
            self.session.engine.borrow_mut().reset(self.id, self.code);
            self.session.kick();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.finish();
    }
}
