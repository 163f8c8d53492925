//! HPACK (RFC 7541): header blocks to fields and back.
//!
//! Owns: the static and the dynamic tables, both bounded; the Huffman code, decoded by table; the
//! forms of a field on the wire. Does not own what a field means, nor how large a head may be: the
//! decoder hands each field to a [`Sink`], which counts and judges.

mod decode;
mod encode;
mod huffman;
mod integer;
mod table;

pub(super) use decode::{Decoder, Field, HpackError, Sink};
pub(super) use encode::Encoder;
pub(super) use table::Name;

#[cfg(test)]
mod tests;
