//! Routes that change the request or answer it: rewrites, redirects, direct responses.

use ringway_test_support::Bootstrap;

use crate::compare::check;
use crate::exchange::{Corpus, Exchange, Peers, post};

fn route(matching: &str, action: &str) -> String {
    format!("- match: {{ {matching} }}\n  route: {{ cluster: a, {action} }}\n")
}

#[test]
fn rewrites() {
    let bootstrap = |peers: &Peers| {
        let regex = |regex: &str, to: &str| {
            format!("regex_rewrite: {{ pattern: {{ regex: '{regex}' }}, substitution: '{to}' }}")
        };
        let routes = [
            route("prefix: /pre/", "prefix_rewrite: /new/"),
            route("prefix: /strip/", "prefix_rewrite: /"),
            route("prefix: /grow", "prefix_rewrite: /grown/by"),
            route("path: /exact", "prefix_rewrite: /other"),
            route("path_separated_prefix: /sep", "prefix_rewrite: /new"),
            route("prefix: /Loud, case_sensitive: false", "prefix_rewrite: /quiet"),
            route("safe_regex: { regex: '/re/.*' }", "prefix_rewrite: /by-regex"),
            route("prefix: /rx/", &regex("^/rx/([^/]+)/(.*)$", r"/\2/of/\1")),
            route("prefix: /all-digits", &regex("[0-9]", "#")),
            route("prefix: /no-match", &regex("zzz", "y")),
            route("prefix: /whole", &regex("^/whole.*", r"/\0-again")),
            route("prefix: /host-literal", "host_rewrite_literal: new.org"),
            route("prefix: /host-header", "host_rewrite_header: x-host"),
            route(
                "prefix: /host-path",
                "host_rewrite_path_regex: { pattern: { regex: '^/host-path/([^/]+)/.*$' }, \
                   substitution: '\\1.org' }",
            ),
            route(
                "prefix: /host-append",
                "host_rewrite_literal: new.org, append_x_forwarded_host: true",
            ),
            route("prefix: /both", "host_rewrite_literal: new.org, prefix_rewrite: /neither"),
            route("prefix: /", "timeout: 15s"),
        ];
        Bootstrap::new().routes("main", &routes.concat()).cluster("a", &[peers.a()])
    };
    let paths = "/pre/ /pre/x /pre/x?y=/pre/ /pre /strip/ /strip/a/b /grow /growing /grow/x?q /exact \
                 /exact?q /sep /sep/ /sep/x /sep?q /separate /LOUD /loud/x?Q /re/abc /re/a?b /rx/a/b/c?d \
                 /rx/a /all-digits1a22?33 /no-match /whole /whole/x?q /host-literal /host-path/x/y \
                 /host-path/x /both/x";
    let mut exchanges: Vec<Exchange> =
        paths.split_whitespace().map(|path| Exchange::get(path, path, "")).collect();
    exchanges.push(Exchange::get("host from header", "/host-header", "x-host: theirs.org\n"));
    exchanges.push(Exchange::get("host from absent header", "/host-header", ""));
    exchanges.push(Exchange::get("host appended", "/host-append", ""));
    exchanges.push(Exchange::get(
        "host appended to one",
        "/host-append",
        "x-forwarded-host: first\n",
    ));
    exchanges.push(Exchange::get(
        "original path of the client",
        "/pre/x",
        "x-envoy-original-path: /o\n",
    ));
    exchanges.push(post("rewritten with a body", "/pre/x", "hello"));
    check(&Corpus { name: "rewrites", bootstrap, exchanges });
}

fn redirect(matching: &str, action: &str) -> String {
    format!("- match: {{ {matching} }}\n  redirect: {{ {action} }}\n")
}

#[test]
fn redirects() {
    let bootstrap = |_: &Peers| {
        let routes = [
            redirect("prefix: /https", "https_redirect: true"),
            redirect("prefix: /scheme", "scheme_redirect: foo"),
            redirect("prefix: /host", "host_redirect: new.org"),
            redirect("prefix: /port", "port_redirect: 8443"),
            redirect(
                "prefix: /all",
                "https_redirect: true, host_redirect: new.org, port_redirect: 444, \
                                      path_redirect: /there",
            ),
            redirect("prefix: /path-query", "path_redirect: '/there?x=1'"),
            redirect("prefix: /path", "path_redirect: /there"),
            redirect("prefix: /prefix/", "prefix_rewrite: /new/"),
            redirect(
                "prefix: /regex/",
                "regex_rewrite: { pattern: { regex: '^/regex/(.*)' }, \
                                         substitution: '/x/\\1' }",
            ),
            redirect("prefix: /strip", "path_redirect: /there, strip_query: true"),
            redirect("prefix: /keep-query", "host_redirect: new.org, strip_query: true"),
            redirect("prefix: /302", "path_redirect: /t, response_code: FOUND"),
            redirect("prefix: /303", "path_redirect: /t, response_code: SEE_OTHER"),
            redirect("prefix: /307", "path_redirect: /t, response_code: TEMPORARY_REDIRECT"),
            redirect("prefix: /308", "path_redirect: /t, response_code: PERMANENT_REDIRECT"),
        ];
        Bootstrap::new().routes("main", &routes.concat())
    };
    let paths = "/https /https/a?b=c /scheme /host /host/x?y /port /port/x /all/x?y /path /path?y \
                 /path-query /path-query?z /prefix/ /prefix/x?y /regex/a/b?c /strip?y /keep-query/x?y \
                 /302 /303 /307 /308 /none";
    let mut exchanges: Vec<Exchange> =
        paths.split_whitespace().map(|path| Exchange::get(path, path, "")).collect();
    for host in ["a:80", "a:443", "a:8080", "A.Org", "[::1]", "[::1]:80", "1.2.3.4:80"] {
        for path in ["/https", "/port", "/host"] {
            let request = format!("GET {path} HTTP/1.1\nhost: {host}\n\n");
            exchanges.push(Exchange::ask(format!("{path} on {host}"), &request));
        }
    }
    exchanges.push(Exchange::get("https already", "/host", "x-forwarded-proto: https\n"));
    exchanges.push(Exchange::get("https on https", "/https", "x-forwarded-proto: https\n"));
    exchanges.push(Exchange::ask("HEAD", "HEAD /https HTTP/1.1\nhost: a\n\n"));
    exchanges.push(post("POST", "/https", "hello"));
    exchanges.push(post("POST with 307", "/307", "hello"));
    exchanges.push(Exchange::get("close", "/https", "connection: close\n"));
    check(&Corpus { name: "redirects", bootstrap, exchanges });
}

#[test]
fn required_tls() {
    let bootstrap = |_: &Peers| {
        let routes = "routes: [{ match: { prefix: / }, direct_response: { status: 200 } }]";
        let hosts = format!(
            "- {{ name: all, domains: [all.org], require_tls: ALL, {routes} }}\n\
             - {{ name: ext, domains: [ext.org], require_tls: EXTERNAL_ONLY, {routes} }}\n"
        );
        Bootstrap::new().virtual_hosts("main", &hosts)
    };
    let ask = |name: &str, host: &str, fields: &str| {
        Exchange::ask(name, &format!("GET /x?y HTTP/1.1\nhost: {host}\n{fields}\n"))
    };
    let exchanges = vec![
        ask("all", "all.org", ""),
        ask("all, forwarded as https", "all.org", "x-forwarded-proto: https\n"),
        ask("external only", "ext.org", ""),
        ask(
            "external only, forwarded for a private address",
            "ext.org",
            "x-forwarded-for: 10.0.0.1\n",
        ),
    ];
    check(&Corpus { name: "required TLS", bootstrap, exchanges });
}

#[test]
fn direct_responses() {
    let bootstrap = |_: &Peers| {
        let direct = |prefix: &str, response: &str| {
            format!("- match: {{ prefix: {prefix} }}\n  direct_response: {{ {response} }}\n")
        };
        let statuses = "200 201 204 205 301 304 400 404 418 500 503 599";
        let mut routes: String = statuses
            .split(' ')
            .map(|status| {
                direct(
                    &format!("/body/{status}"),
                    &format!("status: {status}, body: {{ inline_string: hello }}"),
                ) + &direct(&format!("/empty/{status}"), &format!("status: {status}"))
            })
            .collect();
        routes.push_str(&direct("/bytes", "status: 200, body: { inline_bytes: aGkAaGk= }"));
        routes.push_str(&direct("/string", "status: 200, body: { inline_string: '' }"));
        routes.push_str(
            "- match: { prefix: /fields }\n  direct_response: { status: 200, body: \
                         { inline_string: x } }\n  response_headers_to_add:\n  \
                         - { header: { key: x-a, value: '1' } }\n  \
                         - { header: { key: content-type, value: text/html } }\n",
        );
        Bootstrap::new().routes("main", &routes)
    };
    let mut exchanges = Vec::new();
    for status in "200 201 204 205 301 304 400 404 418 500 503 599".split(' ') {
        for kind in ["body", "empty"] {
            let path = format!("/{kind}/{status}");
            exchanges.push(Exchange::get(path.clone(), &path, ""));
        }
    }
    exchanges.push(Exchange::ask("HEAD", "HEAD /body/200 HTTP/1.1\nhost: a\n\n"));
    exchanges.push(Exchange::ask("HEAD of 204", "HEAD /body/204 HTTP/1.1\nhost: a\n\n"));
    exchanges.push(Exchange::get("bytes", "/bytes", ""));
    exchanges.push(Exchange::get("empty string", "/string", ""));
    exchanges.push(Exchange::get("fields", "/fields", ""));
    exchanges.push(Exchange::get("close", "/body/200", "connection: close\n"));
    exchanges.push(post("POST", "/body/200", "hello"));
    exchanges.push(post("large POST", "/body/200", &"x".repeat(200_000)));
    exchanges.push(Exchange::ask(
        "POST whose body does not come",
        "POST /body/200 HTTP/1.1\nhost: a\ncontent-length: 5\n\n",
    ));
    exchanges.push(Exchange::ask(
        "POST that expects 100",
        "POST /body/200 HTTP/1.1\nhost: a\nexpect: 100-continue\ncontent-length: 5\n\n",
    ));
    exchanges.push(Exchange::get("gRPC", "/body/503", "content-type: application/grpc\n"));
    exchanges.push(Exchange::get("201 with host", "/body/201?x=1", ""));
    check(&Corpus { name: "direct responses", bootstrap, exchanges });
}
