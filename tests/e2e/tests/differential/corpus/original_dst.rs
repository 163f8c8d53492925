//! Requests that say where they were meant to go.

use ringway_test_support::Bootstrap;

use crate::compare::check;
use crate::exchange::{Corpus, Exchange, Peers, post};
use crate::play::LOG;

/// Clients cannot know the port of an origin, but routes do.
fn bootstrap(peers: &Peers) -> Bootstrap {
    let (a, b) = (peers.a().port(), peers.b().port());
    let route = |prefix: &str, cluster: &str, to: &str, more: &str| {
        format!(
            "    - match: {{ prefix: {prefix} }}\n      route: {{ cluster: {cluster}{more} }}\n      \
             request_headers_to_add: [{{ header: {{ key: x-envoy-original-dst-host, value: '{to}' \
             }}, append_action: OVERWRITE_IF_EXISTS_OR_ADD }}]\n"
        )
    };
    let routes = [
        route("/a", "there", &format!("127.0.0.1:{a}"), ""),
        route("/b", "there", &format!("127.0.0.1:{b}"), ""),
        route("/mapped", "there", &format!("[::ffff:127.0.0.1]:{a}"), ""),
        route("/six", "there", &format!("[::1]:{a}"), ""),
        route("/auto", "there", &format!("127.0.0.1:{a}"), ", auto_host_rewrite: true"),
        route("/bad", "there", "nowhere", ""),
        route("/port", "port", "127.0.0.1:1", ""),
        route("/unread", "unread", &format!("127.0.0.1:{a}"), ""),
    ];
    let manager = format!(
        "access_log:\n- name: log\n  typed_config:\n    '@type': \
         type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog\n    path: \
         '{LOG}'\n    log_format: {{ text_format_source: {{ inline_string: \"%RESPONSE_CODE% \
         %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_HOST% %UPSTREAM_HOST_NAME%\\n\" }} }}\n\
         route_config:\n  virtual_hosts:\n  - name: all\n    domains: ['*']\n    routes:\n    \
         - {{ match: {{ prefix: /probe }}, direct_response: {{ status: 200 }} }}\n{}    \
         - {{ match: {{ prefix: / }}, route: {{ cluster: there }} }}\n",
        routes.concat()
    );
    let cluster = |name: &str, config: &str| {
        format!(
            "- {{ name: {name}, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, \
             original_dst_lb_config: {{ {config} }} }}\n"
        )
    };
    let clusters = [
        cluster("there", "use_http_header: true"),
        cluster("port", &format!("use_http_header: true, upstream_port_override: {b}")),
        cluster("unread", ""),
    ];
    Bootstrap::new().http("main", &manager).other_cluster(&clusters.concat())
}

#[test]
fn original_destinations() {
    let paths = ["/a", "/b", "/a", "/mapped", "/six", "/auto", "/bad", "/port", "/unread"];
    let mut exchanges: Vec<Exchange> = paths.map(|path| Exchange::get(path, path, "")).into();
    let to = |value: &str| {
        let field = format!("x-envoy-original-dst-host: {value}\n");
        Exchange::get(format!("to {value:?}"), "/", &field)
    };
    let values = [
        "127.0.0.1:1",
        "[::1]:1",
        "127.0.0.1:01",
        "127.0.0.1:0",
        "",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:99999",
        "127.1:1",
        "0127.0.0.1:1",
        "::1:1",
        "[127.0.0.1]:1",
        "localhost:1",
        "127.0.0.1:1,127.0.0.1:2",
        "/tmp/x",
    ];
    exchanges.extend(values.map(to));
    exchanges.push(Exchange::get("nowhere", "/", ""));
    let two = "x-envoy-original-dst-host: nowhere\nx-envoy-original-dst-host: 127.0.0.1:1\n";
    exchanges.push(Exchange::get("two values", "/", two));
    exchanges.push(post("POST", "/a", "hello"));
    exchanges.push(post("POST to nowhere", "/bad", "hello"));
    let call = "content-type: application/grpc\n";
    exchanges.push(Exchange::get("a call to nowhere", "/bad", call));
    check(&Corpus { name: "original destinations", bootstrap, exchanges });
}
