//! The guess at plain HTTP.

use proptest::prelude::*;
use ringway_preamble::Progress;
use ringway_preamble::http::{H2_PREFACE, MAX_SNIFF, Sniff, sniff};

#[test]
fn answers() {
    let table = [
        ("GET / HTTP/1.1\r\n", Some("http/1.1")),
        ("GET / HTTP/1.0\r\nHost: a\r\n", Some("http/1.0")),
        ("\r\nPROPFIND /x HTTP/1.1\n", Some("http/1.1")),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some("h2c")),
        ("PRI * HTTP/2.0\r\n\r\nXX", None),
        ("GET /\r\n", None),
        ("GET / HTTP/1.2\r\n", None),
        ("GET / a HTTP/1.1\r\n", None),
        ("GET  HTTP/1.1\r\n", None),
        ("\x16\x03\x01", None),
        ("SSH-2.0-OpenSSH_9\r\n", None),
        (" GET", None),
        ("G\0T", None),
    ];
    for (bytes, protocol) in table {
        match sniff(bytes.as_bytes(), MAX_SNIFF) {
            Progress::Done(found, used) => {
                assert_eq!(found.application_protocol(), protocol, "{bytes:?}");
                assert!(used <= bytes.len());
            }
            Progress::NeedMore(_) => panic!("no answer to {bytes:?}"),
        }
    }
}

#[test]
fn unfinished_lines_wait() {
    for whole in [b"PUT /a HTTP/1.0\r\n".as_slice(), H2_PREFACE] {
        for len in 0..whole.len() {
            let progress = sniff(&whole[..len], MAX_SNIFF);
            assert!(matches!(progress, Progress::NeedMore(_)), "{progress:?} after {len}");
        }
    }
}

#[test]
fn a_line_without_end_is_not_waited_for() {
    let bytes = [b"GET /".as_slice(), &[b'a'; 100]].concat();
    assert_eq!(sniff(&bytes, 64), Progress::Done(Sniff::NotHttp, 64));
}

proptest! {
    #[test]
    fn any_bytes_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = sniff(&bytes, 200);
    }
}
