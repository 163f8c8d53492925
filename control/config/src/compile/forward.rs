//! Routes to an upstream (Envoy `RouteAction`).

use std::sync::Arc;
use std::time::Duration;

use ringway_http::FieldName;
use ringway_model::cluster::ClusterRef;
use ringway_model::route::{
    ClusterChoice, ConnectEnd, Forward, GrpcDeadline, HostRewrite, PathRewrite, Priority,
    RequestField, RouteUpgrade, WeightedCluster, WeightedClusters,
};

use super::at::At;
use super::mutation::{request, response};
use super::proto::{core, google, matcher, route};
use super::value::{duration, or_bool, or_u32, timeout};
use super::{Cx, filters, hash_policy, pattern, proxy_header};
use route::route_action::{ClusterSpecifier, HostRewriteSpecifier};

pub(super) fn forward(cx: &Cx<'_>, at: &At<'_>, action: &route::RouteAction) -> Option<Forward> {
    let cluster = cluster(cx, at, action);
    let path_rewrite = path_rewrite(at, action);
    let host_rewrite = host_rewrite(at, action.host_rewrite_specifier.as_ref());
    let limits = stream_limits(at, action.max_stream_duration.as_ref());
    let grpc_response = grpc_response(at, action);
    let idle_timeout = off_or(&at.field("idle_timeout"), action.idle_timeout);
    let upgrades = upgrades(cx, &at.field("upgrade_configs"), &action.upgrade_configs);
    let hash = hash_policy::methods(&at.field("hash_policy"), &action.hash_policy);
    let mut forward = Forward::new(cluster?);
    forward.hash = hash?;
    forward.timeout = timeout(&at.field("timeout"), action.timeout, forward.timeout);
    if action.max_stream_duration.is_some() {
        note_other_limits(at, action);
        forward.timeout = None;
    }
    forward.idle_timeout = idle_timeout;
    forward.max_stream_duration = limits.duration;
    forward.limits_streams = action.max_stream_duration.is_some();
    forward.grpc_stream = limits.grpc;
    forward.grpc_response = grpc_response.filter(|_| !forward.limits_streams);
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
fn off_or(at: &At<'_>, value: Option<google::Duration>) -> Option<Option<Duration>> {
    duration(at, value).map(|value| Some(value).filter(|value| !value.is_zero()))
}

/// `max_stream_duration`
#[derive(Debug, Default)]
struct StreamLimits {
    duration: Option<Option<Duration>>,
    grpc: Option<GrpcDeadline>,
}

fn stream_limits(
    at: &At<'_>,
    max: Option<&route::route_action::MaxStreamDuration>,
) -> StreamLimits {
    let Some(max) = max else { return StreamLimits::default() };
    let at = at.field("max_stream_duration");
    let offset = duration(&at.field("grpc_timeout_header_offset"), max.grpc_timeout_header_offset);
    if offset.is_some() && max.grpc_timeout_header_max.is_none() {
        at.field("grpc_timeout_header_offset")
            .no_effect("grpc-timeout counts only with grpc_timeout_header_max");
    }
    StreamLimits {
        duration: off_or(&at.field("max_stream_duration"), max.max_stream_duration),
        grpc: off_or(&at.field("grpc_timeout_header_max"), max.grpc_timeout_header_max)
            .map(|max| GrpcDeadline { max, offset: offset.unwrap_or_default() }),
    }
}

/// The older way: `max_grpc_timeout`, `grpc_timeout_offset`.
fn grpc_response(at: &At<'_>, action: &route::RouteAction) -> Option<GrpcDeadline> {
    let offset = duration(&at.field("grpc_timeout_offset"), action.grpc_timeout_offset);
    if offset.is_some() && action.max_grpc_timeout.is_none() {
        at.field("grpc_timeout_offset").no_effect("grpc-timeout counts only with max_grpc_timeout");
    }
    off_or(&at.field("max_grpc_timeout"), action.max_grpc_timeout)
        .map(|max| GrpcDeadline { max, offset: offset.unwrap_or_default() })
}

/// As in Envoy a `max_stream_duration`, even an empty one, turns the limits on responses off.
fn note_other_limits(at: &At<'_>, action: &route::RouteAction) {
    let set = [
        ("timeout", action.timeout.is_some_and(|timeout| timeout != google::Duration::default())),
        ("max_grpc_timeout", action.max_grpc_timeout.is_some()),
    ];
    for (field, _) in set.into_iter().filter(|(_, is_set)| *is_set) {
        at.field(field).no_effect("max_stream_duration takes its place");
    }
}

/// Each type at most once.
fn upgrades(
    cx: &Cx<'_>,
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
        let connect = match &config.connect_config {
            Some(connect) => connect_end(cx, &at.field("connect_config"), kind, connect),
            None => None,
        };
        whole &= config.connect_config.is_none() || connect.is_some();
        let enabled = or_bool(config.enabled, true);
        upgrades.push(RouteUpgrade { kind: kind.into(), enabled, connect });
    }
    whole.then_some(upgrades)
}

/// `ConnectConfig`; `None` when it is wrong.
fn connect_end(
    cx: &Cx<'_>,
    at: &At<'_>,
    kind: &str,
    config: &route::route_action::upgrade_config::ConnectConfig,
) -> Option<ConnectEnd> {
    let proxy_header = match &config.proxy_protocol_config {
        Some(config) => {
            let header = proxy_header::header(cx, &at.field("proxy_protocol_config"), config)?;
            Some(Arc::new(header))
        }
        None => None,
    };
    ends_connect(at, kind).then_some(ConnectEnd { proxy_header, allow_post: config.allow_post })
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
        filter_configs: filters::of_route(cx, at, &entry.typed_per_filter_config),
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
