//! Rules about network cards: queues, interrupts, offloads, and the node that they are attached to.

use super::{Case, finding, severity_if};
use crate::finding::{Finding, Severity};
use crate::host::{Nic, Offload};
use crate::size::Size;

/// Cards that are reported one by one; a host with more is reported by its first ones.
const MAX_CARDS: usize = 8;

pub(super) fn rules(case: &Case<'_>) -> Vec<Finding> {
    let cards = case.host.nics.iter().take(MAX_CARDS);
    cards.flat_map(|nic| card(case, nic)).collect()
}

fn card(case: &Case<'_>, nic: &Nic) -> Vec<Finding> {
    let Some(cpus) = case.host.cpus.online else { return Vec::new() };
    let rules = [
        queues(case, nic),
        software_steering(nic, cpus),
        transmit_steering(nic, cpus),
        interrupts(case, nic, cpus),
        numa(case, nic),
    ];
    rules.into_iter().flatten().chain(offloads(case, nic)).collect()
}

/// At a small load the card's queues do not show.
fn severity(case: &Case<'_>) -> Severity {
    if case.size > Size::Small { Severity::Advice } else { Severity::Note }
}

fn queues(case: &Case<'_>, nic: &Nic) -> Option<Finding> {
    let workers = case.workers()?;
    let short = nic.rx_queues < workers && nic.rps_queues == 0;
    Some(
        finding(
            severity_if(short, severity(case)),
            &format!("{}: receive queues", nic.name),
            nic.rx_queues,
        )
        .wanted(format!("{workers}, one for each worker"))
        .why("Packets of all workers are processed by fewer CPUs, which saturate first.")
        .how(format!(
            "ethtool -L {name} combined {workers}; where the card has no more, spread by software: \
             echo <CPU mask> > /sys/class/net/{name}/queues/rx-0/rps_cpus",
            name = nic.name
        )),
    )
}

fn software_steering(nic: &Nic, cpus: usize) -> Option<Finding> {
    (nic.rps_queues > 0 && nic.rx_queues >= cpus).then(|| {
        finding(
            Severity::Advice,
            &format!("{}: RPS", nic.name),
            format!("on, {} queues", nic.rps_queues),
        )
        .wanted("off")
        .why("The card has a queue for each CPU: software steering adds a hop between CPUs.")
        .how(format!("echo 0 > /sys/class/net/{}/queues/rx-*/rps_cpus", nic.name))
    })
}

fn transmit_steering(nic: &Nic, cpus: usize) -> Option<Finding> {
    (nic.tx_queues > 1 && nic.tx_queues >= cpus).then(|| {
        let off = nic.xps_queues == 0;
        finding(
            severity_if(off, Severity::Note),
            &format!("{}: XPS", nic.name),
            if off { "off" } else { "on" },
        )
        .wanted("one queue for each CPU")
        .why("Without it CPUs share transmit queues and their locks. Most drivers set it up.")
        .how(format!("echo <CPU mask> > /sys/class/net/{}/queues/tx-<n>/xps_cpus", nic.name))
    })
}

fn interrupts(case: &Case<'_>, nic: &Nic, cpus: usize) -> Option<Finding> {
    (nic.irqs > 1 && nic.rx_queues > 1 && nic.irq_cpus > 0 && cpus > 1).then(|| {
        let wanted = nic.rx_queues.min(cpus);
        finding(
            severity_if(nic.irq_cpus == 1, severity(case)),
            &format!("{}: interrupts", nic.name),
            match nic.irq_cpus {
                1 => "on 1 CPU".to_owned(),
                cpus => format!("on {cpus} CPUs"),
            },
        )
        .wanted(format!("spread over {wanted} CPUs"))
        .why("One CPU serves all queues of the card and saturates before the workers do.")
        .how("systemctl start irqbalance, or write a CPU to each /proc/irq/<n>/smp_affinity_list")
    })
}

fn numa(case: &Case<'_>, nic: &Nic) -> Option<Finding> {
    let node = nic.numa_node.filter(|_| case.host.cpus.numa_nodes > 1)?;
    Some(
        finding(Severity::Note, &format!("{}: NUMA node", nic.name), node)
            .wanted("workers on the same node")
            .why("Workers on the other node reach the card's memory through the interconnect.")
            .how(format!(
                "numactl --cpunodebind={node} --membind={node} ringway ..., or NUMAPolicy=bind and \
                 CPUAffinity=numa with NUMAMask={node} in the unit"
            )),
    )
}

/// Without them every packet of 1,500 bytes passes through the stack by itself, where up to 64 KiB
/// could at once.
fn offloads(case: &Case<'_>, nic: &Nic) -> Vec<Finding> {
    let found = nic.offloads;
    let per_packet =
        "The kernel handles each packet by itself: several times the CPU for each byte.";
    let lro = "It merges packets in ways that cannot be undone where this host forwards them.";
    // Without GSO the card's TSO is not used either.
    let rules = [
        ("GRO", "gro", found.gro, true, per_packet),
        ("GSO", "gso", found.gso, true, per_packet),
        ("TSO", "tso", found.tso, true, per_packet),
        ("LRO", "lro", found.lro, false, lro),
    ];
    let rules = rules.into_iter();
    rules
        .filter_map(|(name, flag, state, wanted, why)| {
            let state = state?;
            let wrong = (wanted && state == Offload::Off) || (!wanted && state == Offload::On);
            let impossible = wanted && state == Offload::Impossible;
            let bad = if impossible { Severity::Note } else { severity(case) };
            let switch = if wanted { "on" } else { "off" };
            let how = match impossible {
                true => {
                    "the driver has no such thing: another card, or another kind of virtual one"
                        .to_owned()
                }
                false => format!("ethtool -K {} {flag} {switch}", nic.name),
            };
            let setting = format!("{}: {name}", nic.name);
            Some(
                finding(severity_if(wrong || impossible, bad), &setting, words(state))
                    .wanted(switch)
                    .why(why)
                    .how(how),
            )
        })
        .collect()
}

fn words(state: Offload) -> &'static str {
    match state {
        Offload::On => "on",
        Offload::Off => "off",
        Offload::Impossible => "off, fixed",
    }
}
