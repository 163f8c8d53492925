//! Rules about processors: enough of them for the workers, awake and at full clock.

use super::{Case, finding, severity_if, unknown};
use crate::finding::{Finding, Severity};

pub(super) fn rules(case: &Case<'_>) -> Vec<Finding> {
    [Some(workers(case)), quota(case), governor(case), idle(case)].into_iter().flatten().collect()
}

fn workers(case: &Case<'_>) -> Finding {
    const SETTING: &str = "workers";
    let Some(cpus) = case.host.cpus.online else { return unknown(SETTING, "one for each CPU") };
    let workers = case.workers().unwrap_or(cpus);
    finding(severity_if(workers > cpus, Severity::Advice), SETTING, workers)
        .wanted(format!("at most {cpus}, the CPUs"))
        .why("Each worker is pinned to a CPU and shares nothing: two on one CPU take turns.")
        .how(format!("--concurrency {cpus}"))
}

/// A container with less CPU time than workers is stopped for part of each period.
fn quota(case: &Case<'_>) -> Option<Finding> {
    let quota = case.host.cpus.quota?;
    let workers = case.workers()?;
    let whole = (quota.floor() as usize).max(1);
    Some(
        finding(
            severity_if(workers as f64 > quota, Severity::Advice),
            "CPU quota of the container",
            format!("{quota:.1} CPUs"),
        )
        .wanted(format!("at least {workers}, the workers"))
        .why(
            "The workers use up the quota early in each period and then all stand still until \
             the next one: the slowest requests take tens of milliseconds.",
        )
        .how(format!("--concurrency {whole}, or raise the CPU limit to a whole number of CPUs")),
    )
}

/// Virtual machines have no governor, and then there is nothing to say.
fn governor(case: &Case<'_>) -> Option<Finding> {
    let governors = &case.host.cpus.governors;
    let slow = governors.iter().any(|governor| governor != "performance");
    (!governors.is_empty()).then(|| {
        finding(severity_if(slow, Severity::Advice), "CPU governor", governors.join(", "))
            .wanted("performance")
            .why("A clock that follows the load is behind it: short bursts run at the low clock.")
            .how("cpupower frequency-set -g performance, or tuned-adm profile latency-performance")
    })
}

fn idle(case: &Case<'_>) -> Option<Finding> {
    let (name, latency) = case.host.cpus.deepest_idle.as_ref()?;
    Some(
        finding(
            severity_if(*latency > 50, Severity::Note),
            "deepest idle state",
            format!("{name}, {latency} us"),
        )
        .wanted("wakes in 50 us or less")
        .why(
            "At low load each request waits for a CPU to wake; it costs power to keep CPUs awake, \
             and under full load it changes nothing.",
        )
        .how("cpupower idle-set -D 50, or hold /dev/cpu_dma_latency open"),
    )
}
