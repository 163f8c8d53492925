//! What the client is told when the origin fails: status, body and what the counters say.

use ringway_test_support::{Bootstrap, Message, Origin, Proxy, RawClient, Refuser, Reply};

fn answer(bootstrap: &Bootstrap) -> (Proxy, Message) {
    let proxy = Proxy::start(bootstrap.to_yaml());
    let mut client = RawClient::connect(proxy.listener("main"));
    let response = client.get("/");
    // A local reply leaves the connection usable.
    assert_eq!(client.get("/").status(), response.status());
    (proxy, response)
}

fn told(response: &Message) -> (u16, String) {
    assert_eq!(response.head.get("server"), Some("envoy"));
    (response.status(), response.text())
}

/// The body of a failed attempt.
fn reset(reason: &str) -> String {
    format!("upstream connect error or disconnect/reset before headers. reset reason: {reason}")
}

fn all_to_origin() -> Bootstrap {
    Bootstrap::new().routes("main", "- { match: { prefix: / }, route: { cluster: origin } }")
}

#[test]
fn no_healthy_upstream() {
    let (proxy, response) = answer(&all_to_origin().cluster("origin", &[]));
    assert_eq!(told(&response), (503, "no healthy upstream".into()));
    assert_eq!(response.head.get("content-type"), Some("text/plain"));
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_none_healthy"), 2);
}

#[test]
fn connection_refused() {
    let refuser = Refuser::bind();
    let (proxy, response) = answer(&all_to_origin().cluster("origin", &[refuser.address()]));
    assert_eq!(told(&response), (503, reset("remote connection failure")));
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_connect_fail"), 2);
}

#[test]
fn connection_timeout() {
    // RFC 5737: an address that no host has; where the network refuses it at once instead of
    // staying silent, the failure is another one and says so.
    let nowhere = "192.0.2.1:9".parse().unwrap();
    let bootstrap = all_to_origin().cluster_with("origin", &[nowhere], "");
    let yaml = bootstrap.to_yaml().replace("connect_timeout: 5s", "connect_timeout: 0.1s");
    let proxy = Proxy::start(yaml);
    let response = RawClient::connect(proxy.listener("main")).get("/");
    let (status, body) = told(&response);
    assert_eq!(status, 503);
    let known = [reset("connection timeout"), reset("remote connection failure")];
    assert!(known.contains(&body), "{body}");
}

#[test]
fn the_origin_closes_before_it_answers() {
    let origin = Origin::start(|_| Reply::default().close());
    let (proxy, response) = answer(&all_to_origin().cluster("origin", &[origin.address()]));
    assert_eq!(told(&response), (503, reset("connection termination")));
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_destroy_remote_with_active_rq"), 2);
}

#[test]
fn the_origin_answers_nonsense() {
    let origin = Origin::start(|_| Reply::raw("nonsense\r\n\r\n"));
    let (proxy, response) = answer(&all_to_origin().cluster("origin", &[origin.address()]));
    assert_eq!(told(&response), (502, reset("protocol error")));
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_protocol_error"), 2);
}

#[test]
fn the_origin_is_silent() {
    let origin = Origin::start(|_| Reply::silence());
    let routes = "- { match: { prefix: / }, route: { cluster: origin, timeout: 0.1s } }";
    let bootstrap = Bootstrap::new().routes("main", routes).cluster("origin", &[origin.address()]);
    let (proxy, response) = answer(&bootstrap);
    assert_eq!(told(&response), (504, "upstream request timeout".into()));
    assert_eq!(proxy.stat("cluster.origin.upstream_rq_timeout"), 2);
}

#[test]
fn the_origin_stops_in_the_middle() {
    let origin =
        Origin::start(|_| Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").close());
    let proxy = Proxy::start(all_to_origin().cluster("origin", &[origin.address()]).to_yaml());
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let response = client.try_response("GET").unwrap();
    // The client must not take what it got for the whole.
    assert_eq!(response.status(), 200);
    assert!(response.cut.is_some());
    assert!(response.body.len() <= 5);
}

#[test]
fn no_route() {
    let routes = "- { match: { path: /only }, direct_response: { status: 200 } }";
    let (proxy, response) = answer(&Bootstrap::new().routes("main", routes));
    assert_eq!(told(&response), (404, String::new()));
    assert_eq!(proxy.stat("http.main.no_route"), 2);
}

#[test]
fn an_idle_stream_times_out() {
    let origin = Origin::start(|_| Reply::silence());
    let routes = "- { match: { prefix: / }, route: { cluster: origin, idle_timeout: 0.1s } }";
    let bootstrap = Bootstrap::new().routes("main", routes).cluster("origin", &[origin.address()]);
    let (_proxy, response) = answer(&bootstrap);
    assert_eq!(told(&response), (504, "stream timeout".into()));
}
