//! Listeners (Envoy `config.listener.v3.Listener`).

use std::collections::HashMap;
use std::sync::Arc;

use ringway_model::address::Address;
use ringway_model::listener::FilterChain;

use super::address;
use super::at::At;
use super::cluster::tcp_keepalive;
use super::proto::{core, listener};
use super::sockets::{OptionValue, SocketOption, SocketSpec, SocketState};
use super::udp;
use super::value::{or_bool, or_u32};

/// `tcp_backlog_size`.
const BACKLOG: u32 = 4096;

/// The name of a listener. Envoy makes up a UUID for one without, which would be another one in
/// each generation.
pub(super) fn name(listener: &listener::Listener, index: usize) -> Arc<str> {
    match listener.name.as_str() {
        "" => Arc::from(format!("listeners[{index}]")),
        name => Arc::from(name),
    }
}

/// The part of the names of its statistics that stands for the listener.
pub(super) fn scope(listener: &listener::Listener, address: &str) -> String {
    match listener.stat_prefix.as_str() {
        "" => address.to_owned(),
        prefix => prefix.to_owned(),
    }
}

/// The address that a listener asks for.
pub(super) fn address(at: &At<'_>, listener: &listener::Listener) -> Option<Address> {
    match &listener.address {
        Some(address) => address::resolved(&at.field("address"), address, ""),
        None => {
            at.invalid(format_args!(
                "error adding listener named '{}': address is necessary",
                listener.name
            ));
            None
        }
    }
}

/// Refuses listeners that nobody could tell apart.
pub(super) fn check_names(at: &At<'_>, listeners: &[listener::Listener]) {
    let mut names: HashMap<&str, usize> = HashMap::new();
    for (index, listener) in listeners.iter().enumerate() {
        if !listener.name.is_empty() && names.insert(&listener.name, index).is_some() {
            at.index(index)
                .field("name")
                .invalid(format_args!("duplicate listener '{}'", listener.name));
        }
    }
}

/// Refuses two listeners on one address. Port 0 is a new port each time, and a port of UDP is
/// another than that of TCP.
pub(super) fn check_addresses<'a>(
    at: &At<'_>,
    listeners: impl Iterator<Item = (usize, &'a SocketSpec)>,
) {
    let mut seen = HashMap::new();
    for (index, spec) in listeners {
        let SocketSpec { listener: name, address, datagrams, .. } = spec;
        let is_any_port = address.ip().is_some_and(|ip| ip.port() == 0);
        if !is_any_port && let Some(first) = seen.insert((address, datagrams), name) {
            at.index(index).field("address").invalid(format_args!(
                "error adding listener: '{name}' has duplicate address '{address}' as existing \
                 listener '{first}'"
            ));
        }
    }
}

pub(super) fn check_chains(at: &At<'_>, listener: &listener::Listener, address: &str) {
    if listener.filter_chains.is_empty() && listener.default_filter_chain.is_none() {
        at.invalid(format_args!("error adding listener '{address}': no filter chains specified"));
    }
}

/// A listener's chains, or none if one of them is wrong.
pub(super) fn all(chains: Vec<Option<Arc<FilterChain>>>) -> Option<Vec<Arc<FilterChain>>> {
    chains.into_iter().collect()
}

/// What its sockets must be like.
pub(super) fn sockets(
    at: &At<'_>,
    listener: &listener::Listener,
    name: &Arc<str>,
    address: Address,
    workers: usize,
) -> SocketSpec {
    let configured = listener.address.as_ref().and_then(|address| address.address.as_ref());
    let (ipv4_compat, mode) = match configured {
        Some(core::address::Address::SocketAddress(socket)) => (socket.ipv4_compat, 0),
        Some(core::address::Address::Pipe(pipe)) => (false, pipe.mode),
        _ => (false, 0),
    };
    SocketSpec {
        listener: Arc::clone(name),
        address,
        datagrams: udp::is_udp(listener),
        workers,
        ipv4_compat,
        mode,
        reuse_port: or_bool(listener.enable_reuse_port, true),
        backlog: or_u32(listener.tcp_backlog_size, BACKLOG),
        keepalive: listener.tcp_keepalive.as_ref().map(tcp_keepalive),
        transparent: or_bool(listener.transparent, false),
        freebind: or_bool(listener.freebind, false),
        mptcp: mptcp(at, listener),
        options: options(&at.field("socket_options"), &listener.socket_options),
    }
}

fn mptcp(at: &At<'_>, listener: &listener::Listener) -> bool {
    use core::address::Address::SocketAddress;
    let address = listener.address.as_ref().and_then(|address| address.address.as_ref());
    if listener.enable_mptcp && !matches!(address, Some(SocketAddress(_))) {
        at.field("enable_mptcp").invalid("enable_mptcp can only be used with IP addresses");
    }
    listener.enable_mptcp
}

fn options(at: &At<'_>, options: &[core::SocketOption]) -> Vec<SocketOption> {
    let each = options.iter().enumerate();
    each.filter_map(|(index, option)| socket_option(&at.index(index), option)).collect()
}

fn socket_option(at: &At<'_>, option: &core::SocketOption) -> Option<SocketOption> {
    use core::socket_option::{SocketState as State, Value};
    let value = match option.value.as_ref() {
        Some(Value::IntValue(value)) => {
            OptionValue::Int(at.field("int_value").take(i32::try_from(*value))?)
        }
        Some(Value::BufValue(bytes)) => OptionValue::Bytes(bytes.clone()),
        None => {
            at.invalid("a value is necessary");
            return None;
        }
    };
    let state = match State::try_from(option.state) {
        Ok(State::StateBound) => SocketState::Bound,
        Ok(State::StateListening) => SocketState::Listening,
        Ok(State::StatePrebind) | Err(_) => SocketState::Prebind,
    };
    let level = at.field("level").take(i32::try_from(option.level));
    let name = at.field("name").take(i32::try_from(option.name));
    let compiled = SocketOption { level: level?, name: name?, value, state };
    if !compiled.is_known() {
        let SocketOption { level, name, .. } = compiled;
        at.unsupported(format_args!("the socket option {level}/{name}"));
        return None;
    }
    Some(compiled)
}
