//! Clients that many people have, against the proxy. Each is skipped where the machine lacks it.

mod drain;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};

use ringway_test_support::{Bootstrap, Certificates, Make, Origin, Proxy, curl, skip};

const WEBSOCKET: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios/clients/websocket.py");
const TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";

/// A program's output, or the word why there is none.
fn ran(program: &str, arguments: &[&str]) -> Option<Output> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    if output.is_err() {
        skip(&format!("no {program}"));
    }
    output.ok()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The bootstrap with TLS on its first listener, for `a.test`.
fn over_tls(bootstrap: &Bootstrap, certificates: &Certificates, more: &str) -> String {
    let socket = format!(
        "    filter_chains:\n    - transport_socket: {{ name: tls, typed_config: {{ '@type': \
         {TLS}.DownstreamTlsContext, common_tls_context: {{ {more} alpn_protocols: [h2, \
         http/1.1], tls_certificates: [{{ certificate_chain: {{ filename: '{{pki}}/a.pem' }}, \
         private_key: {{ filename: '{{pki}}/a.key' }} }}] }} }} }}\n      filters:"
    );
    let yaml = bootstrap.to_yaml().replacen("    filter_chains:\n    - filters:", &socket, 1);
    certificates.fill(&yaml)
}

fn certificates() -> Certificates {
    let certificates = Certificates::new();
    certificates.issue("a", &["a.test"]);
    certificates
}

// ---- curl -------------------------------------------------------------------------------------

/// What curl was told over HTTP: its version, the status and the body.
fn curled(arguments: &[&str]) -> Option<(String, i32)> {
    let told = ["--write-out", " %{http_version} %{http_code}"];
    let answer = curl(&[&told, arguments].concat());
    if answer.is_none() {
        skip("no curl");
    }
    answer.map(|answer| (answer.out, answer.code))
}

/// RFC 9113 section 3.1 has taken the upgrade to h2c back: it is not answered, as in Envoy, and the
/// origin does not hear of it.
#[test]
fn curl_speaks_every_version_in_plain() {
    let origin = Origin::named("a");
    let proxy = Proxy::start(Bootstrap::proxying_to(origin.address()).to_yaml());
    let url = format!("http://{}/bytes/5", proxy.listener("main"));
    let old = format!("http://{}/bytes/0", proxy.listener("main"));
    for (version, told) in [
        ("--http1.1", "abcde 1.1 200"),
        ("--http2-prior-knowledge", "abcde 2 200"),
        ("--http2", "abcde 1.1 200"),
    ] {
        let Some(answer) = curled(&[version, &url]) else { return };
        assert_eq!(answer, (told.to_owned(), 0), "{version}");
    }
    let upgrade = |asked: &ringway_test_support::Asked| {
        ["upgrade", "http2-settings"].iter().any(|name| asked.message.head.get(name).is_some())
    };
    assert!(!origin.requests().iter().any(upgrade), "the upgrade stays with the proxy");
    let Some((told, _)) = curled(&["--http1.0", &old]) else { return };
    assert!(told.ends_with(" 1.1 426"), "{told}");
}

#[test]
fn curl_agrees_on_a_version_of_tls() {
    let (origin, certificates) = (Origin::named("a"), certificates());
    let bootstrap = Bootstrap::proxying_to(origin.address());
    let newest = "tls_params: { tls_minimum_protocol_version: TLSv1_3 },";
    // 35: no agreement on TLS.
    let matrix: [(&str, &[&str], &str, i32); 7] = [
        ("", &["--tlsv1.2", "--tls-max", "1.2"], "2 200", 0),
        ("", &["--tlsv1.3"], "2 200", 0),
        ("", &["--http1.1"], "1.1 200", 0),
        ("", &["--no-alpn"], "1.1 200", 0),
        ("", &["--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256"], "2 200", 0),
        (newest, &["--tlsv1.2"], "2 200", 0),
        (newest, &["--tls-max", "1.2"], "0 000", 35),
    ];
    for more in ["", newest] {
        let proxy = Proxy::start(over_tls(&bootstrap, &certificates, more));
        let port = proxy.listener("main").port();
        let (resolve, url) =
            (format!("a.test:{port}:127.0.0.1"), format!("https://a.test:{port}/"));
        let ca = certificates.path("ca.pem").display().to_string();
        for (_, arguments, told, code) in matrix.iter().filter(|row| row.0 == more) {
            let reach = ["--cacert", &ca, "--resolve", &resolve, "--output", "/dev/null", &url];
            let Some(answer) = curled(&[arguments, &reach[..]].concat()) else { return };
            assert_eq!(answer, (format!(" {told}"), *code), "{more} {arguments:?}");
        }
    }
}

// ---- nghttp2 ----------------------------------------------------------------------------------

#[test]
fn h2load_is_served_to_the_last_request() {
    let origin = Origin::named("a");
    let proxy = Proxy::start(Bootstrap::proxying_to(origin.address()).to_yaml());
    let url = format!("http://{}/bytes/3000", proxy.listener("main"));
    for version in ["--no-tls-proto=h2c", "--h1"] {
        let streams = ["-n", "600", "-c", "6", "-t", "1", version];
        let more: &[&str] = if version == "--h1" { &[] } else { &["-m", "20"] };
        let arguments = [&streams[..], more, &[&url]].concat();
        let Some(output) = ran("h2load", &arguments) else { return };
        let said = text(&output.stdout);
        assert!(said.contains("600 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
        assert!(said.contains("status codes: 600 2xx, 0 3xx, 0 4xx, 0 5xx"), "{said}");
    }
    proxy.wait_stat("http.main.downstream_cx_active", |active| active == 0);
    assert_eq!(proxy.stat("http.main.downstream_rq_2xx"), 1_200);
}

#[test]
fn nghttp_reads_trailers_and_sends_bodies_with_padding() {
    let origin = Origin::named("a");
    let proxy = Proxy::start(Bootstrap::proxying_to(origin.address()).to_yaml());
    let url = format!("http://{}/bytes/200000", proxy.listener("main"));
    let body = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(body.path(), "y".repeat(300_000)).unwrap();
    let path = body.path().display().to_string();
    let arguments = ["--data", &path, "--padding=64", "--trailer=x-t: 1", "--window-bits=10", &url];
    let Some(output) = ran("nghttp", &arguments) else { return };
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(output.stdout.len(), 200_000);
    let asked = origin.wait_for(1);
    assert_eq!(asked[0].message.body.len(), 300_000);
}

// ---- WebSocket --------------------------------------------------------------------------------

fn python(arguments: &[&str]) -> Command {
    let mut python = Command::new("python3");
    python.arg(WEBSOCKET).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    python
}

fn has_websockets() -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", "import websockets.sync.server"]).stderr(Stdio::null());
    let found = python.status().is_ok_and(|status| status.success());
    if !found {
        skip("python3 has no module websockets (`pip install websockets`)");
    }
    found
}

/// A server that ends with its standard input.
struct Server(Child);

impl Server {
    fn start() -> (Self, SocketAddr) {
        let mut child = python(&["serve"]).spawn().unwrap();
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

fn conversations(proxy: &Proxy, ca: &str) {
    let address = proxy.listener("main").to_string();
    let output = python(&["call", &address, ca]).stderr(Stdio::piped()).output().unwrap();
    let (said, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}\n{error}\n{}", proxy.log());
    assert_eq!(said.trim(), "all is well");
    proxy.wait_stat("http.main.downstream_cx_upgrades_active", |active| active == 0);
    assert_eq!(proxy.stat("http.main.downstream_cx_upgrades_total"), 5);
}

fn upgrading(origin: SocketAddr) -> Bootstrap {
    let manager = "upgrade_configs: [{ upgrade_type: websocket }]\nroute_config: { virtual_hosts: \
                   [{ name: a, domains: ['*'], routes: [{ match: { prefix: / }, route: { cluster: \
                   origin } }] }] }";
    Bootstrap::new().http("main", manager).cluster("origin", &[origin])
}

#[test]
fn websockets_talk_through() {
    if has_websockets() {
        let (_server, address) = Server::start();
        conversations(&Proxy::start(upgrading(address).to_yaml()), "");
    }
}

#[test]
fn websockets_talk_through_tls() {
    if has_websockets() {
        let certificates = certificates();
        let (_server, address) = Server::start();
        let yaml = over_tls(&upgrading(address), &certificates, "");
        let ca = certificates.path("ca.pem").display().to_string();
        conversations(&Proxy::start(yaml), &ca);
    }
}

/// Skips what only Ringway has.
fn is_envoy() -> bool {
    Make::subject() == Make::Envoy
}
