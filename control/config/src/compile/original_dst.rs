//! Clusters whose hosts are where connections and requests were meant to go (Envoy `ORIGINAL_DST`
//! and `original_dst_lb_config`).

use std::time::Duration;

use ringway_model::dns::NameCache;
use ringway_model::original_dst::OriginalDst;

use super::Cx;
use super::at::At;
use super::cluster::{name, scope};
use super::proto::{cluster, metadata};
use super::stat_names;
use super::value::duration;
use cluster::cluster::{
    ClusterDiscoveryType, DiscoveryType, LbConfig, LbPolicy, OriginalDstLbConfig,
};
use metadata::metadata_key::path_segment::Segment;

/// `cleanup_interval`
const CLEANUP_INTERVAL: Duration = Duration::from_secs(5);
/// Hosts of one cluster that are kept, in the whole process. Envoy has no limit, but clients can
/// choose them.
const HOSTS_MAX: u64 = 16_384;

pub(super) fn is_original_dst(cluster: &cluster::Cluster) -> bool {
    let original = DiscoveryType::OriginalDst as i32;
    matches!(&cluster.cluster_discovery_type,
        Some(ClusterDiscoveryType::Type(number)) if *number == original)
}

/// The hosts of a cluster. `None` after an error; within it, `None` for a cluster of another kind.
#[expect(clippy::option_option, reason = "an error is not another kind")]
pub(super) fn hosts(
    cx: &Cx<'_>,
    at: &At<'_>,
    cluster: &cluster::Cluster,
) -> Option<Option<OriginalDst>> {
    let config = match &cluster.lb_config {
        Some(LbConfig::OriginalDstLbConfig(config)) => Some(config),
        _ => None,
    };
    let at_config = at.field("original_dst_lb_config");
    let interval = duration(&at.field("cleanup_interval"), cluster.cleanup_interval);
    if !is_original_dst(cluster) {
        let why = "only a cluster of the type ORIGINAL_DST reads it";
        if config.is_some() {
            at_config.no_effect(why);
        }
        if cluster.cleanup_interval.is_some() {
            at.field("cleanup_interval").no_effect(why);
        }
        return Some(None);
    }
    check(at, cluster);
    let config = config.cloned().unwrap_or_default();
    let header = header(&at_config, &config);
    let metadata = noted(&at_config.field("metadata_key"), &config)?;
    let port = config.upstream_port_override.map(|port| u16::try_from(port.value));
    let interval = interval.unwrap_or(CLEANUP_INTERVAL);
    Some(Some(OriginalDst {
        table: NameCache::of_addresses(name(cluster), interval, HOSTS_MAX).into(),
        metadata,
        header,
        // The API's own rule keeps the port below 65536.
        port: port.and_then(Result::ok),
        stats: stat_names::original_dst(&cx.env.catalog, scope(cluster)),
    }))
}

fn check(at: &At<'_>, cluster: &cluster::Cluster) {
    let policy = LbPolicy::try_from(cluster.lb_policy).unwrap_or_default();
    if policy != LbPolicy::ClusterProvided {
        at.field("lb_policy").invalid(format_args!(
            "cluster: LB policy {} is not valid for Cluster type ORIGINAL_DST. Only \
             'CLUSTER_PROVIDED' is allowed with cluster type 'ORIGINAL_DST'",
            policy.as_str_name()
        ));
    }
    if cluster.load_assignment.is_some() {
        at.field("load_assignment")
            .invalid("ORIGINAL_DST clusters must have no load assignment configured");
    }
}

fn header(at: &At<'_>, config: &OriginalDstLbConfig) -> Option<Box<[u8]>> {
    let name = config.http_header_name.as_str();
    if !config.use_http_header {
        if !name.is_empty() {
            at.field("http_header_name").invalid(format_args!(
                "ORIGINAL_DST cluster: invalid config http_header_name={name} and \
                 use_http_header is false. Set use_http_header to true if http_header_name is \
                 desired."
            ));
        }
        return None;
    }
    let name = if name.is_empty() { OriginalDst::HEADER } else { name };
    Some(name.to_ascii_lowercase().into_bytes().into())
}

/// Namespace and key of `metadata_key`. `None` after an error.
#[expect(clippy::option_option, reason = "an error is not another kind")]
fn noted(at: &At<'_>, config: &OriginalDstLbConfig) -> Option<Option<(Box<str>, Box<str>)>> {
    let Some(key) = &config.metadata_key else { return Some(None) };
    // The API's own rules want at least one segment, which is a key.
    let [path] = key.path.as_slice() else {
        at.field("path").unsupported("a path within a value");
        return None;
    };
    let Some(Segment::Key(name)) = &path.segment else { return Some(None) };
    Some(Some((key.key.as_str().into(), name.as_str().into())))
}
