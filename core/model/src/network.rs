//! Network filters: what decides about a connection before its bytes are taken.

use std::sync::Arc;
use std::time::Duration;

use ringway_bridge::limit::Limit;

use crate::stats::ConnectionLimitStats;

/// A network filter in front of the one that takes the bytes.
#[derive(Debug)]
pub enum NetworkFilter {
    /// `envoy.filters.network.connection_limit`
    ConnectionLimit(ConnectionLimit),
    /// `envoy.filters.network.sni_cluster`: the server name of the ClientHello is the cluster of
    /// the TCP proxy.
    SniCluster,
}

/// Envoy `ConnectionLimit`: so many connections of a filter chain at once, in the whole process.
#[derive(Debug)]
pub struct ConnectionLimit {
    /// `max_connections`.
    pub limit: Arc<Limit>,
    /// `delay`: how long a connection beyond it stays open before it is closed.
    pub delay: Option<Duration>,
    /// `connection_limit.<stat_prefix>.*`
    pub stats: ConnectionLimitStats,
}
