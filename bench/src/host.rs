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

/// The commit that a Ringway binary was built from, with a mark where its sources were changed:
/// what the binary says, since the working directory may have gone on.
pub(crate) fn commit(ringway: &Path) -> String {
    commit_in(&version(ringway, "--version"))
}

/// Out of `revision/version/sources/build/TLS`.
fn commit_in(version: &str) -> String {
    let parts: Vec<&str> = version.split('/').collect();
    match parts[..] {
        [revision, _, "Clean", ..] => revision.to_owned(),
        [revision, _, "Modified", ..] => format!("{revision} with changes"),
        // An archive without a repository has the null name for a commit.
        [revision, _, "Distribution", ..] if revision.contains(|c| c != '0') => revision.to_owned(),
        _ => "unknown".to_owned(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commit_is_the_one_that_the_binary_names() {
        for (version, commit) in [
            ("abc1/0.1.0/Clean/RELEASE/none", "abc1"),
            ("abc1/0.1.0/Modified/DEBUG/none", "abc1 with changes"),
            ("abc1/0.1.0/Distribution/RELEASE/none", "abc1"),
            ("0000/0.1.0/Distribution/RELEASE/none", "unknown"),
            ("unknown", "unknown"),
        ] {
            assert_eq!(commit_in(version), commit, "{version}");
        }
        assert_eq!(commit(Path::new("/no/such/program")), "unknown");
    }
}
