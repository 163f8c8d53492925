//! Regular expressions as RE2 reads them (Envoy `RegexMatcher`, `google_re2`).
//!
//! Both engines are linear in the text, so that no text can make a match slow. Where their
//! syntaxes differ, [`translate`] writes RE2's in the words of the engine here.

mod re2;

use regex_automata::meta::Regex;
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};
use thiserror::Error;

use self::re2::translate;

/// A compiled regular expression.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// Finds matches anywhere.
    search: Regex,
    /// Matches the whole text.
    full: Regex,
    source: Box<str>,
}

/// What is wrong with a regular expression.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid regular expression \"{expression}\": {reason}")]
pub struct PatternError {
    /// The expression.
    pub expression: String,
    /// Why it is invalid.
    pub reason: String,
}

/// Groups that a substitution can name: `\0` to `\9`, two positions each.
pub(super) const SLOTS: usize = 20;

/// How large an expression may grow when it is compiled.
const SIZE_LIMIT_BYTES: usize = 4 << 20;

impl Pattern {
    /// Compiles an expression.
    pub fn new(source: &str) -> Result<Self, PatternError> {
        let wrong = |reason: String| PatternError { expression: source.to_owned(), reason };
        let translated = translate(source);
        // RE2's \d, \w and \s are those of ASCII. Classes that only Unicode has need Unicode.
        let (unicode, search) = match build(&translated, false) {
            Ok(search) => (false, search),
            Err(_) => (true, build(&translated, true).map_err(wrong)?),
        };
        // The expression is valid on its own, so that the group cannot change its meaning.
        let full = build(&format!(r"\A(?:{translated})\z"), unicode).map_err(wrong)?;
        Ok(Self { search, full, source: source.into() })
    }

    /// The text itself, anywhere: no character is special in it.
    pub(super) fn literal(text: &str, ignore_case: bool) -> Result<Self, PatternError> {
        let flags = if ignore_case { "(?i)" } else { "" };
        Self::new(&format!("{flags}{}", regex_syntax::escape(text)))
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// How many groups it has, the whole match not counted.
    pub fn groups(&self) -> usize {
        self.search.captures_len() - 1
    }

    /// Whether the whole text matches.
    pub fn is_full_match(&self, text: &[u8]) -> bool {
        self.full.is_match(Input::new(text).anchored(Anchored::Yes).earliest(true))
    }

    /// Whether a part of the text matches.
    pub(super) fn is_match(&self, text: &[u8]) -> bool {
        self.search.is_match(text)
    }

    /// The first match at or behind `start`, with the positions of its groups in `slots`.
    pub(super) fn find_at(
        &self,
        text: &[u8],
        start: usize,
        slots: &mut [Option<NonMaxUsize>; SLOTS],
    ) -> Option<(usize, usize)> {
        let used = slots.len().min(self.search.captures_len() * 2);
        let input = Input::new(text).range(start..);
        self.search.search_slots(&input, &mut slots[..used])?;
        Some((slots[0]?.get(), slots[1]?.get()))
    }
}

fn build(source: &str, unicode: bool) -> Result<Regex, String> {
    Regex::builder()
        .configure(Regex::config().utf8_empty(false).nfa_size_limit(Some(SIZE_LIMIT_BYTES)))
        .syntax(syntax::Config::new().unicode(unicode).utf8(false))
        .build(source)
        .map_err(|error| match error.syntax_error() {
            Some(syntax) => syntax.to_string(),
            None => error.to_string(),
        })
}
