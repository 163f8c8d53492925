//! A driver of our own on the `io-uring` crate: one ring, one executor, one thread.
//!
//! What it does that monoio does not: receives take their buffer when bytes have arrived, so an
//! idle connection holds none; a send goes out whole (`MSG_WAITALL`) and wakes nobody who does
//! not wait for it; one armed accept yields many connections; completions are taken together with
//! submissions in one system call per turn. Bulk goes another way: it is taken when whoever wants
//! it asks, and sent on in the same breath, while the caches hold it.
//!
//! `executor` runs tasks, `ops` are operations under way, `buffers` feeds the kernel, `socket`
//! and its `send`, `datagram`, `listener` and `connect` are what the rest of this crate uses.

mod buffers;
pub(crate) mod connect;
pub(crate) mod datagram;
mod executor;
pub(crate) mod listener;
mod ops;
mod send;
pub(crate) mod socket;

use std::cell::{Cell, OnceCell, RefCell};
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

use io_uring::{IoUring, squeue, types};

use self::buffers::Groups;
use self::executor::Executor;
use self::ops::Ops;
use crate::buffer;
use crate::recycled::{self, Recycled};

/// Submission queue entries.
const ENTRIES: u32 = 4096;
/// Completion queue entries: many connections may complete between two turns.
const COMPLETIONS: u32 = 16384;
/// Threads that the kernel may start for what would block.
const KERNEL_THREADS: u32 = 32;
/// How often, and for how long each time, an ending ring waits for what it has cancelled.
const LAST_TURNS: u32 = 100;
const LAST_TURN: Duration = Duration::from_millis(10);

thread_local! {
    static CURRENT: OnceCell<Rc<Ring>> = const { OnceCell::new() };
}

/// One worker's ring and everything that hangs on it.
pub(crate) struct Ring {
    uring: RefCell<IoUring>,
    ops: Ops,
    groups: RefCell<Groups>,
    /// Messages to use again.
    #[expect(clippy::vec_box, reason = "they go in and out boxed, and never move")]
    messages: RefCell<Vec<Box<send::Message>>>,
    /// Datagrams to use again.
    #[expect(clippy::vec_box, reason = "they go in and out boxed, and never move")]
    parcels: RefCell<Vec<Box<datagram::Parcel>>>,
    executor: Executor,
    /// How long to look for completions before sleeping, while requests are under way.
    spin: Duration,
    last_completion: Cell<Instant>,
    /// When the completions of this turn were taken.
    now: Cell<Instant>,
    /// The number of this turn.
    turn: Cell<u32>,
    /// The loop is over: nothing new is started.
    ending: Cell<bool>,
}

/// Flags: one thread submits; completions are worked off when that thread asks for them, which it
/// does with each entry into the kernel.
pub(crate) fn builder() -> io_uring::Builder {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun().setup_cqsize(COMPLETIONS);
    builder
}

/// The ring of this thread, if it runs on one.
pub(crate) fn current() -> Option<Rc<Ring>> {
    // Asked while the thread ends, by whoever is dropped then: there is none any more.
    CURRENT.try_with(|current| current.get().cloned()).ok().flatten()
}

/// Does something with the ring of this thread, without taking a share in it; `None` where there is
/// none. It is asked for several times in each request.
fn with<T>(look: impl FnOnce(&Ring) -> T) -> Option<T> {
    CURRENT.try_with(|current| current.get().map(|ring| look(ring))).ok().flatten()
}

/// The time of this turn, on a ring.
pub(crate) fn now() -> Option<Instant> {
    with(|ring| ring.now.get())
}

/// Makes the ring of this thread.
pub(crate) fn install(spin: Duration) -> io::Result<Rc<Ring>> {
    buffer::map_large_ones();
    let uring = builder().build(ENTRIES)?;
    // Nothing here should need the kernel's own threads; should it, then not one per connection.
    uring.submitter().register_iowq_max_workers(&mut [KERNEL_THREADS; 2])?;
    let groups = Groups::register(&uring)?;
    let ring = Rc::new(Ring {
        uring: RefCell::new(uring),
        ops: Ops::default(),
        groups: RefCell::new(groups),
        messages: RefCell::default(),
        parcels: RefCell::default(),
        executor: Executor::default(),
        spin,
        last_completion: Cell::new(Instant::now()),
        now: Cell::new(Instant::now()),
        turn: Cell::new(0),
        ending: Cell::new(false),
    });
    CURRENT.with(|current| {
        let first = current.set(Rc::clone(&ring)).is_ok();
        debug_assert!(first, "one ring per thread");
    });
    Ok(ring)
}

/// Runs a task on the ring of this thread; `false` without one.
pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) -> bool {
    match current() {
        Some(ring) if !ring.ending.get() => {
            ring.executor.spawn(Recycled::new(|| future).erased());
            true
        }
        // Dropped: an ending ring runs nothing.
        Some(_) => true,
        None => false,
    }
}

/// Runs the task of a waker at once, see [`crate::run_now`]; `false` without a ring.
pub(crate) fn run_now(waker: &Waker) -> bool {
    with(|ring| ring.executor.run_now(waker)).is_some()
}

impl Ring {
    /// Runs until `main` is done.
    pub(crate) fn run(self: &Rc<Self>, main: impl Future<Output = ()> + 'static) {
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
            let next = crate::deadline::fire(self.now.get());
            if done.get() {
                break;
            }
            self.turn(next);
        }
        self.end();
    }

    /// Drops all tasks, and waits until the kernel has let go of what they had under way: each
    /// operation keeps its socket, and with it this ring, which would stay open otherwise.
    fn end(self: &Rc<Self>) {
        self.ending.set(true);
        self.executor.clear();
        self.cancel_all();
        for _ in 0..LAST_TURNS {
            if self.ops.is_empty() {
                break;
            }
            self.enter(1, Some(LAST_TURN));
            self.complete_all();
        }
        // Closes that were asked for before the end.
        self.enter(0, None);
    }

    /// Submits what was asked for, waits for completions if there is nothing else to do, and
    /// works them off.
    fn turn(self: &Rc<Self>, next_deadline: Option<Instant>) {
        self.turn.set(self.turn.get().wrapping_add(1));
        let busy = self.executor.has_ready();
        if busy {
            self.enter(0, None);
        } else if !self.spin_for_completions(next_deadline) {
            let timeout = next_deadline.map(|at| at.saturating_duration_since(Instant::now()));
            self.enter(1, timeout);
        }
        self.now.set(Instant::now());
        self.complete_all();
    }

    /// Polls for a bounded time before sleeping: waking a sleeping core costs more than a request.
    fn spin_for_completions(&self, next_deadline: Option<Instant>) -> bool {
        if self.spin.is_zero() {
            return false;
        }
        let until = self.last_completion.get() + self.spin;
        loop {
            self.enter(0, None);
            if !self.uring.borrow_mut().completion().is_empty() {
                return true;
            }
            let now = Instant::now();
            if now >= until || next_deadline.is_some_and(|at| at <= now) {
                return false;
            }
            std::hint::spin_loop();
        }
    }

    fn enter(&self, want: usize, timeout: Option<Duration>) {
        let uring = self.uring.borrow();
        let submitter = uring.submitter();
        let result = match (want, timeout) {
            // DEFER_TASKRUN: completions appear only when events are asked for.
            (0, _) => {
                let flags = IORING_ENTER_GETEVENTS;
                let pending = {
                    // SAFETY: nobody else holds the submission queue: `push` borrows the ring
                    // mutably and has returned.
                    let mut queue = unsafe { uring.submission_shared() };
                    queue.sync();
                    queue.len() as u32
                };
                // SAFETY: no signal mask is passed.
                unsafe { submitter.enter::<libc::sigset_t>(pending, 0, flags, None) }
            }
            (want, Some(timeout)) => {
                let timespec = types::Timespec::from(timeout);
                let args = types::SubmitArgs::new().timespec(&timespec);
                submitter.submit_with_args(want, &args)
            }
            (want, None) => submitter.submit_and_wait(want),
        };
        if let Err(error) = result {
            // ETIME: the deadline came first. EINTR: a signal. EBUSY: completions must be taken
            // first, which happens next.
            let expected = [libc::ETIME, libc::EINTR, libc::EBUSY, libc::EAGAIN];
            if !error.raw_os_error().is_some_and(|code| expected.contains(&code)) {
                // A ring that cannot be entered serves nobody: better to end than to spin.
                panic!("io_uring_enter failed: {error}");
            }
        }
    }

    fn complete_all(self: &Rc<Self>) {
        let mut any = false;
        loop {
            let Some(entry) = self.uring.borrow_mut().completion().next() else { break };
            any = true;
            self.ops.complete(self, entry.user_data(), entry.result(), entry.flags());
        }
        if any && !self.spin.is_zero() {
            self.last_completion.set(self.now.get());
        }
    }

    /// Queues an operation; it is submitted at the end of the turn.
    ///
    /// # Safety
    /// Everything that the entry points to must stay where it is until its completion.
    unsafe fn push(&self, entry: &squeue::Entry) {
        loop {
            // SAFETY: passed on to the caller.
            let pushed = unsafe { self.uring.borrow_mut().submission().push(entry) };
            if pushed.is_ok() {
                return;
            }
            // Full: hand over what is there.
            self.enter(0, None);
        }
    }
}

const IORING_ENTER_GETEVENTS: u32 = 1;
