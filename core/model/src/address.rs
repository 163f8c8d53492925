//! Addresses of listeners and endpoints.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Where a socket listens or connects.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// IPv4 or IPv6 and a port.
    Ip(SocketAddr),
    /// A Unix domain socket; a leading `@` names the abstract namespace (Envoy `pipe`).
    Pipe(Arc<PathBuf>),
}

impl Address {
    /// The IP address and port, unless this is a Unix socket.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Pipe(_) => None,
        }
    }
}

impl fmt::Display for Address {
    /// As Envoy prints addresses: `127.0.0.1:80`, `[::1]:80`, `/run/x.sock`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Pipe(path) => path.display().fmt(f),
        }
    }
}
