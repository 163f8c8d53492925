//! The TCP proxy through another proxy (`tunneling_config`), over HTTP/1.1 and HTTP/2.

use std::io::Write;
use std::net::{Shutdown, SocketAddr};

use ringway_test_support::{H2, Proxy, RawOrigin, Wire, h2_upstream};

use super::tcp_proxy::{
    connect, ending_in, is_gone, logging, nobody, only_line, pattern, read, rest, sender, start,
};

const LOG: &str = "%CONNECTION_ID% %BYTES_RECEIVED% %BYTES_SENT% %RESPONSE_FLAGS% \
                   %UPSTREAM_CLUSTER% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %RESPONSE_CODE% \
                   %UPSTREAM_TRANSPORT_FAILURE_REASON% \
                   %FILTER_STATE(envoy.tcp_proxy.propagate_response_headers:TYPED)% \
                   %FILTER_STATE(envoy.tcp_proxy.propagate_response_trailers:TYPED)%";

/// A TCP proxy that asks this one for tunnels; with these fields of `tunneling_config`, of the
/// filter and of the cluster.
fn tunnelling(to: SocketAddr, tunneling: &str, fields: &str, cluster: &str) -> Proxy {
    let tunneling = format!(
        "tunneling_config: {{ hostname: 'h.example:%DOWNSTREAM_LOCAL_PORT%', \
         headers_to_add: [{{ header: {{ key: x-from, value: \
         '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%' }} }}], {tunneling} }}"
    );
    let filter = logging(LOG, &format!("cluster: origin\n{tunneling}\n{fields}"));
    start(&ending_in(&filter).cluster_with("origin", &[to], cluster))
}

fn exactly(wire: &mut Wire, length: usize) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < length {
        bytes.extend(wire.read_some().expect("more bytes"));
    }
    String::from_utf8(bytes).unwrap()
}

const BOTH: &str = "propagate_response_headers: true, propagate_response_trailers: true";

#[test]
fn a_request_for_a_tunnel_has_an_id() {
    let uuid = "request_id_extension: { typed_config: { \"@type\": \
                type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig } }";
    for (more, header, key) in [
        ("", "x-request-id", "tunnel_request_id"),
        (", request_id_header: X-My-Id, request_id_metadata_key: mine", "x-my-id", "mine"),
    ] {
        let origin = RawOrigin::bind();
        let format =
            format!("%CONNECTION_ID% %DYNAMIC_METADATA(envoy.filters.network.tcp_proxy:{key})%");
        let tunneling = format!(
            "tunneling_config: {{ hostname: h, headers_to_add: [{{ header: {{ key: x-a, value: b \
             }} }}], {uuid}{more} }}"
        );
        let filter = logging(&format, &format!("cluster: origin\n{tunneling}"));
        let proxy = start(&ending_in(&filter).cluster_with("origin", &[origin.address()], ""));
        let client = connect(&proxy);
        let mut wire = origin.accept();
        let head = wire.head().unwrap();
        let names: Vec<&str> = head.fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["host", header, "x-a"]);
        let id = head.get(header).unwrap().to_owned();
        assert_eq!((id.len(), &id[14..15]), (36, "4"), "{id}");
        drop((client, wire));
        assert_eq!(only_line(&proxy), id);
    }
}

#[test]
fn bytes_pass_a_connect_over_http1() {
    let origin = RawOrigin::bind();
    let proxy = tunnelling(origin.address(), BOTH, "", "");
    let mut client = connect(&proxy);
    client.write_all(b"too early").unwrap();
    let mut wire = origin.accept();
    let head = wire.head().unwrap();
    let authority = format!("h.example:{}", proxy.listener("main").port());
    assert_eq!((head.method(), head.target()), ("CONNECT", &*authority));
    let fields = [("host", &*authority), ("x-from", "127.0.0.1")];
    for (name, value) in fields {
        assert_eq!(head.get(name), Some(value));
    }
    assert_eq!(head.fields.len(), fields.len(), "{head:?}");
    wire.send(b"HTTP/1.1 201 Fine\r\nx-o: v\r\n\r\nwelcome").unwrap();
    assert_eq!(read(&mut client, 7), b"welcome");
    assert_eq!(exactly(&mut wire, 9), "too early");
    client.shutdown(Shutdown::Write).unwrap();
    wire.expect_close().unwrap();
    wire.finish().unwrap();
    assert_eq!(rest(&mut client), b"");
    let state = r#"{"headers":[{"key":":status","value":"201"},{"key":"x-o","value":"v"}]}"#;
    assert_eq!(only_line(&proxy), format!("9 7 - origin 1 0 - {state} -"));
    for (name, value) in [
        ("tcp.tp.downstream_cx_rx_bytes_total", 9),
        ("tcp.tp.downstream_cx_tx_bytes_total", 7),
        ("cluster.origin.upstream_cx_http1_total", 1),
        ("cluster.origin.upstream_cx_active", 0),
        ("cluster.origin.upstream_cx_destroy_with_active_rq", 1),
        ("cluster.origin.upstream_rq_total", 1),
        ("cluster.origin.upstream_rq_active", 0),
        ("cluster.origin.upstream_rq_pending_total", 1),
        ("cluster.origin.upstream_rq_pending_active", 0),
    ] {
        proxy.wait_stat(name, |count| count == value);
    }
}

#[test]
fn a_proxy_that_refuses_is_asked_so_many_times() {
    for (answer, reason, state) in [
        ("HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno", "tunnel_response:403", "403"),
        ("", "-", ""),
    ] {
        let origin = RawOrigin::bind();
        let attempts = "max_connect_attempts: 2\nbackoff_options: { base_interval: 0.001s }";
        let keep = "propagate_response_headers: true";
        let proxy = tunnelling(origin.address(), keep, attempts, "");
        let mut client = connect(&proxy);
        for _ in 0..2 {
            let mut wire = origin.accept();
            wire.head().unwrap();
            wire.send(answer.as_bytes()).unwrap();
            if answer.is_empty() {
                wire.finish().unwrap();
            }
            wire.expect_close().unwrap();
        }
        assert!(is_gone(&mut client));
        let line = only_line(&proxy);
        assert!(line.starts_with(&format!("0 0 UF,URX origin 2 0 {reason} ")), "{line}");
        assert!(line.contains(&format!(r#"":status","value":"{state}"#)) || state.is_empty());
        for (name, value) in [
            ("upstream_cx_connect_attempts_exceeded", 1),
            ("upstream_rq_total", 2),
            ("upstream_rq_active", 0),
            ("upstream_cx_active", 0),
        ] {
            proxy.wait_stat(&format!("cluster.origin.{name}"), |count| count == value);
        }
    }
    let proxy = tunnelling(nobody(), "", "", "");
    assert!(is_gone(&mut connect(&proxy)));
    let line = only_line(&proxy);
    let refused = "0 0 UF,URX origin 1 0 delayed_connect_error:_Connection_refused - -";
    assert_eq!(line, refused);
}

#[test]
fn a_post_carries_bytes_in_chunks() {
    let origin = RawOrigin::bind();
    let proxy = tunnelling(origin.address(), "use_post: true, post_path: /p", "", "");
    let mut client = connect(&proxy);
    let mut wire = origin.accept();
    let head = wire.head().unwrap();
    assert_eq!((head.method(), head.target()), ("POST", "/p"));
    assert_eq!(head.get("transfer-encoding"), Some("chunked"));
    wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").unwrap();
    assert_eq!(read(&mut client, 3), b"abc");
    client.write_all(b"hello").unwrap();
    assert_eq!(exactly(&mut wire, 10), "5\r\nhello\r\n");
    client.write_all(b"more").unwrap();
    assert_eq!(exactly(&mut wire, 9), "4\r\nmore\r\n");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(exactly(&mut wire, 5), "0\r\n\r\n");
    wire.send(b"0\r\n\r\n").unwrap();
    assert_eq!(rest(&mut client), b"");
    drop(client);
    assert_eq!(only_line(&proxy), "9 3 - origin 1 0 - - -");
    proxy.wait_stat("cluster.origin.upstream_cx_active", |count| count == 0);
}

#[test]
fn tunnels_share_an_http2_connection() {
    let origin = RawOrigin::bind();
    let proxy = tunnelling(origin.address(), BOTH, "", &h2_upstream("", ""));
    let mut one = connect(&proxy);
    let mut server = H2::server(origin.accept(), &[]);
    let (first, asked) = server.accept();
    let authority = format!("h.example:{}", proxy.listener("main").port());
    let expected = [(":method", "CONNECT"), (":authority", &authority), ("x-from", "127.0.0.1")];
    let head: Vec<_> = asked.head.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(head, expected);
    server.headers(first, &[(":status", "200")], false);
    let mut two = connect(&proxy);
    let (second, _) = server.accept();
    server.headers(second, &[(":status", "200"), ("x-o", "v")], false);
    server.data(second, b"to two", false).data(first, b"to one", false);
    assert_eq!(read(&mut one, 6), b"to one");
    assert_eq!(read(&mut two, 6), b"to two");
    one.write_all(b"from one").unwrap();
    one.shutdown(Shutdown::Write).unwrap();
    let said = server.until(first, |message| message.ended).unwrap();
    assert_eq!(said.text(), "from one");
    server.headers(first, &[("x-t", "t")], true);
    assert_eq!(rest(&mut one), b"");
    let line = only_line(&proxy);
    let state =
        r#"{"headers":[{"key":":status","value":"200"}]} {"headers":[{"key":"x-t","value":"t"}]}"#;
    assert_eq!(line, format!("8 6 - origin 1 0 - {state}"));
    // The end of one stream is not that of the other.
    server.reset_stream(second, 8);
    assert!(is_gone(&mut two));
    proxy.wait_file("access.log", |log| log.contains(" 0 6 UR origin 1 0 - "));
    for (name, value) in [
        ("upstream_cx_total", 1),
        ("upstream_cx_http2_total", 1),
        ("upstream_rq_total", 2),
        ("upstream_rq_rx_reset", 1),
        ("upstream_rq_active", 0),
    ] {
        proxy.wait_stat(&format!("cluster.origin.{name}"), |count| count == value);
    }
}

#[test]
fn a_stream_that_is_refused_is_reset() {
    let origin = RawOrigin::bind();
    let proxy = tunnelling(origin.address(), "", "", &h2_upstream("", ""));
    // RFC 9110 would have 204 open a tunnel; Envoy and we ask for 200 in HTTP/2.
    let mut server = None;
    for status in ["204", "403"] {
        let mut client = connect(&proxy);
        let server = server.get_or_insert_with(|| H2::server(origin.accept(), &[]));
        let (stream, _) = server.accept();
        server.headers(stream, &[(":status", status)], false);
        assert!(server.until(stream, |message| message.reset.is_some()).is_ok());
        assert!(is_gone(&mut client));
        let reason = format!("UF,URX origin 1 0 tunnel_response:{status} ");
        proxy.wait_file("access.log", |log| log.contains(&reason));
    }
    proxy.wait_stat("cluster.origin.upstream_rq_tx_reset", |count| count == 2);
}

#[test]
fn large_transfers_pass_a_tunnel_both_ways() {
    const LENGTH: usize = 8 << 20;
    if !crate::only_ringway("an answer behind the end of the client's half") {
        return;
    }
    let echo = super::tcp_proxy::echo();
    for more in ["", &h2_upstream("allow_connect: true", "")] {
        let end = terminating(echo);
        let proxy = tunnelling(end.listener("main"), "", "", more);
        let mut client = connect(&proxy);
        let bytes = pattern(LENGTH);
        let sending = sender(client.try_clone().unwrap(), bytes.clone());
        assert!(rest(&mut client) == bytes, "what came back differs");
        sending.join().unwrap();
        proxy.wait_file("access.log", |log| log.contains(&format!(" {LENGTH} {LENGTH} - ")));
        proxy.wait_stat("cluster.origin.upstream_rq_active", |count| count == 0);
    }
}

/// A proxy at which tunnels end.
fn terminating(origin: SocketAddr) -> Proxy {
    let manager = "upgrade_configs: [{ upgrade_type: CONNECT }]\n\
                   http2_protocol_options: { allow_connect: true }\n\
                   route_config: { virtual_hosts: [{ name: a, domains: ['*'], routes: [\
                   { match: { connect_matcher: {} }, route: { cluster: end, timeout: 0s, \
                   upgrade_configs: [{ upgrade_type: CONNECT, connect_config: {} }] } }] }] }";
    let bootstrap = ringway_test_support::Bootstrap::new().http("main", manager);
    Proxy::start(bootstrap.cluster("end", &[origin]).to_yaml())
}

#[test]
fn a_tunnel_that_is_never_answered_is_idle() {
    let origin = RawOrigin::bind();
    if !crate::only_ringway("a time for the answer to a tunnel") {
        return;
    }
    let proxy = tunnelling(origin.address(), "", "idle_timeout: 0.3s", "");
    let mut client = connect(&proxy);
    let mut wire = origin.accept();
    wire.head().unwrap();
    assert!(is_gone(&mut client));
    wire.expect_close().unwrap();
    proxy.wait_stat("tcp.tp.idle_timeout", |count| count == 1);
    proxy.wait_stat("cluster.origin.upstream_rq_active", |count| count == 0);
}
