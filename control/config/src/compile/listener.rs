//! Listeners (Envoy `config.listener.v3.Listener`).

use std::collections::HashMap;
use std::sync::Arc;

use ringway_model::address::Address;
use ringway_model::listener::{FilterChain, TrafficDirection};

use super::address;
use super::at::At;
use super::cluster::tcp_keepalive;
use super::internal;
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
pub(super) fn scope(listener: &listener::Listener, address: Option<&Address>) -> String {
    match (listener.stat_prefix.as_str(), address) {
        ("", Some(Address::Internal(name))) => format!("envoy_internal_{}", name.listener),
        ("", address) => address.map(ToString::to_string).unwrap_or_default(),
        (prefix, _) => prefix.to_owned(),
    }
}

/// The addresses that a listener asks for, its own first.
pub(super) fn addresses(
    at: &At<'_>,
    listener: &listener::Listener,
    name: &Arc<str>,
) -> Option<Vec<Address>> {
    if internal::is_internal(listener) {
        return Some(vec![internal::address(name)]);
    }
    let at_more = at.field("additional_addresses");
    let more = listener.additional_addresses.iter().enumerate();
    let more = more.map(|(index, one)| additional(&at_more.index(index), listener, one));
    let all: Vec<_> = std::iter::once(address(at, listener)).chain(more).collect();
    all.into_iter().collect()
}

fn additional(
    at: &At<'_>,
    listener: &listener::Listener,
    one: &listener::AdditionalAddress,
) -> Option<Address> {
    let is_udp = udp::is_udp(listener);
    let Some(address) = &one.address else {
        at.invalid("an address is necessary");
        return None;
    };
    if udp::is_udp_address(address) != is_udp {
        at.field("address").invalid(format_args!(
            "listener {}: has different socket type. The listener only support same socket type \
             for all the addresses.",
            listener.name
        ));
        return None;
    }
    if is_udp {
        at.unsupported("a second address of a listener for UDP");
        return None;
    }
    outside(&at.field("address"), address)
}

/// An address that others than this process can connect to.
fn outside(at: &At<'_>, address: &core::Address) -> Option<Address> {
    let resolved = address::resolved(at, address, "")?;
    if let Address::Internal(_) = resolved {
        at.invalid("an internal address is that of a listener with internal_listener");
        return None;
    }
    Some(resolved)
}

fn address(at: &At<'_>, listener: &listener::Listener) -> Option<Address> {
    match &listener.address {
        Some(address) => outside(&at.field("address"), address),
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

/// Refuses two listeners on one address. Port 0 is a new port each time where it is bound, and a
/// port of UDP is another than that of TCP.
pub(super) fn check_addresses<'a>(
    at: &At<'_>,
    listeners: impl Iterator<Item = (usize, &'a SocketSpec)>,
) {
    let mut seen: HashMap<_, &Arc<str>> = HashMap::new();
    for (index, spec) in listeners {
        let SocketSpec { listener: name, address, datagrams, .. } = spec;
        let is_any_port = spec.bound && address.ip().is_some_and(|ip| ip.port() == 0);
        if !is_any_port
            && let Some(first) = seen.insert((address, datagrams), name)
            && first != name
        {
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

/// What the sockets of each of its addresses must be like.
pub(super) fn sockets(
    at: &At<'_>,
    listener: &listener::Listener,
    name: &Arc<str>,
    addresses: Vec<Address>,
    workers: usize,
) -> Vec<SocketSpec> {
    let mut addresses = addresses.into_iter();
    let Some(own) = addresses.next() else { return Vec::new() };
    let own = own_sockets(at, listener, name, own, workers);
    let at_more = at.field("additional_addresses");
    let more = addresses.zip(&listener.additional_addresses).enumerate();
    let more: Vec<SocketSpec> = more
        .map(|(index, (address, one))| SocketSpec {
            address,
            place: index + 1,
            ..more_sockets(&at_more.index(index), one, &own)
        })
        .collect();
    std::iter::once(own).chain(more).collect()
}

/// As those of the listener's own address, where nothing else is said.
fn more_sockets(at: &At<'_>, one: &listener::AdditionalAddress, own: &SocketSpec) -> SocketSpec {
    let (ipv4_compat, mode) = details(one.address.as_ref());
    let at = at.field("socket_options");
    let other = |list: &core::SocketOptionsOverride| {
        options(&at.field("socket_options"), &list.socket_options)
    };
    let other = one.socket_options.as_ref().map(other);
    let keepalive = one.tcp_keepalive.as_ref().map(tcp_keepalive);
    SocketSpec {
        ipv4_compat,
        mode,
        options: other.unwrap_or_else(|| own.options.clone()),
        keepalive: keepalive.or(own.keepalive),
        ..own.clone()
    }
}

/// `ipv4_compat` and `mode` of an address.
fn details(address: Option<&core::Address>) -> (bool, u32) {
    match address.and_then(|address| address.address.as_ref()) {
        Some(core::address::Address::SocketAddress(socket)) => (socket.ipv4_compat, 0),
        Some(core::address::Address::Pipe(pipe)) => (false, pipe.mode),
        _ => (false, 0),
    }
}

/// Whether it is bound, by the field of today and by that of the API before this one.
fn is_bound(at: &At<'_>, listener: &listener::Listener) -> bool {
    let old = listener.deprecated_v1.as_ref().and_then(|old| old.bind_to_port);
    let bound = or_bool(listener.bind_to_port, true) && or_bool(old, true);
    let bound = bound && !internal::is_internal(listener);
    if !bound && udp::is_udp(listener) {
        at.field("bind_to_port").invalid(format_args!(
            "listener {}: bind_to_port: false is not supported for UDP listeners",
            listener.name
        ));
    }
    bound
}

/// `enable_reuse_port`; the older `reuse_port` asks for what is the default.
fn reuse_port(at: &At<'_>, listener: &listener::Listener) -> bool {
    if listener.reuse_port && listener.enable_reuse_port.is_some() {
        at.field("reuse_port").no_effect("enable_reuse_port counts");
    }
    or_bool(listener.enable_reuse_port, true)
}

fn own_sockets(
    at: &At<'_>,
    listener: &listener::Listener,
    name: &Arc<str>,
    address: Address,
    workers: usize,
) -> SocketSpec {
    let (ipv4_compat, mode) = details(listener.address.as_ref());
    SocketSpec {
        listener: Arc::clone(name),
        place: 0,
        bound: is_bound(at, listener),
        address,
        datagrams: udp::is_udp(listener),
        workers,
        ipv4_compat,
        mode,
        reuse_port: reuse_port(at, listener),
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

/// `traffic_direction`
pub(super) fn direction(listener: &listener::Listener) -> TrafficDirection {
    match core::TrafficDirection::try_from(listener.traffic_direction) {
        Ok(core::TrafficDirection::Inbound) => TrafficDirection::Inbound,
        Ok(core::TrafficDirection::Outbound) => TrafficDirection::Outbound,
        Ok(core::TrafficDirection::Unspecified) | Err(_) => TrafficDirection::Unspecified,
    }
}

/// `drain_type: MODIFY_ONLY`
pub(super) fn drains_when_modified_only(listener: &listener::Listener) -> bool {
    listener.drain_type == listener::listener::DrainType::ModifyOnly as i32
}

/// `connection_balance_config`
pub(super) fn exact_balance(listener: &listener::Listener) -> bool {
    use listener::listener::connection_balance_config::BalanceType;
    let config = listener.connection_balance_config.as_ref();
    let kind = config.and_then(|config| config.balance_type.as_ref());
    matches!(kind, Some(BalanceType::ExactBalance(_)))
}
