//! `matcher` of the UDP proxy: from `xds.type.matcher.v3` to clusters.

use std::collections::HashMap;

use ringway_model::cluster::ClusterRef;
use ringway_model::route::StringMatch;
use ringway_model::udp::{Choice, Input, OnMatch, Predicate, Table, Tree};

use super::super::Cx;
use super::super::at::At;
use super::super::pattern;
use super::super::proto::{google, ip_matcher, matcher, network_inputs};
use super::super::proto::{udp_proxy, xds, xds_core};
use super::super::value::{cidr, is, unpack};
use super::unregistered;
use udp_proxy::udp_proxy_config::RouteSpecifier;
use xds::matcher as parts;

/// A cluster that does not exist is no error, as in Envoy: its datagrams are dropped and counted.
pub(super) fn routes(
    cx: &Cx<'_>,
    at: &At<'_>,
    config: &udp_proxy::UdpProxyConfig,
) -> Option<Choice> {
    match &config.route_specifier {
        Some(RouteSpecifier::Cluster(name)) => Some(Choice::Cluster(cluster(cx, name))),
        Some(RouteSpecifier::Matcher(matcher)) => {
            tree(cx, &at.field("matcher"), matcher).map(|tree| Choice::Tree(Box::new(tree)))
        }
        None => {
            at.invalid("a cluster or a matcher is necessary");
            None
        }
    }
}

fn cluster(cx: &Cx<'_>, name: &str) -> ClusterRef {
    ClusterRef { name: name.into(), id: cx.cluster_id(name) }
}

/// The depth is bounded by that of the message.
fn tree(cx: &Cx<'_>, at: &At<'_>, matcher: &xds::Matcher) -> Option<Tree> {
    let table = match &matcher.matcher_type {
        None => Some(Table::Empty),
        Some(parts::MatcherType::MatcherList(found)) => {
            list(cx, &at.field("matcher_list"), found).map(Table::List)
        }
        Some(parts::MatcherType::MatcherTree(found)) => map(cx, &at.field("matcher_tree"), found),
    };
    let otherwise = match &matcher.on_no_match {
        Some(one) => Some(on_match(cx, &at.field("on_no_match"), one)?),
        None => None,
    };
    Some(Tree { table: table?, otherwise })
}

fn on_match(cx: &Cx<'_>, at: &At<'_>, found: &parts::OnMatch) -> Option<OnMatch> {
    use parts::on_match::OnMatch as Kind;
    let choice = match &found.on_match {
        Some(Kind::Matcher(matcher)) => {
            Choice::Tree(Box::new(tree(cx, &at.field("matcher"), matcher)?))
        }
        Some(Kind::Action(action)) => {
            Choice::Cluster(cluster(cx, &route(&at.field("action"), action)?.cluster))
        }
        None => {
            at.invalid("an action or a matcher is necessary");
            return None;
        }
    };
    Some(OnMatch { choice, keep_matching: found.keep_matching })
}

fn route(at: &At<'_>, action: &xds_core::TypedExtensionConfig) -> Option<udp_proxy::Route> {
    let any = extension::<udp_proxy::Route>(at, action)?;
    unpack(&at.field("typed_config"), any)
}

/// The message of an extension that must be of one type.
fn extension<'e, M: prost::Name>(
    at: &At<'_>,
    config: &'e xds_core::TypedExtensionConfig,
) -> Option<&'e google::Any> {
    let any = typed(at, config)?;
    if !is::<M>(any) {
        at.field("typed_config").invalid(unregistered(&config.name, any));
        return None;
    }
    Some(any)
}

fn typed<'e>(at: &At<'_>, config: &'e xds_core::TypedExtensionConfig) -> Option<&'e google::Any> {
    if config.typed_config.is_none() {
        at.invalid(format_args!("the extension {} has no typed_config", config.name));
    }
    config.typed_config.as_ref()
}

fn input(at: &At<'_>, config: Option<&xds_core::TypedExtensionConfig>) -> Option<Input> {
    let at = at.field("input");
    let Some(config) = config else {
        at.invalid("an input is necessary");
        return None;
    };
    let any = typed(&at, config)?;
    Some(if is::<network_inputs::SourceIpInput>(any) {
        Input::SourceIp
    } else if is::<network_inputs::SourcePortInput>(any) {
        Input::SourcePort
    } else if is::<network_inputs::DestinationIpInput>(any) {
        Input::DestinationIp
    } else if is::<network_inputs::DestinationPortInput>(any) {
        Input::DestinationPort
    } else {
        at.field("typed_config").invalid(unregistered(&config.name, any));
        return None;
    })
}

// ---- lists ------------------------------------------------------------------------------------

fn list(cx: &Cx<'_>, at: &At<'_>, list: &parts::MatcherList) -> Option<Vec<(Predicate, OnMatch)>> {
    let at = at.field("matchers");
    let each = list.matchers.iter().enumerate().map(|(index, one)| {
        let at = at.index(index);
        let (Some(condition), Some(then)) = (&one.predicate, &one.on_match) else {
            at.invalid("a predicate and what to do on a match are necessary");
            return None;
        };
        let condition = predicate(&at.field("predicate"), condition);
        let then = on_match(cx, &at.field("on_match"), then);
        Some((condition?, then?))
    });
    let all: Vec<_> = each.collect();
    all.into_iter().collect()
}

fn predicate(at: &At<'_>, found: &parts::matcher_list::Predicate) -> Option<Predicate> {
    use parts::matcher_list::predicate::MatchType;
    match &found.match_type {
        Some(MatchType::SinglePredicate(one)) => single(&at.field("single_predicate"), one),
        Some(MatchType::OrMatcher(list)) => {
            predicates(&at.field("or_matcher"), list).map(Predicate::Or)
        }
        Some(MatchType::AndMatcher(list)) => {
            predicates(&at.field("and_matcher"), list).map(Predicate::And)
        }
        Some(MatchType::NotMatcher(one)) => {
            let inner = predicate(&at.field("not_matcher"), one)?;
            Some(Predicate::Not(Box::new(inner)))
        }
        None => {
            at.invalid("a predicate needs its type");
            None
        }
    }
}

fn predicates(
    at: &At<'_>,
    list: &parts::matcher_list::predicate::PredicateList,
) -> Option<Vec<Predicate>> {
    let at = at.field("predicate");
    let each = list.predicate.iter().enumerate();
    let all: Vec<_> = each.map(|(index, one)| predicate(&at.index(index), one)).collect();
    all.into_iter().collect()
}

fn single(
    at: &At<'_>,
    found: &parts::matcher_list::predicate::SinglePredicate,
) -> Option<Predicate> {
    use parts::matcher_list::predicate::single_predicate::Matcher;
    let input = input(at, found.input.as_ref());
    match &found.matcher {
        Some(Matcher::ValueMatch(value)) => {
            let condition = string(&at.field("value_match"), value);
            Some(Predicate::Value(input?, condition?))
        }
        Some(Matcher::CustomMatch(custom)) => {
            let at = at.field("custom_match");
            let any = extension::<ip_matcher::Ip>(&at, custom)?;
            let at = at.field("typed_config");
            let ip: ip_matcher::Ip = unpack(&at, any)?;
            if !ip.stat_prefix.is_empty() {
                at.field("stat_prefix").no_effect("nothing is counted of an address");
            }
            let at = at.field("cidr_ranges");
            let each = ip.cidr_ranges.iter().enumerate();
            let ranges: Vec<_> = each.map(|(index, range)| cidr(&at.index(index), range)).collect();
            Some(Predicate::Ranges(input?, ranges.into_iter().collect::<Option<_>>()?))
        }
        None => {
            at.invalid("a matcher is necessary");
            None
        }
    }
}

/// `xds.type.matcher.v3.StringMatcher`: the same as Envoy's own.
fn string(at: &At<'_>, found: &xds::StringMatcher) -> Option<StringMatch> {
    use matcher::string_matcher::MatchPattern as Own;
    use xds::string_matcher::MatchPattern as Kind;
    let own = match found.match_pattern.clone() {
        Some(Kind::Exact(text)) => Own::Exact(text),
        Some(Kind::Prefix(text)) => Own::Prefix(text),
        Some(Kind::Suffix(text)) => Own::Suffix(text),
        Some(Kind::Contains(text)) => Own::Contains(text),
        Some(Kind::SafeRegex(pattern)) => {
            Own::SafeRegex(matcher::RegexMatcher { regex: pattern.regex, ..Default::default() })
        }
        _ => {
            at.invalid("a pattern is necessary");
            return None;
        }
    };
    let ignore_case = found.ignore_case;
    pattern::string(at, &matcher::StringMatcher { match_pattern: Some(own), ignore_case })
}

// ---- trees ------------------------------------------------------------------------------------

fn map(cx: &Cx<'_>, at: &At<'_>, found: &parts::MatcherTree) -> Option<Table> {
    use parts::matcher_tree::TreeType;
    let input = input(at, found.input.as_ref());
    match &found.tree_type {
        Some(TreeType::ExactMatchMap(map)) => {
            let entries = entries(cx, &at.field("exact_match_map"), &map.map)?;
            Some(Table::Exact(input?, entries.into_iter().collect()))
        }
        Some(TreeType::PrefixMatchMap(map)) => {
            let mut entries = entries(cx, &at.field("prefix_match_map"), &map.map)?;
            entries.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
            Some(Table::Prefix(input?, entries))
        }
        Some(TreeType::CustomMatch(_)) => {
            at.field("custom_match").unsupported("");
            None
        }
        None => {
            at.invalid("a tree is necessary");
            None
        }
    }
}

fn entries(
    cx: &Cx<'_>,
    at: &At<'_>,
    map: &HashMap<String, parts::OnMatch>,
) -> Option<Vec<(Box<str>, OnMatch)>> {
    let at = at.field("map");
    let mut sorted: Vec<_> = map.iter().collect();
    sorted.sort_by_key(|(key, _)| *key);
    let each = sorted.into_iter();
    let all: Vec<_> = each
        .map(|(key, one)| Some((Box::from(key.as_str()), on_match(cx, &at.key(key), one)?)))
        .collect();
    all.into_iter().collect()
}
