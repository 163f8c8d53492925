//! Requests and responses keep their meaning across the versions of HTTP.

use ringway_test_support::{
    Bootstrap, HyperOrigin, Origin, RawClient, RawOrigin, Reply, curl, skip,
};

use super::{client, echo, serve, start, to_h2};

#[test]
fn a_client_with_prior_knowledge_reaches_an_origin_of_http1() {
    let origin = Origin::named("a");
    let proxy = start(&Bootstrap::proxying_to(origin.address()));
    let mut client = client(&proxy);
    let answer = client.get("/x");
    assert_eq!((answer.status(), answer.get("x-origin")), (200, Some("a")));
    let head = &origin.wait_for(1)[0].message.head;
    assert_eq!((head.start.as_str(), head.get("host")), ("GET /x HTTP/1.1", Some("test")));
    assert_eq!(client.get("/y").status(), 200);
    assert_eq!(origin.connections(), 1);
    assert_eq!(proxy.stat("http.main.downstream_cx_http2_total"), 1);
    assert_eq!(proxy.stat("http.main.downstream_rq_http2_total"), 2);
}

#[test]
fn a_client_of_http1_reaches_an_origin_of_http2() {
    let origin = RawOrigin::bind();
    let proxy = start(&to_h2(origin.address()));
    let served = serve(origin, |_, server| echo(server));
    let mut client = RawClient::connect(proxy.listener("main"));
    assert_eq!(client.get("/x").status(), 200);
    let post = "POST /y HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
    assert_eq!(client.ask(post).text(), "hello");
    drop(proxy);
    let requests = served.join().unwrap();
    let pseudo = |name| requests[0].get(name);
    assert_eq!(
        [":method", ":scheme", ":authority", ":path"].map(pseudo),
        ["GET", "http", "test", "/x"].map(Some)
    );
    assert_eq!((requests[0].get("host"), requests[1].get("content-length")), (None, Some("5")));
}

#[test]
fn both_sides_speak_http2_to_peers_that_we_did_not_write() {
    let origin = HyperOrigin::start("hyper");
    let proxy = start(&to_h2(origin.address()));
    let url = format!("http://{}/bytes/300000", proxy.listener("main"));
    let Some(answer) = curl(&["--http2-prior-knowledge", &url]) else {
        return skip("no curl");
    };
    assert_eq!((answer.code, answer.out.len()), (0, 300_000), "{}", answer.err);
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_http2_total"), 1);
}

#[test]
fn crumbs_of_a_cookie_are_joined_for_http1() {
    let origin = Origin::named("a");
    let proxy = start(&Bootstrap::proxying_to(origin.address()));
    let mut client = client(&proxy);
    let crumbs = [("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")];
    let stream = client.request("GET", "/", &crumbs, true);
    assert_eq!(client.answer(stream).status(), 200);
    let head = origin.wait_for(1).remove(0).message.head;
    assert_eq!(head.all("cookie").collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
}

#[test]
fn what_has_no_body_has_none() {
    let origin = Origin::start(|head| match (head.method(), head.target()) {
        ("HEAD", _) => Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n"),
        (_, "/204") => Reply::raw("HTTP/1.1 204 No Content\r\n\r\n"),
        _ => Reply::raw("HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n"),
    });
    let proxy = start(&Bootstrap::proxying_to(origin.address()));
    let mut client = client(&proxy);
    let stream = client.request("HEAD", "/x", &[], true);
    let head = client.answer(stream);
    assert_eq!((head.status(), head.get("content-length")), (200, Some("5000")));
    let (none, same) = (client.get("/204"), client.get("/304"));
    assert_eq!((none.status(), same.status()), (204, 304));
    assert!([head, none, same].iter().all(|answer| answer.body.is_empty() && answer.ended));
}

#[test]
fn trailers_pass_both_ways() {
    let origin = RawOrigin::bind();
    let proxy = start(&to_h2(origin.address()));
    let served = serve(origin, |_, mut server| {
        let (stream, request) = server.accept_whole();
        server.headers(stream, &[(":status", "200")], false);
        server.data(stream, b"body", false).headers(stream, &[("x-down", "2")], true);
        let _until_the_proxy_ends = server.read_to_end();
        request
    });
    let mut client = client(&proxy);
    let stream = client.request("POST", "/", &[], false);
    client.data(stream, b"hi", false).headers(stream, &[("x-up", "1")], true);
    let answer = client.answer(stream);
    assert_eq!((answer.text().as_str(), answer.trailers), ("body", pairs(&[("x-down", "2")])));
    drop((client, proxy));
    let request = served.join().unwrap();
    assert_eq!((request.text().as_str(), request.trailers), ("hi", pairs(&[("x-up", "1")])));
}

fn pairs(fields: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
    Some(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

#[test]
fn trailers_of_http1_reach_http2() {
    let chunked =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-t: 1\r\n\r\n";
    let origin = Origin::start(move |_| Reply::raw(chunked));
    let manager = "http_protocol_options: { enable_trailers: true }\nroute_config: { virtual_hosts: \
                   [{ name: a, domains: ['*'], routes: [{ match: { prefix: / }, route: { cluster: \
                   origin } }] }] }";
    let more = "http_protocol_options: { enable_trailers: true }\n";
    let bootstrap = Bootstrap::new().http("main", manager);
    let proxy = start(&bootstrap.cluster_with("origin", &[origin.address()], more));
    let answer = client(&proxy).get("/");
    assert_eq!((answer.text().as_str(), answer.trailers), ("ok", pairs(&[("x-t", "1")])));
}

#[test]
fn hints_pass_where_they_are_wanted() {
    let hint =
        "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let origin = Origin::start(move |_| Reply::raw(hint));
    let manager = "proxy_100_continue: true\nroute_config: { virtual_hosts: [{ name: a, domains: \
                   ['*'], routes: [{ match: { prefix: / }, route: { cluster: origin } }] }] }";
    let bootstrap = Bootstrap::new().http("main", manager);
    let proxy = start(&bootstrap.cluster("origin", &[origin.address()]));
    let answer = client(&proxy).get("/");
    assert_eq!((answer.status(), answer.interim.len()), (200, 1));
}

#[test]
fn an_expectation_is_answered() {
    let origin = Origin::start(|_| Reply::ok("ok"));
    let proxy = start(&Bootstrap::proxying_to(origin.address()));
    let mut client = client(&proxy);
    let stream = client.request("POST", "/", &[("expect", "100-continue")], false);
    let asked = client.until(stream, |message| !message.interim.is_empty()).unwrap();
    assert_eq!(asked.interim[0][0].1, "100");
    client.data(stream, b"x", true);
    assert_eq!(client.answer(stream).status(), 200);
}

#[test]
fn more_or_less_than_was_declared_resets_the_stream_or_ends_the_connection() {
    let origin = Origin::start(|_| Reply::ok("ok"));
    let proxy = start(&Bootstrap::proxying_to(origin.address()));
    for body in ["four", "sixsix"] {
        let mut client = client(&proxy);
        let stream = client.request("POST", "/", &[("content-length", "5")], false);
        client.data(stream, body.as_bytes(), true);
        let answer = client.try_answer(stream);
        assert!(answer.is_err() || answer.is_ok_and(|it| it.reset.is_some() && it.status() == 0));
    }
    assert!(
        origin.settle().iter().all(|asked| asked.message.cut.is_some()),
        "nothing arrived whole"
    );
}

#[test]
fn an_origin_that_sends_more_or_less_than_it_declared() {
    let origin = RawOrigin::bind();
    let proxy = start(&to_h2(origin.address()));
    let served = serve(origin, |_, mut server| {
        for body in ["four", "sixsix"] {
            let (stream, _) = server.accept();
            server.headers(stream, &[(":status", "200"), ("content-length", "5")], false);
            server.data(stream, body.as_bytes(), true);
        }
        server.read_to_end();
    });
    let mut client = client(&proxy);
    for _ in 0..2 {
        let answer = client.get("/");
        let refused = answer.reset.is_some() || answer.status() == 502;
        assert!(refused && !(answer.ended && answer.status() == 200), "{answer:?}");
    }
    drop((client, proxy));
    served.join().unwrap();
}

#[test]
fn resets_pass_upwards() {
    let origin = RawOrigin::bind();
    let proxy = start(&to_h2(origin.address()));
    let served = serve(origin, |_, mut server| {
        let (stream, _) = server.accept();
        server.answer(stream).reset
    });
    let mut client = client(&proxy);
    let stream = client.request("POST", "/", &[], false);
    proxy.wait_stat("cluster.origin.upstream_rq_active", |active| active == 1);
    client.reset_stream(stream, 8);
    assert!(served.join().unwrap().is_some());
    proxy.wait_stat("http.main.downstream_rq_active", |active| active == 0);
    assert_eq!(proxy.stat("cluster.origin.upstream_rq_tx_reset"), 1);
    assert_eq!(proxy.stat("http2.rx_reset"), 1);
}

#[test]
fn a_reset_before_the_answer_is_an_answer_and_after_its_head_a_reset() {
    let origin = RawOrigin::bind();
    let proxy = start(&to_h2(origin.address()));
    let served = serve(origin, |_, mut server| {
        let (stream, _) = server.accept();
        server.reset_stream(stream, 2);
        let (stream, _) = server.accept();
        server.headers(stream, &[(":status", "200")], false).data(stream, b"part", false);
        server.reset_stream(stream, 2);
        server.read_to_end()
    });
    let mut client = client(&proxy);
    let early = client.get("/");
    assert_eq!((early.status(), early.reset), (503, None));
    let late = client.get("/");
    assert_eq!((late.status(), late.text().as_str(), late.ended), (200, "part", false));
    assert!(late.reset.is_some());
    assert_eq!(proxy.stat("cluster.origin.upstream_rq_rx_reset"), 2);
    drop((client, proxy));
    served.join().unwrap();
}
