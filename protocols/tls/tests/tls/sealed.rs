//! Keys under a password, made by OpenSSL; the password is `secret`.

use ringway_tls::{Identity, Source, unsealed_key, unsealed_pkcs12};

macro_rules! file {
    ($name:literal) => {
        ($name, include_bytes!(concat!("sealed/", $name)).as_slice())
    };
}

const CERTIFICATE: (&str, &[u8]) = file!("certificate.pem");
const KEYS: &[(&str, &[u8])] = &[
    file!("pkcs8-aes256.key"),
    file!("pkcs8-3des.key"),
    file!("old-aes128.key"),
    file!("old-aes192.key"),
    file!("old-aes256.key"),
    file!("old-des3.key"),
];

fn source((name, bytes): (&str, &[u8])) -> Source {
    Source { name: name.to_owned(), bytes: bytes.to_vec() }
}

fn reason<T: std::fmt::Debug>(result: Result<T, ringway_tls::ContextError>) -> String {
    result.expect_err("a refusal").reason
}

#[test]
fn keys_open_with_their_password_alone() {
    for key in KEYS {
        let key_of = |password: &[u8]| unsealed_key(source(*key), password);
        let opened = key_of(b"secret").unwrap_or_else(|error| panic!("{}: {error}", key.0));
        let identity = Identity { chain: source(CERTIFICATE), key: opened, ocsp_staple: None };
        identity.inspect().unwrap_or_else(|error| panic!("{}: {error}", key.0));
        for wrong in [&b"Secret"[..], b"", b"secret\n"] {
            let reason = reason(key_of(wrong));
            assert!(reason.ends_with("(BAD_DECRYPT)"), "{}: {reason}", key.0);
        }
    }
}

#[test]
fn a_key_without_a_password_needs_none() {
    let plain = b"-----BEGIN EC PRIVATE KEY-----\nMA==\n-----END EC PRIVATE KEY-----\n";
    for bytes in [&plain[..], b"\x30\x00", b"", b"-----BEGIN "] {
        let key = unsealed_key(source(("key", bytes)), b"secret").expect("as it is");
        assert_eq!(key.bytes, bytes);
    }
    let said = reason(unsealed_key(source(file!("old-camellia.key")), b"secret"));
    assert_eq!(said, "is under CAMELLIA-128-CBC, which is not supported");
}

#[test]
fn pkcs12_holds_certificate_and_key() {
    for (file, certificates) in [(file!("both.p12"), 2), (file!("legacy.p12"), 1)] {
        let (chain, key) = unsealed_pkcs12(&source(file), "secret").expect("opened");
        let identity = Identity { chain, key, ocsp_staple: None };
        let read = identity.inspect().unwrap_or_else(|error| panic!("{}: {error}", file.0));
        assert_eq!(read.len(), certificates);
        assert_eq!(read[0].names.dns, ["sealed.test"]);
        for wrong in ["", "Secret"] {
            assert_eq!(reason(unsealed_pkcs12(&source(file), wrong).map(drop)), "MAC tag mismatch");
        }
    }
    for (file, expected) in [
        (file!("keyless.p12"), "holds no private key"),
        (file!("bare.p12"), "holds no certificate"),
    ] {
        assert_eq!(reason(unsealed_pkcs12(&source(file), "secret").map(drop)), expected);
    }
    let whole = source(file!("both.p12"));
    for at in (0..whole.bytes.len()).step_by(7) {
        let cut = Source { bytes: whole.bytes[..at].to_vec(), ..whole.clone() };
        assert!(unsealed_pkcs12(&cut, "secret").is_err(), "{at}");
    }
}
