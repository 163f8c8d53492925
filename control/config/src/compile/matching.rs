//! From `xds.type.matcher.v3` to trees, for whoever has a matcher.

use std::collections::HashMap;

use ringway_model::matching::{Choice, Input, OnMatch, Predicate, Table, Tree};
use ringway_model::route::StringMatch;

use super::at::At;
use super::pattern;
use super::proto::{google, ip_matcher, matcher, network_inputs, xds, xds_core};
use super::udp::unregistered;
use super::value::{cidr, is, unpack};
use xds::matcher as parts;

/// What may stand in a tree, beside what all trees have.
pub(super) struct Rules<'r, A> {
    /// Compiles an action.
    pub(super) action: &'r dyn Fn(&At<'_>, &xds_core::TypedExtensionConfig) -> Option<A>,
    /// The input that a message asks for, if it may be asked here.
    pub(super) input: fn(&google::Any) -> Option<Input>,
}

/// The depth is bounded by that of the message.
pub(super) fn tree<A>(
    rules: &Rules<'_, A>,
    at: &At<'_>,
    matcher: &xds::Matcher,
) -> Option<Tree<A>> {
    let table = match &matcher.matcher_type {
        None => Some(Table::Empty),
        Some(parts::MatcherType::MatcherList(found)) => {
            list(rules, &at.field("matcher_list"), found).map(Table::List)
        }
        Some(parts::MatcherType::MatcherTree(found)) => {
            map(rules, &at.field("matcher_tree"), found)
        }
    };
    let otherwise = match &matcher.on_no_match {
        Some(one) => Some(on_match(rules, &at.field("on_no_match"), one)?),
        None => None,
    };
    Some(Tree { table: table?, otherwise })
}

fn on_match<A>(rules: &Rules<'_, A>, at: &At<'_>, found: &parts::OnMatch) -> Option<OnMatch<A>> {
    use parts::on_match::OnMatch as Kind;
    let choice = match &found.on_match {
        Some(Kind::Matcher(matcher)) => {
            Choice::Tree(Box::new(tree(rules, &at.field("matcher"), matcher)?))
        }
        Some(Kind::Action(action)) => Choice::Action((rules.action)(&at.field("action"), action)?),
        None => {
            at.invalid("an action or a matcher is necessary");
            return None;
        }
    };
    Some(OnMatch { choice, keep_matching: found.keep_matching })
}

/// The message of an extension that must be of one type.
pub(super) fn extension<'e, M: prost::Name>(
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

fn input<A>(
    rules: &Rules<'_, A>,
    at: &At<'_>,
    config: Option<&xds_core::TypedExtensionConfig>,
) -> Option<Input> {
    let at = at.field("input");
    let Some(config) = config else {
        at.invalid("an input is necessary");
        return None;
    };
    let any = typed(&at, config)?;
    let input = (rules.input)(any);
    if input.is_none() {
        at.field("typed_config").invalid(unregistered(&config.name, any));
    }
    input
}

/// What can be asked of any two addresses.
pub(super) fn input_of_addresses(any: &google::Any) -> Option<Input> {
    Some(if is::<network_inputs::SourceIpInput>(any) {
        Input::SourceIp
    } else if is::<network_inputs::SourcePortInput>(any) {
        Input::SourcePort
    } else if is::<network_inputs::DestinationIpInput>(any) {
        Input::DestinationIp
    } else if is::<network_inputs::DestinationPortInput>(any) {
        Input::DestinationPort
    } else {
        return None;
    })
}

/// What can be asked of a connection.
pub(super) fn input_of_connection(any: &google::Any) -> Option<Input> {
    if let Some(input) = input_of_addresses(any) {
        return Some(input);
    }
    Some(if is::<network_inputs::DirectSourceIpInput>(any) {
        Input::DirectSourceIp
    } else if is::<network_inputs::SourceTypeInput>(any) {
        Input::SourceType
    } else if is::<network_inputs::ServerNameInput>(any) {
        Input::ServerName
    } else if is::<network_inputs::TransportProtocolInput>(any) {
        Input::TransportProtocol
    } else if is::<network_inputs::ApplicationProtocolInput>(any) {
        Input::ApplicationProtocol
    } else {
        return None;
    })
}

// ---- lists ------------------------------------------------------------------------------------

fn list<A>(
    rules: &Rules<'_, A>,
    at: &At<'_>,
    list: &parts::MatcherList,
) -> Option<Vec<(Predicate, OnMatch<A>)>> {
    let at = at.field("matchers");
    let each = list.matchers.iter().enumerate().map(|(index, one)| {
        let at = at.index(index);
        let (Some(condition), Some(then)) = (&one.predicate, &one.on_match) else {
            at.invalid("a predicate and what to do on a match are necessary");
            return None;
        };
        let condition = predicate(rules, &at.field("predicate"), condition);
        let then = on_match(rules, &at.field("on_match"), then);
        Some((condition?, then?))
    });
    let all: Vec<_> = each.collect();
    all.into_iter().collect()
}

fn predicate<A>(
    rules: &Rules<'_, A>,
    at: &At<'_>,
    found: &parts::matcher_list::Predicate,
) -> Option<Predicate> {
    use parts::matcher_list::predicate::MatchType;
    match &found.match_type {
        Some(MatchType::SinglePredicate(one)) => single(rules, &at.field("single_predicate"), one),
        Some(MatchType::OrMatcher(list)) => {
            predicates(rules, &at.field("or_matcher"), list).map(Predicate::Or)
        }
        Some(MatchType::AndMatcher(list)) => {
            predicates(rules, &at.field("and_matcher"), list).map(Predicate::And)
        }
        Some(MatchType::NotMatcher(one)) => {
            let inner = predicate(rules, &at.field("not_matcher"), one)?;
            Some(Predicate::Not(Box::new(inner)))
        }
        None => {
            at.invalid("a predicate needs its type");
            None
        }
    }
}

fn predicates<A>(
    rules: &Rules<'_, A>,
    at: &At<'_>,
    list: &parts::matcher_list::predicate::PredicateList,
) -> Option<Vec<Predicate>> {
    let at = at.field("predicate");
    let each = list.predicate.iter().enumerate();
    let all: Vec<_> = each.map(|(index, one)| predicate(rules, &at.index(index), one)).collect();
    all.into_iter().collect()
}

fn single<A>(
    rules: &Rules<'_, A>,
    at: &At<'_>,
    found: &parts::matcher_list::predicate::SinglePredicate,
) -> Option<Predicate> {
    use parts::matcher_list::predicate::single_predicate::Matcher;
    let input = input(rules, at, found.input.as_ref());
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

fn map<A>(rules: &Rules<'_, A>, at: &At<'_>, found: &parts::MatcherTree) -> Option<Table<A>> {
    use parts::matcher_tree::TreeType;
    let input = input(rules, at, found.input.as_ref());
    match &found.tree_type {
        Some(TreeType::ExactMatchMap(map)) => {
            let entries = entries(rules, &at.field("exact_match_map"), &map.map)?;
            Some(Table::Exact(input?, entries.into_iter().collect()))
        }
        Some(TreeType::PrefixMatchMap(map)) => {
            let mut entries = entries(rules, &at.field("prefix_match_map"), &map.map)?;
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

fn entries<A>(
    rules: &Rules<'_, A>,
    at: &At<'_>,
    map: &HashMap<String, parts::OnMatch>,
) -> Option<Vec<(Box<str>, OnMatch<A>)>> {
    let at = at.field("map");
    let mut sorted: Vec<_> = map.iter().collect();
    sorted.sort_by_key(|(key, _)| *key);
    let each = sorted.into_iter();
    let all: Vec<_> = each
        .map(|(key, one)| Some((Box::from(key.as_str()), on_match(rules, &at.key(key), one)?)))
        .collect();
    all.into_iter().collect()
}
