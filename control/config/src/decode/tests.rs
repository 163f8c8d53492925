use expect_test::{Expect, expect};

use super::*;
use crate::descriptors;
use crate::source::Source;

/// Decodes YAML as a Cluster and prints the message as proto-JSON, then the errors.
fn check(yaml: &str, expected: Expect) {
    expected.assert_eq(&decoded("envoy.config.cluster.v3.Cluster", yaml));
}

fn decoded(name: &str, yaml: &str) -> String {
    let tree = Source::inline(yaml).parse(0).unwrap();
    let mut findings = Findings::default();
    let message = decode(&tree, &descriptors::message(name).unwrap(), &mut findings);
    let mut out = crate::print::compact(&message);
    for error in findings.into_errors(&["x".to_owned()]) {
        out += &format!("\n{error}");
    }
    out
}

#[test]
fn both_spellings_of_a_field() {
    check(
        "{name: a, connectTimeout: 0.25s, lb_policy: random}",
        expect![[r#"{"name":"a","connect_timeout":"0.250s","lb_policy":"RANDOM"}"#]],
    );
}

#[test]
fn all_errors_at_once_each_in_its_place() {
    check(
        "name: 5\nlb_polcy: MAGLEV\nlb_policy: MAGLEW\nconnect_timeout: 1\n\
         load_assignment:\n  endpoints:\n  - priorty: 1\n  - lb_endpoints: {a: 1}\n",
        expect![[r#"
            {"load_assignment":{"endpoints":[{},{"lb_endpoints":[{}]}]}}
            x:1:7: name: expected a string, found a number; put it in quotes
            x:2:1: lb_polcy: unknown field (did you mean "lb_policy"?)
            x:3:12: lb_policy: unknown enum value "MAGLEW" (did you mean "MAGLEV"?)
            x:4:18: connect_timeout: expected a duration such as "1.5s", found a number
            x:7:5: load_assignment.endpoints[0].priorty: unknown field (did you mean "priority"?)
            x:8:20: load_assignment.endpoints[1].lb_endpoints[0].a: unknown field of envoy.config.endpoint.v3.LbEndpoint"#]],
    );
}

#[test]
fn one_of_a_oneof() {
    check(
        "{type: STATIC, cluster_type: {name: x}}",
        expect![[r#"
        {"type":"STATIC"}
        x:1:16: cluster_type: cannot stand beside "type": only one of the two may be set"#]],
    );
    check(
        "{connect_timeout: 1s, connectTimeout: 2s}",
        expect![[r#"
        {"connect_timeout":"1s"}
        x:1:23: connect_timeout: given twice, once in snake_case and once in camelCase"#]],
    );
}

#[test]
fn numbers_in_all_forms() {
    for text in ["16", "0x10", "020", "'16'", "'0x10'", "16.0", "1.6e1", "+16", "{value: 16}"] {
        let got = decoded(
            "envoy.config.cluster.v3.Cluster",
            &format!("max_requests_per_connection: {text}"),
        );
        assert_eq!(got, r#"{"max_requests_per_connection":16}"#, "{text}");
    }
    for text in ["12.5", "-1", "4294967296", "true", "''", "' 12'", "1_000", "[1]"] {
        let got = decoded(
            "envoy.config.cluster.v3.Cluster",
            &format!("max_requests_per_connection: {text}"),
        );
        assert!(got.contains("max_requests_per_connection: "), "{text}: {got}");
    }
}

#[test]
fn structs_keep_what_yaml_says() {
    check(
        "metadata: {filter_metadata: {x: {a: 1, b: 1.5, c: yes, d: ~, e: [1, {f: g}]}, y: ~}}",
        expect![[
            r#"{"metadata":{"filter_metadata":{"x":{"a":1,"b":"1.5","c":true,"d":null,"e":[1,{"f":"g"}]},"y":{}}}}"#
        ]],
    );
}

#[test]
fn any_is_decoded_through() {
    check(
        "transport_socket:\n  name: t\n  typed_config:\n    \
         '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\n    \
         sni: example.com\n    common_tls_context: {tls_prams: {}}\n",
        expect![[r#"
            {"transport_socket":{"name":"t","typed_config":{"@type":"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext","common_tls_context":{},"sni":"example.com"}}}
            x:6:26: transport_socket.typed_config.common_tls_context.tls_prams: unknown field (did you mean "tls_params"?)"#]],
    );
}

#[test]
fn any_needs_a_type_that_exists() {
    let any = |body: &str| format!("typed_extension_protocol_options: {{x: {body}}}");
    check(
        &any("{a: b}"),
        expect![[r#"
        {}
        x:1:39: typed_extension_protocol_options["x"]: missing @type"#]],
    );
    check(&any("{}"), expect![[r#"{"typed_extension_protocol_options":{"x":{}}}"#]]);
    check(
        &any("{'@type': no.such.Type}"),
        expect![[r#"
        {}
        x:1:49: typed_extension_protocol_options["x"]: @type must be a URL such as "type.googleapis.com/...""#]],
    );
    check(
        &any("{'@type': type.googleapis.com/envoy.config.cluster.v3.Clutser}"),
        expect![[r#"
        {}
        x:1:49: typed_extension_protocol_options["x"]: unknown type "envoy.config.cluster.v3.Clutser" (did you mean "envoy.config.cluster.v3.Cluster"?)"#]],
    );
    check(
        &any("{'@type': type.googleapis.com/google.protobuf.Duration, value: 1s}"),
        expect![[
            r#"{"typed_extension_protocol_options":{"x":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"}}}"#
        ]],
    );
}

#[test]
fn typed_struct_is_unwrapped() {
    check(
        "typed_extension_protocol_options:\n  x:\n    \
         '@type': type.googleapis.com/udpa.type.v1.TypedStruct\n    \
         type_url: type.googleapis.com/envoy.config.cluster.v3.Cluster\n    \
         value: {name: inner, conect_timeout: 1s}\n",
        expect![[r#"
            {"typed_extension_protocol_options":{"x":{"@type":"type.googleapis.com/envoy.config.cluster.v3.Cluster","name":"inner"}}}
            x:5:26: typed_extension_protocol_options["x"].conect_timeout: unknown field (did you mean "connect_timeout"?)"#]],
    );
}

#[test]
fn lenient_where_envoy_is() {
    check(
        "{health_checks: {timeout: 1s}, respect_dns_ttl: 'YES', name: ~}",
        expect![[r#"{"health_checks":[{"timeout":"1s"}],"respect_dns_ttl":true}"#]],
    );
    check("{health_checks: [~], dns_resolvers: ~}", expect![[r#"{"health_checks":[{}]}"#]]);
}

#[test]
fn bytes_in_both_alphabets() {
    for (text, good) in [("aGk", true), ("aGk=", true), ("a-_/", true), ("!!", false)] {
        let got = decoded("envoy.config.core.v3.DataSource", &format!("inline_bytes: '{text}'"));
        assert_eq!(!got.contains("corrupt base64"), good, "{text}: {got}");
    }
}
