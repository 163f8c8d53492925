//! Network cards and the counters of the network stack.

mod offloads;

use std::collections::BTreeSet;
use std::path::Path;

pub use offloads::{Offload, Offloads};

use super::read;

/// A network card.
#[derive(Clone, Debug, Default)]
pub struct Nic {
    /// Name of the interface.
    pub name: String,
    /// Receive queues.
    pub rx_queues: usize,
    /// Receive queues whose packets the kernel spreads over CPUs by software (RPS).
    pub rps_queues: usize,
    /// Transmit queues.
    pub tx_queues: usize,
    /// Transmit queues that are bound to CPUs (XPS).
    pub xps_queues: usize,
    /// The NUMA node that the card is attached to.
    pub numa_node: Option<u32>,
    /// Interrupts of the card.
    pub irqs: usize,
    /// CPUs that serve those interrupts.
    pub irq_cpus: usize,
    /// What it does in the kernel's place.
    pub offloads: Offloads,
}

/// The cards that are up, by name.
pub(super) fn nics(root: &Path) -> Vec<Nic> {
    let net = root.join("sys/class/net");
    let card = |name: &String| Nic::read(root, &net.join(name), name);
    read::names(&net, "").iter().filter_map(card).collect()
}

impl Nic {
    fn read(root: &Path, directory: &Path, name: &str) -> Option<Self> {
        let device = directory.join("device");
        let up = read::text(&directory.join("operstate")).is_none_or(|state| state != "down");
        if !device.exists() || !up {
            return None;
        }
        let queues = directory.join("queues");
        let (rx, tx) = (read::names(&queues, "rx-"), read::names(&queues, "tx-"));
        let bound = |names: &[String], file: &str| {
            let masked = |name: &&String| has_cpus(&queues.join(name).join(file));
            names.iter().filter(masked).count()
        };
        let irqs = irqs(&device);
        Some(Self {
            name: name.to_owned(),
            rps_queues: bound(&rx, "rps_cpus"),
            xps_queues: bound(&tx, "xps_cpus"),
            rx_queues: rx.len(),
            tx_queues: tx.len(),
            // -1 says that the platform does not know.
            numa_node: read::value(&device.join("numa_node")),
            irq_cpus: irq_cpus(root, &irqs),
            irqs: irqs.len(),
            offloads: offloads::read(root, name),
        })
    }
}

/// A CPU mask such as `00000000,0000000f` with any bit set.
fn has_cpus(path: &Path) -> bool {
    read::text(path).is_some_and(|mask| mask.chars().any(|c| c != '0' && c != ','))
}

/// Interrupts of a PCI card; a virtio card has them on its parent.
fn irqs(device: &Path) -> Vec<String> {
    let own = read::names(&device.join("msi_irqs"), "");
    if own.is_empty() { read::names(&device.join("../msi_irqs"), "") } else { own }
}

fn irq_cpus(root: &Path, irqs: &[String]) -> usize {
    let mut cpus = BTreeSet::new();
    for irq in irqs {
        let directory = root.join("proc/irq").join(irq);
        let list = read::text(&directory.join("effective_affinity_list"))
            .or_else(|| read::text(&directory.join("smp_affinity_list")));
        cpus.extend(read::cpu_list(&list.unwrap_or_default()));
    }
    cpus.len()
}

/// What the network stack has counted since boot. `None` where the kernel does not show it.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Connections that found the accept queue full.
    pub listen_overflows: Option<u64>,
    /// Connections dropped at a listening socket for any reason, overflows included.
    pub listen_drops: Option<u64>,
    /// Connections reset because TCP's memory (`tcp_mem`) was used up.
    pub aborts_on_memory: Option<u64>,
    /// Sockets closed without TIME-WAIT because `tcp_max_tw_buckets` was reached.
    pub time_wait_overflows: Option<u64>,
    /// Segments sent, and of those the retransmitted.
    pub segments: Option<(u64, u64)>,
    /// Packets dropped because `netdev_max_backlog` was reached.
    pub backlog_drops: Option<u64>,
    /// Times that packet processing stopped with work left, and packets processed.
    pub squeezes: Option<(u64, u64)>,
    /// Entries in the connection-tracking table.
    pub tracked: Option<u64>,
}

impl Counters {
    pub(super) fn read(root: &Path) -> Self {
        let netstat = read::text(&root.join("proc/net/netstat")).unwrap_or_default();
        let snmp = read::text(&root.join("proc/net/snmp")).unwrap_or_default();
        let softnet = read::text(&root.join("proc/net/softnet_stat"));
        let extended = |name| table_value(&netstat, "TcpExt:", name);
        let sent = table_value(&snmp, "Tcp:", "OutSegs");
        Self {
            listen_overflows: extended("ListenOverflows"),
            listen_drops: extended("ListenDrops"),
            aborts_on_memory: extended("TCPAbortOnMemory"),
            time_wait_overflows: extended("TCPTimeWaitOverflow"),
            segments: sent.zip(table_value(&snmp, "Tcp:", "RetransSegs")),
            backlog_drops: softnet.as_deref().map(|text| softnet_sum(text, 1)),
            squeezes: softnet.map(|text| (softnet_sum(&text, 2), softnet_sum(&text, 0))),
            tracked: read::value(&super::sysctl_path(root, "net.netfilter.nf_conntrack_count")),
        }
    }
}

/// A value of `/proc/net/netstat` or `snmp`: a line of names, then a line of values, each behind
/// the same label.
fn table_value(text: &str, label: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with(label));
    let (names, values) = (lines.next()?, lines.next()?);
    let column = names.split_whitespace().position(|found| found == name)?;
    values.split_whitespace().nth(column)?.parse().ok()
}

/// One hexadecimal column of `/proc/net/softnet_stat`, over all CPUs.
fn softnet_sum(text: &str, column: usize) -> u64 {
    let value = |line: &str| u64::from_str_radix(line.split_whitespace().nth(column)?, 16).ok();
    text.lines().filter_map(value).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_name_behind_their_label() {
        let text = "TcpExt: A ListenDrops\nTcpExt: 1 22\nIpExt: ListenDrops\nIpExt: 7";
        assert_eq!(table_value(text, "TcpExt:", "ListenDrops"), Some(22));
        assert_eq!(table_value(text, "IpExt:", "ListenDrops"), Some(7));
        assert_eq!(table_value(text, "TcpExt:", "Missing"), None);
        assert_eq!(table_value("TcpExt: A", "TcpExt:", "A"), None);
    }

    #[test]
    fn softnet_columns_are_hexadecimal_and_summed() {
        let text = "0000000a 00000001 00000002\n000000ff 00000010 00000000\nnonsense";
        assert_eq!(softnet_sum(text, 0), 0x109);
        assert_eq!(softnet_sum(text, 1), 0x11);
        assert_eq!(softnet_sum(text, 9), 0);
    }
}
