use expect_test::{Expect, expect};
use prost_reflect::FieldDescriptor;

use super::*;
use crate::descriptors::POOL;
use crate::source::Source;

/// The violations in a YAML of the given type.
fn check(name: &str, yaml: &str, expected: Expect) {
    let tree = Source::inline(yaml).parse(0).unwrap();
    let mut decoded = Findings::default();
    let message = crate::decode::decode(&tree, &descriptors::message(name).unwrap(), &mut decoded);
    let findings = validate(&message, &tree, &decoded);
    let errors = findings.into_errors(&["x".to_owned()]);
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn ranges_lengths_and_enums() {
    check(
        "envoy.config.cluster.v3.Cluster",
        "name: ''\nlb_policy: 99\nconnect_timeout: 0s\n\
         common_lb_config: {healthy_panic_threshold: {value: 101}}\n\
         dns_refresh_rate: 0.0001s\n",
        expect![[r#"
            x:1:1: name: value length must be at least 1 characters
            x:2:1: lb_policy: value must be one of the defined enum values
            x:3:1: connect_timeout: value must be greater than 0s
            x:4:46: common_lb_config.healthy_panic_threshold.value: value must be inside range [0, 100]
            x:5:1: dns_refresh_rate: value must be greater than 0.001s"#]],
    );
}

#[test]
fn required_fields_and_oneofs() {
    check(
        "envoy.config.listener.v3.Listener",
        "address: {socket_address: {address: a}}\nfilter_chains:\n- filters:\n  - {name: x}\n  \
         - {}\n",
        expect![[r#"
            x:1:11: address.socket_address.port_specifier: value is required: one of port_value, named_port
            x:5:5: filter_chains[0].filters[1].name: value length must be at least 1 characters"#]],
    );
    check(
        "envoy.config.core.v3.Address",
        "{}",
        expect![
            "x:1:1: address: value is required: one of socket_address, pipe, envoy_internal_address"
        ],
    );
}

#[test]
fn wrappers_are_checked_inside() {
    check(
        "envoy.config.listener.v3.Listener",
        "{address: {pipe: {path: /x}}, tcp_backlog_size: 0, per_connection_buffer_limit_bytes: 0}",
        expect![[""]],
    );
    check(
        "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash",
        "{minimum_ring_size: 0, maximum_ring_size: 8388609}",
        expect![[r#"
            x:1:2: minimum_ring_size: value must be inside range [1, 8388608]
            x:1:24: maximum_ring_size: value must be less than or equal to 8388608"#]],
    );
}

#[test]
fn typed_configs_are_checked_inside() {
    check(
        "envoy.config.core.v3.TransportSocket",
        "name: t\ntyped_config:\n  \
         '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\n  \
         sni: example.com\n  max_session_keys: 1\n  common_tls_context: {tls_params: \
         {tls_maximum_protocol_version: 9}}\n",
        expect![
            "x:6:37: typed_config.common_tls_context.tls_params.tls_maximum_protocol_version: value must be one of the defined enum values"
        ],
    );
}

#[test]
fn header_names() {
    check(
        "envoy.config.core.v3.HeaderValueOption",
        "{header: {key: \"a\\nb\", value: x}}",
        expect![[r#"x:1:11: header.key: value must be a valid HTTP header name: "a\nb""#]],
    );
    check(
        "envoy.config.core.v3.HeaderValueOption",
        "{}",
        expect!["x:1:1: header: value is required"],
    );
}

#[test]
fn what_did_not_decode_is_not_reported_twice() {
    check("envoy.config.cluster.v3.Cluster", "{name: 5}", expect![[""]]);
}

/// Walks all rules of the API: each must be one that is enforced here.
#[test]
fn every_rule_of_the_api_is_known() {
    let mut count = 0;
    for message in POOL.all_messages() {
        for field in message.fields() {
            if let Some(rules) = compiled::rules_of(&field) {
                count += 1;
                assert_known(&field, &rules);
            }
        }
    }
    assert!(count > 1000, "only {count} fields with rules: are the options gone?");
}

fn assert_known(field: &FieldDescriptor, rules: &FieldRules) {
    let name = field.full_name();
    match &rules.r#type {
        Some(Type::String(rules)) => {
            let pattern = rules.pattern.as_deref().unwrap_or("");
            assert!(text::compile(pattern).is_some(), "{name}: pattern {pattern}");
        }
        Some(Type::Bytes(rules)) => {
            assert!(rules.pattern.is_none() && rules.well_known.is_none(), "{name}");
            assert!(rules.r#in.is_empty() && rules.not_in.is_empty(), "{name}");
        }
        Some(Type::Map(rules)) => assert!(!rules.no_sparse(), "{name}: no_sparse"),
        Some(Type::Timestamp(rules)) => {
            assert_eq!(rules, &Default::default(), "{name}: timestamp rules")
        }
        _ => {}
    }
}

#[test]
fn a_member_of_a_oneof_that_is_written_wrongly_is_not_called_missing() {
    check("envoy.config.core.v3.SocketAddress", "address: a\nport_value: abc\n", expect![""]);
}
