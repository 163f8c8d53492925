//! Who may do what (Envoy `config.rbac.v3.RBAC`), compiled.
//!
//! Owns: policies, and whether one of them matches. Does not own what follows from that: the
//! network filter closes the connection, an HTTP filter would answer.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use ipnet::IpNet;
use ringway_tls::Handshake;

use crate::matching::Tree;
use crate::route::StringMatch;
use crate::stream::ConnectionInfo;

/// A list of policies and what a match means.
#[derive(Debug)]
pub struct Policies {
    /// `action`.
    pub action: Action,
    policies: Vec<Policy>,
}

/// `RBAC.Action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Only what matches a policy may pass.
    Allow,
    /// What matches a policy may not pass.
    Deny,
    /// Everything passes; the match is for whoever reads logs.
    Log,
}

/// One policy: one of the permissions and one of the principals must match.
#[derive(Debug)]
pub struct Policy {
    /// Its key in `policies`.
    pub name: Box<str>,
    /// `permissions`.
    pub permissions: Vec<Rule>,
    /// `principals`.
    pub principals: Vec<Rule>,
}

/// `Permission` and `Principal`: a condition on a connection.
#[derive(Debug)]
pub enum Rule {
    /// `any`
    Any,
    /// `not_rule`, `not_id`
    Not(Box<Rule>),
    /// `and_rules`, `and_ids`
    All(Vec<Rule>),
    /// `or_rules`, `or_ids`
    Either(Vec<Rule>),
    /// `destination_ip`
    DestinationIp(IpNet),
    /// `destination_port` and `destination_port_range`, whose end is not in it.
    DestinationPort(Range<u32>),
    /// `requested_server_name`: that of the ClientHello, as `tls_inspector` saw it.
    ServerName(StringMatch),
    /// `source_ip`
    SourceIp(IpNet),
    /// `direct_remote_ip`
    DirectRemoteIp(IpNet),
    /// `remote_ip`
    RemoteIp(IpNet),
    /// `authenticated`: a client that speaks TLS, and of that name if there is one.
    Authenticated(Option<StringMatch>),
}

/// `Action` of a `matcher`: what becomes of a connection, and the name of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// `name`, which stands for that of a policy.
    pub name: Box<str>,
    /// `action`.
    pub action: Action,
}

/// How it is found out what becomes of a connection.
#[derive(Debug)]
pub enum Judge {
    /// `rules`
    Policies(Policies),
    /// `matcher`
    Tree(Box<Tree<Ruling>>),
}

/// What rules look at.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The connection.
    pub connection: &'a ConnectionInfo,
    /// The client's address as the caller trusts it: of the PROXY protocol, or of
    /// `x-forwarded-for`.
    pub remote: Option<SocketAddr>,
}

/// What policies say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// Whether it may pass.
    pub allowed: bool,
    /// The policy that matched.
    pub policy: Option<&'a str>,
}

impl Judge {
    /// Whether this may pass, and by what name. As in Envoy, what no matcher knows may not.
    pub fn judge(&self, evidence: &Evidence<'_>) -> Verdict<'_> {
        match self {
            Self::Policies(policies) => policies.judge(evidence),
            Self::Tree(tree) => {
                let found = evidence.connection.ask(|query| tree.find(query));
                Verdict {
                    allowed: found.is_some_and(|ruling| ruling.action != Action::Deny),
                    policy: found.map(|ruling| &*ruling.name),
                }
            }
        }
    }
}

impl Policies {
    /// As Envoy, which keeps them in the order of their names: the first that matches counts.
    pub fn new(action: Action, mut policies: Vec<Policy>) -> Self {
        policies.sort_by(|one, other| one.name.cmp(&other.name));
        Self { action, policies }
    }

    /// Whether this may pass, and by which policy.
    pub fn judge(&self, evidence: &Evidence<'_>) -> Verdict<'_> {
        let matching = self.policies.iter().find(|policy| policy.matches(evidence));
        let allowed = match self.action {
            Action::Allow => matching.is_some(),
            Action::Deny => matching.is_none(),
            Action::Log => true,
        };
        Verdict { allowed, policy: matching.map(|policy| &*policy.name) }
    }
}

impl Policy {
    fn matches(&self, evidence: &Evidence<'_>) -> bool {
        let any = |rules: &[Rule]| rules.iter().any(|rule| rule.matches(evidence));
        any(&self.permissions) && any(&self.principals)
    }
}

impl Rule {
    /// The nesting is bounded by that of the configuration's decoder.
    fn matches(&self, evidence: &Evidence<'_>) -> bool {
        let connection = evidence.connection;
        match self {
            Self::Any => true,
            Self::Not(rule) => !rule.matches(evidence),
            Self::All(rules) => rules.iter().all(|rule| rule.matches(evidence)),
            Self::Either(rules) => rules.iter().any(|rule| rule.matches(evidence)),
            Self::DestinationIp(range) => is_in(range, connection.local.ip()),
            Self::DestinationPort(range) => {
                let port = connection.local.ip().map(|address| u32::from(address.port()));
                port.is_some_and(|port| range.contains(&port))
            }
            Self::ServerName(name) => {
                let preamble = connection.preamble.as_deref();
                name.matches(preamble.map_or(&[], |preamble| preamble.server_name.as_bytes()))
            }
            Self::SourceIp(range) => is_in(range, connection.remote().ip()),
            Self::DirectRemoteIp(range) => is_in(range, connection.direct_remote.ip()),
            Self::RemoteIp(range) => is_in(range, evidence.remote),
            Self::Authenticated(name) => {
                let handshake = connection.tls.as_deref();
                handshake.is_some_and(|handshake| is_authenticated(handshake, name.as_ref()))
            }
        }
    }
}

fn is_in(range: &IpNet, address: Option<SocketAddr>) -> bool {
    let ip: Option<IpAddr> = address.map(|address| address.ip().to_canonical());
    ip.is_some_and(|ip| range.contains(&ip))
}

/// The name is one of the URIs of the client's certificate, of its DNS names, or its subject.
fn is_authenticated(handshake: &Handshake, name: Option<&StringMatch>) -> bool {
    let Some(name) = name else { return true };
    let Some(leaf) = handshake.peer.leaf() else { return name.matches(b"") };
    let mut names = leaf.names.uri.iter().chain(&leaf.names.dns);
    names.any(|one| name.matches(one.as_bytes())) || name.matches(leaf.subject.as_bytes())
}

#[cfg(test)]
mod tests;
