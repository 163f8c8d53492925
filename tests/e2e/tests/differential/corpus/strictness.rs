//! RFC 9112 and RFC 9110 by the letter, where no other corpus has been: request lines, hosts,
//! expectations, informational heads, trailers, pipelines.

use ringway_test_support::{Bootstrap, Reply};

use crate::compare::check;
use crate::exchange::{Corpus, Exchange, Peers, Step};

fn bootstrap(peers: &Peers) -> Bootstrap {
    let trailers = "http_protocol_options: { enable_trailers: true }\n";
    let routes = "route_config: { virtual_hosts: [{ name: all, domains: ['*'], routes: [{ match: \
                  { prefix: / }, route: { cluster: a } }] }] }";
    let both = "typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: { http_protocol_options: { enable_trailers: true } }
";
    let bootstrap = Bootstrap::new().http("main", &format!("{trailers}{routes}"));
    bootstrap.cluster_with("a", &[peers.a()], both)
}

#[test]
fn strictness_of_requests() {
    let mut exchanges = request_lines();
    exchanges.extend(fields());
    exchanges.extend(bodies());
    exchanges.extend(expectations());
    exchanges.extend(pipelines());
    check(&Corpus { name: "strictness of requests", bootstrap, exchanges });
}

#[test]
fn strictness_of_responses() {
    let mut exchanges = status_lines();
    exchanges.extend(informational());
    exchanges.extend(response_bodies());
    check(&Corpus { name: "strictness of responses", bootstrap, exchanges });
}

fn request_lines() -> Vec<Exchange> {
    let lines = [
        ("OPTIONS in absolute form", "OPTIONS http://b/x HTTP/1.1\nhost: a\n\n"),
        ("OPTIONS in absolute form without path", "OPTIONS http://b HTTP/1.1\nhost: a\n\n"),
        ("OPTIONS of two asterisks", "OPTIONS ** HTTP/1.1\nhost: a\n\n"),
        ("asterisk with a query", "OPTIONS *?x HTTP/1.1\nhost: a\n\n"),
        ("CONNECT without a port", "CONNECT a HTTP/1.1\nhost: a\n\n"),
        ("CONNECT of a path", "CONNECT /a HTTP/1.1\nhost: a\n\n"),
        ("CONNECT in absolute form", "CONNECT http://a:80/ HTTP/1.1\nhost: a\n\n"),
        ("CONNECT with a length", "CONNECT a:80 HTTP/1.1\nhost: a:80\ncontent-length: 2\n\nhi"),
        ("TRACE with max-forwards", "TRACE / HTTP/1.1\nhost: a\nmax-forwards: 0\n\n"),
        ("port of six digits", "GET http://a:123456/ HTTP/1.1\nhost: a\n\n"),
        ("port of nothing", "GET http://a:/ HTTP/1.1\nhost: a\n\n"),
        ("IPv6 in absolute form", "GET http://[::1]:80/ HTTP/1.1\nhost: a\n\n"),
        ("a bracket that is not closed", "GET http://[::1/ HTTP/1.1\nhost: a\n\n"),
        ("scheme without slashes", "GET http:/a HTTP/1.1\nhost: a\n\n"),
        ("scheme alone", "GET http:// HTTP/1.1\nhost: a\n\n"),
        ("backslashes in absolute form", "GET http:\\\\a\\x HTTP/1.1\nhost: a\n\n"),
        ("vertical tab for blank", "GET\u{b}/ HTTP/1.1\nhost: a\n\n"),
        ("form feed before the version", "GET /\u{c}HTTP/1.1\nhost: a\n\n"),
        ("version without a number", "GET / HTTP/\nhost: a\n\n"),
        ("version with a comma", "GET / HTTP/1,1\nhost: a\n\n"),
        ("version with a plus", "GET / HTTP/1.+1\nhost: a\n\n"),
        ("a word behind the version", "GET / HTTP/1.1 x\nhost: a\n\n"),
        ("two versions", "GET / HTTP/1.1 HTTP/1.1\nhost: a\n\n"),
        ("nothing but a method", "GET\n\n"),
        ("nothing but blanks", "   \n\n"),
        ("a response", "HTTP/1.1 200 OK\ncontent-length: 0\n\n"),
    ];
    let mut exchanges: Vec<Exchange> =
        lines.iter().map(|(name, request)| Exchange::ask(*name, request)).collect();
    let long = "M".repeat(300);
    exchanges
        .push(Exchange::ask("a method of 300 letters", &format!("{long} / HTTP/1.1\nhost: a\n\n")));
    exchanges
}

fn fields() -> Vec<Exchange> {
    let whole = [
        ("a blank before the first field", "GET / HTTP/1.1\n host: a\nx: y\n\n"),
        ("a tab before the first field", "GET / HTTP/1.1\n\tx: y\nhost: a\n\n"),
        ("Host folded", "GET / HTTP/1.1\nhost:\n a\n\n"),
        ("Host with a tab", "GET / HTTP/1.1\nhost: a\tb\n\n"),
        ("Host with two ports", "GET / HTTP/1.1\nhost: a:1:2\n\n"),
        ("Host with an empty port", "GET / HTTP/1.1\nhost: a:\n\n"),
        ("Host with port 0", "GET / HTTP/1.1\nhost: a:0\n\n"),
        ("Host with port 65536", "GET / HTTP/1.1\nhost: a:65536\n\n"),
        ("Host of IPv6 without brackets", "GET / HTTP/1.1\nhost: ::1\n\n"),
        ("Host with a bracket that is not closed", "GET / HTTP/1.1\nhost: [::1\n\n"),
        ("Host of a URL", "GET / HTTP/1.1\nhost: http://a/\n\n"),
        ("Host with a fragment", "GET / HTTP/1.1\nhost: a#b\n\n"),
        ("Host with a backslash", "GET / HTTP/1.1\nhost: a\\b\n\n"),
        ("Host of dots", "GET / HTTP/1.1\nhost: ..\n\n"),
        ("Host with NUL", "GET / HTTP/1.1\nhost: a\0b\n\n"),
        ("Host behind the body's length", "GET / HTTP/1.1\ncontent-length: 0\nhost: a\n\n"),
    ];
    let mut exchanges: Vec<Exchange> =
        whole.iter().map(|(name, request)| Exchange::ask(*name, request)).collect();
    let added = [
        ("vertical tab around a value", "x-a: \u{b}1\u{b}\n"),
        ("a name of one letter", "x: 1\n"),
        ("a colon in a value", "x-a: :b:c\n"),
        ("two colons", "x-a:: b\n"),
        ("a quoted value that is not closed", "x-a: \"b\n"),
        ("connection of commas", "connection: ,, ,\n"),
        ("connection of an invalid name", "connection: x y\nx-y: 1\n"),
        ("connection names itself", "connection: connection\n"),
        ("connection names upgrade without one", "connection: upgrade\n"),
        ("connection names te", "connection: te\nte: trailers;q=0.5\n"),
        ("upgrade of nothing", "connection: upgrade\nupgrade:\n"),
        ("upgrade of two protocols", "connection: upgrade\nupgrade: websocket, foo\n"),
        ("max-forwards of GET", "max-forwards: 0\n"),
        ("range of a negative", "range: bytes=-0\n"),
    ];
    exchanges.extend(added.iter().map(|(name, fields)| Exchange::get(*name, "/f", fields)));
    exchanges
}

fn upload(name: &str, fields: &str, body: &str) -> Exchange {
    Exchange::ask(name, &format!("POST /up HTTP/1.1\nhost: a\n{fields}\n{body}"))
}

fn bodies() -> Vec<Exchange> {
    let chunked = |name: &str, body: &str| {
        upload(&format!("chunk: {name}"), "transfer-encoding: chunked\n", body)
    };
    vec![
        chunked("16 digits", "0000000000000005\nhello\n0\n\n"),
        chunked("last size of many zeros", "5\nhello\n0000\n\n"),
        chunked("extension at the end", "5\nhello\n0;a=b\n\n"),
        chunked("extension without a name", "5;\nhello\n0\n\n"),
        chunked("extension with a quoted semicolon", "5;a=\"b;c\";d\nhello\n0\n\n"),
        chunked("tab before an extension", "5\t;a\nhello\n0\n\n"),
        chunked("trailers", "5\nhello\n0\nx-t: 1\nx-t: 2\n\n"),
        chunked("trailer of a length", "5\nhello\n0\ncontent-length: 9\nx-t: 1\n\n"),
        chunked("trailer of a coding", "5\nhello\n0\ntransfer-encoding: chunked\nx-t: 1\n\n"),
        chunked("trailer of a host", "5\nhello\n0\nhost: b\nx-t: 1\n\n"),
        chunked("trailer of a credential", "5\nhello\n0\nauthorization: x\nx-t: 1\n\n"),
        chunked("trailer of a connection", "5\nhello\n0\nconnection: close\nx-t: 1\n\n"),
        chunked("trailer with a fold", "5\nhello\n0\nx-t: 1\n 2\n\n"),
        chunked("trailer with NUL", "5\nhello\n0\nx-t: a\0b\n\n"),
        chunked("trailer without a name", "5\nhello\n0\n: 1\n\n"),
        chunked("trailer of a pseudo field", "5\nhello\n0\n:path: /x\n\n"),
        upload(
            "length of HEAD and chunks",
            "content-length: 0\nTransfer-Encoding:chunked\n",
            "0\n\n",
        ),
        upload("chunked in quotes and plain", "transfer-encoding: \"x\", chunked\n", "0\n\n"),
        upload("length of 19 nines", "content-length: 9999999999999999999\n", "x").abandoned(),
        upload("length in full-width digits", "content-length: \u{ff15}\n", "hello"),
        upload("length with a comment", "content-length: 5 (five)\n", "hello"),
    ]
}

fn expectations() -> Vec<Exchange> {
    let head = |fields: &str| format!("POST /e HTTP/1.1\nhost: a\n{fields}\n");
    let waiting = |name: &str, fields: &str, body: &str| {
        // The client waits for 100 before it sends its body.
        let bytes = |text: &str| Step::Send(text.replace('\n', "\r\n").into_bytes());
        let steps =
            vec![bytes(&head(fields)), Step::Head, bytes(body), Step::Response("POST".into())];
        Exchange { steps, ..Exchange::ask(name, "") }
    };
    vec![
        waiting("expect, then the body", "expect: 100-continue\ncontent-length: 5\n", "hello"),
        waiting(
            "expect, then chunks",
            "expect: 100-continue\ntransfer-encoding: chunked\n",
            "5\nhello\n0\n\n",
        ),
        Exchange::ask(
            "expect twice",
            &(head("expect: 100-continue\nexpect: 100-continue\ncontent-length: 2\n") + "hi"),
        ),
        Exchange::ask(
            "expect a list",
            &(head("expect: 100-continue, x\ncontent-length: 2\n") + "hi"),
        ),
        Exchange::ask("expect nothing", &(head("expect:\ncontent-length: 2\n") + "hi")),
        Exchange::ask(
            "expect with a parameter",
            &(head("expect: 100-continue;x=y\ncontent-length: 2\n") + "hi"),
        ),
    ]
}

fn pipelines() -> Vec<Exchange> {
    let get = "GET /2 HTTP/1.1\nhost: a\n\n";
    vec![
        Exchange::ask("OPTIONS, then GET", &format!("OPTIONS * HTTP/1.1\nhost: a\n\n{get}"))
            .and_response(),
        Exchange::ask(
            "a body of GET, then GET",
            &format!("GET /1 HTTP/1.1\nhost: a\ncontent-length: 3\n\nGET{get}"),
        )
        .and_response(),
        Exchange::ask(
            "trailers, then GET",
            &format!("POST /1 HTTP/1.1\nhost: a\ntransfer-encoding: chunked\n\n0\nx-t: 1\n\n{get}"),
        )
        .and_response(),
        Exchange::ask(
            "an upgrade that is refused, then GET",
            &format!("GET /1 HTTP/1.1\nhost: a\nconnection: upgrade\nupgrade: x\n\n{get}"),
        )
        .and_response(),
        Exchange::ask(
            "GET, then a bad host",
            "GET /1 HTTP/1.1\nhost: a\n\nGET /2 HTTP/1.1\nhost: a b\n\n",
        )
        .and_response(),
        Exchange::ask("GET, then none", "GET /1 HTTP/1.1\nhost: a\n\nGET /2 HTTP/1.1\n\n")
            .and_response(),
        Exchange::ask(
            "GET, then HTTP/1.0",
            "GET /1 HTTP/1.1\nhost: a\n\nGET /2 HTTP/1.0\nhost: a\n\n",
        )
        .and_response(),
        Exchange::ask(
            "GET, then the preface of HTTP/2",
            "GET /1 HTTP/1.1\nhost: a\n\nPRI * HTTP/2.0\n\nSM\n\n",
        )
        .and_response(),
    ]
}

fn status_lines() -> Vec<Exchange> {
    let told = |name: &str, response: &str| Exchange::get(name, "/r", "").told(response);
    let end = "content-length: 0\n\n";
    let lines = [
        ("a tab for blank", "HTTP/1.1\t200 OK"),
        ("no blank behind the status", "HTTP/1.1 200OK"),
        ("a blank before the version", " HTTP/1.1 200 OK"),
        ("a status with a plus", "HTTP/1.1 +200 OK"),
        ("a status with a point", "HTTP/1.1 200.1 OK"),
        ("a status in hex", "HTTP/1.1 0xc8 OK"),
        ("a reason of high bytes", "HTTP/1.1 200 caf\u{e9}"),
        ("a reason with a tab", "HTTP/1.1 200 a\tb"),
        ("a reason with a control character", "HTTP/1.1 200 a\u{1}b"),
        ("a reason with NUL", "HTTP/1.1 200 a\0b"),
        ("a version of two digits", "HTTP/1.10 200 OK"),
        ("a version of HTTP/0.9", "HTTP/0.9 200 OK"),
        ("another protocol", "ICY 200 OK"),
    ];
    lines.iter().map(|(name, line)| told(name, &format!("{line}\n{end}"))).collect()
}

fn informational() -> Vec<Exchange> {
    let last = "HTTP/1.1 200 OK\ncontent-length: 1\n\nz";
    let get = |name: &str, first: &str| {
        Exchange::get(format!("interim: {name}"), "/i", "").told(&format!("{first}{last}"))
    };
    vec![
        get("103 with a length", "HTTP/1.1 103 E\ncontent-length: 5\n\n"),
        get("103 with a coding", "HTTP/1.1 103 E\ntransfer-encoding: chunked\n\n"),
        get("103 that closes", "HTTP/1.1 103 E\nconnection: close\n\n"),
        get("103 of HTTP/1.0", "HTTP/1.0 103 E\n\n"),
        get("103 with a bad field", "HTTP/1.1 103 E\nx y: 1\n\n"),
        get("fifty of them", &"HTTP/1.1 103 E\n\n".repeat(50)),
        Exchange::ask("interim: of HEAD", "HEAD /i HTTP/1.1\nhost: a\n\n")
            .told("HTTP/1.1 103 E\n\nHTTP/1.1 200 OK\ncontent-length: 1\n\n"),
    ]
}

fn response_bodies() -> Vec<Exchange> {
    let head = "HTTP/1.1 200 OK\n";
    let chunked = "HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n";
    let get = |name: &str, told: &str| Exchange::get(name, "/r", "").told(told);
    let of_head = |name: &str, told: &str| {
        Exchange::ask(format!("HEAD: {name}"), "HEAD /r HTTP/1.1\nhost: a\n\n").told(told)
    };
    let close = |name: &str, bytes: &str| {
        Exchange::get(name, "/r", "").reply(Reply::raw(bytes.replace('\n', "\r\n")).close())
    };
    vec![
        get("trailers", &format!("{chunked}2\nhi\n0\nx-t: 1\nx-u: 2\n\n")),
        get("trailer of a length", &format!("{chunked}2\nhi\n0\ncontent-length: 9\nx-t: 1\n\n")),
        get("trailer of a coding", &format!("{chunked}2\nhi\n0\ntransfer-encoding: x\nx-t: 1\n\n")),
        get("trailer of set-cookie", &format!("{chunked}2\nhi\n0\nset-cookie: a=b\n\n")),
        get("trailer without a colon", &format!("{chunked}2\nhi\n0\nx-t\n\n")),
        get("trailer with NUL", &format!("{chunked}2\nhi\n0\nx-t: a\0b\n\n")),
        get("205 with a body", "HTTP/1.1 205 R\ncontent-length: 2\n\nhi"),
        get("length folded", &format!("{head}content-length:\n 2\n\nhi")),
        get("length with blanks", &format!("{head}content-length:  2 \n\nhi")),
        get("length in small letters and capitals", &format!("{head}Content-LENGTH: 2\n\nhi")),
        get("length of 2^63", &format!("{head}content-length: 9223372036854775808\n\n")).left(),
        get("garbage behind chunks", &format!("{chunked}2\nhi\n0\n\ngarbage")),
        get("chunked in capitals", &format!("{head}transfer-encoding: CHUNKED\n\n2\nhi\n0\n\n")),
        get(
            "chunked with a parameter",
            &format!("{head}transfer-encoding: chunked;a\n\n2\nhi\n0\n\n"),
        ),
        of_head("304", "HTTP/1.1 304 N\ncontent-length: 7\netag: x\n\n"),
        of_head("204", "HTTP/1.1 204 N\n\n"),
        of_head("bad length", "HTTP/1.1 200 OK\ncontent-length: x\n\n"),
        of_head(
            "length and coding",
            "HTTP/1.1 200 OK\ncontent-length: 5\ntransfer-encoding: chunked\n\n",
        ),
        close(
            "HTTP/1.0 with a coding",
            "HTTP/1.0 200 OK\ntransfer-encoding: chunked\n\n2\nhi\n0\n\n",
        ),
        close("HTTP/1.0 that is cut", "HTTP/1.0 200 OK\ncontent-length: 5\n\nhi"),
        close("keep-alive without a length", "HTTP/1.1 200 OK\nconnection: keep-alive\n\nhi"),
    ]
}
