//! The supported fields, by message. Each area of the API has its file.
//!
//! A message that is in no table is not supported, whichever field holds it.

mod access_log;
mod bootstrap;
mod cluster;
mod core;
mod endpoint;
mod http;
mod listener;
mod network;
mod route;
mod tls;
mod udp;

use super::Accept;

/// The tables in the order in which docs/parity.md shows them.
pub(super) const AREAS: &[Area] = &[
    Area { title: "Bootstrap", messages: bootstrap::MESSAGES },
    Area { title: "Listeners", messages: listener::MESSAGES },
    Area { title: "Network filters", messages: network::MESSAGES },
    Area { title: "UDP", messages: udp::MESSAGES },
    Area { title: "HTTP connection manager", messages: http::MESSAGES },
    Area { title: "Routes", messages: route::MESSAGES },
    Area { title: "Clusters", messages: cluster::MESSAGES },
    Area { title: "Endpoints", messages: endpoint::MESSAGES },
    Area { title: "TLS", messages: tls::MESSAGES },
    Area { title: "Access logs", messages: access_log::MESSAGES },
    Area { title: "Shared messages", messages: core::MESSAGES },
];

/// The HTTP filters that are part of the proxy itself.
pub(super) const HTTP_FILTERS: &[&str] = &[http::ROUTER];

/// One part of the API.
pub(super) struct Area {
    pub(super) title: &'static str,
    pub(super) messages: &'static [Message],
}

/// The supported fields of one message.
pub(super) struct Message {
    /// Full name.
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
}

/// One supported field.
#[derive(Debug)]
pub(super) struct Field {
    /// Name in the proto.
    pub(super) name: &'static str,
    pub(super) accept: Accept,
}

/// A message with a table of fields.
const fn message(name: &'static str, fields: &'static [Field]) -> Message {
    Message { name, fields }
}

/// A field with all values that the API allows.
const fn field(name: &'static str) -> Field {
    Field { name, accept: Accept::All }
}

/// A field of which only some values are supported.
const fn only(name: &'static str, values: &'static [&'static str]) -> Field {
    Field { name, accept: Accept::Only(values) }
}

/// An `Any`, or a map of them, with the messages that it may carry.
const fn extension(name: &'static str, types: &'static [&'static str]) -> Field {
    Field { name, accept: Accept::Types(types) }
}
