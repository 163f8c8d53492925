//! `/clusters`: each cluster's limits and endpoints, with the endpoints' own numbers.

use std::fmt::Write;
use std::sync::Arc;

use ringway_bridge::stats::{Catalog, Total};
use ringway_lb::Health;
use ringway_model::cluster::{Cluster, Endpoint, PriorityLimits};
use serde_json::{Map, Value, json};

use super::listeners::address;
use super::query::Request;
use super::reply::Reply;
use super::state::AdminState;
use super::stats::compile_filter;
use crate::dns::NameCaches;
use crate::endpoint_stats;

/// What is shown beside the clusters themselves: numbers, and names that came with requests.
type From<'a> = (&'a Catalog, Option<&'a NameCaches>);

/// The numbers of an endpoint and whether each is a gauge, in the order of the text form.
const NUMBERS: [(&str, bool); 9] = [
    ("cx_active", true),
    ("cx_connect_fail", false),
    ("cx_total", false),
    ("rq_active", true),
    ("rq_error", false),
    ("rq_pending_active", true),
    ("rq_success", false),
    ("rq_timeout", false),
    ("rq_total", false),
];

/// Text, or JSON (`format=json`); `filter` selects by name.
pub(crate) fn clusters(state: &AdminState, request: &Request) -> Reply {
    let filter = request.params.get("filter").filter(|pattern| !pattern.is_empty());
    let filter = match filter.map(compile_filter).transpose() {
        Ok(filter) => filter,
        Err(refusal) => return refusal,
    };
    let snapshot = state.snapshot.borrow().clone();
    let from = (&*state.catalog, state.names.as_ref());
    let all = snapshot.clusters.iter().flatten();
    let chosen = all.filter(|c| filter.as_ref().is_none_or(|regex| regex.is_match(&c.name)));
    if request.params.get("format") == Some("json") {
        let status: Vec<Value> = chosen.map(|cluster| json(from, cluster)).collect();
        return Reply::pretty(&json!({"cluster_statuses": status}));
    }
    let mut out = String::new();
    for cluster in chosen {
        // Writing to a string cannot fail.
        let _ = text(&mut out, from, cluster);
    }
    Reply::text(out)
}

/// The endpoints, and of a cluster whose requests name its hosts those that are known.
fn endpoints(names: Option<&NameCaches>, cluster: &Cluster) -> Vec<Arc<Endpoint>> {
    let (Some(table), Some(names)) = (cluster.policy.host_table(), names) else {
        return cluster.endpoints.clone();
    };
    let hosts = names.hosts(table).into_iter();
    hosts.map(|(key, address)| Arc::new(cluster.endpoint_of(key, address))).collect()
}

fn text(out: &mut String, (catalog, names): From<'_>, cluster: &Cluster) -> std::fmt::Result {
    let name = &cluster.name;
    writeln!(out, "{name}::observability_name::{name}")?;
    for (limits, priority) in cluster.policy.limits.iter().zip(["default", "high"]) {
        for (limit, value) in limits_of(limits) {
            writeln!(out, "{name}::{priority}_priority::{limit}::{value}")?;
        }
    }
    writeln!(out, "{name}::added_via_api::false")?;
    for endpoint in endpoints(names, cluster) {
        endpoint_text(out, catalog, cluster, &endpoint)?;
    }
    Ok(())
}

fn endpoint_text(
    out: &mut String,
    catalog: &Catalog,
    cluster: &Cluster,
    endpoint: &Endpoint,
) -> std::fmt::Result {
    let (host, locality) = (&endpoint.host, &endpoint.locality);
    let prefix = format!("{}::{}", cluster.name, endpoint.address_text);
    for (number, _) in NUMBERS {
        let value = value(catalog, cluster, endpoint, number);
        writeln!(out, "{prefix}::{number}::{value}")?;
    }
    writeln!(out, "{prefix}::hostname::{}", endpoint.hostname)?;
    writeln!(out, "{prefix}::health_flags::{}", health_flags(host.health))?;
    writeln!(out, "{prefix}::weight::{}", host.weight)?;
    writeln!(out, "{prefix}::region::{}", locality.region)?;
    writeln!(out, "{prefix}::zone::{}", locality.zone)?;
    writeln!(out, "{prefix}::sub_zone::{}", locality.sub_zone)?;
    writeln!(out, "{prefix}::canary::false")?;
    writeln!(out, "{prefix}::priority::{}", host.priority)?;
    // Success rates belong to outlier detection; -1 says that there is none.
    writeln!(out, "{prefix}::success_rate::-1")?;
    writeln!(out, "{prefix}::local_origin_success_rate::-1")
}

/// An endpoint nobody has used yet has no numbers: they are 0.
fn value(catalog: &Catalog, cluster: &Cluster, endpoint: &Endpoint, number: &str) -> u64 {
    let counted_as = cluster.counted_as(endpoint);
    match catalog.total(&endpoint_stats::full_name(&cluster.name, counted_as, number)) {
        // Raised on one worker and read before another one's write: as good as 0.
        Some(Total::Gauge(value)) if value > i64::MAX as u64 => 0,
        Some(Total::Counter(value) | Total::Gauge(value)) => value,
        _ => 0,
    }
}

/// Discovery is the only source of health so far.
fn health_flags(health: Health) -> &'static str {
    match health {
        Health::Healthy => "healthy",
        Health::Degraded => "/degraded_eds_health",
        Health::Unhealthy => "/failed_eds_health",
    }
}

fn limits_of(limits: &PriorityLimits) -> [(&'static str, u64); 4] {
    [
        ("max_connections", limits.connections.max()),
        ("max_pending_requests", limits.pending.max()),
        ("max_requests", limits.requests.max()),
        ("max_retries", limits.retries.max()),
    ]
}

fn json((catalog, names): From<'_>, cluster: &Cluster) -> Value {
    let mut status = Map::new();
    status.insert("name".into(), json!(&*cluster.name));
    let all = endpoints(names, cluster);
    let each = all.iter().map(|endpoint| endpoint_json(catalog, cluster, endpoint));
    let hosts: Vec<Value> = each.collect();
    // Proto-JSON leaves empty lists out.
    if !hosts.is_empty() {
        status.insert("host_statuses".into(), json!(hosts));
    }
    let [default, high] = &cluster.policy.limits;
    let thresholds = [threshold(None, default), threshold(Some("HIGH"), high)];
    status.insert("circuit_breakers".into(), json!({"thresholds": thresholds}));
    status.insert("observability_name".into(), json!(&*cluster.name));
    Value::Object(status)
}

fn threshold(priority: Option<&str>, limits: &PriorityLimits) -> Value {
    let priority = priority.map(|name| ("priority".to_owned(), json!(name)));
    let limits = limits_of(limits).map(|(name, value)| (name.to_owned(), json!(value)));
    Value::Object(priority.into_iter().chain(limits).collect())
}

fn endpoint_json(catalog: &Catalog, cluster: &Cluster, endpoint: &Endpoint) -> Value {
    let counters = NUMBERS.iter().filter(|(_, gauge)| !gauge);
    let gauges = NUMBERS.iter().filter(|(_, gauge)| *gauge);
    let stats: Vec<Value> = (counters.chain(gauges))
        .map(|(name, gauge)| number_json(name, *gauge, value(catalog, cluster, endpoint, name)))
        .collect();
    let mut status = Map::new();
    status.insert("address".into(), address(&endpoint.address));
    status.insert("stats".into(), json!(stats));
    let health = json!({"eds_health_status": health_status(endpoint.host.health)});
    status.insert("health_status".into(), health);
    status.insert("weight".into(), json!(endpoint.host.weight));
    if endpoint.host.priority != 0 {
        status.insert("priority".into(), json!(endpoint.host.priority));
    }
    if !endpoint.hostname.is_empty() {
        status.insert("hostname".into(), json!(&*endpoint.hostname));
    }
    status.insert("locality".into(), locality_json(endpoint));
    Value::Object(status)
}

/// `admin.v3.SimpleMetric`: default values are left out, 64-bit numbers are strings.
fn number_json(name: &str, gauge: bool, value: u64) -> Value {
    let mut metric = Map::new();
    if gauge {
        metric.insert("type".into(), json!("GAUGE"));
    }
    if value != 0 {
        metric.insert("value".into(), json!(value.to_string()));
    }
    metric.insert("name".into(), json!(name));
    Value::Object(metric)
}

fn health_status(health: Health) -> &'static str {
    match health {
        Health::Healthy => "HEALTHY",
        Health::Degraded => "DEGRADED",
        Health::Unhealthy => "UNHEALTHY",
    }
}

/// `core.v3.Locality` without its empty fields.
pub(super) fn locality_json(endpoint: &Endpoint) -> Value {
    let locality = &endpoint.locality;
    let fields =
        [("region", &locality.region), ("zone", &locality.zone), ("sub_zone", &locality.sub_zone)];
    let set = fields.into_iter().filter(|(_, value)| !value.is_empty());
    Value::Object(set.map(|(name, value)| (name.to_owned(), json!(value))).collect())
}

#[cfg(test)]
mod tests {
    use ringway_bridge::stats::StatName;

    use super::*;
    use crate::fixture::{cluster, policy};

    fn count(catalog: &Catalog, leaf: &str, gauge: bool) {
        let prefix = endpoint_stats::prefix("backend", "127.0.0.1:80");
        let name = StatName::new(&prefix, "@endpoint", leaf, &[]);
        let page = catalog.new_page();
        if gauge {
            page.raise(catalog.gauge(name), 2);
        } else {
            page.add(catalog.counter(name), 2);
        }
    }

    /// The reply of Envoy 1.40 on the same cluster, with other counts.
    const TEXT: &str = "backend::observability_name::backend\n\
        backend::default_priority::max_connections::1024\n\
        backend::default_priority::max_pending_requests::1024\n\
        backend::default_priority::max_requests::1024\n\
        backend::default_priority::max_retries::3\n\
        backend::high_priority::max_connections::1024\n\
        backend::high_priority::max_pending_requests::1024\n\
        backend::high_priority::max_requests::1024\n\
        backend::high_priority::max_retries::3\n\
        backend::added_via_api::false\n\
        backend::127.0.0.1:80::cx_active::2\n\
        backend::127.0.0.1:80::cx_connect_fail::0\n\
        backend::127.0.0.1:80::cx_total::2\n\
        backend::127.0.0.1:80::rq_active::0\n\
        backend::127.0.0.1:80::rq_error::0\n\
        backend::127.0.0.1:80::rq_pending_active::0\n\
        backend::127.0.0.1:80::rq_success::0\n\
        backend::127.0.0.1:80::rq_timeout::0\n\
        backend::127.0.0.1:80::rq_total::0\n\
        backend::127.0.0.1:80::hostname::\n\
        backend::127.0.0.1:80::health_flags::healthy\n\
        backend::127.0.0.1:80::weight::1\n\
        backend::127.0.0.1:80::region::\n\
        backend::127.0.0.1:80::zone::\n\
        backend::127.0.0.1:80::sub_zone::\n\
        backend::127.0.0.1:80::canary::false\n\
        backend::127.0.0.1:80::priority::0\n\
        backend::127.0.0.1:80::success_rate::-1\n\
        backend::127.0.0.1:80::local_origin_success_rate::-1\n";

    #[test]
    fn a_cluster_reads_as_in_envoy() {
        let catalog = Catalog::default();
        let cluster = cluster(&policy(&catalog, "backend"), "backend", &["127.0.0.1:80"]);
        count(&catalog, "cx_total", false);
        count(&catalog, "cx_active", true);
        let mut out = String::new();
        text(&mut out, (&catalog, None), &cluster).expect("written");
        assert_eq!(out, TEXT);
    }

    #[test]
    fn json_leaves_out_what_is_default() {
        let catalog = Catalog::default();
        let policy = policy(&catalog, "backend");
        count(&catalog, "cx_total", false);
        let status = json((&catalog, None), &cluster(&policy, "backend", &["127.0.0.1:80"]));
        let host = &status["host_statuses"][0];
        let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": 80}});
        assert_eq!(host["address"], address);
        assert_eq!(host["stats"][0], json!({"name": "cx_connect_fail"}));
        assert_eq!(host["stats"][1], json!({"value": "2", "name": "cx_total"}));
        assert_eq!(host["stats"][6], json!({"type": "GAUGE", "name": "cx_active"}));
        assert_eq!(host["health_status"], json!({"eds_health_status": "HEALTHY"}));
        assert_eq!(host["locality"], json!({}));
        assert!(host.get("hostname").is_none() && host.get("priority").is_none());
        let high = json!({"priority": "HIGH", "max_connections": 1024,
            "max_pending_requests": 1024, "max_requests": 1024, "max_retries": 3});
        assert_eq!(status["circuit_breakers"]["thresholds"][1], high);
        assert!(
            json((&catalog, None), &cluster(&policy, "backend", &[]))
                .get("host_statuses")
                .is_none()
        );
    }
}
