use std::collections::VecDeque;
use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;

/// Writes down what the reader says, for a queue of requests (true: a HEAD).
#[derive(Default)]
struct Transcript {
    open: VecDeque<bool>,
    text: String,
    body: Vec<u8>,
}

impl Answers for Transcript {
    fn oldest_is_head(&self) -> Option<bool> {
        self.open.front().copied()
    }

    fn head(&mut self, status: u16) {
        write!(self.text, "{status}").expect("a string");
    }

    fn data(&mut self, data: &[u8]) {
        self.body.extend_from_slice(data);
    }

    fn end(&mut self, keep_alive: bool) {
        self.open.pop_front();
        let body = String::from_utf8_lossy(&self.body).into_owned();
        let then = if keep_alive { "keep" } else { "close" };
        writeln!(self.text, " {body:?} {then}").expect("a string");
        self.body.clear();
    }
}

/// Feeds `input` in pieces of `size`, then the end of the stream.
fn converse(open: &[bool], input: &[u8], size: usize) -> String {
    let mut reader = Reader::default();
    let mut transcript = Transcript { open: open.iter().copied().collect(), ..Default::default() };
    let mut result = Ok(());
    for piece in input.chunks(size.max(1)) {
        result = result.and_then(|()| reader.receive(piece, &mut transcript));
    }
    result = result.and_then(|()| reader.end_of_stream(&mut transcript));
    if let Err(malformed) = result {
        writeln!(transcript.text, "! {}", malformed.text()).expect("a string");
    }
    transcript.text
}

/// The same transcript must come for pieces of every size.
fn check(open: &[bool], input: &str, expected: Expect) {
    let whole = converse(open, input.as_bytes(), input.len());
    for size in 1..input.len() {
        assert_eq!(converse(open, input.as_bytes(), size), whole, "in pieces of {size}");
    }
    expected.assert_eq(&whole);
}

#[test]
fn lengths_and_pipelined_answers() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nserver: x\r\n\r\nok";
    let other = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    check(
        &[false; 4],
        &[answer, answer, other, answer].concat(),
        expect![[r#"
            200 "ok" keep
            200 "ok" keep
            404 "" keep
            200 "ok" keep
        "#]],
    );
}

#[test]
fn chunks_trailers_and_interim_answers() {
    check(
        &[false, false],
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n0\r\nx: y\r\n\r\nHTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n",
        expect![[r#"
            200 "abc" keep
            204 "" close
        "#]],
    );
}

#[test]
fn answers_to_head_have_no_body() {
    check(
        &[true, false],
        "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nHTTP/1.1 304 x\r\ncontent-length: 5\r\n\r\n",
        expect![[r#"
            200 "" keep
            304 "" keep
        "#]],
    );
}

#[test]
fn the_close_ends_a_body_without_length() {
    check(
        &[false],
        "HTTP/1.0 200 OK\r\n\r\nuntil the end",
        expect![[r#"
            200 "until the end" close
        "#]],
    );
    check(
        &[false],
        "HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 1\r\n\r\nx",
        expect![[r#"
            200 "x" keep
        "#]],
    );
}

#[test]
fn truncation_is_an_error() {
    check(&[false], "", expect!["! the connection was closed before the answer was complete\n"]);
    check(
        &[false],
        "HTTP/1.1 200 OK\r\ncontent-le",
        expect!["! the connection was closed before the answer was complete\n"],
    );
    check(
        &[false],
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort",
        expect!["200! the connection was closed before the answer was complete\n"],
    );
    check(
        &[false],
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        expect!["200! the connection was closed before the answer was complete\n"],
    );
}

#[test]
fn unsolicited_bytes_are_an_error() {
    check(
        &[false],
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
        expect![[r#"
            200 "ok" keep
            ! bytes that no request asked for
        "#]],
    );
}

#[test]
fn broken_answers_are_refused() {
    let cases = [
        ("SSH-2.0-OpenSSH\r\n\r\n", "not HTTP/1"),
        ("HTTP/2 200 OK\r\n\r\n", "malformed head"),
        ("HTTP/1.1 2000 OK\r\n\r\n", "malformed head"),
        ("HTTP/1.1 099 OK\r\n\r\n", "outside 100 to 599"),
        ("HTTP/1.1 101 OK\r\n\r\n", "101 without"),
        ("HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\n", "no number"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n", "different"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", "other than chunked"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n",
            "beside transfer-encoding",
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "without a size"),
        ("HTTP/1.1 200 OK\r\na b: c\r\n\r\n", "malformed head"),
    ];
    for (input, part) in cases {
        for size in [1, 7, input.len()] {
            let said = converse(&[false], input.as_bytes(), size);
            assert!(said.contains('!') && said.contains(part), "{input:?} by {size}: {said}");
        }
    }
}

#[test]
fn an_endless_head_is_cut() {
    let input = format!("HTTP/1.1 200 OK\r\nx: {}", "a".repeat(100_000));
    for size in [1000, input.len()] {
        assert_eq!(converse(&[false], input.as_bytes(), size), "! a head of more than 64 KiB\n");
    }
}
