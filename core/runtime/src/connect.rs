//! Connecting to endpoints.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::path::Path;

use monoio::net::{TcpStream, UnixStream};

use crate::ring;
use crate::stream::Stream;

/// Connects to an IP address. Dropping the future abandons the attempt.
pub async fn tcp(address: SocketAddr) -> io::Result<Stream> {
    let stream = match ring::current() {
        Some(ring) => Stream::from_fd(ring::connect::connect(ring, address.into()).await?)?,
        None => Stream::from_monoio(TcpStream::connect_addr(address).await?),
    };
    stream.set_nodelay();
    Ok(stream)
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
    let stream = UnixStream::connect(path).await?;
    // SAFETY: the stream gives up its descriptor, which is open.
    Stream::from_fd(unsafe { OwnedFd::from_raw_fd(stream.into_raw_fd()) })
}

/// A connect in the abstract namespace does not wait: it succeeds or fails at once.
fn abstract_socket(name: &str) -> io::Result<OwnedFd> {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    let stream = std::os::unix::net::UnixStream::connect_addr(&address)?;
    stream.set_nonblocking(true)?;
    Ok(stream.into())
}
