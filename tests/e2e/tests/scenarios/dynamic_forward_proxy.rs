//! Requests and connections name their hosts: the cluster, the cache of names and both filters.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};

use ringway_test_support::{
    Bootstrap, Certificates, Launch, Make, NameServer, Origin, Proxy, RawClient, Says,
};

use super::listener_filters::client_hello;
use super::network_filters::{bootstrap, connect, filter, rest};
use super::only_ringway;

const EXTENSIONS: &str = "type.googleapis.com/envoy.extensions";

/// A cache that asks this server; `more` holds further fields of it.
fn cache(names: &NameServer, more: &str) -> String {
    format!("{{ name: names, dns_lookup_family: V4_ONLY, {more}{} }}", names.resolver())
}

fn cluster(cache: &str) -> String {
    format!(
        "- name: dynamic\n  lb_policy: CLUSTER_PROVIDED\n  connect_timeout: 5s\n  cluster_type: {{ \
         name: envoy.clusters.dynamic_forward_proxy, typed_config: {{ '@type': \
         {EXTENSIONS}.clusters.dynamic_forward_proxy.v3.ClusterConfig, dns_cache_config: {cache} }} }}\n"
    )
}

const ROUTES: &str = "route_config:\n  name: r\n  virtual_hosts:\n  - name: all\n    domains: ['*']\n    \
                      routes:\n    - { match: { prefix: / }, route: { cluster: dynamic } }\n";

/// The listener `main` has the filter, `bare` has not.
fn yaml(cache: &str) -> String {
    let filter = format!(
        "        - name: names\n          typed_config: {{ '@type': \
         {EXTENSIONS}.filters.http.dynamic_forward_proxy.v3.FilterConfig, dns_cache_config: {cache} }}\n"
    );
    let bootstrap = Bootstrap::new().http("main", ROUTES);
    let yaml = bootstrap.http("bare", ROUTES).other_cluster(&cluster(cache)).to_yaml();
    yaml.replacen("http_filters:\n", &format!("http_filters:\n  {}", indent_first(&filter)), 1)
}

/// The list of filters stands two columns deeper within a bootstrap.
fn indent_first(filter: &str) -> String {
    filter.replace('\n', "\n  ").trim_end().to_owned() + "\n"
}

fn start(yaml: &str) -> Proxy {
    start_with(2, yaml)
}

fn start_with(workers: usize, yaml: &str) -> Proxy {
    Launch::new(Make::subject(), yaml).concurrency(workers).start().unwrap()
}

fn get(proxy: &Proxy, listener: &str, host: &str) -> (u16, String) {
    let mut client = RawClient::connect(proxy.listener(listener));
    let answer = client.ask(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n"));
    (answer.status(), String::from_utf8_lossy(&answer.body).into_owned())
}

#[test]
fn a_request_goes_to_the_host_that_it_names() {
    let (names, a, b) = (NameServer::start(), Origin::named("a"), Origin::named("b"));
    names.say("a.test", Says::loopback());
    names.say("b.test", Says::loopback());
    let proxy = start(&yaml(&cache(&names, "")));
    let to = |name: &str, origin: &Origin| format!("{name}:{}", origin.address().port());
    for listener in ["main", "bare", "main"] {
        assert_eq!(get(&proxy, listener, &to("a.test", &a)).0, 200, "{listener}");
        assert_eq!(get(&proxy, listener, &to("b.test", &b)).0, 200, "{listener}");
    }
    assert_eq!(get(&proxy, "main", &a.address().to_string()).0, 200);
    assert_eq!((a.wait_for(4).len(), b.wait_for(3).len()), (4, 3));
    assert_eq!((names.asked("a.test"), names.asked("b.test")), (1, 1));
    assert_eq!(proxy.stat("dns_cache.names.host_added"), 3);
    assert_eq!(proxy.stat("dns_cache.names.num_hosts"), 3);
    assert_eq!(proxy.stat("cluster.dynamic.membership_total"), 3);
    let clusters = String::from_utf8_lossy(&proxy.admin("/clusters").body).into_owned();
    let line = format!("dynamic::{}::hostname::{}\n", a.address(), to("a.test", &a));
    assert!(clusters.contains(&line), "{clusters}");
}

#[test]
fn a_route_says_who_is_meant() {
    let (names, origin) = (NameServer::start(), Origin::named("a"));
    names.say("a.test", Says::loopback());
    let to = format!("a.test:{}", origin.address().port());
    let rewrite = |name: &str, value: &str| {
        format!(
            "typed_per_filter_config: {{ names: {{ '@type': \
             {EXTENSIONS}.filters.http.dynamic_forward_proxy.v3.PerRouteConfig, {name}: '{value}' }} }}"
        )
    };
    let yaml = yaml(&cache(&names, ""));
    let literal = rewrite("host_rewrite_literal", &to);
    let header = rewrite("host_rewrite_header", "x-to");
    // The route itself goes before its virtual host.
    let routes = format!(
        "- {{ match: {{ prefix: /literal }}, route: {{ cluster: dynamic }}, {literal} }}\n{:14}- {{ match",
        ""
    );
    let yaml = yaml.replacen("- { match", &routes, 1);
    let yaml = yaml.replacen("- name: all\n", &format!("- name: all\n{:14}{header}\n", ""), 1);
    let proxy = start(&yaml);
    let mut client = RawClient::connect(proxy.listener("main"));
    let mut ask = |path: &str, more: &str| {
        client.ask(format!("GET {path} HTTP/1.1\r\nhost: x.test\r\n{more}\r\n")).status()
    };
    assert_eq!(ask("/literal", "x-to: y.test\r\n"), 200);
    assert_eq!(ask("/", &format!("x-to: {to}\r\nx-to: y.test\r\n")), 200);
    assert_eq!(ask("/", ""), 503);
    assert_eq!(ask("/", "x-to: a b\r\n"), 503);
    for asked in origin.wait_for(2) {
        assert_eq!(asked.message.head.get("host"), Some(&*to));
    }
}

/// The most specific level speaks to the filter: the entry of weighted clusters, the route, its
/// virtual host, and last the table.
#[test]
fn every_level_of_a_table_says_who_is_meant() {
    let (names, origin) = (NameServer::start(), Origin::named("a"));
    let per_filter = |to: &str| {
        let to = format!("{to}.test:{}", origin.address().port());
        format!(
            "typed_per_filter_config: {{ names: {{ '@type': \
             {EXTENSIONS}.filters.http.dynamic_forward_proxy.v3.PerRouteConfig, \
             host_rewrite_literal: '{to}' }} }}"
        )
    };
    for name in ["entry.test", "route.test", "host.test", "table.test"] {
        names.say(name, Says::loopback());
    }
    let (entry, table, host) = (per_filter("entry"), per_filter("table"), per_filter("host"));
    let entry = format!("{{ name: dynamic, weight: 1, {entry} }}");
    let more = format!(
        "- {{ match: {{ prefix: /entry }}, route: {{ weighted_clusters: {{ clusters: [{entry}] }} \
         }}, {route} }}\n{0:14}- {{ match: {{ prefix: /route }}, route: {{ cluster: dynamic }}, \
         {route} }}\n{0:14}- {{ match",
        "",
        route = per_filter("route"),
    );
    let hosts = format!(
        "{0:12}- name: own\n{0:14}domains: [own.test]\n{0:14}{host}\n{0:14}routes: [{{ match: \
         {{ prefix: / }}, route: {{ cluster: dynamic }} }}]\n{0:12}- name: all\n",
        ""
    );
    let yaml = yaml(&cache(&names, "")).replacen("- { match", &more, 1);
    let yaml = yaml.replacen(&format!("{:12}- name: all\n", ""), &hosts, 1);
    let yaml = yaml.replacen("name: r\n", &format!("name: r\n{:12}{table}\n", ""), 1);
    let proxy = start(&yaml);
    let mut client = RawClient::connect(proxy.listener("main"));
    let asked = [
        ("/entry", "x", "entry"),
        ("/route", "x", "route"),
        ("/", "own", "host"),
        ("/", "x", "table"),
    ];
    for (index, (path, host, expected)) in asked.into_iter().enumerate() {
        let answer = client.ask(format!("GET {path} HTTP/1.1\r\nhost: {host}.test\r\n\r\n"));
        assert_eq!(answer.status(), 200, "{expected}");
        let head = &origin.wait_for(index + 1)[index].message.head;
        let to = format!("{expected}.test:{}", origin.address().port());
        assert_eq!(head.get("host"), Some(&*to));
    }
}

#[test]
fn a_name_without_an_address_is_told_apart() {
    let names = NameServer::start();
    names.say("empty.test", Says::Nothing);
    names.say("broken.test", Says::Failure);
    // Another worker would have to ask before it knows.
    let proxy = start_with(1, &yaml(&cache(&names, "")));
    let failure = (503, "DNS resolution failure".to_owned());
    for host in ["nobody.test", "nobody.test", "empty.test:1", "broken.test", "a..b", "[::1]"] {
        assert_eq!(get(&proxy, "main", host), failure, "{host}");
    }
    assert_eq!(get(&proxy, "main", ""), (400, "Empty host header".to_owned()));
    let nobody = (503, "no healthy upstream".to_owned());
    for host in ["nobody.test", "other.test", ""] {
        assert_eq!(get(&proxy, "bare", host), nobody, "{host}");
    }
    assert_eq!(proxy.stat("dns_cache.names.dns_query_success"), 3);
    assert_eq!(proxy.stat("dns_cache.names.dns_query_failure"), 3);
    assert_eq!(proxy.stat("cluster.dynamic.upstream_cx_none_healthy"), 2);
}

#[test]
fn hostile_names_take_no_place_and_are_never_asked_for() {
    if !only_ringway("names that are none") {
        return;
    }
    let names = NameServer::start();
    let proxy = start(&yaml(&cache(&names, "")));
    let (label, name) = ("a".repeat(64), ["abcdefg"; 40].join("."));
    for host in ["a..b", "a.test:99999", "ex%20y", "a%b", "a'b", ":80", &label, &name] {
        assert_eq!(get(&proxy, "main", host).0, 503, "{host}");
    }
    assert_eq!(proxy.stat("dns_cache.names.dns_query_failure"), 8);
    assert_eq!(proxy.stat("dns_cache.names.host_added"), 0);
}

#[test]
fn the_table_has_an_end() {
    let (names, origin) = (NameServer::start(), Origin::named("a"));
    let port = origin.address().port();
    for name in ["a.test", "b.test", "c.test"] {
        names.say(name, Says::loopback());
    }
    let proxy = start(&yaml(&cache(&names, "max_hosts: 2, ")));
    assert_eq!(get(&proxy, "main", &format!("a.test:{port}")).0, 200);
    assert_eq!(get(&proxy, "bare", &format!("b.test:{port}")).0, 200);
    let overflow = (503, "DNS cache overflow".to_owned());
    assert_eq!(get(&proxy, "main", &format!("c.test:{port}")), overflow);
    let nobody = (503, "no healthy upstream".to_owned());
    assert_eq!(get(&proxy, "bare", &format!("c.test:{port}")), nobody);
    assert_eq!(get(&proxy, "main", &format!("a.test:{port}")).0, 200);
    assert_eq!(proxy.stat("dns_cache.names.host_overflow"), 2);
    assert_eq!(names.asked("c.test"), 0);
}

#[test]
fn only_so_many_wait_for_a_name() {
    let (names, origin) = (NameServer::start(), Origin::named("a"));
    names.say("slow.test", Says::Held);
    let breaker = "dns_cache_circuit_breaker: { max_pending_requests: 2 }, ";
    let proxy = start(&yaml(&cache(&names, breaker)));
    let port = origin.address().port();
    let request = format!("GET / HTTP/1.1\r\nhost: slow.test:{port}\r\n\r\n");
    let mut waiting = ["main", "bare"].map(|name| RawClient::connect(proxy.listener(name)));
    waiting[0].send(&request);
    names.wait_asked("slow.test", 1);
    waiting[1].send(&request);
    proxy.wait_stat("dns_cache.names.circuit_breakers.rq_pending_open", |open| open == 1);
    let overflow = (503, "Dynamic forward proxy pending request overflow".to_owned());
    assert_eq!(get(&proxy, "main", "other.test"), overflow);
    assert_eq!(get(&proxy, "bare", "other.test"), (503, "no healthy upstream".to_owned()));
    assert_eq!(proxy.stat("dns_cache.names.dns_rq_pending_overflow"), 2);
    names.say("slow.test", Says::loopback());
    for client in &mut waiting {
        assert_eq!(client.response().status(), 200);
    }
    assert_eq!(proxy.stat("dns_cache.names.circuit_breakers.rq_pending_open"), 0);
}

#[test]
fn one_who_leaves_gives_his_place_up() {
    let names = NameServer::start();
    names.say("slow.test", Says::Held);
    let breaker = "dns_cache_circuit_breaker: { max_pending_requests: 1 }, ";
    let proxy = start(&yaml(&cache(&names, breaker)));
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send("GET / HTTP/1.1\r\nhost: slow.test\r\n\r\n");
    proxy.wait_stat("dns_cache.names.circuit_breakers.rq_pending_open", |open| open == 1);
    drop(client);
    proxy.wait_stat("dns_cache.names.circuit_breakers.rq_pending_open", |open| open == 0);
}

#[test]
fn a_question_without_an_answer_ends_in_time() {
    let names = NameServer::start();
    names.say("silent.test", Says::Held);
    let proxy = start(&yaml(&cache(&names, "dns_query_timeout: 0.2s, ")));
    let failure = (503, "DNS resolution failure".to_owned());
    assert_eq!(get(&proxy, "main", "silent.test"), failure);
    assert_eq!(proxy.stat("dns_cache.names.dns_query_timeout"), 1);
    assert_eq!(proxy.stat("dns_cache.names.dns_query_failure"), 1);
}

fn at(last: u8) -> Says {
    Says::Addresses(vec![Ipv4Addr::new(127, 0, 0, last)], 1)
}

#[test]
fn a_name_is_asked_for_again() {
    let (names, origin) = (NameServer::start(), Origin::named("a"));
    // Nobody listens on the other address at this port.
    names.say("a.test", at(9));
    let proxy = start(&yaml(&cache(&names, "dns_min_refresh_rate: 1s, dns_refresh_rate: 0.2s, ")));
    let there = format!("a.test:{}", origin.address().port());
    assert_eq!(get(&proxy, "main", &there).0, 503);
    names.say("a.test", at(1));
    proxy.wait_stat("dns_cache.names.host_address_changed", |changes| changes == 2);
    assert_eq!(get(&proxy, "main", &there).0, 200);
    // A name that is lost keeps its address.
    let asked = names.asked("a.test");
    names.say("a.test", Says::NoSuchName);
    names.wait_asked("a.test", asked + 2);
    assert_eq!(get(&proxy, "main", &there).0, 200);
}

#[test]
fn a_name_that_nobody_uses_is_forgotten() {
    let (names, origin) = (NameServer::start(), Origin::named("a"));
    names.say("a.test", at(1));
    let proxy = start(&yaml(&cache(&names, "dns_min_refresh_rate: 1s, host_ttl: 0.5s, ")));
    let there = format!("a.test:{}", origin.address().port());
    assert_eq!(get(&proxy, "main", &there).0, 200);
    proxy.wait_stat("dns_cache.names.host_removed", |removed| removed == 1);
    assert_eq!(proxy.stat("dns_cache.names.num_hosts"), 0);
    assert_eq!(proxy.stat("cluster.dynamic.membership_total"), 0);
    let asked = names.asked("a.test");
    assert_eq!(get(&proxy, "main", &there).0, 200);
    assert_eq!(names.asked("a.test"), asked + 1);
}

#[test]
fn names_are_asked_for_in_advance() {
    let names = NameServer::start();
    names.say("early.test", Says::loopback());
    let more = "preresolve_hostnames: [{ address: early.test, port_value: 80 }], ";
    let proxy = start(&yaml(&cache(&names, more)));
    proxy.wait_stat("dns_cache.names.dns_query_success", |answers| answers == 1);
    assert_eq!(proxy.stat("cluster.dynamic.membership_total"), 1);
}

#[test]
fn a_reload_keeps_the_names() {
    if !only_ringway("SIGHUP and --watch") {
        return;
    }
    let (names, origin) = (NameServer::start(), Origin::named("a"));
    names.say("a.test", Says::loopback());
    let yaml = yaml(&cache(&names, ""));
    let proxy = Launch::new(Make::subject(), &*yaml).argument("--watch").start().unwrap();
    let host = format!("a.test:{}", origin.address().port());
    assert_eq!(get(&proxy, "main", &host).0, 200);
    proxy.replace_config(
        &yaml.replace("prefix: /", "prefix: '/'").replace("name: all", "name: every"),
    );
    proxy.wait_stat("listener_manager.listener_modified", |modified| modified > 0);
    assert_eq!(get(&proxy, "main", &host).0, 200);
    assert_eq!(names.asked("a.test"), 1);
}

#[test]
fn the_server_name_is_the_host() {
    let names = NameServer::start();
    names.say("a.example", Says::loopback());
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = origin.local_addr().unwrap().port();
    let cache = cache(&names, "max_hosts: 2, ");
    let sni = format!("dns_cache_config: {cache}, port_value: {port}");
    let filters = filter("sni_dynamic_forward_proxy", "FilterConfig", &sni)
        + &filter("tcp_proxy", "TcpProxy", "stat_prefix: tp, cluster: dynamic");
    let proxy = start(&bootstrap(&filters).other_cluster(&cluster(&cache)).to_yaml());
    for _ in 0..2 {
        let hello = client_hello("A.example", "h2");
        let mut client = connect(&proxy);
        client.write_all(&hello).unwrap();
        let mut got = vec![0; hello.len()];
        origin.accept().unwrap().0.read_exact(&mut got).unwrap();
        assert_eq!(got, hello);
    }
    assert_eq!(names.asked("a.example"), 1);
    let refused = |bytes: &[u8]| {
        let mut client = connect(&proxy);
        client.write_all(bytes).unwrap();
        assert_eq!(rest(&mut client), b"");
    };
    refused(&client_hello("b.example", "h2"));
    assert_eq!(proxy.stat("cluster.dynamic.upstream_cx_none_healthy"), 1);
    refused(&client_hello("c.example", "h2"));
    assert_eq!(proxy.stat("dns_cache.names.host_overflow"), 1);
    // Without a server name nobody knows where to.
    refused(b"no hello");
    assert_eq!(proxy.stat("cluster.dynamic.upstream_cx_none_healthy"), 2);
    assert_eq!(proxy.stat("tcp.tp.downstream_cx_total"), 5);
}

#[test]
fn a_certificate_must_be_for_the_name_of_the_request() {
    let certificates = Certificates::new();
    certificates.issue("a", &["a.test"]);
    let (names, origin) = (NameServer::start(), Origin::named("a"));
    names.say("a.test", Says::loopback());
    names.say("b.test", Says::loopback());
    let back = super::tls::start(&certificates, origin.address(), "");
    let port = back.listener("main").port();
    let cache = cache(&names, "");
    let socket = format!(
        "  transport_socket: {{ name: tls, typed_config: {{ '@type': \
         {EXTENSIONS}.transport_sockets.tls.v3.UpstreamTlsContext, sni: other.test, \
         common_tls_context: {{ validation_context: {{ trusted_ca: {{ filename: '{}' }} }} }} }} }}\n",
        certificates.path("ca.pem").display()
    );
    let bootstrap = Bootstrap::new().http("main", ROUTES);
    let front = start(&bootstrap.other_cluster(&(cluster(&cache) + &socket)).to_yaml());
    let of_origin = get(&front, "main", &format!("a.test:{port}"));
    assert_eq!(of_origin.0, 200, "{}", of_origin.1);
    for host in ["b.test", "127.0.0.1"] {
        let (status, body) = get(&front, "main", &format!("{host}:{port}"));
        assert_eq!(status, 503, "{host}");
        assert!(body.contains("TLS_error") || body.contains("connect error"), "{host}: {body}");
    }
    assert_eq!(origin.requests().len(), 1);
    assert_eq!(front.stat("cluster.dynamic.ssl.fail_verify_san"), 2);
}
