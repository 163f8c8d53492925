//! A connected socket.

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::Poller;
use super::source::Registered;
use crate::buffer::{self, Buf, Class};
use crate::outgoing::Outgoing;

/// The stream's end; dropping it closes the socket. Boxed, so that a stream is as small as on a
/// ring.
pub(crate) struct Socket(Box<Registered>);

impl Socket {
    pub(crate) fn new(poller: Rc<Poller>, fd: OwnedFd) -> io::Result<Self> {
        Ok(Self(Box::new(Registered::new(poller, fd)?)))
    }

    pub(super) fn of(registered: Registered) -> Self {
        Self(Box::new(registered))
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.0.fd()
    }

    /// Receives what is there, or waits for it.
    pub(crate) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        class: Class,
    ) -> Poll<io::Result<Vec<u8>>> {
        loop {
            ready!(self.0.poll_readable(cx));
            let mut bytes = buffer::take(class);
            let room = bytes.capacity().min(class.capacity());
            let into = bytes.as_mut_ptr().cast();
            // SAFETY: the descriptor is open, and the buffer has room for so many bytes.
            let got = unsafe { libc::recv(self.fd(), into, room, libc::MSG_DONTWAIT) };
            if let Ok(length) = usize::try_from(got) {
                // SAFETY: the kernel has initialised that many bytes, within the capacity.
                unsafe { bytes.set_len(length) };
                if length < room {
                    self.0.has_read_all();
                }
                return Poll::Ready(Ok(bytes));
            }
            let error = io::Error::last_os_error();
            buffer::give(bytes);
            match error.kind() {
                io::ErrorKind::WouldBlock => self.0.would_block(),
                io::ErrorKind::Interrupted => {}
                _ => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Hands over what the kernel has room for; the rest stays in `queue`. Returns the number of
    /// bytes. There is no send under way.
    pub(crate) fn send_at_once(&self, queue: &mut Vec<Buf>) -> usize {
        self.0.messages().send_at_once(self.fd(), queue)
    }

    /// Sends one piece; there is no send under way.
    pub(crate) fn send_one(&self, buf: Buf) {
        self.0.send(Outgoing::One(buf));
    }

    /// Sends all of `queue`; there is no send under way.
    pub(crate) fn send_many(&self, queue: &mut Vec<Buf>) {
        self.0.send(Outgoing::Many(self.0.messages().fill(queue)));
    }

    /// Whether the kernel has no room for the send that is under way.
    pub(crate) fn waits_for_room(&self) -> bool {
        self.0.waits_for_room()
    }

    /// Takes note of a send that has succeeded; a failed one stays to be told of.
    pub(crate) fn has_sent(&self) -> bool {
        self.0.has_sent()
    }

    /// The outcome of the send that was started, if it is there.
    pub(crate) fn sent(&self) -> Option<io::Result<()>> {
        self.0.sent()
    }

    /// Waits for the send that was started.
    pub(crate) fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_sent(cx)
    }
}
