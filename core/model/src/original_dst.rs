//! Clusters whose hosts are where connections and requests were meant to go (Envoy
//! `ORIGINAL_DST`).

use std::net::SocketAddr;
use std::sync::Arc;

use ringway_bridge::stat_group;
use ringway_http::RequestHead;

use crate::dns::NameCache;
use crate::stream::{ConnectionInfo, Notes};

stat_group! {
    /// `cluster.<name>.*` of such a cluster alone. Envoy has no limit that could be exceeded.
    pub struct OriginalDstStats {
        counters { original_dst_host_overflow }
        gauges {}
        histograms {}
    }
}

/// `original_dst_lb_config`
#[derive(Debug, Clone)]
pub struct OriginalDst {
    /// The hosts that are in use, of all workers: addresses, which nobody needs to be asked for.
    pub table: Arc<NameCache>,
    /// `metadata_key`: namespace and key of metadata that has the address.
    pub metadata: Option<(Box<str>, Box<str>)>,
    /// `use_http_header` with its `http_header_name`, in lower case.
    pub header: Option<Box<[u8]>>,
    /// `upstream_port_override`
    pub port: Option<u16>,
    /// What only such clusters count.
    pub stats: OriginalDstStats,
}

/// Where to look for a destination.
#[derive(Debug, Clone, Copy)]
pub struct Bound<'a> {
    /// The connection of the client.
    pub connection: &'a ConnectionInfo,
    /// What was noted about the stream.
    pub notes: Option<&'a Notes>,
    /// The request, if it is one.
    pub request: Option<&'a RequestHead>,
}

impl OriginalDst {
    /// The name of the header where the configuration says none.
    pub const HEADER: &'static str = "x-envoy-original-dst-host";

    /// Where something was meant to go, in Envoy's order: by metadata, by header, by where the
    /// connection was going before it was redirected. `invalid` is told of each that is no
    /// address, and passed over.
    pub fn destination(&self, bound: &Bound<'_>, mut invalid: impl FnMut()) -> Option<SocketAddr> {
        let mut address = |text: &[u8]| {
            let address = address(text);
            if address.is_none() {
                invalid();
            }
            address
        };
        let found = self
            .noted(bound, &mut address)
            .or_else(|| self.asked_for(bound.request?).and_then(&mut address))
            .or_else(|| bound.connection.redirected_from()?.ip().filter(has_no_zone));
        let port = self.port;
        found.map(|found| SocketAddr::new(found.ip(), port.unwrap_or(found.port())))
    }

    fn noted(
        &self,
        bound: &Bound<'_>,
        mut address: impl FnMut(&[u8]) -> Option<SocketAddr>,
    ) -> Option<SocketAddr> {
        let (namespace, key) = self.metadata.as_ref()?;
        let mut read = |value: &str| address(value.as_bytes());
        let connection = bound.connection;
        for notes in [bound.notes, connection.notes.as_deref()].into_iter().flatten() {
            if let Some(outcome) = notes.metadata(namespace, key, &mut read) {
                return outcome;
            }
        }
        connection.preamble.as_deref()?.metadata(namespace, key).and_then(read)
    }

    /// Clients are not trusted with a list: only the first value counts.
    fn asked_for<'r>(&self, request: &'r RequestHead) -> Option<&'r [u8]> {
        match self.header.as_deref()? {
            // Envoy knows both by one name.
            b":authority" | b"host" => request.has_authority().then(|| request.authority()),
            name => request.fields.get(name),
        }
    }
}

/// An address with its port; an address of IPv6 in brackets, and without a zone.
fn address(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse().ok().filter(|_| !text.contains('%'))
}

/// A zone is of this host alone (RFC 4007 section 11), and the table of hosts knows none.
fn has_no_zone(address: &SocketAddr) -> bool {
    !matches!(address, SocketAddr::V6(v6) if v6.scope_id() != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_as_envoy_takes_it() {
        for (text, wanted) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("127.0.0.1:036455", "127.0.0.1:36455"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::1]:80", "[::1]:80"),
            ("[::ffff:127.0.0.1]:80", "[::ffff:127.0.0.1]:80"),
        ] {
            assert_eq!(address(text.as_bytes()).map(|a| a.to_string()).as_deref(), Some(wanted));
        }
        for text in [
            "",
            "localhost:80",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:99999",
            "127.1:80",
            "0127.0.0.1:80",
            "::1:80",
            "[127.0.0.1]:80",
            "[::1%1]:80",
            "[::1]",
            "/tmp/x",
            "127.0.0.1:80,127.0.0.1:81",
            "\u{e9}",
        ] {
            assert_eq!(address(text.as_bytes()), None, "{text}");
        }
        assert_eq!(address(b"\xff:80"), None);
        let (plain, zoned) = ("[fe80::1]:80".parse(), "[fe80::1%2]:80".parse());
        assert!(has_no_zone(&plain.unwrap()) && !has_no_zone(&zoned.unwrap()));
    }
}
