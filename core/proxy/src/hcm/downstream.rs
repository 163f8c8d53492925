//! What a request has of its own while it is served, in storage that the next one uses again.

use std::rc::Rc;
use std::time::Instant;

use ringway_http::{Fields, RequestHead, ResponseHead};
use ringway_model::filter::FilterState;
use ringway_model::route::Scratch;
use ringway_model::stream::ConnectionInfo;
use ringway_runtime::deadline::Deadline;

use crate::worker::Worker;

/// Storage for heads that an idle connection keeps; what a large head took beyond it is given back.
const KEPT_BYTES: usize = 16 << 10;

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
        buffer_limit: usize,
    ) -> Self {
        Self {
            now: info.start,
            worker,
            info,
            side,
            deadline: Deadline::new(),
            request: RequestHead::new(),
            response: ResponseHead::new(),
            trailers: Fields::new(),
            scratch: Scratch::new(),
            text: Vec::new(),
            states: Vec::new(),
            buffer_limit,
        }
    }

    /// Gives back what a large message took.
    pub(super) fn shrink(&mut self) {
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
}
