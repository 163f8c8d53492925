use std::path::Path as FilePath;

use expect_test::{expect, expect_file};

use super::*;
use crate::findings::Findings;
use crate::source::Source;

#[test]
fn tables_name_only_what_the_api_has() {
    let mut names = Vec::new();
    for message in AREAS.iter().flat_map(|area| area.messages) {
        let descriptor = crate::descriptors::message(message.name);
        let descriptor = descriptor.unwrap_or_else(|| panic!("no message {}", message.name));
        assert!(!names.contains(&message.name), "{} is listed twice", message.name);
        names.push(message.name);
        for field in message.fields {
            let found = descriptor.get_field_by_name(field.name);
            let found = found.unwrap_or_else(|| panic!("{}.{}", message.name, field.name));
            values_exist(&found, field);
        }
    }
}

fn values_exist(descriptor: &prost_reflect::FieldDescriptor, field: &Field) {
    match field.accept {
        Accept::Only(values) => {
            let kind = descriptor.kind();
            let kind = kind.as_enum().expect("only enums are restricted so far");
            for value in values {
                assert!(kind.get_value_by_name(value).is_some(), "{}: {value}", field.name);
            }
        }
        Accept::Types(types) => {
            for name in types {
                let listed = AREAS.iter().flat_map(|area| area.messages).any(|m| m.name == *name);
                assert!(listed, "{name} has no table");
            }
        }
        Accept::All | Accept::HttpFilters | Accept::RouteConfigs => {}
    }
}

/// A supported field that holds a message needs a table for that message, or nobody can set it.
#[test]
fn every_supported_message_has_a_table() {
    let support = Support::built_in();
    for message in AREAS.iter().flat_map(|area| area.messages) {
        let descriptor = crate::descriptors::message(message.name).unwrap();
        for field in message.fields {
            let kind = descriptor.get_field_by_name(field.name).unwrap().kind();
            if let Some(inner) = kind.as_message().filter(|m| !m.is_map_entry()) {
                let known = inner.package_name() == "google.protobuf"
                    || support.fields(inner.full_name()).is_some();
                assert!(known, "{}.{}: {}", message.name, field.name, inner.full_name());
            }
        }
    }
}

fn unsupported(support: &Support, yaml: &str) -> String {
    let tree = Source::inline(yaml).parse(0).unwrap();
    let mut decoded = Findings::default();
    let bootstrap = crate::descriptors::message("envoy.config.bootstrap.v3.Bootstrap").unwrap();
    let message = crate::decode::decode(&tree, &bootstrap, &mut decoded);
    let findings = check(support, &message, &tree, &decoded);
    let errors = findings.into_errors(&["x".to_owned()]);
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_not_built_is_refused_by_path() {
    let yaml = "
static_resources:
  clusters:
  - name: a
    type: EDS
    lb_policy: MAGLEV
    outlier_detection: {interval: 1s, base_ejection_time: 1s}
    load_balancing_policy:
      policies:
      - typed_extension_config:
          name: x
          typed_config:
            '@type': type.googleapis.com/envoy.extensions.load_balancing_policies.maglev.v3.Maglev
  listeners:
  - name: l
    api_listener: {}
dynamic_resources: {}
";
    expect![[r#"
        x:5:5: not supported yet: static_resources.clusters[0].type: EDS
        x:7:5: not supported yet: static_resources.clusters[0].outlier_detection
        x:16:5: not supported yet: static_resources.listeners[0].api_listener
        x:17:1: not supported yet: dynamic_resources"#]]
    .assert_eq(&unsupported(&Support::built_in(), yaml));
}

#[test]
fn filters_come_from_outside() {
    let yaml = "
static_resources:
  listeners:
  - filter_chains:
    - filters:
      - name: hcm
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          http_filters:
          - name: cors
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer
              max_request_bytes: 10
";
    expect!["x:11:13: not supported yet: static_resources.listeners[0].filter_chains[0].filters[0].typed_config.http_filters[0].typed_config: the extension envoy.extensions.filters.http.buffer.v3.Buffer"].assert_eq(&unsupported(&Support::built_in(), yaml));
    const BUFFER: &str = "envoy.extensions.filters.http.buffer.v3.Buffer";
    let with = Support::built_in().with_http_filter(BUFFER, &[(BUFFER, &["max_request_bytes"])]);
    expect![[""]].assert_eq(&unsupported(&with, yaml));
}

#[test]
fn parity_page_is_fresh() {
    let page = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/parity.md");
    expect_file![page].assert_eq(&parity_markdown());
}
