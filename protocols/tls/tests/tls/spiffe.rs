//! The validator of SPIFFE: who vouches for whom.

use rcgen::KeyUsagePurpose;
use ringway_tls::{
    ClientCertificates, ClientOptions, Counter, Identity, NameKind, NameMatcher, Parameters, Text,
    TrustBundle, Validation,
};

use crate::support::{Authority, Pair, client_context, server, server_context};

fn bundle(domain: &str, authority: &Authority) -> TrustBundle {
    TrustBundle { domain: domain.to_owned(), authorities: authority.source() }
}

/// What became of a client with this certificate: its counter and the reason if it was refused.
fn outcome(
    server_authority: &Authority,
    validation: &Validation,
    client: Option<&Identity>,
) -> Result<bool, (Counter, String)> {
    let mut options = server(server_authority, &["a.test"]);
    options.client_certificates = ClientCertificates::Required(validation.clone());
    let client = ClientOptions {
        identity: client.cloned(),
        parameters: Parameters::upstream(),
        ..ClientOptions::default()
    };
    let mut pair = Pair::new(&server_context(&options), &client_context(&client), None);
    match pair.handshake() {
        Ok(()) => Ok(pair.server.conclude().peer.validated),
        Err((_, error)) => {
            let error = error.expect("the server refuses");
            Err((error.counter(), pair.server.failure_reason(&error)))
        }
    }
}

#[test]
fn a_domain_vouches_for_its_own() {
    let (one, two) = (Authority::new(), Authority::new());
    let domains = vec![bundle("one.test", &one), bundle("two.test", &two)];
    let validation = Validation { spiffe: Some(domains), ..Validation::default() };
    let svid = |authority: &Authority, uris: &[&str]| {
        authority.ecdsa_for(uris, &[KeyUsagePurpose::DigitalSignature])
    };
    for client in [
        svid(&one, &["spiffe://one.test/a"]),
        svid(&two, &["spiffe://two.test/a"]),
        svid(&one, &["spiffe://one.test/a", "https://else/"]),
    ] {
        assert_eq!(outcome(&one, &validation, Some(&client)), Ok(true));
    }
    let (precheck, store) = ("verify cert failed: cert precheck", "no trust bundle store");
    let signs = [KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    for (client, expected) in [
        (svid(&one, &["spiffe://two.test/a"]), "certificate signature failure"),
        (svid(&one, &["spiffe://three.test/a"]), store),
        (svid(&one, &["https://else/", "spiffe://one.test/a"]), store),
        (svid(&one, &["spiffe://one.test"]), store),
        (svid(&one, &["a.test"]), store),
        (one.ecdsa(&["spiffe://one.test/a"]), precheck),
        (one.ecdsa_for(&["spiffe://one.test/a"], &signs), precheck),
    ] {
        let (counter, reason) = outcome(&one, &validation, Some(&client)).expect_err(expected);
        assert_eq!(counter, Counter::FailVerifyError);
        assert!(reason.contains(expected), "{reason}");
    }
    let (counter, _) = outcome(&one, &validation, None).expect_err("a certificate is required");
    assert_eq!(counter, Counter::FailVerifyNoCert);
}

#[test]
fn names_are_looked_at_beyond_the_domain() {
    let one = Authority::new();
    let matcher = NameMatcher {
        kind: NameKind::Uri,
        text: Text::Exact("spiffe://one.test/a".to_owned()),
        ignore_case: false,
    };
    let spiffe = Some(vec![bundle("one.test", &one)]);
    let validation = Validation { spiffe, names: vec![matcher], ..Validation::default() };
    let of = |uri| one.ecdsa_for(&[uri], &[KeyUsagePurpose::DigitalSignature]);
    let good = of("spiffe://one.test/a");
    assert_eq!(outcome(&one, &validation, Some(&good)), Ok(true));
    let other = of("spiffe://one.test/b");
    let (counter, _) = outcome(&one, &validation, Some(&other)).expect_err("another name");
    assert_eq!(counter, Counter::FailVerifySan);
}
