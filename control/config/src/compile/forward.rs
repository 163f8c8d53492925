//! Routes to an upstream (Envoy `RouteAction`).

use ringway_http::FieldName;
use ringway_model::cluster::ClusterRef;
use ringway_model::route::{
    ClusterChoice, Forward, HostRewrite, PathRewrite, Priority, RequestField, RouteUpgrade,
    WeightedCluster, WeightedClusters,
};

use super::at::At;
use super::mutation::{request, response};
use super::proto::{core, google, matcher, route};
use super::value::{duration, or_bool, or_u32, timeout};
use super::{Cx, pattern};
use route::route_action::{ClusterSpecifier, HostRewriteSpecifier};

pub(super) fn forward(cx: &Cx<'_>, at: &At<'_>, action: &route::RouteAction) -> Option<Forward> {
    let cluster = cluster(cx, at, action);
    let path_rewrite = path_rewrite(at, action);
    let host_rewrite = host_rewrite(at, action.host_rewrite_specifier.as_ref());
    let max_stream_duration = max_stream_duration(at, action.max_stream_duration.as_ref());
    let idle_timeout = off_or(&at.field("idle_timeout"), action.idle_timeout);
    let upgrades = upgrades(&at.field("upgrade_configs"), &action.upgrade_configs);
    let mut forward = Forward::new(cluster?);
    forward.timeout = timeout(&at.field("timeout"), action.timeout, forward.timeout);
    forward.idle_timeout = idle_timeout;
    forward.max_stream_duration = max_stream_duration;
    forward.cluster_not_found_code = not_found_code(action.cluster_not_found_response_code);
    forward.path_rewrite = path_rewrite?;
    forward.host_rewrite = host_rewrite?;
    forward.upgrades = upgrades?;
    forward.append_x_forwarded_host = action.append_x_forwarded_host;
    forward.priority = match core::RoutingPriority::try_from(action.priority) {
        Ok(core::RoutingPriority::High) => Priority::High,
        Ok(core::RoutingPriority::Default) | Err(_) => Priority::Default,
    };
    Some(forward)
}

/// Absent leaves another setting in force; 0 turns it off.
fn off_or(at: &At<'_>, value: Option<google::Duration>) -> Option<Option<std::time::Duration>> {
    duration(at, value).map(|value| Some(value).filter(|value| !value.is_zero()))
}

fn max_stream_duration(
    at: &At<'_>,
    max: Option<&route::route_action::MaxStreamDuration>,
) -> Option<Option<std::time::Duration>> {
    let at = at.field("max_stream_duration");
    off_or(&at.field("max_stream_duration"), max?.max_stream_duration)
}

/// Each type at most once.
fn upgrades(
    at: &At<'_>,
    configs: &[route::route_action::UpgradeConfig],
) -> Option<Vec<RouteUpgrade>> {
    let mut upgrades: Vec<RouteUpgrade> = Vec::with_capacity(configs.len());
    let mut whole = true;
    for (index, config) in configs.iter().enumerate() {
        let (at, kind) = (at.index(index), config.upgrade_type.as_str());
        if upgrades.iter().any(|before| before.kind.eq_ignore_ascii_case(kind)) {
            at.field("upgrade_type").invalid(format_args!("Duplicate upgrade {kind}"));
            whole = false;
        }
        let connect = config.connect_config.is_some();
        whole &= !connect || ends_connect(&at.field("connect_config"), kind);
        let enabled = or_bool(config.enabled, true);
        upgrades.push(RouteUpgrade { kind: kind.into(), enabled, connect });
    }
    whole.then_some(upgrades)
}

/// Only tunnels can end here, and only those of TCP do so yet.
fn ends_connect(at: &At<'_>, kind: &str) -> bool {
    if kind.eq_ignore_ascii_case("CONNECT-UDP") {
        at.unsupported("the end of CONNECT-UDP");
        return false;
    }
    let connects = kind.eq_ignore_ascii_case("CONNECT");
    if !connects {
        at.invalid(format_args!("Non-CONNECT upgrade type {kind} has ConnectConfig"));
    }
    connects
}

fn not_found_code(number: i32) -> u16 {
    use route::route_action::ClusterNotFoundResponseCode as Code;
    match Code::try_from(number) {
        Ok(Code::NotFound) => 404,
        Ok(Code::InternalServerError) => 500,
        Ok(Code::ServiceUnavailable) | Err(_) => 503,
    }
}

fn cluster(cx: &Cx<'_>, at: &At<'_>, action: &route::RouteAction) -> Option<ClusterChoice> {
    match action.cluster_specifier.as_ref() {
        Some(ClusterSpecifier::Cluster(name)) => Some(ClusterChoice::Named(reference(cx, name))),
        Some(ClusterSpecifier::ClusterHeader(name)) => {
            let name = request_field(&at.field("cluster_header"), name)?;
            Some(ClusterChoice::Header { name })
        }
        Some(ClusterSpecifier::WeightedClusters(weighted)) => {
            let at = at.field("weighted_clusters");
            weighted_clusters(cx, &at, weighted).map(ClusterChoice::Weighted)
        }
        _ => {
            at.unsupported("");
            None
        }
    }
}

fn reference(cx: &Cx<'_>, name: &str) -> ClusterRef {
    ClusterRef { name: name.into(), id: cx.cluster_id(name) }
}

/// A header or pseudo header whose value is read.
fn request_field(at: &At<'_>, name: &str) -> Option<RequestField> {
    let known = RequestField::new(name);
    if known.is_none() {
        at.invalid(format_args!("\"{name}\" is not the name of a header"));
    }
    known
}

/// A header whose value is read; a pseudo header is none yet.
fn field_name(at: &At<'_>, name: &str) -> Option<FieldName> {
    if name.starts_with(':') {
        at.unsupported(format_args!("the pseudo header {name}"));
        return None;
    }
    let known = FieldName::new(name);
    if known.is_none() {
        at.invalid(format_args!("\"{name}\" is not the name of a header"));
    }
    known
}

fn weighted_clusters(
    cx: &Cx<'_>,
    at: &At<'_>,
    weighted: &route::WeightedCluster,
) -> Option<WeightedClusters> {
    use route::weighted_cluster::RandomValueSpecifier;
    let at_clusters = at.field("clusters");
    let each = weighted.clusters.iter().enumerate();
    let entries = each.map(|(index, one)| weighted_cluster(cx, &at_clusters.index(index), one));
    let entries: Vec<WeightedCluster> = entries.collect();
    let header = match &weighted.random_value_specifier {
        None => None,
        Some(RandomValueSpecifier::HeaderName(name)) => {
            Some(field_name(&at.field("header_name"), name)?)
        }
        Some(RandomValueSpecifier::UseHashPolicy(_)) => {
            at.field("use_hash_policy").unsupported("");
            return None;
        }
    };
    if weighted.total_weight.is_some() {
        at.field("total_weight").no_effect("the sum of the weights is the total");
    }
    let total: u64 = entries.iter().map(|entry| u64::from(entry.weight)).sum();
    if total > u64::from(u32::MAX) {
        at.invalid(format_args!(
            "The sum of weights of all weighted clusters exceeds {}",
            u32::MAX
        ));
        return None;
    }
    let choice = WeightedClusters::new(entries, header);
    if choice.is_none() {
        at.invalid("Sum of weights in the weighted_cluster must be greater than 0.");
    }
    choice
}

fn weighted_cluster(
    cx: &Cx<'_>,
    at: &At<'_>,
    entry: &route::weighted_cluster::ClusterWeight,
) -> WeightedCluster {
    use route::weighted_cluster::cluster_weight::HostRewriteSpecifier;
    let host_rewrite = match &entry.host_rewrite_specifier {
        Some(HostRewriteSpecifier::HostRewriteLiteral(host)) => host.as_str(),
        None => "",
    };
    if entry.name.is_empty() {
        at.invalid("At least one of name or cluster_header need to be specified");
    }
    if entry.weight.is_none() {
        at.invalid("Field 'weight' is missing");
    }
    WeightedCluster {
        weight: or_u32(entry.weight, 0),
        cluster: reference(cx, &entry.name),
        request_headers: request!(at, entry),
        response_headers: response!(at, entry),
        host_rewrite: host_rewrite.into(),
    }
}

fn path_rewrite(at: &At<'_>, action: &route::RouteAction) -> Option<PathRewrite> {
    let prefix = Some(action.prefix_rewrite.as_str()).filter(|prefix| !prefix.is_empty());
    if prefix.is_some() && action.regex_rewrite.is_some() {
        at.field("regex_rewrite")
            .invalid("Specify only one of prefix_rewrite, regex_rewrite or path_rewrite_policy");
        return None;
    }
    rewrite(at, prefix, action.regex_rewrite.as_ref())
}

/// A rewrite of the path by one of two fields.
pub(super) fn rewrite(
    at: &At<'_>,
    prefix: Option<&str>,
    regex: Option<&matcher::RegexMatchAndSubstitute>,
) -> Option<PathRewrite> {
    Some(match (prefix, regex) {
        (_, Some(regex)) => {
            PathRewrite::Regex(pattern::rewrite(&at.field("regex_rewrite"), regex)?)
        }
        (Some(prefix), None) => PathRewrite::Prefix(prefix.as_bytes().into()),
        (None, None) => PathRewrite::None,
    })
}

fn host_rewrite(at: &At<'_>, specifier: Option<&HostRewriteSpecifier>) -> Option<HostRewrite> {
    use HostRewriteSpecifier as Kind;
    Some(match specifier {
        None => HostRewrite::None,
        Some(Kind::HostRewriteLiteral(host)) => HostRewrite::Literal(host.as_str().into()),
        Some(Kind::AutoHostRewrite(auto)) if auto.value => HostRewrite::Auto,
        Some(Kind::AutoHostRewrite(_)) => HostRewrite::None,
        Some(Kind::HostRewriteHeader(name)) => {
            HostRewrite::Header(request_field(&at.field("host_rewrite_header"), name)?)
        }
        Some(Kind::HostRewritePathRegex(regex)) => {
            let at = at.field("host_rewrite_path_regex");
            HostRewrite::PathRegex(pattern::rewrite(&at, regex)?)
        }
        #[allow(unreachable_patterns, reason = "newer versions of the API may have more")]
        Some(_) => {
            at.unsupported("");
            return None;
        }
    })
}
