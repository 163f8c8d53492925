use std::rc::Rc;
use std::time::Instant;

use super::*;
use crate::address::Address;
use crate::stream::Preamble;

fn connection(local: &str, remote: &str, server_name: &str) -> ConnectionInfo {
    let preamble = Preamble { server_name: server_name.into(), ..Preamble::default() };
    ConnectionInfo {
        id: 1,
        local: Address::Ip(local.parse().expect("an address")),
        direct_remote: Address::Ip(remote.parse().expect("an address")),
        listener: "main".into(),
        tls: None,
        transport_failure: None,
        start: Instant::now(),
        preamble: Some(Rc::new(preamble)),
        notes: None,
        chain: None,
        socket_local: None,
    }
}

fn holds(rule: &Rule) -> bool {
    let connection = connection("10.0.0.1:443", "[::ffff:192.0.2.7]:999", "a.example");
    let remote = Some("203.0.113.9:1".parse().expect("an address"));
    rule.matches(&Evidence { connection: &connection, remote })
}

fn net(range: &str) -> IpNet {
    range.parse().expect("a range")
}

#[test]
fn rules_look_at_addresses_and_names() {
    assert!(holds(&Rule::DestinationIp(net("10.0.0.0/8"))));
    assert!(!holds(&Rule::DestinationIp(net("11.0.0.0/8"))));
    assert!(holds(&Rule::DestinationPort(443..444)));
    assert!(!holds(&Rule::DestinationPort(400..443)), "the end is not part of the range");
    assert!(holds(&Rule::SourceIp(net("192.0.2.0/24"))), "a mapped address is an IPv4 address");
    assert!(holds(&Rule::DirectRemoteIp(net("192.0.2.7/32"))));
    assert!(holds(&Rule::RemoteIp(net("203.0.113.0/24"))));
    assert!(!holds(&Rule::RemoteIp(net("192.0.2.0/24"))));
    assert!(holds(&Rule::ServerName(StringMatch::suffix(".example", false))));
    assert!(!holds(&Rule::ServerName(StringMatch::exact("b.example", false))));
    assert!(!holds(&Rule::Authenticated(None)), "without TLS nobody is authenticated");
}

#[test]
fn rules_combine() {
    let no = || Rule::Not(Box::new(Rule::Any));
    assert!(!holds(&no()));
    assert!(holds(&Rule::Either(vec![no(), Rule::Any])));
    assert!(!holds(&Rule::All(vec![no(), Rule::Any])));
}

#[test]
fn authenticated_is_who_speaks_tls() {
    let mut connection = connection("10.0.0.1:443", "192.0.2.7:999", "");
    connection.tls = Some(Rc::default());
    let judge = |rule: &Rule| rule.matches(&Evidence { connection: &connection, remote: None });
    assert!(judge(&Rule::Authenticated(None)));
    assert!(!judge(&Rule::Authenticated(Some(StringMatch::exact("spiffe://a", false)))));
    assert!(judge(&Rule::Authenticated(Some(StringMatch::exact("", false)))));
}

fn policies(action: Action, names: &[(&str, bool)]) -> Policies {
    let policy = |(name, matches): &(&str, bool)| Policy {
        name: (*name).into(),
        permissions: vec![Rule::Any],
        principals: vec![if *matches { Rule::Any } else { Rule::Not(Box::new(Rule::Any)) }],
    };
    Policies::new(action, names.iter().map(policy).collect())
}

#[test]
fn the_first_policy_by_name_counts() {
    let connection = connection("10.0.0.1:443", "192.0.2.7:999", "");
    let evidence = Evidence { connection: &connection, remote: None };
    let named = [("b", true), ("a", true), ("0", false)];
    for (action, allowed) in [(Action::Allow, true), (Action::Deny, false), (Action::Log, true)] {
        let policies = policies(action, &named);
        assert_eq!(policies.judge(&evidence), Verdict { allowed, policy: Some("a") });
    }
    for (action, allowed) in [(Action::Allow, false), (Action::Deny, true), (Action::Log, true)] {
        let policies = policies(action, &[("0", false)]);
        assert_eq!(policies.judge(&evidence), Verdict { allowed, policy: None });
    }
}
