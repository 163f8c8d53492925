//! One generation of the whole configuration.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::cluster::{Cluster, ClusterId};
use crate::listener::Listener;
use crate::overload::TimerScales;

/// What every worker follows until the next generation is published.
///
/// Resources that did not change from one generation to the next are the same `Arc`, which is
/// how a worker knows what it can keep (`Arc::ptr_eq`).
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Grows by one with each publication; the first is 1.
    pub generation: u64,
    /// In the order of the configuration.
    pub listeners: Vec<Arc<Listener>>,
    /// Indexed by [`ClusterId`]; `None` where a cluster of an older generation is gone.
    pub clusters: Vec<Option<Arc<Cluster>>>,
    /// For clusters that are named at run time (`cluster_header`).
    pub cluster_ids: Arc<FxHashMap<Box<str>, ClusterId>>,
    /// Times that get shorter under overload.
    pub timer_scales: TimerScales,
}

impl Snapshot {
    /// The cluster of that id, if this generation has it.
    pub fn cluster(&self, id: ClusterId) -> Option<&Arc<Cluster>> {
        self.clusters.get(id.index())?.as_ref()
    }
}
