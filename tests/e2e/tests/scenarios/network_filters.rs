//! Network filters below HTTP: those that answer by themselves, and those that decide.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use ringway_test_support::{Bootstrap, Proxy, indent};

const TYPES: &str = "type.googleapis.com/envoy.extensions.filters.network";
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn filter(kind: &str, message: &str, fields: &str) -> String {
    format!(
        "- {{ name: {kind}, typed_config: {{ '@type': {TYPES}.{kind}.v3.{message}, {fields} }} }}\n"
    )
}

fn echo() -> String {
    filter("echo", "Echo", "")
}

pub(crate) fn bootstrap(filters: &str) -> Bootstrap {
    let filters = indent(filters, 4);
    let inspector = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.\
                     TlsInspector";
    Bootstrap::new().listener(&format!(
        "- name: main\n  address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }}\n  \
         listener_filters: [{{ name: tls, typed_config: {{ '@type': {inspector} }} }}]\n  \
         listener_filters_timeout: 0.2s\n  continue_on_listener_filters_timeout: true\n  \
         filter_chains:\n  - filters:\n{filters}"
    ))
}

fn start(filters: &str) -> Proxy {
    Proxy::start(bootstrap(filters).to_yaml())
}

pub(crate) fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.listener("main")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

pub(crate) fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

#[test]
fn direct_response_says_its_words_and_closes() {
    let proxy = start(&filter("direct_response", "Config", "response: { inline_string: go away }"));
    assert_eq!(rest(&mut connect(&proxy)), b"go away");
}

#[test]
fn echo_sends_back_everything() {
    let proxy = start(&echo());
    let mut client = connect(&proxy);
    let bytes: Vec<u8> = (0..3 << 20).map(|at: usize| (at ^ (at >> 8)) as u8).collect();
    let mut sending = client.try_clone().unwrap();
    let sent = bytes.clone();
    let sender = std::thread::spawn(move || {
        sending.write_all(&sent).unwrap();
        sending
    });
    let mut got = vec![0; bytes.len()];
    client.read_exact(&mut got).unwrap();
    assert!(got == bytes, "the echo differs");
    sender.join().unwrap().shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client), b"");
}

fn answers(client: &mut TcpStream) -> bool {
    let sent = client.write_all(b"hello world");
    let mut bytes = [0; 11];
    sent.is_ok() && client.read_exact(&mut bytes).is_ok() && &bytes == b"hello world"
}

#[test]
fn so_many_connections_and_no_more() {
    let limit = "stat_prefix: few, max_connections: 2";
    let proxy = start(&(filter("connection_limit", "ConnectionLimit", limit) + &echo()));
    let mut first = connect(&proxy);
    let mut second = connect(&proxy);
    assert!(answers(&mut first) && answers(&mut second));
    assert!(!answers(&mut connect(&proxy)));
    proxy.wait_stat("connection_limit.few.limited_connections", |count| count == 1);
    assert_eq!(proxy.stat("connection_limit.few.active_connections"), 2);
    drop(first);
    proxy.wait_stat("connection_limit.few.active_connections", |count| count == 1);
    assert!(answers(&mut connect(&proxy)));
}

#[test]
fn the_server_name_is_the_cluster() {
    let origins = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let proxy = filter("tcp_proxy", "TcpProxy", "stat_prefix: tp, cluster: other");
    let filters = filter("sni_cluster", "SniCluster", "") + &proxy;
    let bootstrap = bootstrap(&filters)
        .cluster("a.example", &[origins[0].local_addr().unwrap()])
        .cluster("other", &[origins[1].local_addr().unwrap()]);
    let proxy = Proxy::start(bootstrap.to_yaml());
    let hello = super::listener_filters::client_hello("a.example", "h2");
    for (bytes, origin) in [(hello.as_slice(), &origins[0]), (b"no hello", &origins[1])] {
        let mut client = connect(&proxy);
        client.write_all(bytes).unwrap();
        let mut got = vec![0; bytes.len()];
        origin.accept().unwrap().0.read_exact(&mut got).unwrap();
        assert_eq!(got, bytes);
    }
    let unknown = super::listener_filters::client_hello("b.example", "h2");
    let mut client = connect(&proxy);
    client.write_all(&unknown).unwrap();
    assert_eq!(rest(&mut client), b"");
    proxy.wait_stat("tcp.tp.downstream_cx_no_route", |count| count == 1);
}
