//! Limits of the process that matters: the running Ringway, or else the doctor in its place.

use std::path::{Path, PathBuf};

use super::read;

/// Bit of `CAP_NET_BIND_SERVICE` in a capability mask.
const NET_BIND_SERVICE: u64 = 1 << 10;

/// What a process may use.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// The process id of the running Ringway; `None` where the doctor looked at itself.
    pub ringway: Option<u32>,
    /// Soft and hard limit of open files; `u64::MAX` is unlimited.
    pub open_files: Option<(u64, u64)>,
    /// Soft limit of locked memory in bytes; `u64::MAX` is unlimited.
    pub locked_memory: Option<u64>,
    /// Whether it may bind ports below `ip_unprivileged_port_start`.
    pub binds_low_ports: Option<bool>,
    /// Whether a seccomp filter, such as a container's, restricts its system calls.
    pub filtered: Option<bool>,
}

impl Process {
    pub(super) fn read(root: &Path) -> Self {
        let ringway = running_ringway(root);
        let directory = match ringway {
            Some(pid) => root.join("proc").join(pid.to_string()),
            None => root.join("proc/self"),
        };
        let limits = read::text(&directory.join("limits")).unwrap_or_default();
        let status = read::text(&directory.join("status")).unwrap_or_default();
        let capabilities = status_field(&status, "CapEff:");
        Self {
            ringway,
            open_files: limit(&limits, "Max open files"),
            locked_memory: limit(&limits, "Max locked memory").map(|(soft, _)| soft),
            binds_low_ports: capabilities
                .and_then(|mask| u64::from_str_radix(mask, 16).ok())
                .map(|mask| mask & NET_BIND_SERVICE != 0),
            filtered: status_field(&status, "Seccomp:").map(|mode| mode != "0"),
        }
    }
}

/// The first process of that name which is not the doctor itself: its limits are the ones that
/// count, while the shell's only happen to be there.
fn running_ringway(root: &Path) -> Option<u32> {
    let proc = root.join("proc");
    let own = std::fs::read_link(proc.join("self")).ok();
    let is_ringway = |pid: &u32| {
        let directory = PathBuf::from(pid.to_string());
        let readable = || read::text(&proc.join(&directory).join("limits")).is_some();
        own.as_ref() != Some(&directory)
            && read::text(&proc.join(&directory).join("comm")).is_some_and(|name| name == "ringway")
            && readable()
    };
    read::names(&proc, "").iter().filter_map(|name| name.parse().ok()).find(is_ringway)
}

/// Soft and hard value of one line of `/proc/<pid>/limits`.
fn limit(limits: &str, name: &str) -> Option<(u64, u64)> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    let mut values = line.split_whitespace().map(|value| match value {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    });
    Some((values.next()??, values.next()??))
}

fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_a_soft_and_a_hard_value() {
        let text = "Max open files            1024                 unlimited            files";
        assert_eq!(limit(text, "Max open files"), Some((1024, u64::MAX)));
        assert_eq!(limit(text, "Max locked memory"), None);
        assert_eq!(limit("Max open files", "Max open files"), None);
    }
}
