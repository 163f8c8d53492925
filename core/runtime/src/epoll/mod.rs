//! A driver of our own on epoll, for hosts and containers that refuse io_uring.
//!
//! Each descriptor is registered once, for both directions and by edges: whoever reads goes on
//! until there is less than there was room for, and asks for no more before the kernel says that
//! more has come. So a small message costs one receive and one send. Sends are tried at once; what
//! the kernel has no room for goes out when it has, whether somebody waits for it or not. An idle
//! connection holds no buffer.
//!
//! `source` is a registered descriptor; `socket`, `listener` and `connect` are what the rest of
//! this crate uses, and `crate::datagram::polled`.

pub(crate) mod connect;
pub(crate) mod listener;
pub(crate) mod socket;
mod source;

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use slab::Slab;

use crate::event_loop::{self, EventLoop, Events};
use crate::outgoing::Spare;

pub(crate) use source::Registered;
use source::Source;

/// Events that are taken at a time.
const EVENTS_MAX: usize = 1024;

thread_local! {
    static CURRENT: OnceCell<Rc<Poller>> = const { OnceCell::new() };
}

/// One worker's epoll and everything that hangs on it.
pub(crate) struct Poller {
    epoll: OwnedFd,
    sources: RefCell<Slab<Rc<Source>>>,
    events: RefCell<Vec<libc::epoll_event>>,
    /// How many of them were taken and not told of yet.
    taken: Cell<usize>,
    messages: Spare,
}

/// The poller of this thread, if it runs on one.
pub(crate) fn current() -> Option<Rc<Poller>> {
    // Asked while the thread ends, by whoever is dropped then: there is none any more.
    CURRENT.try_with(|current| current.get().cloned()).ok().flatten()
}

/// Makes the poller of this thread, and its loop.
pub(crate) fn install(spin: Duration) -> io::Result<(Rc<EventLoop>, Rc<Poller>)> {
    // SAFETY: it takes no pointer.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if epoll < 0 {
        return Err(io::Error::last_os_error());
    }
    let none = libc::epoll_event { events: 0, u64: 0 };
    let poller = Rc::new(Poller {
        // SAFETY: the kernel has just made this descriptor for us.
        epoll: unsafe { OwnedFd::from_raw_fd(epoll) },
        sources: RefCell::default(),
        events: RefCell::new(vec![none; EVENTS_MAX]),
        taken: Cell::new(0),
        messages: Spare::default(),
    });
    let event_loop = event_loop::install(spin);
    CURRENT.with(|current| {
        let first = current.set(Rc::clone(&poller)).is_ok();
        debug_assert!(first, "one poller per thread");
    });
    Ok((event_loop, poller))
}

impl Events for Rc<Poller> {
    fn look(&self) -> bool {
        self.take(0)
    }

    fn wait(&self, timeout: Option<Duration>) {
        // Rounded up: a deadline never comes early.
        let millis = timeout.map_or(-1, |timeout| {
            i32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
        });
        self.take(millis);
    }

    /// Tasks run after all have been told, so that no source comes or goes in between.
    fn tell(&self) -> bool {
        let taken = self.taken.take();
        for event in &self.events.borrow()[..taken] {
            let (key, events) = (event.u64 as usize, event.events);
            let source = self.sources.borrow().get(key).cloned();
            if let Some(source) = source {
                source.tell(&self.messages, events);
            }
        }
        taken > 0
    }

    fn end(&self) {}
}

impl Poller {
    fn take(&self, timeout_ms: i32) -> bool {
        let mut events = self.events.borrow_mut();
        let (room, list) = (events.len() as i32, events.as_mut_ptr());
        // SAFETY: the list has room for so many events, and nobody else touches it.
        let taken = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), list, room, timeout_ms) };
        if taken < 0 {
            let error = io::Error::last_os_error();
            // A poller that cannot be asked serves nobody: better to end than to spin.
            assert!(error.kind() == io::ErrorKind::Interrupted, "epoll_wait failed: {error}");
        }
        self.taken.set(usize::try_from(taken).unwrap_or(0));
        taken > 0
    }

    fn control(&self, operation: i32, fd: i32, key: usize) -> io::Result<()> {
        let wanted = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = libc::epoll_event { events: wanted as u32, u64: key as u64 };
        // SAFETY: the descriptors are open, and the event is only read.
        let done =
            unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd, &raw mut event) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}
