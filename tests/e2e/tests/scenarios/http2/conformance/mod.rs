//! HTTP/2 by the letter: what a server and a client owe a peer that breaks RFC 9113 or RFC 7541,
//! one case for each rule, in the order of the standards.
//!
//! Owns the tables and how a case is played. A case says what the RFC asks for; where Envoy does
//! something else, the case says that as well, so that the tables hold with Envoy as the subject.

mod flow;
mod frames;
mod hpack;
mod messages;
mod origins;
mod streams;

use std::time::Duration;

use ringway_test_support::{Bootstrap, H2, Make, Origin, Proxy, Reply, kind};

use super::start;

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION_ERROR: u32 = 9;

/// HEADERS with a PRIORITY in front.
const HAS_PRIORITY: u8 = 0x20;
const WHOLE: u8 = kind::END_HEADERS | kind::END_STREAM;

/// `GET /` of `test`, without any use of the dynamic table.
const GET: &[u8] = b"\x82\x86\x84\x01\x04test";
/// `POST /` of `test`.
const POST: &[u8] = b"\x83\x86\x84\x01\x04test";

/// What a peer must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// The stream is answered with 200, and the connection lives.
    Answer,
    /// Nothing: the connection lives and no stream was reset.
    Nothing,
    /// The connection lives until the proxy ends it in order.
    Farewell,
    /// RST_STREAM with one of these codes; the connection lives.
    Stream(&'static [u32]),
    /// GOAWAY with one of these codes, then the end of the connection.
    Connection(&'static [u32]),
}

use Expect::{Answer, Connection, Farewell, Nothing, Stream};

/// Says what is wrong, on the connection given, and on which stream.
type Play = fn(&mut H2) -> u32;

#[derive(Clone)]
struct Case {
    section: &'static str,
    what: &'static str,
    expect: Expect,
    /// What Envoy does where that is something else.
    envoy: Option<&'static str>,
    play: Play,
}

fn case(section: &'static str, what: &'static str, expect: Expect, play: Play) -> Case {
    Case { section, what, expect, envoy: None, play }
}

impl Case {
    fn envoy(mut self, outcome: &'static str) -> Self {
        self.envoy = Some(outcome);
        self
    }
}

/// `/` is answered at once and `/held` never; `spared` ends only the stream of a malformed message,
/// `narrow` takes one stream at a time.
fn target() -> (Origin, Proxy) {
    let origin = Origin::start(|_| Reply::silence());
    let routes = "route_config: { virtual_hosts: [{ name: a, domains: ['*'], routes: [\
                  { match: { prefix: /held }, route: { cluster: origin, timeout: 0s } }, \
                  { match: { prefix: / }, direct_response: { status: 200, body: { inline_string: \
                  'a short text' } } }] }] }";
    let options = |options| format!("http2_protocol_options: {{ {options} }}\n{routes}");
    let bootstrap = Bootstrap::new()
        .http("main", routes)
        .http("spared", &options("override_stream_error_on_invalid_http_message: true"))
        .http("narrow", &options("max_concurrent_streams: 1"))
        .http("only", &format!("codec_type: HTTP2\n{routes}"))
        .cluster("origin", &[origin.address()]);
    let proxy = start(&bootstrap);
    (origin, proxy)
}

/// What happened, in the words of what was expected.
fn outcome(client: &mut H2, stream: u32, expect: Expect) -> String {
    if matches!(expect, Answer | Stream(_)) && stream != 0 {
        // Whether it came is seen below.
        let _over_or_not = client.try_answer(stream);
    }
    let lives = client.round_trip();
    let message = client.so_far(stream);
    match (lives, message.reset) {
        (Err(_), _) => match client.goaways.last() {
            Some((_, code)) => format!("connection error {code}"),
            None => "connection ended".to_owned(),
        },
        // An answer before the end of its request is followed by NO_ERROR (RFC 9113 section 8.1).
        (Ok(()), Some(code)) if code != 0 || !message.ended => format!("stream error {code}"),
        (Ok(()), _) if message.ended => format!("answer {}", message.status()),
        (Ok(()), _) => "nothing".to_owned(),
    }
}

fn is_met(expect: Expect, outcome: &str) -> bool {
    let has = |what: &str, codes: &[u32]| codes.iter().any(|at| outcome == format!("{what} {at}"));
    match expect {
        // There is no route for an asterisk.
        Answer => ["answer 200", "answer 404"].contains(&outcome),
        // Of an origin the message is a request, which has no status.
        Nothing => ["nothing", "answer 200", "answer 0"].contains(&outcome),
        Farewell => ["nothing", "connection error 0"].contains(&outcome),
        Stream(codes) => has("stream error", codes),
        // Envoy closes without a GOAWAY, or its end overtakes it.
        Connection(_) if Make::subject() == Make::Envoy => outcome.starts_with("connection e"),
        Connection(codes) => has("connection error", codes),
    }
}

/// As [`is_met`], where Envoy's outcome is on record.
fn is_right(case: &Case, outcome: &str) -> bool {
    match case.envoy.filter(|_| Make::subject() == Make::Envoy) {
        Some(envoy) => outcome == envoy || is_met(case.expect, outcome),
        None => is_met(case.expect, outcome),
    }
}

/// Envoy may say nothing where Ringway says something: that is waited for as long as this.
fn patience(client: &mut H2) {
    if Make::subject() == Make::Envoy {
        client.patience(Duration::from_secs(2));
    }
}

/// Plays each case on a connection of its own; tells everything that is not as expected.
fn play(listener: &str, cases: &[Case]) {
    let (_origin, mut proxy) = target();
    let mut report = String::new();
    for case in cases {
        let mut client = H2::connect(proxy.listener(listener), &[]);
        client.round_trip().expect("a connection");
        patience(&mut client);
        let stream = (case.play)(&mut client);
        let outcome = outcome(&mut client, stream, case.expect);
        if !is_right(case, &outcome) {
            let Case { section, what, expect, .. } = case;
            report.push_str(&format!("{section}: {what}: {expect:?} expected, but {outcome}\n"));
        }
    }
    assert!(report.is_empty(), "\n{report}");
    assert_eq!(proxy.status(), None, "the proxy lives");
}

// ---- streams in the states of RFC 9113 section 5.1 ------------------------------------------

/// Open: the request goes on.
fn open(client: &mut H2) -> u32 {
    client.request("POST", "/held", &[], false)
}

/// Half-closed (remote): the request is whole, and its answer is still to come.
fn half_closed(client: &mut H2) -> u32 {
    client.request("GET", "/held", &[], true)
}

/// Closed by END_STREAM from both sides.
fn closed(client: &mut H2) -> u32 {
    let stream = client.request("GET", "/", &[], true);
    client.answer(stream);
    stream
}

/// Closed by RST_STREAM of the client.
fn reset(client: &mut H2) -> u32 {
    let stream = open(client);
    client.reset_stream(stream, 8);
    stream
}

/// One frame on a stream that nobody has used.
fn on(client: &mut H2, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> u32 {
    client.send(kind, flags, stream, payload);
    stream
}

/// A whole request in one HEADERS frame with that block.
fn head(client: &mut H2, block: &[u8]) -> u32 {
    let stream = client.next_stream();
    on(client, kind::HEADERS, WHOLE, stream, block)
}
