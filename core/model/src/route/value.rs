//! Conditions on strings, headers, query parameters and cookies.

use ringway_http::{FieldName, Known, RequestHead};

use super::field::RequestField;
use super::mutation::is_single_in_requests;
use super::pattern::{Pattern, PatternError};

/// A condition on a string (Envoy `StringMatcher`).
#[derive(Debug)]
pub struct StringMatch {
    kind: StringKind,
    ignore_case: bool,
}

#[derive(Debug)]
enum StringKind {
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    /// As an expression: linear in the text whatever the text is.
    Contains(Pattern),
    Regex(Pattern),
}

impl StringMatch {
    /// `exact`
    pub fn exact(text: &str, ignore_case: bool) -> Self {
        Self { kind: StringKind::Exact(text.as_bytes().into()), ignore_case }
    }

    /// `prefix`
    pub fn prefix(text: &str, ignore_case: bool) -> Self {
        Self { kind: StringKind::Prefix(text.as_bytes().into()), ignore_case }
    }

    /// `suffix`
    pub fn suffix(text: &str, ignore_case: bool) -> Self {
        Self { kind: StringKind::Suffix(text.as_bytes().into()), ignore_case }
    }

    /// `contains`; fails when the text is too long to be compiled.
    pub fn contains(text: &str, ignore_case: bool) -> Result<Self, PatternError> {
        let kind = StringKind::Contains(Pattern::literal(text, ignore_case)?);
        Ok(Self { kind, ignore_case })
    }

    /// `safe_regex`: the whole text; `ignore_case` has no effect on it.
    pub fn regex(pattern: Pattern) -> Self {
        Self { kind: StringKind::Regex(pattern), ignore_case: false }
    }

    /// Whether a text matches.
    pub fn matches(&self, text: &[u8]) -> bool {
        match &self.kind {
            StringKind::Exact(expected) => self.same(text, expected),
            StringKind::Prefix(prefix) => {
                text.get(..prefix.len()).is_some_and(|start| self.same(start, prefix))
            }
            StringKind::Suffix(suffix) => {
                let start = text.len().checked_sub(suffix.len());
                start.is_some_and(|start| self.same(&text[start..], suffix))
            }
            StringKind::Contains(pattern) => pattern.is_match(text),
            StringKind::Regex(pattern) => pattern.is_full_match(text),
        }
    }

    fn same(&self, a: &[u8], b: &[u8]) -> bool {
        if self.ignore_case { a.eq_ignore_ascii_case(b) } else { a == b }
    }
}

/// A condition on a request header (Envoy `HeaderMatcher`).
#[derive(Debug)]
pub struct HeaderMatch {
    /// `name`.
    pub name: RequestField,
    /// What is asked of it.
    pub condition: HeaderCondition,
    /// `invert_match`.
    pub invert: bool,
    /// `treat_missing_header_as_empty`.
    pub treat_missing_as_empty: bool,
}

/// What is asked of a header.
#[derive(Debug)]
pub enum HeaderCondition {
    /// `present_match`, or nothing at all (true): whether it is there.
    Present(bool),
    /// `string_match` and its older forms.
    String(StringMatch),
    /// `range_match`: a decimal number in `start..end`.
    Range {
        /// The first number that matches.
        start: i64,
        /// The first number that does not match any more.
        end: i64,
    },
}

impl HeaderMatch {
    /// Whether a request meets it.
    pub fn matches(&self, head: &RequestHead) -> bool {
        let first = self.name.first(head);
        match &self.condition {
            HeaderCondition::Present(present) => {
                let is_there = first.is_some() || self.treat_missing_as_empty;
                (is_there == *present) != self.invert
            }
            condition => match first {
                // A missing header meets no condition on its value, not even an inverted one.
                None if !self.treat_missing_as_empty => false,
                None => condition.holds(b"") != self.invert,
                Some(first) => self.any_holds(condition, first, head) != self.invert,
            },
        }
    }

    /// Of several fields of one name it is enough that one meets the condition
    /// (`envoy.reloadable_features.match_headers_individually`, on in 1.40), unless Envoy keeps
    /// that header as one field: then it is one value, joined by commas.
    fn any_holds(&self, condition: &HeaderCondition, first: &[u8], head: &RequestHead) -> bool {
        match self.name.name() {
            None => condition.holds(first),
            Some(FieldName::Other(name)) => {
                head.fields.values(&**name).any(|value| condition.holds(value))
            }
            Some(FieldName::Known(known)) if !is_single_in_requests(*known) => {
                head.fields.values_known(*known).any(|value| condition.holds(value))
            }
            Some(FieldName::Known(known)) => {
                if head.fields.values_known(*known).nth(1).is_none() {
                    return condition.holds(first);
                }
                // Rare enough for a value of its own.
                let all: Vec<&[u8]> = head.fields.values_known(*known).collect();
                condition.holds(&all.join(&b','))
            }
        }
    }
}

impl HeaderCondition {
    fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::Present(present) => *present,
            Self::String(matcher) => matcher.matches(value),
            Self::Range { start, end } => {
                integer(value).is_some_and(|value| (*start..*end).contains(&value))
            }
        }
    }
}

fn integer(value: &[u8]) -> Option<i64> {
    // Rust reads what absl's SimpleAtoi reads: a sign, then digits and nothing else.
    std::str::from_utf8(value).ok()?.trim_ascii().parse().ok()
}

/// A condition on a query parameter (Envoy `QueryParameterMatcher`): the first of its name counts,
/// as it stands in the URL.
#[derive(Debug)]
pub struct QueryMatch {
    /// `name`.
    pub name: Box<[u8]>,
    /// What is asked of it.
    pub condition: QueryCondition,
}

/// What is asked of a query parameter.
#[derive(Debug)]
pub enum QueryCondition {
    /// `present_match`, or nothing at all (true).
    Present(bool),
    /// `string_match`
    String(StringMatch),
}

impl QueryMatch {
    /// Whether a request meets it.
    pub fn matches(&self, head: &RequestHead) -> bool {
        let mut pairs = query_pairs(head.query().unwrap_or_default());
        let value = pairs.find(|(name, _)| *name == &*self.name).map(|(_, value)| value);
        match &self.condition {
            QueryCondition::Present(present) => value.is_some() == *present,
            QueryCondition::String(matcher) => value.is_some_and(|value| matcher.matches(value)),
        }
    }
}

/// The parameters of a query, as they stand there; one without `=` has an empty value.
pub(crate) fn query_pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let end = query.iter().position(|byte| *byte == b'#').unwrap_or(query.len());
    query[..end].split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| match pair
        .iter()
        .position(|byte| *byte == b'=')
    {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, &pair[pair.len()..]),
    })
}

/// A condition on a cookie (Envoy `CookieMatcher`).
#[derive(Debug)]
pub struct CookieMatch {
    /// `name`.
    pub name: Box<[u8]>,
    /// `string_match`.
    pub value: StringMatch,
    /// `invert_match`.
    pub invert: bool,
}

impl CookieMatch {
    /// Whether a request meets it.
    pub fn matches(&self, head: &RequestHead) -> bool {
        let mut cookies = head.fields.values_known(Known::Cookie).flat_map(cookie_pairs);
        let found = cookies.find(|(name, _)| *name == &*self.name);
        found.is_some_and(|(_, value)| self.value.matches(value)) != self.invert
    }
}

/// The pairs of a `cookie` header (RFC 6265 section 4.2.1), with the blanks that Envoy leaves:
/// only those before a name go.
pub(super) fn cookie_pairs(header: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    header.split(|byte| *byte == b';').filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let value = &pair[at + 1..];
        let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        Some((pair[..at].trim_ascii_start(), unquoted.unwrap_or(value)))
    })
}

/// A share of all requests (Envoy `FractionalPercent`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fraction {
    /// `numerator`.
    pub numerator: u32,
    /// `denominator`: 100, 10 000 or 1 000 000.
    pub denominator: u32,
}

impl Fraction {
    /// Whether the request with this random number belongs to the share.
    pub fn holds(self, random: u64) -> bool {
        random % u64::from(self.denominator.max(1)) < u64::from(self.numerator)
    }
}
