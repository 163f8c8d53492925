//! What must be resolved for STRICT_DNS clusters, and the answers.
//!
//! The compiler resolves nothing: it lists the names, and takes the answers that are known when
//! it is called.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub use ringway_model::dns::LookupFamily;
use ringway_model::dns::Resolver;

use super::at::At;
use super::name_cache;
use super::proto::{cluster, dns_cluster, dns_common};
use super::value::{duration, is, unpack};

/// The names of one cluster, and how to ask for them.
#[derive(Debug, Clone, PartialEq)]
pub struct DnsTarget {
    /// The cluster.
    pub cluster: Arc<str>,
    /// The names, each once. Their addresses go to [`super::Compiler::with_endpoints`].
    pub hosts: Vec<String>,
    /// `dns_lookup_family`.
    pub family: LookupFamily,
    /// When to ask again.
    pub refresh: Refresh,
    /// Who is asked.
    pub resolver: Resolver,
    /// `LOGICAL_DNS`: a name that has no address any more keeps the last one.
    pub keeps_last: bool,
}

/// When a name is asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refresh {
    /// `dns_refresh_rate`, 5 s, after an answer.
    pub interval: Duration,
    /// `dns_failure_refresh_rate`: the first wait after a failure and the longest one; it doubles
    /// in between, with full jitter. `None` waits as after an answer.
    pub failure: Option<(Duration, Duration)>,
    /// `dns_jitter`: up to this much is added to each wait.
    pub jitter: Duration,
    /// `respect_dns_ttl`: the answer's time to live takes the place of the interval.
    pub respect_ttl: bool,
}

/// The addresses of one cluster's names.
pub type Resolved = HashMap<String, Vec<IpAddr>>;

/// All answers that are known, by cluster. A name that is missing has no address yet.
#[derive(Debug, Clone, Default)]
pub struct ResolvedEndpoints {
    by_cluster: HashMap<String, Resolved>,
}

impl ResolvedEndpoints {
    /// Nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers the answer for a name of a cluster.
    pub fn insert(&mut self, cluster: &str, host: &str, addresses: Vec<IpAddr>) {
        let hosts = self.by_cluster.entry(cluster.to_owned()).or_default();
        hosts.insert(host.to_owned(), addresses);
    }

    /// Forgets the clusters that are not among these.
    pub fn retain(&mut self, targets: &[DnsTarget]) {
        self.by_cluster.retain(|name, _| targets.iter().any(|target| &*target.cluster == name));
    }

    /// The answers for a cluster.
    pub fn of(&self, cluster: &str) -> Option<&Resolved> {
        self.by_cluster.get(cluster)
    }
}

const REFRESH_RATE: Duration = Duration::from_secs(5);
/// `max_interval` counts in multiples of `base_interval`.
const FAILURE_FACTOR: u32 = 10;

/// Fields that nobody reads when no name is resolved.
pub(super) fn note_unused(at: &At<'_>, cluster: &cluster::Cluster, why: &str) {
    let set = [
        ("dns_refresh_rate", cluster.dns_refresh_rate.is_some()),
        ("dns_failure_refresh_rate", cluster.dns_failure_refresh_rate.is_some()),
        ("dns_jitter", cluster.dns_jitter.is_some()),
        ("respect_dns_ttl", cluster.respect_dns_ttl),
        ("dns_lookup_family", cluster.dns_lookup_family != 0),
        ("typed_dns_resolver_config", cluster.typed_dns_resolver_config.is_some()),
    ];
    for (field, _) in set.into_iter().filter(|(_, is_set)| *is_set) {
        at.field(field).no_effect(why);
    }
}

/// How names are asked for, by the fields of the cluster or those of its `DnsCluster`.
#[derive(Debug)]
pub(super) struct Questions {
    pub(super) family: LookupFamily,
    pub(super) refresh: Refresh,
    pub(super) resolver: Resolver,
}

pub(super) fn questions(at: &At<'_>, cluster: &cluster::Cluster) -> Option<Questions> {
    if let Some(config) = typed(at, cluster) {
        note_unused(at, cluster, "that of cluster_type counts");
        let at = at.field("cluster_type");
        return questions_of(&at.field("typed_config"), &config);
    }
    let interval = duration(&at.field("dns_refresh_rate"), cluster.dns_refresh_rate);
    let at_resolver = at.field("typed_dns_resolver_config");
    let resolver = cluster.typed_dns_resolver_config.as_ref();
    Some(Questions {
        family: family(cluster.dns_lookup_family),
        refresh: Refresh {
            interval: interval.unwrap_or(REFRESH_RATE),
            failure: failure_refresh(at, cluster.dns_failure_refresh_rate.as_ref()),
            jitter: duration(&at.field("dns_jitter"), cluster.dns_jitter).unwrap_or_default(),
            respect_ttl: cluster.respect_dns_ttl,
        },
        resolver: name_cache::resolver(&at_resolver, resolver)?,
    })
}

fn questions_of(at: &At<'_>, config: &dns_cluster::DnsCluster) -> Option<Questions> {
    use dns_common::DnsLookupFamily as Family;
    let interval = duration(&at.field("dns_refresh_rate"), config.dns_refresh_rate);
    let rate = config.dns_failure_refresh_rate.map(|rate| cluster::cluster::RefreshRate {
        base_interval: rate.base_interval,
        max_interval: rate.max_interval,
    });
    let at_resolver = at.field("typed_dns_resolver_config");
    Some(Questions {
        family: match Family::try_from(config.dns_lookup_family) {
            Ok(Family::V4Only) => LookupFamily::V4Only,
            Ok(Family::V6Only) => LookupFamily::V6Only,
            Ok(Family::V4Preferred) => LookupFamily::V4Preferred,
            Ok(Family::All) => LookupFamily::All,
            Ok(Family::Auto | Family::Unspecified) | Err(_) => LookupFamily::Auto,
        },
        refresh: Refresh {
            interval: interval.unwrap_or(REFRESH_RATE),
            failure: failure_refresh(at, rate.as_ref()),
            jitter: duration(&at.field("dns_jitter"), config.dns_jitter).unwrap_or_default(),
            respect_ttl: config.respect_dns_ttl,
        },
        resolver: name_cache::resolver(&at_resolver, config.typed_dns_resolver_config.as_ref())?,
    })
}

/// `cluster_type`, if it is `envoy.cluster.dns`.
pub(super) fn typed(at: &At<'_>, cluster: &cluster::Cluster) -> Option<dns_cluster::DnsCluster> {
    use cluster::cluster::ClusterDiscoveryType;
    let Some(ClusterDiscoveryType::ClusterType(custom)) = &cluster.cluster_discovery_type else {
        return None;
    };
    let any = custom.typed_config.as_ref().filter(|any| is::<dns_cluster::DnsCluster>(any))?;
    let at = at.field("cluster_type");
    unpack(&at.field("typed_config"), any)
}

pub(super) fn failure_refresh(
    at: &At<'_>,
    rate: Option<&cluster::cluster::RefreshRate>,
) -> Option<(Duration, Duration)> {
    let rate = rate?;
    let at = at.field("dns_failure_refresh_rate");
    let base = duration(&at.field("base_interval"), rate.base_interval)?;
    let max = duration(&at.field("max_interval"), rate.max_interval);
    let max = max.unwrap_or_else(|| base.saturating_mul(FAILURE_FACTOR));
    if max < base {
        at.field("max_interval").invalid(
            "dns_failure_refresh_rate must have max_interval greater than or equal to the \
             base_interval",
        );
    }
    Some((base, max))
}

pub(super) fn family(number: i32) -> LookupFamily {
    use cluster::cluster::DnsLookupFamily as Family;
    match Family::try_from(number) {
        Ok(Family::V4Only) => LookupFamily::V4Only,
        Ok(Family::V6Only) => LookupFamily::V6Only,
        Ok(Family::V4Preferred) => LookupFamily::V4Preferred,
        Ok(Family::All) => LookupFamily::All,
        Ok(Family::Auto) | Err(_) => LookupFamily::Auto,
    }
}
