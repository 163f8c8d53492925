//! TLS of filter chains and clusters: `transport_socket` to contexts of the engine.
//!
//! Owns: which message may stand where, defaults, and contexts that live on while nothing that
//! they were made from changes, so that their sessions and ticket keys do as well. Does not own:
//! what a certificate or a key has to be like; the engine says that.

mod context;
mod downstream;
mod identity;
mod key_log;
pub(super) mod matches;
mod names;
mod parameters;
mod secret;
mod session;
mod source;
mod spiffe;
mod upstream;
mod validation;

use std::sync::Arc;

use prost::Name;
use ringway_bridge::stats::StatName;
use ringway_model::transport::{DownstreamTls, UpstreamTls};

use super::at::At;
use super::proto::{core, google, raw_buffer, tls};
use super::value::{is, type_name, unpack};
use super::{Cx, proxy_header};

pub(super) use context::Contexts;
pub(super) use secret::check as check_secrets;

pub use context::Updates;

/// `FilterChain.transport_socket`. `None` after an error; within it, `None` for plain bytes.
#[expect(clippy::option_option, reason = "an error is not plain bytes")]
pub(super) fn downstream(
    cx: &Cx<'_>,
    at: &At<'_>,
    socket: Option<&core::TransportSocket>,
    scope: &str,
) -> Option<Option<Arc<DownstreamTls>>> {
    let Some(socket) = socket else { return Some(None) };
    let at = at.field("transport_socket");
    let Some(any) = encrypted(&at, socket)? else { return Some(None) };
    let at = at.field("typed_config");
    expect::<tls::DownstreamTlsContext>(&at, any)?;
    context::downstream(cx, &at, any, scope).map(Some)
}

/// `Cluster.transport_socket`; as [`downstream`].
#[expect(clippy::option_option, reason = "an error is not plain bytes")]
pub(super) fn upstream(
    cx: &Cx<'_>,
    at: &At<'_>,
    socket: Option<&core::TransportSocket>,
    scope: &str,
) -> Option<Option<Arc<UpstreamTls>>> {
    let Some(socket) = socket else { return Some(None) };
    let at_socket = at.field("transport_socket");
    let at = at_socket.field("typed_config");
    if let Some(wrapper) = proxy_header::wrapper(&at, socket)? {
        return upstream(cx, &at, wrapper.transport_socket.as_ref(), scope);
    }
    let Some(any) = encrypted(&at_socket, socket)? else { return Some(None) };
    expect::<tls::UpstreamTlsContext>(&at, any)?;
    context::upstream(cx, &at, any, scope).map(Some)
}

/// Whether two contexts are one.
pub(super) fn is_same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// The configuration of a socket that is not `raw_buffer`.
#[expect(clippy::option_option, reason = "an error is not plain bytes")]
fn encrypted<'s>(
    at: &At<'_>,
    socket: &'s core::TransportSocket,
) -> Option<Option<&'s google::Any>> {
    use core::transport_socket::ConfigType;
    let Some(ConfigType::TypedConfig(any)) = &socket.config_type else {
        at.invalid(format_args!(
            "Didn't find a registered implementation for '{}' with type URL: ''",
            socket.name
        ));
        return None;
    };
    if !is::<raw_buffer::RawBuffer>(any) {
        return Some(Some(any));
    }
    unpack::<raw_buffer::RawBuffer>(at, any).map(|_| None)
}

/// The support table knows the types of sockets, but not which side each is for.
fn expect<M: Name>(at: &At<'_>, any: &google::Any) -> Option<()> {
    if is::<M>(any) {
        return Some(());
    }
    at.invalid(format_args!(
        "Didn't find a registered implementation for 'tls' with type URL: '{}'",
        type_name(any)
    ));
    None
}

/// What the parts of one context have in common.
struct Scope<'a, 'c> {
    cx: &'a Cx<'c>,
    /// Where its statistics are.
    name: &'a StatName,
    is_server: bool,
}

/// `alpn_protocols`, by preference. Envoy joins the list with commas, so that an entry may hold
/// several.
fn alpn(at: &At<'_>, common: &tls::CommonTlsContext) -> Option<Vec<Vec<u8>>> {
    let at = at.field("alpn_protocols");
    let mut all = Vec::new();
    for (index, entry) in common.alpn_protocols.iter().enumerate() {
        for name in entry.split(',').filter(|name| !name.is_empty()) {
            if name.len() > 255 {
                at.index(index).invalid("Invalid ALPN protocol string");
                return None;
            }
            all.push(name.as_bytes().to_vec());
        }
    }
    Some(all)
}
