//! Operations under way: what the kernel holds, and who is told when it is done.

use std::cell::RefCell;
use std::os::fd::FromRawFd;
use std::rc::Rc;

use io_uring::{opcode, squeue};
use slab::Slab;

use super::Ring;
use super::connect::Connecting;
use super::datagram;
use super::listener::Accepting;
use super::send::Send;
use super::socket::{Receive, Shared};

/// Completions with this number are of interest to nobody (cancel, close).
const NOBODY: u64 = u64::MAX;

/// Whatever an operation needs lives here until its completion.
pub(super) enum Op {
    Receive(Receive),
    Watch(Rc<Shared>),
    Send(Send),
    Accept(Rc<Accepting>),
    Connect(Connecting),
    Datagrams(datagram::Receive),
    Datagram(datagram::Send),
}

#[derive(Default)]
pub(super) struct Ops(RefCell<Slab<Op>>);

impl Ops {
    /// Keeps what an operation needs; returns its number.
    pub(super) fn keep(&self, op: Op) -> u64 {
        self.0.borrow_mut().insert(op) as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Looks at a kept operation, to point the kernel at its memory.
    pub(super) fn with<T>(&self, number: u64, look: impl FnOnce(&mut Op) -> T) -> T {
        look(&mut self.0.borrow_mut()[number as usize])
    }

    /// A completion has come.
    pub(super) fn complete(&self, ring: &Rc<Ring>, number: u64, result: i32, flags: u32) {
        if number == NOBODY {
            return;
        }
        if io_uring::cqueue::more(flags) {
            return self.more(ring, number, result, flags);
        }
        // Taken out first: completing it may start others.
        let op = self.0.borrow_mut().remove(number as usize);
        match op {
            Op::Receive(receive) => receive.complete(ring, result, flags),
            Op::Watch(socket) => socket.is_readable(result),
            Op::Send(send) => send.complete(ring, result),
            Op::Accept(accepting) => accepting.ended(result),
            Op::Connect(connecting) => connecting.complete(result),
            Op::Datagrams(receive) => receive.complete(result, flags),
            Op::Datagram(send) => send.complete(ring, result),
        }
    }
}

impl Ops {
    /// A completion of an operation that goes on.
    fn more(&self, ring: &Ring, number: u64, result: i32, flags: u32) {
        let shared = self.with(number, |op| match op {
            Op::Accept(accepting) => Some(More::Accept(Rc::clone(accepting))),
            Op::Receive(receive) => Some(More::Receive(receive.share())),
            Op::Datagrams(receive) => Some(More::Datagrams(receive.share())),
            _ => None,
        });
        match shared {
            Some(More::Accept(accepting)) => accepting.more(ring, number, result),
            Some(More::Receive(receive)) => receive.more(number, result, flags),
            Some(More::Datagrams(receive)) => receive.more(number, result, flags),
            None => {}
        }
    }
}

/// What an operation that goes on is told through, outside of the table.
enum More {
    Accept(Rc<Accepting>),
    Receive(Receive),
    Datagrams(datagram::Receive),
}

impl Ring {
    /// Starts an operation whose memory is kept in `ops` under `number`.
    pub(super) fn start(&self, number: u64, entry: squeue::Entry) {
        // SAFETY: every entry points only into the `Op` kept under its number, which stays there,
        // on the heap behind it, until the completion.
        unsafe { self.push(&entry.user_data(number)) };
    }

    /// Asks the kernel to give an operation up; it completes all the same.
    pub(super) fn cancel(&self, number: u64) {
        let entry = opcode::AsyncCancel::new(number).build().user_data(NOBODY);
        // SAFETY: the entry points to nothing.
        unsafe { self.push(&entry) };
    }

    /// Asks the kernel to give up whatever is under way.
    pub(super) fn cancel_all(&self) {
        let any = io_uring::types::CancelBuilder::any();
        let entry = opcode::AsyncCancel2::new(any).build().user_data(NOBODY);
        // SAFETY: the entry points to nothing.
        unsafe { self.push(&entry) };
    }

    /// Closes a descriptor with the next submission.
    pub(super) fn close(&self, fd: std::os::fd::RawFd) {
        if self.event_loop.is_ending() {
            // Nobody would submit it. SAFETY: the descriptor was the caller's own, and open.
            drop(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) });
            return;
        }
        let entry = opcode::Close::new(io_uring::types::Fd(fd)).build().user_data(NOBODY);
        // SAFETY: the entry points to nothing.
        unsafe { self.push(&entry) };
    }
}
