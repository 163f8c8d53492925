//! A request under way, as the cluster counts it.

use std::rc::Rc;

use super::cluster::Upstream;
use super::host::Host;
use super::leases::RequestUnit;
use crate::worker::Worker;

/// A request that an endpoint has to answer; counted as such until dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    worker: Rc<Worker>,
    upstream: Rc<Upstream>,
    host: Rc<Host>,
    _unit: RequestUnit,
}

impl InFlight {
    pub(crate) fn new(
        worker: &Rc<Worker>,
        upstream: Rc<Upstream>,
        host: Rc<Host>,
        unit: RequestUnit,
    ) -> Self {
        let stats = &upstream.cluster.policy.stats;
        worker.page.inc(stats.upstream_rq_total);
        worker.page.raise(stats.upstream_rq_active, 1);
        host.request_begins();
        Self { worker: Rc::clone(worker), upstream, host, _unit: unit }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.worker.page.lower(self.upstream.cluster.policy.stats.upstream_rq_active, 1);
        self.host.request_ends();
    }
}
