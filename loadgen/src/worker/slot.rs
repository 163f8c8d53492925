//! What the clock and a connection's task share about one connection.

use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};

use super::NEVER;

/// The place of one connection, which outlives the sockets that fill it one after the other.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) lane: usize,
    /// Its number over all workers.
    pub(super) number: usize,
    /// Whole answers, for the report on imbalance.
    pub(super) answers: Cell<u64>,
    assigned: Cell<Option<u64>>,
    idle: Cell<bool>,
    deadline: Cell<u64>,
    expired: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Slot {
    pub(super) fn new(lane: usize, number: usize) -> Self {
        Self {
            lane,
            number,
            answers: Cell::new(0),
            assigned: Cell::new(None),
            idle: Cell::new(false),
            deadline: Cell::new(NEVER),
            expired: Cell::new(false),
            waker: RefCell::new(None),
        }
    }

    /// The task that calls this is woken from now on.
    #[inline]
    pub(super) fn wake_me(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    /// Wakes the task of this connection.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// A request that is due now, for this connection.
    pub(super) fn assign(&self, due: u64) {
        self.idle.set(false);
        self.assigned.set(Some(due));
        self.wake();
    }

    /// What was assigned.
    #[inline]
    pub(super) fn take_assigned(&self) -> Option<u64> {
        self.assigned.take()
    }

    /// Marks the connection as waiting; false when it was already.
    pub(super) fn become_idle(&self) -> bool {
        !self.idle.replace(true)
    }

    /// Sets the time after which the connection's task is woken to give up.
    #[inline]
    pub(super) fn set_deadline(&self, at: u64) {
        self.deadline.set(at);
        self.expired.set(false);
    }

    /// Wakes the task when its deadline is over.
    pub(super) fn check_deadline(&self, now: u64) {
        if self.deadline.get() <= now {
            self.deadline.set(NEVER);
            self.expired.set(true);
            self.wake();
        }
    }

    /// Whether the deadline is over; once.
    #[inline]
    pub(super) fn has_expired(&self) -> bool {
        self.expired.take()
    }
}
