//! Listening sockets: what a listener asks for, who opens them, and the opener of the real ones.
//!
//! These are the only sockets of this crate. They are opened on the control thread, before a
//! generation is published, so that a bad or busy address is an error of the configuration. The
//! sockets are in blocking mode: whether a driver wants it otherwise is the runtime's business.

mod given;
mod options;
#[cfg(test)]
mod tests;
mod unix;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use ringway_model::address::Address;
use ringway_model::cluster::TcpKeepalive;
use ringway_model::listener::Sockets;
use socket2::{Domain, Protocol, Socket, Type};

pub use given::GivenSockets;
pub use options::{OptionValue, SocketOption, SocketState};

/// Everything that the sockets of one listener depend on. While it stays equal from one
/// generation to the next, the sockets stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketSpec {
    /// The listener's name.
    pub listener: Arc<str>,
    /// Which of its addresses this is: 0 is `address`, and `additional_addresses` follow.
    pub place: usize,
    /// `bind_to_port`: otherwise the address is a name for other listeners to find.
    pub bound: bool,
    /// Where to listen; port 0 takes a free port, the same for all workers.
    pub address: Address,
    /// Sockets for UDP: they are bound and do not listen.
    pub datagrams: bool,
    /// How many sockets are wanted.
    pub workers: usize,
    /// `ipv4_compat`: an IPv6 socket takes IPv4 connections too.
    pub ipv4_compat: bool,
    /// `pipe.mode`: permissions of the file; 0 leaves them to the umask.
    pub mode: u32,
    /// `enable_reuse_port`: one socket per worker, among which the kernel shares connections;
    /// otherwise one socket for all.
    pub reuse_port: bool,
    /// `tcp_backlog_size`.
    pub backlog: u32,
    /// `tcp_keepalive` of accepted connections.
    pub keepalive: Option<TcpKeepalive>,
    /// `transparent`.
    pub transparent: bool,
    /// `freebind`.
    pub freebind: bool,
    /// `enable_mptcp`.
    pub mptcp: bool,
    /// `socket_options`.
    pub options: Vec<SocketOption>,
}

impl SocketSpec {
    /// Whether sockets made for `other` serve as well: a listener that only got another name
    /// keeps them.
    pub(super) fn serves(&self, other: &Self) -> bool {
        if self.address != other.address {
            return false;
        }
        let (listener, place) = (Arc::clone(&self.listener), self.place);
        let named = Self { listener, place, ..other.clone() };
        let is_any_port = self.address.ip().is_some_and(|ip| ip.port() == 0);
        let is_same = self.listener == other.listener && self.place == other.place;
        *self == named && (!is_any_port || is_same)
    }
}

/// Whoever opens the sockets of listeners.
pub trait OpenSockets {
    /// One listening socket per worker.
    ///
    /// # Errors
    /// What the kernel said; the caller names the listener and the address.
    fn open(&mut self, spec: &SocketSpec) -> io::Result<Arc<Sockets>>;
}

/// Opens nothing: for validation.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSockets;

impl OpenSockets for NoSockets {
    fn open(&mut self, spec: &SocketSpec) -> io::Result<Arc<Sockets>> {
        Ok(Arc::new(Sockets::new(Vec::new(), spec.address.clone())))
    }
}

/// Binds real sockets.
#[derive(Debug, Clone, Copy, Default)]
pub struct BindSockets;

impl OpenSockets for BindSockets {
    fn open(&mut self, spec: &SocketSpec) -> io::Result<Arc<Sockets>> {
        if !spec.bound {
            return NoSockets.open(spec);
        }
        let sockets = match &spec.address {
            Address::Ip(address) => ip(spec, *address)?,
            Address::Pipe(path) => unix::open(spec, path)?,
            Address::Internal(_) => return NoSockets.open(spec),
        };
        Ok(Arc::new(sockets))
    }
}

fn ip(spec: &SocketSpec, address: SocketAddr) -> io::Result<Sockets> {
    let first = bind(spec, address)?;
    // With port 0 the kernel has chosen one now, and the others share it.
    let bound = first.local_addr()?.as_socket().unwrap_or(address);
    let sockets = if spec.reuse_port {
        let mut sockets = vec![first];
        for _ in 1..spec.workers {
            sockets.push(bind(spec, bound)?);
        }
        for socket in &sockets {
            listen(spec, socket)?;
        }
        sockets
    } else {
        listen(spec, &first)?;
        duplicates(first, spec.workers)?
    };
    let fds = sockets.into_iter().map(OwnedFd::from).collect();
    Ok(Sockets::new(fds, Address::Ip(bound)))
}

/// A bound socket that does not listen yet.
fn bind(spec: &SocketSpec, address: SocketAddr) -> io::Result<Socket> {
    let (kind, protocol) = match (spec.datagrams, spec.mptcp) {
        (true, _) => (Type::DGRAM, Protocol::UDP),
        (false, true) => (Type::STREAM, Protocol::MPTCP),
        (false, false) => (Type::STREAM, Protocol::TCP),
    };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if !spec.datagrams {
        // A restart must not wait for the last connections of the process before.
        socket.set_reuse_address(true)?;
    }
    // The kernel takes a free port of UDP to be one that others share, if they let it be shared:
    // so the port is chosen first.
    let shares_later = spec.datagrams && address.port() == 0;
    if spec.reuse_port && !shares_later {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(!spec.ipv4_compat)?;
    }
    set_address_options(spec, &socket, address)?;
    if !spec.datagrams {
        // Accepted sockets inherit both, which saves two system calls for each connection.
        socket.set_tcp_nodelay(true)?;
        if let Some(keepalive) = &spec.keepalive {
            set_keepalive(&socket, keepalive)?;
        }
    }
    options::apply(&socket, &spec.options, SocketState::Prebind)?;
    socket.bind(&address.into())?;
    if spec.reuse_port && shares_later {
        socket.set_reuse_port(true)?;
    }
    options::apply(&socket, &spec.options, SocketState::Bound)?;
    Ok(socket)
}

fn set_address_options(spec: &SocketSpec, socket: &Socket, to: SocketAddr) -> io::Result<()> {
    match to {
        SocketAddr::V4(_) => {
            if spec.transparent {
                socket.set_ip_transparent_v4(true)?;
            }
            if spec.freebind {
                socket.set_freebind_v4(true)?;
            }
        }
        SocketAddr::V6(_) => {
            if spec.transparent {
                socket.set_ip_transparent_v6(true)?;
            }
            if spec.freebind {
                socket.set_freebind_v6(true)?;
            }
        }
    }
    Ok(())
}

fn set_keepalive(socket: &Socket, keepalive: &TcpKeepalive) -> io::Result<()> {
    let seconds = |value: u32| Duration::from_secs(u64::from(value));
    let mut settings = socket2::TcpKeepalive::new();
    if let Some(time) = keepalive.time {
        settings = settings.with_time(seconds(time));
    }
    if let Some(interval) = keepalive.interval {
        settings = settings.with_interval(seconds(interval));
    }
    if let Some(probes) = keepalive.probes {
        settings = settings.with_retries(probes);
    }
    socket.set_tcp_keepalive(&settings)
}

fn listen(spec: &SocketSpec, socket: &Socket) -> io::Result<()> {
    if !spec.datagrams {
        socket.listen(i32::try_from(spec.backlog).unwrap_or(i32::MAX))?;
    }
    options::apply(socket, &spec.options, SocketState::Listening)
}

/// One socket for all workers: each has a descriptor of its own.
fn duplicates(first: Socket, workers: usize) -> io::Result<Vec<Socket>> {
    let mut sockets = Vec::with_capacity(workers);
    for _ in 1..workers {
        sockets.push(first.try_clone()?);
    }
    sockets.push(first);
    Ok(sockets)
}
