//! An endpoint, as this core uses it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ringway_http::Version;
use ringway_model::cluster::{Cluster, Endpoint, UpstreamProtocol};
use ringway_model::stats::EndpointStats;

use super::account::Tally;
use super::leases::Leases;
use super::pool::{Kind, Pool};
use crate::worker::Worker;

/// An endpoint with what this worker has to do with it.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) endpoint: Arc<Endpoint>,
    /// The address as text, this worker's copy.
    pub(crate) address_text: Rc<str>,
    pub(super) worker: Rc<Worker>,
    pub(super) tally: Rc<Tally>,
    pub(super) leases: Rc<Leases>,
    /// One for each protocol that was asked for.
    pools: RefCell<Vec<Rc<Pool>>>,
    /// Requests under way, for the balancer.
    active: Cell<u32>,
}

impl Host {
    pub(super) fn new(
        worker: &Rc<Worker>,
        endpoint: Arc<Endpoint>,
        cluster: &Cluster,
        leases: &Rc<Leases>,
    ) -> Rc<Self> {
        let tally = Tally {
            page: Arc::clone(&worker.page),
            policy: Arc::clone(&cluster.policy),
            endpoint: EndpointStats::of(&worker.catalog, &cluster.name, &endpoint.address_text),
        };
        Rc::new(Self {
            address_text: Rc::from(&*endpoint.address_text),
            endpoint,
            worker: Rc::clone(worker),
            tally: Rc::new(tally),
            leases: Rc::clone(leases),
            pools: RefCell::default(),
            active: Cell::new(0),
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
    pub(crate) fn pool(&self, version: Version) -> Rc<Pool> {
        self.pool_of(match self.tally.policy.protocol {
            UpstreamProtocol::Http1 => Kind::Http1,
            UpstreamProtocol::Http2 => Kind::Http2,
            UpstreamProtocol::Downstream if version == Version::Http2 => Kind::Http2,
            UpstreamProtocol::Downstream => Kind::Http1,
            UpstreamProtocol::Auto => Kind::Alpn,
        })
    }

    /// The connections for what comes out of tunnels.
    pub(crate) fn raw_pool(&self) -> Rc<Pool> {
        self.pool_of(Kind::Raw)
    }

    fn pool_of(&self, kind: Kind) -> Rc<Pool> {
        let mut pools = self.pools.borrow_mut();
        if let Some(pool) = pools.iter().find(|pool| pool.kind() == kind) {
            return Rc::clone(pool);
        }
        let pool = Pool::new(
            kind,
            Arc::clone(&self.endpoint),
            Rc::clone(&self.worker),
            Rc::clone(&self.tally),
            Rc::clone(&self.leases),
        );
        pools.push(Rc::clone(&pool));
        pool
    }

    /// Closes idle connections whose peer is gone or whose time is over.
    pub(crate) fn reap(&self, now: Instant) {
        for pool in self.pools.borrow().iter() {
            pool.reap(now);
        }
    }

    /// The endpoint is no longer a member of the cluster.
    pub(crate) fn retire(&self) {
        for pool in self.pools.borrow().iter() {
            pool.retire();
        }
    }
}
