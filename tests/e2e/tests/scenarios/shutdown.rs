//! How the proxy ends: drained by SIGTERM, at once by SIGINT or a second signal.

use std::time::Instant;

use ringway_test_support::{Bootstrap, PATIENCE, Proxy, RawClient, RawOrigin, Signal, Wire};

use crate::only_ringway;

/// A proxy with one request under way.
fn in_flight() -> (Proxy, RawClient, Wire, RawOrigin) {
    let origin = RawOrigin::bind();
    let proxy = Proxy::start(Bootstrap::proxying_to(origin.address()).to_yaml());
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head().unwrap();
    (proxy, client, upstream, origin)
}

#[test]
fn sigterm_lets_a_request_end() {
    if !only_ringway("draining by SIGTERM") {
        return;
    }
    let (mut proxy, mut client, mut upstream, _origin) = in_flight();
    proxy.signal(Signal::TERM);
    proxy.wait_file("stderr", |log| log.to_lowercase().contains("drain"));
    assert!(proxy.is_running());
    upstream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlast").unwrap();
    let response = client.response();
    assert_eq!(
        (response.text().as_str(), response.head.get("connection")),
        ("last", Some("close"))
    );
    client.expect_close();
    assert_eq!(proxy.wait_exit().code(), Some(0));
}

#[test]
fn sigterm_closes_what_is_idle() {
    if !only_ringway("draining by SIGTERM") {
        return;
    }
    let origin = ringway_test_support::Origin::named("a");
    let mut proxy = Proxy::start(Bootstrap::proxying_to(origin.address()).to_yaml());
    let mut client = RawClient::connect(proxy.listener("main"));
    assert_eq!(client.get("/").status(), 200);
    proxy.signal(Signal::TERM);
    client.expect_close();
    assert_eq!(proxy.wait_exit().code(), Some(0));
}

#[test]
fn a_second_sigterm_ends_it_at_once() {
    if !only_ringway("draining by SIGTERM") {
        return;
    }
    let (mut proxy, _client, _upstream, _origin) = in_flight();
    proxy.signal(Signal::TERM);
    proxy.wait_file("stderr", |log| log.to_lowercase().contains("drain"));
    proxy.signal(Signal::TERM);
    proxy.wait_exit();
}

#[test]
fn sigint_ends_it_at_once() {
    let (mut proxy, mut client, _upstream, _origin) = in_flight();
    proxy.signal(Signal::INT);
    assert_eq!(proxy.wait_exit().code(), Some(0));
    assert!(client.try_response("GET").is_err());
}

#[test]
fn its_ports_are_free_afterwards() {
    let routes = "- { match: { prefix: / }, direct_response: { status: 200 } }";
    let yaml = Bootstrap::new().routes("main", routes).to_yaml();
    // An address that no other test listens on.
    let listener = "\"127.0.0.1\", port_value: 0";
    let mut proxy = Proxy::start(yaml.replace(listener, "127.77.0.1, port_value: 0"));
    let address = proxy.listener("main");
    assert!(address.ip().to_string() == "127.77.0.1");
    proxy.signal(Signal::INT);
    proxy.wait_exit();
    // The kernel takes an io_uring apart after its process has ended, so this holds only because
    // the sockets were told to stop listening before.
    assert!(RawClient::try_connect(address).is_err(), "{address} still accepts");
}

#[test]
fn nobody_is_accepted_while_it_drains() {
    if !only_ringway("draining by SIGTERM") {
        return;
    }
    let (mut proxy, _client, _upstream, _origin) = in_flight();
    let address = proxy.listener("main");
    proxy.signal(Signal::TERM);
    proxy.wait_file("stderr", |log| log.to_lowercase().contains("drain"));
    // The request under way keeps the process; its port must be closed all the same, soon.
    let deadline = Instant::now() + PATIENCE;
    while RawClient::try_connect(address).is_ok() {
        assert!(Instant::now() < deadline, "{address} still accepts");
    }
    assert!(proxy.is_running());
    assert_eq!(proxy.admin("/ready").text(), "DRAINING\n");
    proxy.signal(Signal::INT);
    assert_eq!(proxy.wait_exit().code(), Some(0));
}
