//! Network filters that decide by policies and rates: `rbac` and `local_ratelimit`.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use ringway_test_support::{Bootstrap, Launch, Make, Proxy, indent};

const TYPES: &str = "type.googleapis.com/envoy.extensions.filters.network";
const FILE: &str = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog";
const PATIENCE: Duration = Duration::from_secs(20);
const ANY: &str = "permissions: [{ any: true }], principals: [{ any: true }]";

fn filter(kind: &str, message: &str, fields: &str) -> String {
    format!(
        "- {{ name: {kind}, typed_config: {{ '@type': {TYPES}.{kind}.v3.{message}, {fields} }} }}\n"
    )
}

fn rbac(fields: &str) -> String {
    filter("rbac", "RBAC", &format!("stat_prefix: door, {fields}"))
}

/// A TCP proxy to an origin, behind these filters, with a log of this format.
fn start(filters: &str, origin: SocketAddr, format: &str) -> Proxy {
    start_with(filters, origin, format, "")
}

/// The same with these fields of the listener.
fn start_with(filters: &str, origin: SocketAddr, format: &str, fields: &str) -> Proxy {
    let log = format!(
        "{{ name: file, typed_config: {{ '@type': {FILE}, path: '{{folder}}/access.log', log_format: \
         {{ text_format_source: {{ inline_string: \"{format}\\n\" }} }} }} }}"
    );
    let tcp = format!("stat_prefix: tp, cluster: origin, access_log: [{log}]");
    let filters = filters.to_owned() + &filter("tcp_proxy", "TcpProxy", &tcp);
    let bootstrap = Bootstrap::new().cluster("origin", &[origin]).listener(&format!(
        "- name: main\n  address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }}\n\
         {}  filter_chains:\n  - filters:\n{}",
        indent(fields, 2),
        indent(&filters, 4)
    ));
    Launch::new(Make::subject(), bootstrap.to_yaml()).start().unwrap()
}

/// An origin that speaks first and then says what it hears, until it is left alone.
fn greeter() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.write_all(b"hello").unwrap();
            std::thread::spawn(move || {
                let mut bytes = [0; 64];
                while let Ok(length @ 1..) = stream.read(&mut bytes) {
                    if stream.write_all(&bytes[..length]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.listener("main")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn read(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn is_gone(stream: &mut TcpStream) -> bool {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => bytes.is_empty(),
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

const LOG: &str = "%CONNECTION_TERMINATION_DETAILS% %RESPONSE_FLAGS% %BYTES_RECEIVED% \
                   %BYTES_SENT% %DYNAMIC_METADATA(envoy.filters.network.rbac:\
                   x_shadow_engine_result)% %DYNAMIC_METADATA(envoy.filters.network.rbac:\
                   x_shadow_effective_policy_id)%";

#[test]
fn the_first_byte_of_a_client_is_judged_and_not_the_connection() {
    let shadow = format!(
        "shadow_rules_stat_prefix: x_, shadow_rules: {{ action: DENY, policies: {{ p: {{ {ANY} }} }} }}"
    );
    let denied = rbac(&format!(
        "rules: {{ action: DENY, policies: {{ 'z z': {{ {ANY} }}, 'a b': {{ {ANY} }} }} }}, {shadow}"
    ));
    let proxy = start(&denied, greeter(), LOG);
    let mut client = connect(&proxy);
    assert_eq!(read(&mut client, 5), b"hello", "who only listens is not denied");
    client.write_all(b"abc").unwrap();
    assert!(is_gone(&mut client));
    let mut silent = connect(&proxy);
    assert_eq!(read(&mut silent, 5), b"hello");
    silent.shutdown(Shutdown::Write).unwrap();
    assert!(is_gone(&mut silent), "the end of a client counts as its first byte");
    proxy.wait_stat("door.rbac.denied", |count| count == 2);
    assert_eq!(proxy.stat("door.rbac.allowed"), 0);
    assert_eq!(proxy.stat("door.rbac.x_.shadow_denied"), 2);
    assert_eq!(proxy.stat("door.rbac.x_.shadow_allowed"), 0);
    let log = proxy.wait_file("access.log", |log| log.lines().count() == 2);
    let lines: Vec<&str> = log.lines().collect();
    let why = "rbac_access_denied_matched_policy[a_b]";
    assert_eq!(lines, [format!("{why} - 3 5 denied p"), format!("{why} - 0 5 denied p")]);
}

#[test]
fn what_no_policy_allows_is_denied() {
    let rules = "rules: { policies: { p: { permissions: [{ destination_port: 1 }], principals: \
                 [{ any: true }] } } }";
    let proxy = start(&rbac(rules), greeter(), LOG);
    let mut client = connect(&proxy);
    read(&mut client, 5);
    client.write_all(b"x").unwrap();
    assert!(is_gone(&mut client));
    let log = proxy.wait_file("access.log", |log| !log.is_empty());
    assert_eq!(log.trim_end(), "rbac_access_denied_matched_policy[none] - 1 5 - -");
}

#[test]
fn who_is_allowed_speaks_on() {
    let principals = "principals: [{ and_ids: { ids: [{ remote_ip: { address_prefix: 127.0.0.0, \
                      prefix_len: 8 } }, { not_id: { authenticated: {} } }] } }]";
    for (kind, allowed) in [("ONE_TIME_ON_FIRST_BYTE", 1), ("CONTINUOUS", 3)] {
        let rules = format!(
            "enforcement_type: {kind}, rules: {{ policies: {{ p: {{ permissions: [{{ any: true }}], \
             {principals} }} }} }}"
        );
        let proxy = start(&rbac(&rules), greeter(), LOG);
        let mut client = connect(&proxy);
        assert_eq!(read(&mut client, 5), b"hello");
        for word in [b"one", b"two"] {
            client.write_all(word).unwrap();
            assert_eq!(read(&mut client, 3), word);
        }
        client.shutdown(Shutdown::Write).unwrap();
        assert!(is_gone(&mut client));
        proxy.wait_stat("door.rbac.allowed", |count| count == allowed);
    }
}

#[test]
fn a_denied_client_may_have_to_wait() {
    let rules =
        format!("delay_deny: 0.3s, rules: {{ action: DENY, policies: {{ p: {{ {ANY} }} }} }}");
    let proxy = start(&rbac(&rules), greeter(), LOG);
    let mut client = connect(&proxy);
    read(&mut client, 5);
    client.write_all(b"x").unwrap();
    proxy.wait_stat("door.rbac.denied", |count| count == 1);
    let start = std::time::Instant::now();
    assert!(is_gone(&mut client));
    assert!(start.elapsed() > Duration::from_millis(50), "{:?}", start.elapsed());
}

#[test]
fn a_filter_without_rules_lets_everybody_pass_and_counts_nobody() {
    let proxy = start(&rbac(""), greeter(), LOG);
    let mut client = connect(&proxy);
    assert_eq!(read(&mut client, 5), b"hello");
    client.write_all(b"x").unwrap();
    assert_eq!(read(&mut client, 1), b"x");
    assert_eq!(proxy.stat("door.rbac.allowed"), 0);
}

#[test]
fn tokens_are_those_of_all_workers() {
    let bucket = "token_bucket: { max_tokens: 3, fill_interval: 3600s }";
    let limit = filter("local_ratelimit", "LocalRateLimit", &format!("stat_prefix: few, {bucket}"));
    let proxy = start(&limit, greeter(), "%RESPONSE_FLAGS% %BYTES_SENT%");
    let served = (0..8).filter(|_| {
        let mut bytes = [0; 5];
        connect(&proxy).read_exact(&mut bytes).is_ok()
    });
    assert_eq!(served.count(), 3);
    proxy.wait_stat("local_rate_limit.few.rate_limited", |count| count == 5);
    let log = proxy.wait_file("access.log", |log| log.lines().count() == 8);
    assert_eq!(log.lines().filter(|line| *line == "URX 0").count(), 5, "{log}");
    assert_eq!(log.lines().filter(|line| *line == "- 5").count(), 3, "{log}");
}

#[test]
fn filters_of_one_key_share_their_tokens() {
    let bucket =
        "stat_prefix: few, share_key: k, token_bucket: { max_tokens: 3, fill_interval: 3600s }";
    let limit = filter("local_ratelimit", "LocalRateLimit", bucket);
    let off = "stat_prefix: never, runtime_enabled: { default_value: false, runtime_key: none }, \
               token_bucket: { max_tokens: 1, fill_interval: 3600s }";
    let off = filter("local_ratelimit", "LocalRateLimit", off);
    // The first connection takes two of the three tokens.
    let proxy = start(&[limit.as_str(), &limit, &off].concat(), greeter(), "%RESPONSE_FLAGS%");
    let mut first = connect(&proxy);
    assert_eq!(read(&mut first, 5), b"hello");
    assert!(is_gone(&mut connect(&proxy)));
    proxy.wait_stat("local_rate_limit.few.rate_limited", |count| count == 1);
}

#[test]
fn only_clients_of_the_right_name_pass() {
    let names = "rules: { policies: { p: { permissions: [{ requested_server_name: { suffix: \
                 .example } }], principals: [{ any: true }] } } }";
    let filters = rbac(names) + &filter("echo", "Echo", "");
    let inspector = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.\
                     TlsInspector";
    let bootstrap = Bootstrap::new().listener(&format!(
        "- name: main\n  address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }}\n  \
         listener_filters: [{{ name: tls, typed_config: {{ '@type': {inspector} }} }}]\n  \
         filter_chains:\n  - filters:\n{}",
        indent(&filters, 4)
    ));
    let proxy = Launch::new(Make::subject(), bootstrap.to_yaml()).start().unwrap();
    for (name, passes) in [("a.example", true), ("b.test", false)] {
        let hello = super::listener_filters::client_hello(name, "h2");
        let mut client = connect(&proxy);
        client.write_all(&hello).unwrap();
        let mut echo = vec![0; hello.len()];
        assert_eq!(client.read_exact(&mut echo).is_ok(), passes, "{name}");
    }
    assert_eq!((proxy.stat("door.rbac.allowed"), proxy.stat("door.rbac.denied")), (1, 1));
}

/// `matcher` in place of `rules`.
#[test]
fn a_matcher_rules_in_place_of_policies() {
    let rbac_action = "type.googleapis.com/envoy.config.rbac.v3.Action";
    let input = "type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3";
    let to = |name: &str, action: &str| {
        format!(
            "{{ action: {{ name: a, typed_config: {{ '@type': {rbac_action}, name: {name}, action: \
             {action} }} }} }}"
        )
    };
    let map = |entries: &str| {
        format!(
            "{{ matcher_tree: {{ input: {{ name: i, typed_config: {{ '@type': {input}.SourceIPInput \
             }} }}, exact_match_map: {{ map: {{ {entries} }} }} }} }}"
        )
    };
    let known = |address: &str, then: String| format!("\"{address}\": {then}");
    let entries = [
        known("192.0.2.1", to("good one", "ALLOW")),
        known("192.0.2.2", to("bad one", "DENY")),
        known("192.0.2.3", to("seen", "LOG")),
    ];
    let shadow = map(&known("192.0.2.1", to("other", "DENY")));
    let fields = format!("matcher: {}, shadow_matcher: {shadow}", map(&entries.join(", ")));
    let format = "%CONNECTION_TERMINATION_DETAILS% \
                  %DYNAMIC_METADATA(envoy.filters.network.rbac:shadow_effective_policy_id)% \
                  %DYNAMIC_METADATA(envoy.filters.network.rbac:shadow_engine_result)%";
    let header = "listener_filters:\n- name: header\n  typed_config: { '@type': \
                  type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol }\n";
    let proxy = start_with(&rbac(&fields), greeter(), format, header);
    let ask = |address: &str| {
        let mut client = connect(&proxy);
        let header = format!("PROXY TCP4 {address} 198.51.100.1 9 80\r\n");
        client.write_all(header.as_bytes()).unwrap();
        assert_eq!(read(&mut client, 5), b"hello");
        client.write_all(b"again").unwrap();
        let mut bytes = [0; 5];
        client.read_exact(&mut bytes).is_ok()
    };
    let outcomes = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"].map(ask);
    assert_eq!(outcomes, [true, false, true, false]);
    proxy.wait_stat("door.rbac.allowed", |count| count == 2);
    proxy.wait_stat("door.rbac.denied", |count| count == 2);
    let log = proxy.wait_file("access.log", |log| log.lines().count() == 4);
    let mut lines: Vec<&str> = log.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "- - denied",
            "- other denied",
            "rbac_access_denied_matched_policy[bad_one] - denied",
            "rbac_access_denied_matched_policy[none] - denied",
        ]
    );
}
