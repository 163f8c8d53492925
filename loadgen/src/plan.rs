//! What a run does, complete and checked: everything that can be wrong with the wishes of the
//! command line is found before the first connection is opened. Never changed afterwards, so that
//! all workers share it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ringway_tls::ClientContext;

use crate::protocol::Protocol;
use crate::schedule::{Arrivals, Profile};
use crate::template::Request;

/// Where connections go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    /// A leading `@` names the abstract namespace.
    Unix(PathBuf),
}

/// TLS towards one server.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    pub(crate) context: ClientContext,
    /// Whom to ask for.
    pub(crate) name: String,
}

/// All requests to one address, and the connections that carry them.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    pub(crate) address: Address,
    pub(crate) protocol: Protocol,
    pub(crate) tls: Option<Tls>,
    /// What each connection begins with, up to the key of a WebSocket.
    pub(crate) opening: Option<Vec<u8>>,
    /// Indexes into the requests of the plan.
    pub(crate) requests: Vec<usize>,
    /// Its part of all requests: 0 < `part` <= 1.
    pub(crate) part: f64,
    /// Connections over all workers.
    pub(crate) connections: usize,
}

/// When requests are sent.
#[derive(Debug, Clone)]
pub(crate) enum Load {
    /// The next one as soon as an answer is there.
    Closed,
    /// When they are due, whatever the answers do.
    Open { profile: Profile, arrivals: Arrivals, pacing: Pacing },
}

/// How exactly due times are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Pacing {
    // To the microsecond, at the cost of a busy core.
    Spin,
    // To one or two milliseconds, with an idle core.
    Sleep,
}

/// Connections that misbehave, beside the measured ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct UnfriendlyClients {
    pub(crate) half_open: usize,
    pub(crate) slow: usize,
    pub(crate) aborted: usize,
    /// Between two bytes of a slow client.
    pub(crate) slow_interval: Duration,
}

impl UnfriendlyClients {
    pub(crate) fn total(&self) -> usize {
        self.half_open + self.slow + self.aborted
    }
}

/// One run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) requests: Vec<Request>,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) load: Load,
    pub(crate) threads: usize,
    /// CPUs to use, in order; empty for all that the process may use, unpinned from each other.
    pub(crate) cpus: Vec<usize>,
    /// How long an idle worker looks for work before it sleeps.
    pub(crate) busy_poll: Duration,
    /// Not measured, before everything.
    pub(crate) warmup: Duration,
    /// Of the measured time; `None` when only the number of requests ends the run.
    pub(crate) duration: Option<Duration>,
    /// Requests of the whole run, warm-up included.
    pub(crate) count: Option<u64>,
    pub(crate) pipeline: usize,
    /// After so many requests a connection is closed and a new one opened.
    pub(crate) requests_per_connection: Option<u64>,
    pub(crate) connect_timeout: Duration,
    pub(crate) timeout: Duration,
    /// Own addresses, taken in turn; empty for the kernel's choice.
    pub(crate) sources: Vec<IpAddr>,
    pub(crate) unfriendly: UnfriendlyClients,
    pub(crate) seed: u64,
}

impl Plan {
    /// Measured connections over all workers.
    pub(crate) fn connections(&self) -> usize {
        self.lanes.iter().map(|lane| lane.connections).sum()
    }

    /// Whether latency is counted from due times.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.load, Load::Open { .. })
    }

    /// Whether workers spin while they wait.
    pub(crate) fn spins(&self) -> bool {
        matches!(self.load, Load::Open { pacing: Pacing::Spin, .. })
    }

    /// How many of `total` fall to worker `index`: shares differ by one at most.
    pub(crate) fn share(&self, total: usize, index: usize) -> usize {
        total / self.threads + usize::from(index < total % self.threads)
    }
}

/// Splits `total` connections over lanes by their parts: at least one each, the sum exact.
pub(crate) fn split_connections(total: usize, parts: &[f64]) -> Vec<usize> {
    let mut split: Vec<usize> =
        parts.iter().map(|part| ((part * total as f64) as usize).max(1)).collect();
    let mut left = total.saturating_sub(split.iter().sum());
    // What rounding left goes to the lanes that lost the most by it.
    while left > 0 {
        let lack = |index: usize| parts[index] * total as f64 - split[index] as f64;
        let Some(neediest) = (0..parts.len()).max_by(|a, b| lack(*a).total_cmp(&lack(*b))) else {
            break;
        };
        split[neediest] += 1;
        left -= 1;
    }
    split
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_follow_the_weights() {
        assert_eq!(split_connections(10, &[1.0]), [10]);
        assert_eq!(split_connections(10, &[0.8, 0.2]), [8, 2]);
        assert_eq!(split_connections(100, &[0.98, 0.01, 0.01]), [98, 1, 1]);
        assert_eq!(split_connections(2, &[0.5, 0.3, 0.2]), [1, 1, 1], "each needs one");
        for total in 3..50 {
            let split = split_connections(total, &[0.6, 0.3, 0.1]);
            assert_eq!(split.iter().sum::<usize>(), total);
        }
    }
}
