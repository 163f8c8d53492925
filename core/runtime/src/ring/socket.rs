//! A connected socket: one receive and one send at a time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use io_uring::squeue::Flags;
use io_uring::{cqueue, opcode, types};

use super::Ring;
use super::ops::Op;
use crate::buffer::{self, Buf, Class};
use crate::stream::Outgoing;

/// Buffers of one vectored send; Linux allows 1024.
const BATCH_MAX: usize = 64;
/// Bytes of one send. The kernel waits for room on behalf of a send a hundred-odd times and then
/// gives it a thread of its own; against a slow reader, a larger one would come to that.
const SEND_MAX: usize = 256 << 10;

/// The stream's end; dropping it cancels what is under way and closes the socket.
pub(crate) struct Socket(Rc<Shared>);

/// What the stream and its operations share. The socket is closed when both are gone.
pub(super) struct Shared {
    ring: Rc<Ring>,
    fd: RawFd,
    /// The stream is gone: what is under way ends, and nothing follows it.
    abandoned: Cell<bool>,
    /// What has arrived and was not taken yet.
    received: RefCell<VecDeque<io::Result<Vec<u8>>>>,
    receiving: Cell<Receiving>,
    receiver: RefCell<Option<Waker>>,
    sent: RefCell<Option<io::Result<()>>>,
    sending: Cell<Option<u64>>,
    sender: RefCell<Option<Waker>>,
}

/// The receive under way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Receiving {
    Nothing,
    /// One buffer's worth.
    Once(u64),
    /// Small messages, one after the other, without being armed again.
    Stream(u64),
    /// Too much came of it: it was cancelled, and its last completion has not come yet.
    Stopping(u64),
}

impl Receiving {
    fn number(self) -> Option<u64> {
        match self {
            Self::Nothing => None,
            Self::Once(number) | Self::Stream(number) | Self::Stopping(number) => Some(number),
        }
    }
}

/// Buffers that may wait in a socket before its receiving stops.
const WAITING_MAX: usize = 4;

impl Socket {
    pub(crate) fn new(ring: Rc<Ring>, fd: RawFd) -> Self {
        Self(Rc::new(Shared {
            ring,
            fd,
            abandoned: Cell::new(false),
            received: RefCell::default(),
            receiving: Cell::new(Receiving::Nothing),
            receiver: RefCell::default(),
            sent: RefCell::default(),
            sending: Cell::new(None),
            sender: RefCell::default(),
        }))
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.0.fd
    }

    /// Arms a receive if none is armed, and waits for it.
    pub(crate) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        class: Class,
    ) -> Poll<io::Result<Vec<u8>>> {
        let next = self.0.received.borrow_mut().pop_front();
        if let Some(received) = next {
            return Poll::Ready(received);
        }
        match self.0.receiving.get() {
            Receiving::Nothing if class == Class::SMALL => Receive::stream(&self.0),
            Receiving::Nothing => Receive::once(&self.0, class, None),
            // Bulk is cheaper in large buffers.
            Receiving::Stream(number) if class != Class::SMALL => self.0.stop_stream(number),
            _ => {}
        }
        register(&self.0.receiver, cx);
        Poll::Pending
    }

    /// Starts a send; there is none under way.
    pub(crate) fn send(&self, outgoing: Outgoing) {
        debug_assert!(self.0.sending.get().is_none(), "one send at a time");
        Send::start(&self.0, outgoing);
    }

    /// Takes note of a send that has succeeded; a failed one stays to be told of.
    pub(crate) fn has_sent(&self) -> bool {
        let mut sent = self.0.sent.borrow_mut();
        let done = matches!(*sent, Some(Ok(())));
        if done {
            *sent = None;
        }
        done
    }

    /// The outcome of the send that was started, if it is there.
    pub(crate) fn sent(&self) -> Option<io::Result<()>> {
        self.0.sent.take()
    }

    /// Waits for the send that was started.
    pub(crate) fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(sent) = self.0.sent.take() {
            return Poll::Ready(sent);
        }
        register(&self.0.sender, cx);
        Poll::Pending
    }
}

fn register(slot: &RefCell<Option<Waker>>, cx: &Context<'_>) {
    let mut slot = slot.borrow_mut();
    match &mut *slot {
        Some(waker) if waker.will_wake(cx.waker()) => {}
        other => *other = Some(cx.waker().clone()),
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.abandoned.set(true);
        self.0.receiver.take();
        self.0.sender.take();
        let under_way = [self.0.receiving.get().number(), self.0.sending.get()];
        for number in under_way.into_iter().flatten() {
            self.0.ring.cancel(number);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.ring.close(self.fd);
    }
}

impl Shared {
    /// Whether an operation may follow another one by itself.
    fn goes_on(&self) -> bool {
        !self.abandoned.get() && !self.ring.ending.get()
    }

    fn stop_stream(&self, number: u64) {
        self.receiving.set(Receiving::Stopping(number));
        self.ring.cancel(number);
    }

    fn deliver(&self, received: io::Result<Vec<u8>>) {
        self.received.borrow_mut().push_back(received);
        if let Some(waker) = self.receiver.take() {
            waker.wake();
        }
    }
}

/// A receive under way.
pub(super) struct Receive {
    socket: Rc<Shared>,
    class: Class,
    /// A buffer of its own, when the kernel had none left to choose from.
    own: Option<Vec<u8>>,
}

impl Receive {
    /// Arms a receive that yields small buffers until it is stopped.
    fn stream(socket: &Rc<Shared>) {
        let class = Class::SMALL;
        let op = Self { socket: Rc::clone(socket), class, own: None };
        let number = socket.ring.ops.keep(Op::Receive(op));
        let fd = types::Fd(socket.fd);
        socket.receiving.set(Receiving::Stream(number));
        socket.ring.start(number, opcode::RecvMulti::new(fd, class.index() as u16).build());
    }

    /// Arms a receive of one buffer.
    fn once(socket: &Rc<Shared>, class: Class, own: Option<Vec<u8>>) {
        let ring = &socket.ring;
        let fd = types::Fd(socket.fd);
        let length = class.capacity() as u32;
        let op = Self { socket: Rc::clone(socket), class, own };
        let number = ring.ops.keep(Op::Receive(op));
        let own = ring.ops.with(number, |op| match op {
            Op::Receive(Self { own: Some(bytes), .. }) => bytes.as_mut_ptr(),
            _ => std::ptr::null_mut(),
        });
        let receive = opcode::Recv::new(fd, own, length);
        let entry = if own.is_null() {
            let group = class.index() as u16;
            receive.buf_group(group).build().flags(Flags::BUFFER_SELECT)
        } else {
            receive.build()
        };
        socket.receiving.set(Receiving::Once(number));
        ring.start(number, entry);
    }

    /// The same operation outside of the table of operations.
    pub(super) fn share(&self) -> Self {
        Self { socket: Rc::clone(&self.socket), class: self.class, own: None }
    }

    /// One more buffer of a stream that goes on.
    pub(super) fn more(&self, number: u64, result: i32, flags: u32) {
        let (Some(id), Ok(length)) = (cqueue::buffer_select(flags), usize::try_from(result)) else {
            return;
        };
        let socket = &self.socket;
        let bytes = socket.ring.groups.borrow_mut().take(self.class, id, length);
        socket.deliver(Ok(bytes));
        let waiting = socket.received.borrow().len();
        if waiting >= WAITING_MAX && socket.receiving.get() == Receiving::Stream(number) {
            socket.stop_stream(number);
        }
    }

    pub(super) fn complete(self, ring: &Rc<Ring>, result: i32, flags: u32) {
        let Self { socket, class, own } = self;
        let stopped = matches!(socket.receiving.get(), Receiving::Stopping(_));
        socket.receiving.set(Receiving::Nothing);
        let chosen = cqueue::buffer_select(flags);
        let length = usize::try_from(result).unwrap_or(0);
        let bytes = match (chosen, own) {
            (Some(id), _) => ring.groups.borrow_mut().take(class, id, length),
            (None, Some(mut own)) => {
                // SAFETY: the kernel has initialised the first `length` bytes of this buffer,
                // whose capacity was the most that it was asked for.
                unsafe { own.set_len(length) };
                own
            }
            (None, None) => Vec::new(),
        };
        match result {
            0.. => socket.deliver(Ok(bytes)),
            // More connections had bytes in this turn than buffers were offered.
            code if code == -libc::ENOBUFS && socket.goes_on() => {
                Self::once(&socket, class, Some(buffer::take(class)));
            }
            // What was received before is still there to take, and the next poll arms anew.
            code if stopped && code == -libc::ECANCELED => {
                if let Some(waker) = socket.receiver.take() {
                    waker.wake();
                }
            }
            code => socket.deliver(Err(io::Error::from_raw_os_error(-code))),
        }
    }
}

/// A send under way.
pub(super) struct Send {
    socket: Rc<Shared>,
    data: Data,
}

enum Data {
    One(Buf),
    Many(Box<Many>),
}

/// Several buffers as one message. Boxed: the kernel is pointed at all of it.
struct Many {
    waiting: Vec<Buf>,
    batch: Vec<Buf>,
    iovecs: Vec<libc::iovec>,
    message: libc::msghdr,
}

impl Send {
    fn start(socket: &Rc<Shared>, outgoing: Outgoing) {
        let data = match outgoing {
            Outgoing::One(bytes) => Data::One(Buf::new(bytes)),
            Outgoing::Many(waiting) => Data::Many(Many::new(waiting)),
        };
        Self { socket: Rc::clone(socket), data }.submit();
    }

    fn submit(self) {
        let socket = Rc::clone(&self.socket);
        let ring = &socket.ring;
        let fd = types::Fd(socket.fd);
        // The whole of it or an error: the kernel waits for room, nobody here does.
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let number = ring.ops.keep(Op::Send(self));
        let entry = ring.ops.with(number, |op| match op {
            Op::Send(Self { data: Data::Many(many), .. }) => {
                opcode::SendMsg::new(fd, many.aim()).flags(flags as u32).build()
            }
            Op::Send(Self { data: Data::One(buf), .. }) => {
                let length = buf.len().min(SEND_MAX) as u32;
                opcode::Send::new(fd, buf.as_ptr(), length).flags(flags).build()
            }
            _ => opcode::Nop::new().build(),
        });
        socket.sending.set(Some(number));
        ring.start(number, entry);
    }

    pub(super) fn complete(mut self, _: &Rc<Ring>, result: i32) {
        self.socket.sending.set(None);
        let outcome = match usize::try_from(result) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(sent) if self.data.advance(sent) => Ok(()),
            // That was a part, or it was interrupted: the rest follows. A send that was cancelled
            // half-way ends like that as well, and must not wait for the peer for ever.
            Ok(_) if self.socket.goes_on() => return self.submit(),
            Ok(_) => Err(io::ErrorKind::ConnectionAborted.into()),
            Err(_) => Err(io::Error::from_raw_os_error(-result)),
        };
        *self.socket.sent.borrow_mut() = Some(outcome);
        if let Some(waker) = self.socket.sender.take() {
            waker.wake();
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
            Self::Many(many) => many.advance(sent),
        }
    }
}

impl Many {
    fn new(waiting: Vec<Buf>) -> Box<Self> {
        // SAFETY: all zeroes is a valid message header: no address, no data, no control.
        let message = unsafe { std::mem::zeroed() };
        Box::new(Self { waiting, batch: Vec::new(), iovecs: Vec::new(), message })
    }

    /// Points the message at what is left of the batch, or at the next one.
    fn aim(&mut self) -> *const libc::msghdr {
        if self.batch.is_empty() {
            let count = self.waiting.len().min(BATCH_MAX);
            self.batch.extend(self.waiting.drain(..count));
        }
        self.iovecs.clear();
        let mut room = SEND_MAX;
        for buf in &self.batch {
            let iov_len = buf.len().min(room);
            let iov_base = buf.as_ptr() as *mut libc::c_void;
            self.iovecs.push(libc::iovec { iov_base, iov_len });
            room -= iov_len;
            if room == 0 {
                break;
            }
        }
        self.message.msg_iov = self.iovecs.as_mut_ptr();
        self.message.msg_iovlen = self.iovecs.len();
        &raw const self.message
    }

    fn advance(&mut self, mut sent: usize) -> bool {
        let mut done = 0;
        for buf in &mut self.batch {
            if sent < buf.len() {
                buf.consume(sent);
                break;
            }
            sent -= buf.len();
            done += 1;
        }
        self.batch.drain(..done);
        self.batch.is_empty() && self.waiting.is_empty()
    }
}
