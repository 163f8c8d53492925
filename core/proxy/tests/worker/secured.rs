//! TLS on both sides of a request.

use std::io::{Read, Write};
use std::time::Duration;

use ringway_bridge::stats::Total;
use ringway_tls::{
    ClientCertificates, ClientContext, ClientOptions, Parameters, ServerContext, ServerOptions,
    Validation,
};

use crate::rig::{Rig, Setup};
use crate::tls_peer::{Authority, Peer, newest};

const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nhost: h\r\n\r\n";

fn server(authority: &Authority) -> ServerContext {
    let options = ServerOptions::new(vec![authority.identity("a.test")]);
    ServerContext::new(&options).expect("a context")
}

/// A server that wants to see certificates of the authority.
fn strict(authority: &Authority) -> ServerContext {
    let trusted_ca = Some(authority.source());
    let validation = Validation { trusted_ca, ..Validation::default() };
    let mut options = ServerOptions::new(vec![authority.identity("a.test")]);
    options.client_certificates = ClientCertificates::Required(validation);
    ServerContext::new(&options).expect("a context")
}

fn client(authority: &Authority, parameters: Parameters) -> ClientContext {
    let trusted_ca = Some(authority.source());
    let validation = Validation { trusted_ca, ..Validation::default() };
    let options =
        ClientOptions { parameters, validation, max_session_keys: 16, ..ClientOptions::default() };
    ClientContext::new(&options).expect("a context")
}

fn counted(rig: &Rig, name: &str) -> u64 {
    match rig.total(name) {
        Some(Total::Counter(value) | Total::Gauge(value)) => value,
        _ => 0,
    }
}

#[test]
fn tls_on_both_sides_carries_requests_and_bodies() {
    for parameters in [newest(), Parameters::upstream()] {
        let authority = Authority::new();
        let (context, to_proxy) = (server(&authority), client(&authority, parameters.clone()));
        let upstream = Some(client(&authority, parameters.clone()));
        let rig =
            Rig::with(Setup { downstream: Some(server(&authority)), upstream, ..Setup::default() });
        let mut one = Peer::client(rig.connect(), &to_proxy);
        one.shake_hands().expect("a connection");
        one.say(REQUEST);
        let (socket, _) = rig.origin.accept().expect("a connection");
        let mut origin = Peer::server(socket, &context);
        origin.shake_hands().expect("a connection");
        for length in [5, 100_000] {
            assert!(origin.hear_text().starts_with("GET /x HTTP/1.1\r\nhost: h\r\n"));
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            origin.say(head.as_bytes());
            origin.say(&vec![b'b'; length]);
            let mut response = one.hear_text();
            assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
            assert!(response.contains("content-length"));
            let at = response.find("\r\n\r\n").expect("a head") + 4;
            let mut body = response.split_off(at).into_bytes();
            body.extend(one.hear_exactly(length - body.len()));
            assert!(body.iter().all(|byte| *byte == b'b'));
            one.say(REQUEST);
        }
        origin.hear_text();
        origin.say(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        one.hear_text();
        one.say_goodbye();
        drop(one);
        rig.drain();
        assert_eq!(counted(&rig, "listener.l.ssl.handshake"), 1);
        assert_eq!(counted(&rig, "listener.l.ssl.no_certificate"), 1);
        let version = if parameters == newest() { "TLSv1.3" } else { "TLSv1.2" };
        assert_eq!(counted(&rig, &format!("listener.l.ssl.versions.{version}")), 1);
        assert_eq!(counted(&rig, &format!("cluster.up.ssl.versions.{version}")), 1);
        assert_eq!(counted(&rig, "cluster.up.ssl.sigalgs.ecdsa_secp256r1_sha256"), 1);
        assert_eq!(counted(&rig, "http.t.downstream_cx_ssl_total"), 1);
        assert_eq!(counted(&rig, "http.t.downstream_cx_ssl_active"), 0);
        assert_eq!(counted(&rig, "http.t.downstream_cx_destroy_remote"), 1);
        rig.stop();
    }
}

#[test]
fn a_client_without_the_certificate_is_told_and_counted() {
    let authority = Authority::new();
    let setup = Setup { downstream: Some(strict(&authority)), ..Setup::default() };
    let rig = Rig::with(setup);
    let mut one = Peer::client(rig.connect(), &client(&authority, newest()));
    // With TLS 1.3 the client is done before it is refused.
    let error = one.shake_hands().and_then(|()| one.hear().map(drop)).expect_err("an alert");
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    rig.drain();
    assert_eq!(counted(&rig, "listener.l.ssl.fail_verify_no_cert"), 1);
    assert_eq!(counted(&rig, "listener.l.ssl.connection_error"), 0);
    assert_eq!(counted(&rig, "listener.l.downstream_cx_active"), 0);
    assert_eq!(counted(&rig, "http.t.downstream_cx_total"), 1);
    assert_eq!(counted(&rig, "http.t.downstream_cx_destroy_remote"), 1);
    rig.stop();
}

#[test]
fn what_is_no_tls_gets_an_alert_and_the_end() {
    let authority = Authority::new();
    let rig = Rig::with(Setup { downstream: Some(server(&authority)), ..Setup::default() });
    let mut socket = rig.connect();
    socket.write_all(REQUEST).expect("sent");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("the end");
    assert_eq!(answer.first(), Some(&21), "an alert");
    drop(rig.connect());
    rig.drain();
    assert_eq!(counted(&rig, "listener.l.ssl.connection_error"), 1);
    rig.stop();
}

#[test]
fn a_handshake_has_its_time() {
    let authority = Authority::new();
    let rig = Rig::with(Setup {
        downstream: Some(server(&authority)),
        handshake_timeout: Some(Duration::from_millis(50)),
        ..Setup::default()
    });
    let mut socket = rig.connect();
    assert_eq!(socket.read(&mut [0; 10]).expect("the end"), 0);
    rig.drain();
    let name = "listener.l.downstream_cx_transport_socket_connect_timeout";
    assert_eq!(counted(&rig, name), 1);
    assert_eq!(counted(&rig, "http.t.downstream_cx_destroy_local"), 1);
    rig.stop();
}

#[test]
fn an_origin_that_is_not_trusted_gives_503() {
    let (authority, other) = (Authority::new(), Authority::new());
    let upstream = Some(client(&other, newest()));
    let rig = Rig::with(Setup { upstream, ..Setup::default() });
    let mut one = rig.connect();
    one.write_all(REQUEST).expect("sent");
    let (socket, _) = rig.origin.accept().expect("a connection");
    let mut origin = Peer::server(socket, &server(&authority));
    assert!(origin.shake_hands().is_err());
    let mut buffer = [0; 1024];
    let length = one.read(&mut buffer).expect("a response");
    let response = String::from_utf8_lossy(&buffer[..length]).into_owned();
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    assert!(response.ends_with("reset reason: remote connection failure"), "{response}");
    drop(one);
    rig.drain();
    assert_eq!(counted(&rig, "cluster.up.ssl.fail_verify_error"), 1);
    assert_eq!(counted(&rig, "cluster.up.upstream_cx_connect_fail"), 1);
    rig.stop();
}

#[test]
fn an_idle_connection_ends_with_a_goodbye() {
    let authority = Authority::new();
    let rig = Rig::with(Setup { downstream: Some(server(&authority)), ..Setup::default() });
    let mut one = Peer::client(rig.connect(), &client(&authority, newest()));
    one.shake_hands().expect("a connection");
    rig.drain();
    assert_eq!(one.hear().expect("close_notify"), b"");
    rig.stop();
}
