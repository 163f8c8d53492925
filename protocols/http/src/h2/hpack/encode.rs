//! Fields to header blocks.
//!
//! Only the names that a proxy knows are looked up and indexed, each by its newest entry: that is
//! one array access, and it finds what repeats from message to message. What differs with each
//! message (paths, lengths, identifiers) or is secret is not indexed.

use super::huffman;
use super::integer;
use super::table::{Dynamic, Name, STATIC, STATIC_LEN};
use crate::Known;
use crate::known::mask;

/// Slots of names: the known ones, then `:authority` and `:path`.
const SLOTS: usize = 130;
const AUTHORITY: usize = 128;
const PATH: usize = 129;

/// Values that hardly ever repeat: to index them would push out what does.
const VOLATILE: u128 = mask(&[
    Known::Age,
    Known::ContentLength,
    Known::ContentRange,
    Known::Cookie,
    Known::Etag,
    Known::Expires,
    Known::GrpcMessage,
    Known::GrpcTimeout,
    Known::IfModifiedSince,
    Known::IfNoneMatch,
    Known::LastModified,
    Known::Location,
    Known::Range,
    Known::Referer,
    Known::SetCookie,
    Known::Traceparent,
    Known::Tracestate,
    Known::XClientTraceId,
    Known::XEnvoyExpectedRqTimeoutMs,
    Known::XEnvoyOriginalPath,
    Known::XEnvoyUpstreamServiceTime,
    Known::XForwardedClientCert,
    Known::XRequestId,
]);

/// The longest value that is indexed for the sake of its name.
const NAMING_MAX: usize = 64;

/// RFC 7541 section 7.1.3: no hop may index these.
const SECRET: u128 = mask(&[Known::Authorization, Known::ProxyAuthorization]);

/// The first static entry of each slot's name, counted from 1; 0: none.
static STATIC_NAMES: [u8; SLOTS] = static_names();

const fn static_names() -> [u8; SLOTS] {
    let mut indices = [0; SLOTS];
    let mut at = STATIC_LEN;
    while at > 0 {
        at -= 1;
        match STATIC[at].0 {
            Name::Known(known) => indices[known as usize] = at as u8 + 1,
            Name::Authority => indices[AUTHORITY] = at as u8 + 1,
            Name::Path => indices[PATH] = at as u8 + 1,
            _ => {}
        }
    }
    indices
}

/// The encoding side of one connection.
#[derive(Debug)]
pub(in crate::h2) struct Encoder {
    table: Dynamic,
    /// Entries ever inserted: the newest has this number.
    inserted: u32,
    /// The number of the newest entry of each slot's name; 0: none.
    newest: Box<[u32; SLOTS]>,
    /// The size that this side is willing to use.
    own_size: usize,
    /// Sizes that the peer must be told of: the smallest since the last block, and the last.
    update: Option<(usize, usize)>,
    use_huffman: bool,
}

impl Encoder {
    /// An encoder with RFC 7541's first table size of 4096, which the peer may change up to
    /// `own_size` bytes. `use_huffman` is Envoy's `enable_huffman_encoding`.
    pub(in crate::h2) fn new(own_size: usize, use_huffman: bool) -> Self {
        let mut encoder = Self {
            table: Dynamic::new(4096),
            inserted: 0,
            newest: Box::new([0; SLOTS]),
            own_size,
            update: None,
            use_huffman,
        };
        if own_size < 4096 {
            encoder.set_peer_size(own_size);
        }
        encoder
    }

    /// The peer's SETTINGS_HEADER_TABLE_SIZE. RFC 7541 section 4.2: the smallest size in between
    /// is told as well, so that the peer evicts as this side did.
    pub(in crate::h2) fn set_peer_size(&mut self, size: usize) {
        let size = size.min(self.own_size);
        if size == self.table.max_size() && self.update.is_none() {
            return;
        }
        let smallest = self.update.map_or(size, |(smallest, _)| smallest.min(size));
        self.update = Some((smallest, size));
        self.table.resize(size);
    }

    /// A number for the state of the table: while it stays, so does the block of a head.
    pub(in crate::h2) fn changes(&self) -> u64 {
        self.table.changes()
    }

    /// Begins a block.
    pub(in crate::h2) fn begin(&mut self, out: &mut Vec<u8>) {
        let Some((smallest, last)) = self.update.take() else { return };
        if smallest < last {
            integer::encode(smallest, 0x20, 5, out);
        }
        integer::encode(last, 0x20, 5, out);
    }

    pub(in crate::h2) fn status(&mut self, status: u16, out: &mut Vec<u8>) {
        let index = match status {
            200 => 8,
            204 => 9,
            206 => 10,
            304 => 11,
            400 => 12,
            404 => 13,
            500 => 14,
            _ => {
                integer::encode(8, 0x00, 4, out);
                let digits = [status / 100, status / 10 % 10, status % 10];
                // Three digits are shorter plain than coded, or as long.
                out.push(3);
                return out.extend(digits.map(|digit| b'0' + digit as u8));
            }
        };
        out.push(0x80 | index);
    }

    pub(in crate::h2) fn method(&mut self, method: &[u8], out: &mut Vec<u8>) {
        match method {
            b"GET" => out.push(0x82),
            b"POST" => out.push(0x83),
            _ => self.literal(2, method, 0x00, 4, out),
        }
    }

    pub(in crate::h2) fn scheme(&mut self, scheme: &[u8], out: &mut Vec<u8>) {
        match scheme {
            b"http" => out.push(0x86),
            b"https" => out.push(0x87),
            _ => self.literal(6, scheme, 0x00, 4, out),
        }
    }

    pub(in crate::h2) fn authority(&mut self, authority: &[u8], out: &mut Vec<u8>) {
        self.slot(AUTHORITY, Name::Authority, b":authority", authority, true, out);
    }

    pub(in crate::h2) fn path(&mut self, path: &[u8], out: &mut Vec<u8>) {
        match path {
            b"/" => out.push(0x84),
            _ => self.literal(4, path, 0x00, 4, out),
        }
    }

    /// A name without a place of its own: `:protocol` and what no table knows.
    pub(in crate::h2) fn other(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        out.push(0x00);
        self.string(name, out);
        self.string(value, out);
    }

    pub(in crate::h2) fn known(&mut self, known: Known, value: &[u8], out: &mut Vec<u8>) {
        let bit = known.bit();
        if bit & (SECRET | VOLATILE) == 0 {
            let (slot, name) = (known as usize, known.as_bytes());
            return self.slot(slot, Name::Known(known), name, value, true, out);
        }
        if bit & SECRET != 0 {
            return match STATIC_NAMES[known as usize] {
                0 => self.other(known.as_bytes(), value, out),
                index => self.literal(usize::from(index), value, 0x10, 4, out),
            };
        }
        // A name that no table has is worth an entry once, for its length, unless the value would
        // push out much else.
        let slot = known as usize;
        let is_short = value.len() <= NAMING_MAX;
        let is_nameless = is_short && STATIC_NAMES[slot] == 0 && self.find(slot).is_none();
        self.slot(slot, Name::Known(known), known.as_bytes(), value, is_nameless, out);
    }

    #[inline]
    fn slot(
        &mut self,
        slot: usize,
        tag: Name,
        name: &[u8],
        value: &[u8],
        is_indexed: bool,
        out: &mut Vec<u8>,
    ) {
        let found = self.find(slot);
        if let Some(index) = found.filter(|index| self.holds(*index, value)) {
            return integer::encode(index, 0x80, 7, out);
        }
        let name_index = match STATIC_NAMES[slot] {
            0 => found.unwrap_or(0),
            index => usize::from(index),
        };
        let (pattern, prefix) = if is_indexed { (0x40, 6) } else { (0x00, 4) };
        match name_index {
            0 => {
                out.push(pattern);
                self.string(name, out);
                self.string(value, out);
            }
            index => self.literal(index, value, pattern, prefix, out),
        }
        if is_indexed {
            self.insert(slot, tag, name, value);
        }
    }

    /// The index of the newest entry of this name, if it is still in the table.
    #[inline]
    fn find(&self, slot: usize) -> Option<usize> {
        let number = self.newest[slot];
        let back = self.inserted.wrapping_sub(number) as usize;
        (number != 0 && back < self.table.len()).then_some(STATIC_LEN + 1 + back)
    }

    #[inline]
    fn holds(&self, index: usize, value: &[u8]) -> bool {
        self.table.get(index - STATIC_LEN - 1).is_some_and(|found| found.value == value)
    }

    fn insert(&mut self, slot: usize, tag: Name, name: &[u8], value: &[u8]) {
        if !self.table.insert(tag, name, value, true) {
            return;
        }
        if self.inserted == u32::MAX {
            self.inserted = 0;
            self.newest.fill(0);
        }
        self.inserted += 1;
        self.newest[slot] = self.inserted;
    }

    fn literal(
        &self,
        name_index: usize,
        value: &[u8],
        pattern: u8,
        prefix: u32,
        out: &mut Vec<u8>,
    ) {
        integer::encode(name_index, pattern, prefix, out);
        self.string(value, out);
    }

    fn string(&self, text: &[u8], out: &mut Vec<u8>) {
        if self.use_huffman {
            let len = huffman::encoded_len(text);
            if len < text.len() {
                integer::encode(len, 0x80, 7, out);
                return huffman::encode(text, out);
            }
        }
        integer::encode(text.len(), 0x00, 7, out);
        out.extend_from_slice(text);
    }
}
