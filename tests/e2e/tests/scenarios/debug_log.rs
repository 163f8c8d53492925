//! The proxy's own log tells what became of a request, to whoever asks for it.

use ringway_test_support::{Bootstrap, Launch, Make, Origin, Proxy, RawClient, RawOrigin};

use crate::only_ringway;

const STORY: [(&str, &str); 11] = [
    ("conn_handler", "new connection from 127.0.0.1:"),
    ("http", "request headers complete: GET test /told?q=1"),
    ("router", "cluster 'origin' match for URL '/told?q=1'"),
    ("router", "upstream host 127.0.0.1:"),
    ("pool", "queueing stream due to no available connections (open=0 connecting=0)"),
    ("pool", "creating a new connection to 127.0.0.1:"),
    ("pool", "connected: 127.0.0.1:"),
    ("router", "request headers sent to upstream: GET /told?q=1"),
    ("router", "upstream headers complete: 200"),
    ("http", "encoding headers: 200"),
    ("http", "stream ends: 200 via_upstream, then KeepAlive"),
];

fn start(origin: std::net::SocketAddr, arguments: &[&str]) -> Proxy {
    let yaml = Bootstrap::proxying_to(origin).to_yaml();
    let launch = Launch::new(Make::subject(), yaml);
    let launch = arguments.iter().fold(launch, |launch, one| launch.argument(*one));
    launch.start().unwrap_or_else(|error| panic!("{error}"))
}

/// Waits for these lines in this order, each at debug level.
fn assert_told(proxy: &Proxy, story: &[(&str, &str)]) {
    let told = |log: &str| {
        let mut lines = log.lines();
        story.iter().all(|(logger, text)| {
            let tag = format!("[debug][{logger}] ");
            lines.any(|line| line.contains(&tag) && line.contains(text))
        })
    };
    proxy.wait_file("stderr", told);
}

#[test]
fn a_request_can_be_followed_through_the_log() {
    if !only_ringway("this wording") {
        return;
    }
    let origin = Origin::named("a");
    let proxy = start(origin.address(), &["-l", "debug"]);
    let mut client = RawClient::connect(proxy.listener("main"));
    assert_eq!(client.get("/told?q=1").status(), 200);
    assert_told(&proxy, &STORY);
    assert_eq!(client.get("/again").status(), 200);
    drop(client);
    assert_told(
        &proxy,
        &[
            ("http", "request headers complete: GET test /again"),
            ("pool", "using existing connection: 127.0.0.1:"),
            ("http", "stream ends: 200 via_upstream"),
            ("connection", "remote close"),
            ("conn_handler", "connection is gone"),
        ],
    );
    // One number follows the stream from its head to its end.
    let log = proxy.log();
    let of = |text: &str| log.lines().find(|line| line.contains(text)).and_then(stream_id);
    let id = of("request headers complete: GET test /told");
    assert!(id.is_some() && id == of("upstream headers complete"), "{log}");
    assert!(!log.contains("[trace]"), "{log}");
}

fn stream_id(line: &str) -> Option<&str> {
    line.split("\"StreamId\":\"").nth(1)?.split('"').next()
}

#[test]
fn failures_say_why() {
    if !only_ringway("this wording") {
        return;
    }
    let origin = RawOrigin::bind();
    let proxy = start(origin.address(), &["-l", "debug"]);
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send("GET /cut HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.head().unwrap();
    drop(upstream);
    assert_eq!(client.response().status(), 503);
    assert_told(
        &proxy,
        &[
            ("router", "upstream reset: reset reason: connection termination"),
            ("http", "sending local reply with details upstream_reset_before_response_started"),
            ("http", "encoding headers: 503"),
        ],
    );
}

#[test]
fn one_component_can_speak_alone_and_at_any_time() {
    if !only_ringway("this wording") {
        return;
    }
    let origin = Origin::named("a");
    let proxy = start(origin.address(), &["-l", "info", "--component-log-level", "pool:debug"]);
    let mut client = RawClient::connect(proxy.listener("main"));
    assert_eq!(client.get("/x").status(), 200);
    assert_told(&proxy, &[("pool", "creating a new connection to 127.0.0.1:")]);
    assert!(!proxy.log().contains("[debug][http]"), "{}", proxy.log());

    assert_eq!(proxy.admin_post("/logging?http=trace").status(), 200);
    assert_eq!(client.ask("GET /y HTTP/1.1\r\nhost: a\r\nx-mark: \"\x07\r\n\r\n").status(), 400);
    assert_told(&proxy, &[("http", "dispatch error: ")]);
    let mut client = RawClient::connect(proxy.listener("main"));
    assert_eq!(client.ask("GET /z HTTP/1.1\r\nhost: a\r\nx-mark: 1\r\n\r\n").status(), 200);
    let log = proxy.wait_file("stderr", |log| log.contains("'x-mark', '1'"));
    assert!(log.contains("[trace][http]"), "{log}");
    assert!(!log.contains("[debug][router]"), "{log}");
}
