//! The machine that figures were taken on.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// What a reader must know to judge a figure.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Host {
    pub(crate) kernel: String,
    pub(crate) cpu: String,
    pub(crate) cpus: usize,
    pub(crate) memory_mib: u64,
    pub(crate) congestion_control: String,
    /// The 1-minute load average when the bench began.
    pub(crate) load_average: String,
    pub(crate) unix_seconds: u64,
}

impl Host {
    /// This machine, now.
    pub(crate) fn look() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            kernel: first_line("/proc/sys/kernel/osrelease"),
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            cpus: count("/proc/cpuinfo", "processor"),
            memory_mib: field("/proc/meminfo", "MemTotal").map_or(0, |text| kib(&text) / 1024),
            congestion_control: first_line("/proc/sys/net/ipv4/tcp_congestion_control"),
            load_average: first_line("/proc/loadavg").split(' ').next().unwrap_or("").to_owned(),
            unix_seconds: now.map_or(0, |since| since.as_secs()),
        }
    }

    /// One line for the head of a report.
    pub(crate) fn line(&self) -> String {
        format!(
            "Linux {}, {} x {}, {} MiB, {}, load {}",
            self.kernel,
            self.cpus,
            self.cpu,
            self.memory_mib,
            self.congestion_control,
            self.load_average
        )
    }
}

fn first_line(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Lines that begin with `name`. What a process may use itself may be less than what there is.
fn count(path: &str, name: &str) -> usize {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|line| line.starts_with(name)).count()
}

fn kib(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The commit of the working directory, with a mark where it was changed; `unknown` elsewhere.
pub(crate) fn commit() -> String {
    let output = Command::new("git").args(["describe", "--always", "--dirty", "--tags"]).output();
    let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    text.and_then(|text| String::from_utf8(text).ok())
        .map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// What a program says when asked for its version: the first line that holds a digit.
pub(crate) fn version(program: &Path, option: &str) -> String {
    let Ok(output) = Command::new(program).arg(option).output() else {
        return "unknown".to_owned();
    };
    // nginx answers on standard error.
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find(|line| line.chars().any(|c| c.is_ascii_digit()));
    let line = line.unwrap_or("unknown").trim();
    // Envoy names its own path first.
    line.rsplit_once(" version: ").map_or(line, |(_, version)| version.trim()).to_owned()
}
