//! The figures of a comparison, and what follows from them. Pure.

use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::load::Sample;
use crate::peers::Peer;
use crate::statistics::{Spread, median};
use crate::workload::Workload;

/// The format of the JSON; a change that breaks readers has another number.
const FORMAT: &str = "ringway-bench/1";
/// Who is not a peer: what peers are compared with, and what is compared.
const NO_PEERS: [&str; 3] = ["floor", "ringway", "ringway-epoll"];

/// A whole comparison.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) format: String,
    pub(crate) host: Host,
    pub(crate) settings: Settings,
    pub(crate) peers: Vec<Version>,
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) workloads: Vec<Outcome>,
}

/// How it was run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) command: String,
    pub(crate) rounds: usize,
    pub(crate) warmup_ms: u64,
    pub(crate) measured_ms: u64,
    pub(crate) latency: bool,
    pub(crate) quick: bool,
    pub(crate) cpus: String,
    /// The commit that the measured Ringway was built from, with a mark where it was changed.
    pub(crate) commit: String,
}

/// Who took part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) peer: String,
    pub(crate) version: String,
}

/// Who did not, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeftOut {
    pub(crate) peer: String,
    pub(crate) reason: String,
}

/// One workload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) connections: usize,
    pub(crate) rows: Vec<Row>,
    pub(crate) left_out: Vec<LeftOut>,
    /// What a reader of the table must know.
    pub(crate) remark: String,
}

/// One peer under one workload.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) peer: String,
    /// Version, suite and group of TLS.
    #[serde(default)]
    pub(crate) agreed: String,
    /// At full speed, one for each round.
    pub(crate) samples: Vec<Sample>,
    /// At fixed rates.
    pub(crate) points: Vec<Point>,
    pub(crate) memory: Memory,
    /// Changes of the configuration under load, where there were some.
    pub(crate) reloads: usize,
    /// Turns that failed, each with its reason.
    pub(crate) problems: Vec<String>,
}

/// Latencies at one rate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Point {
    /// As `80 % of the slowest`.
    pub(crate) label: String,
    pub(crate) wished: f64,
    pub(crate) samples: Vec<Sample>,
}

/// Resident memory, in bytes.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// After the first answer.
    pub(crate) started: u64,
    /// After the last round.
    pub(crate) loaded: u64,
    /// What each companion (an idle connection, a slow reader) added.
    pub(crate) per_companion: Option<f64>,
}

/// A figure that is told as a ratio, too.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    /// More is better.
    rises: bool,
    of: fn(&Row) -> Option<f64>,
}

/// Figures with ratios, in the order of columns.
pub(crate) const FIGURES: [Figure; 6] = [
    Figure { name: "req/s", rises: true, of: |row| Some(row.figure(|s| s.rate)?.median) },
    Figure { name: "CPU", rises: false, of: Row::cpu_us },
    Figure { name: "p50", rises: false, of: |row| Some(row.figure(|s| s.p50_us)?.median) },
    Figure { name: "p99", rises: false, of: |row| Some(row.figure(|s| s.p99_us)?.median) },
    Figure { name: "p99.9", rises: false, of: |row| Some(row.figure(|s| s.p999_us)?.median) },
    Figure { name: "memory", rises: false, of: |row| Some(row.memory.loaded as f64) },
];

impl Figure {
    /// A row's figure by that of the floor, and by that of the best peer in this figure.
    pub(crate) fn ratios(&self, outcome: &Outcome, row: &Row) -> [Option<f64>; 2] {
        let own = (self.of)(row);
        let by = |base: Option<f64>| Some(own? / base.filter(|base| *base > 0.0)?);
        let floor = outcome.rows.iter().find(|row| row.peer == "floor").and_then(self.of);
        let peers = outcome.rows.iter().filter(|row| !NO_PEERS.contains(&row.peer.as_str()));
        let figures = peers.filter_map(self.of);
        let best = if self.rises {
            figures.max_by(f64::total_cmp)
        } else {
            figures.min_by(f64::total_cmp)
        };
        [by(floor), by(best)]
    }
}

impl Report {
    pub(crate) fn new(
        host: Host,
        settings: Settings,
        peers: &[Peer],
        left_out: Vec<LeftOut>,
    ) -> Self {
        let version = |peer: &Peer| Version {
            peer: peer.kind.name().to_owned(),
            version: peer.version.clone(),
        };
        Self {
            format: FORMAT.to_owned(),
            host,
            settings,
            peers: peers.iter().map(version).collect(),
            left_out,
            workloads: Vec::new(),
        }
    }
}

impl Row {
    /// A figure of its samples at full speed.
    pub(crate) fn figure(&self, of: impl Fn(&Sample) -> f64) -> Option<Spread> {
        Spread::of(self.samples.iter().map(of))
    }

    /// CPU time per request, where it could be counted.
    pub(crate) fn cpu_us(&self) -> Option<f64> {
        let spread = self.figure(|sample| sample.cpu_us)?;
        (spread.min > 0.0).then_some(spread.median)
    }

    /// The median of a figure, 0 without samples.
    pub(crate) fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(of)).unwrap_or(0.0)
    }

    /// Requests without their right answer, over all rounds.
    pub(crate) fn lost(&self) -> u64 {
        self.samples.iter().map(|sample| sample.failed + sample.unsent).sum()
    }
}

impl Outcome {
    pub(crate) fn new(workload: &Workload) -> Self {
        Self {
            name: workload.name.to_owned(),
            title: workload.title.to_owned(),
            connections: workload.connections,
            rows: Vec::new(),
            left_out: Vec::new(),
            remark: workload.remark.to_owned(),
        }
    }

    /// The lowest rate at full speed among all but the floor.
    pub(crate) fn slowest_rate(&self) -> Option<f64> {
        let rows = self.rows.iter().filter(|row| row.peer != "floor");
        let rates = rows.filter_map(|row| row.figure(|sample| sample.rate));
        rates.map(|spread| spread.median).min_by(f64::total_cmp)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An outcome of made-up figures.
    pub(crate) fn outcome() -> Outcome {
        let sample = |rate: f64, cpu_us: f64| Sample {
            rate,
            cpu_us,
            user_us: cpu_us / 4.0,
            system_us: cpu_us * 0.75,
            busy: rate * cpu_us / 1e6,
            p50_us: 100.0,
            p99_us: 250.0,
            p999_us: 400.0,
            max_us: 900.0,
            right: rate as u64,
            failed: 0,
            unsent: 0,
            strangers: 0.02,
        };
        let row = |peer: &str, rate: f64, cpu: f64| Row {
            peer: peer.to_owned(),
            agreed: String::new(),
            samples: vec![sample(rate, cpu), sample(rate * 1.1, cpu * 0.9), sample(rate, cpu)],
            points: vec![Point {
                label: "80 % of the slowest".to_owned(),
                wished: 20_000.0,
                samples: vec![sample(20_000.0, cpu)],
            }],
            memory: Memory { started: 5 << 20, loaded: 9 << 20, per_companion: None },
            reloads: 0,
            problems: Vec::new(),
        };
        Outcome {
            name: "small-64".to_owned(),
            title: "64 B answers".to_owned(),
            connections: 64,
            rows: vec![
                row("floor", 100_000.0, 9.0),
                row("ringway", 95_000.0, 9.9),
                row("nginx", 70_000.0, 13.5),
                row("envoy", 30_000.0, 30.0),
            ],
            left_out: vec![LeftOut { peer: "h2o".to_owned(), reason: "not here".to_owned() }],
            remark: String::new(),
        }
    }

    /// A report with that outcome.
    pub(crate) fn report() -> Report {
        let host = Host {
            kernel: "6.18.0".to_owned(),
            cpu: "CPU".to_owned(),
            cpus: 2,
            memory_mib: 100,
            congestion_control: "bbr".to_owned(),
            load_average: "0.10".to_owned(),
            unix_seconds: 1,
        };
        let settings = Settings {
            command: "ringway-bench compare".to_owned(),
            rounds: 3,
            warmup_ms: 500,
            measured_ms: 2000,
            latency: true,
            quick: false,
            cpus: "proxy 0, origin 1, load [1]".to_owned(),
            commit: "abc".to_owned(),
        };
        let mut report = Report::new(host, settings, &[], Vec::new());
        let version = Version { peer: "nginx".to_owned(), version: "1.22".to_owned() };
        report.peers.push(version);
        report.workloads.push(outcome());
        report
    }

    #[test]
    fn the_best_peer_is_neither_the_floor_nor_ringway() {
        let outcome = outcome();
        let of = |name: &str| FIGURES.iter().find(|figure| figure.name == name).expect("there");
        let ringway = &outcome.rows[1];
        assert_eq!(of("CPU").ratios(&outcome, ringway), [Some(9.9 / 9.0), Some(9.9 / 13.5)]);
        let rates = of("req/s").ratios(&outcome, ringway);
        assert_eq!(rates, [Some(0.95), Some(95_000.0 / 70_000.0)]);
        assert_eq!(outcome.slowest_rate(), Some(30_000.0));
        let mut unknown = outcome.clone();
        unknown.rows[0].samples.clear();
        assert_eq!(of("CPU").ratios(&unknown, ringway)[0], None);
    }

    #[test]
    fn a_report_survives_its_json() {
        let json = serde_json::to_string(&report()).expect("it is written");
        let back: Report = serde_json::from_str(&json).expect("it is read");
        let rate = |report: &Report| report.workloads[0].rows[1].median(|sample| sample.rate);
        assert!((rate(&back) - rate(&report())).abs() < 1e-3);
        assert_eq!(back.workloads[0].left_out, report().workloads[0].left_out);
    }
}
