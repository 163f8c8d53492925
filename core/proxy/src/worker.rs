//! What one core owns, and the loop that follows the control thread.

use std::cell::{Cell, RefCell};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringway_bridge::log_ring::LogSender;
use ringway_bridge::mailbox::{Receiver, Sender};
use ringway_bridge::published::Subscriber;
use ringway_bridge::stats::{Catalog, Page};
use ringway_http::date::{DATE_LEN, imf_fixdate};
use ringway_model::cluster::ClusterId;
use ringway_model::dns::NameLine;
use ringway_model::dns::Told;
use ringway_model::listener::{Listener, Listeners};
use ringway_model::named_stats::NamedStats;
use ringway_model::overload::{Action, Overload, Timer};
use ringway_model::snapshot::Snapshot;
use ringway_runtime::{deadline, stream::Stream};
use rustc_hash::FxHashMap;

use crate::adopt;
use crate::hcm::Spare;
pub use crate::listener::Neighbours;
use crate::listener::{ByAddress, ByName, Listening, handed};
use crate::log::Log;
use crate::names::LocalNames;
use crate::transport::{Gate, MetNames};
use crate::upstream::Upstream;

/// How often idle upstream connections are looked after and log lines handed over.
const HOUSEKEEPING: Duration = Duration::from_millis(500);
/// The reaper looks at idle connections at most this often when their peers close them.
const REAP_PAUSE: Duration = Duration::from_millis(20);

/// What the control thread tells a worker, beside new snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Stop accepting; answer with `connection: close`; end idle connections; report when none
    /// is left.
    Drain,
    /// Close these listening sockets and nothing else (`/drain_listeners`).
    StopListening(Listeners),
    /// Responses carry `connection: close` from now on (`/drain_listeners?graceful`).
    SoftDrain(Listeners),
    /// The same, and they say that health checks fail (`/healthcheck/fail`), or no longer do.
    FailHealthChecks(bool),
    /// Some action against overload is taken further than before, or not so far.
    Overload,
    /// End now, whatever is under way.
    Stop,
}

/// What a worker is started with.
#[derive(Debug)]
pub struct Parts {
    /// Counts from 0.
    pub index: usize,
    /// Number of workers.
    pub workers: usize,
    /// Names of statistics that are met at run time.
    pub catalog: Arc<Catalog>,
    /// Where the worker counts.
    pub page: Arc<Page>,
    /// New configuration.
    pub snapshots: Subscriber<Snapshot>,
    /// Commands.
    pub commands: Receiver<Command>,
    /// Rings when there is a snapshot or a command.
    pub ear: UnixStream,
    /// Access-log lines go out here.
    pub log: LogSender,
    /// The line to whoever resolves the names that requests bring.
    pub names: NameLine,
    /// How long what a listener left behind may last (`--drain-time-s`).
    pub drain_time: Duration,
    /// What is done about overload.
    pub overload: Arc<Overload>,
    /// Takes each generation that the worker follows.
    pub adopted: Sender<u64>,
    /// Takes the worker's number once it drains and has no connection left.
    pub drained: Sender<usize>,
    /// The other workers, as far as connections go from one to another.
    pub neighbours: Neighbours,
}

type Names = FxHashMap<usize, (Arc<str>, Rc<str>)>;

/// Everything that one core owns.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) index: usize,
    workers: usize,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) page: Arc<Page>,
    /// What filters count under names that come with requests.
    pub(crate) named: NamedStats,
    pub(crate) snapshot: RefCell<Arc<Snapshot>>,
    /// Indexed by cluster id.
    pub(crate) upstreams: RefCell<Vec<Option<Rc<Upstream>>>>,
    pub(crate) listening: RefCell<Vec<Rc<Listening>>>,
    pub(crate) log: Log,
    /// Names that requests bring.
    pub(crate) dns: LocalNames,
    /// Which TLS handshakes have their turn.
    pub(crate) handshakes: Rc<Gate>,
    /// Storage that no request uses.
    pub(crate) spare: Spare,
    /// TLS statistics that were met.
    pub(crate) met_names: MetNames,
    /// How long connections outlive the listener or filter chain that they came by.
    pub(crate) drain_time: Duration,
    /// What is done about overload.
    pub(crate) overload: Arc<Overload>,
    adopted: Sender<u64>,
    drained: Sender<usize>,
    random: Cell<u64>,
    next_connection: Cell<u64>,
    connections: Cell<usize>,
    draining: Cell<Option<Instant>>,
    drained_reported: Cell<bool>,
    soft_drain: Cell<Option<Listeners>>,
    pub(crate) neighbours: Neighbours,
    /// Listeners by their addresses, where some hands connections to others.
    pub(crate) by_address: RefCell<ByAddress>,
    /// Internal listeners.
    pub(crate) internal: RefCell<ByName>,
    failing: Cell<bool>,
    /// The host has refused a connection from a client's address, and was blamed for it.
    pub(crate) source_refused: Cell<bool>,
    stopped: Cell<bool>,
    /// Names of the snapshot, copied for this worker, by the address of the original.
    names: RefCell<Names>,
    /// The same moment on both clocks, at most half a second ago when it is used.
    clocks: Cell<(Instant, SystemTime)>,
    date: Cell<(SystemTime, u64, [u8; DATE_LEN])>,
    reaper: RefCell<Option<Waker>>,
    main: RefCell<Option<Waker>>,
}

/// Runs a worker until it is told to stop.
pub async fn run(parts: Parts) {
    let (worker, inbox) = Worker::new(parts);
    ringway_runtime::spawn(Rc::clone(&worker).keep_house());
    worker.follow(inbox).await;
}

/// Where the control thread speaks to this worker.
struct Inbox {
    ear: Stream,
    snapshots: Subscriber<Snapshot>,
    commands: Receiver<Command>,
    told: Receiver<Told>,
}

impl Worker {
    fn new(parts: Parts) -> (Rc<Self>, Inbox) {
        // The socket pair was made by this process and is open.
        let ear = Stream::from_fd(parts.ear.into()).expect("a connected socket pair");
        let (dns, told) = LocalNames::new(parts.index, &parts.page, parts.names);
        let inbox = Inbox { ear, snapshots: parts.snapshots, commands: parts.commands, told };
        let worker = Rc::new(Self {
            index: parts.index,
            workers: parts.workers,
            named: NamedStats::new(Arc::clone(&parts.page), Arc::clone(&parts.catalog)),
            catalog: parts.catalog,
            page: parts.page,
            snapshot: RefCell::default(),
            upstreams: RefCell::default(),
            listening: RefCell::default(),
            log: Log::new(parts.log),
            dns,
            handshakes: Rc::default(),
            spare: Spare::default(),
            met_names: MetNames::default(),
            drain_time: parts.drain_time,
            overload: parts.overload,
            adopted: parts.adopted,
            drained: parts.drained,
            random: Cell::new(seed(parts.index)),
            next_connection: Cell::new(parts.index as u64),
            connections: Cell::new(0),
            draining: Cell::new(None),
            drained_reported: Cell::new(false),
            soft_drain: Cell::new(None),
            neighbours: parts.neighbours,
            by_address: RefCell::default(),
            internal: RefCell::default(),
            failing: Cell::new(false),
            source_refused: Cell::new(false),
            names: RefCell::default(),
            stopped: Cell::new(false),
            clocks: Cell::new((Instant::now(), SystemTime::now())),
            date: Cell::new((UNIX_EPOCH, 0, imf_fixdate(0))),
            reaper: RefCell::default(),
            main: RefCell::default(),
        });
        (worker, inbox)
    }

    /// Follows snapshots and commands until told to stop.
    async fn follow(self: &Rc<Self>, mut inbox: Inbox) {
        while !self.stopped.get() {
            self.read_mail(&inbox);
            if self.stopped.get() {
                break;
            }
            self.report_if_drained();
            let rung = std::future::poll_fn(|cx| {
                *self.main.borrow_mut() = Some(cx.waker().clone());
                if self.is_drained() {
                    return Poll::Ready(true);
                }
                inbox.ear.poll_receive(cx).map(|bytes| bytes.is_ok_and(|bytes| !bytes.is_empty()))
            })
            .await;
            if !rung {
                // The control thread is gone: nobody could ever stop this worker again.
                break;
            }
        }
        self.end_datagrams(Listeners::All);
        self.log.flush();
    }

    fn read_mail(self: &Rc<Self>, inbox: &Inbox) {
        if let Some(snapshot) = inbox.snapshots.take() {
            let generation = snapshot.generation;
            adopt::adopt(self, snapshot);
            // A full box loses a report about an old generation; a newer one follows.
            let _ = self.adopted.send(generation);
        }
        while let Some(told) = inbox.told.receive() {
            if self.dns.hear(&told) {
                self.upstreams.borrow().iter().flatten().for_each(|one| one.forget_name(&told));
            }
        }
        while let Some(command) = inbox.commands.receive() {
            self.obey(command);
        }
        handed::receive(self);
    }

    fn obey(self: &Rc<Self>, command: Command) {
        match command {
            Command::Drain => {
                if self.draining.get().is_none() {
                    self.draining.set(Some(Instant::now()));
                }
                self.stop_listening(Listeners::All);
                // Idle connections look again at how long they may stay.
                deadline::wake_all();
            }
            Command::StopListening(which) => {
                self.stop_listening(which);
                self.end_datagrams(which);
            }
            Command::SoftDrain(which) => self.soft_drains(which),
            Command::FailHealthChecks(on) => self.failing.set(on),
            Command::Overload => self.follow_overload(),
            Command::Stop => self.stopped.set(true),
        }
    }

    /// Connections look again at how long they may stay, and listeners at whether they accept.
    fn follow_overload(self: &Rc<Self>) {
        for listening in self.listening.borrow().iter() {
            listening.follow_overload(self);
        }
        deadline::wake_all();
    }

    fn stop_listening(&self, which: Listeners) {
        for listening in self.listening.borrow().iter() {
            if which.takes(&listening.listener()) {
                listening.stop();
            }
        }
    }

    fn end_datagrams(&self, which: Listeners) {
        for listening in self.listening.borrow().iter() {
            if which.takes(&listening.listener()) {
                listening.end_datagrams();
            }
        }
    }

    /// What drains already goes on doing so.
    fn soft_drains(&self, which: Listeners) {
        if self.soft_drain.get() != Some(Listeners::All) {
            self.soft_drain.set(Some(which));
        }
    }

    fn is_drained(&self) -> bool {
        let idle = self.connections.get() == 0 && !self.drained_reported.get();
        self.draining.get().is_some() && idle
    }

    fn report_if_drained(&self) {
        if self.is_drained() {
            self.log.flush();
            // The control thread also waits for a deadline, so a lost report costs only time.
            let _ = self.drained.send(self.index);
            self.drained_reported.set(true);
        }
    }

    /// Since when this worker drains, if it does.
    pub(crate) fn draining_since(&self) -> Option<Instant> {
        self.draining.get()
    }

    /// Whether what this listener serves should ask its clients to go away.
    pub(crate) fn wants_close(&self, listener: &Listener) -> bool {
        self.draining.get().is_some()
            || self.soft_drain.get().is_some_and(|which| which.takes(listener))
            || (self.failing.get() && !listener.modify_only)
    }

    /// What is left of a time under overload. As in Envoy, no listener is spared of this.
    pub(crate) fn scaled(&self, timer: Timer, time: Option<Duration>) -> Option<Duration> {
        let level = self.overload.level(Action::ReduceTimeouts);
        match level > 0.0 {
            true => time.map(|time| self.snapshot.borrow().timer_scales.scaled(timer, time, level)),
            false => time,
        }
    }

    /// Whether an action against overload is to be taken this time, for a client of this listener.
    pub(crate) fn strikes(&self, listener: &Listener, action: Action) -> bool {
        !listener.bypasses_overload && self.overload.strikes(action, || self.random())
    }

    /// Whether `/healthcheck/fail` was asked for.
    pub(crate) fn is_failing_health_checks(&self) -> bool {
        self.failing.get()
    }

    /// A connection begins; its number is unique in the process.
    pub(crate) fn connection_begins(&self) -> u64 {
        self.connections.set(self.connections.get() + 1);
        self.next_number()
    }

    /// The number of a connection, or of a session of datagrams, which nobody waits for.
    pub(crate) fn next_number(&self) -> u64 {
        let id = self.next_connection.get();
        self.next_connection.set(id + self.workers as u64);
        id
    }

    pub(crate) fn connection_ends(&self) {
        self.connections.set(self.connections.get() - 1);
        if self.is_drained()
            && let Some(main) = self.main.borrow().as_ref()
        {
            main.wake_by_ref();
        }
    }

    /// The worker's side of a cluster of the present generation.
    pub(crate) fn upstream(&self, id: ClusterId) -> Option<Rc<Upstream>> {
        self.upstreams.borrow().get(id.index())?.clone()
    }

    /// This worker's copy of a name: cloning it writes no memory that another core uses.
    pub(crate) fn local_name(&self, name: &Arc<str>) -> Rc<str> {
        let mut names = self.names.borrow_mut();
        let key = name.as_ptr() as usize;
        let (_, local) = names.entry(key).or_insert_with(|| (Arc::clone(name), Rc::from(&**name)));
        Rc::clone(local)
    }

    /// Forgets the names of generations before this one.
    pub(crate) fn forget_names(&self) {
        self.names.borrow_mut().clear();
    }

    /// SplitMix64: fast, and good enough for balancing; nothing secret is made from it.
    pub(crate) fn random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The wall-clock time of a moment, without asking for it each time.
    pub(crate) fn wall_clock(&self, at: Instant) -> SystemTime {
        let (instant, wall) = self.clocks.get();
        if at == instant {
            return wall;
        }
        match at.checked_duration_since(instant) {
            Some(later) if later < HOUSEKEEPING => wall + later,
            _ => {
                let wall = SystemTime::now();
                self.clocks.set((at, wall));
                wall
            }
        }
    }

    /// The `date` of a response that is sent at `now`.
    pub(crate) fn date(&self, now: SystemTime) -> [u8; DATE_LEN] {
        let (dated, made_for, text) = self.date.get();
        // What is answered in one turn is answered at the same time.
        if dated == now {
            return text;
        }
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let text = if made_for == seconds { text } else { imf_fixdate(seconds) };
        self.date.set((now, seconds, text));
        text
    }

    /// Wakes the reaper of idle upstream connections.
    pub(crate) fn reaper_waker(&self) -> Waker {
        self.reaper.borrow().as_ref().map_or_else(|| Waker::noop().clone(), Clone::clone)
    }

    /// Closes idle connections and hands over log lines, by time and when an idle peer hangs up.
    async fn keep_house(self: Rc<Self>) {
        let mut deadline = deadline::Deadline::new();
        while !self.stopped.get() {
            let now = Instant::now();
            for upstream in self.upstreams.borrow().iter().flatten() {
                upstream.reap(&self, now);
            }
            self.spare.trim();
            self.log.flush();
            ringway_runtime::sleep(REAP_PAUSE).await;
            deadline.set(Some(now + HOUSEKEEPING));
            let mut registered = false;
            std::future::poll_fn(|cx| {
                *self.reaper.borrow_mut() = Some(cx.waker().clone());
                // Being polled again without the deadline being over means that a peer hung up.
                let woken = std::mem::replace(&mut registered, true);
                if woken { Poll::Ready(()) } else { deadline.poll(cx) }
            })
            .await;
        }
    }
}

/// Differs between workers and between runs.
fn seed(index: usize) -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_usize(index);
    hasher.finish()
}
