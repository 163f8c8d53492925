//! What sets a connection to an endpoint apart for its client: the PROXY header in front of
//! everything, and the address that it comes from.

use std::borrow::Cow;
use std::rc::Rc;

use ringway_bridge::stats::Page;
use ringway_model::address::Address;
use ringway_model::format::FormatContext;
use ringway_model::proxy_header::{AddedTlv, ProxyHeader, ProxyVersion, TlvMerge};
use ringway_model::stream::{ConnectionInfo, StreamInfo, UpstreamSource};
use ringway_preamble::proxy::{Addresses, Tlv, Transport, V2, encode_v1, encode_v2};

use super::host::Host;

/// Whom a header speaks of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client<'a> {
    pub(crate) connection: &'a ConnectionInfo,
    pub(crate) stream: &'a StreamInfo,
    /// `proxy_protocol_tlvs`
    pub(crate) tlvs: &'a [AddedTlv],
    pub(crate) merge: TlvMerge,
}

/// What connections have in common that clients may share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Preface {
    /// Goes in front of everything; may be nothing.
    pub(super) header: Rc<[u8]>,
    /// Where they come from, if not from this host.
    pub(super) source: Option<UpstreamSource>,
}

type Tlvs<'a> = Vec<(u8, Cow<'a, [u8]>)>;

impl Host {
    /// What a connection for this client begins with, if the transport socket or the listener
    /// want anything. Connections with different ones are not shared.
    pub(crate) fn preface(&self, client: &Client<'_>) -> Option<Preface> {
        let header = self.tally.policy.proxy_header_of(&self.endpoint);
        let preamble = client.connection.preamble.as_deref();
        let source = preamble.and_then(|preamble| preamble.source);
        if header.is_none() && source.is_none() {
            return None;
        }
        let mut bytes = Vec::new();
        if let Some(header) = header {
            client.write(header, &self.endpoint.tlvs, &self.tally.page, &mut bytes);
        }
        Some(Preface { header: bytes.into(), source })
    }
}

impl<'a> Client<'a> {
    /// A client without additions of its own.
    pub(crate) fn new(connection: &'a ConnectionInfo, stream: &'a StreamInfo) -> Self {
        Self { connection, stream, tlvs: &[], merge: TlvMerge::default() }
    }

    /// Appends the header; `of_endpoint` are the additions of the endpoint itself.
    pub(crate) fn write(
        &self,
        header: &'a ProxyHeader,
        of_endpoint: &'a [(u8, Box<[u8]>)],
        page: &Page,
        out: &mut Vec<u8>,
    ) {
        let addresses = self.addresses();
        if header.version == ProxyVersion::V1 {
            return encode_v1(&addresses, out);
        }
        let carried = self.tlvs_for(header, of_endpoint);
        let tlvs: Vec<_> = carried.iter().map(|(kind, value)| Tlv { kind: *kind, value }).collect();
        if encode_v2(&V2 { addresses, tlvs: &tlvs, checksum: false }, out).is_ok() {
            return;
        }
        // Envoy sends no header then, and the endpoint takes the first bytes for one.
        if let Some(counter) = header.tlvs_exceed_max_length {
            page.inc(counter);
        }
        // Two addresses always fit.
        let _ = encode_v2(&V2 { addresses, tlvs: &[], checksum: false }, out);
    }

    /// The two ends of the client's connection. Without them the proxy speaks for itself.
    fn addresses(&self) -> Addresses<'static> {
        match (self.connection.remote(), &self.connection.local) {
            (&Address::Ip(source), &Address::Ip(destination)) => {
                Addresses::Inet { source, destination, transport: Transport::Stream }
            }
            _ => Addresses::Local,
        }
    }

    /// The endpoint's own additions, `added_tlvs` of other types, and behind them what the client
    /// brings of others yet.
    fn tlvs_for(&self, header: &'a ProxyHeader, of_endpoint: &'a [(u8, Box<[u8]>)]) -> Tlvs<'a> {
        let own = of_endpoint.iter().map(|(kind, value)| (*kind, Cow::Borrowed(&**value)));
        let mut all: Tlvs<'a> = own.collect();
        let is_own = |kind: u8| of_endpoint.iter().any(|(own, _)| *own == kind);
        all.extend(self.values(&header.added).into_iter().filter(|(kind, _)| !is_own(*kind)));
        let is_added = |kind: u8| header.added.iter().any(|tlv| tlv.kind == kind);
        let passed = self.merged().into_iter();
        all.extend(
            passed
                .filter(|(kind, _)| header.pass.takes(*kind) && !is_added(*kind) && !is_own(*kind)),
        );
        all
    }

    /// `proxy_protocol_tlv_merge_policy`
    fn merged(&self) -> Tlvs<'a> {
        let preamble = self.connection.preamble.as_deref();
        let Some(came) = preamble.and_then(|preamble| preamble.tlvs.as_ref()) else {
            return self.values(self.tlvs);
        };
        let came = came.iter().map(|(kind, value)| (*kind, Cow::Borrowed(&**value)));
        match self.merge {
            TlvMerge::AddIfAbsent => came.collect(),
            TlvMerge::OverwriteByType => {
                let mut all = self.values(self.tlvs);
                let is_new = |kind: u8| self.tlvs.iter().all(|tlv| tlv.kind != kind);
                all.extend(came.filter(|(kind, _)| is_new(*kind)));
                all
            }
            TlvMerge::Append => came.chain(self.values(self.tlvs)).collect(),
        }
    }

    fn values(&self, tlvs: &'a [AddedTlv]) -> Tlvs<'a> {
        let cx = FormatContext::new(self.stream, self.connection);
        tlvs.iter().map(|tlv| (tlv.kind, tlv.value(&cx))).collect()
    }
}
