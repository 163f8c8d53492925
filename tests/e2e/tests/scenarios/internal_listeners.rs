//! Listeners whose connections come from this process: `internal_listener` and
//! `envoy_internal_address`.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;

use ringway_test_support::{
    Bootstrap, Launch, Make, Origin, Proxy, RawClient, RawOrigin, Signal, h2_upstream,
};

use crate::only_ringway;

const EXTENSIONS: &str = "type.googleapis.com/envoy.extensions";

/// With the bootstrap extension, of which these are the fields.
fn extended(bootstrap: &Bootstrap, fields: &str) -> String {
    format!(
        "bootstrap_extensions: [{{ name: internal, typed_config: {{ '@type': \
         {EXTENSIONS}.bootstrap.internal_listener.v3.InternalListener{fields} }} }}]\n{}",
        bootstrap.to_yaml()
    )
}

/// A cluster whose endpoint is an internal listener.
fn inside(name: &str, listener: &str) -> String {
    format!(
        "- name: {name}\n  load_assignment: {{ cluster_name: {name}, endpoints: [{{ lb_endpoints: [{{ \
         endpoint: {{ address: {{ envoy_internal_address: {{ server_listener_name: {listener}, \
         endpoint_id: e1 }} }} }} }}] }}] }}\n"
    )
}

/// A listener that ends in a TCP proxy; `address` is a field of it.
fn tcp(name: &str, address: &str, fields: &str) -> String {
    format!(
        "- name: {name}\n  {address}\n  filter_chains: [{{ filters: [{{ name: tcp, typed_config: {{ \
         '@type': {EXTENSIONS}.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: {name}, {fields} \
         }} }}] }}]\n"
    )
}

const LOOPBACK: &str = "address: { socket_address: { address: 127.0.0.1, port_value: 0 } }";
const INTERNAL: &str = "internal_listener: {}";

/// An internal listener that ends in a connection manager.
fn http(name: &str, manager: &str) -> String {
    let manager = manager.replace('\n', "\n        ");
    format!(
        "- name: {name}\n  {INTERNAL}\n  filter_chains:\n  - filters:\n    - name: http\n      \
         typed_config:\n        '@type': \
         {EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager\n        \
         stat_prefix: {name}\n        http_filters: [{{ name: router, typed_config: {{ '@type': \
         {EXTENSIONS}.filters.http.router.v3.Router }} }}]\n        {manager}\n"
    )
}

/// From the listener `main` through the internal listener `encap` to the origin.
fn through_tcp(origin: SocketAddr) -> Bootstrap {
    Bootstrap::new()
        .listener(&tcp("main", LOOPBACK, "cluster: encap"))
        .listener(&tcp("encap", INTERNAL, "cluster: origin"))
        .other_cluster(&inside("encap", "encap"))
        .cluster("origin", &[origin])
}

fn start(yaml: String) -> Proxy {
    Launch::new(Make::subject(), yaml).concurrency(2).start().unwrap()
}

/// In both directions, each half ending in its own time, whatever the buffer between.
#[test]
fn bytes_pass_as_they_are() {
    for fields in ["", ", buffer_size_kb: 4"] {
        let origin = RawOrigin::bind();
        let proxy = start(extended(&through_tcp(origin.address()), fields));
        let mut client = TcpStream::connect(proxy.listener("main")).unwrap();
        let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let (mut writer, bytes) = (client.try_clone().unwrap(), sent.clone());
        let sending = thread::spawn(move || {
            writer.write_all(&bytes).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut wire = origin.accept();
        let mut came = Vec::new();
        while let Ok(bytes) = wire.read_some() {
            came.extend(bytes);
        }
        assert!(came == sent, "{} bytes", came.len());
        sending.join().unwrap();
        wire.send(&sent).unwrap();
        drop(wire);
        let mut back = Vec::new();
        client.read_to_end(&mut back).unwrap();
        assert!(back == sent);
        proxy.wait_stat("listener.envoy_internal_encap.downstream_cx_total", |n| n == 1);
        proxy.wait_stat("listener.envoy_internal_encap.downstream_cx_active", |n| n == 0);
        assert_eq!(proxy.stat("cluster.encap.upstream_cx_total"), 1);
        assert_eq!(proxy.stat("tcp.encap.downstream_cx_total"), 1);
    }
}

/// HTTP within CONNECT of HTTP/2: one proxy puts it in, the other takes it out and answers it.
#[test]
fn http_in_connect() {
    let terminator = Bootstrap::new()
        .http(
            "main",
            "http2_protocol_options: { allow_connect: true }\nupgrade_configs: [{ upgrade_type: \
             CONNECT }]\nroute_config:\n  name: r\n  virtual_hosts:\n  - name: v\n    domains: \
             ['*']\n    routes: [{ match: { connect_matcher: {} }, route: { cluster: decap, \
             upgrade_configs: [{ upgrade_type: CONNECT, connect_config: {} }] } }]\n",
        )
        .listener(&http(
            "decap",
            "route_config: { name: r, virtual_hosts: [{ name: v, domains: ['*'], routes: [{ match: \
             { prefix: / }, direct_response: { status: 200, body: { inline_string: hello } } }] }] }",
        ))
        .other_cluster(&inside("decap", "decap"));
    let terminator = start(extended(&terminator, ""));
    let first = Bootstrap::new()
        .routes("main", "- { match: { prefix: / }, route: { cluster: encap } }")
        .listener(&tcp(
            "encap",
            INTERNAL,
            "cluster: tunnels, tunneling_config: { hostname: 'host.com:443' }",
        ))
        .other_cluster(&inside("encap", "encap"))
        .cluster_with("tunnels", &[terminator.listener("main")], &h2_upstream("", ""));
    let first = start(extended(&first, ""));
    let mut client = RawClient::connect(first.listener("main"));
    for _ in 0..3 {
        let answer = client.get("/");
        assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"));
    }
    assert_eq!(first.stat("cluster.tunnels.upstream_rq_total"), 1);
    assert_eq!(terminator.stat("http.decap.downstream_rq_2xx"), 3);
    assert_eq!(terminator.stat("listener.envoy_internal_decap.http.decap.downstream_rq_2xx"), 3);
}

/// Logs and the admin server have Envoy's names for such addresses, and nobody is told an address
/// of a client that has none.
#[test]
fn addresses_are_names() {
    let log = "access_log: [{ name: f, typed_config: { '@type': \
               type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: \
               access.log, log_format: { text_format_source: { inline_string: \
               '%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% \
               %DOWNSTREAM_LOCAL_ADDRESS% %REQ(x-forwarded-for)% %UPSTREAM_HOST%\n' } } } }]\nuse_remote_address: true\n";
    let origin = Origin::named("a");
    let routes = "route_config: { name: r, virtual_hosts: [{ name: v, domains: ['*'], routes: [{ \
                  match: { prefix: / }, route: { cluster: origin } }] }] }";
    let bootstrap = Bootstrap::new()
        .listener(&tcp("main", LOOPBACK, "cluster: inner"))
        .listener(&http("inner", &format!("{log}{routes}")))
        .other_cluster(&inside("inner", "inner"))
        .cluster("origin", &[origin.address()]);
    let proxy = start(extended(&bootstrap, ""));
    let mut client = RawClient::connect(proxy.listener("main"));
    assert_eq!(client.get("/").status(), 200);
    assert_eq!(origin.wait_for(1)[0].message.head.get("x-forwarded-for"), None);
    let client = "envoy://internal_client_address/";
    let line = format!("{client} {client} envoy://inner/e1 - {}", origin.address());
    proxy.wait_file("access.log", |log| log.contains(&line));
    assert!(proxy.admin("/listeners").text().contains("inner::envoy://inner/\n"));
    let json = proxy.admin("/listeners?format=json").text();
    assert!(json.contains("server_listener_name"), "{json}");
    let clusters = proxy.admin("/clusters").text();
    assert!(clusters.contains("inner::envoy://inner/e1::cx_total::1\n"), "{clusters}");
}

#[test]
fn a_listener_that_is_not_there_refuses() {
    let bootstrap = Bootstrap::new()
        .routes("main", "- { match: { prefix: / }, route: { cluster: missing } }")
        .other_cluster(&inside("missing", "nobody"));
    let proxy = start(extended(&bootstrap, ""));
    let mut client = RawClient::connect(proxy.listener("main"));
    assert_eq!(client.get("/").status(), 503);
    assert_eq!(proxy.stat("cluster.missing.upstream_cx_connect_fail"), 1);
}

/// They count against the limit of the listener, and none is refused for it.
#[test]
fn limits_are_for_others() {
    let origin = RawOrigin::bind();
    let limit = "layered_runtime: { layers: [{ name: s, static_layer: { \
                 envoy.resource_limits.listener.encap.connection_limit: 1 } }] }\n";
    let proxy = start(format!("{limit}{}", extended(&through_tcp(origin.address()), "")));
    let open = |_| {
        let mut client = TcpStream::connect(proxy.listener("main")).unwrap();
        client.write_all(b"one").unwrap();
        let mut wire = origin.accept();
        assert_eq!(wire.read_some().unwrap(), b"one");
        (client, wire)
    };
    let both: Vec<_> = (0..2).map(open).collect();
    assert_eq!(proxy.stat("listener.envoy_internal_encap.downstream_cx_active"), 2);
    drop(both);
    proxy.wait_stat("listener.envoy_internal_encap.downstream_cx_active", |n| n == 0);
}

/// A changed internal listener keeps its connections, and new ones find what it is now.
#[test]
fn a_change_takes_effect() {
    if !only_ringway("reloads") {
        return;
    }
    let (before, after) = (RawOrigin::bind(), RawOrigin::bind());
    let with = |origin: &RawOrigin, prefix: &str| {
        let yaml = extended(&through_tcp(origin.address()), "");
        yaml.replace("stat_prefix: encap", &format!("stat_prefix: {prefix}"))
    };
    let proxy = start(with(&before, "encap"));
    let mut old = TcpStream::connect(proxy.listener("main")).unwrap();
    old.write_all(b"a").unwrap();
    let mut old_wire = before.accept();
    assert_eq!(old_wire.read_some().unwrap(), b"a");
    proxy.replace_config(&with(&after, "other"));
    proxy.signal(Signal::HUP);
    proxy.wait_stat("listener_manager.listener_modified", |n| n >= 1);
    let mut new = TcpStream::connect(proxy.listener("main")).unwrap();
    new.write_all(b"b").unwrap();
    assert_eq!(after.accept().read_some().unwrap(), b"b");
    old.write_all(b"c").unwrap();
    assert_eq!(old_wire.read_some().unwrap(), b"c");
}

fn refusal(yaml: String) -> String {
    match Launch::new(Make::subject(), yaml).start() {
        Ok(_) => panic!("accepted"),
        Err(error) => error.log,
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let one = |more: &str| {
        Bootstrap::new()
            .listener(&tcp("a", &format!("{INTERNAL}{more}"), "cluster: c"))
            .cluster("c", &[])
    };
    let log = refusal(one("").to_yaml());
    assert!(log.contains("InternalListener bootstrap extension is mandatory"), "{log}");
    for (more, text) in [
        (LOOPBACK, "address should not be used when an internal listener config is provided"),
        ("enable_reuse_port: true", "has unsupported tcp listener feature"),
        ("tcp_backlog_size: 5", "has unsupported tcp listener feature"),
        ("transparent: true", "has unsupported tcp listener feature"),
        ("socket_options: [{ level: 1, name: 9, int_value: 1 }]", "does not support socket option"),
    ] {
        let log = refusal(extended(&one(&format!("\n  {more}")), ""));
        assert!(log.contains(text), "{more}: {log}");
    }
}
