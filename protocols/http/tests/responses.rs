//! What the response decoder makes of responses, rule by rule, at every split of the bytes.
//!
//! Unless a comment says otherwise the verdicts are those of Envoy 1.40, which was asked each of
//! them.

mod support;

use ringway_http::h1::{ResponseDecoder, ResponseLimits, Upgrade};
use ringway_http::{Method, ResponseHead, Step};
use support::{response_transcript, responses};

const GET: (Method, Upgrade) = (Method::Get, Upgrade::None);
const HEAD: (Method, Upgrade) = (Method::Head, Upgrade::None);
const CONNECT: (Method, Upgrade) = (Method::Connect, Upgrade::None);
const UPGRADE: (Method, Upgrade) = (Method::Get, Upgrade::WebSocket);

const LAX: ResponseLimits = ResponseLimits {
    max_head_bytes: 80 * 1024,
    max_fields: 100,
    allow_chunked_length: true,
    enable_trailers: true,
};

fn check_asked(asked: (Method, Upgrade), input: &str, expected: &[&str]) {
    let lines = response_transcript(ResponseLimits::default(), &[asked], input.as_bytes(), true);
    assert_eq!(lines, expected, "{input:?}");
}

fn check(input: &str, expected: &[&str]) {
    check_asked(GET, input, expected);
}

/// A 200 with these lines and the body `ok` behind it.
fn check_fields(lines: &str, expected: &str) {
    check(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\nok"), &[expected]);
}

#[test]
fn plain_responses() {
    check(
        "HTTP/1.1 200 OK\r\nA-b: C\r\ncontent-length: 2\r\n\r\nok",
        &["200 2 [a-b: C] [content-length: 2]", "data ok", "complete"],
    );
    check(
        "HTTP/1.1 404 N\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        &["404 chunked [transfer-encoding: chunked]", "data ok", "complete"],
    );
    check("HTTP/1.1 200 OK\r\n\r\nok", &["200 until close close", "data ok", "complete"]);
    check(
        "HTTP/1.1 500 E\r\ncontent-length: 0\r\n\r\n",
        &["500 0 [content-length: 0]", "complete"],
    );
}

#[test]
fn responses_in_turn_share_nothing() {
    let input = b"HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 2\r\nconnection: x\r\n\r\nok\
                  HTTP/1.1 204 No\r\nc: d\r\n\r\n\
                  HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n!";
    let lines = response_transcript(LAX, &[GET, GET, GET], input, true);
    assert_eq!(
        lines,
        [
            "200 2 [a: b] [content-length: 2] [connection: x]",
            "data ok",
            "complete",
            "204 none [c: d]",
            "complete",
            "200 1 [content-length: 1]",
            "data !",
            "complete",
        ]
    );
}

#[test]
fn bytes_that_nobody_asked_for() {
    let two = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    check(
        &[two, two].concat(),
        &["200 2 [content-length: 2]", "data ok", "complete", "502 Unsolicited"],
    );
    check(
        &[two, "X"].concat(),
        &["200 2 [content-length: 2]", "data ok", "complete", "502 Unsolicited"],
    );
}

#[test]
fn status_lines() {
    for line in ["HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.1  200 OK", "HTTP/1.1 200 O K"] {
        let input = format!("{line}\r\ncontent-length: 0\r\n\r\n");
        check(&input, &["200 0 [content-length: 0]", "complete"]);
    }
    for (status, line) in [("600", "HTTP/1.1 600 X"), ("999", "HTTP/1.1 999 X")] {
        let input = format!("{line}\ncontent-length: 0\n\n");
        check(&input, &[&format!("{status} 0 [content-length: 0]"), "complete"]);
    }
    for line in [
        "HTTP/1.1 20 OK",
        "HTTP/1.1 000 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 2x0 OK",
        "200 OK",
        "http/1.1 200 OK",
        "\r\nHTTP/1.1 200 OK",
        " HTTP/1.1 200 OK",
        "GET / HTTP/1.1",
        // Envoy takes these.
        "HTTP/1.1 2000 OK",
        "HTTP/2.0 200 OK",
        "HTTP/1.2 200 OK",
        "HTTP/1.1\t200\tOK",
    ] {
        let input = format!("{line}\r\ncontent-length: 2\r\n\r\nok");
        let lines = responses(LAX, &[GET], &[input.as_bytes()], true).lines;
        assert!(lines.len() == 1 && lines[0].starts_with("502 Malformed"), "{line:?} {lines:?}");
    }
}

#[test]
fn old_versions() {
    check(
        "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        &["200 0 close [content-length: 0]", "complete"],
    );
    check(
        "HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n",
        &["200 0 [content-length: 0] [connection: keep-alive]", "complete"],
    );
    // RFC 9112 section 6.1: read as Envoy does, but nothing may follow.
    let coded = "transfer-encoding: chunked\r\nconnection: keep-alive";
    check(
        &format!("HTTP/1.0 200 OK\r\n{coded}\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        &[
            "200 chunked close [transfer-encoding: chunked] [connection: keep-alive]",
            "data ok",
            "complete",
        ],
    );
}

#[test]
fn field_lines() {
    for line in [
        "a : b\r\ncontent-length: 2",
        ": b\r\ncontent-length: 2",
        "a\r\ncontent-length: 2",
        "a(: b\r\ncontent-length: 2",
        "a: b\rc\r\ncontent-length: 2",
    ] {
        let input = format!("HTTP/1.1 200 OK\r\n{line}\r\n\r\nok");
        let lines = responses(LAX, &[GET], &[input.as_bytes()], true).lines;
        assert!(lines.len() == 1 && lines[0].starts_with("502 Malformed"), "{line:?} {lines:?}");
    }
    check_fields("a: b\0", "502 InvalidCharacters");
    check(
        "HTTP/1.1 200 OK\r\na: b\r\n  c\r\ncontent-length: 0\r\n\r\n",
        &["200 0 [a: b  c] [content-length: 0]", "complete"],
    );
}

#[test]
fn fields_that_stand_once_are_joined() {
    check(
        "HTTP/1.1 204 N\r\nvary: a\r\nset-cookie: a\r\nlink: a\r\nvary: b\r\nset-cookie: b\r\nlink: b\r\n\r\n",
        &["204 none [vary: a,b] [set-cookie: a] [link: a] [set-cookie: b] [link: b]", "complete"],
    );
}

#[test]
fn invalid_framing() {
    let malformed = "502 Malformed(\"invalid content-length\")";
    for value in ["2\r\ncontent-length: 2", "2\r\ncontent-length: 3", "2, 2", "+2", "", "0x2"] {
        check_fields(&format!("content-length: {value}"), malformed);
    }
    let both = "transfer-encoding: chunked\r\ncontent-length: 2";
    check_fields(both, "502 LengthAndChunked");
    for coding in ["gzip", "gzip, chunked", "identity", "chunked\r\ntransfer-encoding: chunked"] {
        check_fields(&format!("transfer-encoding: {coding}"), "502 InvalidTransferEncoding");
    }
    check_asked(HEAD, &format!("HTTP/1.1 200 OK\r\n{both}\r\n\r\n"), &["502 LengthAndChunked"]);
    let input = format!("HTTP/1.1 200 OK\r\n{both}\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    let lines = response_transcript(LAX, &[GET], input.as_bytes(), true);
    assert_eq!(lines, ["200 chunked [transfer-encoding: chunked]", "data ok", "complete"]);
}

#[test]
fn responses_without_a_body() {
    check_asked(
        HEAD,
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
        &["200 none [content-length: 5]", "complete"],
    );
    check_asked(
        HEAD,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        &["200 none [transfer-encoding: chunked]", "complete"],
    );
    check_asked(HEAD, "HTTP/1.1 200 OK\r\n\r\n", &["200 none", "complete"]);
    check(
        "HTTP/1.1 304 N\r\ncontent-length: 5\r\n\r\n",
        &["304 none [content-length: 5]", "complete"],
    );
    check(
        "HTTP/1.1 304 N\r\ntransfer-encoding: chunked\r\n\r\n",
        &["304 none [transfer-encoding: chunked]", "complete"],
    );
    check("HTTP/1.1 204 N\r\n\r\n", &["204 none", "complete"]);
    check(
        "HTTP/1.1 204 N\r\ncontent-length: 0\r\n\r\n",
        &["204 none [content-length: 0]", "complete"],
    );
    check("HTTP/1.1 204 N\r\ncontent-length: 2\r\n\r\n", &["502 BodyNotAllowed"]);
    check(
        "HTTP/1.1 204 N\r\ntransfer-encoding: chunked\r\n\r\n",
        &["502 TransferEncodingNotAllowed"],
    );
}

#[test]
fn informational_responses() {
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let done = ["200 0 [content-length: 0]", "complete"];
    let check = |first: &str, expected: &[&str]| check(&[first, last].concat(), expected);
    check("HTTP/1.1 100 C\r\n\r\n", &["100 info", done[0], done[1]]);
    check(
        "HTTP/1.1 103 E\r\nlink: a\r\n\r\nHTTP/1.1 199 X\r\ncontent-length: 0\r\n\r\n",
        &["103 info [link: a]", "199 info [content-length: 0]", done[0], done[1]],
    );
    check("HTTP/1.1 103 E\r\ncontent-length: 5\r\n\r\n", &["502 BodyNotAllowed"]);
    check(
        "HTTP/1.1 100 C\r\ntransfer-encoding: chunked\r\n\r\n",
        &["502 TransferEncodingNotAllowed"],
    );
}

/// CVE-2024-23326 and its like: only what was asked for, and agreed to by 101, is a tunnel.
#[test]
fn upgrades() {
    let switched = "HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nraw";
    check_asked(
        UPGRADE,
        switched,
        &[
            "101 until close close [connection: upgrade] [upgrade: websocket]",
            "data raw",
            "complete",
        ],
    );
    // Envoy forwards it.
    check(switched, &["502 UnexpectedUpgrade"]);
    check_asked(
        UPGRADE,
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        &["200 2 [content-length: 2]", "data ok", "complete"],
    );
    check_asked(UPGRADE, "HTTP/1.1 101 S\r\ncontent-length: 2\r\n\r\n", &["502 BodyNotAllowed"]);
}

#[test]
fn tunnels() {
    let fields = "content-length: 2\r\ntransfer-encoding: chunked";
    check_asked(
        CONNECT,
        &format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nraw"),
        &["200 until close close", "data raw", "complete"],
    );
    check_asked(
        CONNECT,
        "HTTP/1.1 403 F\r\ncontent-length: 2\r\n\r\nno",
        &["403 2 [content-length: 2]", "data no", "complete"],
    );
}

#[test]
fn connections_that_end_early() {
    check("", &["503 Closed"]);
    check("H", &["502 Truncated"]);
    check("HTTP/1.1 200 OK\r\ncont", &["502 Truncated"]);
    check("HTTP/1.1 100 C\r\n\r\n", &["100 info", "503 Closed"]);
    check(
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok",
        &["200 5 [content-length: 5]", "data ok", "502 Truncated"],
    );
    for body in ["5\r\nok", "2\r\nok", "2\r\nok\r\n", "2\r\nok\r\n0\r\n"] {
        let input = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}");
        check(&input, &["200 chunked [transfer-encoding: chunked]", "data ok", "502 Truncated"]);
    }
}

#[test]
fn trailers() {
    let input =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nT: v\r\n\r\n";
    let head = "200 chunked [transfer-encoding: chunked]";
    let dropped = response_transcript(ResponseLimits::default(), &[GET], input, true);
    assert_eq!(dropped, [head, "data ok", "complete"]);
    let reported = response_transcript(LAX, &[GET], input, true);
    assert_eq!(reported, [head, "data ok", "trailers [t: v]", "complete"]);
}

#[test]
fn limits() {
    let first = |input: &str, size: usize| {
        let pieces: Vec<&[u8]> = input.as_bytes().chunks(size).collect();
        responses(ResponseLimits::default(), &[GET], &pieces, false).lines.swap_remove(0)
    };
    let start = "HTTP/1.1 200 OK\r\na: ";
    let of_size = |size: usize| format!("{start}{}\r\n\r\n", "b".repeat(size - start.len() - 4));
    let of_count = |count| format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(count));
    for size in [1, 1000, 1_000_000] {
        assert!(first(&of_size(81_920), size).starts_with("200 "));
        assert_eq!(first(&of_size(81_921), size), "502 HeadTooLarge");
        assert!(first(&of_count(100), size).starts_with("200 "));
        assert_eq!(first(&of_count(101), size), "502 TooManyFields");
        assert_eq!(first(&of_count(1000), size), "502 TooManyFields");
    }
    let limits = ResponseLimits { max_fields: 1000, ..LAX };
    let lines = responses(limits, &[GET], &[of_count(1000).as_bytes()], false).lines;
    assert_eq!(lines[0].matches("[a: b]").count(), 1000);
    let lines = responses(limits, &[GET], &[of_count(1001).as_bytes()], false).lines;
    assert_eq!(lines, ["502 TooManyFields"]);
}

#[test]
fn nothing_is_expected_at_first() {
    let mut decoder = ResponseDecoder::new(LAX);
    let mut head = ResponseHead::new();
    assert!(decoder.is_idle());
    assert_eq!(decoder.decode(b"", &mut head), Ok((0, Step::NeedMore)));
    assert_eq!(decoder.finish_on_eof(), Ok(Step::NeedMore));
    assert!(decoder.decode(b"H", &mut head).is_err());
    assert!(!decoder.keep_alive());
}
