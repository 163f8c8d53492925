//! `/config_dump`: the configuration in effect, in the messages of Envoy's `admin.v3`.

mod endpoints;
mod mask;

use std::time::SystemTime;

use hyper::StatusCode;
use regex::Regex;
use serde_json::{Map, Value, json};

use super::query::Request;
use super::reply::Reply;
use super::state::AdminState;
use crate::timestamp::rfc3339;

const ADMIN: &str = "type.googleapis.com/envoy.admin.v3.";
const CONFIG: &str = "type.googleapis.com/envoy.config.";
const CONNECTION_MANAGER: &str = "type.googleapis.com/envoy.extensions.filters.network.\
                                  http_connection_manager.v3.HttpConnectionManager";

/// A bootstrap as proto-JSON (names in snake_case), from which the dump is made.
#[derive(Debug, Clone, Default)]
pub struct ConfigSource {
    bootstrap: Value,
    updated: Option<SystemTime>,
}

/// Messages of the dump and their repeated fields, each with the type of its elements.
const DUMPS: [(&str, &[(&str, &str)]); 6] = [
    ("BootstrapConfigDump", &[]),
    (
        "ClustersConfigDump",
        &[
            ("static_clusters", "StaticCluster"),
            ("dynamic_active_clusters", "DynamicCluster"),
            ("dynamic_warming_clusters", "DynamicCluster"),
        ],
    ),
    (
        "ListenersConfigDump",
        &[("static_listeners", "StaticListener"), ("dynamic_listeners", "DynamicListener")],
    ),
    (
        "ScopedRoutesConfigDump",
        &[
            ("inline_scoped_route_configs", "InlineScopedRouteConfigs"),
            ("dynamic_scoped_route_configs", "DynamicScopedRouteConfigs"),
        ],
    ),
    (
        "RoutesConfigDump",
        &[
            ("static_route_configs", "StaticRouteConfig"),
            ("dynamic_route_configs", "DynamicRouteConfig"),
        ],
    ),
    (
        "SecretsConfigDump",
        &[
            ("static_secrets", "StaticSecret"),
            ("dynamic_active_secrets", "DynamicSecret"),
            ("dynamic_warming_secrets", "DynamicSecret"),
        ],
    ),
];

/// With `include_eds`.
const ENDPOINTS: (&str, &[(&str, &str)]) = (
    "EndpointsConfigDump",
    &[
        ("static_endpoint_configs", "StaticEndpointConfig"),
        ("dynamic_endpoint_configs", "DynamicEndpointConfig"),
    ],
);

impl ConfigSource {
    /// From the text of a bootstrap that took effect at `updated`.
    pub fn new(bootstrap: &str, updated: SystemTime) -> serde_json::Result<Self> {
        Ok(Self { bootstrap: serde_json::from_str(bootstrap)?, updated: Some(updated) })
    }

    /// Whether `layered_runtime` has a layer that `/runtime_modify` writes to.
    pub(super) fn has_admin_layer(&self) -> bool {
        let layers = self.bootstrap.pointer("/layered_runtime/layers");
        layers
            .is_some_and(|layers| items(layers).iter().any(|one| one.get("admin_layer").is_some()))
    }

    fn last_updated(&self) -> Value {
        json!(rfc3339(self.updated.unwrap_or(SystemTime::UNIX_EPOCH)))
    }

    /// The dump of that name without its `@type`.
    fn dump(&self, name: &str, wanted: &Wanted) -> Map<String, Value> {
        match name {
            "BootstrapConfigDump" => Map::from_iter([
                ("bootstrap".to_owned(), self.bootstrap.clone()),
                ("last_updated".to_owned(), self.last_updated()),
            ]),
            "ClustersConfigDump" => self.list(
                "static_clusters",
                "cluster",
                "cluster.v3.Cluster",
                self.clusters(),
                wanted,
            ),
            "ListenersConfigDump" => {
                let (listeners, kind) = (self.listeners(), "listener.v3.Listener");
                self.list("static_listeners", "listener", kind, listeners, wanted)
            }
            "RoutesConfigDump" => {
                let (routes, kind) = (self.routes(), "route.v3.RouteConfiguration");
                self.list("static_route_configs", "route_config", kind, routes, wanted)
            }
            _ => Map::new(),
        }
    }

    /// A dump with one repeated field; without elements it is empty, as proto-JSON has it.
    fn list(
        &self,
        field: &str,
        element_field: &str,
        kind: &str,
        elements: Vec<&Value>,
        wanted: &Wanted,
    ) -> Map<String, Value> {
        let chosen = elements.into_iter().filter(|element| wanted.name(&element["name"]));
        let entries: Vec<Value> = chosen
            .map(|element| {
                let typed = typed(format!("{CONFIG}{kind}"), element.as_object());
                json!({element_field: typed, "last_updated": self.last_updated()})
            })
            .collect();
        if entries.is_empty() {
            Map::new()
        } else {
            Map::from_iter([(field.to_owned(), entries.into())])
        }
    }

    fn clusters(&self) -> Vec<&Value> {
        items(&self.bootstrap["static_resources"]["clusters"])
    }

    fn listeners(&self) -> Vec<&Value> {
        items(&self.bootstrap["static_resources"]["listeners"])
    }

    /// The inline route configurations of all connection managers.
    fn routes(&self) -> Vec<&Value> {
        let mut found = Vec::new();
        let mut pending = self.listeners();
        pending.reverse();
        // Depth first without recursion: the nesting is as deep as the configuration.
        while let Some(value) = pending.pop() {
            if value["@type"] == CONNECTION_MANAGER && value["route_config"].is_object() {
                found.push(&value["route_config"]);
                continue;
            }
            match value {
                Value::Array(items) => pending.extend(items.iter().rev()),
                Value::Object(fields) => pending.extend(fields.values().rev()),
                _ => {}
            }
        }
        found
    }
}

fn items(list: &Value) -> Vec<&Value> {
    list.as_array().into_iter().flatten().collect()
}

/// `{"@type": kind, ...fields}`
fn typed(kind: String, fields: Option<&Map<String, Value>>) -> Value {
    let fields = fields.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone()));
    Value::Object(std::iter::once(("@type".to_owned(), json!(kind))).chain(fields).collect())
}

/// `name_regex`: a match of the whole name.
struct Wanted(Option<Regex>);

impl Wanted {
    fn from(request: &Request) -> Result<Self, Reply> {
        let Some(pattern) = request.params.get("name_regex") else { return Ok(Self(None)) };
        let whole = format!("^(?:{pattern})$");
        let regex = super::stats::compile_filter(pattern).and(super::stats::compile_filter(&whole));
        regex.map(|regex| Self(Some(regex))).map_err(|refusal| {
            let reason = refusal.body.trim_start_matches("Invalid re2 regex: ");
            Reply::bad_request(format!("Error while parsing name_regex: {reason}"))
        })
    }

    fn name(&self, name: &Value) -> bool {
        self.0.as_ref().is_none_or(|regex| regex.is_match(name.as_str().unwrap_or_default()))
    }
}

/// All of it, one kind of resource (`resource`), some fields (`mask`), some names.
pub(crate) fn config_dump(state: &AdminState, request: &Request) -> Reply {
    let dumps = match Wanted::from(request) {
        Ok(wanted) => dumps(state, request, &wanted),
        Err(refusal) => return refusal,
    };
    let mask = request.params.get("mask").filter(|mask| !mask.is_empty());
    let configs = match request.params.get("resource").filter(|resource| !resource.is_empty()) {
        Some(resource) => one_resource(dumps, resource, mask),
        None => whole(dumps, mask),
    };
    match configs {
        // Proto-JSON leaves an empty list out.
        Ok(configs) if configs.is_empty() => Reply::pretty(&json!({})),
        Ok(configs) => Reply::pretty(&json!({"configs": configs})),
        Err(refusal) => refusal,
    }
}

type Dump = ((&'static str, &'static [(&'static str, &'static str)]), Map<String, Value>);

fn dumps(state: &AdminState, request: &Request, wanted: &Wanted) -> Vec<Dump> {
    let source = state.config.borrow().clone();
    let all = DUMPS.into_iter().map(|kind| (kind, source.dump(kind.0, wanted)));
    let mut dumps: Vec<Dump> = all.collect();
    if request.params.has("include_eds") {
        let snapshot = state.snapshot.borrow().clone();
        let endpoints = endpoints::dump(&snapshot, |name| wanted.name(&json!(name)));
        dumps.insert(2, (ENDPOINTS, endpoints));
    }
    dumps
}

fn whole(dumps: Vec<Dump>, mask: Option<&str>) -> Result<Vec<Value>, Reply> {
    let Some(mask) = mask else {
        let typed = |((name, _), fields): &Dump| typed(format!("{ADMIN}{name}"), Some(fields));
        return Ok(dumps.iter().map(typed).collect());
    };
    let masked = dumps.iter().filter_map(|((name, lists), fields)| {
        let applies = |field: &str| {
            fields.contains_key(field) || lists.iter().any(|(list, _)| *list == field)
        };
        let fields = mask::apply(mask, fields, applies)?;
        Some(typed(format!("{ADMIN}{name}"), Some(&fields)))
    });
    let masked: Vec<Value> = masked.collect();
    if masked.is_empty() {
        let text = format!("FieldMask {mask} could not be successfully applied to any configs.\n");
        return Err(Reply::bad_request(text));
    }
    Ok(masked)
}

fn one_resource(dumps: Vec<Dump>, resource: &str, mask: Option<&str>) -> Result<Vec<Value>, Reply> {
    let found = dumps.iter().find_map(|((name, lists), fields)| {
        let (_, element) = lists.iter().find(|(list, _)| *list == resource)?;
        Some((format!("{ADMIN}{name}.{element}"), fields.get(resource)))
    });
    let Some((kind, elements)) = found else {
        return Err(if dumps.iter().any(|(_, fields)| fields.contains_key(resource)) {
            Reply::bad_request(format!(
                "{resource} is not a repeated field. Use ?mask={resource} to get only this field\n"
            ))
        } else {
            let text = format!("{resource} not found in config dump\n");
            Reply::error(StatusCode::NOT_FOUND, text)
        });
    };
    let elements = elements.map(items).unwrap_or_default();
    let masked = elements.into_iter().filter_map(Value::as_object).map(|fields| {
        let fields = match mask {
            Some(mask) => mask::apply(mask, fields, |field| fields.contains_key(field)),
            None => Some(fields.clone()),
        };
        let refusal =
            || format!("FieldMask {} could not be successfully used.\n", mask.unwrap_or(""));
        let fields = fields.ok_or_else(|| Reply::bad_request(refusal()))?;
        Ok(typed(kind.clone(), Some(&fields)))
    });
    masked.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOTSTRAP: &str = r#"{
        "node": {"id": "n", "cluster": "c"},
        "static_resources": {
            "listeners": [{"name": "l", "filter_chains": [{"filters": [{"typed_config": {
                "@type": "MANAGER",
                "route_config": {"name": "r", "virtual_hosts": []}}}]}]}],
            "clusters": [{"name": "one", "type": "STATIC"}, {"name": "two"}]}}"#;

    fn all(regex: Option<&str>) -> Vec<Dump> {
        let bootstrap = BOOTSTRAP.replace("MANAGER", CONNECTION_MANAGER);
        let source = ConfigSource::new(&bootstrap, SystemTime::UNIX_EPOCH).expect("valid JSON");
        let wanted = Wanted(regex.map(|regex| Regex::new(regex).expect("valid")));
        DUMPS.into_iter().map(|kind| (kind, source.dump(kind.0, &wanted))).collect()
    }

    #[test]
    fn an_admin_layer_is_seen() {
        let source = |layers: &str| {
            let text = format!(r#"{{"layered_runtime":{{"layers":[{layers}]}}}}"#);
            ConfigSource::new(&text, SystemTime::UNIX_EPOCH).expect("JSON")
        };
        assert!(source(r#"{"name":"a"},{"name":"b","admin_layer":{}}"#).has_admin_layer());
        assert!(!source(r#"{"name":"a","static_layer":{}}"#).has_admin_layer());
        assert!(!ConfigSource::default().has_admin_layer());
    }

    #[test]
    fn everything_is_there_in_the_order_of_envoy() {
        let configs = whole(all(None), None).expect("no mask");
        let types: Vec<&str> = configs.iter().filter_map(|c| c["@type"].as_str()).collect();
        let names = ["Bootstrap", "Clusters", "Listeners", "ScopedRoutes", "Routes", "Secrets"];
        assert_eq!(types, names.map(|name| format!("{ADMIN}{name}ConfigDump")));
        assert_eq!(configs[0]["bootstrap"]["node"]["id"], "n");
        let cluster = &configs[1]["static_clusters"][0];
        assert_eq!(cluster["cluster"]["@type"], format!("{CONFIG}cluster.v3.Cluster"));
        assert_eq!(cluster["last_updated"], "1970-01-01T00:00:00.000Z");
        assert_eq!(configs[4]["static_route_configs"][0]["route_config"]["name"], "r");
        assert_eq!(configs[5], json!({"@type": format!("{ADMIN}SecretsConfigDump")}));
    }

    #[test]
    fn one_kind_of_resource_some_of_its_names_some_of_its_fields() {
        let clusters = one_resource(all(Some("^two$")), "static_clusters", Some("cluster.name"));
        let expected = json!([{
            "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump.StaticCluster",
            "cluster": {
                "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
                "name": "two",
            },
        }]);
        assert_eq!(json!(clusters.expect("found")), expected);
        assert_eq!(one_resource(all(None), "dynamic_listeners", None), Ok(Vec::new()));
    }

    #[test]
    fn refusals_have_the_status_and_words_of_envoy() {
        let refusal = one_resource(all(None), "foo", None).expect_err("unknown");
        assert_eq!((refusal.status.as_u16(), refusal.body.as_str()), {
            (404, "foo not found in config dump\n")
        });
        let refusal = one_resource(all(None), "bootstrap", None).expect_err("not repeated");
        assert!(refusal.body.starts_with("bootstrap is not a repeated field."));
        let refusal = whole(all(None), Some("foo")).expect_err("no such field");
        let text = "FieldMask foo could not be successfully applied to any configs.\n";
        assert_eq!((refusal.status.as_u16(), refusal.body.as_str()), (400, text));
    }

    #[test]
    fn a_mask_keeps_the_dumps_that_it_applies_to() {
        let configs = whole(all(None), Some("bootstrap.node.id")).expect("applies");
        let expected = json!([{
            "@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump",
            "bootstrap": {"node": {"id": "n"}},
        }]);
        assert_eq!(json!(configs), expected);
    }
}
