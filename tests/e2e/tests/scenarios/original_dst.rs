//! Clusters whose hosts are where connections and requests were meant to go. Without rules of a
//! firewall it is a PROXY header that says where, or a header of the request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use ringway_test_support::{
    Bootstrap, Launch, Make, Message, Origin, Proxy, RawClient, Reply, indent,
};

use super::alone::{Rights, is_alone, rule};
use super::only_ringway;
use super::original_src::client;

const TYPES: &str = "type.googleapis.com/envoy.extensions.filters";
const PATIENCE: Duration = Duration::from_secs(20);

/// A PROXY header may come, and one of its additions is metadata.
fn header_filter() -> String {
    format!(
        "listener_filters:\n- name: header\n  typed_config:\n    '@type': \
         {TYPES}.listener.proxy_protocol.v3.ProxyProtocol\n    \
         allow_requests_without_proxy_protocol: true\n    rules: [{{ tlv_type: 0xE5, \
         on_tlv_present: {{ metadata_namespace: ns, key: host }} }}]\n"
    )
}

fn cluster(config: &str, more: &str) -> String {
    format!(
        "- name: there\n  type: ORIGINAL_DST\n  lb_policy: CLUSTER_PROVIDED\n  connect_timeout: 5s\n  \
         original_dst_lb_config: {{ {config} }}\n{more}"
    )
}

/// HTTP and plain TCP in front of such a cluster, listeners `http` and `tcp`.
fn yaml(config: &str, more: &str) -> String {
    let routes = "- match: { prefix: /auto }\n  route: { cluster: there, auto_host_rewrite: true }\n\
                  - match: { prefix: / }\n  route: { cluster: there }";
    let tcp = format!(
        "- name: tcp\n  address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }}\n  \
         filter_chains:\n  - filters:\n    - name: tcp\n      typed_config: {{ '@type': \
         {TYPES}.network.tcp_proxy.v3.TcpProxy, stat_prefix: tcp, cluster: there }}\n"
    );
    let bootstrap = Bootstrap::new().routes("http", routes).listener(&tcp);
    let yaml = bootstrap.other_cluster(&cluster(config, more)).to_yaml();
    let filters = indent(&header_filter(), 4);
    yaml.replace("    filter_chains:\n", &format!("{filters}    filter_chains:\n"))
}

fn saying(name: &'static str) -> Origin {
    Origin::start(move |_| Reply::ok(name))
}

fn start(config: &str) -> Proxy {
    Proxy::start(yaml(config, ""))
}

/// The header in front of a connection that was meant for this address.
fn meant_for(there: SocketAddr) -> String {
    let family = if there.is_ipv4() { "TCP4 192.0.2.7" } else { "TCP6 2001:db8::7" };
    format!("PROXY {family} {} 9 {}\r\n", there.ip(), there.port())
}

fn ask(proxy: &Proxy, first: &str, path: &str, header: &str) -> Message {
    let mut client = RawClient::connect(proxy.listener("http"));
    client.ask(format!("{first}GET {path} HTTP/1.1\r\nhost: x\r\n{header}\r\n"))
}

fn nobody(answer: &Message) -> bool {
    answer.status() == 503 && answer.text() == "no healthy upstream"
}

#[test]
fn a_request_goes_where_its_connection_was_meant_to_go() {
    let (a, b) = (saying("a"), saying("b"));
    let proxy = start("");
    for _ in 0..2 {
        assert_eq!(ask(&proxy, &meant_for(a.address()), "/", "").text(), "a");
        assert_eq!(ask(&proxy, &meant_for(b.address()), "/", "").text(), "b");
    }
    // A connection that was not redirected was not meant for anywhere else, whatever it asks for.
    let header = format!("x-envoy-original-dst-host: {}\r\n", a.address());
    assert!(nobody(&ask(&proxy, "", "/", "")));
    assert!(nobody(&ask(&proxy, "", "/", &header)));
    assert_eq!((a.requests().len(), b.requests().len()), (2, 2));
    proxy.wait_stat("cluster.there.membership_total", |total| total == 2);
    assert_eq!(proxy.stat("cluster.there.membership_healthy"), 2);
    assert_eq!(proxy.stat("cluster.there.membership_change"), 2);
    assert_eq!(proxy.stat("cluster.there.upstream_cx_none_healthy"), 2);
    let clusters = proxy.admin("/clusters").text().to_owned();
    let line = format!("there::{0}::hostname::there{0}\n", a.address());
    assert!(clusters.contains(&line), "{clusters}");
}

#[test]
fn an_address_of_ipv6_is_a_destination_too() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        return ringway_test_support::skip("this host has no IPv6");
    };
    let there = listener.local_addr().unwrap();
    let proxy = start("");
    let mut client = connect(&proxy, &meant_for(there));
    client.write_all(b"six").unwrap();
    let mut heard = [0; 3];
    listener.accept().unwrap().0.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"six");
}

#[test]
fn a_header_says_where_a_request_goes() {
    let (a, b) = (saying("a"), saying("b"));
    let proxy = start("use_http_header: true");
    let to = |value: &str| format!("X-Envoy-Original-Dst-Host: {value}\r\n");
    let (to_a, to_b) = (to(&a.address().to_string()), to(&b.address().to_string()));
    assert_eq!(ask(&proxy, "", "/", &to_a).text(), "a");
    // The host of such an endpoint is the cluster's name with its address.
    assert_eq!(ask(&proxy, "", "/auto", &to_b).text(), "b");
    let host = format!("there{}", b.address());
    assert_eq!(b.wait_for(1)[0].message.head.get("host"), Some(&*host));
    // Clients are not trusted with a list.
    assert_eq!(ask(&proxy, "", "/", &format!("{to_b}{to_a}")).text(), "b");
    // The header goes before what the connection was meant for, which stands in where it is bad.
    assert_eq!(ask(&proxy, &meant_for(b.address()), "/", &to_a).text(), "a");
    let bad = ["", "localhost:80", "127.0.0.1", "127.0.0.1:99999", "127.1:80", "::1:80", "/tmp/x"];
    for (count, value) in bad.into_iter().enumerate() {
        assert!(nobody(&ask(&proxy, "", "/", &to(value))), "{value}");
        assert_eq!(proxy.stat("cluster.there.original_dst_host_invalid"), count as u64 + 1);
    }
    assert_eq!(ask(&proxy, &meant_for(b.address()), "/", &to("localhost:80")).text(), "b");
    assert_eq!(proxy.stat("cluster.there.original_dst_host_invalid"), bad.len() as u64 + 1);
}

#[test]
fn another_header_and_port_may_be_configured() {
    let (a, b) = (saying("a"), saying("b"));
    let port = a.address().port();
    let config =
        format!("use_http_header: true, http_header_name: X-To, upstream_port_override: {port}");
    let proxy = start(&config);
    assert_eq!(ask(&proxy, "", "/", "x-to: 127.0.0.1:1\r\n").text(), "a");
    assert_eq!(ask(&proxy, &meant_for(b.address()), "/", "").text(), "a");
    assert!(nobody(&ask(&proxy, "", "/", "x-envoy-original-dst-host: 127.0.0.1:1\r\n")));
    assert_eq!(b.requests().len(), 0);
}

fn connect(proxy: &Proxy, first: &str) -> TcpStream {
    let mut client = TcpStream::connect(proxy.listener("tcp")).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(first.as_bytes()).unwrap();
    client
}

/// Asks behind these bytes, and says who answers: the name of an origin, or nobody.
fn who_hears(proxy: &Proxy, first: &[u8]) -> String {
    let mut client = RawClient::connect(proxy.listener("tcp"));
    client.send_anyway([first, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"].concat());
    client.try_response("GET").map(|answer| answer.text().to_owned()).unwrap_or_default()
}

/// A header of version 2 with an address and an addition of type `0xE5`.
fn with_addition(there: SocketAddr, value: &str) -> Vec<u8> {
    let mut body = vec![192, 0, 2, 7, 127, 0, 0, 1, 0, 9];
    body.extend_from_slice(&there.port().to_be_bytes());
    body.push(0xe5);
    body.extend_from_slice(&(value.len() as u16).to_be_bytes());
    body.extend_from_slice(value.as_bytes());
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    header.extend_from_slice(&(body.len() as u16).to_be_bytes());
    header.extend_from_slice(&body);
    header
}

#[test]
fn a_connection_goes_where_it_was_meant_to_go() {
    let (a, b) = (saying("a"), saying("b"));
    // What asks in plain bytes has no header that could say it.
    let proxy = start("use_http_header: true");
    assert_eq!(who_hears(&proxy, meant_for(a.address()).as_bytes()), "a");
    assert_eq!(who_hears(&proxy, meant_for(b.address()).as_bytes()), "b");
    assert_eq!(who_hears(&proxy, b""), "");
    assert_eq!(proxy.stat("cluster.there.upstream_cx_none_healthy"), 1);
    // A destination that does not answer is a host like any other.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(who_hears(&proxy, meant_for(port).as_bytes()), "");
    proxy.wait_stat("cluster.there.upstream_cx_connect_fail", |fails| fails == 1);
}

#[test]
fn metadata_says_where_to() {
    let (a, b) = (saying("a"), saying("b"));
    let proxy = start("metadata_key: { key: ns, path: [{ key: host }] }, use_http_header: true");
    let to_b = with_addition(a.address(), &b.address().to_string());
    assert_eq!(who_hears(&proxy, &to_b), "b");
    let bad = with_addition(a.address(), "nonsense");
    assert_eq!(who_hears(&proxy, &bad), "a");
    assert_eq!(proxy.stat("cluster.there.original_dst_host_invalid"), 1);
    // It goes before the header of a request.
    let mut client = RawClient::connect(proxy.listener("http"));
    let request =
        format!("GET / HTTP/1.1\r\nhost: x\r\nx-envoy-original-dst-host: {}\r\n\r\n", a.address());
    client.send([&to_b[..], request.as_bytes()].concat());
    assert_eq!(client.response().text(), "b");
}

#[test]
fn hosts_that_nobody_uses_leave() {
    let origin = saying("a");
    let proxy = Proxy::start(yaml("", "  cleanup_interval: 1s\n"));
    let mut open = connect(&proxy, &meant_for(origin.address()));
    open.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    origin.wait_for(1);
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    who_hears(&proxy, meant_for(gone).as_bytes());
    proxy.wait_stat("cluster.there.membership_change", |changes| changes >= 2);
    // One that has a connection stays for as long as that.
    proxy.wait_stat("cluster.there.membership_total", |total| total == 1);
    let clusters = proxy.admin("/clusters").text().to_owned();
    assert!(clusters.contains(&format!("there::{}::weight", origin.address())), "{clusters}");
    assert!(!clusters.contains(&gone.to_string()), "{clusters}");
    drop(open);
    proxy.wait_stat("cluster.there.membership_total", |total| total == 0);
    assert_eq!(proxy.stat("cluster.there.membership_change"), 4);
    assert_eq!(who_hears(&proxy, meant_for(origin.address()).as_bytes()), "a");
}

#[test]
fn workers_share_the_table_and_a_reload_keeps_it() {
    if !only_ringway("SIGHUP and --watch") {
        return;
    }
    let origin = saying("a");
    let yaml = yaml("", "");
    let launch = Launch::new(Make::subject(), &*yaml).argument("--watch").concurrency(2);
    let proxy = launch.start().unwrap();
    for _ in 0..16 {
        assert_eq!(ask(&proxy, &meant_for(origin.address()), "/", "").text(), "a");
    }
    let connections = origin.connections();
    proxy.replace_config(&yaml.replace("prefix: /auto", "prefix: /other"));
    proxy.wait_stat("listener_manager.listener_modified", |modified| modified > 0);
    for _ in 0..16 {
        assert_eq!(ask(&proxy, &meant_for(origin.address()), "/", "").text(), "a");
    }
    assert_eq!(proxy.stat("cluster.there.membership_total"), 1);
    assert!(origin.connections() <= connections.max(2), "the pools were kept");
}

#[test]
fn a_rule_of_the_firewall_redirects() {
    if !is_alone("original_dst::a_rule_of_the_firewall_redirects", Rights::All) {
        return;
    }
    let a = Origin::start_on("127.0.0.7:0", |_| Reply::ok("a"));
    let b = Origin::start_on("127.0.0.7:0", |_| Reply::ok("b"));
    let filter = format!(
        "- name: original\n  typed_config: {{ '@type': \
         {TYPES}.listener.original_dst.v3.OriginalDst }}\n"
    );
    let with = format!("    listener_filters:\n{}", indent(&filter, 4));
    let proxy = Proxy::start(yaml("", "").replace("    listener_filters:\n", &with));
    let ports = ["tcp", "http"].map(|name| proxy.listener(name).port());
    for (origin, to) in [&a, &b].into_iter().zip(ports) {
        let port = origin.address().port();
        let redirect = format!(
            "iptables -t nat -A OUTPUT -p tcp -s 127.0.0.9 -d 127.0.0.7 --dport {port} -j REDIRECT \
             --to-ports {to}"
        );
        if !rule(&redirect) {
            return;
        }
    }
    for (origin, name) in [(&a, "a"), (&b, "b")] {
        assert_eq!(client([127, 0, 0, 9], origin.address()).get("/").text(), name);
    }
    assert_eq!(proxy.stat("cluster.there.membership_total"), 2);
    // The kernel knows a destination of every connection by now, but this one was not redirected.
    if only_ringway("a connection that does not go round in circles") {
        assert!(nobody(&ask(&proxy, "", "/", "")));
        assert_eq!(proxy.stat("cluster.there.membership_total"), 2);
    }
}
