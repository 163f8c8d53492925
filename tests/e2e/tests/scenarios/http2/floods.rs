//! Floods and bombs, each by the name that it is known by: the connection ends, it is counted, and
//! memory stays where it was.

use ringway_test_support::{Bootstrap, H2, Make, Origin, Proxy, RawClient, Reply, kind};

use super::{client, start};

/// So it stands in the documentation of Envoy's `stream_reset_burst`.
const INTERNAL_ERROR: u32 = 2;
/// What a flood may leave in memory: buffers of a connection and of the allocator.
const KEPT_KIB: u64 = 16 << 10;

fn target() -> (Origin, Proxy) {
    let origin = Origin::start(|_| Reply::silence());
    let proxy = start(&Bootstrap::proxying_to(origin.address()));
    assert_eq!(
        RawClient::connect(proxy.listener("main")).ask("GET / HTTP/1.1\r\n\r\n").status(),
        400
    );
    (origin, proxy)
}

/// Sends the same bytes until the connection ends or they were sent `most` times; then it must
/// end, with that counter.
fn flood(counter: &str, most: usize, prepare: impl FnOnce(&mut H2) -> Vec<u8>) -> Proxy {
    let (origin, proxy) = target();
    let before = proxy.resident_kib();
    let mut client = client(&proxy);
    client.round_trip().unwrap();
    let bytes = prepare(&mut client);
    for _ in 0..most {
        if !client.try_send(&bytes) {
            break;
        }
    }
    ends(&proxy, &mut client, counter, before);
    drop(origin);
    proxy
}

fn ends(proxy: &Proxy, client: &mut H2, counter: &str, before: u64) {
    client.expect_end();
    let grown = proxy.resident_kib().saturating_sub(before);
    assert!(grown < KEPT_KIB, "the proxy grew by {grown} KiB");
    // Envoy ends some of these connections without counting why.
    let counted = proxy.stat(counter) >= 1 || Make::subject() == Make::Envoy;
    assert!(counted, "{counter}:\n{}", proxy.admin("/stats?filter=http2").text());
    for gauge in ["downstream_cx_active", "downstream_rq_active"] {
        proxy.wait_stat(&format!("http.main.{gauge}"), |active| active == 0);
    }
    proxy.wait_stat("http2.streams_active", |active| active == 0);
}

#[test]
fn cve_2023_44487_rapid_reset() {
    let (origin, proxy) = target();
    let before = proxy.resident_kib();
    let mut client = client(&proxy);
    client.round_trip().unwrap();
    for _ in 0..5_000 {
        let stream = client.request("GET", "/", &[], true);
        client.reset_stream(stream, 8);
    }
    ends(&proxy, &mut client, "http2.rx_reset", before);
    // Envoy's end of the connection overtakes its GOAWAY.
    let code = client.goaways.first().map(|goaway| goaway.1);
    assert!(code == Some(INTERNAL_ERROR) || Make::subject() == Make::Envoy, "{code:?}");
    assert!(proxy.stat("http.main.downstream_rq_total") < 2_000);
    drop(origin);
    proxy.wait_stat("cluster.origin.upstream_rq_active", |active| active == 0);
}

#[test]
fn cve_2025_8671_made_you_reset() {
    let (_origin, proxy) = target();
    let before = proxy.resident_kib();
    let mut client = client(&proxy);
    client.round_trip().unwrap();
    for _ in 0..5_000 {
        let stream = client.request("GET", "/", &[], true);
        // Data behind the end is an error of its stream: the proxy is made to reset it.
        client.data(stream, b"x", false);
    }
    ends(&proxy, &mut client, "http.main.downstream_cx_protocol_error", before);
    assert!(proxy.stat("http.main.downstream_rq_total") < 2_000);
}

#[test]
fn cve_2024_27316_continuations_without_end() {
    let (_origin, proxy) = target();
    let before = proxy.resident_kib();
    let mut client = client(&proxy);
    let stream = client.next_stream();
    let block = client.block(&[(":method", "GET"), (":scheme", "http"), (":path", "/")]);
    client.send(kind::HEADERS, kind::END_STREAM, stream, &block);
    // Literals that are never indexed.
    let literal = [&[0x10, 1, b'x', 100][..], &[b'y'; 100]].concat().repeat(100);
    let frame = H2::frame(kind::CONTINUATION, 0, stream, &literal);
    while client.try_send(&frame) {}
    ends(&proxy, &mut client, "http.main.downstream_cx_protocol_error", before);
}

#[test]
fn cve_2019_9512_pings() {
    flood("http2.outbound_control_flood", 400, |_| {
        H2::frame(kind::PING, 0, 0, b"flooding").repeat(10_000)
    });
}

#[test]
fn cve_2019_9515_settings() {
    flood("http2.outbound_control_flood", 400, |_| {
        H2::frame(kind::SETTINGS, 0, 0, &[]).repeat(10_000)
    });
}

#[test]
fn cve_2019_9518_empty_frames() {
    flood("http2.inbound_empty_frames_flood", 10, |client| {
        let stream = client.request("POST", "/", &[], false);
        H2::frame(kind::DATA, 0, stream, &[]).repeat(1_000)
    });
}

#[test]
fn cve_2019_9513_priorities() {
    flood("http2.inbound_priority_frames_flood", 100, |client| {
        let stream = client.request("POST", "/", &[], false);
        H2::frame(kind::PRIORITY, 0, stream, &[0, 0, 0, 0, 1]).repeat(1_000)
    });
}

#[test]
fn window_updates_without_end() {
    flood("http2.inbound_window_update_frames_flood", 100, |client| {
        let stream = client.request("POST", "/", &[], false);
        H2::frame(kind::WINDOW_UPDATE, 0, stream, &[0, 0, 0, 1]).repeat(1_000)
    });
}

#[test]
fn cve_2016_6581_a_small_block_that_is_a_large_head() {
    let (_origin, proxy) = target();
    let before = proxy.resident_kib();
    let mut client = client(&proxy);
    client.round_trip().unwrap();
    // One entry of 4,000 bytes in the dynamic table, then 4,000 references to it: 16 MB.
    let mut block = client.block(&[(":method", "GET"), (":scheme", "http"), (":path", "/")]);
    block.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    block.extend([b'y'; 4_000]);
    block.extend([0xbe; 4_000]);
    let stream = client.next_stream();
    client.send(kind::HEADERS, kind::END_STREAM | kind::END_HEADERS, stream, &block);
    let outcome = client.try_answer(stream);
    let refused = !outcome.is_ok_and(|answer| answer.status() == 200);
    let grown = proxy.resident_kib().saturating_sub(before);
    assert!(refused && grown < KEPT_KIB, "the proxy grew by {grown} KiB");
    proxy.wait_stat("http.main.downstream_rq_active", |active| active == 0);
}

#[test]
fn crumbs_of_a_cookie_without_end() {
    let (_origin, proxy) = target();
    let before = proxy.resident_kib();
    let mut client = client(&proxy);
    client.round_trip().unwrap();
    // Indexed crumbs of one byte on the wire each.
    let mut block = client.block(&[(":method", "GET"), (":scheme", "http"), (":path", "/")]);
    block.extend([0x60, 0x7f, 0xf1, 0x0e]);
    block.extend([b'c'; 2_032]);
    block.extend([0xbe; 10_000]);
    let stream = client.next_stream();
    client.send(kind::HEADERS, kind::END_STREAM | kind::END_HEADERS, stream, &block);
    let outcome = client.try_answer(stream);
    let refused = !outcome.is_ok_and(|answer| answer.status() == 200);
    let grown = proxy.resident_kib().saturating_sub(before);
    assert!(refused && grown < KEPT_KIB, "the proxy grew by {grown} KiB");
}

#[test]
fn a_peer_that_reads_nothing_while_it_asks_for_answers() {
    let (_origin, proxy) = target();
    let before = proxy.resident_kib();
    let mut client = client(&proxy);
    let pings = H2::frame(kind::PING, 0, 0, b"flooding").repeat(1_000);
    while client.try_send(&pings) {}
    let grown = proxy.resident_kib().saturating_sub(before);
    assert!(grown < KEPT_KIB, "the proxy grew by {grown} KiB");
    let counted = proxy.stat("http2.outbound_control_flood") == 1;
    assert!(counted || Make::subject() == Make::Envoy);
}
