//! How requests end, well and otherwise: status, access log and the statistics of a cluster for
//! each fate.

use ringway_test_support::{Bootstrap, Reply, indent};

use crate::compare::check;
use crate::exchange::{Corpus, Exchange, Peers, post};
use crate::play::LOG;

/// Each has a cluster and a route of its own, so that its statistics stand alone.
const FATES: [&str; 50] = [
    "served",
    "head",
    "empty",
    "unchanged",
    "posted",
    "close",
    "until-close",
    "old",
    "old-alive",
    "fin",
    "rst",
    "fin-in-head",
    "rst-in-head",
    "fin-in-body",
    "rst-in-body",
    "fin-in-chunk",
    "rst-in-chunk",
    "nonsense",
    "nonsense-in-chunk",
    "surplus",
    "huge-head",
    "many-fields",
    "hint",
    "hint-fin",
    "timeout",
    "timeout-in-body",
    "idle",
    "idle-in-body",
    "early",
    "early-chunked",
    "early-fin",
    "early-error",
    "left",
    "torn",
    "left-in-request",
    "torn-in-request",
    "left-in-response",
    "torn-in-response",
    "bad-chunk",
    "upgrade",
    "once",
    "grpc-fin",
    "grpc-timeout",
    "grpc-served",
    "long",
    "long-in-body",
    "long-request",
    "full",
    "high",
    "trailed",
];

const FULL: &str = "circuit_breakers: { thresholds: [{ max_requests: 0 }] }";

const TRAILED: &str = "typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: { http_protocol_options: { enable_trailers: true } }";

const LONG: &str = "typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    common_http_protocol_options: { max_stream_duration: 0.1s }
    explicit_http_config: { http_protocol_options: {} }";

const FORMAT: &str = "    log_format:
      text_format_source:
        inline_string: \"%REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% \
                      %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \
                      %UPSTREAM_TRANSPORT_FAILURE_REASON% %UPSTREAM_REQUEST_ATTEMPT_COUNT% \
                      %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_CLUSTER% %UPSTREAM_HOST% \
                      %RESP(grpc-status)% %TRAILER(x-tail)%\\n\"";

fn bootstrap(peers: &Peers) -> Bootstrap {
    let route = |fate: &&str| {
        let timeout = match *fate {
            "timeout" | "timeout-in-body" | "grpc-timeout" => ", timeout: 0.1s",
            "high" => ", priority: HIGH",
            "idle" | "idle-in-body" => ", idle_timeout: 0.1s",
            _ => "",
        };
        format!("- {{ match: {{ path: /{fate} }}, route: {{ cluster: {fate}{timeout} }} }}\n")
    };
    let probe = "- { match: { path: /probe }, direct_response: { status: 200 } }\n";
    let routes: String = FATES.iter().map(route).chain([probe.to_owned()]).collect();
    let manager = format!(
        "access_log:
- name: envoy.access_loggers.file
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
    path: '{LOG}'
{FORMAT}
route_config:
  virtual_hosts:
  - name: all
    domains: ['*']
    routes:
{}",
        indent(&routes, 4)
    );
    let add = |bootstrap: Bootstrap, fate: &&str| match *fate {
        "once" => bootstrap.cluster_with(fate, &[peers.a()], "max_requests_per_connection: 1"),
        "trailed" => bootstrap.cluster_with(fate, &[peers.a()], TRAILED),
        "full" => bootstrap.cluster_with(fate, &[peers.a()], FULL),
        _ if fate.starts_with("long") => bootstrap.cluster_with(fate, &[peers.a()], LONG),
        _ => bootstrap.cluster(fate, &[peers.a()]),
    };
    FATES.iter().fold(Bootstrap::new().http("main", &manager), add)
}

fn get(fate: &str) -> Exchange {
    Exchange::get(fate, &format!("/{fate}"), "")
}

fn grpc(fate: &str) -> Exchange {
    Exchange::get(fate, &format!("/{fate}"), "content-type: application/grpc\n")
}

/// Half a request: its body never ends.
fn half(fate: &str) -> Exchange {
    let request = format!("POST /{fate} HTTP/1.1\nhost: a\ncontent-length: 10\n\nhello");
    Exchange::ask(fate, &request)
}

fn raw(response: &str) -> Reply {
    Reply::raw(response.replace('\n', "\r\n"))
}

const HALF_HEAD: &str = "HTTP/1.1 200 OK\nx-a: b\n";
const HALF_BODY: &str = "HTTP/1.1 200 OK\ncontent-length: 10\n\nhello";
const HALF_CHUNK: &str = "HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\na\nhello";

fn answered() -> Vec<Exchange> {
    let trailed = "HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n2\nok\n0\nx-tail: end\n\n";
    let fields = "x-filler: x\n".repeat(120);
    vec![
        get("served"),
        Exchange::ask("head", "HEAD /head HTTP/1.1\nhost: a\n\n"),
        get("empty").told("HTTP/1.1 204 No\n\n"),
        get("unchanged").told("HTTP/1.1 304 Same\n\n"),
        post("posted", "/posted", "hello"),
        get("close")
            .reply(raw("HTTP/1.1 200 OK\nconnection: close\ncontent-length: 2\n\nok").close()),
        get("until-close").reply(raw("HTTP/1.1 200 OK\n\nhello").close()),
        get("old").reply(raw("HTTP/1.0 200 OK\ncontent-length: 2\n\nok").close()),
        get("old-alive").told("HTTP/1.0 200 OK\nconnection: keep-alive\ncontent-length: 2\n\nok"),
        get("surplus").told("HTTP/1.1 200 OK\ncontent-length: 2\n\nokHTTP/1.1 200 OK\n\n"),
        get("huge-head").told(&format!("HTTP/1.1 200 OK\nx: {}\n\n", "x".repeat(90_000))),
        get("many-fields").told(&format!("HTTP/1.1 200 OK\n{fields}\n")),
        get("hint").told("HTTP/1.1 103 Early\nlink: x\n\nHTTP/1.1 200 OK\ncontent-length: 0\n\n"),
        get("hint-fin").reply(raw("HTTP/1.1 103 Early\n\n").close()),
        get("once"),
        get("full"),
        get("high"),
        get("trailed").told(trailed),
        grpc("grpc-served"),
    ]
}

fn broken_by_the_origin() -> Vec<Exchange> {
    vec![
        get("fin").reply(Reply::default().close()),
        get("rst").reply(Reply::default().reset()),
        get("fin-in-head").reply(raw(HALF_HEAD).close()),
        get("rst-in-head").reply(raw(HALF_HEAD).reset()),
        get("fin-in-body").reply(raw(HALF_BODY).close()),
        get("rst-in-body").reply(raw(HALF_BODY).reset()),
        get("fin-in-chunk").reply(raw(HALF_CHUNK).close()),
        get("rst-in-chunk").reply(raw(HALF_CHUNK).reset()),
        get("nonsense").told("nonsense\n\n"),
        get("nonsense-in-chunk").told("HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\nzz\n"),
        grpc("grpc-fin").reply(Reply::default().close()),
    ]
}

fn ended_by_time() -> Vec<Exchange> {
    vec![
        get("timeout").reply(Reply::silence()),
        get("timeout-in-body").reply(raw(HALF_BODY).hang()),
        get("idle").reply(Reply::silence()),
        get("idle-in-body").reply(raw(HALF_BODY).hang()),
        grpc("grpc-timeout").reply(Reply::silence()),
        get("long").reply(Reply::silence()),
        get("long-in-body").reply(raw(HALF_BODY).hang()),
        half("long-request").reply(Reply::silence()),
    ]
}

fn answered_early() -> Vec<Exchange> {
    let chunked = "HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n2\nok\n0\n\n";
    vec![
        half("early").reply(Reply::status(200, "early").early()),
        half("early-chunked").reply(raw(chunked).early()),
        half("early-fin").reply(Reply::default().close().early()),
        half("early-error").reply(Reply::status(413, "large").early()),
    ]
}

fn broken_by_the_client() -> Vec<Exchange> {
    let chunks = "POST /bad-chunk HTTP/1.1\nhost: a\ntransfer-encoding: chunked\n\n";
    let upgrade = "GET /upgrade HTTP/1.1\nhost: a\nconnection: upgrade\nupgrade: websocket\n\n";
    vec![
        get("left").reply(Reply::silence()).abandoned(),
        get("torn").reply(Reply::silence()).torn(),
        half("left-in-request").abandoned(),
        half("torn-in-request").torn(),
        get("left-in-response").reply(raw(HALF_BODY).hang()).left(),
        get("torn-in-response").reply(raw(HALF_BODY).hang()).torn_in_response(),
        Exchange::ask("bad-chunk", chunks).continued("zz\n"),
        Exchange::ask("upgrade", upgrade),
    ]
}

#[test]
fn fates() {
    let exchanges = [
        answered(),
        broken_by_the_origin(),
        ended_by_time(),
        answered_early(),
        broken_by_the_client(),
    ]
    .concat();
    check(&Corpus { name: "fates", bootstrap, exchanges });
}
