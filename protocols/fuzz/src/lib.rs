//! What the fuzz targets share: cutting input in pieces, and a watch over what an HTTP/2 engine
//! sends.
//!
//! Owns no target: those are the files of `fuzz_targets`. A target is a property that holds for
//! every input, so that the fuzzer finds more than panics.
#![forbid(unsafe_code)]

pub mod h2;

/// Cuts `input` in pieces: each byte of `cuts` is the length of the next one, less one. What is
/// left when they are used up is the last piece.
pub fn pieces<'a>(input: &'a [u8], cuts: &[u8]) -> Vec<&'a [u8]> {
    let (mut pieces, mut rest) = (Vec::new(), input);
    for cut in cuts {
        let len = rest.len().min(usize::from(*cut) + 1);
        let (piece, after) = rest.split_at(len);
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

/// The first bytes of `data` as settings of a target: one byte, how the rest is cut, the rest.
pub fn parts(data: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (flags, data) = data.split_first()?;
    let (count, data) = data.split_first()?;
    let (cuts, input) = data.split_at_checked(usize::from(*count % 16))?;
    Some((*flags, cuts, input))
}
