//! Circuit breakers hold over all workers together.

use std::sync::{Arc, RwLock};

use ringway_test_support::{Bootstrap, Launch, Make, Origin, RawClient, Reply};

const REQUEST: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

#[test]
fn requests_beyond_the_limit_overflow() {
    // The origin answers once the test lets go of the gate.
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write().unwrap();
    let theirs = gate.clone();
    let origin = Origin::start(move |_| {
        drop(theirs.read());
        Reply::ok("late")
    });
    let more = "circuit_breakers: { thresholds: [{ max_requests: 3 }] }\n";
    let routes = "- { match: { prefix: / }, route: { cluster: origin } }";
    let bootstrap = Bootstrap::new().routes("main", routes);
    let yaml = bootstrap.cluster_with("origin", &[origin.address()], more).to_yaml();
    let proxy = Launch::new(Make::subject(), yaml).concurrency(2).start();
    let proxy = proxy.unwrap_or_else(|error| panic!("{error}"));
    let connect = || RawClient::connect(proxy.listener("main"));

    let mut served: Vec<RawClient> = (0..3).map(|_| connect()).collect();
    for client in &mut served {
        client.send(REQUEST);
    }
    proxy.wait_stat("cluster.origin.upstream_rq_active", |active| active == 3);
    let open =
        |breaker: &str| proxy.stat(&format!("cluster.origin.circuit_breakers.{breaker}_open"));
    assert_eq!(["default.rq", "default.cx", "high.rq"].map(open), [1, 0, 0]);
    for _ in 0..8 {
        let refused = connect().ask(REQUEST);
        assert_eq!(refused.status(), 503);
        assert_eq!(refused.head.get("x-envoy-overloaded"), Some("true"));
        assert!(refused.text().ends_with("reset reason: overflow"), "{}", refused.text());
    }
    assert_eq!(proxy.stat("cluster.origin.upstream_rq_active_overflow"), 8);
    drop(closed);
    for client in &mut served {
        assert_eq!(client.response().text(), "late");
    }
    // The leases are back.
    proxy.wait_stat("cluster.origin.upstream_rq_active", |active| active == 0);
    assert_eq!(open("default.rq"), 0);
    assert_eq!(connect().ask(REQUEST).text(), "late");
}
