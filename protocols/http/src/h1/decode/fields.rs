//! Storage for httparse's field slices.

use std::mem::MaybeUninit;

/// Slots on the stack. Left uninitialised, so that they cost nothing; configurations that allow
/// more fields take a longer way for heads that really have more.
pub(super) const SLOTS: usize = 128;

/// Uninitialised slots for a parse.
#[inline]
pub(super) fn slots<'a>() -> [MaybeUninit<httparse::Header<'a>>; SLOTS] {
    [const { MaybeUninit::uninit() }; SLOTS]
}

/// What httparse's complaint means.
pub(super) fn describe(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "invalid field name",
        httparse::Error::HeaderValue => "invalid field value",
        httparse::Error::NewLine => "invalid line end",
        httparse::Error::Status => "invalid status",
        httparse::Error::Token => "invalid start line",
        httparse::Error::TooManyHeaders => "too many fields",
        httparse::Error::Version => "invalid protocol version",
    }
}
