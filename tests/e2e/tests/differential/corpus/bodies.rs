//! Bodies both ways, well-formed: sizes, chunks, 100-continue, early answers, pipelining.

use ringway_test_support::{Bootstrap, Reply};

use crate::compare::check;
use crate::exchange::{Corpus, Exchange, Peers, post};

fn bootstrap(peers: &Peers) -> Bootstrap {
    Bootstrap::proxying_to(peers.a())
}

#[test]
fn bodies() {
    let mut exchanges = requests();
    exchanges.extend(expectations());
    exchanges.extend(pipelines());
    exchanges.extend(responses());
    exchanges.extend(interim_responses());
    check(&Corpus { name: "bodies", bootstrap, exchanges });
}

const CHUNKED: &str = "host: a\ntransfer-encoding: chunked\n";

/// A request with a body that is given as on the wire, `\n` for CRLF throughout.
fn upload(name: &str, method: &str, fields: &str, body: &str) -> Exchange {
    Exchange::ask(name, &format!("{method} /up HTTP/1.1\n{fields}\n{body}"))
}

fn requests() -> Vec<Exchange> {
    let big = "b".repeat(300_000);
    let many_chunks = "a\n0123456789\n".repeat(1000) + "0\n\n";
    vec![
        post("sized", "/up", "hello"),
        post("sized, empty", "/up", ""),
        post("sized, one byte", "/up", "x"),
        post("sized, large", "/up", &big),
        post("sized, bytes of all kinds", "/up", "\0\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
        post("sized, byte by byte", "/up", "hello").dribbled(),
        upload("chunked", "POST", CHUNKED, "5\nhello\n0\n\n"),
        upload("chunked, several", "POST", CHUNKED, "5\nhello\n1\n \n5\nworld\n0\n\n"),
        upload("chunked, empty", "POST", CHUNKED, "0\n\n"),
        upload("chunked, byte by byte", "POST", CHUNKED, "5\nhello\n0\n\n").dribbled(),
        upload("chunked, many", "POST", CHUNKED, &many_chunks),
        upload("chunked, hex in capitals", "POST", CHUNKED, "A\n0123456789\n0\n\n"),
        upload("chunked, leading zeros", "POST", CHUNKED, "005\nhello\n000\n\n"),
        upload("chunked, extension", "POST", CHUNKED, "5;x=y\nhello\n0;z\n\n"),
        upload("chunked, quoted extension", "POST", CHUNKED, "5;x=\"a;b\"\nhello\n0\n\n"),
        upload("chunked, trailers", "POST", CHUNKED, "5\nhello\n0\nx-t: 1\nX-U: 2\n\n"),
        upload(
            "chunked, trailer framing field",
            "POST",
            CHUNKED,
            "5\nhello\n0\ncontent-length: 3\n\n",
        ),
        upload(
            "Chunked in capitals",
            "POST",
            "host: a\nTransfer-Encoding: CHUNKED\n",
            "5\nhello\n0\n\n",
        ),
        upload("GET with sized body", "GET", "host: a\ncontent-length: 5\n", "hello"),
        upload("GET with chunked body", "GET", CHUNKED, "5\nhello\n0\n\n"),
        upload("HEAD with sized body", "HEAD", "host: a\ncontent-length: 5\n", "hello"),
        upload("DELETE with sized body", "DELETE", "host: a\ncontent-length: 5\n", "hello"),
        upload("OPTIONS with chunked body", "OPTIONS", CHUNKED, "5\nhello\n0\n\n"),
        upload("TRACE with sized body", "TRACE", "host: a\ncontent-length: 5\n", "hello"),
        upload("GET with content-length: 0", "GET", "host: a\ncontent-length: 0\n", ""),
        upload("fields after content-length", "POST", "content-length: 2\nhost: a\nx-a: 1\n", "hi"),
        upload("length with leading zeros", "POST", "host: a\ncontent-length: 005\n", "hello"),
        upload("length with blanks around", "POST", "host: a\ncontent-length:   5  \n", "hello"),
        upload(
            "content-encoding",
            "POST",
            "host: a\ncontent-encoding: gzip\ncontent-length: 2\n",
            "zz",
        ),
        upload("POST without length", "POST", "host: a\n", ""),
        upload("body longer than its length", "POST", "host: a\ncontent-length: 2\n", "hello"),
        upload(
            "body longer, then a request",
            "POST",
            "host: a\ncontent-length: 2\n",
            "hiGET /second HTTP/1.1\nhost: a\n\n",
        )
        .and_response(),
        upload(
            "chunked, then a request",
            "POST",
            CHUNKED,
            "2\nhi\n0\n\nGET /second HTTP/1.1\nhost: a\n\n",
        )
        .and_response(),
        upload(
            "connection: close with body",
            "POST",
            "host: a\nconnection: close\ncontent-length: 2\n",
            "hi",
        ),
        upload("body cut by FIN", "POST", "host: a\ncontent-length: 10\n", "hello").abandoned(),
        upload("chunked body cut by FIN", "POST", CHUNKED, "5\nhel").abandoned(),
        Exchange::ask("head cut by FIN", "POST /up HTTP/1.1\nhost: a\nx-").finishing(),
        Exchange::get("request, then FIN", "/fin", "").reply(Reply::silence()).abandoned(),
    ]
}

fn expectations() -> Vec<Exchange> {
    let expecting = "POST /e HTTP/1.1\nhost: a\nexpect: 100-continue\ncontent-length: 5\n\n";
    let refusing = || Reply::status(403, "no").early();
    vec![
        Exchange::ask("expect, body at once", &format!("{expecting}hello")),
        Exchange::ask(
            "expect, with chunked body",
            "POST /e HTTP/1.1\nhost: a\nexpect: 100-continue\ntransfer-encoding: chunked\n\n\
             5\nhello\n0\n\n",
        ),
        Exchange::ask(
            "Expect in capitals",
            "POST /e HTTP/1.1\nhost: a\nExpect: 100-Continue\ncontent-length: 2\n\nhi",
        ),
        Exchange::ask(
            "expect, unknown, with body",
            "POST /e HTTP/1.1\nhost: a\nexpect: tea\ncontent-length: 2\n\nhi",
        ),
        post("early answer, body complete", "/e", "hello").reply(refusing()),
        post("early answer, then close", "/e", "hello").reply(refusing().close()),
        post("origin answers 100 by itself", "/e", "hello")
            .told("HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\ncontent-length: 2\n\nok"),
        Exchange::ask(
            "early answer, body never completed",
            "POST /e HTTP/1.1\nhost: a\ncontent-length: 50\n\nhello",
        )
        .reply(refusing()),
        Exchange::ask(
            "early answer, chunked body never completed",
            "POST /e HTTP/1.1\nhost: a\ntransfer-encoding: chunked\n\n5\nhello\n",
        )
        .reply(refusing()),
        Exchange::ask(
            "early answer without length, body never completed",
            "POST /e HTTP/1.1\nhost: a\ncontent-length: 50\n\nhello",
        )
        .reply(
            Reply::raw(
                "HTTP/1.1 403 No\r\ntransfer-encoding: chunked\r\n\r\n\
                               2\r\nno\r\n0\r\n\r\n",
            )
            .early(),
        ),
    ]
}

fn pipelines() -> Vec<Exchange> {
    let gets = |count: usize| {
        (0..count).map(|n| format!("GET /p{n} HTTP/1.1\nhost: a\n\n")).collect::<String>()
    };
    let mut twenty = Exchange::ask("20 pipelined", &gets(20));
    for _ in 1..20 {
        twenty = twenty.and_response();
    }
    let posts = "POST /p1 HTTP/1.1\nhost: a\ncontent-length: 3\n\nonePOST /p2 HTTP/1.1\nhost: a\n\
                 transfer-encoding: chunked\n\n3\ntwo\n0\n\nGET /p3 HTTP/1.1\nhost: a\n\n";
    vec![
        twenty,
        Exchange::ask("2 pipelined, byte by byte", &gets(2)).and_response().dribbled(),
        Exchange::ask("pipelined bodies", posts).and_response().and_response(),
        Exchange::ask(
            "pipelined with empty lines between",
            "GET /1 HTTP/1.1\nhost: a\n\n\n\nGET /2 HTTP/1.1\nhost: a\n\n",
        )
        .and_response(),
        Exchange::ask(
            "close, then pipelined",
            "GET /1 HTTP/1.1\nhost: a\nconnection: close\n\nGET /2 HTTP/1.1\nhost: a\n\n",
        )
        .and_response(),
        Exchange::ask("good, then garbage", "GET /1 HTTP/1.1\nhost: a\n\nGARBAGE\n\n")
            .and_response(),
        Exchange::ask(
            "good, then bad length",
            "GET /1 HTTP/1.1\nhost: a\n\nPOST /2 HTTP/1.1\nhost: a\ncontent-length: x\n\n",
        )
        .and_response(),
        Exchange::ask(
            "HEAD, then GET",
            "HEAD /1 HTTP/1.1\nhost: a\n\nGET /2 HTTP/1.1\nhost: a\n\n",
        )
        .and_response(),
        Exchange::get("one after the other", "/1", "")
            .then("GET /2 HTTP/1.1\nhost: b\n\n")
            .and_response()
            .then("GET /3 HTTP/1.1\nhost: c\nx-a: 1\n\n")
            .and_response(),
    ]
}

fn responses() -> Vec<Exchange> {
    let get =
        |name: &str, told: &str| Exchange::get(format!("response: {name}"), "/r", "").told(told);
    let head = |name: &str, told: &str| {
        Exchange::ask(format!("HEAD response: {name}"), "HEAD /r HTTP/1.1\nhost: a\n\n").told(told)
    };
    let big = format!("HTTP/1.1 200 OK\ncontent-length: 300000\n\n{}", "r".repeat(300_000));
    let chunks = "a\n0123456789\n".repeat(1000) + "0\n\n";
    let close = |name: &str, told: &str| {
        let bytes = told.replace('\n', "\r\n");
        Exchange::get(format!("response: {name}"), "/r", "").reply(Reply::raw(bytes).close())
    };
    vec![
        get("sized", "HTTP/1.1 200 OK\ncontent-length: 5\n\nhello"),
        get("sized, empty", "HTTP/1.1 200 OK\ncontent-length: 0\n\n"),
        get("sized, large", &big),
        get("chunked", "HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n5\nhello\n0\n\n"),
        get("chunked, empty", "HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n0\n\n"),
        get("chunked, many", &format!("HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n{chunks}")),
        get(
            "chunked, extension",
            "HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n2;x=1\nhi\n0\n\n",
        ),
        get(
            "chunked, trailers",
            "HTTP/1.1 200 OK\ntransfer-encoding: chunked\ntrailer: x-t\n\n2\nhi\n0\nx-t: 1\n\n",
        ),
        get("length with leading zeros", "HTTP/1.1 200 OK\ncontent-length: 005\n\nhello"),
        close("until close", "HTTP/1.1 200 OK\n\nhello until the end"),
        close("until close, empty", "HTTP/1.1 200 OK\n\n"),
        close("until close, HTTP/1.0", "HTTP/1.0 200 OK\n\nold"),
        close("sized and close", "HTTP/1.1 200 OK\nconnection: close\ncontent-length: 2\n\nhi"),
        close(
            "chunked and close",
            "HTTP/1.1 200 OK\nconnection: close\ntransfer-encoding: chunked\n\n2\nhi\n0\n\n",
        ),
        get("204", "HTTP/1.1 204 No Content\n\n"),
        get("204 with length 0", "HTTP/1.1 204 No Content\ncontent-length: 0\n\n"),
        get("204 with chunked", "HTTP/1.1 204 No Content\ntransfer-encoding: chunked\n\n"),
        get("205", "HTTP/1.1 205 Reset Content\ncontent-length: 0\n\n"),
        get("304", "HTTP/1.1 304 Not Modified\netag: x\n\n"),
        get("304 with length", "HTTP/1.1 304 Not Modified\ncontent-length: 100\n\n"),
        get("304 with chunked", "HTTP/1.1 304 Not Modified\ntransfer-encoding: chunked\n\n"),
        head("sized", "HTTP/1.1 200 OK\ncontent-length: 100\n\n"),
        head("chunked", "HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n"),
        head("no length", "HTTP/1.1 200 OK\n\n"),
        head("404 sized", "HTTP/1.1 404 No\ncontent-length: 9\n\n"),
        get(
            "status 200 to GET with content-type",
            "HTTP/1.1 200 OK\ncontent-type: text/html\ncontent-length: 2\n\nhi",
        ),
    ]
}

fn interim_responses() -> Vec<Exchange> {
    let last = "HTTP/1.1 200 OK\ncontent-length: 1\n\nz";
    let get = |name: &str, first: &str| {
        Exchange::get(format!("interim: {name}"), "/i", "").told(&format!("{first}{last}"))
    };
    vec![
        get("100", "HTTP/1.1 100 Continue\n\n"),
        get("two 100s", "HTTP/1.1 100 Continue\n\nHTTP/1.1 100 Continue\n\n"),
        get("102", "HTTP/1.1 102 Processing\n\n"),
        get("103 with link", "HTTP/1.1 103 Early Hints\nlink: </a>\n\n"),
        get("199", "HTTP/1.1 199 Own\nx-a: 1\n\n"),
        get("100 with length", "HTTP/1.1 100 Continue\ncontent-length: 0\n\n"),
        get("several kinds", "HTTP/1.1 102 P\n\nHTTP/1.1 103 E\n\nHTTP/1.1 100 C\n\n"),
    ]
}
