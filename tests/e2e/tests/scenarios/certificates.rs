//! Certificates that change while connections are served.

use std::path::Path;
use std::process::Command;

use ringway_test_support::{Bootstrap, Certificates, Launch, Make, PATIENCE, Proxy, skip};
use serde_json::Value;

use crate::only_ringway;

const ANSWER: &str = "virtual_hosts:\n- name: all\n  domains: ['*']\n  routes:\n  - match: { \
                      prefix: / }\n    direct_response: { status: 200, body: { inline_string: ok } }\n";

/// A listener whose context has these common fields.
fn listening(certificates: &Certificates, common: &str) -> Proxy {
    let yaml = Bootstrap::new().http("main", &format!("route_config:\n{}", indented(ANSWER)));
    let socket = format!(
        "    filter_chains:\n    - transport_socket: {{ name: tls, typed_config: {{ '@type': \
         type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, \
         common_tls_context: {{ {common} }} }} }}\n      filters:"
    );
    let yaml = yaml.to_yaml().replacen("    filter_chains:\n    - filters:", &socket, 1);
    let launch = Launch::new(Make::Ringway, certificates.fill(&yaml)).concurrency(2);
    launch.start().unwrap_or_else(|error| panic!("{error}"))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// The first alternative name of the first certificate that is loaded.
fn loaded(proxy: &Proxy) -> String {
    let shown: Value = serde_json::from_slice(&proxy.admin("/certs").body).expect("JSON");
    let name = &shown["certificates"][0]["cert_chain"][0]["subject_alt_names"][0]["dns"];
    name.as_str().unwrap_or_default().to_owned()
}

/// Asks over TLS of a connection of its own; the certificate must be of this name.
fn ask(proxy: &Proxy, ca: &Path, name: &str) -> Option<String> {
    let port = proxy.listener("main").port();
    let output = Command::new("curl")
        .args(["-s", "--cacert"])
        .arg(ca)
        .args(["--resolve", &format!("{name}:{port}:127.0.0.1")])
        .arg(format!("https://{name}:{port}/"))
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn wait_for(proxy: &Proxy, ca: &Path, name: &str) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while ask(proxy, ca, name).as_deref() != Some("ok") {
        assert!(std::time::Instant::now() < deadline, "{name} is never served\n{}", proxy.log());
    }
    assert_eq!(loaded(proxy), name);
}

fn has_curl() -> bool {
    let found = Command::new("curl").arg("--version").output().is_ok();
    if !found {
        skip("curl is not installed");
    }
    found
}

const FILES: &str = "tls_certificates: [{ certificate_chain: { filename: '{pki}/live/server.pem' }, \
                     private_key: { filename: '{pki}/live/server.key' } }]";

/// As Kubernetes does it: the folder is a link, and the link is swapped.
#[test]
fn a_swapped_folder_is_a_renewal() {
    if !only_ringway("a watch of static certificates") || !has_curl() {
        return;
    }
    let certificates = Certificates::new();
    for folder in ["v1", "v2"] {
        std::fs::create_dir(certificates.path(folder)).expect("created");
    }
    certificates.issue("v1/server", &["one.test"]);
    certificates.issue("v2/server", &["two.test"]);
    certificates.link("v1", "live");
    let (proxy, ca) = (listening(&certificates, FILES), certificates.path("ca.pem"));
    wait_for(&proxy, &ca, "one.test");
    certificates.link("v2", "live");
    wait_for(&proxy, &ca, "two.test");
    assert_eq!(proxy.stat("listener_manager.listener_modified"), 1);
}

fn secret(certificates: &Certificates, key: &str) {
    let text = format!(
        "resources: [{{ '@type': \
         type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret, name: server, \
         tls_certificate: {{ certificate_chain: {{ filename: '{{pki}}/{key}.pem' }}, private_key: \
         {{ filename: '{{pki}}/{key}.key' }} }} }}]\n"
    );
    certificates.write("sds.yaml", certificates.fill(&text));
}

#[test]
fn a_secret_that_is_bad_leaves_the_last_good_one() {
    if !only_ringway("secrets that are there from the start") || !has_curl() {
        return;
    }
    let certificates = Certificates::new();
    certificates.issue("one", &["one.test"]);
    certificates.issue("two", &["two.test"]);
    secret(&certificates, "one");
    let of_file = "tls_certificate_sds_secret_configs: [{ name: server, sds_config: { \
                   path_config_source: { path: '{pki}/sds.yaml' } } }]";
    let (proxy, ca) = (listening(&certificates, of_file), certificates.path("ca.pem"));
    wait_for(&proxy, &ca, "one.test");
    certificates.write("sds.yaml", "resources: [");
    proxy.wait_stat("sds.server.update_failure", |value| value == 1);
    secret(&certificates, "none");
    proxy.wait_stat("sds.server.update_rejected", |value| value == 1);
    wait_for(&proxy, &ca, "one.test");
    let said = proxy.log();
    assert!(
        said.contains("none.pem: No such file or directory; the last good one stays"),
        "{said}"
    );
    secret(&certificates, "two");
    wait_for(&proxy, &ca, "two.test");
    assert_eq!(proxy.stat("sds.server.update_success"), 2);
}
