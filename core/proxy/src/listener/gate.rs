//! The network filters in front of the one that takes the bytes: whether it gets the connection.

use std::rc::Rc;

use ringway_bridge::limit::Permit;
use ringway_model::network::{ConnectionLimit, NetworkFilter};

use crate::worker::Worker;

/// What the filters of a connection hold until it ends.
#[derive(Default)]
pub(super) struct Passed<'f> {
    /// The server name of the ClientHello is the cluster.
    pub(super) sni_cluster: bool,
    permits: Vec<Counted<'f>>,
}

/// A connection within a limit, counted until dropped.
struct Counted<'f> {
    worker: Rc<Worker>,
    filter: &'f ConnectionLimit,
    _permit: Permit,
}

/// Lets each filter say whether the connection may go on; `None` when it may not.
pub(super) async fn pass<'f>(
    worker: &Rc<Worker>,
    filters: &'f [NetworkFilter],
) -> Option<Passed<'f>> {
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
                worker.page.raise(filter.stats.active_connections, 1);
                let worker = Rc::clone(worker);
                passed.permits.push(Counted { worker, filter, _permit: permit });
            }
        }
    }
    Some(passed)
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.worker.page.lower(self.filter.stats.active_connections, 1);
    }
}
