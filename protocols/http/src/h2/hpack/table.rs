//! The static table (RFC 7541 appendix A) and the dynamic table (section 2.3.2).
//!
//! Names carry a tag, so that a field that comes by index is not classified again.

use std::collections::VecDeque;

use crate::Known;

/// What a field is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are the pseudo header fields' names")]
pub(in crate::h2) enum Name {
    Method,
    Scheme,
    Authority,
    Path,
    Status,
    Protocol,
    /// A pseudo header field that does not exist.
    Unknown,
    Known(Known),
    Other,
}

impl Name {
    /// The tag of a name as it came.
    pub(super) fn classify(name: &[u8]) -> Self {
        if name.first() != Some(&b':') {
            return Known::classify(name).map_or(Self::Other, Self::Known);
        }
        match name {
            b":method" => Self::Method,
            b":scheme" => Self::Scheme,
            b":authority" => Self::Authority,
            b":path" => Self::Path,
            b":status" => Self::Status,
            b":protocol" => Self::Protocol,
            _ => Self::Unknown,
        }
    }
}

/// Number of entries of the static table; its indices begin at 1.
pub(super) const STATIC_LEN: usize = STATIC.len();

/// RFC 7541 appendix A.
pub(super) static STATIC: [(Name, &[u8], &[u8]); 61] = [
    (Name::Authority, b":authority", b""),
    (Name::Method, b":method", b"GET"),
    (Name::Method, b":method", b"POST"),
    (Name::Path, b":path", b"/"),
    (Name::Path, b":path", b"/index.html"),
    (Name::Scheme, b":scheme", b"http"),
    (Name::Scheme, b":scheme", b"https"),
    (Name::Status, b":status", b"200"),
    (Name::Status, b":status", b"204"),
    (Name::Status, b":status", b"206"),
    (Name::Status, b":status", b"304"),
    (Name::Status, b":status", b"400"),
    (Name::Status, b":status", b"404"),
    (Name::Status, b":status", b"500"),
    (Name::Other, b"accept-charset", b""),
    (Name::Known(Known::AcceptEncoding), b"accept-encoding", b"gzip, deflate"),
    (Name::Known(Known::AcceptLanguage), b"accept-language", b""),
    (Name::Known(Known::AcceptRanges), b"accept-ranges", b""),
    (Name::Known(Known::Accept), b"accept", b""),
    (Name::Known(Known::AccessControlAllowOrigin), b"access-control-allow-origin", b""),
    (Name::Known(Known::Age), b"age", b""),
    (Name::Known(Known::Allow), b"allow", b""),
    (Name::Known(Known::Authorization), b"authorization", b""),
    (Name::Known(Known::CacheControl), b"cache-control", b""),
    (Name::Known(Known::ContentDisposition), b"content-disposition", b""),
    (Name::Known(Known::ContentEncoding), b"content-encoding", b""),
    (Name::Known(Known::ContentLanguage), b"content-language", b""),
    (Name::Known(Known::ContentLength), b"content-length", b""),
    (Name::Other, b"content-location", b""),
    (Name::Known(Known::ContentRange), b"content-range", b""),
    (Name::Known(Known::ContentType), b"content-type", b""),
    (Name::Known(Known::Cookie), b"cookie", b""),
    (Name::Known(Known::Date), b"date", b""),
    (Name::Known(Known::Etag), b"etag", b""),
    (Name::Known(Known::Expect), b"expect", b""),
    (Name::Known(Known::Expires), b"expires", b""),
    (Name::Other, b"from", b""),
    (Name::Known(Known::Host), b"host", b""),
    (Name::Known(Known::IfMatch), b"if-match", b""),
    (Name::Known(Known::IfModifiedSince), b"if-modified-since", b""),
    (Name::Known(Known::IfNoneMatch), b"if-none-match", b""),
    (Name::Known(Known::IfRange), b"if-range", b""),
    (Name::Known(Known::IfUnmodifiedSince), b"if-unmodified-since", b""),
    (Name::Known(Known::LastModified), b"last-modified", b""),
    (Name::Known(Known::Link), b"link", b""),
    (Name::Known(Known::Location), b"location", b""),
    (Name::Known(Known::MaxForwards), b"max-forwards", b""),
    (Name::Known(Known::ProxyAuthenticate), b"proxy-authenticate", b""),
    (Name::Known(Known::ProxyAuthorization), b"proxy-authorization", b""),
    (Name::Known(Known::Range), b"range", b""),
    (Name::Known(Known::Referer), b"referer", b""),
    (Name::Other, b"refresh", b""),
    (Name::Known(Known::RetryAfter), b"retry-after", b""),
    (Name::Known(Known::Server), b"server", b""),
    (Name::Known(Known::SetCookie), b"set-cookie", b""),
    (Name::Known(Known::StrictTransportSecurity), b"strict-transport-security", b""),
    (Name::Known(Known::TransferEncoding), b"transfer-encoding", b""),
    (Name::Known(Known::UserAgent), b"user-agent", b""),
    (Name::Known(Known::Vary), b"vary", b""),
    (Name::Known(Known::Via), b"via", b""),
    (Name::Known(Known::WwwAuthenticate), b"www-authenticate", b""),
];

/// RFC 7541 section 4.1: what an entry costs beside its bytes.
pub(super) const ENTRY_OVERHEAD: usize = 32;

/// One entry, oldest first; its name and value stand one behind the other in the bytes.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    name_len: u32,
    value_len: u32,
    name: Name,
    is_sound: bool,
}

impl Entry {
    fn len(&self) -> usize {
        (self.name_len + self.value_len) as usize
    }
}

/// An entry of the dynamic table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    pub(super) tag: Name,
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    /// Whether name and value hold only bytes that a field may hold.
    pub(super) is_sound: bool,
}

/// The dynamic table: entries leave in the order in which they came, so that their bytes are one
/// run in an arena, which is moved to the front from time to time.
#[derive(Debug, Default)]
pub(super) struct Dynamic {
    bytes: Vec<u8>,
    entries: VecDeque<Entry>,
    /// As RFC 7541 section 4.1 counts it; at most `max_size`.
    size: usize,
    max_size: usize,
    /// How often it was changed: while this stays, an index means the same.
    changes: u64,
}

impl Dynamic {
    pub(super) fn new(max_size: usize) -> Self {
        Self { max_size, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn max_size(&self) -> usize {
        self.max_size
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Changes the size and evicts what no longer fits (RFC 7541 section 4.3).
    pub(super) fn resize(&mut self, max_size: usize) {
        self.max_size = max_size;
        self.changes += 1;
        self.evict_to(max_size);
    }

    /// The entry that came as number `back` before the newest, which is 0.
    #[inline]
    pub(super) fn get(&self, back: usize) -> Option<Found<'_>> {
        let at = self.entries.len().checked_sub(back + 1)?;
        let entry = self.entries.get(at)?;
        let start = entry.start as usize;
        let bytes = self.bytes.get(start..start + entry.len())?;
        let (name, value) = bytes.split_at_checked(entry.name_len as usize)?;
        Some(Found { tag: entry.name, name, value, is_sound: entry.is_sound })
    }

    /// Adds an entry; one that is larger than the table empties it (RFC 7541 section 4.4).
    /// Whether it is in the table now.
    pub(super) fn insert(&mut self, tag: Name, name: &[u8], value: &[u8], is_sound: bool) -> bool {
        let cost = name.len() + value.len() + ENTRY_OVERHEAD;
        self.changes += 1;
        if cost > self.max_size {
            self.evict_to(0);
            return false;
        }
        self.evict_to(self.max_size - cost);
        self.compact();
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        let (name_len, value_len) = (name.len() as u32, value.len() as u32);
        self.entries.push_back(Entry { start, name_len, value_len, name: tag, is_sound });
        self.size += cost;
        true
    }

    fn evict_to(&mut self, size: usize) {
        while self.size > size {
            let Some(entry) = self.entries.pop_front() else { break };
            self.size -= entry.len() + ENTRY_OVERHEAD;
        }
    }

    /// Moves the live bytes to the front once the dead ones weigh half a table.
    fn compact(&mut self) {
        let Some(first) = self.entries.front() else { return self.bytes.clear() };
        let dead = first.start;
        if (dead as usize) <= self.max_size / 2 {
            return;
        }
        self.bytes.drain(..dead as usize);
        for entry in &mut self.entries {
            entry.start -= dead;
        }
    }
}
