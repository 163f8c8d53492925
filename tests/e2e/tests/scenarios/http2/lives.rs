//! How connections and streams begin, wait and end.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use ringway_test_support::{
    Bootstrap, H2, HyperOrigin, Launch, Make, Origin, Proxy, RawClient, RawOrigin, Reply, Signal,
    WireError,
};

use super::{client, serve, start, to_h2};
use crate::only_ringway;

const LAST_STREAM_OF_ALL: u32 = (1 << 31) - 1;
const REFUSED_STREAM: u32 = 7;

/// Everything goes to one origin of HTTP/1, by a manager with these further fields.
fn managed(origin: &Origin, fields: &str) -> Bootstrap {
    managed_to(fields).cluster("origin", &[origin.address()])
}

fn managed_to(fields: &str) -> Bootstrap {
    let routes = "route_config: { virtual_hosts: [{ name: a, domains: ['*'], routes: [{ match: { \
                  prefix: / }, route: { cluster: origin, timeout: 0s } }] }] }";
    Bootstrap::new().http("main", &format!("{fields}\n{routes}"))
}

#[test]
fn streams_beyond_the_limit_are_refused() {
    // RFC 9113 section 5.1.2 allows either.
    if !only_ringway("streams that are refused: the connection ends there instead") {
        return;
    }
    let origin = Origin::start(|_| Reply::silence());
    let proxy = start(&managed(&origin, "http2_protocol_options: { max_concurrent_streams: 2 }"));
    let mut client = client(&proxy);
    client.round_trip().unwrap();
    assert_eq!(client.settings.get(&3), Some(&2));
    let streams = [0, 1, 2].map(|_| client.request("GET", "/", &[], true));
    assert_eq!(client.answer(streams[2]).reset, Some(REFUSED_STREAM));
    assert_eq!(client.so_far(streams[0]).reset, None);
    // A place that becomes free is there for the next.
    client.reset_stream(streams[0], 8);
    origin.answer(|_| Reply::ok("next"));
    assert_eq!(client.get("/").text(), "next");
}

#[test]
fn a_full_connection_to_an_origin_has_a_second_beside_it() {
    let origin = RawOrigin::bind();
    let proxy = start(&to_h2(origin.address()));
    let served = thread::spawn(move || {
        let mut first = H2::server(origin.accept(), &[(3, 1)]);
        let (stream, _) = first.accept_whole();
        first.headers(stream, &[(":status", "204")], true);
        let (held, _) = first.accept_whole();
        let mut second = H2::server(origin.accept(), &[(3, 1)]);
        let (stream, _) = second.accept_whole();
        second.headers(stream, &[(":status", "202")], true);
        first.headers(held, &[(":status", "201")], true);
        (first.read_to_end(), second.read_to_end())
    });
    let mut client = client(&proxy);
    assert_eq!(client.get("/").status(), 204);
    let held = client.request("GET", "/held", &[], true);
    proxy.wait_stat("cluster.origin.upstream_rq_active", |active| active == 1);
    assert_eq!(client.get("/").status(), 202);
    assert_eq!(client.answer(held).status(), 201);
    drop((client, proxy));
    served.join().unwrap();
}

#[test]
fn an_origin_that_goes_away_loses_nothing() {
    let origin = RawOrigin::bind();
    let proxy = start(&to_h2(origin.address()));
    let served = serve(origin, |origin, mut first| {
        let (held, _) = first.accept_whole();
        first.go_away(held, 0);
        let mut second = H2::server(origin.accept(), &[]);
        let (stream, _) = second.accept_whole();
        second.headers(stream, &[(":status", "202")], true);
        first.headers(held, &[(":status", "201")], false).data(held, b"whole", true);
        (first.read_to_end(), second.read_to_end())
    });
    let mut client = client(&proxy);
    let held = client.request("GET", "/held", &[], true);
    proxy.wait_stat("cluster.origin.upstream_cx_close_notify", |noted| noted == 1);
    assert_eq!(client.get("/").status(), 202);
    let answer = client.answer(held);
    assert_eq!((answer.status(), answer.text().as_str()), (201, "whole"));
    drop((client, proxy));
    let (first, _) = served.join().unwrap();
    assert_eq!(first, WireError::Closed, "the old connection ends with its last stream");
}

/// Both GOAWAY frames come, and the stream that is held ends as it should.
fn leaves_in_two_steps(client: &mut H2, held: u32, let_go: impl FnOnce()) {
    while client.goaways.len() < 2 {
        client.take_frame().unwrap_or_else(|error| panic!("{error}\n{}", client.transcript()));
    }
    assert_eq!(client.goaways, [(LAST_STREAM_OF_ALL, 0), (held, 0)]);
    let_go();
    let answer = client.answer(held);
    assert_eq!((answer.status(), answer.text().as_str()), (200, "held"));
    client.expect_end();
}

/// An origin that answers once it is told to.
fn gated() -> (Origin, std::sync::mpsc::Sender<()>) {
    let (open, gate) = std::sync::mpsc::channel();
    let gate = std::sync::Mutex::new(gate);
    let origin = Origin::start(move |head| {
        if head.target() == "/held" {
            let _opened = gate.lock().unwrap().recv();
        }
        Reply::ok("held")
    });
    (origin, open)
}

#[test]
fn a_connection_that_has_had_its_requests_leaves() {
    let (origin, open) = gated();
    let options = "drain_timeout: 0.2s\n\
                   common_http_protocol_options: { max_requests_per_connection: 2 }";
    let proxy = start(&managed(&origin, options));
    let mut client = client(&proxy);
    assert_eq!(client.get("/").status(), 200);
    let held = client.request("GET", "/held", &[], true);
    leaves_in_two_steps(&mut client, held, || open.send(()).unwrap());
    assert_eq!(proxy.stat("http.main.downstream_cx_max_requests_reached"), 1);
    assert_eq!(proxy.stat("http2.goaway_sent"), 1);
    proxy.wait_stat("http.main.downstream_cx_active", |active| active == 0);
}

#[test]
fn a_connection_that_is_old_leaves() {
    let (origin, open) = gated();
    let options = "drain_timeout: 0.2s\n\
                   common_http_protocol_options: { max_connection_duration: 0.5s }";
    let proxy = start(&managed(&origin, options));
    let mut client = client(&proxy);
    let held = client.request("GET", "/held", &[], true);
    leaves_in_two_steps(&mut client, held, || open.send(()).unwrap());
    assert_eq!(proxy.stat("http.main.downstream_cx_max_duration_reached"), 1);
    assert_eq!(proxy.stat("http2.goaway_sent"), 1);
}

#[test]
fn a_process_that_drains_says_so_twice() {
    if !only_ringway("SIGTERM that drains") {
        return;
    }
    let (origin, open) = gated();
    let mut proxy = start(&managed(&origin, "drain_timeout: 0.2s"));
    let mut client = client(&proxy);
    let held = client.request("GET", "/held", &[], true);
    assert!(origin.heard());
    proxy.signal(Signal::TERM);
    leaves_in_two_steps(&mut client, held, || open.send(()).unwrap());
    assert!(proxy.wait_exit().success());
}

#[test]
fn an_idle_connection_leaves_a_process_that_drains() {
    if !only_ringway("SIGTERM that drains") {
        return;
    }
    let origin = Origin::named("a");
    let mut proxy = start(&managed(&origin, ""));
    let mut client = client(&proxy);
    assert_eq!(client.get("/").status(), 200);
    proxy.signal(Signal::TERM);
    client.expect_end();
    assert_eq!(client.goaways.first(), Some(&(LAST_STREAM_OF_ALL, 0)));
    assert!(proxy.wait_exit().success());
}

#[test]
fn a_listener_that_is_removed_says_so_twice() {
    if !only_ringway("reload by SIGHUP") {
        return;
    }
    let (origin, open) = gated();
    let proxy = start(&managed(&origin, "drain_timeout: 0.2s"));
    let mut client = client(&proxy);
    let held = client.request("GET", "/held", &[], true);
    assert!(origin.heard());
    proxy.replace_config(&Bootstrap::new().cluster("origin", &[origin.address()]).to_yaml());
    proxy.signal(Signal::HUP);
    leaves_in_two_steps(&mut client, held, || open.send(()).unwrap());
}

#[test]
fn an_idle_connection_ends() {
    let origin = Origin::named("a");
    let options = "drain_timeout: 0.1s\ncommon_http_protocol_options: { idle_timeout: 0.3s }";
    let proxy = start(&managed(&origin, options));
    let mut client = client(&proxy);
    assert_eq!(client.get("/").status(), 200);
    client.expect_end();
    assert_eq!(proxy.stat("http.main.downstream_cx_idle_timeout"), 1);
    assert!(!client.goaways.is_empty());
}

#[test]
fn an_idle_connection_to_an_origin_ends() {
    let origin = RawOrigin::bind();
    let routes = "- { match: { prefix: / }, route: { cluster: origin } }";
    let field = ringway_test_support::h2_upstream("", "idle_timeout: 0.3s");
    let bootstrap = Bootstrap::new().routes("main", routes);
    let proxy = start(&bootstrap.cluster_with("origin", &[origin.address()], &field));
    let served = serve(origin, |_, mut server| {
        let (stream, _) = server.accept_whole();
        server.headers(stream, &[(":status", "204")], true);
        (server.read_to_end(), server.goaways.clone())
    });
    assert_eq!(client(&proxy).get("/").status(), 204);
    let (end, goaways) = served.join().unwrap();
    assert_eq!(end, WireError::Closed);
    // Envoy says nothing to an origin.
    assert!(goaways.len() == 1 || Make::subject() == Make::Envoy);
    proxy.wait_stat("cluster.origin.upstream_cx_active", |active| active == 0);
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_idle_timeout"), 1);
}

#[test]
fn a_client_that_answers_no_ping_is_given_up() {
    let origin = Origin::named("a");
    let keepalive = "http2_protocol_options: { connection_keepalive: { interval: 0.2s, timeout: \
                     0.3s, interval_jitter: { value: 0 } } }";
    let proxy = start(&managed(&origin, keepalive));
    let mut alive = client(&proxy);
    while alive.pings < 4 {
        alive.take_frame().unwrap();
    }
    assert_eq!(alive.get("/").status(), 200);
    drop(alive);
    let mut dead = client(&proxy);
    dead.answers_pings = false;
    dead.expect_end();
    assert_eq!(proxy.stat("http2.keepalive_timeout"), 1);
}

#[test]
fn an_origin_that_answers_no_ping_is_given_up() {
    let origin = RawOrigin::bind();
    let routes = "- { match: { prefix: / }, route: { cluster: origin, timeout: 0s } }";
    let keepalive = "connection_keepalive: { interval: 0.2s, timeout: 0.3s }";
    let bootstrap = Bootstrap::new().routes("main", routes);
    let proxy = start(&bootstrap.h2_cluster("origin", &[origin.address()], keepalive));
    let served = serve(origin, |_, mut server| {
        server.answers_pings = false;
        server.read_to_end()
    });
    assert_eq!(client(&proxy).get("/").status(), 503);
    served.join().unwrap();
    assert_eq!(proxy.stat("cluster.origin.http2.keepalive_timeout"), 1);
    proxy.wait_stat("cluster.origin.upstream_cx_active", |active| active == 0);
}

#[test]
fn a_stream_on_which_nothing_moves_ends() {
    let origin = Origin::start(|_| Reply::silence());
    let proxy = start(&managed(&origin, "stream_idle_timeout: 0.3s"));
    let mut client = client(&proxy);
    let stream = client.request("POST", "/", &[], false);
    client.data(stream, b"half", false);
    let answer = client.answer(stream);
    assert_eq!(answer.status(), 408);
    assert_eq!(proxy.stat("http.main.downstream_rq_idle_timeout"), 1);
    client.round_trip().unwrap();
    proxy.wait_stat("cluster.origin.upstream_rq_active", |active| active == 0);
}

#[test]
fn a_reader_that_has_stopped_is_given_up() {
    let origin = Origin::named("a");
    let proxy = start(&managed(&origin, "stream_idle_timeout: 0.3s"));
    let mut client = H2::connect(proxy.listener("main"), &[(4, 10)]);
    client.opens_windows = false;
    let stream = client.request("GET", "/bytes/10000", &[], true);
    let answer = client.answer(stream);
    assert!(answer.status() == 200 && answer.reset.is_some(), "{answer:?}");
    client.round_trip().unwrap();
    proxy.wait_stat("http.main.downstream_rq_active", |active| active == 0);
}

#[test]
fn half_a_head_has_its_time() {
    let origin = Origin::named("a");
    let proxy = start(&managed(&origin, "request_headers_timeout: 0.3s"));
    let mut client = client(&proxy);
    assert_eq!(client.get("/").status(), 200);
    let stream = client.next_stream();
    let block = client.block(&[(":method", "GET"), (":scheme", "http"), (":path", "/")]);
    client.send(1, 1, stream, &block);
    proxy.wait_stat("http.main.downstream_rq_header_timeout", |late| late == 1);
    println!("{:?}, {:?}", client.read_to_end(), client.so_far(stream));
    proxy.wait_stat("http.main.downstream_rq_active", |active| active == 0);
}

#[test]
fn origins_are_spoken_to_as_the_client_speaks() {
    let origin = HyperOrigin::start("hyper");
    let name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let field = format!(
        "typed_extension_protocol_options: {{ {name}: {{ \"@type\": type.googleapis.com/{name}, \
         use_downstream_protocol_config: {{ http2_protocol_options: {{}} }} }} }}\n"
    );
    let bootstrap = managed_to("").cluster_with("origin", &[origin.address()], &field);
    let proxy = start(&bootstrap);
    assert_eq!(RawClient::connect(proxy.listener("main")).get("/").status(), 200);
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_http1_total"), 1);
    assert_eq!(client(&proxy).get("/").status(), 200);
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_http2_total"), 1);
}

#[test]
fn a_listener_for_one_version_takes_no_other() {
    let origin = Origin::named("a");
    let proxy = start(&managed(&origin, "codec_type: HTTP1"));
    let _whatever_is_no_frame = client(&proxy).read_to_end();
    let mut http1 = RawClient::connect(proxy.listener("main"));
    assert_eq!(http1.get("/").status(), 200);
    let proxy = start(&managed(&origin, "codec_type: HTTP2"));
    assert_eq!(client(&proxy).get("/").status(), 200);
    let mut http1 = RawClient::connect(proxy.listener("main"));
    http1.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let bytes = http1.wire().read_some();
    assert!(!bytes.is_ok_and(|bytes| bytes.starts_with(b"HTTP/1.1 200")));
    // What was read may be the SETTINGS, which do not wait for what the client says.
    proxy.wait_stat("http.main.downstream_cx_protocol_error", |errors| errors == 1);
}

#[test]
fn endpoints_change_under_load() {
    if !only_ringway("reload by SIGHUP") {
        return;
    }
    let (a, b) = (HyperOrigin::start("a"), HyperOrigin::start("b"));
    let yaml = |origin: &HyperOrigin| to_h2(origin.address()).to_yaml();
    let proxy = Launch::new(Make::Ringway, yaml(&a)).concurrency(2).start().unwrap();
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let seen = |proxy: &Proxy| client(proxy).get("/").get("x-origin").map(str::to_owned);
    thread::scope(|scope| {
        let loads = [0, 1].map(|_| scope.spawn(|| load(&proxy, &stop, &served)));
        let change = || {
            for round in 0..6 {
                let (name, origin) = if round % 2 == 0 { ("b", &b) } else { ("a", &a) };
                proxy.replace_config(&yaml(origin));
                proxy.signal(Signal::HUP);
                let deadline = std::time::Instant::now() + ringway_test_support::PATIENCE;
                while seen(&proxy).as_deref() != Some(name) {
                    assert!(std::time::Instant::now() < deadline, "{name} never answers");
                }
            }
        };
        let changed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(change));
        stop.store(true, Ordering::Relaxed);
        for load in loads {
            load.join().expect("nothing is lost");
        }
        changed.expect("the origin changes");
    });
    assert!(served.into_inner() > 50);
    assert_eq!(proxy.stat("http.main.downstream_rq_5xx"), 0);
}

/// Ten streams at a time, each of which must be answered whole.
fn load(proxy: &Proxy, stop: &AtomicBool, served: &AtomicUsize) {
    let mut client = client(proxy);
    while !stop.load(Ordering::Relaxed) {
        if !client.goaways.is_empty() {
            client = super::client(proxy);
        }
        let streams = [0; 10].map(|_| client.request("GET", "/bytes/20000", &[], true));
        for stream in streams {
            let answer = client.answer(stream);
            assert_eq!((answer.status(), answer.body.len(), answer.ended), (200, 20_000, true));
            served.fetch_add(1, Ordering::Relaxed);
        }
    }
}
