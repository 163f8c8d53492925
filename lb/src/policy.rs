//! The balancing policies and their parameters, as `lb_policy` and the typed
//! `load_balancing_policy` extensions give them.
//!
//! Ring hash and Maglev belong here as two more variants: they need a request hash as an argument
//! of the pick, and a table per level beside the schedules of `source.rs`. Slow start belongs to
//! the weight that `source.rs` hands to its schedule.

/// How a host is chosen among the hosts of a level that may take load.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Policy {
    /// In turn, by weight: `ROUND_ROBIN`.
    #[default]
    RoundRobin,
    /// The least loaded of some: `LEAST_REQUEST`.
    LeastRequest(LeastRequest),
    /// Uniformly at random: `RANDOM`. Envoy ignores the weights of endpoints here, and so do we.
    Random,
}

/// Parameters of `extensions.load_balancing_policies.least_request.v3.LeastRequest`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeastRequest {
    /// How hosts of equal weight are compared: `choice_count` and `selection_method`.
    pub selection: Selection,
    /// `active_request_bias`: a host's weight is divided by (active requests + 1) to this power.
    /// Used only between hosts of different weights. Negative values and NaN count as 1.
    pub active_request_bias: f64,
}

impl Default for LeastRequest {
    fn default() -> Self {
        Self { selection: Selection::Choices(2), active_request_bias: 1.0 }
    }
}

/// Which hosts of equal weight are compared by their active requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// `N_CHOICES`: this many random hosts, drawn with replacement as Envoy draws them. Zero
    /// counts as 1.
    Choices(u32),
    /// `FULL_SCAN`: every host, ties broken at random. A pick costs O(hosts).
    FullScan,
}
