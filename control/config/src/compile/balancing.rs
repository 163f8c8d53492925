//! `lb_policy`, `load_balancing_policy` and what else shares the load of a cluster.

use ringway_lb::{LeastRequest, Policy, Selection, Settings};

use super::at::At;
use super::consistent;
use super::proto::{balancing, cluster, core, google};
use super::value::{is, or_u32, type_name, unpack};
use balancing::common::v3::LocalityLbConfig;
use balancing::least_request::v3 as least_request;
use balancing::maglev::v3::Maglev;
use balancing::random::v3::Random;
use balancing::ring_hash::v3::RingHash;
use balancing::round_robin::v3::RoundRobin;

const CHOICES: u32 = 2;
const OVERPROVISIONING_FACTOR: u32 = 140;

pub(super) fn policy(at: &At<'_>, cluster: &cluster::Cluster) -> Option<Policy> {
    use cluster::cluster::{LbConfig, LbPolicy};
    if cluster.load_balancing_policy.is_some() {
        note_older_fields(at, cluster);
        let Some(typed) = typed_policy(cluster) else {
            at.field("load_balancing_policy").invalid(format_args!(
                "cluster: didn't find a registered load balancer factory implementation for \
                 cluster: '{}' with names from []",
                cluster.name
            ));
            return None;
        };
        return typed_balancing(&at.field("load_balancing_policy"), typed);
    }
    let least_request = match &cluster.lb_config {
        Some(LbConfig::LeastRequestLbConfig(config)) => Some(config),
        _ => None,
    };
    let chosen = LbPolicy::try_from(cluster.lb_policy);
    note_other_config(at, cluster, chosen.ok());
    match chosen {
        // A cluster that provides its own has no endpoints to be chosen from.
        Ok(LbPolicy::RoundRobin | LbPolicy::ClusterProvided) => Some(Policy::RoundRobin),
        Ok(LbPolicy::Random) => Some(Policy::Random),
        Ok(LbPolicy::RingHash) => consistent::older_ring(at, cluster),
        Ok(LbPolicy::Maglev) => consistent::older_maglev(at, cluster),
        Ok(LbPolicy::LeastRequest) => Some(Policy::LeastRequest(LeastRequest {
            selection: Selection::Choices(or_u32(
                least_request.and_then(|config| config.choice_count),
                CHOICES,
            )),
            active_request_bias: bias(
                least_request.and_then(|config| config.active_request_bias.as_ref()),
            ),
        })),
        _ => {
            at.field("lb_policy").unsupported("");
            None
        }
    }
}

/// The parameters of another policy than the chosen one.
fn note_other_config(
    at: &At<'_>,
    cluster: &cluster::Cluster,
    chosen: Option<cluster::cluster::LbPolicy>,
) {
    use cluster::cluster::{LbConfig, LbPolicy};
    let (field, name, policy) = match &cluster.lb_config {
        Some(LbConfig::LeastRequestLbConfig(_)) => {
            ("least_request_lb_config", "LEAST_REQUEST", LbPolicy::LeastRequest)
        }
        Some(LbConfig::RingHashLbConfig(_)) => {
            ("ring_hash_lb_config", "RING_HASH", LbPolicy::RingHash)
        }
        Some(LbConfig::MaglevLbConfig(_)) => ("maglev_lb_config", "MAGLEV", LbPolicy::Maglev),
        _ => return,
    };
    if chosen != Some(policy) {
        at.field(field).no_effect(format_args!("lb_policy is not {name}"));
    }
}

/// `load_balancing_policy` takes the place of the older fields; with one of them Envoy refuses to
/// be set beside it.
fn note_older_fields(at: &At<'_>, cluster: &cluster::Cluster) {
    let message = "load_balancing_policy takes its place";
    if cluster.lb_policy != 0 {
        at.field("lb_policy").no_effect(message);
    }
    use cluster::cluster::LbConfig;
    let config = match &cluster.lb_config {
        Some(LbConfig::RingHashLbConfig(_)) => Some("ring_hash_lb_config"),
        Some(LbConfig::MaglevLbConfig(_)) => Some("maglev_lb_config"),
        Some(_) => Some("least_request_lb_config"),
        None => None,
    };
    if let Some(field) = config {
        at.field(field).no_effect(message);
    }
    let partial = |common: &cluster::cluster::CommonLbConfig| {
        common.locality_config_specifier.is_some() || common.consistent_hashing_lb_config.is_some()
    };
    if cluster.common_lb_config.as_ref().is_some_and(partial) {
        at.field("common_lb_config").invalid(
            "cluster: load_balancing_policy cannot be combined with partial fields \
             (zone_aware_lb_config, locality_weighted_lb_config, consistent_hashing_lb_config) of \
             common_lb_config",
        );
    }
}

/// The first policy of the list: all that the support table lets pass are known here.
fn typed_policy(cluster: &cluster::Cluster) -> Option<&google::Any> {
    let policy = cluster.load_balancing_policy.as_ref()?.policies.first()?;
    policy.typed_extension_config.as_ref()?.typed_config.as_ref()
}

fn typed_balancing(at: &At<'_>, any: &google::Any) -> Option<Policy> {
    let at = at.field("policies");
    let at = at.index(0);
    let at = at.field("typed_extension_config");
    let at = at.field("typed_config");
    if is::<RoundRobin>(any) {
        return Some(Policy::RoundRobin);
    }
    if is::<Random>(any) {
        return Some(Policy::Random);
    }
    if is::<RingHash>(any) {
        return consistent::typed_ring(&at, &unpack(&at, any)?);
    }
    if is::<Maglev>(any) {
        return consistent::typed_maglev(&at, &unpack(&at, any)?);
    }
    if !is::<least_request::LeastRequest>(any) {
        at.unsupported(format_args!("the extension {}", type_name(any)));
        return None;
    }
    let config: least_request::LeastRequest = unpack(&at, any)?;
    let full_scan = least_request::least_request::SelectionMethod::FullScan as i32;
    Some(Policy::LeastRequest(LeastRequest {
        selection: if config.selection_method == full_scan {
            Selection::FullScan
        } else {
            Selection::Choices(or_u32(config.choice_count, CHOICES))
        },
        active_request_bias: bias(config.active_request_bias.as_ref()),
    }))
}

fn bias(value: Option<&core::RuntimeDouble>) -> f64 {
    value.map_or(LeastRequest::default().active_request_bias, |value| value.default_value)
}

pub(super) fn settings(cluster: &cluster::Cluster) -> Settings {
    let assignment = cluster.load_assignment.as_ref();
    let shares = assignment.and_then(|assignment| assignment.policy.as_ref());
    let factor = shares.and_then(|shares| shares.overprovisioning_factor);
    let common = cluster.common_lb_config.as_ref();
    let threshold = common.and_then(|common| common.healthy_panic_threshold);
    let defaults = Settings::default();
    Settings {
        panic_threshold_percent: threshold
            .map_or(defaults.panic_threshold_percent, |percent| percent.value),
        overprovisioning_factor: or_u32(factor, OVERPROVISIONING_FACTOR),
        weighted_priority_health: shares.is_some_and(|shares| shares.weighted_priority_health),
        fail_traffic_on_panic: false,
        locality_weights: uses_locality_weights(cluster).then(|| locality_weights(cluster)),
    }
}

/// Whether `locality_weighted_lb_config` stands where it is read: in the typed policy if there is
/// one, otherwise in `common_lb_config`.
pub(super) fn uses_locality_weights(cluster: &cluster::Cluster) -> bool {
    use cluster::cluster::common_lb_config::LocalityConfigSpecifier as Older;
    if let Some(any) = typed_policy(cluster) {
        return typed_locality(any).is_some_and(|config| weights_localities(&config))
            || hashes_by_locality(any);
    }
    let common = cluster.common_lb_config.as_ref();
    let specifier = common.and_then(|common| common.locality_config_specifier.as_ref());
    matches!(specifier, Some(Older::LocalityWeightedLbConfig(_)))
}

fn weights_localities(config: &LocalityLbConfig) -> bool {
    use balancing::common::v3::locality_lb_config::LocalityConfigSpecifier as Newer;
    matches!(config.locality_config_specifier, Some(Newer::LocalityWeightedLbConfig(_)))
}

/// The policies that hash have the field of `LocalityLbConfig` that they know themselves.
fn hashes_by_locality(any: &google::Any) -> bool {
    use prost::Message;
    let bytes = any.value.as_slice();
    let ring =
        || RingHash::decode(bytes).is_ok_and(|one| one.locality_weighted_lb_config.is_some());
    let maglev =
        || Maglev::decode(bytes).is_ok_and(|one| one.locality_weighted_lb_config.is_some());
    is::<RingHash>(any) && ring() || is::<Maglev>(any) && maglev()
}

fn typed_locality(any: &google::Any) -> Option<LocalityLbConfig> {
    use prost::Message;
    // A message that cannot be decoded was reported by `policy`.
    let bytes = any.value.as_slice();
    if is::<RoundRobin>(any) {
        RoundRobin::decode(bytes).ok()?.locality_lb_config
    } else if is::<Random>(any) {
        Random::decode(bytes).ok()?.locality_lb_config
    } else if is::<least_request::LeastRequest>(any) {
        least_request::LeastRequest::decode(bytes).ok()?.locality_lb_config
    } else {
        None
    }
}

/// By index of the locality; one without a weight gets no load.
fn locality_weights(cluster: &cluster::Cluster) -> Vec<u32> {
    let localities = cluster.load_assignment.iter().flat_map(|all| &all.endpoints);
    localities.map(|locality| or_u32(locality.load_balancing_weight, 0)).collect()
}
