//! Role-based access control (Envoy `config.rbac.v3`), of what is known of a connection.

use std::ops::Range;

use ringway_model::network::Rbac;
use ringway_model::rbac::{Action, Judge, Policies, Policy, Rule, Ruling};

use super::at::At;
use super::matching::{self, Rules};
use super::proto::{network_rbac, rbac, typed, xds, xds_core};
use super::value::{cidr, duration, unpack};
use super::{Cx, layer4_stats, pattern};

/// `envoy.filters.network.rbac`.
pub(super) fn network(cx: &Cx<'_>, at: &At<'_>, config: &network_rbac::Rbac) -> Option<Rbac> {
    use network_rbac::rbac::EnforcementType;
    let mark = at.mark();
    let rules = judge(at, ("rules", &config.rules), ("matcher", &config.matcher));
    let shadow_rules = judge(
        at,
        ("shadow_rules", &config.shadow_rules),
        ("shadow_matcher", &config.shadow_matcher),
    );
    let delay = duration(&at.field("delay_deny"), config.delay_deny);
    let (prefix, shadow) = (&config.stat_prefix, &config.shadow_rules_stat_prefix);
    let stats = layer4_stats::rbac(&cx.env.catalog, prefix, shadow);
    at.is_clean_since(mark).then(|| Rbac {
        rules,
        shadow_rules,
        continuous: config.enforcement_type() == EnforcementType::Continuous,
        // As in Envoy, which counts in milliseconds.
        delay_deny: delay.filter(|delay| delay.as_millis() > 0),
        stats: stats.0,
        shadow_stats: stats.1,
        shadow_keys: (
            format!("{shadow}shadow_effective_policy_id").into(),
            format!("{shadow}shadow_engine_result").into(),
        ),
    })
}

/// A matcher takes the place of rules.
fn judge(
    at: &At<'_>,
    (rules_field, rules): (&'static str, &Option<rbac::Rbac>),
    (matcher_field, matcher): (&'static str, &Option<xds::Matcher>),
) -> Option<Judge> {
    let Some(matcher) = matcher else {
        let rules = rules.as_ref()?;
        return Some(Judge::Policies(policies(&at.field(rules_field), rules)));
    };
    if rules.is_some() {
        at.field(rules_field).no_effect("the matcher takes its place");
    }
    let rules = Rules { action: &ruling, input: matching::input_of_connection };
    let tree = matching::tree(&rules, &at.field(matcher_field), matcher)?;
    Some(Judge::Tree(Box::new(tree)))
}

fn ruling(at: &At<'_>, action: &xds_core::TypedExtensionConfig) -> Option<Ruling> {
    let any = matching::extension::<rbac::Action>(at, action)?;
    let found: rbac::Action = unpack(&at.field("typed_config"), any)?;
    let action = match found.action() {
        rbac::rbac::Action::Allow => Action::Allow,
        rbac::rbac::Action::Deny => Action::Deny,
        rbac::rbac::Action::Log => Action::Log,
    };
    Some(Ruling { name: found.name.into(), action })
}

fn policies(at: &At<'_>, rules: &rbac::Rbac) -> Policies {
    let action = match rules.action() {
        rbac::rbac::Action::Allow => Action::Allow,
        rbac::rbac::Action::Deny => Action::Deny,
        rbac::rbac::Action::Log => Action::Log,
    };
    let at = at.field("policies");
    let each = rules.policies.iter().filter_map(|(name, one)| policy(&at.key(name), name, one));
    Policies::new(action, each.collect())
}

fn policy(at: &At<'_>, name: &str, policy: &rbac::Policy) -> Option<Policy> {
    let permissions = each(&at.field("permissions"), &policy.permissions, permission);
    let principals = each(&at.field("principals"), &policy.principals, principal);
    Some(Policy { name: name.into(), permissions: permissions?, principals: principals? })
}

/// All of a list, or none if one of them is wrong.
fn each<T>(
    at: &At<'_>,
    list: &[T],
    compile: impl Fn(&At<'_>, &T) -> Option<Rule>,
) -> Option<Vec<Rule>> {
    let all: Vec<Option<Rule>> =
        list.iter().enumerate().map(|(index, one)| compile(&at.index(index), one)).collect();
    all.into_iter().collect()
}

fn permission(at: &At<'_>, permission: &rbac::Permission) -> Option<Rule> {
    use rbac::permission::Rule as Kind;
    let set = |field, set: &rbac::permission::Set| {
        each(&at.field(field).field("rules"), &set.rules, self::permission)
    };
    match permission.rule.as_ref()? {
        Kind::Any(_) => Some(Rule::Any),
        Kind::AndRules(rules) => set("and_rules", rules).map(Rule::All),
        Kind::OrRules(rules) => set("or_rules", rules).map(Rule::Either),
        Kind::NotRule(rule) => {
            self::permission(&at.field("not_rule"), rule).map(|rule| Rule::Not(Box::new(rule)))
        }
        Kind::DestinationIp(range) => {
            cidr(&at.field("destination_ip"), range).map(Rule::DestinationIp)
        }
        Kind::DestinationPort(port) => Some(Rule::DestinationPort(*port..port + 1)),
        Kind::DestinationPortRange(range) => {
            port_range(&at.field("destination_port_range"), range).map(Rule::DestinationPort)
        }
        Kind::RequestedServerName(name) => {
            pattern::string(&at.field("requested_server_name"), name).map(Rule::ServerName)
        }
        Kind::Header(_) => {
            at.field("header").invalid(NO_HEADERS);
            None
        }
        // The support table has refused the others.
        _ => None,
    }
}

fn principal(at: &At<'_>, principal: &rbac::Principal) -> Option<Rule> {
    use rbac::principal::Identifier as Kind;
    let set = |field, set: &rbac::principal::Set| {
        each(&at.field(field).field("ids"), &set.ids, self::principal)
    };
    match principal.identifier.as_ref()? {
        Kind::Any(_) => Some(Rule::Any),
        Kind::AndIds(ids) => set("and_ids", ids).map(Rule::All),
        Kind::OrIds(ids) => set("or_ids", ids).map(Rule::Either),
        Kind::NotId(id) => {
            self::principal(&at.field("not_id"), id).map(|rule| Rule::Not(Box::new(rule)))
        }
        Kind::SourceIp(range) => cidr(&at.field("source_ip"), range).map(Rule::SourceIp),
        Kind::DirectRemoteIp(range) => {
            cidr(&at.field("direct_remote_ip"), range).map(Rule::DirectRemoteIp)
        }
        Kind::RemoteIp(range) => cidr(&at.field("remote_ip"), range).map(Rule::RemoteIp),
        Kind::Authenticated(who) => match &who.principal_name {
            None => Some(Rule::Authenticated(None)),
            Some(name) => {
                let at = at.field("authenticated");
                pattern::string(&at.field("principal_name"), name)
                    .map(|name| Rule::Authenticated(Some(name)))
            }
        },
        Kind::Header(_) => {
            at.field("header").invalid(NO_HEADERS);
            None
        }
        // The support table has refused the others.
        _ => None,
    }
}

const NO_HEADERS: &str = "Found header rule, not supported by RBAC network filter";

/// The end is not part of the range, and both are ports.
fn port_range(at: &At<'_>, range: &typed::Int32Range) -> Option<Range<u32>> {
    let port = |field, name: &str, value: i32| {
        let port = u32::try_from(value).ok().filter(|port| *port <= 65536);
        if port.is_none() {
            at.field(field).invalid(format_args!("range {name} {value} is out of bounds"));
        }
        port
    };
    let (start, end) = (port("start", "start", range.start), port("end", "end", range.end));
    let (start, end) = (start?, end?);
    if start >= end {
        at.invalid(format_args!(
            "range start {start} cannot be greater or equal than range end {end}"
        ));
        return None;
    }
    Some(start..end)
}
