//! The PROXY header to endpoints (Envoy `ProxyProtocolConfig`), wherever one is asked for.

use std::sync::Arc;

use ringway_model::proxy_header::{
    AddedTlv, EndpointTlvs, PassTlvs, ProxyHeader, ProxyVersion, TlvValue,
};

use super::at::At;
use super::proto::{core, endpoint, proxy_socket};
use super::value::{is, unpack};
use super::{Cx, format, stat_names};

/// The configuration of a transport socket that writes a header in front of another one; `at` is
/// the place of its `typed_config`.
#[expect(clippy::option_option, reason = "an error is not another socket")]
pub(super) fn wrapper(
    at: &At<'_>,
    socket: &core::TransportSocket,
) -> Option<Option<proxy_socket::ProxyProtocolUpstreamTransport>> {
    use core::transport_socket::ConfigType;
    match &socket.config_type {
        Some(ConfigType::TypedConfig(any))
            if is::<proxy_socket::ProxyProtocolUpstreamTransport>(any) =>
        {
            unpack(at, any).map(Some)
        }
        _ => Some(None),
    }
}

/// The header of a `transport_socket`. `None` after an error; within it, `None` for none.
#[expect(clippy::option_option, reason = "an error is not a socket without a header")]
pub(super) fn of_socket(
    cx: &Cx<'_>,
    at: &At<'_>,
    socket: Option<&core::TransportSocket>,
    scope: &str,
) -> Option<Option<Arc<ProxyHeader>>> {
    let Some(socket) = socket else { return Some(None) };
    let at_socket = at.field("transport_socket");
    let at = at_socket.field("typed_config");
    let Some(message) = wrapper(&at, socket)? else { return Some(None) };
    if let Some(inner) = &message.transport_socket
        && wrapper(&at, inner)?.is_some()
    {
        at.field("transport_socket").unsupported("a header in front of a header");
        return None;
    }
    let config = message.config.unwrap_or_default();
    let mut header = header(cx, &at.field("config"), &config)?;
    let counter = stat_names::cluster_tlvs_exceed_max_length(&cx.env.catalog, scope);
    header.tlvs_exceed_max_length = Some(counter);
    Some(Some(Arc::new(header)))
}

/// `None` when it is wrong.
pub(super) fn header(
    cx: &Cx<'_>,
    at: &At<'_>,
    config: &core::ProxyProtocolConfig,
) -> Option<ProxyHeader> {
    use core::proxy_protocol_config::Version;
    let version = match Version::try_from(config.version) {
        Ok(Version::V2) => ProxyVersion::V2,
        Ok(Version::V1) | Err(_) => ProxyVersion::V1,
    };
    let adds = config.pass_through_tlvs.is_some() || !config.added_tlvs.is_empty();
    if version == ProxyVersion::V1 && adds {
        at.field("version").no_effect("V1 has no room for TLVs");
    }
    Some(ProxyHeader {
        version,
        pass: pass(config.pass_through_tlvs.as_ref()),
        added: tlvs(cx, &at.field("added_tlvs"), &config.added_tlvs)?,
        tlvs_exceed_max_length: None,
    })
}

/// `ProxyProtocolPassThroughTLVs`; the API's own rules keep types below 256.
pub(super) fn pass(config: Option<&core::ProxyProtocolPassThroughTlVs>) -> PassTlvs {
    use core::proxy_protocol_pass_through_tl_vs::PassTlVsMatchType as Kind;
    let Some(config) = config else { return PassTlvs::None };
    match Kind::try_from(config.match_type) {
        Ok(Kind::Include) => {
            let kinds = config.tlv_type.iter();
            PassTlvs::Only(kinds.filter_map(|kind| u8::try_from(*kind).ok()).collect())
        }
        Ok(Kind::IncludeAll) | Err(_) => PassTlvs::All,
    }
}

/// `TlvEntry`s.
pub(super) fn tlvs(cx: &Cx<'_>, at: &At<'_>, entries: &[core::TlvEntry]) -> Option<Vec<AddedTlv>> {
    let each = entries.iter().enumerate();
    let all: Vec<_> = each.map(|(index, entry)| tlv(cx, &at.index(index), entry)).collect();
    all.into_iter().collect()
}

fn tlv(cx: &Cx<'_>, at: &At<'_>, entry: &core::TlvEntry) -> Option<AddedTlv> {
    let kind = at.field("type").take(u8::try_from(entry.r#type))?;
    if u16::try_from(entry.value.len()).is_err() {
        at.field("value").invalid("a value has at most 65535 bytes");
        return None;
    }
    let value = match &entry.format_string {
        None => TlvValue::Bytes(entry.value.as_slice().into()),
        Some(_) if !entry.value.is_empty() => {
            at.field("format_string").invalid("only one of it and value may be set");
            return None;
        }
        Some(format) => {
            TlvValue::Format(format::substitution(cx, &at.field("format_string"), format)?)
        }
    };
    Some(AddedTlv { kind, value })
}

/// Where the metadata of an endpoint has TLVs of its own.
const NAMESPACE: &str = "envoy.transport_sockets.proxy_protocol";

/// `PerHostConfig` in the metadata of an endpoint, of which only fixed values count. Other typed
/// metadata is for extensions that there are not.
pub(super) fn of_endpoint(at: &At<'_>, listed: &endpoint::LbEndpoint) -> Option<EndpointTlvs> {
    let Some(metadata) = &listed.metadata else { return Some(Arc::default()) };
    let at = at.field("typed_filter_metadata");
    let mut tlvs = Arc::default();
    for (name, any) in &metadata.typed_filter_metadata {
        let at = at.key(name);
        if name != NAMESPACE {
            at.unsupported("");
            return None;
        }
        tlvs = fixed(&at, &unpack::<core::PerHostConfig>(&at, any)?)?;
    }
    Some(tlvs)
}

fn fixed(at: &At<'_>, config: &core::PerHostConfig) -> Option<EndpointTlvs> {
    let at = at.field("added_tlvs");
    let each = config.added_tlvs.iter().enumerate().map(|(index, entry)| {
        let at = at.index(index);
        if entry.format_string.is_some() {
            at.field("format_string").no_effect("an endpoint has fixed values only");
        }
        let kind = at.field("type").take(u8::try_from(entry.r#type))?;
        Some((kind, Box::from(entry.value.as_slice())))
    });
    let all: Vec<Option<(u8, Box<[u8]>)>> = each.collect();
    all.into_iter().collect()
}
