//! Filter chains that a tree finds (`filter_chain_matcher`).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use ringway_test_support::{Bootstrap, Launch, Make, Proxy, indent};

const NETWORK: &str = "type.googleapis.com/envoy.extensions.filters.network";
const INPUTS: &str = "type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3";
const FILTERS: &str = "type.googleapis.com/envoy.extensions.filters.listener";

fn chain(name: &str) -> String {
    format!(
        "name: {name}\nfilters:\n- name: say\n  typed_config: {{ \"@type\": \
         {NETWORK}.direct_response.v3.Config, response: {{ inline_string: {name} }} }}\n"
    )
}

fn input(name: &str) -> String {
    format!("input: {{ name: i, typed_config: {{ \"@type\": {INPUTS}.{name} }} }}\n")
}

fn to(name: &str) -> String {
    let kind = "type.googleapis.com/google.protobuf.StringValue";
    format!(
        "{{ action: {{ name: {name}, typed_config: {{ \"@type\": {kind}, value: {name} }} }} }}"
    )
}

/// A listener with chains of these names, the last of which is the default, behind the tree.
fn bootstrap(chains: &[&str], tree: &str) -> Bootstrap {
    let (default, others) = chains.split_last().unwrap();
    let item = |name: &&str| format!("- {}", indent(&chain(name), 2).trim_start());
    let others: String = others.iter().map(item).collect();
    Bootstrap::new().listener(&format!(
        "- name: main\n  address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }}\n  \
         listener_filters:\n  - name: header\n    typed_config: {{ \"@type\": \
         {FILTERS}.proxy_protocol.v3.ProxyProtocol, allow_requests_without_proxy_protocol: true }}\n  \
         - name: http\n    typed_config: {{ \"@type\": {FILTERS}.http_inspector.v3.HttpInspector \
         }}\n  filter_chain_matcher:\n{}  filter_chains:\n{}  default_filter_chain:\n{}",
        indent(tree, 4),
        indent(&others, 2),
        indent(&chain(default), 4)
    ))
}

/// What is said to a client that sends these bytes.
fn said_to(address: SocketAddr, bytes: &str) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(bytes.as_bytes()).unwrap();
    let mut said = String::new();
    // A connection that finds no chain may be reset.
    let _ = client.read_to_string(&mut said);
    said
}

fn from(source: &str, destination: &str) -> String {
    let family = if source.contains(':') { "TCP6" } else { "TCP4" };
    let [(from, source), (to, destination)] =
        [source, destination].map(|address| address.rsplit_once('/').unwrap());
    format!("PROXY {family} {from} {to} {source} {destination}\r\nhello there, whoever this is\r\n")
}

#[test]
fn a_port_finds_its_chain() {
    let map = format!(
        "matcher_tree:\n{}  exact_match_map:\n    map:\n      \"80\": {}\n      \"81\": {}\n      \
         \"82\": {}\n",
        indent(&input("DestinationPortInput"), 2),
        to("a"),
        to("b"),
        to("nobody")
    );
    let proxy = Proxy::start(bootstrap(&["a", "b", "other"], &map).to_yaml());
    let main = proxy.listener("main");
    assert_eq!(said_to(main, &from("192.0.2.7/9", "198.51.100.1/80")), "a");
    assert_eq!(said_to(main, &from("192.0.2.7/9", "198.51.100.1/81")), "b");
    assert_eq!(said_to(main, &from("192.0.2.7/9", "198.51.100.1/83")), "other");
    // The chain that was found is not there: the default does not take its place.
    assert_eq!(said_to(main, &from("192.0.2.7/9", "198.51.100.1/82")), "");
    proxy.wait_stat("listener.127.0.0.1_0.no_filter_chain_match", |count| count == 1);
}

#[test]
fn what_is_known_of_a_connection_is_asked_in_turn() {
    let single = |name: &str, value: &str, then: &str| {
        format!(
            "- predicate:\n    single_predicate:\n{}      value_match: {{ {value} }}\n  on_match: {}\n",
            indent(&input(name), 6),
            to(then)
        )
    };
    let list = [
        single("SourceIPInput", "prefix: \"192.0.2.\"", "source"),
        single("DirectSourceIPInput", "exact: \"198.51.100.9\"", "never"),
        single("SourceTypeInput", "exact: local", "local"),
        single("ApplicationProtocolInput", "exact: \"'http/1.1'\"", "http"),
        single("TransportProtocolInput", "exact: raw_buffer", "raw"),
    ]
    .concat();
    let tree = format!("matcher_list:\n  matchers:\n{}", indent(&list, 2));
    let chains = ["source", "never", "local", "http", "raw", "other"];
    let proxy = Proxy::start(bootstrap(&chains, &tree).to_yaml());
    let main = proxy.listener("main");
    assert_eq!(said_to(main, &from("192.0.2.7/9", "198.51.100.1/80")), "source");
    assert_eq!(said_to(main, &from("127.0.0.1/9", "198.51.100.1/80")), "local");
    let get = "PROXY TCP4 203.0.113.7 198.51.100.1 9 80\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n";
    assert_eq!(said_to(main, get), "http");
    assert_eq!(said_to(main, &from("203.0.113.7/9", "198.51.100.1/80")), "raw");
}

#[test]
fn chains_that_a_tree_finds_have_names() {
    let tree = format!("on_no_match: {}\n", to("a"));
    for (yaml, words) in [
        (
            bootstrap(&["a", "other"], &tree)
                .to_yaml()
                .replace("- name: a\n      filters", "- filters"),
            "\"name\" field is required when using a listener matcher",
        ),
        (
            bootstrap(&["a", "a", "other"], &tree).to_yaml(),
            "\"name\" field is duplicated with value 'a'",
        ),
    ] {
        let error = Launch::new(Make::subject(), yaml).start().unwrap_err();
        assert!(error.log.contains(words), "{error}");
    }
}
