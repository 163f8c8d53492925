//! Publication: a compiled snapshot becomes a generation, goes to every worker, and is counted.
//!
//! Owns the previous snapshot and what the workers reported. It does not compile, and it does not
//! know what a worker does with a generation.

mod changes;

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use ringway_bridge::mailbox::{self, mailbox};
use ringway_bridge::published::{Publisher, Subscriber, channel};
use ringway_bridge::stats::{Catalog, Page};
use ringway_bridge::wake::Bell;
use ringway_model::cluster::{Cluster, Endpoint};
use ringway_model::snapshot::Snapshot;
use tokio::sync::watch;

use changes::ManagerStats;

/// Reports that a worker may leave unread; a worker that finds the box full drops the report,
/// since the next one says more.
const REPORTS_MAX: usize = 64;
/// How often reports are looked at while somebody waits for a generation to be adopted.
const REPORT_POLL: Duration = Duration::from_millis(5);

/// What a worker needs to follow the configuration.
#[derive(Debug)]
pub struct WorkerEnd {
    /// The worker's number, from 0.
    pub worker: usize,
    /// The latest snapshot, once.
    pub snapshots: Subscriber<Snapshot>,
    /// Becomes readable when there is something new; see [`Bell`].
    pub ear: UnixStream,
    /// For whoever else has something for this worker.
    pub bell: Arc<Bell>,
    /// Takes the generation that the worker has adopted.
    pub adopted: mailbox::Sender<u64>,
}

/// The control thread's side of one worker.
#[derive(Debug)]
struct Worker {
    bell: Arc<Bell>,
    reports: mailbox::Receiver<u64>,
    adopted: u64,
}

/// Publishes snapshots and remembers what became of them.
#[derive(Debug)]
pub struct Control {
    publisher: Publisher<Snapshot>,
    workers: Vec<Worker>,
    current: watch::Sender<Arc<Snapshot>>,
    page: Arc<Page>,
    stats: ManagerStats,
}

impl Control {
    /// For that many workers, whose ends are returned in their order. `page` belongs to the
    /// control thread. Fails when the process has no descriptors left for bells.
    pub fn new(
        catalog: &Catalog,
        page: Arc<Page>,
        workers: usize,
    ) -> io::Result<(Self, Vec<WorkerEnd>)> {
        let (publisher, subscribers) = channel(workers);
        let (mut near, mut far) = (Vec::with_capacity(workers), Vec::with_capacity(workers));
        for (worker, snapshots) in subscribers.into_iter().enumerate() {
            let (bell, ear) = Bell::pair()?;
            let (adopted, reports) = mailbox(REPORTS_MAX);
            let bell = Arc::new(bell);
            far.push(WorkerEnd { worker, snapshots, ear, bell: Arc::clone(&bell), adopted });
            near.push(Worker { bell, reports, adopted: 0 });
        }
        let stats = ManagerStats::register(catalog, workers);
        let current = watch::Sender::new(Arc::default());
        Ok((Self { publisher, workers: near, current, page, stats }, far))
    }

    /// Gives the snapshot the next generation and hands it to all workers.
    pub fn publish(&mut self, mut snapshot: Snapshot) -> Arc<Snapshot> {
        let before = self.current();
        snapshot.generation = before.generation + 1;
        let snapshot = Arc::new(snapshot);
        self.stats.count(&self.page, &before, &snapshot);
        self.publisher.publish(&snapshot);
        self.current.send_replace(Arc::clone(&snapshot));
        self.ring();
        tracing::debug!(target: "config", generation = snapshot.generation, "published");
        snapshot
    }

    /// Publishes the current snapshot with other endpoints of some clusters; `false` when all of
    /// these are gone or have the endpoints already.
    pub fn replace_endpoints(
        &mut self,
        updates: impl IntoIterator<Item = (Arc<str>, Vec<Arc<Endpoint>>)>,
    ) -> bool {
        let current = self.current();
        let mut clusters = current.clusters.clone();
        let mut changed = false;
        for (name, endpoints) in updates {
            let place = clusters.iter_mut().flatten().find(|cluster| cluster.name == name);
            let Some(place) = place.filter(|cluster| cluster.endpoints != endpoints) else {
                continue;
            };
            let policy = Arc::clone(&place.policy);
            *place = Arc::new(Cluster::new(name, place.id, policy, endpoints));
            changed = true;
        }
        if !changed {
            return false;
        }
        self.publish(Snapshot {
            generation: 0, // given by publish
            listeners: current.listeners.clone(),
            clusters,
            cluster_ids: Arc::clone(&current.cluster_ids),
            timer_scales: current.timer_scales,
        });
        true
    }

    /// Wakes every worker, for example because a command waits in its mailbox.
    pub fn ring(&self) {
        self.workers.iter().for_each(|worker| worker.bell.ring());
    }

    /// What wakes each worker, for others who have mail for them.
    pub fn bells(&self) -> Vec<Arc<Bell>> {
        self.workers.iter().map(|worker| Arc::clone(&worker.bell)).collect()
    }

    /// The snapshot that was published last; generation 0 before the first.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.borrow().clone()
    }

    /// Follows the publications.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.current.subscribe()
    }

    /// The generation that every worker has adopted or passed; without workers the current one.
    pub fn adopted(&mut self) -> u64 {
        for worker in &mut self.workers {
            while let Some(generation) = worker.reports.receive() {
                worker.adopted = worker.adopted.max(generation);
            }
        }
        let lowest = self.workers.iter().map(|worker| worker.adopted).min();
        let lowest = lowest.unwrap_or_else(|| self.current.borrow().generation);
        self.page.set(self.stats.workers_started, u64::from(lowest > 0));
        lowest
    }

    /// Waits until every worker has adopted `generation`; `false` when that took longer than
    /// `limit`.
    pub async fn settled(&mut self, generation: u64, limit: Duration) -> bool {
        let waiting = async {
            while self.adopted() < generation {
                tokio::time::sleep(REPORT_POLL).await;
            }
        };
        tokio::time::timeout(limit, waiting).await.is_ok()
    }
}

#[cfg(test)]
mod tests;
