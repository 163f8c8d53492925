//! One route to one origin, everything else at its default: methods, heads, hop-by-hop fields.

use ringway_test_support::Bootstrap;

use crate::compare::check;
use crate::exchange::{Corpus, Exchange, Peers};

fn bootstrap(peers: &Peers) -> Bootstrap {
    Bootstrap::proxying_to(peers.a())
}

#[test]
fn methods_and_heads() {
    let mut exchanges = methods();
    exchanges.extend(targets());
    exchanges.extend(request_fields());
    exchanges.extend(response_fields());
    check(&Corpus { name: "methods and heads", bootstrap, exchanges });
}

fn methods() -> Vec<Exchange> {
    let known = "GET HEAD POST PUT DELETE OPTIONS PATCH TRACE PROPFIND MKCOL COPY MOVE LOCK UNLOCK \
                 REPORT SEARCH PURGE SUBSCRIBE NOTIFY LINK UNLINK QUERY M-SEARCH SOURCE ACL BIND";
    let unknown = "get Get FOO GETT X P@ST G(T PRI";
    let all = known.split_whitespace().chain(unknown.split_whitespace());
    let ask = |method: &str| {
        Exchange::ask(format!("method {method}"), &format!("{method} /m HTTP/1.1\nhost: a\n\n"))
    };
    let mut exchanges: Vec<Exchange> = all.map(ask).collect();
    exchanges
        .push(Exchange::ask("CONNECT without a route", "CONNECT a:80 HTTP/1.1\nhost: a:80\n\n"));
    exchanges.push(Exchange::ask("OPTIONS *", "OPTIONS * HTTP/1.1\nhost: a\n\n"));
    exchanges.push(Exchange::ask("GET *", "GET * HTTP/1.1\nhost: a\n\n"));
    exchanges
}

fn targets() -> Vec<Exchange> {
    let paths = "/ // /a//b /a/../b /a/./b /../x /%2e%2e/x /%2F /%zz /% /a?b=c /?q /a?b?c /a;p=1 \
                 /a%00b /a%20b /a\\b /a|b /a\"b /a<b> /a{b} /a^b /a`b /a?x=%zz /ünï";
    let ask = |path: &str| Exchange::get(format!("path {path}"), path, "");
    let mut exchanges: Vec<Exchange> = paths.split_whitespace().map(ask).collect();
    let odd = [
        ("no leading slash", "GET a HTTP/1.1\nhost: a\n\n"),
        ("fragment", "GET /a#b HTTP/1.1\nhost: a\n\n"),
        ("fragment in absolute form", "GET http://h/a#b HTTP/1.1\nhost: a\n\n"),
        ("absolute form", "GET http://other/x?y HTTP/1.1\nhost: a\n\n"),
        ("absolute form without path", "GET http://other HTTP/1.1\nhost: a\n\n"),
        ("absolute form with query and no path", "GET http://other?q HTTP/1.1\nhost: a\n\n"),
        ("absolute form with port", "GET http://other:8080/x HTTP/1.1\nhost: a\n\n"),
        ("absolute form with https", "GET https://other/x HTTP/1.1\nhost: a\n\n"),
        ("absolute form with another scheme", "GET ftp://other/x HTTP/1.1\nhost: a\n\n"),
        ("absolute form in capitals", "GET HTTP://OTHER/X HTTP/1.1\nhost: a\n\n"),
        ("absolute form with user", "GET http://u:p@other/x HTTP/1.1\nhost: a\n\n"),
        ("absolute form with empty host", "GET http:///x HTTP/1.1\nhost: a\n\n"),
        ("absolute form without Host", "GET http://other/x HTTP/1.1\n\n"),
        ("authority form for GET", "GET a:80 HTTP/1.1\nhost: a\n\n"),
        ("control in the path", "GET /a\u{1}b HTTP/1.1\nhost: a\n\n"),
        ("DEL in the path", "GET /a\u{7f}b HTTP/1.1\nhost: a\n\n"),
        ("tab in the path", "GET /a\tb HTTP/1.1\nhost: a\n\n"),
        ("blank in the path", "GET /a b HTTP/1.1\nhost: a\n\n"),
        ("no path", "GET  HTTP/1.1\nhost: a\n\n"),
        ("two blanks before the version", "GET /  HTTP/1.1\nhost: a\n\n"),
        ("two blanks before the path", "GET  / HTTP/1.1\nhost: a\n\n"),
        ("blank after the version", "GET / HTTP/1.1 \nhost: a\n\n"),
        ("blank before the method", " GET / HTTP/1.1\nhost: a\n\n"),
        ("tab for blank", "GET\t/\tHTTP/1.1\nhost: a\n\n"),
        ("empty lines before the request", "\n\nGET / HTTP/1.1\nhost: a\n\n"),
        ("version 1.2", "GET / HTTP/1.2\nhost: a\n\n"),
        ("version 2.0", "GET / HTTP/2.0\nhost: a\n\n"),
        ("version 0.9 by number", "GET / HTTP/0.9\nhost: a\n\n"),
        ("version 1.10", "GET / HTTP/1.10\nhost: a\n\n"),
        ("version 11", "GET / HTTP/11\nhost: a\n\n"),
        ("version in small letters", "GET / http/1.1\nhost: a\n\n"),
        ("version of another protocol", "GET / ICE/1.1\nhost: a\n\n"),
        ("HTTP/1.0", "GET / HTTP/1.0\nhost: a\n\n"),
        ("HTTP/0.9", "GET /\n"),
        ("not HTTP at all", "hello world\n\n"),
        ("a TLS hello", "\u{16}\u{3}\u{1}\u{0}\u{5}hello\n\n"),
    ];
    exchanges.extend(odd.map(|(name, request)| Exchange::ask(name, request)));
    exchanges
}

fn request_fields() -> Vec<Exchange> {
    let cases = [
        ("order and case", "X-B: 1\nx-a: 2\nX-B: 3\nAccept: */*\nUser-Agent: curl\n"),
        ("blanks around the value", "x-a:   v  w \t \nx-b:v\nx-c:\n"),
        ("empty value", "x-a:\nx-b: \n"),
        ("obs-fold", "x-a: 1\n  2\n\t3\nx-b: 4\n"),
        ("obs-fold on the first field", "x-a: 1\n 2\n"),
        ("high bytes in the value", "x-a: caf\u{e9}\n"),
        ("tab in the value", "x-a: a\tb\n"),
        ("underscore in the name", "x_a: 1\n"),
        ("all token characters in the name", "!#$%&'*+-.^_`|~9: 1\n"),
        ("blank in the name", "x a: 1\n"),
        ("blank before the colon", "x-a : 1\n"),
        ("tab before the colon", "x-a\t: 1\n"),
        ("no colon", "x-a\n"),
        ("no name", ": 1\n"),
        ("name in parentheses", "(x): 1\n"),
        ("control in the value", "x-a: a\u{1}b\n"),
        ("NUL in the value", "x-a: a\u{0}b\n"),
        ("DEL in the value", "x-a: a\u{7f}b\n"),
        ("high byte in the name", "x\u{e9}: 1\n"),
        ("pseudo field", ":path: /other\n"),
        ("connection names a field", "connection: x-a, keep-alive\nx-a: 1\nx-b: 2\n"),
        ("connection names host", "connection: host\n"),
        ("connection names content-length", "connection: content-length\n"),
        ("connection names a routing field", "connection: x-forwarded-proto\n"),
        ("connection names many", "connection: x-a,x-b , x-c\nx-a: 1\nX-B: 2\nx-c: 3\n"),
        ("two connection fields", "connection: x-a\nconnection: x-b\nx-a: 1\nx-b: 2\n"),
        ("connection: close", "connection: close\n"),
        ("connection: Close in another case", "Connection: Close\n"),
        ("connection: close among others", "connection: keep-alive, close\n"),
        ("connection: keep-alive", "connection: keep-alive\nkeep-alive: timeout=5\n"),
        ("proxy-connection", "proxy-connection: keep-alive\n"),
        ("proxy-connection: close", "proxy-connection: close\n"),
        ("proxy-authorization", "proxy-authorization: Basic eDp5\n"),
        ("te: trailers", "te: trailers\nconnection: te\n"),
        ("te: gzip", "te: gzip\n"),
        ("te: gzip and trailers", "te: gzip, trailers\nconnection: te\n"),
        ("te: trailers without connection", "te: trailers\n"),
        ("trailer", "trailer: x-t\n"),
        ("upgrade websocket", "connection: upgrade\nupgrade: websocket\n"),
        (
            "upgrade h2c",
            "connection: upgrade, http2-settings\nupgrade: h2c\nhttp2-settings: AAMA\n",
        ),
        ("upgrade without connection", "upgrade: websocket\n"),
        ("expect something else", "expect: 200-ok\n"),
        ("expect 100 without body", "expect: 100-continue\n"),
        ("x-request-id of the client", "x-request-id: mine\n"),
        ("x-forwarded-for of the client", "x-forwarded-for: 1.2.3.4\n"),
        ("two x-forwarded-for", "x-forwarded-for: 1.2.3.4\nx-forwarded-for: 5.6.7.8\n"),
        ("x-forwarded-proto of the client", "x-forwarded-proto: https\n"),
        ("x-forwarded-proto invalid", "x-forwarded-proto: gopher\n"),
        ("x-forwarded-host of the client", "x-forwarded-host: h\nx-forwarded-port: 1\n"),
        ("via of the client", "via: 1.1 x\n"),
        (
            "x-envoy fields of the client",
            "x-envoy-retry-on: 5xx\nx-envoy-max-retries: 3\nx-envoy-upstream-rq-timeout-ms: 1\n\
          x-envoy-internal: true\nx-envoy-foo: 1\nx-envoy-expected-rq-timeout-ms: 7\n\
          x-envoy-attempt-count: 9\nx-envoy-original-path: /o\nx-envoy-external-address: 9.9.9.9\n\
          x-envoy-decorator-operation: op\nx-envoy-force-trace: true\n",
        ),
        ("cookies", "cookie: a=1\ncookie: b=2\n"),
        ("accept-encoding", "accept-encoding: gzip, br\n"),
        ("authorization", "authorization: Bearer x\n"),
        ("range", "range: bytes=0-1\nif-range: x\n"),
        ("same field many times", "x-a: 1\nx-a: 1\nx-a: 1\n"),
    ];
    let mut exchanges: Vec<Exchange> =
        cases.iter().map(|(name, fields)| Exchange::get(*name, "/f", fields)).collect();
    let hosts = [
        ("no Host", ""),
        ("two Hosts", "host: a\nhost: b\n"),
        ("two equal Hosts", "host: a\nHost: a\n"),
        ("empty Host", "host:\n"),
        ("Host in capitals with port", "Host: EXAMPLE.com:8080\n"),
        ("Host with blank", "host: a b\n"),
        ("Host with slash", "host: a/b\n"),
        ("Host with user", "host: u@a\n"),
        ("Host with comma", "host: a,b\n"),
        ("Host with query", "host: a?b\n"),
        ("Host with bad port", "host: a:b\n"),
        ("Host is IPv6", "host: [::1]:80\n"),
        ("Host not first", "x-a: 1\nhost: a\nx-b: 2\n"),
        ("Host with high byte", "host: \u{e9}\n"),
        ("Host ends with dot", "host: a.\n"),
        ("Host with underscore", "host: a_b\n"),
        ("Host with percent", "host: a%41\n"),
        ("Host with quote", "host: a\"b\n"),
    ];
    exchanges.extend(
        hosts.map(|(name, fields)| Exchange::ask(name, &format!("GET /h HTTP/1.1\n{fields}\n"))),
    );
    let ends = [
        ("bare LF everywhere", "GET / HTTP/1.1\nhost: a\n\n"),
        ("bare LF after the request line", "GET / HTTP/1.1\nhost: a\r\n\r\n"),
        ("bare LF at the end of the head", "GET / HTTP/1.1\r\nhost: a\r\n\n"),
        ("bare LF after a field", "GET / HTTP/1.1\r\nhost: a\nx-a: 1\r\n\r\n"),
        ("bare CR in a value", "GET / HTTP/1.1\r\nhost: a\r\nx-a: 1\rx-b: 2\r\n\r\n"),
        ("bare CR before a name", "GET / HTTP/1.1\r\nhost: a\r\n\rx-a: 1\r\n\r\n"),
        ("CR CR LF", "GET / HTTP/1.1\r\nhost: a\r\r\n\r\n"),
        ("bare CR at the end of a request line", "GET / HTTP/1.1\rhost: a\r\n\r\n"),
        ("bare LFs before the request", "\n\nGET / HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("blank line of blanks", "GET / HTTP/1.1\r\nhost: a\r\n \r\n\r\n"),
    ];
    exchanges.extend(ends.map(|(name, request)| Exchange::bytes(name, request)));
    exchanges.push(Exchange::get("fields one by one", "/slow", "x-a: 1\nx-b: 2\n").dribbled());
    exchanges.extend(limits());
    exchanges
}

fn limits() -> Vec<Exchange> {
    let many = |count: usize| (0..count).map(|n| format!("x-{n}: v\n")).collect::<String>();
    let long = |length: usize| format!("x-long: {}\n", "v".repeat(length));
    vec![
        Exchange::get("100 fields", "/", &many(99)),
        Exchange::get("101 fields", "/", &many(100)),
        Exchange::get("a field of 61,000 bytes", "/", &long(61_000)),
        Exchange::get("a field of 62,000 bytes", "/", &long(62_000)),
        Exchange::get("a field of 200,000 bytes", "/", &long(200_000)),
        Exchange::get("a path of 60,000 bytes", &format!("/{}", "p".repeat(60_000)), ""),
        Exchange::get("a path of 62,000 bytes", &format!("/{}", "p".repeat(62_000)), ""),
        Exchange::get("a name of 1,000 bytes", "/", &format!("{}: v\n", "n".repeat(1000))),
    ]
}

fn response_fields() -> Vec<Exchange> {
    let cases = [
        ("order and case", "HTTP/1.1 200 OK\nX-B: 1\nx-a: 2\nX-B: 3\ncontent-length: 0\n\n"),
        ("server", "HTTP/1.1 200 OK\nserver: nginx\ncontent-length: 0\n\n"),
        ("date", "HTTP/1.1 200 OK\ndate: Sun, 06 Nov 1994 08:49:37 GMT\ncontent-length: 0\n\n"),
        ("date of no form", "HTTP/1.1 200 OK\ndate: today\ncontent-length: 0\n\n"),
        ("via", "HTTP/1.1 200 OK\nvia: 1.1 x\ncontent-length: 0\n\n"),
        ("x-request-id", "HTTP/1.1 200 OK\nx-request-id: theirs\ncontent-length: 0\n\n"),
        (
            "connection names a field",
            "HTTP/1.1 200 OK\nconnection: x-a\nx-a: 1\nkeep-alive: timeout=1\ncontent-length: 0\n\n",
        ),
        (
            "proxy fields",
            "HTTP/1.1 200 OK\nproxy-connection: x\nproxy-authenticate: Basic\ncontent-length: 0\n\n",
        ),
        ("upgrade", "HTTP/1.1 200 OK\nupgrade: h2c\ncontent-length: 0\n\n"),
        ("te and trailer", "HTTP/1.1 200 OK\nte: x\ntrailer: y\ncontent-length: 0\n\n"),
        (
            "x-envoy fields",
            "HTTP/1.1 200 OK\nx-envoy-upstream-service-time: 99\nx-envoy-foo: 1\nx-envoy-overloaded: 1\n\
          x-envoy-attempt-count: 4\nx-envoy-degraded: 1\ncontent-length: 0\n\n",
        ),
        (
            "set-cookie twice",
            "HTTP/1.1 200 OK\nset-cookie: a=1\nset-cookie: b=2\ncontent-length: 0\n\n",
        ),
        ("empty value", "HTTP/1.1 200 OK\nx-a:\ncontent-length: 0\n\n"),
        ("high bytes", "HTTP/1.1 200 OK\nx-a: \u{e9}\ncontent-length: 0\n\n"),
        ("underscore", "HTTP/1.1 200 OK\nx_a: 1\ncontent-length: 0\n\n"),
        ("blank before the colon", "HTTP/1.1 200 OK\nx-a : 1\ncontent-length: 0\n\n"),
        ("obs-fold", "HTTP/1.1 200 OK\nx-a: 1\n 2\ncontent-length: 0\n\n"),
        ("control in the value", "HTTP/1.1 200 OK\nx-a: a\u{1}b\ncontent-length: 0\n\n"),
        ("no colon", "HTTP/1.1 200 OK\nx-a\ncontent-length: 0\n\n"),
        ("reason of its own", "HTTP/1.1 200 Fine indeed\ncontent-length: 0\n\n"),
        ("no reason", "HTTP/1.1 200 \ncontent-length: 0\n\n"),
        ("no blank after the status", "HTTP/1.1 200\ncontent-length: 0\n\n"),
        ("HTTP/1.0 response", "HTTP/1.0 200 OK\ncontent-length: 1\n\nx"),
        (
            "HTTP/1.0 response kept alive",
            "HTTP/1.0 200 OK\nconnection: keep-alive\ncontent-length: 1\n\nx",
        ),
        ("connection: close", "HTTP/1.1 200 OK\nconnection: close\ncontent-length: 1\n\nx"),
        ("HTTP/2.0 response", "HTTP/2.0 200 OK\ncontent-length: 0\n\n"),
        ("HTTP/1.2 response", "HTTP/1.2 200 OK\ncontent-length: 0\n\n"),
        ("bare LF", "HTTP/1.1 200 OK\u{a}content-length: 0\n\n"),
    ];
    let told = cases.iter().map(|(name, response)| {
        Exchange::get(format!("response: {name}"), "/r", "").told(response)
    });
    let mut exchanges: Vec<Exchange> = told.collect();
    for status in "100 101 102 103 199 200 201 202 203 204 205 206 226 299 300 301 302 304 307 308 \
                   400 401 403 404 405 407 408 410 411 412 413 414 415 416 417 418 421 422 423 425 \
                   426 428 429 431 451 499 500 501 502 503 504 505 506 507 508 510 511 599 600 999 \
                   099 000 20 2000"
        .split_whitespace()
    {
        let body = if matches!(status, "204" | "304") { "" } else { "content-length: 0\n" };
        let response = format!("HTTP/1.1 {status} Theirs\n{body}\n");
        let mut exchange = Exchange::get(format!("response: status {status}"), "/s", "");
        exchange = exchange.told(&response);
        if status.starts_with('1') {
            let reply = exchange.reply.take().unwrap_or_default();
            let last = &b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nz"[..];
            exchange = exchange.reply(reply.send(last));
        }
        exchanges.push(exchange);
    }
    exchanges
}
