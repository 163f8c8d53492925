//! RFC 9113 sections 3, 4 and 6: the preface, and the form of each frame.

use std::io::{Read, Write};
use std::net::TcpStream;

use ringway_test_support::{H2, Make, PATIENCE, kind};

use super::*;

#[test]
fn frames_of_the_right_form_are_obeyed() {
    play("main", &sound());
}

#[test]
fn frames_of_the_wrong_form_end_their_connection() {
    play("main", &[sizes(), settings(), small_frames(), blocks()].concat());
}

fn sound() -> Vec<Case> {
    vec![
        case("RFC 9113 6.1", "DATA", Answer, |c| {
            let stream = c.request("POST", "/", &[], false);
            c.data(stream, b"test", true);
            stream
        }),
        case("RFC 9113 6.1", "several DATA", Answer, |c| {
            let stream = c.request("POST", "/", &[], false);
            c.data(stream, b"te", false).data(stream, b"st", true);
            stream
        }),
        case("RFC 9113 6.1", "DATA with padding", Answer, |c| {
            let stream = c.request("POST", "/", &[], false);
            on(c, kind::DATA, kind::END_STREAM | kind::PADDED, stream, b"\x06test\0\0\0\0\0\0")
        }),
        case("RFC 9113 6.1", "DATA of nothing but padding", Answer, |c| {
            let stream = c.request("POST", "/", &[], false);
            on(c, kind::DATA, kind::END_STREAM | kind::PADDED, stream, b"\x02\0\0")
        }),
        case("RFC 9113 6.2", "HEADERS with padding", Answer, |c| {
            let stream = c.next_stream();
            let payload = [b"\x03", GET, &[0; 3]].concat();
            on(c, kind::HEADERS, WHOLE | kind::PADDED, stream, &payload)
        }),
        case("RFC 9113 6.2", "HEADERS with priority", Answer, |c| {
            let stream = c.next_stream();
            let payload = [b"\0\0\0\0\xff", GET].concat();
            on(c, kind::HEADERS, WHOLE | HAS_PRIORITY, stream, &payload)
        }),
        case("RFC 9113 6.2", "HEADERS with padding and priority", Answer, |c| {
            let stream = c.next_stream();
            let payload = [b"\x02\x80\0\0\0\x0f", GET, &[0; 2]].concat();
            on(c, kind::HEADERS, WHOLE | HAS_PRIORITY | kind::PADDED, stream, &payload)
        }),
        case("RFC 9113 6.3", "PRIORITY of an open stream", Nothing, |c| {
            let stream = open(c);
            on(c, kind::PRIORITY, 0, stream, &[0, 0, 0, 0, 255])
        }),
        case("RFC 9113 6.3", "PRIORITY of an idle stream, then a lower one", Answer, |c| {
            on(c, kind::PRIORITY, 0, 9, &[0x80, 0, 0, 1, 0]);
            head(c, GET)
        }),
        case("RFC 9113 6.4", "RST_STREAM", Nothing, |c| {
            reset(c);
            0
        }),
        case("RFC 9113 6.5", "SETTINGS", Nothing, |c| {
            c.settings(&[(1, 100), (2, 1), (3, 7), (4, 70_000), (5, 20_000), (6, 9)]);
            0
        }),
        case("RFC 9113 6.5", "SETTINGS without entries", Nothing, |c| {
            c.settings(&[]);
            0
        }),
        case("RFC 9113 6.5.2", "an unknown setting", Nothing, |c| {
            c.settings(&[(0xff, 1)]);
            0
        }),
        case("RFC 9113 6.7", "an acknowledged PING that nobody sent", Nothing, |c| {
            on(c, kind::PING, kind::ACK, 0, b"unasked!")
        }),
        case("RFC 9113 6.8", "GOAWAY of a client", Farewell, |c| {
            c.go_away(0, 0);
            0
        })
        .envoy("connection ended"),
        case("RFC 9113 6.9", "WINDOW_UPDATE of the connection", Nothing, |c| {
            c.window_update(0, 1);
            0
        }),
        case("RFC 9113 6.9", "WINDOW_UPDATE of a stream", Nothing, |c| {
            let stream = open(c);
            c.window_update(stream, 1);
            stream
        }),
        case("RFC 9113 6.9", "WINDOW_UPDATE with the reserved bit", Nothing, |c| {
            let stream = open(c);
            c.window_update(stream, 1 << 31 | 1);
            stream
        }),
        case("RFC 9113 6.10", "CONTINUATION", Answer, |c| continued(c, &[&GET[..4], &GET[4..]])),
        case("RFC 9113 6.10", "several CONTINUATION", Answer, |c| {
            continued(c, &[&GET[..2], &GET[2..5], &GET[5..]])
        }),
        case("RFC 9113 6.10", "a block that begins in CONTINUATION", Answer, |c| {
            continued(c, &[b"", GET])
        }),
        case("RFC 9113 4.1", "a frame of unknown type", Nothing, |c| {
            on(c, 0x16, 0, 0, b"whatever");
            on(c, 0xff, 0xff, 77, b"")
        }),
        case("RFC 9113 4.1", "flags that nobody has defined", Nothing, |c| {
            c.send(kind::PING, 0x16, 0, b"flagged!");
            let stream = c.next_stream();
            on(c, kind::HEADERS, WHOLE | 0x42, stream, GET)
        }),
        case("RFC 9113 4.1", "the reserved bit of the stream", Answer, |c| {
            let stream = c.next_stream();
            on(c, kind::HEADERS, WHOLE, stream | 1 << 31, GET);
            stream
        }),
        case("RFC 9113 4.2", "DATA of 2^14 bytes", Answer, |c| {
            let stream = c.request("POST", "/", &[], false);
            c.data(stream, &[b'x'; 16_384], true);
            stream
        }),
        case("RFC 9113 7", "GOAWAY with an unknown code", Farewell, |c| {
            c.go_away(0, 0xff);
            0
        })
        .envoy("connection ended"),
        case("RFC 9113 7", "RST_STREAM with an unknown code", Nothing, |c| {
            let stream = open(c);
            c.reset_stream(stream, 0xff);
            0
        }),
        case("RFC 8441 3", "SETTINGS_ENABLE_CONNECT_PROTOCOL of a client", Nothing, |c| {
            c.settings(&[(8, 1)]);
            0
        }),
    ]
}

/// A request whose block comes in these pieces.
fn continued(client: &mut H2, pieces: &[&[u8]]) -> u32 {
    let stream = client.next_stream();
    for (at, piece) in pieces.iter().enumerate() {
        let is_last = at + 1 == pieces.len();
        let end = if is_last { kind::END_HEADERS } else { 0 };
        match at {
            0 => client.send(kind::HEADERS, kind::END_STREAM | end, stream, piece),
            _ => client.send(kind::CONTINUATION, end, stream, piece),
        };
    }
    stream
}

fn sizes() -> Vec<Case> {
    const SIZE: Expect = Connection(&[FRAME_SIZE_ERROR]);
    vec![
        // The standard lets DATA end its stream only; nothing behind such a frame is trusted here.
        case("RFC 9113 4.2", "DATA above SETTINGS_MAX_FRAME_SIZE", SIZE, |c| {
            let stream = c.request("POST", "/held", &[], false);
            c.data(stream, &[b'x'; 16_385], true);
            stream
        }),
        case("RFC 9113 4.2", "HEADERS above SETTINGS_MAX_FRAME_SIZE", SIZE, |c| {
            let field = [&b"\x00\x01x\x7f\x80\x7f"[..], &[b'x'; 16_383]].concat();
            head(c, &[GET, &field].concat())
        }),
        case("RFC 9113 4.2", "SETTINGS above SETTINGS_MAX_FRAME_SIZE", SIZE, |c| {
            on(c, kind::SETTINGS, 0, 0, &[0; 16_386])
        }),
        case("RFC 9113 4.2", "a frame of unknown type above the size", SIZE, |c| {
            on(c, 0x16, 0, 0, &[0; 16_385])
        }),
        case("RFC 9113 6.1", "DATA of a stream 0", Connection(&[PROTOCOL_ERROR]), |c| {
            on(c, kind::DATA, 0, 0, b"x")
        }),
        case("RFC 9113 6.1", "padding as long as DATA", Connection(&[PROTOCOL_ERROR]), |c| {
            let stream = open(c);
            on(c, kind::DATA, kind::PADDED, stream, b"\x04tes")
        }),
        case("RFC 9113 6.1", "DATA without its pad length", SIZE, |c| {
            let stream = open(c);
            on(c, kind::DATA, kind::PADDED, stream, b"")
        }),
        case("RFC 9113 6.2", "HEADERS of a stream 0", Connection(&[PROTOCOL_ERROR]), |c| {
            on(c, kind::HEADERS, WHOLE, 0, GET)
        }),
        case("RFC 9113 6.2", "padding as long as HEADERS", Connection(&[PROTOCOL_ERROR]), |c| {
            let stream = c.next_stream();
            on(c, kind::HEADERS, WHOLE | kind::PADDED, stream, &[b"\x0d", GET].concat())
        }),
        case("RFC 9113 6.2", "HEADERS without its pad length", SIZE, |c| {
            let stream = c.next_stream();
            on(c, kind::HEADERS, WHOLE | kind::PADDED, stream, b"")
        }),
        case("RFC 9113 6.2", "HEADERS too short for its priority", SIZE, |c| {
            let stream = c.next_stream();
            on(c, kind::HEADERS, WHOLE | HAS_PRIORITY, stream, b"\0\0\0\0")
        }),
    ]
}

fn settings() -> Vec<Case> {
    const SIZE: Expect = Connection(&[FRAME_SIZE_ERROR]);
    const PROTOCOL: Expect = Connection(&[PROTOCOL_ERROR]);
    const FLOW: Expect = Connection(&[FLOW_CONTROL_ERROR]);
    let setting = |what, expect, play| case("RFC 9113 6.5.2", what, expect, play);
    vec![
        case("RFC 9113 6.5", "an acknowledgement with payload", SIZE, |c| {
            on(c, kind::SETTINGS, kind::ACK, 0, b"\0")
        }),
        case("RFC 9113 6.5", "SETTINGS on a stream", PROTOCOL, |c| {
            on(c, kind::SETTINGS, 0, 1, &[0, 3, 0, 0, 0, 1])
        }),
        case("RFC 9113 6.5", "SETTINGS of no multiple of six", SIZE, |c| {
            on(c, kind::SETTINGS, 0, 0, &[0, 3, 0])
        }),
        setting("ENABLE_PUSH of 2", PROTOCOL, |c| {
            c.settings(&[(2, 2)]);
            0
        }),
        setting("INITIAL_WINDOW_SIZE of 2^31", FLOW, |c| {
            c.settings(&[(4, 1 << 31)]);
            0
        }),
        setting("MAX_FRAME_SIZE of 2^14 - 1", PROTOCOL, |c| {
            c.settings(&[(5, 16_383)]);
            0
        }),
        setting("MAX_FRAME_SIZE of 2^24", PROTOCOL, |c| {
            c.settings(&[(5, 1 << 24)]);
            0
        }),
        case("RFC 8441 3", "ENABLE_CONNECT_PROTOCOL of 2", PROTOCOL, |c| {
            c.settings(&[(8, 2)]);
            0
        }),
        case("RFC 8441 3", "ENABLE_CONNECT_PROTOCOL taken back", PROTOCOL, |c| {
            c.settings(&[(8, 1)]).settings(&[(8, 0)]);
            0
        })
        .envoy("nothing"),
        case("RFC 9113 6.9.2", "windows that grow beyond 2^31 - 1", FLOW, |c| {
            let stream = open(c);
            c.window_update(stream, 0x7fff_0000).settings(&[(4, 0x7fff_ffff)]);
            stream
        })
        .envoy("nothing"),
    ]
}

fn small_frames() -> Vec<Case> {
    const SIZE: Expect = Connection(&[FRAME_SIZE_ERROR]);
    const PROTOCOL: Expect = Connection(&[PROTOCOL_ERROR]);
    const FLOW: &[u32] = &[FLOW_CONTROL_ERROR];
    vec![
        case("RFC 9113 6.3", "PRIORITY of a stream 0", PROTOCOL, |c| {
            on(c, kind::PRIORITY, 0, 0, &[0, 0, 0, 1, 0])
        })
        .envoy("nothing"),
        // A stream error by the standard, which lets it be one of the connection (section 5.4.2).
        case("RFC 9113 6.3", "PRIORITY of four bytes", SIZE, |c| {
            on(c, kind::PRIORITY, 0, 1, &[0, 0, 0, 1])
        }),
        case("RFC 9113 6.4", "RST_STREAM of a stream 0", PROTOCOL, |c| {
            on(c, kind::RST_STREAM, 0, 0, &[0, 0, 0, 8])
        }),
        case("RFC 9113 6.4", "RST_STREAM of three bytes", SIZE, |c| {
            let stream = open(c);
            on(c, kind::RST_STREAM, 0, stream, &[0, 0, 8])
        }),
        case("RFC 9113 6.7", "PING on a stream", PROTOCOL, |c| {
            on(c, kind::PING, 0, 1, b"a stream")
        }),
        case("RFC 9113 6.7", "PING of six bytes", SIZE, |c| on(c, kind::PING, 0, 0, b"shorty")),
        case("RFC 9113 6.8", "GOAWAY on a stream", PROTOCOL, |c| {
            on(c, kind::GOAWAY, 0, 1, &[0; 8])
        }),
        case("RFC 9113 6.8", "GOAWAY of seven bytes", SIZE, |c| on(c, kind::GOAWAY, 0, 0, &[0; 7])),
        case("RFC 9113 6.9", "WINDOW_UPDATE of the connection by 0", PROTOCOL, |c| {
            c.window_update(0, 0);
            0
        }),
        case("RFC 9113 6.9", "WINDOW_UPDATE of a stream by 0", Stream(&[PROTOCOL_ERROR]), |c| {
            let stream = open(c);
            c.window_update(stream, 0);
            stream
        })
        .envoy("connection ended"),
        case("RFC 9113 6.9", "WINDOW_UPDATE of three bytes", SIZE, |c| {
            on(c, kind::WINDOW_UPDATE, 0, 0, &[0, 0, 1])
        }),
        case("RFC 9113 6.9.1", "a connection's window above 2^31 - 1", Connection(FLOW), |c| {
            c.window_update(0, 0x7fff_ffff).window_update(0, 0x7fff_ffff);
            0
        }),
        case("RFC 9113 6.9.1", "a stream's window above 2^31 - 1", Stream(FLOW), |c| {
            let stream = open(c);
            c.window_update(stream, 0x7fff_ffff).window_update(stream, 0x7fff_ffff);
            stream
        })
        .envoy("connection ended"),
        case("RFC 9113 8.4", "PUSH_PROMISE of a client", PROTOCOL, |c| {
            let stream = open(c);
            on(c, kind::PUSH_PROMISE, kind::END_HEADERS, stream, &[b"\0\0\0\x02", GET].concat())
        }),
    ]
}

fn blocks() -> Vec<Case> {
    const PROTOCOL: Expect = Connection(&[PROTOCOL_ERROR]);
    /// A block that goes on, and then that frame.
    fn within(c: &mut H2, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> u32 {
        let own = c.next_stream();
        c.send(kind::HEADERS, kind::END_STREAM, own, &GET[..4]);
        on(c, kind, flags, stream, payload)
    }
    let block = |what, play| case("RFC 9113 6.10", what, PROTOCOL, play);
    vec![
        case("RFC 9113 6.2", "PRIORITY within a header block", PROTOCOL, |c| {
            within(c, kind::PRIORITY, 0, 1, &[0; 5])
        }),
        case("RFC 9113 6.2", "HEADERS of another stream within a header block", PROTOCOL, |c| {
            within(c, kind::HEADERS, WHOLE, 3, GET)
        }),
        case("RFC 9113 6.2", "HEADERS of the same stream within a header block", PROTOCOL, |c| {
            within(c, kind::HEADERS, WHOLE, 1, GET)
        }),
        case("RFC 9113 5.5", "a frame of unknown type within a header block", PROTOCOL, |c| {
            within(c, 0x16, 0, 0, b"whatever")
        }),
        block("DATA within a header block", |c| within(c, kind::DATA, 0, 1, b"x")),
        block("PING within a header block", |c| within(c, kind::PING, 0, 0, &[0; 8])),
        block("SETTINGS within a header block", |c| within(c, kind::SETTINGS, 0, 0, b"")),
        block("CONTINUATION of another stream", |c| {
            within(c, kind::CONTINUATION, kind::END_HEADERS, 3, &GET[4..])
        }),
        block("CONTINUATION of a stream 0", |c| {
            within(c, kind::CONTINUATION, kind::END_HEADERS, 0, &GET[4..])
        }),
        block("CONTINUATION behind a whole block", |c| {
            let stream = half_closed(c);
            on(c, kind::CONTINUATION, kind::END_HEADERS, stream, GET)
        }),
        block("CONTINUATION behind the last one", |c| {
            let stream = continued(c, &[&GET[..4], &GET[4..]]);
            on(c, kind::CONTINUATION, kind::END_HEADERS, stream, GET)
        }),
        block("CONTINUATION behind DATA", |c| {
            let stream = open(c);
            c.data(stream, b"test", true);
            on(c, kind::CONTINUATION, kind::END_HEADERS, stream, GET)
        }),
    ]
}

/// RFC 9113 section 3.4. Where HTTP/1 may be spoken as well, other bytes are taken for that.
#[test]
fn connections_begin_with_the_preface_and_settings() {
    let (_origin, proxy) = target();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let ping = H2::frame(kind::PING, 0, 0, &[0; 8]);
    let ack = H2::frame(kind::SETTINGS, kind::ACK, 0, &[]);
    let beginnings: [(&str, &[u8]); 4] = [
        ("another preface", b"INVALID CONNECTION PREFACE\r\n\r\n"),
        ("a preface with a mistake at its end", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX"),
        ("PING instead of SETTINGS", &[preface, &ping[..]].concat()),
        ("an acknowledgement instead of SETTINGS", &[preface, &ack[..]].concat()),
    ];
    for (what, beginning) in beginnings {
        let mut stream = TcpStream::connect(proxy.listener("only")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(beginning).unwrap();
        let mut answer = Vec::new();
        let end = stream.read_to_end(&mut answer);
        let is_over =
            end.is_ok() || end.is_err_and(|it| it.kind() != std::io::ErrorKind::WouldBlock);
        assert!(is_over, "{what}: the connection lives");
        // The last frame is a GOAWAY without debug data; Envoy sends none.
        let goaway = answer.len().checked_sub(17).map(|at| (answer[at + 3], answer[at + 16]));
        let is_told = goaway == Some((kind::GOAWAY, PROTOCOL_ERROR as u8));
        assert!(is_told || Make::subject() == Make::Envoy, "{what}: {answer:?}");
    }
}
