//! The PROXY protocol against its text.

use std::net::SocketAddr;

use proptest::prelude::*;
use ringway_preamble::Progress;
use ringway_preamble::proxy::{
    Addresses, EncodeError, Header, MAX_V1, MAX_V2, ProxyError, Tlv, Transport, V2, Version,
    encode_v1, encode_v2, kind, parse,
};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn stream(source: &str, destination: &str) -> Addresses<'static> {
    let (source, destination) = (address(source), address(destination));
    Addresses::Inet { source, destination, transport: Transport::Stream }
}

fn done(bytes: &[u8]) -> (Header<'_>, usize) {
    match parse(bytes, MAX_V2) {
        Ok(Progress::Done(header, used)) => (header, used),
        other => panic!("{other:?} from {bytes:02x?}"),
    }
}

/// Every shorter input asks for more, and never for more than there is.
fn check_partial(whole: &[u8], used: usize) {
    for len in 0..used {
        match parse(&whole[..len], MAX_V2) {
            Ok(Progress::NeedMore(more)) => assert!((1..=used - len).contains(&more), "at {len}"),
            other => panic!("{other:?} after {len} bytes"),
        }
    }
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).expect("a short body").to_be_bytes();
    [SIGNATURE, &[command, family], &len, body].concat()
}

#[test]
fn lines_of_version_1() {
    let table = [
        (
            "PROXY TCP4 192.0.2.1 198.51.100.2 1 65535\r\n",
            stream("192.0.2.1:1", "198.51.100.2:65535"),
        ),
        ("PROXY TCP6 2001:db8::1 ::1 0 443\r\n", stream("[2001:db8::1]:0", "[::1]:443")),
        ("PROXY UNKNOWN\r\n", Addresses::Unknown),
        ("PROXY UNKNOWN ffff::1 whatever 1 2\r\n", Addresses::Unknown),
    ];
    for (line, addresses) in table {
        let bytes = [line.as_bytes(), b"GET / HTTP/1.1\r\n"].concat();
        let (header, used) = done(&bytes);
        assert_eq!((header.version, header.addresses, used), (Version::V1, addresses, line.len()));
        check_partial(&bytes, used);
    }
}

#[test]
fn refused_lines_of_version_1() {
    let malformed = [
        "PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 ::1 1 2\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n",
        "PROXY \r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.2 1 2\r\n",
    ];
    for line in malformed {
        assert_eq!(parse(line.as_bytes(), MAX_V2), Err(ProxyError::MalformedLine), "{line:?}");
    }
    let endless = format!("PROXY UNKNOWN {}", "x".repeat(MAX_V1));
    assert_eq!(parse(endless.as_bytes(), MAX_V2), Err(ProxyError::LineTooLong));
    let unfinished = parse(&endless.as_bytes()[..MAX_V1 - 1], MAX_V2);
    assert_eq!(unfinished, Ok(Progress::NeedMore(1)));
}

#[test]
fn other_protocols_are_told_apart_at_the_first_byte() {
    for bytes in
        [b"GET /".as_slice(), b"PRI", b"PROXYTCP4", b"\x16\x03", b"\r\nx", b"\r\n\r\n\0\r\nQUIX"]
    {
        assert_eq!(parse(bytes, MAX_V2), Err(ProxyError::NotProxy), "{bytes:?}");
    }
}

#[test]
fn families_of_version_2() {
    let mut unix = vec![0; 216];
    unix[..5].copy_from_slice(b"/a\0/b");
    unix[108..110].copy_from_slice(b"\0c");
    let datagram = Addresses::Inet {
        source: address("[::1]:258"),
        destination: address("[::2]:3"),
        transport: Transport::Datagram,
    };
    let six = [&[0; 15][..], &[1], &[0; 15], &[2, 1, 2, 0, 3]].concat();
    let table: Vec<(Vec<u8>, Addresses<'_>)> = vec![
        (v2(0x20, 0, b""), Addresses::Local),
        (v2(0x20, 0xff, b"anything at all"), Addresses::Local),
        (v2(0x21, 0, b""), Addresses::Unknown),
        (v2(0x21, 0x11, &[1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 0, 10]), stream("1.2.3.4:9", "5.6.7.8:10")),
        (v2(0x21, 0x22, &six), datagram),
        (
            v2(0x21, 0x31, &unix),
            Addresses::Unix {
                source: b"/a\0/b",
                destination: b"\0c",
                transport: Transport::Stream,
            },
        ),
    ];
    for (mut bytes, addresses) in table {
        let len = bytes.len();
        bytes.extend_from_slice(b"payload");
        let (header, used) = done(&bytes);
        assert_eq!((header.version, header.addresses, used), (Version::V2, addresses, len));
        check_partial(&bytes, used);
    }
}

#[test]
fn refused_headers_of_version_2() {
    let four = [1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 0, 10];
    let with = |rest: &[u8]| v2(0x21, 0x11, &[&four, rest].concat());
    let table = [
        (v2(0x11, 0x11, &four), ProxyError::UnsupportedVersion(1)),
        (v2(0x22, 0x11, &four), ProxyError::UnsupportedCommand(2)),
        (v2(0x21, 0x41, &four), ProxyError::UnsupportedFamily(0x41)),
        (v2(0x21, 0x13, &four), ProxyError::UnsupportedFamily(0x13)),
        (v2(0x21, 0x01, &four), ProxyError::UnsupportedFamily(0x01)),
        (v2(0x21, 0x11, &four[..11]), ProxyError::ShortAddresses),
        (v2(0x21, 0x21, &four), ProxyError::ShortAddresses),
        (with(&[4]), ProxyError::TlvOverrun),
        (with(&[4, 0]), ProxyError::TlvOverrun),
        (with(&[4, 0, 2, 1]), ProxyError::TlvOverrun),
        (with(&[4, 0, 1, 1, 0xe0, 0xff, 0xff]), ProxyError::TlvOverrun),
        (with(&[3, 0, 4, 1, 2, 3, 4]), ProxyError::Checksum),
        (with(&[3, 0, 2, 1, 2]), ProxyError::Checksum),
    ];
    for (bytes, error) in table {
        assert_eq!(parse(&bytes, MAX_V2), Err(error), "{bytes:02x?}");
    }
}

/// A TLV that promises more than the header holds must never show bytes of the payload
/// (CVE-2026-47692).
#[test]
fn tlvs_do_not_spill_into_the_payload() {
    let four = [1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 0, 10, 2, 0, 5, b'a'];
    let bytes = [v2(0x21, 0x11, &four), b"secret payload".to_vec()].concat();
    assert_eq!(parse(&bytes, MAX_V2), Err(ProxyError::TlvOverrun));
}

#[test]
fn the_callers_limit_is_kept_before_the_bytes_arrive() {
    let head = [SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat();
    assert_eq!(parse(&head, 1024), Err(ProxyError::TooLong(MAX_V2)));
    assert_eq!(parse(&head, MAX_V2), Ok(Progress::NeedMore(65_535)));
}

#[test]
fn additions_come_back_in_order() {
    let ssl = [&[1, 0, 0, 0, 0][..], &[0x21, 0, 7], b"TLSv1.3"].concat();
    let tlvs = [
        Tlv { kind: kind::ALPN, value: b"h2" },
        Tlv { kind: kind::AUTHORITY, value: b"a.test" },
        Tlv { kind: kind::SSL, value: &ssl },
        Tlv { kind: 0xe0, value: b"" },
    ];
    let addresses = stream("1.2.3.4:5", "6.7.8.9:10");
    let mut bytes = Vec::new();
    encode_v2(&V2 { addresses, tlvs: &tlvs, checksum: true }, &mut bytes).expect("it fits");
    let (header, used) = done(&bytes);
    assert_eq!((header.addresses, used), (addresses, bytes.len()));
    assert_eq!(header.tlvs.iter().take(4).collect::<Vec<_>>(), tlvs);
    assert_eq!(header.tlvs.get(kind::AUTHORITY), Some(b"a.test".as_slice()));
    let ssl = header.tlvs.ssl().expect("a structure");
    assert_eq!((ssl.client, ssl.verify, ssl.parts.get(0x21)), (1, 0, Some(b"TLSv1.3".as_slice())));

    // Without its type the checksum is no checksum; every other bit is guarded by it.
    let type_of_checksum = bytes.len() - 7;
    for at in (16..bytes.len()).filter(|at| *at != type_of_checksum) {
        let mut broken = bytes.clone();
        broken[at] ^= 1;
        assert!(parse(&broken, MAX_V2).is_err(), "a flipped bit at {at} goes unseen");
    }
}

#[test]
fn two_checksums_are_one_too_many() {
    let twice = [Tlv { kind: kind::CRC32C, value: &[0; 4] }];
    let mut bytes = Vec::new();
    let header = V2 { addresses: Addresses::Unknown, tlvs: &twice, checksum: true };
    encode_v2(&header, &mut bytes).expect("it fits");
    assert_eq!(parse(&bytes, MAX_V2), Err(ProxyError::Checksum));
}

#[test]
fn what_is_sent_in_version_1() {
    let table = [
        (stream("1.2.3.4:5", "6.7.8.9:10"), "PROXY TCP4 1.2.3.4 6.7.8.9 5 10\r\n"),
        (stream("[::1]:5", "[::2]:10"), "PROXY TCP6 ::1 ::2 5 10\r\n"),
        (stream("1.2.3.4:5", "[::2]:10"), "PROXY TCP6 ::ffff:1.2.3.4 ::2 5 10\r\n"),
        (Addresses::Local, "PROXY UNKNOWN\r\n"),
    ];
    for (addresses, line) in table {
        let mut bytes = Vec::new();
        encode_v1(&addresses, &mut bytes);
        assert_eq!(String::from_utf8_lossy(&bytes), line);
    }
}

#[test]
fn what_does_not_fit_is_not_sent_in_part() {
    let mut bytes = b"before".to_vec();
    let long = vec![0; 65_530];
    let tlvs = [Tlv { kind: 4, value: &long }];
    let addresses = stream("1.2.3.4:5", "6.7.8.9:10");
    let result = encode_v2(&V2 { addresses, tlvs: &tlvs, checksum: false }, &mut bytes);
    assert_eq!((result, bytes.as_slice()), (Err(EncodeError::TooLong), b"before".as_slice()));
    let path = [b'x'; 109];
    let addresses =
        Addresses::Unix { source: &path, destination: b"", transport: Transport::Stream };
    let result = encode_v2(&V2 { addresses, tlvs: &[], checksum: false }, &mut bytes);
    assert_eq!((result, bytes.as_slice()), (Err(EncodeError::UnixPath), b"before".as_slice()));
}

proptest! {
    #[test]
    fn any_bytes_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes, MAX_V2);
        let _ = parse(&[b"PROXY ".as_slice(), &bytes].concat(), MAX_V2);
        let _ = parse(&[SIGNATURE, &[0x21], &bytes].concat(), MAX_V2);
        let _ = parse(&v2(0x21, 0x11, &bytes), MAX_V2);
        let _ = parse(&v2(0x21, 0x31, &bytes), MAX_V2);
    }

    #[test]
    fn what_is_sent_is_what_is_read(
        four in any::<bool>(), source: (u128, u16), destination: (u128, u16), checksum: bool,
        values in prop::collection::vec((4u8.., prop::collection::vec(any::<u8>(), 0..40)), 0..8),
    ) {
        let ip = |bits: u128| -> std::net::IpAddr {
            if four { (bits as u32).to_be_bytes().into() } else { bits.to_be_bytes().into() }
        };
        let addresses = Addresses::Inet {
            source: (ip(source.0), source.1).into(),
            destination: (ip(destination.0), destination.1).into(),
            transport: Transport::Stream,
        };
        let tlvs: Vec<_> = values.iter().map(|(kind, value)| Tlv { kind: *kind, value }).collect();
        let mut bytes = Vec::new();
        encode_v2(&V2 { addresses, tlvs: &tlvs, checksum }, &mut bytes).unwrap();
        let (header, used) = done(&bytes);
        prop_assert_eq!(used, bytes.len());
        prop_assert_eq!(header.addresses, addresses);
        prop_assert_eq!(header.tlvs.iter().take(tlvs.len()).collect::<Vec<_>>(), tlvs);

        let mut line = Vec::new();
        encode_v1(&addresses, &mut line);
        prop_assert_eq!(done(&line).0.addresses, addresses);
    }
}
