//! Route tables (Envoy `RouteConfiguration`) and their virtual hosts.

use std::collections::HashMap;
use std::sync::Arc;

use ringway_model::route::{RequireTls, RouteTable, RouteTableOptions, VirtualHost};

use super::Cx;
use super::at::At;
use super::filters;
use super::mutation::{request, response};
use super::proto::route as proto;
use super::route::{self, Limits};
use super::value::{or_bool, or_u32};
use proto::route_action::ClusterSpecifier;

/// `max_direct_response_body_size_bytes`.
const BODY_MAX_BYTES: u32 = 4096;

pub(super) fn table(
    cx: &Cx<'_>,
    at: &At<'_>,
    table: &proto::RouteConfiguration,
) -> Option<RouteTable> {
    check_domains(at, table);
    let limits = Limits {
        body_max: or_u32(table.max_direct_response_body_size_bytes, BODY_MAX_BYTES) as usize,
    };
    let at_hosts = at.field("virtual_hosts");
    let each = table.virtual_hosts.iter().enumerate();
    let hosts: Vec<VirtualHost> =
        each.map(|(index, host)| virtual_host(cx, &at_hosts.index(index), host, limits)).collect();
    let options = RouteTableOptions {
        ignore_port_in_host_matching: table.ignore_port_in_host_matching,
        ignore_path_parameters_in_path_matching: table.ignore_path_parameters_in_path_matching,
        most_specific_header_mutations_wins: table.most_specific_header_mutations_wins,
        request_headers: request!(at, table),
        response_headers: response!(at, table),
        filter_configs: filters::of_route(cx, at, &table.typed_per_filter_config),
    };
    // What it refuses was reported above, with its place.
    RouteTable::new(Arc::from(table.name.as_str()), hosts, options).ok()
}

fn virtual_host(
    cx: &Cx<'_>,
    at: &At<'_>,
    host: &proto::VirtualHost,
    limits: Limits,
) -> VirtualHost {
    let at_routes = at.field("routes");
    let each = host.routes.iter().enumerate();
    let routes =
        each.filter_map(|(index, one)| route::route(cx, &at_routes.index(index), one, limits));
    let name = Arc::from(host.name.as_str());
    let mut compiled = VirtualHost::new(name, host.domains.clone(), routes.collect());
    compiled.require_tls = require_tls(host.require_tls);
    compiled.request_headers = request!(at, host);
    compiled.response_headers = response!(at, host);
    compiled.filter_configs = filters::of_route(cx, at, &host.typed_per_filter_config);
    compiled
}

fn require_tls(number: i32) -> RequireTls {
    use proto::virtual_host::TlsRequirementType as Type;
    match Type::try_from(number) {
        Ok(Type::ExternalOnly) => RequireTls::ExternalOnly,
        Ok(Type::All) => RequireTls::All,
        Ok(Type::None) | Err(_) => RequireTls::None,
    }
}

/// Each domain once, compared without case.
fn check_domains(at: &At<'_>, table: &proto::RouteConfiguration) {
    let at = at.field("virtual_hosts");
    let mut first: HashMap<String, &str> = HashMap::new();
    for (number, host) in table.virtual_hosts.iter().enumerate() {
        let at = at.index(number);
        let at = at.field("domains");
        for (index, domain) in host.domains.iter().enumerate() {
            if let Some(owner) = first.insert(domain.to_ascii_lowercase(), &host.name) {
                at.index(index).invalid(duplicate(domain, owner, &table.name));
            }
        }
    }
}

fn duplicate(domain: &str, owner: &str, table: &str) -> String {
    if domain == "*" {
        return format!(
            "Only a single wildcard domain is permitted in route {table} (virtual host \
             \"{owner}\" has it)"
        );
    }
    format!(
        "Only unique values for domains are permitted. Duplicate entry of domain {domain} in \
         route {table} (virtual host \"{owner}\" has it)"
    )
}

/// Reports the clusters that are named and do not exist, unless `validate_clusters` is false. It
/// must be asked again whenever clusters change, even when the table does not.
pub(super) fn check_clusters(cx: &Cx<'_>, at: &At<'_>, table: &proto::RouteConfiguration) {
    if !or_bool(table.validate_clusters, true) {
        return;
    }
    let at = at.field("virtual_hosts");
    for (number, host) in table.virtual_hosts.iter().enumerate() {
        let at = at.index(number);
        let at = at.field("routes");
        for (index, route) in host.routes.iter().enumerate() {
            if let Some(proto::route::Action::Route(action)) = &route.action {
                check_action(cx, &at.index(index).field("route"), action);
            }
        }
    }
}

fn check_action(cx: &Cx<'_>, at: &At<'_>, action: &proto::RouteAction) {
    match action.cluster_specifier.as_ref() {
        Some(ClusterSpecifier::Cluster(name)) if !cx.has_cluster(name) => {
            at.field("cluster").invalid(format_args!("route: unknown cluster '{name}'"));
        }
        Some(ClusterSpecifier::WeightedClusters(weighted)) => {
            let at = at.field("weighted_clusters");
            let at = at.field("clusters");
            for (index, entry) in weighted.clusters.iter().enumerate() {
                let name = &entry.name;
                if !name.is_empty() && !cx.has_cluster(name) {
                    at.index(index)
                        .field("name")
                        .invalid(format_args!("route: unknown weighted cluster '{name}'"));
                }
            }
        }
        _ => {}
    }
}
