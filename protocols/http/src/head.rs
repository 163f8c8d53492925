//! Heads of requests and responses, in storage that is reused from message to message.
//!
//! Owns the parts of a head and their views. Does not own how a head looks on the wire (`h1`) nor
//! how paths and hosts are normalised (`normalize`).

use crate::fields::Fields;

/// The protocol version of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0, and HTTP/0.9 where it is accepted.
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2
    Http2,
}

impl Version {
    /// As Envoy's `%PROTOCOL%` writes it: `HTTP/1.1`, `HTTP/2`.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// The methods that a proxy tells apart; every other one is `Other`. Methods are case-sensitive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the variants are the methods' names")]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    Other,
}

impl Method {
    /// The method of this name.
    #[inline]
    #[must_use]
    pub fn classify(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }
}

/// The head of a request.
///
/// The `host` field is not among `fields`: it is the authority, as in Envoy's `:authority`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// All fields but `host`.
    pub fields: Fields,
    method_text: Vec<u8>,
    method: Method,
    path: Vec<u8>,
    authority: Vec<u8>,
    has_authority: bool,
    scheme: Vec<u8>,
    version: Version,
}

impl RequestHead {
    /// An empty head without storage.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything and keeps the storage.
    pub fn clear(&mut self) {
        self.fields.clear();
        self.method_text.clear();
        self.method = Method::Get;
        self.path.clear();
        self.clear_authority();
        self.scheme.clear();
        self.version = Version::Http11;
    }

    /// Becomes the same as `other`, in the storage that it has.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.fields.copy_from(&other.fields);
        self.method_text.clone_from(&other.method_text);
        self.method = other.method;
        self.path.clone_from(&other.path);
        self.authority.clone_from(&other.authority);
        self.has_authority = other.has_authority;
        self.scheme.clone_from(&other.scheme);
        self.version = other.version;
    }

    /// The method as it stood in the request.
    #[inline]
    #[must_use]
    pub fn method(&self) -> &[u8] {
        &self.method_text
    }

    /// The method as an enum.
    #[inline]
    #[must_use]
    pub fn method_kind(&self) -> Method {
        self.method
    }

    /// Sets the method.
    pub fn set_method(&mut self, name: &[u8]) {
        replace(&mut self.method_text, name);
        self.method = Method::classify(name);
    }

    /// The path with its query. Empty for CONNECT in authority form, `*` for `OPTIONS *`.
    #[inline]
    #[must_use]
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The path up to `?` (or to `#`, which only a refused request still carries).
    #[inline]
    #[must_use]
    pub fn path_without_query(&self) -> &[u8] {
        let end = memchr::memchr2(b'?', b'#', &self.path);
        &self.path[..end.unwrap_or(self.path.len())]
    }

    /// What follows the first `?` of the path.
    #[must_use]
    pub fn query(&self) -> Option<&[u8]> {
        let at = memchr::memchr(b'?', &self.path)?;
        Some(&self.path[at + 1..])
    }

    /// Whether the path carries a `#fragment`, for which Envoy answers 400
    /// (`path_normalization_failed`).
    #[must_use]
    pub fn has_fragment(&self) -> bool {
        memchr::memchr(b'#', &self.path).is_some()
    }

    /// Sets the path with its query.
    pub fn set_path(&mut self, path: &[u8]) {
        replace(&mut self.path, path);
    }

    /// The storage of the path, for rewrites that swap it with a buffer.
    pub fn path_mut(&mut self) -> &mut Vec<u8> {
        &mut self.path
    }

    /// The host with its port as sent; empty when there is none.
    #[inline]
    #[must_use]
    pub fn authority(&self) -> &[u8] {
        &self.authority
    }

    /// Whether the request named an authority at all. An HTTP/1.1 request without one gets 400
    /// (`missing_host_header`) from the connection manager.
    #[inline]
    #[must_use]
    pub fn has_authority(&self) -> bool {
        self.has_authority
    }

    /// Sets the authority.
    pub fn set_authority(&mut self, authority: &[u8]) {
        replace(&mut self.authority, authority);
        self.has_authority = true;
    }

    /// Removes the authority.
    pub fn clear_authority(&mut self) {
        self.authority.clear();
        self.has_authority = false;
    }

    /// Cuts the authority to its first `len` bytes (to strip a port).
    pub fn truncate_authority(&mut self, len: usize) {
        self.authority.truncate(len);
    }

    /// The storage of the authority, for rewrites in place.
    pub fn authority_mut(&mut self) -> &mut Vec<u8> {
        self.has_authority = true;
        &mut self.authority
    }

    /// Takes a `host` line. Envoy joins the values of several with a comma.
    #[inline]
    pub(crate) fn join_authority(&mut self, more: &[u8]) {
        if !self.authority.is_empty() && !more.is_empty() {
            self.authority.push(b',');
        }
        self.authority.extend_from_slice(more);
        self.has_authority = true;
    }

    /// The scheme: of the absolute-form URI, of `:scheme`, or what the connection manager set.
    #[inline]
    #[must_use]
    pub fn scheme(&self) -> &[u8] {
        &self.scheme
    }

    /// Sets the scheme.
    pub fn set_scheme(&mut self, scheme: &[u8]) {
        replace(&mut self.scheme, scheme);
    }

    /// The protocol version of the request.
    #[inline]
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Sets the protocol version.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// Size as Envoy's `HeaderMap::byteSize` counts it, pseudo headers included.
    #[must_use]
    pub fn byte_size(&self) -> usize {
        let pseudo =
            |name: usize, value: &[u8]| if value.is_empty() { 0 } else { name + value.len() };
        self.fields.byte_size()
            + pseudo(":method".len(), &self.method_text)
            + pseudo(":path".len(), &self.path)
            + pseudo(":authority".len(), &self.authority)
            + pseudo(":scheme".len(), &self.scheme)
    }
}

/// The head of a response. The reason phrase of the peer is not kept: the encoder writes the
/// standard one, as Envoy does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead {
    /// 100 to 999; 0 in a head that was cleared.
    pub status: u16,
    /// The protocol version of the response.
    pub version: Version,
    /// All fields.
    pub fields: Fields,
}

impl ResponseHead {
    /// An empty head without storage.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything and keeps the storage.
    pub fn clear(&mut self) {
        self.status = 0;
        self.version = Version::Http11;
        self.fields.clear();
    }
}

/// Trailers are fields.
pub type Trailers = Fields;

fn replace(target: &mut Vec<u8>, value: &[u8]) {
    target.clear();
    target.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_views() {
        let mut head = RequestHead::new();
        for (path, without_query, query, fragment) in [
            ("/a?b=c?d", "/a", Some("b=c?d"), false),
            ("/a", "/a", None, false),
            ("/a?", "/a", Some(""), false),
            ("/a#x", "/a", None, true),
            ("*", "*", None, false),
        ] {
            head.set_path(path.as_bytes());
            assert_eq!(head.path_without_query(), without_query.as_bytes());
            assert_eq!(head.query(), query.map(str::as_bytes));
            assert_eq!(head.has_fragment(), fragment, "{path}");
        }
    }

    #[test]
    fn clear_forgets_everything() {
        let mut head = RequestHead::new();
        head.set_method(b"POST");
        head.set_path(b"/x");
        head.set_authority(b"h");
        head.set_scheme(b"https");
        head.set_version(Version::Http10);
        head.fields.push(b"a", b"b");
        head.clear();
        assert_eq!(head, RequestHead::new());
        assert_eq!(head.byte_size(), 0);
    }

    #[test]
    fn an_empty_authority_is_not_a_missing_one() {
        let mut head = RequestHead::new();
        assert!(!head.has_authority());
        head.set_authority(b"");
        assert!(head.has_authority());
        assert_eq!(head.authority(), b"");
    }
}
