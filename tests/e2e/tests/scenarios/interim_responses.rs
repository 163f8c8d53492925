//! Informational responses: 100 is the proxy's own word, the others end at the proxy.

use ringway_test_support::{Bootstrap, Origin, Proxy, RawClient, RawOrigin, Reply};

#[test]
fn a_client_that_expects_100_gets_it_before_it_sends_the_body() {
    let origin = Origin::named("a");
    let proxy = Proxy::start(Bootstrap::proxying_to(origin.address()).to_yaml());
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n");
    let interim = client.wire().head().unwrap();
    assert_eq!((interim.status(), interim.fields.len()), (100, 0));
    client.send("hello");
    assert_eq!(client.response().status(), 200);
    let asked = &origin.wait_for(1)[0].message;
    assert_eq!((asked.head.get("expect"), asked.text().as_str()), (None, "hello"));
}

#[test]
fn hints_of_the_origin_are_not_taken_for_its_answer() {
    let origin = Origin::start(|_| {
        Reply::raw("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
            .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    });
    let proxy = Proxy::start(Bootstrap::proxying_to(origin.address()).to_yaml());
    let mut client = RawClient::connect(proxy.listener("main"));
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!((response.status(), response.text().as_str()), (200, "ok"));
        assert!(response.interim.is_empty());
    }
}

#[test]
fn an_early_answer_reaches_the_client_while_it_still_sends() {
    let origin = RawOrigin::bind();
    let proxy = Proxy::start(Bootstrap::proxying_to(origin.address()).to_yaml());
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nbegin");
    let mut upstream = origin.accept();
    upstream.head().unwrap();
    upstream.send(b"HTTP/1.1 413 Too Much\r\ncontent-length: 3\r\n\r\nno!").unwrap();
    let response = client.response();
    assert_eq!((response.status(), response.text().as_str()), (413, "no!"));
}
