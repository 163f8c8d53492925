//! Endpoints get their share of the requests.

use ringway_test_support::{Bootstrap, Origin, Proxy, RawClient};

fn shares(policy: &str, requests: usize) -> Vec<usize> {
    let origins = ["a", "b", "c"].map(Origin::named);
    let endpoints = origins.each_ref().map(Origin::address);
    let routes = "- { match: { prefix: / }, route: { cluster: origin } }";
    let bootstrap = Bootstrap::new().routes("main", routes);
    let bootstrap = bootstrap.cluster_with("origin", &endpoints, &format!("lb_policy: {policy}\n"));
    let proxy = Proxy::start(bootstrap.to_yaml());
    let mut client = RawClient::connect(proxy.listener("main"));
    for _ in 0..requests {
        assert_eq!(client.get("/").status(), 200);
    }
    origins.iter().map(|origin| origin.requests().len()).collect()
}

#[test]
fn round_robin_is_even() {
    assert_eq!(shares("ROUND_ROBIN", 30), [10, 10, 10]);
}

#[test]
fn random_reaches_all() {
    // 200 are due; 5 standard deviations are 58.
    let shares = shares("RANDOM", 600);
    assert!(shares.iter().all(|share| (142..=258).contains(share)), "{shares:?}");
}

#[test]
fn least_request_reaches_all() {
    let shares = shares("LEAST_REQUEST", 600);
    assert!(shares.iter().all(|share| (142..=258).contains(share)), "{shares:?}");
}

#[test]
fn a_name_is_resolved() {
    let origin = Origin::named("a");
    let routes = "- { match: { prefix: / }, route: { cluster: origin } }";
    let bootstrap = Bootstrap::new().routes("main", routes).cluster("origin", &[origin.address()]);
    let port = origin.address().port();
    let yaml = bootstrap.to_yaml();
    let yaml = yaml.replace("type: STATIC", "type: STRICT_DNS\n    dns_lookup_family: V4_ONLY");
    let literal = format!("{{ address: \"127.0.0.1\", port_value: {port} }}");
    let name = format!("{{ address: localhost, port_value: {port} }}");
    let proxy = Proxy::start(yaml.replace(&literal, &name));
    proxy.wait_stat("cluster.origin.membership_total", |total| total == 1);
    let response = RawClient::connect(proxy.listener("main")).get("/");
    assert_eq!(response.head.get("x-origin"), Some("a"));
}
