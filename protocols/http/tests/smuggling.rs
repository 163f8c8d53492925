//! Inputs that make two parsers disagree on where a message ends, with the verdict of this one.
//!
//! First the vulnerabilities of the field by name, then a corpus. Most cases have a second request
//! hidden in them, `GET /admin`: no transcript may show it as a request of its own unless a strict
//! reader sees it there too.

mod support;

use ringway_http::Method;
use ringway_http::h1::{RequestLimits, ResponseLimits, Upgrade};
use support::{request_transcript, response_transcript};

const HTTP10: RequestLimits = RequestLimits {
    max_head_bytes: 60 * 1024,
    max_fields: 100,
    allow_http10: true,
    allow_chunked_length: false,
    allow_absolute_url: true,
    allow_custom_methods: false,
    enable_trailers: false,
    underscores: ringway_http::h1::Underscores::Allow,
};

/// The verdict on the first request: its error, or `ok` and how many requests there are.
fn verdict(limits: RequestLimits, input: &str) -> String {
    let lines = request_transcript(limits, input.as_bytes());
    let smuggled = lines.iter().any(|line| line.starts_with("GET h /admin"));
    match lines.last() {
        Some(last) if last.starts_with(|first: char| first.is_ascii_digit()) => {
            assert!(!smuggled, "{input:?} {lines:?}");
            last.clone()
        }
        _ => format!("ok {}", lines.iter().filter(|line| *line == "complete").count()),
    }
}

fn refused(input: &str, status: &str) {
    let verdict = verdict(RequestLimits::default(), input);
    assert!(verdict.starts_with(status), "{input:?}: {verdict}");
}

fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n{body}")
}

const HIDDEN: &str = "GET /admin HTTP/1.1\r\nHost: h\r\n\r\n";

// ---- by name ----------------------------------------------------------------------------------

#[test]
fn cl_te() {
    refused(&post("Content-Length: 6\r\nTransfer-Encoding: chunked", "0\r\n\r\nG"), "400");
}

#[test]
fn te_cl() {
    let body = format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len());
    refused(&post("Transfer-Encoding: chunked\r\nContent-Length: 4", &body), "400");
}

#[test]
fn te_te() {
    for second in ["identity", "cow", "chunked"] {
        let fields = format!("Transfer-Encoding: chunked\r\nTransfer-Encoding: {second}");
        refused(&post(&fields, "0\r\n\r\n"), "501");
    }
}

/// The length would be 0 for a reader that takes no bodies with GET.
#[test]
fn zero_cl() {
    let input =
        format!("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{HIDDEN}", HIDDEN.len());
    assert_eq!(verdict(RequestLimits::default(), &input), "ok 1");
}

/// `Expect` does not change the framing (Kettle 2025).
#[test]
fn expect_does_not_move_the_body() {
    let fields = format!("Expect: 100-continue\r\nContent-Length: {}", HIDDEN.len());
    assert_eq!(verdict(RequestLimits::default(), &post(&fields, HIDDEN)), "ok 1");
}

#[test]
fn duplicate_content_length() {
    refused(&post("Content-Length: 5\r\nContent-Length: 5", "hello"), "400");
    refused(&post("Content-Length: 5, 5", "hello"), "400");
    refused(&post("Content-Length: 0\r\nContent-Length: 38", HIDDEN), "400");
}

#[test]
fn rustsec_2021_0078_content_length_with_plus() {
    refused(&post("Content-Length: +5", "hello"), "400");
}

#[test]
fn content_length_in_hexadecimal_or_negative() {
    refused(&post("Content-Length: 0x5", "hello"), "400");
    refused(&post("Content-Length: -5", "hello"), "400");
}

#[test]
fn rustsec_2021_0079_chunk_size_overflow() {
    for size in ["10000000000000005", "ffffffffffffffff5", "00000000000000005"] {
        refused(
            &post("Transfer-Encoding: chunked", &format!("{size}\r\nhello\r\n0\r\n\r\n")),
            "400",
        );
    }
}

#[test]
fn rustsec_2020_0008_transfer_encoding_is_not_contains_chunked() {
    for coding in ["chunkedfoo", "xchunked", "chunked, identity", "\"chunked\""] {
        refused(&post(&format!("Transfer-Encoding: {coding}"), "0\r\n\r\n"), "501");
    }
}

#[test]
fn rustsec_2021_0020_coding_twice() {
    refused(&post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"), "501");
}

/// A name of 65,550 bytes must not wrap into a short `content-length`.
#[test]
fn cve_2021_40346_name_length_overflow() {
    let name = format!("Content-Length0{}", "a".repeat(270 - 15 + 65_536));
    let limits = RequestLimits { max_head_bytes: 1 << 20, ..RequestLimits::default() };
    let input = post(&format!("{name}: \r\nContent-Length: 5"), "hello");
    let pieces: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
    let lines = support::requests(limits, &pieces).lines;
    assert!(lines[0].starts_with("POST h / 5 "));
    assert_eq!(lines[1..], ["data hello", "complete"]);
}

#[test]
fn cve_2023_25725_empty_name() {
    refused(&post(": x\r\nContent-Length: 5", "hello"), "400");
    refused(&post("Content-Length: 5\r\n:", "hello"), "400");
}

#[test]
fn cve_2023_40225_empty_content_length() {
    refused(&post("Content-Length:", ""), "400");
    refused(&post("Content-Length: ", HIDDEN), "400");
    refused(&post("Content-Length: 5\r\nContent-Length:", "hello"), "400");
}

/// A vertical tab or form feed is not white space around `chunked`.
#[test]
fn cve_2019_18277_transfer_encoding_with_control_characters() {
    for coding in ["\u{b}chunked", "chunked\u{b}", "\u{c}chunked"] {
        refused(&post(&format!("Transfer-Encoding: {coding}"), "0\r\n\r\n"), "400");
    }
}

#[test]
fn cve_2026_2833_early_data_behind_an_upgrade() {
    let fields = "Connection: upgrade\r\nUpgrade: websocket";
    let input = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\nraw data\r\n\r\n");
    // Without the word of the connection manager it is the next request, and a bad one.
    refused(&input, "400");
}

#[test]
fn cve_2026_2835_transfer_encoding_in_http_1_0() {
    let input = "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert!(verdict(HTTP10, input).starts_with("400"));
    let both = input.replace("Transfer", "Content-Length: 5\r\nTransfer");
    assert!(verdict(HTTP10, &both).starts_with("400"));
}

#[test]
fn cve_2023_39326_chunk_extensions_that_outweigh_the_body() {
    let chunk = format!("1;{}\r\nx\r\n", "a".repeat(4000));
    let input = post("Transfer-Encoding: chunked", &chunk.repeat(6));
    let lines = support::requests(RequestLimits::default(), &[input.as_bytes()]).lines;
    assert_eq!(lines[1..], ["data xxxx", "400 http1.codec_error"]);
}

/// A lone LF or CR in an extension ends the line for some (TERM.EXT, EXT.TERM).
#[test]
fn chunk_extension_terminators() {
    for line in ["2;\n", "2;a\n", "2;\r", "2;a\rb\r\n", "2\n"] {
        let body = format!("{line}xx\r\n2d\r\n0\r\n\r\n{HIDDEN}");
        refused(&post("Transfer-Encoding: chunked", &body), "400");
    }
}

/// What stands between the data of a chunk and its line end (SPILL). Envoy skips it.
#[test]
fn chunk_data_that_spills() {
    for spill in ["xAA\r\n", "xA\n", "x\n", "x\r"] {
        let body = format!("1\r\n{spill}0\r\n\r\n{HIDDEN}");
        refused(&post("Transfer-Encoding: chunked", &body), "400");
    }
}

#[test]
fn cve_2024_23326_ok_is_no_upgrade() {
    let input = b"HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                  Content-Length: 2\r\n\r\nok";
    let asked = [(Method::Get, Upgrade::WebSocket)];
    let lines = response_transcript(ResponseLimits::default(), &asked, input, true);
    assert!(lines[0].starts_with("200 2 "), "{lines:?}");
    assert_eq!(lines[1..], ["data ok", "complete"]);
}

/// CVE-2026-73548: bytes behind a response do not become the next one's.
#[test]
fn cve_2026_73548_response_bytes_do_not_wait_for_the_next_request() {
    let input = b"HTTP/1.1 204 N\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let lines = response_transcript(
        ResponseLimits::default(),
        &[(Method::Get, Upgrade::None)],
        input,
        true,
    );
    assert_eq!(lines, ["204 none", "complete", "502 Unsolicited"]);
}

#[test]
fn cve_2026_33555_fewer_bytes_than_declared_never_complete() {
    let lines = request_transcript(
        RequestLimits::default(),
        post("Content-Length: 50", "short").as_bytes(),
    );
    assert_eq!(lines[1..], ["data short", "..."]);
}

#[test]
fn headers_that_hide_behind_a_fold() {
    refused(&post("X: y\r\n Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip", ""), "501");
    let folded = post("Transfer-Encoding:\r\n chunked\r\nContent-Length: 5", "0\r\n\r\n");
    refused(&folded, "400");
}

// ---- corpus -----------------------------------------------------------------------------------

/// Fields of a POST, its body, and the beginning of the verdict.
#[rustfmt::skip]
const CORPUS: &[(&str, &str, &str)] = &[
    // Names that are almost a framing field.
    ("Content-Length : 5", "hello", "400"),
    ("Content-Length\t: 5", "hello", "400"),
    (" Content-Length: 5", "hello", "400"),
    ("Content Length: 5", "hello", "400"),
    ("Content-Length\0: 5", "hello", "400"),
    ("Content-Length\u{1}: 5", "hello", "400"),
    ("Content-Length;: 5", "hello", "400"),
    ("Content-Length", "hello", "400"),
    ("Transfer-Encoding : chunked", "0\r\n\r\n", "400"),
    ("Transfer-Encoding\t:chunked", "0\r\n\r\n", "400"),
    ("Transfer\rEncoding: chunked", "0\r\n\r\n", "400"),
    ("\rTransfer-Encoding: chunked", "0\r\n\r\n", "400"),
    ("X: y\rTransfer-Encoding: chunked", "0\r\n\r\n", "400"),
    ("X: y\r\r\nTransfer-Encoding: chunked", "0\r\n\r\n", "400"),
    ("X: y\0\r\nTransfer-Encoding: chunked", "0\r\n\r\n", "400"),
    ("X\nTransfer-Encoding: chunked", "0\r\n\r\n", "400"),
    // Values of content-length.
    ("Content-Length: 5 5", "hello", "400"),
    ("Content-Length: 5,", "hello", "400"),
    ("Content-Length: ,5", "hello", "400"),
    ("Content-Length: 5;", "hello", "400"),
    ("Content-Length: 5.", "hello", "400"),
    ("Content-Length: 5e0", "hello", "400"),
    ("Content-Length: 5_", "hello", "400"),
    ("Content-Length: ５", "hello", "400"),
    ("Content-Length: \"5\"", "hello", "400"),
    ("Content-Length: 5\u{b}", "hello", "400"),
    ("Content-Length: 5\0", "hello", "400"),
    ("Content-Length: 99999999999999999999999", "hello", "400"),
    ("Content-Length: 18446744073709551621", "hello", "400"),
    ("Content-Length: NaN", "hello", "400"),
    ("Content-Length: 5\r\nX: y\r\nContent-Length: 5", "hello", "400"),
    ("Content-Length: 5\r\ncontent-length: 6", "hello", "400"),
    ("Content-Length:5", "hello", "ok 1"),
    ("Content-Length:\t5\t", "hello", "ok 1"),
    ("CONTENT-LENGTH: 05", "hello", "ok 1"),
    // Values of transfer-encoding.
    ("Transfer-Encoding: chunked chunked", "0\r\n\r\n", "501"),
    ("Transfer-Encoding: chunked; foo", "0\r\n\r\n", "501"),
    ("Transfer-Encoding: , chunked", "0\r\n\r\n", "501"),
    ("Transfer-Encoding: chunked, gzip", "0\r\n\r\n", "501"),
    ("Transfer-Encoding: gzip, chunked", "0\r\n\r\n", "501"),
    ("Transfer-Encoding: x-chunked", "0\r\n\r\n", "501"),
    ("Transfer-Encoding: chun ked", "0\r\n\r\n", "501"),
    ("Transfer-Encoding: CHUNKED\u{fe}", "0\r\n\r\n", "501"),
    ("Transfer-Encoding:", "0\r\n\r\n", "501"),
    ("Transfer-Encoding: identity", "0\r\n\r\n", "501"),
    ("Transfer-Encoding: null", "0\r\n\r\n", "501"),
    ("Transfer-Encoding:chunked", "0\r\n\r\n", "ok 1"),
    ("Transfer-Encoding: \tchunked ", "0\r\n\r\n", "ok 1"),
    ("Transfer-Encoding: chunked\r\nX: y\r\nTransfer-Encoding: x", "0\r\n\r\n", "501"),
    ("Transfer-Encoding: x\r\nTransfer-Encoding: chunked", "0\r\n\r\n", "501"),
    // Both.
    ("Content-Length: 5\r\nTransfer-Encoding: identity", "hello", "400"),
    ("Content-Length: 0\r\nTransfer-Encoding: chunked", "0\r\n\r\n", "400"),
    ("Transfer-Encoding: gzip\r\nContent-Length: 5", "hello", "400"),
    // A name with an underscore is another field.
    ("Content_Length: 5", "", "ok 1"),
    ("Transfer_Encoding: chunked", "", "ok 1"),
    // Nominated by connection: the framing is read before anything is removed.
    ("Connection: Content-Length\r\nContent-Length: 5", "hello", "ok 1"),
    ("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked", "0\r\n\r\n", "ok 1"),
    // Chunk sizes.
    ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n", "ok 1"),
    ("Transfer-Encoding: chunked", "005\r\nhello\r\n000\r\n\r\n", "ok 1"),
    ("Transfer-Encoding: chunked", "5 \r\nhello\r\n0\r\n\r\n", "ok 1"),
    ("Transfer-Encoding: chunked", "5;ext=1\r\nhello\r\n0;x\r\n\r\n", "ok 1"),
    ("Transfer-Encoding: chunked", "5 ; e = \"v\" \r\nhello\r\n0\r\n\r\n", "ok 1"),
    ("Transfer-Encoding: chunked", "0x5\r\nhello\r\n0\r\n\r\n", "400"),
    ("Transfer-Encoding: chunked", "5h\r\nhello\r\n0\r\n\r\n", "400"),
    ("Transfer-Encoding: chunked", "+5\r\nhello\r\n0\r\n\r\n", "400"),
    ("Transfer-Encoding: chunked", "-5\r\nhello\r\n0\r\n\r\n", "400"),
    ("Transfer-Encoding: chunked", " 5\r\nhello\r\n0\r\n\r\n", "400"),
    ("Transfer-Encoding: chunked", "\t5\r\nhello\r\n0\r\n\r\n", "400"),
    ("Transfer-Encoding: chunked", "5 5\r\nhello\r\n0\r\n\r\n", "400"),
    ("Transfer-Encoding: chunked", "5.0\r\nhello\r\n0\r\n\r\n", "400"),
    ("Transfer-Encoding: chunked", "1_0\r\nhello\r\n0\r\n\r\n", "400"),
    ("Transfer-Encoding: chunked", "5\0\r\nhello\r\n0\r\n\r\n", "400"),
    ("Transfer-Encoding: chunked", "\r\nhello\r\n0\r\n\r\n", "400"),
    ("Transfer-Encoding: chunked", "hello\r\n0\r\n\r\n", "400"),
    ("Transfer-Encoding: chunked", "5\r\nhello0\r\n\r\n", "400"),
    ("Transfer-Encoding: chunked", "5\r\nhell\r\n0\r\n\r\n", "400"),
    ("Transfer-Encoding: chunked", "5\r\nhello!\r\n0\r\n\r\n", "400"),
    ("Transfer-Encoding: chunked", "5\nhello\r\n0\r\n\r\n", "400"),
    ("Transfer-Encoding: chunked", "5\r\nhello\n0\r\n\r\n", "400"),
    ("Transfer-Encoding: chunked", "5\rhello\r\n0\r\n\r\n", "400"),
    ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\n", "400"),
    ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\n\n", "400"),
    ("Transfer-Encoding: chunked", "-0\r\n\r\n", "400"),
    // Trailers.
    ("Transfer-Encoding: chunked", "0\r\nX: y\r\n\r\n", "ok 1"),
    ("Transfer-Encoding: chunked", "0\r\nContent-Length: 5\r\n\r\n", "ok 1"),
    ("Transfer-Encoding: chunked", "0\r\nX : y\r\n\r\n", "400"),
    ("Transfer-Encoding: chunked", "0\r\nGET /admin HTTP/1.1\r\n\r\n", "400"),
    ("Transfer-Encoding: chunked", "0\r\nX: y\rZ: z\r\n\r\n", "400"),
];

#[test]
fn corpus() {
    for (fields, body, expected) in CORPUS {
        let verdict = verdict(RequestLimits::default(), &post(fields, body));
        assert!(verdict.starts_with(expected), "{fields:?} {body:?}: {verdict}");
    }
}

/// Whatever is wrong with the framing of a request, what follows it is never read as another.
#[test]
fn nothing_follows_a_refused_request() {
    for (fields, body, expected) in CORPUS.iter().filter(|case| case.2 != "ok 1") {
        let input = post(fields, body) + HIDDEN;
        let verdict = verdict(RequestLimits::default(), &input);
        assert!(verdict.starts_with(expected), "{fields:?} {body:?}: {verdict}");
    }
}
