//! Bytes that come one by one mean the same as bytes that come together.

use ringway_test_support::{Bootstrap, Origin, Proxy, RawClient, RawOrigin};

#[test]
fn a_request_byte_by_byte() {
    let origin = Origin::named("a");
    let proxy = Proxy::start(Bootstrap::proxying_to(origin.address()).to_yaml());
    let mut client = RawClient::connect(proxy.listener("main"));
    let request = "\r\nPOST /a?b HTTP/1.1\r\nHost: a\r\nX-A:  1 \r\ntransfer-encoding: chunked\r\n\r\n\
                   5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n";
    for byte in request.bytes() {
        client.send([byte]);
    }
    assert_eq!(client.response().status(), 200);
    let asked = &origin.wait_for(1)[0].message;
    assert_eq!(
        (asked.head.start.as_str(), asked.text().as_str()),
        ("POST /a?b HTTP/1.1", "hello!")
    );
    assert_eq!(asked.head.get("x-a"), Some("1"));
}

#[test]
fn a_response_byte_by_byte() {
    let origin = RawOrigin::bind();
    let proxy = Proxy::start(Bootstrap::proxying_to(origin.address()).to_yaml());
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head().unwrap();
    let response = "HTTP/1.1 103 Hint\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\nX-A: 1\r\n\
                    transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for byte in response.bytes() {
        upstream.send(&[byte]).unwrap();
    }
    let got = client.response();
    assert_eq!((got.status(), got.text().as_str()), (200, "hello"));
    assert_eq!(got.head.get("x-a"), Some("1"));
}

#[test]
fn a_request_cut_at_every_byte_reaches_no_origin_as_a_whole() {
    let origin = Origin::named("a");
    let proxy = Proxy::start(Bootstrap::proxying_to(origin.address()).to_yaml());
    let request = "POST /cut HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
    for end in 1..request.len() {
        let mut client = RawClient::connect(proxy.listener("main"));
        client.send(&request[..end]).finish();
        let answered = client.try_response("POST").map(|response| response.status());
        assert!(matches!(answered, Err(_) | Ok(400..=499)), "cut at {end}: {answered:?}");
    }
    let whole = |asked: &ringway_test_support::Asked| asked.message.cut.is_none();
    assert_eq!(origin.settle().into_iter().find(whole).map(|asked| asked.message), None);
    assert_eq!(RawClient::connect(proxy.listener("main")).get("/").status(), 200);
}
