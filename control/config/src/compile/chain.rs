//! Filter chains of a listener, and how a connection finds its own.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ringway_model::listener::{ChainMatch, ChainMatcher, ChainName, FilterChain, SourceType};
use ringway_model::matching::Tree;

use super::at::At;
use super::matching::{self, Rules};
use super::proto::{google, listener, xds, xds_core};
use super::value::{cidrs, duration, unpack};
use super::{Cx, network_filters, tls};

/// A listener's chains as configured, each with its place.
pub(super) fn each(
    listener: &listener::Listener,
) -> impl Iterator<Item = (Option<usize>, &listener::FilterChain)> {
    let chains = listener.filter_chains.iter().enumerate();
    let chains = chains.map(|(index, chain)| (Some(index), chain));
    chains.chain(listener.default_filter_chain.iter().map(|chain| (None, chain)))
}

/// Calls `use_it` at the place of a chain.
pub(super) fn at_chain<T>(
    at: &At<'_>,
    index: Option<usize>,
    use_it: impl FnOnce(&At<'_>) -> T,
) -> T {
    match index {
        Some(index) => use_it(&at.field("filter_chains").index(index)),
        None => use_it(&at.field("default_filter_chain")),
    }
}

pub(super) fn chain(
    cx: &Cx<'_>,
    at: &At<'_>,
    chain: &listener::FilterChain,
    index: Option<usize>,
    scope: &str,
) -> Option<FilterChain> {
    let filters = network_filters::filters(cx, at, chain, scope);
    let tls = tls::downstream(cx, at, chain.transport_socket.as_ref(), scope);
    let connect_timeout = duration(
        &at.field("transport_socket_connect_timeout"),
        chain.transport_socket_connect_timeout,
    );
    let (filters, tls) = (filters?, tls?);
    let name = match (chain.name.as_str(), index) {
        ("", Some(index)) => format!("filter_chains[{index}]").into(),
        ("", None) => "default_filter_chain".into(),
        (name, _) => name.into(),
    };
    Some(FilterChain {
        name: Arc::new(ChainName { text: name, is_given: !chain.name.is_empty() }),
        filters: filters.before,
        terminal: filters.terminal,
        tls,
        // 0 is no limit, as in Envoy.
        transport_connect_timeout: connect_timeout.filter(|timeout| !timeout.is_zero()),
    })
}

/// The conditions of all chains. Chains are numbered as [`each`] lists them.
pub(super) fn matcher(at: &At<'_>, listener: &listener::Listener) -> Option<ChainMatcher> {
    let default = listener.default_filter_chain.as_ref().map(|_| listener.filter_chains.len());
    match &listener.filter_chain_matcher {
        None => Some(ChainMatcher { rules: rules(at, listener), tree: None, default }),
        Some(matcher) => {
            let tree = Some(Box::new(tree(at, listener, matcher)?));
            Some(ChainMatcher { rules: Vec::new(), tree, default })
        }
    }
}

/// `filter_chain_matcher`, whose actions are the names of chains.
fn tree(
    at: &At<'_>,
    listener: &listener::Listener,
    matcher: &xds::Matcher,
) -> Option<Tree<Option<usize>>> {
    check_names(&at.field("filter_chains"), listener);
    let named = |at: &At<'_>, action: &xds_core::TypedExtensionConfig| {
        let any = matching::extension::<google::StringValue>(at, action)?;
        let at = at.field("typed_config");
        let name: google::StringValue = unpack(&at, any)?;
        let found = listener.filter_chains.iter().position(|chain| chain.name == name.value);
        if found.is_none() {
            at.no_effect("no filter chain has this name: such connections are closed");
        }
        Some(found)
    };
    let rules = Rules { action: &named, input: matching::input_of_connection };
    matching::tree(&rules, &at.field("filter_chain_matcher"), matcher)
}

/// A matcher finds chains by their names.
fn check_names(at: &At<'_>, listener: &listener::Listener) {
    let mut seen = HashSet::new();
    for (index, chain) in listener.filter_chains.iter().enumerate() {
        let at = at.index(index);
        if chain.name.is_empty() {
            at.invalid("\"name\" field is required when using a listener matcher");
        } else if !seen.insert(&chain.name) {
            at.field("name")
                .invalid(format_args!("\"name\" field is duplicated with value '{}'", chain.name));
        }
        if chain.filter_chain_match.is_some() {
            at.field("filter_chain_match").no_effect("filter_chain_matcher chooses the chain");
        }
    }
}

fn rules(at: &At<'_>, listener: &listener::Listener) -> Vec<(ChainMatch, usize)> {
    let at_chains = at.field("filter_chains");
    let mut rules = Vec::with_capacity(listener.filter_chains.len());
    for (index, chain) in listener.filter_chains.iter().enumerate() {
        let at = at_chains.index(index);
        let at = at.field("filter_chain_match");
        let empty = listener::FilterChainMatch::default();
        let conditions = chain.filter_chain_match.as_ref().unwrap_or(&empty);
        rules.push((chain_match(&at, conditions), index));
    }
    check_overlap(&at_chains, listener, &rules);
    rules
}

fn chain_match(at: &At<'_>, conditions: &listener::FilterChainMatch) -> ChainMatch {
    use listener::filter_chain_match::ConnectionSourceType as Source;
    let ports = conditions.source_ports.iter();
    // The API's own rules keep ports below 65536.
    let port = |port: u32| u16::try_from(port).unwrap_or(u16::MAX);
    ChainMatch {
        destination_port: conditions.destination_port.map(|wrapper| port(wrapper.value)),
        destination: cidrs(&at.field("prefix_ranges"), &conditions.prefix_ranges),
        server_names: server_names(&at.field("server_names"), &conditions.server_names),
        transport_protocol: conditions.transport_protocol.clone(),
        application_protocols: conditions.application_protocols.clone(),
        direct_source: cidrs(
            &at.field("direct_source_prefix_ranges"),
            &conditions.direct_source_prefix_ranges,
        ),
        source_type: match Source::try_from(conditions.source_type) {
            Ok(Source::SameIpOrLoopback) => SourceType::SameIpOrLoopback,
            Ok(Source::External) => SourceType::External,
            Ok(Source::Any) | Err(_) => SourceType::Any,
        },
        source: cidrs(&at.field("source_prefix_ranges"), &conditions.source_prefix_ranges),
        source_ports: ports.map(|number| port(*number)).collect(),
    }
}

fn server_names(at: &At<'_>, names: &[String]) -> Vec<String> {
    for (index, name) in names.iter().enumerate() {
        if name.strip_prefix("*.").unwrap_or(name).contains('*') {
            at.index(index).invalid("partial wildcards are not supported in \"server_names\"");
        }
    }
    names.iter().map(|name| name.to_lowercase()).collect()
}

/// Combinations of conditions that are looked at before two chains may be called distinct by the
/// whole of their lists only.
const COMBINATIONS_MAX: usize = 100_000;

/// No connection may have two chains: Envoy multiplies the lists out, and no combination may
/// occur twice.
fn check_overlap(at: &At<'_>, listener: &listener::Listener, rules: &[(ChainMatch, usize)]) {
    let mut whole: HashMap<String, usize> = HashMap::new();
    let mut seen: HashMap<Combination<'_>, usize> = HashMap::new();
    for (rule, index) in rules {
        let name = |index: usize| &listener.filter_chains[index].name;
        if let Some(first) = whole.insert(format!("{rule:?}"), *index) {
            at.index(*index).invalid(format_args!(
                "filter chain '{}' has the same matching rules defined as '{}'",
                name(*index),
                name(first)
            ));
            continue;
        }
        if count(rule).saturating_add(seen.len()) > COMBINATIONS_MAX {
            continue;
        }
        for combination in combinations(rule) {
            match seen.get(&combination) {
                Some(first) if first != index => {
                    at.index(*index).invalid(format_args!(
                        "multiple filter chains with overlapping matching rules are defined: '{}' \
                         and '{}'",
                        name(*first),
                        name(*index)
                    ));
                    break;
                }
                _ => {
                    seen.insert(combination, *index);
                }
            }
        }
    }
}

/// One element of each list; `None` where a list is empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Combination<'a> {
    destination_port: Option<u16>,
    destination: Option<&'a ipnet::IpNet>,
    server_name: Option<&'a str>,
    transport_protocol: &'a str,
    application_protocol: Option<&'a str>,
    direct_source: Option<&'a ipnet::IpNet>,
    source_type: u8,
    source: Option<&'a ipnet::IpNet>,
    source_port: Option<u16>,
}

fn count(rule: &ChainMatch) -> usize {
    [
        rule.destination.len(),
        rule.server_names.len(),
        rule.application_protocols.len(),
        rule.direct_source.len(),
        rule.source.len(),
        rule.source_ports.len(),
    ]
    .into_iter()
    .fold(1, |product: usize, length| product.saturating_mul(length.max(1)))
}

fn combinations(rule: &ChainMatch) -> Vec<Combination<'_>> {
    let base = Combination {
        destination_port: rule.destination_port,
        destination: None,
        server_name: None,
        transport_protocol: &rule.transport_protocol,
        application_protocol: None,
        direct_source: None,
        source_type: rule.source_type as u8,
        source: None,
        source_port: None,
    };
    let all = vec![base];
    let all = times(all, &rule.destination, |one, net| one.destination = Some(net));
    let all = times(all, &rule.server_names, |one, name| one.server_name = Some(name));
    let all = times(all, &rule.application_protocols, |one, name| {
        one.application_protocol = Some(name);
    });
    let all = times(all, &rule.direct_source, |one, net| one.direct_source = Some(net));
    let all = times(all, &rule.source, |one, net| one.source = Some(net));
    times(all, &rule.source_ports, |one, port| one.source_port = Some(*port))
}

fn times<'a, T>(
    all: Vec<Combination<'a>>,
    list: &'a [T],
    set: impl Fn(&mut Combination<'a>, &'a T),
) -> Vec<Combination<'a>> {
    if list.is_empty() {
        return all;
    }
    let with = |(one, item): (&Combination<'a>, &'a T)| {
        let mut one = one.clone();
        set(&mut one, item);
        one
    };
    all.iter().flat_map(|one| list.iter().map(move |item| (one, item))).map(with).collect()
}
