//! Which cluster takes a session: the part of `xds.type.matcher.v3.Matcher` that speaks of
//! addresses and ports.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use crate::cluster::ClusterRef;
use crate::route::StringMatch;

/// Between whom a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The client.
    pub source: SocketAddr,
    /// Where it sends its datagrams.
    pub destination: SocketAddr,
}

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
}

/// A cluster, or a tree that leads to one (`Matcher`).
#[derive(Debug)]
pub enum Choice {
    /// `Route.cluster`
    Cluster(ClusterRef),
    /// `matcher`
    Tree(Box<Tree>),
}

/// `Matcher`
#[derive(Debug)]
pub struct Tree {
    /// `matcher_list` or `matcher_tree`.
    pub table: Table,
    /// `on_no_match`
    pub otherwise: Option<OnMatch>,
}

/// `OnMatch`
#[derive(Debug)]
pub struct OnMatch {
    /// `matcher` or `action`.
    pub choice: Choice,
    /// `keep_matching`: as if it had not matched.
    pub keep_matching: bool,
}

/// How a tree finds what to do.
#[derive(Debug)]
pub enum Table {
    /// Neither list nor tree.
    Empty,
    /// `matcher_list`: the first that holds.
    List(Vec<(Predicate, OnMatch)>),
    /// `exact_match_map`
    Exact(Input, FxHashMap<Box<str>, OnMatch>),
    /// `prefix_match_map`: the longest first.
    Prefix(Input, Vec<(Box<str>, OnMatch)>),
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

impl Choice {
    /// The cluster of a session between `addresses`, if there is one. The depth of the recursion
    /// is that of the configuration.
    pub fn find(&self, addresses: &Addresses) -> Option<&ClusterRef> {
        match self {
            Self::Cluster(cluster) => Some(cluster),
            Self::Tree(tree) => tree.find(addresses),
        }
    }

    /// Calls `visit` with each cluster that may be found.
    pub fn each_cluster(&self, visit: &mut dyn FnMut(&ClusterRef)) {
        match self {
            Self::Cluster(cluster) => visit(cluster),
            Self::Tree(tree) => {
                let mut on_match = |one: &OnMatch| one.choice.each_cluster(visit);
                match &tree.table {
                    Table::Empty => {}
                    Table::List(list) => list.iter().for_each(|(_, one)| on_match(one)),
                    Table::Exact(_, map) => map.values().for_each(on_match),
                    Table::Prefix(_, list) => list.iter().for_each(|(_, one)| on_match(one)),
                }
                if let Some(otherwise) = &tree.otherwise {
                    otherwise.choice.each_cluster(visit);
                }
            }
        }
    }
}

impl OnMatch {
    fn find(&self, addresses: &Addresses) -> Option<&ClusterRef> {
        self.choice.find(addresses).filter(|_| !self.keep_matching)
    }
}

impl Tree {
    /// As in Envoy, what leads to nothing has not matched.
    fn find(&self, addresses: &Addresses) -> Option<&ClusterRef> {
        let found = match &self.table {
            Table::Empty => None,
            Table::List(list) => list.iter().find_map(|(predicate, on_match)| {
                predicate.holds(addresses).then(|| on_match.find(addresses))?
            }),
            Table::Exact(input, map) => {
                map.get(input.text(addresses).as_str()).and_then(|one| one.find(addresses))
            }
            Table::Prefix(input, list) => {
                let text = input.text(addresses);
                let mut fitting = list.iter().filter(|(prefix, _)| text.starts_with(&**prefix));
                fitting.find_map(|(_, on_match)| on_match.find(addresses))
            }
        };
        found.or_else(|| self.otherwise.as_ref()?.find(addresses))
    }
}

impl Predicate {
    fn holds(&self, addresses: &Addresses) -> bool {
        match self {
            Self::Value(input, condition) => condition.matches(input.text(addresses).as_bytes()),
            Self::Ranges(input, ranges) => {
                let ip = input.ip(addresses);
                ip.is_some_and(|ip| ranges.iter().any(|range| range.contains(&ip)))
            }
            Self::Or(any) => any.iter().any(|one| one.holds(addresses)),
            Self::And(all) => all.iter().all(|one| one.holds(addresses)),
            Self::Not(one) => !one.holds(addresses),
        }
    }
}

impl Input {
    /// IPv4 clients of a socket that takes both families are IPv4 clients.
    fn ip(self, addresses: &Addresses) -> Option<IpAddr> {
        match self {
            Self::SourceIp => Some(addresses.source.ip().to_canonical()),
            Self::DestinationIp => Some(addresses.destination.ip().to_canonical()),
            Self::SourcePort | Self::DestinationPort => None,
        }
    }

    /// As Envoy hands it to its matchers.
    fn text(self, addresses: &Addresses) -> String {
        match self {
            Self::SourcePort => addresses.source.port().to_string(),
            Self::DestinationPort => addresses.destination.port().to_string(),
            Self::SourceIp => addresses.source.ip().to_canonical().to_string(),
            Self::DestinationIp => addresses.destination.ip().to_canonical().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ClusterId;

    fn to(name: &str) -> OnMatch {
        let cluster = ClusterRef { name: name.into(), id: ClusterId(0) };
        OnMatch { choice: Choice::Cluster(cluster), keep_matching: false }
    }

    fn tree(table: Table, otherwise: Option<OnMatch>) -> Choice {
        Choice::Tree(Box::new(Tree { table, otherwise }))
    }

    fn found<'c>(choice: &'c Choice, source: &str) -> Option<&'c str> {
        let addresses = Addresses {
            source: source.parse().expect("an address"),
            destination: "127.0.0.1:53".parse().expect("an address"),
        };
        choice.find(&addresses).map(|cluster| &*cluster.name)
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
