//! The filters of gRPC in the way of calls.

use std::net::SocketAddr;

use ringway_test_support::{Bootstrap, Message, Proxy, RawClient, h2_upstream};

use super::peers::{Client, Server, next, run};

const ROUTER: &str = "          - name: envoy.filters.http.router\n";

/// With all three filters before the router.
fn filtered(origin: SocketAddr) -> Proxy {
    let kind = "type.googleapis.com/envoy.extensions.filters.http";
    let filters = [
        ("stats", "grpc_stats.v3.FilterConfig\", stats_for_all_methods: true"),
        ("bridge", "grpc_http1_bridge.v3.Config\""),
        ("web", "grpc_web.v3.GrpcWeb\""),
    ];
    let filters = filters.map(|(name, config)| {
        format!(
            "          - {{ name: {name}, typed_config: {{ \"@type\": \"{kind}.{config} }} }}\n"
        )
    });
    let all = "- { match: { prefix: / }, route: { cluster: origin, timeout: 0s } }";
    let bootstrap = Bootstrap::new().routes("main", all);
    let yaml = bootstrap.cluster_with("origin", &[origin], &h2_upstream("", "")).to_yaml();
    let (before, after) = yaml.split_once(ROUTER.trim_start()).unwrap();
    let filters = filters.concat();
    Proxy::start([before, filters.trim_start(), ROUTER, after].concat())
}

#[test]
fn filters_leave_calls_as_they_are_and_count_them() {
    let server = Server::start();
    let proxy = filtered(server.address());
    run(async {
        let mut client = Client::connect(proxy.listener("main")).await;
        for _ in 0..3 {
            let answer = client.unary("Echo", b"hello".to_vec()).await.unwrap();
            assert_eq!(answer.into_inner(), b"hello");
        }
        client.unary("Fail", Vec::new()).await.unwrap_err();
        assert_eq!(client.collect(vec![vec![0; 9]; 20]).await.unwrap().into_inner(), b"20 of 180");
        let mut messages = client.ask("Spread", "30").await;
        for number in 0..30 {
            assert_eq!(next(&mut messages).await, Some(number.to_string()));
        }
        assert_eq!(next(&mut messages).await, None);
        let (sender, mut messages) = client.talk("GoOn").await;
        sender.send(b"a".to_vec()).await.unwrap();
        assert_eq!(next(&mut messages).await.as_deref(), Some("a"));
        drop(sender);
        for number in 0..3 {
            assert_eq!(next(&mut messages).await, Some(format!("after {number}")));
        }
        assert_eq!(next(&mut messages).await, None);
    });
    for (name, count) in [
        ("Echo.0", 3),
        ("Echo.success", 3),
        ("Echo.total", 3),
        ("Fail.5", 1),
        ("Fail.failure", 1),
        ("Collect.request_message_count", 20),
        ("Collect.response_message_count", 1),
        ("Spread.request_message_count", 1),
        ("Spread.response_message_count", 30),
        ("GoOn.response_message_count", 4),
        ("GoOn.success", 1),
    ] {
        let name = format!("cluster.origin.grpc.test.Calls.{name}");
        proxy.wait_stat(&name, |value| value == count);
    }
    super::expect_rest(&proxy);
}

/// A call by HTTP/1.1 with one message, as from a browser or from an old client.
fn call(proxy: &Proxy, method: &str, content_type: &str) -> Message {
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send(format!(
        "POST /test.Calls/{method} HTTP/1.1\r\nhost: a\r\ncontent-type: {content_type}\r\n\
         content-length: 7\r\n\r\n\0\0\0\0\u{2}hi"
    ));
    client.response()
}

#[test]
fn browsers_call_a_server() {
    let server = Server::start();
    let proxy = filtered(server.address());
    let answer = call(&proxy, "Echo", "application/grpc-web+proto");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.head.get("content-type"), Some("application/grpc-web+proto"));
    let message = b"\0\0\0\0\x02hi";
    let trailers = b"\x80\0\0\0\x0fgrpc-status:0\r\n";
    assert_eq!(answer.body, [&message[..], trailers].concat());
    let answer = call(&proxy, "Fail", "application/grpc-web+proto");
    assert_eq!((answer.status(), answer.head.get("grpc-status")), (200, Some("5")));
}

#[test]
fn http1_calls_a_server() {
    let server = Server::start();
    let proxy = filtered(server.address());
    let answer = call(&proxy, "Echo", "application/grpc");
    assert_eq!((answer.status(), answer.head.get("grpc-status")), (200, Some("0")));
    assert_eq!(answer.body, b"\0\0\0\0\x02hi");
    // The bridge moves what stands in trailers; what stands in the head is there already.
    let answer = call(&proxy, "Fail", "application/grpc");
    assert_eq!((answer.status(), answer.head.get("grpc-status")), (200, Some("5")));
    let answer = call(&proxy, "FailLate", "application/grpc");
    assert_eq!((answer.status(), answer.head.get("grpc-status")), (503, Some("5")));
    assert_eq!(answer.head.get("grpc-message"), Some("late"));
    assert_eq!(answer.body, b"\0\0\0\0\x05begun");
}
