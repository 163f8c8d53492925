//! The PROXY header towards endpoints: of transport sockets, and of tunnels that end here.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use ringway_test_support::{Bootstrap, Proxy, RawClient, indent};

use super::tcp_proxy::{Raw, connect, ending_in, listener, logging, read, rest};

const SOCKET: &str = "type.googleapis.com/envoy.extensions.transport_sockets";

/// A transport socket that writes a header of this `config` in front of plain bytes.
fn prefixing(config: &str) -> String {
    let raw =
        format!("{{ name: raw, typed_config: {{ '@type': {SOCKET}.raw_buffer.v3.RawBuffer }} }}");
    format!(
        "transport_socket: {{ name: pp, typed_config: {{ '@type': \
         {SOCKET}.proxy_protocol.v3.ProxyProtocolUpstreamTransport, config: {{ {config} }}, \
         transport_socket: {raw} }} }}\n"
    )
}

fn over_tcp(origin: SocketAddr, config: &str, fields: &str) -> Proxy {
    let filter = logging("x", &format!("cluster: origin\n{fields}"));
    let bootstrap = ending_in(&filter).cluster_with("origin", &[origin], &prefixing(config));
    super::tcp_proxy::start(&bootstrap)
}

/// A header of version 2 between two addresses of IPv4.
fn header_of(from: SocketAddr, to: SocketAddr, tlvs: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    header.extend((12 + tlvs.len() as u16).to_be_bytes());
    for end in [from, to] {
        let SocketAddr::V4(end) = end else { panic!("an IPv4 address") };
        header.extend(end.ip().octets());
    }
    header.extend(from.port().to_be_bytes());
    header.extend(to.port().to_be_bytes());
    header.extend_from_slice(tlvs);
    header
}

fn ends(client: &TcpStream) -> (SocketAddr, SocketAddr) {
    (client.local_addr().unwrap(), client.peer_addr().unwrap())
}

#[test]
fn a_header_comes_before_the_client_has_said_anything() {
    let origin = Raw::new();
    let proxy = over_tcp(origin.address(), "version: V1", "");
    let mut client = connect(&proxy);
    let mut server = origin.accept();
    let (from, to) = ends(&client);
    let line = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", from.port(), to.port());
    assert_eq!(read(&mut server, line.len()), line.as_bytes());
    server.write_all(b"220\r\n").unwrap();
    assert_eq!(read(&mut client, 5), b"220\r\n");
    drop(client);
    assert_eq!(rest(&mut server), b"");
}

const TLVS: &str = "version: V2, pass_through_tlvs: { match_type: INCLUDE_ALL }, added_tlvs: \
                    [{ type: 240, value: QUJD }, { type: 241, format_string: \
                    { text_format_source: { inline_string: '100%%' } } }]";

#[test]
fn additions_are_made_of_the_configuration() {
    let origin = Raw::new();
    let port = "{ text_format_source: { inline_string: '%DOWNSTREAM_LOCAL_PORT%' } }";
    let own = format!(
        "proxy_protocol_tlvs: [{{ type: 242, format_string: {port} }}, {{ type: 240, value: eHl6 }}]"
    );
    let proxy = over_tcp(origin.address(), TLVS, &own);
    let mut client = connect(&proxy);
    client.write_all(b"hi").unwrap();
    let (from, to) = ends(&client);
    let mut tlvs = b"\xf0\0\x03ABC\xf1\0\x04100%\xf2\0".to_vec();
    let port = to.port().to_string();
    tlvs.push(port.len() as u8);
    tlvs.extend(port.as_bytes());
    let expected = [header_of(from, to, &tlvs), b"hi".to_vec()].concat();
    assert_eq!(read(&mut origin.accept(), expected.len()), expected);
    let counter = "cluster.origin.upstream.proxyprotocol.v2_tlvs_exceed_max_length";
    assert_eq!(proxy.stat(counter), 0);
}

/// What an endpoint says in its metadata goes before what the transport socket says.
#[test]
fn an_endpoint_has_additions_of_its_own() {
    let origin = Raw::new();
    let own = "metadata: { typed_filter_metadata: { envoy.transport_sockets.proxy_protocol: { \
               '@type': type.googleapis.com/envoy.config.core.v3.PerHostConfig, added_tlvs: [{ \
               type: 240, value: eHl6 }, { type: 239, value: eA== }] } } }";
    let filter = logging("x", "cluster: origin");
    let listener = listener(&format!("- filters:\n{}", indent(&filter, 2)));
    let more = prefixing(TLVS);
    let bootstrap = Bootstrap::new().listener(&listener);
    let bootstrap = bootstrap.cluster_with("origin", &[origin.address()], &more);
    let end = format!("port_value: {} }} }} }} }}", origin.address().port());
    let with_own = format!("port_value: {} }} }} }}, {own} }}", origin.address().port());
    let yaml = bootstrap.to_yaml().replacen(&end, &with_own, 1);
    let proxy = Proxy::start(yaml.replace("{folder}", "."));
    let client = connect(&proxy);
    let (from, to) = ends(&client);
    let tlvs = b"\xf0\0\x03xyz\xef\0\x01x\xf1\0\x04100%";
    let expected = header_of(from, to, tlvs);
    assert_eq!(read(&mut origin.accept(), expected.len()), expected);
}

/// What comes to the endpoint when the client's own proxy has sent this header.
fn passed_on(config: &str, fields: &str) -> (Vec<u8>, Vec<u8>) {
    let origin = Raw::new();
    let inspector = "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.\
                     ProxyProtocol";
    let filters = format!(
        "  listener_filters: [{{ name: pp, typed_config: {{ '@type': {inspector}, \
         pass_through_tlvs: {{ match_type: INCLUDE, tlv_type: [5, 242] }} }} }}]\n"
    );
    let filter = logging("x", &format!("cluster: origin\n{fields}"));
    let listener = listener(&format!("- filters:\n{}", indent(&filter, 2))) + &filters;
    let bootstrap = Bootstrap::new().listener(&listener);
    let bootstrap = bootstrap.cluster_with("origin", &[origin.address()], &prefixing(config));
    let proxy = super::tcp_proxy::start(&bootstrap);
    let mut client = connect(&proxy);
    let (from, to) = ("1.2.3.4:80".parse().unwrap(), "5.6.7.8:443".parse().unwrap());
    let came = header_of(from, to, b"\xee\0\x01e\x05\0\x02zz\xf2\0\0");
    client.write_all(&[came, b"end".to_vec()].concat()).unwrap();
    let mut server = origin.accept();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let whole = rest(&mut server);
    let header = header_of(from, to, b"");
    assert_eq!(whole[16..28], header[16..]);
    (whole[28..].to_vec(), whole)
}

#[test]
fn additions_of_the_client_are_passed_on() {
    let all = "version: V2, pass_through_tlvs: { match_type: INCLUDE_ALL }";
    let own = "proxy_protocol_tlvs: [{ type: 242, value: eHl6 }, { type: 243, value: eHl6 }]";
    let policy = |name| format!("{own}\nproxy_protocol_tlv_merge_policy: {name}");
    for (config, fields, tlvs) in [
        (all, own.to_owned(), &b"\x05\0\x02zz\xf2\0\0end"[..]),
        ("version: V2", own.to_owned(), b"end"),
        (
            "version: V2, pass_through_tlvs: { match_type: INCLUDE, tlv_type: [5] }",
            String::new(),
            b"\x05\0\x02zzend",
        ),
        (
            all,
            policy("OVERWRITE_BY_TYPE_IF_EXISTS_OR_ADD"),
            b"\xf2\0\x03xyz\xf3\0\x03xyz\x05\0\x02zzend",
        ),
        (
            all,
            policy("APPEND_IF_EXISTS_OR_ADD"),
            b"\x05\0\x02zz\xf2\0\0\xf2\0\x03xyz\xf3\0\x03xyzend",
        ),
    ] {
        let (came, whole) = passed_on(config, &fields);
        assert_eq!(came, tlvs, "{config} {fields}: {whole:?}");
    }
}

/// Reads a head, and answers it.
fn serve(server: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(read(server, 1));
    }
    server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
    String::from_utf8(head).unwrap()
}

#[test]
fn requests_of_different_clients_share_no_connection() {
    let origin = Raw::new();
    let routes = "- { match: { prefix: / }, route: { cluster: origin } }";
    let bootstrap = Bootstrap::new().routes("main", routes);
    let socket = prefixing("version: V1");
    let bootstrap = bootstrap.cluster_with("origin", &[origin.address()], &socket);
    let proxy = Proxy::start(bootstrap.to_yaml());
    let get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut ports = Vec::new();
    for _ in 0..2 {
        let mut client = RawClient::connect(proxy.listener("main"));
        client.send(get);
        let mut server = origin.accept();
        let heads = serve(&mut server);
        let (line, request) = heads.split_once("\r\n").unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words[..4], ["PROXY", "TCP4", "127.0.0.1", "127.0.0.1"]);
        assert_eq!(words[5], proxy.listener("main").port().to_string());
        assert!(request.starts_with("GET / HTTP/1.1\r\n"), "{request}");
        ports.push(words[4].to_owned());
        assert_eq!(client.response().text(), "ok");
        // The next request of the same client has the connection to itself, without a header.
        client.send(get);
        assert!(serve(&mut server).starts_with("GET / HTTP/1.1\r\n"));
        assert_eq!(client.response().text(), "ok");
    }
    assert_ne!(ports[0], ports[1]);
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_total"), 2);
}

#[test]
fn what_comes_out_of_a_tunnel_has_a_header() {
    let origin = Raw::new();
    let manager = "upgrade_configs: [{ upgrade_type: CONNECT }]\n\
                   route_config: { virtual_hosts: [{ name: a, domains: ['*'], routes: [\
                   { match: { connect_matcher: {} }, route: &r { cluster: origin, timeout: 0s, \
                   upgrade_configs: [{ upgrade_type: CONNECT, connect_config: { allow_post: true, \
                   proxy_protocol_config: { version: V1 } } }] } }, \
                   { match: { prefix: / }, route: *r }] }] }";
    let bootstrap = Bootstrap::new().http("main", manager).cluster("origin", &[origin.address()]);
    let proxy = Proxy::start(bootstrap.to_yaml());
    let line = |client: &TcpStream| {
        let (from, to) = ends(client);
        format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", from.port(), to.port()).into_bytes()
    };
    let mut client = connect(&proxy);
    client.write_all(b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n").unwrap();
    let mut server = origin.accept();
    assert_eq!(read(&mut client, 12), b"HTTP/1.1 200");
    client.write_all(b"hi").unwrap();
    assert_eq!(
        read(&mut server, line(&client).len() + 2),
        [line(&client), b"hi".to_vec()].concat()
    );
    drop((client, server));

    let mut client = connect(&proxy);
    client.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody").unwrap();
    let mut server = origin.accept();
    assert_eq!(rest(&mut server), [line(&client), b"body".to_vec()].concat());
    server.write_all(b"answer").unwrap();
    drop(server);
    assert_eq!(read(&mut client, 12), b"HTTP/1.1 200");
    let mut answer = Vec::new();
    while !answer.ends_with(b"6\r\nanswer\r\n0\r\n\r\n") {
        answer.extend(read(&mut client, 1));
    }
}
