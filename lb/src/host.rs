//! What the balancer knows of an endpoint. Addresses, names and metadata live in the snapshot:
//! here a host is its place in the slice that the caller passed.

/// One endpoint of a cluster, as the balancer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// `load_balancing_weight`, 1 unless configured. Zero counts as 1: Envoy refuses it when it
    /// reads the configuration, so it can only come from a caller's mistake.
    pub weight: u32,
    /// The sum of active health checks, outlier detection and the status that discovery gave.
    pub health: Health,
    /// `LocalityLbEndpoints.priority`: 0 is served first. At most 128, as in the protocol.
    pub priority: u32,
    /// Index of the `LocalityLbEndpoints` entry that lists the endpoint, counted over the whole
    /// cluster; it selects the weight in [`Settings::locality_weights`].
    ///
    /// [`Settings::locality_weights`]: crate::Settings::locality_weights
    pub locality: u32,
}

impl Host {
    /// A healthy host of weight 1 in priority 0: what a plain static cluster is made of.
    pub const PLAIN: Self = Self { weight: 1, health: Health::Healthy, priority: 0, locality: 0 };

    pub(crate) fn effective_weight(&self) -> u32 {
        self.weight.max(1)
    }
}

/// Envoy's coarse health of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// Takes its share of the load.
    Healthy,
    /// Takes load only once the healthy hosts of all priorities cannot carry it.
    Degraded,
    /// Takes load only in panic.
    Unhealthy,
}
