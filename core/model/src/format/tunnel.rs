//! What another proxy has answered to a tunnel (`propagate_response_headers`), in Envoy's JSON.

use ringway_http::Fields;

use super::json::escape::escape_tail;
use super::operator::number;
use crate::tcp::TunnelAnswer;

/// `envoy.tcp_proxy.propagate_response_headers`
pub(super) fn head(answer: Option<&TunnelAnswer>, out: &mut Vec<u8>) -> bool {
    let Some((status, fields)) = answer.and_then(|answer| answer.head.as_ref()) else {
        return false;
    };
    out.extend_from_slice(br#"{"headers":[{"key":":status","value":""#);
    number(u64::from(*status), out);
    out.extend_from_slice(br#""}"#);
    write(fields, true, out);
    true
}

/// `envoy.tcp_proxy.propagate_response_trailers`
pub(super) fn trailers(answer: Option<&TunnelAnswer>, out: &mut Vec<u8>) -> bool {
    let Some(fields) = answer.and_then(|answer| answer.trailers.as_ref()) else { return false };
    out.extend_from_slice(br#"{"headers":["#);
    write(fields, false, out);
    true
}

/// The fields and the end of the list; `follows` where something stands in it already.
fn write(fields: &Fields, mut follows: bool, out: &mut Vec<u8>) {
    for (name, value) in fields.iter() {
        if std::mem::replace(&mut follows, true) {
            out.push(b',');
        }
        for (key, text) in [("{\"key\":\"", name), (",\"value\":\"", value)] {
            out.extend_from_slice(key.as_bytes());
            let start = out.len();
            out.extend_from_slice(text);
            escape_tail(out, start);
            out.push(b'"');
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
}
