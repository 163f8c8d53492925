//! `xds.type.matcher.v3.Matcher`: what to do with a connection, by what is known of it.
//!
//! Owns the trees and how they are walked. What is found at their ends is the business of whoever
//! has one: a cluster, a filter chain, a verdict.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use crate::listener::{ChainQuery, is_local};
use crate::route::StringMatch;

/// What a matcher looks at, by the name of Envoy's inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// `SourceIPInput`
    SourceIp,
    /// `SourcePortInput`
    SourcePort,
    /// `DestinationIPInput`
    DestinationIp,
    /// `DestinationPortInput`
    DestinationPort,
    /// `DirectSourceIPInput`
    DirectSourceIp,
    /// `SourceTypeInput`: `local`, or nothing.
    SourceType,
    /// `ServerNameInput`
    ServerName,
    /// `TransportProtocolInput`
    TransportProtocol,
    /// `ApplicationProtocolInput`: `'h2','http/1.1'`.
    ApplicationProtocol,
}

/// What to do, or a tree that leads to it (`Matcher`).
#[derive(Debug)]
pub enum Choice<A> {
    /// `action`
    Action(A),
    /// `matcher`
    Tree(Box<Tree<A>>),
}

/// `Matcher`
#[derive(Debug)]
pub struct Tree<A> {
    /// `matcher_list` or `matcher_tree`.
    pub table: Table<A>,
    /// `on_no_match`
    pub otherwise: Option<OnMatch<A>>,
}

/// `OnMatch`
#[derive(Debug)]
pub struct OnMatch<A> {
    /// `matcher` or `action`.
    pub choice: Choice<A>,
    /// `keep_matching`: as if it had not matched.
    pub keep_matching: bool,
}

/// How a tree finds what to do.
#[derive(Debug)]
pub enum Table<A> {
    /// Neither list nor tree.
    Empty,
    /// `matcher_list`: the first that holds.
    List(Vec<(Predicate, OnMatch<A>)>),
    /// `exact_match_map`
    Exact(Input, FxHashMap<Box<str>, OnMatch<A>>),
    /// `prefix_match_map`: the longest first.
    Prefix(Input, Vec<(Box<str>, OnMatch<A>)>),
}

/// `Predicate`
#[derive(Debug)]
pub enum Predicate {
    /// `single_predicate` with a `value_match`.
    Value(Input, StringMatch),
    /// `single_predicate` with the custom matcher `Ip`.
    Ranges(Input, Vec<IpNet>),
    /// `or_matcher`
    Or(Vec<Predicate>),
    /// `and_matcher`
    And(Vec<Predicate>),
    /// `not_matcher`
    Not(Box<Predicate>),
}

impl<A> Choice<A> {
    /// What to do with such a connection, if anything. The depth of the recursion is that of the
    /// configuration.
    pub fn find(&self, query: &ChainQuery<'_>) -> Option<&A> {
        match self {
            Self::Action(action) => Some(action),
            Self::Tree(tree) => tree.find(query),
        }
    }

    /// Calls `visit` with each action that may be found.
    pub fn each_action(&self, visit: &mut dyn FnMut(&A)) {
        match self {
            Self::Action(action) => visit(action),
            Self::Tree(tree) => tree.each_action(visit),
        }
    }
}

impl<A> OnMatch<A> {
    fn find(&self, query: &ChainQuery<'_>) -> Option<&A> {
        self.choice.find(query).filter(|_| !self.keep_matching)
    }
}

impl<A> Tree<A> {
    /// What to do. As in Envoy, what leads to nothing has not matched.
    pub fn find(&self, query: &ChainQuery<'_>) -> Option<&A> {
        let found = match &self.table {
            Table::Empty => None,
            Table::List(list) => list.iter().find_map(|(predicate, on_match)| {
                predicate.holds(query).then(|| on_match.find(query))?
            }),
            Table::Exact(input, map) => {
                input.text(query).and_then(|text| map.get(&*text)?.find(query))
            }
            Table::Prefix(input, list) => input.text(query).and_then(|text| {
                let mut fitting = list.iter().filter(|(prefix, _)| text.starts_with(&**prefix));
                fitting.find_map(|(_, on_match)| on_match.find(query))
            }),
        };
        found.or_else(|| self.otherwise.as_ref()?.find(query))
    }

    /// Calls `visit` with each action that may be found.
    pub fn each_action(&self, visit: &mut dyn FnMut(&A)) {
        let mut on_match = |one: &OnMatch<A>| one.choice.each_action(visit);
        match &self.table {
            Table::Empty => {}
            Table::List(list) => list.iter().for_each(|(_, one)| on_match(one)),
            Table::Exact(_, map) => map.values().for_each(on_match),
            Table::Prefix(_, list) => list.iter().for_each(|(_, one)| on_match(one)),
        }
        if let Some(otherwise) = &self.otherwise {
            otherwise.choice.each_action(visit);
        }
    }
}

impl Predicate {
    fn holds(&self, query: &ChainQuery<'_>) -> bool {
        match self {
            Self::Value(input, condition) => {
                input.text(query).is_some_and(|text| condition.matches(text.as_bytes()))
            }
            Self::Ranges(input, ranges) => {
                let ip = input.ip(query);
                ip.is_some_and(|ip| ranges.iter().any(|range| range.contains(&ip)))
            }
            Self::Or(any) => any.iter().any(|one| one.holds(query)),
            Self::And(all) => all.iter().all(|one| one.holds(query)),
            Self::Not(one) => !one.holds(query),
        }
    }
}

impl Input {
    fn address(self, query: &ChainQuery<'_>) -> Option<SocketAddr> {
        match self {
            Self::SourceIp | Self::SourcePort => query.source,
            Self::DestinationIp | Self::DestinationPort => query.destination,
            Self::DirectSourceIp => query.direct_source,
            _ => None,
        }
    }

    /// IPv4 clients of a socket that takes both families are IPv4 clients.
    fn ip(self, query: &ChainQuery<'_>) -> Option<IpAddr> {
        match self {
            Self::SourcePort | Self::DestinationPort => None,
            _ => self.address(query).map(|address| address.ip().to_canonical()),
        }
    }

    /// As Envoy hands it to its matchers; `None` where there is nothing to match.
    fn text<'q>(self, query: &ChainQuery<'q>) -> Option<Cow<'q, str>> {
        let some = |text: &'q str| Some(text).filter(|text| !text.is_empty()).map(Cow::Borrowed);
        match self {
            Self::SourcePort | Self::DestinationPort => {
                self.address(query).map(|address| address.port().to_string().into())
            }
            Self::SourceIp | Self::DestinationIp | Self::DirectSourceIp => {
                self.ip(query).map(|ip| ip.to_string().into())
            }
            Self::SourceType => is_local(query).then_some(Cow::Borrowed("local")),
            Self::ServerName => some(query.server_name),
            Self::TransportProtocol => some(query.transport_protocol),
            Self::ApplicationProtocol => {
                let all = query.application_protocols;
                (!all.is_empty()).then(|| format!("'{}'", all.join("','")).into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Name = Box<str>;

    fn to(name: &str) -> OnMatch<Name> {
        OnMatch { choice: Choice::Action(name.into()), keep_matching: false }
    }

    fn tree(table: Table<Name>, otherwise: Option<OnMatch<Name>>) -> Choice<Name> {
        Choice::Tree(Box::new(Tree { table, otherwise }))
    }

    fn query(source: &str) -> ChainQuery<'static> {
        let source = source.parse().ok();
        ChainQuery {
            destination: "127.0.0.1:53".parse().ok(),
            source,
            direct_source: source,
            server_name: "",
            transport_protocol: "",
            application_protocols: &[],
        }
    }

    fn found<'c>(choice: &'c Choice<Name>, source: &str) -> Option<&'c str> {
        choice.find(&query(source)).map(|name| &**name)
    }

    #[test]
    fn what_a_client_hello_tells_is_matched() {
        let exact = |input, key: &str| {
            let map = [(key.into(), to("yes"))].into_iter().collect();
            tree(Table::Exact(input, map), None)
        };
        let hello = ChainQuery {
            server_name: "a.example",
            transport_protocol: "tls",
            application_protocols: &["h2", "http/1.1"],
            ..query("10.0.0.1:9")
        };
        for (input, key) in [
            (Input::ServerName, "a.example"),
            (Input::TransportProtocol, "tls"),
            (Input::ApplicationProtocol, "'h2','http/1.1'"),
            (Input::DirectSourceIp, "10.0.0.1"),
        ] {
            assert!(exact(input, key).find(&hello).is_some(), "{input:?}");
        }
        assert!(exact(Input::SourceType, "local").find(&hello).is_none());
        assert!(exact(Input::SourceType, "local").find(&query("127.0.0.1:9")).is_some());
        // What is not there equals nothing, not even the empty text.
        assert!(exact(Input::ServerName, "").find(&query("10.0.0.1:9")).is_none());
    }

    #[test]
    fn ports_and_addresses_are_compared_as_text() {
        let exact = |key: &str, name: &str| [(key.into(), to(name))].into_iter().collect();
        let ports = tree(Table::Exact(Input::SourcePort, exact("9", "nine")), Some(to("other")));
        assert_eq!(found(&ports, "10.0.0.1:9"), Some("nine"));
        assert_eq!(found(&ports, "10.0.0.1:90"), Some("other"));
        let hosts = tree(Table::Exact(Input::SourceIp, exact("10.0.0.1", "host")), None);
        assert_eq!(found(&hosts, "[::ffff:10.0.0.1]:9"), Some("host"));
        assert_eq!(found(&hosts, "10.0.0.2:9"), None);
        let longest = "[1111:2222:3333:4444:5555:6666:7777:8888]:65535";
        assert_eq!(found(&hosts, longest), None);
        let prefixes = vec![("10.0.".into(), to("long")), ("10.".into(), to("short"))];
        let prefixes = tree(Table::Prefix(Input::SourceIp, prefixes), None);
        assert_eq!(found(&prefixes, "10.0.0.1:9"), Some("long"));
        assert_eq!(found(&prefixes, "10.1.0.1:9"), Some("short"));
    }

    #[test]
    fn what_leads_to_nothing_has_not_matched() {
        let any = || Predicate::Value(Input::SourceIp, StringMatch::prefix("", false));
        let empty = OnMatch { choice: tree(Table::Empty, None), keep_matching: false };
        let kept = OnMatch { keep_matching: true, ..to("kept") };
        let list = vec![(any(), empty), (any(), kept), (any(), to("third"))];
        assert_eq!(found(&tree(Table::List(list), None), "10.0.0.1:9"), Some("third"));
    }

    #[test]
    fn conditions_are_put_together() {
        let net = |text: &str| vec![text.parse().expect("a range")];
        let in_ten = || Predicate::Ranges(Input::SourceIp, net("10.0.0.0/8"));
        let from_nine = || Predicate::Value(Input::SourcePort, StringMatch::exact("9", false));
        let both = Predicate::And(vec![in_ten(), from_nine()]);
        let one = Predicate::Or(vec![in_ten(), from_nine()]);
        let to_53 = Predicate::Value(Input::DestinationPort, StringMatch::exact("53", false));
        let none = Predicate::And(vec![Predicate::Not(Box::new(in_ten())), to_53]);
        let list = vec![(both, to("both")), (one, to("one")), (none, to("none"))];
        let list = tree(Table::List(list), None);
        assert_eq!(found(&list, "10.0.0.1:9"), Some("both"));
        assert_eq!(found(&list, "10.0.0.1:8"), Some("one"));
        assert_eq!(found(&list, "11.0.0.1:9"), Some("one"));
        assert_eq!(found(&list, "11.0.0.1:8"), Some("none"));
    }
}
