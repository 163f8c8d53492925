//! What matchers and formats may read of a request head.

use ringway_http::{FieldName, Known, RequestHead};

/// A header or pseudo header of a request. `host` is another name of `:authority`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestField {
    /// `:authority`, `host`
    Authority,
    /// `:method`
    Method,
    /// `:path`
    Path,
    /// `:scheme`
    Scheme,
    /// A header.
    Field(FieldName),
    /// A pseudo header that HTTP/1 requests never have (`:protocol`).
    Absent,
}

impl RequestField {
    /// The field of this name, in any case. `None` when no request can have it.
    pub fn new(name: &str) -> Option<Self> {
        if !name.starts_with(':') {
            return FieldName::new(name).map(|name| match name {
                FieldName::Known(Known::Host) => Self::Authority,
                name => Self::Field(name),
            });
        }
        let pseudo = name.to_ascii_lowercase();
        Some(match pseudo.as_str() {
            ":authority" => Self::Authority,
            ":method" => Self::Method,
            ":path" => Self::Path,
            ":scheme" => Self::Scheme,
            _ => Self::Absent,
        })
    }

    /// The value, or the first of several.
    pub fn first<'a>(&self, head: &'a RequestHead) -> Option<&'a [u8]> {
        let some = |value: &'a [u8]| Some(value).filter(|value| !value.is_empty());
        match self {
            Self::Authority => head.has_authority().then(|| head.authority()),
            Self::Method => some(head.method()),
            Self::Path => some(head.path()),
            Self::Scheme => some(head.scheme()),
            Self::Field(name) => head.fields.get_named(name),
            Self::Absent => None,
        }
    }

    /// The header's name, if this is not a pseudo header.
    pub(super) fn name(&self) -> Option<&FieldName> {
        match self {
            Self::Field(name) => Some(name),
            _ => None,
        }
    }
}
