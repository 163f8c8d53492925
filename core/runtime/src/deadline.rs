//! Deadlines without a system call and nearly without work.
//!
//! Each connection has one [`Deadline`], which it moves at each step. Moving it to a later time
//! is one store: the wheel finds the old entry at the old time, sees the new time and enters it
//! again. Only a deadline that comes earlier than its entry touches the wheel. Resolution is
//! [`TICK`]; a deadline never fires early.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use slab::Slab;

/// How exactly deadlines are kept.
pub const TICK: Duration = Duration::from_millis(2);
/// Ticks of one turn of the wheel: 4 s. Later deadlines are entered again each turn.
const SLOTS: usize = 2048;
const NEVER: u64 = u64::MAX;

thread_local! {
    static WHEEL: RefCell<Option<Rc<Wheel>>> = const { RefCell::new(None) };
}

/// The deadlines of one worker.
struct Wheel {
    origin: Instant,
    entries: RefCell<Slab<Entry>>,
    slots: RefCell<Slots>,
    /// The tick for which the driver sleeps.
    sleeping_until: Cell<u64>,
    driver: Cell<Option<Waker>>,
}

struct Entry {
    /// The tick at which the deadline is over, or [`NEVER`].
    due: u64,
    /// The tick under which the wheel knows it, or [`NEVER`].
    entered: u64,
    fired: bool,
    waker: Option<Waker>,
}

struct Slots {
    keys: Vec<Vec<(usize, u64)>>,
    occupied: Vec<u64>,
    /// Every tick before this one has been handled.
    next: u64,
}

/// One deadline; `None` at first.
pub struct Deadline {
    wheel: Rc<Wheel>,
    key: usize,
    /// The tick last set, so that setting the same again costs nothing.
    due: u64,
}

impl Deadline {
    /// A deadline that is off.
    pub fn new() -> Self {
        let wheel = Wheel::current();
        let entry = Entry { due: NEVER, entered: NEVER, fired: false, waker: None };
        let key = wheel.entries.borrow_mut().insert(entry);
        Self { wheel, key, due: NEVER }
    }

    /// Moves the deadline; `None` turns it off.
    pub fn set(&mut self, at: Option<Instant>) {
        let due = at.map_or(NEVER, |at| self.wheel.tick_after(at));
        if due == self.due {
            return;
        }
        self.due = due;
        self.wheel.set(self.key, due);
    }

    /// Whether the deadline is over; the task is woken when it is.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut entries = self.wheel.entries.borrow_mut();
        let entry = &mut entries[self.key];
        if entry.fired {
            return Poll::Ready(());
        }
        let stale = match &entry.waker {
            Some(waker) if waker.will_wake(cx.waker()) => None,
            _ => entry.waker.replace(cx.waker().clone()),
        };
        // The last waker of a task drops the task, and with it deadlines of its own.
        drop(entries);
        drop(stale);
        Poll::Pending
    }
}

/// Fires what is due at `now`; returns when the next deadline may be due. For a loop that drives
/// the wheel.
pub(crate) fn fire(now: Instant) -> Option<Instant> {
    let wheel = WHEEL.with_borrow(|wheel| wheel.clone())?;
    wheel.fire(now);
    let next = wheel.slots.borrow().first_occupied()?;
    Some(wheel.time_of(next))
}

/// Wakes every task of this worker that waits for a deadline, so that it looks again at what it
/// waits for.
pub fn wake_all() {
    let wheel = Wheel::current();
    for (_, entry) in wheel.entries.borrow_mut().iter_mut() {
        if let Some(waker) = entry.waker.take() {
            waker.wake();
        }
    }
}

impl Default for Deadline {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        // A key that is used again cannot be confused with this one: the slots remember the tick
        // under which they entered a key, and skip what does not agree.
        let entry = self.wheel.entries.borrow_mut().remove(self.key);
        // Outside of the borrow: see `poll`.
        drop(entry);
    }
}

impl std::fmt::Debug for Deadline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deadline").field("due", &self.due).finish_non_exhaustive()
    }
}

impl Wheel {
    fn current() -> Rc<Self> {
        WHEEL.with_borrow_mut(|wheel| Rc::clone(wheel.get_or_insert_with(Self::start)))
    }

    fn start() -> Rc<Self> {
        let slots = Slots { keys: vec![Vec::new(); SLOTS], occupied: vec![0; SLOTS / 64], next: 0 };
        let wheel = Rc::new(Self {
            origin: Instant::now(),
            entries: RefCell::new(Slab::new()),
            slots: RefCell::new(slots),
            sleeping_until: Cell::new(NEVER),
            driver: Cell::new(None),
        });
        // Our own loop fires deadlines itself, with each of its turns.
        if !crate::event_loop::is_installed() {
            crate::spawn(Self::drive(Rc::clone(&wheel)));
        }
        wheel
    }

    /// The tick under way at `now`.
    fn tick_at(&self, now: Instant) -> u64 {
        ticks(now.saturating_duration_since(self.origin))
    }

    /// When a tick begins.
    fn time_of(&self, tick: u64) -> Instant {
        self.origin + Duration::from_micros(tick.saturating_mul(TICK.as_micros() as u64))
    }

    /// The first tick that begins after `at`.
    fn tick_after(&self, at: Instant) -> u64 {
        ticks(at.saturating_duration_since(self.origin)) + 1
    }

    fn set(&self, key: usize, due: u64) {
        let mut entries = self.entries.borrow_mut();
        let entry = &mut entries[key];
        entry.due = due;
        entry.fired = false;
        if due < entry.entered {
            entry.entered = self.slots.borrow_mut().enter(key, due);
            self.wake_driver_for(entry.entered);
        }
    }

    fn wake_driver_for(&self, tick: u64) {
        if tick < self.sleeping_until.get()
            && let Some(driver) = self.driver.take()
        {
            driver.wake();
        }
    }

    /// Fires what is due, sleeps until the next entry, for ever.
    async fn drive(wheel: Rc<Self>) {
        loop {
            wheel.fire(Instant::now());
            let next = wheel.slots.borrow().first_occupied();
            wheel.sleeping_until.set(next.unwrap_or(NEVER));
            let until = next.map(|tick| wheel.time_of(tick));
            wheel.sleep(until).await;
        }
    }

    /// Sleeps until the given time or until an earlier deadline is set.
    async fn sleep(&self, until: Option<Instant>) {
        let far = Duration::from_secs(3600);
        let duration = until.map_or(far, |until| until.saturating_duration_since(Instant::now()));
        let mut timer = pin!(monoio::time::sleep(duration));
        let mut registered = false;
        poll_fn(|cx| {
            // Woken by `wake_driver_for`, which took the waker away.
            let waker = self.driver.take();
            if registered && waker.is_none() {
                return Poll::Ready(());
            }
            registered = true;
            self.driver.set(Some(cx.waker().clone()));
            timer.as_mut().poll(cx)
        })
        .await;
    }

    fn fire(&self, now: Instant) {
        let now = self.tick_at(now);
        loop {
            let Some((tick, keys)) = self.slots.borrow_mut().take_until(now) else { break };
            for (key, entered) in keys.iter().copied() {
                self.visit(key, entered, now, tick);
            }
            self.slots.borrow_mut().give_back(tick, keys);
        }
    }

    fn visit(&self, key: usize, entered: u64, now: u64, tick: u64) {
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = entries.get_mut(key) else { return };
        if entry.entered != entered || entered != tick {
            return;
        }
        entry.entered = NEVER;
        if entry.due == NEVER {
            return;
        }
        if entry.due <= now {
            entry.fired = true;
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
        } else {
            entry.entered = self.slots.borrow_mut().enter(key, entry.due);
        }
    }
}

/// Whole ticks in a duration. Seconds and their parts are counted apart: a division of 128 bits
/// would cost as much as all the rest of moving a deadline.
fn ticks(since: Duration) -> u64 {
    const MICROS: u64 = TICK.as_micros() as u64;
    since.as_secs() * (1_000_000 / MICROS) + u64::from(since.subsec_micros()) / MICROS
}

impl Slots {
    /// Enters a key under `due` or under the last tick of this turn; returns which.
    fn enter(&mut self, key: usize, due: u64) -> u64 {
        let tick = due.clamp(self.next, self.next + SLOTS as u64 - 1);
        let slot = tick as usize % SLOTS;
        self.keys[slot].push((key, tick));
        self.occupied[slot / 64] |= 1 << (slot % 64);
        tick
    }

    fn first_occupied(&self) -> Option<u64> {
        let start = self.next as usize % SLOTS;
        // One word more than there are, since the first one is looked at in two parts.
        for step in 0..=self.occupied.len() {
            let index = (start / 64 + step) % self.occupied.len();
            let mut word = self.occupied[index];
            if step == 0 {
                word &= u64::MAX << (start % 64);
            } else if step == self.occupied.len() {
                word &= !(u64::MAX << (start % 64));
            }
            if word != 0 {
                let slot = index * 64 + word.trailing_zeros() as usize;
                let ahead = (slot + SLOTS - start) % SLOTS;
                return Some(self.next + ahead as u64);
            }
        }
        None
    }

    /// The keys of the first occupied slot up to and including tick `now`.
    fn take_until(&mut self, now: u64) -> Option<(u64, Vec<(usize, u64)>)> {
        match self.first_occupied().filter(|tick| *tick <= now) {
            Some(tick) => {
                let slot = tick as usize % SLOTS;
                self.occupied[slot / 64] &= !(1 << (slot % 64));
                self.next = tick + 1;
                Some((tick, std::mem::take(&mut self.keys[slot])))
            }
            None => {
                self.next = self.next.max(now + 1);
                None
            }
        }
    }

    /// Keeps the capacity of a slot that was taken; what was entered meanwhile stays.
    fn give_back(&mut self, tick: u64, mut keys: Vec<(usize, u64)>) {
        keys.clear();
        let slot = &mut self.keys[tick as usize % SLOTS];
        if slot.is_empty() && keys.capacity() <= 1024 {
            *slot = keys;
        }
    }
}

#[cfg(test)]
mod tests;
