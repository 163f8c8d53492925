//! What the bootstrap says beside listeners and clusters: the admin server and the runtime.

use ringway_model::access_log::AccessLog;
use ringway_model::address::Address;

use super::at::At;
use super::proto::{bootstrap, google};
use super::{Cx, access_log, address};

/// The admin server (Envoy `config.bootstrap.v3.Admin`).
#[derive(Debug)]
pub struct Admin {
    /// Where it listens; `None` when the configuration gives no address: then there is no server.
    pub address: Option<Address>,
    /// `access_log`.
    pub access_logs: Vec<AccessLog>,
}

pub(super) fn admin(cx: &Cx<'_>, at: &At<'_>, admin: &bootstrap::Admin) -> Admin {
    let at_address = at.field("address");
    let address = admin.address.as_ref();
    Admin {
        address: address.and_then(|address| address::resolved(&at_address, address, "")),
        access_logs: access_log::logs(cx, &at.field("access_log"), &admin.access_log),
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

/// There is no runtime yet: a layer may hold what has no effect here, and nothing else.
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
            _ => at.key(name).unsupported(format_args!("the runtime key {full}")),
        }
    }
}
