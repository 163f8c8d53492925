//! What the doctor needs to know of Ringway's configuration. The binary fills it in.

use crate::size::Size;

/// The parts of a configuration, and of the command line, that meet limits of the host. The
/// default says nothing: the rules then go by the size of load alone.
#[derive(Clone, Debug, Default)]
pub struct ConfigFacts {
    /// Workers that will run (`--concurrency`); `None` means one for each CPU.
    pub workers: Option<usize>,
    /// The listeners of the configuration, and the admin address as one of them.
    pub listeners: Vec<ListenerFacts>,
    /// The limit on downstream connections, where one is configured.
    pub max_downstream_connections: Option<u64>,
    /// Why the kernel refused a ring when one was tried just now, as a sentence without its full
    /// stop; `None` if it was not tried or was granted.
    pub io_uring_refused: Option<String>,
}

/// One listener.
#[derive(Clone, Debug)]
pub struct ListenerFacts {
    /// Its name, for the report.
    pub name: String,
    /// The TCP port; `None` for a Unix socket or port 0.
    pub port: Option<u16>,
    /// `tcp_backlog_size`; `None` means that the kernel's `somaxconn` decides.
    pub backlog: Option<u32>,
}

impl ConfigFacts {
    /// Downstream connections to prepare for: what the configuration allows, else the size's.
    pub(crate) fn connections(&self, size: Size) -> u64 {
        self.max_downstream_connections.unwrap_or(size.connections())
    }

    /// The longest backlog that a listener asks for.
    pub(crate) fn longest_backlog(&self) -> Option<u64> {
        self.listeners.iter().filter_map(|listener| listener.backlog).max().map(u64::from)
    }
}
