//! Header and trailer fields: an ordered multi-map in one byte arena.
//!
//! Owns: the storage and lookup of fields. Names are lower-case, values are raw bytes without
//! surrounding white space. `clear` keeps every capacity, so that a connection in steady state
//! allocates nothing. Does not own the framing rules (`h1`) nor the hop-by-hop rules
//! (`hop_by_hop`).

mod lines;

pub(crate) use lines::Piece;

use crate::known::Known;

/// An ordered multi-map of header fields.
///
/// The order of insertion is kept; several fields may share a name. Names in the table of [`Known`]
/// are not stored but tagged, and a bitmap answers at once whether one is present.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// Names (of unknown fields) and values, or the lines in which they came. What is removed
    /// stays until `compact`.
    arena: Vec<u8>,
    entries: Vec<Entry>,
    /// One bit for each `Known` of which at least one entry exists.
    present: u128,
    /// Bytes of the names and values of all live entries.
    live_bytes: usize,
    /// Where a value is composed before it is known where it goes.
    scratch: Vec<u8>,
}

/// Positions are 32 bits wide: a head is bounded by 8 MiB of configuration, and `compact` keeps
/// the arena within twice the live bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    name_start: u32,
    name_len: u32,
    value_start: u32,
    value_len: u32,
    known: Option<Known>,
    /// From `name_start` on the arena holds `name: value` and a line end (`lines`).
    is_line: bool,
}

/// A field name that was classified once, for lookups that repeat (matchers, mutations).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FieldName {
    /// A name of the table.
    Known(Known),
    /// Any other name, in lower case.
    Other(Box<[u8]>),
}

/// Garbage below this size is never collected: it is what a few rewritten headers leave.
const COMPACT_FLOOR_BYTES: usize = 4096;

impl Fields {
    /// An empty map without storage.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty map with room for `fields` entries and `bytes` of names and values.
    #[must_use]
    pub fn with_capacity(fields: usize, bytes: usize) -> Self {
        Self {
            arena: Vec::with_capacity(bytes),
            entries: Vec::with_capacity(fields),
            ..Self::default()
        }
    }

    /// Forgets all fields and keeps the storage.
    #[inline]
    pub fn clear(&mut self) {
        self.arena.clear();
        self.entries.clear();
        self.present = 0;
        self.live_bytes = 0;
    }

    /// Becomes the same as `other`, in the storage that it has.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.arena.clone_from(&other.arena);
        self.entries.clone_from(&other.entries);
        self.present = other.present;
        self.live_bytes = other.live_bytes;
    }

    /// Bytes that a copy takes: those of removed and changed fields may be among them.
    pub(crate) fn stored_bytes(&self) -> usize {
        self.arena.len()
    }

    /// Whether the same fields are stored in the same way: `false` may be said of equal ones.
    pub(crate) fn is_stored_as(&self, other: &Self) -> bool {
        self.entries == other.entries && self.arena == other.arena
    }

    /// Number of fields, each of several with one name counted.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no field.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all names and values, without separators (Envoy's `HeaderMap::byteSize`).
    #[inline]
    #[must_use]
    pub fn byte_size(&self) -> usize {
        self.live_bytes
    }

    /// Bytes of storage held, used or not.
    #[must_use]
    pub fn capacity_bytes(&self) -> usize {
        self.arena.capacity()
            + self.scratch.capacity()
            + self.entries.capacity() * size_of::<Entry>()
    }

    // ---- adding ---------------------------------------------------------------------------

    /// Appends a field. `name` must be lower-case.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        debug_assert!(!name.iter().any(u8::is_ascii_uppercase), "field names are lower-case");
        match Known::classify(name) {
            Some(known) => self.push_known(known, value),
            None => {
                self.arena.extend_from_slice(name);
                self.push_named(name.len(), value);
            }
        }
    }

    /// Appends a field whose name is in the table.
    #[inline]
    pub fn push_known(&mut self, known: Known, value: &[u8]) {
        let value_start = self.arena.len();
        self.arena.extend_from_slice(value);
        self.entries.push(Entry {
            name_start: 0,
            name_len: 0,
            value_start: position(value_start),
            value_len: position(value.len()),
            known: Some(known),
            is_line: false,
        });
        self.present |= known.bit();
        self.live_bytes += known.as_bytes().len() + value.len();
    }

    /// Appends a field whose value `write` composes piece by piece.
    pub fn push_with(&mut self, name: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        self.compose(write, |fields, value| fields.push(name, value));
    }

    /// As [`Fields::push_with`] with a name of the table.
    pub fn push_known_with(&mut self, known: Known, write: impl FnOnce(&mut Vec<u8>)) {
        self.compose(write, |fields, value| fields.push_known(known, value));
    }

    /// Completes a field whose name is the last `name_len` bytes of the arena.
    #[inline]
    fn push_named(&mut self, name_len: usize, value: &[u8]) {
        let value_start = self.arena.len();
        self.arena.extend_from_slice(value);
        self.entries.push(Entry {
            name_start: position(value_start - name_len),
            name_len: position(name_len),
            value_start: position(value_start),
            value_len: position(value.len()),
            known: None,
            is_line: false,
        });
        self.live_bytes += name_len + value.len();
    }

    // ---- reading --------------------------------------------------------------------------

    /// The value of the first field of a known name.
    #[inline]
    #[must_use]
    pub fn known(&self, known: Known) -> Option<&[u8]> {
        let entry = self.entries.get(self.position_known(known)?)?;
        Some(self.value_of(entry))
    }

    /// Whether a field of a known name is present: one bit test.
    #[inline]
    #[must_use]
    pub fn has(&self, known: Known) -> bool {
        self.present & known.bit() != 0
    }

    /// Whether any field of a set of known names is present.
    #[inline]
    pub(crate) fn has_any(&self, names: u128) -> bool {
        self.present & names != 0
    }

    /// The value of the first field called `name` (lower-case).
    #[must_use]
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        match Known::classify(name.as_ref()) {
            Some(known) => self.known(known),
            None => self.find_other(name.as_ref()).map(|at| self.value_of(&self.entries[at])),
        }
    }

    /// The value of the first field of a name that was classified before.
    #[must_use]
    pub fn get_named(&self, name: &FieldName) -> Option<&[u8]> {
        match name {
            FieldName::Known(known) => self.known(*known),
            FieldName::Other(name) => {
                self.find_other(name).map(|at| self.value_of(&self.entries[at]))
            }
        }
    }

    /// The values of all fields called `name` (lower-case), in order.
    pub fn values<'a>(
        &'a self,
        name: &'a (impl AsRef<[u8]> + ?Sized),
    ) -> impl Iterator<Item = &'a [u8]> + 'a {
        let name = name.as_ref();
        let known = Known::classify(name);
        self.entries
            .iter()
            .filter(move |entry| self.is_called(entry, known, name))
            .map(|entry| self.value_of(entry))
    }

    /// The values of all fields of a known name, in order.
    pub fn values_known(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        self.entries
            .iter()
            .filter(move |entry| entry.known == Some(known))
            .map(|entry| self.value_of(entry))
    }

    /// All fields in order: name, value.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> + Clone {
        self.entries.iter().map(|entry| (self.name_of(entry), self.value_of(entry)))
    }

    /// All fields in order: number of a known name, name, value.
    pub fn iter_known(&self) -> impl ExactSizeIterator<Item = (Option<Known>, &[u8], &[u8])> {
        self.entries.iter().map(|entry| (entry.known, self.name_of(entry), self.value_of(entry)))
    }

    // ---- changing -------------------------------------------------------------------------

    /// Replaces the value of the first field called `name` (lower-case) in its place and drops the
    /// others; appends the field when there is none.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        match Known::classify(name) {
            Some(known) => self.set_known(known, value),
            None => match self.find_other(name) {
                Some(at) => {
                    self.replace_value(at, value);
                    self.remove_after(at);
                }
                None => self.push(name, value),
            },
        }
    }

    /// As [`Fields::set`] with a name of the table.
    pub fn set_known(&mut self, known: Known, value: &[u8]) {
        match self.position_known(known) {
            Some(at) => {
                self.replace_value(at, value);
                self.remove_after(at);
            }
            None => self.push_known(known, value),
        }
    }

    /// As [`Fields::set`] with a value that `write` composes.
    pub fn set_with(&mut self, name: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        self.compose(write, |fields, value| fields.set(name, value));
    }

    /// As [`Fields::set_known`] with a value that `write` composes.
    pub fn set_known_with(&mut self, known: Known, write: impl FnOnce(&mut Vec<u8>)) {
        self.compose(write, |fields, value| fields.set_known(known, value));
    }

    /// Appends `value` to the first field of a known name behind `separator`, as Envoy does with
    /// `x-forwarded-for` and `via`; appends a new field when there is none. Empty values get no
    /// separator.
    pub fn append_known(&mut self, known: Known, separator: &[u8], value: &[u8]) {
        let Some(at) = self.position_known(known) else {
            return self.push_known(known, value);
        };
        self.append_at(at, separator, value);
        self.compact_when_worthwhile();
    }

    fn append_at(&mut self, at: usize, separator: &[u8], value: &[u8]) {
        if value.is_empty() {
            return;
        }
        let mut composed = std::mem::take(&mut self.scratch);
        composed.clear();
        composed.extend_from_slice(self.value_of(&self.entries[at]));
        if !composed.is_empty() {
            composed.extend_from_slice(separator);
        }
        composed.extend_from_slice(value);
        self.place_value(at, &composed);
        self.scratch = composed;
    }

    /// Removes all fields called `name` (lower-case) and returns how many there were.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) -> usize {
        let name = name.as_ref();
        match Known::classify(name) {
            Some(known) => self.remove_known(known),
            None => self.drop_where(|fields, entry| fields.is_called(entry, None, name)),
        }
    }

    /// Removes all fields of a known name and returns how many there were.
    pub fn remove_known(&mut self, known: Known) -> usize {
        if !self.has(known) {
            return 0;
        }
        self.drop_where(|_, entry| entry.known == Some(known))
    }

    /// Removes all fields of a name that was classified before.
    pub fn remove_named(&mut self, name: &FieldName) -> usize {
        match name {
            FieldName::Known(known) => self.remove_known(*known),
            FieldName::Other(name) => self.remove(name),
        }
    }

    /// Keeps the fields for which `keep(known, name, value)` is true; returns how many went.
    pub fn retain(&mut self, mut keep: impl FnMut(Option<Known>, &[u8], &[u8]) -> bool) -> usize {
        self.drop_where(|fields, entry| {
            !keep(entry.known, fields.name_of(entry), fields.value_of(entry))
        })
    }

    /// Removes the fields of a set of known names, and those that the value of `nominating` names
    /// (RFC 9110 section 7.6.1), unless they are in the set `kept`.
    pub(crate) fn strip(&mut self, gone: u128, nominating: Option<Known>, kept: u128) {
        let nominating = nominating.and_then(|known| self.position_known(known));
        let nominating = nominating.map(|at| self.entries[at]);
        self.drop_where(|fields, entry| {
            let bit = entry.known.map_or(0, Known::bit);
            let named = || nominating.is_some_and(|list| fields.is_named_in(&list, entry));
            gone & bit != 0 || (kept & bit == 0 && named())
        });
    }

    // ---- inside ---------------------------------------------------------------------------

    #[inline]
    fn position_known(&self, known: Known) -> Option<usize> {
        if !self.has(known) {
            return None;
        }
        self.entries.iter().position(|entry| entry.known == Some(known))
    }

    fn find_other(&self, name: &[u8]) -> Option<usize> {
        self.entries.iter().position(|entry| self.is_called(entry, None, name))
    }

    #[inline]
    fn is_called(&self, entry: &Entry, known: Option<Known>, name: &[u8]) -> bool {
        match (entry.known, known) {
            (None, None) => entry.name_len as usize == name.len() && self.name_of(entry) == name,
            (entry, known) => entry == known,
        }
    }

    #[inline]
    fn name_of(&self, entry: &Entry) -> &[u8] {
        match entry.known {
            Some(known) => known.as_bytes(),
            None => {
                let start = entry.name_start as usize;
                &self.arena[start..start + entry.name_len as usize]
            }
        }
    }

    #[inline]
    fn value_of(&self, entry: &Entry) -> &[u8] {
        let start = entry.value_start as usize;
        &self.arena[start..start + entry.value_len as usize]
    }

    fn compose(&mut self, write: impl FnOnce(&mut Vec<u8>), store: impl FnOnce(&mut Self, &[u8])) {
        let mut value = std::mem::take(&mut self.scratch);
        value.clear();
        write(&mut value);
        store(self, &value);
        self.scratch = value;
    }

    fn replace_value(&mut self, at: usize, value: &[u8]) {
        self.place_value(at, value);
        self.compact_when_worthwhile();
    }

    fn place_value(&mut self, at: usize, value: &[u8]) {
        let entry = &mut self.entries[at];
        let old_len = entry.value_len as usize;
        let start = entry.value_start as usize;
        entry.value_len = position(value.len());
        entry.is_line = false;
        self.live_bytes = self.live_bytes - old_len + value.len();
        if value.len() <= old_len {
            self.arena[start..start + value.len()].copy_from_slice(value);
            return;
        }
        entry.value_start = position(self.arena.len());
        self.arena.extend_from_slice(value);
    }

    /// Removes the fields behind `at` that are called as the one at `at`.
    fn remove_after(&mut self, at: usize) {
        let first = self.entries[at];
        let mut index = at + 1;
        while index < self.entries.len() {
            let entry = self.entries[index];
            if self.is_called(&entry, first.known, self.name_of(&first)) {
                self.live_bytes -= self.size_of_entry(&entry);
                self.entries.remove(index);
            } else {
                index += 1;
            }
        }
    }

    fn drop_where(&mut self, mut gone: impl FnMut(&Self, &Entry) -> bool) -> usize {
        let before = self.entries.len();
        let mut kept = 0;
        let mut present = 0;
        for index in 0..before {
            let entry = self.entries[index];
            if gone(self, &entry) {
                self.live_bytes -= self.size_of_entry(&entry);
                continue;
            }
            present |= entry.known.map_or(0, Known::bit);
            self.entries[kept] = entry;
            kept += 1;
        }
        self.entries.truncate(kept);
        self.present = present;
        before - kept
    }

    /// Whether the comma-separated value of `list` holds the name of `entry`.
    fn is_named_in(&self, list: &Entry, entry: &Entry) -> bool {
        let name = self.name_of(entry);
        let mut tokens = self.value_of(list).split(|byte| *byte == b',');
        tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(name))
    }

    fn size_of_entry(&self, entry: &Entry) -> usize {
        self.name_of(entry).len() + entry.value_len as usize
    }

    /// Collects what replaced values left behind once it outweighs the live bytes, so that a loop
    /// of rewrites cannot grow the arena without bound.
    fn compact_when_worthwhile(&mut self) {
        if self.arena.len() > 2 * self.live_bytes + COMPACT_FLOOR_BYTES {
            self.compact();
        }
    }

    fn compact(&mut self) {
        let mut packed = Vec::with_capacity(self.live_bytes);
        for index in 0..self.entries.len() {
            let mut entry = self.entries[index];
            entry.is_line = false;
            if entry.known.is_none() {
                let name_start = position(packed.len());
                packed.extend_from_slice(self.name_of(&entry));
                entry.name_start = name_start;
            }
            let value_start = position(packed.len());
            packed.extend_from_slice(self.value_of(&entry));
            entry.value_start = value_start;
            self.entries[index] = entry;
        }
        self.arena = packed;
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Fields {}

impl FieldName {
    /// Classifies `name`, given in any case. `None` when it is not an HTTP token.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        if name.is_empty() || !name.bytes().all(is_token) {
            return None;
        }
        let name = name.to_ascii_lowercase().into_bytes();
        Some(match Known::classify(&name) {
            Some(known) => Self::Known(known),
            None => Self::Other(name.into_boxed_slice()),
        })
    }

    /// The lower-case name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Known(known) => known.as_bytes(),
            Self::Other(name) => name,
        }
    }
}

/// RFC 9110 section 5.6.2: the characters of a token.
#[inline]
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Lowers ASCII letters eight at a time; the last eight may overlap those before them. Names are
/// short, and the tails of the loop over single bytes cost more than all the rest of it.
#[inline]
fn lower(name: &mut [u8]) {
    let Some((_, last)) = name.split_last_chunk::<8>() else {
        return name.make_ascii_lowercase();
    };
    let last = lower_eight(u64::from_ne_bytes(*last)).to_ne_bytes();
    let (eights, _) = name.as_chunks_mut::<8>();
    for eight in eights {
        *eight = lower_eight(u64::from_ne_bytes(*eight)).to_ne_bytes();
    }
    if let Some((_, tail)) = name.split_last_chunk_mut::<8>() {
        *tail = last;
    }
}

/// In each byte below 0x80 the high bit of the first sum says `>= 'A'`, of the second `> 'Z'`.
/// Where only the first is set, 0x20 makes the letter small.
#[inline]
fn lower_eight(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let ascii = word & (0x7f * EACH);
    let from_a = ascii + (0x80 - b'A' as u64) * EACH;
    let above_z = ascii + (0x7f - b'Z' as u64) * EACH;
    let capital = from_a & !above_z & !word & (0x80 * EACH);
    word | capital >> 2
}

/// Positions fit 32 bits by the limits on heads; a caller who stores 4 GiB in one map is a defect
/// of the program, not of the peer.
#[inline]
fn position(at: usize) -> u32 {
    debug_assert!(u32::try_from(at).is_ok(), "a field map is far below 4 GiB");
    at as u32
}

#[cfg(test)]
mod tests;
