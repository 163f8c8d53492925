//! An endpoint, as this core uses it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ringway_http::Version;
use ringway_model::cluster::{Cluster, Endpoint, UpstreamProtocol};
use ringway_model::stats::EndpointStats;
use rustc_hash::FxHashMap;

use super::account::Tally;
use super::leases::Leases;
use super::pool::{Kind, Pool};
use super::preface::Preface;
use crate::worker::Worker;

/// An endpoint with what this worker has to do with it.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) endpoint: Arc<Endpoint>,
    /// The address as text, this worker's copy.
    pub(crate) address_text: Rc<str>,
    /// Its name, or else the same text.
    pub(crate) name: Rc<str>,
    pub(super) worker: Rc<Worker>,
    pub(super) tally: Rc<Tally>,
    pub(super) leases: Rc<Leases>,
    /// One for each protocol that was asked for.
    pools: RefCell<Vec<Rc<Pool>>>,
    /// The same for connections with a preface, which only clients with the same one share.
    prefaced: RefCell<Prefaced>,
    /// Requests under way, for the balancer.
    active: Cell<u32>,
    retired: Cell<bool>,
}

/// Pools by their protocol and preface. Those that nobody uses are left out from time to time.
#[derive(Debug, Default)]
struct Prefaced {
    pools: FxHashMap<(Kind, Preface), Rc<Pool>>,
    /// How many there were when the unused were left out last.
    kept: usize,
}

impl Prefaced {
    /// The number of pools that is not worth a look for unused ones.
    const FEW: usize = 64;

    /// Makes room for one more: there are at most twice as many as are in use.
    fn make_room(&mut self) {
        if self.pools.len() >= Self::FEW.max(2 * self.kept) {
            self.sweep();
        }
    }

    fn sweep(&mut self) {
        self.pools.retain(|_, pool| !pool.is_unused());
        self.kept = self.pools.len();
    }
}

impl Host {
    pub(super) fn new(
        worker: &Rc<Worker>,
        endpoint: Arc<Endpoint>,
        cluster: &Cluster,
        leases: &Rc<Leases>,
    ) -> Rc<Self> {
        let name = Arc::clone(&endpoint.address_text);
        Self::counted_as(worker, endpoint, cluster, leases, &name)
    }

    /// As [`Host::new`], with another name than its address in the statistics of endpoints.
    pub(super) fn counted_as(
        worker: &Rc<Worker>,
        endpoint: Arc<Endpoint>,
        cluster: &Cluster,
        leases: &Rc<Leases>,
        name: &str,
    ) -> Rc<Self> {
        let tally = Tally {
            page: Arc::clone(&worker.page),
            policy: Arc::clone(&cluster.policy),
            endpoint: EndpointStats::of(&worker.catalog, &cluster.name, name),
        };
        let address_text: Rc<str> = Rc::from(&*endpoint.address_text);
        let name = match &*endpoint.hostname {
            "" => Rc::clone(&address_text),
            name => Rc::from(name),
        };
        Rc::new(Self {
            address_text,
            name,
            endpoint,
            worker: Rc::clone(worker),
            tally: Rc::new(tally),
            leases: Rc::clone(leases),
            pools: RefCell::default(),
            prefaced: RefCell::default(),
            active: Cell::new(0),
            retired: Cell::new(false),
        })
    }

    pub(crate) fn active(&self) -> u32 {
        self.active.get()
    }

    pub(crate) fn request_begins(&self) {
        self.worker.page.inc(self.tally.endpoint.rq_total);
        self.worker.page.raise(self.tally.endpoint.rq_active, 1);
        self.active.set(self.active.get() + 1);
    }

    pub(crate) fn request_ends(&self) {
        self.worker.page.lower(self.tally.endpoint.rq_active, 1);
        self.active.set(self.active.get() - 1);
    }

    /// Counts a request that the endpoint did not answer.
    pub(crate) fn count_failure(&self) {
        self.worker.page.inc(self.tally.endpoint.rq_error);
    }

    pub(crate) fn count_timeout(&self) {
        self.worker.page.inc(self.tally.endpoint.rq_timeout);
    }

    /// The connections that speak what a request of this version is sent in.
    pub(crate) fn pool(&self, version: Version, preface: Option<Preface>) -> Rc<Pool> {
        let kind = match self.tally.policy.protocol {
            UpstreamProtocol::Http1 => Kind::Http1,
            UpstreamProtocol::Http2 => Kind::Http2,
            UpstreamProtocol::Downstream if version == Version::Http2 => Kind::Http2,
            UpstreamProtocol::Downstream => Kind::Http1,
            UpstreamProtocol::Auto => Kind::Alpn,
        };
        self.pool_of(kind, preface)
    }

    /// The connections for what comes out of tunnels.
    pub(crate) fn raw_pool(&self, preface: Option<Preface>) -> Rc<Pool> {
        self.pool_of(Kind::Raw, preface)
    }

    fn pool_of(&self, kind: Kind, preface: Option<Preface>) -> Rc<Pool> {
        if let Some(preface) = preface {
            return self.prefaced_pool(kind, preface);
        }
        let mut pools = self.pools.borrow_mut();
        if let Some(pool) = pools.iter().find(|pool| pool.kind() == kind) {
            return Rc::clone(pool);
        }
        let pool = self.new_pool(kind, None);
        pools.push(Rc::clone(&pool));
        pool
    }

    fn prefaced_pool(&self, kind: Kind, preface: Preface) -> Rc<Pool> {
        let mut prefaced = self.prefaced.borrow_mut();
        let key = (kind, preface);
        if let Some(pool) = prefaced.pools.get(&key) {
            return Rc::clone(pool);
        }
        prefaced.make_room();
        let pool = self.new_pool(kind, Some(key.1.clone()));
        prefaced.pools.insert(key, Rc::clone(&pool));
        pool
    }

    fn new_pool(&self, kind: Kind, preface: Option<Preface>) -> Rc<Pool> {
        Pool::new(
            (kind, preface),
            Arc::clone(&self.endpoint),
            Rc::clone(&self.worker),
            Rc::clone(&self.tally),
            Rc::clone(&self.leases),
        )
    }

    /// All pools.
    fn all_pools(&self) -> Vec<Rc<Pool>> {
        let prefaced = self.prefaced.borrow();
        self.pools.borrow().iter().chain(prefaced.pools.values()).cloned().collect()
    }

    /// Closes idle connections whose peer is gone or whose time is over.
    pub(crate) fn reap(&self, now: Instant) {
        for pool in self.pools.borrow().iter() {
            pool.reap(now);
        }
        let mut prefaced = self.prefaced.borrow_mut();
        if !prefaced.pools.is_empty() {
            prefaced.pools.values().for_each(|pool| pool.reap(now));
            prefaced.sweep();
        }
    }

    /// Whether it has a connection, or somebody who uses it, beside the table that it stands in.
    pub(crate) fn is_in_use(self: &Rc<Self>) -> bool {
        Rc::strong_count(self) > 1 || self.all_pools().iter().any(|pool| !pool.is_unused())
    }

    /// Whether it is no longer a member of the cluster, or that is another one by now.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.get()
    }

    /// The endpoint is no longer a member of the cluster.
    pub(crate) fn retire(&self) {
        self.retired.set(true);
        for pool in self.all_pools() {
            pool.retire();
        }
    }
}
