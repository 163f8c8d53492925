//! From one generation of the configuration to the next, between two events of the loop.
//!
//! Nothing here can fail: whatever can fail was done on the control thread. Resources that did
//! not change are the same `Arc` in both generations and are left alone; pools of clusters whose
//! policy did not change are kept, endpoint by endpoint; connections keep running and take the new
//! configuration with their next request.

use std::rc::Rc;
use std::sync::Arc;

use ringway_model::snapshot::Snapshot;

use crate::listener::{Listening, by_address, by_name};
use crate::upstream::Upstream;
use crate::worker::Worker;

/// Makes `worker` follow `snapshot`.
pub(crate) fn adopt(worker: &Rc<Worker>, snapshot: Arc<Snapshot>) {
    *worker.snapshot.borrow_mut() = Arc::clone(&snapshot);
    worker.forget_names();
    // Clusters first: a new route must find its cluster.
    adopt_clusters(worker, &snapshot);
    adopt_listeners(worker, &snapshot);
    worker.dns.forget_unused();
}

fn adopt_clusters(worker: &Rc<Worker>, snapshot: &Snapshot) {
    let mut old = worker.upstreams.take();
    old.resize_with(old.len().max(snapshot.clusters.len()), || None);
    let next = old.into_iter().enumerate().map(|(index, before)| {
        let cluster = snapshot.clusters.get(index).and_then(Option::as_ref);
        match (cluster, before) {
            (Some(cluster), Some(before)) if Arc::ptr_eq(cluster, &before.cluster) => Some(before),
            (Some(cluster), before) => Some(Upstream::new(worker, cluster, before.as_deref())),
            (None, Some(before)) => {
                before.retire();
                None
            }
            (None, None) => None,
        }
    });
    *worker.upstreams.borrow_mut() = next.collect();
}

fn adopt_listeners(worker: &Rc<Worker>, snapshot: &Snapshot) {
    let mut old = worker.listening.take();
    let mut next = Vec::with_capacity(snapshot.listeners.len());
    for listener in &snapshot.listeners {
        let same = |candidate: &Rc<Listening>| candidate.listens_for(listener);
        if let Some(position) = old.iter().position(same) {
            let kept = old.swap_remove(position);
            kept.update(worker, listener);
            kept.follow_clusters();
            next.push(kept);
        } else {
            next.push(Listening::start(worker, listener));
        }
    }
    for gone in old {
        gone.remove();
    }
    *worker.by_address.borrow_mut() = by_address(&next);
    *worker.internal.borrow_mut() = by_name(&next);
    *worker.listening.borrow_mut() = next;
}
