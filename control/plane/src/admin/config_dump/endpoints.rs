//! `include_eds`: the endpoints in use, whether configured or resolved.

use ringway_lb::Health;
use ringway_model::cluster::{Cluster, Endpoint};
use ringway_model::snapshot::Snapshot;
use serde_json::{Map, Value, json};

use crate::admin::clusters::locality_json;
use crate::admin::listeners::address;

const ASSIGNMENT: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";

pub(super) fn dump(snapshot: &Snapshot, wanted: impl Fn(&str) -> bool) -> Map<String, Value> {
    let clusters = snapshot.clusters.iter().flatten().filter(|cluster| wanted(&cluster.name));
    let configs: Vec<Value> =
        clusters.map(|cluster| json!({"endpoint_config": assignment(cluster)})).collect();
    if configs.is_empty() {
        return Map::new();
    }
    Map::from_iter([("static_endpoint_configs".to_owned(), configs.into())])
}

/// Endpoints that follow each other in one locality and priority are one group.
fn assignment(cluster: &Cluster) -> Value {
    let same = |a: &std::sync::Arc<Endpoint>, b: &std::sync::Arc<Endpoint>| {
        a.locality == b.locality && a.host.priority == b.host.priority
    };
    let groups = cluster.endpoints.chunk_by(same).map(|group| {
        let endpoints: Vec<Value> = group.iter().map(|endpoint| lb_endpoint(endpoint)).collect();
        let mut fields = Map::new();
        fields.insert("locality".into(), locality_json(&group[0]));
        fields.insert("lb_endpoints".into(), json!(endpoints));
        if group[0].host.priority != 0 {
            fields.insert("priority".into(), json!(group[0].host.priority));
        }
        Value::Object(fields)
    });
    json!({
        "@type": ASSIGNMENT,
        "cluster_name": &*cluster.name,
        "endpoints": groups.collect::<Vec<_>>(),
    })
}

fn lb_endpoint(endpoint: &Endpoint) -> Value {
    let mut inner = Map::new();
    inner.insert("address".into(), address(&endpoint.address));
    if !endpoint.hostname.is_empty() {
        inner.insert("hostname".into(), json!(&*endpoint.hostname));
    }
    let health = match endpoint.host.health {
        Health::Healthy => "HEALTHY",
        Health::Degraded => "DEGRADED",
        Health::Unhealthy => "UNHEALTHY",
    };
    json!({
        "endpoint": inner,
        "health_status": health,
        "load_balancing_weight": endpoint.host.weight,
    })
}
