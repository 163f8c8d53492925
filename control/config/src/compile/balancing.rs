//! `lb_policy`, `load_balancing_policy` and what else shares the load of a cluster.

use ringway_lb::{LeastRequest, Policy, Selection, Settings};

use super::at::At;
use super::proto::{balancing, cluster, core, google};
use super::value::{is, or_u32, type_name, unpack};
use balancing::common::v3::LocalityLbConfig;
use balancing::least_request::v3 as least_request;
use balancing::random::v3::Random;
use balancing::round_robin::v3::RoundRobin;

const CHOICES: u32 = 2;
const OVERPROVISIONING_FACTOR: u32 = 140;

pub(super) fn policy(at: &At<'_>, cluster: &cluster::Cluster) -> Option<Policy> {
    use cluster::cluster::{LbConfig, LbPolicy};
    if let Some(typed) = typed_policy(cluster) {
        return typed_balancing(&at.field("load_balancing_policy"), typed);
    }
    let least_request = match &cluster.lb_config {
        Some(LbConfig::LeastRequestLbConfig(config)) => Some(config),
        _ => None,
    };
    let chosen = LbPolicy::try_from(cluster.lb_policy);
    if least_request.is_some() && chosen != Ok(LbPolicy::LeastRequest) {
        let at = at.field("least_request_lb_config");
        at.unsupported("with another lb_policy than LEAST_REQUEST it has no effect");
    }
    match chosen {
        Ok(LbPolicy::RoundRobin) => Some(Policy::RoundRobin),
        Ok(LbPolicy::Random) => Some(Policy::Random),
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

/// The first policy of the list: all that the support table lets pass are known here.
fn typed_policy(cluster: &cluster::Cluster) -> Option<&google::Any> {
    let policy = cluster.load_balancing_policy.as_ref()?.policies.first()?;
    policy.typed_extension_config.as_ref()?.typed_config.as_ref()
}

fn typed_balancing(at: &At<'_>, any: &google::Any) -> Option<Policy> {
    let (at, at_index) = (at.field("policies"), 0);
    let (at, extension) = (at.index(at_index), "typed_extension_config");
    let at = at.field(extension);
    let at = at.field("typed_config");
    if is::<RoundRobin>(any) {
        return Some(Policy::RoundRobin);
    }
    if is::<Random>(any) {
        return Some(Policy::Random);
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

pub(super) fn settings(at: &At<'_>, cluster: &cluster::Cluster) -> Option<Settings> {
    let assignment = cluster.load_assignment.as_ref();
    let shares = assignment.and_then(|assignment| assignment.policy.as_ref());
    let factor = shares.and_then(|shares| shares.overprovisioning_factor);
    let common = cluster.common_lb_config.as_ref();
    let threshold = common.and_then(|common| common.healthy_panic_threshold);
    check_priorities(at, cluster)?;
    let defaults = Settings::default();
    Some(Settings {
        panic_threshold_percent: threshold
            .map_or(defaults.panic_threshold_percent, |percent| percent.value),
        overprovisioning_factor: or_u32(factor, OVERPROVISIONING_FACTOR),
        weighted_priority_health: shares.is_some_and(|shares| shares.weighted_priority_health),
        fail_traffic_on_panic: false,
        locality_weights: uses_locality_weights(cluster).then(|| locality_weights(cluster)),
    })
}

/// Whether `locality_weighted_lb_config` stands where it is read: in the typed policy if there is
/// one, otherwise in `common_lb_config`.
pub(super) fn uses_locality_weights(cluster: &cluster::Cluster) -> bool {
    use cluster::cluster::common_lb_config::LocalityConfigSpecifier as Older;
    if let Some(any) = typed_policy(cluster) {
        return typed_locality(any).is_some_and(|config| weights_localities(&config));
    }
    let common = cluster.common_lb_config.as_ref();
    let specifier = common.and_then(|common| common.locality_config_specifier.as_ref());
    matches!(specifier, Some(Older::LocalityWeightedLbConfig(_)))
}

fn weights_localities(config: &LocalityLbConfig) -> bool {
    use balancing::common::v3::locality_lb_config::LocalityConfigSpecifier as Newer;
    matches!(config.locality_config_specifier, Some(Newer::LocalityWeightedLbConfig(_)))
}

fn typed_locality(any: &google::Any) -> Option<LocalityLbConfig> {
    use prost::Message;
    // A message that cannot be decoded was reported by `policy`.
    let bytes = any.value.as_slice();
    if is::<RoundRobin>(any) {
        RoundRobin::decode(bytes).ok()?.locality_lb_config
    } else if is::<Random>(any) {
        Random::decode(bytes).ok()?.locality_lb_config
    } else {
        least_request::LeastRequest::decode(bytes).ok()?.locality_lb_config
    }
}

/// By index of the locality; one without a weight gets no load.
fn locality_weights(cluster: &cluster::Cluster) -> Vec<u32> {
    let localities = cluster.load_assignment.iter().flat_map(|all| &all.endpoints);
    localities.map(|locality| or_u32(locality.load_balancing_weight, 0)).collect()
}

/// Envoy adds up the weights of all localities of a priority in 32 bits.
fn check_priorities(at: &At<'_>, cluster: &cluster::Cluster) -> Option<()> {
    let assignment = cluster.load_assignment.as_ref();
    let localities = assignment.map_or(&[][..], |assignment| &assignment.endpoints);
    let mut sums = std::collections::HashMap::new();
    for (index, locality) in localities.iter().enumerate() {
        let sum: &mut u64 = sums.entry(locality.priority).or_default();
        *sum += u64::from(or_u32(locality.load_balancing_weight, 0));
        if *sum > u64::from(u32::MAX) {
            let at = at.field("load_assignment");
            let at = at.field("endpoints");
            let at = at.index(index);
            at.field("load_balancing_weight").invalid(format_args!(
                "The sum of weights of all localities at the same priority {} exceeds {}",
                locality.priority,
                u32::MAX
            ));
            return None;
        }
    }
    Some(())
}
