//! A connected socket: one receive and one send at a time (`send`).

use std::cell::Cell;
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
use crate::event_loop::register;

/// The stream's end; dropping it cancels what is under way and closes the socket.
pub(crate) struct Socket(Rc<Shared>);

/// What the stream and its operations share. The socket is closed when both are gone.
pub(super) struct Shared {
    pub(super) ring: Rc<Ring>,
    pub(super) fd: RawFd,
    /// The stream is gone: what is under way ends, and nothing follows it.
    abandoned: Cell<bool>,
    /// There are bytes that can be received without waiting, as far as is known.
    readable: Cell<bool>,
    /// Pieces that wait to be taken.
    waiting: Cell<u32>,
    receiving: Cell<Receiving>,
    /// The number of the send under way, or [`NONE`].
    sending: Cell<u32>,
    /// The turn in which it was begun.
    send_turn: Cell<u32>,
    /// What has arrived and was not taken yet.
    received: Received,
    receiver: Cell<Option<Waker>>,
    sent: Cell<Option<io::Result<()>>>,
    sender: Cell<Option<Waker>>,
}

type Queue = VecDeque<io::Result<Vec<u8>>>;

/// Received pieces. There is hardly ever more than one, which takes no memory of its own: that
/// would stay with an idle connection.
#[derive(Default)]
struct Received {
    first: Cell<Option<io::Result<Vec<u8>>>>,
    rest: Cell<Option<Box<Queue>>>,
}

impl Received {
    /// Adds one behind the others; `is_first` where there is no other.
    fn push(&self, received: io::Result<Vec<u8>>, is_first: bool) {
        if is_first {
            return self.first.set(Some(received));
        }
        let mut rest = self.rest.take().unwrap_or_default();
        rest.push_back(received);
        self.rest.set(Some(rest));
    }

    fn pop(&self) -> Option<io::Result<Vec<u8>>> {
        let first = self.first.take()?;
        // Whoever had several at a time will have so again: their place stays.
        if let Some(mut rest) = self.rest.take() {
            self.first.set(rest.pop_front());
            self.rest.set(Some(rest));
        }
        Some(first)
    }
}

/// The receive under way, by its number. Numbers of operations are places in a table, of which
/// there are less than 2^32.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Receiving {
    Nothing,
    /// One buffer's worth.
    Once(u32),
    /// Until there is something: bulk is received when it is asked for.
    Watch(u32),
    /// Small messages, one after the other, without being armed again.
    Stream(u32),
    /// Too much came of it: it was cancelled, and its last completion has not come yet.
    Stopping(u32),
}

/// The number of no operation.
const NONE: u32 = u32::MAX;

impl Receiving {
    fn number(self) -> Option<u32> {
        match self {
            Self::Nothing => None,
            Self::Once(number)
            | Self::Watch(number)
            | Self::Stream(number)
            | Self::Stopping(number) => Some(number),
        }
    }
}

/// Buffers that may wait in a socket before its receiving stops.
const WAITING_MAX: u32 = 4;

impl Socket {
    pub(crate) fn new(ring: Rc<Ring>, fd: RawFd) -> Self {
        Self(Rc::new(Shared {
            ring,
            fd,
            abandoned: Cell::new(false),
            readable: Cell::new(false),
            waiting: Cell::new(0),
            receiving: Cell::new(Receiving::Nothing),
            sending: Cell::new(NONE),
            send_turn: Cell::new(0),
            received: Received::default(),
            receiver: Cell::default(),
            sent: Cell::default(),
            sender: Cell::default(),
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
        if self.0.waiting.get() > 0
            && let Some(received) = self.0.received.pop()
        {
            self.0.waiting.set(self.0.waiting.get() - 1);
            return Poll::Ready(received);
        }
        match self.0.receiving.get() {
            Receiving::Nothing if class == Class::SMALL => Receive::stream(&self.0),
            Receiving::Nothing => {
                if self.0.readable.get()
                    && let Some(received) = self.0.receive_now(class)
                {
                    return Poll::Ready(received);
                }
                Shared::watch(&self.0);
            }
            // Bulk is cheaper in large buffers.
            Receiving::Stream(number) if class != Class::SMALL => self.0.stop_stream(number),
            _ => {}
        }
        register(&self.0.receiver, cx);
        Poll::Pending
    }

    /// Hands over what the kernel has room for; the rest stays in `queue`. Returns the number of
    /// bytes. There is no send under way.
    pub(crate) fn send_at_once(&self, queue: &mut Vec<Buf>) -> usize {
        self.0.ring.messages.send_at_once(self.0.fd, queue)
    }

    /// Whether a send is under way since an earlier turn: the kernel has no room for it.
    pub(crate) fn waits_for_room(&self) -> bool {
        self.0.sending.get() != NONE && self.0.send_turn.get() != self.0.ring.event_loop.number()
    }

    /// Starts a send of one piece; there is none under way.
    pub(crate) fn send_one(&self, buf: Buf) {
        Send::one(&self.0, buf);
    }

    /// Starts a send of all of `queue`; there is none under way.
    pub(crate) fn send_many(&self, queue: &mut Vec<Buf>) {
        Send::many(&self.0, queue);
    }

    /// Takes note of a send that has succeeded; a failed one stays to be told of.
    pub(crate) fn has_sent(&self) -> bool {
        match self.0.sent.take() {
            Some(Ok(())) => true,
            failed => {
                self.0.sent.set(failed);
                false
            }
        }
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

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.abandoned.set(true);
        self.0.receiver.take();
        self.0.sender.take();
        let sending = Some(self.0.sending.get()).filter(|number| *number != NONE);
        let under_way = [self.0.receiving.get().number(), sending];
        for number in under_way.into_iter().flatten() {
            self.0.ring.cancel(u64::from(number));
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
        !self.abandoned.get() && !self.ring.event_loop.is_ending()
    }

    pub(super) fn send_begins(&self, number: u64) {
        debug_assert!(self.sending.get() == NONE, "one send at a time");
        self.sending.set(number as u32);
        self.send_turn.set(self.ring.event_loop.number());
    }

    /// The send under way is no more; with an outcome the sender is told.
    pub(super) fn send_ends(&self, outcome: Option<io::Result<()>>) {
        self.sending.set(NONE);
        if outcome.is_none() {
            return;
        }
        self.sent.set(outcome);
        if let Some(waker) = self.sender.take() {
            waker.wake();
        }
    }

    /// Waits until there is something to receive, without receiving it.
    fn watch(socket: &Rc<Self>) {
        let number = socket.ring.ops.keep(Op::Watch(Rc::clone(socket)));
        socket.receiving.set(Receiving::Watch(number as u32));
        let entry = opcode::PollAdd::new(types::Fd(socket.fd), libc::POLLIN as u32).build();
        socket.ring.start(number, entry);
    }

    /// There is something to receive, be it an end or an error.
    pub(super) fn is_readable(&self, result: i32) {
        self.receiving.set(Receiving::Nothing);
        if result < 0 {
            return self.deliver(Err(io::Error::from_raw_os_error(-result)));
        }
        self.readable.set(true);
        self.wake_receiver();
    }

    /// Receives what is there; `None` when nothing is.
    fn receive_now(&self, class: Class) -> Option<io::Result<Vec<u8>>> {
        let mut bytes = buffer::take(class);
        let room = bytes.capacity().min(class.capacity());
        // SAFETY: the descriptor is open, and the buffer has room for so many bytes.
        let got =
            unsafe { libc::recv(self.fd, bytes.as_mut_ptr().cast(), room, libc::MSG_DONTWAIT) };
        let Ok(length) = usize::try_from(got) else {
            let error = io::Error::last_os_error();
            buffer::give(bytes);
            let again =
                matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
            self.readable.set(false);
            return if again { None } else { Some(Err(error)) };
        };
        // SAFETY: the kernel has initialised that many bytes, and they are within the capacity.
        unsafe { bytes.set_len(length) };
        // Less than there was room for is all that there was, unless it is the end.
        self.readable.set(length == room);
        Some(Ok(bytes))
    }

    fn stop_stream(&self, number: u32) {
        self.receiving.set(Receiving::Stopping(number));
        self.ring.cancel(u64::from(number));
    }

    fn deliver(&self, received: io::Result<Vec<u8>>) {
        let waiting = self.waiting.get();
        self.received.push(received, waiting == 0);
        self.waiting.set(waiting + 1);
        self.wake_receiver();
    }

    fn wake_receiver(&self) {
        if let Some(waker) = self.receiver.take() {
            waker.wake();
        }
    }
}

/// A receive of small messages under way.
pub(super) struct Receive {
    socket: Rc<Shared>,
    /// How often the kernel had no buffer left to choose from.
    refused: u8,
    /// A buffer of its own, after that.
    own: Option<Vec<u8>>,
}

/// How often the kernel may have no buffer left before a receive gets one of its own.
const REFUSED_MAX: u8 = 3;
/// The group of small buffers: the first of the classes.
const SMALL_GROUP: u16 = 0;

impl Receive {
    /// Arms a receive that yields small buffers until it is stopped.
    fn stream(socket: &Rc<Shared>) {
        let op = Self { socket: Rc::clone(socket), refused: 0, own: None };
        let number = socket.ring.ops.keep(Op::Receive(op));
        let fd = types::Fd(socket.fd);
        socket.receiving.set(Receiving::Stream(number as u32));
        socket.ring.start(number, opcode::RecvMulti::new(fd, SMALL_GROUP).build());
    }

    /// Arms a receive of one buffer. The kernel looks for one before it looks for bytes: when
    /// other receives of the same turn took all of them, it is asked again, since they have been
    /// replaced by then. A buffer of its own would be held for as long as nothing comes, so it is
    /// the last resort.
    fn once(socket: &Rc<Shared>, refused: u8) {
        let ring = &socket.ring;
        let own = (refused >= REFUSED_MAX).then(|| buffer::take(Class::SMALL));
        let fd = types::Fd(socket.fd);
        let length = Class::SMALL.capacity() as u32;
        let op = Self { socket: Rc::clone(socket), refused, own };
        let number = ring.ops.keep(Op::Receive(op));
        let own = ring.ops.with(number, |op| match op {
            Op::Receive(Self { own: Some(bytes), .. }) => bytes.as_mut_ptr(),
            _ => std::ptr::null_mut(),
        });
        let receive = opcode::Recv::new(fd, own, length);
        let entry = if own.is_null() {
            receive.buf_group(SMALL_GROUP).build().flags(Flags::BUFFER_SELECT)
        } else {
            receive.build()
        };
        socket.receiving.set(Receiving::Once(number as u32));
        ring.start(number, entry);
    }

    /// The same operation outside of the table of operations.
    pub(super) fn share(&self) -> Self {
        Self { socket: Rc::clone(&self.socket), refused: 0, own: None }
    }

    /// One more buffer of a stream that goes on.
    pub(super) fn more(&self, number: u64, result: i32, flags: u32) {
        let (Some(id), Ok(length)) = (cqueue::buffer_select(flags), usize::try_from(result)) else {
            return;
        };
        let socket = &self.socket;
        let bytes = socket.ring.groups.borrow_mut().take(Class::SMALL, id, length);
        socket.deliver(Ok(bytes));
        let number = number as u32;
        let is_full = socket.waiting.get() >= WAITING_MAX;
        if is_full && socket.receiving.get() == Receiving::Stream(number) {
            socket.stop_stream(number);
        }
    }

    pub(super) fn complete(self, ring: &Rc<Ring>, result: i32, flags: u32) {
        let Self { socket, refused, own } = self;
        let stopped = matches!(socket.receiving.get(), Receiving::Stopping(_));
        socket.receiving.set(Receiving::Nothing);
        let chosen = cqueue::buffer_select(flags);
        let length = usize::try_from(result).unwrap_or(0);
        let bytes = match (chosen, own) {
            (Some(id), _) => ring.groups.borrow_mut().take(Class::SMALL, id, length),
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
                Self::once(&socket, refused + 1);
            }
            // What was received before is still there to take, and the next poll arms anew.
            code if stopped && code == -libc::ECANCELED => socket.wake_receiver(),
            code => socket.deliver(Err(io::Error::from_raw_os_error(-code))),
        }
    }
}
