//! Replies of the proxy itself to gRPC requests: the status and the message in gRPC's fields.

use ringway_test_support::{Bootstrap, Reply};

use crate::compare::check;
use crate::exchange::{Corpus, Exchange, Peers};

const STATUSES: [u16; 19] =
    [200, 204, 304, 400, 401, 403, 404, 408, 409, 413, 418, 429, 431, 500, 501, 502, 503, 504, 599];

fn bootstrap(_: &Peers) -> Bootstrap {
    let direct = |(path, status, body): (&str, u16, &str)| {
        format!(
            "- match: {{ path: /{path}{status} }}\n  \
               direct_response: {{ status: {status}, body: {{ inline_string: \"{body}\" }} }}\n"
        )
    };
    let empty = STATUSES.map(|status| direct(("empty", status, "")));
    let told = STATUSES.map(|status| direct(("told", status, "told")));
    let odd = direct(("odd", 500, "50 % \\\"off\\\"\\r\\n\\t~ th\u{e9} {}<>"));
    let moved = "- { match: { path: /moved }, redirect: { path_redirect: /there } }\n";
    let added = "- match: { path: /added }
  direct_response: { status: 503, body: { inline_string: told } }
  response_headers_to_add:
  - header: { key: grpc-status, value: \"5\" }
  - header: { key: content-type, value: text/html }
  - header: { key: content-length, value: \"7\" }\n";
    let routes = [&empty.concat(), &told.concat(), &odd, moved, added].concat();
    Bootstrap::new().routes("main", &routes)
}

#[test]
fn grpc_replies() {
    let grpc = "content-type: application/grpc\n";
    let mut exchanges = Vec::new();
    for status in STATUSES {
        for path in [format!("/empty{status}"), format!("/told{status}")] {
            exchanges.push(Exchange::get(path.as_str(), &path, grpc));
        }
    }
    for path in ["/odd500", "/moved", "/added", "/nowhere"] {
        exchanges.push(Exchange::get(path, path, grpc));
        let head = format!("HEAD {path} HTTP/1.1\nhost: a\n{grpc}\n");
        exchanges.push(Exchange::ask(format!("HEAD {path}"), &head));
    }
    for content_type in [
        "application/grpc+proto",
        "application/grpc-web",
        "application/grpc; charset=utf-8",
        "Application/GRPC",
        "application/grpc+",
    ] {
        let field = format!("content-type: {content_type}\n");
        exchanges.push(Exchange::get(content_type, "/told503", &field));
    }
    check(&Corpus { name: "gRPC replies", bootstrap, exchanges });
}

/// Names and options of routes with a limit.
const LIMITS: [(&str, &str); 13] = [
    ("none", "timeout: 15s"),
    ("streams", "timeout: 5s, max_stream_duration: { max_stream_duration: 100s }"),
    ("empty", "timeout: 5s, max_stream_duration: {}"),
    ("zero", "max_stream_duration: { max_stream_duration: 0s }"),
    ("any", "max_stream_duration: { grpc_timeout_header_max: 0s }"),
    ("max", "max_stream_duration: { grpc_timeout_header_max: 10s }"),
    (
        "offset",
        "max_stream_duration: { grpc_timeout_header_max: 0s, grpc_timeout_header_offset: 0.2s }",
    ),
    ("offset-alone", "max_stream_duration: { grpc_timeout_header_offset: 0.2s }"),
    (
        "both",
        "max_stream_duration: { max_stream_duration: 90s, grpc_timeout_header_max: 10s, \
         grpc_timeout_header_offset: 0.2s }",
    ),
    ("older", "timeout: 20s, max_grpc_timeout: 10s"),
    ("older-any", "timeout: 20s, max_grpc_timeout: 0s"),
    ("older-offset", "timeout: 20s, max_grpc_timeout: 0s, grpc_timeout_offset: 0.2s"),
    (
        "older-and-newer",
        "max_grpc_timeout: 10s, max_stream_duration: { grpc_timeout_header_max: 0s }",
    ),
];

fn limited(peers: &Peers) -> Bootstrap {
    let routes = LIMITS.map(|(name, limit)| {
        format!("- {{ match: {{ path: /{name} }}, route: {{ cluster: a, {limit} }} }}\n")
    });
    Bootstrap::new().routes("main", &routes.concat()).cluster("a", &[peers.a()])
}

fn asking(name: String, path: &str, fields: &str) -> Exchange {
    Exchange::get(name, &format!("/{path}"), fields)
}

/// What upstreams are told of the time that they have.
#[test]
fn grpc_deadlines_are_told() {
    let grpc = "content-type: application/grpc\n";
    let mut exchanges = Vec::new();
    for (path, _) in LIMITS {
        for timeout in ["", "grpc-timeout: 7S\n", "grpc-timeout: 30S\n", "grpc-timeout: soon\n"] {
            let name = |kind: &str| format!("{kind} {path} {}", timeout.trim());
            exchanges.push(asking(name("gRPC"), path, &format!("{grpc}{timeout}")));
            exchanges.push(asking(name("HTTP"), path, timeout));
        }
    }
    for text in ["1H", "99999999H", "100000S", "99999999M", "20000001u", "100000000m", "7s", "+7S"]
    {
        let fields = format!("{grpc}grpc-timeout: {text}\n");
        exchanges.push(asking(format!("as {text}"), "any", &fields));
    }
    check(&Corpus { name: "gRPC deadlines told", bootstrap: limited, exchanges });
}

/// What clients get when the time is over.
#[test]
fn grpc_deadlines_end_streams() {
    let soon = "content-type: application/grpc\ngrpc-timeout: 100m\n";
    let silent = |name: &str, path: &str, fields: &str| {
        asking(name.into(), path, fields).reply(Reply::silence())
    };
    let exchanges = vec![
        silent("any", "any", soon),
        silent("any of HTTP", "any", "grpc-timeout: 100m\n"),
        silent("both of HTTP", "both", "grpc-timeout: 300m\n"),
        silent("older", "older", soon),
        silent("older with offset", "older-offset", soon),
    ];
    check(&Corpus { name: "gRPC deadlines over", bootstrap: limited, exchanges });
}
