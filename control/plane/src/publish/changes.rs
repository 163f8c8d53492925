//! `listener_manager.*`, `cluster_manager.*` and the membership of clusters: what changed from one
//! generation to the next, counted as Envoy counts it.

use std::collections::HashMap;
use std::sync::Arc;

use ringway_bridge::stat_group;
use ringway_bridge::stats::{Catalog, GaugeId, Page};
use ringway_lb::Health;
use ringway_model::cluster::Cluster;
use ringway_model::snapshot::Snapshot;
use ringway_model::stats::HashStats;

stat_group! {
    /// `listener_manager.*`
    pub struct ListenerManagerStats {
        counters {
            listener_added, listener_modified, listener_removed, listener_create_success,
            listener_in_place_updated,
        }
        gauges {
            total_listeners_active, total_listeners_warming, workers_started,
        }
        histograms {}
    }
}

stat_group! {
    /// `cluster_manager.*`
    pub struct ClusterManagerStats {
        counters { cluster_added, cluster_modified, cluster_removed, cluster_updated }
        gauges { active_clusters, warming_clusters }
        histograms {}
    }
}

stat_group! {
    /// `thread_local_cluster_manager.<thread>.*`: every thread has all clusters.
    pub struct ThreadClusterStats {
        counters {}
        gauges { clusters_inflated }
        histograms {}
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct ManagerStats {
    listeners: ListenerManagerStats,
    clusters: ClusterManagerStats,
    threads: Vec<ThreadClusterStats>,
    /// 1 once every worker has adopted a configuration.
    pub(super) workers_started: GaugeId,
}

impl ManagerStats {
    pub(super) fn register(catalog: &Catalog, workers: usize) -> Self {
        let listeners = "listener_manager";
        let listeners = ListenerManagerStats::register(catalog, listeners, listeners, &[]);
        let clusters = "cluster_manager";
        let clusters = ClusterManagerStats::register(catalog, clusters, clusters, &[]);
        let threads = threads(catalog, workers);
        Self { workers_started: listeners.workers_started, listeners, clusters, threads }
    }

    /// Counts the step from `before` to `after`.
    pub(super) fn count(&self, page: &Page, before: &Snapshot, after: &Snapshot) {
        self.count_listeners(page, before, after);
        self.count_clusters(page, before, after);
    }

    fn count_listeners(&self, page: &Page, before: &Snapshot, after: &Snapshot) {
        let ids = &self.listeners;
        let known: HashMap<&str, _> = before.listeners.iter().map(|l| (&*l.name, l)).collect();
        let mut kept = 0;
        for listener in &after.listeners {
            match known.get(&*listener.name) {
                None => page.inc(ids.listener_added),
                Some(old) => {
                    kept += 1;
                    if Arc::ptr_eq(old, listener) {
                        continue;
                    }
                    page.inc(ids.listener_modified);
                    if Arc::ptr_eq(&old.sockets, &listener.sockets) {
                        page.inc(ids.listener_in_place_updated);
                    }
                }
            }
            page.inc(ids.listener_create_success);
        }
        page.add(ids.listener_removed, (before.listeners.len() - kept) as u64);
        page.set(ids.total_listeners_active, after.listeners.len() as u64);
        // A generation is published once all of it is there.
        page.set(ids.total_listeners_warming, 0);
    }

    fn count_clusters(&self, page: &Page, before: &Snapshot, after: &Snapshot) {
        let ids = &self.clusters;
        let places = before.clusters.len().max(after.clusters.len());
        let at =
            |snapshot: &Snapshot, place: usize| snapshot.clusters.get(place).cloned().flatten();
        for place in 0..places {
            match (at(before, place), at(after, place)) {
                (None, Some(new)) => {
                    page.inc(ids.cluster_added);
                    count_members(page, None, &new);
                }
                (Some(old), Some(new)) if !Arc::ptr_eq(&old, &new) => {
                    let same_policy = Arc::ptr_eq(&old.policy, &new.policy);
                    let id = if same_policy { ids.cluster_updated } else { ids.cluster_modified };
                    page.inc(id);
                    count_members(page, Some(&old), &new);
                }
                (Some(old), None) => {
                    page.inc(ids.cluster_removed);
                    let empty = Cluster { endpoints: Vec::new(), hashing: None, ..clone(&old) };
                    count_members(page, Some(&old), &empty);
                }
                _ => {}
            }
        }
        let active = after.clusters.iter().flatten().count() as u64;
        page.set(ids.active_clusters, active);
        self.threads.iter().for_each(|thread| page.set(thread.clusters_inflated, active));
        page.set(ids.warming_clusters, 0);
    }
}

/// The groups of the control thread and of each worker.
fn threads(catalog: &Catalog, workers: usize) -> Vec<ThreadClusterStats> {
    const BASE: &str = "thread_local_cluster_manager";
    let main = format!("{BASE}.main_thread");
    let main = ThreadClusterStats::register(catalog, &main, &main, &[]);
    let workers = (0..workers).map(|worker| {
        let (prefix, base) = (format!("{BASE}.worker_{worker}"), format!("{BASE}.worker"));
        let tags = [("envoy.worker_id", worker.to_string())];
        ThreadClusterStats::register(catalog, &prefix, &base, &tags)
    });
    std::iter::once(main).chain(workers).collect()
}

fn clone(cluster: &Cluster) -> Cluster {
    Cluster {
        name: Arc::clone(&cluster.name),
        id: cluster.id,
        policy: Arc::clone(&cluster.policy),
        endpoints: cluster.endpoints.clone(),
        hashing: cluster.hashing.clone(),
    }
}

/// `cluster.<name>.membership_*`, `max_host_weight`.
fn count_members(page: &Page, old: Option<&Cluster>, new: &Cluster) {
    let (ids, endpoints) = (&new.policy.stats, &new.endpoints);
    if new.policy.host_table().is_some() {
        // Its members are counted as they come and go.
        return;
    }
    if old.is_none_or(|old| old.endpoints != *endpoints) && !(old.is_none() && endpoints.is_empty())
    {
        page.inc(ids.membership_change);
    }
    let of = |health| endpoints.iter().filter(|e| e.host.health == health).count() as u64;
    page.set(ids.membership_total, endpoints.len() as u64);
    page.set(ids.membership_healthy, of(Health::Healthy));
    page.set(ids.membership_degraded, of(Health::Degraded));
    // Nobody waits for a first health check, and a published cluster is warm.
    page.set(ids.membership_excluded, 0);
    page.set(ids.warming_state, 0);
    tell_tables(page, new);
    // Envoy tells the weight only of endpoints that it found out about by itself.
    if new.policy.resolves_names {
        let heaviest = endpoints.iter().map(|endpoint| endpoint.host.weight).max();
        page.set(ids.max_host_weight, u64::from(heaviest.unwrap_or(0)));
    }
}

/// `cluster.<name>.ring_hash_lb.*`, `maglev_lb.*`.
fn tell_tables(page: &Page, cluster: &Cluster) {
    let figures = cluster.hashing.as_ref().map(|hashing| hashing.tables.figures());
    let figures = figures.unwrap_or_default();
    let (least, most) = (figures.min_per_host, figures.max_per_host);
    match &cluster.policy.hash_stats {
        Some(HashStats::Ring(ids)) => {
            page.set(ids.size, figures.size);
            page.set(ids.min_hashes_per_host, least);
            page.set(ids.max_hashes_per_host, most);
        }
        Some(HashStats::Maglev(ids)) => {
            page.set(ids.min_entries_per_host, least);
            page.set(ids.max_entries_per_host, most);
        }
        None => {}
    }
}
