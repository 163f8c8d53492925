//! What a TLS context can be told beyond its certificates, with `openssl s_client` as the client.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use ringway_test_support::{Bootstrap, Certificates, Launch, Make, Proxy, RawClient, skip};

use crate::only_ringway;

const TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";

/// A listener with this certificate of `{pki}` and these fields more, which answers `ok`.
fn listening(certificates: &Certificates, certificate: &str, common: &str, more: &str) -> Proxy {
    let all = "- match: { prefix: / }\n  direct_response: { status: 200, body: { inline_string: \
               ok } }";
    let socket = format!(
        "    filter_chains:\n    - transport_socket: {{ name: tls, typed_config: {{ '@type': \
         {TLS}.DownstreamTlsContext, {more} common_tls_context: {{ {common} tls_certificates: [{{ \
         {certificate} }}] }} }} }}\n      filters:"
    );
    let yaml = Bootstrap::new().routes("main", all).to_yaml();
    let yaml = yaml.replacen("    filter_chains:\n    - filters:", &socket, 1);
    let launch = Launch::new(Make::subject(), certificates.fill(&yaml)).concurrency(2);
    launch.start().unwrap_or_else(|error| panic!("{error}"))
}

const VALIDATION: &str = "validation_context: { trusted_ca: { filename: '{pki}/ca.pem' } },";

fn pair(name: &str) -> String {
    format!(
        "certificate_chain: {{ filename: '{{pki}}/{name}.pem' }}, private_key: {{ filename: \
         '{{pki}}/{name}.key' }}"
    )
}

/// All that `openssl s_client` says of one request; `None` without openssl.
fn client(proxy: &Proxy, arguments: &[&str]) -> Option<String> {
    let mut client = Command::new("openssl")
        .args(["s_client", "-ign_eof", "-connect"])
        .arg(proxy.listener("main").to_string())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    // A client that was refused does not read it.
    let _ =
        client.stdin.take()?.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let output = client.wait_with_output().ok()?;
    let texts = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    Some(texts.concat())
}

fn openssl(folder: &Path, arguments: &[&str]) -> bool {
    let status = Command::new("openssl").args(arguments).current_dir(folder).output();
    status.is_ok_and(|output| output.status.success())
}

fn certificates() -> (Certificates, std::path::PathBuf) {
    let certificates = Certificates::new();
    certificates.issue("a", &["a.test"]);
    let folder = certificates.path("");
    (certificates, folder)
}

/// A response for `a.pem`; who signs it does not matter to a proxy.
fn staple(folder: &Path) -> bool {
    let serial = Command::new("openssl")
        .args(["x509", "-in", "a.pem", "-noout", "-serial"])
        .current_dir(folder)
        .output();
    let Ok(serial) = serial else { return false };
    let serial = String::from_utf8_lossy(&serial.stdout).trim().replace("serial=", "");
    let line = format!("V\t991231235959Z\t\t{serial}\tunknown\t/CN=a\n");
    std::fs::write(folder.join("index"), line).expect("written");
    let request =
        ["ocsp", "-issuer", "ca.pem", "-cert", "a.pem", "-reqout", "request", "-no_nonce"];
    let respond = [
        "ocsp", "-index", "index", "-CA", "ca.pem", "-rsigner", "a.pem", "-rkey", "a.key",
        "-reqin", "request", "-respout", "response", "-ndays", "1",
    ];
    openssl(folder, &request) && openssl(folder, &respond)
}

#[test]
fn a_response_of_ocsp_reaches_who_asks_for_it() {
    let (certificates, folder) = certificates();
    if !staple(&folder) {
        return skip("no openssl");
    }
    let certificate = format!("{}, ocsp_staple: {{ filename: '{{pki}}/response' }}", pair("a"));
    let policy = "ocsp_staple_policy: MUST_STAPLE,";
    let proxy = listening(&certificates, &certificate, "", policy);
    let good = "OCSP Response Status: successful";
    for version in ["-tls1_2", "-tls1_3"] {
        let Some(said) = client(&proxy, &[version, "-status"]) else { return skip("no openssl") };
        assert!(said.contains(good) && said.contains("200 OK"), "{said}");
    }
    let said = client(&proxy, &[]).expect("openssl");
    assert!(!said.contains("OCSP Response Status") && said.contains("200 OK"), "{said}");
    let scope = "listener.127.0.0.1_0.ssl.ocsp_staple";
    assert_eq!(proxy.stat(&format!("{scope}_requests")), 2);
    assert_eq!(proxy.stat(&format!("{scope}_responses")), 2);
    assert!(proxy.stat("server.seconds_until_first_ocsp_response_expiring") > 80_000);
    assert!(proxy.admin("/certs").text().contains("\"ocsp_details\""));
}

#[test]
fn secrets_of_connections_are_written_where_somebody_looks_into_traffic() {
    let (certificates, folder) = certificates();
    let log = "key_log: { path: '{pki}/keys', local_address_range: [{ address_prefix: 127.0.0.0, \
               prefix_len: 8 }] },";
    let proxy = listening(&certificates, &pair("a"), log, "");
    let kept = folder.join("kept").display().to_string();
    let Some(said) = client(&proxy, &["-tls1_2", "-keylogfile", &kept]) else {
        return skip("no openssl");
    };
    assert!(said.contains("200 OK"), "{said}");
    client(&proxy, &["-tls1_3", "-keylogfile", &kept]);
    let theirs = std::fs::read_to_string(&kept).expect("a log");
    let is_secret = |line: &&str| line.contains("_TRAFFIC_") || line.starts_with("CLIENT_RANDOM");
    let ours = proxy.wait_file(&folder.join("keys").display().to_string(), |text| {
        theirs.lines().filter(is_secret).all(|line| has_line(text, line))
    });
    assert_eq!(ours.lines().count(), 6, "{ours}\n{theirs}");
}

/// Hexadecimal digits in either case.
fn has_line(text: &str, wanted: &str) -> bool {
    text.lines().any(|line| line.eq_ignore_ascii_case(wanted))
}

#[test]
fn versions_suites_and_keys_meet() {
    let (certificates, folder) = certificates();
    let rsa = [
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "r.key", "-out", "r.pem",
        "-subj", "/CN=r", "-days", "9",
    ];
    if !openssl(&folder, &rsa) {
        return skip("no openssl");
    }
    for (key, kind) in [("a", "ECDSA"), ("r", "RSA")] {
        let proxy = listening(&certificates, &pair(key), "", "");
        for suite in
            ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]
        {
            let said = client(&proxy, &["-tls1_3", "-ciphersuites", suite]).expect("openssl");
            assert!(said.contains(&format!("New, TLSv1.3, Cipher is {suite}")), "{said}");
            assert!(said.contains("200 OK"), "{said}");
        }
        for suite in ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"] {
            let suite = format!("ECDHE-{kind}-{suite}");
            let said = client(&proxy, &["-tls1_2", "-cipher", &suite]).expect("openssl");
            assert!(said.contains(&format!("New, TLSv1.2, Cipher is {suite}")), "{said}");
            assert!(said.contains("200 OK"), "{said}");
        }
        assert_eq!(proxy.stat("listener.127.0.0.1_0.ssl.handshake"), 6);
        let other = if kind == "RSA" { "ECDSA" } else { "RSA" };
        let suite = format!("ECDHE-{other}-AES128-GCM-SHA256");
        let said = client(&proxy, &["-tls1_2", "-cipher", &suite]).expect("openssl");
        assert!(!said.contains("200 OK"), "{said}");
        proxy.wait_stat("listener.127.0.0.1_0.ssl.connection_error", |count| count == 1);
    }
}

#[test]
fn with_tls_1_2_the_clients_order_of_suites_counts_among_equals_or_where_it_is_preferred() {
    const AES128: &str = "ECDHE-ECDSA-AES128-GCM-SHA256";
    const AES256: &str = "ECDHE-ECDSA-AES256-GCM-SHA384";
    const CHACHA: &str = "ECDHE-ECDSA-CHACHA20-POLY1305";
    let (certificates, _) = certificates();
    let ours = listening(&certificates, &pair("a"), "", "");
    let theirs = listening(&certificates, &pair("a"), "", "prefer_client_ciphers: true,");
    for (proxy, offered, chosen) in [
        (&ours, &[AES256, AES128][..], AES128),
        (&ours, &[AES256, CHACHA, AES128], CHACHA),
        (&theirs, &[AES256, AES128], AES256),
    ] {
        let offered = offered.join(":");
        let Some(said) = client(proxy, &["-tls1_2", "-cipher", &offered]) else {
            return skip("no openssl");
        };
        let agreed = format!("New, TLSv1.2, Cipher is {chosen}");
        assert!(said.contains(&agreed) && said.contains("200 OK"), "{offered}: {said}");
    }
}

#[test]
fn a_file_that_became_bad_is_counted() {
    if !only_ringway("a watch of static certificates") {
        return;
    }
    let (certificates, _) = certificates();
    let proxy = listening(&certificates, &pair("a"), "", "");
    certificates.write("a.pem", "garbage\n");
    let rejected = "listener.127.0.0.1_0.server_ssl_socket_factory.ssl_context_update_rejected";
    proxy.wait_stat(rejected, |count| count == 1);
    let said = client(&proxy, &["-tls1_3"]);
    assert!(said.is_none_or(|said| said.contains("200 OK")), "the last good one stays");
}

/// With TLS 1.3 a client has done its part before the server looks at its certificate.
#[test]
fn an_alert_behind_the_handshake_is_counted() {
    let (certificates, _) = certificates();
    let strict =
        listening(&certificates, &pair("a"), VALIDATION, "require_client_certificate: true,");
    let socket = format!(
        "transport_socket: {{ name: tls, typed_config: {{ '@type': {TLS}.UpstreamTlsContext, \
         common_tls_context: {{ tls_params: {{ tls_minimum_protocol_version: TLSv1_3, \
         tls_maximum_protocol_version: TLSv1_3 }} }} }} }}"
    );
    let route = "- match: { prefix: / }\n  route: { cluster: strict }";
    let bootstrap = Bootstrap::new().routes("main", route);
    let bootstrap = bootstrap.cluster_with("strict", &[strict.listener("main")], &socket);
    let proxy = Proxy::start(bootstrap.to_yaml());
    assert_eq!(RawClient::connect(proxy.listener("main")).get("/").status(), 503);
    proxy.wait_stat("cluster.strict.ssl.connection_error", |count| count == 1);
    assert_eq!(proxy.stat("cluster.strict.ssl.handshake"), 1);
    strict.wait_stat("listener.127.0.0.1_0.ssl.fail_verify_no_cert", |count| count == 1);
}
