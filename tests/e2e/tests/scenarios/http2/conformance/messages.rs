//! RFC 9113 section 8: heads, bodies and trailers. What is malformed ends its connection, as in
//! Envoy, or only its stream, as the standard has it, where the configuration says so.

use ringway_test_support::{H2, kind};

use super::*;

#[test]
fn messages_of_the_right_form_are_answered() {
    play("main", &sound());
}

#[test]
fn malformed_messages_end_their_connection() {
    play("main", &malformed(Connection(&[PROTOCOL_ERROR])));
    play("main", &lengths(Connection(&[PROTOCOL_ERROR])));
}

#[test]
fn malformed_messages_end_their_stream_where_it_is_configured() {
    play("spared", &malformed(Stream(&[PROTOCOL_ERROR])));
    play("spared", &lengths(Stream(&[PROTOCOL_ERROR])));
}

const OWN: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "/")];

/// A request with exactly these fields.
fn of(client: &mut H2, fields: &[(&str, &str)]) -> u32 {
    let stream = client.next_stream();
    client.headers(stream, fields, true);
    stream
}

/// A request with these fields behind its own.
fn with(client: &mut H2, fields: &[(&str, &str)]) -> u32 {
    client.request("GET", "/", fields, true)
}

/// A POST of these DATA frames under that length.
fn sized(client: &mut H2, length: &str, data: &[&str]) -> u32 {
    let stream = client.request("POST", "/held", &[("content-length", length)], data.is_empty());
    for (at, piece) in data.iter().enumerate() {
        client.data(stream, piece.as_bytes(), at + 1 == data.len());
    }
    stream
}

fn sound() -> Vec<Case> {
    let message = |what, play| case("RFC 9113 8.1", what, Answer, play);
    vec![
        message("GET", |c| c.request("GET", "/", &[], true)),
        message("HEAD", |c| c.request("HEAD", "/", &[], true)),
        message("POST", |c| {
            let stream = c.request("POST", "/", &[("content-length", "4")], false);
            c.data(stream, b"test", true);
            stream
        }),
        message("POST with trailers", |c| {
            let stream = c.request("POST", "/", &[], false);
            c.data(stream, b"test", false).headers(stream, &[("x-test", "ok")], true);
            stream
        }),
        message("a head without data, ended by DATA", |c| {
            let stream = c.request("GET", "/", &[], false);
            c.data(stream, b"", true);
            stream
        }),
        case("RFC 9113 8.2.2", "te: trailers", Answer, |c| with(c, &[("te", "trailers")])),
        case("RFC 9113 8.2.3", "crumbs of a cookie", Answer, |c| {
            with(c, &[("cookie", "a=b"), ("cookie", "c=d")])
        }),
        case("RFC 9113 8.3.1", "host instead of :authority", Answer, |c| {
            of(c, &[OWN[0], OWN[1], OWN[3], ("host", "test")])
        }),
        case("RFC 9113 8.3.1", "pseudo header fields in any order", Answer, |c| {
            of(c, &[OWN[3], OWN[2], OWN[0], OWN[1]])
        }),
        case("RFC 9113 8.3.1", "OPTIONS of an asterisk", Answer, |c| {
            of(c, &[(":method", "OPTIONS"), OWN[1], OWN[2], (":path", "*")])
        }),
    ]
}

fn malformed(expect: Expect) -> Vec<Case> {
    let mut cases = [names(), pseudo(), values(), bodies()].concat();
    for case in &mut cases {
        case.expect = expect;
    }
    cases
}

fn bad(section: &'static str, what: &'static str, play: Play) -> Case {
    case(section, what, Nothing, play)
}

fn names() -> Vec<Case> {
    let name = |what, play| bad("RFC 9113 8.2.1", what, play);
    let connection = |what, play| bad("RFC 9113 8.2.2", what, play);
    vec![
        name("a name in capitals", |c| with(c, &[("X-TEST", "ok")])),
        name("a blank in a name", |c| with(c, &[("x test", "ok")])),
        name("a colon in a name", |c| with(c, &[("x:test", "ok")])),
        name("a control character in a name", |c| with(c, &[("x\u{1}test", "ok")])),
        name("a name of nothing", |c| with(c, &[("", "ok")])),
        connection("connection", |c| with(c, &[("connection", "keep-alive")])),
        connection("keep-alive", |c| with(c, &[("keep-alive", "1")])),
        connection("proxy-connection", |c| with(c, &[("proxy-connection", "close")])),
        connection("transfer-encoding", |c| with(c, &[("transfer-encoding", "chunked")])),
        connection("upgrade", |c| with(c, &[("upgrade", "h2c")])),
        connection("te other than trailers", |c| with(c, &[("te", "trailers, deflate")])),
    ]
}

fn values() -> Vec<Case> {
    let value = |what, play| bad("RFC 9113 8.2.1", what, play);
    vec![
        value("NUL in a value", |c| with(c, &[("x-test", "a\0b")])),
        value("LF in a value", |c| with(c, &[("x-test", "a\nb")])),
        value("CR in a value", |c| with(c, &[("x-test", "a\rb")])),
        value("LF in a path", |c| of(c, &[OWN[0], OWN[1], OWN[2], (":path", "/\nx")])),
        value("CRLF and a head in a path", |c| {
            of(c, &[OWN[0], OWN[1], OWN[2], (":path", "/ HTTP/1.1\r\nx: y")])
        }),
        value("LF in a method", |c| of(c, &[(":method", "GET\n"), OWN[1], OWN[2], OWN[3]])),
        value("a blank in a method", |c| of(c, &[(":method", "GET /"), OWN[1], OWN[2], OWN[3]])),
        value("CRLF in an authority", |c| {
            of(c, &[OWN[0], OWN[1], (":authority", "a\r\nb: c"), OWN[3]])
        }),
    ]
}

fn pseudo() -> Vec<Case> {
    let of_all = |what, play| bad("RFC 9113 8.3", what, play);
    let of_requests = |what, play| bad("RFC 9113 8.3.1", what, play);
    vec![
        of_all("an unknown one", |c| of(c, &[OWN[0], OWN[1], OWN[2], OWN[3], (":test", "ok")])),
        of_all("one of responses", |c| {
            of(c, &[OWN[0], OWN[1], OWN[2], OWN[3], (":status", "200")])
        }),
        of_all("one behind a regular field", |c| {
            of(c, &[OWN[0], OWN[1], OWN[2], ("x-test", "ok"), OWN[3]])
        }),
        of_all("one in trailers", |c| {
            let stream = open(c);
            c.data(stream, b"test", false).headers(stream, &[(":method", "GET")], true);
            stream
        }),
        of_requests(":path of nothing", |c| of(c, &[OWN[0], OWN[1], OWN[2], (":path", "")])),
        of_requests(":method of nothing", |c| of(c, &[(":method", ""), OWN[1], OWN[2], OWN[3]])),
        of_requests("no :method", |c| of(c, &[OWN[1], OWN[2], OWN[3]])),
        of_requests("no :scheme", |c| of(c, &[OWN[0], OWN[2], OWN[3]])),
        of_requests("no :path", |c| of(c, &[OWN[0], OWN[1], OWN[2]])),
        of_requests("two :method", |c| of(c, &[OWN[0], OWN[0], OWN[1], OWN[2], OWN[3]])),
        of_requests("two :scheme", |c| of(c, &[OWN[0], OWN[1], OWN[1], OWN[2], OWN[3]])),
        of_requests("two :path", |c| of(c, &[OWN[0], OWN[1], OWN[2], OWN[3], OWN[3]])),
        of_requests("two :authority", |c| of(c, &[OWN[0], OWN[1], OWN[2], OWN[2], OWN[3]])),
        of_requests("user information in :authority", |c| {
            of(c, &[OWN[0], OWN[1], (":authority", "me@test"), OWN[3]])
        }),
        of_requests("an asterisk of GET", |c| of(c, &[OWN[0], OWN[1], OWN[2], (":path", "*")])),
        bad("RFC 9113 8.5", "CONNECT with :scheme and :path", |c| {
            of(c, &[(":method", "CONNECT"), OWN[1], OWN[2], OWN[3]])
        }),
        bad("RFC 9113 8.5", "CONNECT without :authority", |c| of(c, &[(":method", "CONNECT")])),
        bad("RFC 8441 4", ":protocol that the server has not allowed", |c| {
            of(c, &[(":method", "CONNECT"), (":protocol", "x"), OWN[1], OWN[2], OWN[3]])
        }),
        bad("RFC 8441 4", ":protocol of GET", |c| {
            of(c, &[OWN[0], (":protocol", "x"), OWN[1], OWN[2], OWN[3]])
        }),
    ]
}

fn bodies() -> Vec<Case> {
    let length = |what, play| bad("RFC 9113 8.1.1", what, play);
    vec![
        length("content-length of a request without data", |c| sized(c, "1", &[])),
        length("content-length that is no number", |c| sized(c, "four", &["test"])),
        length("content-length with a sign", |c| sized(c, "+4", &["test"])),
        length("content-length of nothing", |c| sized(c, "", &["test"])),
        length("content-length that is a list", |c| sized(c, "4, 4", &["test"])),
        length("content-length of 20 digits", |c| sized(c, "10000000000000000004", &["test"])),
        length("two content-length", |c| {
            let two = [("content-length", "4"), ("content-length", "5")];
            let stream = c.request("POST", "/held", &two, false);
            c.data(stream, b"test", true);
            stream
        }),
        bad("RFC 9113 8.1", "a second head that does not end the stream", |c| {
            let stream = open(c);
            on(c, kind::HEADERS, kind::END_HEADERS, stream, POST)
        }),
    ]
}

/// The head was sound, so that only its stream has to end, as in Envoy. Trailers that come too soon
/// are a malformed message there, which ends what it is configured to end.
fn lengths(of_trailers: Expect) -> Vec<Case> {
    let length = |what, play| case("RFC 9113 8.1.1", what, Stream(&[PROTOCOL_ERROR]), play);
    vec![
        length("content-length above the data", |c| sized(c, "5", &["test"])),
        length("content-length below the data", |c| sized(c, "1", &["test"])),
        length("content-length above the sum of the data", |c| sized(c, "9", &["test", "test"])),
        length("content-length below the sum of the data", |c| sized(c, "7", &["test", "test"])),
        case("RFC 9113 8.1.1", "trailers before all data", of_trailers, |c| {
            let stream = c.request("POST", "/held", &[("content-length", "5")], false);
            c.data(stream, b"test", false).headers(stream, &[("x-test", "ok")], true);
            stream
        })
        .envoy("connection ended"),
    ]
}
