//! Transport sockets: what they are compiled from, and what of it lives on.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use ringway_model::transport::{DownstreamTls, UpstreamTls};

use super::*;

const TYPE: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";

/// A folder with `ca.pem`, `a.pem`, `a.key`, `b.pem` and `b.key`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let mut params = CertificateParams::new(Vec::new()).expect("params");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let ca = params.self_signed(&key).expect("a certificate");
    fs::write(folder.path().join("ca.pem"), ca.pem()).expect("written");
    let issuer = Issuer::new(params, key);
    for name in ["a", "b"] {
        issue(&issuer, folder.path(), name);
    }
    folder
}

fn issue(issuer: &Issuer<'_, KeyPair>, folder: &Path, name: &str) {
    let params = CertificateParams::new(vec![format!("{name}.test")]).expect("params");
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    fs::write(folder.join(format!("{name}.pem")), certificate.pem()).expect("written");
    fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).expect("written");
}

fn socket(kind: &str, fields: &str) -> String {
    let fields = if fields.is_empty() { String::new() } else { format!(", {fields}") };
    format!("transport_socket: {{name: tls, typed_config: {{'@type': {TYPE}.{kind}{fields}}}}}")
}

/// A bootstrap of one listener with this context.
fn listening(fields: &str) -> String {
    let socket = socket("DownstreamTlsContext", fields);
    let chain = format!("{{{socket}, filters: [{}]}}", filter("", ""));
    bootstrap(&[listener_of("l", &format!("default_filter_chain: {chain}"))], &[])
}

/// A bootstrap of one cluster with this context.
fn connecting(fields: &str) -> String {
    bootstrap(&[], &[cluster("a", &socket("UpstreamTlsContext", fields), &[])])
}

fn certificate(folder: &Path, chain: &str, key: &str) -> String {
    let folder = folder.display();
    format!(
        "tls_certificates: [{{certificate_chain: {{filename: {folder}/{chain}}}, private_key: \
         {{filename: {folder}/{key}}}}}]"
    )
}

fn down(draft: &Draft) -> Arc<DownstreamTls> {
    Arc::clone(draft.snapshot.listeners[0].chains[0].tls.as_ref().expect("TLS"))
}

fn up(draft: &Draft) -> Arc<UpstreamTls> {
    let id = draft.snapshot.cluster_ids["a"];
    let cluster = draft.snapshot.cluster(id).expect("a cluster");
    Arc::clone(cluster.policy.tls.as_ref().expect("TLS"))
}

#[test]
fn a_raw_buffer_is_no_tls() {
    let raw = "transport_socket: {name: raw, typed_config: {'@type': \
               type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}";
    let yaml = bootstrap(&[], &[cluster("a", raw, &[])]);
    let draft = compiler().draft(&yaml);
    let id = draft.snapshot.cluster_ids["a"];
    assert!(draft.snapshot.cluster(id).expect("a cluster").policy.tls.is_none());
}

#[test]
fn certificates_come_from_files() {
    let folder = folder();
    let fields = certificate(folder.path(), "a.pem", "a.key");
    let draft = compiler().draft(&listening(&format!("common_tls_context: {{{fields}}}")));
    let tls = down(&draft);
    assert_eq!(tls.certificates[0].certificate.names.dns, ["a.test"]);
    assert_eq!(tls.certificates[0].path, format!("{}/a.pem", folder.path().display()));
    let watched: Vec<_> = draft.watched.files.iter().filter_map(|path| path.file_name()).collect();
    assert_eq!(watched, ["a.key", "a.pem"]);
}

#[test]
fn a_context_lives_on_until_its_files_change() {
    let folder = folder();
    let fields = certificate(folder.path(), "a.pem", "a.key");
    let of = |extra: &str| format!("common_tls_context: {{{fields}}}{extra}");
    let mut compiler = compiler();
    let one = compiler.draft(&listening(&of("")));
    let two = compiler.draft(&listening(&of("")));
    assert!(Arc::ptr_eq(&one.snapshot.listeners[0], &two.snapshot.listeners[0]));
    let other = listening(&of("")).replace("stat_prefix: web", "stat_prefix: other");
    let three = compiler.draft(&other);
    assert!(!Arc::ptr_eq(&one.snapshot.listeners[0], &three.snapshot.listeners[0]));
    assert!(Arc::ptr_eq(&down(&one), &down(&three)));
    for end in ["pem", "key"] {
        let path = |name: &str| folder.path().join(format!("{name}.{end}"));
        fs::copy(path("b"), path("a")).expect("copied");
    }
    let four = compiler.draft(&other);
    assert_eq!(down(&four).certificates[0].certificate.names.dns, ["b.test"]);
    let sockets = |draft: &Draft| Arc::clone(&draft.snapshot.listeners[0].sockets);
    assert!(Arc::ptr_eq(&sockets(&three), &sockets(&four)));
}

#[test]
fn an_upstream_has_a_name_and_authorities() {
    let folder = folder();
    let ca = format!("{{trusted_ca: {{filename: {}/ca.pem}}}}", folder.path().display());
    let fields = format!(
        "sni: a.test, common_tls_context: {{validation_context: {ca}, alpn_protocols: [h2]}}"
    );
    let mut compiler = compiler();
    let draft = compiler.draft(&connecting(&fields));
    let tls = up(&draft);
    assert_eq!(tls.sni.as_deref(), Some("a.test"));
    assert_eq!((tls.authorities.len(), tls.certificates.len()), (1, 0));
    assert!(Arc::ptr_eq(&tls, &up(&compiler.draft(&connecting(&fields)))));
    assert_eq!(draft.watched.files.len(), 1);
}

#[test]
fn what_is_wrong_is_said_with_its_file() {
    let folder = folder();
    let path = folder.path().display().to_string();
    fs::write(folder.path().join("empty"), "").expect("written");
    fs::write(folder.path().join("garbage"), "garbage").expect("written");
    let table = [
        (
            "a.pem",
            "b.key",
            "private_key: Failed to load private key from X/b.key, Cause: does not match the certificate in X/a.pem",
        ),
        (
            "empty",
            "a.key",
            "certificate_chain: Failed to load incomplete certificate from X/empty: certificate chain not set",
        ),
        (
            "garbage",
            "a.key",
            "certificate_chain: Failed to load certificate chain from X/garbage: certificate 0: ",
        ),
        (
            "none",
            "a.key",
            "certificate_chain.filename: Invalid path: X/none: No such file or directory",
        ),
        ("a.pem", "garbage", "private_key: Failed to load private key from X/garbage, Cause: "),
        ("a.pem", "empty", "private_key: Failed to load incomplete private key from path: X/empty"),
    ];
    for (chain, key, expected) in table {
        let fields = certificate(folder.path(), chain, key);
        let yaml = listening(&format!("common_tls_context: {{{fields}}}"));
        let said = compiler().errors(&yaml).replace(&path, "X");
        let expected = format!("common_tls_context.tls_certificates[0].{expected}");
        assert!(said.contains(&expected), "{said}\ninstead of\n{expected}");
    }
    let said = compiler().errors(&listening(""));
    assert!(said.contains("No TLS certificates found for server context"), "{said}");
}

/// A context whose clients are identities of SPIFFE.
fn of_spiffe(folder: &Path, validator: &str, more: &str) -> String {
    let certificate = certificate(folder, "a.pem", "a.key");
    let validator = format!(
        "custom_validator_config: {{name: envoy.tls.cert_validator.spiffe, typed_config: \
         {{'@type': {TYPE}.SPIFFECertValidatorConfig, {validator}}}}}"
    );
    let validation = format!("validation_context: {{{validator}, {more}}}");
    listening(&format!("common_tls_context: {{{certificate}, {validation}}}"))
}

#[test]
fn trust_domains_have_authorities_of_their_own() {
    let folder = folder();
    let path = folder.path().display();
    let domains =
        format!("trust_domains: [{{name: a.test, trust_bundle: {{filename: {path}/ca.pem}}}}]");
    let draft = compiler().draft(&of_spiffe(folder.path(), &domains, ""));
    let tls = down(&draft);
    assert_eq!(tls.authorities[0].path, format!("a.test:{path}/ca.pem"));
    let pem = fs::read_to_string(folder.path().join("ca.pem")).expect("read");
    let base64: String = pem.lines().filter(|line| !line.contains('-')).collect();
    let key = format!("{{\"use\": \"x509-svid\", \"x5c\": [\"{base64}\"]}}");
    let map = |keys: &str| format!("{{\"trust_domains\": {{\"a.test\": {{\"keys\": [{keys}]}}}}}}");
    let given = |map: &str| format!("trust_bundles: {{inline_string: '{map}'}}");
    let draft = compiler().draft(&of_spiffe(folder.path(), &given(&map(&key)), ""));
    assert_eq!(down(&draft).authorities[0].path, "a.test:<inline>");
    let twice = domains
        .replace(']', &format!(", {{name: a.test, trust_bundle: {{filename: {path}/ca.pem}}}}]"));
    for (validator, more, expected) in [
        (&*twice, "", "Multiple trust bundles are given for one trust domain for a.test"),
        ("trust_domains: [{name: b}]", "", "Failed to load trusted CA certificate for b"),
        (&given("{"), "", "trust_bundles: Invalid JSON found in SPIFFE bundle"),
        (&given("{}"), "", "trust_bundles: No trust domains found in SPIFFE bundle"),
        (
            &given(&map(&key.replace("x509", "jwt"))),
            "",
            "missing or invalid 'use' field found in cert for domain 'a.test'",
        ),
        (&given(&map("")), "", "Failed to load trusted CA certificate for a.test: is empty"),
        (&*domains, "crl: {inline_string: a}", "validation_context.crl: the validator"),
        (
            &*domains,
            "match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: a}}]",
            "match_typed_subject_alt_names[0]: the validator of SPIFFE looks at URIs alone",
        ),
    ] {
        let said = compiler().errors(&of_spiffe(folder.path(), validator, more));
        assert!(said.contains(expected), "{said}\ninstead of\n{expected}");
    }
}

#[test]
fn secrets_of_connections_go_to_a_file() {
    let folder = folder();
    let certificate = certificate(folder.path(), "a.pem", "a.key");
    let of =
        |log: &str| listening(&format!("common_tls_context: {{{certificate}, key_log: {log}}}"));
    let path = folder.path().join("keys").display().to_string();
    let ranges = "local_address_range: [{address_prefix: 127.1.2.3, prefix_len: 8}]";
    let draft = compiler().draft(&of(&format!("{{path: {path}, {ranges}}}")));
    let tls = down(&draft);
    let log = tls.key_log.as_ref().expect("a log");
    assert_eq!((log.local.len(), log.remote.len()), (1, 0));
    assert_eq!(log.local[0].to_string(), "127.0.0.0/8");
    let broken = "remote_address_range: [{address_prefix: x}]";
    let said = compiler().errors(&of(&format!("{{path: {path}, {broken}}}")));
    let expected = "key_log.remote_address_range[0].address_prefix: malformed IP address: x";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn signatures_have_boringssls_names() {
    let folder = folder();
    let certificate = certificate(folder.path(), "a.pem", "a.key");
    let of = |names: &str| {
        let parameters = format!("tls_params: {{signature_algorithms: [{names}]}}");
        listening(&format!("common_tls_context: {{{certificate}, {parameters}}}"))
    };
    compiler().draft(&of("'ECDSA+SHA256:rsa_pss_rsae_sha512', ed25519"));
    for (names, expected) in [
        ("ed25519, foo", "Failed to initialize TLS signature algorithms ed25519:foo"),
        ("ed25519, ed25519", "Failed to initialize TLS signature algorithms ed25519:ed25519"),
        ("rsa_pkcs1_sha1", "tls_params.signature_algorithms: rsa_pkcs1_sha1"),
    ] {
        let said = compiler().errors(&of(names));
        assert!(said.contains(expected), "{said}\ninstead of\n{expected}");
    }
}

#[test]
fn staples_follow_the_policy() {
    let folder = folder();
    fs::write(folder.path().join("empty"), "").expect("written");
    let pair = certificate(folder.path(), "a.pem", "a.key");
    let of = |staple: &str, policy: &str| {
        let pair = pair.replace("}]", &format!(", ocsp_staple: {staple}}}]"));
        listening(&format!("common_tls_context: {{{pair}}}, ocsp_staple_policy: {policy}"))
    };
    let empty = format!("{{filename: {}/empty}}", folder.path().display());
    let draft = compiler().draft(&of(&empty, "STRICT_STAPLING"));
    assert_eq!(down(&draft).certificates[0].ocsp, None);
    for (staple, policy, expected) in [
        (
            &*empty,
            "MUST_STAPLE",
            "ocsp_staple_policy: Required OCSP response is missing from TLS context",
        ),
        (
            "{inline_string: a}",
            "LENIENT_STAPLING",
            "ocsp_staple: OCSP staple cannot be provided via inline_string",
        ),
        (
            "{inline_bytes: aGVsbG8=}",
            "LENIENT_STAPLING",
            "ocsp_staple: Data contained more than a single OCSP response",
        ),
    ] {
        let said = compiler().errors(&of(staple, policy));
        assert!(said.contains(expected), "{said}\ninstead of\n{expected}");
    }
}

fn secret_file(folder: &Path, name: &str, secret: &str) {
    let text = format!("resources: [{{'@type': {TYPE}.Secret, {secret}}}]");
    let (new, file) = (folder.join("new"), folder.join(name));
    fs::write(&new, text).expect("written");
    fs::rename(new, file).expect("renamed");
}

/// A secret of the name `server` with this certificate and this key.
fn secret(folder: &Path, chain: &str, key: &str) -> String {
    let folder = folder.display();
    format!(
        "name: server, tls_certificate: {{certificate_chain: {{filename: {folder}/{chain}}}, \
         private_key: {{filename: {folder}/{key}}}}}"
    )
}

fn of_file(folder: &Path) -> String {
    format!(
        "common_tls_context: {{tls_certificate_sds_secret_configs: [{{name: server, sds_config: \
         {{path_config_source: {{path: {0}/sds.yaml, watched_directory: {{path: {0}}}}}}}}}]}}",
        folder.display()
    )
}

#[test]
fn secrets_come_from_the_bootstrap_by_name() {
    let folder = folder();
    let context = "common_tls_context: {tls_certificate_sds_secret_configs: [{name: server}]}";
    let with = |secret: &str| listening(context) + &format!("  secrets: [{{{secret}}}]\n");
    let mut compiler = compiler();
    let one = compiler.draft(&with(&secret(folder.path(), "a.pem", "a.key")));
    assert_eq!(down(&one).certificates[0].certificate.names.dns, ["a.test"]);
    let two = compiler.draft(&with(&secret(folder.path(), "b.pem", "b.key")));
    assert_eq!(down(&two).certificates[0].certificate.names.dns, ["b.test"]);
    let said = compiler.errors(&with("name: other, validation_context: {}"));
    assert!(said.contains("configs[0]: Unknown static secret: server"), "{said}");
    let said = compiler.errors(&with(&secret(folder.path(), "a.pem", "b.key")));
    assert!(said.contains("static_resources.secrets[0].tls_certificate.private_key: "), "{said}");
}

#[test]
fn secrets_come_from_a_file() {
    let folder = folder();
    secret_file(folder.path(), "sds.yaml", &secret(folder.path(), "a.pem", "a.key"));
    let yaml = listening(&of_file(folder.path()));
    let draft = compiler().draft(&yaml);
    assert_eq!(down(&draft).certificates[0].certificate.names.dns, ["a.test"]);
    assert_eq!(draft.watched.files.len(), 3);
    assert_eq!(draft.watched.folders.len(), 1);
    secret_file(folder.path(), "sds.yaml", &secret(folder.path(), "a.pem", "b.key"));
    let said = compiler().errors(&yaml);
    let place = format!("{}/sds.yaml:1:", folder.path().display());
    assert!(said.starts_with(&place), "{said}");
    assert!(said.contains(": resources[0].tls_certificate.private_key: Failed to load"), "{said}");
    secret_file(folder.path(), "sds.yaml", "name: other, tls_certificate: {}");
    let said = compiler().errors(&yaml);
    assert!(said.contains("sds.yaml has no tls_certificate of the name server"), "{said}");
}

/// As Envoy: what cannot be used is counted and said, and the last good one stays.
#[test]
fn a_bad_secret_leaves_the_last_good_one() {
    let folder = folder();
    let mut compiler = compiler();
    let write = |chain, key| {
        secret_file(folder.path(), "sds.yaml", &secret(folder.path(), chain, key));
    };
    write("a.pem", "a.key");
    let yaml = listening(&of_file(folder.path()));
    let good = compiler.draft(&yaml);
    let again = |compiler: &mut Compiler| {
        let none = ResolvedEndpoints::new();
        let cause = Cause::Secrets;
        let draft =
            compiler.compile_for(cause, &loaded(&yaml), &none, &mut BindSockets, &mut NoSinks);
        draft.unwrap_or_else(|errors| panic!("{}", lines(&errors)))
    };
    write("a.pem", "b.key");
    let bad = again(&mut compiler);
    assert!(Arc::ptr_eq(&good.snapshot.listeners[0], &bad.snapshot.listeners[0]));
    assert!(lines(&bad.updates.rejected).contains("does not match"));
    assert_eq!(
        counted(&compiler, &bad),
        [
            "sds.server.update_attempt",
            "sds.server.update_rejected",
            "sds.server.key_rotation_failed",
            "listener.127.0.0.1_0.server_ssl_socket_factory.ssl_context_update_rejected",
        ]
    );
    assert!(again(&mut compiler).updates.rejected.is_empty(), "it is said once");
    write("b.pem", "b.key");
    let new = again(&mut compiler);
    assert_eq!(down(&new).certificates[0].certificate.names.dns, ["b.test"]);
    assert!(new.updates.rejected.is_empty());
    let updated = "listener.127.0.0.1_0.server_ssl_socket_factory.ssl_context_update_by_sds";
    assert!(counted(&compiler, &new).iter().any(|name| name == updated));
    // A reload by hand is refused, as with any other mistake.
    write("a.pem", "b.key");
    assert!(compiler.errors(&yaml).contains("does not match"));
}

/// The names of the counters that would be raised, by raising them.
fn counted(compiler: &Compiler, draft: &Draft) -> Vec<String> {
    let page = compiler.env.catalog.new_page();
    let names = [
        "sds.server.update_attempt",
        "sds.server.update_success",
        "sds.server.update_rejected",
        "sds.server.update_failure",
        "sds.server.key_rotation_failed",
        "listener.127.0.0.1_0.server_ssl_socket_factory.ssl_context_update_rejected",
        "listener.127.0.0.1_0.server_ssl_socket_factory.ssl_context_update_by_sds",
    ];
    let totals = || names.map(|name| compiler.env.catalog.total(name));
    let before = totals();
    draft.updates.counts.iter().for_each(|id| page.inc(*id));
    let after = totals();
    let changed = (0..names.len()).filter(|at| before[*at] != after[*at]);
    changed.map(|at| names[at].to_owned()).collect()
}

#[test]
fn a_validation_is_combined_of_what_stands_here_and_of_a_secret() {
    let folder = folder();
    let ca = format!(
        "name: ca, validation_context: {{trusted_ca: {{filename: {}/ca.pem}}}}",
        folder.path().display()
    );
    secret_file(folder.path(), "sds.yaml", &ca);
    let fields = |names: &str| {
        format!(
            "common_tls_context: {{combined_validation_context: {{default_validation_context: \
             {{{names}}}, validation_context_sds_secret_config: {{name: ca, sds_config: \
             {{path_config_source: {{path: {}/sds.yaml}}}}}}}}}}",
            folder.path().display()
        )
    };
    let names = "match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: a.test}}]";
    let draft = compiler().draft(&connecting(&fields(names)));
    assert_eq!(up(&draft).authorities.len(), 1);
    let wrong = "match_typed_subject_alt_names: [{san_type: OTHER_NAME, oid: x, matcher: \
                 {exact: a.test}}]";
    let said = compiler().errors(&connecting(&fields(wrong)));
    assert!(said.contains("Failed to create SAN matcher for OTHER_NAME with OID: x"), "{said}");
}

#[test]
fn what_is_wrong_with_a_validation_is_said_as_envoy_says_it() {
    let folder = folder();
    let path = folder.path().display().to_string();
    fs::write(folder.path().join("empty"), "").expect("written");
    fs::write(folder.path().join("garbage"), "garbage").expect("written");
    let ca = "trusted_ca: {filename: X/ca.pem}";
    let zeros = "0".repeat(64);
    let with_ca = |fields: &str| format!("{ca}, {fields}");
    let table = [
        ("trusted_ca: {filename: X/empty}".to_owned(), "trusted_ca: file X/empty is empty"),
        (
            "trusted_ca: {filename: X/garbage}".to_owned(),
            "trusted_ca: Failed to load trusted CA certificates from X/garbage: ",
        ),
        ("trusted_ca: {filename: X/no}".to_owned(), "trusted_ca.filename: Invalid path: X/no: "),
        (
            "crl: {filename: X/garbage}".to_owned(),
            "crl: Failed to load CRL from X/garbage without trusted CA",
        ),
        (with_ca("crl: {filename: X/garbage}"), "crl: Failed to load CRL from X/garbage: "),
        (
            "match_subject_alt_names: [{exact: a}]".to_owned(),
            ": SAN-based verification of peer certificates without trusted CA is insecure",
        ),
        (
            "allow_expired_certificate: true".to_owned(),
            "Certificate validity period is always ignored without trusted CA",
        ),
        (
            format!("verify_certificate_hash: [{}]", zeros.replace('0', "z")),
            "verify_certificate_hash[0]: Invalid hex-encoded SHA-256 zzz",
        ),
        (
            format!("verify_certificate_spki: ['{}']", "!".repeat(44)),
            "verify_certificate_spki[0]: Invalid base64-encoded SHA-256 !!!",
        ),
    ];
    for (fields, expected) in table {
        let fields = fields.replace("X/", &format!("{path}/"));
        let yaml = connecting(&format!("common_tls_context: {{validation_context: {{{fields}}}}}"));
        let said = compiler().errors(&yaml).replace(&path, "X");
        assert!(said.contains(expected), "{said}\ninstead of\n{expected}");
    }
    let good = format!("verify_certificate_hash: ['{zeros}', '{}00']", "00:".repeat(31));
    let yaml = connecting(&format!("common_tls_context: {{validation_context: {{{good}}}}}"));
    compiler().draft(&yaml);
}

#[test]
fn ticket_keys_have_80_bytes() {
    let folder = folder();
    let certificate = certificate(folder.path(), "a.pem", "a.key");
    let with = |keys: &str| {
        listening(&format!(
            "common_tls_context: {{{certificate}}}, session_timeout: 60.5s, session_ticket_keys: \
             {{keys: [{keys}]}}"
        ))
    };
    fs::write(folder.path().join("key"), [7; 80]).expect("written");
    let file = format!("{{filename: {}/key}}", folder.path().display());
    compiler().draft(&with(&file));
    let said = compiler().errors(&with(&format!("{file}, {{inline_string: short}}")));
    let expected = "session_ticket_keys.keys[1]: Incorrect TLS session ticket key length. Length \
                    5, expected length 80.";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn expired_certificates_are_presented_and_remarked() {
    let folder = folder();
    let mut params = CertificateParams::new(vec!["old.test".to_owned()]).expect("params");
    params.not_after = rcgen::date_time_ymd(2000, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let old = params.self_signed(&key).expect("a certificate");
    fs::write(folder.path().join("old.pem"), old.pem()).expect("written");
    fs::write(folder.path().join("old.key"), key.serialize_pem()).expect("written");
    let context = certificate(folder.path(), "old.pem", "old.key");
    let yaml = listening(&format!("common_tls_context: {{{context}}}"));
    let draft = compiler().draft(&yaml);
    assert!(lines(&draft.warnings).contains("old.pem expired on Jan  1 00:00:00 2000"));
    let none = ResolvedEndpoints::new();
    let cause = Cause::Validation;
    let checked =
        compiler().compile_for(cause, &loaded(&yaml), &none, &mut NoSockets, &mut NoSinks);
    assert!(lines(&checked.err().unwrap_or_default()).contains("expired on"));
}

#[test]
fn endpoints_choose_their_socket_by_metadata() {
    let matches = format!(
        "transport_socket_matches: [{{name: tls, match: {{mode: secure, n: 1}}, {}}}, {{name: \
         plain, match: {{}}, transport_socket: {{name: raw, typed_config: {{'@type': \
         type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}}}}]",
        socket("UpstreamTlsContext", "sni: a.test")
    );
    let endpoint = |port: u16, labels: &str| {
        format!(
            "{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: \
             {port}}}}}}}, metadata: {{filter_metadata: {{envoy.transport_socket_match: \
             {{{labels}}}}}}}}}"
        )
    };
    let endpoints = [
        endpoint(1, "mode: secure, n: 1, more: x"),
        endpoint(2, "mode: secure, n: 2"),
        endpoint(3, ""),
    ];
    let of = |matches: &str| {
        bootstrap(
            &[],
            &[format!(
                "{{name: a, {matches}{}, load_assignment: {{cluster_name: a, endpoints: \
                 [{{lb_endpoints: [{}]}}]}}}}",
                socket("UpstreamTlsContext", "sni: b.test"),
                endpoints.join(", ")
            )],
        )
    };
    let names = |draft: &Draft| -> Vec<Option<String>> {
        let cluster = draft.snapshot.cluster(draft.snapshot.cluster_ids["a"]).expect("a cluster");
        let tls = cluster.endpoints.iter().map(|endpoint| cluster.policy.tls_of(endpoint));
        tls.map(|tls| tls.and_then(|tls| tls.sni.as_deref().map(str::to_owned))).collect()
    };
    let mut compiler = compiler();
    let draft = compiler.draft(&of(&format!("{matches}, ")));
    assert_eq!(names(&draft), [Some("a.test".to_owned()), None, None]);
    let draft = compiler.draft(&of(""));
    assert_eq!(names(&draft), vec![Some("b.test".to_owned()); 3]);
}
