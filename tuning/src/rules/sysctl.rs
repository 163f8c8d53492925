//! Rules about one kernel setting each: the machinery. The settings stand in `sysctl_table.rs`.

use std::fmt;

use super::sysctl_table::TABLE;
use super::{Case, finding, unknown};
use crate::finding::{Finding, Severity, SysctlChange};

/// One kernel setting and what is wanted of it.
pub(super) struct Rule {
    pub(super) name: &'static str,
    /// Whether the rule applies; a setting that does not is not reported at all.
    pub(super) applies: fn(&Case<'_>) -> bool,
    pub(super) wanted: fn(&Case<'_>) -> Wanted,
    /// Whether a value that is not the wanted one makes requests fail under the load.
    pub(super) fails: fn(&Case<'_>, &str) -> bool,
    /// What a value other than the wanted one is worth, short of failure.
    pub(super) otherwise: Severity,
    pub(super) why: &'static str,
    /// How to change it where `sysctl -w` is not the whole answer.
    pub(super) how: Option<&'static str>,
}

/// Values of a setting that will do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wanted {
    AtLeast(u64),
    /// Any of these; the first is the one to set.
    OneOf(&'static [&'static str]),
    /// A range of ports with at least this many of them.
    Ports {
        from: u16,
        to: u16,
        at_least: u64,
    },
    /// Three numbers, `min default max`, of which the last is at least this.
    LastAtLeast(u64),
    /// A list of ports that has all of these.
    Includes(Vec<u16>),
}

impl Wanted {
    fn is_met_by(&self, found: &str) -> bool {
        match self {
            Self::AtLeast(least) => found.parse::<u64>().is_ok_and(|found| found >= *least),
            Self::OneOf(values) => values.contains(&found),
            Self::Ports { at_least, .. } => port_range(found)
                .is_some_and(|(from, to)| u64::from(to.saturating_sub(from)) + 1 >= *at_least),
            Self::LastAtLeast(least) => last_number(found).is_some_and(|last| last >= *least),
            Self::Includes(ports) => ports.iter().all(|port| in_port_list(found, *port)),
        }
    }

    /// The value to set in place of `found`.
    fn value(&self, found: &str) -> String {
        match self {
            Self::AtLeast(least) => least.to_string(),
            Self::OneOf(values) => values.first().copied().unwrap_or_default().to_owned(),
            Self::Ports { from, to, .. } => format!("{from} {to}"),
            Self::LastAtLeast(least) => {
                let mut fields: Vec<&str> = found.split(' ').collect();
                fields.pop();
                format!("{} {least}", fields.join(" "))
            }
            Self::Includes(ports) => {
                let missing = ports.iter().filter(|port| !in_port_list(found, **port));
                let known = Some(found.to_owned()).filter(|list| !list.is_empty());
                let list = known.into_iter().chain(missing.map(u16::to_string));
                list.collect::<Vec<_>>().join(",")
            }
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(out, "at least {least}"),
            Self::OneOf(values) => out.write_str(&values.join(" or ")),
            Self::Ports { from, to, .. } => write!(out, "{from} {to}"),
            Self::LastAtLeast(least) => write!(out, "max at least {least}"),
            Self::Includes(ports) => {
                let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
                write!(out, "includes {}", ports.join(","))
            }
        }
    }
}

pub(super) fn rules(case: &Case<'_>) -> Vec<Finding> {
    TABLE.iter().filter(|rule| (rule.applies)(case)).map(|rule| rule.judge(case)).collect()
}

impl Rule {
    fn judge(&self, case: &Case<'_>) -> Finding {
        let wanted = (self.wanted)(case);
        let Some(found) = case.host.sysctl(self.name) else {
            return unknown(self.name, &wanted);
        };
        let shown = if found.is_empty() { "none" } else { found };
        if wanted.is_met_by(found) {
            return finding(Severity::Good, self.name, shown).wanted(&wanted).why(self.why);
        }
        let fails = (self.fails)(case, found);
        let severity = if fails { Severity::Failure } else { self.otherwise };
        let finding = finding(severity, self.name, shown).wanted(&wanted).why(self.why);
        match self.how {
            Some(how) => finding.how(how),
            None => self.with_fix(finding, found, wanted.value(found)),
        }
    }

    fn with_fix(&self, finding: Finding, found: &str, to: String) -> Finding {
        let value = if to.contains(' ') { format!("\"{to}\"") } else { to.clone() };
        let change = SysctlChange { name: self.name.to_owned(), from: found.to_owned(), to };
        let finding = finding.how(format!("sysctl -w {}={value}", self.name));
        // What only a measurement can decide is not changed along with the rest.
        let fix = (finding.severity < Severity::Note).then_some(change);
        Finding { fix, ..finding }
    }
}

/// The two ends of `ip_local_port_range`.
pub(super) fn port_range(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once(' ')?;
    Some((from.parse().ok()?, to.parse().ok()?))
}

/// The last number of a setting such as `tcp_rmem`.
fn last_number(text: &str) -> Option<u64> {
    text.rsplit(' ').next()?.parse().ok()
}

/// Whether a list such as `8080,9000-9100` has this port.
pub(super) fn in_port_list(list: &str, port: u16) -> bool {
    list.split(',').any(|part| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (from.trim().parse::<u16>(), to.trim().parse::<u16>());
        from.is_ok_and(|from| from <= port) && to.is_ok_and(|to| port <= to)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_wish_knows_when_it_is_met() {
        let ports = Wanted::Ports { from: 1024, to: 65535, at_least: 60_000 };
        for (wanted, good, bad) in [
            (Wanted::AtLeast(10), "10", "9"),
            (Wanted::OneOf(&["1", "2"]), "2", "0"),
            (ports, "2048 65535", "32768 60999"),
            (Wanted::LastAtLeast(100), "1 2 100", "1 200 99"),
            (Wanted::Includes(vec![80, 8080]), "80,8000-8100", "80"),
        ] {
            assert!(wanted.is_met_by(good), "{wanted} by {good}");
            assert!(!wanted.is_met_by(bad), "{wanted} by {bad}");
            assert!(!wanted.is_met_by("what"), "{wanted} by nonsense");
            assert!(wanted.is_met_by(&wanted.value(bad)), "{wanted} by its own value");
        }
    }

    #[test]
    fn a_port_may_stand_in_a_range_of_a_list() {
        assert!(in_port_list("1-5,80", 80) && in_port_list("1-5,80", 3));
        assert!(!in_port_list("", 80) && !in_port_list("a-b", 80));
    }

    #[test]
    fn a_value_keeps_what_is_already_there() {
        assert_eq!(Wanted::LastAtLeast(9).value("1 2 3"), "1 2 9");
        assert_eq!(Wanted::Includes(vec![1, 2]).value("2,5-7"), "2,5-7,1");
        assert_eq!(Wanted::Includes(vec![1]).value(""), "1");
    }
}
