//! Fields as the lines of the HTTP/1 head in which they came.
//!
//! Owns the way of decoded lines into the map, and out of it again. The lines of a head are copied
//! once, names become lower-case where they lie, and a field that nobody changed leaves as the line
//! that it was, together with its neighbours: what a proxy passes on costs one copy each way.

use std::slice;

use super::{COMPACT_FLOOR_BYTES, Entry, Fields, Known, lower, position};

/// The lines of a head, copied into the arena as they came.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    lines: &'a [u8],
    /// Where in the arena they begin.
    start: usize,
}

/// What an encoder writes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// So many whole lines with their ends, names in lower case.
    Lines(&'a [u8], usize),
    /// One field: number of a known name, name, value.
    Field(Option<Known>, &'a [u8], &'a [u8]),
}

/// All fields in order, neighbouring lines in one piece.
pub(crate) struct Pieces<'a> {
    fields: &'a Fields,
    rest: slice::Iter<'a, Entry>,
    apart: u128,
}

impl Fields {
    /// Copies the lines of a head from the one that begins with the slice `first` on. Their fields
    /// are then stored one by one.
    #[inline]
    pub(crate) fn hold<'a>(&mut self, head: &'a [u8], first: &[u8]) -> Held<'a> {
        let lines = &head[offset_in(head, first).unwrap_or(head.len())..];
        let start = self.arena.len();
        self.arena.extend_from_slice(lines);
        Held { lines, start }
    }

    /// Stores a field whose `name`, in any case, and `value` are slices of the lines that are held;
    /// what lies elsewhere is copied.
    ///
    /// `on_known` sees a known name and its value first, and says whether the field is stored at
    /// all. A known name in the set `joined` that is present already gets the value appended to
    /// it, as Envoy does with the headers of its fixed slots.
    #[inline]
    pub(crate) fn push_held(
        &mut self,
        held: &mut Held<'_>,
        name: &[u8],
        value: &[u8],
        joined: u128,
        on_known: impl FnOnce(Known) -> bool,
    ) {
        let mut entry = held.locate(name, value).unwrap_or_else(|| self.copy(name, value));
        let name_start = entry.name_start as usize;
        let name = &mut self.arena[name_start..name_start + name.len()];
        lower(name);
        entry.known = Known::classify(name);
        let name_len = name.len();
        if let Some(known) = entry.known {
            if !on_known(known) {
                return;
            }
            if self.present & joined & known.bit() != 0 {
                return self.join(held, known, value);
            }
            self.present |= known.bit();
        }
        self.entries.push(entry);
        self.live_bytes += name_len + value.len();
    }

    #[cold]
    fn copy(&mut self, name: &[u8], value: &[u8]) -> Entry {
        let name_start = self.arena.len();
        self.arena.extend_from_slice(name);
        self.arena.extend_from_slice(value);
        Entry {
            name_start: position(name_start),
            name_len: position(name.len()),
            value_start: position(name_start + name.len()),
            value_len: position(value.len()),
            known: None,
            is_line: false,
        }
    }

    /// Appends to a value that came in an earlier line. What this leaves behind is packed away as
    /// elsewhere; the lines, of which more is to be read, are then held anew.
    #[cold]
    fn join(&mut self, held: &mut Held<'_>, known: Known, value: &[u8]) {
        let Some(at) = self.position_known(known) else { return };
        self.append_at(at, b",", value);
        let needed = self.live_bytes + held.lines.len();
        if self.arena.len() > 2 * needed + COMPACT_FLOOR_BYTES {
            self.compact();
            held.start = self.arena.len();
            self.arena.extend_from_slice(held.lines);
        }
    }

    /// All fields in order, neighbouring lines that are as they came in one piece. Known names of
    /// the set `apart` come one by one.
    #[inline]
    pub(crate) fn pieces(&self, apart: u128) -> Pieces<'_> {
        Pieces { fields: self, rest: self.entries.iter(), apart }
    }
}

impl Held<'_> {
    /// Where a field lies in the arena.
    #[inline]
    fn locate(&self, name: &[u8], value: &[u8]) -> Option<Entry> {
        let name_at = offset_in(self.lines, name)?;
        let name_end = name_at + name.len();
        // An empty value may be a slice of anything.
        let value_at = if value.is_empty() { name_end } else { offset_in(self.lines, value)? };
        let value_end = value_at + value.len();
        let is_line = self.lines.get(name_end..value_at) == Some(b": ")
            && self.lines.get(value_end..value_end + 2) == Some(b"\r\n");
        Some(Entry {
            name_start: position(self.start + name_at),
            name_len: position(name.len()),
            value_start: position(self.start + value_at),
            value_len: position(value.len()),
            known: None,
            is_line,
        })
    }
}

/// Where `part` begins within `whole`, if it is a slice of it.
#[inline]
fn offset_in(whole: &[u8], part: &[u8]) -> Option<usize> {
    let offset = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    (offset + part.len() <= whole.len()).then_some(offset)
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    #[inline]
    fn next(&mut self) -> Option<Piece<'a>> {
        let entry = self.rest.next()?;
        if !self.is_whole(entry) {
            let (name, value) = (self.fields.name_of(entry), self.fields.value_of(entry));
            return Some(Piece::Field(entry.known, name, value));
        }
        let (mut end, mut count) = (entry.line_end(), 1);
        while let Some(next) = self.rest.as_slice().first() {
            if next.name_start as usize != end || !self.is_whole(next) {
                break;
            }
            (end, count) = (next.line_end(), count + 1);
            self.rest.next();
        }
        Some(Piece::Lines(&self.fields.arena[entry.name_start as usize..end], count))
    }
}

impl Pieces<'_> {
    #[inline]
    fn is_whole(&self, entry: &Entry) -> bool {
        entry.is_line && entry.known.map_or(0, Known::bit) & self.apart == 0
    }
}

impl Entry {
    /// Where in the arena the line of this field ends, if it is one.
    #[inline]
    fn line_end(&self) -> usize {
        self.value_start as usize + self.value_len as usize + b"\r\n".len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds `lines` and stores what stands between `:` and line end, as a parser would slice it.
    fn held(lines: &[u8], joined: u128) -> Fields {
        let mut fields = Fields::new();
        fields.push(b"earlier", b"1");
        let mut held = fields.hold(lines, &lines[..1]);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let colon = line.iter().position(|byte| *byte == b':').unwrap();
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            fields.push_held(&mut held, name, value, joined, |known| known != Known::Host);
        }
        fields
    }

    fn pieces(fields: &Fields, apart: u128) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        fields
            .pieces(apart)
            .map(|piece| match piece {
                Piece::Lines(lines, count) => format!("{count} {}", text(lines)),
                Piece::Field(_, name, value) => format!("{}={}", text(name), text(value)),
            })
            .collect()
    }

    #[test]
    fn neighbours_leave_in_one_piece() {
        let lines =
            b"Accept: a\r\nX-Foo: B\r\nHOST: h\r\nDate: d\r\nx: \r\ny:1\r\nz: 2 \r\nw: 3\r\n";
        let fields = held(lines, 0);
        let expected = ["earlier=1", "2 accept: a\r\nx-foo: B\r\n", "1 date: d\r\n"];
        let rest = ["x=", "y=1", "z=2", "1 w: 3\r\n"];
        assert_eq!(pieces(&fields, 0), [&expected[..], &rest].concat());
        assert_eq!(fields.known(Known::Accept), Some(&b"a"[..]));
        assert_eq!(fields.get("x-foo"), Some(&b"B"[..]));
        assert!(!fields.has(Known::Host));
    }

    #[test]
    fn what_changed_leaves_the_lines() {
        let mut fields = held(b"a: 1\r\nserver: s\r\nb: 2\r\nc: 3\r\ndate: d\r\n", 0);
        fields.set_known(Known::Server, b"t");
        fields.remove("b");
        assert_eq!(
            pieces(&fields, Known::Date.bit()),
            ["earlier=1", "1 a: 1\r\n", "server=t", "1 c: 3\r\n", "date=d"]
        );
        assert_eq!(pieces(&fields, 0)[3], "2 c: 3\r\ndate: d\r\n");
    }

    #[test]
    fn joined_values_are_no_line() {
        let fields = held(b"accept: a\r\nvia: v\r\naccept: b\r\n", Known::Accept.bit());
        assert_eq!(pieces(&fields, 0), ["earlier=1", "accept=a,b", "1 via: v\r\n"]);
    }

    #[test]
    fn what_lies_elsewhere_is_copied() {
        let mut fields = Fields::new();
        let mut held = fields.hold(b"a: 1\r\n", b"");
        fields.push_held(&mut held, b"X-Far", b"2", 0, |_| true);
        fields.push_held(&mut held, b"Date", b"d", 0, |_| true);
        assert_eq!(pieces(&fields, 0), ["x-far=2", "date=d"]);
        assert_eq!(fields.known(Known::Date), Some(&b"d"[..]));
    }

    #[test]
    fn joining_for_ever_stays_small() {
        let lines = b"accept: 0123456789\r\nvia: 0123456789\r\n".repeat(500);
        let fields = held(&lines, Known::Accept.bit() | Known::Via.bit());
        assert_eq!(
            fields.known(Known::Via),
            Some("0123456789,".repeat(500).trim_end_matches(',').as_bytes())
        );
        assert_eq!(fields.len(), 3);
        assert!(fields.capacity_bytes() < 8 * lines.len(), "{}", fields.capacity_bytes());
    }

    #[test]
    fn lines_survive_until_the_arena_is_packed() {
        let mut fields = held(b"a: 1\r\nvia: v\r\n", 0);
        for turn in 0..2000 {
            fields.set(b"earlier", "x".repeat(turn % 60).as_bytes());
        }
        assert_eq!(fields.get("a"), Some(&b"1"[..]));
        assert_eq!(fields.known(Known::Via), Some(&b"v"[..]));
        assert!(fields.capacity_bytes() < 16 * 1024);
    }
}
