//! TLS on both sides with real peers, curl and `openssl s_server`: what both programs answer, tell
//! an upstream of the client's certificate, log and count.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, SerialNumber,
};
use ringway_test_support::{Bootstrap, Make, Origin, Proxy, curl, envoy, indent, skip};

/// What lines of the access log tell, but for what is random.
const LOGGED: &[&str] = &[
    "RESPONSE_CODE",
    "RESPONSE_FLAGS",
    "RESPONSE_CODE_DETAILS",
    "DOWNSTREAM_TLS_VERSION",
    "DOWNSTREAM_TLS_CIPHER",
    "DOWNSTREAM_TLS_GROUP",
    "DOWNSTREAM_LOCAL_SUBJECT",
    "DOWNSTREAM_LOCAL_DNS_SAN",
    "DOWNSTREAM_LOCAL_URI_SAN",
    "DOWNSTREAM_LOCAL_IP_SAN",
    "DOWNSTREAM_LOCAL_EMAIL_SAN",
    "DOWNSTREAM_PEER_SUBJECT",
    "DOWNSTREAM_PEER_ISSUER",
    "DOWNSTREAM_PEER_SERIAL",
    "DOWNSTREAM_PEER_FINGERPRINT_1",
    "DOWNSTREAM_PEER_FINGERPRINT_256",
    "DOWNSTREAM_PEER_CHAIN_SERIALS",
    "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1",
    "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256",
    "DOWNSTREAM_PEER_ISSUER_SERIAL",
    "DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256",
    "DOWNSTREAM_PEER_DNS_SAN",
    "DOWNSTREAM_PEER_URI_SAN",
    "DOWNSTREAM_PEER_IP_SAN",
    "DOWNSTREAM_PEER_EMAIL_SAN",
    "DOWNSTREAM_PEER_OTHERNAME_SAN",
    "DOWNSTREAM_PEER_CERT",
    "DOWNSTREAM_PEER_CERT_V_START",
    "DOWNSTREAM_PEER_CERT_V_END(%Y-%m-%d)",
    "REQUESTED_SERVER_NAME",
    "REQUESTED_SERVER_NAME(SNI_FIRST)",
    "UPSTREAM_TLS_VERSION",
    "UPSTREAM_TLS_CIPHER",
    "UPSTREAM_SERVER_NAME",
    "UPSTREAM_PEER_SUBJECT",
    "UPSTREAM_PEER_ISSUER",
    "UPSTREAM_PEER_DNS_SAN",
    "UPSTREAM_PEER_CERT",
    "UPSTREAM_LOCAL_URI_SAN",
    "UPSTREAM_TRANSPORT_FAILURE_REASON",
];

/// Certificates in a folder, for both programs and all peers.
struct Certificates(tempfile::TempDir);

impl Certificates {
    fn new() -> Self {
        let made = Self(tempfile::tempdir().expect("a folder"));
        let authority = made.authority("ca");
        made.authority("rogue");
        made.leaf(&authority, "server", &["a.test", "*.b.test", "spiffe://t/srv", "127.0.0.1"]);
        let client = ["c1.test", "c2.test", "spiffe://t/one", "spiffe://t/two", "10.0.0.1"];
        made.leaf(&authority, "client", &client);
        made.leaf(&authority, "nameless", &[]);
        made
    }

    fn path(&self, file: &str) -> String {
        self.0.path().join(file).to_str().expect("a path in UTF-8").to_owned()
    }

    fn write(&self, name: &str, certificate: &rcgen::Certificate, key: &KeyPair) {
        let write = |file: String, text| fs::write(self.path(&file), text).expect("written");
        write(format!("{name}.pem"), certificate.pem());
        write(format!("{name}.key"), key.serialize_pem());
    }

    fn authority(&self, name: &str) -> Issuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CountryName, "DE");
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from_slice(&[0x7f, 1, 2, 3]));
        let key = KeyPair::generate().expect("a key");
        self.write(name, &params.self_signed(&key).expect("a certificate"), &key);
        Issuer::new(params, key)
    }

    fn leaf(&self, authority: &Issuer<'static, KeyPair>, name: &str, names: &[&str]) {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.subject_alt_names = names.iter().map(|name| san(name)).collect();
        params.distinguished_name.push(DnType::OrganizationName, "Cli;ents, Inc");
        params.distinguished_name.push(DnType::CommonName, format!("the \"{name}\""));
        params.serial_number = Some(SerialNumber::from_slice(&[0x80, 0x0a, 0xff]));
        let key = KeyPair::generate().expect("a key");
        self.write(name, &params.signed_by(&key, authority).expect("a certificate"), &key);
    }
}

fn san(name: &str) -> SanType {
    let text = name.try_into().expect("ASCII");
    match name.parse() {
        Ok(ip) => SanType::IpAddress(ip),
        Err(_) if name.contains("://") => SanType::URI(text),
        Err(_) => SanType::DnsName(text),
    }
}

/// `openssl s_server`, which answers any request with a page of its own.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(certificates: &Certificates, more: &[&str]) -> Option<Self> {
        let (chain, key) = (certificates.path("server.pem"), certificates.path("server.key"));
        let mut process = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cert", &chain, "-key", &key])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let lines = BufReader::new(process.stdout.take()?).lines();
        // `ACCEPT 127.0.0.1:40123`
        let mut lines = lines.map_while(Result::ok);
        let line = lines.find(|line| line.starts_with("ACCEPT "))?;
        // Whoever does not read what it prints would stop it.
        thread::spawn(move || lines.count());
        Some(Self { process, port: line.rsplit(':').next()?.parse().ok()? })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";

fn certificate(certificates: &Certificates, name: &str) -> String {
    let (chain, key) =
        (certificates.path(&format!("{name}.pem")), certificates.path(&format!("{name}.key")));
    format!(
        "tls_certificates: [{{ certificate_chain: {{ filename: {chain} }}, \
         private_key: {{ filename: {key} }} }}]"
    )
}

fn downstream(certificates: &Certificates, require: bool, validation: &str) -> String {
    let server = certificate(certificates, "server");
    let ca = certificates.path("ca.pem");
    format!(
        "transport_socket:
  name: tls
  typed_config:
    '@type': {TLS}.DownstreamTlsContext
    require_client_certificate: {require}
    common_tls_context:
      {server}
      alpn_protocols: [http/1.1]
      validation_context: {{ trusted_ca: {{ filename: {ca} }}{validation} }}
"
    )
}

fn upstream(common: &str) -> String {
    format!(
        "transport_socket:
  name: tls
  typed_config:
    '@type': {TLS}.UpstreamTlsContext
    sni: a.test
    common_tls_context: {{ {common} }}
"
    )
}

fn manager(name: &str, client_cert: &str) -> String {
    // A percent sign in a label would begin an operator.
    let items = LOGGED.iter().map(|item| format!("{}=%{item}% ", item.replace('%', "")));
    let line: String = items.collect();
    format!(
        "{client_cert}
access_log:
- name: log
  typed_config:
    '@type': type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
    path: '{{folder}}/{name}.log'
    log_format: {{ text_format_source: {{ inline_string: \"{line}\\n\" }} }}
route_config:
  virtual_hosts:
  - name: all
    domains: ['*']
    routes:
    - {{ match: {{ prefix: /origin }}, route: {{ cluster: origin }} }}
    - {{ match: {{ prefix: /tls }}, route: {{ cluster: tls, prefix_rewrite: / }} }}
    - {{ match: {{ prefix: /newest }}, route: {{ cluster: newest, prefix_rewrite: / }} }}
    - {{ match: {{ prefix: /verified }}, route: {{ cluster: verified, prefix_rewrite: / }} }}
    - {{ match: {{ prefix: /untrusted }}, route: {{ cluster: untrusted }} }}
    - {{ match: {{ prefix: /misnamed }}, route: {{ cluster: misnamed }} }}
    - {{ match: {{ prefix: /shy }}, route: {{ cluster: shy }} }}
    - {{ match: {{ prefix: /plain }}, route: {{ cluster: plain }} }}
    - {{ match: {{ prefix: /, tls_context: {{ presented: true, validated: true }} }},
         direct_response: {{ status: 200, body: {{ inline_string: validated }} }} }}
    - {{ match: {{ prefix: /, tls_context: {{ presented: true }} }},
         direct_response: {{ status: 200, body: {{ inline_string: presented }} }} }}
    - {{ match: {{ prefix: / }}, direct_response: {{ status: 200, body: {{ inline_string: none }} }} }}
"
    )
}

fn listener(name: &str, manager: &str, socket: &str) -> String {
    let (manager, socket) = (indent(manager, 8), indent(socket, 4));
    let http = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3";
    let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    format!(
        "- name: {name}
  address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }}
  filter_chains:
  - filters:
    - name: http
      typed_config:
        '@type': {http}.HttpConnectionManager
        stat_prefix: {name}
        http_filters:
        - name: router
          typed_config: {{ '@type': {router} }}
{manager}{socket}"
    )
}

/// The listeners, with what each says of clients.
const LISTENERS: &[(&str, bool, &str, &str)] = &[
    ("optional", false, "", "SANITIZE_SET"),
    ("required", true, "", "APPEND_FORWARD"),
    ("passing", true, "", "FORWARD_ONLY"),
    (
        "named",
        true,
        ", match_typed_subject_alt_names: [{ san_type: DNS, matcher: { exact: c9.test } }]",
        "SANITIZE",
    ),
    ("tolerant", true, ", trust_chain_verification: ACCEPT_UNTRUSTED", "SANITIZE_SET"),
];

fn bootstrap(
    certificates: &Certificates,
    origin: &Origin,
    server: &Server,
    strict: &Server,
) -> String {
    let mut bootstrap = Bootstrap::new();
    for (name, require, validation, mode) in LISTENERS {
        let client_cert = format!(
            "forward_client_cert_details: {mode}\nset_current_client_cert_details: \
             {{ subject: true, cert: true, chain: true, dns: true, uri: true }}"
        );
        let socket = downstream(certificates, *require, validation);
        bootstrap = bootstrap.listener(&listener(name, &manager(name, &client_cert), &socket));
    }
    let client = certificate(certificates, "client");
    let ca = |name: &str, more: &str| {
        let path = certificates.path(&format!("{name}.pem"));
        format!("validation_context: {{ trusted_ca: {{ filename: {path} }}{more} }}")
    };
    let names = |name: &str| {
        format!(
            ", match_typed_subject_alt_names: [{{ san_type: DNS, matcher: {{ exact: {name} }} }}]"
        )
    };
    let to = |server: &Server| [([127, 0, 0, 1], server.port).into()];
    let verified = format!("{client}, {}", ca("ca", &names("x.b.test")));
    let newest = "tls_params: { tls_maximum_protocol_version: TLSv1_3 }";
    bootstrap
        .cluster("origin", &[origin.address()])
        .cluster_with("tls", &to(server), &upstream(&client))
        .cluster_with("newest", &to(server), &upstream(newest))
        .cluster_with("verified", &to(strict), &upstream(&verified))
        .cluster_with("untrusted", &to(server), &upstream(&ca("rogue", "")))
        .cluster_with("misnamed", &to(server), &upstream(&ca("ca", &names("c.test"))))
        .cluster_with("shy", &to(strict), &upstream(""))
        .cluster_with("plain", &[origin.address()], &upstream(""))
        .to_yaml()
}

/// With TLS 1.2, BoringSSL goes by an order of its own, and rustls by the client's.
const AES_128: &str = "ECDHE-ECDSA-AES128-GCM-SHA256";

/// Listener, path, certificate of the client, further arguments of curl.
const REQUESTS: &[(&str, &str, &str, &[&str])] = &[
    ("optional", "/", "", &[]),
    ("optional", "/", "client", &[]),
    ("optional", "/", "rogue", &[]),
    ("optional", "/", "nameless", &["--tls-max", "1.2", "--ciphers", AES_128]),
    ("optional", "/origin", "client", &["-H", "x-forwarded-client-cert: Hash=1"]),
    ("optional", "/origin", "nameless", &[]),
    ("optional", "/origin", "", &["-H", "x-forwarded-client-cert: Hash=1"]),
    ("required", "/", "", &[]),
    ("required", "/", "rogue", &[]),
    ("required", "/origin", "client", &["-H", "x-forwarded-client-cert: Hash=1"]),
    ("passing", "/origin", "client", &["-H", "x-forwarded-client-cert: Hash=1"]),
    ("named", "/", "client", &[]),
    ("tolerant", "/", "client", &[]),
    ("tolerant", "/", "rogue", &[]),
    ("optional", "/tls", "", &[]),
    ("optional", "/newest", "", &[]),
    ("optional", "/verified", "", &[]),
    ("optional", "/untrusted", "", &[]),
    ("optional", "/misnamed", "", &[]),
    ("optional", "/shy", "", &[]),
    ("optional", "/plain", "", &[]),
];

/// What came of all requests, as lines.
fn observe(make: Make, certificates: &Certificates) -> Option<Vec<String>> {
    let origin = Origin::named("a");
    let server = Server::start(certificates, &[])?;
    let ca = certificates.path("ca.pem");
    let strict = Server::start(certificates, &["-Verify", "1", "-CAfile", &ca])?;
    let yaml = bootstrap(certificates, &origin, &server, &strict);
    let proxy = Proxy::of(make, yaml);
    let mut seen = Vec::new();
    for (listener, path, client, more) in REQUESTS {
        let outcome = request(&proxy, certificates, listener, path, client, more)?;
        seen.push(format!("{listener} {path} {client:?} {more:?}: {outcome}"));
    }
    for asked in origin.requests().iter().filter(|asked| asked.unreadable.is_none()) {
        let header = asked.message.head.get("x-forwarded-client-cert");
        seen.push(format!("told {header:?}"));
        seen.push(format!("by {:?}", asked.message.head.get("x-forwarded-proto")));
    }
    seen.extend(logged(&proxy, &seen.clone()));
    seen.extend(counted(&proxy));
    Some(seen)
}

fn request(
    proxy: &Proxy,
    certificates: &Certificates,
    listener: &str,
    path: &str,
    client: &str,
    more: &[&str],
) -> Option<String> {
    let port = proxy.listener(listener).port();
    let (resolve, url) =
        (format!("a.test:{port}:127.0.0.1"), format!("https://a.test:{port}{path}"));
    let ca = certificates.path("ca.pem");
    let mut arguments = vec!["--resolve", &resolve, "--cacert", &ca, "-w", " %{http_code}"];
    let (pem, key) =
        (certificates.path(&format!("{client}.pem")), certificates.path(&format!("{client}.key")));
    if !client.is_empty() {
        arguments.extend(["--cert", &pem, "--key", &key]);
    }
    arguments.extend(more);
    arguments.push(&url);
    let answer = curl(&arguments)?;
    // The page of `s_server` tells of the session, that of the origin of ports and ids.
    let (body, status) = answer.out.rsplit_once(' ')?;
    let body = match body {
        body if body.contains("s_server") => "the page of openssl",
        body if path == "/origin" => &body[..body.len().min(3)],
        body => body,
    };
    Some(format!("{body} {status}"))
}

/// The access logs, once each request that came through has its line.
fn logged(proxy: &Proxy, seen: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    for (name, ..) in LISTENERS {
        let of = |line: &&String| line.starts_with(name) && !line.ends_with(" 000");
        let wanted = seen.iter().filter(of).count();
        if wanted > 0 {
            let file = format!("{name}.log");
            let log = proxy.wait_file(&file, |log| log.lines().count() >= wanted);
            let port = proxy.listener(name).port().to_string();
            all.extend(log.lines().map(|line| format!("{name} {}", line.replace(&port, "PORT"))));
        }
    }
    all
}

/// The statistics of TLS above zero.
fn counted(proxy: &Proxy) -> Vec<String> {
    for (name, ..) in LISTENERS {
        proxy.wait_stat(&format!("http.{name}.downstream_cx_active"), |active| active == 0);
    }
    let mut text = proxy.admin("/stats").text();
    for (name, ..) in LISTENERS {
        let port = proxy.listener(name).port();
        text = text.replace(&format!("127.0.0.1_{port}"), name);
    }
    let about_tls = |line: &&str| {
        let tls = line.contains(".ssl.") || line.contains("downstream_cx_ssl_");
        let ends = line.contains("_destroy_remote:") || line.contains("connect_fail:");
        (tls || ends)
            && !line.ends_with(": 0")
            && !line.contains(".certificate.")
            && !line.starts_with("http.admin")
    };
    text.lines().filter(about_tls).map(str::to_owned).collect()
}

#[test]
fn tls_with_real_peers() {
    if envoy().is_none() {
        return skip("nothing to compare with");
    }
    let certificates = Certificates::new();
    let (reference, subject) = thread::scope(|scope| {
        let reference = scope.spawn(|| observe(Make::Envoy, &certificates));
        let subject = observe(Make::subject(), &certificates);
        (reference.join().expect("the reference's side does not panic"), subject)
    });
    let (Some(reference), Some(subject)) = (reference, subject) else {
        return skip("no curl or openssl");
    };
    let missing = reference.iter().filter(|line| !subject.contains(line));
    let added = subject.iter().filter(|line| !reference.contains(line));
    let mut report: Vec<String> = missing.map(|line| format!("- {line}")).collect();
    report.extend(added.map(|line| format!("+ {line}")));
    assert!(report.is_empty(), "{}", report.join("\n"));
    assert!(subject.iter().any(|line| line.contains("the page of openssl")), "{subject:#?}");
}

#[test]
fn the_folder_of_certificates_is_complete() {
    let certificates = Certificates::new();
    for name in ["ca", "rogue", "server", "client", "nameless"] {
        assert!(Path::new(&certificates.path(&format!("{name}.key"))).exists(), "{name}");
    }
}
