//! A cluster on one worker: the balancer's turn, and the statistics of its answers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ringway_bridge::stats::{CounterId, HistogramId, StatName};
use ringway_lb::{Balancer, Health};
use ringway_model::cluster::{Cluster, Hashing};
use rustc_hash::FxHashMap;

use super::dynamic::Dynamic;
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
    /// The hosts that come with requests, where the cluster has such.
    pub(super) dynamic: Rc<Dynamic>,
    balancer: RefCell<Balancer>,
    /// Counters of the answers met so far.
    answers: RefCell<Vec<Answer>>,
    /// `upstream_rq_time` and that of external or of internal clients, once there was one.
    times: [Cell<Option<[HistogramId; 2]>>; 2],
}

type Counters = [Option<CounterId>; 5];

/// What one status counts for requests of internal or of external clients. Registered when it is
/// first met: most of these numbers never are.
#[derive(Debug, Clone)]
struct Answer {
    status: u16,
    internal: bool,
    /// `upstream_rq_200`, `upstream_rq_2xx`, `external.upstream_rq_200`,
    /// `external.upstream_rq_2xx`, `external.upstream_rq_completed`. A status from 600 on has no
    /// class.
    counters: Counters,
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
        let mut balancer =
            Balancer::new(&views, &policy.balancing, &policy.settings, worker.random());
        if let Some(Hashing { keys, tables }) = cluster.hashing.clone() {
            balancer = balancer.with_tables(keys, tables);
        }
        Rc::new(Self {
            cluster: Arc::clone(cluster),
            leases,
            name: Rc::from(&*cluster.name),
            hosts,
            dynamic: kept.map(|old| Rc::clone(&old.dynamic)).unwrap_or_default(),
            balancer: RefCell::new(balancer),
            answers: kept.map(|old| old.answers.clone()).unwrap_or_default(),
            times: kept.map(|old| old.times.clone()).unwrap_or_default(),
        })
    }

    /// Whether the host of a request depends on its hash.
    pub(crate) fn hashes(&self) -> bool {
        self.cluster.hashing.is_some()
    }

    /// The host of the next request; `hash` counts where [`Upstream::hashes`].
    pub(crate) fn pick(&self, worker: &Worker, hash: Option<u64>) -> Option<&Rc<Host>> {
        let mut balancer = self.balancer.borrow_mut();
        let panics = balancer.panic_picks();
        let active = |index: usize| self.hosts[index].active();
        let picked = balancer.pick_hashed(hash, || worker.random(), active);
        if balancer.panic_picks() > panics {
            worker.page.inc(self.cluster.policy.stats.lb_healthy_panic);
        }
        picked.map(|index| &self.hosts[index])
    }

    /// The hosts of that health.
    pub(crate) fn hosts_with(&self, health: Health) -> impl Iterator<Item = &Rc<Host>> {
        let each = self.hosts.iter().zip(&self.cluster.endpoints);
        let fitting = each.filter(move |(_, endpoint)| endpoint.host.health == health);
        fitting.map(|(host, _)| host)
    }

    /// Counts the status of an answer (or of the local reply in its place).
    pub(crate) fn count_status(&self, worker: &Worker, status: u16, internal: bool) {
        let page = &worker.page;
        page.inc(self.cluster.policy.stats.upstream_rq_completed);
        for id in self.answer_counters(worker, status, internal).into_iter().flatten() {
            page.inc(id);
        }
    }

    fn answer_counters(&self, worker: &Worker, status: u16, internal: bool) -> Counters {
        let mut answers = self.answers.borrow_mut();
        let met = |answer: &&Answer| answer.status == status && answer.internal == internal;
        if let Some(answer) = answers.iter().find(met) {
            return answer.counters;
        }
        let counters = self.register(worker, status, internal);
        answers.push(Answer { status, internal, counters });
        counters
    }

    /// Names an answer for the first time; there are at most 900 of each kind.
    fn register(&self, worker: &Worker, status: u16, internal: bool) -> Counters {
        let StatName { full, base, tags } = &self.cluster.policy.stat_scope;
        let (scope, class) = (origin(internal), status / 100);
        let of_class = status < 600;
        [
            (true, format!("upstream_rq_{status}")),
            (of_class, format!("upstream_rq_{class}xx")),
            (true, format!("{scope}.upstream_rq_{status}")),
            (of_class, format!("{scope}.upstream_rq_{class}xx")),
            (true, format!("{scope}.upstream_rq_completed")),
        ]
        .map(|(counted, leaf)| {
            counted.then(|| worker.catalog.counter(StatName::new(full, base, &leaf, tags)))
        })
    }

    /// Records how long an answer took, in milliseconds.
    pub(crate) fn record_time(&self, worker: &Worker, millis: u64, internal: bool) {
        let times = &self.times[usize::from(internal)];
        let ids = times.get().unwrap_or_else(|| {
            let StatName { full, base, tags } = &self.cluster.policy.stat_scope;
            let of_origin = format!("{}.upstream_rq_time", origin(internal));
            let ids = ["upstream_rq_time", &of_origin]
                .map(|leaf| worker.catalog.histogram(StatName::new(full, base, leaf, tags)));
            times.set(Some(ids));
            ids
        });
        for id in ids {
            worker.page.record(id, millis);
        }
    }

    pub(crate) fn reap(&self, worker: &Worker, now: Instant) {
        for host in &self.hosts {
            host.reap(now);
        }
        self.dynamic.reap(now);
        if let Some(original) = &self.cluster.policy.original_dst {
            self.dynamic.mark_used(worker, &original.table);
        }
    }

    /// The cluster is gone: idle connections end now, the others with their requests.
    pub(crate) fn retire(&self) {
        for host in &self.hosts {
            host.retire();
        }
        self.dynamic.retire();
    }
}

/// Envoy counts answers apart by where the client is.
fn origin(internal: bool) -> &'static str {
    if internal { "internal" } else { "external" }
}
