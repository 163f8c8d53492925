//! Accepting connections.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;
use std::task::{Poll, Waker};

use monoio::net::{TcpListener, UnixListener};

use crate::stream::Stream;
use crate::{epoll, ring};

/// One worker's listening socket.
pub struct Listener {
    kind: Kind,
    /// Ends an accept of monoio; our own drivers have their own ways.
    flag: Rc<StopFlag>,
}

#[derive(Default)]
struct StopFlag {
    stopped: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

enum Kind {
    Ring { listener: ring::listener::Listener, has_address: bool },
    Epoll(epoll::listener::Listener),
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Stops a [`Listener`] from elsewhere on the same worker.
pub struct Stopper(Stop);

enum Stop {
    Ring(ring::listener::Stopper),
    Epoll(epoll::listener::Stopper),
    Flag(Rc<StopFlag>),
}

impl Listener {
    /// Takes over a socket that listens on an IP address.
    pub fn tcp(fd: OwnedFd) -> io::Result<Self> {
        if let Some(ring) = ring::current() {
            let listener = ring::listener::Listener::new(ring, fd);
            return Ok(Self::new(Kind::Ring { listener, has_address: true }));
        }
        if let Some(poller) = epoll::current() {
            return Ok(Self::new(Kind::Epoll(epoll::listener::Listener::new(poller, fd)?)));
        }
        // SAFETY: the descriptor is owned and open.
        let std = unsafe { std::net::TcpListener::from_raw_fd(fd.into_raw_fd()) };
        std.set_nonblocking(true)?;
        Ok(Self::new(Kind::Tcp(TcpListener::from_std(std)?)))
    }

    /// Takes over a socket that listens on a Unix address.
    pub fn unix(fd: OwnedFd) -> io::Result<Self> {
        if let Some(ring) = ring::current() {
            let listener = ring::listener::Listener::new(ring, fd);
            return Ok(Self::new(Kind::Ring { listener, has_address: false }));
        }
        if let Some(poller) = epoll::current() {
            return Ok(Self::new(Kind::Epoll(epoll::listener::Listener::new(poller, fd)?)));
        }
        // SAFETY: the descriptor is owned and open.
        let std = unsafe { std::os::unix::net::UnixListener::from_raw_fd(fd.into_raw_fd()) };
        std.set_nonblocking(true)?;
        Ok(Self::new(Kind::Unix(UnixListener::from_std(std)?)))
    }

    /// The next connection, with the peer's address unless it is a Unix socket. An error may be
    /// about one connection (reset before it was accepted) or about the process (no descriptors);
    /// `InvalidInput` means that the listener was stopped.
    ///
    /// Never drop this future while it is pending: a connection that arrives at that moment
    /// would leak its descriptor. End it with a [`Stopper`].
    pub async fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match &self.kind {
            Kind::Ring { listener, has_address } => {
                let fd = std::future::poll_fn(|cx| listener.poll_accept(cx)).await?;
                let peer = if *has_address { peer(&fd) } else { None };
                Ok((Stream::from_fd(fd)?, peer))
            }
            Kind::Epoll(listener) => {
                let (fd, peer) = std::future::poll_fn(|cx| listener.poll_accept(cx)).await?;
                Ok((Stream::from_fd(fd)?, peer))
            }
            Kind::Tcp(listener) => {
                let (stream, peer) = self.flag.unless_stopped(listener.accept()).await?;
                Ok((Stream::from_monoio(stream), Some(peer)))
            }
            Kind::Unix(listener) => {
                let (stream, _) = self.flag.unless_stopped(listener.accept()).await?;
                // SAFETY: the stream gives up its descriptor, which is open.
                let fd = unsafe { OwnedFd::from_raw_fd(stream.into_raw_fd()) };
                Ok((Stream::from_fd(fd)?, None))
            }
        }
    }

    /// As [`Listener::accept`], for a connection that this worker may give to another one.
    pub async fn accept_fd(&self) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
        let fd = match &self.kind {
            Kind::Ring { listener, .. } => {
                std::future::poll_fn(|cx| listener.poll_accept(cx)).await?
            }
            Kind::Epoll(listener) => {
                return std::future::poll_fn(|cx| listener.poll_accept(cx)).await;
            }
            Kind::Tcp(listener) => {
                let (stream, _) = self.flag.unless_stopped(listener.accept()).await?;
                // SAFETY: the stream gives up its descriptor, which is open.
                unsafe { OwnedFd::from_raw_fd(stream.into_raw_fd()) }
            }
            Kind::Unix(listener) => {
                let (stream, _) = self.flag.unless_stopped(listener.accept()).await?;
                // SAFETY: the stream gives up its descriptor, which is open.
                unsafe { OwnedFd::from_raw_fd(stream.into_raw_fd()) }
            }
        };
        let peer = peer(&fd);
        Ok((fd, peer))
    }

    fn new(kind: Kind) -> Self {
        Self { kind, flag: Rc::default() }
    }

    /// Refuses connections from now on. Dropping the listener alone does not: somebody else may
    /// have a descriptor of the same socket. Call when `accept` has ended, so that whoever had
    /// connected before was accepted.
    pub fn close(&self) {
        let fd = match &self.kind {
            Kind::Ring { listener, .. } => listener.fd(),
            Kind::Epoll(listener) => listener.fd(),
            Kind::Tcp(listener) => listener.as_raw_fd(),
            Kind::Unix(listener) => listener.as_raw_fd(),
        };
        // SAFETY: the descriptor stays open as long as the listener, which outlives this call.
        let socket = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
        // An error means that it does not listen any more.
        let _ = socket2::SockRef::from(&socket).shutdown(std::net::Shutdown::Both);
    }

    /// A handle that ends the pending `accept`.
    pub fn stopper(&self) -> Stopper {
        Stopper(match &self.kind {
            Kind::Ring { listener, .. } => Stop::Ring(listener.stopper()),
            Kind::Epoll(listener) => Stop::Epoll(listener.stopper()),
            Kind::Tcp(_) | Kind::Unix(_) => Stop::Flag(Rc::clone(&self.flag)),
        })
    }
}

impl Stopper {
    /// Ends the pending and every later `accept` with `InvalidInput`.
    pub fn stop(self) {
        match self.0 {
            Stop::Ring(stopper) => stopper.stop(),
            Stop::Epoll(stopper) => stopper.stop(),
            Stop::Flag(flag) => flag.stop(),
        }
    }
}

impl StopFlag {
    fn stop(&self) {
        self.stopped.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// The outcome of `accept`, or `InvalidInput` once stopped. A connection that arrives at the
    /// very moment when the pending accept is given up is lost: monoio leaks its descriptor.
    async fn unless_stopped<T>(
        &self,
        accept: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let mut accept = std::pin::pin!(accept);
        std::future::poll_fn(|cx| {
            if self.stopped.get() {
                return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
            }
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            accept.as_mut().poll(cx)
        })
        .await
    }
}

impl std::fmt::Debug for Stopper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stopper")
    }
}

/// `TCP_FASTOPEN`: at most so many connections may wait whose first bytes came with the SYN.
///
/// # Errors
/// The kernel has no such option, or it is no socket of TCP.
pub fn set_fast_open(socket: &OwnedFd, queue: u32) -> io::Result<()> {
    let value = libc::c_int::try_from(queue).unwrap_or(libc::c_int::MAX);
    // SAFETY: the descriptor is open, and the kernel reads an int of the size that it is told.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_FASTOPEN,
            std::ptr::from_ref(&value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// One armed accept yields many connections, so the kernel does not say whose they are.
fn peer(fd: &OwnedFd) -> Option<SocketAddr> {
    socket2::SockRef::from(fd).peer_addr().ok()?.as_socket()
}

/// The IPv4 address behind an IPv4-mapped IPv6 address, as dual-stack sockets report it.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V6(ip) => {
            ip.to_ipv4_mapped().map_or(address, |v4| SocketAddr::new(v4.into(), address.port()))
        }
        IpAddr::V4(_) => address,
    }
}
