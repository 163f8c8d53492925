//! Upgrades and CONNECT, in every pair of versions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ringway_test_support::{
    Bootstrap, H2, Make, Origin, Proxy, RawClient, RawOrigin, Reply, Wire, h2_upstream,
};

use super::client;
use crate::bodies::rest;
use crate::only_ringway;

const UPGRADES: &str = "http.main.downstream_cx_upgrades_active";
const ASKS: &str =
    "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
const SWITCHES: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

/// Upgrades to WebSocket and CONNECT are allowed; everything goes to one origin, whose cluster has
/// these further fields.
fn tunnelling(origin: std::net::SocketAddr, manager: &str, cluster: &str) -> Proxy {
    let routes = "upgrade_configs: [{ upgrade_type: websocket }, { upgrade_type: CONNECT }]\n\
                  http2_protocol_options: { allow_connect: true }\n\
                  route_config: { virtual_hosts: [{ name: a, domains: ['*'], routes: [\
                  { match: { connect_matcher: {} }, route: { cluster: origin, upgrade_configs: \
                  [{ upgrade_type: CONNECT, connect_config: {} }] } }, \
                  { match: { prefix: / }, route: { cluster: origin, timeout: 0s } }] }] }";
    let bootstrap = Bootstrap::new().http("main", &format!("{manager}\n{routes}"));
    Proxy::start(bootstrap.cluster_with("origin", &[origin], cluster).to_yaml())
}

fn allow_connect() -> String {
    h2_upstream("allow_connect: true", "")
}

/// Opens a WebSocket with an extended CONNECT (RFC 8441).
fn extended_connect(client: &mut H2) -> u32 {
    let stream = client.next_stream();
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "test"),
        (":path", "/ws"),
    ];
    client.headers(stream, &fields, false);
    stream
}

fn read_exactly(wire: &mut Wire, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < length {
        bytes.extend(wire.read_some().unwrap_or_else(|error| {
            panic!("{length} bytes were due, {} came: {error}", bytes.len())
        }));
    }
    bytes
}

/// A server of HTTP/1 that switches, then sends back what it gets, until the proxy ends.
fn switching_origin() -> (std::net::SocketAddr, JoinHandle<usize>) {
    super::ready();
    let origin = RawOrigin::bind();
    let address = origin.address();
    let served = thread::spawn(move || {
        let mut wire = origin.accept();
        let head = wire.head().unwrap();
        assert_eq!((head.method(), head.get("upgrade")), ("GET", Some("websocket")));
        wire.send(SWITCHES).unwrap();
        let mut total = 0;
        while let Ok(bytes) = wire.read_some() {
            total += bytes.len();
            wire.send(&bytes).unwrap();
        }
        let _closed_already = wire.finish();
        total
    });
    (address, served)
}

/// The same over HTTP/2.
fn accepting_origin() -> (std::net::SocketAddr, JoinHandle<usize>) {
    super::ready();
    let origin = RawOrigin::bind();
    let address = origin.address();
    let served = thread::spawn(move || {
        // SETTINGS_ENABLE_CONNECT_PROTOCOL
        let mut server = H2::server(origin.accept(), &[(8, 1)]);
        let (stream, head) = server.accept();
        let pseudo = [":method", ":protocol", ":path"].map(|name| head.get(name));
        assert_eq!(pseudo, [Some("CONNECT"), Some("websocket"), Some("/ws")]);
        server.headers(stream, &[(":status", "200")], false);
        let mut sent = 0;
        loop {
            let so_far = server.so_far(stream);
            let piece = so_far.body[sent..].to_vec();
            sent += piece.len();
            if so_far.ended {
                let _gone = server.body(stream, &piece, true);
                return sent;
            }
            if !piece.is_empty() && server.body(stream, &piece, false).is_err()
                || so_far.reset.is_some()
                || server.take_frame().is_err()
            {
                return sent;
            }
        }
    });
    (address, served)
}

fn echoes_over_http1(proxy: &Proxy) {
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send(ASKS);
    let head = client.wire().head().unwrap();
    assert_eq!((head.status(), head.get("upgrade")), (101, Some("websocket")));
    assert_eq!(proxy.stat(UPGRADES), 1);
    for message in ["hello".to_owned(), "x".repeat(200_000)] {
        client.send(&message);
        assert!(read_exactly(client.wire(), message.len()) == message.as_bytes());
    }
    client.finish();
    client.expect_close();
    proxy.wait_stat(UPGRADES, |active| active == 0);
    assert_eq!(proxy.stat("http.main.downstream_cx_upgrades_total"), 1);
}

fn echoes_over_http2(proxy: &Proxy) {
    let mut client = client(proxy);
    client.round_trip().unwrap();
    assert_eq!(client.settings.get(&8), Some(&1));
    let stream = extended_connect(&mut client);
    assert_eq!(client.head(stream).status(), 200);
    let mut due = 0;
    for message in ["hello".to_owned(), "x".repeat(200_000)] {
        due += message.len();
        client.body(stream, message.as_bytes(), false).unwrap();
        client.until(stream, |so_far| so_far.body.len() >= due).unwrap();
    }
    match proxy.make() {
        Make::Ringway => {
            client.data(stream, b"", true);
            let answer = client.answer(stream);
            assert_eq!((answer.body.len(), answer.ended), (due, true));
        }
        // It waits for both halves to end, and never tells one of the other.
        Make::Envoy => {
            client.reset_stream(stream, 8);
        }
    }
    proxy.wait_stat(UPGRADES, |active| active == 0);
    client.round_trip().unwrap();
}

#[test]
fn websocket_between_all_versions() {
    type Start = fn() -> (std::net::SocketAddr, JoinHandle<usize>);
    let http1: Start = switching_origin;
    let http2: Start = accepting_origin;
    for (start, cluster) in [(http1, String::new()), (http2, allow_connect())] {
        for echoes in [echoes_over_http1, echoes_over_http2] {
            let (address, served) = start();
            let proxy = tunnelling(address, "", &cluster);
            echoes(&proxy);
            assert_eq!(served.join().unwrap(), 200_005);
            for gauge in ["upstream_rq_active", "upstream_cx_active"] {
                let gauge = format!("cluster.origin.{gauge}");
                let idle = u64::from(!cluster.is_empty() && gauge.contains("cx"));
                proxy.wait_stat(&gauge, |active| active <= idle);
            }
        }
    }
}

#[test]
fn connect_ends_at_an_origin_of_tcp() {
    if !only_ringway("a tunnel of which one half has ended") {
        return;
    }
    let origin = RawOrigin::bind();
    let proxy = tunnelling(origin.address(), "", "");
    let mut http1 = RawClient::connect(proxy.listener("main"));
    http1.send("CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n");
    assert_eq!(http1.wire().head().unwrap().status(), 200);
    let mut wire = origin.accept();
    http1.send("up");
    assert_eq!(read_exactly(&mut wire, 2), b"up");
    wire.send(b"down").unwrap();
    assert_eq!(read_exactly(http1.wire(), 4), b"down");
    // Half a tunnel lives on: first the origin's half ends, then ours.
    wire.finish().unwrap();
    http1.expect_close();
    http1.send("more");
    assert_eq!(read_exactly(&mut wire, 4), b"more");
    http1.finish();
    wire.expect_close().unwrap();

    let mut http2 = client(&proxy);
    let stream = http2.next_stream();
    http2.headers(stream, &[(":method", "CONNECT"), (":authority", "a:1")], false);
    assert_eq!(http2.head(stream).status(), 200);
    let mut wire = origin.accept();
    http2.data(stream, b"up", true);
    assert_eq!(read_exactly(&mut wire, 2), b"up");
    wire.expect_close().unwrap();
    wire.send(b"down").unwrap();
    drop(wire);
    let answer = http2.answer(stream);
    assert_eq!((answer.text().as_str(), answer.ended), ("down", true));
    proxy.wait_stat(UPGRADES, |active| active == 0);
    proxy.wait_stat("cluster.origin.upstream_cx_active", |active| active == 0);
}

#[test]
fn connect_is_forwarded_where_it_does_not_end() {
    let origin = RawOrigin::bind();
    let routes = "upgrade_configs: [{ upgrade_type: CONNECT }]\n\
                  route_config: { virtual_hosts: [{ name: a, domains: ['*'], routes: [\
                  { match: { connect_matcher: {} }, route: { cluster: origin } }] }] }";
    let bootstrap = Bootstrap::new().http("main", routes);
    let proxy = Proxy::start(bootstrap.cluster("origin", &[origin.address()]).to_yaml());
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send("CONNECT b:2 HTTP/1.1\r\nhost: b:2\r\n\r\n");
    let mut wire = origin.accept();
    let head = wire.head().unwrap();
    assert_eq!((head.method(), head.target()), ("CONNECT", "b:2"));
    wire.send(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    assert_eq!(client.wire().head().unwrap().status(), 200);
    client.send("up");
    assert_eq!(read_exactly(&mut wire, 2), b"up");
    wire.send(b"down").unwrap();
    assert_eq!(read_exactly(client.wire(), 4), b"down");
    drop(wire);
    client.expect_close();
}

const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nhost: a\r\n\r\n";

#[test]
fn nothing_behind_a_refused_upgrade_is_a_request() {
    let origin = Origin::start(|_| Reply::ok("served"));
    let all = "- { match: { prefix: / }, route: { cluster: origin } }";
    let bootstrap = Bootstrap::new().routes("main", all).cluster("origin", &[origin.address()]);
    let proxy = Proxy::start(bootstrap.to_yaml());
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send(format!("{ASKS}{HIDDEN}"));
    assert_eq!(client.response().status(), 403);
    client.expect_close();
    assert!(origin.requests().is_empty());
    // Nor where the origin is asked, and refuses.
    for refusal in [
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno",
        "HTTP/1.1 426 Upgrade Required\r\ncontent-length: 0\r\n\r\n",
    ] {
        let origin = Origin::start(move |_| Reply::raw(refusal).early());
        let proxy = tunnelling(origin.address(), "", "");
        let mut client = RawClient::connect(proxy.listener("main"));
        client.send(format!("{ASKS}{HIDDEN}"));
        let answer = client.response();
        assert_ne!(answer.status(), 101);
        assert!(client.try_response("GET").is_err(), "the connection ends");
        let targets: Vec<_> =
            origin.requests().iter().map(|asked| asked.message.head.target().to_owned()).collect();
        assert_eq!(targets, ["/ws"]);
        proxy.wait_stat(UPGRADES, |active| active == 0);
    }
}

#[test]
fn early_bytes_wait_for_the_answer() {
    let origin = RawOrigin::bind();
    let proxy = tunnelling(origin.address(), "", "");
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send(format!("{ASKS}early"));
    let mut wire = origin.accept();
    wire.head().unwrap();
    let transport_is_quiet = {
        wire.patience(Duration::from_millis(300)).unwrap();
        wire.read_some().is_err()
    };
    assert!(transport_is_quiet, "bytes came before the 101");
    wire.patience(ringway_test_support::PATIENCE).unwrap();
    wire.send(SWITCHES).unwrap();
    assert_eq!(client.wire().head().unwrap().status(), 101);
    assert_eq!(read_exactly(&mut wire, 5), b"early");
}

#[test]
fn an_origin_that_answers_200_has_not_upgraded() {
    let origin =
        Origin::start(|_| Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno").early());
    let proxy = tunnelling(origin.address(), "", "");
    let mut client = client(&proxy);
    let stream = extended_connect(&mut client);
    let answer = client.answer(stream);
    // To a client of RFC 8441, 200 would say that there is a WebSocket.
    assert!(answer.status() != 200 || Make::subject() == Make::Envoy, "{answer:?}");
    proxy.wait_stat(UPGRADES, |active| active == 0);
}

#[test]
fn halves_of_a_tunnel_end_in_their_time() {
    if !only_ringway("a tunnel of which one half has ended") {
        return;
    }
    let origin = RawOrigin::bind();
    let proxy = tunnelling(origin.address(), "", "");
    let mut client = client(&proxy);
    client.round_trip().unwrap();
    // The client's half first.
    let stream = extended_connect(&mut client);
    let mut wire = origin.accept();
    wire.head().unwrap();
    wire.send(SWITCHES).unwrap();
    assert_eq!(client.head(stream).status(), 200);
    client.data(stream, b"bye", true);
    assert_eq!(read_exactly(&mut wire, 3), b"bye");
    wire.expect_close().unwrap();
    wire.send(b"late").unwrap();
    drop(wire);
    let answer = client.answer(stream);
    assert_eq!((answer.text().as_str(), answer.ended, answer.reset), ("late", true, None));
    // The origin's half first.
    let stream = extended_connect(&mut client);
    let mut wire = origin.accept();
    wire.head().unwrap();
    wire.send(SWITCHES).unwrap();
    wire.send(b"bye").unwrap();
    wire.finish().unwrap();
    let answer = client.answer(stream);
    assert_eq!((answer.text().as_str(), answer.ended), ("bye", true));
    if answer.reset.is_none() {
        client.data(stream, b"late", true);
        assert_eq!(read_exactly(&mut wire, 4), b"late");
    }
    proxy.wait_stat(UPGRADES, |active| active == 0);
}

#[test]
fn a_tunnel_in_which_nothing_moves_ends() {
    let (address, _served) = switching_origin();
    let proxy = tunnelling(address, "stream_idle_timeout: 0.4s", "");
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send(ASKS);
    assert_eq!(client.wire().head().unwrap().status(), 101);
    client.send("ping");
    assert_eq!(read_exactly(client.wire(), 4), b"ping");
    client.expect_close();
    assert_eq!(proxy.stat("http.main.downstream_rq_idle_timeout"), 1);
    proxy.wait_stat(UPGRADES, |active| active == 0);
    proxy.wait_stat("cluster.origin.upstream_cx_active", |active| active == 0);
}

#[test]
fn a_tunnel_that_nobody_reads_takes_little() {
    let origin = RawOrigin::bind();
    let proxy = tunnelling(origin.address(), "", "");
    let before = proxy.resident_kib();
    let mut client = client(&proxy);
    client.opens_windows = false;
    let stream = extended_connect(&mut client);
    let mut wire = origin.accept();
    wire.head().unwrap();
    wire.send(SWITCHES).unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let sender = thread::spawn(move || {
        let piece = vec![b'p'; 64 << 10];
        while wire.send(&piece).is_ok() {
            count.fetch_add(piece.len(), Ordering::Relaxed);
        }
    });
    assert_eq!(client.head(stream).status(), 200);
    let taken = rest(&sent);
    let grown = proxy.resident_kib().saturating_sub(before);
    assert!(taken < 24 << 20 && grown < 24 << 10, "{taken} bytes taken, grown by {grown} KiB");
    client.reset_stream(stream, 8);
    sender.join().unwrap();
    proxy.wait_stat(UPGRADES, |active| active == 0);
}

#[test]
fn a_client_that_leaves_its_tunnel_leaves_nothing() {
    let (address, served) = switching_origin();
    let proxy = tunnelling(address, "", "");
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send(ASKS);
    assert_eq!(client.wire().head().unwrap().status(), 101);
    client.reset();
    served.join().unwrap();
    for gauge in [UPGRADES, "http.main.downstream_cx_active", "cluster.origin.upstream_cx_active"] {
        proxy.wait_stat(gauge, |active| active == 0);
    }
}

/// A filter that names its chain in a request field.
fn marking(chain: &str) -> String {
    format!(
        "{{ name: mark, typed_config: {{ '@type': type.googleapis.com/envoy.extensions.filters.\
         http.header_mutation.v3.HeaderMutation, mutations: {{ request_mutations: [{{ append: {{ \
         header: {{ key: x-chain, value: {chain} }} }} }}] }} }} }}"
    )
}

const ROUTER: &str = "{ name: router, typed_config: { '@type': type.googleapis.com/envoy.\
                      extensions.filters.http.router.v3.Router } }";

#[test]
fn an_upgrade_passes_its_own_filters() {
    let origin = Origin::start(|_| Reply::ok("served").early());
    // Those of a type that is switched off count where the route allows the type.
    let own = format!("[{}, {ROUTER}]", marking("own"));
    let manager = format!(
        "upgrade_configs: [{{ upgrade_type: websocket, enabled: false, filters: {own} }}, \
         {{ upgrade_type: other }}]\n\
         route_config: {{ virtual_hosts: [{{ name: a, domains: ['*'], routes: [\
         {{ match: {{ prefix: /no }}, route: {{ cluster: origin }} }}, \
         {{ match: {{ prefix: / }}, route: {{ cluster: origin, \
         upgrade_configs: [{{ upgrade_type: WebSocket }}] }} }}] }}] }}"
    );
    let bootstrap = Bootstrap::new().http("main", &manager).cluster("origin", &[origin.address()]);
    let usual = format!("http_filters:\n          - {}", marking("usual"));
    let proxy = Proxy::start(bootstrap.to_yaml().replacen("http_filters:", &usual, 1));
    let ask = |target: &str, upgrade: &str| {
        let mut client = RawClient::connect(proxy.listener("main"));
        client.send(format!("GET {target} HTTP/1.1\r\nhost: a\r\n{upgrade}\r\n"));
        client.response().status()
    };
    let websocket = "connection: upgrade\r\nupgrade: websocket\r\n";
    assert_eq!(ask("/", ""), 200);
    assert_eq!(ask("/", websocket), 200);
    assert_eq!(ask("/", "connection: upgrade\r\nupgrade: other\r\n"), 200);
    assert_eq!(ask("/no", websocket), 403);
    let chains: Vec<_> = origin
        .requests()
        .iter()
        .map(|asked| asked.message.head.get("x-chain").unwrap_or_default().to_owned())
        .collect();
    assert_eq!(chains, ["usual", "own", "usual"]);
}
