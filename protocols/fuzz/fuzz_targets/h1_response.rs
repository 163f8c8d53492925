//! Responses of HTTP/1 to requests of several kinds: how the bytes are cut does not matter.
#![no_main]

#[path = "../../http/tests/support/mod.rs"]
mod support;

use libfuzzer_sys::fuzz_target;
use ringway_fuzz::{parts, pieces};
use ringway_http::Method;
use ringway_http::h1::{ResponseLimits, Upgrade};

const ASKED: [(Method, Upgrade); 5] = [
    (Method::Get, Upgrade::None),
    (Method::Head, Upgrade::None),
    (Method::Get, Upgrade::WebSocket),
    (Method::Connect, Upgrade::None),
    (Method::Post, Upgrade::None),
];

fuzz_target!(|data: &[u8]| {
    let Some((flags, cuts, input)) = parts(data) else { return };
    let limits = ResponseLimits { enable_trailers: flags & 1 != 0, ..ResponseLimits::default() };
    let asked = [0, 1, 2].map(|at| ASKED[(usize::from(flags >> 1) + at) % ASKED.len()]);
    let is_over = flags & 0x80 == 0;
    let input = [input, b"\r\n\r\n"].concat();
    let whole = support::responses(limits, &asked, &[&input], is_over);
    let cut = support::responses(limits, &asked, &pieces(&input, cuts), is_over);
    assert_eq!(cut, whole);
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(support::responses(limits, &asked, &bytes, is_over), whole);
});
