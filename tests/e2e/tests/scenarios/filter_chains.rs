//! Which filter chain takes a connection: most specific match, then the default, then none.

use std::net::TcpStream;

use ringway_test_support::{Bootstrap, Proxy, RawClient};
use socket2::{Domain, Socket, Type};

fn chain(name: &str, matching: &str) -> String {
    let answer = format!("{{ status: 200, body: {{ inline_string: {name} }} }}");
    format!(
        "
- name: {name}
  filter_chain_match: {{ {matching} }}
  filters:
  - name: envoy.filters.network.http_connection_manager
    typed_config:
      \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: {name}
      http_filters:
      - name: envoy.filters.http.router
        typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
      route_config: {{ virtual_hosts: [{{ name: all, domains: ['*'], routes: [{{ match: {{ prefix: / }}, direct_response: {answer} }}] }}] }}
"
    )
}

fn listening(chains: &[String], default: Option<&str>) -> Proxy {
    let chains = ringway_test_support::indent(&chains.concat(), 2);
    let default = default.map_or(String::new(), |name| {
        let chain = chain(name, "").replacen("- name", "  name", 1);
        format!("  default_filter_chain:\n{}", ringway_test_support::indent(&chain, 2))
    });
    let default = default.replace("filter_chain_match: {  }\n", "metadata: {}\n");
    Proxy::start(
        Bootstrap::new()
            .listener(&format!(
                "- name: main\n  address: {{ socket_address: {{ address: 0.0.0.0, port_value: 0 }} }}\n  \
                 filter_chains:\n{chains}{default}"
            ))
            .to_yaml(),
    )
}

/// Connects from one loopback address to another.
fn from(source: &str, proxy: &Proxy, to: [u8; 4]) -> Option<RawClient> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let source: std::net::SocketAddr = format!("{source}:0").parse().unwrap();
    socket.bind(&source.into()).unwrap();
    let to = std::net::SocketAddr::from((to, proxy.listener("main").port()));
    socket.connect(&to.into()).ok()?;
    Some(RawClient::from_stream(TcpStream::from(socket)))
}

fn chosen(source: &str, proxy: &Proxy, to: [u8; 4]) -> String {
    from(source, proxy, to).unwrap().get("/").text()
}

#[test]
fn by_source_and_destination() {
    let chains = [
        chain("narrow", "prefix_ranges: [{ address_prefix: 127.0.1.0, prefix_len: 24 }]"),
        chain("wide", "prefix_ranges: [{ address_prefix: 127.0.0.0, prefix_len: 16 }]"),
        chain(
            "source",
            "prefix_ranges: [{ address_prefix: 127.0.0.0, prefix_len: 16 }], \
                         source_prefix_ranges: [{ address_prefix: 127.0.0.9, prefix_len: 32 }]",
        ),
    ];
    let proxy = listening(&chains, Some("default"));
    assert_eq!(chosen("127.0.0.1", &proxy, [127, 0, 1, 1]), "narrow");
    assert_eq!(chosen("127.0.0.1", &proxy, [127, 0, 0, 1]), "wide");
    assert_eq!(chosen("127.0.0.9", &proxy, [127, 0, 0, 1]), "source");
    // The destination is decided first: its most specific range has no chain for this source only.
    assert_eq!(chosen("127.0.0.9", &proxy, [127, 0, 1, 1]), "narrow");
    assert_eq!(chosen("127.0.0.1", &proxy, [127, 9, 9, 9]), "default");
}

#[test]
fn no_chain_closes_the_connection() {
    let chains = [chain("other", "prefix_ranges: [{ address_prefix: 127.5.0.0, prefix_len: 16 }]")];
    let proxy = listening(&chains, None);
    if let Some(mut client) = from("127.0.0.1", &proxy, [127, 0, 0, 1]) {
        client.send_anyway("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        assert!(client.try_response("GET").is_err());
    }
    assert_eq!(chosen("127.0.0.1", &proxy, [127, 5, 0, 1]), "other");
}
