//! The same streams on Ringway and on Envoy: heads, bodies, trailers, codes of resets, whether the
//! connection lives on, what the origin received, the access log and the statistics.

use std::fmt::Write;
use std::thread;

use ringway_test_support::{
    Bootstrap, H2, H2Message, Head, Launch, Make, Origin, Proxy, Reply, envoy, skip,
};

use crate::mask::{self, Ports};
use crate::play::LOG;

type Pairs = Vec<(&'static str, String)>;

/// One stream on a connection of its own.
struct Case {
    name: &'static str,
    head: Pairs,
    body: Option<&'static [u8]>,
    trailers: Option<Pairs>,
    /// The client says that nothing follows.
    ends: bool,
}

fn get(name: &'static str, path: &str) -> Case {
    asks(name, "GET", path, &[])
}

fn asks(name: &'static str, method: &str, path: &str, more: &[(&'static str, &str)]) -> Case {
    let own = [(":method", method), (":scheme", "http"), (":authority", "a.test"), (":path", path)];
    of(name, &[&own[..], more].concat())
}

fn of(name: &'static str, head: &[(&'static str, &str)]) -> Case {
    let head = head.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Case { name, head, body: None, trailers: None, ends: true }
}

impl Case {
    fn body(mut self, body: &'static [u8]) -> Self {
        self.body = Some(body);
        self
    }

    fn trailers(mut self, name: &'static str, value: &str) -> Self {
        self.trailers = Some(vec![(name, value.to_owned())]);
        self
    }

    fn open(mut self) -> Self {
        self.ends = false;
        self
    }
}

fn cases() -> Vec<Case> {
    let post =
        |name, more: &[(&'static str, &str)]| asks(name, "POST", "/echo", more).body(b"hello");
    let direct = |name, more: &[(&'static str, &str)]| asks(name, "GET", "/direct", more);
    let big = "y".repeat(8000);
    let heavy: Vec<_> = (0..9).map(|_| ("x-heavy", big.as_str())).collect();
    let many: Vec<_> = (0..101).map(|_| ("x-many", "y")).collect();
    let a =
        [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/direct")];
    vec![
        get("direct", "/direct"),
        get("not found", "/nothing"),
        get("proxied", "/echo"),
        asks("HEAD", "HEAD", "/echo", &[]),
        asks("HEAD of a direct response", "HEAD", "/direct", &[]),
        get("cut", "/cut"),
        get("until close", "/close"),
        get("hint", "/hint"),
        get("trailers", "/trailers"),
        get("garbage", "/garbage"),
        get("closed without an answer", "/empty"),
        get("204", "/204"),
        get("304", "/304"),
        get("too slow", "/slow"),
        asks("early answer", "POST", "/early", &[]).body(b"0123456789").open(),
        asks("fields", "GET", "/echo", &[("te", "trailers"), ("x-a", "1"), ("x-a", "2")]),
        asks("crumbs", "GET", "/echo", &[("cookie", "a=b"), ("cookie", "c=d")]),
        post("post", &[]),
        post("post with its length", &[("content-length", "5")]),
        post("post with trailers", &[]).trailers("x-t", "1"),
        post("longer than it is", &[("content-length", "9")]),
        post("shorter than it is", &[("content-length", "3")]),
        post("two lengths", &[("content-length", "5"), ("content-length", "5")]),
        post("no length", &[("content-length", "five")]),
        post("expectation", &[("expect", "100-continue")]),
        direct("connection", &[("connection", "close")]),
        direct("te", &[("te", "gzip")]),
        direct("transfer-encoding", &[("transfer-encoding", "chunked")]),
        direct("keep-alive", &[("keep-alive", "1")]),
        direct("upper case", &[("X-Upper", "1")]),
        direct("upgrade", &[("upgrade", "h2c")]),
        direct("NUL in a value", &[("x-a", "b\0c")]),
        direct("LF in a value", &[("x-a", "b\nc")]),
        direct("blank before a value", &[("x-a", " b")]),
        direct("blank in a name", &[("x a", "b")]),
        direct("host and authority", &[("host", "other.test")]),
        direct("unknown pseudo", &[(":unknown", "1")]),
        direct("pseudo after fields", &[("x-a", "1"), (":path", "/x")]),
        of("no path", &a[..3]),
        of("no method", &a[1..]),
        of("no scheme", &[a[0], a[2], a[3]]),
        of("no authority", &[a[0], a[1], a[3]]),
        of("host only", &[a[0], a[1], a[3], ("host", "h.test")]),
        of("scheme ftp", &[a[0], (":scheme", "ftp"), a[2], a[3]]),
        of("two paths", &[a[0], a[1], a[2], a[3], (":path", "/y")]),
        of("authority with user", &[a[0], a[1], (":authority", "u@a.test"), a[3]]),
        direct("heavy head", &heavy),
        direct("many fields", &many),
        get("fragment", "/direct#x"),
        get("no slash", "foo"),
        get("empty path", ""),
        get("blank in the path", "/dir ect"),
        get("asterisk", "*"),
        asks("asterisk of OPTIONS", "OPTIONS", "*", &[]),
        asks("unknown method", "FOO", "/echo", &[]),
        asks("underscore", "GET", "/echo", &[("x_under", "1")]),
        asks(
            "forwarded",
            "GET",
            "/echo",
            &[("x-forwarded-for", "1.2.3.4"), ("x-request-id", "abc")],
        ),
        asks("TRACE", "TRACE", "/direct", &[]),
        asks("grpc without an answer", "POST", "/empty", &[("content-type", "application/grpc")])
            .body(b"x"),
        of("CONNECT", &[(":method", "CONNECT"), (":authority", "127.0.0.1:1")]).open(),
        of(
            "extended CONNECT that nobody allows",
            &[(":method", "CONNECT"), (":protocol", "websocket"), a[1], a[2], a[3]],
        )
        .open(),
        get("absolute path", "http://a.test/direct"),
        get("last", LAST),
    ]
}

/// The path of the last case: when the log has it, it has all.
const LAST: &str = "/last";

/// Differences that are meant, each with its reason.
const KNOWN: &[(&str, &str)] = &[(
    "no authority",
    "RFC 9113 section 8.3.1 allows it: the request is refused as one of HTTP/1 without host is, \
     and its neighbours live on. Envoy ends the connection.",
)];

/// Statistics that are not compared. Envoy counts a head that is none as a request that was reset;
/// to Ringway there was no request.
const UNCOUNTED: &[&str] = &[
    "http.main.downstream_rq_total",
    "http.main.downstream_rq_http2_total",
    "http.main.downstream_rq_rx_reset",
    "http2.tx_reset",
    // The request without an authority, which is answered here.
    "http.main.downstream_rq_4xx",
    "http.main.downstream_cx_protocol_error",
    "http2.rx_messaging_error",
];

/// How far a request gets before its client breaks a rule is a matter of timing.
const TIMING: &str = "cluster.a.upstream_";

/// Lines of the log that are not Envoy's: the request without an authority was answered.
const LOGGED: &[&str] = &["GET /direct HTTP/2 400 - missing_host_header 0 0"];

fn answer(head: &Head) -> Reply {
    let told = |bytes: &str| Reply::raw(bytes.replace('\n', "\r\n"));
    match head.target() {
        "/cut" => told("HTTP/1.1 200 OK\ncontent-length: 100\n\nhello").close(),
        "/close" => told("HTTP/1.1 200 OK\n\nhello until close").close(),
        "/hint" => {
            told("HTTP/1.1 103 Early Hints\nlink: x\n\nHTTP/1.1 200 OK\ncontent-length: 0\n\n")
        }
        "/trailers" => told(
            "HTTP/1.1 200 OK\ntransfer-encoding: chunked\ntrailer: x-t\n\n5\nhello\n0\nx-t: v\n\n",
        ),
        "/garbage" => told("NOTHTTP\n\n"),
        "/empty" => Reply::default().close(),
        "/204" => told("HTTP/1.1 204 No Content\n\n"),
        "/304" => told("HTTP/1.1 304 Not Modified\ncontent-length: 9\n\n"),
        "/slow" => Reply::silence(),
        "/early" => told("HTTP/1.1 413 Too Large\ncontent-length: 2\n\nno").early(),
        _ if head.method() == "HEAD" => told("HTTP/1.1 200 OK\ncontent-length: 7\n\n"),
        _ => Reply::ok("echoed"),
    }
}

const FORMAT: &str = "%REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% \
                      %RESPONSE_CODE_DETAILS% %BYTES_RECEIVED% %BYTES_SENT%";

fn bootstrap(origin: &Origin) -> String {
    let manager = format!(
        "access_log:
- name: envoy.access_loggers.file
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
    path: '{LOG}'
    log_format: {{ text_format_source: {{ inline_string: \"{FORMAT}\\n\" }} }}
route_config:
  virtual_hosts:
  - name: all
    domains: ['*']
    routes:
    - {{ match: {{ path: /direct }}, direct_response: {{ status: 200, body: {{ inline_string: tea }} }} }}
    - {{ match: {{ path: /nothing }}, direct_response: {{ status: 404 }} }}
    - {{ match: {{ prefix: / }}, route: {{ cluster: a, timeout: 0.3s }} }}
"
    );
    Bootstrap::new().http("main", &manager).cluster("a", &[origin.address()]).to_yaml()
}

/// What one program did: the outcome of each case, then its log and its statistics.
struct Played {
    outcomes: Vec<Vec<String>>,
    log: Vec<String>,
    statistics: Vec<String>,
}

fn play(make: Make, cases: &[Case]) -> Played {
    let origin = Origin::start(answer);
    let proxy = Launch::new(make, bootstrap(&origin)).start().unwrap_or_else(|e| panic!("{e}"));
    let mut ports = Ports::default();
    ports.name(origin.address().port(), "a");
    ports.name(proxy.listener("main").port(), "main");
    let outcomes = cases.iter().map(|case| stream(&proxy, &origin, case, &ports));
    let outcomes = outcomes.collect();
    proxy.wait_stat("http.main.downstream_cx_active", |active| active == 0);
    let log = proxy.wait_file("access.log", |log| log.contains(LAST));
    // Of a head that is none Envoy logs that it came; to Ringway there was no request.
    let log = log
        .lines()
        .filter(|line| !line.starts_with("- - ") && !LOGGED.contains(line))
        .map(str::to_owned)
        .collect();
    Played { outcomes, log, statistics: statistics(&proxy) }
}

fn stream(proxy: &Proxy, origin: &Origin, case: &Case, ports: &Ports) -> Vec<String> {
    let mut client = H2::connect(proxy.listener("main"), &[]);
    client.round_trip().expect("a connection");
    let stream = client.next_stream();
    let pairs = |pairs: &Pairs| pairs.iter().map(|(n, v)| (*n, v.clone())).collect::<Vec<_>>();
    let send = |client: &mut H2, fields: &Pairs, end| {
        let fields = pairs(fields);
        let fields: Vec<_> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        client.headers(stream, &fields, end);
    };
    let only_head = case.body.is_none() && case.trailers.is_none();
    let say = |client: &mut H2| {
        send(client, &case.head, case.ends && only_head);
        if let Some(body) = case.body {
            client.data(stream, body, case.ends && case.trailers.is_none());
        }
        if let Some(trailers) = &case.trailers {
            send(client, trailers, true);
        }
    };
    match case.ends {
        true => say(&mut client),
        // An answer to the head alone must not be faster than the body behind it.
        false => client.together(say),
    }
    let ended = client.try_answer(stream).map(drop);
    let mut outcome = told(&client.so_far(stream), ports);
    // Whether the last bytes of a client meet a closed socket is a matter of timing.
    outcome.extend(ended.err().map(|_closed_or_reset| "no end".to_owned()));
    let lives = client.round_trip();
    let resets = client.so_far(stream).reset;
    outcome.extend(resets.map(|code| format!("reset {code}")));
    // Envoy ends a connection without the GOAWAY that RFC 9113 section 5.4.1 asks for.
    outcome.push(format!("connection lives: {}", lives.is_ok()));
    drop(client);
    proxy.wait_stat("http.main.downstream_rq_active", |active| active == 0);
    for asked in origin.settle().into_iter().filter(|asked| asked.message.cut.is_none()) {
        let Head { start, fields } = &asked.message.head;
        outcome.push(format!("origin: {start}"));
        let shown = |(n, v): &(String, String)| format!("origin: {}", mask::field(n, v, ports));
        outcome.extend(fields.iter().map(shown));
        outcome.push(format!("origin: {}", mask::body(&asked.message.body, ports)));
    }
    outcome
}

fn told(message: &H2Message, ports: &Ports) -> Vec<String> {
    let mut lines = Vec::new();
    let mut fields = |what: &str, fields: &[(String, String)]| {
        let shown = fields.iter().map(|(n, v)| format!("{what}{}", mask::field(n, v, ports)));
        lines.extend(shown.collect::<Vec<_>>());
    };
    message.interim.iter().for_each(|hint| fields("interim ", hint));
    fields("", &message.head);
    fields("trailer ", message.trailers.as_deref().unwrap_or_default());
    lines.push(format!("body {}, ended {}", mask::body(&message.body, ports), message.ended));
    lines
}

fn statistics(proxy: &Proxy) -> Vec<String> {
    let text = proxy.admin("/stats").text();
    let wanted = |line: &&str| {
        let ours =
            ["http.main.downstream_rq", "http.main.downstream_cx_p", "http2.", "cluster.a.up"];
        let inner =
            ["_bytes", "nghttp2", "P50(", "No recorded", "cookie", "header_count", "rq_time"];
        ours.iter().any(|prefix| line.starts_with(prefix))
            && !inner.iter().any(|part| line.contains(part))
    };
    text.lines().filter(wanted).map(str::to_owned).collect()
}

#[test]
fn streams_are_served_as_envoy_serves_them() {
    if envoy().is_none() {
        return skip("nothing to compare with");
    }
    let cases = cases();
    let (theirs, ours) = thread::scope(|scope| {
        let theirs = scope.spawn(|| play(Make::Envoy, &cases));
        let ours = play(Make::subject(), &cases);
        (theirs.join().expect("the reference's side does not panic"), ours)
    });
    let mut report = String::new();
    for ((case, theirs), ours) in cases.iter().zip(&theirs.outcomes).zip(&ours.outcomes) {
        let known = KNOWN.iter().any(|(name, _)| *name == case.name);
        match (theirs == ours, known) {
            (true, true) => report.push_str(&format!("no difference any more: {}\n", case.name)),
            (false, false) => differ(&mut report, case.name, theirs, ours),
            _ => {}
        }
    }
    differ(&mut report, "log", &theirs.log, &ours.log);
    differ_by_name(&mut report, &theirs.statistics, &ours.statistics);
    assert!(report.is_empty() || Make::subject() == Make::Envoy, "\n{report}");
}

/// Names that only one program shows are compared elsewhere.
fn differ_by_name(report: &mut String, theirs: &[String], ours: &[String]) {
    for their in theirs {
        let Some((name, value)) = their.split_once(": ") else { continue };
        let own = ours.iter().find_map(|own| own.strip_prefix(name)?.strip_prefix(": "));
        if name.starts_with(TIMING) {
            continue;
        }
        if own.is_some_and(|own| own != value) && !UNCOUNTED.contains(&name) {
            let _ = writeln!(report, "{name}: Envoy {value}, Ringway {}", own.unwrap_or_default());
        }
    }
}

fn differ(report: &mut String, name: &str, theirs: &[String], ours: &[String]) {
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    let (minus, plus) = (only(theirs, ours), only(ours, theirs));
    if theirs == ours {
        return;
    }
    let _ = writeln!(report, "== {name}");
    minus.iter().for_each(|line| report.push_str(&format!("  - {line}\n")));
    plus.iter().for_each(|line| report.push_str(&format!("  + {line}\n")));
}
