//! Framing errors and attempts at smuggling, from the client and from the origin.

use ringway_test_support::{Bootstrap, Reply};

use crate::compare::check;
use crate::exchange::{Corpus, Exchange, Peers};

fn bootstrap(peers: &Peers) -> Bootstrap {
    Bootstrap::proxying_to(peers.a())
}

#[test]
fn framing_of_requests() {
    let mut exchanges = lengths();
    exchanges.extend(codings());
    exchanges.extend(chunks());
    exchanges.extend(smuggling());
    check(&Corpus { name: "framing of requests", bootstrap, exchanges });
}

#[test]
fn framing_of_responses() {
    let mut exchanges = broken_responses();
    exchanges.extend(broken_connections());
    check(&Corpus { name: "framing of responses", bootstrap, exchanges });
}

/// What would be smuggled: when the proxy reads it as a request, the origin's record shows it.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\nhost: a\n\n";

fn upload(name: &str, fields: &str, body: &str) -> Exchange {
    Exchange::ask(name, &format!("POST /up HTTP/1.1\nhost: a\n{fields}\n{body}"))
}

fn lengths() -> Vec<Exchange> {
    let bad = "+5 -5 0x5 5a a5 5.0 5,5 5,6 , 5, ,5 99999999999999999999 18446744073709551616 1e1 \"5\" 5;5 ５";
    let mut exchanges: Vec<Exchange> = bad
        .split_whitespace()
        .map(|length| {
            upload(&format!("length {length}"), &format!("content-length: {length}\n"), "hello")
        })
        .collect();
    exchanges.extend([
        upload("length 2^64-1", "content-length: 18446744073709551615\n", "hello").abandoned(),
        upload("length 2^63", "content-length: 9223372036854775808\n", "hello").abandoned(),
        upload("length empty", "content-length:\n", "hello"),
        upload("length with blank inside", "content-length: 5 5\n", "hello"),
        upload("length 5, 5", "content-length: 5, 5\n", "hello"),
        upload("two equal lengths", "content-length: 5\ncontent-length: 5\n", "hello"),
        upload("two lengths", "content-length: 5\ncontent-length: 6\n", "hello"),
        upload("two lengths, one in capitals", "content-length: 5\nContent-Length: 0\n", "hello"),
        upload("length folded", "content-length:\n 5\n", "hello"),
        upload("length folded in two", "content-length: 5\n 0\n", "hello"),
        upload("length with blank before the colon", "content-length : 5\n", "hello"),
        upload("length in an unlike name", "content_length: 5\ncontent-length: 5\n", "hello"),
        upload("length with NUL", "content-length: 5\u{0}\n", "hello"),
        upload("length with vertical tab", "content-length: \u{b}5\n", "hello"),
    ]);
    exchanges
}

fn codings() -> Vec<Exchange> {
    let body = "5\nhello\n0\n\n";
    let coding = |value: &str| {
        upload(&format!("coding {value:?}"), &format!("transfer-encoding: {value}\n"), body)
    };
    let values = [
        "identity",
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked,",
        ",chunked",
        "xchunked",
        "chunkedx",
        "chunk",
        "\"chunked\"",
        "chunked;q=1",
        "",
        "identity, chunked",
        "chunked\t",
        "\u{b}chunked",
        "cow",
    ];
    let mut exchanges: Vec<Exchange> = values.iter().map(|value| coding(value)).collect();
    exchanges.extend([
        upload("two codings", "transfer-encoding: chunked\ntransfer-encoding: chunked\n", body),
        upload(
            "two codings, identity first",
            "transfer-encoding: identity\ntransfer-encoding: chunked\n",
            body,
        ),
        upload("coding folded", "transfer-encoding:\n chunked\n", body),
        upload("coding with blank before the colon", "transfer-encoding : chunked\n", body),
        upload("length and chunked", "content-length: 5\ntransfer-encoding: chunked\n", body),
        upload("chunked and length", "transfer-encoding: chunked\ncontent-length: 5\n", body),
        upload("length 0 and chunked", "content-length: 0\ntransfer-encoding: chunked\n", body),
        upload("length and identity", "content-length: 5\ntransfer-encoding: identity\n", "hello"),
        upload(
            "length and unlike coding",
            "content-length: 5\nxtransfer-encoding: chunked\n",
            "hello",
        ),
        upload(
            "connection names transfer-encoding",
            "connection: transfer-encoding\ntransfer-encoding: chunked\n",
            body,
        ),
        Exchange::ask(
            "chunked on HTTP/1.0",
            "POST / HTTP/1.0\nhost: a\ntransfer-encoding: chunked\n\n5\nhello\n0\n\n",
        ),
    ]);
    exchanges
}

fn chunks() -> Vec<Exchange> {
    let chunked = |name: &str, body: &str| {
        let head = "POST /up HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        Exchange::bytes(format!("chunk: {name}"), format!("{head}{body}"))
    };
    vec![
        chunked("size is no number", "x\r\nhello\r\n0\r\n\r\n"),
        chunked("size negative", "-5\r\nhello\r\n0\r\n\r\n"),
        chunked("size with plus", "+5\r\nhello\r\n0\r\n\r\n"),
        chunked("size with 0x", "0x5\r\nhello\r\n0\r\n\r\n"),
        chunked("size empty", "\r\nhello\r\n0\r\n\r\n"),
        chunked("size with blank before", " 5\r\nhello\r\n0\r\n\r\n"),
        chunked("size with blank after", "5 \r\nhello\r\n0\r\n\r\n"),
        chunked("size with tab after", "5\t\r\nhello\r\n0\r\n\r\n"),
        chunked("size beyond 64 bits", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        chunked("size of 17 zeros", "00000000000000005\r\nhello\r\n0\r\n\r\n"),
        chunked("size near 64 bits", "fffffffffffffffe\r\nhello\r\n0\r\n\r\n").abandoned(),
        chunked("size with underscore", "5_0\r\nhello\r\n0\r\n\r\n"),
        chunked("LF after the size", "5\nhello\r\n0\r\n\r\n"),
        chunked("CR after the size", "5\rhello\r\n0\r\n\r\n"),
        chunked("CR CR LF after the size", "5\r\r\nhello\r\n0\r\n\r\n"),
        chunked("LF after the data", "5\r\nhello\n0\r\n\r\n"),
        chunked("nothing after the data", "5\r\nhello0\r\n\r\n"),
        chunked("data too long", "5\r\nhello world\r\n0\r\n\r\n"),
        chunked("two bytes after the data", "5\r\nhelloXX0\r\n\r\n"),
        chunked("LF after the last size", "5\r\nhello\r\n0\n\r\n"),
        chunked("LF at the end", "5\r\nhello\r\n0\r\n\n"),
        chunked("LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
        chunked("CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
        chunked("NUL in an extension", "5;a\0b\r\nhello\r\n0\r\n\r\n"),
        chunked("extension after a blank", "5 ;a\r\nhello\r\n0\r\n\r\n"),
        chunked(
            "extension of 100,000 bytes",
            &format!("5;{}\r\nhello\r\n0\r\n\r\n", "e".repeat(100_000)),
        ),
        chunked("trailer without colon", "5\r\nhello\r\n0\r\nx-t\r\n\r\n"),
        chunked("trailer with blank before the colon", "5\r\nhello\r\n0\r\nx-t : 1\r\n\r\n"),
        chunked("trailer with control", "5\r\nhello\r\n0\r\nx-t: \u{1}\r\n\r\n"),
        chunked(
            "trailers of 70,000 bytes",
            &format!("5\r\nhello\r\n0\r\nx-t: {}\r\n\r\n", "t".repeat(70_000)),
        ),
        chunked("200 trailers", &format!("0\r\n{}\r\n", "x-t: 1\r\n".repeat(200))),
    ]
}

fn smuggling() -> Vec<Exchange> {
    let with = |name: &str, fields: &str, body: &str| {
        upload(&format!("smuggling: {name}"), fields, &format!("{body}{SMUGGLED}")).and_response()
    };
    vec![
        with("CL.TE", "content-length: 30\ntransfer-encoding: chunked\n", "0\n\n"),
        with("TE.CL", "transfer-encoding: chunked\ncontent-length: 4\n", "0\n\n"),
        with("TE.TE, second unlike", "transfer-encoding: chunked\ntransfer-encoding: x\n", "0\n\n"),
        with("TE.TE, first unlike", "transfer-encoding: x\ntransfer-encoding: chunked\n", "0\n\n"),
        with("TE with tab", "transfer-encoding:\tchunked\ncontent-length: 4\n", "0\n\n"),
        with("TE with high byte", "transfer-encoding: chunked\u{e9}\ncontent-length: 4\n", "0\n\n"),
        with("TE after a fold", "x: y\n transfer-encoding: chunked\ncontent-length: 0\n", ""),
        with("TE after a bare CR", "x: y\rtransfer-encoding: chunked\ncontent-length: 0\n", ""),
        with("CL in a quoted name", "\"content-length\": 30\ncontent-length: 0\n", ""),
        with("CL.0", "content-length: 0\n", ""),
        with("0.CL by connection", "connection: content-length\ncontent-length: 0\n", ""),
        with("upgrade", "connection: upgrade\nupgrade: websocket\ncontent-length: 0\n", ""),
        with("chunk of nothing", "transfer-encoding: chunked\n", "0\n\n"),
        with("size wraps round", "transfer-encoding: chunked\n", "100000000000000000\n\n"),
        with("GET with body", "content-length: 5\nx-http-method-override: GET\n", "hello"),
        with("NUL splits the name", "content\u{0}-length: 9\ncontent-length: 0\n", ""),
        Exchange::ask(
            "smuggling: two requests in one path",
            "GET /x HTTP/1.1\nhost: a\nx: GET /smuggled HTTP/1.1\n\n",
        ),
        Exchange::ask(
            "smuggling: absolute form against Host",
            "GET http://b/x HTTP/1.1\nhost: a\nHost: c\n\n",
        ),
    ]
}

fn broken_responses() -> Vec<Exchange> {
    let get = |name: &str, told: &str| Exchange::get(name, "/r", "").told(told);
    let head = "HTTP/1.1 200 OK\n";
    let chunked = "HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n";
    let close = |name: &str, bytes: String| {
        Exchange::get(name, "/r", "").reply(Reply::raw(bytes.replace('\n', "\r\n")).close())
    };
    let fields = |count: usize| (0..count).map(|n| format!("x-{n}: v\n")).collect::<String>();
    let long = |length: usize| format!("x-long: {}\n", "v".repeat(length));
    vec![
        get("garbage", "garbage\n\n"),
        get("not HTTP", "SSH-2.0-x\n\n"),
        get("empty lines only", "\n\n\n\n"),
        get("empty line, then a response", "\nHTTP/1.1 200 OK\ncontent-length: 1\n\nx"),
        get("small letters", "http/1.1 200 OK\ncontent-length: 0\n\n"),
        get("status is no number", "HTTP/1.1 abc OK\ncontent-length: 0\n\n"),
        get("status negative", "HTTP/1.1 -20 OK\ncontent-length: 0\n\n"),
        get("two blanks", "HTTP/1.1  200 OK\ncontent-length: 0\n\n"),
        get("length twice, equal", &format!("{head}content-length: 2\ncontent-length: 2\n\nhi")),
        get("length twice", &format!("{head}content-length: 2\ncontent-length: 3\n\nhi")),
        get("length 2, 2", &format!("{head}content-length: 2, 2\n\nhi")),
        get("length is no number", &format!("{head}content-length: x\n\nhi")),
        get("length with plus", &format!("{head}content-length: +2\n\nhi")),
        get("length negative", &format!("{head}content-length: -1\n\nhi")),
        get("length beyond 64 bits", &format!("{head}content-length: 99999999999999999999\n\nhi")),
        get("length empty", &format!("{head}content-length:\n\nhi")),
        get(
            "length and chunked",
            &format!("{head}content-length: 5\ntransfer-encoding: chunked\n\n2\nhi\n0\n\n"),
        ),
        get("coding gzip", &format!("{head}transfer-encoding: gzip\n\nhi")),
        get(
            "coding gzip, chunked",
            &format!("{head}transfer-encoding: gzip, chunked\n\n2\nhi\n0\n\n"),
        ),
        get(
            "coding identity",
            &format!("{head}transfer-encoding: identity\ncontent-length: 2\n\nhi"),
        ),
        get(
            "two codings",
            &format!(
                "{head}transfer-encoding: chunked\ntransfer-encoding: chunked\n\n2\nhi\n0\n\n"
            ),
        ),
        get("chunk size is no number", &format!("{chunked}x\nhi\n0\n\n")),
        get("chunk data too long", &format!("{chunked}2\nhixx\n0\n\n")),
        get("chunk with bare LF", &format!("{chunked}2\u{a}hi\n0\n\n")),
        get("NUL in a value", &format!("{head}x-a: a\u{0}b\ncontent-length: 0\n\n")),
        get("blank in a name", &format!("{head}x a: 1\ncontent-length: 0\n\n")),
        get("empty name", &format!("{head}: 1\ncontent-length: 0\n\n")),
        get("bare CR in a value", &format!("{head}x-a: a\rb\ncontent-length: 0\n\n")),
        get("99 fields and a length", &format!("{head}{}content-length: 0\n\n", fields(99))),
        get("100 fields and a length", &format!("{head}{}content-length: 0\n\n", fields(100))),
        get("a field of 79,000 bytes", &format!("{head}{}content-length: 0\n\n", long(79_000))),
        get("a field of 90,000 bytes", &format!("{head}{}content-length: 0\n\n", long(90_000))),
        get("more than the length", &format!("{head}content-length: 2\n\nhi and more")),
        get("two responses", &format!("{head}content-length: 1\n\nx{head}content-length: 1\n\ny")),
        get("204 with body", "HTTP/1.1 204 No\ncontent-length: 2\n\nhi"),
        get("304 with body", "HTTP/1.1 304 No\ncontent-length: 2\n\nhi"),
        get(
            "101 nobody asked for",
            "HTTP/1.1 101 Switching\nconnection: upgrade\nupgrade: websocket\n\nraw",
        ),
        Exchange::ask("HEAD response with body", "HEAD /r HTTP/1.1\nhost: a\n\n")
            .told("HTTP/1.1 200 OK\ncontent-length: 2\n\nhi"),
        close("body cut, sized", format!("{head}content-length: 10\n\nhello")),
        close("body cut, chunked", format!("{chunked}5\nhel")),
        close("body cut between chunks", format!("{chunked}5\nhello\n")),
        close("body cut before the last CRLF", format!("{chunked}5\nhello\n0\n")),
        close("head cut", format!("{head}x-a: 1\n")),
        close("head cut in the status line", "HTTP/1.1 2".into()),
        close("interim only", "HTTP/1.1 100 Continue\n\n".into()),
        close("bad length, then close", format!("{head}content-length: x\n\nhi")),
    ]
}

fn broken_connections() -> Vec<Exchange> {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello";
    let post = |name| crate::exchange::post(name, "/p", "hello");
    vec![
        Exchange::get("closes before the head", "/c", "").reply(Reply::default().close()),
        Exchange::get("resets before the head", "/c", "").reply(Reply::default().reset()),
        post("closes before the head, POST").reply(Reply::default().close()),
        post("closes at the head of a POST").reply(Reply::default().early().close()),
        Exchange::get("resets in the body", "/c", "").reply(Reply::raw(head).reset()),
        Exchange::get("answers and resets", "/c", "").reply(
            Reply::raw("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").close(),
        ),
        Exchange::get("serves again", "/c", ""),
    ]
}
