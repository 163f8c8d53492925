//! Addresses of listeners, endpoints and the admin server.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use ringway_model::address::Address;

use super::at::At;
use super::proto::core;
use core::address::Address as Kind;
use core::socket_address::PortSpecifier;

/// A host that may be a name, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// An address that needs nobody to resolve it.
    Known(Address),
    /// A name.
    Named {
        /// As configured.
        host: String,
        /// The port of each address that the name stands for.
        port: u16,
    },
}

/// An address in which names are allowed.
pub(super) fn place(at: &At<'_>, address: &core::Address) -> Option<Place> {
    match address.address.as_ref() {
        Some(Kind::SocketAddress(socket)) => socket_place(&at.field("socket_address"), socket),
        Some(Kind::Pipe(pipe)) => Some(Place::Known(pipe_address(&at.field("pipe"), pipe)?)),
        Some(Kind::EnvoyInternalAddress(internal)) => {
            internal_address(&at.field("envoy_internal_address"), internal).map(Place::Known)
        }
        None => {
            at.invalid("an address is necessary");
            None
        }
    }
}

fn internal_address(at: &At<'_>, address: &core::EnvoyInternalAddress) -> Option<Address> {
    use core::envoy_internal_address::AddressNameSpecifier;
    let Some(AddressNameSpecifier::ServerListenerName(name)) = &address.address_name_specifier
    else {
        at.invalid("a server_listener_name is necessary");
        return None;
    };
    Some(Address::internal(name, &address.endpoint_id))
}

/// An address in which a name is an error; `hint` says what to do about it.
pub(super) fn resolved(at: &At<'_>, address: &core::Address, hint: &str) -> Option<Address> {
    match place(at, address)? {
        Place::Known(address) => Some(address),
        Place::Named { host, .. } => {
            let at = at.field("socket_address");
            at.field("address").invalid(format_args!("malformed IP address: {host}{hint}"));
            None
        }
    }
}

fn socket_place(at: &At<'_>, socket: &core::SocketAddress) -> Option<Place> {
    let port = match socket.port_specifier {
        Some(PortSpecifier::PortValue(port)) => port,
        _ => 0,
    };
    // The API's own rule keeps it below 65536.
    let port = at.field("port_value").take(u16::try_from(port))?;
    let text = socket.address.as_str();
    Some(match text.parse::<IpAddr>() {
        Ok(ip) => Place::Known(Address::Ip(SocketAddr::new(ip, port))),
        Err(_) => Place::Named { host: text.to_owned(), port },
    })
}

/// `sun_path` holds 108 bytes with the zero that ends it; an abstract name has its zero in front.
const PIPE_PATH_MAX_BYTES: usize = 107;

fn pipe_address(at: &At<'_>, pipe: &core::Pipe) -> Option<Address> {
    let at = at.field("path");
    if pipe.path.len() > PIPE_PATH_MAX_BYTES {
        at.invalid(format_args!(
            "Path \"{}\" exceeds maximum UNIX domain socket path size of {PIPE_PATH_MAX_BYTES}.",
            pipe.path
        ));
        return None;
    }
    if pipe.path.contains('\0') {
        at.invalid("UNIX domain socket pathname contains embedded null characters");
        return None;
    }
    Some(Address::Pipe(Arc::new(PathBuf::from(&pipe.path))))
}
