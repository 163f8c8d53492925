//! Replies of the proxy itself to gRPC requests: the status and the message in gRPC's fields.

use ringway_test_support::{Bootstrap, Reply, indent};

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

const MANAGER: &str = "envoy.extensions.filters.network.http_connection_manager.v3.\
                       HttpConnectionManager";
const ENABLE_TRAILERS: &str = "http_protocol_options: { enable_trailers: true }";

fn filtered(peers: &Peers) -> Bootstrap {
    let kind = "type.googleapis.com/envoy.extensions.filters.http";
    let filter = |name: &str, message: &str| {
        format!("- name: {name}\n  typed_config: {{ \"@type\": {kind}.{message} }}\n")
    };
    let router = filter("router", "router.v3.Router");
    let listener = |name: &str, filters: &str| {
        let filters = indent(&[filters, &router].concat(), 10);
        format!(
            "- name: {name}
  address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }}
  filter_chains:
  - filters:
    - name: hcm
      typed_config:
        \"@type\": type.googleapis.com/{MANAGER}
        stat_prefix: {name}
        http_filters:
{filters}
        route_config:
          virtual_hosts:
          - name: all
            domains: ['*']
            routes: [{{ match: {{ prefix: / }}, route: {{ cluster: a }} }}]
"
        )
    };
    let stats = filter("stats", "grpc_stats.v3.FilterConfig");
    let web = [stats.as_str(), &filter("web", "grpc_web.v3.GrpcWeb")].concat();
    Bootstrap::new()
        .listener(&listener("main", &web))
        .listener(&listener("bridge", &filter("bridge", "grpc_http1_bridge.v3.Config")))
        .cluster_with("a", &[peers.a()], ENABLE_TRAILERS)
}

fn call(name: &str, content_type: &str, body: &str) -> Exchange {
    let length = body.len();
    let head = format!("POST /a.B/C HTTP/1.1\nhost: a\ncontent-type: {content_type}\n");
    let accept =
        if content_type.contains("text") { "accept: application/grpc-web-text\n" } else { "" };
    Exchange::ask(name, &format!("{head}{accept}content-length: {length}\n\n{body}"))
}

/// A gRPC answer in chunks, with these trailers.
fn called(trailers: &str) -> Reply {
    let head = "HTTP/1.1 200 OK\ncontent-type: application/grpc\ntransfer-encoding: chunked\n\n";
    let body = "7\n\0\0\0\0\u{2}hi\n3\n\0\0\0\n4\n\0\u{2}ho\n0\n";
    Reply::raw(format!("{head}{body}{trailers}\n").replace('\n', "\r\n"))
}

/// gRPC for those who cannot read trailers.
#[test]
fn grpc_for_browsers_and_http1() {
    let web = "application/grpc-web";
    let text = "application/grpc-web-text";
    let message = "\0\0\0\0\u{2}hi";
    let ok = "grpc-status: 0\ngrpc-message: \nx-tail: 1\n";
    let not_found = "grpc-status: 5\ngrpc-message: none\n";
    let plain = "HTTP/1.1 404 No\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nnone";
    let alone = "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 5\r\n\
                 content-length: 0\r\n\r\n";
    let bridged = |name: &str| call(name, "application/grpc", message).on("bridge");
    let exchanges = vec![
        call("web", web, message).reply(called(ok)),
        call("web not found", &format!("{web}+proto"), message).reply(called(not_found)),
        call("web without body", web, message).reply(Reply::raw(alone)),
        call("web of no gRPC", web, message).reply(Reply::raw(plain)),
        call("text", text, "AAAAAAJoaQ==").reply(called(ok)),
        call("text of no gRPC", text, "AAAAAAJoaQ==").reply(Reply::raw(plain)),
        call("web of another kind", "application/grpc-web+json", message).reply(called(ok)),
        call("gRPC beside", "application/grpc", message).reply(called(ok)),
        bridged("bridge").reply(called(ok)),
        bridged("bridge not found").reply(called(not_found)),
        bridged("bridge without trailers").reply(called("")),
        bridged("bridge without body").reply(Reply::raw(alone)),
        bridged("bridge of no gRPC").reply(Reply::raw(plain)),
        call("bridge beside", "text/plain", "hi").on("bridge").reply(called(ok)),
    ];
    check(&Corpus { name: "gRPC filters", bootstrap: filtered, exchanges });
}
