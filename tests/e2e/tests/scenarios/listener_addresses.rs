//! Listeners with several addresses or none of their own, connections that go from one listener to
//! another, how workers share them, and what drains.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use ringway_test_support::{Bootstrap, Launch, Make, Origin, Proxy, RawClient, Signal, indent};

use crate::only_ringway;

const NETWORK: &str = "type.googleapis.com/envoy.extensions.filters.network";
const PROXY_PROTOCOL: &str = "- name: header
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol
    allow_requests_without_proxy_protocol: true
";

/// A listener that says its name to whoever connects.
fn saying(name: &str, address: &str, port: u16, fields: &str) -> String {
    format!(
        "- name: {name}\n  address: {{ socket_address: {{ address: \"{address}\", port_value: \
         {port} }} }}\n{}  filter_chains:\n  - filters:\n    - name: say\n      typed_config: {{ \
         \"@type\": {NETWORK}.direct_response.v3.Config, response: {{ inline_string: {name} }} }}\n",
        indent(fields, 2)
    )
}

fn more(addresses: &[&str]) -> String {
    let each = addresses.iter().map(|address| {
        format!("- address: {{ socket_address: {{ address: \"{address}\", port_value: 0 }} }}\n")
    });
    format!("additional_addresses:\n{}", each.collect::<String>())
}

/// What is said to a client that sends these bytes first.
fn said_to(address: SocketAddr, bytes: &str) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(bytes.as_bytes()).unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).unwrap();
    said
}

fn meant_for(address: SocketAddr, destination: &str) -> String {
    let family = if destination.contains(':') { "TCP6 ::7" } else { "TCP4 192.0.2.7" };
    said_to(address, &format!("PROXY {family} {destination}\r\n"))
}

#[test]
fn one_listener_on_several_addresses() {
    let bootstrap = Bootstrap::new().listener(&saying(
        "main",
        "127.0.0.1",
        0,
        &more(&["127.0.0.2", "127.0.0.1"]),
    ));
    let proxy = Proxy::start(bootstrap.to_yaml());
    let addresses = proxy.addresses("main");
    assert_eq!(addresses.len(), 3, "{addresses:?}");
    assert_eq!(addresses[1].ip().to_string(), "127.0.0.2");
    assert_ne!(addresses[0].port(), addresses[2].port());
    for address in &addresses {
        assert_eq!(said_to(*address, ""), "main", "{address}");
    }
    // All of them are one listener.
    proxy.wait_stat("listener.127.0.0.1_0.downstream_cx_total", |total| total == 3);
    assert_eq!(proxy.stat("listener_manager.total_listeners_active"), 1);
    let text = proxy.admin("/listeners").text().to_owned();
    let lines: Vec<String> = addresses.iter().map(|one| format!("main::{one}\n")).collect();
    assert_eq!(text, lines.concat());
}

#[test]
fn addresses_come_and_go_while_others_stay() {
    if !only_ringway("a configuration that is read again") {
        return;
    }
    let yaml = |addresses: &[&str]| {
        let listener = saying("main", "127.0.0.1", 0, &more(addresses));
        Bootstrap::new().listener(&listener).to_yaml()
    };
    let mut proxy = Proxy::start(yaml(&["127.0.0.2"]));
    let before = proxy.addresses("main");
    let reload = |proxy: &mut Proxy, yaml: &str, count: usize| {
        proxy.replace_config(yaml);
        proxy.signal(Signal::HUP);
        proxy.wait_file("stderr", |log| log.matches("was reloaded").count() == count);
        proxy.learn_listeners();
        proxy.addresses("main")
    };
    let with_more = reload(&mut proxy, &yaml(&["127.0.0.2", "127.0.0.3"]), 1);
    assert_eq!(with_more[..2], before[..]);
    assert_eq!(said_to(with_more[2], ""), "main");
    let with_less = reload(&mut proxy, &yaml(&[]), 2);
    assert_eq!(with_less[..], before[..1]);
    assert_eq!(said_to(before[0], ""), "main");
    // The socket of an address that is gone ends with its last accept.
    until("refused", || TcpStream::connect(before[1]).is_err());
}

#[test]
fn a_connection_goes_to_the_listener_that_it_was_meant_for() {
    let filters = format!("use_original_dst: true\nlistener_filters:\n{PROXY_PROTOCOL}");
    let unbound = "bind_to_port: false\n";
    let bootstrap = Bootstrap::new()
        .listener(&saying("main", "127.0.0.1", 0, &filters))
        .listener(&saying("one", "198.51.100.1", 80, unbound))
        .listener(&saying("any", "0.0.0.0", 81, unbound))
        .listener(&saying("six", "::", 82, unbound))
        .listener(&saying("old", "198.51.100.1", 83, "deprecated_v1: { bind_to_port: false }\n"));
    let proxy = Proxy::start(bootstrap.to_yaml());
    let main = proxy.listener("main");
    assert_eq!(meant_for(main, "198.51.100.1 9 80"), "one");
    assert_eq!(meant_for(main, "198.51.100.2 9 80"), "main");
    assert_eq!(meant_for(main, "198.51.100.2 9 81"), "any");
    assert_eq!(meant_for(main, "::1 9 81"), "main", "of another family");
    assert_eq!(meant_for(main, "2001:db8::1 9 82"), "six");
    assert_eq!(meant_for(main, "198.51.100.1 9 83"), "old");
    // What was not redirected stays.
    assert_eq!(said_to(main, "nothing of the kind"), "main");
    proxy.wait_stat("listener.198.51.100.1_80.downstream_cx_total", |total| total == 1);
    proxy.wait_stat("listener.127.0.0.1_0.downstream_cx_total", |total| total == 3);
}

#[test]
fn without_use_original_dst_a_connection_stays() {
    let filters = format!("listener_filters:\n{PROXY_PROTOCOL}");
    let bootstrap = Bootstrap::new()
        .listener(&saying("main", "127.0.0.1", 0, &filters))
        .listener(&saying("one", "198.51.100.1", 80, "bind_to_port: false\n"));
    let proxy = Proxy::start(bootstrap.to_yaml());
    assert_eq!(meant_for(proxy.listener("main"), "198.51.100.1 9 80"), "main");
}

#[test]
fn the_filters_of_the_next_listener_look_as_well() {
    let inspector = "type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3";
    let inspecting = format!(
        "bind_to_port: false\nlistener_filters:\n- name: i\n  typed_config: {{ \"@type\": \
         {inspector}.HttpInspector }}\n"
    );
    let origin = Origin::named("a");
    let filters = format!("use_original_dst: true\nlistener_filters:\n{PROXY_PROTOCOL}");
    let route = "- match: { prefix: / }\n  route: { cluster: origin }";
    let bootstrap = Bootstrap::new()
        .listener(&saying("main", "127.0.0.1", 0, &filters))
        .routes("next", route)
        .cluster("origin", &[origin.address()]);
    let yaml = bootstrap.to_yaml().replace(
        "- name: next\n    address: { socket_address: { address: \"127.0.0.1\", port_value: 0 } }\n",
        &format!(
            "- name: next\n    address: {{ socket_address: {{ address: \"198.51.100.1\", port_value: 80 }} }}\n{}",
            indent(&inspecting, 4)
        ),
    );
    assert!(yaml.contains("198.51.100.1"), "{yaml}");
    let yaml = yaml
        .replace("stat_prefix: next\n", "stat_prefix: next\n          use_remote_address: true\n");
    let proxy = Proxy::start(yaml);
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send("PROXY TCP4 192.0.2.7 198.51.100.1 9 80\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(client.response().status(), 200);
    proxy.wait_stat("http_inspector.http11_found", |found| found == 1);
    // What the first has found out is kept.
    let head = origin.wait_for(1)[0].message.head.clone();
    assert_eq!(head.get("x-forwarded-for"), Some("192.0.2.7"));
}

#[test]
fn the_first_chain_may_ask_for_a_proxy_header() {
    let yaml = Bootstrap::new()
        .routes("main", "- match: { prefix: / }\n  direct_response: { status: 200 }");
    let yaml = yaml.to_yaml().replace(
        "filter_chains:\n    - filters",
        "filter_chains:\n    - use_proxy_proto: true\n      filters",
    );
    assert!(yaml.contains("use_proxy_proto"), "{yaml}");
    let proxy = Proxy::start(yaml);
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send("PROXY TCP4 192.0.2.7 198.51.100.1 9 80\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(client.response().status(), 200);
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send_anyway("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(client.try_response("GET").is_err());
}

#[test]
fn connections_are_balanced_exactly() {
    let origin = Origin::named("a");
    let yaml = Bootstrap::proxying_to(origin.address()).to_yaml();
    let yaml = yaml.replace(
        "- name: main\n",
        "- name: main\n    connection_balance_config: { exact_balance: {} }\n",
    );
    assert!(yaml.contains("exact_balance"), "{yaml}");
    let proxy = Launch::new(Make::subject(), yaml).concurrency(3).start();
    let proxy = proxy.unwrap_or_else(|error| panic!("{error}"));
    let active = || {
        [0, 1, 2].map(|worker| {
            proxy.stat(&format!("listener.127.0.0.1_0.worker_{worker}.downstream_cx_active"))
        })
    };
    let mut clients = Vec::new();
    for count in 1..=30_u64 {
        let mut client = RawClient::connect(proxy.listener("main"));
        assert_eq!(client.get("/").status(), 200);
        clients.push(client);
        let active = active();
        assert_eq!(active.iter().sum::<u64>(), count);
        let (least, most) = (active.iter().min().unwrap(), active.iter().max().unwrap());
        assert!(most - least <= 1, "{active:?}");
    }
    // Those that ended are missed where they were: new ones take their places.
    clients.drain(3..15);
    proxy.wait_stat("listener.127.0.0.1_0.downstream_cx_active", |active| active == 18);
    for _ in 0..12 {
        let mut client = RawClient::connect(proxy.listener("main"));
        assert_eq!(client.get("/").status(), 200);
        clients.push(client);
    }
    assert_eq!(active(), [10, 10, 10]);
}

fn three() -> Proxy {
    let manager = "route_config:\n  virtual_hosts:\n  - name: all\n    domains: ['*']\n    \
                   routes: [{ match: { prefix: / }, direct_response: { status: 200 } }]\n";
    let mut yaml = ["in", "out", "other"]
        .iter()
        .fold(Bootstrap::new(), |bootstrap, name| bootstrap.http(name, manager))
        .to_yaml();
    for (name, field) in [
        ("in", "traffic_direction: INBOUND"),
        ("out", "traffic_direction: OUTBOUND"),
        ("other", "drain_type: MODIFY_ONLY"),
    ] {
        let place = format!("- name: {name}\n");
        assert!(yaml.contains(&place), "{yaml}");
        yaml = yaml.replace(&place, &format!("{place}    {field}\n"));
    }
    let launch = Launch::new(Make::subject(), yaml);
    launch.argument("--drain-strategy").argument("immediate").start().unwrap()
}

/// Looks until it is so: nothing tells when a worker has followed a command.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

fn is_told_to_close(proxy: &Proxy, name: &str) -> bool {
    let mut client = RawClient::connect(proxy.listener(name));
    client.get("/").head.get("connection") == Some("close")
}

#[test]
fn inbound_listeners_can_be_drained_alone() {
    let proxy = three();
    assert_eq!(proxy.admin_post("/drain_listeners?inboundonly").status(), 200);
    until("refused", || TcpStream::connect(proxy.listener("in")).is_err());
    for name in ["out", "other"] {
        assert!(!is_told_to_close(&proxy, name), "{name}");
    }
}

#[test]
fn inbound_listeners_can_be_drained_gracefully() {
    let proxy = three();
    assert_eq!(proxy.admin_post("/drain_listeners?graceful&skip_exit&inboundonly").status(), 200);
    until("told to close", || is_told_to_close(&proxy, "in"));
    for name in ["out", "other"] {
        assert!(!is_told_to_close(&proxy, name), "{name}");
    }
}

#[test]
fn failing_health_checks_do_not_drain_what_drains_when_modified_only() {
    let proxy = three();
    assert_eq!(proxy.admin_post("/healthcheck/fail").status(), 200);
    until("told to close", || is_told_to_close(&proxy, "in"));
    assert!(is_told_to_close(&proxy, "out"));
    assert!(!is_told_to_close(&proxy, "other"));
}

#[test]
fn a_drained_port_of_udp_is_free() {
    if !only_ringway("a port of UDP that is free once its listener drains") {
        return;
    }
    let udp = "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig";
    let listener = format!(
        "- name: main\n  address: {{ socket_address: {{ protocol: UDP, address: 127.0.0.1, \
         port_value: 0 }} }}\n  listener_filters:\n  - name: udp\n    typed_config: {{ \"@type\": \
         {udp}, stat_prefix: u, cluster: origin }}\n"
    );
    let origin = "127.0.0.1:9".parse().unwrap();
    let bootstrap = Bootstrap::new().listener(&listener).cluster("origin", &[origin]);
    let proxy = Proxy::start(bootstrap.to_yaml());
    let address = proxy.listener("main");
    assert!(UdpSocket::bind(address).is_err());
    assert_eq!(proxy.admin_post("/drain_listeners").status(), 200);
    until("free", || UdpSocket::bind(address).is_ok());
}
