//! One core's share of a run: its connections, its due times, its records.
//!
//! Shared-nothing: a worker shares the plan, which never changes, and two channels with the
//! coordinator; the clock of each worker looks at them a few times a second, the request path never
//! does. [`clock`] drives time, [`connection`] one slot each, [`dial`] opens connections,
//! [`exchange`] uses them, [`unfriendly`] are the clients that misbehave.

mod clock;
mod connection;
mod dial;
mod exchange;
mod open;
mod slot;
mod unfriendly;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::Instant;

use ringway_runtime::worker as thread;

use crate::plan::{Load, Plan};
use crate::record::{Failures, Record};
use crate::schedule::{Schedule, Share};
use crate::template::Filler;
use crate::units::nanoseconds;

use slot::Slot;

/// Never, as a time in nanoseconds.
const NEVER: u64 = u64::MAX;

/// From the coordinator.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Command {
    /// Begin at this time, with the warm-up if there is one.
    Start(Instant),
    /// Send nothing more, wait for open answers, report.
    Stop,
}

/// To the coordinator.
#[derive(Debug)]
pub(crate) enum Event {
    /// All first connections were tried.
    Ready { opened: usize, failures: Box<Failures> },
    /// What happened in a piece of time; this worker is done with all pieces before `done`.
    Piece { worker: usize, at: At, done: u64, record: Box<Record> },
    /// The run of this worker is over.
    Finished { worker: usize, at: At, end: Box<End> },
    /// The user wants to end the run.
    Interrupt,
}

/// Where a record belongs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    /// The number of the piece, from the beginning of the measured time.
    pub(crate) piece: u64,
    /// The number of the step of the rate.
    pub(crate) step: usize,
}

/// What only the end of a run knows.
#[derive(Debug)]
pub(crate) struct End {
    /// What came after the last piece.
    pub(crate) record: Record,
    /// Answers on each connection.
    pub(crate) answers: Vec<u64>,
    /// The last answer or failure, in nanoseconds after the measured time began.
    pub(crate) last_result_ns: u64,
    /// Measured nanoseconds until nothing more was sent.
    pub(crate) sending_ns: u64,
}

/// The length of a piece, in nanoseconds.
pub(crate) const PIECE_NS: u64 = 250_000_000;

/// Starts worker `index` on a thread of its own, pinned when there is a choice.
pub(crate) fn start(
    plan: Arc<Plan>,
    index: usize,
    driver: thread::Driver,
    commands: Receiver<Command>,
    events: SyncSender<Event>,
) -> io::Result<JoinHandle<()>> {
    let core = (plan.threads > 1 || !plan.cpus.is_empty()).then(|| index % thread::cores());
    let name = format!("load-{index}");
    let spec = thread::Spec { name, core, driver, spin: plan.busy_poll };
    thread::start_with(spec, move || async move {
        let core = Rc::new(Core::new(plan, index, driver));
        clock::run(core, commands, events).await;
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// First connections are opened.
    Opening,
    Running,
    /// Nothing new is sent.
    Stopping,
}

/// What all tasks of a worker share.
struct Core {
    plan: Arc<Plan>,
    /// Which worker this is, and on what it runs.
    index: usize,
    driver: thread::Driver,
    phase: Cell<Phase>,
    /// The time zero of all nanoseconds here: when the warm-up began.
    origin: Cell<Instant>,
    /// Requests due from here on are measured, and none is sent from `end` on.
    measure_from: u64,
    end: Cell<u64>,
    /// Requests that may still be sent.
    budget: Cell<u64>,
    lanes: Vec<Lane>,
    slots: Vec<Rc<Slot>>,
    record: RefCell<Record>,
    filler: RefCell<Filler>,
    in_flight: Cell<usize>,
    /// Whole answers so far.
    answers: Cell<u64>,
    /// When the last request was over, by an answer or by a failure.
    last_result: Cell<u64>,
    /// First connections: tried, and open.
    tried: Cell<usize>,
    opened: Cell<usize>,
    alarm: clock::Alarm,
}

/// One worker's part of a lane.
struct Lane {
    requests: Vec<usize>,
    /// Sums of the weights of `requests`, for picking one.
    weights: Vec<u64>,
    schedule: RefCell<Option<Schedule>>,
    /// When the next request is due.
    next: Cell<u64>,
    /// Connections that could send.
    idle: RefCell<VecDeque<Rc<Slot>>>,
}

impl Core {
    fn new(plan: Arc<Plan>, index: usize, driver: thread::Driver) -> Self {
        let measure_from = nanoseconds(plan.warmup);
        let rng = fastrand::Rng::with_seed(plan.seed.wrapping_add(index as u64));
        let (lanes, slots) = lanes_and_slots(&plan, index);
        Self {
            index,
            driver,
            phase: Cell::new(Phase::Opening),
            origin: Cell::new(Instant::now()),
            measure_from,
            end: Cell::new(plan.duration.map_or(NEVER, |d| measure_from + nanoseconds(d))),
            budget: Cell::new(plan.count.map_or(NEVER, |count| budget(&plan, index, count))),
            lanes,
            slots,
            record: RefCell::new(Record::new(plan.requests.len())),
            filler: RefCell::new(Filler::new(index, plan.threads, rng)),
            in_flight: Cell::new(0),
            answers: Cell::new(0),
            last_result: Cell::new(0),
            tried: Cell::new(0),
            opened: Cell::new(0),
            alarm: clock::Alarm::default(),
            plan,
        }
    }

    /// Nanoseconds since the run began.
    #[inline]
    fn now(&self) -> u64 {
        nanoseconds(self.origin.get().elapsed())
    }

    /// The next request of a lane that is due by `now`, as the time at which it was due.
    #[inline]
    fn take(&self, lane: usize, now: u64) -> Option<u64> {
        if self.phase.get() != Phase::Running || self.budget.get() == 0 {
            return None;
        }
        let due = match self.plan.load {
            Load::Closed if now >= self.end.get() => return None,
            Load::Closed => now,
            Load::Open { .. } => self.take_due(&self.lanes[lane], now)?,
        };
        self.budget.set(self.budget.get() - 1);
        self.in_flight.set(self.in_flight.get() + 1);
        Some(due)
    }

    fn take_due(&self, lane: &Lane, now: u64) -> Option<u64> {
        let due = lane.next.get();
        if due > now || due >= self.end.get() {
            return None;
        }
        lane.advance(&mut self.filler.borrow_mut().rng);
        Some(due)
    }

    /// Gives due requests to connections that wait for them.
    fn release(&self, now: u64) {
        for (index, lane) in self.lanes.iter().enumerate() {
            while lane.next.get() <= now && !lane.idle.borrow().is_empty() {
                let Some(due) = self.take(index, now) else { break };
                let Some(slot) = lane.idle.borrow_mut().pop_front() else { break };
                slot.assign(due);
            }
        }
    }

    /// When a connection that waits will have something to do.
    fn next_due(&self) -> u64 {
        let waited_for = self.lanes.iter().filter(|lane| !lane.idle.borrow().is_empty());
        waited_for.map(|lane| lane.next.get()).min().unwrap_or(NEVER)
    }

    /// Whether every request that was due before the end has been taken.
    fn is_caught_up(&self) -> bool {
        !self.plan.is_open() || self.lanes.iter().all(|lane| lane.next.get() >= self.end.get())
    }

    /// A connection has nothing to send.
    fn wait_for_due(&self, slot: &Rc<Slot>) {
        if self.plan.is_open() && slot.become_idle() {
            let lane = &self.lanes[slot.lane];
            lane.idle.borrow_mut().push_back(Rc::clone(slot));
            self.alarm.ring_before(lane.next.get());
        }
    }

    /// Which request to send next.
    #[inline]
    fn pick(&self, lane: usize) -> usize {
        let lane = &self.lanes[lane];
        if lane.requests.len() == 1 {
            return lane.requests[0];
        }
        let total = lane.weights.last().copied().unwrap_or(1);
        let point = self.filler.borrow_mut().rng.u64(..total);
        lane.requests[lane.weights.partition_point(|sum| *sum <= point)]
    }

    /// Whether a request that was due then counts.
    #[inline]
    fn is_measured(&self, due: u64) -> bool {
        due >= self.measure_from
    }

    /// Requests that were due and that nobody could send.
    fn count_unsent(&self, until: u64) -> u64 {
        let mut unsent = 0;
        for lane in &self.lanes {
            let until = until.min(self.end.get());
            while lane.next.get() < until && self.budget.get() > unsent {
                unsent += u64::from(self.is_measured(lane.next.get()));
                lane.advance(&mut self.filler.borrow_mut().rng);
            }
        }
        unsent
    }
}

impl Lane {
    fn advance(&self, rng: &mut fastrand::Rng) {
        let mut schedule = self.schedule.borrow_mut();
        self.next.set(schedule.as_mut().and_then(|schedule| schedule.next(rng)).unwrap_or(NEVER));
    }
}

/// Connections of all lanes go to the workers in turn, so that each has its share of every lane.
fn lanes_and_slots(plan: &Plan, worker: usize) -> (Vec<Lane>, Vec<Rc<Slot>>) {
    let (mut lanes, mut slots, mut first) = (Vec::new(), Vec::new(), 0);
    for (index, lane) in plan.lanes.iter().enumerate() {
        let all = first..first + lane.connections;
        let own = all.filter(|number| number % plan.threads == worker);
        slots.extend(own.map(|number| Rc::new(Slot::new(index, number))));
        let rank = (worker + plan.threads - first % plan.threads) % plan.threads;
        lanes.push(lane_of(plan, index, rank));
        first += lane.connections;
    }
    (lanes, slots)
}

/// `rank` is the worker's place among those that have connections in this lane.
fn lane_of(plan: &Plan, index: usize, rank: usize) -> Lane {
    let lane = &plan.lanes[index];
    let workers = plan.threads.min(lane.connections);
    let share = Share { index: rank as u64, of: workers as u64, part: lane.part };
    let schedule = match &plan.load {
        Load::Open { profile, arrivals, .. } if rank < workers => {
            Some(Schedule::new(profile, *arrivals, share))
        }
        _ => None,
    };
    let weights = lane.requests.iter().scan(0, |sum, request| {
        *sum += u64::from(plan.requests[*request].weight);
        Some(*sum)
    });
    Lane {
        weights: weights.collect(),
        requests: lane.requests.clone(),
        schedule: RefCell::new(schedule),
        next: Cell::new(NEVER),
        idle: RefCell::new(VecDeque::new()),
    }
}

/// A worker's part of a fixed number of requests, by its part of the connections.
fn budget(plan: &Plan, worker: usize, count: u64) -> u64 {
    let total = plan.connections().max(1) as u128;
    let before = |workers: usize| -> u128 {
        (0..workers).map(|index| plan.share(total as usize, index) as u128).sum()
    };
    let until = |workers| (u128::from(count) * before(workers) / total) as u64;
    until(worker + 1) - until(worker)
}
