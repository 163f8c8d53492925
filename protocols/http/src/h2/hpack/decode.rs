//! Header blocks to fields.

use thiserror::Error;

use super::huffman;
use super::integer;
use super::table::{Dynamic, Found, Name, STATIC, STATIC_LEN};
use crate::fields::is_token;

/// A block that cannot be decoded. The tables of both sides no longer agree, so that the
/// connection is over (RFC 9113 section 4.3: COMPRESSION_ERROR).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(in crate::h2) enum HpackError {
    #[error("header block ends within a field")]
    Truncated,
    #[error("integer of a header block is too large or cut off")]
    Integer,
    #[error("index of no table entry")]
    Index,
    #[error("invalid Huffman code")]
    Huffman,
    #[error("dynamic table size update that is too large or out of place")]
    TableSize,
    #[error("name or value is longer on the wire than allowed")]
    StringTooLong,
}

/// A field as it was decoded.
pub(in crate::h2) struct Field<'a> {
    /// The tag of the name.
    pub(in crate::h2) tag: Name,
    /// The name as it came.
    pub(in crate::h2) name: &'a [u8],
    /// The value as it came.
    pub(in crate::h2) value: &'a [u8],
    /// Whether name (a lower-case token, unless tagged) and value hold only allowed bytes.
    pub(in crate::h2) is_sound: bool,
}

/// Takes the fields of a block one by one. It must not stop the decoder, whose table has to follow
/// the peer's: it remembers what is wrong and ignores the rest.
pub(in crate::h2) trait Sink {
    fn field(&mut self, field: Field<'_>);
}

/// The decoding side of one connection.
#[derive(Debug)]
pub(in crate::h2) struct Decoder {
    table: Dynamic,
    /// The size that our SETTINGS allow.
    allowed_size: usize,
    /// SETTINGS lowered the size below the table's: the next block must begin with an update.
    must_shrink: bool,
    max_string_bytes: usize,
    scratch: Vec<u8>,
    /// The name of an entry that is about to be inserted.
    name: Vec<u8>,
}

impl Decoder {
    /// A decoder with RFC 7541's first table size of 4096. Names and values longer than
    /// `max_string_bytes` on the wire are refused.
    pub(in crate::h2) fn new(max_string_bytes: usize) -> Self {
        Self {
            table: Dynamic::new(4096),
            allowed_size: 4096,
            must_shrink: false,
            max_string_bytes,
            scratch: Vec::new(),
            name: Vec::new(),
        }
    }

    /// The peer acknowledged our SETTINGS_HEADER_TABLE_SIZE.
    pub(in crate::h2) fn set_allowed_size(&mut self, size: usize) {
        self.allowed_size = size;
        self.must_shrink = size < self.table.max_size();
    }

    /// A number for the state of the table: while it stays, a block means the same. `None` where
    /// the next block must change it.
    pub(in crate::h2) fn changes(&self) -> Option<u64> {
        (!self.must_shrink).then(|| self.table.changes())
    }

    /// Decodes a whole block and gives each field to `sink`.
    pub(in crate::h2) fn decode(
        &mut self,
        block: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), HpackError> {
        let mut rest = self.updates(block)?;
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            match *first {
                0x80.. => self.indexed(*first, &mut rest, sink)?,
                0x40.. => self.literal(*first, 6, true, &mut rest, sink)?,
                0x20.. => return Err(HpackError::TableSize),
                _ => self.literal(*first, 4, false, &mut rest, sink)?,
            }
        }
        Ok(())
    }

    /// RFC 7541 section 4.2: updates of the table size stand at the beginning of a block.
    fn updates<'a>(&mut self, block: &'a [u8]) -> Result<&'a [u8], HpackError> {
        let mut rest = block;
        while let Some((first, after)) = rest.split_first().filter(|at| at.0 & 0xe0 == 0x20) {
            rest = after;
            let size = integer::decode(*first, 5, &mut rest).ok_or(HpackError::Integer)?;
            if size > self.allowed_size {
                return Err(HpackError::TableSize);
            }
            self.table.resize(size);
            self.must_shrink = false;
        }
        match self.must_shrink {
            true => Err(HpackError::TableSize),
            false => Ok(rest),
        }
    }

    #[inline]
    fn indexed(&self, first: u8, rest: &mut &[u8], sink: &mut impl Sink) -> Result<(), HpackError> {
        let index = integer::decode(first, 7, rest).ok_or(HpackError::Integer)?;
        let Found { tag, name, value, is_sound } = find(&self.table, index)?;
        sink.field(Field { tag, name, value, is_sound });
        Ok(())
    }

    #[inline]
    fn literal(
        &mut self,
        first: u8,
        prefix: u32,
        is_indexing: bool,
        rest: &mut &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), HpackError> {
        let index = integer::decode(first, prefix, rest).ok_or(HpackError::Integer)?;
        self.scratch.clear();
        let literal_name = match index {
            0 => Some(string(rest, &mut self.scratch, self.max_string_bytes)?),
            _ => None,
        };
        let value = string(rest, &mut self.scratch, self.max_string_bytes)?;
        let value = value.of(&self.scratch);
        let (tag, name) = match &literal_name {
            Some(name) => {
                let name = name.of(&self.scratch);
                (Name::classify(name), name)
            }
            None => find(&self.table, index).map(|found| (found.tag, found.name))?,
        };
        let is_sound = is_name(tag, name) && is_value(value);
        sink.field(Field { tag, name, value, is_sound });
        if is_indexing {
            // To insert may evict the entry that lends its name (RFC 7541 section 4.4).
            self.name.clear();
            self.name.extend_from_slice(name);
            self.table.insert(tag, &self.name, value, is_sound);
        }
        Ok(())
    }
}

/// RFC 7541 section 2.3.3: the static table, then the dynamic one, newest first.
#[inline]
fn find(table: &Dynamic, index: usize) -> Result<Found<'_>, HpackError> {
    let at = index.checked_sub(1).ok_or(HpackError::Index)?;
    match STATIC.get(at) {
        Some((tag, name, value)) => Ok(Found { tag: *tag, name, value, is_sound: true }),
        None => table.get(at - STATIC_LEN).ok_or(HpackError::Index),
    }
}

/// A string of a block, in the block itself or decoded into the scratch.
enum Text<'a> {
    Plain(&'a [u8]),
    Decoded(std::ops::Range<usize>),
}

impl<'a> Text<'a> {
    #[inline]
    fn of<'b>(&self, scratch: &'b [u8]) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Self::Plain(text) => text,
            // The range was made when these bytes were written; nothing shortened the scratch.
            Self::Decoded(range) => scratch.get(range.clone()).unwrap_or_default(),
        }
    }
}

/// RFC 7541 section 5.2.
#[inline]
fn string<'a>(
    rest: &mut &'a [u8],
    scratch: &mut Vec<u8>,
    max_bytes: usize,
) -> Result<Text<'a>, HpackError> {
    let (first, after) = rest.split_first().ok_or(HpackError::Truncated)?;
    *rest = after;
    let len = integer::decode(*first, 7, rest).ok_or(HpackError::Integer)?;
    if len > max_bytes {
        return Err(HpackError::StringTooLong);
    }
    let (text, after) = rest.split_at_checked(len).ok_or(HpackError::Truncated)?;
    *rest = after;
    if first & 0x80 == 0 {
        return Ok(Text::Plain(text));
    }
    let start = scratch.len();
    match huffman::decode(text, scratch) {
        true => Ok(Text::Decoded(start..scratch.len())),
        false => Err(HpackError::Huffman),
    }
}

/// RFC 9113 section 8.2.1: a name is a token without capitals. A tagged name is one by itself;
/// that a pseudo header field exists is judged by the sink.
#[inline]
fn is_name(tag: Name, name: &[u8]) -> bool {
    match tag {
        Name::Other => {
            !name.is_empty() && name.iter().all(|at| is_token(*at) && !at.is_ascii_uppercase())
        }
        _ => true,
    }
}

/// RFC 9110 section 5.5: no control characters but the tab. The loop has no way out, so that it
/// takes many bytes at once.
#[inline]
fn is_value(value: &[u8]) -> bool {
    let bad = |byte: u8| (byte < 0x20) & (byte != b'\t') | (byte == 0x7f);
    !value.iter().fold(false, |seen, byte| seen | bad(*byte))
}
