//! A request that waits for a connection.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ringway_http::ResetReason;

use super::connection::Connection;
use super::host::Host;
use super::leases::Unit;

/// What a waiting request gets.
pub(super) type Outcome = Result<Box<Connection>, ConnectFailure>;

/// Why there is no connection.
#[derive(Debug, Clone)]
pub(crate) struct ConnectFailure {
    /// For the local reply and the response flags.
    pub(crate) reason: ResetReason,
    /// For `%UPSTREAM_TRANSPORT_FAILURE_REASON%` and the response code details.
    pub(crate) transport: std::borrow::Cow<'static, str>,
}

/// The place in the host's queue.
#[derive(Debug, Default)]
pub(super) struct Place {
    outcome: RefCell<Option<Outcome>>,
    waker: RefCell<Option<Waker>>,
    /// The request has given up.
    abandoned: Cell<bool>,
}

impl Place {
    /// Hands over the outcome; returns it when the request has given up.
    pub(super) fn fill(&self, outcome: Outcome) -> Result<(), Outcome> {
        if self.abandoned.get() {
            return Err(outcome);
        }
        *self.outcome.borrow_mut() = Some(outcome);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Ok(())
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.get()
    }
}

/// The request's end of a [`Place`]. Dropping it gives the place up.
#[derive(Debug)]
pub(crate) struct Ticket {
    place: Rc<Place>,
    host: Rc<Host>,
    _unit: Unit,
}

impl Ticket {
    pub(super) fn new(place: Rc<Place>, host: Rc<Host>, unit: Unit) -> Self {
        Self { place, host, _unit: unit }
    }

    /// Waits for a connection or for the reason why there is none.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Outcome> {
        if let Some(outcome) = self.place.outcome.take() {
            return Poll::Ready(outcome);
        }
        *self.place.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.place.abandoned.set(true);
        self.host.ticket_ended();
        // A connection that came at the last moment serves somebody else.
        if let Some(Ok(connection)) = self.place.outcome.take() {
            self.host.put_back(connection);
        }
    }
}
