//! Connecting to endpoints.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::path::Path;

use monoio::net::{TcpStream, UnixStream};
use socket2::{Domain, Socket, Type};

use crate::stream::Stream;
use crate::{epoll, ring};

/// Connects to an IP address. Dropping the future abandons the attempt.
pub async fn tcp(address: SocketAddr) -> io::Result<Stream> {
    let stream = if let Some(ring) = ring::current() {
        Stream::from_fd(ring::connect::connect(ring, address.into()).await?)?
    } else if let Some(poller) = epoll::current() {
        Stream::from_epoll(epoll::connect::connect(poller, address.into()).await?)
    } else {
        Stream::from_monoio(TcpStream::connect_addr(address).await?)
    };
    stream.set_nodelay();
    Ok(stream)
}

/// A socket whose connection will come from another address than those of this host.
#[derive(Debug)]
pub struct Source(Socket);

/// Why a connection cannot come from there.
#[derive(Debug)]
pub enum SourceError {
    /// The kernel refuses the socket or an option of it: the process lacks `CAP_NET_ADMIN`.
    Option(io::Error),
    /// It refuses the address.
    Bind(io::Error),
}

impl Source {
    /// A socket for a connection to `to` that comes from `ip`, which may be anybody's
    /// (`IP_TRANSPARENT`), with a mark (`SO_MARK`) where there is one. The kernel chooses the
    /// port, and not before it knows both ends, so that one address has enough of them.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn new(ip: IpAddr, mark: Option<u32>, to: SocketAddr) -> Result<Self, SourceError> {
        let socket = transparent(ip, mark, to).map_err(SourceError::Option)?;
        socket.bind(&SocketAddr::new(ip, 0).into()).map_err(SourceError::Bind)?;
        Ok(Self(socket))
    }
}

fn transparent(ip: IpAddr, mark: Option<u32>, to: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    if let Some(mark) = mark {
        socket.set_mark(mark)?;
    }
    match ip {
        IpAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
        IpAddr::V6(_) => socket.set_ip_transparent_v6(true)?,
    }
    // Without it there is only one connection for each port of the address, whatever its other end.
    let _ = bind_without_port(&socket);
    Ok(socket)
}

fn bind_without_port(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    let (length, on) = (size_of::<libc::c_int>() as libc::socklen_t, (&raw const on).cast());
    let option = libc::IP_BIND_ADDRESS_NO_PORT;
    // SAFETY: the socket is open, and `on` points at as many bytes as are said.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_IP, option, on, length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Connects to an IP address from another one. Dropping the future abandons the attempt.
///
/// # Errors
/// As [`tcp`].
pub async fn tcp_from(source: Source, address: SocketAddr) -> io::Result<Stream> {
    let Source(socket) = source;
    let stream = if let Some(ring) = ring::current() {
        let connected = ring::connect::connect_from(ring, socket.into(), address.into());
        Stream::from_fd(connected.await?)?
    } else if let Some(poller) = epoll::current() {
        socket.set_nonblocking(true)?;
        let connected = epoll::connect::connect_from(poller, socket, address.into());
        Stream::from_epoll(connected.await?)
    } else {
        Stream::from_fd(polled(socket, address).await?)?
    };
    stream.set_nodelay();
    Ok(stream)
}

/// The same with monoio, by readiness.
async fn polled(socket: Socket, address: SocketAddr) -> io::Result<OwnedFd> {
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        other => other?,
    }
    let waiting = TcpStream::from_std(socket.try_clone()?.into())?;
    waiting.writable(false).await?;
    match socket.take_error()? {
        Some(error) => Err(error),
        None => Ok(socket.into()),
    }
}

/// Connects to a Unix socket; a leading `@` names the abstract namespace.
pub async fn unix(path: &Path) -> io::Result<Stream> {
    if let Some(name) = path.to_str().and_then(|path| path.strip_prefix('@')) {
        return Stream::from_fd(abstract_socket(name)?);
    }
    if let Some(ring) = ring::current() {
        let address = socket2::SockAddr::unix(path)?;
        return Stream::from_fd(ring::connect::connect(ring, address).await?);
    }
    if let Some(poller) = epoll::current() {
        let address = socket2::SockAddr::unix(path)?;
        return Ok(Stream::from_epoll(epoll::connect::connect(poller, address).await?));
    }
    let stream = UnixStream::connect(path).await?;
    // SAFETY: the stream gives up its descriptor, which is open.
    Stream::from_fd(unsafe { OwnedFd::from_raw_fd(stream.into_raw_fd()) })
}

/// Both ends of a connection within this process. `buffer_bytes` is how much either may send ahead
/// of the other; the host bounds it (`net.core.wmem_max`).
pub fn pair(buffer_bytes: Option<usize>) -> io::Result<(Stream, Stream)> {
    let (one, other) = socket2::Socket::pair(Domain::UNIX, Type::STREAM, None)?;
    for end in [&one, &other] {
        end.set_nonblocking(true)?;
        if let Some(bytes) = buffer_bytes {
            end.set_send_buffer_size(bytes)?;
        }
    }
    Ok((Stream::from_fd(one.into())?, Stream::from_fd(other.into())?))
}

/// A connect in the abstract namespace does not wait: it succeeds or fails at once.
fn abstract_socket(name: &str) -> io::Result<OwnedFd> {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    let stream = std::os::unix::net::UnixStream::connect_addr(&address)?;
    stream.set_nonblocking(true)?;
    Ok(stream.into())
}
