//! What the access log says of requests that went well and of those that did not.

use ringway_test_support::{Bootstrap, Reply};

use crate::compare::check;
use crate::exchange::{Corpus, Exchange, Peers, post};
use crate::play::LOG;

fn logging(peers: &Peers, format: &str) -> Bootstrap {
    let manager = format!(
        "access_log:
- name: envoy.access_loggers.file
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
    path: '{LOG}'
{format}
route_config:
  virtual_hosts:
  - name: all
    domains: ['*']
    routes:
    - {{ match: {{ prefix: /a }}, name: to-a, route: {{ cluster: a, timeout: 0.3s }} }}
    - {{ match: {{ prefix: /new }}, route: {{ cluster: a, prefix_rewrite: /old }} }}
    - {{ match: {{ prefix: /refused }}, route: {{ cluster: refused }} }}
    - {{ match: {{ prefix: /none }}, route: {{ cluster: none }} }}
    - {{ match: {{ prefix: /full }}, route: {{ cluster: full }} }}
    - {{ match: {{ prefix: /direct }}, direct_response: {{ status: 418, body: {{ inline_string: tea }} }} }}
    - {{ match: {{ prefix: /moved }}, redirect: {{ path_redirect: /there }} }}
    - {{ match: {{ prefix: /probe }}, direct_response: {{ status: 200 }} }}
"
    );
    Bootstrap::new()
        .http("main", &manager)
        .cluster("a", &[peers.a()])
        .cluster("none", &[])
        .cluster("refused", &[peers.refuser.address()])
        .cluster_with(
            "full",
            &[peers.a()],
            "circuit_breakers: { thresholds: [{ max_requests: 0 }] }",
        )
}

/// Requests that leave the connection open, so that the probe has its line too.
fn exchanges() -> Vec<Exchange> {
    let get = Exchange::get;
    let chunked = "HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n5\nhello\n3\nabc\n0\n\n";
    vec![
        get("served", "/a", ""),
        get("served with names", "/a?q=1", "user-agent: me\nx-forwarded-for: 1.2.3.4\n"),
        get("served with an id", "/a", "x-request-id: mine\nreferer: http://r/\n"),
        post("body", "/a", "hello"),
        post("large body", "/a", &"x".repeat(100_000)),
        get("chunked", "/a", "").told(chunked),
        get("empty", "/a", "").told("HTTP/1.1 204 No\n\n"),
        get("error of the origin", "/a", "").told("HTTP/1.1 500 Oh\ncontent-length: 2\n\noh"),
        Exchange::ask("HEAD", "HEAD /a HTTP/1.1\nhost: h.org\n\n"),
        get("rewritten", "/new/x", ""),
        get("direct", "/direct", ""),
        get("redirected", "/moved", ""),
        get("a call", "/direct", "content-type: application/grpc\n"),
        get("a call without a route", "/nowhere", "content-type: application/grpc\n"),
        get("no route", "/nowhere", ""),
        get("no endpoint", "/none", ""),
        get("refused", "/refused", ""),
        get("overflow", "/full", ""),
        get("terminated", "/a", "").reply(Reply::default().close()),
        get("nonsense", "/a", "").told("nonsense\n\n"),
        get("timeout", "/a", "").reply(Reply::silence()),
        get("quote in a value", "/a", "user-agent: a\"b\\c\n"),
    ]
}

#[test]
fn default_access_log() {
    let bootstrap = |peers: &Peers| logging(peers, "");
    check(&Corpus { name: "default access log", bootstrap, exchanges: exchanges() });
}

#[test]
fn own_access_log() {
    let bootstrap = |peers: &Peers| {
        let format = "    log_format:\n      text_format_source:\n        inline_string: \
            \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL% %RESPONSE_CODE% \
            %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_RECEIVED% %BYTES_SENT% \
            %UPSTREAM_CLUSTER% %UPSTREAM_HOST% %ROUTE_NAME% %REQ(x-missing)% %RESP(x-origin)% \
            %REQ(USER-AGENT):1% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% \
            %DOWNSTREAM_LOCAL_ADDRESS% %RESPONSE_FLAGS_LONG% %ACCESS_LOG_TYPE% \
            %UPSTREAM_PROTOCOL% %UPSTREAM_HOST_NAME% %UPSTREAM_HOST_NAME_WITHOUT_PORT% \
            %FILTER_CHAIN_NAME% %DOWNSTREAM_DIRECT_LOCAL_ADDRESS% \
            %DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT% %GRPC_STATUS% %GRPC_STATUS_NUMBER% \
            %GRPC_STATUS(SNAKE_STRING)% %VIRTUAL_CLUSTER_NAME% <%CUSTOM_FLAGS%> \
            <%DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID%> %BYTES_RETRANSMITTED% \
            %PACKETS_RETRANSMITTED% %ROUNDTRIP_DURATION% \
            %COMMON_DURATION(US_RX_BEG:US_TX_BEG:ms)%\\n\"";
        logging(peers, format)
    };
    check(&Corpus { name: "own access log", bootstrap, exchanges: exchanges() });
}
