//! Accepting.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use socket2::SockAddr;

use super::Poller;
use super::source::Registered;

/// A listening socket; dropping it ends the accepting.
pub(crate) struct Listener {
    registered: Registered,
    stop: Rc<Stop>,
}

#[derive(Default)]
struct Stop {
    stopped: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

/// Ends the accepting from elsewhere on the same thread.
pub(crate) struct Stopper(Rc<Stop>);

impl Listener {
    pub(crate) fn new(poller: Rc<Poller>, fd: OwnedFd) -> io::Result<Self> {
        // Whether somebody waits is known only when it is tried.
        socket2::SockRef::from(&fd).set_nonblocking(true)?;
        Ok(Self { registered: Registered::shared(poller, fd)?, stop: Rc::default() })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.registered.fd()
    }

    pub(crate) fn stopper(&self) -> Stopper {
        Stopper(Rc::clone(&self.stop))
    }

    /// The next connection, and the peer's address where it has one.
    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(OwnedFd, Option<SocketAddr>)>> {
        loop {
            // What has connected before is still accepted.
            let stopped = self.stop.stopped.get();
            if !stopped {
                self.stop.waker.set(Some(cx.waker().clone()));
                ready!(self.registered.poll_readable(cx));
            }
            match accept(self.fd()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.registered.would_block();
                    if stopped {
                        return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
                    }
                }
                // A socket that does not listen any more.
                Err(_) if stopped => {
                    return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
                }
                accepted => return Poll::Ready(accepted),
            }
        }
    }
}

fn accept(fd: RawFd) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
    // SAFETY: the closure reports a length only where the kernel has written an address of it.
    let (accepted, peer) = unsafe {
        SockAddr::try_init(|storage, length| {
            match libc::accept4(fd, storage.cast(), length, libc::SOCK_CLOEXEC) {
                accepted @ 0.. => Ok(OwnedFd::from_raw_fd(accepted)),
                _ => Err(io::Error::last_os_error()),
            }
        })?
    };
    Ok((accepted, peer.as_socket()))
}

impl Stopper {
    /// What has connected already is still accepted; then `accept` ends with `InvalidInput`.
    pub(crate) fn stop(&self) {
        self.0.stopped.set(true);
        if let Some(waker) = self.0.waker.take() {
            waker.wake();
        }
    }
}
