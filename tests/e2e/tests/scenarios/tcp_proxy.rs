//! The TCP proxy: bytes both ways, ends, limits, choices and logs.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ringway_test_support::{Bootstrap, Launch, Make, Proxy, Refuser, Signal, indent};

use crate::only_ringway;

const TCP: &str = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
const PATIENCE: Duration = Duration::from_secs(20);
const LOG: &str = "%CONNECTION_ID% %BYTES_RECEIVED% %BYTES_SENT% %RESPONSE_FLAGS% \
                   %UPSTREAM_CLUSTER% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %RESPONSE_CODE% %PROTOCOL% \
                   %DOWNSTREAM_WIRE_BYTES_RECEIVED% %DOWNSTREAM_WIRE_BYTES_SENT% \
                   %UPSTREAM_WIRE_BYTES_RECEIVED% %UPSTREAM_WIRE_BYTES_SENT%";

/// A TCP proxy with these fields, as a network filter.
fn filter(fields: &str) -> String {
    logging(LOG, fields)
}

/// The same with a log of this format.
pub(super) fn logging(log: &str, fields: &str) -> String {
    let file = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog";
    let format = format!("{{ text_format_source: {{ inline_string: \"{log}\\n\" }} }}");
    format!(
        "- name: tcp\n  typed_config:\n    \"@type\": {TCP}\n    stat_prefix: tp\n    access_log:\n    \
         - name: file\n      typed_config: {{ \"@type\": {file}, path: '{{folder}}/access.log', \
         log_format: {format} }}\n{}",
        indent(fields, 4)
    )
}

pub(super) fn listener(chains: &str) -> String {
    let address = "{ socket_address: { address: 127.0.0.1, port_value: 0 } }";
    format!("- name: main\n  address: {address}\n  filter_chains:\n{}", indent(chains, 2))
}

fn bootstrap(fields: &str) -> Bootstrap {
    ending_in(&filter(fields))
}

/// A listener with one chain that ends in this filter.
pub(super) fn ending_in(filter: &str) -> Bootstrap {
    Bootstrap::new().listener(&listener(&format!("- filters:\n{}", indent(filter, 2))))
}

/// A proxy whose log reaches its file at once, in Envoy too.
pub(super) fn start(bootstrap: &Bootstrap) -> Proxy {
    Launch::new(Make::subject(), bootstrap.to_yaml()).start().unwrap()
}

fn to(origin: SocketAddr, fields: &str) -> Proxy {
    start(&bootstrap(&format!("cluster: origin\n{fields}")).cluster("origin", &[origin]))
}

pub(super) fn connect(proxy: &Proxy) -> TcpStream {
    patient(TcpStream::connect(proxy.listener("main")).unwrap())
}

pub(super) fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

pub(super) fn read(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// All that comes until the peer ends its side.
pub(super) fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Whether the peer is gone, politely or not.
pub(super) fn is_gone(stream: &mut TcpStream) -> bool {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => bytes.is_empty(),
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

pub(super) struct Raw(TcpListener);

impl Raw {
    pub(super) fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub(super) fn accept(&self) -> TcpStream {
        patient(self.0.accept().unwrap().0)
    }
}

/// A server that sends back what it gets, to the end.
pub(super) fn echo() -> SocketAddr {
    let origin = Raw::new();
    let address = origin.address();
    thread::spawn(move || {
        for stream in origin.0.incoming() {
            let Ok(stream) = stream else { return };
            thread::spawn(move || {
                let stream = patient(stream);
                let _whole = std::io::copy(&mut &stream, &mut &stream);
                let _ended = stream.shutdown(Shutdown::Write);
            });
        }
    });
    address
}

/// An address where nobody listens.
pub(super) fn nobody() -> SocketAddr {
    Raw::new().address()
}

#[test]
fn bytes_pass_both_ways_and_are_counted() {
    let origin = Raw::new();
    let proxy = to(origin.address(), "");
    let mut client = connect(&proxy);
    let mut server = origin.accept();
    // The server speaks first.
    server.write_all(b"220 hello\r\n").unwrap();
    assert_eq!(read(&mut client, 11), b"220 hello\r\n");
    client.write_all(b"quit").unwrap();
    assert_eq!(read(&mut server, 4), b"quit");
    proxy.wait_stat("cluster.origin.upstream_cx_active", |count| count == 1);
    drop(client);
    assert_eq!(rest(&mut server), b"");
    drop(server);
    let log = proxy.wait_file("access.log", |log| log.lines().count() == 1);
    let line = log.split_once(' ').unwrap().1;
    assert_eq!(line, "4 11 - origin 1 0 - 4 11 11 4\n");
    for (name, value) in [
        ("tcp.tp.downstream_cx_total", 1),
        ("tcp.tp.downstream_cx_rx_bytes_total", 4),
        ("tcp.tp.downstream_cx_tx_bytes_total", 11),
        ("cluster.origin.upstream_cx_total", 1),
        ("cluster.origin.upstream_cx_active", 0),
        ("cluster.origin.upstream_cx_rx_bytes_total", 11),
        ("cluster.origin.upstream_cx_tx_bytes_total", 4),
        ("cluster.origin.upstream_rq_total", 1),
        ("cluster.origin.upstream_rq_active", 0),
        ("cluster.origin.upstream_rq_pending_total", 1),
        ("cluster.origin.upstream_rq_pending_active", 0),
        ("cluster.origin.upstream_cx_destroy", 1),
        ("cluster.origin.upstream_cx_destroy_remote", 1),
        ("cluster.origin.upstream_cx_destroy_with_active_rq", 1),
    ] {
        proxy.wait_stat(name, |count| count == value);
    }
}

#[test]
fn each_side_ends_by_itself() {
    let origin = Raw::new();
    let proxy = to(origin.address(), "");
    let mut client = connect(&proxy);
    let mut server = origin.accept();
    client.write_all(b"all I have").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut server), b"all I have");
    server.write_all(b"and here is the answer").unwrap();
    drop(server);
    assert_eq!(rest(&mut client), b"and here is the answer");
    proxy.wait_stat("cluster.origin.upstream_cx_destroy_remote", |count| count == 1);

    let mut client = connect(&proxy);
    let mut server = origin.accept();
    server.write_all(b"bye").unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client), b"bye");
    client.write_all(b"I still speak").unwrap();
    drop(client);
    assert_eq!(rest(&mut server), b"I still speak");
    proxy.wait_stat("cluster.origin.upstream_cx_destroy_local", |count| count == 1);
    proxy.wait_stat("cluster.origin.upstream_cx_active", |count| count == 0);
}

/// A stream of bytes that shows when one is missing.
pub(super) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

pub(super) fn sender(mut stream: TcpStream, bytes: Vec<u8>) -> JoinHandle<()> {
    thread::spawn(move || {
        stream.write_all(&bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    })
}

#[test]
fn large_transfers_arrive_whole_and_in_order_both_ways() {
    const LENGTH: usize = 24 << 20;
    let origin = Raw::new();
    let proxy = to(origin.address(), "");
    let mut client = connect(&proxy);
    let mut server = origin.accept();
    let bytes = pattern(LENGTH);
    let up = sender(client.try_clone().unwrap(), bytes.clone());
    let down = sender(server.try_clone().unwrap(), bytes.clone());
    let at_server = thread::spawn(move || rest(&mut server));
    assert!(rest(&mut client) == bytes, "what the client got differs");
    assert!(at_server.join().unwrap() == bytes, "what the server got differs");
    up.join().unwrap();
    down.join().unwrap();
    proxy.wait_file("access.log", |log| log.contains(&format!(" {LENGTH} {LENGTH} - ")));
}

#[test]
fn a_slow_reader_stops_the_sender() {
    let origin = Raw::new();
    let limit = "per_connection_buffer_limit_bytes: 65536";
    let fields = bootstrap("cluster: origin").cluster_with("origin", &[origin.address()], limit);
    let proxy = start(&fields);
    let mut client = connect(&proxy);
    let mut server = origin.accept();
    client.set_nonblocking(true).unwrap();
    let bytes = vec![7; 1 << 20];
    let paused = "tcp.tp.downstream_flow_control_paused_reading_total";
    let mut sent = 0;
    // Until neither the kernel nor the proxy takes more.
    loop {
        match client.write(&bytes) {
            Ok(count) => sent += count,
            Err(_) if proxy.stat(paused) > 0 => break,
            Err(_) => {}
        }
        assert!(sent < 256 << 20, "the proxy swallows everything");
    }
    client.set_nonblocking(false).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut server).len(), sent);
    proxy.wait_stat("tcp.tp.downstream_flow_control_resumed_reading_total", |count| count > 0);
}

#[test]
fn an_endpoint_that_refuses_is_tried_so_many_times() {
    let attempts = "max_connect_attempts: 3\nbackoff_options: { base_interval: 0.001s }";
    let proxy = to(nobody(), attempts);
    assert!(is_gone(&mut connect(&proxy)));
    let log = proxy.wait_file("access.log", |log| log.lines().count() == 1);
    assert_eq!(log.split_once(' ').unwrap().1, "0 0 UF,URX origin 3 0 - 0 0 0 0\n");
    for (name, value) in [
        ("upstream_cx_total", 3),
        ("upstream_cx_connect_fail", 3),
        ("upstream_cx_connect_attempts_exceeded", 1),
        ("upstream_cx_destroy", 3),
        ("upstream_cx_destroy_remote", 3),
        ("upstream_rq_pending_total", 3),
        ("upstream_rq_pending_failure_eject", 3),
        ("upstream_rq_pending_active", 0),
        ("upstream_rq_total", 0),
    ] {
        proxy.wait_stat(&format!("cluster.origin.{name}"), |count| count == value);
    }
}

/// The line of the only connection, without its number.
pub(super) fn only_line(proxy: &Proxy) -> String {
    let log = proxy.wait_file("access.log", |log| log.lines().count() == 1);
    log.trim_end().split_once(' ').unwrap().1.to_owned()
}

#[test]
fn whatever_cannot_be_passed_on_says_why() {
    let proxy = start(&bootstrap("cluster: nowhere"));
    assert!(is_gone(&mut connect(&proxy)));
    assert_eq!(only_line(&proxy), "0 0 NC - 0 0 - 0 0 0 0");
    proxy.wait_stat("tcp.tp.downstream_cx_no_route", |count| count == 1);

    let none = "name: origin, load_assignment: { cluster_name: origin, endpoints: [] }";
    let yaml = bootstrap("cluster: origin").to_yaml();
    let yaml = yaml.replace("clusters: []", &format!("clusters: [{{ {none} }}]"));
    let proxy = Proxy::start(yaml);
    assert!(is_gone(&mut connect(&proxy)));
    assert_eq!(only_line(&proxy), "0 0 UH origin 0 0 - 0 0 0 0");
    proxy.wait_stat("cluster.origin.upstream_cx_none_healthy", |count| count == 1);
}

#[test]
fn circuit_breakers_hold() {
    let origin = Raw::new();
    let one = "circuit_breakers: { thresholds: [{ max_connections: 1 }] }";
    let limited =
        |limits| bootstrap("cluster: origin").cluster_with("origin", &[origin.address()], limits);
    let proxy = start(&limited(one));
    let mut first = connect(&proxy);
    let mut server = origin.accept();
    assert!(is_gone(&mut connect(&proxy)));
    assert_eq!(only_line(&proxy), "0 0 UO origin 0 0 - 0 0 0 0");
    proxy.wait_stat("cluster.origin.upstream_cx_overflow", |count| count == 1);
    first.write_all(b"x").unwrap();
    assert_eq!(read(&mut server, 1), b"x");
    drop((first, server));
    proxy.wait_stat("cluster.origin.upstream_cx_active", |count| count == 0);
    let mut next = connect(&proxy);
    next.write_all(b"y").unwrap();
    assert_eq!(read(&mut origin.accept(), 1), b"y");

    let proxy = start(&limited("circuit_breakers: { thresholds: [{ max_pending_requests: 0 }] }"));
    assert!(is_gone(&mut connect(&proxy)));
    assert_eq!(only_line(&proxy), "0 0 URX origin 1 0 - 0 0 0 0");
    proxy.wait_stat("cluster.origin.upstream_rq_pending_overflow", |count| count == 1);
}

#[test]
fn times_end_a_connection() {
    let origin = Raw::new();
    let proxy = to(origin.address(), "idle_timeout: 0.4s");
    let mut client = connect(&proxy);
    let mut server = origin.accept();
    assert!(is_gone(&mut client) && is_gone(&mut server));
    assert_eq!(only_line(&proxy), "0 0 - origin 1 0 - 0 0 0 0");
    proxy.wait_stat("tcp.tp.idle_timeout", |count| count == 1);

    let proxy = to(origin.address(), "max_downstream_connection_duration: 0.4s");
    let mut client = connect(&proxy);
    let mut server = origin.accept();
    client.write_all(b"x").unwrap();
    assert_eq!(read(&mut server, 1), b"x");
    assert!(is_gone(&mut client) && is_gone(&mut server));
    assert_eq!(only_line(&proxy), "1 0 DT origin 1 0 - 1 0 0 1");
    proxy.wait_stat("tcp.tp.max_downstream_connection_duration", |count| count == 1);
}

#[test]
fn a_reset_resets_the_other_side() {
    let origin = Raw::new();
    let proxy = to(origin.address(), "");
    let mut client = connect(&proxy);
    let mut server = origin.accept();
    client.write_all(b"x").unwrap();
    assert_eq!(read(&mut server, 1), b"x");
    reset(client);
    assert!(is_reset(&mut server));

    let mut client = connect(&proxy);
    let mut server = origin.accept();
    server.write_all(b"half an answer").unwrap();
    assert_eq!(read(&mut client, 14), b"half an answer");
    reset(server);
    assert!(is_reset(&mut client));
    proxy.wait_stat("cluster.origin.upstream_cx_active", |count| count == 0);
    proxy.wait_stat("cluster.origin.upstream_cx_destroy_remote", |count| count == 1);
}

fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Whether the peer says that something is missing.
fn is_reset(stream: &mut TcpStream) -> bool {
    let end = stream.read(&mut [0]);
    end.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
}

#[test]
fn weights_share_the_connections() {
    let origins = [Raw::new(), Raw::new()];
    let weighted =
        "weighted_clusters: { clusters: [{ name: a, weight: 1 }, { name: b, weight: 3 }] }";
    let proxy = start(
        &bootstrap(weighted)
            .cluster("a", &[origins[0].address()])
            .cluster("b", &[origins[1].address()]),
    );
    for _ in 0..80 {
        drop(connect(&proxy));
    }
    let count = |name: &str| proxy.stat(&format!("cluster.{name}.upstream_cx_total"));
    proxy.wait_stat("tcp.tp.downstream_cx_total", |total| total == 80);
    proxy.wait_stat("cluster.b.upstream_cx_total", |b| b + count("a") == 80);
    assert!((5..40).contains(&count("a")), "{} of 80", count("a"));
}

#[test]
fn a_line_may_be_written_before_the_end() {
    let origin = Raw::new();
    let options = "flush_access_log_on_start: true, flush_access_log_on_connected: true, \
                   access_log_flush_interval: 0.3s";
    let proxy = to(origin.address(), &format!("access_log_options: {{ {options} }}"));
    let mut client = connect(&proxy);
    let mut server = origin.accept();
    client.write_all(b"x").unwrap();
    assert_eq!(read(&mut server, 1), b"x");
    let log = proxy.wait_file("access.log", |log| log.lines().count() >= 4);
    let lines: Vec<&str> = log.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(lines[0], "0 0 - - 0 0 - 0 0 0 0");
    assert!(lines[1].starts_with("0 0 - origin 1 0 - "), "{}", lines[1]);
    assert_eq!(lines[3], "1 0 - origin 1 0 - 1 0 0 1");
}

/// Where a TLS connection goes is decided by the name that the client asks for, and nothing is
/// decrypted on the way.
#[test]
fn tls_is_routed_by_its_server_name() {
    let origins = [Raw::new(), Raw::new()];
    let chain = |name: &str, cluster: &str| {
        let filter = filter(&format!("cluster: {cluster}"));
        let matching = format!("- filter_chain_match: {{ server_names: [{name}] }}\n  filters:\n");
        matching + &indent(&filter, 2)
    };
    let inspector = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.\
                     TlsInspector";
    let chains = chain("a.example", "a") + &chain("'*.b.example'", "b");
    let listener = listener(&chains)
        + &format!(
            "  listener_filters: [{{ name: t, typed_config: {{ \"@type\": {inspector} }} }}]\n"
        );
    let proxy = start(
        &Bootstrap::new()
            .listener(&listener)
            .cluster("a", &[origins[0].address()])
            .cluster("b", &[origins[1].address()]),
    );
    for (name, origin) in [("a.example", &origins[0]), ("x.b.example", &origins[1])] {
        let hello = super::listener_filters::client_hello(name, "h2");
        let mut client = connect(&proxy);
        client.write_all(&hello).unwrap();
        assert_eq!(read(&mut origin.accept(), hello.len()), hello);
    }
    let mut client = connect(&proxy);
    client.write_all(&super::listener_filters::client_hello("other", "h2")).unwrap();
    assert!(is_gone(&mut client));
}

#[test]
fn the_upstream_may_wait_for_the_first_bytes() {
    let origin = Raw::new();
    let mode = "upstream_connect_mode: ON_DOWNSTREAM_DATA\nmax_early_data_bytes: 16";
    let proxy = to(origin.address(), mode);
    let mut client = connect(&proxy);
    proxy.wait_stat("tcp.tp.downstream_cx_total", |count| count == 1);
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_total"), 0);
    client.write_all(b"hello").unwrap();
    let mut server = origin.accept();
    assert_eq!(read(&mut server, 5), b"hello");
    server.write_all(b"welcome").unwrap();
    assert_eq!(read(&mut client, 7), b"welcome");
    drop(client);
    assert_eq!(rest(&mut server), b"");
    drop(server);
    assert_eq!(only_line(&proxy), "5 7 - origin 1 0 - 5 7 7 5");
    proxy.wait_stat("tcp.tp.early_data_received_count_total", |count| count == 1);
}

#[test]
fn early_bytes_wait_for_an_endpoint_within_their_limit() {
    let fields = "max_early_data_bytes: 8\nmax_connect_attempts: 200\nbackoff_options: \
                  { base_interval: 0.05s, max_interval: 0.05s }";
    let refuser = Refuser::bind();
    let proxy = to(refuser.address(), fields);
    let mut client = connect(&proxy);
    let bytes = pattern(16 << 20);
    let sender = sender(client.try_clone().unwrap(), bytes.clone());
    proxy.wait_stat("tcp.tp.early_data_received_count_total", |count| count == 1);
    // What is beyond the limit waits with the client.
    assert!(proxy.stat("tcp.tp.downstream_cx_rx_bytes_total") < 16 << 20);
    let listener = refuser.listen();
    let (mut server, _) = listener.accept().unwrap();
    assert!(rest(&mut server) == bytes, "what the server got differs");
    sender.join().unwrap();
    drop(server);
    assert_eq!(rest(&mut client), b"");
}

#[test]
fn connections_may_end_when_the_proxy_drains() {
    let origin = Raw::new();
    let proxy = to(origin.address(), "check_drain_close: true");
    let mut client = connect(&proxy);
    let mut server = origin.accept();
    client.write_all(b"a").unwrap();
    assert_eq!(read(&mut server, 1), b"a");
    proxy.admin_post("/healthcheck/fail");
    // The workers hear of it in their own time, and each byte may be the last.
    while {
        let _when_it_is_gone = server.write_all(b"b");
        client.read(&mut [0]).unwrap() == 1
    } {}
    proxy.wait_stat("tcp.tp.downstream_cx_drain_close", |count| count == 1);
}

/// One listener with a chain for each of these clients of 127.0.0.x.
fn chains(names: &[&str], origin: SocketAddr) -> String {
    let chain = |name: &&str| {
        let filter = format!("{{ '@type': {TCP}, stat_prefix: tp, cluster: origin }}");
        format!(
            "- name: c{name}\n  filter_chain_match: {{ source_prefix_ranges: [{{ address_prefix: \
             127.0.0.{name}, prefix_len: 32 }}] }}\n  filters: [{{ name: tcp, typed_config: \
             {filter} }}]\n"
        )
    };
    let all: String = names.iter().map(chain).collect();
    Bootstrap::new().listener(&listener(&all)).cluster("origin", &[origin]).to_yaml()
}

fn connect_from(proxy: &Proxy, last: u8) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, last], 0)).into()).unwrap();
    socket.connect(&proxy.listener("main").into()).unwrap();
    patient(socket.into())
}

#[test]
fn connections_end_behind_their_listener_and_their_filter_chain() {
    if !only_ringway("reload by SIGHUP") {
        return;
    }
    let origin = Raw::new();
    let launch = Launch::new(Make::Ringway, chains(&["1", "2"], origin.address()));
    let proxy = launch.argument("--drain-time-s").argument("1").start().unwrap();
    let open = |last| {
        let mut client = connect_from(&proxy, last);
        let mut server = origin.accept();
        client.write_all(&[last]).unwrap();
        assert_eq!(read(&mut server, 1), [last]);
        (client, server)
    };
    let (mut first, mut second) = (open(1), open(2));
    proxy.replace_config(&chains(&["1"], origin.address()));
    proxy.signal(Signal::HUP);
    assert!(is_gone(&mut second.0) && is_gone(&mut second.1));
    // The other chain is still there, and so is its connection.
    first.0.write_all(b"x").unwrap();
    assert_eq!(read(&mut first.1, 1), b"x");
    proxy.replace_config(&Bootstrap::new().cluster("origin", &[origin.address()]).to_yaml());
    proxy.signal(Signal::HUP);
    assert!(is_gone(&mut first.0) && is_gone(&mut first.1));
}
