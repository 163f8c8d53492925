//! Who this process says it is: `/server_info`.

use std::time::Instant;

use ringway_config::{Loaded, print};
use ringway_control::admin::About;
use serde_json::{Value, json};

use crate::cli::{self, Options};

/// What does not change while the process lives.
pub(crate) fn about(
    options: &Options,
    concurrency: usize,
    started: Instant,
    loaded: &Loaded,
) -> About {
    About {
        version: cli::version(),
        started,
        command_line: options.command_line(concurrency),
        node: node(options, loaded),
    }
}

/// `node` of the bootstrap, where the command line has the last word, in the order of Envoy's
/// message.
fn node(options: &Options, loaded: &Loaded) -> Value {
    let own = loaded.bootstrap.node.clone().unwrap_or_default();
    let place = own.locality.unwrap_or_default();
    let or = |flag: &str, own: String| if flag.is_empty() { own } else { flag.to_owned() };
    json!({
        "id": or(&options.service_node, own.id),
        "cluster": or(&options.service_cluster, own.cluster),
        "metadata": metadata(loaded),
        "locality": {
            "region": place.region,
            "zone": or(&options.service_zone, place.zone),
            "sub_zone": place.sub_zone,
        },
        "user_agent_name": "ringway",
        "user_agent_build_version": { "version": version(), "metadata": {} },
        "extensions": [],
        "client_features": [],
        "listening_addresses": [],
        "dynamic_parameters": {},
    })
}

/// Free-form, so it goes through the printer of `config_dump`.
fn metadata(loaded: &Loaded) -> Value {
    let printed = serde_json::from_str::<Value>(&print::compact(&loaded.message));
    let found = printed.ok().and_then(|root| root.pointer("/node/metadata").cloned());
    found.unwrap_or_else(|| json!({}))
}

fn version() -> Value {
    let number = |text: &str| text.parse::<u32>().unwrap_or(0);
    json!({
        "major_number": number(env!("CARGO_PKG_VERSION_MAJOR")),
        "minor_number": number(env!("CARGO_PKG_VERSION_MINOR")),
        "patch": number(env!("CARGO_PKG_VERSION_PATCH")),
    })
}
