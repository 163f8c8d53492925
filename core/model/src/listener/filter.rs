//! Listener filters: what is read of a connection before its filter chain is chosen.

use std::sync::Arc;
use std::time::Duration;

use ringway_bridge::stats::CounterId;

use crate::address::Address;
use crate::proxy_header::PassTlvs;
use crate::stats::{
    HttpInspectorStats, ProxyProtocolStats, ProxyProtocolVersionStats, TlsInspectorStats,
};

/// `listener_filters` and the time that they have.
#[derive(Debug, Default)]
pub struct ListenerFilters {
    /// In the order in which they look at a connection.
    pub list: Vec<ListenerFilter>,
    /// `listener_filters_timeout`, 15 s; `None` waits for ever.
    pub timeout: Option<Duration>,
    /// `continue_on_listener_filters_timeout`: go on with what is known by then.
    pub continue_on_timeout: bool,
}

/// One of `listener_filters`.
#[derive(Debug)]
pub struct ListenerFilter {
    /// What it looks for.
    pub kind: ListenerFilterKind,
    /// `filter_disabled`: connections that it does not look at.
    pub disabled: Option<DestinationPredicate>,
}

/// The listener filters that there are.
#[derive(Debug)]
pub enum ListenerFilterKind {
    /// `envoy.filters.listener.tls_inspector`
    TlsInspector(TlsInspector),
    /// `envoy.filters.listener.http_inspector`
    HttpInspector(HttpInspector),
    /// `envoy.filters.listener.proxy_protocol`
    ProxyProtocol(Arc<ProxyProtocol>),
    /// `envoy.filters.listener.original_dst`: where the client connected to before a rule of the
    /// firewall redirected it.
    OriginalDst,
    /// `envoy.filters.listener.original_src`: connections to endpoints come from the client's
    /// address.
    OriginalSrc(OriginalSrc),
}

/// Envoy `OriginalSrc`.
#[derive(Debug)]
pub struct OriginalSrc {
    /// `mark`; 0 is none.
    pub mark: Option<u32>,
}

/// Envoy `TlsInspector`: looks for a ClientHello.
#[derive(Debug)]
pub struct TlsInspector {
    /// `enable_ja3_fingerprinting`.
    pub ja3: bool,
    /// `enable_ja4_fingerprinting`.
    pub ja4: bool,
    /// `max_client_hello_size` in bytes, 16 KiB; a larger one ends the connection.
    pub max_client_hello_size: usize,
    /// `close_connection_on_client_hello_parsing_errors`; otherwise it passes as plain text.
    pub close_on_error: bool,
    /// `tls_inspector.*`
    pub stats: TlsInspectorStats,
}

/// Envoy `HttpInspector`: looks for the request line or preface of plain HTTP.
#[derive(Debug)]
pub struct HttpInspector {
    /// `http_inspector.*`
    pub stats: HttpInspectorStats,
}

/// Envoy `ProxyProtocol`: takes the client's address from a PROXY header.
#[derive(Debug)]
pub struct ProxyProtocol {
    /// `allow_requests_without_proxy_protocol`.
    pub optional: bool,
    /// `disallowed_versions` has V1.
    pub refuse_v1: bool,
    /// `disallowed_versions` has V2.
    pub refuse_v2: bool,
    /// `rules`: TLVs that become dynamic metadata.
    pub rules: Vec<TlvRule>,
    /// `pass_through_tlvs`: which additions are kept for the PROXY header to an endpoint.
    pub pass: PassTlvs,
    /// `proxy_proto.[<stat_prefix>.]*`
    pub stats: ProxyProtocolStats,
    /// `proxy_proto.[<stat_prefix>.]versions.v1.*`
    pub v1: ProxyProtocolVersionStats,
    /// `proxy_proto.[<stat_prefix>.]versions.v2.*`
    pub v2: ProxyProtocolVersionStats,
    /// `downstream_cx_proxy_proto_error`, of all listeners.
    pub errors: CounterId,
}

/// One of `rules`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlvRule {
    /// `tlv_type`.
    pub kind: u8,
    /// `on_tlv_present.metadata_namespace`, the filter's own where that is empty.
    pub namespace: Arc<str>,
    /// `on_tlv_present.key`.
    pub key: Arc<str>,
    /// `on_tlv_present.value_string_encoding`.
    pub text: TlvText,
}

/// `value_string_encoding`: how the bytes of a TLV become text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlvText {
    /// What is no UTF-8 becomes `!`.
    #[default]
    SanitizedUtf8,
    /// Base64 with padding.
    Base64,
}

/// Envoy `ListenerFilterChainMatchPredicate`: a condition on where the client connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DestinationPredicate {
    /// `or_match`
    Or(Vec<DestinationPredicate>),
    /// `and_match`
    And(Vec<DestinationPredicate>),
    /// `not_match`
    Not(Box<DestinationPredicate>),
    /// `any_match`
    Any,
    /// `destination_port_range`: start inclusive, end exclusive.
    Port(std::ops::Range<i32>),
}

impl DestinationPredicate {
    /// Whether the condition holds for a connection to `local`. A Unix socket has no port.
    pub fn matches(&self, local: &Address) -> bool {
        match self {
            Self::Or(rules) => rules.iter().any(|rule| rule.matches(local)),
            Self::And(rules) => rules.iter().all(|rule| rule.matches(local)),
            Self::Not(rule) => !rule.matches(local),
            Self::Any => true,
            Self::Port(range) => local.ip().is_some_and(|ip| range.contains(&i32::from(ip.port()))),
        }
    }
}
