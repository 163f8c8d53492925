//! Whatever becomes of a stream, nothing of it stays, on either side: gauges return to zero, units
//! of the circuit breakers come back, and the next stream is served, on the same connections where
//! they live on.

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use ringway_test_support::{Bootstrap, Frame, H2, Origin, Proxy, RawOrigin, Reply, h2_upstream};

use super::{client, ready, start};

/// Two of everything: one unit that is lost shows at once.
const TIGHT: &str = "circuit_breakers: { thresholds: [{ max_requests: 2, max_connections: 2, \
                     max_pending_requests: 2 }] }\n";
const ROUTES: &str = "- { match: { prefix: /slow }, route: { cluster: origin, timeout: 0.05s } }\n\
                      - { match: { prefix: / }, route: { cluster: origin } }";

fn to_h1(origin: &Origin) -> Proxy {
    let bootstrap = Bootstrap::new().routes("main", ROUTES);
    start(&bootstrap.cluster_with("origin", &[origin.address()], TIGHT))
}

fn to_h2(origin: SocketAddr) -> Proxy {
    let options = h2_upstream("", "");
    let bootstrap = Bootstrap::new().routes("main", ROUTES);
    start(&bootstrap.cluster_with("origin", &[origin], &format!("{options}{TIGHT}")))
}

/// Waits until nothing is under way.
fn expect_rest(proxy: &Proxy) {
    for gauge in [
        "http.main.downstream_rq_active",
        "cluster.origin.upstream_rq_active",
        "cluster.origin.upstream_rq_pending_active",
        "http2.streams_active",
        "http2.pending_send_bytes",
    ] {
        proxy.wait_stat(gauge, |active| active == 0);
    }
}

/// Both units of each breaker are there: two requests at once, one after the other's head.
fn expect_room(proxy: &Proxy) {
    let mut client = client(proxy);
    let streams = [0, 1].map(|_| client.request("POST", "/well", &[], false));
    proxy.wait_stat("cluster.origin.upstream_rq_active", |active| active == 2);
    for stream in streams {
        client.data(stream, b"ok", true);
        assert_eq!(client.answer(stream).text(), "well");
    }
    drop(client);
    proxy.wait_stat("http.main.downstream_cx_http2_active", |active| active == 0);
    expect_rest(proxy);
    let endpoint = proxy.admin("/clusters").text();
    assert!(endpoint.contains("::rq_active::0"), "{endpoint}");
}

/// How the client behaves, on a connection that lives on if it gives it back.
type Play = fn(&Proxy, H2) -> Option<H2>;

/// Plays the same several times against an HTTP/1 origin, and asks that nothing is left.
fn repeat(reply: Reply, play: Play) {
    let origin = Origin::start(|_| Reply::ok("well"));
    let proxy = to_h1(&origin);
    assert_eq!(client(&proxy).get("/").status(), 200);
    proxy.wait_stat("http.main.downstream_cx_active", |active| active == 0);
    let idle = proxy.descriptors();
    let mut kept = None;
    for _ in 0..5 {
        let reply = reply.clone();
        origin.answer(move |_| reply.clone());
        kept = play(&proxy, kept.unwrap_or_else(|| client(&proxy)));
        expect_rest(&proxy);
        origin.settle();
    }
    drop(kept);
    proxy.wait_stat("http.main.downstream_cx_active", |active| active == 0);
    origin.answer(|_| Reply::ok("well"));
    expect_room(&proxy);
    // A second pooled connection at the most came to what was open before.
    proxy.wait_descriptors(idle + 1);
}

/// Asks, and takes whatever comes.
fn ask(mut client: H2, path: &str) -> Option<H2> {
    let stream = client.request("GET", path, &[], true);
    client.answer(stream);
    Some(client)
}

/// Asks, and goes on once the proxy is at it.
fn asked(proxy: &Proxy, client: &mut H2, method: &str, path: &str) -> u32 {
    let stream = client.request(method, path, &[], method == "GET");
    proxy.wait_stat("cluster.origin.upstream_rq_active", |active| active == 1);
    stream
}

const CANCEL: u32 = 8;
const HALF_BODY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello";

#[test]
fn the_origin_ends_in_every_way() {
    repeat(Reply::default().close(), |_, client| ask(client, "/"));
    repeat(Reply::default().reset(), |_, client| ask(client, "/"));
    repeat(Reply::raw(HALF_BODY).close(), |_, client| ask(client, "/"));
    repeat(Reply::raw("nonsense\r\n\r\n"), |_, client| ask(client, "/"));
    repeat(Reply::silence(), |_, client| ask(client, "/slow"));
    repeat(Reply::raw(HALF_BODY).hang(), |_, client| ask(client, "/slow"));
}

#[test]
fn the_client_leaves_before_its_answer() {
    repeat(Reply::silence(), |proxy, mut client| {
        let stream = asked(proxy, &mut client, "GET", "/");
        client.reset_stream(stream, CANCEL);
        Some(client)
    });
    repeat(Reply::silence(), |proxy, mut client| {
        asked(proxy, &mut client, "GET", "/");
        None
    });
    repeat(Reply::silence(), |proxy, mut client| {
        asked(proxy, &mut client, "GET", "/");
        client.tear();
        None
    });
}

#[test]
fn the_client_leaves_within_its_request() {
    repeat(Reply::ok("x"), |proxy, mut client| {
        let stream = asked(proxy, &mut client, "POST", "/");
        client.data(stream, b"half", false).reset_stream(stream, CANCEL);
        Some(client)
    });
    repeat(Reply::ok("x"), |proxy, mut client| {
        let stream = asked(proxy, &mut client, "POST", "/");
        client.data(stream, b"half", false);
        client.tear();
        None
    });
}

#[test]
fn the_client_leaves_within_its_answer() {
    repeat(Reply::raw(HALF_BODY).hang(), |proxy, mut client| {
        let stream = asked(proxy, &mut client, "GET", "/");
        client.head(stream);
        client.reset_stream(stream, CANCEL);
        Some(client)
    });
    repeat(Reply::raw(HALF_BODY).hang(), |proxy, mut client| {
        let stream = asked(proxy, &mut client, "GET", "/");
        client.head(stream);
        client.tear();
        None
    });
}

/// An origin that does what the path of each request says, until `/end`.
fn obedient(origin: RawOrigin) -> JoinHandle<()> {
    ready();
    thread::spawn(move || while serve(H2::server(origin.accept(), &[])) {})
}

/// Serves one connection; whether there may be another.
fn serve(mut server: H2) -> bool {
    while let Ok(frame) = server.take_frame() {
        let (stream, whole) = match frame {
            Frame::Headers { stream, end, .. } | Frame::Data { stream, end, .. } => (stream, end),
            _ => continue,
        };
        match server.so_far(stream).get(":path") {
            Some("/reset") => drop(server.reset_stream(stream, CANCEL)),
            Some("/half") => {
                server.headers(stream, &[(":status", "200")], false).data(stream, b"half", false);
            }
            Some("/close") => return true,
            Some("/well" | "/end") if whole => {
                server.headers(stream, &[(":status", "200")], false).data(stream, b"well", true);
            }
            _ => {}
        }
        if server.so_far(stream).get(":path") == Some("/end") {
            return false;
        }
    }
    true
}

/// Plays the same several times against an HTTP/2 origin.
fn repeat_to_h2(play: Play) {
    let origin = RawOrigin::bind();
    let address = origin.address();
    let served = obedient(origin);
    let proxy = to_h2(address);
    let mut kept = None;
    for _ in 0..5 {
        kept = play(&proxy, kept.unwrap_or_else(|| client(&proxy)));
        expect_rest(&proxy);
        proxy.wait_stat("cluster.origin.http2.streams_active", |active| active == 0);
    }
    drop(kept);
    expect_room(&proxy);
    assert!(proxy.stat("cluster.origin.upstream_cx_active") <= 1);
    assert_eq!(client(&proxy).get("/end").text(), "well");
    served.join().expect("the origin does not fail");
    proxy.wait_stat("cluster.origin.upstream_cx_active", |active| active == 0);
}

#[test]
fn an_http2_origin_ends_in_every_way() {
    for play in [
        |_: &Proxy, client| ask(client, "/reset"),
        |_: &Proxy, client| ask(client, "/close"),
        |_: &Proxy, client| ask(client, "/slow"),
    ] {
        repeat_to_h2(play);
    }
}

#[test]
fn the_client_of_an_http2_origin_leaves_at_any_time() {
    repeat_to_h2(|proxy, mut client| {
        let stream = asked(proxy, &mut client, "GET", "/silence");
        client.reset_stream(stream, CANCEL);
        Some(client)
    });
    repeat_to_h2(|proxy, mut client| {
        let stream = asked(proxy, &mut client, "POST", "/silence");
        client.data(stream, b"half", false);
        client.tear();
        None
    });
    repeat_to_h2(|proxy, mut client| {
        let stream = asked(proxy, &mut client, "GET", "/half");
        client.head(stream);
        client.reset_stream(stream, CANCEL);
        Some(client)
    });
}
