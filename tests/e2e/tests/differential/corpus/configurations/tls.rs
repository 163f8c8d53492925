//! TLS contexts. `{pki}` stands for the folder of the certificates.

use ringway_test_support::Certificates;

use super::action;

const TYPES: &str = "type.googleapis.com/envoy.extensions.transport_sockets";
const CERTIFICATE: &str =
    "{ certificate_chain: { filename: '{pki}/a.pem' }, private_key: { filename: '{pki}/a.key' } }";
const CA: &str = "trusted_ca: { filename: '{pki}/ca.pem' }";

const SEALED: (&[u8], &[u8], &[u8]) = (
    include_bytes!("sealed/certificate.pem"),
    include_bytes!("sealed/pkcs8-aes256.key"),
    include_bytes!("sealed/both.p12"),
);

pub(super) fn certificates() -> Certificates {
    let all = Certificates::new();
    all.issue("a", &["a.test"]);
    all.issue("b", &["b.test"]);
    all.issue_until("old", &["old.test"], 2001);
    all.write("empty", "");
    // Made by OpenSSL; the password is `secret`.
    all.write("sealed.pem", SEALED.0);
    all.write("sealed.key", SEALED.1);
    all.write("sealed.p12", SEALED.2);
    all.write("garbage", "garbage\n");
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    all.write("broken.pem", broken);
    let secret = |name: &str, key: &str| {
        all.fill(&format!(
            "resources: [{{ '@type': {TYPES}.tls.v3.Secret, name: {name}, tls_certificate: {{ \
             certificate_chain: {{ filename: '{{pki}}/a.pem' }}, private_key: {{ filename: \
             '{{pki}}/{key}' }} }} }}]\n"
        ))
    };
    all.write("sds.yaml", secret("server", "a.key"));
    all.write("other.yaml", secret("other", "a.key"));
    all.write("mismatch.yaml", secret("server", "b.key"));
    all.write("no.yaml", "resources: [\n");
    all
}

/// A listener with this socket, beside the plain one.
fn listener(socket: &str, more: &str) -> String {
    let yaml = action("route: { cluster: a }");
    let chain = format!("    filter_chains:\n    - transport_socket: {socket}\n      filters:");
    let yaml = yaml.replacen("    filter_chains:\n    - filters:", &chain, 1);
    assert!(yaml.contains("transport_socket"), "{yaml}");
    format!("node: {{ id: node, cluster: c }}\n{yaml}{more}")
}

fn downstream(fields: &str) -> String {
    listener(&socket("DownstreamTlsContext", fields), "")
}

fn socket(kind: &str, fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!("{{ name: tls, typed_config: {{ '@type': {TYPES}.tls.v3.{kind}{comma} {fields} }} }}")
}

/// A downstream context with a good certificate and these common fields.
fn common(fields: &str) -> String {
    downstream(&format!("common_tls_context: {{ tls_certificates: [{CERTIFICATE}], {fields} }}"))
}

fn beside(fields: &str) -> String {
    downstream(&format!("common_tls_context: {{ tls_certificates: [{CERTIFICATE}] }}, {fields}"))
}

fn certificate(chain: &str, key: &str) -> String {
    downstream(&format!(
        "common_tls_context: {{ tls_certificates: [{{ certificate_chain: {{ filename: \
         '{{pki}}/{chain}' }}, private_key: {{ filename: '{{pki}}/{key}' }} }}] }}"
    ))
}

/// A certificate whose key is under a password.
fn sealed(more: &str) -> String {
    downstream(&format!(
        "common_tls_context: {{ tls_certificates: [{{ certificate_chain: {{ filename: \
         '{{pki}}/sealed.pem' }}, private_key: {{ filename: '{{pki}}/sealed.key' }}, {more} }}] }}"
    ))
}

/// The same with its key in one file.
fn pkcs12(more: &str) -> String {
    downstream(&format!(
        "common_tls_context: {{ tls_certificates: [{{ pkcs12: {{ filename: \
         '{{pki}}/sealed.p12' }}, {more} }}] }}"
    ))
}

pub(super) fn servers() -> Vec<(&'static str, String)> {
    let parameters = |fields: &str| common(&format!("tls_params: {{ {fields} }}"));
    let suites = |list: &str| parameters(&format!("cipher_suites: [{list}]"));
    let versions = |min: &str, max: &str| {
        parameters(&format!(
            "tls_minimum_protocol_version: {min}, tls_maximum_protocol_version: {max}"
        ))
    };
    let only = |certificate: &str| {
        downstream(&format!("common_tls_context: {{ tls_certificates: [{certificate}] }}"))
    };
    let keys = |keys: &str| beside(&format!("session_ticket_keys: {{ keys: [{keys}] }}"));
    vec![
        ("TLS: good", common("")),
        (
            "TLS: raw",
            listener(
                &format!(
                    "{{ name: r, typed_config: {{ '@type': {TYPES}.raw_buffer.v3.RawBuffer }} }}"
                ),
                "",
            ),
        ),
        ("TLS: raw without type", listener("{ name: raw_buffer }", "")),
        ("TLS: the other side's context", listener(&socket("UpstreamTlsContext", ""), "")),
        ("TLS: nothing", downstream("")),
        ("TLS: no certificate", downstream("common_tls_context: {}")),
        ("TLS: a certificate without fields", only("{}")),
        ("TLS: a chain without key", only("{ certificate_chain: { filename: '{pki}/a.pem' } }")),
        ("TLS: a key without chain", only("{ private_key: { filename: '{pki}/a.key' } }")),
        ("TLS: the key of another", certificate("a.pem", "b.key")),
        ("TLS: expired", certificate("old.pem", "old.key")),
        ("TLS: no such chain", certificate("none", "a.key")),
        ("TLS: no such key", certificate("a.pem", "none")),
        ("TLS: an empty chain", certificate("empty", "a.key")),
        ("TLS: a chain of garbage", certificate("garbage", "a.key")),
        ("TLS: a broken chain", certificate("broken.pem", "a.key")),
        ("TLS: an empty key", certificate("a.pem", "empty")),
        ("TLS: a key of garbage", certificate("a.pem", "garbage")),
        ("TLS: a certificate as the key", certificate("a.pem", "a.pem")),
        (
            "TLS: a variable that is not there",
            only(
                "{ certificate_chain: { filename: '{pki}/a.pem' }, private_key: { \
                 environment_variable: RINGWAY_NO_SUCH } }",
            ),
        ),
        ("TLS: two certificates", only(&format!("{CERTIFICATE}, {CERTIFICATE}"))),
        ("TLS: one suite", suites("ECDHE-ECDSA-AES128-GCM-SHA256")),
        ("TLS: a suite by its other name", suites("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")),
        (
            "TLS: equal suites",
            suites("'[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]'"),
        ),
        (
            "TLS: suites in one entry",
            suites("'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256'"),
        ),
        (
            "TLS: a suite twice",
            suites("ECDHE-ECDSA-AES128-GCM-SHA256, ECDHE-ECDSA-AES128-GCM-SHA256"),
        ),
        ("TLS: an unknown suite", suites("FOO")),
        ("TLS: an unknown suite among known ones", suites("FOO, ECDHE-ECDSA-AES128-GCM-SHA256")),
        ("TLS: a suite of TLS 1.3", suites("TLS_AES_128_GCM_SHA256")),
        ("TLS: an old suite", suites("AES128-SHA")),
        ("TLS: all suites", suites("ALL")),
        ("TLS: groups", parameters("ecdh_curves: [X25519, P-256, P-384]")),
        ("TLS: groups by other names", parameters("ecdh_curves: [x25519, prime256v1, secp384r1]")),
        ("TLS: a group after quantum computers", parameters("ecdh_curves: [X25519MLKEM768]")),
        ("TLS: P-521", parameters("ecdh_curves: [P-521]")),
        ("TLS: an unknown group", parameters("ecdh_curves: [P-1]")),
        ("TLS: signatures", parameters("signature_algorithms: [ed25519]")),
        (
            "TLS: signatures in one entry",
            parameters("signature_algorithms: ['RSA-PSS+SHA256:ecdsa_secp256r1_sha256']"),
        ),
        ("TLS: an unknown signature", parameters("signature_algorithms: [nonsense]")),
        ("TLS: a signature twice", parameters("signature_algorithms: [ed25519, ed25519]")),
        ("TLS: a policy", parameters("compliance_policies: [FIPS_202205]")),
        ("TLS: two policies", parameters("compliance_policies: [FIPS_202205, FIPS_202205]")),
        ("TLS: 1.2 to 1.3", versions("TLSv1_2", "TLSv1_3")),
        ("TLS: 1.3 alone", versions("TLSv1_3", "TLSv1_3")),
        ("TLS: 1.3 to the highest", versions("TLSv1_3", "TLS_AUTO")),
        ("TLS: 1.0 to 1.3", versions("TLSv1_0", "TLSv1_3")),
        ("TLS: the lowest version above the highest", versions("TLSv1_3", "TLSv1_2")),
        ("TLS: protocols", common("alpn_protocols: [h2, http/1.1]")),
        ("TLS: protocols in one entry", common("alpn_protocols: ['h2,http/1.1']")),
        ("TLS: a protocol of 256 bytes", common(&format!("alpn_protocols: [{}]", "x".repeat(256)))),
        ("TLS: an empty protocol", common("alpn_protocols: ['']")),
        (
            "TLS: an empty staple",
            only(&CERTIFICATE.replace("} }", "}, ocsp_staple: { filename: '{pki}/empty' } }")),
        ),
        (
            "TLS: a staple as a text",
            only(&CERTIFICATE.replace("} }", "}, ocsp_staple: { inline_string: a } }")),
        ),
        (
            "TLS: a staple of garbage",
            only(&CERTIFICATE.replace("} }", "}, ocsp_staple: { filename: '{pki}/garbage' } }")),
        ),
        ("TLS: a staple must be there", beside("ocsp_staple_policy: MUST_STAPLE")),
        ("TLS: strict staples", beside("ocsp_staple_policy: STRICT_STAPLING")),
        ("TLS: a key log", common("key_log: { path: '{pki}/keys' }")),
        ("TLS: a key log in no folder", common("key_log: { path: '{pki}/none/keys' }")),
        ("TLS: a key log without path", common("key_log: { path: '' }")),
        (
            "TLS: a key log of a broken range",
            common("key_log: { path: '{pki}/keys', local_address_range: [{ address_prefix: x }] }"),
        ),
        (
            "TLS: a password of nothing",
            only(&CERTIFICATE.replace("} }", "}, password: { inline_string: a } }")),
        ),
        ("TLS: a key under a password", sealed("password: { inline_string: secret }")),
        ("TLS: a key under another password", sealed("password: { inline_string: Secret }")),
        ("TLS: a key under a password that is not there", sealed("")),
        ("TLS: PKCS#12", pkcs12("password: { inline_string: secret }")),
        ("TLS: PKCS#12 under another password", pkcs12("password: { inline_string: Secret }")),
        ("TLS: PKCS#12 and no password", pkcs12("")),
        ("TLS: PKCS#12 and a key", pkcs12("private_key: { filename: '{pki}/a.key' }")),
        ("TLS: PKCS#12 and a chain", pkcs12("certificate_chain: { filename: '{pki}/a.pem' }")),
        ("TLS: PKCS#12 of garbage", only("{ pkcs12: { filename: '{pki}/garbage' } }")),
        ("TLS: names required", beside("require_sni: true")),
        ("TLS: the client's order of suites", beside("prefer_client_ciphers: true")),
        ("TLS: a full scan", beside("full_scan_certs_on_sni_mismatch: true")),
        ("TLS: no tickets", beside("disable_stateless_session_resumption: true")),
        ("TLS: no sessions", beside("disable_stateful_session_resumption: true")),
        ("TLS: a timeout of sessions", beside("session_timeout: 1.5s")),
        ("TLS: a negative timeout of sessions", beside("session_timeout: -1s")),
        ("TLS: a timeout of too many sessions", beside("session_timeout: 4294967296s")),
        ("TLS: a ticket key", keys(&format!("{{ inline_string: '{}' }}", "k".repeat(80)))),
        ("TLS: a short ticket key", keys("{ inline_string: short }")),
        ("TLS: no ticket key", keys("")),
        ("TLS: no such ticket key", keys("{ filename: '{pki}/none' }")),
        (
            "TLS: a timeout of the handshake",
            common("").replacen(
                "      filters:",
                "      transport_socket_connect_timeout: 1s\n      filters:",
                1,
            ),
        ),
    ]
}

pub(super) fn validations() -> Vec<(&'static str, String)> {
    let of = |fields: &str| common(&format!("validation_context: {{ {fields} }}"));
    let with_ca = |fields: &str| of(&format!("{CA}, {fields}"));
    let ca = |file: &str| of(&format!("trusted_ca: {{ filename: '{{pki}}/{file}' }}"));
    let name = |fields: &str| with_ca(&format!("match_typed_subject_alt_names: [{{ {fields} }}]"));
    let digits = "0".repeat(64);
    let pairs = vec!["AB"; 32].join(":");
    vec![
        ("TLS: an empty validation", of("")),
        ("TLS: an authority", of(CA)),
        ("TLS: a leaf as the authority", ca("a.pem")),
        ("TLS: an empty authority", ca("empty")),
        ("TLS: an authority of garbage", ca("garbage")),
        ("TLS: a broken authority", ca("broken.pem")),
        ("TLS: no such authority", ca("none")),
        ("TLS: no inline authority", of("trusted_ca: { inline_string: '' }")),
        ("TLS: the system's authorities", of("system_root_certs: {}")),
        ("TLS: no such CRL", with_ca("crl: { filename: '{pki}/none' }")),
        ("TLS: a CRL of garbage", with_ca("crl: { filename: '{pki}/garbage' }")),
        ("TLS: an empty CRL", with_ca("crl: { filename: '{pki}/empty' }")),
        ("TLS: a CRL without authority", of("crl: { filename: '{pki}/garbage' }")),
        ("TLS: the leaf's CRL without CRL", with_ca("only_verify_leaf_cert_crl: true")),
        ("TLS: a name", name("san_type: DNS, matcher: { exact: a }")),
        ("TLS: a name of no kind", name("matcher: { exact: a }")),
        ("TLS: a kind without name", name("san_type: DNS")),
        (
            "TLS: a name with a bad pattern",
            name("san_type: DNS, matcher: { safe_regex: { regex: 'a(' } }"),
        ),
        ("TLS: an address that is none", name("san_type: IP_ADDRESS, matcher: { exact: abc }")),
        ("TLS: another name", name("san_type: OTHER_NAME, oid: 1.2.3.4, matcher: { exact: a }")),
        ("TLS: another name without OID", name("san_type: OTHER_NAME, matcher: { exact: a }")),
        (
            "TLS: another name of a bad OID",
            name("san_type: OTHER_NAME, oid: x, matcher: { exact: a }"),
        ),
        (
            "TLS: a name without authority",
            of("match_typed_subject_alt_names: [{ san_type: DNS, matcher: { exact: a } }]"),
        ),
        ("TLS: a name of the older list", with_ca("match_subject_alt_names: [{ exact: a }]")),
        (
            "TLS: a name of the older list without authority",
            of("match_subject_alt_names: [{ exact: a }]"),
        ),
        ("TLS: a hash", of(&format!("verify_certificate_hash: ['{digits}']"))),
        ("TLS: a hash with colons", of(&format!("verify_certificate_hash: ['{pairs}']"))),
        ("TLS: a short hash", of("verify_certificate_hash: [abcd]")),
        (
            "TLS: a hash of no digits",
            of(&format!("verify_certificate_hash: ['{}']", "z".repeat(64))),
        ),
        ("TLS: a key's hash", of(&format!("verify_certificate_spki: ['{}=']", "A".repeat(43)))),
        ("TLS: a short key's hash", of("verify_certificate_spki: [abcd]")),
        (
            "TLS: a key's hash that is none",
            of(&format!("verify_certificate_spki: ['{}']", "!".repeat(44))),
        ),
        ("TLS: expired ones without authority", of("allow_expired_certificate: true")),
        ("TLS: expired ones", with_ca("allow_expired_certificate: true")),
        ("TLS: a depth", with_ca("max_verify_depth: 0")),
        ("TLS: a depth of 100", with_ca("max_verify_depth: 100")),
        ("TLS: a depth of 101", with_ca("max_verify_depth: 101")),
        ("TLS: untrusted ones", of("trust_chain_verification: ACCEPT_UNTRUSTED")),
        ("TLS: authorities untold", with_ca("suppress_client_ca_list: true")),
        ("TLS: timestamps", of("require_signed_certificate_timestamp: true")),
        ("TLS: required without authority", beside("require_client_certificate: true")),
        (
            "TLS: combined without secret",
            common(&format!(
                "combined_validation_context: {{ default_validation_context: {{ {CA} }} }}"
            )),
        ),
        ("TLS: combined of nothing", common("combined_validation_context: {}")),
    ]
}

pub(super) fn clients() -> Vec<(&'static str, String)> {
    let upstream = |fields: &str| {
        let socket = socket("UpstreamTlsContext", fields);
        format!("static_resources: {{ clusters: [{{ name: c, transport_socket: {socket} }}] }}\n")
    };
    let certificates =
        |list: &str| upstream(&format!("common_tls_context: {{ tls_certificates: [{list}] }}"));
    let other = socket("DownstreamTlsContext", "");
    vec![
        ("TLS client: nothing", upstream("")),
        (
            "TLS client: the other side's context",
            format!(
                "static_resources: {{ clusters: [{{ name: c, transport_socket: {other} }}] }}\n"
            ),
        ),
        ("TLS client: a name", upstream("sni: a.test")),
        ("TLS client: a name of 256 bytes", upstream(&format!("sni: {}", "a".repeat(256)))),
        ("TLS client: an address as the name", upstream("sni: 127.0.0.1")),
        ("TLS client: the host's name", upstream("auto_host_sni: true")),
        (
            "TLS client: the name verified",
            upstream(&format!(
                "auto_sni_san_validation: true, sni: a.test, common_tls_context: {{ \
                 validation_context: {{ {CA} }} }}"
            )),
        ),
        (
            "TLS client: the name verified without validation",
            upstream("auto_sni_san_validation: true, sni: a.test"),
        ),
        ("TLS client: renegotiation", upstream("allow_renegotiation: true")),
        ("TLS client: no sessions", upstream("max_session_keys: 0")),
        ("TLS client: usages", upstream("enforce_rsa_key_usage: false")),
        ("TLS client: a certificate", certificates(CERTIFICATE)),
        ("TLS client: a certificate without fields", certificates("{}")),
        ("TLS client: two certificates", certificates(&format!("{CERTIFICATE}, {CERTIFICATE}"))),
        (
            "TLS client: a name without authority",
            upstream(
                "common_tls_context: { validation_context: { match_typed_subject_alt_names: [{ \
                 san_type: DNS, matcher: { exact: a } }] } }",
            ),
        ),
    ]
}

pub(super) fn secrets() -> Vec<(&'static str, String)> {
    let secrets = |list: &str| format!("  secrets: [{list}]\n");
    let server = format!("{{ name: server, tls_certificate: {CERTIFICATE} }}");
    let of = |name: &str, list: &str| {
        let common = format!(
            "common_tls_context: {{ tls_certificate_sds_secret_configs: [{{ name: '{name}' }}] }}"
        );
        listener(&socket("DownstreamTlsContext", &common), &secrets(list))
    };
    let file = |fields: &str| {
        downstream(&format!(
            "common_tls_context: {{ tls_certificate_sds_secret_configs: [{{ name: server, \
             sds_config: {{ {fields} }} }}] }}"
        ))
    };
    let path =
        |file_name: &str| file(&format!("path_config_source: {{ path: '{{pki}}/{file_name}' }}"));
    let no_key = "{ name: x, tls_certificate: { certificate_chain: { filename: '{pki}/none' } } }";
    vec![
        ("secrets: by name", of("server", &server)),
        ("secrets: an unknown name", of("none", &server)),
        ("secrets: an empty name", of("", &server)),
        ("secrets: of another kind", of("x", "{ name: x, validation_context: {} }")),
        ("secrets: twice", of("server", &format!("{server}, {server}"))),
        ("secrets: without kind", of("server", &format!("{server}, {{ name: x }}"))),
        ("secrets: broken and unused", of("server", &format!("{server}, {no_key}"))),
        (
            "secrets: mixed",
            listener(
                &socket(
                    "DownstreamTlsContext",
                    &format!(
                        "common_tls_context: {{ tls_certificates: [{CERTIFICATE}], \
                         tls_certificate_sds_secret_configs: [{{ name: server }}] }}"
                    ),
                ),
                &secrets(&server),
            ),
        ),
        ("secrets: a file", path("sds.yaml")),
        ("secrets: a file by the older field", file("path: '{pki}/sds.yaml'")),
        ("secrets: no such file", path("none.yaml")),
        ("secrets: a file that is no YAML", path("no.yaml")),
        ("secrets: a file without the name", path("other.yaml")),
        ("secrets: a key that does not match", path("mismatch.yaml")),
        (
            "secrets: a watched folder",
            file(
                "path_config_source: { path: '{pki}/sds.yaml', watched_directory: { path: \
                 '{pki}' } }",
            ),
        ),
        (
            "secrets: no such watched folder",
            file(
                "path_config_source: { path: '{pki}/sds.yaml', watched_directory: { path: \
                 '{pki}/none' } }",
            ),
        ),
        ("secrets: over gRPC", file("ads: {}, resource_api_version: V3")),
    ]
}
