use envoy_types::pb::envoy::config::core::v3::GrpcMethodList;
use envoy_types::pb::envoy::config::core::v3::grpc_method_list::Service;
use envoy_types::pb::envoy::extensions::filters::http::grpc_stats::v3::FilterConfig;
use envoy_types::pb::envoy::extensions::filters::http::grpc_stats::v3::filter_config::PerMethodStatSpecifier;
use envoy_types::pb::google::protobuf::BoolValue;
use prost::Message;
use ringway_http::{Fields, Known, RequestHead, ResponseHead};
use ringway_model::filter::{End, HttpFilterFactory, Piece};

use super::Factory;
use crate::http::rig::Rig;

const MESSAGE: &[u8] = &[0, 0, 0, 0, 1, 7];

/// A call with two messages each way, that ends with this status.
fn call(rig: &mut Rig, specifier: Option<PerMethodStatSpecifier>, path: &str, status: &str) {
    let config = FilterConfig { per_method_stat_specifier: specifier, ..Default::default() };
    let filter = Factory.compile(&config.encode_to_vec()).expect("a filter");
    let (mut state, mut head) = (None, RequestHead::new());
    head.set_path(path.as_bytes());
    head.fields.push_known(Known::ContentType, b"application/grpc");
    filter.request_head(&mut state, &mut head, &mut rig.cx());
    let body = [MESSAGE, MESSAGE].concat();
    let sent = filter.request_data(&mut state, &mut Piece::new(&body), &mut rig.cx());
    assert!(sent.is_ok());
    filter.response_head(&mut state, &head, &mut ResponseHead::new(), &mut rig.cx());
    for byte in body.chunks(1) {
        filter.response_data(&mut state, &mut Piece::new(byte), &mut rig.cx());
    }
    let mut trailers = Fields::new();
    trailers.push_known(Known::GrpcStatus, status.as_bytes());
    let mut end = End { trailers: &mut trailers, tail: &mut Vec::new() };
    filter.response_end(&mut state, &mut end, &mut rig.cx());
}

#[test]
fn calls_are_counted_together() {
    let mut rig = Rig::new();
    call(&mut rig, None, "/a.B/C", "0");
    call(&mut rig, None, "/nonsense", "5");
    for (leaf, expected) in [
        ("request_message_count", 4),
        ("response_message_count", 4),
        ("0", 1),
        ("5", 1),
        ("success", 1),
        ("failure", 1),
        ("total", 2),
    ] {
        assert_eq!(rig.counter(&format!("grpc.{leaf}")), expected, "{leaf}");
    }
}

#[test]
fn methods_are_counted_apart_where_that_is_wanted() {
    let mut rig = Rig::new();
    let service = Service { name: "a.B".into(), method_names: vec!["C".into()] };
    let list = || {
        let list = GrpcMethodList { services: vec![service.clone()] };
        Some(PerMethodStatSpecifier::IndividualMethodStatsAllowlist(list))
    };
    call(&mut rig, list(), "/a.B/C", "0");
    call(&mut rig, list(), "/a.B/D", "0");
    assert_eq!((rig.counter("grpc.a.B.C.total"), rig.counter("grpc.total")), (1, 1));
    let all = PerMethodStatSpecifier::StatsForAllMethods(BoolValue { value: true });
    call(&mut rig, Some(all), "/a.B/D", "0");
    assert_eq!((rig.counter("grpc.a.B.D.success"), rig.counter("grpc.total")), (1, 1));
}

#[test]
fn what_is_not_grpc_is_not_counted() {
    let mut rig = Rig::new();
    let filter = Factory.compile(&[]).expect("a filter");
    let (mut state, mut head) = (None, RequestHead::new());
    filter.request_head(&mut state, &mut head, &mut rig.cx());
    filter.response_data(&mut state, &mut Piece::new(MESSAGE), &mut rig.cx());
    assert!(state.is_none());
    assert_eq!(rig.counter("grpc.response_message_count"), 0);
}
