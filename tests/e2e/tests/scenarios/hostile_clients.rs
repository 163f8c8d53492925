//! Clients that mean harm, or only behave so, cost the others nothing and leave nothing behind.

use std::net::TcpStream;
use std::time::Duration;

use ringway_test_support::{Bootstrap, Origin, Proxy, RawClient};

fn serving() -> (Origin, Proxy) {
    let origin = Origin::named("a");
    let proxy = Proxy::start(Bootstrap::proxying_to(origin.address()).to_yaml());
    // The first request opens what stays open.
    assert_eq!(RawClient::connect(proxy.listener("main")).get("/").status(), 200);
    proxy.wait_stat("http.main.downstream_cx_active", |active| active == 0);
    (origin, proxy)
}

/// Sends until the proxy takes no more; gives how much it took.
fn stuff(socket: &TcpStream, request: &[u8], most: usize) -> usize {
    use std::io::Write;
    // Nobody reads, so a write that waits this long waits for ever.
    socket.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let piece = request.repeat(64 * 1024 / request.len());
    let mut taken = 0;
    let mut out = socket;
    while taken < most {
        match out.write(&piece) {
            Ok(length) => taken += length,
            Err(_) => break,
        }
    }
    taken
}

#[test]
fn pipelining_without_reading_the_answers() {
    let (_origin, proxy) = serving();
    let before = proxy.resident_kib();
    let socket = TcpStream::connect(proxy.listener("main")).unwrap();
    const MOST: usize = 64 << 20;
    let taken = stuff(&socket, b"GET /bytes/10000 HTTP/1.1\r\nhost: a\r\n\r\n", MOST);
    assert!(taken < MOST, "{taken} bytes of requests were taken");
    let grown = proxy.resident_kib().saturating_sub(before);
    assert!(grown < 24 << 10, "the proxy grew by {grown} KiB");
    assert_eq!(RawClient::connect(proxy.listener("main")).get("/").status(), 200);
    drop(socket);
    proxy.wait_stat("http.main.downstream_cx_active", |active| active <= 1);
}

#[test]
fn heads_that_never_end() {
    let (_origin, proxy) = serving();
    let idle = proxy.descriptors();
    let slow: Vec<RawClient> = (0..200)
        .map(|number| {
            let mut client = RawClient::connect(proxy.listener("main"));
            client.send(format!("GET /{number} HTTP/1.1\r\nhost: a\r\nx-slow: "));
            client
        })
        .collect();
    proxy.wait_stat("http.main.downstream_cx_active", |active| active == 200);
    let mut other = RawClient::connect(proxy.listener("main"));
    for _ in 0..20 {
        assert_eq!(other.get("/").status(), 200);
    }
    drop(other);
    slow.into_iter().for_each(RawClient::reset);
    proxy.wait_stat("http.main.downstream_cx_active", |active| active == 0);
    proxy.wait_descriptors(idle);
}

#[test]
fn a_head_without_end_in_small_pieces_is_cut_off() {
    let (_origin, proxy) = serving();
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send("GET / HTTP/1.1\r\nhost: a\r\n");
    for number in 0..4000 {
        client.send_anyway(format!("x-{number}: {}\r\n", "v".repeat(50)));
    }
    let refused = client.try_response("GET").map(|response| response.status());
    assert!(matches!(refused, Ok(431) | Err(_)), "{refused:?}");
    assert_eq!(RawClient::connect(proxy.listener("main")).get("/").status(), 200);
}

#[test]
fn connections_that_come_and_go_leave_nothing_open() {
    let (origin, proxy) = serving();
    let idle = proxy.descriptors();
    for number in 0..300 {
        let mut client = RawClient::connect(proxy.listener("main"));
        match number % 5 {
            0 => drop(client),
            1 => client.reset(),
            2 => assert_eq!(client.get("/").status(), 200),
            3 => {
                client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf");
                client.reset();
            }
            _ => {
                client.send("GET /bytes/3000000 HTTP/1.1\r\nhost: a\r\n\r\n");
                let _begun = client.wire().read_some();
                client.reset();
            }
        }
    }
    proxy.wait_stat("http.main.downstream_cx_active", |active| active == 0);
    proxy.wait_stat("cluster.origin.upstream_rq_active", |active| active == 0);
    // One pooled connection at the most came to what was open before.
    proxy.wait_descriptors(idle + 1);
    assert_eq!(RawClient::connect(proxy.listener("main")).get("/").status(), 200);
    assert!(origin.connections() >= 60);
}

#[test]
fn random_bytes_never_reach_an_origin() {
    let (origin, proxy) = serving();
    origin.settle();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..200 {
        let length = next() as usize % 2000 + 1;
        let bytes: Vec<u8> = (0..length).map(|_| next() as u8).collect();
        let mut client = RawClient::connect(proxy.listener("main"));
        client.send_anyway(&bytes);
        let _gone = client.wire().finish();
        let answered = client.try_response("GET").map(|response| response.status());
        assert!(matches!(answered, Err(_) | Ok(400..=599)), "{answered:?} to {bytes:?}");
    }
    assert_eq!(origin.settle().len(), 0);
    assert_eq!(RawClient::connect(proxy.listener("main")).get("/").status(), 200);
}
