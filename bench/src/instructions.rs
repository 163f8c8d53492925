//! Instructions of each case, counted by valgrind's callgrind, and held against a baseline.
//!
//! A count does not depend on what else the machine does, so that a regression of a few percent
//! is seen at once and on any machine with the same compiler. It says nothing of caches and of the
//! kernel: that is what comparisons are for.

mod whole;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::cases;
use crate::host;
use crate::programs;

/// Calls of each case under callgrind, after those that make it warm.
const TIMES: u64 = 100;

/// What `instructions` is told.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Fail where a case costs more than its baseline by more than --percent
    #[arg(long, conflicts_with = "write")]
    check: bool,
    /// What a case may cost more
    #[arg(long, default_value = "5", value_name = "N")]
    percent: f64,
    /// Make what is counted now the baseline
    #[arg(long)]
    write: bool,
    /// The baseline
    #[arg(long, default_value = "bench/baseline.json", value_name = "FILE")]
    baseline: PathBuf,
}

/// Counts of all cases, with the compiler that made the code.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Baseline {
    compiler: String,
    /// Instructions of one call.
    cases: BTreeMap<String, f64>,
}

/// Counts, prints, and checks or writes the baseline.
///
/// # Errors
///
/// A case costs too much or has no baseline (with `--check`), or a file cannot be read or written.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let Some(valgrind) = programs::on_path("valgrind") else {
        println!("skipped: valgrind is not on this machine (bench/install-peers.sh installs it)");
        return Ok(());
    };
    let before = read(&options.baseline)?;
    let mut now = Baseline { compiler: compiler(), cases: BTreeMap::new() };
    let comparable = before.compiler == now.compiler || before.cases.is_empty();
    if !comparable {
        println!("not checked: the baseline is of {}, this is {}", before.compiler, now.compiler);
    }
    println!("{:<34} {:>12} {:>12} {:>8}", "instructions per call", "now", "baseline", "change");
    for case in cases::all() {
        let count = count(&valgrind, case.name)?;
        println!("{}", line(case.name, count, before.cases.get(case.name).copied()));
        now.cases.insert(case.name.to_owned(), count);
    }
    programs::build()?;
    let count = whole::count(&valgrind)?;
    println!("{}", line(whole::NAME, count, before.cases.get(whole::NAME).copied()));
    now.cases.insert(whole::NAME.to_owned(), count);
    if options.write {
        return write(&options.baseline, &now);
    }
    // Another compiler makes other code: its counts say nothing of what was changed here.
    let complaints = match options.check && comparable {
        true => complaints(&before, &now, options.percent),
        false => Vec::new(),
    };
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n  ")) }
}

/// Runs one case, as callgrind sees it: what warms it up is not counted.
///
/// # Errors
///
/// No case has this name.
pub(crate) fn one(name: &str) -> Result<(), String> {
    let case = cases::all().find(|case| case.name == name);
    let mut work = (case.ok_or_else(|| format!("no case `{name}`"))?.make)();
    for _ in 0..TIMES {
        work();
    }
    cases::repeat(&mut *work, TIMES);
    Ok(())
}

fn line(name: &str, now: f64, before: Option<f64>) -> String {
    match before {
        Some(before) => {
            let change = percent(before, now);
            format!("{name:<34} {now:>12.1} {before:>12.1} {change:>+7.1}%")
        }
        None => format!("{name:<34} {now:>12.1} {:>12} {:>8}", "-", "-"),
    }
}

fn percent(before: f64, now: f64) -> f64 {
    (now - before) / before.max(1.0) * 100.0
}

/// What a check has against the counts of now.
fn complaints(before: &Baseline, now: &Baseline, limit: f64) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, count) in &now.cases {
        match before.cases.get(name) {
            None => complaints.push(format!("{name} has no baseline: count it with --write")),
            Some(old) if percent(*old, *count) > limit => {
                let change = percent(*old, *count);
                complaints.push(format!("{name}: {old:.0} -> {count:.0} ({change:+.1} %)"));
            }
            Some(_) => {}
        }
    }
    let gone = before.cases.keys().filter(|name| !now.cases.contains_key(*name));
    complaints.extend(gone.map(|name| format!("{name} is in the baseline but no case any more")));
    complaints
}

fn count(valgrind: &Path, case: &str) -> Result<f64, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(valgrind);
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg("--toggle-collect=ringway_bench::cases::repeat*");
    command.arg(own).args(["case", case]).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("valgrind: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("{case} under valgrind: {text}"));
    }
    let collected = parse(&text).ok_or_else(|| format!("valgrind says no count: {text}"))?;
    Ok(collected as f64 / TIMES as f64)
}

/// The figure of the line `==123== Collected : 4567`.
fn parse(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.split_once("Collected :"))?;
    line.1.trim().parse().ok().filter(|count| *count > 0)
}

fn compiler() -> String {
    programs::on_path("rustc").map_or_else(|| "unknown".to_owned(), |p| host::version(&p, "-V"))
}

fn read(path: &Path) -> Result<Baseline, String> {
    match fs::read_to_string(path) {
        Ok(text) => {
            serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
        }
        // The first count of all has nothing to be held against.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Baseline::default()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn write(path: &Path, baseline: &Baseline) -> Result<(), String> {
    let json = serde_json::to_string_pretty(baseline).map_err(|error| error.to_string())?;
    fs::write(path, json + "\n").map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(cases: &[(&str, f64)]) -> Baseline {
        let cases = cases.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Baseline { compiler: String::new(), cases }
    }

    #[test]
    fn a_regression_a_new_case_and_a_lost_one_are_complained_about() {
        let before =
            baseline(&[("same", 100.0), ("worse", 100.0), ("better", 100.0), ("gone", 1.0)]);
        let now = baseline(&[("same", 104.9), ("worse", 105.2), ("better", 50.0), ("new", 1.0)]);
        let complaints = complaints(&before, &now, 5.0);
        assert_eq!(complaints.len(), 3, "{complaints:?}");
        assert!(complaints.iter().any(|c| c == "worse: 100 -> 105 (+5.2 %)"), "{complaints:?}");
        assert!(complaints.iter().any(|c| c.starts_with("new has no baseline")));
        assert!(complaints.iter().any(|c| c.starts_with("gone is in the baseline")));
    }

    #[test]
    fn the_count_is_read_and_none_is_no_count() {
        assert_eq!(parse("==1== Events    : Ir\n==1== Collected : 4567\n"), Some(4567));
        assert_eq!(parse("==1== Collected : 0\n"), None);
        assert_eq!(parse("nothing"), None);
    }

    #[test]
    fn lines_show_the_change() {
        assert!(line("a/b", 110.0, Some(100.0)).ends_with("+10.0%"));
        assert!(line("a/b", 110.0, None).ends_with('-'));
        assert!(one("no/such").is_err());
    }
}
