//! What is refused when a context is built, and how it is said.

use crate::support::{self, Authority, server, server_with, source};
use ringway_tls::{
    ClientCertificates, ClientContext, ClientOptions, Identity, NameKind, NameMatcher, Parameters,
    ServerContext, ServerOptions, Source, Text, TicketKey, TlsVersion, Validation,
};

fn refusal(options: &ServerOptions) -> String {
    ServerContext::new(options).expect_err("it must be refused").to_string()
}

fn check(options: &ServerOptions, expected: &str) {
    let said = refusal(options);
    assert!(said.contains(expected), "{said:?} instead of {expected:?}");
}

#[test]
fn certificates_and_keys() {
    let authority = Authority::new();
    let good = authority.ecdsa(&["a.test"]);
    let other = authority.ecdsa(&["a.test"]);
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let with_chain = |text: &str| Identity { chain: source("c.pem", text), ..good.clone() };
    let with_key = |key: Source| Identity { key, ..good.clone() };
    let table = [
        (
            with_key(other.key.clone()),
            "private_key: key.pem: does not match the certificate in cert.pem",
        ),
        (with_chain(""), "certificate_chain: c.pem: is empty"),
        (with_chain(garbage), "certificate_chain: c.pem: certificate 0: "),
        (with_chain("-----BEGIN "), "certificate_chain: c.pem: "),
        (with_chain("no certificate"), "certificate_chain: c.pem: certificate 0: "),
        (
            Identity { chain: good.key.clone(), ..good.clone() },
            "certificate_chain: key.pem: holds no certificate",
        ),
        (with_key(source("k.pem", encrypted)), "private_key: k.pem: is encrypted"),
        (with_key(good.chain.clone()), "private_key: cert.pem: holds no private key"),
        (with_key(source("k.pem", "")), "private_key: k.pem: is empty"),
    ];
    for (identity, expected) in table {
        check(&server_with(vec![identity]), expected);
    }
    check(&server_with(Vec::new()), "tls_certificates: is empty");
    // As in Envoy; whoever loads it looks at its validity.
    let expired = authority.expired_client().inspect().expect("certificates");
    assert_eq!(expired[0].not_after_unix_s, 946_684_800);
}

#[test]
fn der_is_taken_as_well() {
    let good = Authority::new().ecdsa(&["a.test"]);
    let key = {
        use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
        PrivateKeyDer::from_pem_slice(&good.key.bytes).expect("a key").secret_der().to_vec()
    };
    let chain = Source { name: "c.der".into(), bytes: support::der(&good) };
    let key = Source { name: "k.der".into(), bytes: key };
    assert!(ServerContext::new(&server_with(vec![Identity { chain, key, ..good }])).is_ok());
}

#[test]
fn validation_contexts() {
    let authority = Authority::new();
    let base = server(&authority, &["a.test"]);
    let asking = |validation| ServerOptions {
        client_certificates: ClientCertificates::Required(validation),
        ..base.clone()
    };
    let ca = |text: &str| Validation {
        trusted_ca: Some(source("ca.pem", text)),
        ..Validation::default()
    };
    let matcher =
        NameMatcher { kind: NameKind::Dns, text: Text::Exact("a".into()), ignore_case: false };
    let crl = Some(source("list.pem", "garbage"));
    check(&asking(ca("")), "trusted_ca: ca.pem: is empty");
    check(&asking(ca("garbage")), "trusted_ca: ca.pem: certificate 0: ");
    let names = Validation { names: vec![matcher], ..Validation::default() };
    check(&asking(names), "match_typed_subject_alt_names: needs trusted_ca");
    let named = Validation { server_name: true, ..Validation::default() };
    check(&asking(named), "auto_sni_san_validation: ");
    let leaf = Validation { only_leaf_crl: true, ..Validation::default() };
    check(&asking(leaf), "only_verify_leaf_cert_crl: needs crl");
    let alone = Validation { crl: crl.clone(), ..Validation::default() };
    check(&asking(alone), "crl: list.pem: needs trusted_ca");
    let broken = Validation { trusted_ca: Some(authority.source()), crl, ..Validation::default() };
    check(&asking(broken), "crl: list.pem: ");
}

#[test]
fn parameters() {
    let authority = Authority::new();
    let with = |parameters| ServerOptions { parameters, ..server(&authority, &["a.test"]) };
    let base = Parameters::downstream();
    let suites = Parameters { cipher_suites: vec!["AES128-SHA".into()], ..base.clone() };
    check(
        &with(suites),
        "tls_params.cipher_suites: unknown or unsupported cipher suite \"AES128-SHA\"",
    );
    let curves = Parameters { ecdh_curves: vec!["P-1".into()], ..base.clone() };
    check(&with(curves), "tls_params.ecdh_curves: unknown or unsupported group \"P-1\"");
    let turned = Parameters { min: TlsVersion::V1_3, max: TlsVersion::V1_2, ..base };
    check(&with(turned), "tls_params.tls_minimum_protocol_version: is above");
    assert!(TicketKey::new(&[0; 79]).is_err());
    assert!(Text::regex("a)(b").is_err());
}

#[test]
fn clients_say_it_too() {
    let authority = Authority::new();
    let mut identity = authority.ecdsa(&["a.test"]);
    identity.key = authority.ecdsa(&["a.test"]).key;
    let options = ClientOptions { identity: Some(identity), ..ClientOptions::default() };
    let said = ClientContext::new(&options).expect_err("it must be refused").to_string();
    assert!(said.contains("does not match"), "{said}");
}

#[test]
fn what_a_certificate_says() {
    let identity = Authority::new().client("me, myself");
    let parsed = ringway_tls::Certificate::parse(&support::der(&identity)).expect("a certificate");
    assert_eq!(parsed.issuer, "CN=authority");
    assert!(parsed.subject.contains("CN=me\\, myself"), "{}", parsed.subject);
    assert_eq!(ringway_tls::Certificate::parse(b"garbage"), None);
}
