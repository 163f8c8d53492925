//! Requests of HTTP/1: how the bytes are cut does not matter, and nothing panics.
#![no_main]

#[path = "../../http/tests/support/mod.rs"]
mod support;

use libfuzzer_sys::fuzz_target;
use ringway_fuzz::{parts, pieces};
use ringway_http::h1::{RequestLimits, Underscores};

fn limits(flags: u8) -> RequestLimits {
    let underscores = [Underscores::Allow, Underscores::Reject, Underscores::Drop];
    RequestLimits {
        max_head_bytes: if flags & 1 == 0 { 60 * 1024 } else { 64 },
        max_fields: if flags & 2 == 0 { 100 } else { 3 },
        allow_http10: flags & 4 != 0,
        allow_chunked_length: flags & 8 != 0,
        allow_absolute_url: flags & 16 != 0,
        allow_custom_methods: flags & 32 != 0,
        enable_trailers: flags & 64 != 0,
        underscores: underscores[usize::from(flags >> 5) % 3],
    }
}

/// Of a head that is malformed and too large, either may be said first.
fn told(limits: RequestLimits, pieces: &[&[u8]]) -> support::Transcript {
    let mut told = support::requests(limits, pieces);
    if let Some(last) = told.lines.last_mut().filter(|last| last.starts_with(['4', '5'])) {
        *last = "refused".to_owned();
    }
    told
}

fuzz_target!(|data: &[u8]| {
    let Some((flags, cuts, input)) = parts(data) else { return };
    let limits = limits(flags);
    // A head that nobody finishes may be refused late when it comes in pieces; this ends it.
    let input = [input, b"\r\n\r\n"].concat();
    let whole = told(limits, &[&input]);
    assert_eq!(told(limits, &pieces(&input, cuts)), whole);
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(told(limits, &bytes), whole);
});
