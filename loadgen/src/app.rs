//! The program: what each command does, what it prints, how it exits.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use clap::Parser;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use ringway_runtime::worker::{Driver, detect};
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

use crate::cli::{Cli, Command, CompareArgs, Cpus, PlaceArgs, RunArgs};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::report::series::{Csv, HdrLog, Series};
use crate::report::{compare, text};
use crate::run::{self, Events, NoRun, Outcome};
use crate::schedule::Profile;
use crate::slo::{Objective, Search, Trial};
use crate::summary::{PlanSummary, Summary};
use crate::worker::Event;
use crate::{compile, serve};

/// The run had errors, or missed its objective.
const UNCLEAN: u8 = 1;
/// There was no run.
const NO_RUN: u8 = 2;
/// As shells report a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Does what the command line says; the exit code is that of the program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        None => load(&cli.run),
        Some(Command::Serve(args)) => {
            place(&args.place).and_then(|driver| serve::run(args, driver)).map(|()| 0)
        }
        Some(Command::Compare(args)) => compare_files(args),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("ringway-load: {error}");
            ExitCode::from(NO_RUN)
        }
    }
}

fn load(args: &RunArgs) -> Result<u8, String> {
    let plan = compile::plan(args)?;
    let driver = place(&args.place)?;
    raise_descriptors(plan.connections() + plan.unfriendly.total())?;
    let events = Events::new();
    watch_interrupts(&events)?;
    match &args.slo {
        Some(objective) => search(args, plan, objective, driver, &events),
        None => single(args, plan, driver, &events),
    }
}

fn single(args: &RunArgs, plan: Plan, driver: Driver, events: &Events) -> Result<u8, String> {
    let plan = Arc::new(plan);
    let speaks = !args.quiet && args.json.as_deref() != Some(Path::new("-"));
    if speaks {
        println!("{}\n", text::headline(&PlanSummary::of(&plan), plan.duration));
    }
    let mut progress = Progress::new(args.quiet, series(args)?);
    let outcome = run(&plan, driver, events, &mut progress)?;
    let summary = Summary::of(&plan, &outcome);
    if speaks {
        print(&text::report(&summary))?;
    }
    if let Some(path) = &args.json {
        write_json(path, &summary)?;
    }
    if let Some(error) = progress.error {
        return Err(format!("a report could not be written: {error}"));
    }
    Ok(if summary.is_clean() { 0 } else { UNCLEAN })
}

fn run(
    plan: &Arc<Plan>,
    driver: Driver,
    events: &Events,
    progress: &mut Progress,
) -> Result<Outcome, String> {
    run::execute(plan, driver, events, progress).map_err(|error| match error {
        NoRun::Unreachable { .. } => {
            let urls: Vec<_> = plan.requests.iter().map(|r| r.url.authority.to_string()).collect();
            format!("{}: {error}", urls.first().cloned().unwrap_or_default())
        }
        _ => error.to_string(),
    })
}

fn search(
    args: &RunArgs,
    plan: Plan,
    objective: &Objective,
    driver: Driver,
    events: &Events,
) -> Result<u8, String> {
    let speaks = !args.quiet && args.json.as_deref() != Some(Path::new("-"));
    if speaks {
        println!("Searching the highest rate with {objective}\n");
    }
    let (mut search, mut best) = (Search::new(), None);
    while let Some(rate) = search.next_rate() {
        let load = compile::open_loop(args, Profile::constant(rate));
        let plan = Arc::new(Plan { load, ..plan.clone() });
        let mut progress = Progress::new(args.quiet, Vec::new());
        let outcome = run(&plan, driver, events, &mut progress)?;
        let trial = trial(&outcome, objective, rate);
        let broken = objective.broken_by(&trial);
        if speaks {
            println!("{}", text::trial(objective, &trial, broken.as_deref()));
        }
        if broken.is_none() {
            best = Some(Summary::of(&plan, &outcome));
        }
        if outcome.interrupted {
            break;
        }
        search.tried(broken.is_none());
    }
    report_search(args, objective, &search, best.as_ref(), speaks)
}

fn trial(outcome: &Outcome, objective: &Objective, rate: f64) -> Trial {
    let total = &outcome.total;
    let bad = total.failures.total() + total.unsent;
    let at = |(percentile, _): &(f64, u64)| total.latency.value_at_quantile(percentile / 100.0);
    Trial {
        rate,
        // Answers that came just after the end belong to the rate that was asked for.
        reached: total.right() as f64 / outcome.elapsed.as_secs_f64(),
        latencies: objective.latencies.iter().map(at).collect(),
        errors: bad as f64 / (total.right() + bad).max(1) as f64,
        late: text::is_late(
            total.lateness.value_at_quantile(0.99),
            total.latency.value_at_quantile(0.99),
        ),
    }
}

fn report_search(
    args: &RunArgs,
    objective: &Objective,
    search: &Search,
    best: Option<&Summary>,
    speaks: bool,
) -> Result<u8, String> {
    let (Some(rate), Some(best)) = (search.best(), best) else {
        eprintln!("ringway-load: no rate kept {objective}");
        return Ok(UNCLEAN);
    };
    if speaks {
        let rate = crate::units::rate(rate);
        println!("\nHighest rate with {objective}: {rate} requests/s. Its report:\n");
        print(&text::report(best))?;
    }
    if let Some(path) = &args.json {
        write_json(path, best)?;
    }
    Ok(0)
}

fn compare_files(args: &CompareArgs) -> Result<u8, String> {
    let read = |path: &Path| {
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        compare::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
    };
    let (base, other) = (read(&args.base)?, read(&args.other)?);
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names = (name(&args.base), name(&args.other));
    let comparison = compare::compare(&base, &other, (&names.0, &names.1));
    print(&comparison.text)?;
    match (args.fail_above, comparison.worst) {
        (Some(limit), Some((figure, worse))) if worse > limit => {
            eprintln!("ringway-load: {figure} is {worse:.1}% worse, which is above {limit}%");
            Ok(UNCLEAN)
        }
        _ => Ok(0),
    }
}

fn series(args: &RunArgs) -> Result<Vec<Box<dyn Series>>, String> {
    let mut series: Vec<Box<dyn Series>> = Vec::new();
    let failed = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    if let Some(path) = &args.hdr {
        series.push(Box::new(HdrLog::create(path).map_err(|error| failed(path, error))?));
    }
    if let Some(path) = &args.csv {
        series.push(Box::new(Csv::create(path).map_err(|error| failed(path, error))?));
    }
    Ok(series)
}

/// A reader that is gone (as `head`) is no reason to panic.
fn print(text: &str) -> Result<(), String> {
    io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string())
}

fn write_json(path: &Path, summary: &Summary) -> Result<(), String> {
    let json = serde_json::to_string_pretty(summary).map_err(|error| error.to_string())? + "\n";
    if path == Path::new("-") {
        return print(&json);
    }
    fs::write(path, json).map_err(|error| format!("{}: {error}", path.display()))
}

/// Puts the process on its CPUs and chooses what drives the IO.
fn place(args: &PlaceArgs) -> Result<Driver, String> {
    if let Some(Cpus(cpus)) = &args.cpus {
        let mut set = CpuSet::new();
        for cpu in cpus {
            set.set(*cpu).map_err(|error| format!("--cpus: {cpu}: {error}"))?;
        }
        // Threads that are started later inherit this, and pin themselves within it.
        sched_setaffinity(Pid::from_raw(0), &set).map_err(|error| format!("--cpus: {error}"))?;
    }
    Ok(if args.epoll { Driver::Epoll } else { detect().0 })
}

/// Descriptors beside those of connections: rings, files, standard streams, closing sockets.
const OTHER_DESCRIPTORS: u64 = 256;

/// Raises the limit of open descriptors as far as needed.
fn raise_descriptors(connections: usize) -> Result<(), String> {
    let needed = connections as u64 + OTHER_DESCRIPTORS;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    if soft >= needed {
        return Ok(());
    }
    if hard < needed {
        return Err(format!(
            "{connections} connections need {needed} descriptors, but the limit is {hard} \
             (raise it with ulimit -n)"
        ));
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
        .map_err(|error| format!("the limit of descriptors could not be raised: {error}"))
}

/// The first Ctrl-C ends the run with its report, the second one at once.
fn watch_interrupts(events: &Events) -> Result<(), String> {
    let mut signals = Signals::new([SIGINT]).map_err(|error| error.to_string())?;
    let sender = events.sender.clone();
    let watch = move || {
        for (times, _) in signals.forever().enumerate() {
            if times > 0 || sender.try_send(Event::Interrupt).is_err() {
                std::process::exit(INTERRUPTED);
            }
        }
    };
    thread::Builder::new()
        .name("interrupts".to_owned())
        .spawn(watch)
        .map(drop)
        .map_err(|error| error.to_string())
}
