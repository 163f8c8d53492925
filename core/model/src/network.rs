//! Network filters: what decides about a connection before its bytes are taken.

use std::sync::Arc;
use std::time::Duration;

use ringway_bridge::limit::Limit;
use ringway_bridge::rate::TokenBucket;

use crate::dns::NameCache;
use crate::rbac::Judge;
use crate::stats::{ConnectionLimitStats, LocalRateLimitStats, RbacStats, ShadowRbacStats};

/// A network filter in front of the one that takes the bytes.
#[derive(Debug)]
pub enum NetworkFilter {
    /// `envoy.filters.network.connection_limit`
    ConnectionLimit(ConnectionLimit),
    /// `envoy.filters.network.sni_cluster`: the server name of the ClientHello is the cluster of
    /// the TCP proxy.
    SniCluster,
    /// `envoy.filters.network.sni_dynamic_forward_proxy`
    SniDynamicForwardProxy(SniDynamicForwardProxy),
    /// `envoy.filters.network.local_ratelimit`
    LocalRateLimit(LocalRateLimit),
    /// `envoy.filters.network.rbac`
    Rbac(Rbac),
}

/// Envoy `sni_dynamic_forward_proxy.v3.FilterConfig`: the server name of the ClientHello is the
/// host, once its address is known.
#[derive(Debug)]
pub struct SniDynamicForwardProxy {
    /// `dns_cache_config`.
    pub cache: Arc<NameCache>,
    /// `port_value`: the port of the host.
    pub port: u16,
}

/// Envoy `ConnectionLimit`: so many connections of a filter chain at once, in the whole process.
#[derive(Debug)]
pub struct ConnectionLimit {
    /// `max_connections`.
    pub limit: Arc<Limit>,
    /// `delay`: how long a connection beyond it stays open before it is closed.
    pub delay: Option<Duration>,
    /// `connection_limit.<stat_prefix>.*`
    pub stats: ConnectionLimitStats,
}

/// Envoy `LocalRateLimit`: a new connection costs a token, in the whole process.
#[derive(Debug)]
pub struct LocalRateLimit {
    /// `token_bucket`; filters with the same `share_key` have the same.
    pub bucket: Arc<TokenBucket>,
    /// `local_rate_limit.<stat_prefix>.*`
    pub stats: LocalRateLimitStats,
}

/// Envoy `RBAC`: whether a client's bytes may pass.
#[derive(Debug)]
pub struct Rbac {
    /// `matcher` or `rules`; none lets everything pass and counts nothing.
    pub rules: Option<Judge>,
    /// `shadow_matcher` or `shadow_rules`: counted and logged, not enforced.
    pub shadow_rules: Option<Judge>,
    /// `enforcement_type: CONTINUOUS`: each time that bytes arrive, not only the first.
    pub continuous: bool,
    /// `delay_deny`: how long a denied connection stays open.
    pub delay_deny: Option<Duration>,
    /// `<stat_prefix>.rbac.*`
    pub stats: RbacStats,
    /// `<stat_prefix>.rbac.<shadow_rules_stat_prefix>.*`
    pub shadow_stats: ShadowRbacStats,
    /// `shadow_rules_stat_prefix` in front of the names of the metadata that the filter writes:
    /// those of the policy and of the result.
    pub shadow_keys: (Box<str>, Box<str>),
}
