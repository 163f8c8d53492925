//! The TCP proxy with TLS on either side, and what stands in front of it.

use std::io::Write;
use std::net::{Shutdown, SocketAddr};

use ringway_test_support::{Bootstrap, Certificates, Launch, Make, Proxy, indent};

use super::tcp_proxy::{
    Raw, connect, echo, ending_in, listener, logging, only_line, pattern, read, rest, sender,
};

const SOCKETS: &str = "type.googleapis.com/envoy.extensions.transport_sockets";
const PREAMBLE: &str = "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3";
const LOG: &str = "%CONNECTION_ID% %DOWNSTREAM_REMOTE_ADDRESS% %BYTES_RECEIVED% %BYTES_SENT% \
                   %DOWNSTREAM_TLS_VERSION% %UPSTREAM_TLS_VERSION% %RESPONSE_FLAGS%";

fn start(certificates: &Certificates, bootstrap: &Bootstrap) -> Proxy {
    Launch::new(Make::subject(), certificates.fill(&bootstrap.to_yaml())).start().unwrap()
}

/// A proxy that takes TLS off, behind a PROXY header where there may be one.
fn inner(certificates: &Certificates, origin: SocketAddr, more: &str) -> Proxy {
    let socket = format!(
        "  transport_socket: {{ name: tls, typed_config: {{ '@type': \
         {SOCKETS}.tls.v3.DownstreamTlsContext, common_tls_context: {{ tls_certificates: [{{ \
         certificate_chain: {{ filename: '{{pki}}/a.pem' }}, private_key: {{ filename: \
         '{{pki}}/a.key' }} }}] }} }} }}\n"
    );
    let filter = indent(&logging(LOG, "cluster: origin"), 2);
    let listener = listener(&format!("- filters:\n{filter}{socket}")) + more;
    start(certificates, &Bootstrap::new().listener(&listener).cluster("origin", &[origin]))
}

fn secured() -> String {
    format!(
        "{{ name: tls, typed_config: {{ '@type': {SOCKETS}.tls.v3.UpstreamTlsContext, sni: a.test, \
         common_tls_context: {{ validation_context: {{ trusted_ca: {{ filename: '{{pki}}/ca.pem' \
         }} }} }} }} }}"
    )
}

/// A proxy that puts TLS on.
fn outer(certificates: &Certificates, to: SocketAddr, socket: &str) -> Proxy {
    let socket = format!("transport_socket: {socket}\n");
    let filter = logging(LOG, "cluster: inner");
    start(certificates, &ending_in(&filter).cluster_with("inner", &[to], &socket))
}

fn certificates() -> Certificates {
    let certificates = Certificates::new();
    certificates.issue("a", &["a.test"]);
    certificates
}

#[test]
fn large_transfers_pass_tls_both_ways() {
    const LENGTH: usize = 6 << 20;
    let certificates = certificates();
    let inner = inner(&certificates, echo(), "");
    let outer = outer(&certificates, inner.listener("main"), &secured());
    let mut client = connect(&outer);
    let bytes = pattern(LENGTH);
    let sending = sender(client.try_clone().unwrap(), bytes.clone());
    assert!(rest(&mut client) == bytes, "what came back differs");
    sending.join().unwrap();
    for (proxy, versions) in [(&outer, "- TLSv1.2"), (&inner, "TLSv1.2 -")] {
        let line = only_line(proxy);
        assert!(line.ends_with(&format!(" {LENGTH} {LENGTH} {versions} -")), "{line}");
    }
    // No end was cut off: each side has said goodbye before it closed.
    assert_eq!(inner.stat("cluster.origin.upstream_cx_active"), 0);
    outer.wait_stat("cluster.inner.upstream_cx_active", |count| count == 0);
}

#[test]
fn the_server_speaks_first_and_each_side_ends_by_itself() {
    let (certificates, origin) = (certificates(), Raw::new());
    let inner = inner(&certificates, origin.address(), "");
    let outer = outer(&certificates, inner.listener("main"), &secured());
    let mut client = connect(&outer);
    let mut server = origin.accept();
    server.write_all(b"hello").unwrap();
    assert_eq!(read(&mut client, 5), b"hello");
    server.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client), b"");
    client.write_all(b"I still speak").unwrap();
    drop(client);
    assert_eq!(rest(&mut server), b"I still speak");
}

#[test]
fn a_proxy_header_goes_in_front_of_the_handshake() {
    let certificates = certificates();
    let filter = "{ name: pp, typed_config: { '@type': PREAMBLE.ProxyProtocol } }";
    let filters = format!("  listener_filters: [{}]\n", filter.replace("PREAMBLE", PREAMBLE));
    let inner = inner(&certificates, echo(), &filters);
    for version in ["V1", "V2"] {
        let socket = format!(
            "{{ name: pp, typed_config: {{ '@type': \
             {SOCKETS}.proxy_protocol.v3.ProxyProtocolUpstreamTransport, config: {{ version: \
             {version} }}, transport_socket: {} }} }}",
            secured()
        );
        let outer = outer(&certificates, inner.listener("main"), &socket);
        let mut client = connect(&outer);
        let address = client.local_addr().unwrap();
        client.write_all(b"x").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut client), b"x");
        inner.wait_file("access.log", |log| log.contains(&format!(" {address} 1 1 TLSv1.2 - -")));
    }
}
