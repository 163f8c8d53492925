//! Tasks that serve one stream after another: to make one costs as much as a small answer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Tasks that wait for a job at any time; others end.
const WAITING_MAX: usize = 128;

/// The tasks of a connection that have nothing to do.
#[derive(Debug)]
pub(super) struct Seats<J> {
    waiting: RefCell<Vec<Rc<Seat<J>>>>,
    /// No jobs come any more.
    closed: Cell<bool>,
}

/// Where one task waits.
#[derive(Debug)]
pub(super) struct Seat<J> {
    job: RefCell<Option<J>>,
    waker: RefCell<Option<Waker>>,
    dismissed: Cell<bool>,
}

impl<J> Default for Seats<J> {
    fn default() -> Self {
        Self { waiting: RefCell::default(), closed: Cell::new(false) }
    }
}

impl<J> Seats<J> {
    /// Gives a job to the task that came last, which begins with it at once, or gives it back when
    /// none waits. Whoever never has to wait is done when this returns, and serves the next job.
    pub(super) fn give(&self, job: J) -> Result<(), J> {
        let Some(seat) = self.waiting.borrow_mut().pop() else { return Err(job) };
        *seat.job.borrow_mut() = Some(job);
        seat.run();
        Ok(())
    }

    /// Lets all tasks end, also those that are at work.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.dismiss();
    }

    /// Lets the waiting tasks end.
    pub(super) fn dismiss(&self) {
        for seat in self.waiting.take() {
            seat.dismissed.set(true);
            seat.wake();
        }
    }
}

impl<J> Seat<J> {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            job: RefCell::new(None),
            waker: RefCell::new(None),
            dismissed: Cell::new(false),
        })
    }

    /// Waits for the next job; `None` when the task should end.
    pub(super) async fn next(self: &Rc<Self>, seats: &Seats<J>) -> Option<J> {
        if seats.closed.get() || seats.waiting.borrow().len() >= WAITING_MAX {
            return None;
        }
        seats.waiting.borrow_mut().push(Rc::clone(self));
        std::future::poll_fn(|cx| {
            if let Some(job) = self.job.borrow_mut().take() {
                return Poll::Ready(Some(job));
            }
            if self.dismissed.get() {
                return Poll::Ready(None);
            }
            let mut waker = self.waker.borrow_mut();
            if waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    fn run(&self) {
        let waker = self.waker.borrow().clone();
        if let Some(waker) = waker {
            ringway_runtime::run_now(&waker);
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}
