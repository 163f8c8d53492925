//! The rules: what is looked at, in the order in which it is reported within a severity.
//!
//! A rule never fails. Where the host does not show what it needs, it says so as
//! [`Severity::Unknown`]; where it does not apply, it says nothing.

mod counters;
mod cpus;
mod network_cards;
mod process;
mod sysctl;
mod sysctl_table;

use std::fmt::Display;

use crate::facts::ConfigFacts;
use crate::finding::{Finding, Severity};
use crate::host::Host;
use crate::size::Size;

pub(crate) use sysctl_table::SYSCTLS;

/// What a rule looks at.
pub(crate) struct Case<'a> {
    pub(crate) host: &'a Host,
    pub(crate) facts: &'a ConfigFacts,
    pub(crate) size: Size,
}

impl Case<'_> {
    /// Workers that will run: one for each CPU unless told otherwise.
    fn workers(&self) -> Option<usize> {
        self.facts.workers.or(self.host.cpus.online)
    }

    fn connections(&self) -> u64 {
        self.facts.connections(self.size)
    }

    /// File descriptors that the load needs: two for each proxied connection, and for each worker
    /// its listeners, its ring and a few of its own; rounded up to a power of two, which is how
    /// people write limits.
    fn open_files(&self) -> u64 {
        let workers = self.workers().unwrap_or(1) as u64;
        let each_worker = self.facts.listeners.len() as u64 + 8;
        let sum = self.connections().saturating_mul(2) + workers * each_worker + 64;
        sum.checked_next_power_of_two().unwrap_or(u64::MAX)
    }
}

/// Runs every rule. Most important findings first; rules of one severity keep their order.
pub fn examine(host: &Host, facts: &ConfigFacts, size: Size) -> Vec<Finding> {
    let case = Case { host, facts, size };
    let mut findings = Vec::new();
    findings.extend(process::rules(&case));
    findings.extend(sysctl::rules(&case));
    findings.extend(counters::rules(&case));
    findings.extend(cpus::rules(&case));
    findings.extend(network_cards::rules(&case));
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// The beginning of a finding; the builder methods say the rest.
fn finding(severity: Severity, setting: &str, found: impl Display) -> Finding {
    Finding {
        severity,
        setting: setting.to_owned(),
        found: found.to_string(),
        wanted: String::new(),
        why: String::new(),
        how: String::new(),
        fix: None,
    }
}

impl Finding {
    fn wanted(self, wanted: impl Display) -> Self {
        Self { wanted: wanted.to_string(), ..self }
    }

    fn why(self, why: impl Into<String>) -> Self {
        Self { why: why.into(), ..self }
    }

    fn how(self, how: impl Into<String>) -> Self {
        Self { how: how.into(), ..self }
    }
}

/// A setting that the host does not show.
fn unknown(setting: &str, wanted: impl Display) -> Finding {
    finding(Severity::Unknown, setting, "not shown").wanted(wanted)
}

/// `bad` where it matters, else good.
fn severity_if(matters: bool, bad: Severity) -> Severity {
    if matters { bad } else { Severity::Good }
}

/// A number with commas between thousands; `unlimited` for the largest.
pub(crate) fn grouped(number: u64) -> String {
    if number == u64::MAX {
        return "unlimited".to_owned();
    }
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(u64::MAX), "unlimited");
    }

    #[test]
    fn the_worst_comes_first() {
        let findings = examine(&Host::default(), &ConfigFacts::default(), Size::Medium);
        assert!(findings.is_sorted_by_key(|finding| finding.severity));
    }

    #[test]
    fn what_is_wrong_always_says_why_and_how() {
        for size in [Size::Small, Size::Medium, Size::Large] {
            for finding in examine(&Host::default(), &ConfigFacts::default(), size) {
                let wrong = finding.severity < Severity::Good;
                assert!(
                    !wrong || !(finding.why.is_empty() || finding.how.is_empty()),
                    "{finding:?}"
                );
            }
        }
    }
}
