//! Datagrams, each sent back to where it came from.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use ringway_runtime::datagram::{Message, Options, PAYLOAD_MAX, Sent, Socket, is_about_a_peer};
use socket2::{Domain, Protocol, Type};

/// After an error of the socket itself.
const PAUSE: Duration = Duration::from_millis(10);

/// So many sockets with one address, and their address.
pub(super) fn sockets(
    mut address: SocketAddr,
    count: usize,
) -> io::Result<(Vec<OwnedFd>, SocketAddr)> {
    let mut sockets = Vec::new();
    for _ in 0..count {
        let domain = Domain::for_address(address);
        let socket = socket2::Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_port(count > 1)?;
        socket.bind(&address.into())?;
        // The first socket takes a free port; the others share it.
        address = socket.local_addr()?.as_socket().unwrap_or(address);
        sockets.push(socket.into());
    }
    Ok((sockets, address))
}

/// Nobody asks what became of an echo: it may be lost on its way.
struct Echo;

impl Sent for Echo {
    fn sent(&self, _: io::Result<usize>) {}
}

/// Serves until the process is ended.
pub(super) async fn serve(fd: OwnedFd, address: SocketAddr) {
    // A socket of all addresses must answer from the one that was asked.
    let locals = address.ip().is_unspecified();
    let options = Options { max_payload: PAYLOAD_MAX, peers: true, locals };
    let socket = match Socket::new(fd, options) {
        Ok(socket) => socket,
        Err(error) => return eprintln!("ringway-load: {error}"),
    };
    let teller: Rc<dyn Sent> = Rc::new(Echo);
    loop {
        match poll_fn(|cx| socket.poll_receive(cx)).await {
            Ok(datagram) => socket.send(Message {
                payload: datagram.payload,
                to: datagram.peer,
                from: datagram.local,
                teller: Rc::clone(&teller),
            }),
            Err(error) if is_about_a_peer(&error) => {}
            Err(_) => ringway_runtime::sleep(PAUSE).await,
        }
    }
}
