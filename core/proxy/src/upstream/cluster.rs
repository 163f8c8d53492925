//! A cluster on one worker: the balancer's turn, and the statistics of its answers.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ringway_bridge::stats::{CounterId, StatName};
use ringway_lb::Balancer;
use ringway_model::cluster::Cluster;
use ringway_model::stats::status_class;
use rustc_hash::FxHashMap;

use super::host::Host;
use super::leases::Leases;
use crate::worker::Worker;

/// A cluster with this core's hosts.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) leases: Rc<Leases>,
    /// The cluster's name, this worker's copy.
    pub(crate) name: Rc<str>,
    hosts: Vec<Rc<Host>>,
    balancer: RefCell<Balancer>,
    /// Counters of the status codes met so far: `upstream_rq_200`, `external.upstream_rq_200`.
    codes: RefCell<Vec<(u16, [CounterId; 3])>>,
}

impl Upstream {
    /// Builds the worker's side of a cluster, taking hosts over from the generation before
    /// where the endpoint is the same and the policy did not change.
    pub(crate) fn new(
        worker: &Rc<Worker>,
        cluster: &Arc<Cluster>,
        before: Option<&Self>,
    ) -> Rc<Self> {
        let kept = before.filter(|old| Arc::ptr_eq(&old.cluster.policy, &cluster.policy));
        let leases =
            kept.map_or_else(|| Leases::new(&cluster.policy), |old| Rc::clone(&old.leases));
        let mut old_hosts: FxHashMap<_, Rc<Host>> = kept
            .into_iter()
            .flat_map(|old| &old.hosts)
            .map(|host| (host.endpoint.address.clone(), Rc::clone(host)))
            .collect();
        let hosts: Vec<Rc<Host>> = (cluster.endpoints.iter())
            .map(|endpoint| match old_hosts.remove(&endpoint.address) {
                Some(host) => host,
                None => Host::new(worker, Arc::clone(endpoint), cluster, &leases),
            })
            .collect();
        for gone in old_hosts.into_values() {
            gone.retire();
        }
        if let Some(old) = before.filter(|_| kept.is_none()) {
            old.retire();
        }
        let views: Vec<_> = cluster.endpoints.iter().map(|endpoint| endpoint.host).collect();
        let policy = &cluster.policy;
        let balancer = Balancer::new(&views, &policy.balancing, &policy.settings, worker.random());
        Rc::new(Self {
            cluster: Arc::clone(cluster),
            leases,
            name: Rc::from(&*cluster.name),
            hosts,
            balancer: RefCell::new(balancer),
            codes: kept.map(|old| old.codes.clone()).unwrap_or_default(),
        })
    }

    /// The host of the next request.
    pub(crate) fn pick(&self, worker: &Worker) -> Option<&Rc<Host>> {
        let mut balancer = self.balancer.borrow_mut();
        let panics = balancer.panic_picks();
        let picked = balancer.pick(|| worker.random(), |index| self.hosts[index].active());
        if balancer.panic_picks() > panics {
            worker.page.inc(self.cluster.policy.stats.lb_healthy_panic);
        }
        picked.map(|index| &self.hosts[index])
    }

    /// Counts the status of an answer (or of the local reply in its place).
    pub(crate) fn count_status(&self, worker: &Worker, status: u16, internal: bool) {
        let page = &worker.page;
        if let Some(class) = status_class(status) {
            page.inc(self.cluster.policy.stats.by_class()[class]);
        }
        page.inc(self.cluster.policy.stats.upstream_rq_completed);
        let [total, external, inside] = self.code_counters(worker, status);
        page.inc(total);
        page.inc(if internal { inside } else { external });
    }

    fn code_counters(&self, worker: &Worker, status: u16) -> [CounterId; 3] {
        let mut codes = self.codes.borrow_mut();
        if let Some((_, ids)) = codes.iter().find(|(known, _)| *known == status) {
            return *ids;
        }
        let ids = self.register(worker, status);
        codes.push((status, ids));
        ids
    }

    /// Names a status code for the first time; there are at most 900 of them.
    fn register(&self, worker: &Worker, status: u16) -> [CounterId; 3] {
        let StatName { full, base, tags } = &self.cluster.policy.stat_scope;
        let mut tags = tags.clone();
        tags.push(("envoy.response_code", status.to_string()));
        ["", "external.", "internal."].map(|scope| {
            worker.catalog.counter(StatName {
                full: format!("{full}.{scope}upstream_rq_{status}"),
                base: format!("{base}.{scope}upstream_rq"),
                tags: tags.clone(),
            })
        })
    }

    pub(crate) fn reap(&self, now: Instant) {
        for host in &self.hosts {
            host.reap(now);
        }
    }

    /// The cluster is gone: idle connections end now, the others with their requests.
    pub(crate) fn retire(&self) {
        for host in &self.hosts {
            host.retire();
        }
    }
}
