//! The upstream side of a session, whatever leads there.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use ringway_model::cluster::ClusterPolicy;
use ringway_model::stream::ResponseFlags;
use ringway_runtime::buffer::Buf;
use ringway_runtime::deadline::Deadline;
use ringway_tls::Handshake;

use super::relay::deliver;
use crate::upstream::{TcpConnection, Tunnel};

/// What carries the bytes to and from the endpoint.
pub(super) enum Far {
    /// A connection of its own.
    Direct(TcpConnection),
    /// A request to another proxy.
    Tunnel(Box<Tunnel>),
}

impl Far {
    pub(super) fn policy(&self) -> &Arc<ClusterPolicy> {
        match self {
            Self::Direct(up) => up.policy(),
            Self::Tunnel(up) => up.policy(),
        }
    }

    /// Queues bytes.
    pub(super) fn push(&mut self, bytes: Buf) {
        match self {
            Self::Direct(up) => up.transport.push(bytes),
            Self::Tunnel(up) => up.push(bytes),
        }
    }

    /// Our own address towards the endpoint.
    pub(super) fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Direct(up) => up.transport.local_address(),
            Self::Tunnel(up) => up.local_address(),
        }
    }

    /// What the handshake with the endpoint came to, if there was one.
    pub(super) fn handshake(&self) -> Option<&Rc<Handshake>> {
        match self {
            Self::Direct(up) => up.transport.handshake(),
            Self::Tunnel(up) => up.handshake(),
        }
    }

    /// Bytes received and sent.
    pub(super) fn transferred(&self) -> (u64, u64) {
        match self {
            Self::Direct(up) => up.transport.transferred(),
            Self::Tunnel(up) => up.transferred(),
        }
    }

    /// Adds up the bytes that were moved so far.
    pub(super) fn count_bytes(&self) {
        match self {
            Self::Direct(up) => up.count_bytes(),
            Self::Tunnel(up) => up.count_bytes(),
        }
    }

    /// Whether everything was sent.
    pub(super) fn is_flushed(&mut self) -> bool {
        match self {
            Self::Direct(up) => up.transport.is_flushed(),
            Self::Tunnel(up) => up.is_flushed(),
        }
    }

    /// Sends what is left, before the deadline.
    pub(super) async fn deliver(&mut self, deadline: &Deadline) {
        match self {
            Self::Direct(up) => deliver(&mut up.transport, deadline).await,
            Self::Tunnel(up) => deliver(&mut **up, deadline).await,
        }
    }

    /// Whether it ends since the endpoint did not take what it was sent.
    pub(super) fn is_overdue(&self) -> bool {
        match self {
            Self::Direct(up) => up.transport.is_overdue(),
            // The connection is the pool's, and has said so already.
            Self::Tunnel(_) => false,
        }
    }

    /// Ends with a reset when dropped.
    pub(super) fn reset_on_drop(&self) {
        match self {
            Self::Direct(up) => up.transport.reset_on_drop(),
            Self::Tunnel(up) => up.reset_on_drop(),
        }
    }

    /// Notes that the peer was the one to end it.
    pub(super) fn note_peer_close(&self) {
        match self {
            Self::Direct(up) => up.note_peer_close(),
            Self::Tunnel(up) => up.note_peer_close(),
        }
    }

    /// What the log says of a side that broke; a connection that ended says nothing, as in Envoy.
    pub(super) fn failure(&self) -> Option<ResponseFlags> {
        match self {
            Self::Direct(_) => None,
            Self::Tunnel(up) => up.failure(),
        }
    }
}
