//! Sockets that the process was started with (socket activation): whoever passed them goes on
//! listening while the process is replaced, so that nobody is refused meanwhile.
//!
//! Owns the choice between a socket that was given and one that is bound. Where the sockets come
//! from is not known here.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use ringway_model::address::Address;
use ringway_model::listener::Sockets;
use socket2::{SockAddr, Socket, Type};

use super::{BindSockets, OpenSockets, SocketSpec, SocketState};
use super::{listen, options, set_keepalive, unix};

/// Uses the sockets that were given for the addresses that they have, and binds all others.
#[derive(Debug, Default)]
pub struct GivenSockets {
    given: Vec<Given>,
}

/// It stays open whatever becomes of its listener: a later generation may ask for it again.
#[derive(Debug)]
struct Given {
    socket: Socket,
    address: Address,
    used: bool,
}

impl GivenSockets {
    /// Sockets that listen already.
    ///
    /// # Errors
    /// One of them is something else.
    pub fn new(fds: Vec<OwnedFd>) -> io::Result<Self> {
        let given = fds.into_iter().map(|fd| Given::new(Socket::from(fd)));
        Ok(Self { given: given.collect::<io::Result<_>>()? })
    }

    /// Addresses that no listener has asked for: connections to them wait for ever.
    pub fn unused(&self) -> impl Iterator<Item = &Address> {
        self.given.iter().filter(|given| !given.used).map(|given| &given.address)
    }
}

impl OpenSockets for GivenSockets {
    fn open(&mut self, spec: &SocketSpec) -> io::Result<Arc<Sockets>> {
        // Those that are given are for streams.
        let serves =
            |given: &&mut Given| !spec.datagrams && spec.bound && given.address == spec.address;
        let mut found: Vec<_> = self.given.iter_mut().filter(serves).collect();
        if found.is_empty() {
            return BindSockets.open(spec);
        }
        if found.len() > spec.workers {
            let (sockets, workers) = (found.len(), spec.workers);
            return Err(io::Error::other(format!(
                "{sockets} sockets were given for {workers} workers: nobody would accept on some"
            )));
        }
        for given in &mut found {
            given.prepare(spec)?;
            given.used = true;
        }
        // Fewer than workers: they share.
        let shared = (0..spec.workers).map(|worker| found[worker % found.len()].socket.try_clone());
        let fds = shared.map(|socket| socket.map(OwnedFd::from)).collect::<io::Result<_>>()?;
        Ok(Arc::new(Sockets { given: true, ..Sockets::new(fds, spec.address.clone()) }))
    }
}

impl Given {
    fn new(socket: Socket) -> io::Result<Self> {
        let is_stream = socket.r#type().is_ok_and(|kind| kind == Type::STREAM);
        if !is_stream || !socket.is_listener()? {
            return Err(io::Error::other("a socket was given that does not listen for streams"));
        }
        let local = socket.local_addr()?;
        let address = match local.as_socket() {
            Some(address) => Address::Ip(address),
            None => Address::Pipe(Arc::new(pipe(&local))),
        };
        Ok(Self { socket, address, used: false })
    }

    /// Brings it as near to what the listener asks for as can be after it was bound.
    fn prepare(&self, spec: &SocketSpec) -> io::Result<()> {
        // The flag outlives the process that set it, since it is the socket's.
        self.socket.set_nonblocking(false)?;
        if let Address::Ip(address) = &self.address {
            if address.is_ipv6() && self.socket.only_v6()? == spec.ipv4_compat {
                let said = if spec.ipv4_compat { "does not take" } else { "takes" };
                return Err(io::Error::other(format!(
                    "the socket that was given {said} IPv4 connections, other than ipv4_compat asks"
                )));
            }
            self.socket.set_tcp_nodelay(true)?;
            if let Some(keepalive) = &spec.keepalive {
                set_keepalive(&self.socket, keepalive)?;
            }
        }
        if let Address::Pipe(path) = &self.address {
            unix::set_mode(spec, path)?;
        }
        options::apply(&self.socket, &spec.options, SocketState::Prebind)?;
        options::apply(&self.socket, &spec.options, SocketState::Bound)?;
        // Takes the backlog of the listener.
        listen(spec, &self.socket)
    }
}

/// As a configuration writes it: an abstract name begins with `@`.
fn pipe(local: &SockAddr) -> PathBuf {
    if let Some(path) = local.as_pathname() {
        return path.to_owned();
    }
    let name = local.as_abstract_namespace().unwrap_or_default();
    PathBuf::from(OsString::from_vec([b"@", name].concat()))
}
