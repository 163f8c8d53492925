//! Replies of our own to gRPC requests: HTTP 200 and the status in gRPC's fields.
//!
//! What the upstream answers passes as it is: this is only about replies that Ringway makes.

use ringway_http::{Fields, Known, Method, RequestHead, ResponseHead};

const CONTENT_TYPE: &[u8] = b"application/grpc";

/// Whether the client speaks gRPC: `application/grpc` or `application/grpc+proto`, but not
/// `application/grpc-web`.
pub(super) fn is_request(head: &RequestHead) -> bool {
    let content_type = head.fields.known(Known::ContentType).unwrap_or_default();
    content_type
        .strip_prefix(CONTENT_TYPE)
        .is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'+'))
}

/// Whether the upstream did what it was asked, as far as fields (of a head or of trailers) say so:
/// `None` without a `grpc-status`. What the client did wrong is no failure of the upstream.
pub(super) fn success(fields: &Fields) -> Option<bool> {
    // Those that Envoy translates to 5xx: unknown, deadline exceeded, unimplemented, internal,
    // unavailable, data loss.
    const FAILURES: [&[u8]; 6] = [b"2", b"4", b"12", b"13", b"14", b"15"];
    fields.known(Known::GrpcStatus).map(|status| !FAILURES.contains(&status))
}

/// Makes a gRPC reply of an HTTP one: its status becomes `grpc-status`, its body `grpc-message`.
pub(super) fn translate(head: &mut ResponseHead, body: &[u8], asked: Method) {
    let status = grpc_status(head.status);
    head.status = 200;
    head.fields.set_known(Known::ContentType, CONTENT_TYPE);
    if !head.fields.has(Known::GrpcStatus) {
        head.fields.push_known(Known::GrpcStatus, status.as_bytes());
    }
    if !body.is_empty() && asked != Method::Head && !head.fields.has(Known::GrpcMessage) {
        head.fields.push_known_with(Known::GrpcMessage, |out| percent_encode(body, out));
    }
    head.fields.remove_known(Known::ContentLength);
}

/// Envoy's `Grpc::Utility::httpToGrpcStatus`.
fn grpc_status(status: u16) -> &'static str {
    match status {
        400 => "13",
        401 => "16",
        403 => "7",
        404 => "12",
        429 | 502 | 503 | 504 => "14",
        _ => "2",
    }
}

/// The encoding of `grpc-message`: everything but printable ASCII, and `%` itself.
fn percent_encode(text: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text {
        match byte {
            b' '..=b'}' if *byte != b'%' => out.push(*byte),
            _ => {
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 0xf));
                out.extend_from_slice(&[b'%', DIGITS[high], DIGITS[low]]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(content_type: &str) -> RequestHead {
        let mut head = RequestHead::new();
        head.fields.push_known(Known::ContentType, content_type.as_bytes());
        head
    }

    #[test]
    fn grpc_is_known_by_its_content_type() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc-web", false),
            ("application/grp", false),
            ("text/plain", false),
        ] {
            assert_eq!(is_request(&head(content_type)), expected, "{content_type}");
        }
    }

    #[test]
    fn the_message_is_printable_ascii() {
        let mut reply = ResponseHead::new();
        reply.status = 503;
        translate(&mut reply, "50 % of\nthé".as_bytes(), Method::Get);
        assert_eq!(reply.status, 200);
        assert_eq!(reply.fields.known(Known::GrpcStatus), Some(b"14".as_slice()));
        let message = reply.fields.known(Known::GrpcMessage);
        assert_eq!(message, Some(b"50 %25 of%0Ath%C3%A9".as_slice()));
    }
}
