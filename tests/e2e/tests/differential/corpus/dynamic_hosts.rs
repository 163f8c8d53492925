//! Requests that name their hosts: the dynamic forward proxy with its filter and without it.

use std::sync::OnceLock;

use ringway_test_support::{Bootstrap, NameServer, Says, indent};

use crate::compare::check;
use crate::exchange::{Corpus, Exchange, Peers};
use crate::play::LOG;

const EXTENSIONS: &str = "type.googleapis.com/envoy.extensions";

/// Both programs ask the same server.
fn names() -> &'static NameServer {
    static NAMES: OnceLock<NameServer> = OnceLock::new();
    NAMES.get_or_init(|| {
        let names = NameServer::start();
        for name in ["a.test", "one.test", "two.test", "a_b.test"] {
            names.say(name, Says::loopback());
        }
        names.say("empty.test", Says::Nothing);
        names.say("broken.test", Says::Failure);
        names
    })
}

fn cache() -> String {
    format!("{{ name: names, dns_lookup_family: V4_ONLY, {} }}", names().resolver())
}

/// Clients cannot know the port of an origin, but routes do.
fn routes(peers: &Peers, filtered: bool) -> String {
    let port = peers.a().port();
    let to = |prefix: &str, host: &str| {
        let rewrite = format!(
            "typed_per_filter_config: {{ names: {{ '@type': \
             {EXTENSIONS}.filters.http.dynamic_forward_proxy.v3.PerRouteConfig, {host} }} }}"
        );
        format!(
            "    - {{ match: {{ prefix: {prefix} }}, route: {{ cluster: dynamic }}, {rewrite} }}\n"
        )
    };
    let rewritten = [
        to("/name", &format!("host_rewrite_literal: 'a.test:{port}'")),
        to("/address", &format!("host_rewrite_literal: '127.0.0.1:{port}'")),
        to("/capitals", &format!("host_rewrite_literal: 'A.TEST:{port}'")),
        to("/dot", &format!("host_rewrite_literal: 'a.test.:{port}'")),
        to("/nobody", "host_rewrite_literal: 'nobody.test'"),
        to("/header", "host_rewrite_header: x-to"),
    ];
    let literal = |prefix: &str, host: &str| {
        format!(
            "    - {{ match: {{ prefix: {prefix} }}, route: {{ cluster: dynamic, \
             host_rewrite_literal: '{host}:{port}' }} }}\n"
        )
    };
    let router = [literal("/router/name", "a.test"), literal("/router/address", "127.0.0.1")];
    format!(
        "access_log:\n- name: log\n  typed_config:\n    '@type': \
         {EXTENSIONS}.access_loggers.file.v3.FileAccessLog\n    path: '{LOG}'\n    log_format: {{ \
         text_format_source: {{ inline_string: \"%RESPONSE_CODE% %RESPONSE_FLAGS% \
         %RESPONSE_CODE_DETAILS% %UPSTREAM_HOST% %UPSTREAM_HOST_NAME%\\n\" }} }}\n\
         route_config:\n  virtual_hosts:\n  - name: all\n    domains: ['*']\n    routes:\n    \
         - {{ match: {{ prefix: /probe }}, direct_response: {{ status: 200 }} }}\n{}{}    \
         - {{ match: {{ prefix: / }}, route: {{ cluster: dynamic }} }}\n",
        if filtered { rewritten.concat() } else { String::new() },
        router.concat()
    )
}

fn bootstrap(peers: &Peers) -> Bootstrap {
    let cache = cache();
    let cluster = format!(
        "- name: dynamic\n  lb_policy: CLUSTER_PROVIDED\n  cluster_type: {{ name: \
         envoy.clusters.dynamic_forward_proxy, typed_config: {{ '@type': \
         {EXTENSIONS}.clusters.dynamic_forward_proxy.v3.ClusterConfig, dns_cache_config: {cache} }} }}\n"
    );
    let filter = format!(
        "http_filters:\n- name: names\n  typed_config: {{ '@type': \
         {EXTENSIONS}.filters.http.dynamic_forward_proxy.v3.FilterConfig, dns_cache_config: {cache} }}\n\
         - name: router\n  typed_config: {{ '@type': {EXTENSIONS}.filters.http.router.v3.Router }}\n"
    );
    let main = format!(
        "- name: main\n  address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }}\n  \
         filter_chains:\n  - filters:\n    - name: manager\n      typed_config:\n        '@type': \
         {EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager\n        \
         stat_prefix: main\n{}{}",
        indent(&routes(peers, true), 8),
        indent(&filter, 8)
    );
    let bootstrap = Bootstrap::new().listener(&main).http("bare", &routes(peers, false));
    bootstrap.other_cluster(&cluster)
}

fn to(host: &str) -> Exchange {
    Exchange::ask(format!("host {host:?}"), &format!("GET / HTTP/1.1\nhost: {host}\n\n"))
}

#[test]
fn dynamic_hosts() {
    // Nobody listens on these ports, but on those of the routes.
    let hosts = [
        "one.test:1",
        "two.test",
        "one.test:1",
        "ONE.test:1",
        "a_b.test:1",
        "127.0.0.1:1",
        "127.0.0.1",
        "[::1]:1",
        "[::1]",
        "nobody.test",
        "nobody.test:8080",
        "empty.test:1",
        "broken.test:1",
        "",
    ];
    let mut exchanges: Vec<Exchange> = hosts.map(to).into();
    exchanges.extend(hosts.map(|host| to(host).on("bare")));
    for listener in ["main", "bare"] {
        for path in ["/router/name", "/router/address", "/router/name"] {
            exchanges.push(Exchange::get(format!("{path} on {listener}"), path, "").on(listener));
        }
    }
    for path in ["/name", "/address", "/capitals", "/dot", "/name", "/nobody", "/header"] {
        exchanges.push(Exchange::get(path, path, ""));
    }
    for value in ["one.test:1", "nobody.test", "127.0.0.1:1"] {
        let field = format!("x-to: {value}\n");
        exchanges.push(Exchange::get(format!("header {value}"), "/header", &field));
    }
    let absolute = "GET http://one.test:1/ HTTP/1.1\nhost: two.test\n\n";
    exchanges.push(Exchange::ask("absolute form", absolute));
    let call = "content-type: application/grpc\n";
    exchanges.push(Exchange::get("a call to nobody", "/nobody", call));
    check(&Corpus { name: "dynamic hosts", bootstrap, exchanges });
}
