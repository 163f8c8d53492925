//! The kernel settings, one rule each, in the order of the guide. The evidence for each value, or
//! the word that none was published, stands in the guide under the same name.

use super::Case;
use super::sysctl::{Rule, Wanted, port_range};
use crate::finding::Severity;
use crate::size::Size;

/// Every kernel setting that is read from a host: those of the rules below, and what others look
/// up.
pub(crate) const SYSCTLS: &[&str] = &[
    "fs.file-max",
    "fs.nr_open",
    "kernel.io_uring_disabled",
    "net.core.busy_poll",
    "net.core.busy_read",
    "net.core.default_qdisc",
    "net.core.netdev_budget",
    "net.core.netdev_max_backlog",
    "net.core.somaxconn",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_abort_on_overflow",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_max_tw_buckets",
    "net.ipv4.tcp_migrate_req",
    "net.ipv4.tcp_mtu_probing",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_wmem",
    "net.netfilter.nf_conntrack_max",
];

/// What most rules have in common.
const RULE: Rule = Rule {
    name: "",
    applies: |_| true,
    wanted: |_| Wanted::OneOf(&[]),
    fails: |_, _| false,
    otherwise: Severity::Advice,
    why: "",
    how: None,
};

pub(super) const TABLE: &[Rule] = &[
    Rule {
        name: "kernel.io_uring_disabled",
        applies: |case| case.host.kernel() >= Some((6, 6)),
        wanted: |_| Wanted::OneOf(&["0"]),
        why: "Ringway falls back to epoll, which works at a higher cost per request. Some \
              distributions turn io_uring off for safety: that is a choice to make knowingly.",
        how: Some("If your rules on safety allow it: sysctl -w kernel.io_uring_disabled=0"),
        ..RULE
    },
    Rule {
        name: "net.core.somaxconn",
        wanted: |case| Wanted::AtLeast(backlog(case)),
        // The kernel's default before 5.4 was 128, which one burst of clients fills.
        fails: |case, found| case.size > Size::Small && number(found) < 1_024,
        why: "It caps the accept queue of every listener; when the queue is full, new connections \
              are dropped and clients wait a second to retry.",
        ..RULE
    },
    Rule {
        name: "net.ipv4.tcp_max_syn_backlog",
        wanted: |case| Wanted::AtLeast(backlog(case)),
        why: "It bounds the connections that are half open, from which on SYN cookies take over \
              and TCP options are lost.",
        ..RULE
    },
    Rule {
        name: "net.ipv4.tcp_syncookies",
        wanted: |_| Wanted::OneOf(&["1", "2"]),
        fails: |_, _| true,
        why: "Without SYN cookies a flood of SYNs fills the queue and nobody else can connect.",
        ..RULE
    },
    Rule {
        name: "net.ipv4.tcp_abort_on_overflow",
        wanted: |_| Wanted::OneOf(&["0"]),
        why: "A full accept queue then answers with a reset where a retry would have succeeded.",
        ..RULE
    },
    Rule {
        name: "net.ipv4.ip_local_port_range",
        applies: |case| case.size > Size::Small,
        wanted: |_| Wanted::Ports { from: 1024, to: 65535, at_least: 60_000 },
        fails: |_, found| ports(found) < 10_000,
        why: "Each connection to one upstream address takes a port of this range; when none is \
              left, connecting fails.",
        ..RULE
    },
    Rule {
        name: "net.ipv4.ip_local_reserved_ports",
        applies: |case| !exposed_ports(case).is_empty(),
        wanted: |case| Wanted::Includes(exposed_ports(case)),
        why: "These listeners' ports lie in ip_local_port_range: an outgoing connection may hold \
              one of them when Ringway starts, and the listener cannot bind.",
        ..RULE
    },
    Rule {
        name: "net.ipv4.tcp_tw_reuse",
        applies: |case| case.size > Size::Small,
        wanted: |_| Wanted::OneOf(&["1"]),
        why: "Ports of upstream connections that Ringway closed stay in TIME-WAIT for a minute; \
              reuse is safe for outgoing connections.",
        ..RULE
    },
    Rule {
        name: "net.ipv4.tcp_max_tw_buckets",
        wanted: |case| Wanted::AtLeast(case.connections().clamp(8_192, 2_000_000)),
        why: "Beyond it sockets skip TIME-WAIT, and a late packet of the old connection may meet \
              the new one.",
        ..RULE
    },
    Rule {
        name: "net.ipv4.tcp_slow_start_after_idle",
        wanted: |_| Wanted::OneOf(&["0"]),
        why: "A keep-alive connection that paused starts again from a small window, so the next \
              response takes more round trips.",
        ..RULE
    },
    Rule {
        name: "net.ipv4.tcp_mtu_probing",
        wanted: |_| Wanted::OneOf(&["1", "2"]),
        why: "Clients behind a path that drops ICMP hang on large responses unless TCP finds the \
              packet size by itself.",
        ..RULE
    },
    Rule {
        name: "net.ipv4.tcp_migrate_req",
        applies: |case| case.host.kernel() >= Some((5, 14)),
        wanted: |_| Wanted::OneOf(&["1"]),
        why: "When one of several sockets of a listener closes, at a restart for one, the \
              connections that wait on it are reset instead of moved to the others.",
        ..RULE
    },
    Rule {
        name: "net.ipv4.tcp_rmem",
        wanted: |_| Wanted::LastAtLeast(4 * 1024 * 1024),
        why: "Somebody lowered the largest receive buffer below the kernel's default: uploads over \
              long distances slow down.",
        ..RULE
    },
    Rule {
        name: "net.ipv4.tcp_wmem",
        wanted: |_| Wanted::LastAtLeast(4 * 1024 * 1024),
        why: "Somebody lowered the largest send buffer below the kernel's default: downloads over \
              long distances slow down.",
        ..RULE
    },
    Rule {
        name: "net.core.netdev_max_backlog",
        applies: |case| case.host.counters.backlog_drops.is_some_and(|drops| drops > 0),
        wanted: |_| Wanted::AtLeast(16_384),
        why: "Packets were dropped since boot because a CPU's queue of received packets was full.",
        ..RULE
    },
    Rule {
        name: "net.core.netdev_budget",
        applies: |case| case.host.counters.squeezes.is_some_and(is_squeezed),
        wanted: |_| Wanted::AtLeast(600),
        why: "The kernel often stopped processing received packets with more of them waiting.",
        ..RULE
    },
    Rule {
        name: "fs.file-max",
        wanted: |case| Wanted::AtLeast(case.open_files().saturating_mul(2)),
        fails: |case, found| number(found) < case.open_files(),
        why: "It bounds the open files of the whole host; a proxied connection takes two.",
        ..RULE
    },
    Rule {
        name: "fs.nr_open",
        wanted: |case| Wanted::AtLeast(case.open_files()),
        fails: |_, _| true,
        why: "No limit on a process's open files can be raised above it, and a proxied connection \
              takes two.",
        ..RULE
    },
    Rule {
        name: "net.netfilter.nf_conntrack_max",
        applies: |case| case.host.sysctl("net.netfilter.nf_conntrack_max").is_some(),
        wanted: |case| Wanted::AtLeast(case.connections().saturating_mul(4)),
        fails: |case, found| {
            let tracked = case.host.counters.tracked.unwrap_or(0);
            tracked.saturating_mul(5) >= number(found).saturating_mul(4)
                || number(found) < case.connections().saturating_mul(2)
        },
        why: "Each proxied connection takes two entries in the table, and more in TIME-WAIT; when \
              it is full, packets of new connections are dropped. Better still is no tracking on \
              the proxy's ports at all (see the guide).",
        ..RULE
    },
    Rule {
        name: "net.core.busy_poll",
        wanted: |_| Wanted::OneOf(&["0"]),
        otherwise: Severity::Note,
        why: "Polling the card on poll() and epoll_wait() trades CPU time for latency; Ringway's \
              rings do not profit from it.",
        ..RULE
    },
    Rule {
        name: "net.core.busy_read",
        wanted: |_| Wanted::OneOf(&["0"]),
        otherwise: Severity::Note,
        why: "Polling the card on reads trades CPU time for latency: keep it only if the latency \
              that it gains was measured.",
        ..RULE
    },
    Rule {
        name: "net.ipv4.tcp_congestion_control",
        wanted: |_| Wanted::OneOf(&["bbr"]),
        otherwise: Severity::Note,
        why: "Clients on lossy networks gain from BBR with the fq scheduler; inside a data centre \
              it brings nothing. Measure before and after.",
        how: Some(
            "modprobe tcp_bbr; sysctl -w net.core.default_qdisc=fq \
                   net.ipv4.tcp_congestion_control=bbr",
        ),
        ..RULE
    },
];

/// Connections that may wait on one listener: the size's number, or the longest that a listener
/// asks for.
fn backlog(case: &Case<'_>) -> u64 {
    case.facts.longest_backlog().unwrap_or(0).max(case.size.backlog())
}

/// Ports of listeners that outgoing connections may take.
fn exposed_ports(case: &Case<'_>) -> Vec<u16> {
    let range = case.host.sysctl("net.ipv4.ip_local_port_range").and_then(port_range);
    let Some((from, to)) = range else { return Vec::new() };
    // What the advice on the range would open counts as well: both are applied together.
    let from = if case.size > Size::Small { from.min(1024) } else { from };
    let mut ports: Vec<u16> =
        case.facts.listeners.iter().filter_map(|listener| listener.port).collect();
    ports.retain(|port| (from..=to).contains(port));
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// More than one squeeze in ten thousand packets.
fn is_squeezed((squeezes, packets): (u64, u64)) -> bool {
    squeezes.saturating_mul(10_000) > packets
}

fn ports(range: &str) -> u64 {
    port_range(range).map_or(0, |(from, to)| u64::from(to.saturating_sub(from)) + 1)
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_reads_a_setting_that_the_snapshot_has() {
        assert!(SYSCTLS.is_sorted());
        for rule in TABLE {
            assert!(SYSCTLS.contains(&rule.name), "{} is not read", rule.name);
            assert!(!rule.why.is_empty(), "{} does not say why", rule.name);
        }
    }

    #[test]
    fn a_few_squeezes_are_no_trouble() {
        assert!(!is_squeezed((1, 1_000_000)));
        assert!(is_squeezed((1_000, 1_000_000)));
    }
}
