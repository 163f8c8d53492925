//! Bodies of every size and framing pass unchanged, and memory stays bounded meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use ringway_test_support::{Bootstrap, Framing, Origin, Proxy, RawClient, RawOrigin, Reply, Wire};

const MIB: usize = 1 << 20;

fn proxying_to(address: std::net::SocketAddr) -> Proxy {
    Proxy::start(Bootstrap::proxying_to(address).patient().to_yaml())
}

/// Bytes in which a lost or doubled piece shows.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
}

#[test]
fn responses_of_many_sizes() {
    let origin = Origin::named("a");
    let proxy = proxying_to(origin.address());
    let mut client = RawClient::connect(proxy.listener("main"));
    for size in [0, 1, 100, 4095, 4096, 4097, 16_384, 65_535, 65_536, 65_537, 1_000_000] {
        let sized = client.get(&format!("/bytes/{size}"));
        assert_eq!((sized.framing, sized.body.len()), (Framing::Length(size), size));
        let chunked = client.get(&format!("/chunked/{size}"));
        assert_eq!((chunked.framing, chunked.body.len()), (Framing::Chunked, size));
        assert_eq!(sized.body, chunked.body);
    }
}

#[test]
fn requests_of_many_sizes() {
    let origin = Origin::start(|_| Reply::ok("ok"));
    let proxy = proxying_to(origin.address());
    let mut client = RawClient::connect(proxy.listener("main"));
    for size in [0, 1, 4096, 65_536, 65_537, 3_000_000] {
        let body = pattern(size);
        let head = format!("POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: {size}\r\n\r\n");
        assert_eq!(client.ask([head.as_bytes(), &body].concat()).status(), 200);
        let received = &origin.settle()[0].message;
        assert_eq!((received.framing, &received.body), (Framing::Length(size), &body));

        let mut chunked =
            b"POST /up HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for chunk in body.chunks(7777) {
            chunked.extend(format!("{:x}\r\n", chunk.len()).bytes());
            chunked.extend(chunk);
            chunked.extend(b"\r\n");
        }
        chunked.extend(b"0\r\n\r\n");
        assert_eq!(client.ask(chunked).status(), 200);
        let received = &origin.settle()[0].message;
        assert_eq!((received.framing, &received.body), (Framing::Chunked, &body));
    }
}

/// A buffer that is larger than what may wait stops reading, and its send alone starts it again.
#[test]
fn large_bodies_pass_small_buffer_limits() {
    let origin = Origin::named("a");
    for limit in [1024, 32_768] {
        let limit = format!("per_connection_buffer_limit_bytes: {limit}");
        let yaml = Bootstrap::proxying_to(origin.address()).to_yaml();
        let yaml = yaml.replace("- name: main\n", &format!("- name: main\n    {limit}\n"));
        let yaml = yaml.replace("type: STATIC", &format!("type: STATIC\n    {limit}"));
        assert_eq!(yaml.matches(&limit).count(), 2);
        let proxy = Proxy::start(yaml);
        let mut client = RawClient::connect(proxy.listener("main"));
        assert_eq!(client.get("/bytes/2000000").body.len(), 2_000_000);
        let body = pattern(2 * MIB);
        client.send(format!("POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", 2 * MIB));
        assert_eq!(client.send(&body).response_to("POST").status(), 200);
        let requests = origin.requests();
        assert!(requests.last().unwrap().message.body == body, "the body differs");
    }
}

#[test]
fn a_body_streams_before_it_is_complete() {
    let origin = RawOrigin::bind();
    let proxy = proxying_to(origin.address());
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n");
    let mut upstream = origin.accept();
    upstream.head().unwrap();
    expect(&mut upstream, "3\r\none\r\n");
    upstream.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n").unwrap();
    assert_eq!(client.wire().head().unwrap().status(), 200);
    expect(client.wire(), "4\r\nfour\r\n");
    client.send("3\r\ntwo\r\n");
    expect(&mut upstream, "3\r\ntwo\r\n");
    upstream.send(b"4\r\nfive\r\n").unwrap();
    expect(client.wire(), "4\r\nfive\r\n");
    client.send("0\r\n\r\n");
    expect(&mut upstream, "0\r\n\r\n");
    upstream.send(b"0\r\n\r\n").unwrap();
    expect(client.wire(), "0\r\n\r\n");
}

fn expect(wire: &mut Wire, text: &str) {
    let mut got = Vec::new();
    while got.len() < text.len() {
        got.extend(wire.read_some().unwrap_or_else(|error| panic!("{text:?} was due: {error}")));
    }
    assert_eq!(String::from_utf8_lossy(&got), text);
}

/// Waits until a counter rests for a tenth of a second.
pub(crate) fn rest(counter: &AtomicUsize) -> usize {
    let mut last = counter.load(Ordering::Relaxed);
    let mut same = 0;
    while same < 10 {
        thread::sleep(Duration::from_millis(10));
        let now = counter.load(Ordering::Relaxed);
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    last
}

/// What the kernel's buffers of two connections and the proxy's own may take of a body that nobody
/// reads. Loopback buffers grow to 6 MiB for receiving and 4 for sending.
const IN_FLIGHT: usize = 24 * MIB;
const BODY: usize = 96 * MIB;

const DOWNSTREAM_PAUSED: &str = "http.main.downstream_flow_control_paused_reading_total";
const DOWNSTREAM_RESUMED: &str = "http.main.downstream_flow_control_resumed_reading_total";
const UPSTREAM_PAUSED: &str = "cluster.origin.upstream_flow_control_paused_reading_total";
const UPSTREAM_RESUMED: &str = "cluster.origin.upstream_flow_control_resumed_reading_total";
const BACKED_UP: &str = "cluster.origin.upstream_flow_control_backed_up_total";
const DRAINED: &str = "cluster.origin.upstream_flow_control_drained_total";

#[test]
fn a_slow_reader_stops_the_origin_and_memory_stays_bounded() {
    let origin = RawOrigin::bind();
    let proxy = proxying_to(origin.address());
    let before = proxy.resident_kib();
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head().unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let sender = thread::spawn(move || {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY}\r\n\r\n");
        upstream.send(head.as_bytes()).unwrap();
        let piece = pattern(64 << 10);
        for _ in 0..BODY / piece.len() {
            upstream.send(&piece).unwrap();
            count.fetch_add(piece.len(), Ordering::Relaxed);
        }
    });
    assert_eq!(client.wire().head().unwrap().status(), 200);
    let taken = rest(&sent);
    assert!(taken < IN_FLIGHT, "{taken} bytes were taken from the origin, none was read");
    assert!(proxy.stat(UPSTREAM_PAUSED) > proxy.stat(UPSTREAM_RESUMED), "reading has stopped");
    let grown = proxy.resident_kib().saturating_sub(before);
    assert!(grown < 16 << 10, "the proxy grew by {grown} KiB");

    let framing = Framing::Length(BODY);
    let message = client.wire().rest(ringway_test_support::Head::default(), framing);
    assert_eq!((message.cut, message.body.len()), (None, BODY));
    let piece = pattern(64 << 10);
    assert!(message.body.chunks(64 << 10).all(|chunk| chunk == piece), "the body changed");
    sender.join().unwrap();
    // Envoy does not go on where the last pause comes after the end of the response.
    let (paused, resumed) = (proxy.stat(UPSTREAM_PAUSED), proxy.stat(UPSTREAM_RESUMED));
    assert!((1..=resumed + 1).contains(&paused), "{paused} pauses, {resumed} ends of them");
    assert_eq!(proxy.stat(DOWNSTREAM_PAUSED), 0);
    let grown = proxy.resident_kib().saturating_sub(before);
    assert!(grown < 16 << 10, "the proxy grew by {grown} KiB");
}

#[test]
fn a_slow_origin_stops_the_client_and_memory_stays_bounded() {
    let origin = RawOrigin::bind();
    let proxy = proxying_to(origin.address());
    let before = proxy.resident_kib();
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {BODY}\r\n\r\n"));
    let mut upstream = origin.accept();
    let head = upstream.head().unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let sender = thread::spawn(move || {
        let piece = pattern(64 << 10);
        for _ in 0..BODY / piece.len() {
            client.send(&piece);
            count.fetch_add(piece.len(), Ordering::Relaxed);
        }
        client
    });
    let taken = rest(&sent);
    assert!(taken < IN_FLIGHT, "{taken} bytes were taken from the client, none was read");
    let stats = |names: [&str; 2]| names.map(|name| proxy.stat(name));
    let [paused, resumed] = stats([DOWNSTREAM_PAUSED, DOWNSTREAM_RESUMED]);
    assert!(paused > resumed, "{paused} pauses, {resumed} ends of them");
    assert_eq!(stats([BACKED_UP, DRAINED]), [paused, resumed]);
    let grown = proxy.resident_kib().saturating_sub(before);
    assert!(grown < 16 << 10, "the proxy grew by {grown} KiB");
    let message = upstream.rest(head, Framing::Length(BODY));
    assert_eq!((message.cut, message.body.len()), (None, BODY));
    let [paused, resumed] = stats([DOWNSTREAM_PAUSED, DOWNSTREAM_RESUMED]);
    assert_eq!(paused, resumed, "reading goes on");
    assert_eq!(stats([BACKED_UP, DRAINED]), [paused, resumed]);
    assert_eq!(proxy.stat(UPSTREAM_PAUSED), 0);
    let mut client = sender.join().unwrap();
    upstream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    assert_eq!(client.response().status(), 200);
}

#[test]
fn head_has_the_length_and_no_body() {
    let origin = Origin::named("a");
    let proxy = proxying_to(origin.address());
    let mut client = RawClient::connect(proxy.listener("main"));
    let head = client.ask("HEAD /bytes/5000 HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!((head.status(), head.head.get("content-length")), (200, Some("5000")));
    assert_eq!(client.get("/bytes/5").text(), "abcde");
}
