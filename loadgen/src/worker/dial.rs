//! Opening connections: over TCP, from an own address where one is wished, or over a Unix socket;
//! with TLS and the handshake of the protocol, where there are such.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use ringway_runtime::connect;
use ringway_runtime::stream::Stream;
use ringway_runtime::worker::Driver;
use socket2::{Domain, Socket, Type};

use super::Core;
use super::exchange::Lost;
use crate::datagrams::Datagrams;
use crate::link::Link;
use crate::plan::{Address, Lane, Tls};
use crate::protocol::Protocol;
use crate::protocol::websocket::Opening;
use crate::record::Failure;

/// How a connection ends that this side gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// With FIN, as programs do that are done.
    Orderly,
    /// With RST, as programs do that crash.
    Reset,
}

/// Why a connection is not there.
#[derive(Debug)]
pub(super) enum NotOpen {
    Socket(io::Error),
    /// TLS, or its peer, agreed on something else than wished.
    Tls(String),
    /// The server does not speak WebSocket here.
    Upgrade(String),
}

impl From<io::Error> for NotOpen {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

impl NotOpen {
    /// For the report.
    pub(super) fn into_lost(self) -> Lost {
        match self {
            Self::Socket(error) => (failure(&error), error.to_string()),
            Self::Tls(text) => (Failure::Tls, text),
            Self::Upgrade(text) => (Failure::Upgrade, text),
        }
    }
}

/// Opens connection `number` (which chooses the own address) to a lane, ready for requests.
pub(super) async fn open(
    core: &Core,
    lane: usize,
    number: usize,
    farewell: Farewell,
) -> Result<Link, NotOpen> {
    let lane = &core.plan.lanes[lane];
    if lane.protocol == Protocol::Udp {
        return Ok(Link::Datagrams(Box::new(datagrams(core, lane, number)?)));
    }
    let stream = connected(core, &lane.address, number, farewell).await?;
    let mut link = match &lane.tls {
        None => Link::Plain(stream),
        Some(tls) => secure(core, lane, tls, stream).await?,
    };
    if let Some(head) = &lane.opening {
        upgrade(core, &mut link, head).await?;
    }
    Ok(link)
}

/// The TLS handshake, and what it must have agreed on.
async fn secure(core: &Core, lane: &Lane, tls: &Tls, stream: Stream) -> Result<Link, NotOpen> {
    // The deadline of the whole opening is the slot's.
    let engine = ringway_tls::Engine::client(&tls.context, Some(&tls.name), Instant::now(), None);
    let engine = engine.map_err(|error| NotOpen::Tls(error.to_string()))?;
    let engine = engine.map_err(|error| NotOpen::Tls(error.to_string()))?;
    let mut link = Link::sealed(stream, engine);
    link.handshake().await?;
    let Some(engine) = link.tls() else { return Ok(link) };
    // HTTP/1.1 needs no agreement, HTTP/2 does (RFC 9113 section 3.3).
    let needs = matches!(lane.protocol, Protocol::Http2 | Protocol::Grpc);
    if needs && engine.alpn() != Some(b"h2") {
        return Err(NotOpen::Tls("the server did not agree on h2".to_owned()));
    }
    let handshakes = &mut core.record.borrow_mut().handshakes;
    match engine.is_resumed() {
        Some(true) => handshakes.resumed += 1,
        _ => handshakes.full += 1,
    }
    handshakes.agreed.get_or_insert_with(|| agreed(engine).into_boxed_str());
    Ok(link)
}

/// Version, suite and group of a connection.
fn agreed(engine: &ringway_tls::Engine) -> String {
    let words = [engine.version(), engine.cipher(), engine.group()];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// The handshake of a WebSocket.
async fn upgrade(core: &Core, link: &mut Link, head: &[u8]) -> Result<(), NotOpen> {
    let random = core.filler.borrow_mut().rng.u128(..);
    let mut opening = Opening::begin(head, random, link.tail());
    poll_fn(|cx| link.poll_flush(cx)).await?;
    loop {
        let bytes = poll_fn(|cx| link.poll_receive(cx)).await?;
        if bytes.is_empty() {
            return Err(NotOpen::Upgrade("the server closed instead of an answer".to_owned()));
        }
        if opening.receive(&bytes).map_err(NotOpen::Upgrade)? {
            return Ok(());
        }
    }
}

fn datagrams(core: &Core, lane: &Lane, number: usize) -> io::Result<Datagrams> {
    let Address::Tcp(address) = lane.address else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let checks = lane.requests.iter().map(|request| &core.plan.requests[*request].check);
    let expected = checks.map(|check| check.length().unwrap_or(u64::MAX)).max().unwrap_or(0);
    let source = source(&core.plan.sources, address, number);
    Datagrams::connected(address, source, usize::try_from(expected).unwrap_or(usize::MAX))
}

async fn connected(
    core: &Core,
    address: &Address,
    number: usize,
    farewell: Farewell,
) -> io::Result<Stream> {
    match address {
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
    let socket =
        Socket::new(Domain::for_address(address), Type::STREAM, Some(socket2::Protocol::TCP))?;
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
        io::ErrorKind::InvalidData => Failure::Tls,
        io::ErrorKind::UnexpectedEof => Failure::Closed,
        _ => Failure::ConnectFailed,
    }
}

/// What went wrong on an open connection.
pub(super) fn loss(error: &io::Error) -> Failure {
    match error.kind() {
        // A connection that reports its opening late: see `own_socket`.
        io::ErrorKind::ConnectionRefused => Failure::Refused,
        io::ErrorKind::TimedOut => Failure::ConnectTimeout,
        io::ErrorKind::InvalidData => Failure::Tls,
        io::ErrorKind::UnexpectedEof => Failure::Closed,
        io::ErrorKind::FileTooLarge => Failure::Malformed,
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
