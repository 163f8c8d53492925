//! The UDP proxy through another proxy (`tunneling_config`, RFC 9298), over HTTP/1.1 and HTTP/2.

use std::net::SocketAddr;

use ringway_test_support::{Bootstrap, H2, Proxy, RawOrigin, Wire, h2_upstream};

use super::udp_proxy::{NOTHING, Peer, bootstrap, start};
use crate::only_ringway;

const CAPSULES: &str = "session_filters: [{ name: c, typed_config: { '@type': \
                        type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.session.\
                        http_capsule.v3.FilterConfig } }]\n";
const BUFFER: &str = "buffer_options: {}";
/// SETTINGS_ENABLE_CONNECT_PROTOCOL.
const CONNECTS: &[(u16, u32)] = &[(8, 1)];

/// A UDP proxy that asks this one for tunnels; with these fields of `tunneling_config`, of the
/// filter and of the cluster.
fn tunnelling(to: SocketAddr, tunneling: &str, fields: &str, cluster: &str) -> Proxy {
    tunnelling_to("t.example", to, tunneling, fields, cluster)
}

fn tunnelling_to(
    target: &str,
    to: SocketAddr,
    tunneling: &str,
    fields: &str,
    cluster: &str,
) -> Proxy {
    let tunneling = format!(
        "cluster: origin\ntunneling_config: {{ proxy_host: proxy.example, target_host: '{target}', \
         default_target_port: 443, headers_to_add: [{{ header: {{ key: x-port, value: \
         '%DOWNSTREAM_LOCAL_PORT%' }} }}], {tunneling} }}\n{fields}"
    );
    start(&bootstrap(&tunneling).cluster_with("origin", &[to], cluster))
}

const ACCEPTED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: \
                          connect-udp\r\ncapsule-protocol: ?1\r\n\r\n";

fn exactly(wire: &mut Wire, bytes: &[u8]) {
    let mut came = Vec::new();
    while came.len() < bytes.len() {
        came.extend(wire.read_some().expect("more bytes"));
    }
    assert_eq!(came, bytes);
}

#[test]
fn datagrams_are_capsules_of_an_upgrade() {
    let origin = RawOrigin::bind();
    let proxy = tunnelling(origin.address(), BUFFER, CAPSULES, "");
    let client = Peer::new();
    client.send("hello", proxy.listener("main"));
    let mut wire = origin.accept();
    let head = wire.head().unwrap();
    assert_eq!((head.method(), head.target()), ("GET", "/.well-known/masque/udp/t.example/443/"));
    assert_eq!(head.get("host"), Some("proxy.example"));
    assert_eq!(head.get("upgrade"), Some("connect-udp"));
    assert_eq!(head.get("capsule-protocol"), Some("?1"));
    assert_eq!(head.get("x-port"), Some(&*proxy.listener("main").port().to_string()));
    wire.send(ACCEPTED).unwrap();
    exactly(&mut wire, b"\x00\x06\x00hello");
    client.send("", proxy.listener("main"));
    exactly(&mut wire, b"\x00\x01\x00");
    // One that is cut, one behind a capsule of another type, and one of another context.
    wire.send(b"\x00\x04\x00on").unwrap();
    wire.send(b"e\x21\x02xx\x00\x04\x00two\x00\x03\x02no\x00\x01\x00").unwrap();
    for expected in ["one", "two", ""] {
        assert_eq!(client.receive().0, expected.as_bytes());
    }
    proxy.wait_stat("udp.up.downstream_sess_tx_datagrams", |count| count == 3);
    assert_eq!(proxy.stat("cluster.origin.udp.sess_tunnel_success"), 1);
    assert_eq!(proxy.stat("cluster.origin.udp.sess_tx_datagrams"), 0);
    assert_eq!(proxy.stat("udp.up.downstream_sess_rx_datagrams"), 2);
    // The tunnel ends, and with it the session; the next datagram opens another one.
    drop(wire);
    proxy.wait_stat("udp.up.downstream_sess_active", |count| count == 0);
    client.send("again", proxy.listener("main"));
    let mut wire = origin.accept();
    wire.head().unwrap();
    wire.send(ACCEPTED).unwrap();
    exactly(&mut wire, b"\x00\x06\x00again");
}

/// Each session is a stream of one connection.
#[test]
fn tunnels_share_an_http2_connection() {
    let origin = RawOrigin::bind();
    let http2 = h2_upstream("", "");
    let more = format!("{BUFFER}, proxy_port: 8443");
    let fields = format!("{CAPSULES}idle_timeout: 1s");
    let proxy = tunnelling_to("fe80::1", origin.address(), &more, &fields, &http2);
    let clients = [Peer::new(), Peer::new()];
    clients[0].send("a0", proxy.listener("main"));
    let mut server = H2::server(origin.accept(), CONNECTS);
    for (index, client) in clients.iter().enumerate() {
        if index > 0 {
            client.send(format!("a{index}"), proxy.listener("main"));
        }
        let (stream, head) = server.accept();
        assert_eq!(head.get(":method"), Some("CONNECT"));
        assert_eq!(head.get(":protocol"), Some("connect-udp"));
        assert_eq!(head.get(":authority"), Some("proxy.example:8443"));
        assert_eq!(head.get(":path"), Some("/.well-known/masque/udp/fe80%3A%3A1/443/"));
        server.headers(stream, &[(":status", "200"), ("capsule-protocol", "?1")], false);
        server.data(stream, format!("\0\u{3}\0b{index}").as_bytes(), false);
        assert_eq!(client.receive().0, format!("b{index}").as_bytes());
        let said = server.until(stream, |message| message.body.len() >= 5).unwrap();
        assert_eq!(said.body, format!("\0\u{3}\0a{index}").as_bytes());
    }
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_total"), 1);
    assert_eq!(proxy.stat("cluster.origin.upstream_rq_total"), 2);
    proxy.wait_stat("udp.up.idle_timeout", |count| count == 2);
    proxy.wait_file("sessions.log", |log| log.matches(" SI ").count() == 2);
}

/// A proxy that refuses is asked so many times; then the session ends, and what waits is lost.
#[test]
fn a_refusal_ends_the_session() {
    let origin = RawOrigin::bind();
    let retries = format!("{BUFFER}, retry_options: {{ max_connect_attempts: 2 }}");
    let proxy = tunnelling(origin.address(), &retries, CAPSULES, "");
    Peer::new().send("hello", proxy.listener("main"));
    for _ in 0..2 {
        let mut wire = origin.accept();
        wire.head().unwrap();
        wire.send(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").unwrap();
    }
    proxy.wait_stat("cluster.origin.udp.sess_tunnel_failure", |count| count == 1);
    proxy.wait_stat("udp.up.downstream_sess_active", |count| count == 0);
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_connect_attempts_exceeded"), 1);
    proxy.wait_file("sessions.log", |log| log.contains(" UF,URX "));
}

/// What comes before the tunnel is there waits within `buffer_options`; without, it is lost.
#[test]
fn datagrams_wait_for_the_tunnel_within_bounds() {
    let passes = |more: &str, expected: &[u8], overflow: u64| {
        let origin = RawOrigin::bind();
        let proxy = tunnelling(origin.address(), more, CAPSULES, "");
        let client = Peer::new();
        for payload in ["1", "22", "333"] {
            client.send(payload, proxy.listener("main"));
        }
        proxy.wait_stat("udp.up.downstream_sess_rx_datagrams", |count| count == 3);
        let mut wire = origin.accept();
        wire.head().unwrap();
        wire.send(ACCEPTED).unwrap();
        proxy.wait_stat("cluster.origin.udp.sess_tunnel_success", |count| count == 1);
        client.send("end", proxy.listener("main"));
        exactly(&mut wire, &[expected, b"\0\x04\0end"].concat());
        assert_eq!(proxy.stat("cluster.origin.udp.sess_tunnel_buffer_overflow"), overflow);
    };
    passes(BUFFER, b"\0\x02\x001\0\x03\x0022\0\x04\x00333", 0);
    passes("buffer_options: { max_buffered_datagrams: 2 }", b"\0\x02\x001\0\x03\x0022", 1);
    passes("buffer_options: { max_buffered_bytes: 9 }", b"\0\x02\x001\0\x03\x0022", 1);
    passes("", b"", 0);
}

/// `use_post`, and bytes as they are where no filter makes capsules of them.
#[test]
fn a_post_without_capsules() {
    let origin = RawOrigin::bind();
    let post = format!("{BUFFER}, use_post: true, post_path: /udp");
    let proxy = tunnelling(origin.address(), &post, "", &h2_upstream("", ""));
    let client = Peer::new();
    client.send("hello", proxy.listener("main"));
    let mut server = H2::server(origin.accept(), &[]);
    let (stream, head) = server.accept();
    assert_eq!((head.get(":method"), head.get(":path")), (Some("POST"), Some("/udp")));
    assert_eq!(head.get("capsule-protocol"), None);
    server.headers(stream, &[(":status", "200")], false);
    let said = server.until(stream, |message| message.body.len() >= 5).unwrap();
    assert_eq!(said.body, b"hello");
    server.data(stream, b"and back", false);
    assert_eq!(client.receive().0, b"and back");
}

/// A proxy between passes the request and its capsules on (`upgrade_type: CONNECT-UDP`).
#[test]
fn a_proxy_between_passes_capsules_on() {
    let origin = RawOrigin::bind();
    let between = Bootstrap::new().http(
        "main",
        "http2_protocol_options: { allow_connect: true }\nupgrade_configs: [{ upgrade_type: \
         CONNECT-UDP }]\nroute_config:\n  name: r\n  virtual_hosts:\n  - name: v\n    domains: \
         ['*']\n    routes: [{ match: { connect_matcher: {} }, route: { cluster: origin } }]\n",
    );
    let between = Proxy::start(between.cluster("origin", &[origin.address()]).to_yaml());
    let http2 = h2_upstream("", "");
    let proxy = tunnelling(between.listener("main"), BUFFER, CAPSULES, &http2);
    let client = Peer::new();
    client.send("hello", proxy.listener("main"));
    let mut wire = origin.accept();
    let head = wire.head().unwrap();
    assert_eq!(head.target(), "/.well-known/masque/udp/t.example/443/");
    assert_eq!(head.get("upgrade"), Some("connect-udp"));
    wire.send(ACCEPTED).unwrap();
    exactly(&mut wire, b"\x00\x06\x00hello");
    wire.send(b"\x00\x05\x00back").unwrap();
    assert_eq!(client.receive().0, b"back");
}

/// A peer that breaks the rules of capsules loses its tunnel.
#[test]
fn what_is_no_capsule_ends_the_tunnel() {
    if !only_ringway("the end of such a tunnel") {
        return;
    }
    let origin = RawOrigin::bind();
    let proxy = tunnelling(origin.address(), BUFFER, CAPSULES, "");
    let client = Peer::new();
    client.send("hello", proxy.listener("main"));
    let mut wire = origin.accept();
    wire.head().unwrap();
    wire.send(ACCEPTED).unwrap();
    exactly(&mut wire, b"\x00\x06\x00hello");
    wire.send(b"\x00\xbf\xff\xff\xff\x00").unwrap();
    wire.expect_close().unwrap();
    proxy.wait_stat("udp.up.downstream_sess_active", |count| count == 0);
    assert_eq!(client.receive_within(NOTHING), None);
}
