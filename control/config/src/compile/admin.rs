//! What the bootstrap says beside listeners and clusters: the admin server and the runtime.

use std::collections::HashMap;

use ringway_model::access_log::AccessLog;
use ringway_model::address::Address;
use ringway_model::listener::ConnectionLimits;
use ringway_model::route::StringMatch;

use super::at::At;
use super::proto::{bootstrap, google};
use super::{Cx, access_log, address, pattern, udp};

/// The admin server (Envoy `config.bootstrap.v3.Admin`).
#[derive(Debug)]
pub struct Admin {
    /// Where it listens; `None` when the configuration gives no address: then there is no server.
    pub address: Option<Address>,
    /// `access_log`.
    pub access_logs: Vec<AccessLog>,
    /// The limit on all connections, which those of the admin server count against.
    pub limits: ConnectionLimits,
    /// `allow_paths`: one of these matches the path and query of a request; empty allows all.
    pub allow_paths: Vec<StringMatch>,
}

const NO_LINES: &str = "the admin server writes no lines yet";

pub(super) fn admin(cx: &Cx<'_>, at: &At<'_>, admin: &bootstrap::Admin) -> Admin {
    let at_address = at.field("address");
    let address = admin.address.as_ref();
    if address.is_some_and(udp::is_udp_address) {
        let at = at_address.field("socket_address");
        at.field("protocol").invalid("the admin server listens on TCP");
    }
    if !admin.access_log.is_empty() {
        at.field("access_log").no_effect(NO_LINES);
    }
    // Older configurations have to name a file, and most of them want none.
    if !["", "/dev/null"].contains(&admin.access_log_path.as_str()) {
        at.field("access_log_path").no_effect(NO_LINES);
    }
    if !admin.profile_path.is_empty() {
        at.field("profile_path").no_effect("there is no CPU profiler to write a profile");
    }
    let at_paths = at.field("allow_paths");
    let paths = admin.allow_paths.iter().enumerate();
    let address = address.and_then(|address| address::resolved(&at_address, address, ""));
    if matches!(address, Some(Address::Internal(_))) {
        at_address.invalid("the admin server listens on a socket");
    }
    Admin {
        allow_paths: paths
            .filter_map(|(index, path)| pattern::string(&at_paths.index(index), path))
            .collect(),
        address,
        access_logs: access_log::logs(cx, &at.field("access_log"), &admin.access_log),
        limits: cx.admin_limits(admin.ignore_global_conn_limit),
    }
}

/// Runtime keys that only choose between variants of Envoy's own code, or bound its own regular
/// expressions: they have nothing to change here.
const HARMLESS: &[&str] = &[
    "envoy.reloadable_features.",
    "envoy.restart_features.",
    "envoy.deprecated_features",
    "re2.max_program_size.",
];

/// The keys of the runtime that count here.
#[derive(Debug, Default)]
pub(super) struct Runtime {
    /// `envoy.resource_limits.listener.<name>.connection_limit`, by name.
    pub(super) listeners: HashMap<String, u64>,
    /// `overload.global_downstream_max_connections`
    pub(super) global: Option<u64>,
}

const GLOBAL_LIMIT: &str = "overload.global_downstream_max_connections";

/// The listener that a key limits.
fn limited_listener(key: &str) -> Option<&str> {
    let key = key.strip_prefix("envoy.resource_limits.listener.")?;
    key.strip_suffix(".connection_limit")
}

/// What static layers say; the last one that has a key counts.
pub(super) fn runtime(runtime: Option<&bootstrap::LayeredRuntime>) -> Runtime {
    use bootstrap::runtime_layer::LayerSpecifier;
    let mut found = Runtime::default();
    for layer in runtime.iter().flat_map(|runtime| &runtime.layers) {
        if let Some(LayerSpecifier::StaticLayer(keys)) = &layer.layer_specifier {
            read_keys(keys, "", &mut found);
        }
    }
    found
}

fn read_keys(keys: &google::Struct, above: &str, found: &mut Runtime) {
    for (name, value) in &keys.fields {
        let full = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        if let Some(google::value::Kind::StructValue(inner)) = &value.kind {
            read_keys(inner, &full, found);
        } else if let Some(number) = whole_number(value) {
            if full == GLOBAL_LIMIT {
                found.global = Some(number);
            } else if let Some(listener) = limited_listener(&full) {
                found.listeners.insert(listener.to_owned(), number);
            }
        }
    }
}

/// A number from zero up, also as text; what is left of other numbers Envoy ignores.
fn whole_number(value: &google::Value) -> Option<u64> {
    match value.kind.as_ref()? {
        google::value::Kind::NumberValue(number) => {
            let whole = *number >= 0.0 && number.fract() == 0.0 && *number < 2_f64.powi(53);
            whole.then_some(*number as u64)
        }
        google::value::Kind::StringValue(text) => text.parse().ok(),
        _ => None,
    }
}

/// There is no runtime that changes: a layer may hold the keys that are read at the start, what
/// has no effect here, and nothing else.
pub(super) fn check_runtime(at: &At<'_>, runtime: &bootstrap::LayeredRuntime) {
    use bootstrap::runtime_layer::LayerSpecifier;
    let at = at.field("layers");
    for (index, layer) in runtime.layers.iter().enumerate() {
        let at = at.index(index);
        match &layer.layer_specifier {
            Some(LayerSpecifier::StaticLayer(keys)) => {
                check_keys(&at.field("static_layer"), keys, "");
            }
            Some(LayerSpecifier::AdminLayer(_)) => {}
            _ => at.unsupported(""),
        }
    }
}

/// Keys with dots may be written as nested maps. The depth is bounded by that of the decoder.
fn check_keys(at: &At<'_>, keys: &google::Struct, above: &str) {
    let mut names: Vec<&String> = keys.fields.keys().collect();
    names.sort();
    for name in names {
        let full = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        if HARMLESS.iter().any(|prefix| full.starts_with(prefix)) {
            continue;
        }
        match keys.fields[name].kind.as_ref() {
            Some(google::value::Kind::StructValue(inner)) => {
                check_keys(&at.key(name), inner, &full);
            }
            _ if full == GLOBAL_LIMIT || limited_listener(&full).is_some() => {
                if whole_number(&keys.fields[name]).is_none() {
                    at.key(name).invalid("expected a number of connections");
                }
            }
            _ => at.key(name).unsupported(format_args!("the runtime key {full}")),
        }
    }
}
