//! The comparison as Markdown.

use std::fmt::Write as _;

use super::report::Report;
use super::text::{self, Table};

/// The whole report.
pub(super) fn report(report: &Report) -> String {
    let settings = &report.settings;
    let mut text = format!(
        "# Comparison\n\n{}\n\n`{}`: {} rounds of {} ms after {} ms of warm-up; CPUs: {}; \
         commit {}. Figures are medians over rounds; ±% is half of the distance between the \
         extremes.\n\n",
        report.host.line(),
        settings.command,
        settings.rounds,
        settings.measured_ms,
        settings.warmup_ms,
        settings.cpus,
        settings.commit,
    );
    for version in &report.peers {
        let _ = writeln!(text, "- {}: {}", version.peer, version.version);
    }
    for left_out in &report.left_out {
        let _ = writeln!(text, "- {} left out: {}", left_out.peer, left_out.reason);
    }
    for outcome in &report.workloads {
        let _ = write!(text, "\n## {}: {}\n\n", outcome.name, outcome.title);
        text += &table(&text::full_speed(outcome));
        let _ = write!(
            text,
            "\nRatios, to the floor and to the best peer:\n\n{}",
            table(&text::ratios(outcome))
        );
        if let Some(rates) = text::fixed_rates(outcome) {
            let _ = write!(
                text,
                "\nLatency at fixed rates, p50/p99/p99.9 in microseconds:\n\n{}",
                table(&rates)
            );
        }
        for note in text::notes(outcome) {
            let _ = write!(text, "\n{note}\n");
        }
    }
    text
}

fn table(table: &Table) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&table.head);
    let rule: Vec<String> =
        (0..table.head.len()).map(|n| if n == 0 { "---" } else { "---:" }.to_owned()).collect();
    text += &line(&rule);
    table.rows.iter().for_each(|row| text += &line(row));
    text
}

#[cfg(test)]
mod tests {
    use super::super::report::tests;
    use super::*;

    #[test]
    fn tables_have_one_cell_for_each_column() {
        let text = report(&tests::report());
        let bars = |line: &str| line.matches('|').count();
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(lines.len(), 18, "{text}");
        assert!(lines[..6].iter().all(|line| bars(line) == 14), "{text}");
        assert!(lines[6..12].iter().all(|line| bars(line) == 8), "{text}");
        assert!(lines[12..].iter().all(|line| bars(line) == 3), "{text}");
    }
}
