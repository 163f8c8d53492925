//! What the request decoder makes of requests, rule by rule, at every split of the bytes.
//!
//! Unless a comment says otherwise the verdicts are those of Envoy 1.40, which was asked each of
//! them.

mod support;

use ringway_http::h1::{RequestDecoder, RequestLimits, Underscores};
use ringway_http::{RequestHead, Step};
use support::{request_transcript, requests};

const LAX: RequestLimits = RequestLimits {
    max_head_bytes: 60 * 1024,
    max_fields: 100,
    allow_http10: true,
    allow_chunked_length: true,
    allow_absolute_url: true,
    allow_custom_methods: true,
    enable_trailers: true,
    underscores: Underscores::Allow,
};

fn check_with(limits: RequestLimits, input: &str, expected: &[&str]) {
    assert_eq!(request_transcript(limits, input.as_bytes()), expected, "{input:?}");
}

fn check(input: &str, expected: &[&str]) {
    check_with(RequestLimits::default(), input, expected);
}

/// A GET with one more line behind `host: h`.
fn check_field(line: &str, expected: &str) {
    let input = format!("GET / HTTP/1.1\r\nhost: h\r\n{line}\r\n\r\n");
    match expected.starts_with(|first: char| first.is_ascii_digit()) {
        true => check(&input, &[expected]),
        false => check(&input, &[expected, "complete"]),
    }
}

#[test]
fn plain_requests() {
    check(
        "GET /a?b HTTP/1.1\r\nHost: H:80\r\nA-b: C\r\n\r\n",
        &["GET H:80 /a?b none [a-b: C]", "complete"],
    );
    check(
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello",
        &["POST h / 5 [content-length: 5]", "data hello", "complete"],
    );
    check(
        "POST / HTTP/1.1\r\nhost: h\r\nTransfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        &["POST h / chunked [transfer-encoding: CHUNKED]", "data abc", "complete"],
    );
    check(
        "PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n",
        &["PUT h / 0 [content-length: 0]", "complete"],
    );
}

#[test]
fn pipelined_requests_share_nothing() {
    check(
        "POST /1 HTTP/1.1\r\nhost: a\r\nx: 1\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc\
         GET /2 HTTP/1.1\r\n\r\n\r\n\
         POST /3 HTTP/1.1\r\nhost: c\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nt: v\r\n\r\n\
         GET http://d/4 HTTP/1.1\r\n\r\n\
         GET /5 HTTP/1.1\r\nhost: e\r\n\r\n",
        &[
            "POST a /1 3 close [x: 1] [content-length: 3] [connection: close]",
            "data abc",
            "complete",
            "GET - /2 none",
            "complete",
            "POST c /3 chunked [transfer-encoding: chunked]",
            "data x",
            "complete",
            "GET d /4 none",
            "complete",
            "GET e /5 none",
            "complete",
        ],
    );
}

#[test]
fn a_bad_request_behind_a_good_one() {
    check(
        "GET / HTTP/1.1\r\nhost: h\r\n\r\nFOO / HTTP/1.1\r\nhost: h\r\n\r\n",
        &["GET h / none", "complete", "400 http1.codec_error"],
    );
}

#[test]
fn a_head_without_a_body_completes_without_bytes() {
    let mut decoder = RequestDecoder::new(RequestLimits::default());
    let mut head = RequestHead::new();
    let input = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";
    assert_eq!(decoder.decode(input, &mut head), Ok((input.len(), Step::Head)));
    assert!(!decoder.is_idle());
    assert_eq!(decoder.decode(b"", &mut head), Ok((0, Step::Complete)));
    assert!(decoder.is_idle());
    assert_eq!(decoder.decode(b"", &mut head), Ok((0, Step::NeedMore)));
}

#[test]
fn half_a_head_is_not_idle() {
    let mut decoder = RequestDecoder::new(RequestLimits::default());
    let mut head = RequestHead::new();
    assert!(decoder.is_idle());
    // Envoy counts and logs a request whose client has sent no more than an empty line.
    assert_eq!(decoder.decode(b"\r\n", &mut head), Ok((2, Step::NeedMore)));
    assert!(!decoder.is_idle());
    assert_eq!(decoder.decode(b"G", &mut head), Ok((1, Step::NeedMore)));
    assert!(!decoder.is_idle());
}

#[test]
fn line_ends() {
    check("GET / HTTP/1.1\nhost: h\n\n", &["GET h / none", "complete"]);
    for blank in ["\r\n\r\n", "\n\n", "\r", "\r\r\n", &"\r\n".repeat(300)] {
        check(&format!("{blank}GET / HTTP/1.1\r\nhost: h\r\n\r\n"), &["GET h / none", "complete"]);
    }
    // Envoy has no limit here.
    check(&"\r\n".repeat(600), &["400 http1.codec_error"]);
    check(" GET / HTTP/1.1\r\nhost: h\r\n\r\n", &["400 http1.codec_error"]);
}

#[test]
fn folded_fields_are_joined() {
    let head = |field: &str| format!("GET / HTTP/1.1\r\nhost: h\r\n{field}\r\nx: y\r\n\r\n");
    for (folded, joined) in [
        ("a: b\r\n  c", "b  c"),
        ("a: b\n c", "b c"),
        ("a: b \t\r\n\t c  ", "b \\t\\t c"),
        ("a: b\r\n c\r\n\td", "b c\\td"),
        ("a:\r\n c", "c"),
        ("a: b\r\n \r\n c", "b  c"),
    ] {
        check(&head(folded), &[&format!("GET h / none [a: {joined}] [x: y]"), "complete"]);
    }
    check(&head("content-length:\r\n 0"), &["GET h / 0 [content-length: 0] [x: y]", "complete"]);
    check(&head("a: b\r\n c\u{1}"), &["400 http1.invalid_characters"]);
    check(&head("a: b\r\n c\rd"), &["400 http1.codec_error"]);
    check("GET / HTTP/1.1\r\n host: h\r\nhost: h\r\n\r\n", &["400 http1.codec_error"]);
    check("GET / HTTP/1.1\r\nhost: h\r\n a: b\r\n\r\n", &["400 http.invalid_authority"]);
}

#[test]
fn request_lines() {
    for line in ["GET  / HTTP/1.1", "GET /  HTTP/1.1", "GET\t/\tHTTP/1.1", "GET / HTTP/1.1 \t"] {
        check(&format!("{line}\r\nhost: h\r\n\r\n"), &["GET h / none", "complete"]);
    }
    for line in [
        "GET",
        "GET / HTTP/1.1 x",
        "GET / http/1.1",
        "GET / HTTP/1.10",
        "GET / HTTP/11",
        "GET / HTTP/1",
        "GET / HTTP/1.1x",
        "GET / XTTP/1.1",
        "GET / HTTP/01.1",
        "GET / HTTP 1.1",
        "GET / HTTPS/1.1",
        "GET /a b HTTP/1.1",
        "GET /a\tb HTTP/1.1",
        "GET /a\rb HTTP/1.1",
        "/ HTTP/1.1",
    ] {
        check(&format!("{line}\r\nhost: h\r\n\r\n"), &["400 http1.codec_error"]);
    }
    for line in ["GET\u{b}/ HTTP/1.1", "GET /a\0 HTTP/1.1", "GET /\u{1} HTTP/1.1", "GET /\x7f "] {
        check(&format!("{line}\r\nhost: h\r\n\r\n"), &["400 http1.invalid_characters"]);
    }
}

#[test]
fn targets_beyond_ascii_are_refused() {
    let input = b"GET /\xc3\xa9 HTTP/1.1\r\nhost: h\r\n\r\n";
    assert_eq!(request_transcript(LAX, input), ["400 http1.codec_error"]);
    let input = b"GET /\xff\xfe HTTP/1.1\r\nhost: h\r\n\r\n";
    assert_eq!(request_transcript(LAX, input), ["400 http1.codec_error"]);
}

#[test]
fn methods() {
    for method in [
        "ACL",
        "BIND",
        "CHECKOUT",
        "COPY",
        "DELETE",
        "GET",
        "HEAD",
        "LINK",
        "LOCK",
        "MERGE",
        "MKACTIVITY",
        "MKCALENDAR",
        "MKCOL",
        "MOVE",
        "MSEARCH",
        "NOTIFY",
        "OPTIONS",
        "PATCH",
        "POST",
        "PROPFIND",
        "PROPPATCH",
        "PURGE",
        "PUT",
        "QUERY",
        "REBIND",
        "REPORT",
        "SEARCH",
        "SOURCE",
        "SUBSCRIBE",
        "TRACE",
        "UNBIND",
        "UNLINK",
        "UNLOCK",
        "UNSUBSCRIBE",
    ] {
        let input = format!("{method} / HTTP/1.1\r\nhost: h\r\n\r\n");
        check(&input, &[&format!("{method} h / none"), "complete"]);
    }
    for method in ["get", "Get", "FOO", "PRI", "M-SEARCH", "BREW", "UPDATE", &"A".repeat(40)] {
        let input = format!("{method} / HTTP/1.1\r\nhost: h\r\n\r\n");
        check(&input, &["400 http1.codec_error"]);
        check_with(LAX, &input, &[&format!("{method} h / none"), "complete"]);
    }
    for method in ["G(T", "GET,", ""] {
        check_with(LAX, &format!("{method} / HTTP/1.1\r\n\r\n"), &["400 http1.codec_error"]);
    }
}

#[test]
fn versions() {
    for version in ["HTTP/1.0", "HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/0.9", "HTTP/3.0"] {
        let input = format!("GET / {version}\r\nhost: h\r\n\r\n");
        check(&input, &["426 low_version"]);
        check_with(LAX, &input, &["GET h / none 1.0 close", "complete"]);
    }
    check("GET /\r\n", &["426 low_version"]);
    check_with(LAX, "GET /\r\n", &["GET - / none 1.0 close", "complete"]);
    check_with(
        LAX,
        "GET / HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n",
        &["GET - / none 1.0 [connection: Keep-Alive]", "complete"],
    );
    check_with(
        LAX,
        "GET / HTTP/1.0\r\nproxy-connection: keep-alive\r\n\r\n",
        &["GET - / none 1.0 close [proxy-connection: keep-alive]", "complete"],
    );
}

#[test]
fn what_follows_a_request_of_http_0_9_is_the_next() {
    check_with(
        LAX,
        "GET /\r\nGET / HTTP/1.1\r\nhost: h\r\n\r\n",
        &["GET - / none 1.0 close", "complete", "GET h / none", "complete"],
    );
}

#[test]
fn field_lines() {
    for line in [
        "a : b",
        "a\t: b",
        ": b",
        "a",
        "a b: c",
        "a(: b",
        "a@: b",
        "a\": b",
        "a{}: b",
        "a/b: c",
        "a[: c",
        "a=: c",
        "a;b: c",
        "a,b: c",
        "a?: c",
        "a<: c",
        "a\\: c",
        ":path: /x",
        ":foo: x",
    ] {
        check_field(line, "400 http1.codec_error");
    }
    for line in ["a\0b: c", "a: b\0c", "a: b\u{1}c", "a: b\x7fc", "a: b\u{b}c"] {
        check_field(line, "400 http1.invalid_characters");
    }
    for (line, field) in [
        ("a:b", "[a: b]"),
        ("a:", "[a: ]"),
        ("a:   ", "[a: ]"),
        ("a: \t b \t ", "[a: b]"),
        ("a:b:c", "[a: b:c]"),
        ("A-B: C", "[a-b: C]"),
        ("a_b: c", "[a_b: c]"),
        ("a!#$%&'*+-.^_`|~: c", "[a!#$%&\\'*+-.^_`|~: c]"),
    ] {
        check_field(line, &format!("GET h / none {field}"));
    }
    // Envoy drops a lone CR; another parser may see the end of the line in it.
    check_field("a: b\rc", "400 http1.codec_error");
    check_field("a: b\r", "400 http1.codec_error");
}

#[test]
fn values_beyond_ascii_pass() {
    let input = b"GET / HTTP/1.1\r\nhost: h\r\na: \x80\xff\r\n\r\n";
    let lines = request_transcript(RequestLimits::default(), input);
    assert_eq!(lines, ["GET h / none [a: \\x80\\xff]", "complete"]);
}

#[test]
fn content_lengths() {
    for value in [
        "+1",
        "-1",
        "0x1",
        "",
        " ",
        "1a",
        "1 1",
        "1, 1",
        "1,1",
        "1.0",
        "99999999999999999999",
        "18446744073709551616",
        "1;",
        "\"1\"",
        "1_0",
    ] {
        check_field(&format!("content-length: {value}"), "400 http1.codec_error");
    }
    check_field("content-length: 1\u{b}", "400 http1.invalid_characters");
    check_field("content-length: 1\r\ncontent-length: 1", "400 http1.codec_error");
    check_field("content-length: 1\r\ncontent-length: 2", "400 http1.codec_error");
    check_field("content-length: 1\r\ncontent-length:", "400 http1.codec_error");
    for (value, body) in [("0001\t", "1"), ("18446744073709551615", "18446744073709551615")] {
        let input = format!("POST / HTTP/1.1\r\ncontent-length: {value}\r\n\r\nx");
        let lines = request_transcript(RequestLimits::default(), input.as_bytes());
        assert!(lines[0].starts_with(&format!("POST - / {body} [")), "{lines:?}");
        assert!(lines[1].starts_with("data x"));
    }
}

#[test]
fn transfer_codings() {
    for value in [
        "identity",
        "gzip",
        "gzip, chunked",
        "chunked, chunked",
        "chunked, identity",
        "chunked,",
        ",chunked",
        "chunked;q=1",
        "xchunked",
        "chunkedx",
        "",
        "\"chunked\"",
        "'chunked'",
    ] {
        let line = format!("transfer-encoding: {value}");
        check_field(&line, "501 http1.invalid_transfer_encoding");
    }
    let twice = "transfer-encoding: chunked\r\ntransfer-encoding: ";
    for second in ["chunked", "identity", ""] {
        check_field(&format!("{twice}{second}"), "501 http1.invalid_transfer_encoding");
    }
    for value in ["\u{b}chunked", "chunked\u{b}", "chunked\0"] {
        check_field(&format!("transfer-encoding: {value}"), "400 http1.invalid_characters");
    }
}

#[test]
fn length_beside_coding() {
    let both = "400 http1.content_length_and_chunked_not_allowed";
    check_field("content-length: 5\r\ntransfer-encoding: chunked", both);
    check_field("transfer-encoding: chunked\r\ncontent-length: 5", both);
    check_field("transfer-encoding: chunked\r\ncontent-length: 0", both);
    check_field("transfer-encoding: identity\r\ncontent-length: 5", both);
    let input = |fields: &str| format!("POST / HTTP/1.1\r\nhost: h\r\n{fields}\r\n\r\n0\r\n\r\n");
    check_with(
        LAX,
        &input("content-length: 5\r\ntransfer-encoding: chunked"),
        &["POST h / chunked [transfer-encoding: chunked]", "complete"],
    );
    check_with(LAX, &input("content-length: 5\r\ntransfer-encoding: gzip"), &[both]);
    // Envoy takes a length that is no number here.
    let invalid = input("content-length: 5x\r\ntransfer-encoding: chunked");
    check_with(LAX, &invalid, &["400 http1.codec_error"]);
}

#[test]
fn hosts() {
    check("GET / HTTP/1.1\r\n\r\n", &["GET - / none", "complete"]);
    check("GET / HTTP/1.1\r\nhost:\r\n\r\n", &["GET  / none", "complete"]);
    for (hosts, authority) in
        [(["h", "b"], "h,b"), (["h", "h"], "h,h"), (["", "b"], "b"), (["b", ""], "b")]
    {
        let input = format!("GET / HTTP/1.1\r\nhost: {}\r\nHost: {}\r\n\r\n", hosts[0], hosts[1]);
        check(&input, &[&format!("GET {authority} / none"), "complete"]);
    }
    for host in ["a,b", "u@h", "h:x", "h:99999", "[::1", "::1", "a%20b", "a;b", "a_b"] {
        let input = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
        check(&input, &[&format!("GET {host} / none"), "complete"]);
    }
    for host in ["a b", "a/b", "a?b", "a#b", "<x>", "a\tb", "a\"b", "a\\b", "a{b", "a^b", "a|b"] {
        let input = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
        check(&input, &["400 http.invalid_authority"]);
    }
}

#[test]
fn the_authority_of_the_target_wins() {
    check(
        "GET http://x:8/y HTTP/1.1\r\nhost: a\r\nhost: b/c\r\n\r\n",
        &["GET x:8 /y none", "complete"],
    );
    check("CONNECT x:8 HTTP/1.1\r\nhost: a\r\n\r\n", &["CONNECT x:8  none", "complete"]);
    check("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", &["OPTIONS a * none", "complete"]);
}

#[test]
fn fields_that_stand_once_are_joined() {
    check(
        "GET / HTTP/1.1\r\naccept: a\r\ncookie: c\r\nx: 1\r\nAccept: b\r\ncookie: d\r\nx: 2\r\n\r\n",
        &["GET - / none [accept: a,b] [cookie: c] [x: 1] [cookie: d] [x: 2]", "complete"],
    );
    check(
        "GET / HTTP/1.1\r\naccept: a\r\naccept:\r\n\r\n",
        &["GET - / none [accept: a]", "complete"],
    );
    check(
        "GET / HTTP/1.1\r\naccept:\r\naccept: b\r\n\r\n",
        &["GET - / none [accept: b]", "complete"],
    );
}

#[test]
fn connect_has_no_body() {
    let connect = |fields: &str| format!("CONNECT h:80 HTTP/1.1\r\nhost: h:80\r\n{fields}\r\n\r\n");
    check(&connect("content-length: 5"), &["400 http1.body_disallowed"]);
    check(&connect("content-length: 0"), &["CONNECT h:80  0 [content-length: 0]", "complete"]);
    check(&connect("transfer-encoding: chunked"), &["501 http1.invalid_transfer_encoding"]);
}

#[test]
fn connection_fields() {
    for (value, close) in [
        ("close", " close"),
        ("Close", " close"),
        ("foo, close", " close"),
        ("keep-alive", ""),
        ("closed", ""),
        ("", ""),
    ] {
        let line = format!("connection: {value}");
        check_field(&line, &format!("GET h / none{close} [{line}]"));
    }
    check_field("proxy-connection: close", "GET h / none close [proxy-connection: close]");
    let rejected = "400 http1.connection_header_rejected";
    for value in [
        "x-forwarded-for",
        "X-Forwarded-Host",
        "close, x-forwarded-proto",
        ":path",
        "1,2,3,4,5,6,7,8,9,10",
        "1, ,2,3,4,5,6,7,8,9",
    ] {
        check_field(&format!("connection: {value}"), rejected);
    }
    check_field(
        "connection: 1,,2,,3,4,5,6,7,8,9",
        "GET h / none [connection: 1,,2,,3,4,5,6,7,8,9]",
    );
    check_field("connection: a\r\nconnection: 1,2,3,4,5,6,7,8,9", rejected);
    check_field(&format!("connection: te\r\nte: {}", "a".repeat(256)), rejected);
    check_field("connection: host", "GET - / none [connection: host]");
}

#[test]
fn upgrades() {
    let upgrade = "connection: keep-alive, Upgrade\r\nupgrade: ";
    let head = |to: &str| format!("[connection: keep-alive, Upgrade] [upgrade: {to}]");
    for to in ["WebSocket", "foo"] {
        check_field(&format!("{upgrade}{to}"), &format!("GET h / none upgrade {}", head(to)));
    }
    check_field(&format!("{upgrade}h2c"), &format!("GET h / none {}", head("h2c")));
    check_field("upgrade: websocket", "GET h / none [upgrade: websocket]");
    check_field("connection: upgrade", "GET h / none [connection: upgrade]");
    // RFC 9110 section 7.8: not from HTTP/1.0.
    check_with(
        LAX,
        "GET / HTTP/1.0\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        &["GET - / none 1.0 close [connection: upgrade] [upgrade: websocket]", "complete"],
    );
}

#[test]
fn expectations() {
    for value in ["100-continue", "100-Continue"] {
        check_field(&format!("expect: {value}"), &format!("GET h / none expect [expect: {value}]"));
    }
    for value in ["foo", "100-continue, foo"] {
        check_field(&format!("expect: {value}"), &format!("GET h / none [expect: {value}]"));
    }
}

#[test]
fn underscores() {
    let input =
        "GET / HTTP/1.1\r\nhost: h\r\na_b: c\r\nx: y_z\r\ntransfer_encoding: chunked\r\n\r\n";
    let with = |underscores| RequestLimits { underscores, ..RequestLimits::default() };
    check_with(with(Underscores::Reject), input, &["400 http1.unexpected_underscore"]);
    check_with(with(Underscores::Drop), input, &["GET h / none [x: y_z]", "complete"]);
    let mut decoder = RequestDecoder::new(with(Underscores::Drop));
    assert!(decoder.decode(input.as_bytes(), &mut RequestHead::new()).is_ok());
    assert_eq!(decoder.dropped_fields(), 2);
}

#[test]
fn trailers() {
    let input = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nA: b\r\nc: d\r\n\r\n";
    let head = "POST - / chunked [transfer-encoding: chunked]";
    check(input, &[head, "complete"]);
    check_with(LAX, input, &[head, "trailers [a: b] [c: d]", "complete"]);
    let bad = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nA : b\r\n\r\n";
    check(bad, &[head, "400 http1.codec_error"]);
}

fn head_of_size(size: usize) -> Vec<u8> {
    let start = "GET / HTTP/1.1\r\nhost: h\r\na: ";
    format!("{start}{}\r\n\r\n", "b".repeat(size - start.len() - 4)).into_bytes()
}

/// Sixty KiB is too much for every split; some splits show as much.
fn check_size(input: &[u8], expected: &str) {
    for size in [input.len(), 1, 7, 4096, 61_439, 61_440] {
        let pieces: Vec<&[u8]> = input.chunks(size).collect();
        let transcript = requests(RequestLimits::default(), &pieces);
        let first = &transcript.lines[0];
        assert!(first.starts_with(expected), "{} bytes by {size}", input.len());
    }
}

#[test]
fn head_size_limit() {
    check_size(&head_of_size(61_440), "GET h / none");
    check_size(&head_of_size(61_441), "431 http1.headers_too_large");
    check_size(&head_of_size(100_000), "431 http1.headers_too_large");
    check_size(&head_of_size(62_000)[..61_500], "431 http1.headers_too_large");
    check_size(format!("GET /{}", "a".repeat(62_000)).as_bytes(), "431 http1.headers_too_large");
}

#[test]
fn field_count_limit() {
    let input = |count: usize, line: &str| {
        format!("GET / HTTP/1.1\r\nhost: h\r\n{}\r\n", format!("{line}\r\n").repeat(count))
    };
    check_size(input(99, "a: b").as_bytes(), "GET h / none");
    check_size(input(100, "a: b").as_bytes(), "431 http1.too_many_headers");
    check_size(input(500, "a: b").as_bytes(), "431 http1.too_many_headers");
    check_size(input(120, "accept: b").as_bytes(), "GET h / none [accept: b,b");
}

#[test]
fn more_fields_by_configuration() {
    let limits = |max_fields| RequestLimits { max_fields, ..RequestLimits::default() };
    let input = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1000));
    let whole = requests(limits(1000), &[input.as_bytes()]);
    assert_eq!(whole.lines[0].matches("[a: b]").count(), 1000);
    let bytes: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
    assert_eq!(requests(limits(1000), &bytes), whole);
    assert_eq!(requests(limits(999), &bytes).lines, ["431 http1.too_many_headers"]);
}

/// A fold sends the head the longer way, which must know the limits too.
#[test]
fn folded_heads_know_the_limits() {
    let fold = "a: b\r\n c\r\n";
    let input = format!("GET / HTTP/1.1\r\n{}{fold}\r\n", "a: b\r\n".repeat(100));
    check_size(input.as_bytes(), "431 http1.too_many_headers");
    let input = format!("GET / HTTP/1.1\r\n{fold}x: {}\r\n\r\n", "b".repeat(61_440));
    check_size(input.as_bytes(), "431 http1.headers_too_large");
}

#[test]
fn garbage_is_refused_at_its_first_bytes() {
    for garbage in [&b"\x16\x03\x01\x02\x00\x01"[..], b"\x00", b"\x80", b"(", b"HELO\r\n"] {
        let lines = requests(RequestLimits::default(), &[garbage]).lines;
        assert_eq!(lines, ["400 http1.codec_error"], "{garbage:?}");
    }
    check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &["400 http1.codec_error"]);
}

#[test]
fn half_a_head_says_nothing() {
    for half in
        ["get", "FOO /", "GET / HTTX", "GET / HTTP/1.1\r\nhost: h\r\na", "GET / HTTP/1.0\r\n"]
    {
        assert!(requests(LAX, &[half.as_bytes()]).lines.len() <= 1, "{half:?}");
    }
    assert!(requests(LAX, &[b"GET / HTTP/1.1\r\nhost: h\r\n"]).lines.is_empty());
}

/// Data behind a request that asks for an upgrade is not tunnel data until the upstream agreed.
#[test]
fn tunnels_begin_when_they_are_told_to() {
    let input = b"GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: foo\r\n\r\n";
    let mut decoder = RequestDecoder::new(RequestLimits::default());
    let mut head = RequestHead::new();
    assert_eq!(decoder.decode(input, &mut head), Ok((input.len(), Step::Head)));
    decoder.tunnel();
    assert_eq!(decoder.decode(b"", &mut head), Ok((0, Step::NeedMore)));
    assert_eq!(decoder.decode(b"\0raw", &mut head), Ok((4, Step::Data(0..4))));
    assert_eq!(decoder.decode(b"GET", &mut head), Ok((3, Step::Data(0..3))));

    let mut decoder = RequestDecoder::new(RequestLimits::default());
    let input = b"CONNECT h:80 HTTP/1.1\r\n\r\nraw";
    assert_eq!(decoder.decode(input, &mut head), Ok((input.len() - 3, Step::Head)));
    decoder.tunnel();
    assert_eq!(decoder.decode(b"raw", &mut head), Ok((3, Step::Data(0..3))));
}
