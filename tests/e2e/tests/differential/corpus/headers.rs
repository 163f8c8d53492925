//! Header mutation at every level, with format operators.

use ringway_test_support::Bootstrap;

use crate::compare::check;
use crate::exchange::{Corpus, Exchange, Peers};

fn add(key: &str, value: &str, action: &str) -> String {
    let action =
        if action.is_empty() { String::new() } else { format!(", append_action: {action}") };
    format!("    - {{ header: {{ key: {key}, value: {value:?} }}{action} }}\n")
}

/// A route of prefix `/name` with `request_headers_to_add` and `response_headers_to_add` equal.
fn adding(name: &str, items: &[String]) -> String {
    let items = items.concat();
    format!(
        "- match: {{ prefix: /{name} }}\n  route: {{ cluster: a }}\n  request_headers_to_add:\n{items}  \
         response_headers_to_add:\n{items}"
    )
}

#[test]
fn actions() {
    let bootstrap = |peers: &Peers| {
        let actions = [
            "APPEND_IF_EXISTS_OR_ADD",
            "ADD_IF_ABSENT",
            "OVERWRITE_IF_EXISTS_OR_ADD",
            "OVERWRITE_IF_EXISTS",
        ];
        let mut routes: String = actions
            .iter()
            .map(|action| {
                adding(&action.to_lowercase().replace('_', "-"), &[add("x-a", "new", action)])
            })
            .collect();
        routes.push_str(&adding("default", &[add("x-a", "new", "")]));
        routes.push_str(&adding(
            "two",
            &[add("x-a", "one", ""), add("X-A", "two", ""), add("x-b", "b", "")],
        ));
        routes.push_str(&adding("empty-value", &[add("x-e", "", "")]));
        routes.push_str(&adding("missing-value", &[add("x-e", "%REQ(x-missing)%", "")]));
        routes.push_str("- match: { prefix: /keep-empty }\n  route: { cluster: a }\n  \
            request_headers_to_add: [{ header: { key: x-e, value: '' }, keep_empty_value: true }]\n  \
            response_headers_to_add: [{ header: { key: x-e, value: '' }, keep_empty_value: true }]\n");
        routes.push_str(
            "- match: { prefix: /remove }\n  route: { cluster: a }\n  \
            request_headers_to_remove: [x-a, User-Agent, x-envoy-expected-rq-timeout-ms]\n  \
            response_headers_to_remove: [x-a, server, date, x-envoy-upstream-service-time]\n",
        );
        routes.push_str(
            "- match: { prefix: /replace }\n  route: { cluster: a }\n  \
            request_headers_to_remove: [x-a]\n  response_headers_to_remove: [x-a]\n  \
            request_headers_to_add: [{ header: { key: x-a, value: new } }]\n  \
            response_headers_to_add: [{ header: { key: x-a, value: new } }]\n",
        );
        Bootstrap::new().routes("main", &routes).cluster("a", &[peers.a()])
    };
    let told = "HTTP/1.1 200 OK\nx-a: old\nX-A: older\ncontent-length: 0\n\n";
    let names = "append-if-exists-or-add add-if-absent overwrite-if-exists-or-add overwrite-if-exists \
                 default two empty-value missing-value keep-empty remove replace";
    let mut exchanges = Vec::new();
    for name in names.split_whitespace() {
        let path = format!("/{name}");
        exchanges.push(Exchange::get(format!("{name}, absent"), &path, "user-agent: u\n"));
        exchanges.push(
            Exchange::get(format!("{name}, present"), &path, "x-a: old\n")
                .told("HTTP/1.1 200 OK\nx-a: old\ncontent-length: 0\n\n"),
        );
        exchanges.push(
            Exchange::get(format!("{name}, twice"), &path, "x-a: old\nx-a: older\n").told(told),
        );
    }
    check(&Corpus { name: "header actions", bootstrap, exchanges });
}

#[test]
fn levels() {
    fn bootstrap(peers: &Peers) -> Bootstrap {
        let both = |at: &str| {
            format!(
                "request_headers_to_add: [{{ header: {{ key: x-level, value: {at} }} }}]\n\
                     response_headers_to_add: [{{ header: {{ key: x-level, value: {at} }} }}]\n\
                     request_headers_to_remove: [x-drop-{at}]\n\
                     response_headers_to_remove: [x-drop-{at}]\n"
            )
        };
        let pad = ringway_test_support::indent;
        let weighted = format!(
            "- match: {{ prefix: /weighted }}\n  route:\n    weighted_clusters:\n      \
            clusters:\n      - name: a\n        weight: 1\n{}{}",
            pad(&both("weighted"), 8),
            pad(&both("route"), 2)
        );
        let plain = format!(
            "- match: {{ prefix: /plain }}\n  route: {{ cluster: a }}\n{}",
            pad(&both("route"), 2)
        );
        let direct = format!(
            "- match: {{ prefix: /direct }}\n  direct_response: {{ status: 200, body: \
            {{ inline_string: d }} }}\n{}",
            pad(&both("route"), 2)
        );
        let host = format!(
            "- name: h\n  domains: ['*']\n{}  routes:\n{}",
            pad(&both("host"), 2),
            pad(&[weighted, plain, direct].concat(), 2)
        );
        let manager = |most: bool| {
            format!(
                "route_config:\n  most_specific_header_mutations_wins: {most}\n\
            {}  virtual_hosts:\n{}",
                pad(&both("config"), 2),
                pad(&host, 2)
            )
        };
        let bootstrap =
            Bootstrap::new().http("main", &manager(false)).http("specific", &manager(true));
        bootstrap.cluster("a", &[peers.a()])
    }
    let fields =
        "x-drop-route: 1\nx-drop-host: 1\nx-drop-config: 1\nx-drop-weighted: 1\nx-level: mine\n";
    let mut exchanges = Vec::new();
    for path in ["/weighted", "/plain", "/direct", "/none"] {
        let told = format!("HTTP/1.1 200 OK\n{fields}content-length: 0\n\n");
        exchanges.push(Exchange::get(path, path, fields).told(&told));
        exchanges.push(
            Exchange::get(format!("{path}, most specific"), path, fields)
                .told(&told)
                .on("specific"),
        );
    }
    check(&Corpus { name: "header levels", bootstrap, exchanges });
}

#[test]
fn operators() {
    const OPERATORS: &[&str] = &[
        "plain",
        "100%%",
        "%REQ(x-a)%",
        "%REQ(X-A)%",
        "%REQ(:method)%",
        "%REQ(:path)%",
        "%REQ(:authority)%",
        "%REQ(x-missing?x-a)%",
        "%REQ(x-a):3%",
        "%PROTOCOL%",
        "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "%DOWNSTREAM_LOCAL_ADDRESS%",
        "%DOWNSTREAM_LOCAL_PORT%",
        "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
        "<%REQ(x-a)%|%REQ(x-b)%>",
        "%ROUTE_NAME%",
    ];
    const OF_RESPONSES: &[&str] = &[
        "%RESPONSE_CODE%",
        "%RESP(x-r)%",
        "%RESP(x-missing)%",
        "%UPSTREAM_HOST%",
        "%UPSTREAM_CLUSTER%",
        "%RESPONSE_FLAGS%",
        "%RESPONSE_CODE_DETAILS%",
        "%UPSTREAM_REMOTE_ADDRESS%",
        "%REQ(x-a)%",
    ];
    let bootstrap = |peers: &Peers| {
        let items = |of: &[&str]| {
            let each = of.iter().enumerate();
            each.map(|(n, value)| add(&format!("x-{n}"), value, "")).collect::<String>()
        };
        let adding = format!(
            "  request_headers_to_add:\n{}  response_headers_to_add:\n{}",
            items(OPERATORS),
            items(OF_RESPONSES)
        );
        let routes = format!(
            "- match: {{ prefix: /direct }}\n  name: the-direct\n  direct_response: \
            {{ status: 200 }}\n{adding}- match: {{ prefix: / }}\n  name: the-route\n  \
            route: {{ cluster: a }}\n{adding}"
        );
        Bootstrap::new().routes("main", &routes).cluster("a", &[peers.a()])
    };
    let told = "HTTP/1.1 200 OK\nx-r: theirs\ncontent-length: 0\n\n";
    let exchanges = vec![
        Exchange::get("with values", "/p?q", "x-a: abcdef\nx-b: b\n").told(told),
        Exchange::get("without values", "/p", "").told(told),
        Exchange::get("value twice", "/p", "x-a: one\nx-a: two\n").told(told),
        Exchange::get("direct response", "/direct", "x-a: abcdef\n"),
    ];
    check(&Corpus { name: "operators", bootstrap, exchanges });
}
