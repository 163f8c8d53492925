//! `cluster.<name>.circuit_breakers.*`: which limits of a cluster are used up.
//!
//! Workers take units from process-wide limits and count nothing besides; the gauges are worked
//! out from the limits when somebody reads the statistics.

use std::collections::HashMap;

use ringway_bridge::limit::Limit;
use ringway_bridge::stat_group;
use ringway_bridge::stats::{Catalog, GaugeId, Page, StatName};
use ringway_model::cluster::{ClusterPolicy, PriorityLimits};
use ringway_model::dns::NameCache;
use ringway_model::snapshot::Snapshot;

stat_group! {
    /// `cluster.<name>.circuit_breakers.<priority>.*`: 1 while a limit is used up.
    pub struct BreakerStats {
        counters {}
        gauges { cx_open, cx_pool_open, rq_open, rq_pending_open, rq_retry_open }
        histograms {}
    }
}

stat_group! {
    /// `dns_cache.<name>.circuit_breakers.*`
    pub struct NameBreakerStats {
        counters {}
        gauges { rq_pending_open, rq_pending_remaining }
        histograms {}
    }
}

/// The gauges of every cluster that there was, by scope.
#[derive(Debug, Default)]
pub(crate) struct Breakers(HashMap<String, [BreakerStats; 2]>);

impl Breakers {
    /// Brings the gauges up to date. `page` belongs to the calling thread.
    pub(crate) fn refresh(&mut self, catalog: &Catalog, page: &Page, snapshot: &Snapshot) {
        // Clusters that are gone have nothing open; and two clusters may share one scope
        // (`alt_stat_name`), where one open breaker is enough.
        self.0.values().flatten().for_each(|ids| ids.clear(page));
        for cluster in snapshot.clusters.iter().flatten() {
            let priorities = self.of(catalog, &cluster.policy).iter().zip(&cluster.policy.limits);
            priorities.for_each(|(ids, limits)| ids.mark(page, limits));
            if let Some(dynamic) = &cluster.policy.dynamic {
                mark_names(catalog, page, &dynamic.cache);
            }
        }
    }

    fn of(&mut self, catalog: &Catalog, policy: &ClusterPolicy) -> &[BreakerStats; 2] {
        let scope = &policy.stat_scope;
        let register = || ["default", "high"].map(|priority| register(catalog, scope, priority));
        self.0.entry(scope.full.clone()).or_insert_with(register)
    }
}

/// `max_pending_requests` of a cache of names.
fn mark_names(catalog: &Catalog, page: &Page, cache: &NameCache) {
    let prefix = format!("dns_cache.{}.circuit_breakers", cache.name);
    // A name that is known is found, not registered anew.
    let ids = NameBreakerStats::register(catalog, &prefix, &prefix, &[]);
    let remaining = cache.pending.max().saturating_sub(cache.pending.taken());
    page.set(ids.rq_pending_open, u64::from(cache.is_crowded()));
    page.set(ids.rq_pending_remaining, remaining);
}

fn register(catalog: &Catalog, scope: &StatName, priority: &str) -> BreakerStats {
    let below = |name: &str| format!("{name}.circuit_breakers.{priority}");
    BreakerStats::register(catalog, &below(&scope.full), &below(&scope.base), &scope.tags)
}

impl BreakerStats {
    fn clear(&self, page: &Page) {
        let all = [self.cx_open, self.rq_open, self.rq_pending_open, self.rq_retry_open];
        all.into_iter().for_each(|id| page.set(id, 0));
        // A worker has one pool per endpoint, without a limit (`max_connection_pools`).
        page.set(self.cx_pool_open, 0);
    }

    fn mark(&self, page: &Page, limits: &PriorityLimits) {
        let mark = |id: GaugeId, limit: &Limit| {
            if limit.is_exhausted() {
                page.set(id, 1);
            }
        };
        mark(self.cx_open, &limits.connections);
        mark(self.rq_open, &limits.requests);
        mark(self.rq_pending_open, &limits.pending);
        mark(self.rq_retry_open, &limits.retries);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ringway_bridge::limit::Lease;
    use ringway_bridge::stats::Total;

    use super::*;
    use crate::fixture;

    #[test]
    fn a_breaker_is_open_while_its_units_are_in_use() {
        let catalog = Catalog::default();
        let (page, mut breakers) = (catalog.new_page(), Breakers::default());
        let policy = fixture::policy(&catalog, "a");
        let snapshot = fixture::snapshot(&[], &[fixture::cluster(&policy, "a", &[])]);
        let mut look = |leaf: &str, snapshot: &Snapshot| {
            breakers.refresh(&catalog, &page, snapshot);
            match catalog.total(&format!("cluster.a.circuit_breakers.{leaf}")) {
                Some(Total::Gauge(value)) => value,
                other => panic!("{leaf}: {other:?}"),
            }
        };
        assert_eq!(look("default.rq_open", &snapshot), 0);
        let limits = &policy.limits[0];
        limits.requests.set_max(2);
        let mut lease = Lease::new(Arc::clone(&limits.requests));
        assert!(lease.acquire());
        assert_eq!(look("default.rq_open", &snapshot), 0);
        assert!(lease.acquire());
        assert_eq!(look("default.rq_open", &snapshot), 1);
        assert_eq!(look("default.cx_open", &snapshot), 0);
        assert_eq!(look("default.rq_open", &Snapshot::default()), 0, "the cluster is gone");
        assert_eq!(look("default.rq_open", &snapshot), 1);
        lease.release();
        assert_eq!(look("default.rq_open", &snapshot), 0);
    }
}
