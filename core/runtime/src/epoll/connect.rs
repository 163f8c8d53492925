//! Connecting.

use std::io;
use std::rc::Rc;

use socket2::{Domain, SockAddr, SockRef, Type};

use super::Poller;
use super::socket::Socket;
use super::source::Registered;

/// Connects a new socket to the address.
pub(crate) async fn connect(poller: Rc<Poller>, address: SockAddr) -> io::Result<Socket> {
    let domain = Domain::from(i32::from(address.family()));
    let socket = socket2::Socket::new(domain, Type::STREAM.nonblocking(), None)?;
    connect_from(poller, socket, address).await
}

/// Connects this socket, which does not block, to the address. Where the queue of a Unix socket is
/// full, that is an error: nothing would tell of a place in it.
pub(crate) async fn connect_from(
    poller: Rc<Poller>,
    socket: socket2::Socket,
    address: SockAddr,
) -> io::Result<Socket> {
    match socket.connect(&address) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
            let registered = Registered::new(poller, socket.into())?;
            std::future::poll_fn(|cx| registered.poll_writable(cx)).await;
            match SockRef::from(&registered).take_error()? {
                Some(error) => Err(error),
                None => Ok(Socket::of(registered)),
            }
        }
        outcome => outcome.and_then(|()| Socket::new(poller, socket.into())),
    }
}
