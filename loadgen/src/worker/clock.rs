//! The one task of a worker that knows the time: it opens the first connections, gives due
//! requests to connections that wait, ends what takes too long, cuts the record into pieces and
//! ends the run.
//!
//! In an open loop it spins through the event loop while a request is due soon, because the
//! kernel's and the runtime's timers are too coarse to be fair to a server that answers in 50
//! microseconds. A turn of the spin enters the kernel, so that completions are seen at once.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use super::{At, Command, Core, End, Event, NEVER, PIECE_NS, Phase, connection, unfriendly};
use crate::plan::Load;
use crate::record::{Cpu, Record};

/// Between two looks at deadlines and commands.
const TICK_NS: u64 = 10_000_000;
/// The runtime's sleep rounds up to ticks of two milliseconds: what is nearer is spun.
const SPIN_NS: u64 = 3_000_000;
/// First connections that are opened at a time: less than the usual listen queue of 128.
const OPENING: usize = 100;

/// Ends the clock's sleep early.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    /// The time until which the clock sleeps; 0 while it does not.
    until: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

impl Alarm {
    /// Wakes the clock if it would sleep beyond `time`.
    pub(super) fn ring_before(&self, time: u64) {
        if time < self.until.get() {
            self.until.set(0);
            if let Some(waker) = self.waker.take() {
                waker.wake();
            }
        }
    }
}

/// Runs a worker from its first connection to its report.
pub(super) async fn run(core: Rc<Core>, commands: Receiver<Command>, events: SyncSender<Event>) {
    // A task of its own, beside the one that the thread began with: only tasks can take turns.
    let over = Rc::new(Cell::new(false));
    let finished = Rc::clone(&over);
    let waker: Rc<RefCell<Option<Waker>>> = Rc::default();
    let waiting = Rc::clone(&waker);
    ringway_runtime::spawn(async move {
        drive(core, &commands, &events).await;
        finished.set(true);
        if let Some(waker) = waiting.take() {
            waker.wake();
        }
    });
    poll_fn(|cx| {
        *waker.borrow_mut() = Some(cx.waker().clone());
        if over.get() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

async fn drive(core: Rc<Core>, commands: &Receiver<Command>, events: &SyncSender<Event>) {
    open_all(&core).await;
    let failures = std::mem::take(&mut core.record.borrow_mut().failures);
    let ready = Event::Ready { opened: core.opened.get(), failures: Box::new(failures) };
    // A coordinator that is gone wants no run.
    if events.send(ready).is_err() || !wait_for_start(&core, commands).await {
        return;
    }
    let mut clock = Clock::new(&core, events);
    unfriendly::spawn_all(&core, core.index);
    while !clock.step(commands) {
        clock.wait().await;
    }
    clock.finish();
}

/// Opens the first connection of every slot, so many at a time.
async fn open_all(core: &Rc<Core>) {
    for (index, slot) in core.slots.iter().enumerate() {
        while index >= core.tried.get() + OPENING {
            pause(core).await;
        }
        ringway_runtime::spawn(connection::run(Rc::clone(core), Rc::clone(slot)));
    }
    while core.tried.get() < core.slots.len() {
        pause(core).await;
    }
}

async fn pause(core: &Core) {
    ringway_runtime::sleep(Duration::from_millis(1)).await;
    let now = core.now();
    core.slots.iter().for_each(|slot| slot.check_deadline(now));
}

/// False when there will be no start.
async fn wait_for_start(core: &Core, commands: &Receiver<Command>) -> bool {
    loop {
        match commands.try_recv() {
            Ok(Command::Start(at)) => {
                ringway_runtime::sleep(at.saturating_duration_since(Instant::now())).await;
                core.origin.set(at);
                core.phase.set(Phase::Running);
                for lane in &core.lanes {
                    lane.advance(&mut core.filler.borrow_mut().rng);
                }
                core.slots.iter().for_each(|slot| slot.wake());
                return true;
            }
            Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
            Err(TryRecvError::Empty) => ringway_runtime::sleep(Duration::from_millis(1)).await,
        }
    }
}

struct Clock<'a> {
    core: &'a Rc<Core>,
    events: &'a SyncSender<Event>,
    spins: bool,
    turns: Rc<Turns>,
    next_tick: u64,
    next_piece: u64,
    /// Ends of the steps of a rate by steps.
    steps: Vec<u64>,
    at: At,
    /// CPU time and answers when the measured time began, and when sending ended.
    from: Option<(Cpu, u64)>,
    to: Option<(Cpu, u64)>,
    stopped_at: u64,
}

impl<'a> Clock<'a> {
    fn new(core: &'a Rc<Core>, events: &'a SyncSender<Event>) -> Self {
        Self {
            spins: core.plan.spins(),
            turns: Turns::start(),
            next_tick: 0,
            next_piece: core.measure_from + PIECE_NS,
            steps: step_ends(core),
            at: At { piece: 0, step: 0 },
            from: None,
            to: None,
            stopped_at: NEVER,
            core,
            events,
        }
    }

    /// Does what is due; true when the run is over.
    fn step(&mut self, commands: &Receiver<Command>) -> bool {
        let now = self.core.now();
        if self.core.phase.get() == Phase::Running {
            self.core.release(now);
        }
        if now >= self.next_tick {
            self.tick(now, commands);
            self.next_tick = self.after(now);
        }
        self.core.phase.get() == Phase::Stopping && self.core.in_flight.get() == 0
    }

    /// The next tick: sooner than usual where something must happen at its time.
    fn after(&self, now: u64) -> u64 {
        let step = self.steps.get(self.at.step).copied().unwrap_or(NEVER);
        let marks = [self.core.measure_from, self.next_piece, step, self.core.end.get()];
        marks.into_iter().filter(|mark| *mark > now).fold(now + TICK_NS, u64::min)
    }

    fn tick(&mut self, now: u64, commands: &Receiver<Command>) {
        let core = self.core;
        core.slots.iter().for_each(|slot| slot.check_deadline(now));
        if self.from.is_none() && now >= core.measure_from {
            self.from = Some((own_cpu(), core.answers.get()));
        }
        self.cut(now);
        if core.phase.get() == Phase::Running && (self.is_over(now) || stop_wanted(commands)) {
            self.stop(now);
        }
    }

    fn is_over(&self, now: u64) -> bool {
        let core = self.core;
        let end = core.end.get();
        if now >= end {
            // What was due before the end may still find a connection, for a while.
            return core.is_caught_up() || now >= end.saturating_add(self.grace());
        }
        let nothing_left = core.budget.get() == 0
            || (core.plan.is_open() && core.lanes.iter().all(|lane| lane.next.get() == NEVER));
        nothing_left && core.in_flight.get() == 0
    }

    /// A twentieth of the measured time, so that a backlog cannot make a run much longer.
    fn grace(&self) -> u64 {
        (self.core.end.get() - self.core.measure_from) / 20
    }

    fn stop(&mut self, now: u64) {
        let core = self.core;
        core.record.borrow_mut().unsent += core.count_unsent(now);
        core.phase.set(Phase::Stopping);
        self.to = Some((own_cpu(), core.answers.get()));
        self.stopped_at = now.min(core.end.get());
        core.slots.iter().for_each(|slot| slot.wake());
    }

    /// Sends away the record of a piece of time, or of a step, that is over.
    fn cut(&mut self, now: u64) {
        let step_over = self.steps.get(self.at.step).is_some_and(|end| now >= *end);
        if now < self.next_piece && !step_over {
            return;
        }
        let at = self.at;
        if now >= self.next_piece {
            self.at.piece = now.saturating_sub(self.core.measure_from) / PIECE_NS;
            self.next_piece = self.core.measure_from + (self.at.piece + 1) * PIECE_NS;
        }
        self.at.step += usize::from(step_over);
        let fresh = Record::new(self.core.plan.requests.len());
        let record = Box::new(self.core.record.replace(fresh));
        let piece = Event::Piece { worker: self.core.index, at, done: self.at.piece, record };
        // When the coordinator is behind, this piece becomes part of the next one.
        if let Err(refused) = self.events.try_send(piece)
            && let Some(record) = refused_record(refused)
        {
            self.core.record.replace(*record);
        }
    }

    /// Waits until something is due.
    async fn wait(&self) {
        let core = self.core;
        let due = match core.phase.get() {
            Phase::Running if core.now() < core.end.get() => core.next_due().min(core.end.get()),
            Phase::Running => NEVER,
            _ => core.now() + 1_000_000,
        };
        let until = due.min(self.next_tick);
        let gap = until.saturating_sub(core.now());
        if self.spins && until == due && gap < SPIN_NS && core.phase.get() == Phase::Running {
            self.turns.take().await;
        } else if self.spins && until == due {
            self.sleep(due, gap.saturating_sub(SPIN_NS)).await;
        } else {
            self.sleep(until, gap).await;
        }
    }

    /// Sleeps so many nanoseconds, or until something is due before `until`.
    async fn sleep(&self, until: u64, ns: u64) {
        let alarm = &self.core.alarm;
        alarm.until.set(until);
        let mut sleep = pin!(ringway_runtime::sleep(Duration::from_nanos(ns.max(1))));
        poll_fn(|cx| {
            if alarm.until.get() == 0 {
                return Poll::Ready(());
            }
            *alarm.waker.borrow_mut() = Some(cx.waker().clone());
            sleep.as_mut().poll(cx)
        })
        .await;
        alarm.until.set(0);
    }

    fn finish(self) {
        let core = self.core;
        let mut record = core.record.replace(Record::new(core.plan.requests.len()));
        if let (Some((cpu, answers)), Some((cpu_end, answers_end))) = (self.from, self.to) {
            record.cpu = Cpu {
                user_ns: cpu_end.user_ns - cpu.user_ns,
                system_ns: cpu_end.system_ns - cpu.system_ns,
            };
            record.answers = answers_end - answers;
        }
        let end = End {
            record,
            answers: core.slots.iter().map(|slot| slot.answers.get()).collect(),
            last_result_ns: core.last_result.get().saturating_sub(core.measure_from),
            sending_ns: self.stopped_at.saturating_sub(core.measure_from),
        };
        let finished = Event::Finished { worker: core.index, at: self.at, end: Box::new(end) };
        // A coordinator that is gone wants no report.
        let _ = self.events.send(finished);
        self.turns.end();
    }
}

fn refused_record(refused: TrySendError<Event>) -> Option<Box<Record>> {
    let (TrySendError::Full(event) | TrySendError::Disconnected(event)) = refused;
    match event {
        Event::Piece { record, .. } => Some(record),
        _ => None,
    }
}

fn stop_wanted(commands: &Receiver<Command>) -> bool {
    matches!(commands.try_recv(), Ok(Command::Stop) | Err(TryRecvError::Disconnected))
}

/// When each step ends, for a rate that has steps.
fn step_ends(core: &Core) -> Vec<u64> {
    let Load::Open { profile, .. } = &core.plan.load else { return Vec::new() };
    let mut at = core.measure_from as f64;
    let warm = usize::from(core.measure_from > 0);
    let ends = profile.pieces().iter().skip(warm).map(|piece| {
        at += piece.seconds * 1e9;
        at
    });
    ends.filter(|end| end.is_finite()).map(|end| end as u64).collect()
}

/// CPU time of this thread since it began.
fn own_cpu() -> Cpu {
    let ns = |time: TimeVal| (time.tv_sec() * 1_000_000_000 + time.tv_usec() * 1000) as u64;
    getrusage(UsageWho::RUSAGE_THREAD).map_or(Cpu::default(), |usage| Cpu {
        user_ns: ns(usage.user_time()),
        system_ns: ns(usage.system_time()),
    })
}

/// Two tasks that wake each other: while one of them waits its turn, everything else runs. A task
/// that woke itself would run again before all others.
#[derive(Debug, Default)]
struct Turns {
    clock: RefCell<Option<Waker>>,
    other: RefCell<Option<Waker>>,
    over: Cell<bool>,
}

impl Turns {
    fn start() -> Rc<Self> {
        let turns = Rc::new(Self::default());
        let other = Rc::clone(&turns);
        ringway_runtime::spawn(poll_fn(move |cx| {
            if other.over.get() {
                return Poll::Ready(());
            }
            *other.other.borrow_mut() = Some(cx.waker().clone());
            if let Some(clock) = other.clock.take() {
                clock.wake();
            }
            Poll::Pending
        }));
        turns
    }

    async fn take(&self) {
        let mut asked = false;
        poll_fn(|cx| {
            if asked {
                return Poll::Ready(());
            }
            asked = true;
            *self.clock.borrow_mut() = Some(cx.waker().clone());
            // A twin that has not run yet will, since it was just made.
            if let Some(other) = self.other.borrow().as_ref() {
                other.wake_by_ref();
            }
            Poll::Pending
        })
        .await;
    }

    fn end(&self) {
        self.over.set(true);
        if let Some(other) = self.other.take() {
            other.wake();
        }
    }
}
