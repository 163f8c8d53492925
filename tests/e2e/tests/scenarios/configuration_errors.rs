//! What is wrong in a configuration is said at once, completely, and with its place.

use ringway_test_support::{Bootstrap, Launch, Make};

use crate::only_ringway;

/// What the program says about a configuration that it must refuse.
fn refusal(yaml: &str) -> String {
    let error = match Launch::new(Make::subject(), yaml).start() {
        Ok(_) => panic!("accepted:\n{yaml}"),
        Err(error) => error,
    };
    assert_eq!(error.status.and_then(|status| status.code()), Some(1), "{error}");
    error.log
}

fn all_to(cluster: &str) -> Bootstrap {
    Bootstrap::new()
        .routes("main", &format!("- {{ match: {{ prefix: / }}, route: {{ cluster: {cluster} }} }}"))
}

#[test]
fn an_unknown_field() {
    let log = refusal("admin:\n  adress: {}\n");
    assert!(log.contains("adress"), "{log}");
}

#[test]
fn broken_yaml() {
    let log = refusal("admin: [\n");
    assert!(log.contains("line 2") || log.contains(":2:"), "{log}");
}

#[test]
fn a_value_that_breaks_a_rule_of_the_api() {
    let yaml = all_to("origin").cluster("origin", &[]).to_yaml();
    let log = refusal(&yaml.replace("stat_prefix: main", "stat_prefix: ''"));
    assert!(log.contains("StatPrefix") || log.contains("stat_prefix"), "{log}");
    assert!(log.contains("at least 1"), "{log}");
}

#[test]
fn a_route_to_a_cluster_that_is_not_there() {
    let log = refusal(&all_to("nowhere").to_yaml());
    assert!(log.contains("nowhere"), "{log}");
}

#[test]
fn a_broken_regular_expression() {
    let routes = "- { match: { safe_regex: { regex: '(' } }, direct_response: { status: 200 } }";
    let log = refusal(&Bootstrap::new().routes("main", routes).to_yaml());
    assert!(log.contains("missing ): (") || log.contains("safe_regex"), "{log}");
}

#[test]
fn two_clusters_of_one_name() {
    let yaml = all_to("origin").cluster("origin", &[]).cluster("origin", &[]).to_yaml();
    assert!(refusal(&yaml).contains("origin"));
}

#[test]
fn two_equal_domains() {
    let host = "{ name: x, domains: [a.org], routes: [] }";
    let hosts = format!("- {host}\n- {}\n", host.replace("name: x", "name: two"));
    let log = refusal(&Bootstrap::new().virtual_hosts("main", &hosts).to_yaml());
    assert!(log.contains("a.org"), "{log}");
}

#[test]
fn an_unknown_extension() {
    let yaml = all_to("origin").cluster("origin", &[]).to_yaml();
    let log =
        refusal(&yaml.replace("filters.http.router.v3.Router", "filters.http.router.v3.Rooter"));
    assert!(log.contains("Rooter"), "{log}");
}

#[test]
fn all_errors_at_once_each_with_line_and_path() {
    if !only_ringway("all errors at once") {
        return;
    }
    let yaml = "admin:
  adress: {}
static_resources:
  clusters:
  - name: one
    connect_timeout: soon
    lb_policy: FASTEST
  - nam: two
  - name: three
    load_assignment: { cluster_name: three, endpoints: { lb_endpoints: { endpoint: {
      address: { socket_address: { address: not-an-ip, port_value: 80 } } } } } }
";
    let log = refusal(yaml);
    for (line, path) in [
        (2, "admin.adress"),
        (6, "static_resources.clusters[0].connect_timeout"),
        (7, "static_resources.clusters[0].lb_policy"),
        (8, "static_resources.clusters[1].nam"),
        // The compiler's, which comes after all the others.
        (11, "static_resources.clusters[2].load_assignment.endpoints[0].lb_endpoints[0].endpoint"),
    ] {
        let place = format!("config.yaml:{line}:");
        let said = log.lines().any(|said| said.contains(&place) && said.contains(path));
        assert!(said, "{place} {path} is not in\n{log}");
    }
}

#[test]
fn what_is_not_supported_yet_is_said_so() {
    if !only_ringway("not supported yet") {
        return;
    }
    let yaml = all_to("origin").cluster_with("origin", &[], "outlier_detection: {}\n").to_yaml();
    let log = refusal(&yaml);
    assert!(log.contains("not supported yet"), "{log}");
    assert!(log.contains("static_resources.clusters[0].outlier_detection"), "{log}");
}
