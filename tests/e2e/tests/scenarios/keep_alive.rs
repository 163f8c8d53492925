//! Connections are used again, on both sides, and nothing of one request shows in the next.

use ringway_test_support::{Bootstrap, Origin, Proxy, RawClient, Reply};

fn proxying_to(origin: &Origin) -> Proxy {
    Proxy::start(Bootstrap::proxying_to(origin.address()).to_yaml())
}

#[test]
fn one_connection_on_each_side_serves_many_requests() {
    let origin = Origin::named("a");
    let proxy = proxying_to(&origin);
    let mut client = RawClient::connect(proxy.listener("main"));
    for number in 0..50 {
        assert!(client.get(&format!("/{number}")).text().starts_with(&format!("GET /{number} ")));
    }
    assert_eq!(origin.connections(), 1);
    assert_eq!(proxy.stat("http.main.downstream_cx_total"), 1);
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_total"), 1);
    assert_eq!(proxy.stat("cluster.origin.upstream_rq_total"), 50);
}

#[test]
fn clients_share_the_upstream_connection() {
    let origin = Origin::named("a");
    let proxy = proxying_to(&origin);
    for _ in 0..10 {
        RawClient::connect(proxy.listener("main")).get("/");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::named("a");
    let proxy = proxying_to(&origin);
    let mut client = RawClient::connect(proxy.listener("main"));
    let requests: String = (0..100)
        .map(|n| format!("POST /{n} HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi"))
        .collect();
    client.send(requests);
    for number in 0..100 {
        assert!(client.response().text().starts_with(&format!("POST /{number} ")));
    }
}

#[test]
fn fields_of_one_request_do_not_show_in_the_next() {
    let origin = Origin::named("a");
    let proxy = proxying_to(&origin);
    let mut client = RawClient::connect(proxy.listener("main"));
    client.ask("GET /1 HTTP/1.1\r\nhost: a\r\nx-secret: 1\r\ncookie: c\r\n\r\n");
    let second = client.ask("GET /2 HTTP/1.1\r\nhost: a\r\n\r\n").text();
    assert!(!second.contains("x-secret") && !second.contains("cookie"), "{second}");
}

#[test]
fn the_client_asks_to_close() {
    let origin = Origin::named("a");
    let proxy = proxying_to(&origin);
    let mut client = RawClient::connect(proxy.listener("main"));
    let response = client.ask("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert_eq!(response.head.get("connection"), Some("close"));
    client.expect_close();
    // The upstream connection is not the client's to close.
    RawClient::connect(proxy.listener("main")).get("/");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn the_origin_asks_to_close() {
    let origin = Origin::start(|_| {
        Reply::raw("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").close()
    });
    let proxy = proxying_to(&origin);
    let mut client = RawClient::connect(proxy.listener("main"));
    for _ in 0..3 {
        let response = client.get("/");
        assert_eq!((response.status(), response.head.get("connection")), (200, None));
        origin.settle();
    }
    assert_eq!(origin.connections(), 3);
}

#[test]
fn an_origin_that_closed_an_idle_connection_costs_no_request() {
    let origin = Origin::start(|_| Reply::ok("x").close());
    let proxy = proxying_to(&origin);
    let mut client = RawClient::connect(proxy.listener("main"));
    for _ in 0..20 {
        assert_eq!(client.get("/").status(), 200);
        // The origin has seen that the proxy closed its side too.
        origin.settle();
    }
    assert_eq!(origin.connections(), 20);
}

#[test]
fn a_client_that_goes_away_frees_its_upstream_request() {
    let origin = Origin::start(|_| Reply::silence());
    let proxy = proxying_to(&origin);
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(origin.heard());
    client.reset();
    // `done`: the origin's silence ended because the proxy closed.
    origin.wait_for(1);
    proxy.wait_stat("http.main.downstream_rq_active", |active| active == 0);
    proxy.wait_stat("cluster.origin.upstream_rq_active", |active| active == 0);
    assert_eq!(proxy.stat("http.main.downstream_cx_destroy_remote_active_rq"), 1);
}
