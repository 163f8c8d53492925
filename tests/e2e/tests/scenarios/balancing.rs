//! Endpoints get their share of the requests.

use std::net::Ipv4Addr;

use ringway_test_support::{Bootstrap, NameServer, Origin, Proxy, RawClient, Says};

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

/// The numbers of endpoints of a cluster that finds `a.test`, at two addresses, in this way.
fn members(found: impl Fn(&NameServer) -> String) -> u64 {
    let (names, origin) = (NameServer::start(), Origin::named("a"));
    let addresses = [1, 2].map(|last| Ipv4Addr::new(127, 0, 0, last));
    names.say("a.test", Says::Addresses(addresses.to_vec(), 60));
    let port = origin.address().port();
    let cluster = format!(
        "- name: origin\n  {}\n  load_assignment: {{ cluster_name: origin, endpoints: [{{ \
         lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: a.test, \
         port_value: {port} }} }} }} }}] }}] }}\n",
        found(&names)
    );
    let routes = "- { match: { prefix: / }, route: { cluster: origin } }";
    let bootstrap = Bootstrap::new().routes("main", routes).other_cluster(&cluster);
    let proxy = Proxy::start(bootstrap.to_yaml());
    proxy.wait_stat("cluster.origin.membership_total", |total| total > 0);
    // Nobody listens on the second address.
    let mut client = RawClient::connect(proxy.listener("main"));
    let statuses = [(); 2].map(|()| client.get("/").status());
    assert!(statuses.contains(&200), "{statuses:?}");
    assert_eq!(names.asked("a.test"), 1);
    proxy.stat("cluster.origin.membership_total")
}

#[test]
fn the_name_server_of_a_cluster_is_asked() {
    let of = |kind: &str, names: &NameServer| {
        format!("type: {kind}\n  dns_lookup_family: V4_ONLY\n  {}", names.resolver())
    };
    assert_eq!(members(|names| of("STRICT_DNS", names)), 2);
    assert_eq!(members(|names| of("LOGICAL_DNS", names)), 1);
}

#[test]
fn a_cluster_of_dns_is_strict_or_logical() {
    let of = |more: &str, names: &NameServer| {
        let resolver = names.resolver();
        format!(
            "cluster_type: {{ name: envoy.cluster.dns, typed_config: {{ '@type': \
             type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster, dns_lookup_family: \
             V4_ONLY, {more}{resolver} }} }}"
        )
    };
    assert_eq!(members(|names| of("", names)), 2);
    assert_eq!(members(|names| of("all_addresses_in_single_endpoint: true, ", names)), 1);
}
