//! RE2's syntax in the words of the engine here.
//!
//! Owns the few constructs that RE2 takes and the engine refuses or reads differently. What is
//! invalid stays as it is, for the engine to refuse.

use std::iter::Peekable;
use std::str::CharIndices;

/// Rewrites `\Q...\E`, a `{` that begins no repetition, and what is special only to the engine
/// inside of a class.
pub(super) fn translate(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut chars = source.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => escape(source, &mut chars, &mut out),
            '[' => class(&mut chars, &mut out),
            '{' if !is_repetition(&source[at..]) => out.push_str(r"\{"),
            other => out.push(other),
        }
    }
    out
}

/// Whether a text begins with `{n}`, `{n,}` or `{n,m}`.
fn is_repetition(text: &str) -> bool {
    let Some((inside, _)) = text[1..].split_once('}') else { return false };
    let (low, high) = inside.split_once(',').unwrap_or((inside, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !low.is_empty() && digits(low) && digits(high)
}

/// What follows a `\` outside of a class.
fn escape(source: &str, chars: &mut Peekable<CharIndices<'_>>, out: &mut String) {
    match chars.next() {
        Some((at, 'Q')) => {
            let text = &source[at + 1..];
            let length = text.find(r"\E").unwrap_or(text.len());
            out.push_str(&regex_syntax::escape(&text[..length]));
            let end = at + 1 + length + r"\E".len();
            while chars.next_if(|(at, _)| *at < end).is_some() {}
        }
        // Any byte at all.
        Some((_, 'C')) => out.push_str("(?s-u:.)"),
        // `\pN`, `\p{Greek}`: the brace belongs to the escape.
        Some((_, letter @ ('p' | 'P' | 'x'))) => {
            out.extend(['\\', letter]);
            if chars.next_if(|(_, char)| *char == '{').is_some() {
                out.push('{');
            }
        }
        Some((_, other)) => out.extend(['\\', other]),
        None => out.push('\\'),
    }
}

/// A class behind its `[`. In RE2 a `[` inside of it is a character, and there are no set
/// operations.
fn class(chars: &mut Peekable<CharIndices<'_>>, out: &mut String) {
    out.push('[');
    if chars.next_if(|(_, char)| *char == '^').is_some() {
        out.push('^');
    }
    // A `]` in the first place is a character.
    if chars.next_if(|(_, char)| *char == ']').is_some() {
        out.push_str(r"\]");
    }
    while let Some((_, char)) = chars.next() {
        match char {
            ']' => {
                out.push(']');
                return;
            }
            '[' if chars.peek().is_some_and(|(_, next)| *next == ':') => named(chars, out),
            '[' | '&' | '~' => out.extend(['\\', char]),
            '-' if out.ends_with('-') => out.push_str(r"\-"),
            '\\' => {
                out.push('\\');
                out.extend(chars.next().map(|(_, char)| char));
            }
            other => out.push(other),
        }
    }
}

/// `[:alpha:]`, behind its first bracket.
fn named(chars: &mut Peekable<CharIndices<'_>>, out: &mut String) {
    out.push('[');
    for (_, char) in chars.by_ref() {
        out.push(char);
        if char == ']' {
            return;
        }
    }
}
