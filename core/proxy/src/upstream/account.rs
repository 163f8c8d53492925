//! What a connection to an endpoint is counted as, from its first byte to its end.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ringway_bridge::stats::{CounterId, Page};
use ringway_model::cluster::ClusterPolicy;
use ringway_model::stats::{ClusterStats, EndpointStats};

use super::leases::Unit;

/// Where the connections to an endpoint are counted.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(super) page: Arc<Page>,
    pub(super) policy: Arc<ClusterPolicy>,
    pub(super) endpoint: EndpointStats,
}

impl Tally {
    pub(super) fn count(&self, id: impl FnOnce(&ClusterStats) -> CounterId) {
        self.page.inc(id(&self.policy.stats));
    }

    /// Counts an answer for the endpoint, by what it says of itself.
    pub(super) fn count_answer(&self, good: bool) {
        self.page.inc(if good { self.endpoint.rq_success } else { self.endpoint.rq_error });
    }
}

/// An open connection: counted as such until dropped.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) tally: Rc<Tally>,
    pub(super) opened: Instant,
    /// Requests sent on it.
    served: Cell<u32>,
    /// Who is to blame for its end.
    closed_by_peer: Cell<bool>,
    /// What of the bytes moved was counted already.
    counted: Cell<(u64, u64)>,
    /// Requests are on it that have not been answered completely.
    in_use: Cell<bool>,
    /// `None` for the one connection that an endpoint may have beyond the breaker.
    _unit: Option<Unit>,
}

impl Account {
    pub(super) fn new(tally: Rc<Tally>, unit: Option<Unit>, opened: Instant) -> Self {
        let (page, stats) = (&tally.page, &tally.policy.stats);
        page.inc(stats.upstream_cx_total);
        page.raise(stats.upstream_cx_active, 1);
        page.inc(tally.endpoint.cx_total);
        page.raise(tally.endpoint.cx_active, 1);
        Self {
            tally,
            opened,
            served: Cell::new(0),
            closed_by_peer: Cell::new(false),
            counted: Cell::new((0, 0)),
            in_use: Cell::new(false),
            _unit: unit,
        }
    }

    /// A request begins.
    pub(super) fn begin(&self) {
        self.served.set(self.served.get() + 1);
        self.in_use.set(true);
    }

    /// No request is on the connection.
    pub(super) fn rest(&self) {
        self.in_use.set(false);
    }

    pub(super) fn is_in_use(&self) -> bool {
        self.in_use.get()
    }

    pub(super) fn note_peer_close(&self) {
        self.closed_by_peer.set(true);
    }

    /// Whether `max_requests_per_connection` or `max_connection_duration` ends it. Counts why.
    pub(super) fn is_worn(&self, now: Instant) -> bool {
        let policy = &self.tally.policy;
        if policy.max_requests_per_connection.is_some_and(|max| self.served.get() >= max) {
            self.tally.count(|stats| stats.upstream_cx_max_requests);
            return true;
        }
        self.is_old(now)
    }

    /// Whether `max_connection_duration` ends it. Counts it.
    pub(super) fn is_old(&self, now: Instant) -> bool {
        let too_old = |max| now.duration_since(self.opened) >= max;
        let old = self.tally.policy.max_connection_duration.is_some_and(too_old);
        if old {
            self.tally.count(|stats| stats.upstream_cx_max_duration_reached);
        }
        old
    }

    /// Counts bytes, of which this many were received and sent since the connection began.
    pub(super) fn count_bytes(&self, (received, sent): (u64, u64)) {
        let (page, stats) = (&self.tally.page, &self.tally.policy.stats);
        let counted = self.counted.replace((received, sent));
        page.add(stats.upstream_cx_rx_bytes_total, received - counted.0);
        page.add(stats.upstream_cx_tx_bytes_total, sent - counted.1);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let (page, stats) = (&self.tally.page, &self.tally.policy.stats);
        page.lower(stats.upstream_cx_active, 1);
        page.lower(self.tally.endpoint.cx_active, 1);
        page.inc(stats.upstream_cx_destroy);
        page.record(stats.upstream_rq_per_cx, u64::from(self.served.get()));
        page.record(stats.upstream_cx_length_ms, self.opened.elapsed().as_millis() as u64);
        let (by, with_request) = if self.closed_by_peer.get() {
            (stats.upstream_cx_destroy_remote, stats.upstream_cx_destroy_remote_with_active_rq)
        } else {
            (stats.upstream_cx_destroy_local, stats.upstream_cx_destroy_local_with_active_rq)
        };
        page.inc(by);
        if self.in_use.get() {
            page.inc(stats.upstream_cx_destroy_with_active_rq);
            page.inc(with_request);
        }
    }
}
