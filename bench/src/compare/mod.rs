//! The comparison: every peer under every load, in turn.
//!
//! Owns: the order of runs (`turns` is the part for one workload), options, the results folder.
//! Does not own: how a peer is configured, how a load is run, how figures are drawn.

mod chart;
mod markdown;
mod report;
mod text;
mod turns;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cores::Cores;
use crate::host::{self, Host};
use crate::peers::{Kind, Peer};
use crate::process;
use crate::programs;
use crate::rank;
use crate::workload::{self, Workload};
use report::{LeftOut, Report, Settings};

/// What `compare` is told.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Loads, by name or beginning of a name (small, down, up, connect, ...) [default: all]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub(crate) workloads: Vec<String>,
    /// Who takes part: floor, ringway, nginx, haproxy, h2o, envoy [default: all that are here]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub(crate) peers: Vec<String>,
    /// Turns that each peer gets [default: 5; with --quick 3]
    #[arg(long, value_name = "N")]
    pub(crate) rounds: Option<usize>,
    /// Milliseconds that are measured in each turn [default: 2000; with --quick 700]
    #[arg(long, value_name = "N")]
    pub(crate) milliseconds: Option<u64>,
    /// A few loads, short turns: about two minutes
    #[arg(long)]
    pub(crate) quick: bool,
    /// No latencies at fixed rates
    #[arg(long)]
    pub(crate) no_latency: bool,
    /// Measure the binaries as they are, instead of building them first
    #[arg(long)]
    pub(crate) no_build: bool,
    /// Folder for reports
    #[arg(long, default_value = "results", value_name = "FOLDER")]
    pub(crate) results: PathBuf,
}

/// What a stage needs to know of the wishes.
#[derive(Debug, Clone)]
pub(crate) struct StageOptions {
    peers: Vec<String>,
    settings: Settings,
}

impl StageOptions {
    /// For one turn of `measured`.
    pub(crate) fn single(peers: &[String], measured: Duration) -> Self {
        let settings = Settings {
            command: std::env::args().collect::<Vec<_>>().join(" "),
            rounds: 1,
            warmup_ms: 1000,
            measured_ms: u64::try_from(measured.as_millis()).unwrap_or(u64::MAX),
            latency: false,
            quick: false,
            cpus: String::new(),
            commit: commit(),
        };
        Self { peers: peers.to_vec(), settings }
    }
}

impl From<&Options> for StageOptions {
    fn from(options: &Options) -> Self {
        let milliseconds = options.milliseconds.unwrap_or(if options.quick { 700 } else { 2000 });
        let settings = Settings {
            command: std::env::args().collect::<Vec<_>>().join(" "),
            rounds: options.rounds.unwrap_or(if options.quick { 3 } else { 5 }).max(1),
            warmup_ms: if options.quick { 300 } else { 500 },
            measured_ms: milliseconds.max(300),
            latency: !options.no_latency,
            quick: options.quick,
            cpus: String::new(),
            commit: commit(),
        };
        Self { peers: options.peers.clone(), settings }
    }
}

/// Of the Ringway beside this program, which is the one that is measured.
fn commit() -> String {
    programs::sibling("ringway", "ringway")
        .map_or_else(|_| "unknown".to_owned(), |program| host::commit(&program))
}

/// What all workloads of a comparison share.
pub(crate) struct Stage {
    load: PathBuf,
    folder: PathBuf,
    cores: Cores,
    peers: Vec<Peer>,
    settings: Settings,
}

/// Runs the comparison and writes its reports.
///
/// # Errors
///
/// Nothing can be compared here, a peer answers wrongly at first sight, or reports cannot be
/// written.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let workloads = workload::choose(&options.workloads, options.quick)?;
    if !options.no_build {
        programs::build()?;
    }
    let stage = Stage::set(&options.into())?;
    let (_, left_out) = find_peers(&options.peers)?;
    let mut report = Report::new(Host::look(), stage.settings.clone(), &stage.peers, left_out);
    print!("{}", text::headline(&report));
    println!("{}\n", stage.plan(&workloads));
    let begin = Instant::now();
    let name = format!("compare-{}", report.host.unix_seconds);
    for workload in &workloads {
        let outcome = stage.workload(workload)?;
        println!("{}", text::workload(&outcome));
        report.workloads.push(outcome);
        // Written after each workload: what was measured is not lost by an interrupt.
        write(&options.results, &name, &report)?;
    }
    let seconds = begin.elapsed().as_secs();
    println!("{} s; reports: {}/{name}.{{json,md,svg}}", seconds, options.results.display());
    stage.clear();
    Ok(())
}

fn find_peers(wished: &[String]) -> Result<(Vec<Peer>, Vec<LeftOut>), String> {
    let known = |name: &String| Kind::ALL.iter().any(|kind| kind.name() == name);
    if let Some(unknown) = wished.iter().find(|name| !known(name)) {
        let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        return Err(format!("no peer `{unknown}`: there are {}", names.join(", ")));
    }
    let (mut peers, mut left_out) = (Vec::new(), Vec::new());
    for kind in Kind::ALL {
        let is_wished = wished.iter().any(|name| name == kind.name());
        if !is_wished && (!wished.is_empty() || !kind.is_default()) {
            continue;
        }
        match kind.find() {
            Ok(peer) => peers.push(peer),
            Err(reason) => left_out.push(LeftOut { peer: kind.name().to_owned(), reason }),
        }
    }
    if peers.is_empty() { Err("nobody takes part".to_owned()) } else { Ok((peers, left_out)) }
}

impl Stage {
    /// Finds programs and CPUs, and takes this process off the proxy's CPU.
    ///
    /// # Errors
    ///
    /// Something that every run needs is missing.
    pub(crate) fn set(options: &StageOptions) -> Result<Self, String> {
        let cores = Cores::find()?;
        let load = programs::sibling("ringway-load", "ringway-loadgen")?;
        let (peers, _) = find_peers(&options.peers)?;
        let folder = std::env::temp_dir().join(format!("ringway-bench-{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        process::raise_descriptors();
        // Reading /proc must not take time from the proxy.
        process::pin_this_thread(&cores.load).map_err(|error| error.to_string())?;
        rank::above_all();
        let cpus = format!("proxy {}, origin {}, load {:?}", cores.proxy, cores.origin, cores.load);
        let settings = Settings { cpus, ..options.settings.clone() };
        Ok(Self { load, folder, cores, peers, settings })
    }

    /// Who takes part.
    pub(crate) fn peers(&self) -> &[Peer] {
        &self.peers
    }

    /// For files of a run.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes the files of all runs.
    pub(crate) fn clear(&self) {
        // What cannot be removed is in the temporary folder, where it disturbs nobody.
        let _ = fs::remove_dir_all(&self.folder);
    }

    /// What is about to happen, and how long it takes.
    fn plan(&self, workloads: &[Workload]) -> String {
        let turns: usize = workloads.iter().map(|workload| self.turns(workload)).sum();
        let each = self.settings.warmup_ms + self.settings.measured_ms + 150;
        let peers = self.peers.len() as u64;
        let seconds = (turns as u64 * peers * each + workloads.len() as u64 * peers * 400) / 1000;
        format!(
            "{} workloads, {} rounds, {} ms each: about {} min {} s, more where turns are repeated",
            workloads.len(),
            self.settings.rounds,
            self.settings.measured_ms,
            seconds / 60,
            seconds % 60
        )
    }

    fn turns(&self, workload: &Workload) -> usize {
        let at_rates = if self.takes_latency(workload) {
            self.points().len() * self.latency_rounds()
        } else {
            0
        };
        self.settings.rounds + at_rates
    }

    fn takes_latency(&self, workload: &Workload) -> bool {
        self.settings.latency
            && workload.latency
            && !(self.settings.quick && workload.name != "small-64")
    }

    fn latency_rounds(&self) -> usize {
        if self.settings.quick { 1 } else { self.settings.rounds.min(3) }
    }

    /// Rates at which latencies are taken: of whose saturation, and which part of it.
    fn points(&self) -> &'static [(bool, f64)] {
        if self.settings.quick {
            &[(false, 0.8), (true, 0.8)]
        } else {
            &[(false, 0.5), (false, 0.8), (true, 0.5), (true, 0.8)]
        }
    }

    fn warmup(&self) -> Duration {
        Duration::from_millis(self.settings.warmup_ms)
    }

    fn measured(&self) -> Duration {
        Duration::from_millis(self.settings.measured_ms)
    }
}

fn write(folder: &Path, name: &str, report: &Report) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(failed)?;
    let json = serde_json::to_string_pretty(report).map_err(|error| error.to_string())?;
    let put = |extension: &str, text: String| {
        fs::write(folder.join(format!("{name}.{extension}")), text).map_err(failed)
    };
    put("json", json + "\n")?;
    put("md", markdown::report(report))?;
    put("svg", chart::draw(report))
}
