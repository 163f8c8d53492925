//! Requests that a lax pair of parsers would take for two: never more than one reaches the origin.

use ringway_test_support::{Bootstrap, Origin, Proxy, RawClient};

/// Sends `bytes` and then FIN; gives every status that comes back and every path the origin saw
/// as a whole request.
fn verdict(proxy: &Proxy, origin: &Origin, bytes: &[u8]) -> (Vec<u16>, Vec<String>) {
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send_anyway(bytes);
    let mut statuses = Vec::new();
    while let Ok(response) = client.try_response("POST") {
        statuses.push(response.status());
        if response.head.get("connection") == Some("close") {
            break;
        }
        // The last answer may leave the connection open: then we end it.
        let _gone = client.wire().finish();
    }
    let whole = origin.settle().into_iter().filter(|asked| asked.message.cut.is_none());
    (statuses, whole.map(|asked| asked.message.head.target().to_owned()).collect())
}

fn refused(fields: &str, body: &str, status: u16) {
    let origin = Origin::named("a");
    let proxy = Proxy::start(Bootstrap::proxying_to(origin.address()).to_yaml());
    let request = format!(
        "POST /first HTTP/1.1\r\nhost: a\r\n{fields}\r\n{body}GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"
    );
    let (statuses, seen) = verdict(&proxy, &origin, request.as_bytes());
    assert_eq!((statuses, seen), (vec![status], vec![]), "{fields:?} {body:?}");
}

#[test]
fn content_length_beside_transfer_encoding() {
    refused("content-length: 30\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n", 400);
}

#[test]
fn transfer_encoding_beside_content_length() {
    refused("transfer-encoding: chunked\r\ncontent-length: 4\r\n", "0\r\n\r\n", 400);
}

#[test]
fn two_content_lengths() {
    refused("content-length: 0\r\ncontent-length: 5\r\n", "", 400);
}

#[test]
fn two_equal_content_lengths() {
    refused("content-length: 5\r\ncontent-length: 5\r\n", "hello", 400);
}

#[test]
fn a_content_length_with_a_sign() {
    refused("content-length: +5\r\n", "hello", 400);
}

#[test]
fn a_blank_before_the_colon() {
    refused("transfer-encoding : chunked\r\n", "0\r\n\r\n", 400);
}

#[test]
fn an_unknown_transfer_encoding() {
    refused("transfer-encoding: xchunked\r\n", "0\r\n\r\n", 501);
}

#[test]
fn a_nul_in_a_value() {
    refused("x: a\0b\r\ncontent-length: 0\r\n", "", 400);
}

#[test]
fn a_chunk_size_that_wraps_round() {
    refused("transfer-encoding: chunked\r\n", "10000000000000000\r\n\r\n", 400);
}

#[test]
fn a_bare_line_feed_in_a_chunk_size() {
    refused("transfer-encoding: chunked\r\n", "0\n\r\n", 400);
}

#[test]
fn a_body_that_looks_like_a_request_stays_a_body() {
    let origin = Origin::named("a");
    let proxy = Proxy::start(Bootstrap::proxying_to(origin.address()).to_yaml());
    let inner = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    let request = format!(
        "POST /first HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{inner}",
        inner.len()
    );
    let (statuses, seen) = verdict(&proxy, &origin, request.as_bytes());
    assert_eq!((statuses, seen), (vec![200], vec!["/first".to_owned()]));
}

#[test]
fn what_follows_a_response_of_the_origin_is_nobodys_answer() {
    let origin = Origin::start(|_| {
        ringway_test_support::Reply::raw(
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok\
             HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged",
        )
    });
    let proxy = Proxy::start(Bootstrap::proxying_to(origin.address()).to_yaml());
    for _ in 0..5 {
        let mut client = RawClient::connect(proxy.listener("main"));
        assert_eq!(client.get("/").text(), "ok");
        assert_eq!(client.get("/").text(), "ok");
    }
}
