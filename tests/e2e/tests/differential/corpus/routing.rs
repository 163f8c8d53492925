//! Which route takes a request: virtual hosts, paths, header and query matchers, clusters.

use ringway_test_support::Bootstrap;

use crate::compare::check;
use crate::exchange::{Corpus, Exchange, Peers};

fn with_both(peers: &Peers, hosts: &str) -> Bootstrap {
    let bootstrap = Bootstrap::new().virtual_hosts("main", hosts);
    bootstrap.cluster("a", &[peers.a()]).cluster("b", &[peers.b()])
}

/// A virtual host that answers with its own name.
fn named_host(name: &str, domains: &str) -> String {
    let body = format!("{{ status: 200, body: {{ inline_string: {name} }} }}");
    let routes = format!("[{{ match: {{ prefix: / }}, direct_response: {body} }}]");
    format!("- {{ name: {name}, domains: {domains}, routes: {routes} }}\n")
}

/// A route that answers with its own name; `matching` is the content of `match`.
fn named_route(name: &str, matching: &str) -> String {
    let body = format!("{{ status: 200, body: {{ inline_string: '{name}' }} }}");
    format!("- {{ match: {{ {matching} }}, direct_response: {body} }}\n")
}

#[test]
fn virtual_hosts() {
    let bootstrap = |peers: &Peers| {
        let hosts = [
            named_host("exact", "[example.com]"),
            named_host("port", "['example.com:8080']"),
            named_host("suffix", "['*.example.com', '*-dash.org']"),
            named_host("longer", "['*.long.example.com']"),
            named_host("prefix", "['example.*', 'exam.*']"),
            named_host("longer_prefix", "['example.com.*']"),
            named_host("address", "['127.0.0.1', '[::1]']"),
            named_host("capitals", "[UPPER.org]"),
        ];
        with_both(peers, &hosts.concat())
    };
    let hosts = "example.com EXAMPLE.com example.com:8080 example.com:80 example.com. www.example.com \
                 a.b.example.com .example.com x.long.example.com long.example.com a-dash.org \
                 -dash.org example.org example. example exam.x example.com.au example.com.x:1 \
                 127.0.0.1 127.0.0.1:80 [::1] [::1]:80 upper.org Upper.Org other.net xexample.com";
    let ask = |host: &str| {
        Exchange::ask(format!("host {host}"), &format!("GET / HTTP/1.1\nhost: {host}\n\n"))
    };
    let mut exchanges: Vec<Exchange> = hosts.split_whitespace().map(ask).collect();
    let absolute = "GET http://www.example.com/ HTTP/1.1\nhost: other.net\n\n";
    exchanges.push(Exchange::ask("absolute form decides", absolute));
    exchanges.push(Exchange::ask("no host", "GET / HTTP/1.1\n\n"));
    check(&Corpus { name: "virtual hosts", bootstrap, exchanges });
}

#[test]
fn catch_all_host() {
    let bootstrap = |peers: &Peers| {
        with_both(peers, &(named_host("one", "[one.org]") + &named_host("all", "['*']")))
    };
    let exchanges = ["one.org", "two.org", "one.org:80", ""].map(|host| {
        Exchange::ask(format!("host {host:?}"), &format!("GET / HTTP/1.1\nhost: {host}\n\n"))
    });
    check(&Corpus { name: "catch-all host", bootstrap, exchanges: exchanges.into() });
}

#[test]
fn paths() {
    let bootstrap = |_: &Peers| {
        let routes = [
            named_route("exact", "path: /exact"),
            named_route("exact insensitive", "path: /Loud, case_sensitive: false"),
            named_route("regex", r"safe_regex: { regex: '/re/[0-9]+' }"),
            named_route("regex with query", r"safe_regex: { regex: '/rq\?x=1' }"),
            named_route("separated", "path_separated_prefix: /sep"),
            named_route(
                "separated insensitive",
                "path_separated_prefix: /Sop, case_sensitive: false",
            ),
            named_route("prefix insensitive", "prefix: /Pre/, case_sensitive: false"),
            named_route("first", "prefix: /over"),
            named_route("second", "prefix: /overlap"),
            named_route("prefix", "prefix: /pre"),
        ];
        Bootstrap::new().routes("main", &routes.concat())
    };
    let paths = "/exact /exact/ /exact?q /exact?q=1&r /Exact /exactly /loud /LOUD /re/1 /re/123?x /re/ \
                 /re/1/ /re/a /x/re/1 /rq?x=1 /sep /sep/ /sep/x /sep?x /separate /SEP /sop /SOP/x \
                 /sopx /pre/x /PRE/x /pRe/ /pre /prefixed /over /overlap /overt / /pr /%65xact \
                 /exact;p=1 //exact /./exact /exact%20 /exact#f";
    let exchanges = paths.split_whitespace().map(|path| Exchange::get(path, path, "")).collect();
    check(&Corpus { name: "paths", bootstrap, exchanges });
}

fn header(name: &str, matching: &str) -> String {
    named_route(name, &format!("prefix: /, headers: [{matching}]"))
}

#[test]
fn header_matchers() {
    let bootstrap = |_: &Peers| {
        let routes = [
            header("exact", "{ name: x-exact, string_match: { exact: v } }"),
            header(
                "insensitive",
                "{ name: x-exact, string_match: { exact: W, ignore_case: true } }",
            ),
            header("prefix", "{ name: X-Prefix, string_match: { prefix: ab } }"),
            header("suffix", "{ name: x-suffix, string_match: { suffix: yz } }"),
            header("contains", "{ name: x-contains, string_match: { contains: mm } }"),
            header("regex", "{ name: x-regex, string_match: { safe_regex: { regex: 'a+' } } }"),
            header("range", "{ name: x-range, range_match: { start: 1, end: 10 } }"),
            header("present", "{ name: x-present, present_match: true }"),
            header(
                "inverted",
                "{ name: x-inverted, string_match: { exact: v }, invert_match: true }, \
                                { name: x-inverted-on, present_match: true }",
            ),
            header(
                "absent",
                "{ name: x-absent, present_match: false }, \
                              { name: x-absent-on, present_match: true }",
            ),
            header(
                "empty",
                "{ name: x-empty, string_match: { exact: '' }, \
                              treat_missing_header_as_empty: true }, \
                             { name: x-empty-on, present_match: true }",
            ),
            header(
                "both",
                "{ name: x-one, present_match: true }, { name: x-two, present_match: true }",
            ),
            header("method", "{ name: ':method', string_match: { exact: PUT } }"),
            header("authority", "{ name: ':authority', string_match: { prefix: special } }"),
            header("path", "{ name: ':path', string_match: { suffix: '?secret' } }"),
            header("host", "{ name: host, string_match: { exact: by-host } }"),
            header("scheme", "{ name: ':scheme', string_match: { exact: https } }"),
        ];
        Bootstrap::new().routes("main", &routes.concat())
    };
    let fields = [
        "x-exact: v",
        "x-exact: V",
        "X-EXACT: v",
        "x-exact: w",
        "x-exact: vv",
        "x-exact:  v ",
        "x-exact: v\nx-exact: v",
        "x-exact: v\nx-exact: u",
        "x-exact:",
        "x-prefix: abc",
        "x-prefix: ab",
        "x-prefix: xab",
        "x-suffix: xyz",
        "x-suffix: yz1",
        "x-contains: ammo",
        "x-contains: am",
        "x-regex: aaa",
        "x-regex: aab",
        "x-range: 1",
        "x-range: 9",
        "x-range: 10",
        "x-range: 0",
        "x-range: 5x",
        "x-range: +5",
        "x-range: -1",
        "x-range: 05",
        "x-range:",
        "x-present:",
        "x-present: 1",
        "x-inverted-on: 1",
        "x-inverted-on: 1\nx-inverted: v",
        "x-inverted-on: 1\nx-inverted: u",
        "x-absent-on: 1",
        "x-absent-on: 1\nx-absent: 1",
        "x-empty-on: 1",
        "x-empty-on: 1\nx-empty:",
        "x-empty-on: 1\nx-empty: 1",
        "x-one: 1",
        "x-one: 1\nx-two: 1",
    ];
    let mut exchanges: Vec<Exchange> =
        fields.iter().map(|fields| Exchange::get(*fields, "/", &format!("{fields}\n"))).collect();
    exchanges.push(Exchange::ask("method", "PUT / HTTP/1.1\nhost: a\ncontent-length: 0\n\n"));
    exchanges.push(Exchange::ask("authority", "GET / HTTP/1.1\nhost: special.org\n\n"));
    exchanges.push(Exchange::ask("host", "GET / HTTP/1.1\nhost: by-host\n\n"));
    exchanges.push(Exchange::get("path", "/x?secret", ""));
    exchanges.push(Exchange::get("scheme by x-forwarded-proto", "/", "x-forwarded-proto: https\n"));
    check(&Corpus { name: "header matchers", bootstrap, exchanges });
}

fn query(name: &str, matching: &str) -> String {
    named_route(name, &format!("prefix: /, query_parameters: [{matching}]"))
}

#[test]
fn query_matchers() {
    let bootstrap = |_: &Peers| {
        let routes = [
            query("exact", "{ name: e, string_match: { exact: v } }"),
            query("prefix", "{ name: p, string_match: { prefix: ab } }"),
            query("regex", "{ name: r, string_match: { safe_regex: { regex: '[0-9]+' } } }"),
            query("insensitive", "{ name: i, string_match: { exact: v, ignore_case: true } }"),
            query("both", "{ name: one, present_match: true }, { name: two, present_match: true }"),
            query("present", "{ name: here, present_match: true }"),
            query("name only", "{ name: bare }"),
        ];
        Bootstrap::new().routes("main", &routes.concat())
    };
    let queries = "?e=v ?e=V ?E=v ?e=v&x=1 ?x=1&e=v ?e=u&e=v ?e=v&e=u ?e ?e= ?e=v=w ?e=%76 ?%65=v ?p=abc \
                   ?p=b ?r=12 ?r=1a ?i=V ?one ?one&two ?two=1&one=2 ?here ?here= ?here=1 ?there ?bare \
                   ?bare=1 ? ?& ?&&here ?=v ?e=v#x ?e=+v ?x;e=v";
    let exchanges =
        queries.split_whitespace().map(|q| Exchange::get(q, &format!("/{q}"), "")).collect();
    check(&Corpus { name: "query matchers", bootstrap, exchanges });
}

#[test]
fn clusters() {
    let bootstrap = |peers: &Peers| {
        let weighted = |a: u32, b: u32| {
            format!(
                "weighted_clusters: {{ clusters: [{{ name: a, weight: {a} }}, \
                     {{ name: b, weight: {b} }}] }}"
            )
        };
        let route = |prefix: &str, action: &str| {
            format!("- {{ match: {{ prefix: {prefix} }}, route: {{ {action} }} }}\n")
        };
        let routes = [
            route("/a", "cluster: a"),
            route("/b", "cluster: b"),
            route("/by-header", "cluster_header: x-cluster"),
            route("/never-b", &weighted(1, 0)),
            route("/never-a", &weighted(0, 100)),
            route(
                "/by-header-500",
                "cluster_header: x-cluster, cluster_not_found_response_code: NOT_FOUND",
            ),
        ];
        let bootstrap = Bootstrap::new().routes("main", &routes.concat());
        bootstrap.cluster("a", &[peers.a()]).cluster("b", &[peers.b()])
    };
    let get = Exchange::get;
    let exchanges = vec![
        get("to a", "/a", ""),
        get("to b", "/b", ""),
        get("by header to a", "/by-header", "x-cluster: a\n"),
        get("by header to b", "/by-header", "x-cluster: b\n"),
        get("by header to nowhere", "/by-header", "x-cluster: c\n"),
        get("by header, absent", "/by-header", ""),
        get("by header, twice", "/by-header", "x-cluster: a\nx-cluster: b\n"),
        get("weight 1 to 0", "/never-b", ""),
        get("weight 0 to 100", "/never-a", ""),
        get("by header to nowhere, own code", "/by-header-500", "x-cluster: c\n"),
    ];
    check(&Corpus { name: "clusters", bootstrap, exchanges });
}
