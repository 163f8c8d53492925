use expect_test::{Expect, expect};

use super::*;
use crate::print;

fn source(name: &str, text: &str) -> Source {
    Source { name: name.to_owned(), text: text.to_owned(), format: crate::Format::Yaml }
}

/// The merged message as JSON, or the errors, one a line.
fn outcome(sources: &[Source]) -> String {
    match read(sources, &Support::built_in()) {
        Ok(loaded) => print::compact(&loaded.message),
        Err(refused) => {
            let errors = Vec::from(refused);
            errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        }
    }
}

fn check(sources: &[Source], expected: Expect) {
    expected.assert_eq(&outcome(sources));
}

#[test]
fn overlay_is_merged_as_protobuf_merges() {
    let base = "
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}
node: {id: a, cluster: b}
static_resources: {clusters: [{name: one, connect_timeout: 5s}]}
";
    let overlay = "
admin: {address: {socket_address: {address: '::1', port_value: 0}}}
node: {id: c, cluster: ''}
staticResources: {clusters: [{name: two}]}
";
    check(
        &[source("base.yaml", base), Source::inline(overlay)],
        expect![[
            r#"{"node":{"id":"c","cluster":"b"},"static_resources":{"clusters":[{"name":"one","connect_timeout":"5s"},{"name":"two"}]},"admin":{"address":{"socket_address":{"address":"::1","port_value":0}}}}"#
        ]],
    );
}

#[test]
fn errors_after_a_merge_know_their_file() {
    let base = "static_resources:\n  clusters:\n  - name: one\n";
    let overlay = "static_resources:\n  clusters:\n  - name: ''\n    type: EDS\n";
    check(
        &[source("base.yaml", base), Source::inline(overlay)],
        expect![[r#"
        --config-yaml:3:5: static_resources.clusters[1].name: value length must be at least 1 characters
        --config-yaml:4:5: not supported yet: static_resources.clusters[1].type: EDS"#]],
    );
}

#[test]
fn all_sorts_of_errors_in_one_go() {
    let text = "
static_resources:
  listeners:
  - name: l
    adress: {socket_address: {address: 0.0.0.0, port_value: 99999}}
    api_listener: {}
  clusters:
  - name: ''
    type: EDS
    connect_timeout: 0s
    lb_policy: RUNDOM
";
    check(
        &[source("envoy.yaml", text)],
        expect![[r#"
        envoy.yaml:5:5: static_resources.listeners[0].adress: unknown field (did you mean "address"?)
        envoy.yaml:6:5: not supported yet: static_resources.listeners[0].api_listener
        envoy.yaml:8:5: static_resources.clusters[0].name: value length must be at least 1 characters
        envoy.yaml:9:5: not supported yet: static_resources.clusters[0].type: EDS
        envoy.yaml:10:5: static_resources.clusters[0].connect_timeout: value must be greater than 0s
        envoy.yaml:11:16: static_resources.clusters[0].lb_policy: unknown enum value "RUNDOM" (did you mean "RANDOM"?)"#]],
    );
}

#[test]
fn broken_text_is_the_only_error() {
    check(
        &[source("a.yaml", "a: [}"), source("b.yaml", "x: 1")],
        expect!["a.yaml:1:5: while parsing a node, did not find expected node content"],
    );
    check(&[source("a.yaml", "")], expect!["a.yaml: the document is empty"]);
    check(
        &[source("a.yaml", "hello")],
        expect!["a.yaml:1:1: expected a map with the fields of Bootstrap, found a string"],
    );
}

#[test]
fn nothing_is_an_empty_bootstrap() {
    check(&[], expect!["{}"]);
}

#[test]
fn bootstrap_is_typed() {
    let text = "static_resources: {clusters: [{name: one, type: STRICT_DNS}]}";
    let loaded = read(&[source("a.yaml", text)], &Support::built_in()).unwrap();
    let clusters = loaded.bootstrap.static_resources.unwrap().clusters;
    assert_eq!(clusters[0].name, "one");
}

/// Text within its own bound of depth must not fall through the one that protobuf has for bytes.
#[test]
fn deep_values_are_read_or_refused() {
    let nested = |depth: usize| format!("{}1{}", "{a: ".repeat(depth), "}".repeat(depth));
    let plain = |depth| format!("node: {{metadata: {}}}", nested(depth));
    let in_any = |depth| {
        let any = "'@type': type.googleapis.com/envoy.config.core.v3.Node";
        let metadata = nested(depth);
        format!("admin: {{access_log: [{{typed_config: {{{any}, metadata: {metadata}}}}}]}}")
    };
    for depth in [10, 30] {
        assert_eq!(errors_of(&plain(depth)), Vec::<String>::new());
        assert!(errors_of(&in_any(depth))[0].contains("not supported yet"));
    }
    for depth in [60, 90, 94] {
        for text in [plain(depth), in_any(depth)] {
            let errors = errors_of(&text);
            assert!(errors[0].ends_with(decode::TOO_DEEP), "{depth}: {errors:?}");
        }
    }
    assert!(errors_of(&plain(101))[0].ends_with("nested deeper than 100 levels"));
}

fn errors_of(text: &str) -> Vec<String> {
    let refused = read(&[source("a.yaml", text)], &Support::built_in()).err();
    refused.map(Vec::from).unwrap_or_default().iter().map(ToString::to_string).collect()
}
