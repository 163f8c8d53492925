//! Connecting.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::task::{Poll, Waker};

use io_uring::{opcode, types};
use socket2::{Domain, SockAddr, Socket, Type};

use super::Ring;
use super::ops::Op;

/// A connect under way: the kernel reads the address.
pub(super) struct Connecting {
    address: Box<SockAddr>,
    /// Kept open until the attempt has completed: were it closed before the attempt is submitted,
    /// another socket could get its number, and be connected to this address.
    socket: OwnedFd,
    shared: Rc<Shared>,
}

#[derive(Default)]
struct Shared {
    completed: Cell<bool>,
    result: RefCell<Option<io::Result<OwnedFd>>>,
    waker: RefCell<Option<Waker>>,
}

/// Gives the attempt up when its future is dropped.
struct Attempt {
    ring: Rc<Ring>,
    number: u64,
    shared: Rc<Shared>,
}

/// Connects a new socket to the address.
pub(crate) async fn connect(ring: Rc<Ring>, address: SockAddr) -> io::Result<OwnedFd> {
    let domain = Domain::from(i32::from(address.family()));
    let socket = OwnedFd::from(Socket::new(domain, Type::STREAM, None)?);
    connect_from(ring, socket, address).await
}

/// Connects this socket, which blocks, to the address.
pub(crate) async fn connect_from(
    ring: Rc<Ring>,
    socket: OwnedFd,
    address: SockAddr,
) -> io::Result<OwnedFd> {
    let shared = Rc::new(Shared::default());
    let kept = Rc::clone(&shared);
    let connecting = Connecting { address: Box::new(address), socket, shared: kept };
    let number = ring.ops.keep(Op::Connect(connecting));
    let entry = ring.ops.with(number, |op| match op {
        Op::Connect(Connecting { address, socket, .. }) => {
            let fd = types::Fd(socket.as_raw_fd());
            opcode::Connect::new(fd, address.as_ptr().cast(), address.len()).build()
        }
        _ => opcode::Nop::new().build(),
    });
    ring.start(number, entry);
    let attempt = Attempt { ring, number, shared };
    std::future::poll_fn(|cx| {
        *attempt.shared.waker.borrow_mut() = Some(cx.waker().clone());
        attempt.shared.result.take().map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.shared.completed.get() {
            self.ring.cancel(self.number);
        }
    }
}

impl Connecting {
    pub(super) fn complete(self, result: i32) {
        self.shared.completed.set(true);
        let outcome = match result {
            0.. => Ok(self.socket),
            code => Err(io::Error::from_raw_os_error(-code)),
        };
        *self.shared.result.borrow_mut() = Some(outcome);
        if let Some(waker) = self.shared.waker.take() {
            waker.wake();
        }
    }
}
