//! Options of the HTTP connection manager: trust in the client, names, paths, hosts, HTTP/1.

use ringway_test_support::Bootstrap;

use crate::compare::check;
use crate::exchange::{Corpus, Exchange, Peers, post};

const TO_A: &str = "route_config:\n  virtual_hosts:\n  - name: all\n    domains: ['*']\n    \
                    routes: [{ match: { prefix: / }, route: { cluster: a } }]\n";

/// One listener for each of these option sets, all routing to the origin.
fn managers(peers: &Peers, options: &[(&str, &str)]) -> Bootstrap {
    let add = |bootstrap: Bootstrap, (name, options): &(&str, &str)| {
        bootstrap.http(name, &format!("{options}\n{TO_A}"))
    };
    options.iter().fold(Bootstrap::new(), add).cluster("a", &[peers.a()])
}

/// Every exchange on every listener.
fn on_all(listeners: &[(&'static str, &str)], exchanges: &[Exchange]) -> Vec<Exchange> {
    let all = listeners.iter().flat_map(|(listener, _)| {
        exchanges.iter().cloned().map(move |mut exchange| {
            exchange.name = format!("{listener}: {}", exchange.name);
            exchange.on(listener)
        })
    });
    all.collect()
}

fn gets(cases: &[(&str, &str)]) -> Vec<Exchange> {
    cases.iter().map(|(name, fields)| Exchange::get(*name, "/x", fields)).collect()
}

#[test]
fn remote_address() {
    const EDGES: &[(&str, &str)] = &[
        ("edge", "use_remote_address: true"),
        ("hops", "use_remote_address: true\nxff_num_trusted_hops: 1"),
        ("skip", "use_remote_address: true\nskip_xff_append: true"),
        ("inner", "use_remote_address: false"),
        ("inner_hops", "xff_num_trusted_hops: 1"),
    ];
    let cases = gets(&[
        ("nothing", ""),
        ("one address", "x-forwarded-for: 1.2.3.4\n"),
        ("two addresses", "x-forwarded-for: 1.2.3.4, 5.6.7.8\n"),
        ("three addresses", "x-forwarded-for: 1.2.3.4,5.6.7.8 ,9.9.9.9\n"),
        ("two fields", "x-forwarded-for: 1.2.3.4\nx-forwarded-for: 5.6.7.8\n"),
        ("private address", "x-forwarded-for: 10.0.0.1\n"),
        ("IPv6", "x-forwarded-for: 2001:db8::1\n"),
        ("no address", "x-forwarded-for: unknown\n"),
        ("empty", "x-forwarded-for:\n"),
        ("with port", "x-forwarded-for: 1.2.3.4:80\n"),
        ("x-forwarded-proto", "x-forwarded-proto: https\n"),
        ("x-request-id", "x-request-id: 1b4e28ba-2fa1-41d2-883f-0016d3cca427\n"),
        ("x-request-id of its own", "x-request-id: mine\n"),
        ("client certificate", "x-forwarded-client-cert: Hash=x\n"),
        ("external address", "x-envoy-external-address: 9.9.9.9\n"),
        ("internal", "x-envoy-internal: true\n"),
        ("force trace", "x-envoy-force-trace: true\nx-client-trace-id: 1\n"),
        (
            "router fields",
            "x-envoy-retry-on: 5xx\nx-envoy-max-retries: 3\nx-envoy-upstream-rq-timeout-ms: 1\n\
          x-envoy-upstream-rq-per-try-timeout-ms: 1\nx-envoy-upstream-alt-stat-name: x\n\
          x-envoy-retry-grpc-on: cancelled\nx-envoy-upstream-rq-timeout-alt-response: 1\n\
          x-envoy-hedge-on-per-try-timeout: true\nx-envoy-retriable-status-codes: 500\n\
          x-envoy-retriable-header-names: x\nx-envoy-is-timeout-retry: true\n",
        ),
        (
            "identity fields",
            "x-envoy-downstream-service-cluster: c\nx-envoy-downstream-service-node: n\n\
          x-envoy-decorator-operation: o\nx-envoy-ip-tags: t\nx-envoy-original-path: /o\n\
          x-envoy-original-host: h\nx-envoy-original-url: http://u/\nx-envoy-attempt-count: 2\n\
          x-envoy-expected-rq-timeout-ms: 1\nx-envoy-peer-metadata: m\nx-envoy-unknown: u\n",
        ),
        ("forwarded host and port", "x-forwarded-host: h\nx-forwarded-port: 1\nforwarded: for=1\n"),
        ("referer", "referer: http://u:p@h/x#y\n"),
    ]);
    let bootstrap = |peers: &Peers| managers(peers, EDGES);
    check(&Corpus { name: "remote address", bootstrap, exchanges: on_all(EDGES, &cases) });
}

#[test]
fn internal_addresses() {
    const INNER: &[(&str, &str)] = &[
        ("any", "internal_address_config: {}"),
        ("any_edge", "use_remote_address: true\ninternal_address_config: {}"),
        (
            "listed",
            "internal_address_config: { cidr_ranges: [{ address_prefix: 1.2.3.0, prefix_len: 24 }] }",
        ),
        (
            "loopback",
            "use_remote_address: true\ninternal_address_config:\n  cidr_ranges: \
          [{ address_prefix: 127.0.0.0, prefix_len: 8 }]",
        ),
    ];
    let cases = gets(&[
        ("nothing", ""),
        ("private address", "x-forwarded-for: 10.1.2.3\n"),
        ("listed address", "x-forwarded-for: 1.2.3.4\n"),
        ("two private addresses", "x-forwarded-for: 10.1.2.3, 10.1.2.4\n"),
        ("public address", "x-forwarded-for: 8.8.8.8\n"),
        (
            "timeout of the client",
            "x-forwarded-for: 10.1.2.3\nx-envoy-upstream-rq-timeout-ms: 2500\n",
        ),
        ("internal of the client", "x-envoy-internal: false\n"),
    ]);
    let bootstrap = |peers: &Peers| managers(peers, INNER);
    check(&Corpus { name: "internal addresses", bootstrap, exchanges: on_all(INNER, &cases) });
}

#[test]
fn names_and_identifiers() {
    const OPTIONS: &[(&str, &str)] = &[
        ("server_name", "server_name: mine"),
        ("overwrite", "server_header_transformation: OVERWRITE"),
        ("if_absent", "server_header_transformation: APPEND_IF_ABSENT"),
        ("pass", "server_header_transformation: PASS_THROUGH"),
        ("via", "via: '1.1 ringway'"),
        ("no_id", "generate_request_id: false"),
        ("keep_id", "use_remote_address: true\npreserve_external_request_id: true"),
        ("show_id", "always_set_request_id_in_response: true"),
        ("port", "use_remote_address: true\nappend_x_forwarded_port: true"),
        ("scheme", "scheme_header_transformation: { scheme_to_overwrite: https }"),
    ];
    let id = "x-request-id: 1b4e28ba-2fa1-41d2-883f-0016d3cca427\n";
    let cases = vec![
        Exchange::get("plain", "/x", ""),
        Exchange::get("origin names itself", "/x", "").told(
            "HTTP/1.1 200 OK\nserver: nginx\nvia: 1.0 theirs\nx-request-id: t\ncontent-length: 0\n\n"),
        Exchange::get("client names itself", "/x", &format!("{id}via: 1.0 client\nserver: c\n")),
        Exchange::get("local reply", "/x#y", ""),
        Exchange::get("client says https", "/x", "x-forwarded-proto: https\nx-forwarded-port: 1\n"),
    ];
    let bootstrap = |peers: &Peers| managers(peers, OPTIONS);
    check(&Corpus { name: "names and identifiers", bootstrap, exchanges: on_all(OPTIONS, &cases) });
}

#[test]
fn path_normalization() {
    const OPTIONS: &[(&str, &str)] = &[
        ("normalize", "normalize_path: true"),
        ("merge", "merge_slashes: true"),
        ("normalize_merge", "normalize_path: true\nmerge_slashes: true"),
        ("reject", "path_with_escaped_slashes_action: REJECT_REQUEST"),
        ("redirect", "path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT"),
        ("forward", "path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD"),
        (
            "forward_all",
            "path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD\nnormalize_path: true\n\
                         merge_slashes: true",
        ),
    ];
    let paths = "/ //a /a//b /a///b/ /a/./b /a/../b /a/b/.. /a/b/. /a/b/../ /.. /../.. /../a /a/../../b \
                 /. /./ /a/.b /a/..b /a/b.. /%2e/a /a/%2e%2e/b /a/%2E%2E/b /a/.%2e/b /%61 /%7E /%41%7a \
                 /a%2Fb /a%2fb /a%5Cb /a%5cb /a\\b /a\\..\\b /%2F%2F /a%252Fb /%zz /%2 /% /a%00 /a%20b \
                 /a?b//c /a//b?c//d /a?x=%2F /a/../b?/../c /A/B /~a /a;b/c /a%3Fb /a%23b /a|b /a^b \
                 /a/%2e%2e%2fb";
    let cases: Vec<Exchange> =
        paths.split_whitespace().map(|path| Exchange::get(path, path, "")).collect();
    let bootstrap = |peers: &Peers| managers(peers, OPTIONS);
    check(&Corpus { name: "path normalization", bootstrap, exchanges: on_all(OPTIONS, &cases) });
}

#[test]
fn host_options() {
    const OPTIONS: &[(&str, &str)] = &[
        ("any_port", "strip_any_host_port: true"),
        ("dot", "strip_trailing_host_dot: true"),
        ("no_absolute", "http_protocol_options: { allow_absolute_url: false }"),
        ("default", ""),
    ];
    let hosts = "a a:80 a:8080 a. a.:80 A:80 [::1] [::1]:80 1.2.3.4:1 a: a:b a:0 a:99999 . a..";
    let ask = |host: &str| Exchange::ask(host, &format!("GET / HTTP/1.1\nhost: {host}\n\n"));
    let mut cases: Vec<Exchange> = hosts.split_whitespace().map(ask).collect();
    cases.push(Exchange::ask("absolute form", "GET http://b:80/x HTTP/1.1\nhost: a\n\n"));
    let bootstrap = |peers: &Peers| managers(peers, OPTIONS);
    check(&Corpus { name: "host options", bootstrap, exchanges: on_all(OPTIONS, &cases) });
}

#[test]
fn http10() {
    const OPTIONS: &[(&str, &str)] = &[
        ("accepted", "http_protocol_options: { accept_http_10: true }"),
        (
            "default_host",
            "http_protocol_options: { accept_http_10: true, default_host_for_http_10: fallback.org }",
        ),
    ];
    let ask = |name: &str, request: &str| Exchange::ask(name, request);
    let close = |name: &str, request: &str, told: &str| ask(name, request).told(told);
    let chunked = "HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n5\nhello\n0\n\n";
    let cases = [
        ask("with Host", "GET / HTTP/1.0\nhost: a\n\n"),
        ask("without Host", "GET / HTTP/1.0\n\n"),
        ask("keep-alive", "GET / HTTP/1.0\nhost: a\nconnection: keep-alive\n\n"),
        ask("Keep-Alive in capitals", "GET / HTTP/1.0\nhost: a\nConnection: Keep-Alive\n\n"),
        ask("close", "GET / HTTP/1.0\nhost: a\nconnection: close\n\n"),
        ask("POST", "POST / HTTP/1.0\nhost: a\ncontent-length: 5\n\nhello"),
        ask("POST without length", "POST / HTTP/1.0\nhost: a\n\n"),
        ask("HEAD", "HEAD / HTTP/1.0\nhost: a\n\n"),
        ask("chunked request", "POST / HTTP/1.0\nhost: a\ntransfer-encoding: chunked\n\n0\n\n"),
        ask("expect", "POST / HTTP/1.0\nhost: a\nexpect: 100-continue\ncontent-length: 1\n\nx"),
        ask("HTTP/0.9", "GET /\n"),
        ask("absolute form without Host", "GET http://b/ HTTP/1.0\n\n"),
        ask("upgrade", "GET / HTTP/1.0\nhost: a\nconnection: upgrade\nupgrade: websocket\n\n"),
        close("chunked response", "GET / HTTP/1.0\nhost: a\n\n", chunked),
        close(
            "chunked response, keep-alive",
            "GET / HTTP/1.0\nhost: a\nconnection: keep-alive\n\n",
            chunked,
        ),
        close("204", "GET / HTTP/1.0\nhost: a\n\n", "HTTP/1.1 204 No Content\n\n"),
        close(
            "interim",
            "GET / HTTP/1.0\nhost: a\n\n",
            "HTTP/1.1 103 Early\n\nHTTP/1.1 200 OK\ncontent-length: 1\n\nz",
        ),
        ask("local reply", "GET /x#y HTTP/1.0\nhost: a\n\n"),
        ask("HTTP/1.1", "GET / HTTP/1.1\nhost: a\n\n"),
        ask("HTTP/1.1 without Host", "GET / HTTP/1.1\n\n"),
        ask("HTTP/1.2", "GET / HTTP/1.2\nhost: a\n\n"),
    ];
    let bootstrap = |peers: &Peers| managers(peers, OPTIONS);
    check(&Corpus { name: "HTTP/1.0", bootstrap, exchanges: on_all(OPTIONS, &cases) });
}

#[test]
fn codec_options() {
    const OPTIONS: &[(&str, &str)] = &[
        ("trailers", "http_protocol_options: { enable_trailers: true }"),
        ("both", "http_protocol_options: { allow_chunked_length: true }"),
        ("custom", "http_protocol_options: { allow_custom_methods: true }"),
        ("proper", "http_protocol_options: { header_key_format: { proper_case_words: {} } }"),
        (
            "reject",
            "common_http_protocol_options: { headers_with_underscores_action: REJECT_REQUEST }",
        ),
        ("drop", "common_http_protocol_options: { headers_with_underscores_action: DROP_HEADER }"),
        ("few", "common_http_protocol_options: { max_headers_count: 5 }"),
        ("small", "max_request_headers_kb: 1"),
        ("forward_100", "proxy_100_continue: true"),
        ("once", "common_http_protocol_options: { max_requests_per_connection: 1 }"),
    ];
    let chunked = "POST / HTTP/1.1\nhost: a\ntransfer-encoding: chunked\n\n2\nhi\n0\nx-t: 1\n\n";
    let cases = [
        Exchange::get("plain", "/x", "x-a: 1\n"),
        Exchange::ask("chunked with trailers", chunked)
            .told("HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n2\nhi\n0\nx-t: 1\nX-U: 2\n\n"),
        Exchange::ask(
            "length and chunked",
            "POST / HTTP/1.1\nhost: a\ncontent-length: 2\ntransfer-encoding: chunked\n\n2\nhi\n0\n\n",
        ),
        Exchange::ask("unknown method", "FOO / HTTP/1.1\nhost: a\n\n"),
        Exchange::ask("method in small letters", "get / HTTP/1.1\nhost: a\n\n"),
        Exchange::get("underscore", "/x", "x_a: 1\nx-b: 2\n"),
        Exchange::get("five fields", "/x", "a: 1\nb: 1\nc: 1\nd: 1\n"),
        Exchange::get("six fields", "/x", "a: 1\nb: 1\nc: 1\nd: 1\ne: 1\n"),
        Exchange::get("900 bytes", "/x", &format!("x-a: {}\n", "v".repeat(900))),
        Exchange::get("2000 bytes", "/x", &format!("x-a: {}\n", "v".repeat(2000))),
        Exchange::ask(
            "expect",
            "POST / HTTP/1.1\nhost: a\nexpect: 100-continue\ncontent-length: 2\n\nhi",
        ),
        Exchange::get("two requests", "/1", "").then("GET /2 HTTP/1.1\nhost: a\n\n").and_response(),
        post("sized", "/x", "hello"),
    ];
    let bootstrap = |peers: &Peers| managers(peers, OPTIONS);
    check(&Corpus { name: "codec options", bootstrap, exchanges: on_all(OPTIONS, &cases) });
}

#[test]
fn upstream_codec_options() {
    const HTTP: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let bootstrap = |peers: &Peers| {
        let options = |name: &str, options: &str| {
            let yaml = format!(
                "typed_extension_protocol_options:\n  {HTTP}:\n    \
                 \"@type\": type.googleapis.com/{HTTP}\n    explicit_http_config:\n      \
                 http_protocol_options: {options}\n"
            );
            (name.to_owned(), yaml)
        };
        let clusters = [
            options("trailers", "{ enable_trailers: true }"),
            options("proper", "{ header_key_format: { proper_case_words: {} } }"),
        ];
        let route = |(name, _): &(String, String)| {
            format!("- match: {{ prefix: /{name} }}\n  route: {{ cluster: {name} }}\n")
        };
        let routes: String = clusters.iter().map(route).collect();
        let bootstrap = Bootstrap::new().routes("main", &routes);
        let add = |b: Bootstrap, (name, more): &(String, String)| {
            b.cluster_with(name, &[peers.a()], more)
        };
        clusters.iter().fold(bootstrap, add)
    };
    let exchanges = ["/trailers", "/proper"].map(|path| {
        let chunked =
            "HTTP/1.1 200 OK\nX-Cased: 1\ntransfer-encoding: chunked\n\n2\nhi\n0\nx-t: 1\n\n";
        Exchange::get(path, path, "x-some-name: 1\nete: 2\n").told(chunked)
    });
    check(&Corpus { name: "upstream codec options", bootstrap, exchanges: exchanges.into() });
}
