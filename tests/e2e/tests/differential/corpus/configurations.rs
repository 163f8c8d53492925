//! Which configurations are taken and which are refused: `--mode validate` of both programs.

mod http2;
mod tls;

use std::fmt::Write;
use std::thread;

use ringway_test_support::{Bootstrap, Make, envoy, run_to_end, skip};

/// A bootstrap with these routes, and the cluster `a`.
fn routes(routes: &str) -> String {
    let a = "127.0.0.1:1".parse().expect("an address");
    Bootstrap::new().routes("main", routes).cluster("a", &[a]).to_yaml()
}

fn route(matching: &str, rest: &str) -> String {
    routes(&format!("- match: {{ {matching} }}\n  {rest}\n"))
}

fn matching(matching: &str) -> String {
    route(matching, "route: { cluster: a }")
}

fn action(action: &str) -> String {
    route("prefix: /", action)
}

/// A bootstrap whose listener has this list of HTTP filters.
fn filters(filters: &str) -> String {
    let yaml = action("route: { cluster: a }");
    let start = yaml.find("          http_filters:").expect("filters");
    let end = yaml.find("          route_config").expect("routes");
    format!("{}          http_filters: {filters}\n{}", &yaml[..start], &yaml[end..])
}

/// A bootstrap with one cluster of these fields, and no listener.
fn cluster(fields: &str) -> String {
    format!("static_resources: {{ clusters: [{{ {fields} }}] }}\n")
}

fn manager(fields: &str) -> String {
    let a = "127.0.0.1:1".parse().expect("an address");
    Bootstrap::new().http("main", fields).cluster("a", &[a]).to_yaml()
}

const ROUTER: &str = "{ name: router, typed_config: { '@type': \
                      type.googleapis.com/envoy.extensions.filters.http.router.v3.Router } }";

fn yaml_itself() -> Vec<(&'static str, String)> {
    let good = action("route: { cluster: a }");
    vec![
        ("the plain one", good.clone()),
        ("empty", String::new()),
        ("only a comment", "# nothing\n".into()),
        ("null", "~\n".into()),
        ("a list", "- a\n".into()),
        ("a scalar", "hello\n".into()),
        ("an unclosed list", "admin: [\n".into()),
        ("an unclosed quote", "admin: 'x\n".into()),
        ("a tab as indentation", "admin:\n\taddress: {}\n".into()),
        ("two documents", format!("{good}---\n{good}")),
        ("a document mark", format!("---\n{good}")),
        ("an unknown field at the top", format!("bogus: 1\n{good}")),
        ("an unknown field below", good.replace("stat_prefix:", "stat_prefiks:")),
        ("a field twice", format!("{good}\nstatic_resources: {{}}\n")),
        ("null for a message", "admin: ~\n".into()),
        ("null for a scalar", cluster("name: c, lb_policy: ~")),
        (
            "anchor and alias",
            "static_resources: { clusters: [&c { name: c }] }\nnode: \
                              { metadata: { x: *c } }\n"
                .into(),
        ),
        ("camelCase", good.replace("stat_prefix", "statPrefix")),
        ("both cases of one field", cluster("name: c, lb_policy: RANDOM, lbPolicy: RANDOM")),
        ("a map for a list", "static_resources: { clusters: { name: c } }\n".into()),
        ("a list for a map", "static_resources: [1]\n".into()),
        ("a scalar for a message", "admin: 5\n".into()),
        ("a message for a scalar", cluster("name: { x: 1 }")),
    ]
}

fn scalars() -> Vec<(&'static str, String)> {
    let timeout = |value: &str| cluster(&format!("name: c, connect_timeout: {value}"));
    let backlog = |value: &str| {
        let yaml = action("route: { cluster: a }");
        yaml.replace("- name: main\n", &format!("- name: main\n    tcp_backlog_size: {value}\n"))
    };
    let flag =
        |value: &str| manager(&format!("generate_request_id: {value}\nroute_config: {{}}\n"));
    vec![
        ("duration 1.5s", timeout("1.5s")),
        ("duration 1s in quotes", timeout("'1s'")),
        ("duration without unit", timeout("5")),
        ("duration in ms", timeout("5ms")),
        ("duration of words", timeout("soon")),
        ("duration negative", timeout("-1s")),
        ("duration zero", timeout("0s")),
        ("duration 10 digits of nanos", timeout("0.1234567891s")),
        ("duration with a plus", timeout("+1s")),
        ("duration .5s", timeout(".5s")),
        ("duration 1.s", timeout("1.s")),
        ("duration as a map", timeout("{ seconds: 1 }")),
        ("number", backlog("5")),
        ("number as a string", backlog("'5'")),
        ("number hexadecimal", backlog("0x10")),
        ("number octal", backlog("010")),
        ("number negative", backlog("-1")),
        ("number 5.0", backlog("5.0")),
        ("number 5.5", backlog("5.5")),
        ("number 1e2", backlog("1e2")),
        ("number too large", backlog("4294967296")),
        ("number with blank", backlog("'5 '")),
        ("number of words", backlog("many")),
        ("number true", backlog("true")),
        ("flag true", flag("true")),
        ("flag True", flag("True")),
        ("flag yes", flag("yes")),
        ("flag y", flag("y")),
        ("flag on", flag("on")),
        ("flag 1", flag("1")),
        ("flag in quotes", flag("'true'")),
        ("enum", cluster("name: c, lb_policy: RANDOM")),
        ("enum small", cluster("name: c, lb_policy: random")),
        ("enum by number", cluster("name: c, lb_policy: 3")),
        ("enum by unknown number", cluster("name: c, lb_policy: 99")),
        ("enum by a number in quotes", cluster("name: c, lb_policy: '3'")),
        ("enum unknown", cluster("name: c, lb_policy: FASTEST")),
        ("string from a number", cluster("name: 5")),
        ("string from a flag", cluster("name: true")),
        ("string from null", cluster("name: ~")),
    ]
}

fn clusters() -> Vec<(&'static str, String)> {
    let endpoint = |socket: &str| {
        cluster(&format!(
            "name: c, load_assignment: {{ cluster_name: c, endpoints: [{{ lb_endpoints: [{{ endpoint: \
             {{ address: {{ socket_address: {{ {socket} }} }} }} }}] }}] }}"
        ))
    };
    vec![
        ("cluster without name", cluster("lb_policy: RANDOM")),
        ("cluster with empty name", cluster("name: ''")),
        ("cluster with only a name", cluster("name: c")),
        (
            "two clusters of one name",
            "static_resources: { clusters: [{ name: c }, { name: c }] }".into(),
        ),
        ("assignment of another name", cluster("name: c, load_assignment: { cluster_name: d }")),
        ("assignment without name", cluster("name: c, load_assignment: { endpoints: [] }")),
        ("STRICT_DNS without assignment", cluster("name: c, type: STRICT_DNS")),
        ("EDS without source", cluster("name: c, type: EDS")),
        ("type unknown", cluster("name: c, type: DYNAMIC")),
        ("endpoint by address", endpoint("address: 127.0.0.1, port_value: 80")),
        ("endpoint by IPv6", endpoint("address: '::1', port_value: 80")),
        ("endpoint by name in STATIC", endpoint("address: localhost, port_value: 80")),
        ("endpoint without port", endpoint("address: 127.0.0.1")),
        ("endpoint with port 0", endpoint("address: 127.0.0.1, port_value: 0")),
        ("endpoint with port 65536", endpoint("address: 127.0.0.1, port_value: 65536")),
        ("endpoint without address", endpoint("port_value: 80")),
        ("endpoint with UDP", endpoint("protocol: UDP, address: 127.0.0.1, port_value: 80")),
        (
            "weight 0",
            cluster(
                "name: c, load_assignment: { cluster_name: c, endpoints: [{ lb_endpoints: \
            [{ load_balancing_weight: 0, endpoint: { address: { socket_address: { address: 127.0.0.1, \
            port_value: 1 } } } }] }] }",
            ),
        ),
        (
            "choice count 1",
            cluster(
                "name: c, lb_policy: LEAST_REQUEST, least_request_lb_config: \
                                    { choice_count: 1 }",
            ),
        ),
        (
            "breaker twice for one priority",
            cluster(
                "name: c, circuit_breakers: { thresholds: \
            [{ max_requests: 1 }, { max_requests: 2 }] }",
            ),
        ),
        ("breaker", cluster("name: c, circuit_breakers: { thresholds: [{ max_requests: 1 }] }")),
    ]
}

fn listeners() -> Vec<(&'static str, String)> {
    let good = action("route: { cluster: a }");
    let listener = |yaml: &str| format!("static_resources: {{ listeners: [{{ {yaml} }}] }}\n");
    let address = "address: { socket_address: { address: 127.0.0.1, port_value: 0 } }";
    let unknown = "'@type': type.googleapis.com/envoy.bogus.v3.Bogus";
    vec![
        ("listener without address", listener("name: l, filter_chains: [{}]")),
        ("listener without chains", listener(&format!("name: l, {address}"))),
        (
            "listener with an empty chain",
            listener(&format!("name: l, {address}, filter_chains: [{{}}]")),
        ),
        (
            "listener by name of host",
            good.replace("\"127.0.0.1\", port_value: 0", "localhost, port_value: 0"),
        ),
        ("two equal chains", listener(&format!("name: l, {address}, filter_chains: [{{}}, {{}}]"))),
        (
            "prefix length 33",
            listener(&format!(
                "name: l, {address}, filter_chains: [{{ \
            filter_chain_match: {{ prefix_ranges: [{{ address_prefix: 10.0.0.0, prefix_len: 33 }}] }} }}]"
            )),
        ),
        (
            "filter without config",
            listener(&format!(
                "name: l, {address}, filter_chains: [{{ filters: \
            [{{ name: x }}] }}]"
            )),
        ),
        (
            "filter of unknown type",
            listener(&format!(
                "name: l, {address}, filter_chains: [{{ filters: \
            [{{ name: x, typed_config: {{ {unknown} }} }}] }}]"
            )),
        ),
        ("no stat_prefix", good.replace("stat_prefix: main\n", "server_name: x\n")),
        ("no route source", manager("server_name: x")),
        ("empty route_config", manager("route_config: {}")),
        (
            "two route sources",
            manager(
                "route_config: {}\nrds: { route_config_name: x, config_source: \
                                       { ads: {} } }",
            ),
        ),
        ("no HTTP filter", filters("[]")),
        ("router twice", filters(&format!("[{ROUTER}, {ROUTER}]"))),
        (
            "HTTP filter of unknown type",
            filters(&format!("[{{ name: x, typed_config: {{ {unknown} }} }}]")),
        ),
        ("HTTP filter without config", filters("[{ name: envoy.filters.http.router }]")),
        ("max_request_headers_kb 0", manager("max_request_headers_kb: 0\nroute_config: {}")),
        ("max_request_headers_kb 9000", manager("max_request_headers_kb: 9000\nroute_config: {}")),
        (
            "header count 0",
            manager(
                "common_http_protocol_options: { max_headers_count: 0 }\n\
                                    route_config: {}",
            ),
        ),
        ("server name with a line break", manager("server_name: \"a\\nb\"\nroute_config: {}")),
        ("via with a line break", manager("via: \"a\\nb\"\nroute_config: {}")),
    ]
}

fn routings() -> Vec<(&'static str, String)> {
    let hosts = |hosts: &str| manager(&format!("route_config: {{ virtual_hosts: [{hosts}] }}"));
    let add = |key: &str, value: &str| {
        route(
            "prefix: /",
            &format!(
                "route: {{ cluster: a }}\n  request_headers_to_add: \
            [{{ header: {{ key: {key}, value: {value} }} }}]"
            ),
        )
    };
    vec![
        ("route to nowhere", action("route: { cluster: nowhere }")),
        ("route without cluster", action("route: { timeout: 1s }")),
        ("route without action", route("prefix: /", "name: x")),
        ("route without match", routes("- route: { cluster: a }")),
        ("match without path", matching("headers: [{ name: x }]")),
        ("two paths", matching("prefix: /, path: /")),
        ("prefix without slash", matching("prefix: x")),
        ("empty prefix", matching("prefix: ''")),
        ("path_separated_prefix with slash at the end", matching("path_separated_prefix: /x/")),
        ("path_separated_prefix with query", matching("path_separated_prefix: '/x?y'")),
        ("path with query", matching("path: '/x?y'")),
        ("regex broken", matching("safe_regex: { regex: '(' }")),
        ("regex empty", matching("safe_regex: { regex: '' }")),
        ("regex with look-ahead", matching("safe_regex: { regex: '/(?=x)' }")),
        ("regex with back-reference", matching(r"safe_regex: { regex: '/(x)\1' }")),
        ("header without name", matching("prefix: /, headers: [{ present_match: true }]")),
        ("header of a name that is none", matching("prefix: /, headers: [{ name: \"a\\nb\" }]")),
        ("header with name only", matching("prefix: /, headers: [{ name: x }]")),
        (
            "header range",
            matching("prefix: /, headers: [{ name: x, range_match: { start: 5, end: 1 } }]"),
        ),
        ("query without name", matching("prefix: /, query_parameters: [{ present_match: true }]")),
        ("weights", action("route: { weighted_clusters: { clusters: [{ name: a, weight: 1 }] } }")),
        (
            "weights of zero",
            action("route: { weighted_clusters: { clusters: [{ name: a, weight: 0 }] } }"),
        ),
        ("weights of nobody", action("route: { weighted_clusters: { clusters: [] } }")),
        (
            "weights beyond 32 bits",
            action(
                "route: { weighted_clusters: { clusters: \
            [{ name: a, weight: 4294967295 }, { name: a, weight: 4294967295 }] } }",
            ),
        ),
        (
            "weights without name",
            action("route: { weighted_clusters: { clusters: [{ weight: 1 }] } }"),
        ),
        (
            "weights to nowhere",
            action(
                "route: { weighted_clusters: { clusters: \
            [{ name: nowhere, weight: 1 }] } }",
            ),
        ),
        ("cluster and weights", action("route: { cluster: a, cluster_header: x }")),
        (
            "two rewrites",
            action(
                "route: { cluster: a, prefix_rewrite: /x, regex_rewrite: { pattern: \
            { regex: x }, substitution: z } }",
            ),
        ),
        (
            "two host rewrites",
            action("route: { cluster: a, host_rewrite_literal: x, host_rewrite_header: z }"),
        ),
        (
            "rewrite with broken regex",
            action(
                "route: { cluster: a, regex_rewrite: { pattern: \
            { regex: '(' }, substitution: z } }",
            ),
        ),
        (
            "rewrite with a group that is not there",
            action(
                "route: { cluster: a, regex_rewrite: { pattern: \
            { regex: x }, substitution: '\\1' } }",
            ),
        ),
        ("redirect empty", action("redirect: {}")),
        ("redirect with two paths", action("redirect: { path_redirect: /x, prefix_rewrite: /y }")),
        (
            "redirect with two schemes",
            action("redirect: { https_redirect: true, scheme_redirect: x }"),
        ),
        ("direct response", action("direct_response: { status: 200 }")),
        ("direct response 99", action("direct_response: { status: 99 }")),
        ("direct response 199", action("direct_response: { status: 199 }")),
        ("direct response 600", action("direct_response: { status: 600 }")),
        (
            "direct response too long",
            action(&format!(
                "direct_response: {{ status: 200, body: {{ \
            inline_string: {} }} }}",
                "x".repeat(4097)
            )),
        ),
        (
            "direct response of a missing file",
            action(
                "direct_response: { status: 200, body: { filename: \
            /nowhere } }",
            ),
        ),
        ("virtual host without name", hosts("{ domains: ['*'] }")),
        ("virtual host without domains", hosts("{ name: x }")),
        (
            "virtual hosts of one name",
            hosts("{ name: x, domains: [a] }, { name: x, domains: [b] }"),
        ),
        ("one domain twice", hosts("{ name: x, domains: [a] }, { name: two, domains: [a] }")),
        (
            "one domain twice in another case",
            hosts("{ name: x, domains: [a] }, { name: two, domains: [A] }"),
        ),
        ("two catch-alls", hosts("{ name: x, domains: ['*'] }, { name: two, domains: ['*'] }")),
        ("domain empty", hosts("{ name: x, domains: [''] }")),
        ("domain with star in the middle", hosts("{ name: x, domains: ['a*b'] }")),
        ("header added", add("x-a", "b")),
        ("header added without key", add("''", "b")),
        ("header added with bad key", add("\"a b\"", "b")),
        ("header added with line break", add("x-a", "\"b\\nc\"")),
        ("header added :path", add("':path'", "b")),
        ("header added host", add("host", "b")),
        ("header added with operator", add("x-a", "'%REQ(x)%'")),
        ("header added with unknown operator", add("x-a", "'%BOGUS%'")),
        ("header added with open percent", add("x-a", "'5%'")),
        ("header added with two percent", add("x-a", "'5%%'")),
        ("header added with operator without argument", add("x-a", "'%REQ%'")),
        (
            "header removed :path",
            route(
                "prefix: /",
                "route: { cluster: a }\n  \
            request_headers_to_remove: [':path']",
            ),
        ),
        (
            "header removed host",
            route(
                "prefix: /",
                "route: { cluster: a }\n  \
            request_headers_to_remove: [host]",
            ),
        ),
    ]
}

/// Ringway may say of what Envoy takes that it cannot do it yet; it must never take what Envoy
/// refuses, and never refuse for another reason what Envoy takes.
fn verdict(make: Make, path: &str) -> (bool, String) {
    let (code, _, err) = run_to_end(make, &["--mode", "validate", "-l", "error", "-c", path]);
    assert!(code == 0 || code == 1, "exit code {code}: {err}");
    (code == 0, err)
}

/// Verdicts that differ on purpose, each with its reason.
const DIFFERENT: &[(&str, &str)] = &[
    ("two documents", "what stands in the second one would be ignored in silence"),
    ("a field twice", "one of the two would be ignored in silence"),
    ("both cases of one field", "one of the two would be ignored in silence"),
    ("rewrite with a group that is not there", "the rewrite could never be done"),
    ("TLS: expired", "whoever validates can still renew it; the running proxy presents it"),
    ("TLS: the lowest version above the highest", "no handshake could succeed"),
    ("TLS: a key log in no folder", "a validation opens no logs; the running proxy refuses it"),
    ("TLS: a CRL of garbage", "nothing would be revoked"),
    ("TLS: an empty CRL", "nothing would be revoked"),
    ("secrets: a file that is no YAML", "the listener would wait in vain"),
    ("secrets: a file without the name", "the listener would wait in vain"),
    ("secrets: a key that does not match", "the listener would wait in vain"),
    ("header added with bad key", "no recipient could read the field"),
];

#[test]
fn configurations() {
    if envoy().is_none() {
        return skip("nothing to compare with");
    }
    let plain_http = [yaml_itself(), scalars(), clusters(), listeners(), routings()].concat();
    let certificates = tls::certificates();
    let mut contexts =
        [tls::servers(), tls::validations(), tls::clients(), tls::secrets()].concat();
    contexts.iter_mut().for_each(|(_, yaml)| *yaml = certificates.fill(yaml));
    let all = [plain_http, http2::codecs(), http2::tunnels(), contexts].concat();
    let folder =
        std::env::temp_dir().join(format!("ringway-configurations-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    let mut report = String::new();
    let plain = action("route: { cluster: a }");
    let plain: Vec<&str> = plain.lines().collect();
    let only = std::env::var("RINGWAY_DIFF_ONLY").unwrap_or_default();
    let wanted = all.iter().enumerate().filter(|(_, (name, _))| name.contains(&only));
    for (index, (name, yaml)) in wanted {
        let path = folder.join(format!("{index}.yaml"));
        std::fs::write(&path, yaml).expect("the folder takes files");
        let path = path.display().to_string();
        let (reference, subject) = thread::scope(|scope| {
            let reference = scope.spawn(|| verdict(Make::Envoy, &path));
            let subject = verdict(Make::subject(), &path);
            (reference.join().expect("a verdict"), subject)
        });
        if std::env::var_os("RINGWAY_DIFF_PRINT").is_some() {
            println!("{name}: {} {}", reference.0, reference.1.trim());
        }
        let unsupported = reference.0 && subject.1.contains("not supported yet");
        let equal = reference.0 == subject.0 || unsupported;
        let known = DIFFERENT.iter().any(|(known, _)| known == name);
        if equal == (known && Make::subject() == Make::Ringway) {
            let said = |(accepted, why): &(bool, String)| format!("accepted: {accepted} {why}");
            let (envoy, ours) = (said(&reference), said(&subject));
            let own: Vec<&str> = yaml.lines().filter(|line| !plain.contains(line)).collect();
            let _ = writeln!(report, "=== {name}\n{}\n- {envoy}\n+ {ours}", own.join("\n"));
        }
    }
    let _ = std::fs::remove_dir_all(&folder);
    assert!(report.is_empty(), "{report}");
}
