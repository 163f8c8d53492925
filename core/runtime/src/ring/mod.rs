//! A driver of our own on the `io-uring` crate: one ring, one loop, one thread.
//!
//! What it does that monoio does not: receives take their buffer when bytes have arrived, so an
//! idle connection holds none; a send goes out whole (`MSG_WAITALL`) and wakes nobody who does
//! not wait for it; one armed accept yields many connections; completions are taken together with
//! submissions in one system call per turn. Bulk goes another way: it is taken when whoever wants
//! it asks, and sent on in the same breath, while the caches hold it.
//!
//! `ops` are operations under way, `buffers` feeds the kernel, `socket` and its `send`, `datagram`,
//! `listener` and `connect` are what the rest of this crate uses.

mod buffers;
pub(crate) mod connect;
pub(crate) mod datagram;
pub(crate) mod listener;
mod ops;
mod send;
pub(crate) mod socket;

use std::cell::{OnceCell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use io_uring::{IoUring, squeue, types};

use self::buffers::Groups;
use self::ops::Ops;
use crate::event_loop::{self, EventLoop, Events};
use crate::outgoing::Spare;

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
    messages: Spare,
    /// Datagrams to use again.
    #[expect(clippy::vec_box, reason = "they go in and out boxed, and never move")]
    parcels: RefCell<Vec<Box<datagram::Parcel>>>,
    event_loop: Rc<EventLoop>,
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

/// Makes the ring of this thread, and its loop.
pub(crate) fn install(spin: Duration) -> io::Result<(Rc<EventLoop>, Rc<Ring>)> {
    let uring = builder().build(ENTRIES)?;
    // Nothing here should need the kernel's own threads; should it, then not one per connection.
    uring.submitter().register_iowq_max_workers(&mut [KERNEL_THREADS; 2])?;
    let groups = Groups::register(&uring)?;
    let event_loop = event_loop::install(spin);
    let ring = Rc::new(Ring {
        uring: RefCell::new(uring),
        ops: Ops::default(),
        groups: RefCell::new(groups),
        messages: Spare::default(),
        parcels: RefCell::default(),
        event_loop: Rc::clone(&event_loop),
    });
    CURRENT.with(|current| {
        let first = current.set(Rc::clone(&ring)).is_ok();
        debug_assert!(first, "one ring per thread");
    });
    Ok((event_loop, ring))
}

impl Events for Rc<Ring> {
    fn look(&self) -> bool {
        self.enter(0, None);
        !self.uring.borrow_mut().completion().is_empty()
    }

    fn wait(&self, timeout: Option<Duration>) {
        self.enter(1, timeout);
    }

    fn tell(&self) -> bool {
        let mut any = false;
        loop {
            let Some(entry) = self.uring.borrow_mut().completion().next() else { return any };
            any = true;
            self.ops.complete(self, entry.user_data(), entry.result(), entry.flags());
        }
    }

    /// Waits until the kernel has let go of what was under way: each operation keeps its socket,
    /// and with it this ring, which would stay open otherwise.
    fn end(&self) {
        self.cancel_all();
        for _ in 0..LAST_TURNS {
            if self.ops.is_empty() {
                break;
            }
            self.wait(Some(LAST_TURN));
            self.tell();
        }
        // Closes that were asked for before the end.
        self.look();
    }
}

impl Ring {
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
