//! The same over TLS: tonic on both sides, each of which verifies whom it speaks to, and settles
//! HTTP/2 by ALPN.

use ringway_test_support::{Certificates, Proxy};
use tonic::Code;

use super::peers::{Client, Server, next, run};
use crate::tls::{HTTP2, secured, start};

/// Who the listener proves to be.
const NAME: &str = "a.test";

/// A server behind a proxy, with TLS in front of each, where the proxy wants `a.test`.
fn served(certificates: &Certificates) -> (Server, Proxy) {
    let server = Server::secured(certificates);
    let cluster = secured("TLSv1_3", "") + HTTP2;
    let proxy = start(certificates, server.address(), &cluster);
    (server, proxy)
}

fn certificates() -> Certificates {
    let certificates = Certificates::new();
    certificates.issue("a", &[NAME]);
    certificates
}

async fn client(proxy: &Proxy, certificates: &Certificates) -> Client {
    let address = proxy.listener("main");
    Client::secured(address, certificates, NAME).await.expect("a verified connection")
}

#[test]
fn one_message_and_many_go_both_ways() {
    let certificates = certificates();
    let (_server, proxy) = served(&certificates);
    run(async {
        let mut client = client(&proxy, &certificates).await;
        let answer = client.unary("Echo", b"hello".to_vec()).await.unwrap();
        assert_eq!(answer.into_inner(), b"hello");

        let messages = (0..500).map(|number| vec![b'm'; number]).collect();
        let answer = client.collect(messages).await.unwrap();
        assert_eq!(answer.into_inner(), b"500 of 124750");

        let mut messages = client.ask("Spread", "500").await;
        for number in 0..500 {
            assert_eq!(next(&mut messages).await, Some(number.to_string()));
        }
        assert_eq!(next(&mut messages).await, None);

        let (sender, mut messages) = client.talk("GoOn").await;
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
    proxy.wait_stat("http.main.downstream_rq_active", |active| active == 0);
    assert_eq!(proxy.stat("http.main.downstream_cx_ssl_total"), 1);
    assert_eq!(proxy.stat("http.main.downstream_cx_http2_total"), 1);
    assert!((1..=2).contains(&proxy.stat("cluster.next.ssl.handshake")), "one for each worker");
    assert_eq!(proxy.stat("cluster.next.upstream_rq_total"), 4);
}

#[test]
fn large_messages_pass_whole() {
    let certificates = certificates();
    let (_server, proxy) = served(&certificates);
    let large: Vec<u8> = (0..3 << 20).map(|at: usize| (at ^ (at >> 8)) as u8).collect();
    let answer = run(async {
        client(&proxy, &certificates).await.unary("Echo", large.clone()).await.unwrap()
    });
    assert!(answer.into_inner() == large, "it differs");
}

#[test]
fn an_error_keeps_its_status() {
    let certificates = certificates();
    let (_server, proxy) = served(&certificates);
    let error = run(async {
        client(&proxy, &certificates).await.unary("Fail", Vec::new()).await.unwrap_err()
    });
    assert_eq!((error.code(), error.message()), (Code::NotFound, "100 % of \u{e9}t\u{e9}\n"));
}

#[test]
fn a_client_goes_nowhere_without_proof() {
    let certificates = certificates();
    let (_server, proxy) = served(&certificates);
    let address = proxy.listener("main");
    run(async {
        let other = Client::secured(address, &certificates, "b.test").await;
        assert!(other.is_err(), "another name");
        let strangers = Certificates::new();
        let stranger = Client::secured(address, &strangers, NAME).await;
        assert!(stranger.is_err(), "another authority");
    });
    assert_eq!(proxy.stat("cluster.next.upstream_rq_total"), 0);
}

#[test]
fn the_proxy_goes_nowhere_without_proof() {
    let certificates = certificates();
    let strangers = Certificates::new();
    strangers.issue("a", &[NAME]);
    let server = Server::secured(&strangers);
    let cluster = secured("TLSv1_3", "") + HTTP2;
    let proxy = start(&certificates, server.address(), &cluster);
    let error = run(async {
        client(&proxy, &certificates).await.unary("Echo", Vec::new()).await.unwrap_err()
    });
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.message().ends_with("remote connection failure"), "{error}");
    assert_eq!(proxy.stat("cluster.next.ssl.fail_verify_error"), 1);
}
