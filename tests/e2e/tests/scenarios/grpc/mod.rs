//! gRPC from client to server, both of which others wrote.

mod filters;
mod grpcio;
mod peers;
mod secured;

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use ringway_test_support::{
    Bootstrap, H2, H2Message, PATIENCE, Proxy, RawOrigin, Refuser, h2_upstream,
};
use tokio::task::JoinSet;
use tonic::metadata::{BinaryMetadataValue, MetadataValue};
use tonic::{Code, Request, Status};

use peers::{Client, MEETING, Server, next, run};

/// Windows as small as the protocol's, so that large messages must wait for them.
const WINDOWS: &str = "initial_stream_window_size: 65535, initial_connection_window_size: 65535";

/// Everything goes to one origin that speaks HTTP/2, by a route with these further fields.
fn proxy_with(origin: SocketAddr, route: &str) -> Proxy {
    let manager = format!(
        "http2_protocol_options: {{ {WINDOWS} }}\nroute_config: {{ virtual_hosts: [{{ name: a, \
         domains: ['*'], routes: [{{ match: {{ prefix: / }}, route: {{ cluster: origin, {route} \
         }} }}] }}] }}"
    );
    let bootstrap = Bootstrap::new().http("main", &manager);
    Proxy::start(bootstrap.cluster_with("origin", &[origin], &h2_upstream(WINDOWS, "")).to_yaml())
}

fn start(origin: SocketAddr) -> Proxy {
    proxy_with(origin, "timeout: 0s")
}

/// A server behind a proxy.
fn served() -> (Server, Proxy) {
    let server = Server::start();
    let proxy = start(server.address());
    (server, proxy)
}

async fn client(proxy: &Proxy) -> Client {
    Client::connect(proxy.listener("main")).await
}

/// Everything has ended: nothing counts as under way.
fn expect_rest(proxy: &Proxy) {
    for gauge in [
        "cluster.origin.upstream_rq_active",
        "cluster.origin.upstream_rq_pending_active",
        "http.main.downstream_rq_active",
        "http.main.downstream_cx_active",
    ] {
        proxy.wait_stat(gauge, |value| value == 0);
    }
}

#[test]
fn one_message_for_one() {
    let (_server, proxy) = served();
    run(async {
        let mut client = client(&proxy).await;
        let answer = client.unary("Echo", b"hello".to_vec()).await.unwrap();
        assert_eq!(answer.into_inner(), b"hello");
        let answer = client.unary("Echo", Vec::new()).await.unwrap();
        assert!(answer.into_inner().is_empty());
    });
    expect_rest(&proxy);
}

#[test]
fn many_messages_for_one() {
    let (_server, proxy) = served();
    let messages = (0..500).map(|number| vec![b'm'; number]).collect();
    let answer = run(async { client(&proxy).await.collect(messages).await });
    assert_eq!(answer.unwrap().into_inner(), b"500 of 124750");
}

#[test]
fn one_message_for_many() {
    let (_server, proxy) = served();
    run(async {
        let mut messages = client(&proxy).await.ask("Spread", "500").await;
        for number in 0..500 {
            assert_eq!(next(&mut messages).await, Some(number.to_string()));
        }
        assert_eq!(next(&mut messages).await, None);
    });
}

#[test]
fn a_server_goes_on_after_the_client_has_ended() {
    let (_server, proxy) = served();
    run(async {
        let (sender, mut messages) = client(&proxy).await.talk("GoOn").await;
        for number in 0..20 {
            let message = number.to_string();
            sender.send(message.clone().into()).await.unwrap();
            assert_eq!(next(&mut messages).await, Some(message), "one waits for the other");
        }
        drop(sender);
        for number in 0..3 {
            assert_eq!(next(&mut messages).await, Some(format!("after {number}")));
        }
        assert_eq!(next(&mut messages).await, None);
    });
    expect_rest(&proxy);
}

#[test]
fn metadata_goes_both_ways() {
    let (_server, proxy) = served();
    let binary = [0, 255, 7, 128];
    let mut request = Request::new(b"a".to_vec());
    let metadata = request.metadata_mut();
    metadata.append("x-told-one", "1".parse().unwrap());
    metadata.append("x-told-one", "2 and more".parse().unwrap());
    metadata.append_bin("x-told-raw-bin", BinaryMetadataValue::from_bytes(&binary));
    let answer = run(async { client(&proxy).await.unary("Echo", request).await }).unwrap();
    let told: Vec<&str> = answer.metadata().get_all("x-told-one").iter().map(text).collect();
    assert_eq!(told, ["1", "2 and more"]);
    let raw = answer.metadata().get_bin("x-told-raw-bin").unwrap();
    assert_eq!(raw.to_bytes().unwrap(), binary.as_slice());
}

fn text(value: &MetadataValue<tonic::metadata::Ascii>) -> &str {
    value.to_str().unwrap()
}

#[test]
fn an_error_keeps_its_status_message_and_metadata() {
    let (_server, proxy) = served();
    run(async {
        let mut client = client(&proxy).await;
        let early = client.unary("Fail", Vec::new()).await.unwrap_err();
        assert_eq!((early.code(), early.message()), (Code::NotFound, "100 % of \u{e9}t\u{e9}\n"));
        assert_eq!(text(early.metadata().get("x-told-why").unwrap()), "nowhere");
        let mut messages = client.ask("FailLate", "").await;
        assert_eq!(next(&mut messages).await.as_deref(), Some("begun"));
        let late = messages.message().await.unwrap_err();
        assert_eq!((late.code(), late.message()), (Code::NotFound, "late"));
        assert_eq!(text(late.metadata().get("x-told-why").unwrap()), "nowhere");
    });
    // Whatever a call ends with, HTTP went well.
    proxy.wait_stat("cluster.origin.upstream_rq_200", |value| value == 2);
    expect_rest(&proxy);
}

/// Calls frame by frame, without a message.
fn call(proxy: &Proxy, method: &str) -> H2Message {
    call_with(proxy, method, &[])
}

fn call_with(proxy: &Proxy, method: &str, more: &[(&str, &str)]) -> H2Message {
    let mut client = H2::connect(proxy.listener("main"), &[]);
    let fields = [&[("content-type", "application/grpc"), ("te", "trailers")], more].concat();
    let stream = client.request("POST", &format!("/test.Calls/{method}"), &fields, true);
    client.answer(stream)
}

/// gRPC over HTTP/2, "Responses": an error without a message is one block of fields.
#[test]
fn fields_that_are_all_stay_one_block() {
    let (_server, proxy) = served();
    let answer = call(&proxy, "Fail");
    assert_eq!((answer.status(), answer.get("grpc-status")), (200, Some("5")));
    assert_eq!(answer.get("grpc-message"), Some("100%20%25%20of%20%C3%A9t%C3%A9%0A"));
    assert!(answer.body.is_empty() && answer.trailers.is_none());
    let answer = call(&proxy, "Echo");
    assert_eq!((answer.status(), answer.get("grpc-status")), (200, None));
    let trailers = answer.trailers.expect("trailers");
    assert_eq!(trailers, [("grpc-status".to_owned(), "0".to_owned())]);
}

#[test]
fn a_deadline_that_is_over_is_status_4() {
    // A client that has its own deadline would end the call itself: the proxy's is the sooner one.
    let shorter = [
        "grpc_timeout_header_max: 0.2s",
        "grpc_timeout_header_max: 0s, \
                    grpc_timeout_header_offset: 59.8s",
        "max_stream_duration: 0.2s",
    ];
    for limit in shorter {
        let server = Server::start();
        let route = format!("max_stream_duration: {{ {limit} }}");
        let proxy = proxy_with(server.address(), &route);
        let begun = Instant::now();
        run(async {
            let mut client = client(&proxy).await;
            let mut request = Request::new(Vec::new());
            request.set_timeout(Duration::from_secs(60));
            let error = client.unary("Silent", request).await.unwrap_err();
            assert_eq!(error.code(), Code::DeadlineExceeded, "{limit}: {error}");
        });
        // Timers may be a few milliseconds early.
        assert!(begun.elapsed() >= Duration::from_millis(150), "{limit}");
        assert_eq!(server.told(), "cancelled", "{limit}");
        assert_eq!(proxy.stat("http.main.downstream_rq_max_duration_reached"), 1, "{limit}");
        expect_rest(&proxy);
    }
}

#[test]
fn a_deadline_is_what_the_client_asks_for() {
    let server = Server::start();
    let route = "max_stream_duration: { grpc_timeout_header_max: 0s }";
    let proxy = proxy_with(server.address(), route);
    let answer = call_with(&proxy, "Silent", &[("grpc-timeout", "200m")]);
    assert_eq!((answer.status(), answer.get("grpc-status")), (200, Some("4")));
    assert_eq!(server.told(), "cancelled");
    let answer = call_with(&proxy, "Echo", &[("grpc-timeout", "60S")]);
    assert_eq!(answer.status(), 200);
    expect_rest(&proxy);
}

/// What has begun cannot be given another status: its stream is reset.
fn expect_reset(error: &Status) {
    assert!(format!("{error:?}").contains("INTERNAL_ERROR"), "{error:?}");
}

#[test]
fn a_deadline_ends_an_answer_that_has_begun() {
    let server = Server::start();
    let route = "max_stream_duration: { max_stream_duration: 0.2s }";
    let proxy = proxy_with(server.address(), route);
    run(async {
        let (_sender, mut messages) = client(&proxy).await.talk("Hold").await;
        assert_eq!(next(&mut messages).await.as_deref(), Some("held"));
        let error = messages.message().await.unwrap_err();
        expect_reset(&error);
    });
    assert_eq!(server.told(), "cancelled");
    expect_rest(&proxy);
}

#[test]
fn an_upstream_that_is_gone_is_status_14() {
    let refuser = Refuser::bind();
    let proxy = start(refuser.address());
    let error = run(async { client(&proxy).await.unary("Echo", Vec::new()).await.unwrap_err() });
    assert_eq!(error.code(), Code::Unavailable);
    let said = "upstream connect error or disconnect/reset before headers.";
    assert!(error.message().starts_with(said), "{error}");
    let answer = call(&proxy, "Echo");
    assert_eq!((answer.status(), answer.get("grpc-status")), (200, Some("14")));
    assert_eq!(answer.get("content-type"), Some("application/grpc"));
    assert!(answer.body.is_empty() && answer.trailers.is_none());
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_connect_fail"), 2);
    expect_rest(&proxy);
}

#[test]
fn an_upstream_that_leaves_during_a_call_is_status_14() {
    let origin = RawOrigin::bind();
    let proxy = start(origin.address());
    let leaves = thread::spawn(move || {
        let mut server = H2::server(origin.accept(), &[]);
        let _call = server.accept_whole();
    });
    let error = run(async { client(&proxy).await.unary("Echo", Vec::new()).await.unwrap_err() });
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    leaves.join().unwrap();
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_destroy_remote_with_active_rq"), 1);
    expect_rest(&proxy);
}

#[test]
fn an_answer_that_breaks_off_is_no_good_end() {
    let origin = RawOrigin::bind();
    let proxy = start(origin.address());
    let leaves = thread::spawn(move || {
        let mut server = H2::server(origin.accept(), &[]);
        let (stream, _) = server.accept();
        let fields = [(":status", "200"), ("content-type", "application/grpc")];
        server.headers(stream, &fields, false).data(stream, b"\0\0\0\0\x02hi", false);
        server.until(stream, |call| call.ended).unwrap();
    });
    run(async {
        let (sender, mut messages) = client(&proxy).await.talk("Echo").await;
        assert_eq!(next(&mut messages).await.as_deref(), Some("hi"));
        drop(sender);
        let error = messages.message().await.unwrap_err();
        expect_reset(&error);
    });
    leaves.join().unwrap();
    expect_rest(&proxy);
}

#[test]
fn a_cancelled_call_is_cancelled_at_the_server() {
    let (server, proxy) = served();
    run(async {
        let mut client = client(&proxy).await;
        // Both before and after the answer begins; the connection stays.
        let mut waiting = client.clone();
        let waiting = tokio::spawn(async move { waiting.unary("Silent", Vec::new()).await });
        let (sender, mut messages) = client.talk("Hold").await;
        assert_eq!(next(&mut messages).await.as_deref(), Some("held"));
        drop((sender, messages));
        let server = told_off(server).await;
        waiting.abort();
        let _server = told_off(server).await;
        assert_eq!(client.unary("Echo", b"on".to_vec()).await.unwrap().into_inner(), b"on");
    });
    assert_eq!(proxy.stat("http.main.downstream_cx_total"), 1);
    assert_eq!(proxy.stat("cluster.origin.upstream_rq_tx_reset"), 2);
    expect_rest(&proxy);
}

/// Waits beside the client, whose connection must go on meanwhile.
async fn told_off(server: Server) -> Server {
    let told = tokio::task::spawn_blocking(move || {
        assert_eq!(server.told(), "cancelled");
        server
    });
    tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap()
}

#[test]
fn large_messages_pass_windows_whole() {
    let (_server, proxy) = served();
    let message: Vec<u8> = (0..3_500_000_u32).map(|number| (number / 7) as u8).collect();
    run(async {
        let mut client = client(&proxy).await;
        for _ in 0..2 {
            let answer = client.unary("Echo", message.clone()).await.unwrap();
            assert!(answer.into_inner() == message);
        }
        let messages = vec![message.clone(); 3];
        let answer = client.collect(messages).await.unwrap();
        assert_eq!(answer.into_inner(), b"3 of 10500000");
    });
    expect_rest(&proxy);
}

#[test]
fn calls_at_once_share_one_connection() {
    let (_server, proxy) = served();
    run(async {
        let client = client(&proxy).await;
        let mut calls = JoinSet::new();
        for number in 0..MEETING {
            let mut client = client.clone();
            let message = format!("call {number}").into_bytes();
            calls.spawn(async move {
                // None is answered before all have come.
                let answer = client.unary("Meet", message.clone()).await.unwrap();
                assert_eq!(answer.into_inner(), message);
            });
        }
        while let Some(call) = calls.join_next().await {
            call.unwrap();
        }
    });
    assert_eq!(proxy.stat("http.main.downstream_cx_total"), 1);
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_total"), 1);
    expect_rest(&proxy);
    for counter in ["total", "completed", "200", "2xx"] {
        let name = format!("cluster.origin.upstream_rq_{counter}");
        assert_eq!(proxy.stat(&name), MEETING as u64, "{name}");
    }
    for counter in ["rx_reset", "tx_reset", "timeout", "pending_overflow", "retry", "cancelled"] {
        let name = format!("cluster.origin.upstream_rq_{counter}");
        assert_eq!(proxy.stat(&name), 0, "{name}");
    }
}
