//! What a request has of its own while it is served, in storage that the next one uses again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use ringway_http::{Fields, RequestHead, ResponseHead};
use ringway_model::filter::FilterState;
use ringway_model::route::Scratch;
use ringway_model::stream::ConnectionInfo;
use ringway_runtime::deadline::Deadline;

use crate::worker::Worker;

/// Storage for heads that is kept between requests; what a large head took beyond it is given
/// back.
const KEPT_BYTES: usize = 16 << 10;
/// Storage of so many requests is kept by a worker: at most 1 MiB and what large heads took.
const SPARE_MAX: usize = 1024;

/// The side that asks, with the storage of one request at a time.
#[derive(Debug)]
pub(super) struct Downstream<C> {
    pub(super) worker: Rc<Worker>,
    pub(super) info: Rc<ConnectionInfo>,
    pub(super) side: C,
    pub(super) deadline: Deadline,
    /// The time of this turn of the loop: read once per turn, since reading it costs as much as
    /// looking for a route.
    pub(super) now: Instant,
    pub(super) request: Box<RequestHead>,
    pub(super) response: Box<ResponseHead>,
    /// Of the response, for the access log.
    pub(super) trailers: Fields,
    pub(super) scratch: Scratch,
    pub(super) text: Vec<u8>,
    /// Where filters keep what they know of a request; empty between requests.
    pub(super) states: Vec<FilterState>,
    /// How much may wait to be sent before reading stops, per direction.
    pub(super) buffer_limit: usize,
}

/// The part of it that outlives a request, and holds nothing of one.
#[derive(Debug, Default)]
pub(super) struct Storage {
    request: Box<RequestHead>,
    response: Box<ResponseHead>,
    trailers: Fields,
    scratch: Scratch,
    text: Vec<u8>,
    states: Vec<FilterState>,
}

/// Storage that no request of this worker uses: what came last goes first, since the caches still
/// hold it.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    storage: RefCell<Vec<Storage>>,
    /// The least that there was since the last trim: what was not needed.
    least: Cell<usize>,
}

impl Spare {
    pub(super) fn take(&self) -> Storage {
        let mut storage = self.storage.borrow_mut();
        let taken = storage.pop();
        self.least.set(self.least.get().min(storage.len()));
        taken.unwrap_or_default()
    }

    pub(super) fn give(&self, one: Storage) {
        let mut storage = self.storage.borrow_mut();
        if storage.len() < SPARE_MAX {
            storage.push(one);
        }
    }

    /// Gives back half of what was not needed since the last time.
    pub(crate) fn trim(&self) {
        let mut storage = self.storage.borrow_mut();
        let rest = storage.len() - self.least.get().div_ceil(2);
        storage.truncate(rest);
        self.least.set(rest);
    }
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

impl<C> Downstream<C> {
    pub(super) fn new(
        side: C,
        worker: Rc<Worker>,
        info: Rc<ConnectionInfo>,
        deadline: Deadline,
        buffer_limit: usize,
    ) -> Self {
        let Storage { request, response, trailers, scratch, text, states } = worker.spare.take();
        Self {
            now: info.start,
            worker,
            info,
            side,
            deadline,
            request,
            response,
            trailers,
            scratch,
            text,
            states,
            buffer_limit,
        }
    }

    /// The side and its deadline, when there is no request; the storage is for others.
    pub(super) fn release(mut self) -> (C, Deadline) {
        self.shrink();
        let Self { request, response, trailers, scratch, text, states, .. } = self;
        self.worker.spare.give(Storage { request, response, trailers, scratch, text, states });
        (self.side, self.deadline)
    }

    /// Gives back what a large message took.
    pub(super) fn shrink(&mut self) {
        let request = self.request.fields.capacity_bytes() + self.request.path_mut().capacity();
        if request + self.text.capacity() > KEPT_BYTES {
            *self.request = RequestHead::new();
            self.scratch = Scratch::new();
            self.text = Vec::new();
        }
        if self.response.fields.capacity_bytes() > KEPT_BYTES {
            *self.response = ResponseHead::new();
        }
    }
}
