//! Datagrams: one armed receive yields many, each in a buffer that was taken when it had arrived;
//! a send is over with the submission that hands it to the kernel.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use io_uring::{cqueue, opcode, types};
use socket2::SockAddr;

use super::Ring;
use super::ops::Op;
use crate::buffer::{Buf, Class};
use crate::datagram::{Control, Datagram, Dropped, Message, Options, Sent, address, told};
use crate::event_loop::register;

/// Datagrams that may wait in a socket before its receiving pauses; the kernel keeps, and then
/// drops, what comes meanwhile.
const WAITING_MAX: usize = 64;
/// Bytes in front of what is received: lengths and flags (`io_uring_recvmsg_out`).
const PREFIX: usize = 16;

/// A UDP socket; dropping it cancels what is under way and closes it.
pub(crate) struct Socket(Rc<Shared>);

/// What the socket and its operations share.
pub(super) struct Shared {
    ring: Rc<Ring>,
    fd: RawFd,
    /// What a receive makes room for in front of the payload.
    form: libc::msghdr,
    class: Class,
    max_payload: usize,
    received: RefCell<VecDeque<io::Result<Datagram>>>,
    receiving: Cell<Receiving>,
    receiver: Cell<Option<Waker>>,
    dropped: Dropped,
}

/// The receive under way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Receiving {
    Nothing,
    Armed(u64),
    /// Too much came of it: it was cancelled, and its last completion has not come yet.
    Stopping(u64),
}

impl Socket {
    pub(crate) fn new(ring: Rc<Ring>, fd: OwnedFd, options: Options) -> Self {
        // SAFETY: all zeroes is a valid message header: no address, no data, no control.
        let mut form: libc::msghdr = unsafe { std::mem::zeroed() };
        form.msg_namelen = options.name_len() as libc::socklen_t;
        form.msg_controllen = options.control_len() as _;
        let prefix = PREFIX + options.name_len() + options.control_len();
        Self(Rc::new(Shared {
            ring,
            fd: fd.into_raw_fd(),
            form,
            class: Class::fitting(prefix + options.max_payload),
            max_payload: options.max_payload,
            received: RefCell::default(),
            receiving: Cell::new(Receiving::Nothing),
            receiver: Cell::default(),
            dropped: Dropped::default(),
        }))
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.0.fd
    }

    pub(crate) fn dropped(&self) -> &Dropped {
        &self.0.dropped
    }

    /// The next datagram; arms a receive if none is armed.
    pub(crate) fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<io::Result<Datagram>> {
        let next = self.0.received.borrow_mut().pop_front();
        if let Some(received) = next {
            return Poll::Ready(received);
        }
        if self.0.receiving.get() == Receiving::Nothing {
            Receive::start(&self.0);
        }
        register(&self.0.receiver, cx);
        Poll::Pending
    }

    pub(crate) fn send(&self, message: Message) {
        Send::start(&self.0, message);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.receiver.take();
        if let Receiving::Armed(number) = self.0.receiving.get() {
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
    fn deliver(&self, received: io::Result<Datagram>) {
        self.received.borrow_mut().push_back(received);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.receiver.take() {
            waker.wake();
        }
    }

    /// Makes a datagram of a buffer that the kernel filled; nothing of one that is none.
    fn read(&self, bytes: Vec<u8>) -> Option<Datagram> {
        let out = types::RecvMsgOut::parse(&bytes, &self.form).ok()?;
        let (peer, told) = (address(out.name_data()), told(out.control_data()));
        let length = out.payload_data().len();
        let too_large = out.is_payload_truncated() || length > self.max_payload;
        if let Some(count) = told.dropped {
            self.dropped.note(count);
        }
        let start = bytes.len() - length;
        let mut payload = Buf::new(bytes);
        payload.consume(start);
        if too_large {
            payload.truncate(0);
        }
        Some(Datagram { payload, peer, local: told.local, too_large })
    }
}

/// A receive under way.
pub(super) struct Receive(Rc<Shared>);

impl Receive {
    fn start(socket: &Rc<Shared>) {
        let number = socket.ring.ops.keep(Op::Datagrams(Self(Rc::clone(socket))));
        socket.receiving.set(Receiving::Armed(number));
        let (fd, group) = (types::Fd(socket.fd), socket.class.index() as u16);
        let entry = opcode::RecvMsgMulti::new(fd, &raw const socket.form, group).build();
        socket.ring.start(number, entry);
    }

    /// The same operation outside of the table of operations.
    pub(super) fn share(&self) -> Self {
        Self(Rc::clone(&self.0))
    }

    fn deliver(&self, result: i32, flags: u32) {
        let socket = &self.0;
        let (Some(id), Ok(length)) = (cqueue::buffer_select(flags), usize::try_from(result)) else {
            return;
        };
        let bytes = socket.ring.groups.borrow_mut().take(socket.class, id, length);
        if let Some(datagram) = socket.read(bytes) {
            socket.deliver(Ok(datagram));
        }
    }

    /// One more datagram of a receive that goes on.
    pub(super) fn more(&self, number: u64, result: i32, flags: u32) {
        self.deliver(result, flags);
        let socket = &self.0;
        let waiting = socket.received.borrow().len();
        if waiting >= WAITING_MAX && socket.receiving.get() == Receiving::Armed(number) {
            socket.receiving.set(Receiving::Stopping(number));
            socket.ring.cancel(number);
        }
    }

    /// The receive has ended, perhaps with a datagram (an empty one ends it); the next poll arms
    /// another.
    pub(super) fn complete(self, result: i32, flags: u32) {
        let stopped = matches!(self.0.receiving.get(), Receiving::Stopping(_));
        self.0.receiving.set(Receiving::Nothing);
        match -result {
            ..=0 => self.deliver(result, flags),
            // More had come in this turn than buffers were offered; there are others by now.
            libc::ENOBUFS => {}
            libc::ECANCELED if stopped => {}
            code => self.0.deliver(Err(io::Error::from_raw_os_error(code))),
        }
        self.0.wake();
    }
}

/// A send under way.
pub(super) struct Send {
    socket: Rc<Shared>,
    parcel: Box<Parcel>,
}

/// A datagram as the kernel is pointed at it. Boxed: it must not move meanwhile.
pub(super) struct Parcel {
    payload: Buf,
    name: Option<SockAddr>,
    control: Control,
    iovec: libc::iovec,
    header: libc::msghdr,
    teller: Option<Rc<dyn Sent>>,
}

/// Parcels that a ring keeps to use again.
const KEPT: usize = 256;

impl Send {
    fn start(socket: &Rc<Shared>, message: Message) {
        let ring = &socket.ring;
        let mut parcel = ring.parcels.borrow_mut().pop().unwrap_or_default();
        let Message { payload, to, from, teller } = message;
        parcel.payload = payload;
        parcel.name = to.map(SockAddr::from);
        parcel.control = Control::from(from);
        parcel.teller = Some(teller);
        let fd = types::Fd(socket.fd);
        let number = ring.ops.keep(Op::Datagram(Self { socket: Rc::clone(socket), parcel }));
        let entry = ring.ops.with(number, |op| match op {
            Op::Datagram(Self { parcel, .. }) => {
                // Now or never: what the kernel has no room for is lost, as on any link.
                let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
                opcode::SendMsg::new(fd, parcel.aim()).flags(flags as u32).build()
            }
            _ => opcode::Nop::new().build(),
        });
        ring.start(number, entry);
    }

    pub(super) fn complete(self, ring: &Ring, result: i32) {
        let Self { socket, mut parcel } = self;
        let outcome = usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
        if let Some(teller) = parcel.teller.take() {
            teller.sent(outcome);
        }
        parcel.payload = Buf::default();
        let mut kept = ring.parcels.borrow_mut();
        if kept.len() < KEPT {
            kept.push(parcel);
        }
        drop(kept);
        drop(socket);
    }
}

impl Parcel {
    fn aim(&mut self) -> *const libc::msghdr {
        self.iovec.iov_base = self.payload.as_ptr() as *mut libc::c_void;
        self.iovec.iov_len = self.payload.len();
        self.header.msg_iov = &raw mut self.iovec;
        self.header.msg_iovlen = 1;
        let name = self.name.as_ref();
        self.header.msg_name = name.map_or(std::ptr::null(), SockAddr::as_ptr) as *mut _;
        self.header.msg_namelen = name.map_or(0, SockAddr::len);
        self.control.aim(&mut self.header);
        &raw const self.header
    }
}

impl Default for Parcel {
    fn default() -> Self {
        // SAFETY: all zeroes is valid for both: no address, no data, no control.
        let (iovec, header) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        Self {
            payload: Buf::default(),
            name: None,
            control: Control::default(),
            iovec,
            header,
            teller: None,
        }
    }
}
