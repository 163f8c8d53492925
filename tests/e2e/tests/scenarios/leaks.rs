//! Whatever becomes of a request, nothing of it stays: gauges return to zero, units of the circuit
//! breakers come back, sockets are closed, and the next client is served.

use ringway_test_support::{Bootstrap, Origin, Proxy, RawClient, RawOrigin, Refuser, Reply};

const HALF_BODY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello";
const HALF_REQUEST: &str = "POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello";
const SLOW: &str = "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n";
const GET: &str = "GET /x HTTP/1.1\r\nhost: a\r\n\r\n";

/// Two of everything: one unit that is lost shows at once.
const TIGHT: &str = "circuit_breakers: { thresholds: [{ max_requests: 2, max_connections: 2, \
                     max_pending_requests: 2 }] }\n";

fn tight(origin: &Origin) -> Proxy {
    let routes = "- { match: { prefix: /slow }, route: { cluster: origin, timeout: 0.05s } }\n\
                  - { match: { prefix: / }, route: { cluster: origin } }";
    let bootstrap = Bootstrap::new().routes("main", routes);
    Proxy::start(bootstrap.cluster_with("origin", &[origin.address()], TIGHT).to_yaml())
}

/// Waits until nothing is under way, and asks that all of it can be used again.
fn expect_nothing_left(proxy: &Proxy, origin: &Origin) {
    for gauge in [
        "http.main.downstream_cx_active",
        "http.main.downstream_cx_http1_active",
        "http.main.downstream_rq_active",
        "cluster.origin.upstream_rq_active",
        "cluster.origin.upstream_rq_pending_active",
    ] {
        proxy.wait_stat(gauge, |active| active == 0);
    }
    origin.settle();
    origin.answer(|_| Reply::ok("well"));
    // Both units of each breaker are there: two requests at once, one after the other's head.
    let mut clients = [0, 1].map(|_| RawClient::connect(proxy.listener("main")));
    for client in &mut clients {
        client.send("POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\no");
    }
    proxy.wait_stat("cluster.origin.upstream_rq_active", |active| active == 2);
    for client in &mut clients {
        client.send("k");
        assert_eq!(client.response().text(), "well");
    }
    drop(clients);
    proxy.wait_stat("http.main.downstream_cx_active", |active| active == 0);
    assert!(proxy.stat("cluster.origin.upstream_cx_active") <= 2);
    let endpoint = proxy.admin("/clusters").text();
    assert!(endpoint.contains("::rq_active::0"), "{endpoint}");
}

/// How the client behaves.
type Play = fn(&Origin, RawClient);

/// Plays the same several times, and asks that nothing is left.
fn repeat(reply: Reply, play: Play) {
    let origin = Origin::named("a");
    let proxy = tight(&origin);
    assert_eq!(RawClient::connect(proxy.listener("main")).get("/").status(), 200);
    proxy.wait_stat("http.main.downstream_cx_active", |active| active == 0);
    let idle = proxy.descriptors();
    for _ in 0..5 {
        let reply = reply.clone();
        origin.answer(move |_| reply.clone());
        play(&origin, RawClient::connect(proxy.listener("main")));
        proxy.wait_stat("http.main.downstream_cx_active", |active| active == 0);
        origin.settle();
    }
    expect_nothing_left(&proxy, &origin);
    // A second pooled connection at the most came to what was open before.
    proxy.wait_descriptors(idle + 1);
}

/// Asks, and takes whatever comes.
fn ask(bytes: &str, mut client: RawClient) {
    client.send(bytes);
    let _whatever = client.try_response("GET");
}

#[test]
fn the_origin_closes_or_resets() {
    repeat(Reply::default().close(), |_, client| ask(GET, client));
    repeat(Reply::default().reset(), |_, client| ask(GET, client));
}

#[test]
fn the_origin_closes_or_resets_within_its_answer() {
    repeat(Reply::raw("HTTP/1.1 200").close(), |_, client| ask(GET, client));
    repeat(Reply::raw(HALF_BODY).close(), |_, client| ask(GET, client));
    repeat(Reply::raw(HALF_BODY).reset(), |_, client| ask(GET, client));
}

#[test]
fn the_origin_talks_nonsense_or_too_much() {
    repeat(Reply::raw("nonsense\r\n\r\n"), |_, client| ask(GET, client));
    let surplus = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n";
    repeat(Reply::raw(surplus), |_, client| ask(GET, client));
}

#[test]
fn the_origin_is_too_slow() {
    repeat(Reply::silence(), |_, client| ask(SLOW, client));
    repeat(Reply::raw(HALF_BODY).hang(), |_, client| ask(SLOW, client));
}

#[test]
fn the_origin_answers_early() {
    repeat(Reply::ok("early").early(), |_, client| ask(HALF_REQUEST, client));
    repeat(Reply::default().close().early(), |_, client| ask(HALF_REQUEST, client));
    repeat(Reply::default().reset().early(), |_, client| ask(HALF_REQUEST, client));
}

#[test]
fn the_client_leaves_before_its_answer() {
    repeat(Reply::silence(), |origin, mut client| {
        client.send(GET);
        assert!(origin.heard());
        client.reset();
    });
    repeat(Reply::silence(), |origin, mut client| {
        client.send(GET);
        assert!(origin.heard());
        client.finish();
        client.expect_close();
    });
}

#[test]
fn the_client_leaves_within_its_request() {
    repeat(Reply::ok("x"), |origin, mut client| {
        client.send(HALF_REQUEST);
        assert!(origin.heard());
        client.reset();
    });
    repeat(Reply::ok("x"), |origin, mut client| {
        client.send(HALF_REQUEST);
        assert!(origin.heard());
        client.finish();
        client.expect_close();
    });
}

#[test]
fn the_client_leaves_within_its_answer() {
    repeat(Reply::raw(HALF_BODY).hang(), |_, mut client| {
        client.send(GET);
        client.wire().head().expect("a head");
        client.reset();
    });
    repeat(Reply::raw(HALF_BODY).hang(), |_, mut client| {
        client.send(GET);
        client.wire().head().expect("a head");
        client.finish();
    });
}

#[test]
fn the_client_breaks_the_framing_of_its_body() {
    repeat(Reply::ok("x"), |origin, mut client| {
        client.send("POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n");
        assert!(origin.heard());
        client.send("zz\r\n");
        assert_eq!(client.response().status(), 400);
        client.expect_close();
    });
}

#[test]
fn the_client_leaves_while_it_waits_for_a_connection() {
    // The origin never accepts more than two, and both are taken.
    let origin = Origin::start(|_| Reply::silence());
    let proxy = tight(&origin);
    let connect = || RawClient::connect(proxy.listener("main"));
    let mut holders = [connect(), connect()];
    for holder in &mut holders {
        holder.send(GET);
    }
    proxy.wait_stat("cluster.origin.upstream_rq_active", |active| active == 2);
    for _ in 0..5 {
        let mut waiting = [connect(), connect()];
        for client in &mut waiting {
            client.send(GET);
        }
        proxy.wait_stat("cluster.origin.upstream_rq_pending_active", |pending| pending == 2);
        waiting.into_iter().for_each(RawClient::reset);
        proxy.wait_stat("cluster.origin.upstream_rq_pending_active", |pending| pending == 0);
    }
    assert_eq!(proxy.stat("cluster.origin.upstream_rq_cancelled"), 10);
    holders.into_iter().for_each(RawClient::reset);
    expect_nothing_left(&proxy, &origin);
}

#[test]
fn nobody_listens() {
    let refuser = Refuser::bind();
    let routes = "- { match: { prefix: / }, route: { cluster: origin } }";
    let bootstrap = Bootstrap::new().routes("main", routes);
    let yaml = bootstrap.cluster_with("origin", &[refuser.address()], TIGHT).to_yaml();
    let proxy = Proxy::start(yaml);
    let idle = proxy.descriptors();
    let mut client = RawClient::connect(proxy.listener("main"));
    for _ in 0..20 {
        assert_eq!(client.get("/").status(), 503);
    }
    drop(client);
    for gauge in ["upstream_rq_active", "upstream_rq_pending_active", "upstream_cx_active"] {
        proxy.wait_stat(&format!("cluster.origin.{gauge}"), |active| active == 0);
    }
    assert_eq!(proxy.stat("cluster.origin.upstream_rq_pending_overflow"), 0);
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_overflow"), 0);
    proxy.wait_descriptors(idle);
}

#[test]
fn an_idle_connection_on_which_the_origin_speaks_is_closed() {
    let origin = RawOrigin::bind();
    let proxy = Proxy::start(Bootstrap::proxying_to(origin.address()).to_yaml());
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send(GET);
    let mut first = origin.accept();
    first.request().expect("a request");
    first.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").expect("sent");
    assert_eq!(client.response().text(), "ok");
    // Nobody has asked for this; taken for the next answer it would be somebody else's.
    first.send(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged").expect("sent");
    first.expect_close().expect("the proxy closes");
    client.send(GET);
    let mut second = origin.accept();
    second.request().expect("a request");
    second.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ntrue").expect("sent");
    assert_eq!(client.response().text(), "true");
}

/// Plays the same several times over TCP, and asks that nothing is left.
fn repeat_over_tcp(tunneling: &str, play: fn(std::net::TcpStream, &RawOrigin)) {
    use super::tcp_proxy::{connect, ending_in, logging};
    let origin = RawOrigin::bind();
    let filter = logging("x", &format!("cluster: origin\n{tunneling}"));
    let bootstrap = ending_in(&filter).cluster_with("origin", &[origin.address()], TIGHT);
    let proxy = super::tcp_proxy::start(&bootstrap);
    // The file of the log is opened with the first line.
    play(connect(&proxy), &origin);
    proxy.wait_file("access.log", |log| log.lines().count() == 1);
    proxy.wait_stat("cluster.origin.upstream_cx_active", |active| active == 0);
    let idle = proxy.descriptors();
    for _ in 0..5 {
        play(connect(&proxy), &origin);
    }
    for gauge in ["upstream_cx_active", "upstream_rq_active", "upstream_rq_pending_active"] {
        proxy.wait_stat(&format!("cluster.origin.{gauge}"), |active| active == 0);
    }
    for counter in ["upstream_cx_overflow", "upstream_rq_pending_overflow"] {
        assert_eq!(proxy.stat(&format!("cluster.origin.{counter}")), 0);
    }
    proxy.wait_descriptors(idle);
}

#[test]
fn tcp_connections_end_in_every_way() {
    use std::io::Write;
    // Both end politely.
    repeat_over_tcp("", |mut client, origin| {
        let mut server = origin.accept();
        client.write_all(b"x").unwrap();
        server.read_some().unwrap();
        drop(client);
        server.expect_close().unwrap();
    });
    // The server resets.
    repeat_over_tcp("", |mut client, origin| {
        let server = origin.accept();
        client.write_all(b"x").unwrap();
        server.reset().unwrap();
        let _whatever = std::io::Read::read_to_end(&mut client, &mut Vec::new());
    });
    // The client resets.
    repeat_over_tcp("", |client, origin| {
        let mut server = origin.accept();
        socket2::SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(client);
        server.expect_close().unwrap();
    });
}

#[test]
fn tunnels_end_in_every_way() {
    const TUNNELING: &str = "tunneling_config: { hostname: 'a:1' }";
    // Refused.
    repeat_over_tcp(TUNNELING, |mut client, origin| {
        let mut server = origin.accept();
        server.head().unwrap();
        server.send(b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n").unwrap();
        server.expect_close().unwrap();
        let _whatever = std::io::Read::read_to_end(&mut client, &mut Vec::new());
    });
    // Accepted, and reset.
    repeat_over_tcp(TUNNELING, |mut client, origin| {
        let mut server = origin.accept();
        server.head().unwrap();
        server.send(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        server.reset().unwrap();
        let _whatever = std::io::Read::read_to_end(&mut client, &mut Vec::new());
    });
    // Accepted, and left.
    repeat_over_tcp(TUNNELING, |client, origin| {
        let mut server = origin.accept();
        server.head().unwrap();
        server.send(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        drop(client);
        server.expect_close().unwrap();
    });
}
