//! Removal of the fields that concern one connection only, exactly as Envoy 1.40 does it.
//!
//! Owns which fields go. What the next hop needs instead is written by its encoder. Whether a
//! `connection` field is acceptable at all is the request decoder's business.

use crate::known::mask;
use crate::{Fields, Known};

const REQUEST: u128 = mask(&[
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::TransferEncoding,
    Known::Upgrade,
    Known::Http2Settings,
]);

const RESPONSE: u128 = mask(&[
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::TransferEncoding,
    Known::Upgrade,
]);

/// RFC 9110 section 6.5.1: fields for framing, routing and the connection have no meaning in
/// trailers, and are dangerous to whoever merges trailers into the head.
pub(crate) const NOT_IN_TRAILERS: u128 = mask(&[
    Known::Connection,
    Known::ContentLength,
    Known::Expect,
    Known::Host,
    Known::Http2Settings,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Te,
    Known::Trailer,
    Known::TransferEncoding,
    Known::Upgrade,
]);

const UPGRADE: u128 = mask(&[Known::Connection, Known::Upgrade]);

/// Removes hop-by-hop fields of a request: `connection` and every field that it names,
/// `keep-alive`, `proxy-connection`, `transfer-encoding`, `upgrade`, `http2-settings`; `te` is
/// reduced to `trailers` (RFC 9110 section 7.6.1).
///
/// With `keep_upgrade` (the request asks for an upgrade that configuration allows) `connection`,
/// `upgrade` and the fields that `connection` names stay.
pub fn strip_request(fields: &mut Fields, keep_upgrade: bool) {
    if fields.has(Known::Te) {
        reduce_te(fields);
    }
    if !fields.has_any(REQUEST) {
        return;
    }
    match keep_upgrade {
        true => fields.strip(REQUEST & !UPGRADE, None, 0),
        false => fields.strip(REQUEST, Some(Known::Connection), Known::Te.bit()),
    }
}

/// Removes hop-by-hop fields of a response: `connection`, `keep-alive`, `proxy-connection`,
/// `upgrade`, `transfer-encoding`. Fields that `connection` names stay, and so do `te` and
/// `trailer`.
///
/// With `keep_upgrade` (a 101 for an upgrade that is allowed) `connection` and `upgrade` stay.
pub fn strip_response(fields: &mut Fields, keep_upgrade: bool) {
    if fields.has_any(RESPONSE) {
        fields.strip(if keep_upgrade { RESPONSE & !UPGRADE } else { RESPONSE }, None, 0);
    }
}

/// `trailers` is the one coding that passes a proxy; in exactly this case, as in Envoy.
fn reduce_te(fields: &mut Fields) {
    let value = fields.known(Known::Te).unwrap_or_default();
    if value.split(|byte| *byte == b',').any(|coding| coding.trim_ascii() == b"trailers") {
        fields.set_known(Known::Te, b"trailers");
    } else if !value.is_empty() {
        fields.remove_known(Known::Te);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        strip: fn(&mut Fields, bool),
        keep_upgrade: bool,
        fields: &[(&str, &str)],
        left: &[(&str, &str)],
    ) {
        let mut map = Fields::new();
        for (name, value) in fields {
            map.push(name.as_bytes(), value.as_bytes());
        }
        strip(&mut map, keep_upgrade);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let got: Vec<_> = map.iter().map(|(name, value)| (text(name), text(value))).collect();
        let left: Vec<_> = left.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        assert_eq!(got, left, "{fields:?}");
    }

    /// Each case was asked of Envoy 1.40.
    #[test]
    fn requests() {
        let check = |fields: &[_], left: &[_]| check(strip_request, false, fields, left);
        check(&[("a", "b")], &[("a", "b")]);
        check(&[("connection", "close, x-a"), ("x-a", "1"), ("x-b", "2")], &[("x-b", "2")]);
        check(&[("connection", "X-A , ,x-b,"), ("x-a", "1"), ("x-b", "2")], &[]);
        check(&[("keep-alive", "5"), ("proxy-connection", "close")], &[]);
        check(&[("connection", "upgrade"), ("upgrade", "h2c"), ("http2-settings", "AAA")], &[]);
        check(&[("upgrade", "foo"), ("a", "b"), ("transfer-encoding", "chunked")], &[("a", "b")]);
        check(&[("te", "trailers")], &[("te", "trailers")]);
        check(&[("te", "gzip")], &[]);
        check(&[("te", "gzip, trailers")], &[("te", "trailers")]);
        check(&[("te", "trailers;q=0.5")], &[]);
        check(&[("te", "Trailers")], &[]);
        check(&[("connection", "te"), ("te", "trailers")], &[("te", "trailers")]);
        check(&[("connection", "te"), ("te", "gzip")], &[]);
        check(&[("trailer", "x")], &[("trailer", "x")]);
        check(&[("connection", "trailer"), ("trailer", "x")], &[]);
        check(&[("connection", "cookie"), ("cookie", "a=b")], &[]);
        check(&[("connection", "content-length"), ("content-length", "0")], &[]);
        check(&[("connection", "x"), ("x", "1"), ("x", "2"), ("y", "3")], &[("y", "3")]);
    }

    #[test]
    fn requests_that_upgrade() {
        check(
            strip_request,
            true,
            &[
                ("connection", "Upgrade, x-a"),
                ("upgrade", "WebSocket"),
                ("x-a", "1"),
                ("keep-alive", "5"),
                ("transfer-encoding", "chunked"),
            ],
            &[("connection", "Upgrade, x-a"), ("upgrade", "WebSocket"), ("x-a", "1")],
        );
    }

    #[test]
    fn responses() {
        check(
            strip_response,
            false,
            &[
                ("connection", "keep-alive, x-foo"),
                ("keep-alive", "5"),
                ("proxy-connection", "a"),
                ("upgrade", "x"),
                ("transfer-encoding", "chunked"),
                ("te", "a"),
                ("trailer", "t"),
                ("x-foo", "1"),
            ],
            &[("te", "a"), ("trailer", "t"), ("x-foo", "1")],
        );
        let upgrade = [("connection", "Upgrade"), ("upgrade", "websocket")];
        check(strip_response, true, &upgrade, &upgrade);
    }
}
