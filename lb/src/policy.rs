//! The balancing policies and their parameters, as `lb_policy` and the typed
//! `load_balancing_policy` extensions give them.
//!
//! Slow start belongs to the weight that `source.rs` hands to its schedule.

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
    /// By a hash of the request: `RING_HASH`, `MAGLEV`.
    Consistent(Consistent),
}

/// Consistent hashing: a key stays with its host as long as that takes load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consistent {
    /// The table.
    pub table: Table,
    /// `hash_balance_factor`: percent of its share of the requests in flight that a host may have;
    /// 0 for no bound.
    pub balance_factor: u32,
    /// `use_hostname_for_hashing`: a host's name stands for it instead of its address. For whoever
    /// makes the keys.
    pub by_hostname: bool,
}

/// How hashes are spread over hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// `ring_hash_lb_config`
    RingHash(RingHash),
    /// `maglev_lb_config`
    Maglev(Maglev),
}

/// Parameters of `extensions.load_balancing_policies.ring_hash.v3.RingHash`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingHash {
    /// `minimum_ring_size`, 1024.
    pub min_size: u64,
    /// `maximum_ring_size`, 8 M.
    pub max_size: u64,
    /// `hash_function`
    pub function: HashFunction,
}

/// `RingHash.HashFunction`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashFunction {
    /// `XX_HASH`
    #[default]
    XxHash,
    /// `MURMUR_HASH_2`
    MurmurHash2,
}

/// Parameters of `extensions.load_balancing_policies.maglev.v3.Maglev`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maglev {
    /// `table_size`, 65537; a prime.
    pub table_size: u64,
}

impl Policy {
    /// How requests are hashed to hosts, if they are.
    pub fn consistent(&self) -> Option<&Consistent> {
        match self {
            Self::Consistent(consistent) => Some(consistent),
            _ => None,
        }
    }
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
