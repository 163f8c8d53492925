//! Sending: one piece, or several as one message.

use std::io;
use std::rc::Rc;

use io_uring::{opcode, types};

use super::Ring;
use super::ops::Op;
use super::socket::Shared;
use crate::buffer::Buf;
use crate::outgoing::Outgoing;

/// Bytes of one send. The kernel waits for room on behalf of a send a hundred-odd times and then
/// gives it a thread of its own; against a slow reader, a larger one would come to that.
const SEND_MAX: usize = 256 << 10;

/// A send under way.
pub(super) struct Send {
    socket: Rc<Shared>,
    data: Outgoing,
}

impl Send {
    pub(super) fn one(socket: &Rc<Shared>, buf: Buf) {
        Self { socket: Rc::clone(socket), data: Outgoing::One(buf) }.submit();
    }

    pub(super) fn many(socket: &Rc<Shared>, queue: &mut Vec<Buf>) {
        let message = socket.ring.messages.fill(queue);
        Self { socket: Rc::clone(socket), data: Outgoing::Many(message) }.submit();
    }

    fn submit(self) {
        let socket = Rc::clone(&self.socket);
        let ring = &socket.ring;
        let fd = types::Fd(socket.fd);
        // The whole of it or an error: the kernel waits for room, nobody here does.
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let number = ring.ops.keep(Op::Send(self));
        let entry = ring.ops.with(number, |op| match op {
            Op::Send(Self { data: Outgoing::Many(message), .. }) => {
                opcode::SendMsg::new(fd, message.aim(SEND_MAX)).flags(flags as u32).build()
            }
            Op::Send(Self { data: Outgoing::One(buf), .. }) => {
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
        if let Outgoing::Many(message) = self.data {
            ring.messages.keep(message);
        }
    }
}
