//! The look at a ClientHello: more bytes never change an answer, and fingerprints take any hello.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway_preamble::Progress;
use ringway_preamble::hello::{ja3, ja4, peek};
use ringway_preamble::http::sniff;

fuzz_target!(|data: &[u8]| {
    let Some((&[high, low], bytes)) = data.split_first_chunk() else { return };
    // A limit below the head of a record would refuse before it has looked.
    let max_len = usize::from(u16::from_be_bytes([high, low])).max(256);
    let whole = peek(bytes, max_len);
    if let Ok(Progress::Done(hello, used)) = &whole {
        assert!(*used <= bytes.len().min(max_len));
        let _texts = (ja3(hello), ja4(hello), hello.max_version());
    }
    // From a few places only: each peek begins at the first byte.
    for len in (0..bytes.len()).step_by(bytes.len() / 16 + 1) {
        match peek(&bytes[..len], max_len) {
            Ok(Progress::NeedMore(more)) => {
                assert!(more > 0);
                let early = len + more - 1;
                if early < bytes.len() {
                    let early = peek(&bytes[..early], max_len);
                    assert!(!matches!(early, Ok(Progress::Done(..))), "said to be too few");
                }
            }
            other => assert_eq!(other, whole),
        }
    }
    sniff(bytes, max_len);
});
