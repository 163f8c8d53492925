//! The network filters in front of the one that takes the bytes: whether it gets the connection.

use std::rc::Rc;

use ringway_bridge::limit::Permit;
use ringway_bridge::stats::GaugeId;
use ringway_model::network::NetworkFilter;

use crate::worker::Worker;

/// What the filters of a connection hold until it ends.
#[derive(Default)]
pub(super) struct Passed {
    /// The server name of the ClientHello is the cluster.
    pub(super) sni_cluster: bool,
    pub(super) permits: Vec<Counted>,
}

/// A connection within a limit, counted until dropped.
#[derive(Debug)]
pub(super) struct Counted {
    worker: Rc<Worker>,
    active: GaugeId,
    _permit: Permit,
}

/// Lets each filter say whether the connection may go on; `None` when it may not.
pub(super) async fn pass(worker: &Rc<Worker>, filters: &[NetworkFilter]) -> Option<Passed> {
    let mut passed = Passed::default();
    for filter in filters {
        match filter {
            NetworkFilter::SniCluster => passed.sni_cluster = true,
            NetworkFilter::ConnectionLimit(filter) => {
                let Some(permit) = filter.limit.permit() else {
                    worker.page.inc(filter.stats.limited_connections);
                    if let Some(delay) = filter.delay {
                        ringway_runtime::sleep(delay).await;
                    }
                    return None;
                };
                let (worker, active) = (Rc::clone(worker), filter.stats.active_connections);
                worker.page.raise(active, 1);
                passed.permits.push(Counted { worker, active, _permit: permit });
            }
        }
    }
    Some(passed)
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.worker.page.lower(self.active, 1);
    }
}
