//! The figures of a comparison, and what follows from them. Pure.

use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::load::Sample;
use crate::peers::Peer;
use crate::statistics::{Spread, median};
use crate::workload::Workload;

/// The format of the JSON; a change that breaks readers has another number.
const FORMAT: &str = "ringway-bench/1";
/// Who is not a peer: one is what peers are compared with, the other what is compared.
const NO_PEERS: [&str; 2] = ["floor", "ringway"];

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

    /// CPU time per request at the floor.
    pub(crate) fn floor_us(&self) -> Option<f64> {
        let floor = self.rows.iter().find(|row| row.peer == "floor")?;
        floor.cpu_us()
    }

    /// The least CPU time per request of a peer (not the floor, not Ringway).
    pub(crate) fn best_peer_us(&self) -> Option<f64> {
        let peers = self.rows.iter().filter(|row| !NO_PEERS.contains(&row.peer.as_str()));
        peers.filter_map(Row::cpu_us).min_by(f64::total_cmp)
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
        assert_eq!(outcome.floor_us(), Some(9.0));
        assert_eq!(outcome.best_peer_us(), Some(13.5));
        assert_eq!(outcome.slowest_rate(), Some(30_000.0));
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
