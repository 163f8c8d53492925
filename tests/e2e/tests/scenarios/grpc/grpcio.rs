//! The same by the implementation in C, which most other languages use, by its Python module.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use ringway_test_support::{Bootstrap, Certificates, Proxy, h2_upstream, skip};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios/grpc/peer.py");

fn python(arguments: &[&str]) -> Command {
    let mut python = Command::new("python3");
    python.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    python
}

fn has_grpcio() -> bool {
    let found = python(&["-c", "import grpc"]).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        skip("python3 has no module grpc (`pip install grpcio`)");
    }
    found
}

/// A server that ends with its standard input.
struct Server(Child);

impl Server {
    fn start() -> (Self, SocketAddr) {
        let mut child = python(&[PROGRAM, "serve"]).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        (Self(child), SocketAddr::from(([127, 0, 0, 1], port.trim().parse().unwrap())))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ended_already = self.0.wait();
    }
}

/// Has the client make all its calls, which says what was not as it should be.
fn calls(proxy: &Proxy, ca: &str) {
    let address = proxy.listener("main").to_string();
    let output = python(&[PROGRAM, "call", &address, ca]).stderr(Stdio::piped()).output().unwrap();
    let (said, error) = (String::from_utf8_lossy(&output.stdout), output.stderr);
    let error = String::from_utf8_lossy(&error);
    assert!(output.status.success(), "{said}\n{error}\n{}", proxy.log());
    assert_eq!(said.trim(), "all is well");
    for gauge in ["cluster.origin.upstream_rq_active", "http.main.downstream_rq_active"] {
        proxy.wait_stat(gauge, |value| value == 0);
    }
    assert_eq!(proxy.stat("http.main.downstream_cx_http2_total"), 1);
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_http2_total"), 1);
}

fn bootstrap(origin: SocketAddr) -> Bootstrap {
    let all = "- { match: { prefix: / }, route: { cluster: origin, timeout: 0s } }";
    Bootstrap::new().routes("main", all).cluster_with("origin", &[origin], &h2_upstream("", ""))
}

#[test]
fn grpcio_speaks_through() {
    if has_grpcio() {
        let (_server, address) = Server::start();
        calls(&Proxy::start(bootstrap(address).to_yaml()), "");
    }
}

fn certificates() -> Certificates {
    let certificates = Certificates::new();
    certificates.issue("a", &["a.test"]);
    certificates
}

/// A proxy whose listener speaks TLS.
fn behind_tls(certificates: &Certificates, bootstrap: &Bootstrap) -> Proxy {
    let socket = "    filter_chains:\n    - transport_socket: { name: tls, typed_config: { '@type': \
        type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, \
        common_tls_context: { alpn_protocols: [h2], tls_certificates: [{ certificate_chain: { \
        filename: '{pki}/a.pem' }, private_key: { filename: '{pki}/a.key' } }] } } }\n      \
        filters:";
    let yaml = bootstrap.to_yaml().replacen("    filter_chains:\n    - filters:", socket, 1);
    Proxy::start(certificates.fill(&yaml))
}

#[test]
fn grpcio_speaks_through_tls() {
    if !has_grpcio() {
        return;
    }
    let certificates = certificates();
    let (_server, address) = Server::start();
    let proxy = behind_tls(&certificates, &bootstrap(address));
    calls(&proxy, &certificates.path("ca.pem").display().to_string());
    assert_eq!(proxy.stat("http.main.downstream_cx_ssl_total"), 1);
}

/// The origin of the first proxy is the second: TLS on both sides of one of them.
#[test]
fn grpcio_speaks_through_tls_on_both_sides() {
    if !has_grpcio() {
        return;
    }
    let certificates = certificates();
    let (_server, address) = Server::start();
    let back = behind_tls(&certificates, &bootstrap(address));
    let verified = "transport_socket: { name: tls, typed_config: { '@type': \
        type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, \
        sni: a.test, common_tls_context: { alpn_protocols: [h2], validation_context: { \
        trusted_ca: { filename: '{pki}/ca.pem' } } } } }\n";
    let all = "- { match: { prefix: / }, route: { cluster: origin, timeout: 0s } }";
    let more = format!("{verified}{}", h2_upstream("", ""));
    let front = Bootstrap::new().routes("main", all);
    let front = front.cluster_with("origin", &[back.listener("main")], &more);
    let front = behind_tls(&certificates, &front);
    calls(&front, &certificates.path("ca.pem").display().to_string());
    assert_eq!(front.stat("cluster.origin.ssl.handshake"), 1);
    assert_eq!(back.stat("http.main.downstream_cx_ssl_total"), 1);
}
