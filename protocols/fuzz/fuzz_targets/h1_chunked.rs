//! Chunked bodies: what is understood means the same when it is written anew.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway_fuzz::{parts, pieces};
use ringway_http::h1::{
    RequestDecoder, RequestLimits, encode_chunk_end, encode_chunk_prefix, encode_trailers,
};
use ringway_http::{Fields, RequestHead, Step};

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";

/// The body, its trailers and how many bytes it took; `None` where it is none.
fn decode(pieces: &[&[u8]]) -> Option<(Vec<u8>, Option<Fields>, usize)> {
    let limits = RequestLimits { enable_trailers: true, ..RequestLimits::default() };
    let mut decoder = RequestDecoder::new(limits);
    let (mut head, mut body, mut used) = (RequestHead::new(), Vec::new(), 0);
    let mut trailers = None;
    for piece in [&[HEAD], pieces].concat() {
        let mut rest = piece;
        loop {
            let (consumed, step) = decoder.decode(rest, &mut head).ok()?;
            match step {
                Step::Data(ref range) => body.extend_from_slice(&rest[range.clone()]),
                Step::Trailers => trailers = Some(decoder.trailers().clone()),
                Step::Complete => return Some((body, trailers, used + consumed)),
                _ => {}
            }
            used += consumed;
            rest = &rest[consumed..];
            if step == Step::NeedMore {
                break;
            }
        }
    }
    None
}

fuzz_target!(|data: &[u8]| {
    let Some((_, cuts, input)) = parts(data) else { return };
    let whole = decode(&[input]);
    assert_eq!(decode(&pieces(input, cuts)), whole);
    let Some((body, trailers, _)) = whole else { return };
    let mut wire = Vec::new();
    for chunk in body.chunks(7) {
        encode_chunk_prefix(chunk.len(), &mut wire);
        wire.extend_from_slice(chunk);
        encode_chunk_end(&mut wire);
    }
    encode_trailers(trailers.as_ref(), &mut wire);
    let length = HEAD.len() + wire.len();
    let again = decode(&[&wire]).expect("what was written is a body");
    let trailers = trailers.filter(|trailers| !trailers.is_empty());
    assert_eq!(again, (body, trailers, length));
});
