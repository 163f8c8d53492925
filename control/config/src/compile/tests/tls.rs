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
    let watched: Vec<_> = draft.watched.iter().filter_map(|path| path.file_name()).collect();
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
    assert_eq!(draft.watched.len(), 1);
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
