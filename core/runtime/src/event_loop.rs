//! The loop of a worker on a driver of our own: tasks run, deadlines fire, events are taken.
//!
//! `executor` knows the tasks; a driver ([`Events`]) knows what they wait for.

use std::cell::{Cell, OnceCell};
use std::future::Future;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use crate::executor::Executor;
use crate::recycled::{self, Recycled};
use crate::{buffer, deadline};

thread_local! {
    static CURRENT: OnceCell<Rc<EventLoop>> = const { OnceCell::new() };
}

/// The part of a loop that is the same for all drivers.
pub(crate) struct EventLoop {
    pub(crate) executor: Executor,
    /// How long to look for events before sleeping, while requests are under way.
    spin: Duration,
    last_event: Cell<Instant>,
    /// When the events of this turn were taken.
    now: Cell<Instant>,
    /// The number of this turn.
    turn: Cell<u32>,
    /// The loop is over: nothing new is started.
    ending: Cell<bool>,
}

/// What brings events.
pub(crate) trait Events {
    /// Hands over what was asked for, and looks for events without waiting. Returns whether there
    /// are some.
    fn look(&self) -> bool;

    /// The same, and waits for an event, for so long at most.
    fn wait(&self, timeout: Option<Duration>);

    /// Tells those who wait. Returns whether there was anything to tell.
    fn tell(&self) -> bool;

    /// All tasks are gone: gives up what they had under way.
    fn end(&self);
}

/// Does something with the loop of this thread, without taking a share in it; `None` where there is
/// none. It is asked for several times in each request.
pub(crate) fn with<T>(look: impl FnOnce(&EventLoop) -> T) -> Option<T> {
    // Asked while the thread ends, by whoever is dropped then: there is none any more.
    CURRENT.try_with(|current| current.get().map(|one| look(one))).ok().flatten()
}

/// Whether this thread runs on a loop of ours.
pub(crate) fn is_installed() -> bool {
    with(|_| ()).is_some()
}

/// The time of this turn, on a loop of ours.
pub(crate) fn now() -> Option<Instant> {
    with(|one| one.now.get())
}

/// Makes the loop of this thread, which spins for so long before it sleeps.
pub(crate) fn install(spin: Duration) -> Rc<EventLoop> {
    buffer::map_large_ones();
    let now = Instant::now();
    let made = Rc::new(EventLoop {
        executor: Executor::default(),
        spin,
        last_event: Cell::new(now),
        now: Cell::new(now),
        turn: Cell::new(0),
        ending: Cell::new(false),
    });
    CURRENT.with(|current| {
        let first = current.set(Rc::clone(&made)).is_ok();
        debug_assert!(first, "one loop per thread");
    });
    made
}

/// Runs a task on the loop of this thread; gives it back without one.
pub(crate) fn spawn<F: Future<Output = ()> + 'static>(future: F) -> Result<(), F> {
    let mut future = Some(future);
    with(|one| {
        let future = future.take();
        // Dropped otherwise: a loop that ends runs nothing.
        if let Some(future) = future.filter(|_| !one.ending.get()) {
            one.executor.spawn(Recycled::new(|| future).erased());
        }
    });
    future.map_or(Ok(()), Err)
}

/// Keeps who waits, in place of whoever has waited before.
pub(crate) fn register(slot: &Cell<Option<Waker>>, cx: &Context<'_>) {
    let waker = slot.take().filter(|waker| waker.will_wake(cx.waker()));
    slot.set(Some(waker.unwrap_or_else(|| cx.waker().clone())));
}

/// Runs the task of a waker at once, see [`crate::run_now`]; `false` without a loop of ours.
pub(crate) fn run_now(waker: &Waker) -> bool {
    with(|one| one.executor.run_now(waker)).is_some()
}

impl EventLoop {
    /// Runs until `main` is done.
    pub(crate) fn run(&self, events: &impl Events, main: impl Future<Output = ()> + 'static) {
        let done = Rc::new(Cell::new(false));
        let flag = Rc::clone(&done);
        let main = async move {
            main.await;
            flag.set(true);
        };
        self.executor.spawn(Recycled::new(|| main).erased());
        while !done.get() {
            self.executor.run_ready();
            let excess = buffer::has_excess() | recycled::has_excess();
            if excess | self.executor.crowd_has_left() {
                let trimming = Recycled::new(buffer::trim_until_done);
                self.executor.spawn(trimming.erased());
            }
            let next = deadline::fire(self.now.get());
            if done.get() {
                break;
            }
            self.turn(events, next);
        }
        self.ending.set(true);
        self.executor.clear();
        events.end();
    }

    /// Takes events, waits for them if there is nothing else to do, and tells of them.
    fn turn(&self, events: &impl Events, next_deadline: Option<Instant>) {
        self.turn.set(self.turn.get().wrapping_add(1));
        if self.executor.has_ready() {
            events.look();
        } else if !self.spin_for_events(events, next_deadline) {
            let timeout = next_deadline.map(|at| at.saturating_duration_since(Instant::now()));
            events.wait(timeout);
        }
        self.now.set(Instant::now());
        if events.tell() && !self.spin.is_zero() {
            self.last_event.set(self.now.get());
        }
    }

    /// Looks for a bounded time before sleeping: waking a sleeping core costs more than a request.
    fn spin_for_events(&self, events: &impl Events, next_deadline: Option<Instant>) -> bool {
        if self.spin.is_zero() {
            return false;
        }
        let until = self.last_event.get() + self.spin;
        loop {
            if events.look() {
                return true;
            }
            let now = Instant::now();
            if now >= until || next_deadline.is_some_and(|at| at <= now) {
                return false;
            }
            std::hint::spin_loop();
        }
    }

    /// The number of this turn.
    pub(crate) fn number(&self) -> u32 {
        self.turn.get()
    }

    /// Whether the loop is over, so that nothing new may be started.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.get()
    }
}
