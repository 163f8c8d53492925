//! The UDP proxy: the same datagrams through both programs, and what peers received, what was
//! counted and what was logged.

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use ringway_test_support::{Bootstrap, Make, Proxy, envoy, indent, skip};

const UDP: &str = "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3";
const INPUTS: &str = "type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3";
const FILE: &str = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog";
/// Long enough for a datagram on the same host, were there one.
const NOTHING: Duration = Duration::from_millis(400);
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest payload over IPv4.
const LONGEST: usize = 65_507;
const SESSION: &[&str] = &[
    "UPSTREAM_HOST",
    "UPSTREAM_CLUSTER",
    "BYTES_RECEIVED",
    "BYTES_SENT",
    "RESPONSE_FLAGS",
    "RESPONSE_CODE",
    "PROTOCOL",
    "DOWNSTREAM_LOCAL_ADDRESS",
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
    "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
    "UPSTREAM_REQUEST_ATTEMPT_COUNT",
    "DYNAMIC_METADATA(udp.proxy.session:cluster_name)",
    "DYNAMIC_METADATA(udp.proxy.session:bytes_sent)",
    "DYNAMIC_METADATA(udp.proxy.session:bytes_received)",
    "DYNAMIC_METADATA(udp.proxy.session:datagrams_sent)",
    "DYNAMIC_METADATA(udp.proxy.session:datagrams_received)",
    "DYNAMIC_METADATA(udp.proxy.session:errors_sent)",
    "DYNAMIC_METADATA(udp.proxy.session:nothing)",
];
const PROXY: &[&str] = &[
    "UPSTREAM_HOST",
    "BYTES_RECEIVED",
    "BYTES_SENT",
    "RESPONSE_FLAGS",
    "DOWNSTREAM_LOCAL_ADDRESS",
    "DOWNSTREAM_REMOTE_ADDRESS",
    "DYNAMIC_METADATA(udp.proxy.proxy:bytes_sent)",
    "DYNAMIC_METADATA(udp.proxy.proxy:bytes_received)",
    "DYNAMIC_METADATA(udp.proxy.proxy:datagrams_sent)",
    "DYNAMIC_METADATA(udp.proxy.proxy:datagrams_received)",
    "DYNAMIC_METADATA(udp.proxy.proxy:errors_sent)",
    "DYNAMIC_METADATA(udp.proxy.proxy:errors_received)",
    "DYNAMIC_METADATA(udp.proxy.proxy:idle_timeout)",
    "DYNAMIC_METADATA(udp.proxy.proxy:no_route)",
    "DYNAMIC_METADATA(udp.proxy.proxy:session_total)",
];

/// A log with all these operators, as text and as JSON.
fn logs(field: &str, name: &str, operators: &[&str]) -> String {
    let line: Vec<String> = operators.iter().map(|one| format!("%{one}%")).collect();
    let keys: Vec<String> =
        operators.iter().enumerate().map(|(at, one)| format!("k{at:02}: '%{one}%'")).collect();
    let text = format!("text_format_source: {{ inline_string: \"{name} {}\\n\" }}", line.join(" "));
    let json = format!("json_format: {{ of: {name}, {} }}", keys.join(", "));
    let file = |format: &str, ending: &str| {
        format!(
            "- name: file\n  typed_config: {{ \"@type\": {FILE}, path: \
             '{{folder}}/{name}.{ending}', log_format: {{ {format} }} }}\n"
        )
    };
    format!("{field}:\n{}{}", file(&text, "text"), file(&json, "json"))
}

fn listener(name: &str, fields: &str, more: &str) -> String {
    let fields = format!(
        "{fields}\n{}{}",
        logs("access_log", name, SESSION),
        logs("proxy_access_log", &format!("{name}-proxy"), PROXY)
    );
    format!(
        "- name: {name}\n  address: {{ socket_address: {{ protocol: UDP, address: 127.0.0.1, \
         port_value: 0 }} }}\n{}  listener_filters:\n  - name: udp\n    typed_config:\n      \
         \"@type\": {UDP}.UdpProxyConfig\n      stat_prefix: {name}\n{}",
        indent(more, 2),
        indent(&fields, 6)
    )
}

/// Clients from 127.0.0.2 go to `one`, from the port in question nowhere, and others to `two`.
fn matcher(nowhere: u16) -> String {
    let input =
        |name: &str| format!("{{ name: i, typed_config: {{ \"@type\": {INPUTS}.{name} }} }}");
    let route = |cluster: &str| {
        format!(
            "{{ action: {{ name: r, typed_config: {{ \"@type\": {UDP}.Route, cluster: {cluster} \
             }} }} }}"
        )
    };
    let (ip, port, local) =
        (input("SourceIPInput"), input("SourcePortInput"), input("DestinationPortInput"));
    let (one, two, none) = (route("one"), route("two"), route("none"));
    format!(
        "matcher:\n  matcher_list:\n    matchers:\n    - predicate: {{ single_predicate: {{ input: \
         {ip}, value_match: {{ exact: 127.0.0.2 }} }} }}\n      on_match: {one}\n    - predicate: \
         {{ not_matcher: {{ single_predicate: {{ input: {local}, value_match: {{ safe_regex: {{ \
         google_re2: {{}}, regex: '[0-9]+' }} }} }} }} }}\n      on_match: {none}\n  \
         on_no_match:\n    matcher:\n      matcher_tree:\n        input: {port}\n        \
         exact_match_map: {{ map: {{ \"{nowhere}\": {none} }} }}\n      on_no_match: {two}\n"
    )
}

struct Peer(UdpSocket);

impl Peer {
    fn at(address: &str) -> Self {
        Self(UdpSocket::bind(address).expect("a port"))
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("an address")
    }

    fn receive(&self, patience: Duration) -> Option<(Vec<u8>, SocketAddr)> {
        self.0.set_read_timeout(Some(patience)).expect("set");
        let mut bytes = vec![0; 70_000];
        let (length, from) = self.0.recv_from(&mut bytes).ok()?;
        Some((bytes[..length].to_vec(), from))
    }
}

/// What is seen of one program.
struct Observed(Vec<String>);

impl Observed {
    /// A datagram to a listener; says what arrives at the origin, and from where it came.
    fn up(
        &mut self,
        what: &str,
        client: &Peer,
        to: SocketAddr,
        length: usize,
        origin: &Peer,
        arrives: bool,
    ) -> Option<SocketAddr> {
        client.0.send_to(&vec![b'u'; length], to).expect("sent");
        let got = origin.receive(if arrives { PATIENCE } else { NOTHING });
        let seen = got.as_ref().map(|(bytes, _)| bytes.len());
        self.0.push(format!("{what}: {length} bytes up arrive as {seen:?}"));
        got.map(|(_, from)| from)
    }

    /// The same the other way.
    fn down(
        &mut self,
        what: &str,
        origin: &Peer,
        session: SocketAddr,
        length: usize,
        client: &Peer,
        arrives: bool,
    ) {
        origin.0.send_to(&vec![b'd'; length], session).expect("sent");
        let got = client.receive(if arrives { PATIENCE } else { NOTHING });
        let seen = got.map(|(bytes, _)| bytes.len());
        self.0.push(format!("{what}: {length} bytes down arrive as {seen:?}"));
    }
}

fn observe(make: Make) -> Vec<String> {
    let (one, two) = (Peer::at("127.0.0.1:0"), Peer::at("127.0.0.1:0"));
    let (client, other) = (Peer::at("127.0.0.1:0"), Peer::at("127.0.0.2:0"));
    let (third, lost) = (Peer::at("127.0.0.1:0"), Peer::at("127.0.0.1:0"));
    let gone = Peer::at("127.0.0.1:0").address();
    let small = "upstream_socket_config: { max_rx_datagram_size: 1000, prefer_gro: false }";
    let large = "udp_listener_config: { downstream_socket_config: { prefer_gro: true } }";
    let breakers = "circuit_breakers: { thresholds: [{ max_connections: 1 }] }";
    let yaml = Bootstrap::new()
        .listener(&listener("plain", "cluster: one\nidle_timeout: 1.5s", ""))
        .listener(&listener("small", &format!("cluster: one\n{small}"), large))
        .listener(&listener("matched", &matcher(lost.address().port()), ""))
        .listener(&listener("narrow", "cluster: narrow", ""))
        .listener(&listener("refused", "cluster: gone", ""))
        .listener(&listener("empty", "cluster: empty", ""))
        .listener(&listener("spread", "cluster: both\nuse_per_packet_load_balancing: true", ""))
        .cluster("one", &[one.address()])
        .cluster("two", &[two.address()])
        .cluster("both", &[one.address(), two.address()])
        .cluster_with("narrow", &[one.address()], breakers)
        .cluster("gone", &[gone])
        .cluster("empty", &[])
        .to_yaml();
    let mut proxy = Proxy::of(make, yaml);
    let mut seen = Observed(Vec::new());

    let plain = proxy.listener("plain");
    let session = seen.up("plain", &client, plain, 5, &one, true).expect("it arrives");
    for (length, arrives) in [(0, true), (1500, true), (1501, false), (LONGEST, false)] {
        seen.up("plain", &client, plain, length, &one, arrives);
    }
    for length in [0, 1500, 1501, LONGEST] {
        seen.down("plain", &one, session, length, &client, true);
    }
    proxy.wait_stat("udp.plain.idle_timeout", |count| count == 1);
    seen.down("plain", &one, session, 7, &client, false);
    seen.up("plain", &client, plain, 5, &one, true);

    let to = proxy.listener("small");
    let session = seen.up("small", &client, to, LONGEST, &one, true).expect("it arrives");
    for (length, arrives) in [(1000, true), (1001, false), (LONGEST, false)] {
        seen.down("small", &one, session, length, &client, arrives);
    }

    let to = proxy.listener("matched");
    seen.up("by address", &other, to, 11, &one, true);
    seen.up("by no match", &client, to, 12, &two, true);
    seen.up("by port", &lost, to, 13, &two, false);

    let to = proxy.listener("narrow");
    seen.up("first", &client, to, 21, &one, true);
    seen.up("second", &third, to, 22, &one, false);

    for count in 1..=2 {
        client.0.send_to(b"anybody?", proxy.listener("refused")).expect("sent");
        proxy.wait_stat("cluster.gone.udp.sess_rx_errors", |errors| errors == count);
    }
    seen.up("no endpoint", &client, proxy.listener("empty"), 1, &one, false);

    let to = proxy.listener("spread");
    client.0.set_nonblocking(false).expect("set");
    for _ in 0..4 {
        client.0.send_to(b"each", to).expect("sent");
    }
    for origin in [&one, &two, &one, &two] {
        let got = origin.receive(PATIENCE).map(|(bytes, _)| bytes.len());
        seen.0.push(format!("spread: {got:?}"));
    }

    statistics(&proxy, &mut seen.0);
    proxy.signal(ringway_test_support::Signal::TERM);
    proxy.wait_exit();
    let names = ["plain", "small", "matched", "narrow", "refused", "empty", "spread"];
    for name in names {
        for file in [format!("{name}.text"), format!("{name}-proxy.text")] {
            let mut lines: Vec<String> = proxy.file(&file).lines().map(str::to_owned).collect();
            lines.sort();
            seen.0.extend(lines);
        }
        for file in [format!("{name}.json"), format!("{name}-proxy.json")] {
            let mut lines: Vec<String> = proxy.file(&file).lines().map(str::to_owned).collect();
            lines.sort();
            seen.0.extend(lines);
        }
    }
    let ports = [(&one, "ONE"), (&two, "TWO")];
    let mut ports: Vec<(String, String)> =
        ports.map(|(peer, name)| (peer.address().port().to_string(), name.to_owned())).into();
    ports.push((gone.port().to_string(), "GONE".to_owned()));
    ports.extend(names.map(|name| (proxy.listener(name).port().to_string(), name.to_owned())));
    let masked = seen.0.into_iter().map(|mut line| {
        for (port, name) in &ports {
            line = line.replace(&format!("127.0.0.1:{port}"), name);
            line = line.replace(&format!("127.0.0.1_{port}"), name);
        }
        line
    });
    masked.collect()
}

/// All that is counted of datagrams, zeroes included.
fn statistics(proxy: &Proxy, seen: &mut Vec<String>) {
    let text = proxy.admin("/stats").text();
    let about_udp = |line: &&str| {
        line.starts_with("udp.")
            || line.contains(".udp.")
            || line.contains("upstream_cx_overflow")
            || line.contains("_cx_none_healthy")
            || line.contains("x_bytes_total: ")
            || line.contains("upstream_cx_total")
            || line.contains("upstream_cx_active")
    };
    let about = text.lines().filter(about_udp).filter(|line| !line.starts_with("http."));
    seen.extend(about.map(str::to_owned));
    let prometheus = proxy.admin("/stats/prometheus").text();
    let about = prometheus.lines().filter(|line| line.contains("udp") && !line.starts_with('#'));
    let mut sorted: Vec<String> = about.map(str::to_owned).collect();
    sorted.sort();
    seen.extend(sorted);
}

#[test]
fn datagrams_go_both_ways_as_in_envoy() {
    if envoy().is_none() {
        return skip("nothing to compare with");
    }
    let (reference, subject) = thread::scope(|scope| {
        let reference = scope.spawn(|| observe(Make::Envoy));
        let subject = observe(Make::subject());
        (reference.join().expect("the reference's side does not panic"), subject)
    });
    let missing = reference.iter().filter(|line| !subject.contains(line));
    let added = subject.iter().filter(|line| !reference.contains(line));
    let mut report: Vec<String> = missing.map(|line| format!("- {line}")).collect();
    report.extend(added.map(|line| format!("+ {line}")));
    assert!(report.is_empty(), "{}", report.join("\n"));
    assert!(subject.iter().any(|line| line.contains("65507 bytes down arrive as Some(65507)")));
}
