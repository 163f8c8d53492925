//! `local_reply_config`: what clients see of the replies of the proxy itself, in place of them.

use ringway_test_support::{Bootstrap, Message, Proxy, RawClient};

use crate::only_ringway;

/// A filter on a status.
fn on(status: u16) -> String {
    format!(
        "filter: {{ status_code_filter: {{ comparison: {{ op: EQ, value: {{ default_value: \
         {status}, runtime_key: k }} }} }} }}"
    )
}

fn started(config: &str) -> Proxy {
    let direct = |status: u16| {
        format!(
            "    - {{ match: {{ path: /{status} }}, direct_response: {{ status: {status}, body: {{ \
             inline_string: direct }} }} }}\n"
        )
    };
    let routes = format!(
        "routes:\n{}{}{}    - {{ match: {{ path: /503 }}, route: {{ cluster: none }} }}\n    \
         - {{ match: {{ path: /moved }}, redirect: {{ path_redirect: /there }} }}\n",
        direct(404),
        direct(421),
        direct(200)
    );
    let manager = format!(
        "{config}route_config:\n  name: r\n  virtual_hosts:\n  - name: v\n    domains: ['*']\n    \
         {routes}"
    );
    Proxy::start(Bootstrap::new().http("main", &manager).cluster("none", &[]).to_yaml())
}

fn mapped() -> Proxy {
    let (gone, bad, moved, none) = (on(404), on(400), on(301), on(421));
    let json = "{ a: '%LOCAL_REPLY_BODY%', b: '%RESPONSE_CODE%', c: '%RESPONSE_CODE_DETAILS%' }";
    let value = "%RESPONSE_CODE%-%RESPONSE_FLAGS%-%REQ(:path)%%LOCAL_REPLY_BODY%";
    let unavailable = on(503);
    started(&format!(
        "local_reply_config:\n  mappers:\n  - {gone}\n    status_code: 410\n    body: {{ \
         inline_string: gone }}\n    headers_to_add:\n    - {{ header: {{ key: foo, value: \
         '{value}' }} }}\n    - {{ header: {{ key: content-type, value: text/own }} }}\n  \
         - {gone}\n    status_code: 418\n  - {unavailable}\n    body_format_override: {{ \
         json_format: {json} }}\n  - {bad}\n    status_code: 401\n    body: {{ inline_string: not \
         allowed }}\n    body_format_override: {{ text_format_source: {{ inline_string: \
         '<h1>%LOCAL_REPLY_BODY%</h1>' }}, content_type: text/html }}\n  - {moved}\n    \
         status_code: 308\n  - {none}\n    status_code: 204\n"
    ))
}

fn is(answer: &Message, status: u16, kind: Option<&str>, body: &str) {
    assert_eq!((answer.status(), answer.text().as_str()), (status, body));
    assert_eq!(answer.head.get("content-type"), kind);
}

#[test]
fn the_first_mapper_that_matches_decides() {
    let proxy = mapped();
    let mut client = RawClient::connect(proxy.listener("main"));
    // Fields speak of the status that the reply had, and of no body.
    let nowhere = client.get("/nowhere");
    is(&nowhere, 410, Some("text/own"), "gone");
    assert_eq!(nowhere.head.get("foo"), Some("404-NR-/nowhere"));
    let direct = client.get("/404");
    is(&direct, 410, Some("text/own"), "gone");
    assert_eq!(direct.head.get("foo"), Some("404---/404"));
    let json = "{\"a\":\"no healthy upstream\",\"b\":503,\"c\":\"no_healthy_upstream\"}\n";
    is(&client.get("/503"), 503, Some("application/json"), json);
    is(&client.get("/200"), 200, Some("text/plain"), "direct");
    let moved = client.get("/moved");
    is(&moved, 308, None, "");
    assert!(moved.head.get("location").is_some_and(|to| to.ends_with("/there")));
    assert_eq!(proxy.stat("http.main.downstream_rq_4xx"), 2);
    let mut broken = RawClient::connect(proxy.listener("main"));
    let refused = broken.ask("GET / HTTP/1.1\r\nhost: a\r\nno field\r\n\r\n");
    is(&refused, 401, Some("text/html"), "<h1>not allowed</h1>");
    broken.expect_close();
}

/// The body of the reply becomes the message, and the new status decides about gRPC's.
#[test]
fn calls_get_what_mappers_make_of_replies() {
    let proxy = mapped();
    let mut client = RawClient::connect(proxy.listener("main"));
    let mut call = |path: &str| {
        client.ask(format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ncontent-length: \
             0\r\n\r\n"
        ))
    };
    let nowhere = call("/nowhere");
    is(&nowhere, 200, Some("application/grpc"), "");
    assert_eq!(nowhere.head.get("grpc-status"), Some("2"));
    assert_eq!(nowhere.head.get("grpc-message"), Some("gone"));
    assert_eq!(nowhere.head.get("foo"), Some("404-NR-/nowhere"));
    assert_eq!(call("/503").head.get("grpc-status"), Some("14"));
}

/// Nothing follows 204, and the connection goes on. Envoy sends the body.
#[test]
fn a_mapper_cannot_break_the_framing() {
    if !only_ringway("a 204 without a body") {
        return;
    }
    let proxy = mapped();
    let mut client = RawClient::connect(proxy.listener("main"));
    assert_eq!(client.get("/421").status(), 204);
    assert_eq!(client.get("/200").status(), 200);
    assert_eq!(client.ask("HEAD /404 HTTP/1.1\r\nhost: a\r\n\r\n").status(), 410);
    assert_eq!(client.get("/200").status(), 200);
}

#[test]
fn one_format_is_for_all_bodies() {
    let proxy = started(
        "local_reply_config:\n  body_format: { text_format_source: { inline_string: \
         '%LOCAL_REPLY_BODY%:%RESPONSE_CODE%' } }\n",
    );
    let mut client = RawClient::connect(proxy.listener("main"));
    is(&client.get("/nowhere"), 404, Some("text/plain"), ":404");
    is(&client.get("/200"), 200, Some("text/plain"), "direct:200");
    is(&client.get("/503"), 503, Some("text/plain"), "no healthy upstream:503");
    is(&client.get("/moved"), 301, Some("text/plain"), ":301");
}
