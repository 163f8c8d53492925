//! A request that waits for a connection.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ringway_http::ResetReason;
use ringway_model::route::Priority;

use super::http1::Connection;
use super::http2::Reserved;
use super::leases::Unit;
use super::pool::Pool;
use super::raw::Raw;

/// What takes a request to its endpoint.
#[derive(Debug)]
pub(crate) enum Carrier {
    /// A connection for this request alone.
    Http1(Box<Connection>),
    /// A stream on a connection with others.
    Http2(Reserved),
    /// A connection for what comes out of a tunnel.
    Raw(Box<Raw>),
}

/// What a waiting request gets.
pub(super) type Outcome = Result<Carrier, ConnectFailure>;

/// Why there is no connection.
#[derive(Debug, Clone)]
pub(crate) struct ConnectFailure {
    /// For the local reply and the response flags.
    pub(crate) reason: ResetReason,
    /// For `%UPSTREAM_TRANSPORT_FAILURE_REASON%` and the response code details.
    pub(crate) transport: std::borrow::Cow<'static, str>,
}

/// The place in the pool's queue.
#[derive(Debug)]
pub(super) struct Place {
    /// Of the request: whose circuit breakers a connection for it counts against.
    pub(super) priority: Priority,
    outcome: RefCell<Option<Outcome>>,
    waker: RefCell<Option<Waker>>,
    /// The request has given up.
    abandoned: Cell<bool>,
}

impl Place {
    pub(super) fn new(priority: Priority) -> Self {
        Self {
            priority,
            outcome: RefCell::default(),
            waker: RefCell::default(),
            abandoned: Cell::new(false),
        }
    }

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
    pool: Rc<Pool>,
    _unit: Unit,
}

impl Ticket {
    pub(super) fn new(place: Rc<Place>, pool: Rc<Pool>, unit: Unit) -> Self {
        Self { place, pool, _unit: unit }
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
        self.pool.ticket_ended();
        // A connection that came at the last moment serves somebody else.
        if let Some(Ok(carrier)) = self.place.outcome.take() {
            self.pool.put_back(carrier);
        }
    }
}
