use envoy_types::pb::envoy::config::common::mutation_rules::v3::HeaderMutation as Mutation;
use envoy_types::pb::envoy::config::common::mutation_rules::v3::header_mutation::Action;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::extensions::filters::http::header_mutation::v3::{
    HeaderMutation, Mutations,
};
use prost::Message;
use ringway_http::RequestHead;
use ringway_model::filter::{HttpFilterFactory, Step};

use super::Factory;
use crate::http::rig::Rig;

fn append(key: &str, value: &str, append_action: i32) -> Mutation {
    let header = HeaderValue { key: key.into(), value: value.into(), ..Default::default() };
    let option = HeaderValueOption { header: Some(header), append_action, ..Default::default() };
    Mutation { action: Some(Action::Append(option)) }
}

fn encoded(request_mutations: Vec<Mutation>) -> Vec<u8> {
    let mutations = Mutations { request_mutations, ..Default::default() };
    HeaderMutation { mutations: Some(mutations), ..Default::default() }.encode_to_vec()
}

#[test]
fn mutations_apply_one_after_the_other() {
    let filter = Factory
        .compile(&encoded(vec![
            append("x-a", "%CONNECTION_ID%", 0),
            append("x-b", "%REQ(x-a)%", 0),
            Mutation { action: Some(Action::Remove("x-a".into())) },
        ]))
        .expect("a filter");
    let mut head = RequestHead::new();
    head.set_method(b"GET");
    assert!(filter.interest().request_head && !filter.interest().response_head);
    let step = filter.request_head(&mut None, &mut head, &mut Rig::new().cx());
    assert!(matches!(step, Step::Continue));
    let fields: Vec<_> = head.fields.iter().collect();
    assert_eq!(fields, [(b"x-b".as_slice(), b"7".as_slice())]);
}

#[test]
fn every_error_names_its_field() {
    let errors = Factory
        .compile(&encoded(vec![append(":path", "x", 0), append("x", "%NOPE%", 0)]))
        .expect_err("two errors");
    let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "mutations.request_mutations[0].append.header.key",
            "mutations.request_mutations[1].append.header.value"
        ]
    );
}
