//! Replies of the proxy itself to gRPC requests: the status and the message in gRPC's fields.

use ringway_test_support::Bootstrap;

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
