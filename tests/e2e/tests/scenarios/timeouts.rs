//! Time limits on clients: who says nothing for too long is told so, or closed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ringway_test_support::{Bootstrap, Origin, Proxy, RawClient, RawOrigin};

fn with(options: &str, origin: SocketAddr) -> Proxy {
    Proxy::start(yaml(options, origin))
}

fn yaml(options: &str, origin: SocketAddr) -> String {
    let manager = format!(
        "{options}\nroute_config:\n  virtual_hosts:\n  - name: all\n    domains: ['*']\n    \
         routes: [{{ match: {{ prefix: / }}, route: {{ cluster: origin }} }}]\n"
    );
    let bootstrap = Bootstrap::new().http("main", &manager).cluster("origin", &[origin]);
    bootstrap.to_yaml()
}

#[test]
fn an_idle_connection_is_closed() {
    let origin = Origin::named("a");
    let proxy = with("common_http_protocol_options: { idle_timeout: 0.3s }", origin.address());
    let mut client = RawClient::connect(proxy.listener("main"));
    assert_eq!(client.get("/").status(), 200);
    let answered = Instant::now();
    client.expect_close();
    let idle = answered.elapsed();
    assert!(idle > Duration::from_millis(200), "closed after {idle:?}");
    assert_eq!(proxy.stat("http.main.downstream_cx_idle_timeout"), 1);
}

#[test]
fn a_connection_that_never_asks_is_closed() {
    let origin = Origin::named("a");
    let proxy = with("common_http_protocol_options: { idle_timeout: 0.1s }", origin.address());
    RawClient::connect(proxy.listener("main")).expect_close();
}

#[test]
fn a_request_under_way_is_not_idle() {
    let slow = RawOrigin::bind();
    let proxy = with("common_http_protocol_options: { idle_timeout: 0.1s }", slow.address());
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut upstream = slow.accept();
    upstream.head().unwrap();
    // Another connection's whole idle time passes meanwhile.
    RawClient::connect(proxy.listener("main")).expect_close();
    upstream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate").unwrap();
    assert_eq!(client.response().text(), "late");
}

#[test]
fn a_head_that_takes_too_long() {
    let origin = Origin::named("a");
    let proxy = with("request_headers_timeout: 0.1s", origin.address());
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send("GET / HTTP/1.1\r\nhost: a\r\n");
    let response = client.response();
    assert_eq!((response.status(), response.text().as_str()), (408, "request header timeout"));
    assert_eq!(response.head.get("connection"), Some("close"));
    client.expect_close();
}

#[test]
fn a_body_that_stops() {
    let origin = Origin::named("a");
    let proxy = with("stream_idle_timeout: 0.1s", origin.address());
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello");
    let response = client.response();
    assert_eq!((response.status(), response.text().as_str()), (408, "stream timeout"));
    client.expect_close();
}

#[test]
fn without_a_router_nobody_answers() {
    let yaml = yaml("stream_idle_timeout: 0.2s", Origin::named("a").address());
    let start = yaml.find("        http_filters:").expect("there are filters");
    let end = start + yaml[start..].find("        stream_idle").expect("the manager goes on");
    let proxy = Proxy::start(yaml[..start].to_owned() + &yaml[end..]);
    let mut client = RawClient::connect(proxy.listener("main"));
    for _ in 0..2 {
        let late = client.get("/");
        assert_eq!((late.status(), late.text().as_str()), (504, "stream timeout"));
    }
    assert_eq!(proxy.stat("http.main.rq_total"), 0);
    assert_eq!(proxy.stat("http.main.downstream_rq_idle_timeout"), 2);
}
