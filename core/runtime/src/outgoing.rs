//! What is on its way out: one piece, or several as one message.

use std::cell::RefCell;
use std::io;
use std::os::fd::RawFd;

use crate::buffer::Buf;

/// Buffers of one vectored send; Linux allows 1024.
const BATCH_MAX: usize = 64;
/// Messages that a worker keeps to use again, and the longest list of buffers that one keeps.
const KEPT: usize = 64;
const KEPT_BUFFERS: usize = 256;

/// What one send carries: nearly always a single piece.
pub(crate) enum Outgoing {
    One(Buf),
    Many(Box<Message>),
}

/// Several buffers as one message. Boxed: the kernel is pointed at all of it.
pub(crate) struct Message {
    bufs: Vec<Buf>,
    /// Index of the first buffer that is not fully sent.
    first: usize,
    iovecs: Vec<libc::iovec>,
    header: libc::msghdr,
}

/// Messages to use again.
#[derive(Default)]
#[expect(clippy::vec_box, reason = "they go in and out boxed, and never move")]
pub(crate) struct Spare(RefCell<Vec<Box<Message>>>);

impl Spare {
    /// A message of all of `queue`, whose capacity stays.
    pub(crate) fn fill(&self, queue: &mut Vec<Buf>) -> Box<Message> {
        let mut message = self.0.borrow_mut().pop().unwrap_or_default();
        message.bufs.append(queue);
        message
    }

    /// Keeps a message that was sent.
    pub(crate) fn keep(&self, mut message: Box<Message>) {
        message.bufs.clear();
        message.first = 0;
        let mut kept = self.0.borrow_mut();
        if kept.len() < KEPT && message.bufs.capacity() <= KEPT_BUFFERS {
            kept.push(message);
        }
    }

    /// Hands over what the kernel has room for now; what it does not take stays in `queue`.
    /// Returns how many bytes it took. An error is told by the send of the rest.
    pub(crate) fn send_at_once(&self, fd: RawFd, queue: &mut Vec<Buf>) -> usize {
        let mut message = self.fill(queue);
        let header = message.aim(usize::MAX);
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        // SAFETY: the header points to what the message owns, which stays until the call is over.
        let sent = unsafe { libc::sendmsg(fd, header, flags) };
        let sent = usize::try_from(sent).unwrap_or(0);
        message.advance(sent);
        queue.extend(message.bufs.drain(message.first..));
        self.keep(message);
        sent
    }
}

impl Outgoing {
    /// Hands over as much as the kernel has room for, without waiting for more.
    pub(crate) fn send(&mut self, fd: RawFd) -> io::Result<usize> {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        // SAFETY: the kernel reads what the piece or the message owns, and nothing else touches it
        // before the call is over.
        let sent = unsafe {
            match self {
                Self::One(buf) => libc::send(fd, buf.as_ptr().cast(), buf.len(), flags),
                Self::Many(message) => libc::sendmsg(fd, message.aim(usize::MAX), flags),
            }
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }

    /// Takes note of `sent` bytes; `true` when that was all.
    pub(crate) fn advance(&mut self, sent: usize) -> bool {
        match self {
            Self::One(buf) => {
                buf.consume(sent);
                buf.is_empty()
            }
            Self::Many(message) => message.advance(sent),
        }
    }
}

impl Default for Message {
    fn default() -> Self {
        // SAFETY: all zeroes is a valid message header: no address, no data, no control.
        let header = unsafe { std::mem::zeroed() };
        Self { bufs: Vec::new(), first: 0, iovecs: Vec::new(), header }
    }
}

impl Message {
    /// Points the header at the next part of what is left, of so many bytes at most.
    pub(crate) fn aim(&mut self, mut room: usize) -> *const libc::msghdr {
        self.iovecs.clear();
        for buf in self.bufs[self.first..].iter().take(BATCH_MAX) {
            let iov_len = buf.len().min(room);
            let iov_base = buf.as_ptr() as *mut libc::c_void;
            self.iovecs.push(libc::iovec { iov_base, iov_len });
            room -= iov_len;
            if room == 0 {
                break;
            }
        }
        self.header.msg_iov = self.iovecs.as_mut_ptr();
        self.header.msg_iovlen = self.iovecs.len();
        &raw const self.header
    }

    /// Gives back what was sent; `true` when that was all.
    pub(crate) fn advance(&mut self, mut sent: usize) -> bool {
        while let Some(buf) = self.bufs.get_mut(self.first) {
            if sent < buf.len() {
                buf.consume(sent);
                return false;
            }
            sent -= buf.len();
            drop(std::mem::take(buf));
            self.first += 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 256 << 10;

    fn message(lengths: &[usize]) -> Message {
        let bufs = lengths.iter().map(|length| Buf::new(vec![b'x'; *length])).collect();
        Message { bufs, ..Message::default() }
    }

    #[test]
    fn a_part_that_was_sent_is_not_sent_again() {
        let mut message = message(&[10, 20, 30]);
        message.aim(MAX);
        assert!(!message.advance(15));
        message.aim(MAX);
        let lengths: Vec<usize> = message.iovecs.iter().map(|iovec| iovec.iov_len).collect();
        assert_eq!(lengths, [15, 30]);
        assert!(message.advance(45));
    }

    #[test]
    fn one_send_is_bounded_in_bytes_and_buffers() {
        let mut long = message(&[MAX, 1]);
        long.aim(MAX);
        assert_eq!((long.iovecs.len(), long.iovecs[0].iov_len), (1, MAX));
        let mut many = message(&[1; BATCH_MAX + 1]);
        many.aim(MAX);
        assert_eq!(many.header.msg_iovlen, BATCH_MAX);
        assert!(!many.advance(BATCH_MAX) && many.advance(1));
    }
}
