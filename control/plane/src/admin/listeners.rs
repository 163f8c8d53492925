//! `/listeners`: names and bound addresses.

use serde_json::{Value, json};

use ringway_model::address::Address;

use super::query::Request;
use super::reply::Reply;
use super::state::AdminState;

/// `name::address` lines, or JSON (`format=json`).
pub(crate) fn listeners(state: &AdminState, request: &Request) -> Reply {
    let snapshot = state.snapshot.borrow().clone();
    let listeners = snapshot.listeners.iter();
    if request.params.get("format") == Some("json") {
        let status = listeners.map(|listener| {
            let mut shown =
                json!({"name": &*listener.name, "local_address": address(&listener.address)});
            let more = listener.additional.iter().map(|sockets| address(&sockets.address));
            let more: Vec<Value> = more.collect();
            if !more.is_empty() {
                shown["additional_local_addresses"] = more.into();
            }
            shown
        });
        return Reply::pretty(&json!({"listener_statuses": status.collect::<Vec<_>>()}));
    }
    let lines = listeners.flat_map(|listener| {
        let all = listener.all_sockets();
        all.map(|sockets| format!("{}::{}\n", listener.name, sockets.address))
    });
    Reply::text(lines.collect::<String>())
}

/// An address as Envoy's `core.v3.Address` in JSON.
pub(super) fn address(address: &Address) -> Value {
    match address {
        Address::Ip(ip) => {
            json!({"socket_address": {"address": ip.ip().to_string(), "port_value": ip.port()}})
        }
        Address::Pipe(path) => json!({"pipe": {"path": path.to_string_lossy()}}),
        Address::Internal(name) => {
            let mut shown = json!({"server_listener_name": name.listener});
            if !name.endpoint_id.is_empty() {
                shown["endpoint_id"] = json!(name.endpoint_id);
            }
            json!({"envoy_internal_address": shown})
        }
    }
}
