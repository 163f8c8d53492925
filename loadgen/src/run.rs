//! One run: starts the workers, adds up what they report, ends them.
//!
//! Pieces of time come from every worker and are added up while the run goes on; what is complete
//! is shown to an [`Observer`] and dropped, so that a long run needs no more memory than a short
//! one.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use ringway_runtime::worker::Driver;

use crate::plan::Plan;
use crate::record::{Failure, Failures, Record};
use crate::worker::{self, At, Command, End, Event, PIECE_NS};

/// Events that may wait for the coordinator; a worker whose piece is refused keeps it for later.
const WAITING: usize = 256;
/// How long nothing is heard before the workers are looked at.
const SILENCE: Duration = Duration::from_secs(2);
/// After the last worker was told: all begin at the same time.
const LEAD: Duration = Duration::from_millis(5);

/// Watches a run.
pub(crate) trait Observer {
    /// The measured time begins after `warmup`; the wall clock says when that is.
    fn begin(&mut self, plan: &Plan, measured_from: SystemTime);
    /// A quarter of a second is complete; `index` counts them from the beginning of the measured
    /// time (those of the warm-up are all 0 and empty).
    fn piece(&mut self, index: u64, record: &Record);
    /// Nothing more will come.
    fn end(&mut self);
}

/// What a run found.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) total: Record,
    /// By the steps of the rate, as far as they were reached; one when there are none.
    pub(crate) steps: Vec<Record>,
    /// Answers on each connection.
    pub(crate) answers: Vec<u64>,
    /// The time over which the rate is counted.
    pub(crate) elapsed: Duration,
    /// The user ended it early.
    pub(crate) interrupted: bool,
}

/// Why there was no run.
#[derive(Debug)]
pub(crate) enum NoRun {
    /// A worker could not be started.
    Worker(io::Error),
    /// No connection could be opened; nothing was sent.
    Unreachable { failure: Failure, text: String },
    /// The user ended it before it began.
    Interrupted,
}

impl fmt::Display for NoRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker(error) => write!(f, "a worker could not be started: {error}"),
            Self::Unreachable { failure: Failure::Refused, .. } => {
                f.write_str("connection refused: is the server running at this address?")
            }
            Self::Unreachable { failure: Failure::ConnectTimeout, .. } => {
                f.write_str("the connection was not open in time: is the address right?")
            }
            Self::Unreachable { text, .. } => write!(f, "no connection could be opened: {text}"),
            Self::Interrupted => f.write_str("interrupted before it began"),
        }
    }
}

/// The channel on which a run hears from its workers and of interrupts.
#[derive(Debug)]
pub(crate) struct Events {
    pub(crate) sender: SyncSender<Event>,
    receiver: Receiver<Event>,
}

impl Events {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = sync_channel(WAITING);
        Self { sender, receiver }
    }
}

/// Runs a plan to its end.
pub(crate) fn execute(
    plan: &Arc<Plan>,
    driver: Driver,
    events: &Events,
    observer: &mut dyn Observer,
) -> Result<Outcome, NoRun> {
    let workers = Workers::start(plan, driver, events).map_err(NoRun::Worker)?;
    let result = conduct(plan, &workers, events, observer);
    workers.join();
    observer.end();
    result
}

struct Workers {
    commands: Vec<Sender<Command>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    fn start(plan: &Arc<Plan>, driver: Driver, events: &Events) -> io::Result<Self> {
        let mut workers = Self { commands: Vec::new(), threads: Vec::new() };
        for index in 0..plan.threads {
            let (sender, receiver) = channel();
            let events = events.sender.clone();
            let thread = worker::start(Arc::clone(plan), index, driver, receiver, events)?;
            workers.commands.push(sender);
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    fn tell(&self, command: Command) {
        for commands in &self.commands {
            // A worker that is gone needs no command.
            let _ = commands.send(command);
        }
    }

    fn join(self) {
        drop(self.commands);
        for thread in self.threads {
            // A worker that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

fn conduct(
    plan: &Plan,
    workers: &Workers,
    events: &Events,
    observer: &mut dyn Observer,
) -> Result<Outcome, NoRun> {
    let failures = wait_until_ready(plan, events)?;
    let start = Instant::now() + LEAD;
    let measured_from = SystemTime::now() + LEAD + plan.warmup;
    workers.tell(Command::Start(start));
    observer.begin(plan, measured_from);
    let mut sum = Sum::new(plan, failures);
    while sum.running > 0 {
        let Ok(event) = events.receiver.recv_timeout(SILENCE) else {
            // Workers speak four times a second; one that ended without a word has panicked.
            if workers.threads.iter().filter(|t| t.is_finished()).count() > sum.ends.len() {
                return Err(NoRun::Worker(io::Error::other("a worker ended without a report")));
            }
            continue;
        };
        match event {
            Event::Interrupt => {
                sum.interrupted = true;
                workers.tell(Command::Stop);
            }
            event => sum.take(event, observer),
        }
    }
    Ok(sum.into_outcome(plan))
}

/// The failures of connections that could not be opened, while others could.
fn wait_until_ready(plan: &Plan, events: &Events) -> Result<Failures, NoRun> {
    let (mut all, mut opened, mut first) = (Record::new(0), 0, None);
    for _ in 0..plan.threads {
        match events.receiver.recv() {
            Ok(Event::Ready { opened: more, failures }) => {
                opened += more;
                if let Some((failure, _, text)) = failures.iter().next() {
                    first.get_or_insert((failure, text.to_owned()));
                }
                all.merge(&Record { failures: *failures, ..Record::new(0) });
            }
            _ => return Err(NoRun::Interrupted),
        }
    }
    match first {
        Some((failure, text)) if opened == 0 => Err(NoRun::Unreachable { failure, text }),
        _ => Ok(all.failures),
    }
}

/// Adds up what the workers say.
struct Sum {
    total: Record,
    steps: Vec<Record>,
    ends: Vec<(usize, End)>,
    running: usize,
    interrupted: bool,
    /// Pieces that some worker has not delivered yet, the first of them `first`.
    pieces: VecDeque<Record>,
    first: u64,
    /// How far each worker is.
    delivered: Vec<u64>,
    requests: usize,
}

impl Sum {
    fn new(plan: &Plan, failures: Failures) -> Self {
        let requests = plan.requests.len();
        let mut total = Record::new(requests);
        total.merge(&Record { failures, ..Record::new(0) });
        Self {
            total,
            steps: Vec::new(),
            ends: Vec::new(),
            running: plan.threads,
            interrupted: false,
            pieces: VecDeque::new(),
            first: 0,
            delivered: vec![0; plan.threads],
            requests,
        }
    }

    fn take(&mut self, event: Event, observer: &mut dyn Observer) {
        match event {
            Event::Piece { worker, at, done, record } => {
                self.add(at, &record);
                self.delivered[worker] = done;
            }
            Event::Finished { worker, at, end } => {
                self.add(at, &end.record);
                self.delivered[worker] = u64::MAX;
                self.ends.push((worker, *end));
                self.running -= 1;
            }
            // Readiness is over, and interrupts are the caller's.
            Event::Ready { .. } | Event::Interrupt => {}
        }
        self.show(observer);
    }

    fn add(&mut self, at: At, record: &Record) {
        while self.steps.len() <= at.step {
            self.steps.push(Record::new(self.requests));
        }
        self.steps[at.step].merge(record);
        let offset = at.piece.saturating_sub(self.first) as usize;
        while self.pieces.len() <= offset {
            self.pieces.push_back(Record::new(self.requests));
        }
        self.pieces[offset].merge(record);
        self.total.merge(record);
    }

    /// Shows what every worker has delivered.
    fn show(&mut self, observer: &mut dyn Observer) {
        let complete = self.delivered.iter().copied().min().unwrap_or(0);
        while self.first < complete {
            let Some(record) = self.pieces.pop_front() else { break };
            observer.piece(self.first, &record);
            self.first += 1;
        }
    }

    fn into_outcome(mut self, plan: &Plan) -> Outcome {
        self.ends.sort_by_key(|(worker, _)| *worker);
        let last = self.ends.iter().map(|(_, end)| end.last_result_ns).max().unwrap_or(0);
        let sending = self.ends.iter().map(|(_, end)| end.sending_ns).max().unwrap_or(0);
        // A fixed time is the time, even when the last answers came later; a fixed count takes as
        // long as its last answer.
        let ns = match plan.duration {
            Some(_) if plan.count.is_none() || last >= sending => sending,
            _ if self.interrupted => sending,
            _ => last,
        };
        Outcome {
            total: self.total,
            steps: self.steps,
            answers: self.ends.into_iter().flat_map(|(_, end)| end.answers).collect(),
            elapsed: Duration::from_nanos(ns.max(1)),
            interrupted: self.interrupted,
        }
    }
}

/// The time at which a piece ends, in seconds after the measured time began.
pub(crate) fn piece_end_seconds(index: u64) -> f64 {
    (index + 1) as f64 * PIECE_NS as f64 / 1e9
}
