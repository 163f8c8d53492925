//! The UDP proxy: sessions, their ends, what is too large or finds nobody, and logs.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use ringway_test_support::{Bootstrap, Launch, Make, Proxy, Signal, indent};

use crate::only_ringway;

const UDP: &str = "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3";
const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough for a datagram on the same host, were there one.
pub(crate) const NOTHING: Duration = Duration::from_millis(300);
/// The longest payload over IPv4.
const LONGEST: usize = 65_507;
const LOG: &str = "%UPSTREAM_HOST% %UPSTREAM_CLUSTER% %BYTES_RECEIVED% %BYTES_SENT% \
                   %RESPONSE_FLAGS% %RESPONSE_CODE% \
                   %DYNAMIC_METADATA(udp.proxy.session:cluster_name)% \
                   %DYNAMIC_METADATA(udp.proxy.session:datagrams_received)% \
                   %DYNAMIC_METADATA(udp.proxy.session:datagrams_sent)% \
                   %DYNAMIC_METADATA(udp.proxy.session:errors_sent)%";

/// A file that gets a line in this format.
pub(crate) fn log(file: &str, format: &str) -> String {
    let name = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog";
    let format = format!("{{ text_format_source: {{ inline_string: \"{format}\\n\" }} }}");
    format!(
        "- name: file\n  typed_config: {{ \"@type\": {name}, path: '{{folder}}/{file}', \
         log_format: {format} }}\n"
    )
}

/// A UDP listener with these fields of its proxy.
fn listener(address: &str, fields: &str, more: &str) -> String {
    let fields = format!("{fields}\naccess_log:\n{}", log("sessions.log", LOG));
    format!(
        "- name: main\n  address: {{ socket_address: {{ protocol: UDP, address: \"{address}\", \
         port_value: 0{more} }} }}\n  udp_listener_config: {{ downstream_socket_config: {{ \
         max_rx_datagram_size: 2000 }} }}\n  listener_filters:\n  - name: udp\n    \
         typed_config:\n      \"@type\": {UDP}.UdpProxyConfig\n      stat_prefix: up\n{}",
        indent(&fields, 6)
    )
}

pub(crate) fn bootstrap(fields: &str) -> Bootstrap {
    Bootstrap::new().listener(&listener("127.0.0.1", fields, ""))
}

pub(crate) fn start(bootstrap: &Bootstrap) -> Proxy {
    Proxy::start(bootstrap.to_yaml())
}

fn to(origin: &Peer, fields: &str) -> Proxy {
    start(&bootstrap(&format!("cluster: origin\n{fields}")).cluster("origin", &[origin.address()]))
}

/// A client or an origin.
pub(crate) struct Peer(UdpSocket);

impl Peer {
    pub(crate) fn new() -> Self {
        Self::at("127.0.0.1:0".parse().expect("an address"))
    }

    fn at(address: SocketAddr) -> Self {
        Self(UdpSocket::bind(address).expect("a port"))
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("an address")
    }

    pub(crate) fn send(&self, payload: impl AsRef<[u8]>, to: SocketAddr) {
        self.0.send_to(payload.as_ref(), to).expect("sent");
    }

    pub(crate) fn receive_within(&self, patience: Duration) -> Option<(Vec<u8>, SocketAddr)> {
        self.0.set_read_timeout(Some(patience)).expect("set");
        let mut bytes = vec![0; 70_000];
        let (length, from) = self.0.recv_from(&mut bytes).ok()?;
        Some((bytes[..length].to_vec(), from))
    }

    pub(crate) fn receive(&self) -> (Vec<u8>, SocketAddr) {
        self.receive_within(PATIENCE).expect("a datagram")
    }
}

/// A datagram there and another one back; returns the proxy's address at the origin.
fn exchange(proxy: &Proxy, client: &Peer, origin: &Peer) -> SocketAddr {
    client.send("there", proxy.listener("main"));
    let (payload, session) = origin.receive();
    assert_eq!(payload, b"there");
    origin.send("and back", session);
    assert_eq!(client.receive(), (b"and back".to_vec(), proxy.listener("main")));
    session
}

#[test]
fn each_client_has_a_session_and_datagrams_come_as_they_are() {
    let origin = Peer::new();
    let proxy = to(&origin, "");
    let (one, other) = (Peer::new(), Peer::new());
    let first = exchange(&proxy, &one, &origin);
    let second = exchange(&proxy, &other, &origin);
    assert_ne!(first, second);
    assert_eq!(exchange(&proxy, &one, &origin), first, "the session is another one");
    for length in [0, 1, 2000] {
        one.send(vec![b'x'; length], proxy.listener("main"));
        assert_eq!(origin.receive(), (vec![b'x'; length], first));
    }
    // What endpoints send is taken at any size, unless it is configured otherwise.
    for length in [0, 1500, LONGEST] {
        origin.send(vec![b'y'; length], first);
        assert_eq!(one.receive(), (vec![b'y'; length], proxy.listener("main")));
    }
    proxy.wait_stat("udp.up.downstream_sess_tx_datagrams", |count| count == 6);
    let stats = [
        ("udp.up.downstream_sess_total", 2),
        ("udp.up.downstream_sess_active", 2),
        ("udp.up.downstream_sess_rx_datagrams", 6),
        ("udp.up.downstream_sess_rx_bytes", 3 * 5 + 2001),
        ("udp.up.downstream_sess_tx_bytes", (3 * 8 + 1500 + LONGEST) as u64),
        ("cluster.origin.udp.sess_rx_datagrams", 6),
        ("cluster.origin.udp.sess_tx_datagrams", 6),
        ("cluster.origin.upstream_cx_rx_bytes_total", (3 * 8 + 1500 + LONGEST) as u64),
        ("cluster.origin.upstream_cx_tx_bytes_total", 3 * 5 + 2001),
    ];
    for (name, expected) in stats {
        assert_eq!(proxy.stat(name), expected, "{name}");
    }
}

#[test]
fn what_is_too_large_is_dropped_and_counted() {
    let origin = Peer::new();
    let fields = "upstream_socket_config: { max_rx_datagram_size: 3000, prefer_gro: false }";
    let proxy = to(&origin, fields);
    let client = Peer::new();
    let session = exchange(&proxy, &client, &origin);
    for length in [2001, 5000, LONGEST] {
        client.send(vec![b'x'; length], proxy.listener("main"));
    }
    for length in [3001, 5000, LONGEST] {
        origin.send(vec![b'y'; length], session);
    }
    assert_eq!(exchange(&proxy, &client, &origin), session);
    // It is named after the port that is configured.
    assert_eq!(proxy.stat("listener.127.0.0.1_0.udp.downstream_rx_datagram_dropped"), 3);
    assert_eq!(proxy.stat("cluster.origin.udp.sess_rx_datagrams_dropped"), 3);
    assert_eq!(proxy.stat("cluster.origin.udp.sess_rx_datagrams"), 2);
    assert_eq!(proxy.stat("udp.up.downstream_sess_rx_datagrams"), 2);
}

/// Numbers that look like no others, and are the same in each run (Marsaglia's xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    /// A payload whose first byte says whose it is; what is too large is one in eight.
    fn payload(&mut self, client: usize) -> Vec<u8> {
        let length = match self.below(8) {
            0 => 2001 + self.below(LONGEST - 2000),
            1 => 2000 - self.below(3),
            _ => 1 + self.below(300),
        };
        let mut payload: Vec<u8> = (0..length).map(|_| self.below(256) as u8).collect();
        payload[0] = client as u8;
        payload
    }
}

#[test]
fn any_datagrams_keep_their_bytes_their_bounds_and_their_sessions() {
    let origin = Peer::new();
    let proxy = to(&origin, "");
    let clients: Vec<Peer> = (0..7).map(|_| Peer::new()).collect();
    let sessions: Vec<SocketAddr> =
        clients.iter().map(|client| exchange(&proxy, client, &origin)).collect();
    let (mut numbers, mut too_large) = (Numbers(0x9e37_79b9_7f4a_7c15), 0);
    for _ in 0..200 {
        // Of each client in order; among clients a worker each may be faster.
        let mut due: Vec<Vec<Vec<u8>>> = vec![Vec::new(); clients.len()];
        for _ in 0..numbers.below(12) {
            let whose = numbers.below(clients.len());
            let payload = numbers.payload(whose);
            clients[whose].send(&payload, proxy.listener("main"));
            match payload.len() > 2000 {
                true => too_large += 1,
                false => due[whose].push(payload),
            }
        }
        for _ in 0..due.iter().map(Vec::len).sum() {
            let (payload, session) = origin.receive();
            let whose = usize::from(payload[0]);
            assert_eq!((&payload, session), (&due[whose].remove(0), sessions[whose]));
            let back = numbers.payload(whose);
            origin.send(&back, session);
            assert_eq!(clients[whose].receive(), (back, proxy.listener("main")));
        }
    }
    assert!(too_large > 50);
    let dropped = "listener.127.0.0.1_0.udp.downstream_rx_datagram_dropped";
    proxy.wait_stat(dropped, |count| count == too_large);
    assert_eq!(proxy.stat("udp.up.downstream_sess_total"), clients.len() as u64);
    for client in &clients {
        assert_eq!(client.receive_within(Duration::from_millis(1)), None, "what nobody sent");
    }
}

#[test]
fn an_idle_session_ends_and_is_logged() {
    let origin = Peer::new();
    let proxy = to(&origin, "idle_timeout: 0.3s");
    let client = Peer::new();
    let session = exchange(&proxy, &client, &origin);
    let line = format!("{} - 5 8 - 0 origin 1 1 0\n", origin.address());
    proxy.wait_file("sessions.log", |text| text == line);
    proxy.wait_stat("udp.up.downstream_sess_active", |count| count == 0);
    assert_eq!(proxy.stat("udp.up.idle_timeout"), 1);
    origin.send("late", session);
    assert_eq!(client.receive_within(NOTHING), None);
    exchange(&proxy, &client, &origin);
    assert_eq!(proxy.stat("udp.up.downstream_sess_total"), 2);
}

#[test]
fn long_sessions_are_logged_at_intervals() {
    let origin = Peer::new();
    let fields = "idle_timeout: 1s\naccess_log_options: { access_log_flush_interval: 0.3s }";
    let proxy = to(&origin, fields);
    exchange(&proxy, &Peer::new(), &origin);
    proxy.wait_stat("udp.up.idle_timeout", |count| count == 1);
    let line = format!("{} - 5 8 - 0 origin 1 1 0\n", origin.address());
    proxy.wait_file("sessions.log", |text| text == line.repeat(4));
}

#[test]
fn an_origin_that_is_not_there_is_counted_and_may_come_back() {
    let origin = Peer::new();
    let address = origin.address();
    let proxy = to(&origin, "");
    let client = Peer::new();
    let session = exchange(&proxy, &client, &origin);
    drop(origin);
    for count in 1..=3 {
        client.send("anybody?", proxy.listener("main"));
        proxy.wait_stat("cluster.origin.udp.sess_rx_errors", |errors| errors == count);
    }
    let origin = Peer::at(address);
    assert_eq!(exchange(&proxy, &client, &origin), session);
    assert_eq!(proxy.stat("udp.up.downstream_sess_total"), 1);
}

#[test]
fn the_circuit_breaker_counts_sessions() {
    let origin = Peer::new();
    let breakers = "circuit_breakers: { thresholds: [{ max_connections: 1 }] }";
    let bootstrap = bootstrap("cluster: origin\nidle_timeout: 1s").cluster_with(
        "origin",
        &[origin.address()],
        breakers,
    );
    let proxy = start(&bootstrap);
    exchange(&proxy, &Peer::new(), &origin);
    let other = Peer::new();
    other.send("me too", proxy.listener("main"));
    proxy.wait_stat("cluster.origin.upstream_cx_overflow", |count| count == 1);
    assert_eq!(proxy.stat("udp.up.downstream_sess_total"), 2);
    proxy.wait_file("sessions.log", |text| text.contains("- - 0 0 UO 0 origin 0 0 0\n"));
    // The place is free again when the first session is over.
    proxy.wait_stat("udp.up.idle_timeout", |count| count == 1);
    exchange(&proxy, &other, &origin);
}

#[test]
fn datagrams_that_lead_nowhere_are_counted() {
    let client = Peer::new();
    let proxy = start(&bootstrap("cluster: nowhere").cluster("empty", &[]));
    client.send("a", proxy.listener("main"));
    proxy.wait_stat("udp.up.downstream_sess_no_route", |count| count == 1);
    let proxy = start(&bootstrap("cluster: empty").cluster("empty", &[]));
    client.send("a", proxy.listener("main"));
    proxy.wait_stat("cluster.empty.upstream_cx_none_healthy", |count| count == 1);
    assert_eq!(proxy.stat("udp.up.downstream_sess_total"), 0);
}

#[test]
fn each_datagram_may_have_an_endpoint_of_its_own() {
    let (one, other) = (Peer::new(), Peer::new());
    let bootstrap = bootstrap("cluster: origin\nuse_per_packet_load_balancing: true");
    let proxy = start(&bootstrap.cluster("origin", &[one.address(), other.address()]));
    let client = Peer::new();
    for _ in 0..6 {
        client.send("a", proxy.listener("main"));
    }
    let mut sessions = Vec::new();
    for origin in [&one, &other] {
        let at_origin: Vec<_> = (0..3).map(|_| origin.receive()).collect();
        assert!(at_origin.iter().all(|(_, from)| *from == at_origin[0].1), "{at_origin:?}");
        sessions.push(at_origin[0].1);
        origin.send("b", at_origin[0].1);
        assert_eq!(client.receive().0, b"b");
    }
    assert_ne!(sessions[0], sessions[1]);
    assert_eq!(proxy.stat("udp.up.downstream_sess_total"), 2);
}

#[test]
fn a_hash_keeps_sessions_together() {
    let origins = [Peer::new(), Peer::new(), Peer::new()];
    let bootstrap = bootstrap("cluster: origin\nhash_policies: [{ key: all of them }]");
    let addresses: Vec<_> = origins.iter().map(Peer::address).collect();
    let proxy = start(&bootstrap.cluster_with("origin", &addresses, "lb_policy: MAGLEV"));
    let clients: Vec<Peer> = (0..12).map(|_| Peer::new()).collect();
    for client in &clients {
        client.send("a", proxy.listener("main"));
    }
    proxy.wait_stat("udp.up.downstream_sess_total", |count| count == 12);
    let reached = origins.iter().filter(|origin| origin.receive_within(NOTHING).is_some());
    assert_eq!(reached.count(), 1);
}

#[test]
fn a_matcher_chooses_the_cluster() {
    let (one, other, rest) = (Peer::new(), Peer::new(), Peer::new());
    let (first, second, third) = (Peer::new(), Peer::new(), Peer::at(([127, 0, 0, 2], 0).into()));
    let inputs = "type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3";
    let input =
        |name: &str| format!("{{ name: i, typed_config: {{ \"@type\": {inputs}.{name} }} }}");
    let route = |cluster: &str| {
        format!(
            "{{ action: {{ name: r, typed_config: {{ \"@type\": {UDP}.Route, cluster: {cluster} \
             }} }} }}"
        )
    };
    let fields = format!(
        "matcher:\n  matcher_tree:\n    input: {}\n    exact_match_map:\n      map:\n        \
         \"{}\": {}\n  on_no_match:\n    matcher:\n      matcher_list:\n        matchers:\n        \
         - predicate: {{ single_predicate: {{ input: {}, value_match: {{ prefix: 127.0.0.1 }} }} \
         }}\n          on_match: {}\n      on_no_match: {}\n",
        input("SourcePortInput"),
        first.address().port(),
        route("one"),
        input("SourceIPInput"),
        route("other"),
        route("rest"),
    );
    let bootstrap = bootstrap(&fields)
        .cluster("one", &[one.address()])
        .cluster("other", &[other.address()])
        .cluster("rest", &[rest.address()]);
    let proxy = start(&bootstrap);
    exchange(&proxy, &first, &one);
    exchange(&proxy, &second, &other);
    exchange(&proxy, &third, &rest);
}

#[test]
fn a_listener_on_all_addresses_answers_from_the_one_that_was_asked() {
    for (address, more) in [("0.0.0.0", ""), ("::", ", ipv4_compat: true")] {
        let origin = Peer::new();
        let listener = listener(address, "cluster: origin", more);
        let bootstrap = Bootstrap::new().listener(&listener);
        let proxy = start(&bootstrap.cluster("origin", &[origin.address()]));
        let (client, port) = (Peer::new(), proxy.listener("main").port());
        let mut sessions = Vec::new();
        for host in [1, 2] {
            let asked = SocketAddr::from(([127, 0, 0, host], port));
            client.send("where?", asked);
            let (_, session) = origin.receive();
            origin.send("here", session);
            assert_eq!(client.receive(), (b"here".to_vec(), asked));
            sessions.push(session);
        }
        assert_ne!(sessions[0], sessions[1], "two addresses are two sessions");
    }
}

#[test]
fn what_strangers_send_to_a_session_reaches_nobody() {
    let (origin, stranger) = (Peer::new(), Peer::new());
    let proxy = to(&origin, "");
    let client = Peer::new();
    let session = exchange(&proxy, &client, &origin);
    stranger.send("let me in", session);
    assert_eq!(client.receive_within(NOTHING), None);
    exchange(&proxy, &client, &origin);
}

#[test]
fn each_driver_passes_datagrams_on() {
    if !only_ringway("--driver") {
        return;
    }
    for driver in ["epoll", "monoio", "io_uring"] {
        let origin = Peer::new();
        let yaml = bootstrap("cluster: origin").cluster("origin", &[origin.address()]).to_yaml();
        let launch = Launch::new(Make::Ringway, yaml).concurrency(2);
        // Containers often forbid io_uring.
        let Ok(proxy) = launch.argument("--driver").argument(driver).start() else {
            assert_ne!(driver, "epoll");
            continue;
        };
        let clients: Vec<Peer> = (0..20).map(|_| Peer::new()).collect();
        for round in 0..3 {
            for client in &clients {
                exchange(&proxy, client, &origin);
            }
            assert_eq!(proxy.stat("udp.up.downstream_sess_total"), 20, "{driver} {round}");
        }
    }
}

#[test]
fn a_changed_configuration_keeps_socket_and_sessions() {
    if !only_ringway("reload by SIGHUP") {
        return;
    }
    let (one, other) = (Peer::new(), Peer::new());
    let with = |origin: &Peer, fields: &str| {
        bootstrap(&format!("cluster: origin\n{fields}")).cluster("origin", &[origin.address()])
    };
    let proxy = start(&with(&one, ""));
    let client = Peer::new();
    let session = exchange(&proxy, &client, &one);
    // Another configuration of the proxy: the session goes on as it began.
    proxy.replace_config(&with(&one, "idle_timeout: 30s").to_yaml());
    proxy.signal(Signal::HUP);
    proxy.wait_stat("listener_manager.listener_modified", |count| count == 1);
    assert_eq!(exchange(&proxy, &client, &one), session);
    // Another endpoint: the session ends, and the next datagram begins another.
    proxy.replace_config(&with(&other, "idle_timeout: 30s").to_yaml());
    proxy.signal(Signal::HUP);
    proxy.wait_stat("udp.up.downstream_sess_active", |count| count == 0);
    exchange(&proxy, &client, &other);
    assert_eq!(proxy.stat("udp.up.downstream_sess_total"), 2);
    // The same socket makes room for larger datagrams.
    let larger = with(&other, "idle_timeout: 30s").to_yaml();
    proxy.replace_config(&larger.replace("max_rx_datagram_size: 2000", "prefer_gro: true"));
    proxy.signal(Signal::HUP);
    let large = vec![b'x'; LONGEST];
    wait_until_passed(&proxy, &client, &large, &other);
    assert_eq!(proxy.stat("udp.up.downstream_sess_total"), 2);
}

/// The worker follows a new configuration when it comes to it: asks until it has.
fn wait_until_passed(proxy: &Proxy, client: &Peer, payload: &[u8], origin: &Peer) {
    for _ in 0..100 {
        client.send(payload, proxy.listener("main"));
        if origin.receive_within(Duration::from_millis(100)).is_some() {
            return;
        }
    }
    panic!("nothing is passed on");
}

#[test]
fn a_session_leaves_an_unhealthy_endpoint_when_there_is_a_better_one() {
    if !only_ringway("reload by SIGHUP") {
        return;
    }
    let (one, other) = (Peer::new(), Peer::new());
    let endpoint = |origin: &Peer, health: &str| {
        let port = origin.address().port();
        format!(
            "        - {{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, \
             port_value: {port} }} }} }}, health_status: {health} }}\n"
        )
    };
    let with = |first: &str, second: &str| {
        let yaml = bootstrap("cluster: origin").cluster("origin", &[]).to_yaml();
        let endpoints = endpoint(&one, first) + &endpoint(&other, second);
        yaml.replace("    - lb_endpoints:\n", &format!("    - lb_endpoints:\n{endpoints}"))
    };
    let proxy = Proxy::start(with("HEALTHY", "UNHEALTHY"));
    let client = Peer::new();
    let session = exchange(&proxy, &client, &one);
    // Nobody is better: it stays.
    proxy.replace_config(&with("UNHEALTHY", "UNHEALTHY"));
    proxy.signal(Signal::HUP);
    proxy.wait_stat("cluster.origin.membership_healthy", |count| count == 0);
    assert_eq!(exchange(&proxy, &client, &one), session);
    proxy.replace_config(&with("UNHEALTHY", "HEALTHY"));
    proxy.signal(Signal::HUP);
    wait_until_passed(&proxy, &client, b"anybody?", &other);
    assert_eq!(proxy.stat("udp.up.downstream_sess_active"), 1);
}

#[test]
fn sessions_are_logged_when_the_process_ends() {
    let origin = Peer::new();
    let fields = format!(
        "cluster: origin\nproxy_access_log:\n{}",
        log(
            "proxy.log",
            "%BYTES_RECEIVED% %BYTES_SENT% %DOWNSTREAM_REMOTE_ADDRESS% \
             %DYNAMIC_METADATA(udp.proxy.proxy:session_total)% \
             %DYNAMIC_METADATA(udp.proxy.proxy:datagrams_received)% \
             %DYNAMIC_METADATA(udp.proxy.proxy:no_route)%"
        )
    );
    let mut proxy = start(&bootstrap(&fields).cluster("origin", &[origin.address()]));
    exchange(&proxy, &Peer::new(), &origin);
    exchange(&proxy, &Peer::new(), &origin);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait_exit().code(), Some(0));
    let line = format!("{} - 5 8 - 0 origin 1 1 0\n", origin.address());
    assert_eq!(proxy.file("sessions.log"), line.repeat(2));
    assert_eq!(proxy.file("proxy.log"), "10 16 - 2 2 0\n");
}

#[test]
fn draining_listeners_take_no_more_datagrams() {
    if !only_ringway("an answer to /drain_listeners that can be waited for") {
        return;
    }
    let origin = Peer::new();
    let proxy = to(&origin, "");
    let client = Peer::new();
    let session = exchange(&proxy, &client, &origin);
    proxy.admin_post("/drain_listeners");
    proxy.wait_stat("udp.up.downstream_sess_active", |count| count == 0);
    client.send("there", proxy.listener("main"));
    origin.send("and back", session);
    assert_eq!(origin.receive_within(NOTHING), None);
    assert_eq!(client.receive_within(NOTHING), None);
}
