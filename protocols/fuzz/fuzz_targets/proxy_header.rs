//! PROXY headers of both versions: more bytes never change an answer, and what is understood means
//! the same when it is written anew.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway_preamble::Progress;
use ringway_preamble::proxy::{Addresses, Header, MAX_V2, V2, encode_v1, encode_v2, kind, parse};

fn again(header: &Header<'_>) {
    let tlvs: Vec<_> = header.tlvs.iter().filter(|tlv| tlv.kind != kind::CRC32C).collect();
    for checksum in [false, true] {
        let mut wire = Vec::new();
        let v2 = V2 { addresses: header.addresses, tlvs: &tlvs, checksum };
        // A checksum may make a header too long that was just short enough.
        if encode_v2(&v2, &mut wire).is_err() {
            continue;
        }
        let Ok(Progress::Done(copy, used)) = parse(&wire, MAX_V2) else {
            panic!("what was written is a header: {header:?}")
        };
        assert_eq!((copy.addresses, used), (header.addresses, wire.len()));
        assert!(tlvs.iter().eq(
            copy.tlvs.iter().filter(|tlv| tlv.kind != kind::CRC32C).collect::<Vec<_>>().iter()
        ));
    }
    if let Addresses::Inet { .. } | Addresses::Unknown = header.addresses {
        let mut wire = Vec::new();
        encode_v1(&header.addresses, &mut wire);
        assert!(matches!(parse(&wire, MAX_V2), Ok(Progress::Done(..))), "{wire:?}");
    }
}

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes, MAX_V2);
    if let Ok(Progress::Done(header, used)) = &whole {
        assert!(*used <= bytes.len());
        header.tlvs.ssl();
        again(header);
    }
    for len in 0..bytes.len().min(300) {
        match parse(&bytes[..len], MAX_V2) {
            Ok(Progress::NeedMore(more)) => assert!(more > 0),
            other => assert_eq!(other, whole, "at {len}"),
        }
    }
});
