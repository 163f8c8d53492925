//! One run of the load generator, and what the proxy used meanwhile.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cores::Cores;
use crate::process::Process;
use crate::transport::Client;
use crate::usage;
use crate::workload::Workload;

/// From the start of the generator until its connections are open, and at the end of a run: time
/// that is not looked at.
const EDGE: Duration = Duration::from_millis(100);
/// What a run may take beyond its plan.
const PATIENCE: Duration = Duration::from_secs(20);

/// One run.
#[derive(Debug, Clone)]
pub(crate) struct Run<'a> {
    pub(crate) program: &'a Path,
    pub(crate) folder: &'a Path,
    pub(crate) cores: &'a Cores,
    pub(crate) workload: &'a Workload,
    /// Where the proxy listens.
    pub(crate) port: u16,
    /// Requests per second; as fast as possible where there is none.
    pub(crate) rate: Option<f64>,
    /// The generator may spin until a request is due.
    pub(crate) spin: bool,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    /// Answers may have any length (they change while the origin does).
    pub(crate) any_length: bool,
}

/// What is read of the generator's report (`ringway-load/1`). Its times are nanoseconds.
#[derive(Debug, Deserialize)]
struct Summary {
    right: u64,
    failed: u64,
    unsent: u64,
    rate: f64,
    failures: Vec<Failure>,
    latency: Times,
    #[serde(default)]
    handshakes: Option<Handshakes>,
}

#[derive(Debug, Deserialize)]
struct Handshakes {
    /// Version, suite and group.
    agreed: String,
}

#[derive(Debug, Deserialize)]
struct Failure {
    failure: serde_json::Value,
    example: String,
}

#[derive(Debug, Deserialize)]
struct Times {
    max: u64,
    /// Percentile (0 to 100) and time.
    percentiles: Vec<(f64, u64)>,
}

impl Times {
    fn percentile_us(&self, percentile: f64) -> f64 {
        let found = self.percentiles.iter().find(|(p, _)| (p - percentile).abs() < 1e-9);
        found.map_or(0.0, |(_, time)| *time as f64 / 1e3)
    }
}

/// What came of one run. Times in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Right answers per second.
    pub(crate) rate: f64,
    /// CPU time of the proxy per request, and of it in user space and in the kernel.
    pub(crate) cpu_us: f64,
    pub(crate) user_us: f64,
    pub(crate) system_us: f64,
    /// The part of a CPU that the proxy used, 0 to 1.
    pub(crate) busy: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
    pub(crate) right: u64,
    pub(crate) failed: u64,
    /// Requests that were due and not even sent.
    pub(crate) unsent: u64,
    /// CPUs that strangers used meanwhile.
    pub(crate) strangers: f64,
}

/// What is read before and after the measured part of a run.
struct Reading {
    at: Instant,
    time: usage::Time,
    machine: u64,
    own: u64,
}

/// Whose time is read.
struct Watched {
    proxy: Vec<i32>,
    /// Everything that this bench runs, itself included.
    own: Vec<i32>,
}

impl Watched {
    fn find(proxy: i32) -> Self {
        let own = usage::family(std::process::id().cast_signed());
        Self { proxy: usage::family(proxy), own }
    }

    /// Some files of a few processes: the bench must not take a CPU from what it measures.
    fn read(&self) -> Reading {
        Reading {
            time: usage::time(&self.proxy),
            machine: usage::machine_ticks(),
            own: usage::ticks(&self.own),
            at: Instant::now(),
        }
    }
}

impl Run<'_> {
    /// Asks a few times and looks at every answer; tells on what TLS agreed.
    ///
    /// # Errors
    ///
    /// What is wrong with one of them, or why there is none.
    pub(crate) fn probe(&self) -> Result<String, String> {
        // What is sent in a warm-up is not looked at.
        let whole = Run { warmup: Duration::ZERO, ..self.clone() };
        let mut command = whole.command(&self.folder.join("probe.json"));
        command.args(["--requests", "100"]);
        if whole.workload.transport.client != Client::Udp {
            command.args(["--timeout", "2s"]);
        }
        let done = command.output();
        let output = done.map_err(|error| format!("{}: {error}", self.program.display()))?;
        let report = fs::read_to_string(self.folder.join("probe.json")).ok();
        let summary = report.and_then(|text| serde_json::from_str::<Summary>(&text).ok());
        if output.status.success() {
            let handshakes = summary.and_then(|summary| summary.handshakes);
            return Ok(handshakes.map_or(String::new(), |handshakes| handshakes.agreed));
        }
        let failure = summary.and_then(|summary| summary.failures.into_iter().next());
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(failure.map_or(words, |failure| format!("{} {}", failure.failure, failure.example)))
    }

    /// Runs the load against a proxy, and `meanwhile` beside it.
    ///
    /// # Errors
    ///
    /// The generator could not run, or nothing was answered.
    pub(crate) fn go(&self, proxy: i32, meanwhile: impl FnOnce()) -> Result<Sample, String> {
        let report = self.folder.join("load.json");
        // The report of another run must not be taken for this one's.
        let _ = fs::remove_file(&report);
        let log = self.folder.join("load.log");
        let mut process = Process::start(self.command(&report), &self.cores.load, &log)
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        let begin = Instant::now();
        let sleep_until = |at: Instant| thread::sleep(at.saturating_duration_since(Instant::now()));
        let mut watched = Watched::find(proxy);
        sleep_until(begin + self.warmup + EDGE);
        let before = watched.read();
        meanwhile();
        sleep_until(begin + self.warmup + self.duration - EDGE / 2);
        if self.any_length {
            // Workers came and went; latencies are not what such a turn is for.
            watched = Watched::find(proxy);
        }
        let after = watched.read();
        process.wait(PATIENCE).map_err(|error| format!("the load generator: {error}"))?;
        let text = fs::read_to_string(&report).map_err(|_| process.last_words())?;
        let summary: Summary = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        sample(&summary, &before, &after)
    }

    /// The generator in the transport of the workload, without a load.
    pub(crate) fn holder(&self) -> Command {
        let mut command = Command::new(self.program);
        let transport = self.workload.transport;
        command.args(transport.arguments(self.folder));
        command.arg(transport.url(self.port, "/"));
        command
    }

    fn command(&self, report: &Path) -> Command {
        let mut command = Command::new(self.program);
        let seconds = |time: Duration| format!("{}ms", time.as_millis());
        let cpus: Vec<String> = self.cores.load.iter().map(usize::to_string).collect();
        let workload = self.workload;
        let threads = self.cores.load.len().min(workload.connections);
        command.args(["--connections", &workload.connections.to_string()]);
        command.args(["--threads", &threads.to_string(), "--cpus", &cpus.join(",")]);
        command.args(["--warmup", &seconds(self.warmup), "--duration", &seconds(self.duration)]);
        command.arg("--quiet");
        let transport = workload.transport;
        if transport.is_http() {
            command.args(["--expect-status", "200"]);
        }
        if !self.any_length && transport.is_http() {
            command.args(["--expect-length", &workload.answer.to_string()]);
        }
        command.arg(format!("--json={}", report.display()));
        if let Some(rate) = self.rate {
            command.args(["--rate", &format!("{rate:.0}")]);
            command.args(["--pacing", if self.spin { "spin" } else { "sleep" }]);
        }
        if workload.new_connections {
            command.arg("--new-connections");
        }
        command.args(transport.arguments(self.folder));
        if transport.client == Client::Udp {
            // A datagram that was lost is waited for so long.
            command.args(["--timeout", "1s"]);
        }
        if workload.upload.is_some() && transport.is_http() {
            command.arg("--body").arg(format!("@{}", self.folder.join("body").display()));
        }
        let url = |path: String| transport.url(self.port, &path);
        command.args(workload.paths().into_iter().map(url));
        command
    }
}

/// Why a turn yields no figures.
fn nothing_right(summary: &Summary) -> String {
    let (failed, unsent) = (summary.failed, summary.unsent);
    match summary.failures.first() {
        Some(Failure { failure, example }) => {
            format!("not one right answer ({failed} failed, {unsent} unsent): {failure} {example}")
        }
        // Requests are taken in the order in which they were due.
        None if unsent > 0 => format!(
            "the load fell behind by more than its warm-up, so that none of {unsent} requests was \
             sent: its CPU is taken by others, or the rate is beyond it"
        ),
        None => "not one right answer, and nothing was asked".to_owned(),
    }
}

fn sample(summary: &Summary, before: &Reading, after: &Reading) -> Result<Sample, String> {
    if summary.right == 0 {
        return Err(nothing_right(summary));
    }
    let seconds = after.at.duration_since(before.at).as_secs_f64();
    let time = after.time.since(before.time);
    let busy = time.total_ns as f64 / 1e9 / seconds;
    // Rates are steady: time by second over requests by second is time by request.
    let cpu_us = busy * 1e6 / summary.rate.max(1.0);
    let user_us = cpu_us * time.user_share();
    let percentile = |p: f64| summary.latency.percentile_us(p);
    let machine = after.machine.saturating_sub(before.machine) as f64;
    let own = after.own.saturating_sub(before.own) as f64;
    Ok(Sample {
        rate: summary.rate,
        cpu_us,
        user_us,
        system_us: cpu_us - user_us,
        busy,
        p50_us: percentile(50.0),
        p99_us: percentile(99.0),
        p999_us: percentile(99.9),
        max_us: summary.latency.max as f64 / 1e3,
        right: summary.right,
        failed: summary.failed,
        unsent: summary.unsent,
        strangers: ((machine - own) / usage::TICKS_PER_SECOND / seconds).max(0.0),
    })
}
