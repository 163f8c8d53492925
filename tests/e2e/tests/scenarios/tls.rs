//! TLS on both sides of the proxy with peers that others wrote.

use std::io::Write;
use std::process::{Command, Stdio};

use ringway_test_support::{
    Bootstrap, Certificates, Launch, Make, Origin, Proxy, Reply, curl, skip,
};

const TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";

/// A proxy whose listener speaks TLS, in front of one cluster with these further fields.
pub(crate) fn start(certificates: &Certificates, to: std::net::SocketAddr, more: &str) -> Proxy {
    let all = "- match: { prefix: / }\n  route: { cluster: next, timeout: 60s }";
    let yaml = Bootstrap::new().routes("main", all).cluster_with("next", &[to], more).to_yaml();
    let socket = format!(
        "    filter_chains:\n    - transport_socket: {{ name: tls, typed_config: {{ '@type': \
         {TLS}.DownstreamTlsContext, common_tls_context: {{ alpn_protocols: [h2, http/1.1], \
         tls_certificates: [{{ certificate_chain: {{ filename: '{{pki}}/a.pem' }}, \
         private_key: {{ filename: '{{pki}}/a.key' }} }}] }} }} }}\n      filters:"
    );
    let yaml = yaml.replacen("    filter_chains:\n    - filters:", &socket, 1);
    let launch = Launch::new(Make::subject(), certificates.fill(&yaml)).concurrency(2);
    launch.start().unwrap_or_else(|error| panic!("{error}"))
}

/// Verifies the endpoint, with this newest version of TLS.
pub(crate) fn secured(version: &str, protocol: &str) -> String {
    format!(
        "transport_socket: {{ name: tls, typed_config: {{ '@type': {TLS}.UpstreamTlsContext, \
         sni: a.test, common_tls_context: {{ {protocol} tls_params: {{ \
         tls_maximum_protocol_version: {version} }}, validation_context: {{ trusted_ca: {{ \
         filename: '{{pki}}/ca.pem' }}, match_typed_subject_alt_names: [{{ san_type: DNS, \
         matcher: {{ exact: a.test }} }}] }} }} }} }}\n"
    )
}

pub(crate) const HTTP2: &str = "typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: { http2_protocol_options: {} }
";

fn certificates() -> Certificates {
    let certificates = Certificates::new();
    certificates.issue("a", &["a.test"]);
    certificates
}

/// curl's arguments to reach the listener by its name.
fn reach(certificates: &Certificates, proxy: &Proxy) -> [String; 5] {
    let port = proxy.listener("main").port();
    let ca = certificates.path("ca.pem").display().to_string();
    let resolve = format!("a.test:{port}:127.0.0.1");
    ["--cacert".into(), ca, "--resolve".into(), resolve, format!("https://a.test:{port}/")]
}

#[test]
fn large_bodies_pass_tls_on_both_sides_whole() {
    let certificates = certificates();
    let (down, up) = ("d".repeat(1_500_000), "u".repeat(1_300_000));
    certificates.write("up", &up);
    let origin = Origin::named("a");
    let body = down.clone();
    origin.answer(move |_| Reply::ok(&body));
    let back = start(&certificates, origin.address(), "");
    let address = back.listener("main");
    let newest = format!("{}{HTTP2}", secured("TLSv1_3", "alpn_protocols: [h2],"));
    for more in [secured("TLSv1_2", ""), newest] {
        let front = start(&certificates, address, &more);
        let reach = reach(&certificates, &front);
        let file = format!("@{}", certificates.path("up").display());
        for version in ["--http1.1", "--http2"] {
            let mut arguments = vec![version, "--data-binary", &file];
            arguments.extend(reach.iter().map(String::as_str));
            let Some(answer) = curl(&arguments) else { return skip("no curl") };
            assert!(answer.out == down, "{version}: {} {}", answer.out.len(), answer.err);
        }
        // Each worker verifies a connection of its own, at most once.
        assert!((1..=2).contains(&front.stat("cluster.next.ssl.handshake")));
    }
    let whole = |body: &[u8]| body == up.as_bytes();
    let asked = origin.wait_for(4);
    assert!(asked.iter().all(|asked| whole(&asked.message.body)));
}

/// One connection of `openssl s_client`, which says how its session began.
fn session(port: u16, version: &str, option: &str, file: &str) -> Option<String> {
    let mut client = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-servername", "a.test"])
        .args([version, option, file, "-ign_eof"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut input = client.stdin.take()?;
    // The tickets of TLS 1.3 come before the response, at whose end it leaves.
    input.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").ok()?;
    let output = client.wait_with_output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let begun =
        text.lines().find(|line| line.starts_with("New,") || line.starts_with("Reused,"))?;
    Some(begun.split(',').next()?.to_owned())
}

#[test]
fn every_worker_resumes_what_another_one_began() {
    let certificates = certificates();
    let origin = Origin::named("a");
    let proxy = start(&certificates, origin.address(), "");
    let port = proxy.listener("main").port();
    for version in ["-tls1_2", "-tls1_3"] {
        let file = certificates.path("session").display().to_string();
        let Some(first) = session(port, version, "-sess_out", &file) else {
            return skip("no openssl");
        };
        assert_eq!(first, "New", "{version}");
        for _ in 0..6 {
            assert_eq!(session(port, version, "-sess_in", &file).as_deref(), Some("Reused"));
        }
    }
    // The name is that of the configured port.
    assert_eq!(proxy.stat("listener.127.0.0.1_0.ssl.session_reused"), 12);
}
