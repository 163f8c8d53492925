//! What the task of a connection and its streams share.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use ringway_http::h2::{Connection, ConnectionError, ErrorCode, Event, MessageError, StreamId};
use ringway_http::{Body, Fields, RequestHead, ResetReason, ResponseHead};
use ringway_runtime::buffer::{self, Buf, Class};
use rustc_hash::FxHashMap;

use super::counts::Counts;

/// Informational heads that wait for a stream to look; more are dropped: they promise nothing.
const HINTS_MAX: usize = 8;
/// Heads whose storage waits for other requests, and how large that may be for each.
const SPARE_MAX: usize = 128;
const SPARE_BYTES: usize = 4 << 10;
/// Bytes of data that may wait for the windows of a connection's streams, all of them together.
const BACKLOG_MAX: usize = 4 << 20;
/// Bytes of request bodies that may wait for the upstreams of a connection's streams.
const UPLOADS_MAX: usize = 4 << 20;
/// As much may wait on each stream nevertheless: the next frame.
const BACKLOG_MIN: usize = 16 << 10;

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) engine: RefCell<Connection>,
    pub(super) counts: Counts,
    /// Storage for heads of requests.
    #[expect(clippy::vec_box, reason = "they go in and out boxed")]
    pub(super) spare: RefCell<Vec<Box<RequestHead>>>,
    inboxes: RefCell<FxHashMap<StreamId, Rc<Inbox>>>,
    /// Empty ones, for the next streams.
    spare_inboxes: RefCell<Vec<Rc<Inbox>>>,
    /// What streams hold that are over.
    nobody: Rc<Inbox>,
    /// The task that moves the bytes.
    driver: RefCell<Option<Waker>>,
    /// It runs, and streams within it.
    pub(super) driving: Cell<bool>,
    /// The origin of the engine's clock.
    epoch: Instant,
    /// Who waits for the first SETTINGS of the peer.
    settling: RefCell<Vec<Waker>>,
    /// Streams with data that the peer leaves no room for.
    backlogged: Cell<usize>,
    /// Streams whose peer sends a body.
    uploads: Cell<usize>,
    /// The end has cut streams short.
    cut: Cell<bool>,
    /// Why no stream can do anything any more.
    pub(super) over: Cell<Option<Over>>,
}

/// How a connection ended under its streams.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Over {
    /// The peer, or the network, closed it.
    Closed,
    /// Nobody needs it any more.
    Done,
    /// The peer broke a rule or a limit.
    Failed(ConnectionError),
}

/// How a stream ended before its time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ended {
    /// It was reset, by the peer or because of what the peer sent (`error`).
    Reset { code: ErrorCode, reason: ResetReason, error: Option<MessageError> },
    /// Its connection ended.
    Connection(Over),
}

/// What a stream has received and not looked at.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub(super) mail: RefCell<Mail>,
}

/// In the order in which it can come: hints, the head, data, trailers, the end.
#[derive(Debug, Default)]
pub(super) struct Mail {
    pub(super) hints: VecDeque<ResponseHead>,
    pub(super) head: Option<(ResponseHead, Body)>,
    pub(super) data: VecDeque<Vec<u8>>,
    pub(super) trailers: Option<Fields>,
    pub(super) complete: bool,
    pub(super) ended: Option<Ended>,
    pub(super) waker: Option<Waker>,
}

impl Session {
    pub(super) fn new(engine: impl FnOnce(u64) -> Connection, counts: Counts) -> Rc<Self> {
        Rc::new(Self {
            engine: RefCell::new(engine(0)),
            counts,
            spare: RefCell::default(),
            inboxes: RefCell::default(),
            spare_inboxes: RefCell::default(),
            nobody: Rc::default(),
            driver: RefCell::default(),
            driving: Cell::new(false),
            epoch: Instant::now(),
            settling: RefCell::default(),
            backlogged: Cell::new(0),
            uploads: Cell::new(0),
            cut: Cell::new(false),
            over: Cell::new(None),
        })
    }

    /// Milliseconds on the engine's clock.
    pub(super) fn now_ms(&self) -> u64 {
        self.epoch.elapsed().as_millis() as u64
    }

    /// A moment on the engine's clock.
    pub(super) fn moment(&self, ms: u64) -> Instant {
        self.epoch + std::time::Duration::from_millis(ms)
    }

    /// Takes storage back for the head of another request.
    pub(crate) fn spare_request(&self, head: Box<RequestHead>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_MAX && head.fields.capacity_bytes() <= SPARE_BYTES {
            spare.push(head);
        }
    }

    /// Gives back what a connection without streams does not need.
    pub(crate) fn shrink(&self) {
        self.spare.take();
        self.inboxes.borrow_mut().shrink_to_fit();
        self.spare_inboxes.take();
        self.engine.borrow_mut().shrink();
    }

    /// The PING before the first stream after a long silence.
    pub(crate) fn probe(&self) {
        let now = self.now_ms();
        self.engine.borrow_mut().probe(now);
        self.kick();
    }

    /// Has the driver look at what is to be sent. While it runs it does so anyway, at the end.
    pub(crate) fn kick(&self) {
        if self.driving.get() {
            return;
        }
        if let Some(waker) = self.driver.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn register_driver(&self, cx: &Context<'_>) {
        let mut driver = self.driver.borrow_mut();
        if driver.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            *driver = Some(cx.waker().clone());
        }
    }

    /// Whether the peer owes the rest of a head.
    pub(crate) fn is_mid_head(&self) -> bool {
        self.engine.borrow().is_mid_head()
    }

    /// A stream has data that waits.
    pub(super) fn backlog_begins(&self) {
        self.backlogged.set(self.backlogged.get() + 1);
    }

    /// None of a stream's data waits any more.
    pub(super) fn backlog_ends(&self) {
        self.backlogged.set(self.backlogged.get() - 1);
    }

    /// How much data may wait on each stream: a client that opens many and reads none gets no more
    /// of our memory than one that opens a few. Whoever is above it has data that waits, and is
    /// woken when the peer makes room for that.
    pub(super) fn backlog_share(&self) -> usize {
        (BACKLOG_MAX / self.backlogged.get().max(1)).max(BACKLOG_MIN)
    }

    pub(super) fn upload_begins(&self) {
        self.uploads.set(self.uploads.get() + 1);
    }

    pub(super) fn upload_ends(&self) {
        self.uploads.set(self.uploads.get() - 1);
    }

    /// How much of each request body may wait for its upstream: as above, for the other direction.
    pub(crate) fn upload_share(&self) -> usize {
        (UPLOADS_MAX / self.uploads.get().max(1)).max(BACKLOG_MIN)
    }

    /// Streams that are open.
    pub(crate) fn open_streams(&self) -> usize {
        self.engine.borrow().open_streams()
    }

    /// How many requests the peer would take now.
    pub(crate) fn free_streams(&self) -> usize {
        match self.over.get() {
            Some(_) => 0,
            None => self.engine.borrow().free_streams(),
        }
    }

    /// Whether its end has cut streams short.
    pub(crate) fn has_cut_streams(&self) -> bool {
        self.cut.get()
    }

    /// Whether no further stream is opened here.
    pub(crate) fn is_leaving(&self) -> bool {
        self.over.get().is_some() || self.engine.borrow().is_leaving()
    }

    /// Whether it can be closed: it is leaving, and no stream is open.
    pub(crate) fn is_done(&self) -> bool {
        self.engine.borrow().is_done()
    }

    /// Waits until the peer has said what it can do, or nothing more.
    pub(crate) fn poll_settled(&self, cx: &Context<'_>) -> Poll<()> {
        if self.over.get().is_some() || self.engine.borrow().has_peer_settings() {
            return Poll::Ready(());
        }
        let mut settling = self.settling.borrow_mut();
        settling.retain(|waker| !waker.will_wake(cx.waker()));
        settling.push(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn settle(&self) {
        for waker in self.settling.take() {
            waker.wake();
        }
    }

    /// Says that no streams should be opened soon (RFC 9113 section 6.8). As in Envoy, only the
    /// GOAWAY that draws the line counts.
    pub(crate) fn announce_leaving(&self) {
        self.engine.borrow_mut().announce_leaving();
        self.kick();
    }

    /// Says that no streams are taken any more.
    pub(crate) fn go_away(&self, code: ErrorCode) {
        if self.engine.borrow_mut().go_away(code) {
            self.counts.count(|stats| stats.goaway_sent);
        }
        self.kick();
    }

    pub(super) fn add(&self, id: StreamId) -> Rc<Inbox> {
        self.counts.stream_begins();
        let inbox = self.spare_inboxes.borrow_mut().pop().unwrap_or_default();
        self.inboxes.borrow_mut().insert(id, Rc::clone(&inbox));
        inbox
    }

    /// A stream is over: takes its inbox back, in exchange for that of nobody.
    pub(super) fn remove(&self, id: StreamId, inbox: &mut Rc<Inbox>) {
        self.counts.stream_ends();
        self.inboxes.borrow_mut().remove(&id);
        let used = std::mem::replace(inbox, Rc::clone(&self.nobody));
        used.mail.borrow_mut().clear();
        let mut spare = self.spare_inboxes.borrow_mut();
        if spare.len() < SPARE_MAX {
            spare.push(used);
        }
    }

    /// Puts an event into the stream's inbox. Those about the connection are not for it.
    pub(super) fn deliver(&self, event: &Event, input: &[u8]) {
        let (Event::Informational(id)
        | Event::Head { stream: id, .. }
        | Event::Data { stream: id, .. }
        | Event::Trailers(id)
        | Event::Complete(id)
        | Event::Reset { stream: id, .. }
        | Event::Writable(id)) = event
        else {
            return;
        };
        self.count(event);
        let inbox = self.inboxes.borrow().get(id).map(Rc::clone);
        let Some(inbox) = inbox else { return self.nobody_wants(*id, event) };
        let mut mail = inbox.mail.borrow_mut();
        self.put(&mut mail, event, input);
        mail.wake();
    }

    pub(super) fn count(&self, event: &Event) {
        match event {
            Event::Trailers(_) => self.counts.count(|stats| stats.trailers),
            Event::Reset { error: Some(error), .. } => self.counts.refused(*error),
            Event::Reset { code, .. } => self.counts.reset_received(*code),
            _ => {}
        }
    }

    /// The stream's handle is gone, and its window with it; a reset is on its way.
    fn nobody_wants(&self, id: StreamId, event: &Event) {
        if let Event::Data { range, .. } = event {
            self.engine.borrow_mut().release(id, range.len());
        }
    }

    /// What an event of a stream adds to its mail.
    pub(super) fn put(&self, mail: &mut Mail, event: &Event, input: &[u8]) {
        let mut engine = self.engine.borrow_mut();
        match event {
            Event::Informational(_) => {
                if mail.hints.len() < HINTS_MAX {
                    mail.hints.push_back(std::mem::take(engine.response_mut()));
                }
            }
            Event::Head { body, .. } => {
                mail.head = Some((std::mem::take(engine.response_mut()), *body));
            }
            Event::Data { range, .. } => mail.append(&input[range.clone()]),
            Event::Trailers(_) => mail.trailers = Some(std::mem::take(engine.trailers_mut())),
            Event::Complete(_) => mail.complete = true,
            Event::Reset { code, reason, error, .. } => {
                mail.ended = Some(Ended::Reset { code: *code, reason: *reason, error: *error });
            }
            Event::Writable(_) | Event::Refused { .. } | Event::GoAway { .. } => {}
        }
    }

    /// The connection is over, and with it all streams.
    pub(crate) fn end(&self, over: Over) {
        if self.over.get().is_some() {
            return;
        }
        self.over.set(Some(over));
        if let Over::Failed(error) = over {
            self.counts.failed(error);
        }
        self.settle();
        for inbox in self.inboxes.borrow().values() {
            let mut mail = inbox.mail.borrow_mut();
            if mail.ended.is_none() {
                mail.ended = Some(Ended::Connection(over));
            }
            mail.wake();
            self.cut.set(true);
        }
    }
}

impl Mail {
    /// Forgets everything and keeps the storage.
    fn clear(&mut self) {
        if !self.data.is_empty() {
            self.data.drain(..).for_each(buffer::give);
        }
        if !self.hints.is_empty() {
            self.hints.clear();
        }
        (self.head, self.trailers, self.complete, self.ended) = (None, None, false, None);
        self.waker = None;
    }

    /// Copies data behind what waits already: many small frames must not hold a buffer each.
    fn append(&mut self, mut data: &[u8]) {
        if let Some(last) = self.data.back_mut() {
            let room = (last.capacity() - last.len()).min(data.len());
            last.extend_from_slice(&data[..room]);
            data = &data[room..];
        }
        while !data.is_empty() {
            let mut piece = buffer::take(Class::fitting(data.len()));
            let len = data.len().min(piece.capacity());
            piece.extend_from_slice(&data[..len]);
            data = &data[len..];
            self.data.push_back(piece);
        }
    }

    /// The next piece of the body.
    pub(super) fn take_data(&mut self) -> Option<Buf> {
        self.data.pop_front().map(Buf::new)
    }

    /// Wakes whoever waits for mail.
    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Waits for mail.
    pub(super) fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        if self.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Mail {
    fn drop(&mut self) {
        self.clear();
    }
}
