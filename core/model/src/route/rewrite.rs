//! Rewriting of paths, and the space in which values are composed.

use ringway_http::{Known, RequestHead};
use thiserror::Error;

use super::matching::RouteMatch;
use super::pattern::{Pattern, PatternError, SLOTS};

/// Space for values that are being composed. Its storage is reused: a worker keeps one.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) bytes: Vec<u8>,
    /// Of a list of mutations: which one, and where its value ends in `bytes`.
    pub(super) pieces: Vec<(usize, usize)>,
}

impl Scratch {
    /// Empty, without storage.
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.pieces.clear();
    }
}

/// How a path is rewritten.
#[derive(Debug, Default)]
pub enum PathRewrite {
    /// Not at all.
    #[default]
    None,
    /// `prefix_rewrite`: what stands for the matched part. An empty text is no rewrite, as in
    /// Envoy.
    Prefix(Box<[u8]>),
    /// `regex_rewrite`: on the path without its query.
    Regex(RegexRewrite),
}

impl PathRewrite {
    /// Rewrites the path of `head`, and keeps what the client sent in `x-envoy-original-path`
    /// unless `suppress_envoy_headers`. Returns whether anything was to be rewritten.
    pub(super) fn apply(
        &self,
        matcher: &RouteMatch,
        head: &mut RequestHead,
        suppress_envoy_headers: bool,
        scratch: &mut Scratch,
    ) -> bool {
        scratch.clear();
        let path = head.path();
        let without_query = head.path_without_query();
        match self {
            Self::None => return false,
            Self::Prefix(text) if text.is_empty() => return false,
            Self::Prefix(text) => {
                scratch.bytes.extend_from_slice(text);
                let rest = &path[matcher.matched_len(without_query)..];
                scratch.bytes.extend_from_slice(rest);
            }
            Self::Regex(rewrite) => {
                rewrite.replace_all(without_query, &mut scratch.bytes);
                if scratch.bytes.is_empty() {
                    // A path cannot be empty: Envoy leaves the one that came.
                    return false;
                }
                scratch.bytes.extend_from_slice(&path[without_query.len()..]);
            }
        }
        if !suppress_envoy_headers {
            set_original_path(head);
        }
        // The old path becomes the next scratch space.
        std::mem::swap(head.path_mut(), &mut scratch.bytes);
        true
    }
}

fn set_original_path(head: &mut RequestHead) {
    let path = std::mem::take(head.path_mut());
    head.fields.set_known(Known::XEnvoyOriginalPath, &path);
    *head.path_mut() = path;
}

/// `RegexMatchAndSubstitute`: every match of the pattern is replaced.
#[derive(Debug)]
pub struct RegexRewrite {
    pattern: Pattern,
    substitution: Substitution,
}

/// A substitution with `\0` (the whole match) to `\9`, and `\\`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Substitution {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(Box<[u8]>),
    Group(usize),
}

/// What is wrong with a substitution.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SubstitutionError {
    /// A `\` before something else than a digit or `\`.
    #[error("a '\\' must be followed by a digit or by '\\'")]
    BadEscape,
    /// A group that the pattern does not have.
    #[error("\\{group} is used, and the pattern has {groups} groups")]
    NoSuchGroup {
        /// The group of the substitution.
        group: usize,
        /// How many the pattern has.
        groups: usize,
    },
    /// The pattern is invalid.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

impl RegexRewrite {
    /// Compiles a pattern with its substitution.
    pub fn new(pattern: &str, substitution: &str) -> Result<Self, SubstitutionError> {
        let pattern = Pattern::new(pattern)?;
        let substitution = Substitution::new(substitution)?;
        let groups = pattern.groups();
        match substitution.highest_group() {
            Some(group) if group > groups => Err(SubstitutionError::NoSuchGroup { group, groups }),
            _ => Ok(Self { pattern, substitution }),
        }
    }

    /// Appends `text` with every match replaced, as RE2's `GlobalReplace` does.
    pub fn replace_all(&self, text: &[u8], out: &mut Vec<u8>) {
        let mut slots = [None; SLOTS];
        let mut copied = 0;
        let mut at = 0;
        let mut last_end = None;
        while at <= text.len() {
            let Some((start, end)) = self.pattern.find_at(text, at, &mut slots) else { break };
            if start == end && last_end == Some(start) {
                // An empty match directly behind a match is not one.
                at = start + 1;
                continue;
            }
            out.extend_from_slice(&text[copied..start]);
            for piece in &self.substitution.pieces {
                match piece {
                    Piece::Literal(literal) => out.extend_from_slice(literal),
                    Piece::Group(group) => {
                        if let (Some(from), Some(to)) = (slots[group * 2], slots[group * 2 + 1]) {
                            out.extend_from_slice(&text[from.get()..to.get()]);
                        }
                    }
                }
            }
            copied = end;
            last_end = Some(end);
            at = if start == end { end + 1 } else { end };
        }
        out.extend_from_slice(&text[copied..]);
    }
}

impl Substitution {
    /// Reads a substitution.
    pub fn new(source: &str) -> Result<Self, SubstitutionError> {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut bytes = source.bytes();
        while let Some(byte) = bytes.next() {
            if byte != b'\\' {
                literal.push(byte);
                continue;
            }
            match bytes.next() {
                Some(b'\\') => literal.push(b'\\'),
                Some(digit @ b'0'..=b'9') => {
                    flush(&mut literal, &mut pieces);
                    pieces.push(Piece::Group(usize::from(digit - b'0')));
                }
                _ => return Err(SubstitutionError::BadEscape),
            }
        }
        flush(&mut literal, &mut pieces);
        Ok(Self { pieces })
    }

    fn highest_group(&self) -> Option<usize> {
        let group = |piece: &Piece| match piece {
            Piece::Group(group) => Some(*group),
            Piece::Literal(_) => None,
        };
        self.pieces.iter().filter_map(group).max()
    }
}

fn flush(literal: &mut Vec<u8>, pieces: &mut Vec<Piece>) {
    if !literal.is_empty() {
        pieces.push(Piece::Literal(std::mem::take(literal).into_boxed_slice()));
    }
}
