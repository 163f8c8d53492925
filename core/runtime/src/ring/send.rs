//! Sending: one piece, or several as one message.

use std::io;
use std::rc::Rc;

use io_uring::{opcode, types};

use super::Ring;
use super::ops::Op;
use super::socket::Shared;
use crate::buffer::Buf;

/// Buffers of one vectored send; Linux allows 1024.
const BATCH_MAX: usize = 64;
/// Bytes of one send. The kernel waits for room on behalf of a send a hundred-odd times and then
/// gives it a thread of its own; against a slow reader, a larger one would come to that.
const SEND_MAX: usize = 256 << 10;
/// Messages that a ring keeps to use again, and the longest list of buffers that one keeps.
const KEPT: usize = 64;
const KEPT_BUFFERS: usize = 256;

/// A send under way.
pub(super) struct Send {
    socket: Rc<Shared>,
    data: Data,
}

enum Data {
    One(Buf),
    Many(Box<Message>),
}

/// Several buffers as one message. Boxed: the kernel is pointed at all of it.
pub(super) struct Message {
    bufs: Vec<Buf>,
    /// Index of the first buffer that is not fully sent.
    first: usize,
    iovecs: Vec<libc::iovec>,
    header: libc::msghdr,
}

impl Send {
    pub(super) fn one(socket: &Rc<Shared>, buf: Buf) {
        Self { socket: Rc::clone(socket), data: Data::One(buf) }.submit();
    }

    pub(super) fn many(socket: &Rc<Shared>, queue: &mut Vec<Buf>) {
        let mut message = socket.ring.messages.borrow_mut().pop().unwrap_or_default();
        message.bufs.append(queue);
        Self { socket: Rc::clone(socket), data: Data::Many(message) }.submit();
    }

    /// Hands over what the kernel has room for now, without waiting for the end of the turn; what
    /// it does not take stays in `queue`. Returns how many bytes it took. An error is told by the
    /// send of the rest.
    pub(super) fn at_once(socket: &Shared, queue: &mut Vec<Buf>) -> usize {
        let mut message = socket.ring.messages.borrow_mut().pop().unwrap_or_default();
        message.bufs.append(queue);
        let header = message.aim(usize::MAX);
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        // SAFETY: the header points to what the message owns, which stays until the call is over.
        let sent = unsafe { libc::sendmsg(socket.fd, header, flags) };
        let sent = usize::try_from(sent).unwrap_or(0);
        message.advance(sent);
        queue.extend(message.bufs.drain(message.first..));
        socket.ring.keep_message(message);
        sent
    }

    fn submit(self) {
        let socket = Rc::clone(&self.socket);
        let ring = &socket.ring;
        let fd = types::Fd(socket.fd);
        // The whole of it or an error: the kernel waits for room, nobody here does.
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let number = ring.ops.keep(Op::Send(self));
        let entry = ring.ops.with(number, |op| match op {
            Op::Send(Self { data: Data::Many(message), .. }) => {
                opcode::SendMsg::new(fd, message.aim(SEND_MAX)).flags(flags as u32).build()
            }
            Op::Send(Self { data: Data::One(buf), .. }) => {
                let length = buf.len().min(SEND_MAX) as u32;
                opcode::Send::new(fd, buf.as_ptr(), length).flags(flags).build()
            }
            _ => opcode::Nop::new().build(),
        });
        socket.send_begins(number);
        ring.start(number, entry);
    }

    pub(super) fn complete(mut self, ring: &Ring, result: i32) {
        self.socket.send_ends(None);
        let outcome = match usize::try_from(result) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(sent) if self.data.advance(sent) => Ok(()),
            // That was a part, or it was interrupted: the rest follows. A send that was cancelled
            // half-way ends like that as well, and must not wait for the peer for ever.
            Ok(_) if self.socket.goes_on() => return self.submit(),
            Ok(_) => Err(io::ErrorKind::ConnectionAborted.into()),
            Err(_) => Err(io::Error::from_raw_os_error(-result)),
        };
        self.socket.send_ends(Some(outcome));
        if let Data::Many(message) = self.data {
            ring.keep_message(message);
        }
    }
}

impl Ring {
    fn keep_message(&self, mut message: Box<Message>) {
        message.bufs.clear();
        message.first = 0;
        let mut kept = self.messages.borrow_mut();
        if kept.len() < KEPT && message.bufs.capacity() <= KEPT_BUFFERS {
            kept.push(message);
        }
    }
}

impl Data {
    /// Takes note of `sent` bytes; `true` when that was all.
    fn advance(&mut self, sent: usize) -> bool {
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
    fn aim(&mut self, mut room: usize) -> *const libc::msghdr {
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
    fn advance(&mut self, mut sent: usize) -> bool {
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

    fn message(lengths: &[usize]) -> Message {
        let bufs = lengths.iter().map(|length| Buf::new(vec![b'x'; *length])).collect();
        Message { bufs, ..Message::default() }
    }

    #[test]
    fn a_part_that_was_sent_is_not_sent_again() {
        let mut message = message(&[10, 20, 30]);
        message.aim(SEND_MAX);
        assert!(!message.advance(15));
        message.aim(SEND_MAX);
        let lengths: Vec<usize> = message.iovecs.iter().map(|iovec| iovec.iov_len).collect();
        assert_eq!(lengths, [15, 30]);
        assert!(message.advance(45));
    }

    #[test]
    fn one_send_is_bounded_in_bytes_and_buffers() {
        let mut long = message(&[SEND_MAX, 1]);
        long.aim(SEND_MAX);
        assert_eq!((long.iovecs.len(), long.iovecs[0].iov_len), (1, SEND_MAX));
        let mut many = message(&[1; BATCH_MAX + 1]);
        many.aim(SEND_MAX);
        assert_eq!(many.header.msg_iovlen, BATCH_MAX);
        assert!(!many.advance(BATCH_MAX) && many.advance(1));
    }
}
