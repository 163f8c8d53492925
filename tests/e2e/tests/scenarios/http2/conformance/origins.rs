//! The client's side: an origin that breaks the rules loses its connection or its stream, and the
//! proxy's client gets an answer in any case.

use ringway_test_support::{H2, RawClient, RawOrigin, kind};

use super::super::{ready, to_h2};
use super::*;

/// What the origin does with the first stream of a connection.
type Serve = fn(&mut H2, u32);

/// A head of 200 and nothing else.
const OK: &[u8] = b"\x88";

#[derive(Clone)]
struct Breach {
    section: &'static str,
    what: &'static str,
    expect: Expect,
    /// The status that the client gets.
    status: u16,
    /// What Envoy does where that is something else; its status is not looked at then.
    envoy: Option<&'static str>,
    serve: Serve,
}

fn breach(section: &'static str, what: &'static str, expect: Expect, serve: Serve) -> Breach {
    Breach { section, what, expect, status: 502, envoy: None, serve }
}

impl Breach {
    /// The client's answer had begun, or is whole.
    fn answered(mut self) -> Self {
        self.status = 200;
        self
    }

    fn envoy(mut self, outcome: &'static str) -> Self {
        self.envoy = Some(outcome);
        self
    }

    /// The stream ended by a reset, for which the local reply is 503.
    fn unavailable(mut self) -> Self {
        self.status = 503;
        self
    }
}

/// What the origin saw, and the status that the client got.
fn play(proxy: &Proxy, origin: &RawOrigin, breach: &Breach) -> (String, u16) {
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    let mut server = H2::server(origin.accept(), &[]);
    patience(&mut server);
    let (stream, _) = server.accept();
    (breach.serve)(&mut server, stream);
    let outcome = outcome(&mut server, stream, Nothing);
    // A connection that lives is not used again, so that each case has its own.
    drop(server);
    let status = client.try_response("GET").map_or(0, |answer| answer.status());
    proxy.wait_stat("cluster.origin.upstream_cx_active", |active| active == 0);
    (outcome, status)
}

fn play_all(breaches: &[Breach]) {
    ready();
    let origin = RawOrigin::bind();
    let mut proxy = start(&to_h2(origin.address()));
    let mut report = String::new();
    for breach in breaches {
        let Breach { section, what, expect, status, .. } = breach;
        let (outcome, got) = play(&proxy, &origin, breach);
        if breach.envoy == Some(outcome.as_str()) && Make::subject() == Make::Envoy {
            continue;
        }
        if !is_met(*expect, &outcome) {
            report.push_str(&format!("{section}: {what}: {expect:?} expected, but {outcome}\n"));
        }
        if got != *status {
            report.push_str(&format!("{section}: {what}: {status} expected, but {got}\n"));
        }
    }
    assert!(report.is_empty(), "\n{report}");
    assert_eq!(proxy.status(), None, "the proxy lives");
}

const PROTOCOL: Expect = Connection(&[PROTOCOL_ERROR]);
const STREAM: Expect = Stream(&[PROTOCOL_ERROR]);
const SIZE: Expect = Connection(&[FRAME_SIZE_ERROR]);
const FLOW: Expect = Connection(&[FLOW_CONTROL_ERROR]);
const COMPRESSION: Expect = Connection(&[COMPRESSION_ERROR]);

#[test]
fn what_origins_may_send_is_understood() {
    play_all(&sound());
}

#[test]
fn origins_that_send_wrong_frames_lose_their_connection() {
    play_all(&[frames(), settings(), blocks()].concat());
}

#[test]
fn origins_keep_to_the_states_of_streams() {
    play_all(&[idle(), begun(), over()].concat());
}

#[test]
fn origins_that_send_malformed_messages_lose_their_connection() {
    play_all(&[heads(), bodies()].concat());
}

/// A head of a response with exactly these fields, behind which nothing comes.
fn of(server: &mut H2, stream: u32, fields: &[(&str, &str)]) {
    server.headers(stream, fields, true);
}

/// A head of 200 with these fields.
fn with(server: &mut H2, stream: u32, fields: &[(&str, &str)]) {
    of(server, stream, &[&[(":status", "200")], fields].concat());
}

fn sound() -> Vec<Breach> {
    let sound = |section, what, serve| breach(section, what, Nothing, serve).answered();
    vec![
        sound("RFC 9113 6.2", "HEADERS with padding and priority", |s, stream| {
            let flags = WHOLE | HAS_PRIORITY | kind::PADDED;
            s.send(kind::HEADERS, flags, stream, &[b"\x02\x80\0\0\0\x0f", OK, &[0; 2]].concat());
        }),
        sound("RFC 9113 6.10", "CONTINUATION", |s, stream| {
            s.send(kind::HEADERS, kind::END_STREAM, stream, b"");
            s.send(kind::CONTINUATION, kind::END_HEADERS, stream, OK);
        }),
        sound("RFC 9113 4.1", "a frame of unknown type and undefined flags", |s, stream| {
            s.send(0x16, 0xff, stream, b"whatever");
            s.send(kind::HEADERS, WHOLE | 0x42, stream, OK);
        }),
        sound("RFC 9113 6.3", "PRIORITY of any stream", |s, stream| {
            s.send(kind::PRIORITY, 0, 77, &[0; 5]).send(kind::PRIORITY, 0, stream, &[0; 5]);
            s.send(kind::HEADERS, WHOLE, stream, OK);
        }),
        sound("RFC 9113 6.5.2", "an unknown setting, and ENABLE_PUSH of 0", |s, stream| {
            s.settings(&[(0xff, 1), (2, 0)]).send(kind::HEADERS, WHOLE, stream, OK);
        }),
        sound("RFC 9113 8.1", "hints before the answer", |s, stream| {
            s.headers(stream, &[(":status", "103"), ("link", "x")], false);
            s.headers(stream, &[(":status", "103")], false);
            s.send(kind::HEADERS, WHOLE, stream, OK);
        }),
        sound("RFC 9113 5.1", "WINDOW_UPDATE and RST_STREAM behind the end", |s, stream| {
            s.send(kind::HEADERS, WHOLE, stream, OK).window_update(stream, 9);
            s.reset_stream(stream, 0);
        }),
        sound("RFC 9113 6.1", "DATA with padding, ended by nothing", |s, stream| {
            s.send(kind::HEADERS, kind::END_HEADERS, stream, OK);
            s.send(kind::DATA, kind::PADDED, stream, b"\x03test\0\0\0").data(stream, b"", true);
        }),
    ]
}

fn frames() -> Vec<Breach> {
    vec![
        breach("RFC 9113 6.1", "DATA of a stream 0", PROTOCOL, |s, _| {
            s.data(0, b"x", false);
        }),
        breach("RFC 9113 4.2", "DATA above SETTINGS_MAX_FRAME_SIZE", SIZE, |s, stream| {
            s.send(kind::HEADERS, kind::END_HEADERS, stream, OK);
            s.data(stream, &[b'x'; 16_385], true);
        })
        .answered(),
        breach("RFC 9113 6.1", "padding as long as DATA", PROTOCOL, |s, stream| {
            s.send(kind::HEADERS, kind::END_HEADERS, stream, OK);
            s.send(kind::DATA, kind::PADDED, stream, b"\x04tes");
        })
        .answered(),
        breach("RFC 9113 6.2", "padding as long as HEADERS", PROTOCOL, |s, stream| {
            s.send(kind::HEADERS, WHOLE | kind::PADDED, stream, b"\x02\x88");
        }),
        breach("RFC 9113 6.2", "HEADERS of a stream 0", PROTOCOL, |s, _| {
            s.send(kind::HEADERS, WHOLE, 0, OK);
        }),
        breach("RFC 9113 6.3", "PRIORITY of a stream 0", PROTOCOL, |s, _| {
            s.send(kind::PRIORITY, 0, 0, &[0; 5]);
        })
        .envoy("answer 0"),
        breach("RFC 9113 6.4", "RST_STREAM of a stream 0", PROTOCOL, |s, _| {
            s.reset_stream(0, 8);
        }),
        breach("RFC 9113 6.4", "RST_STREAM of three bytes", SIZE, |s, stream| {
            s.send(kind::RST_STREAM, 0, stream, &[0, 0, 8]);
        }),
        breach("RFC 9113 6.7", "PING on a stream", PROTOCOL, |s, stream| {
            s.send(kind::PING, 0, stream, &[0; 8]);
        }),
        breach("RFC 9113 6.7", "PING of six bytes", SIZE, |s, _| {
            s.send(kind::PING, 0, 0, b"shorty");
        }),
        breach("RFC 9113 6.8", "GOAWAY on a stream", PROTOCOL, |s, stream| {
            s.send(kind::GOAWAY, 0, stream, &[0; 8]);
        }),
        breach("RFC 9113 6.9", "WINDOW_UPDATE of the connection by 0", PROTOCOL, |s, _| {
            s.window_update(0, 0);
        }),
        breach("RFC 9113 6.9", "WINDOW_UPDATE of a stream by 0", STREAM, |s, stream| {
            s.window_update(stream, 0);
        })
        .envoy("connection ended"),
        breach("RFC 9113 6.9.1", "a connection's window above 2^31 - 1", FLOW, |s, _| {
            s.window_update(0, 0x7fff_ffff).window_update(0, 0x7fff_ffff);
        }),
        breach("RFC 9113 8.4", "PUSH_PROMISE that nobody allowed", PROTOCOL, |s, stream| {
            let payload = [b"\0\0\0\x02", GET].concat();
            s.send(kind::PUSH_PROMISE, kind::END_HEADERS, stream, &payload);
        }),
    ]
}

fn settings() -> Vec<Breach> {
    let setting = |what, expect, serve| breach("RFC 9113 6.5.2", what, expect, serve);
    vec![
        setting("ENABLE_PUSH of a server", PROTOCOL, |s, _| {
            s.settings(&[(2, 1)]);
        }),
        setting("INITIAL_WINDOW_SIZE of 2^31", FLOW, |s, _| {
            s.settings(&[(4, 1 << 31)]);
        }),
        setting("MAX_FRAME_SIZE of 2^24", PROTOCOL, |s, _| {
            s.settings(&[(5, 1 << 24)]);
        }),
        breach("RFC 9113 6.5", "SETTINGS of no multiple of six", SIZE, |s, _| {
            s.send(kind::SETTINGS, 0, 0, &[0, 3, 0]);
        }),
        breach("RFC 9113 6.5", "SETTINGS on a stream", PROTOCOL, |s, stream| {
            s.send(kind::SETTINGS, 0, stream, b"");
        }),
    ]
}

fn blocks() -> Vec<Breach> {
    vec![
        breach("RFC 9113 6.2", "DATA within a header block", PROTOCOL, |s, stream| {
            s.send(kind::HEADERS, 0, stream, OK).data(stream, b"x", true);
        }),
        breach("RFC 9113 6.10", "CONTINUATION of another stream", PROTOCOL, |s, stream| {
            s.send(kind::HEADERS, 0, stream, OK).send(kind::CONTINUATION, 4, stream + 2, b"");
        }),
        breach("RFC 9113 6.10", "CONTINUATION without a block", PROTOCOL, |s, stream| {
            s.send(kind::CONTINUATION, kind::END_HEADERS, stream, OK);
        }),
        breach("RFC 7541 2.3.3", "an index above the tables", COMPRESSION, |s, stream| {
            s.send(kind::HEADERS, WHOLE, stream, b"\x88\xbe");
        }),
        breach("RFC 7541 5.2", "Huffman with EOS", COMPRESSION, |s, stream| {
            s.send(kind::HEADERS, WHOLE, stream, b"\x88\x00\x01x\x84\xff\xff\xff\xff");
        }),
        breach("RFC 7541 6.3", "a table above the one allowed", COMPRESSION, |s, stream| {
            s.send(kind::HEADERS, WHOLE, stream, b"\x3f\xe2\x1f\x88");
        }),
        breach("RFC 7541 5.1", "an integer without end", COMPRESSION, |s, stream| {
            s.send(kind::HEADERS, WHOLE, stream, &[0xff; 12]);
        }),
    ]
}

fn idle() -> Vec<Breach> {
    let idle = |what, serve| breach("RFC 9113 5.1, idle", what, PROTOCOL, serve);
    vec![
        idle("HEADERS", |s, stream| {
            s.send(kind::HEADERS, WHOLE, stream + 2, OK);
        }),
        idle("HEADERS of a stream of the server's", |s, _| {
            s.send(kind::HEADERS, WHOLE, 2, OK);
        }),
        idle("DATA", |s, stream| {
            s.data(stream + 2, b"x", true);
        }),
        idle("RST_STREAM", |s, stream| {
            s.reset_stream(stream + 2, 8);
        }),
        idle("WINDOW_UPDATE", |s, stream| {
            s.window_update(stream + 2, 1);
        }),
    ]
}

fn begun() -> Vec<Breach> {
    vec![
        breach("RFC 9113 8.1", "DATA before HEADERS", STREAM, |s, stream| {
            s.data(stream, b"test", true);
        })
        .envoy("connection error 1"),
        breach("RFC 9113 5.4.2", "a reset before the answer", Nothing, |s, stream| {
            s.reset_stream(stream, 2);
        })
        .unavailable(),
    ]
}

fn over() -> Vec<Breach> {
    const CLOSED: Expect = Connection(&[STREAM_CLOSED]);
    let over = |what, serve| breach("RFC 9113 5.1, closed", what, CLOSED, serve).answered();
    vec![
        over("DATA", |s, stream| {
            s.send(kind::HEADERS, WHOLE, stream, OK).data(stream, b"test", true);
        })
        .envoy("answer 0"),
        over("HEADERS", |s, stream| {
            s.send(kind::HEADERS, WHOLE, stream, OK).send(kind::HEADERS, WHOLE, stream, OK);
        })
        .envoy("answer 0"),
    ]
}

fn heads() -> Vec<Breach> {
    let status = |what, serve| breach("RFC 9113 8.3.2", what, PROTOCOL, serve);
    let field = |what, serve| breach("RFC 9113 8.2", what, PROTOCOL, serve);
    vec![
        status("no :status", |s, stream| of(s, stream, &[("x-test", "ok")])),
        status("two :status", |s, stream| with(s, stream, &[(":status", "200")])),
        status(":status of two digits", |s, stream| of(s, stream, &[(":status", "20")])),
        status(":status of four digits", |s, stream| of(s, stream, &[(":status", "2000")])),
        status(":status of letters", |s, stream| of(s, stream, &[(":status", "abc")])),
        status(":status behind a field", |s, stream| {
            of(s, stream, &[("x-test", "ok"), (":status", "200")]);
        }),
        status("a pseudo header field of requests", |s, stream| with(s, stream, &[(":path", "/")])),
        breach("RFC 9113 8.6", ":status 101", PROTOCOL, |s, stream| {
            s.headers(stream, &[(":status", "101")], false);
        }),
        breach("RFC 9113 8.1", "a hint that ends the stream", PROTOCOL, |s, stream| {
            of(s, stream, &[(":status", "103")]);
        }),
        field("a name in capitals", |s, stream| with(s, stream, &[("X-Test", "ok")])),
        field("a blank in a name", |s, stream| with(s, stream, &[("x test", "ok")])),
        field("NUL in a value", |s, stream| with(s, stream, &[("x-test", "a\0b")])),
        field("CRLF in a value", |s, stream| with(s, stream, &[("x-test", "a\r\nb: c")])),
        field("connection", |s, stream| with(s, stream, &[("connection", "close")])),
        field("transfer-encoding", |s, stream| {
            with(s, stream, &[("transfer-encoding", "chunked")])
        }),
        field("upgrade", |s, stream| with(s, stream, &[("upgrade", "x")])),
        field("keep-alive", |s, stream| with(s, stream, &[("keep-alive", "1")])),
        field("proxy-connection", |s, stream| with(s, stream, &[("proxy-connection", "x")])),
    ]
}

fn bodies() -> Vec<Breach> {
    /// A head of that length, then these DATA frames.
    fn sized(s: &mut H2, stream: u32, length: &str, data: &[u8]) {
        let head = [(":status", "200"), ("content-length", length)];
        s.headers(stream, &head, false).data(stream, data, true);
    }
    let length = |what, serve| breach("RFC 9113 8.1.1", what, PROTOCOL, serve);
    vec![
        breach("RFC 9113 8.1.1", "content-length above the data", STREAM, |s, stream| {
            sized(s, stream, "5", b"test")
        })
        .answered(),
        breach("RFC 9113 8.1.1", "content-length below the data", STREAM, |s, stream| {
            sized(s, stream, "3", b"test")
        })
        .envoy("answer 0")
        .answered(),
        length("content-length without data", |s, stream| {
            with(s, stream, &[("content-length", "4")])
        }),
        length("content-length that is no number", |s, stream| sized(s, stream, "four", b"test")),
        length("two content-length", |s, stream| {
            let two = [(":status", "200"), ("content-length", "4"), ("content-length", "5")];
            s.headers(stream, &two, false).data(stream, b"test", true);
        }),
        breach("RFC 9113 8.1", "a pseudo header field in trailers", PROTOCOL, |s, stream| {
            s.send(kind::HEADERS, kind::END_HEADERS, stream, OK);
            s.headers(stream, &[(":status", "200")], true);
        })
        .answered(),
        breach(
            "RFC 9113 8.1",
            "a second head that does not end the stream",
            PROTOCOL,
            |s, stream| {
                s.send(kind::HEADERS, kind::END_HEADERS, stream, OK);
                s.headers(stream, &[("x-test", "ok")], false);
            },
        )
        .answered(),
    ]
}
