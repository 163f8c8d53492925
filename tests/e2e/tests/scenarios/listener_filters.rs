//! What listener filters read of a connection before a filter chain is chosen.

use std::io::Write;
use std::net::TcpStream;

use ringway_test_support::{Bootstrap, Origin, Proxy, RawClient, indent};

const TYPES: &str = "type.googleapis.com/envoy.extensions.filters.listener";
/// `PROXY` of version 2 for TCP over IPv4, up to the length.
const V2_TCP4: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11";

fn filter(kind: &str, message: &str, fields: &str) -> String {
    format!(
        "- {{ name: {kind}, typed_config: {{ '@type': {TYPES}.{kind}.v3.{message}, {fields} }} }}\n"
    )
}

fn proxy_protocol(fields: &str) -> String {
    filter("proxy_protocol", "ProxyProtocol", fields)
}

/// A listener with these filters (a YAML list) and fields in front of the origin.
fn listening(filters: &str, fields: &str, origin: &Origin) -> Proxy {
    let route = "- match: { prefix: / }\n  route: { cluster: origin }";
    let manager = format!(
        "use_remote_address: true\nroute_config:\n  virtual_hosts:\n  - name: all\n    \
         domains: ['*']\n    routes:\n{}",
        indent(route, 4)
    );
    let yaml = Bootstrap::new().http("main", &manager).cluster("origin", &[origin.address()]);
    let with = format!(
        "  stat_prefix: early\n  listener_filters:\n{}{}  filter_chains:",
        indent(filters, 2),
        indent(fields, 2)
    );
    let with = indent(&with, 2);
    Proxy::start(yaml.to_yaml().replacen("    filter_chains:\n", &with, 1))
}

/// The client's address as the origin is told.
fn forwarded_for(origin: &Origin, count: usize) -> String {
    let requests = origin.wait_for(count);
    let head = &requests[count - 1].message.head;
    head.get("x-forwarded-for").unwrap_or_default().to_owned()
}

fn v2(body: &[u8]) -> Vec<u8> {
    let mut header = V2_TCP4.to_vec();
    header.extend_from_slice(&(body.len() as u16).to_be_bytes());
    header.extend_from_slice(body);
    header
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

fn then_get(header: &[u8]) -> Vec<u8> {
    [header, GET].concat()
}

#[test]
fn a_proxy_header_says_who_the_client_is() {
    let origin = Origin::named("a");
    let proxy = listening(&proxy_protocol(""), "", &origin);
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send(then_get(b"PROXY TCP4 192.0.2.7 198.51.100.1 4321 80\r\n"));
    assert_eq!(client.response().status(), 200);
    assert_eq!(forwarded_for(&origin, 1), "192.0.2.7");

    let mut client = RawClient::connect(proxy.listener("main"));
    client.send(then_get(&v2(&[192, 0, 2, 8, 198, 51, 100, 1, 1, 2, 0, 80, 0x04, 0, 1, 0])));
    assert_eq!(client.response().status(), 200);
    assert_eq!(forwarded_for(&origin, 2), "192.0.2.8");
    proxy.wait_stat("proxy_proto.versions.v1.found", |count| count == 1);
    proxy.wait_stat("proxy_proto.versions.v2.found", |count| count == 1);
}

#[test]
fn a_proxy_header_may_come_byte_by_byte() {
    let origin = Origin::named("a");
    let proxy = listening(&proxy_protocol(""), "", &origin);
    for (count, header) in [
        b"PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n".to_vec(),
        v2(&[9, 9, 9, 9, 8, 8, 8, 8, 1, 1, 2, 2]),
    ]
    .into_iter()
    .enumerate()
    {
        let mut stream = TcpStream::connect(proxy.listener("main")).unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in then_get(&header) {
            stream.write_all(&[byte]).unwrap();
        }
        assert_eq!(RawClient::from_stream(stream).response().status(), 200);
        assert_eq!(forwarded_for(&origin, count + 1), ["2001:db8::7", "9.9.9.9"][count]);
    }
}

#[test]
fn a_proxy_that_speaks_for_itself_keeps_its_address() {
    let origin = Origin::named("a");
    let proxy = listening(&proxy_protocol(""), "", &origin);
    let own = || {
        let mut client = RawClient::connect(proxy.listener("main"));
        client.send(then_get(b"PROXY UNKNOWN\r\n"));
        assert_eq!(client.response().status(), 200);
    };
    own();
    let plain = forwarded_for(&origin, 1);
    let mut local = v2(b"");
    local[12] = 0x20;
    local[13] = 0;
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send(then_get(&local));
    assert_eq!(client.response().status(), 200);
    assert_eq!(forwarded_for(&origin, 2), plain);
}

/// Sends these bytes; whether the connection ends without an answer.
fn is_refused(proxy: &Proxy, bytes: &[u8]) -> bool {
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send_anyway(bytes);
    client.try_response("GET").is_err()
}

#[test]
fn what_is_no_proxy_header_is_refused() {
    let origin = Origin::named("a");
    let proxy = listening(&proxy_protocol(""), "", &origin);
    assert!(is_refused(&proxy, GET));
    proxy.wait_stat("proxy_proto.not_found_disallowed", |count| count == 1);
    for line in ["TCP4 1.2.3.4 5.6.7 1 2", "TCP4 1.2.3.4 ::1 1 2", "TCP4 0.0.0.0 1.2.3.4 1 2"] {
        assert!(is_refused(&proxy, &then_get(format!("PROXY {line}\r\n").as_bytes())), "{line}");
    }
    proxy.wait_stat("proxy_proto.versions.v1.error", |count| count == 3);
    // A TLV that reaches into the payload.
    assert!(is_refused(&proxy, &then_get(&v2(&[9, 9, 9, 9, 8, 8, 8, 8, 1, 1, 2, 2, 4, 0, 9]))));
    let mut version_3 = v2(&[9, 9, 9, 9, 8, 8, 8, 8, 1, 1, 2, 2]);
    version_3[12] = 0x31;
    assert!(is_refused(&proxy, &then_get(&version_3)));
    proxy.wait_stat("proxy_proto.versions.v2.error", |count| count == 2);
    assert_eq!(proxy.stat("downstream_cx_proxy_proto_error"), 6);
    assert_eq!(proxy.stat("http.main.downstream_cx_total"), 0);
}

#[test]
fn a_proxy_header_may_be_optional_and_versions_refused() {
    let origin = Origin::named("a");
    let optional = "allow_requests_without_proxy_protocol: true, stat_prefix: inner";
    let proxy = listening(&proxy_protocol(optional), "", &origin);
    assert_eq!(RawClient::connect(proxy.listener("main")).get("/").status(), 200);
    // `P` is the first byte of both.
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(client.response_to("POST").status(), 200);
    proxy.wait_stat("proxy_proto.inner.not_found_allowed", |count| count == 2);

    let proxy = listening(&proxy_protocol("disallowed_versions: [V1]"), "", &origin);
    assert!(is_refused(&proxy, &then_get(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n")));
    proxy.wait_stat("proxy_proto.versions.v1.disallowed", |count| count == 1);
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send(then_get(&v2(&[9, 9, 9, 9, 8, 8, 8, 8, 1, 1, 2, 2])));
    assert_eq!(client.response().status(), 200);
}

#[test]
fn a_silent_client_is_not_waited_for() {
    let origin = Origin::named("a");
    let timeout = "listener_filters_timeout: 0.3s";
    let proxy = listening(&proxy_protocol(""), timeout, &origin);
    let mut client = RawClient::connect(proxy.listener("main"));
    proxy.wait_stat("listener.early.downstream_pre_cx_active", |count| count == 1);
    client.expect_close();
    proxy.wait_stat("listener.early.downstream_pre_cx_timeout", |count| count == 1);
    proxy.wait_stat("listener.early.downstream_pre_cx_active", |count| count == 0);
    assert_eq!(proxy.stat("listener.early.downstream_cx_total"), 0);

    let go_on = format!("{timeout}\ncontinue_on_listener_filters_timeout: true");
    let inspector = filter("http_inspector", "HttpInspector", "");
    let proxy = listening(&inspector, &go_on, &origin);
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send("GE");
    proxy.wait_stat("listener.early.downstream_pre_cx_timeout", |count| count == 1);
    client.send("T / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(client.response().status(), 200);
}

#[test]
fn a_client_that_goes_early_is_counted() {
    let origin = Origin::named("a");
    let proxy = listening(&proxy_protocol(""), "", &origin);
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send("PROXY").finish();
    client.expect_close();
    proxy.wait_stat("listener.early.downstream_listener_filter_remote_close", |count| count == 1);
}

#[test]
fn a_filter_may_be_disabled_for_a_port() {
    let origin = Origin::named("a");
    let range = "filter_disabled: { not_match: { destination_port_range: { start: 1, end: 2 } } }";
    let filters = proxy_protocol("").replacen("- { ", &format!("- {{ {range}, "), 1);
    let proxy = listening(&filters, "", &origin);
    assert_eq!(RawClient::connect(proxy.listener("main")).get("/").status(), 200);
}

/// A ClientHello of TLS 1.2 with this server name and this protocol.
pub(crate) fn client_hello(name: &str, alpn: &str) -> Vec<u8> {
    let u16s = |length: usize| (length as u16).to_be_bytes().to_vec();
    let with_length = |body: Vec<u8>| [u16s(body.len()), body].concat();
    let name = [vec![0], with_length(name.as_bytes().to_vec())].concat();
    let alpn = [vec![alpn.len() as u8], alpn.as_bytes().to_vec()].concat();
    let extensions =
        [vec![0, 0], with_length(with_length(name)), vec![0, 16], with_length(with_length(alpn))];
    let body = [
        vec![3, 3],
        vec![7; 32],
        vec![0, 0, 2, 0xc0, 0x2f, 1, 0],
        with_length(extensions.concat()),
    ];
    let body = body.concat();
    let message = [vec![1, 0], u16s(body.len()), body].concat();
    [vec![22, 3, 1], with_length(message)].concat()
}

/// A listener whose chains stand under these conditions, each with a manager of its name.
fn chains(filters: &str, chains: &[(&str, &str)]) -> Proxy {
    let hcm = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.\
               HttpConnectionManager";
    let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    let chain = |(name, matching): &(&str, &str)| {
        format!(
            "  - filter_chain_match: {{ {matching} }}\n    filters:\n    - name: hcm\n      \
             typed_config: {{ '@type': {hcm}, stat_prefix: {name}, route_config: {{}}, \
             http_filters: [{{ name: router, typed_config: {{ '@type': {router} }} }}] }}\n"
        )
    };
    let chains: String = chains.iter().map(chain).collect();
    let listener = format!(
        "- name: main\n  address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }}\n  \
         listener_filters:\n{}  filter_chains:\n{chains}",
        indent(filters, 2)
    );
    Proxy::start(Bootstrap::new().listener(&listener).to_yaml())
}

fn chosen(proxy: &Proxy, bytes: &[u8], name: &str) {
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send_anyway(bytes);
    proxy.wait_stat(&format!("http.{name}.downstream_cx_total"), |count| count == 1);
}

#[test]
fn the_server_name_chooses_the_chain() {
    let inspector = filter("tls_inspector", "TlsInspector", "");
    let proxy = chains(
        &inspector,
        &[
            ("exact", "server_names: [a.example]"),
            ("wild", "server_names: ['*.example']"),
            ("h2", "application_protocols: [h2]"),
            ("tls", "transport_protocol: tls"),
            ("plain", "transport_protocol: raw_buffer"),
        ],
    );
    chosen(&proxy, &client_hello("A.example", "x"), "exact");
    chosen(&proxy, &client_hello("b.example", "x"), "wild");
    chosen(&proxy, &client_hello("other", "x"), "tls");
    chosen(&proxy, GET, "plain");
    proxy.wait_stat("tls_inspector.sni_found", |count| count == 3);
    proxy.wait_stat("tls_inspector.alpn_found", |count| count == 3);
    proxy.wait_stat("tls_inspector.tls_not_found", |count| count == 1);
    // In two pieces, the first of which ends in the record head.
    let hello = client_hello("a.example", "x");
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send(&hello[..4]);
    client.send(&hello[4..]);
    proxy.wait_stat("http.exact.downstream_cx_total", |count| count == 2);
}

/// Older Envoys put a tls_inspector there by themselves.
#[test]
fn nobody_reads_a_server_name_without_its_inspector() {
    let proxy = chains(
        &filter("http_inspector", "HttpInspector", ""),
        &[("named", "server_names: [a.example]"), ("rest", "")],
    );
    chosen(&proxy, &client_hello("a.example", "x"), "rest");
}

#[test]
fn the_start_of_http_chooses_the_chain() {
    let proxy = chains(
        &filter("http_inspector", "HttpInspector", ""),
        &[
            ("http10", "transport_protocol: raw_buffer, application_protocols: ['http/1.0']"),
            ("http11", "transport_protocol: raw_buffer, application_protocols: ['http/1.1']"),
            ("h2c", "transport_protocol: raw_buffer, application_protocols: [h2c]"),
            ("other", "transport_protocol: raw_buffer"),
        ],
    );
    chosen(&proxy, GET, "http11");
    chosen(&proxy, b"GET / HTTP/1.0\r\n\r\n", "http10");
    chosen(&proxy, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "h2c");
    chosen(&proxy, b"\x00\x01\x02 something else\r\n", "other");
    proxy.wait_stat("http_inspector.http11_found", |count| count == 1);
    proxy.wait_stat("http_inspector.http10_found", |count| count == 1);
    proxy.wait_stat("http_inspector.http2_found", |count| count == 1);
    proxy.wait_stat("http_inspector.http_not_found", |count| count == 1);
}

#[test]
fn a_hello_above_the_limit_ends_the_connection() {
    let inspector = filter("tls_inspector", "TlsInspector", "max_client_hello_size: 256");
    let proxy = chains(&inspector, &[("any", "")]);
    let large = client_hello(&"a".repeat(200), &"x".repeat(200));
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send_anyway(&large);
    client.expect_close();
    proxy.wait_stat("tls_inspector.client_hello_too_large", |count| count == 1);
}

/// Whatever the first bytes are, the connection comes to an end and the next one is served.
#[test]
fn hostile_first_bytes_do_no_harm() {
    let origin = Origin::named("a");
    let optional = proxy_protocol("allow_requests_without_proxy_protocol: true");
    let filters = [
        optional,
        filter("tls_inspector", "TlsInspector", ""),
        filter("http_inspector", "HttpInspector", ""),
    ];
    let proxy = listening(&filters.concat(), "listener_filters_timeout: 1s", &origin);
    let starts: [&[u8]; 4] = [b"PROXY ", V2_TCP4, b"\x16\x03\x01", b"PRI * "];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..200 {
        let mut bytes = starts[round % starts.len()].to_vec();
        for _ in 0..round % 64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            bytes.push((state >> 56) as u8);
        }
        let mut client = RawClient::connect(proxy.listener("main"));
        client.send_anyway(&bytes).finish();
        while client.try_response("GET").is_ok() {}
    }
    assert_eq!(RawClient::connect(proxy.listener("main")).get("/").status(), 200);
}
