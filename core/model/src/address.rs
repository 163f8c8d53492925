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
    /// A listener of this process (Envoy `envoy_internal_address`).
    Internal(Arc<InternalAddress>),
}

/// What names a listener of this process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InternalAddress {
    /// `server_listener_name`.
    pub listener: Box<str>,
    /// `endpoint_id`: tells endpoints apart that are one listener.
    pub endpoint_id: Box<str>,
}

impl Address {
    /// A listener of this process.
    pub fn internal(listener: &str, endpoint_id: &str) -> Self {
        let (listener, endpoint_id) = (Box::from(listener), Box::from(endpoint_id));
        Self::Internal(Arc::new(InternalAddress { listener, endpoint_id }))
    }

    /// The IP address and port, if it is one.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Pipe(_) | Self::Internal(_) => None,
        }
    }
}

impl fmt::Display for Address {
    /// As Envoy prints addresses: `127.0.0.1:80`, `[::1]:80`, `/run/x.sock`, `envoy://listener/id`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Pipe(path) => path.display().fmt(f),
            Self::Internal(name) => write!(f, "envoy://{}/{}", name.listener, name.endpoint_id),
        }
    }
}
