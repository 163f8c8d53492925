//! UDP: datagrams with their addresses, received and sent one by one.
//!
//! Nothing here waits to send: a datagram that the kernel does not take at once is an error, as
//! it may be lost on any link behind it. What was received waits in the kernel's queue of the
//! socket, which is bounded, and not here.

mod control;
pub(crate) mod polled;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll};

use socket2::{Domain, Protocol, SockRef, Type};

use crate::buffer::Buf;
use crate::ring;

pub(crate) use control::{Control, NAME_MAX, address, told};

/// Bytes of the largest payload that a datagram can have.
pub const PAYLOAD_MAX: usize = 65_535;

/// How a socket receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Bytes of the largest payload that is wanted; a larger datagram is dropped, and said to be.
    pub max_payload: usize,
    /// Whether it takes datagrams from anybody, and says from whom; a connected socket does not
    /// need it.
    pub peers: bool,
    /// Whether it says to which of the host's addresses a datagram was sent, which a socket that
    /// is bound to all of them cannot know otherwise.
    pub locals: bool,
}

/// One datagram.
#[derive(Debug)]
pub struct Datagram {
    /// What it says; empty when it was too large.
    pub payload: Buf,
    /// Who sent it, where `Options::peers` asks for it.
    pub peer: Option<SocketAddr>,
    /// To which address, where `Options::locals` asks for it.
    pub local: Option<IpAddr>,
    /// It was larger than `Options::max_payload`.
    pub too_large: bool,
}

/// A datagram to send.
pub struct Message {
    /// What it says; it may be empty.
    pub payload: Buf,
    /// To whom; a connected socket knows.
    pub to: Option<SocketAddr>,
    /// From which of the host's addresses, if it matters.
    pub from: Option<IpAddr>,
    /// Who is told what came of it.
    pub teller: Rc<dyn Sent>,
}

/// Whoever wants to know what came of a datagram.
pub trait Sent {
    /// The kernel has taken so many bytes, or it has not and says why.
    fn sent(&self, outcome: io::Result<usize>);
}

/// A UDP socket of this worker.
pub struct Socket(Io);

enum Io {
    Ring(ring::datagram::Socket),
    Polled(polled::Socket),
}

impl Socket {
    /// Takes over a bound UDP socket.
    pub fn new(fd: OwnedFd, options: Options) -> io::Result<Self> {
        control::ask_for(&SockRef::from(&fd), options)?;
        Ok(Self(match ring::current() {
            Some(ring) => Io::Ring(ring::datagram::Socket::new(ring, fd, options)),
            None => Io::Polled(polled::Socket::new(fd, options)?),
        }))
    }

    /// A new socket whose one peer is `to`. UDP does not wait for anything to connect.
    pub fn connected(to: SocketAddr, max_payload: usize) -> io::Result<Self> {
        let socket =
            socket2::Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))?;
        socket.connect(&to.into())?;
        Self::new(socket.into(), Options { max_payload, peers: false, locals: false })
    }

    /// The next datagram. An error may be about one that was sent before (a peer that is not
    /// there); see [`is_about_a_peer`].
    pub fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<io::Result<Datagram>> {
        match &self.0 {
            Io::Ring(socket) => socket.poll_receive(cx),
            Io::Polled(socket) => socket.poll_receive(cx),
        }
    }

    /// Sends a datagram now, or never.
    pub fn send(&self, message: Message) {
        match &self.0 {
            Io::Ring(socket) => socket.send(message),
            Io::Polled(socket) => socket.send(message),
        }
    }

    /// How many datagrams the kernel has dropped for want of room since this was last asked, as
    /// far as those that came after them have told.
    pub fn take_dropped(&self) -> u64 {
        self.dropped().new.take()
    }

    /// Goes on counting where `before`, of the same socket of the kernel, has stopped.
    pub fn count_on_from(&self, before: &Self) {
        self.dropped().told.set(before.dropped().told.get());
    }

    fn dropped(&self) -> &Dropped {
        match &self.0 {
            Io::Ring(socket) => socket.dropped(),
            Io::Polled(socket) => socket.dropped(),
        }
    }

    /// Our own address.
    pub fn local_address(&self) -> Option<SocketAddr> {
        let fd = match &self.0 {
            Io::Ring(socket) => socket.fd(),
            Io::Polled(socket) => socket.fd(),
        };
        // SAFETY: the descriptor stays open as long as the socket, which outlives this call.
        let socket = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
        SockRef::from(&socket).local_addr().ok()?.as_socket()
    }
}

/// Whether an error is about a peer, or about a datagram, and not about the socket.
pub fn is_about_a_peer(error: &io::Error) -> bool {
    const CODES: [i32; 12] = [
        libc::ECONNREFUSED,
        libc::EHOSTUNREACH,
        libc::ENETUNREACH,
        libc::EHOSTDOWN,
        libc::ENETDOWN,
        libc::ENOPROTOOPT,
        libc::EPROTO,
        libc::EMSGSIZE,
        libc::EACCES,
        libc::EPERM,
        libc::ETIMEDOUT,
        libc::EINTR,
    ];
    error.raw_os_error().is_some_and(|code| CODES.contains(&code))
}

/// The kernel's count of datagrams that found no room, as it was told last.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    told: std::cell::Cell<u32>,
    new: std::cell::Cell<u64>,
}

impl Dropped {
    /// Takes note of the kernel's count, which begins at 0 and wraps.
    pub(crate) fn note(&self, count: u32) {
        let more = count.wrapping_sub(self.told.replace(count));
        self.new.set(self.new.get() + u64::from(more));
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("datagram::Socket")
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { payload, to, from, .. } = self;
        write!(f, "Message({} bytes to {to:?} from {from:?})", payload.len())
    }
}
