//! Opening connections: over TCP, from an own address where one is wished, or over a Unix socket.

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use ringway_runtime::connect;
use ringway_runtime::stream::Stream;
use ringway_runtime::worker::Driver;
use socket2::{Domain, Protocol, Socket, Type};

use super::Core;
use crate::plan::Address;
use crate::record::Failure;

/// How a connection ends that this side gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// With FIN, as programs do that are done.
    Orderly,
    /// With RST, as programs do that crash.
    Reset,
}

/// Opens connection `number` (which chooses the own address) to the address of a lane.
pub(super) async fn open(
    core: &Core,
    lane: usize,
    number: usize,
    farewell: Farewell,
) -> io::Result<Stream> {
    match &core.plan.lanes[lane].address {
        Address::Unix(path) => connect::unix(path).await,
        Address::Tcp(address) => {
            let source = source(&core.plan.sources, *address, number);
            match (source, farewell) {
                (None, Farewell::Orderly) => connect::tcp(*address).await,
                _ => own_socket(core.driver, *address, source, farewell),
            }
        }
    }
}

/// The own address of a connection: each in turn, among those of the right family.
fn source(sources: &[IpAddr], address: SocketAddr, number: usize) -> Option<IpAddr> {
    let fits = |source: &&IpAddr| source.is_ipv4() == address.is_ipv4();
    let count = sources.iter().filter(fits).count().max(1);
    sources.iter().filter(fits).nth(number % count).copied()
}

/// A socket with options of its own. It is returned while it still connects: the first send waits
/// for that, and reports a refusal.
fn own_socket(
    driver: Driver,
    address: SocketAddr,
    source: Option<IpAddr>,
    farewell: Farewell,
) -> io::Result<Stream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(source) = source {
        // The kernel picks the port when it knows the other end, so that connections to different
        // addresses may share one.
        setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    if farewell == Farewell::Reset {
        socket.set_linger(Some(std::time::Duration::ZERO))?;
    }
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => return Err(error),
        _ => {}
    }
    // A ring waits for a socket only when the socket itself may block; epoll is the opposite.
    socket.set_nonblocking(driver == Driver::Epoll)?;
    Stream::from_fd(socket.into())
}

/// What went wrong when a connection was not opened.
pub(super) fn failure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Failure::Refused,
        io::ErrorKind::TimedOut => Failure::ConnectTimeout,
        io::ErrorKind::ConnectionReset => Failure::Reset,
        _ => Failure::ConnectFailed,
    }
}

/// What went wrong on an open connection.
pub(super) fn loss(error: &io::Error) -> Failure {
    match error.kind() {
        // A connection that reports its opening late: see `own_socket`.
        io::ErrorKind::ConnectionRefused => Failure::Refused,
        io::ErrorKind::TimedOut => Failure::ConnectTimeout,
        _ => Failure::Reset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_taken_in_turn_among_their_family() {
        let sources: Vec<IpAddr> =
            ["127.0.0.1", "::1", "127.0.0.2"].iter().map(|ip| ip.parse().unwrap()).collect();
        let v4: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let v6: SocketAddr = "[::1]:80".parse().unwrap();
        let taken: Vec<_> = (0..4).filter_map(|n| source(&sources, v4, n)).collect();
        assert_eq!(taken, [sources[0], sources[2], sources[0], sources[2]]);
        assert_eq!(source(&sources, v6, 5), Some(sources[1]));
        assert_eq!(source(&[], v4, 1), None);
    }
}
