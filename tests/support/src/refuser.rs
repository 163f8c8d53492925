//! An address that refuses every connection for as long as the test needs it.

use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

/// A port that is bound and never listens, so that the kernel refuses connections to it and gives
/// it to nobody else meanwhile.
#[derive(Debug)]
pub struct Refuser {
    socket: Socket,
}

impl Refuser {
    /// Takes a free port of 127.0.0.1.
    pub fn bind() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be made");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        socket.bind(&any.into()).expect("a port is free");
        Self { socket }
    }

    /// The refusing address.
    pub fn address(&self) -> SocketAddr {
        let address = self.socket.local_addr().ok().and_then(|address| address.as_socket());
        address.expect("a bound socket has an address")
    }

    /// Refuses no longer.
    pub fn listen(self) -> std::net::TcpListener {
        self.socket.listen(16).expect("a bound socket can listen");
        self.socket.into()
    }
}
