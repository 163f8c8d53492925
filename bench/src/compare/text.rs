//! The comparison as text for a terminal.

use std::fmt::Write as _;

use super::report::{self, Outcome, Point, Report, Row};
use crate::load::Sample;
use crate::statistics::{Spread, median};

/// What stands above all tables.
pub(super) fn headline(report: &Report) -> String {
    let settings = &report.settings;
    let mut text =
        format!("{}\nCPUs: {}; commit {}\n", report.host.line(), settings.cpus, settings.commit);
    for version in &report.peers {
        let _ = writeln!(text, "  {:<8} {}", version.peer, version.version);
    }
    for left_out in &report.left_out {
        let _ = writeln!(text, "  {:<8} left out: {}", left_out.peer, left_out.reason);
    }
    text
}

/// A table: names of columns, and rows of cells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|name| (*name).to_owned()).collect(), rows: Vec::new() }
    }

    fn draw(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.chain([self.head[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let mut text = String::new();
        for row in std::iter::once(&self.head).chain(&self.rows) {
            for (column, cell) in row.iter().enumerate() {
                let pad = widths[column];
                // Names to the left, figures to the right.
                let _ = match column {
                    0 => write!(text, "  {cell:<pad$}"),
                    _ => write!(text, "  {cell:>pad$}"),
                };
            }
            text.push('\n');
        }
        text
    }
}

/// One workload, with all its tables.
pub(super) fn workload(outcome: &Outcome) -> String {
    let mut text = format!("{}: {}\n{}", outcome.name, outcome.title, full_speed(outcome).draw());
    let table = ratios(outcome).draw();
    let _ = write!(text, "\n  ratios: to the floor, to the best peer\n{table}");
    if let Some(table) = fixed_rates(outcome) {
        let _ = write!(
            text,
            "\n  latency at fixed rates: req/s, p50/p99/p99.9 in us\n{}",
            table.draw()
        );
    }
    for note in notes(outcome) {
        let _ = writeln!(text, "  {note}");
    }
    text
}

/// Who is not in the tables, or not in all of them, and why.
pub(super) fn notes(outcome: &Outcome) -> Vec<String> {
    let left_out =
        outcome.left_out.iter().map(|out| format!("{} left out: {}", out.peer, out.reason));
    let problems = outcome.rows.iter().flat_map(|row| {
        row.problems.iter().map(move |problem| format!("{}: a turn failed: {problem}", row.peer))
    });
    let remark = Some(outcome.remark.clone()).filter(|remark| !remark.is_empty());
    remark.into_iter().chain(agreements(outcome)).chain(left_out).chain(problems).collect()
}

/// On what TLS agreed, and with whom: other suites have other costs.
fn agreements(outcome: &Outcome) -> Vec<String> {
    let mut by_words: Vec<(&str, Vec<&str>)> = Vec::new();
    for row in outcome.rows.iter().filter(|row| !row.agreed.is_empty()) {
        match by_words.iter_mut().find(|(words, _)| *words == row.agreed) {
            Some((_, peers)) => peers.push(&row.peer),
            None => by_words.push((&row.agreed, vec![&row.peer])),
        }
    }
    by_words.iter().map(|(words, peers)| format!("{words}: {}", peers.join(", "))).collect()
}

/// Columns of the table at full speed. `others %` is what strangers used of a CPU meanwhile.
const COLUMNS: [&str; 13] = [
    "",
    "req/s",
    "±%",
    "CPU us/req",
    "±%",
    "user",
    "system",
    "busy %",
    "p50 us",
    "p99 us",
    "RSS MiB",
    "lost",
    "others %",
];

/// The figures at full speed.
pub(super) fn full_speed(outcome: &Outcome) -> Table {
    let mut table = Table::new(&COLUMNS);
    let companions = outcome.rows.iter().any(|row| row.memory.per_companion.is_some());
    let reloads = outcome.rows.iter().any(|row| row.reloads > 0);
    if companions {
        table.head.push("KiB/companion".to_owned());
    }
    if reloads {
        table.head.push("reloads".to_owned());
    }
    for row in &outcome.rows {
        let mut cells = cells(row);
        if companions {
            let bytes = row.memory.per_companion.unwrap_or(0.0);
            cells.push(format!("{:.1}", bytes / 1024.0));
        }
        if reloads {
            cells.push(row.reloads.to_string());
        }
        table.rows.push(cells);
    }
    table
}

fn cells(row: &Row) -> Vec<String> {
    let Some(rate) = row.figure(|s| s.rate) else {
        // Every turn failed: a note says why.
        let mut cells = vec!["-".to_owned(); COLUMNS.len()];
        cells[0].clone_from(&row.peer);
        return cells;
    };
    let cpu = row.cpu_us();
    let known = |text: String| if cpu.is_some() { text } else { "-".to_owned() };
    vec![
        row.peer.clone(),
        format!("{:.0}", rate.median),
        format!("{:.0}", rate.percent()),
        known(format!("{:.2}", cpu.unwrap_or(0.0))),
        known(format!("{:.0}", row.figure(|s| s.cpu_us).map_or(0.0, Spread::percent))),
        known(format!("{:.2}", row.median(|s| s.user_us))),
        known(format!("{:.2}", row.median(|s| s.system_us))),
        known(format!("{:.0}", row.median(|s| s.busy) * 100.0)),
        format!("{:.0}", row.median(|s| s.p50_us)),
        format!("{:.0}", row.median(|s| s.p99_us)),
        format!("{:.1}", row.memory.loaded as f64 / f64::from(1 << 20)),
        row.lost().to_string(),
        format!("{:.0}", row.median(|s| s.strangers) * 100.0),
    ]
}

/// Each figure by that of the floor, and by that of the best peer in this figure.
pub(super) fn ratios(outcome: &Outcome) -> Table {
    let mut table = Table::new(&[""]);
    table.head.extend(report::FIGURES.iter().map(|figure| figure.name.to_owned()));
    for row in &outcome.rows {
        let cell = |figure: &report::Figure| {
            let text = |ratio: Option<f64>| ratio.map_or("-".to_owned(), |r| format!("{r:.2}"));
            let [floor, best] = figure.ratios(outcome, row);
            format!("{}, {}", text(floor), text(best))
        };
        let cells = report::FIGURES.iter().map(cell);
        table.rows.push(std::iter::once(row.peer.clone()).chain(cells).collect());
    }
    table
}

/// Latencies at fixed rates: requests per second and p50/p99/p99.9 for each rate.
pub(super) fn fixed_rates(outcome: &Outcome) -> Option<Table> {
    let points = &outcome.rows.first()?.points;
    if points.is_empty() {
        return None;
    }
    let mut table = Table::new(&[""]);
    table.head.extend(points.iter().map(|point| format!("at {}", point.label)));
    for row in &outcome.rows {
        let cells = row.points.iter().map(latencies);
        table.rows.push(std::iter::once(row.peer.clone()).chain(cells).collect());
    }
    Some(table)
}

fn latencies(point: &Point) -> String {
    let of = |figure: fn(&Sample) -> f64| median(point.samples.iter().map(figure));
    let figures = (of(|s| s.rate), of(|s| s.p50_us), of(|s| s.p99_us), of(|s| s.p999_us));
    match figures {
        (Some(rate), Some(p50), Some(p99), Some(p999)) => {
            format!("{rate:.0}/s {p50:.0}/{p99:.0}/{p999:.0}")
        }
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests;
    use super::*;

    #[test]
    fn a_table_stands_in_columns() {
        let text = workload(&tests::outcome());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "small-64: 64 B answers");
        let width = lines[1].chars().count();
        assert!(lines[2..6].iter().all(|line| line.chars().count() == width), "{text}");
        let ringway: Vec<&str> =
            lines.iter().filter(|line| line.contains("ringway")).copied().collect();
        assert_eq!(ringway.len(), 3, "{text}");
        assert!(ringway[1].contains("  1.10, 0.73  "), "CPU: {text}");
        assert_eq!(lines.last(), Some(&"  h2o left out: not here"));
    }

    #[test]
    fn a_peer_without_samples_still_has_a_line() {
        let mut outcome = tests::outcome();
        outcome.rows[2].samples.clear();
        let cells = cells(&outcome.rows[2]);
        assert_eq!((cells.len(), cells[0].as_str(), cells[1].as_str()), (13, "nginx", "-"));
    }
}
