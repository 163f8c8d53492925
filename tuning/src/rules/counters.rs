//! Rules about what has already happened: the kernel's counters since boot.

use super::{Case, finding, grouped, severity_if, unknown};
use crate::finding::{Finding, Severity};

pub(super) fn rules(case: &Case<'_>) -> Vec<Finding> {
    let rules =
        [overflows(case), drops(case), Some(memory(case)), time_wait(case), retransmissions(case)];
    rules.into_iter().flatten().collect()
}

fn overflows(case: &Case<'_>) -> Option<Finding> {
    const SETTING: &str = "accept queue overflows";
    let Some(count) = case.host.counters.listen_overflows else {
        return Some(unknown(SETTING, "0"));
    };
    Some(
        finding(severity_if(count > 0, Severity::Advice), SETTING, grouped(count))
            .wanted("0 since boot")
            .why("So many connections found the accept queue of a listener full.")
            .how(
                "Watch `nstat -az TcpExtListenOverflows`; if it grows, raise net.core.somaxconn \
                 and look for a worker that is out of CPU time (`ss -ltn` shows each queue)",
            ),
    )
}

/// Drops at listeners that were not overflows.
fn drops(case: &Case<'_>) -> Option<Finding> {
    let overflows = case.host.counters.listen_overflows?;
    let other = case.host.counters.listen_drops?.checked_sub(overflows)?;
    (other > 0).then(|| {
        finding(Severity::Note, "other drops at listeners", grouped(other))
            .wanted("0 since boot")
            .why("Connections were dropped at a listener for want of memory or of a route back.")
            .how("Watch `nstat -az TcpExtListenDrops`; if it grows, `perf trace` on skb:kfree_skb")
    })
}

fn memory(case: &Case<'_>) -> Finding {
    const SETTING: &str = "connections reset for memory";
    let Some(count) = case.host.counters.aborts_on_memory else { return unknown(SETTING, "0") };
    finding(severity_if(count > 0, Severity::Failure), SETTING, grouped(count))
        .wanted("0 since boot")
        .why("TCP's buffers reached net.ipv4.tcp_mem and the kernel reset connections.")
        .how(
            "Raise the third number of net.ipv4.tcp_mem (in pages), or give Ringway smaller \
             per_connection_buffer_limit_bytes",
        )
}

fn time_wait(case: &Case<'_>) -> Option<Finding> {
    let count = case.host.counters.time_wait_overflows?;
    (count > 0).then(|| {
        finding(Severity::Advice, "TIME-WAIT overflows", grouped(count))
            .wanted("0 since boot")
            .why("So many sockets skipped TIME-WAIT because net.ipv4.tcp_max_tw_buckets was full.")
            .how("Raise net.ipv4.tcp_max_tw_buckets, or keep upstream connections alive longer")
    })
}

fn retransmissions(case: &Case<'_>) -> Option<Finding> {
    let (sent, again) = case.host.counters.segments?;
    // Of a few segments a share says nothing.
    let percent = if sent < 10_000 { 0.0 } else { again as f64 * 100.0 / sent as f64 };
    Some(
        finding(
            severity_if(percent > 2.0, Severity::Note),
            "retransmitted",
            format!("{percent:.1} %"),
        )
        .wanted("below 2 %")
        .why("Packets get lost on the way to clients or upstreams.")
        .how(
            "`ss -ti` shows which peers; errors of the card show in `ethtool -S`; for lossy \
                 clients try BBR",
        ),
    )
}
