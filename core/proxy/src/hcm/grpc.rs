//! Replies of our own to gRPC requests: HTTP 200 and the status in gRPC's fields.
//!
//! What the upstream answers passes as it is: this is only about replies that Ringway makes.

use std::io::Write;

use ringway_http::{Fields, Known, Method, RequestHead, ResponseHead};
use ringway_model::grpc;

/// Whether the client speaks gRPC.
pub(super) fn is_request(head: &RequestHead) -> bool {
    grpc::is_grpc(&head.fields)
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
    let status = grpc::status_of_http(head.status);
    head.status = 200;
    match head.fields.has(Known::GrpcStatus) {
        true => head.fields.set_known(Known::ContentType, grpc::CONTENT_TYPE),
        false => announce(&mut head.fields, status),
    }
    if !body.is_empty() && asked != Method::Head && !head.fields.has(Known::GrpcMessage) {
        head.fields.push_known_with(Known::GrpcMessage, |out| grpc::percent_encode(body, out));
    }
    head.fields.remove_known(Known::ContentLength);
}

/// The fields of a gRPC reply of this status.
pub(super) fn announce(fields: &mut Fields, status: u8) {
    fields.set_known(Known::ContentType, grpc::CONTENT_TYPE);
    fields.set_known_with(Known::GrpcStatus, |out| {
        // Writing to a vector cannot fail.
        let _ = write!(out, "{status}");
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_becomes_the_message() {
        let mut reply = ResponseHead::new();
        reply.status = 503;
        translate(&mut reply, b"50 %", Method::Get);
        assert_eq!(reply.status, 200);
        assert_eq!(reply.fields.known(Known::GrpcStatus), Some(b"14".as_slice()));
        assert_eq!(reply.fields.known(Known::GrpcMessage), Some(b"50 %25".as_slice()));
    }
}
