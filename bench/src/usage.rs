//! What processes used, as the kernel counts it.
//!
//! Time is the sum of `schedstat` over all threads, which is exact to the nanosecond and includes
//! the network work that the kernel does inside a send. `stat` counts in ticks of 10 ms: it only
//! says how that time splits into user and system.

use std::collections::HashMap;
use std::fs;

/// CPU time of a process and its children since they began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Time {
    pub(crate) total_ns: u64,
    pub(crate) user_ticks: u64,
    pub(crate) system_ticks: u64,
}

impl Time {
    /// What was used since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            total_ns: self.total_ns.saturating_sub(before.total_ns),
            user_ticks: self.user_ticks.saturating_sub(before.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(before.system_ticks),
        }
    }

    /// The part of the time that was spent in user space, 0 to 1.
    pub(crate) fn user_share(self) -> f64 {
        let ticks = self.user_ticks + self.system_ticks;
        if ticks == 0 { 0.0 } else { self.user_ticks as f64 / ticks as f64 }
    }
}

/// A process and all that descend from it, parents first.
///
/// It looks at every process of the machine, which takes milliseconds: not while something is
/// measured.
pub(crate) fn family(root: i32) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for id in process_ids() {
        if let Some(stat) = Stat::read(id) {
            children.entry(stat.parent).or_default().push(id);
        }
    }
    let mut family = vec![root];
    let mut at = 0;
    while let Some(id) = family.get(at).copied() {
        family.extend(children.remove(&id).into_iter().flatten());
        at += 1;
    }
    family
}

fn process_ids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// CPU time of a family.
pub(crate) fn time(family: &[i32]) -> Time {
    let mut time = Time::default();
    for id in family {
        time.total_ns += threads(*id).map(run_time_ns).sum::<u64>();
        if let Some(stat) = Stat::read(*id) {
            time.user_ticks += stat.user_ticks;
            time.system_ticks += stat.system_ticks;
        }
    }
    time
}

fn threads(id: i32) -> impl Iterator<Item = std::path::PathBuf> {
    fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten().map(|e| e.path())
}

fn run_time_ns(thread: std::path::PathBuf) -> u64 {
    let text = fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
    text.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

/// The ids of a process's threads.
pub(crate) fn thread_ids(id: i32) -> Vec<i32> {
    threads(id).filter_map(|path| path.file_name()?.to_str()?.parse().ok()).collect()
}

/// The fields of `/proc/ID/stat` that matter here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: i32,
    user_ticks: u64,
    system_ticks: u64,
}

impl Stat {
    fn read(id: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The name stands in brackets and may hold anything, brackets and blanks included.
        let rest = &text[text.rfind(')')? + 1..];
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // Field 3 of proc(5) is the first one here.
        let field = |number: usize| fields.get(number - 3);
        Some(Self {
            parent: field(4)?.parse().ok()?,
            user_ticks: field(14)?.parse().ok()?,
            system_ticks: field(15)?.parse().ok()?,
        })
    }
}

/// Resident memory of a family, in bytes. Pages that a family shares count once for each process.
pub(crate) fn resident_bytes(family: &[i32]) -> u64 {
    family.iter().filter_map(|id| status_kib(*id, "VmRSS:")).sum::<u64>() * 1024
}

fn status_kib(id: i32, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Ticks that all CPUs were busy since the machine began.
pub(crate) fn machine_ticks() -> u64 {
    busy_ticks(&fs::read_to_string("/proc/stat").unwrap_or_default())
}

fn busy_ticks(stat: &str) -> u64 {
    let line = stat.lines().next().unwrap_or_default();
    let fields: Vec<u64> = line.split_whitespace().skip(1).flat_map(str::parse).collect();
    // user, nice, system, idle, iowait, irq, softirq: see proc(5).
    [0, 1, 2, 5, 6].iter().filter_map(|index| fields.get(*index)).sum()
}

/// Ticks of a family.
pub(crate) fn ticks(family: &[i32]) -> u64 {
    let stats = family.iter().filter_map(|id| Stat::read(*id));
    stats.map(|stat| stat.user_ticks + stat.system_ticks).sum()
}

/// Ticks in a second.
pub(crate) const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_is_skipped() {
        let text = "42 (a ) b (c) S 7 1 1 0 -1 4194560 1 2 3 4 55 66 0 0 20 0 1 0 100 1000 5";
        let stat = Stat { parent: 7, user_ticks: 55, system_ticks: 66 };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse("42 (cut) S 7"), None);
    }

    #[test]
    fn idle_and_waiting_are_not_busy() {
        assert_eq!(busy_ticks("cpu  1 2 4 1000 1000 8 16 500 0 0\ncpu0 1"), 31);
        assert_eq!(busy_ticks(""), 0);
    }

    #[test]
    fn work_shows_in_the_time_of_this_process() {
        let id = std::process::id().cast_signed();
        let before = time(&[id]);
        let mut sum = 0_u64;
        // Until the clock of the scheduler has moved: no fixed amount of work is enough everywhere.
        while time(&[id]).since(before).total_ns < 1_000_000 {
            sum = (0..10_000_u64).fold(sum, |sum, n| std::hint::black_box(sum ^ n));
        }
        assert!(resident_bytes(&[id]) > 100_000);
        assert!(family(id).starts_with(&[id]));
    }

    #[test]
    fn shares_follow_the_ticks() {
        let time = Time { total_ns: 1, user_ticks: 1, system_ticks: 3 };
        assert!((time.user_share() - 0.25).abs() < 1e-9);
        assert!(Time::default().user_share().abs() < 1e-9);
    }
}
