//! TLS of listeners and clusters (Envoy `DownstreamTlsContext`, `UpstreamTlsContext`).

use ringway_bridge::stats::{GaugeId, StatName};
use ringway_tls::{ClientContext, ServerContext};

pub use ringway_tls::Certificate;
pub use ringway_tls::certificate::Names;

use crate::stats::SslStats;

/// The transport socket of a filter chain.
#[derive(Debug)]
pub struct DownstreamTls {
    /// Certificates, verification and sessions.
    pub context: ServerContext,
    /// `listener.<address>.ssl.*`
    pub stats: SslStats,
    /// `listener.<address>.ssl`, for the names that are met at run time: `ciphers.<name>`.
    pub scope: StatName,
    /// The leaves that are presented, for `/certs`.
    pub certificates: Vec<LoadedCertificate>,
    /// `trusted_ca`, for `/certs`.
    pub authorities: Vec<LoadedCertificate>,
}

/// The transport socket of a cluster.
#[derive(Debug)]
pub struct UpstreamTls {
    /// Verification, our own certificate, and sessions.
    pub context: ClientContext,
    /// `sni`; none sends none.
    pub sni: Option<Box<str>>,
    /// `auto_host_sni`: the hostname of the endpoint is sent instead.
    pub auto_host_sni: bool,
    /// `cluster.<name>.ssl.*`
    pub stats: SslStats,
    /// `cluster.<name>.ssl`, for the names that are met at run time: `ciphers.<name>`.
    pub scope: StatName,
    /// The leaves that are presented, for `/certs`.
    pub certificates: Vec<LoadedCertificate>,
    /// `trusted_ca`, for `/certs`.
    pub authorities: Vec<LoadedCertificate>,
}

/// A certificate and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedCertificate {
    /// Its file, or `<inline>`.
    pub path: String,
    /// What it says.
    pub certificate: Certificate,
    /// `certificate.<name>.expiration_unix_time_seconds`, for whoever publishes it.
    pub expiration: GaugeId,
}
