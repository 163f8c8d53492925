//! The report for people: what matters most first, names and values in columns, reasons below.

use std::fmt::Write as _;

use super::{Report, wrap};
use crate::finding::{Finding, Severity};
use crate::fix::changes;
use crate::rules::grouped;

/// Where lines are broken.
const WIDTH: usize = 96;

/// Columns are not made wider than this for the sake of one long value.
const MAX_COLUMN: usize = 36;

pub(crate) fn text(report: &Report<'_>, all: bool) -> String {
    let mut text = head(report);
    let columns = Columns::of(report.findings, all);
    for (severity, title) in GROUPS {
        let group: Vec<_> =
            report.findings.iter().filter(|finding| finding.severity == severity).collect();
        if group.is_empty() || (severity >= Severity::Good && !all) {
            continue;
        }
        let _ = writeln!(text, "\n{title} ({})", group.len());
        for finding in group {
            columns.write(&mut text, finding);
        }
    }
    text.push('\n');
    text.push_str(&tail(report, all));
    text
}

const GROUPS: [(Severity, &str); 5] = [
    (Severity::Failure, "WILL FAIL UNDER LOAD"),
    (Severity::Advice, "ADVICE"),
    (Severity::Note, "WORTH KNOWING"),
    (Severity::Good, "AS WANTED"),
    (Severity::Unknown, "NOT SHOWN BY THIS HOST"),
];

fn head(report: &Report<'_>) -> String {
    let host = report.host;
    let name = host.name.as_deref().unwrap_or("unknown host");
    let kernel = host.release.as_deref().unwrap_or("unknown");
    let cpus = match host.cpus.online {
        Some(1) => "1 CPU".to_owned(),
        Some(count) => format!("{count} CPUs"),
        None => "unknown CPUs".to_owned(),
    };
    let connections = grouped(report.connections());
    let load = match report.configured {
        Some(_) => format!("the configuration's limit of {connections} connections"),
        None => format!("a {} load: up to {connections} connections", report.size),
    };
    let words = format!("Host {name}: Linux {kernel}, {cpus}. Looked at for {load}.");
    wrap(&words, "", "", WIDTH)
}

fn tail(report: &Report<'_>, all: bool) -> String {
    let count =
        |severity| report.findings.iter().filter(|finding| finding.severity == severity).count();
    let (good, unknown) = (count(Severity::Good), count(Severity::Unknown));
    let mut text = format!("{good} as wanted");
    if unknown > 0 {
        let _ = write!(text, ", {unknown} not shown by this host");
    }
    text.push_str(if all || good + unknown == 0 { ".\n" } else { " (--all lists them).\n" });
    match changes(report.findings).len() {
        0 => {}
        1 => text.push_str("1 of the changes is a kernel setting: --fix prints it.\n"),
        fixes => {
            let _ =
                writeln!(text, "{fixes} of the changes are kernel settings: --fix prints them.");
        }
    }
    text
}

/// Widths of the columns of names and of found values.
struct Columns {
    setting: usize,
    found: usize,
}

impl Columns {
    fn of(findings: &[Finding], all: bool) -> Self {
        let shown =
            || findings.iter().filter(move |finding| all || finding.severity < Severity::Good);
        let widest = |lengths: &mut dyn Iterator<Item = usize>| {
            lengths.filter(|&length| length <= MAX_COLUMN).max().unwrap_or(0)
        };
        Self {
            setting: widest(&mut shown().map(|finding| finding.setting.chars().count())),
            found: widest(&mut shown().map(|finding| finding.found.chars().count())),
        }
    }

    fn write(&self, text: &mut String, finding: &Finding) {
        let _ = writeln!(
            text,
            "  {:setting$}  found {:found$}  wanted {}",
            finding.setting,
            finding.found,
            finding.wanted,
            setting = self.setting,
            found = self.found
        );
        if finding.severity < Severity::Good {
            paragraph(text, "why", &finding.why);
            paragraph(text, "how", &finding.how);
        }
    }
}

/// A labelled paragraph below the line of its finding.
fn paragraph(text: &mut String, label: &str, words: &str) {
    let first = format!("      {label}  ");
    let rest = " ".repeat(first.len());
    text.push_str(&wrap(words, &first, &rest, WIDTH));
}
