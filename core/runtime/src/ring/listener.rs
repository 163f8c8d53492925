//! Accepting: one armed operation, many connections.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use io_uring::{opcode, types};

use super::Ring;
use super::ops::Op;

/// Connections that may wait here before the accepting pauses: each holds a descriptor, while
/// those in the kernel's queue hold none.
const WAITING_MAX: usize = 256;

/// A listening socket; dropping it ends the accepting.
pub(crate) struct Listener {
    ring: Rc<Ring>,
    accepting: Rc<Accepting>,
}

/// What the listener and its operation share.
pub(super) struct Accepting {
    socket: OwnedFd,
    arrived: RefCell<VecDeque<io::Result<OwnedFd>>>,
    waker: RefCell<Option<Waker>>,
    under_way: Cell<Option<u64>>,
    /// Cancelled since too many wait; armed again when they are taken.
    paused: Cell<bool>,
    stopped: Cell<bool>,
}

/// Ends the accepting from elsewhere on the same thread.
pub(crate) struct Stopper {
    ring: Rc<Ring>,
    accepting: Rc<Accepting>,
}

impl Listener {
    pub(crate) fn new(ring: Rc<Ring>, socket: OwnedFd) -> Self {
        let accepting = Rc::new(Accepting {
            socket,
            arrived: RefCell::default(),
            waker: RefCell::default(),
            under_way: Cell::new(None),
            paused: Cell::new(false),
            stopped: Cell::new(false),
        });
        Self { ring, accepting }
    }

    /// The next connection.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<OwnedFd>> {
        if let Some(arrived) = self.accepting.arrived.borrow_mut().pop_front() {
            return Poll::Ready(arrived);
        }
        if self.accepting.under_way.get().is_none() {
            if self.accepting.stopped.get() {
                return Poll::Ready(self.accepting.accept_rest());
            }
            self.accepting.start(&self.ring);
        }
        *self.accepting.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Listener {
    pub(crate) fn fd(&self) -> std::os::fd::RawFd {
        self.accepting.socket.as_raw_fd()
    }

    pub(crate) fn stopper(&self) -> Stopper {
        Stopper { ring: Rc::clone(&self.ring), accepting: Rc::clone(&self.accepting) }
    }
}

impl Stopper {
    /// What has connected already is still accepted; then `accept` ends with `InvalidInput`.
    pub(crate) fn stop(&self) {
        self.accepting.stopped.set(true);
        match self.accepting.under_way.get() {
            Some(number) => self.ring.cancel(number),
            None => self.accepting.wake(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.waker.take();
        if let Some(number) = self.accepting.under_way.get() {
            self.ring.cancel(number);
        }
    }
}

impl Accepting {
    fn start(self: &Rc<Self>, ring: &Ring) {
        let number = ring.ops.keep(Op::Accept(Rc::clone(self)));
        self.under_way.set(Some(number));
        let fd = types::Fd(self.socket.as_raw_fd());
        let entry = opcode::AcceptMulti::new(fd).flags(libc::SOCK_CLOEXEC).build();
        ring.start(number, entry);
    }

    /// One more connection, or the reason why there is none.
    fn accepted(&self, result: i32) {
        let arrived = if result < 0 {
            Err(io::Error::from_raw_os_error(-result))
        } else {
            // SAFETY: the kernel has just made this descriptor for us.
            Ok(unsafe { OwnedFd::from_raw_fd(result) })
        };
        self.arrived.borrow_mut().push_back(arrived);
        self.wake();
    }

    /// One more connection of an operation that goes on.
    pub(super) fn more(&self, ring: &Ring, number: u64, result: i32) {
        self.accepted(result);
        if self.arrived.borrow().len() >= WAITING_MAX && !self.paused.replace(true) {
            ring.cancel(number);
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Connections that wait in the kernel's queue when the accepting ends: closing the socket
    /// would reset them.
    fn accept_rest(&self) -> io::Result<OwnedFd> {
        let socket = socket2::SockRef::from(&self.socket);
        socket.set_nonblocking(true)?;
        match socket.accept() {
            Ok((stream, _)) => Ok(stream.into()),
            // About one connection; there may be more behind it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => Err(error),
            Err(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// The operation has ended with its last result; the next `poll_accept` arms it again.
    pub(super) fn ended(&self, result: i32) {
        self.under_way.set(None);
        let paused = self.paused.replace(false) && result == -libc::ECANCELED;
        if result < 0 && (paused || self.stopped.get()) {
            self.wake();
        } else {
            self.accepted(result);
        }
    }
}
