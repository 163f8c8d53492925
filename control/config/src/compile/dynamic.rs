//! Clusters whose hosts are named by requests (Envoy `dynamic_forward_proxy.v3.ClusterConfig`).

use std::borrow::Cow;

use prost::Message;
use ringway_model::dns::DynamicHosts;

use super::at::At;
use super::proto::{cluster, core, dns_cache, dynamic_cluster, tls as tls_proto, upstream_http};
use super::value::{is, unpack};
use super::{Cx, name_cache, original_dst};
use cluster::cluster::{ClusterDiscoveryType, CustomClusterType, LbPolicy};
use dynamic_cluster::cluster_config::ClusterImplementationSpecifier as Specifier;

/// The name by which the HTTP filter of Envoy knows such clusters.
const NAME: &str = "envoy.clusters.dynamic_forward_proxy";

/// What a cluster says of its hosts.
pub(super) struct Config {
    pub(super) message: dynamic_cluster::ClusterConfig,
    pub(super) cache: Option<dns_cache::DnsCacheConfig>,
    known_to_filter: bool,
}

/// Whether requests name the hosts of a cluster.
pub(super) fn is_dynamic(cluster: &cluster::Cluster) -> bool {
    custom(cluster).is_some_and(|custom| {
        custom.typed_config.as_ref().is_some_and(is::<dynamic_cluster::ClusterConfig>)
    })
}

fn custom(cluster: &cluster::Cluster) -> Option<&CustomClusterType> {
    match &cluster.cluster_discovery_type {
        Some(ClusterDiscoveryType::ClusterType(custom)) => Some(custom),
        _ => None,
    }
}

/// `cluster_type`, if it is of this kind.
pub(super) fn config_of(at: &At<'_>, cluster: &cluster::Cluster) -> Option<Config> {
    let custom = custom(cluster).filter(|_| is_dynamic(cluster))?;
    let at = at.field("cluster_type");
    let message: dynamic_cluster::ClusterConfig =
        unpack(&at.field("typed_config"), custom.typed_config.as_ref()?)?;
    let cache = match &message.cluster_implementation_specifier {
        Some(Specifier::DnsCacheConfig(config)) => Some(config.clone()),
        _ => None,
    };
    Some(Config { message, cache, known_to_filter: custom.name == NAME })
}

/// The hosts of a cluster. `None` after an error; within it, `None` for a cluster of another kind.
#[expect(clippy::option_option, reason = "an error is not another kind")]
pub(super) fn hosts(
    cx: &Cx<'_>,
    at: &At<'_>,
    cluster: &cluster::Cluster,
    is_secure: bool,
) -> Option<Option<DynamicHosts>> {
    check_policy(at, cluster);
    let Some(config) = config_of(at, cluster) else {
        return (!is_dynamic(cluster)).then_some(None);
    };
    let auto = automatic(at, cluster, config.message.allow_insecure_cluster_options);
    if cluster.load_assignment.is_some() {
        at.field("load_assignment").no_effect("requests name the hosts of the cluster");
    }
    let at = at.field("cluster_type");
    let at = at.field("typed_config");
    let Some(cache) = &config.cache else {
        at.unsupported("without dns_cache_config");
        return None;
    };
    let cache = name_cache::cache(cx, &at.field("dns_cache_config"), cache)?;
    Some(Some(DynamicHosts {
        cache,
        default_port: if is_secure { 443 } else { 80 },
        known_to_filter: config.known_to_filter,
        auto_sni: auto.sni,
    }))
}

/// Who chooses hosts must be known to both the cluster and its policy.
fn check_policy(at: &At<'_>, cluster: &cluster::Cluster) {
    let provided = cluster.lb_policy == LbPolicy::ClusterProvided as i32;
    let provided = provided && cluster.load_balancing_policy.is_none();
    if original_dst::is_original_dst(cluster) {
        // It says so in its own words.
        return;
    }
    let what = match (is_dynamic(cluster), provided) {
        (true, false) => "cluster provided LB not specified but cluster '{}' provided one",
        (false, true) => "cluster provided LB specified but cluster '{}' did not provide one",
        _ => return,
    };
    let what = what.replace("{}", &cluster.name);
    at.field("lb_policy")
        .invalid(format_args!("cluster manager: {what}. Check cluster documentation."));
}

/// `upstream_http_protocol_options`
#[derive(Debug, Clone, Copy)]
struct Automatic {
    sni: bool,
    san: bool,
}

/// Both are on unless a cluster has options of its own for HTTP.
fn automatic(at: &At<'_>, cluster: &cluster::Cluster, allow_insecure: bool) -> Automatic {
    let auto = options(cluster);
    let is_secure = auto.sni && auto.san;
    if !allow_insecure && !is_secure {
        at.field("typed_extension_protocol_options").invalid(
            "dynamic_forward_proxy cluster must have auto_sni and auto_san_validation true unless \
             allow_insecure_cluster_options is set.",
        );
    }
    auto
}

fn options(cluster: &cluster::Cluster) -> Automatic {
    let mut all = cluster.typed_extension_protocol_options.values();
    let Some(any) = all.find(|any| is::<upstream_http::HttpProtocolOptions>(any)) else {
        return Automatic { sni: true, san: true };
    };
    // What cannot be read is reported where the options are compiled.
    let options = upstream_http::HttpProtocolOptions::decode(any.value.as_slice());
    let auto = options.unwrap_or_default().upstream_http_protocol_options.unwrap_or_default();
    Automatic { sni: auto.auto_sni, san: auto.auto_san_validation }
}

/// The transport socket of a cluster. Where requests name its hosts, the name is also the one
/// that their certificates must be for (`auto_san_validation`).
pub(super) fn socket(cluster: &cluster::Cluster) -> Option<Cow<'_, core::TransportSocket>> {
    let socket = cluster.transport_socket.as_ref()?;
    let automatic = is_dynamic(cluster) && options(cluster).san;
    let own = automatic.then(|| verifying(socket)).flatten();
    Some(own.map_or(Cow::Borrowed(socket), Cow::Owned))
}

fn verifying(socket: &core::TransportSocket) -> Option<core::TransportSocket> {
    use core::transport_socket::ConfigType;
    let Some(ConfigType::TypedConfig(any)) = &socket.config_type else { return None };
    if !is::<tls_proto::UpstreamTlsContext>(any) {
        return None;
    }
    let mut context = tls_proto::UpstreamTlsContext::decode(any.value.as_slice()).ok()?;
    let verifies = context.common_tls_context.as_ref().is_some_and(verifies_chains);
    context.auto_sni_san_validation |= verifies;
    let any = super::proto::google::Any { value: context.encode_to_vec(), ..any.clone() };
    let config_type = Some(ConfigType::TypedConfig(any));
    Some(core::TransportSocket { config_type, ..socket.clone() })
}

/// Without authorities any certificate can claim any name; as in Envoy, none is looked at then.
fn verifies_chains(common: &tls_proto::CommonTlsContext) -> bool {
    use tls_proto::common_tls_context::ValidationContextType as Type;
    match &common.validation_context_type {
        Some(Type::ValidationContext(context)) => context.trusted_ca.is_some(),
        Some(_) => true,
        None => false,
    }
}
