//! Replies of the proxy itself to requests whose body it does not want: what is left of such a
//! request is never taken for the next one, and a client that does not read costs no memory.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use ringway_test_support::{Bootstrap, Origin, Proxy, RawClient};

use crate::only_ringway;

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

fn answering() -> (Origin, Proxy) {
    let origin = Origin::named("a");
    let body = "x".repeat(4000);
    let routes = format!(
        "- {{ match: {{ prefix: /direct }}, direct_response: {{ status: 200, body: {{ \
         inline_string: {body} }} }} }}\n\
         - {{ match: {{ prefix: /moved }}, redirect: {{ path_redirect: /there }} }}\n\
         - {{ match: {{ prefix: /none }}, route: {{ cluster: none }} }}\n\
         - {{ match: {{ prefix: /smuggled }}, route: {{ cluster: origin }} }}\n"
    );
    let bootstrap = Bootstrap::new().routes("main", &routes).cluster("none", &[]);
    let proxy = Proxy::start(bootstrap.cluster("origin", &[origin.address()]).to_yaml());
    (origin, proxy)
}

/// Whatever way the rest of the body comes, the origin hears nothing.
fn never_heard(head: &str, begin: &str, rest: &str) {
    let (origin, proxy) = answering();
    for path in ["/direct", "/moved", "/none", "/nowhere"] {
        let mut client = RawClient::connect(proxy.listener("main"));
        client.send(format!("POST {path} HTTP/1.1\r\nhost: a\r\n{head}\r\n{begin}"));
        let answer = client.response();
        client.send_anyway(rest);
        match answer.head.get("connection") {
            Some("close") => client.expect_close(),
            _ => assert_eq!(client.get("/direct").status(), 200, "{path}"),
        }
        assert_eq!(origin.settle().len(), 0, "{path} {head:?}");
    }
}

#[test]
fn the_rest_of_a_sized_body_is_no_request() {
    let length = format!("content-length: {}\r\n", SMUGGLED.len());
    never_heard(&length, "", SMUGGLED);
    never_heard(&length, &SMUGGLED[..1], &SMUGGLED[1..]);
    never_heard(&length, SMUGGLED, "");
}

#[test]
fn the_rest_of_a_chunked_body_is_no_request() {
    let chunk = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    let head = "transfer-encoding: chunked\r\n";
    never_heard(head, "", &chunk);
    never_heard(head, &chunk[..4], &chunk[4..]);
    never_heard(head, &chunk, "");
}

#[test]
fn what_follows_an_upgrade_or_a_tunnel_is_no_request() {
    let (origin, proxy) = answering();
    let upgrade = "GET /smuggled HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    let tunnel = "CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n";
    for (head, status) in [(upgrade, 403), (tunnel, 404)] {
        let mut client = RawClient::connect(proxy.listener("main"));
        client.send(format!("{head}{SMUGGLED}"));
        assert_eq!(client.response().status(), status);
        client.expect_close();
        assert_eq!(origin.settle().len(), 0, "{head}");
    }
}

#[test]
fn a_pipeline_goes_on_behind_a_body_that_came_whole() {
    // Envoy answers before it looks at the body, and closes.
    if !only_ringway("a pipeline behind local replies") {
        return;
    }
    let (origin, proxy) = answering();
    let mut client = RawClient::connect(proxy.listener("main"));
    let post = "POST /nowhere HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
    client.send(format!("{post}{post}{SMUGGLED}"));
    assert_eq!([(); 3].map(|()| client.response().status()), [404, 404, 200]);
    assert_eq!(origin.wait_for(1)[0].message.head.target(), "/smuggled");
}

#[test]
fn pipelining_direct_responses_without_reading_them() {
    let (_origin, proxy) = answering();
    assert_eq!(RawClient::connect(proxy.listener("main")).get("/direct").status(), 200);
    let before = proxy.resident_kib();
    let mut socket = TcpStream::connect(proxy.listener("main")).unwrap();
    // Nobody reads, so a write that waits this long waits for ever.
    socket.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let piece = "GET /direct HTTP/1.1\r\nhost: a\r\n\r\n".repeat(1000);
    // Each request of 35 bytes asks for 4,000: taken without a bound this would be gigabytes.
    let mut taken = 0;
    while taken < 64 << 20 {
        match socket.write(piece.as_bytes()) {
            Ok(length) => taken += length,
            Err(_) => break,
        }
    }
    assert!(taken < 64 << 20, "{taken} bytes of requests were taken");
    let grown = proxy.resident_kib().saturating_sub(before);
    assert!(grown < 24 << 10, "the proxy grew by {grown} KiB");
    assert_eq!(RawClient::connect(proxy.listener("main")).get("/direct").status(), 200);
}
