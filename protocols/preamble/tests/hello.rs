//! The peek at ClientHellos: real ones, broken ones, fragmented ones.

use std::sync::Arc;

use proptest::prelude::*;
use ringway_preamble::Progress;
use ringway_preamble::hello::{ClientHello, HelloError, MAX_HELLO, ja3, ja3_text, ja4, peek};

// First flights of `openssl s_client` 3.0.
const TLS13: &[u8] = include_bytes!("captures/openssl-tls13.bin");
const TLS12: &[u8] = include_bytes!("captures/openssl-tls12.bin");
const ODD_ALPN: &[u8] = include_bytes!("captures/openssl-odd-alpn.bin");

fn done(bytes: &[u8]) -> (ClientHello, usize) {
    match peek(bytes, MAX_HELLO) {
        Ok(Progress::Done(hello, used)) => (hello, used),
        other => panic!("{other:?}"),
    }
}

/// The same message in records of at most `size` bytes.
fn fragmented(record: &[u8], size: usize) -> Vec<u8> {
    let fragment = |part: &[u8]| {
        let len = u16::try_from(part.len()).expect("a short record").to_be_bytes();
        [&[22, 3, 1], len.as_slice(), part].concat()
    };
    record[5..].chunks(size).flat_map(fragment).collect()
}

/// A hello with these extensions and nothing else of interest.
fn hello_with(extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let vector = |bytes: &[u8]| {
        [&u16::try_from(bytes.len()).expect("a short vector").to_be_bytes(), bytes].concat()
    };
    let block: Vec<u8> = extensions
        .iter()
        .flat_map(|(kind, data)| [kind.to_be_bytes().to_vec(), vector(data)].concat())
        .collect();
    let body = [&[3, 3], [7; 32].as_slice(), &[0, 0, 2, 0x13, 1, 1, 0], &vector(&block)].concat();
    let message = [&[1, 0], vector(&body).as_slice()].concat();
    [&[22, 3, 1], vector(&message).as_slice()].concat()
}

fn server_name(name: &[u8]) -> Vec<u8> {
    let len = |extra: usize| u16::try_from(name.len() + extra).expect("short").to_be_bytes();
    [&len(3), [0].as_slice(), &len(0), name].concat()
}

/// The fingerprints are those that Envoy 1.40 logs for the same bytes.
#[test]
fn fingerprints_are_those_of_envoy() {
    let table = [
        (TLS13, "5a1edc7f170af1014fc65c994878e63c", "t13d3111h2_e8f1e7e78f70_1f22a2ca17c4"),
        (TLS12, "fbe7e189e37a07ee33706f86bc746344", "t12i280600_d943125447b4_e7e480e5a997"),
        (ODD_ALPN, "5a1edc7f170af1014fc65c994878e63c", "t13d311128_e8f1e7e78f70_1f22a2ca17c4"),
    ];
    for (bytes, expected_ja3, expected_ja4) in table {
        let (hello, used) = done(bytes);
        assert_eq!((ja3(&hello).as_str(), ja4(&hello).as_str()), (expected_ja3, expected_ja4));
        assert_eq!(used, bytes.len());
    }
}

#[test]
fn what_openssl_offers() {
    let (hello, _) = done(TLS13);
    assert_eq!(hello.server_name.as_deref(), Some("example.com"));
    assert_eq!(hello.alpn, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    assert_eq!((hello.legacy_version, hello.max_version()), (0x0303, 0x0304));
    let (hello, _) = done(TLS12);
    assert_eq!((hello.server_name.as_deref(), hello.max_version()), (None, 0x0303));
    assert!(hello.alpn.is_empty() && hello.supported_versions.is_empty());
}

#[test]
fn what_rustls_offers() {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = "Rust.Example".try_into().expect("a name");
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("a Vec takes all");
    // A post-quantum key share makes this hello longer than one packet.
    assert!(bytes.len() > 1200);
    let (hello, used) = done(&bytes);
    assert_eq!(hello.server_name.as_deref(), Some("rust.example"));
    assert_eq!((hello.alpn, used), (vec![b"http/1.1".to_vec()], bytes.len()));
    assert!(hello.groups.contains(&0x11ec), "X25519MLKEM768 is missing");
}

#[test]
fn any_fragmentation_gives_the_same_answer() {
    let (whole, _) = done(TLS13);
    for size in [1, 2, 3, 4, 5, 7, 100, 300] {
        let bytes = fragmented(TLS13, size);
        assert_eq!(done(&bytes), (whole.clone(), bytes.len()), "records of {size}");
        for len in 0..bytes.len() {
            match peek(&bytes[..len], MAX_HELLO) {
                Ok(Progress::NeedMore(more)) => assert!((1..=bytes.len() - len).contains(&more)),
                other => panic!("{other:?} after {len} bytes in records of {size}"),
            }
        }
    }
}

/// What stands behind the hello in its record may have come or not: the answer is the same.
#[test]
fn what_else_its_record_holds_is_not_counted() {
    let hello = hello_with(&[(0, &server_name(b"a.test"))]);
    let len = u16::try_from(hello.len() - 5 + 9).expect("short").to_be_bytes();
    let record = [&hello[..3], &len, &hello[5..], &[0; 9]].concat();
    for end in hello.len()..=record.len() {
        assert_eq!(done(&record[..end]), (done(&hello).0, hello.len()), "{end}");
    }
}

#[test]
fn grease_is_in_no_fingerprint() {
    let groups: &[u8] = &[0, 4, 0x1a, 0x1a, 0, 29];
    let versions: &[u8] = &[4, 0xfa, 0xfa, 3, 4];
    let greased =
        done(&hello_with(&[(0x5a5a, b""), (10, groups), (43, versions), (0x1a1a, b"\0")])).0;
    assert_eq!(ja3_text(&greased), "771,4865,10-43,29,");
    assert_eq!(&ja4(&greased)[..10], "t13i010200");
    assert_eq!(greased.max_version(), 0x0304);
}

/// The worked example of the text that defines JA4.
#[test]
fn the_published_ja4() {
    let hello = ClientHello {
        legacy_version: 0x0303,
        cipher_suites: vec![
            0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014,
            0x009c, 0x009d, 0x002f, 0x0035,
        ],
        extensions: vec![
            0x1b, 0x00, 0x33, 0x10, 0x4469, 0x17, 0x2d, 0x0d, 0x05, 0x23, 0x12, 0x2b, 0xff01, 0x0b,
            0x0a, 0x15,
        ],
        server_name: Some("a".to_owned()),
        alpn: vec![b"h2".to_vec()],
        supported_versions: vec![0x0304, 0x0303],
        signature_schemes: vec![0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
        ..ClientHello::default()
    };
    assert_eq!(ja4(&hello), "t13d1516h2_8daaf6152771_e5627efa2ab1");
}

#[test]
fn malformed_messages() {
    let nul = server_name(b"a.test\0.evil.test");
    let empty = server_name(b"");
    let long = server_name(&[b'a'; 256]);
    let name = server_name(b"a.test");
    let table: Vec<(Vec<u8>, &str)> = vec![
        (hello_with(&[(0, &nul)]), "server_name"),
        (hello_with(&[(0, &empty)]), "server_name"),
        (hello_with(&[(0, &long)]), "server_name"),
        (hello_with(&[(0, &name[..4])]), "server_name"),
        (hello_with(&[(0, &name), (0, &name)]), "extension stands twice"),
        (hello_with(&[(16, b"\0\0")]), "application_layer_protocol_negotiation"),
        (hello_with(&[(16, b"\0\x01\0")]), "application_layer_protocol_negotiation"),
        (hello_with(&[(10, b"\0\x01\0")]), "supported_groups"),
        (hello_with(&[(43, b"\x02\x03\x04\0")]), "supported_versions"),
        (vec![22, 3, 1, 0, 0], "empty handshake record"),
        (vec![22, 3, 1, 0x40, 1], "record of more than 16 KiB"),
        (vec![22, 3, 1, 0, 4, 2, 0, 0, 0], "the first handshake message is not a ClientHello"),
        (vec![22, 3, 1, 0, 4, 1, 0, 0, 0], "fields before the extensions"),
    ];
    for (bytes, reason) in table {
        assert_eq!(peek(&bytes, MAX_HELLO), Err(HelloError::Malformed(reason)), "{bytes:02x?}");
    }
}

#[test]
fn other_protocols_and_long_hellos() {
    for bytes in [b"GET / HTTP/1.1\r\n".as_slice(), &[22, 2], &[21, 3, 3], &[0x80, 0x2e]] {
        assert_eq!(peek(bytes, MAX_HELLO), Err(HelloError::NotTls));
    }
    assert_eq!(peek(TLS13, TLS13.len() - 1), Err(HelloError::TooLarge));
    assert!(matches!(peek(TLS13, TLS13.len()), Ok(Progress::Done(..))));
    // Seen from the first record head on: nobody has to send it all to be refused.
    assert_eq!(peek(&TLS13[..9], 100), Err(HelloError::TooLarge));
    assert_eq!(peek(&[22, 3, 1, 0, 4, 1, 0xff, 0, 0], MAX_HELLO), Err(HelloError::TooLarge));
}

proptest! {
    #[test]
    fn any_bytes_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = peek(&bytes, MAX_HELLO);
        let _ = peek(&[&[22, 3, 1, 1, 0, 1, 0, 0, 250, 3, 3], bytes.as_slice()].concat(), MAX_HELLO);
        let _ = peek(&hello_with(&[(0, &bytes)]), MAX_HELLO);
        let _ = peek(&hello_with(&[(16, &bytes), (10, &bytes), (43, &bytes)]), MAX_HELLO);
    }

    #[test]
    fn a_broken_byte_gives_an_answer(at in 0..TLS13.len(), value: u8) {
        let mut bytes = TLS13.to_vec();
        bytes[at] = value;
        if let Ok(Progress::Done(hello, used)) = peek(&bytes, MAX_HELLO) {
            prop_assert!(used <= bytes.len());
            let _ = (ja3(&hello), ja4(&hello));
        }
    }
}
