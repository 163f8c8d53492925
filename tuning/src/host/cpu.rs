//! Processors: how many, how they are clocked, how deep they sleep, what a container may use.

use std::path::Path;

use super::read;

/// The processors of a host.
#[derive(Clone, Debug, Default)]
pub struct Cpus {
    /// CPUs that are online.
    pub online: Option<usize>,
    /// `scaling_governor` of each CPU that has one, without repeats; empty on most virtual
    /// machines.
    pub governors: Vec<String>,
    /// The longest wake-up latency of an idle state that is not disabled, with the state's name,
    /// in microseconds.
    pub deepest_idle: Option<(String, u64)>,
    /// NUMA nodes that are online.
    pub numa_nodes: usize,
    /// CPU time that the control group allows, in CPUs; `None` is unlimited.
    pub quota: Option<f64>,
}

impl Cpus {
    pub(super) fn read(root: &Path) -> Self {
        let cpus = root.join("sys/devices/system/cpu");
        let list = |path| read::text(path).map(|list| read::cpu_list(&list).len());
        Self {
            online: list(&cpus.join("online")).filter(|&count| count > 0),
            governors: governors(&cpus),
            deepest_idle: deepest_idle(&cpus.join("cpu0/cpuidle")),
            numa_nodes: list(&root.join("sys/devices/system/node/online")).unwrap_or(1),
            quota: quota(root),
        }
    }
}

fn governors(cpus: &Path) -> Vec<String> {
    let of = |name: &String| read::text(&cpus.join(name).join("cpufreq/scaling_governor"));
    let mut governors: Vec<String> = read::names(cpus, "cpu").iter().filter_map(of).collect();
    governors.sort();
    governors.dedup();
    governors
}

/// All CPUs of a host have the same states, so the first one speaks for them.
fn deepest_idle(cpuidle: &Path) -> Option<(String, u64)> {
    let state = |name: &String| {
        let state = cpuidle.join(name);
        let disabled = read::text(&state.join("disable")).is_some_and(|flag| flag != "0");
        let latency = read::value(&state.join("latency")).filter(|_| !disabled)?;
        Some((read::text(&state.join("name"))?, latency))
    };
    read::names(cpuidle, "state").iter().filter_map(state).max_by_key(|(_, latency)| *latency)
}

/// `cpu.max` of control groups version 2 is `<quota or max> <period>` in microseconds. Inside a
/// container the group's own directory is the mount point.
fn quota(root: &Path) -> Option<f64> {
    let group = read::text(&root.join("proc/self/cgroup"))?;
    let own = group.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or("");
    let mount = root.join("sys/fs/cgroup");
    let text = read::text(&mount.join(own).join("cpu.max"))
        .or_else(|| read::text(&mount.join("cpu.max")))?;
    let (quota, period) = text.split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (period > 0.0).then_some(quota / period)
}
