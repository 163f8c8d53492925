use ringway_http::{Fields, Known, RequestHead, ResponseHead, Version};
use ringway_model::filter::{FilterState, HttpFilterFactory, ResponseStep, Whole};

use super::Factory;
use crate::http::rig::Rig;

/// `ignore_query_parameters: true`
const IGNORE_QUERY: &[u8] = &[0x10, 1];

fn asked(content_type: &str, version: Version) -> (RequestHead, FilterState) {
    let (mut head, mut state) = (RequestHead::new(), None);
    head.set_path(b"/a.B/C?d=e");
    head.set_version(version);
    head.fields.push_known(Known::ContentType, content_type.as_bytes());
    let filter = Factory.compile(IGNORE_QUERY).expect("a filter");
    filter.request_head(&mut state, &mut head, &mut Rig::new().cx());
    (head, state)
}

/// The status of the response and what `grpc-status` its head has, for these trailers.
fn bridged(trailers: &[(Known, &str)]) -> (u16, Option<Vec<u8>>) {
    let (request, mut state) = asked("application/grpc", Version::Http11);
    let (mut head, mut body, mut fields) = (ResponseHead::new(), b"x".to_vec(), Fields::new());
    head.status = 200;
    let filter = Factory.compile(&[]).expect("a filter");
    let step = filter.response_head(&mut state, &request, &mut head, &mut Rig::new().cx());
    assert!(matches!(step, ResponseStep::Collect));
    for (name, value) in trailers {
        fields.push_known(*name, value.as_bytes());
    }
    let mut whole = Whole { head: &mut head, body: &mut body, trailers: &mut fields };
    filter.response_whole(&mut state, &request, &mut whole, &mut Rig::new().cx());
    (head.status, head.fields.known(Known::GrpcStatus).map(<[u8]>::to_vec))
}

#[test]
fn the_status_moves_to_the_head() {
    let message = (Known::GrpcMessage, "m");
    assert_eq!(bridged(&[(Known::GrpcStatus, "0"), message]), (200, Some(b"0".to_vec())));
    assert_eq!(bridged(&[(Known::GrpcStatus, "5"), message]), (503, Some(b"5".to_vec())));
    assert_eq!(bridged(&[(Known::GrpcStatus, "x")]), (503, Some(b"x".to_vec())));
    assert_eq!(bridged(&[]), (200, None));
}

#[test]
fn only_grpc_over_http1_is_bridged() {
    for (content_type, version, expected) in [
        ("application/grpc", Version::Http11, true),
        ("application/grpc", Version::Http10, true),
        ("application/grpc", Version::Http2, false),
        ("text/plain", Version::Http11, false),
    ] {
        assert_eq!(asked(content_type, version).1.is_some(), expected, "{content_type}");
    }
}

#[test]
fn the_query_of_a_call_can_be_left_out() {
    assert_eq!(asked("application/grpc", Version::Http2).0.path(), b"/a.B/C");
    assert_eq!(asked("text/plain", Version::Http2).0.path(), b"/a.B/C?d=e");
}
