//! Requests that never get as far as a route: status, access log and the statistics of the
//! connection manager.

use ringway_test_support::Bootstrap;

use crate::compare::check;
use crate::exchange::{Corpus, Exchange, Peers};
use crate::play::LOG;

fn bootstrap(peers: &Peers) -> Bootstrap {
    let manager = format!(
        "normalize_path: true
path_with_escaped_slashes_action: REJECT_REQUEST
request_headers_timeout: 0.1s
request_timeout: 0.2s
max_request_headers_kb: 8
common_http_protocol_options:
  headers_with_underscores_action: REJECT_REQUEST
  max_headers_count: 20
access_log:
- name: envoy.access_loggers.file
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
    path: '{LOG}'
    log_format:
      text_format_source:
        inline_string: \"%REQ(:METHOD)% %REQ(:PATH)% %REQ(:AUTHORITY)% %PROTOCOL% \
                        %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% \
                        %BYTES_RECEIVED% %BYTES_SENT% %ROUTE_NAME% %UPSTREAM_CLUSTER%\\n\"
route_config:
  virtual_hosts:
  - name: all
    domains: ['a', 'strict']
    routes:
    - {{ match: {{ prefix: /probe }}, direct_response: {{ status: 200 }} }}
    - {{ match: {{ prefix: / }}, name: all, route: {{ cluster: a }} }}
"
    );
    Bootstrap::new().http("main", &manager).cluster("a", &[peers.a()])
}

fn refused() -> Vec<Exchange> {
    let many: String = (0..30).map(|n| format!("x-{n}: y\n")).collect();
    let large = format!("x: {}\n", "y".repeat(10_000));
    let get = |fields: &str| format!("GET /x HTTP/1.1\nhost: a\n{fields}\n");
    let post = |fields: &str| format!("POST /x HTTP/1.1\nhost: a\n{fields}\n");
    let cases = [
        ("served", get("x-1: y\n")),
        ("nonsense", "nonsense\n\n".into()),
        ("unknown method", "BREW /x HTTP/1.1\nhost: a\n\n".into()),
        ("blank in a name", get("x y: z\n")),
        ("underscore", get("x_y: z\n")),
        ("many fields", get(&many)),
        ("large fields", get(&large)),
        ("HTTP/1.0", "GET /x HTTP/1.0\nhost: a\n\n".into()),
        ("HTTP/0.9", "GET /x\n\n".into()),
        ("no host", "GET /x HTTP/1.1\n\n".into()),
        ("other host", "GET /x HTTP/1.1\nhost: b\n\n".into()),
        ("fragment", "GET /x#y HTTP/1.1\nhost: a\n\n".into()),
        ("escaped slash", "GET /x%2fy HTTP/1.1\nhost: a\n\n".into()),
        ("above the root", "GET /../x HTTP/1.1\nhost: a\n\n".into()),
        ("coding", post("transfer-encoding: gzip\n")),
        ("length and coding", post("content-length: 3\ntransfer-encoding: chunked\n")),
        ("two lengths", post("content-length: 3\ncontent-length: 4\n")),
        ("upgrade", get("connection: upgrade\nupgrade: websocket\n")),
        ("connect", "CONNECT a:80 HTTP/1.1\nhost: a:80\n\n".into()),
        ("asterisk", "OPTIONS * HTTP/1.1\nhost: a\n\n".into()),
        ("late head", "GET /x HTTP/1.1\nhost: a\n".into()),
        ("late body", post("content-length: 10\n") + "hello"),
        ("expects something", get("expect: magic\n")),
        ("asks to close", get("connection: close\n")),
    ];
    let mut exchanges: Vec<Exchange> =
        cases.into_iter().map(|(name, bytes)| Exchange::ask(name, &bytes)).collect();
    // The client leaves before there is a head to answer.
    for (name, bytes) in [
        ("empty line, then the end", "\n"),
        ("half a line, then the end", "GET /x HT"),
        ("half a head, then the end", "GET /x HTTP/1.1\nhost: a\n"),
    ] {
        exchanges.push(Exchange::ask(name, bytes).finishing());
    }
    exchanges
}

#[test]
fn refusals() {
    check(&Corpus { name: "refusals", bootstrap, exchanges: refused() });
}
