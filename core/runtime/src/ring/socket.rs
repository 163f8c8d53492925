//! A connected socket: one receive and one send at a time (`send`).

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
use super::send::Send;
use crate::buffer::{self, Buf, Class};

/// The stream's end; dropping it cancels what is under way and closes the socket.
pub(crate) struct Socket(Rc<Shared>);

/// What the stream and its operations share. The socket is closed when both are gone.
pub(super) struct Shared {
    pub(super) ring: Rc<Ring>,
    pub(super) fd: RawFd,
    /// The stream is gone: what is under way ends, and nothing follows it.
    abandoned: Cell<bool>,
    /// What has arrived and was not taken yet.
    received: RefCell<Received>,
    receiving: Cell<Receiving>,
    receiver: RefCell<Option<Waker>>,
    sent: RefCell<Option<io::Result<()>>>,
    sending: Cell<Option<u64>>,
    sender: RefCell<Option<Waker>>,
}

/// Received pieces. There is hardly ever more than one, which takes no memory of its own: that
/// would stay with an idle connection.
#[derive(Default)]
struct Received {
    first: Option<io::Result<Vec<u8>>>,
    rest: VecDeque<io::Result<Vec<u8>>>,
}

impl Received {
    fn push(&mut self, received: io::Result<Vec<u8>>) {
        match self.first {
            None => self.first = Some(received),
            Some(_) => self.rest.push_back(received),
        }
    }

    fn pop(&mut self) -> Option<io::Result<Vec<u8>>> {
        let first = self.first.take()?;
        self.first = self.rest.pop_front();
        Some(first)
    }

    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }
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
        let next = self.0.received.borrow_mut().pop();
        if let Some(received) = next {
            return Poll::Ready(received);
        }
        match self.0.receiving.get() {
            Receiving::Nothing if class == Class::SMALL => Receive::stream(&self.0),
            Receiving::Nothing => Receive::once(&self.0, class, 0),
            // Bulk is cheaper in large buffers.
            Receiving::Stream(number) if class != Class::SMALL => self.0.stop_stream(number),
            _ => {}
        }
        register(&self.0.receiver, cx);
        Poll::Pending
    }

    /// Starts a send of one piece; there is none under way.
    pub(crate) fn send_one(&self, bytes: Vec<u8>) {
        Send::one(&self.0, bytes);
    }

    /// Starts a send of all of `queue`; there is none under way.
    pub(crate) fn send_many(&self, queue: &mut Vec<Buf>) {
        Send::many(&self.0, queue);
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

pub(super) fn register(slot: &RefCell<Option<Waker>>, cx: &Context<'_>) {
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
    pub(super) fn goes_on(&self) -> bool {
        !self.abandoned.get() && !self.ring.ending.get()
    }

    pub(super) fn send_begins(&self, number: u64) {
        debug_assert!(self.sending.get().is_none(), "one send at a time");
        self.sending.set(Some(number));
    }

    /// The send under way is no more; with an outcome the sender is told.
    pub(super) fn send_ends(&self, outcome: Option<io::Result<()>>) {
        self.sending.set(None);
        if outcome.is_none() {
            return;
        }
        *self.sent.borrow_mut() = outcome;
        if let Some(waker) = self.sender.take() {
            waker.wake();
        }
    }

    fn stop_stream(&self, number: u64) {
        self.receiving.set(Receiving::Stopping(number));
        self.ring.cancel(number);
    }

    fn deliver(&self, received: io::Result<Vec<u8>>) {
        self.received.borrow_mut().push(received);
        if let Some(waker) = self.receiver.take() {
            waker.wake();
        }
    }
}

/// A receive under way.
pub(super) struct Receive {
    socket: Rc<Shared>,
    class: Class,
    /// How often the kernel had no buffer left to choose from.
    refused: u8,
    /// A buffer of its own, after that.
    own: Option<Vec<u8>>,
}

/// How often the kernel may have no buffer left before a receive gets one of its own.
const REFUSED_MAX: u8 = 3;

impl Receive {
    /// Arms a receive that yields small buffers until it is stopped.
    fn stream(socket: &Rc<Shared>) {
        let class = Class::SMALL;
        let op = Self { socket: Rc::clone(socket), class, refused: 0, own: None };
        let number = socket.ring.ops.keep(Op::Receive(op));
        let fd = types::Fd(socket.fd);
        socket.receiving.set(Receiving::Stream(number));
        socket.ring.start(number, opcode::RecvMulti::new(fd, class.index() as u16).build());
    }

    /// Arms a receive of one buffer. The kernel looks for one before it looks for bytes: when
    /// other receives of the same turn took all of them, it is asked again, since they have been
    /// replaced by then. A buffer of its own would be held for as long as nothing comes, so it is
    /// the last resort, and small.
    fn once(socket: &Rc<Shared>, class: Class, refused: u8) {
        let ring = &socket.ring;
        let last_resort = refused >= REFUSED_MAX;
        let class = if last_resort { Class::SMALL } else { class };
        let own = last_resort.then(|| buffer::take(class));
        let fd = types::Fd(socket.fd);
        let length = class.capacity() as u32;
        let op = Self { socket: Rc::clone(socket), class, refused, own };
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
        Self { socket: Rc::clone(&self.socket), class: self.class, refused: 0, own: None }
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
        let Self { socket, class, refused, own } = self;
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
                Self::once(&socket, class, refused + 1);
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
