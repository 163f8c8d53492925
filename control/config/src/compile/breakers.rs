//! Circuit breakers: limits that live as long as the process does.

use std::sync::Arc;

use ringway_bridge::limit::Limit;
use ringway_lb::Thresholds as Defaults;
use ringway_model::cluster::PriorityLimits;

use super::proto::{cluster, core};
use super::value::or_u32;

/// The numbers of one priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Thresholds {
    connections: u32,
    pending: u32,
    requests: u32,
    retries: u32,
}

/// The numbers of both priorities.
pub(super) fn thresholds(breakers: Option<&cluster::CircuitBreakers>) -> [Thresholds; 2] {
    use core::RoutingPriority::{Default, High};
    [Default, High].map(|priority| {
        let all = breakers.map_or(&[][..], |breakers| &breakers.thresholds);
        // Of several for one priority Envoy takes the first.
        let found = all.iter().find(|one| one.priority == priority as i32);
        let defaults = Defaults::default();
        let value = |field: fn(&cluster::circuit_breakers::Thresholds) -> _, default| {
            or_u32(found.and_then(field), default)
        };
        Thresholds {
            connections: value(|one| one.max_connections, defaults.max_connections),
            pending: value(|one| one.max_pending_requests, defaults.max_pending_requests),
            requests: value(|one| one.max_requests, defaults.max_requests),
            retries: value(|one| one.max_retries, defaults.max_retries),
        }
    })
}

/// Limits of a cluster that nobody knew before; their numbers come with [`apply`].
pub(super) fn new_limits() -> [PriorityLimits; 2] {
    [(); 2].map(|()| PriorityLimits {
        connections: Limit::new(0),
        pending: Limit::new(0),
        requests: Limit::new(0),
        retries: Limit::new(0),
    })
}

/// Sets the numbers. Units in use stay in use.
pub(super) fn apply(limits: &[PriorityLimits; 2], thresholds: &[Thresholds; 2]) {
    let set = |limit: &Arc<Limit>, max: u32| {
        if limit.max() != u64::from(max) {
            limit.set_max(u64::from(max));
        }
    };
    for (limits, thresholds) in limits.iter().zip(thresholds) {
        set(&limits.connections, thresholds.connections);
        set(&limits.pending, thresholds.pending);
        set(&limits.requests, thresholds.requests);
        set(&limits.retries, thresholds.retries);
    }
}

/// Whether anybody but the compiler holds them.
pub(super) fn in_use(limits: &[PriorityLimits; 2]) -> bool {
    limits.iter().any(|limits| Arc::strong_count(&limits.connections) > 1)
}
