//! TLS of listeners and clusters (Envoy `DownstreamTlsContext`, `UpstreamTlsContext`).

use std::net::IpAddr;

use ipnet::IpNet;
use ringway_bridge::stats::{GaugeId, StatName};
use ringway_tls::{ClientContext, ServerContext};

pub use ringway_tls::Certificate;
pub use ringway_tls::certificate::Names;

use crate::access_log::SinkId;
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
    /// `key_log`
    pub key_log: Option<KeyLog>,
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
    /// `key_log`
    pub key_log: Option<KeyLog>,
}

/// `key_log`: where the secrets of connections between these addresses go.
#[derive(Debug)]
pub struct KeyLog {
    /// The file.
    pub sink: SinkId,
    /// `local_address_range`; none for all.
    pub local: Vec<IpNet>,
    /// `remote_address_range`; none for all.
    pub remote: Vec<IpNet>,
}

impl KeyLog {
    /// Whether the secrets of a connection are wanted. What has no IP address is in no range.
    pub fn wants(&self, local: Option<IpAddr>, remote: Option<IpAddr>) -> bool {
        let within = |ranges: &[IpNet], ip: Option<IpAddr>| {
            let ip = ip.map(|ip| ip.to_canonical());
            ranges.is_empty() || ip.is_some_and(|ip| ranges.iter().any(|one| one.contains(&ip)))
        };
        within(&self.local, local) && within(&self.remote, remote)
    }
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
    /// What the OCSP response says that is stapled to it, if one is.
    pub ocsp: Option<OcspDetails>,
}

/// The validity of an OCSP response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OcspDetails {
    /// Seconds since 1970.
    pub valid_from_unix_s: i64,
    /// Seconds since 1970; without it, the response is never presented.
    pub expires_unix_s: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ranges_must_hold_the_connection() {
        let ranges = |texts: &[&str]| texts.iter().map(|one| one.parse().unwrap()).collect();
        let ip = |text: &str| Some(text.parse().unwrap());
        let log = |local: &[&str], remote: &[&str]| KeyLog {
            sink: SinkId(0),
            local: ranges(local),
            remote: ranges(remote),
        };
        let (here, there) = (ip("127.0.0.1"), ip("::ffff:10.0.0.7"));
        assert!(log(&[], &[]).wants(None, None));
        assert!(log(&["127.0.0.0/8"], &[]).wants(here, None));
        assert!(log(&["::1/128", "127.0.0.0/8"], &["10.0.0.0/24"]).wants(here, there));
        assert!(!log(&["127.0.0.0/8"], &["10.0.1.0/24"]).wants(here, there));
        assert!(!log(&["10.0.0.0/8"], &[]).wants(here, there));
        assert!(!log(&["127.0.0.0/8"], &[]).wants(None, there));
    }
}
