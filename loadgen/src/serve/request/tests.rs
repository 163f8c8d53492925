use std::time::Duration;

use super::*;

const DEFAULTS: Defaults = Defaults { size: 3, delay: Duration::ZERO };

/// Reads `input` in pieces of `size`: each request's ready answer or echoed body, or the refusal.
fn converse(input: &str, size: usize) -> Vec<String> {
    let (mut reader, mut said) = (Reader::new(DEFAULTS), Vec::new());
    for piece in input.as_bytes().chunks(size) {
        let mut rest = piece;
        while !rest.is_empty() {
            let (consumed, event) = match reader.step(rest) {
                Ok(step) => step,
                Err(Refused(status, text)) => {
                    said.push(format!("{status} {text}"));
                    return said;
                }
            };
            rest = &rest[consumed..];
            match event {
                Event::NeedMore => {}
                Event::Continue => said.push("continue".to_owned()),
                Event::Request(prepared, body) => {
                    let ready = prepared.ready.as_ref().map(|b| String::from_utf8_lossy(b));
                    let body = String::from_utf8_lossy(&body);
                    said.push(format!("{}{body}", ready.unwrap_or_default().replace("\r\n", "|")));
                }
            }
        }
    }
    said
}

fn check(input: &str, expected: &[&str]) {
    for size in 1..=input.len() {
        assert_eq!(converse(input, size), expected, "in pieces of {size}");
    }
}

const OK: &str = "HTTP/1.1 200 OK|content-type: text/plain|content-length: 3||012";

#[test]
fn requests_are_answered_in_turn() {
    check(
        "GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n\
         HEAD /bytes/9 HTTP/1.1\r\n\r\nGET /status/204 HTTP/1.1\r\nconnection: close\r\n\r\n",
        &[
            OK,
            OK,
            "HTTP/1.1 200 OK|content-type: text/plain|content-length: 9||",
            "HTTP/1.1 204 No Content|connection: close||",
        ],
    );
}

#[test]
fn bodies_are_read_and_sent_back() {
    check(
        "POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhelloPOST /echo HTTP/1.1\r\n\
         transfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
         PUT /echo HTTP/1.1\r\ncontent-length: 2\r\n\r\nxyGET / HTTP/1.1\r\n\r\n",
        &[OK, "continue", "abc", "xy", OK],
    );
}

#[test]
fn the_field_goes_before_the_path() {
    let said = converse("GET /bytes/9 HTTP/1.1\r\nX-Ringway-Answer: /status/503\r\n\r\n", 1000);
    assert!(said[0].starts_with("HTTP/1.1 503 Service Unavailable|"), "{said:?}");
}

#[test]
fn what_breaks_the_rules_is_refused() {
    for (input, expected) in [
        ("GET /\r\n\r\n", "400 a malformed head"),
        ("GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n", "400 a content-length that is no number"),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n",
            "400 content-length beside transfer-encoding",
        ),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n",
            "501 a transfer-encoding other than chunked",
        ),
        ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz", "400 a chunk without a size"),
        ("GET /bytes/x HTTP/1.1\r\n\r\n", "400 `x` is no unit of size: use k, M or G"),
    ] {
        check(input, &[expected]);
    }
    let long = format!("GET / HTTP/1.1\r\nx: {}", "a".repeat(70_000));
    assert_eq!(converse(&long, 4096), ["431 a head of more than 64 KiB"]);
}

/// The answers that requests lead to, told apart by their place in memory.
fn places(requests: &[&str]) -> Vec<*const Prepared> {
    let mut reader = Reader::new(DEFAULTS);
    let mut kept = Vec::new();
    for request in requests {
        match reader.step(request.as_bytes()) {
            Ok((_, Event::Request(prepared, _))) => kept.push(prepared),
            other => panic!("{request}: {other:?}"),
        }
    }
    kept.iter().map(Rc::as_ptr).collect()
}

#[test]
fn a_head_that_means_the_same_has_the_same_answer() {
    let numbered = |path, fields: &str, number| {
        format!("GET {path} HTTP/1.1\r\nx-request-id: {number}\r\n{fields}\r\n")
    };
    let plain = places(&[&numbered("/", "", 1), &numbered("/", "", 2)]);
    assert_eq!(plain[0], plain[1]);
    for other in [
        numbered("/bytes/9", "", 2),
        numbered("/", "connection: close\r\n", 2),
        numbered("/", "x-ringway-answer: /bytes/9\r\n", 2),
        numbered("/", "content-length: 0\r\n", 2),
        numbered("/", "", 2).replace("GET", "HEAD"),
        numbered("/", "upgrade: websocket\r\nsec-websocket-key: x\r\n", 2),
    ] {
        let two = places(&[&numbered("/", "", 1), &other]);
        assert_ne!(two[0], two[1], "{other}");
    }
}
