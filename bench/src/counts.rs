//! System calls, allocations and context switches per request, in steady state.
//!
//! A window on the running proxy: `perf stat` counts events of the kernel and calls of the C
//! library's allocator (by probes that are set for the time of the run and removed after it), the
//! load generator counts requests. Where perf cannot be used, strace counts system calls, and
//! allocations are left out with the reason.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::compare::{Stage, StageOptions};
use crate::programs;
use crate::workload;

/// Probes are named so that nobody else's are removed.
const GROUP: &str = "ringway_bench";
/// What allocates in the C library.
const ALLOCATORS: [&str; 6] =
    ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"];

/// What `counts` is told.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Load, by name
    #[arg(long, default_value = "small-64", value_name = "NAME")]
    workload: String,
    /// Who is counted
    #[arg(long, value_delimiter = ',', default_value = "ringway", value_name = "NAME,...")]
    peers: Vec<String>,
    /// Seconds of each window
    #[arg(long, default_value = "2", value_name = "N")]
    seconds: u64,
    /// Count the binaries as they are, instead of building them first
    #[arg(long)]
    no_build: bool,
}

/// Events of one window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Window(BTreeMap<String, u64>);

impl Window {
    fn get(&self, event: &str) -> Option<u64> {
        self.0.get(event).copied()
    }
}

/// What one peer does for each request.
#[derive(Debug, Clone, Default, PartialEq)]
struct Counts {
    rate: f64,
    system_calls: Option<f64>,
    switches: Option<f64>,
    allocations: Option<f64>,
    notes: Vec<String>,
}

/// Counts and prints.
///
/// # Errors
///
/// A peer cannot be started or loaded.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let workload = workload::choose(std::slice::from_ref(&options.workload), false)?.remove(0);
    if !options.no_build {
        programs::build()?;
    }
    // A window, and time to start and end its tool.
    let measured = Duration::from_secs(options.seconds + 2);
    let stage = Stage::set(&StageOptions::single(&options.peers, measured))?;
    println!("{}", crate::host::Host::look().line());
    println!("{}: {}, windows of {} s\n", workload.name, workload.title, options.seconds);
    println!("            req/s  system calls/req  switches/req  allocations/req");
    for peer in stage.peers() {
        let mut counts = Counts::default();
        // A turn for each: probes slow down a proxy that allocates much.
        let turns: [fn(&mut Counts, i32, &Options, &Path); 2] = [count_calls, count_allocations];
        for turn in turns {
            let mut window = Counts::default();
            let sample = stage.single(peer, &workload, |proxy| {
                turn(&mut window, proxy, options, stage.folder());
            })?;
            window.per_request(sample.rate * options.seconds as f64);
            counts.add(window, sample.rate);
        }
        println!("{}", counts.line(peer.kind.name()));
    }
    stage.clear();
    Ok(())
}

impl Counts {
    /// From events to events by request.
    fn per_request(&mut self, requests: f64) {
        for figure in [&mut self.system_calls, &mut self.switches, &mut self.allocations] {
            *figure = figure.map(|events| events / requests.max(1.0));
        }
    }

    /// Takes over what another window has counted.
    fn add(&mut self, window: Self, rate: f64) {
        self.system_calls = self.system_calls.or(window.system_calls);
        self.switches = self.switches.or(window.switches);
        self.allocations = self.allocations.or(window.allocations);
        self.notes.extend(window.notes);
        self.rate = self.rate.max(rate);
    }

    fn line(&self, name: &str) -> String {
        let figure = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.3}"));
        let mut line = format!(
            "{name:<9} {:>7.0}  {:>16}  {:>12}  {:>15}",
            self.rate,
            figure(self.system_calls),
            figure(self.switches),
            figure(self.allocations)
        );
        self.notes.iter().for_each(|note| line += &format!("\n  {note}"));
        line
    }
}

fn count_calls(counts: &mut Counts, proxy: i32, options: &Options, folder: &Path) {
    let events = ["raw_syscalls:sys_enter", "context-switches"];
    match perf_stat(&crate::usage::family(proxy), &events, options.seconds) {
        Ok(window) => {
            counts.system_calls = window.get(events[0]).map(|count| count as f64);
            counts.switches = window.get(events[1]).map(|count| count as f64);
        }
        Err(why) => {
            counts.notes.push(format!("perf cannot count system calls ({why}): strace does"));
            match strace(proxy, options.seconds, folder) {
                Ok(calls) => counts.system_calls = Some(calls as f64),
                Err(why) => counts.notes.push(format!("nor can strace: {why}")),
            }
        }
    }
}

fn count_allocations(counts: &mut Counts, proxy: i32, options: &Options, _: &Path) {
    match allocations(&crate::usage::family(proxy), proxy, options.seconds) {
        Ok(0) => {
            counts.allocations = Some(0.0);
            counts.notes.push("no call of the C library's allocator was seen".to_owned());
        }
        Ok(calls) => counts.allocations = Some(calls as f64),
        Err(why) => counts.notes.push(format!("allocations are not counted: {why}")),
    }
}

/// Runs `perf stat` on processes for some seconds.
fn perf_stat(family: &[i32], events: &[&str], seconds: u64) -> Result<Window, String> {
    let ids: Vec<String> = family.iter().map(i32::to_string).collect();
    let mut command = Command::new("perf");
    command.args(["stat", "-x", ";", "-e", &events.join(","), "-p", &ids.join(",")]);
    command.args(["--", "sleep", &seconds.to_string()]);
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    // The figures come on standard error, beside complaints.
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let window = parse_perf(&text);
    if window.0.is_empty() {
        return Err(text.lines().next().unwrap_or("perf says nothing").to_owned());
    }
    Ok(window)
}

/// Lines of `COUNT;UNIT;EVENT;...`; events that could not be counted have words for a count.
fn parse_perf(text: &str) -> Window {
    let line = |line: &str| {
        let mut fields = line.split(';');
        let count: u64 = fields.next()?.parse().ok()?;
        Some((fields.nth(1)?.to_owned(), count))
    };
    Window(text.lines().filter_map(line).collect())
}

/// Calls of the allocator of the C library that a process uses.
fn allocations(family: &[i32], proxy: i32, seconds: u64) -> Result<u64, String> {
    let library = c_library(proxy).ok_or("it does not use the C library's")?;
    let probes = Probes::set(&library)?;
    let events: Vec<String> = probes.names.iter().map(|name| format!("{GROUP}:{name}")).collect();
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    let window = perf_stat(family, &events, seconds)?;
    Ok(window.0.values().sum())
}

fn c_library(id: i32) -> Option<PathBuf> {
    let maps = fs::read_to_string(format!("/proc/{id}/maps")).ok()?;
    let path = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    path.map(PathBuf::from).find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libc.so"))
    })
}

/// Probes in a library, removed when this value goes away.
struct Probes {
    names: Vec<&'static str>,
}

impl Probes {
    fn set(library: &Path) -> Result<Self, String> {
        // What an interrupted run has left behind would be in the way.
        drop(Self { names: Vec::new() });
        let mut probes = Self { names: Vec::new() };
        let mut why = String::new();
        for name in ALLOCATORS {
            let mut command = Command::new("perf");
            command.args(["probe", "-q", "-x"]).arg(library);
            command.args(["--add", &format!("{GROUP}:{name}={name}")]);
            match command.stdin(Stdio::null()).output() {
                Ok(output) if output.status.success() => probes.names.push(name),
                Ok(output) => why = String::from_utf8_lossy(&output.stderr).trim().to_owned(),
                Err(error) => why = format!("perf: {error}"),
            }
        }
        // Aliases of one function cannot all be probed; without malloc nothing is known.
        if probes.names.contains(&"malloc") { Ok(probes) } else { Err(why) }
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        let mut command = Command::new("perf");
        command.args(["probe", "-q", "-d", &format!("{GROUP}:*")]);
        // Nothing to remove, or no perf: both are fine.
        let _ = command.stdin(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// System calls in some seconds, as strace counts them. It slows the proxy down, which makes its
/// batches larger: the figure is a lower bound.
fn strace(proxy: i32, seconds: u64, folder: &Path) -> Result<u64, String> {
    let report = folder.join("strace");
    let mut command = Command::new("strace");
    command.args(["-c", "-f", "-q", "-o"]).arg(&report).args(["-p", &proxy.to_string()]);
    let started = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = started.map_err(|error| format!("strace: {error}"))?;
    thread::sleep(Duration::from_secs(seconds));
    let id = Pid::from_raw(child.id().cast_signed());
    kill(id, Signal::SIGINT).map_err(|error| error.to_string())?;
    child.wait().map_err(|error| error.to_string())?;
    let text = fs::read_to_string(&report).map_err(|error| error.to_string())?;
    parse_strace(&text).ok_or_else(|| "its summary has no total".to_owned())
}

/// The calls in the line of the total: `100.00 0.123 5 1234 [errors] total`.
fn parse_strace(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.ends_with("total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_perf_are_read_and_what_it_could_not_count_is_not() {
        let text = "1863;;raw_syscalls:sys_enter;1016037923;100.00;;\n\
                    <not supported>;;cycles;0;100.00;;\n\
                    77;;context-switches;1;100.00;;\nsome complaint\n";
        let window = parse_perf(text);
        assert_eq!(window.get("raw_syscalls:sys_enter"), Some(1863));
        assert_eq!((window.get("context-switches"), window.get("cycles")), (Some(77), None));
    }

    #[test]
    fn the_total_of_strace_is_read_with_and_without_errors() {
        let head = "% time     seconds  usecs/call     calls    errors syscall\n";
        let with = format!("{head}100.00    0.001000          10      1234         5 total\n");
        let without = format!("{head}100.00    0.001000          10      1234           total\n");
        assert_eq!((parse_strace(&with), parse_strace(&without)), (Some(1234), Some(1234)));
        assert_eq!(parse_strace("nothing"), None);
    }

    #[test]
    fn events_are_divided_by_requests() {
        let mut counts = Counts { system_calls: Some(50.0), ..Counts::default() };
        counts.per_request(100.0);
        assert_eq!((counts.system_calls, counts.allocations), (Some(0.5), None));
        assert!(counts.line("ringway").starts_with("ringway "));
        assert!(c_library(std::process::id().cast_signed()).is_some());
    }
}
