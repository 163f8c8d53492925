//! A registered descriptor: what is known of its readiness, and who waits for it.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::Poller;
use crate::event_loop::register;
use crate::outgoing::{Outgoing, Spare};

/// What the poller and the owner share.
pub(super) struct Source {
    fd: RawFd,
    /// There may be something to read, as far as is known.
    readable: Cell<bool>,
    /// The peer has ended, or there is an error: reading never waits any more.
    ended: Cell<bool>,
    /// There may be room to write.
    writable: Cell<bool>,
    reader: Cell<Option<Waker>>,
    writer: Cell<Option<Waker>>,
    /// What the kernel had no room for.
    outgoing: Cell<Option<Outgoing>>,
    /// What came of the last send.
    sent: Cell<Option<io::Result<()>>>,
}

/// A descriptor that is registered until dropped.
pub(crate) struct Registered {
    poller: Rc<Poller>,
    source: Rc<Source>,
    key: usize,
    /// Nobody else has a descriptor of the same socket: it is registered no more when it is closed.
    alone: bool,
    fd: OwnedFd,
}

impl Registered {
    /// A socket of which there is no other descriptor.
    pub(super) fn new(poller: Rc<Poller>, fd: OwnedFd) -> io::Result<Self> {
        Self::with(poller, fd, true)
    }

    /// A socket of which somebody else may have another descriptor.
    pub(crate) fn shared(poller: Rc<Poller>, fd: OwnedFd) -> io::Result<Self> {
        Self::with(poller, fd, false)
    }

    fn with(poller: Rc<Poller>, fd: OwnedFd, alone: bool) -> io::Result<Self> {
        let source = Rc::new(Source {
            fd: fd.as_raw_fd(),
            readable: Cell::new(false),
            ended: Cell::new(false),
            writable: Cell::new(false),
            reader: Cell::default(),
            writer: Cell::default(),
            outgoing: Cell::default(),
            sent: Cell::default(),
        });
        let key = poller.sources.borrow_mut().insert(Rc::clone(&source));
        let made = Self { poller, source, key, alone, fd };
        made.poller.control(libc::EPOLL_CTL_ADD, made.fd(), key)?;
        Ok(made)
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    pub(super) fn messages(&self) -> &Spare {
        &self.poller.messages
    }

    /// Waits until there may be something to read.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.source.readable.get() {
            return Poll::Ready(());
        }
        register(&self.source.reader, cx);
        Poll::Pending
    }

    /// There is nothing to read until the kernel says so.
    pub(crate) fn has_read_all(&self) {
        self.source.readable.set(self.source.ended.get());
    }

    /// A read would have had to wait, whatever was said before.
    pub(crate) fn would_block(&self) {
        self.source.ended.set(false);
        self.source.readable.set(false);
    }

    /// Waits until there may be room to write, or an error.
    pub(super) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.source.writable.get() {
            return Poll::Ready(());
        }
        register(&self.source.writer, cx);
        Poll::Pending
    }

    /// Sends as much as there is room for; the rest follows by itself. One send at a time.
    pub(super) fn send(&self, outgoing: Outgoing) {
        self.source.go_on(self.messages(), outgoing);
    }

    /// Whether some of the last send waits for room.
    pub(super) fn waits_for_room(&self) -> bool {
        let outgoing = self.source.outgoing.take();
        let waits = outgoing.is_some();
        self.source.outgoing.set(outgoing);
        waits
    }

    /// What came of the last send, once that is known.
    pub(super) fn sent(&self) -> Option<io::Result<()>> {
        self.source.sent.take()
    }

    /// Takes note of a send that has succeeded; a failed one stays to be told of.
    pub(super) fn has_sent(&self) -> bool {
        match self.source.sent.take() {
            Some(Ok(())) => true,
            failed => {
                self.source.sent.set(failed);
                false
            }
        }
    }

    /// Waits for the end of the last send.
    pub(super) fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(sent) = self.source.sent.take() {
            return Poll::Ready(sent);
        }
        register(&self.source.writer, cx);
        Poll::Pending
    }
}

impl AsFd for Registered {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if !self.alone {
            // It may not have been registered at all.
            let _ = self.poller.control(libc::EPOLL_CTL_DEL, self.fd(), self.key);
        }
        let removed = self.poller.sources.borrow_mut().try_remove(self.key);
        // The last waker of a task drops the task, and with it sources of its own.
        drop(removed);
    }
}

impl Source {
    /// The kernel has told of events.
    pub(super) fn tell(&self, messages: &Spare, events: u32) {
        let has = |any: i32| events & any as u32 != 0;
        let over = libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR;
        self.ended.set(self.ended.get() || has(over));
        if has(libc::EPOLLIN | over) {
            self.readable.set(true);
            wake(&self.reader);
        }
        if has(libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR) {
            self.writable.set(true);
            match self.outgoing.take() {
                Some(outgoing) => self.go_on(messages, outgoing),
                None => wake(&self.writer),
            }
        }
    }

    fn go_on(&self, messages: &Spare, mut outgoing: Outgoing) {
        let outcome = loop {
            match outgoing.send(self.fd) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) if outgoing.advance(sent) => break Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.writable.set(false);
                    return self.outgoing.set(Some(outgoing));
                }
                Err(error) => break Err(error),
            }
        };
        if let Outgoing::Many(message) = outgoing {
            messages.keep(message);
        }
        self.sent.set(Some(outcome));
        wake(&self.writer);
    }
}

fn wake(slot: &Cell<Option<Waker>>) {
    if let Some(waker) = slot.take() {
        waker.wake();
    }
}
