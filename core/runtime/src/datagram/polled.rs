//! Datagrams where epoll or monoio says when there are some: two plain system calls.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use monoio::net::udp::UdpSocket;
use socket2::SockAddr;

use super::{Control, Datagram, Dropped, Message, NAME_MAX, Options, address, told};
use crate::buffer::{self, Buf, Class};
use crate::epoll::{self, Registered};

/// Waits for the next datagrams, again and again; it never ends.
type Endless = Pin<Box<dyn Future<Output = ()>>>;

pub(crate) struct Socket {
    fd: RawFd,
    waits: Waits,
    options: Options,
    dropped: Dropped,
}

/// How it waits.
enum Waits {
    Epoll(Registered),
    Monoio { readable: RefCell<Endless>, ready: Rc<Ready> },
}

/// What the waiting is asked, and what it answers.
#[derive(Default)]
struct Ready {
    wanted: Cell<bool>,
    outcome: Cell<Option<io::Result<()>>>,
}

impl Socket {
    pub(crate) fn new(fd: OwnedFd, options: Options) -> io::Result<Self> {
        let raw = fd.as_raw_fd();
        let waits = match epoll::current() {
            Some(poller) => Waits::Epoll(Registered::shared(poller, fd)?),
            None => {
                let socket = std::net::UdpSocket::from(fd);
                socket.set_nonblocking(true)?;
                let (socket, ready) = (UdpSocket::from_std(socket)?, Rc::new(Ready::default()));
                let readable = RefCell::new(wait_endlessly(socket, Rc::clone(&ready)));
                Waits::Monoio { readable, ready }
            }
        };
        Ok(Self { fd: raw, waits, options, dropped: Dropped::default() })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.fd
    }

    pub(crate) fn dropped(&self) -> &Dropped {
        &self.dropped
    }

    pub(crate) fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<io::Result<Datagram>> {
        loop {
            ready!(self.waits.poll_readable(cx))?;
            match self.receive() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.waits.would_block(),
                received => return Poll::Ready(received),
            }
        }
    }

    fn receive(&self) -> io::Result<Datagram> {
        let max = self.options.max_payload;
        // One byte more tells a datagram that fits from one that does not.
        let mut bytes = buffer::take(Class::fitting(max + 1));
        let mut name = [0_u64; NAME_MAX.div_ceil(8)];
        let mut control = [0_u64; 12];
        let mut iovec = libc::iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: bytes.capacity().min(max + 1),
        };
        // SAFETY: all zeroes is a valid message header.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_name = name.as_mut_ptr().cast();
        header.msg_namelen = self.options.name_len() as libc::socklen_t;
        header.msg_iov = &raw mut iovec;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = self.options.control_len() as _;
        // SAFETY: the header points at memory of the lengths that it says, which lives through
        // the call.
        let length = unsafe { libc::recvmsg(self.fd, &raw mut header, libc::MSG_DONTWAIT) };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        // SAFETY: the kernel has initialised so many bytes, at most `iov_len`.
        unsafe { bytes.set_len(length) };
        let too_large = length > max;
        let (name, control) = (to_bytes(&name), to_bytes(&control));
        let told = told(&control[..(header.msg_controllen as usize).min(control.len())]);
        if let Some(count) = told.dropped {
            self.dropped.note(count);
        }
        let name = &name[..(header.msg_namelen as usize).min(name.len())];
        let mut payload = Buf::new(bytes);
        if too_large {
            payload.truncate(0);
        }
        Ok(Datagram { payload, peer: address(name), local: told.local, too_large })
    }

    pub(crate) fn send(&self, message: Message) {
        let Message { payload, to, from, teller } = message;
        let name = to.map(SockAddr::from);
        let mut control = Control::from(from);
        let mut iovec =
            libc::iovec { iov_base: payload.as_ptr() as *mut libc::c_void, iov_len: payload.len() };
        // SAFETY: all zeroes is a valid message header.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        if let Some(name) = &name {
            header.msg_name = name.as_ptr() as *mut libc::c_void;
            header.msg_namelen = name.len();
        }
        header.msg_iov = &raw mut iovec;
        header.msg_iovlen = 1;
        control.aim(&mut header);
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: the header points at memory of the lengths that it says, which lives through
        // the call and is only read.
        let sent = unsafe { libc::sendmsg(self.fd, &raw const header, flags) };
        teller.sent(usize::try_from(sent).map_err(|_| io::Error::last_os_error()));
    }
}

impl Waits {
    /// Waits until there may be something to receive.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Epoll(registered) => registered.poll_readable(cx).map(Ok),
            Self::Monoio { ready, .. } if !ready.wanted.get() => Poll::Ready(Ok(())),
            Self::Monoio { readable, ready } => {
                let pending = readable.borrow_mut().as_mut().poll(cx);
                debug_assert!(pending.is_pending(), "the waiting never ends");
                match ready.outcome.take() {
                    Some(outcome) => {
                        ready.wanted.set(false);
                        Poll::Ready(outcome)
                    }
                    None => Poll::Pending,
                }
            }
        }
    }

    /// There was nothing to receive.
    fn would_block(&self) {
        match self {
            Self::Epoll(registered) => registered.would_block(),
            Self::Monoio { ready, .. } => ready.wanted.set(true),
        }
    }
}

/// The bytes of words, in the order of memory.
fn to_bytes<const N: usize>(words: &[u64; N]) -> &[u8] {
    // SAFETY: words are initialised bytes, and bytes have no alignment.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) }
}

fn wait_endlessly(socket: UdpSocket, ready: Rc<Ready>) -> Endless {
    Box::pin(async move {
        loop {
            std::future::poll_fn(|_| match ready.wanted.get() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            })
            .await;
            let outcome = socket.readable(false).await;
            ready.outcome.set(Some(outcome));
            ready.wanted.set(false);
        }
    })
}
