//! Bodies beyond every window, readers that are slow, and what is kept meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ringway_test_support::{
    Bootstrap, Frame, H2, HyperOrigin, Origin, RawClient, RawOrigin, Reply,
};

use super::{client, echo, serve, start, to_h2};
use crate::bodies::rest;

const MIB: usize = 1 << 20;

/// Bytes in which a lost or doubled piece shows.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
}

#[test]
fn bodies_beyond_the_windows_pass_both_ways() {
    let body = pattern(40 * MIB);
    let origin = RawOrigin::bind();
    let proxy = start(&to_h2(origin.address()).patient());
    let served = serve(origin, |_, server| echo(server).len());
    let mut h2 = client(&proxy);
    let answer = h2.post("/", &body);
    assert_eq!((answer.status(), answer.body == body), (200, true));
    let mut h1 = RawClient::connect(proxy.listener("main"));
    let small = &body[..3 * MIB];
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", small.len());
    assert!(h1.ask([head.as_bytes(), small].concat()).body == small);
    drop((h1, h2, proxy));
    assert_eq!(served.join().unwrap(), 2);
}

#[test]
fn bodies_of_many_sizes_between_the_versions() {
    let origin = Origin::named("a");
    let proxy = start(&Bootstrap::proxying_to(origin.address()).patient());
    let mut client = client(&proxy);
    for size in [0, 1, 16_383, 16_384, 16_385, 65_535, 65_536, 3_000_000] {
        for kind in ["bytes", "chunked"] {
            let answer = client.get(&format!("/{kind}/{size}"));
            assert_eq!((answer.body.len(), answer.ended), (size, true));
        }
        let body = pattern(size);
        assert_eq!(client.post("/up", &body).status(), 200);
        let received = origin.settle().pop().unwrap().message;
        assert!(received.body == body, "{size}");
    }
}

#[test]
fn hyper_takes_and_gives_bodies_beyond_its_windows() {
    let origin = HyperOrigin::start("hyper");
    let proxy = start(&to_h2(origin.address()).patient());
    let body = pattern(5 * MIB);
    let mut client = client(&proxy);
    for _ in 0..2 {
        assert!(client.post("/", &body).body == body);
    }
}

#[test]
fn many_streams_at_once() {
    let origin = HyperOrigin::start("hyper");
    let proxy = start(&to_h2(origin.address()).patient());
    let mut client = client(&proxy);
    let streams: Vec<_> =
        (0..180).map(|n| client.request("GET", &format!("/bytes/{}", n * 7), &[], true)).collect();
    for (n, stream) in streams.into_iter().enumerate() {
        let answer = client.answer(stream);
        assert_eq!((answer.status(), answer.body.len()), (200, n * 7));
    }
}

/// One stream is never read, its neighbours are; `origin` sends bodies without end on `/endless`.
fn neighbours_of_a_slow_reader(to: impl Fn(std::net::SocketAddr) -> Bootstrap) {
    let slow = RawOrigin::bind();
    let quick = Origin::named("quick");
    let bootstrap = to(slow.address()).cluster("quick", &[quick.address()]);
    let proxy = start(&bootstrap);
    let before = proxy.resident_kib();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let sender = serve(slow, move |_, mut server| {
        let (stream, _) = server.accept();
        server.headers(stream, &[(":status", "200")], false);
        let piece = pattern(16_384);
        while server.body(stream, &piece, false).is_ok() {
            count.fetch_add(piece.len(), Ordering::Relaxed);
        }
    });
    let mut client = client(&proxy);
    client.opens_windows = false;
    let stalled = client.request("GET", "/endless", &[], true);
    assert_eq!(client.head(stalled).status(), 200);
    let taken = rest(&sent);
    assert!(taken < 24 * MIB, "{taken} bytes were taken");
    // The neighbours have the connection's window to share.
    client.window_update(0, 10_000_000);
    for _ in 0..50 {
        assert_eq!(client.get("/quick").status(), 200);
    }
    let grown = proxy.resident_kib().saturating_sub(before);
    assert!(grown < 40 << 10, "the proxy grew by {grown} KiB");
    client.reset_stream(stalled, 8);
    proxy.wait_stat("http.main.downstream_rq_active", |active| active == 0);
    drop((client, proxy));
    sender.join().unwrap();
}

#[test]
fn a_slow_reader_blocks_no_neighbour() {
    neighbours_of_a_slow_reader(|slow| {
        let routes = "- { match: { prefix: /quick }, route: { cluster: quick } }\n\
                      - { match: { prefix: / }, route: { cluster: origin } }";
        Bootstrap::new().routes("main", routes).h2_cluster("origin", &[slow], "")
    });
}

#[test]
fn single_bytes_to_a_slow_origin_take_no_more_room_than_their_number() {
    let origin = RawOrigin::bind();
    let proxy = start(&to_h2(origin.address()).patient());
    let before = proxy.resident_kib();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let served = serve(origin, move |_, mut server| {
        server.opens_windows = false;
        server.accept();
        let _the_end = stopped.recv();
    });
    let mut client = client(&proxy);
    // Our window is the standard's until the proxy's SETTINGS are acknowledged.
    client.round_trip().unwrap();
    let stream = client.request("POST", "/", &[], false);
    let frame = H2::frame(0, 0, stream, b"x");
    let frames = frame.repeat(10_000);
    for _ in 0..60 {
        client.send_raw(&frames);
    }
    client.round_trip().unwrap();
    let grown = proxy.resident_kib().saturating_sub(before);
    assert!(grown < 24 << 10, "600,000 bytes took {grown} KiB");
    let so_far = client.so_far(stream);
    assert_eq!(proxy.stat("http.main.downstream_rq_active"), 1, "{so_far:?}");
    drop((client, stop, proxy));
    served.join().unwrap();
}

#[test]
fn small_chunks_to_a_slow_client_take_no_more_room_than_their_number() {
    let origin = RawOrigin::bind();
    let proxy = start(&Bootstrap::proxying_to(origin.address()).patient());
    let before = proxy.resident_kib();
    let mut client = client(&proxy);
    client.opens_windows = false;
    let stream = client.request("GET", "/", &[], true);
    let mut upstream = origin.accept();
    upstream.head().unwrap();
    upstream.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    let chunks = b"1\r\nx\r\n".repeat(1000);
    for _ in 0..400 {
        upstream.send(&chunks).unwrap();
    }
    client.head(stream);
    client.round_trip().unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    rest(&sent);
    let grown = proxy.resident_kib().saturating_sub(before);
    assert!(grown < 24 << 10, "400,000 bytes took {grown} KiB");
    client.opens_windows = true;
    client.window_update(stream, 1 << 20).window_update(0, 1 << 20);
    upstream.send(b"0\r\n\r\n").unwrap();
    assert_eq!(client.answer(stream).body.len(), 400_000);
}

#[test]
fn a_thousand_answers_that_nobody_reads() {
    let big = vec![b'b'; 4 * MIB];
    let origin = Origin::start(move |_| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", big.len());
        Reply::raw([head.as_bytes(), &big].concat())
    });
    let breakers = "circuit_breakers: { thresholds: [{ max_requests: 5000, max_connections: 5000, \
                    max_pending_requests: 5000 }] }\n";
    let all = "- { match: { prefix: / }, route: { cluster: origin } }";
    let bootstrap = Bootstrap::new().routes("main", all);
    let proxy = start(&bootstrap.cluster_with("origin", &[origin.address()], breakers));
    let before = proxy.resident_kib();
    let mut client = H2::connect(proxy.listener("main"), &[(4, 0)]);
    client.opens_windows = false;
    for _ in 0..1000 {
        client.request("GET", "/", &[], true);
    }
    proxy.wait_stat("http.main.downstream_rq_active", |active| active == 1000);
    let mut heads = 0;
    while heads < 1000 {
        heads += usize::from(matches!(client.take_frame().unwrap(), Frame::Headers { .. }));
    }
    rest(&AtomicUsize::new(0));
    let grown = proxy.resident_kib().saturating_sub(before);
    assert!(grown < 192 << 10, "the proxy grew by {grown} KiB");
    client.tear();
    proxy.wait_stat("http.main.downstream_rq_active", |active| active == 0);
    proxy.wait_stat("cluster.origin.upstream_rq_active", |active| active == 0);
}

#[test]
fn an_answer_until_close_ends_a_stream_and_no_connection() {
    let origin = RawOrigin::bind();
    let proxy = start(&Bootstrap::proxying_to(origin.address()).patient());
    let mut client = client(&proxy);
    let stream = client.request("GET", "/", &[], true);
    let mut upstream = origin.accept();
    upstream.head().unwrap();
    upstream.send(b"HTTP/1.1 200 OK\r\n\r\nuntil close").unwrap();
    upstream.finish().unwrap();
    let answer = client.answer(stream);
    assert_eq!((answer.text().as_str(), answer.ended), ("until close", true));
    client.round_trip().unwrap();
}
