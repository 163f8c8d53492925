//! What a listener counts, limits and logs: its connections.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use ringway_test_support::{Bootstrap, Launch, Make, Origin, Proxy, RawClient, indent};

const TYPES: &str = "type.googleapis.com/envoy.extensions.filters.network";
const FILE: &str = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog";
const PATIENCE: Duration = Duration::from_secs(20);
const ADDRESS: &str = "{ socket_address: { address: 127.0.0.1, port_value: 0 } }";

fn filter(kind: &str, message: &str, fields: &str) -> String {
    format!(
        "- {{ name: {kind}, typed_config: {{ '@type': {TYPES}.{kind}.v3.{message}, {fields} }} }}\n"
    )
}

/// A listener with these fields and one chain.
fn listener(name: &str, fields: &str, chain: &str) -> String {
    format!(
        "- name: {name}\n  stat_prefix: {name}\n  address: {ADDRESS}\n{}  filter_chains:\n{}",
        indent(fields, 2),
        indent(chain, 2)
    )
}

fn echo() -> String {
    format!("- filters:\n{}", indent(&filter("echo", "Echo", ""), 2))
}

fn log(format: &str) -> String {
    format!(
        "access_log: [{{ name: file, typed_config: {{ '@type': {FILE}, path: '{{folder}}/access.log', \
         log_format: {{ text_format_source: {{ inline_string: \"{format}\\n\" }} }} }} }}]\n"
    )
}

fn start(bootstrap: &Bootstrap, more: &str) -> Proxy {
    Launch::new(Make::subject(), bootstrap.to_yaml() + more).start().unwrap()
}

fn runtime(keys: &str) -> String {
    format!("\nlayered_runtime: {{ layers: [{{ name: s, static_layer: {{ {keys} }} }}] }}\n")
}

fn connect(proxy: &Proxy, listener: &str) -> TcpStream {
    let stream = TcpStream::connect(proxy.listener(listener)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn answers(client: &mut TcpStream) -> bool {
    let mut bytes = [0; 2];
    client.write_all(b"hi").is_ok() && client.read_exact(&mut bytes).is_ok()
}

#[test]
fn a_listener_has_as_many_connections_as_the_runtime_says() {
    let bootstrap = Bootstrap::new().listener(&listener("main", "", &echo()));
    let keys = "envoy: { resource_limits: { listener: { main: { connection_limit: 2 } } } }";
    let proxy = start(&bootstrap, &runtime(keys));
    let mut first = connect(&proxy, "main");
    let mut second = connect(&proxy, "main");
    assert!(answers(&mut first) && answers(&mut second));
    assert!(!answers(&mut connect(&proxy, "main")));
    proxy.wait_stat("listener.main.downstream_cx_overflow", |count| count == 1);
    drop(first);
    proxy.wait_stat("listener.main.downstream_cx_active", |count| count == 1);
    assert!(answers(&mut connect(&proxy, "main")));
}

#[test]
fn a_limit_on_all_connections_leaves_those_that_ignore_it() {
    let ignoring = "ignore_global_conn_limit: true\n";
    let bootstrap = Bootstrap::new()
        .listener(&listener("one", "", &echo()))
        .listener(&listener("two", "", &echo()))
        .listener(&listener("free", ignoring, &echo()));
    let keys = "overload.global_downstream_max_connections: 2";
    let yaml = bootstrap.to_yaml() + &runtime(keys);
    // The connections of this test to the admin count as well.
    let yaml = yaml.replacen("admin:\n", "admin:\n  ignore_global_conn_limit: true\n", 1);
    let proxy = Proxy::start(yaml);
    let mut one = served(&proxy, "one");
    let mut free = connect(&proxy, "free");
    assert!(answers(&mut one) && answers(&mut free));
    assert!(!answers(&mut connect(&proxy, "two")), "two connections are all there may be");
    proxy.wait_stat("listener.two.downstream_global_cx_overflow", |count| count == 1);
    assert!(answers(&mut connect(&proxy, "free")));
}

/// A connection that is served. One to the admin that this test has left behind may still count.
fn served(proxy: &Proxy, listener: &str) -> TcpStream {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut client = connect(proxy, listener);
        if answers(&mut client) {
            return client;
        }
        assert!(Instant::now() < deadline, "nobody is served");
    }
}

#[test]
fn the_admin_server_counts_against_the_limit_on_all_connections() {
    let ignoring = "ignore_global_conn_limit: true\n";
    let bootstrap = Bootstrap::new().listener(&listener("free", ignoring, &echo()));
    let keys = "overload.global_downstream_max_connections: 2";
    let proxy = start(&bootstrap, &runtime(keys));
    let mut clients = [connect(&proxy, "free"), connect(&proxy, "free")];
    assert!(clients.iter_mut().all(answers));
    let ask = |admin: &mut TcpStream| {
        let mut answer = Vec::new();
        let asked = admin.write_all(b"GET /ready HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        // A connection that is one too many may be reset.
        let _ = asked.and_then(|()| admin.read_to_end(&mut answer));
        !answer.is_empty()
    };
    let admin = || TcpStream::connect(proxy.admin_address()).unwrap();
    assert!(!ask(&mut admin()));
    drop(clients);
    let deadline = Instant::now() + PATIENCE;
    while !ask(&mut admin()) {
        assert!(Instant::now() < deadline, "the admin server does not come back");
    }
    proxy.wait_stat("listener.admin.downstream_global_cx_overflow", |count| count >= 1);
}

const LINE: &str = "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_RECEIVED% %BYTES_SENT% \
                    %PROTOCOL% %RESPONSE_CODE% %UPSTREAM_CLUSTER% \
                    %CONNECTION_TERMINATION_DETAILS% %LISTENER_NAME%";

fn lines(proxy: &Proxy, count: usize) -> Vec<String> {
    let log = proxy.wait_file("access.log", |log| log.lines().count() >= count);
    log.lines().map(str::to_owned).collect()
}

#[test]
fn a_connection_without_a_chain_is_logged() {
    let chain =
        echo().replacen("- filters", "- filter_chain_match: { destination_port: 1 }\n  filters", 1);
    let bootstrap = Bootstrap::new().listener(&listener("main", &log(LINE), &chain));
    let proxy = start(&bootstrap, "");
    assert!(!answers(&mut connect(&proxy, "main")));
    assert_eq!(lines(&proxy, 1), ["NR filter_chain_not_found 0 0 - 0 - - main"]);
}

#[test]
fn a_connection_is_logged_with_what_became_of_it() {
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = origin.local_addr().unwrap();
    let rules = "rules: { action: DENY, policies: { p: { permissions: [{ any: true }], \
                 principals: [{ any: true }] } } }";
    let filters = filter("rbac", "RBAC", &format!("stat_prefix: door, {rules}"))
        + &filter("tcp_proxy", "TcpProxy", "stat_prefix: tp, cluster: origin");
    let chain = format!("- filters:\n{}", indent(&filters, 2));
    let bootstrap = Bootstrap::new().cluster("origin", &[address]).listener(&listener(
        "main",
        &log(LINE),
        &chain,
    ));
    let proxy = start(&bootstrap, "");
    let mut client = connect(&proxy, "main");
    client.write_all(b"abc").unwrap();
    let _ = client.read(&mut [0; 1]);
    let why = "rbac_access_denied_matched_policy[p]";
    assert_eq!(lines(&proxy, 1), [format!("- - 3 0 - 0 origin {why} main")]);
}

#[test]
fn a_connection_of_http_is_logged_once() {
    let origin = Origin::named("a");
    let bootstrap = Bootstrap::proxying_to(origin.address());
    let yaml = bootstrap.to_yaml();
    let fields = indent(&log("%BYTES_RECEIVED% %PROTOCOL% %RESPONSE_CODE%"), 4);
    let yaml = yaml.replacen("    filter_chains:\n", &format!("{fields}    filter_chains:\n"), 1);
    let proxy = Launch::new(Make::subject(), yaml).start().unwrap();
    let mut client = RawClient::connect(proxy.listener("main"));
    let request = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
    for _ in 0..3 {
        assert_eq!(client.ask(request).status(), 200);
    }
    drop(client);
    assert_eq!(lines(&proxy, 1), [format!("{} HTTP/1.1 0", 3 * request.len())]);
}

#[test]
fn connections_are_taken_one_at_a_time_and_by_several_paths() {
    let fields = "max_connections_to_accept_per_socket_event: 1\nenable_mptcp: true\n";
    let bootstrap = Bootstrap::new().listener(&listener("main", fields, &echo()));
    let proxy = start(&bootstrap, "");
    let mut clients: Vec<_> = (0..30).map(|_| connect(&proxy, "main")).collect();
    assert!(clients.iter_mut().all(answers));
}
