//! Internal listeners (`internal_listener`) and the bootstrap extension that they need.

use std::sync::Arc;

use prost::Message;
use ringway_model::address::Address;

use super::Cx;
use super::at::At;
use super::proto::{core, internal_listener, listener as proto};
use super::value::{is, or_bool, type_name};
use proto::listener::ListenerSpecifier;
use proto::listener::connection_balance_config::BalanceType;

/// `envoy.extensions.bootstrap.internal_listener.v3.InternalListener`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extension {
    /// `buffer_size_kb` in bytes: what one side of a connection may send ahead of the other;
    /// `None` leaves it to the kernel.
    pub(super) buffer_bytes: Option<usize>,
}

/// The extension, where the bootstrap has it.
pub(super) fn extension(extensions: &[core::TypedExtensionConfig]) -> Option<Extension> {
    let mut configs = extensions.iter().filter_map(|one| one.typed_config.as_ref());
    let any = configs.rfind(|any| is::<internal_listener::InternalListener>(any))?;
    // The decoder has made the bytes from a message of that type.
    let config = internal_listener::InternalListener::decode(any.value.as_slice()).ok()?;
    // The API's own rule keeps it from 1 to 8192.
    let buffer_bytes = config.buffer_size_kb.map(|kib| kib.value as usize * 1024);
    Some(Extension { buffer_bytes })
}

/// Refuses other extensions of the bootstrap.
pub(super) fn check_extensions(at: &At<'_>, extensions: &[core::TypedExtensionConfig]) {
    for (index, one) in extensions.iter().enumerate() {
        let at = at.index(index);
        match &one.typed_config {
            Some(any) if is::<internal_listener::InternalListener>(any) => {}
            Some(any) => at.unsupported(format_args!("the extension {}", type_name(any))),
            None => at.invalid("an extension needs its typed_config"),
        }
    }
}

/// Whether connections to it come from this process.
pub(super) fn is_internal(listener: &proto::Listener) -> bool {
    matches!(listener.listener_specifier, Some(ListenerSpecifier::InternalListener(_)))
}

/// `buffer_size_kb` of the extension in bytes, where it is an internal listener.
pub(super) fn buffer(cx: &Cx<'_>, listener: &proto::Listener) -> Option<usize> {
    cx.internal.filter(|_| is_internal(listener))?.buffer_bytes
}

/// The address under which endpoints find it.
pub(super) fn address(name: &Arc<str>) -> Address {
    Address::internal(name, "")
}

/// What Envoy refuses of an internal listener.
pub(super) fn check(cx: &Cx<'_>, at: &At<'_>, listener: &proto::Listener, name: &str) {
    if !is_internal(listener) {
        return;
    }
    let at = at.field("internal_listener");
    if cx.internal.is_none() {
        at.invalid(format_args!(
            "error adding listener named '{name}': InternalListener bootstrap extension is \
             mandatory"
        ));
    }
    if listener.address.is_some() || !listener.additional_addresses.is_empty() {
        at.invalid(format_args!(
            "error adding listener '{name}': address should not be used when an internal listener \
             config is provided"
        ));
    }
    if asks_for_tcp(listener) {
        at.invalid(format_args!(
            "error adding listener named '{name}': has unsupported tcp listener feature"
        ));
    }
    if !listener.socket_options.is_empty() {
        at.invalid(format_args!(
            "error adding listener named '{name}': does not support socket option"
        ));
    }
}

/// Fields that only sockets can have.
fn asks_for_tcp(listener: &proto::Listener) -> bool {
    let balance = listener.connection_balance_config.as_ref();
    let balance = balance.and_then(|config| config.balance_type.as_ref());
    matches!(balance, Some(BalanceType::ExactBalance(_)))
        || listener.enable_mptcp
        || listener.enable_reuse_port.is_some()
        || or_bool(listener.freebind, false)
        || listener.tcp_backlog_size.is_some()
        || listener.tcp_fast_open_queue_length.is_some()
        || or_bool(listener.transparent, false)
}
