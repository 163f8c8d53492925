//! Listener filters: the inspectors, the PROXY protocol, the original destination and source.

use std::sync::Arc;
use std::time::Duration;

use ringway_model::listener::{
    DestinationPredicate, HttpInspector, ListenerFilter, ListenerFilterKind, ListenerFilters,
    OriginalSrc, ProxyProtocol, TlsInspector, TlvRule, TlvText,
};

use super::at::At;
use super::proto::{
    core, google, http_inspector, listener, original_dst, original_src, proxy_protocol,
};
use super::proto::{tls_inspector, typed, udp_proxy};
use super::udp;
use super::value::{is, or_bool, or_u32, timeout, type_name, unpack};
use super::{Cx, layer4_stats, proxy_header};

/// `listener_filters_timeout`.
const TIMEOUT: Duration = Duration::from_secs(15);
/// `max_client_hello_size`, in bytes.
const MAX_CLIENT_HELLO: u32 = 16 << 10;
/// The namespace of a rule that names none.
const PROXY_PROTOCOL: &str = "envoy.filters.listener.proxy_protocol";

/// A listener's filters, or `None` when one of them is wrong.
pub(super) fn filters(
    cx: &Cx<'_>,
    at: &At<'_>,
    listener: &listener::Listener,
) -> Option<ListenerFilters> {
    let at_list = at.field("listener_filters");
    let each = listener.listener_filters.iter().enumerate();
    let list: Vec<Option<ListenerFilter>> =
        each.map(|(index, one)| filter(cx, &at_list.index(index), one)).collect();
    let at_timeout = at.field("listener_filters_timeout");
    let mut list: Vec<ListenerFilter> = list.into_iter().collect::<Option<_>>()?;
    list.extend(implied(cx, at, listener));
    Some(ListenerFilters {
        list,
        timeout: timeout(&at_timeout, listener.listener_filters_timeout, Some(TIMEOUT)),
        continue_on_timeout: listener.continue_on_listener_filters_timeout,
    })
}

/// Filters that other fields ask for, behind those that are listed, as in Envoy.
fn implied(
    cx: &Cx<'_>,
    at: &At<'_>,
    listener: &listener::Listener,
) -> impl Iterator<Item = ListenerFilter> {
    let is_plain = |kind: ListenerFilterKind| ListenerFilter { kind, disabled: None };
    let original = or_bool(listener.use_original_dst, false);
    // Envoy asks the first chain, on behalf of all of them.
    let first = listener.filter_chains.first().and_then(|chain| chain.use_proxy_proto);
    let header = or_bool(first, false).then(|| {
        let config = proxy_protocol::ProxyProtocol::default();
        ListenerFilterKind::ProxyProtocol(Arc::new(proxy(cx, at, &config)))
    });
    for (index, chain) in listener.filter_chains.iter().enumerate().skip(1) {
        if chain.use_proxy_proto.is_some() {
            let at = at.field("filter_chains");
            let at = at.index(index);
            at.field("use_proxy_proto").no_effect("that of the first chain counts");
        }
    }
    original.then_some(ListenerFilterKind::OriginalDst).into_iter().chain(header).map(is_plain)
}

fn filter(cx: &Cx<'_>, at: &At<'_>, filter: &listener::ListenerFilter) -> Option<ListenerFilter> {
    let disabled = filter.filter_disabled.as_ref();
    let disabled = match disabled {
        Some(rule) => Some(predicate(&at.field("filter_disabled"), rule)?),
        None => None,
    };
    let Some(listener::listener_filter::ConfigType::TypedConfig(any)) = &filter.config_type else {
        at.invalid(format_args!("the filter {} has no typed_config", filter.name));
        return None;
    };
    let at = at.field("typed_config");
    if is::<udp_proxy::UdpProxyConfig>(any) {
        at.invalid(udp::unregistered(&filter.name, any));
        return None;
    }
    Some(ListenerFilter { kind: kind(cx, &at, any)?, disabled })
}

fn kind(cx: &Cx<'_>, at: &At<'_>, any: &google::Any) -> Option<ListenerFilterKind> {
    if is::<tls_inspector::TlsInspector>(any) {
        let config = unpack::<tls_inspector::TlsInspector>(at, any)?;
        return Some(inspector_of_tls(cx, &config));
    }
    if is::<http_inspector::HttpInspector>(any) {
        let stats = layer4_stats::http_inspector(&cx.env.catalog);
        return Some(ListenerFilterKind::HttpInspector(HttpInspector { stats }));
    }
    if is::<original_dst::OriginalDst>(any) {
        return Some(ListenerFilterKind::OriginalDst);
    }
    if is::<original_src::OriginalSrc>(any) {
        let config: original_src::OriginalSrc = unpack(at, any)?;
        if config.bind_port {
            at.field("bind_port").no_effect("as in Envoy, the kernel chooses the port");
        }
        let mark = Some(config.mark).filter(|mark| *mark != 0);
        return Some(ListenerFilterKind::OriginalSrc(OriginalSrc { mark }));
    }
    if is::<proxy_protocol::ProxyProtocol>(any) {
        let config = unpack(at, any)?;
        return Some(ListenerFilterKind::ProxyProtocol(Arc::new(proxy(cx, at, &config))));
    }
    at.unsupported(format_args!("the extension {}", type_name(any)));
    None
}

fn inspector_of_tls(cx: &Cx<'_>, config: &tls_inspector::TlsInspector) -> ListenerFilterKind {
    let max = or_u32(config.max_client_hello_size, MAX_CLIENT_HELLO);
    ListenerFilterKind::TlsInspector(TlsInspector {
        ja3: or_bool(config.enable_ja3_fingerprinting, false),
        ja4: or_bool(config.enable_ja4_fingerprinting, false),
        max_client_hello_size: max as usize,
        close_on_error: config.close_connection_on_client_hello_parsing_errors,
        stats: layer4_stats::tls_inspector(&cx.env.catalog),
    })
}

fn proxy(cx: &Cx<'_>, at: &At<'_>, config: &proxy_protocol::ProxyProtocol) -> ProxyProtocol {
    let names = layer4_stats::proxy_protocol(&cx.env.catalog, &config.stat_prefix);
    let refuses = |version: core::proxy_protocol_config::Version| {
        config.disallowed_versions.contains(&(version as i32))
    };
    let rules = config.rules.iter().enumerate();
    let at_rules = at.field("rules");
    ProxyProtocol {
        optional: config.allow_requests_without_proxy_protocol,
        refuse_v1: refuses(core::proxy_protocol_config::Version::V1),
        refuse_v2: refuses(core::proxy_protocol_config::Version::V2),
        rules: rules.filter_map(|(index, one)| rule(&at_rules.index(index), one)).collect(),
        pass: proxy_header::pass(config.pass_through_tlvs.as_ref()),
        stats: names.stats,
        v1: names.v1,
        v2: names.v2,
        errors: names.errors,
    }
}

fn rule(at: &At<'_>, rule: &proxy_protocol::proxy_protocol::Rule) -> Option<TlvRule> {
    use proxy_protocol::proxy_protocol::key_value_pair::ValueStringEncoding;
    let Some(pair) = &rule.on_tlv_present else {
        at.no_effect("without on_tlv_present nothing comes of it");
        return None;
    };
    let namespace = match pair.metadata_namespace.as_str() {
        "" => PROXY_PROTOCOL,
        namespace => namespace,
    };
    Some(TlvRule {
        // The API's own rules keep types below 256.
        kind: u8::try_from(rule.tlv_type).unwrap_or(u8::MAX),
        namespace: Arc::from(namespace),
        key: Arc::from(pair.key.as_str()),
        text: match ValueStringEncoding::try_from(pair.value_string_encoding) {
            Ok(ValueStringEncoding::Base64) => TlvText::Base64,
            _ => TlvText::SanitizedUtf8,
        },
    })
}

/// The depth of a predicate is bounded by that of the message.
fn predicate(
    at: &At<'_>,
    rule: &listener::ListenerFilterChainMatchPredicate,
) -> Option<DestinationPredicate> {
    use listener::listener_filter_chain_match_predicate::{MatchSet, Rule};
    let all = |at: &At<'_>, set: &MatchSet| -> Option<Vec<DestinationPredicate>> {
        let at = at.field("rules");
        let each = set.rules.iter().enumerate();
        each.map(|(index, rule)| predicate(&at.index(index), rule)).collect()
    };
    match rule.rule.as_ref() {
        Some(Rule::OrMatch(set)) => all(&at.field("or_match"), set).map(DestinationPredicate::Or),
        Some(Rule::AndMatch(set)) => {
            all(&at.field("and_match"), set).map(DestinationPredicate::And)
        }
        Some(Rule::NotMatch(rule)) => {
            let inner = predicate(&at.field("not_match"), rule)?;
            Some(DestinationPredicate::Not(Box::new(inner)))
        }
        Some(Rule::AnyMatch(_)) => Some(DestinationPredicate::Any),
        Some(Rule::DestinationPortRange(typed::Int32Range { start, end })) => {
            Some(DestinationPredicate::Port(*start..*end))
        }
        None => {
            at.invalid("a predicate needs a rule");
            None
        }
    }
}
