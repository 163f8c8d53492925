//! Regular expressions and conditions on strings.

use ringway_model::route::{Pattern, PatternError, RegexRewrite, StringMatch, SubstitutionError};

use super::at::At;
use super::proto::matcher;

/// Reports an expression that cannot be compiled. The engine's own text draws a picture of
/// several lines, of which the last says what is wrong.
fn checked<T>(at: &At<'_>, compiled: Result<T, PatternError>) -> Option<T> {
    let error = match compiled {
        Ok(compiled) => return Some(compiled),
        Err(error) => error,
    };
    let last = error.reason.lines().last().unwrap_or_default();
    let reason = last.strip_prefix("error: ").unwrap_or(last);
    at.invalid(format_args!("invalid regular expression \"{}\": {reason}", error.expression));
    None
}

/// A condition that a string contains a text.
pub(super) fn contains(at: &At<'_>, text: &str, ignore_case: bool) -> Option<StringMatch> {
    checked(at, StringMatch::contains(text, ignore_case))
}

/// `type.matcher.v3.RegexMatcher`.
pub(super) fn regex(at: &At<'_>, matcher: &matcher::RegexMatcher) -> Option<Pattern> {
    checked(&at.field("regex"), Pattern::new(&matcher.regex))
}

/// `type.matcher.v3.RegexMatchAndSubstitute`.
pub(super) fn rewrite(
    at: &At<'_>,
    rewrite: &matcher::RegexMatchAndSubstitute,
) -> Option<RegexRewrite> {
    let Some(pattern) = &rewrite.pattern else {
        at.invalid("a pattern is necessary");
        return None;
    };
    match RegexRewrite::new(&pattern.regex, &rewrite.substitution) {
        Ok(rewrite) => Some(rewrite),
        Err(SubstitutionError::Pattern(error)) => {
            checked(&at.field("pattern").field("regex"), Err(error))
        }
        Err(error) => at.field("substitution").take(Err(error)),
    }
}

/// `type.matcher.v3.StringMatcher`.
pub(super) fn string(at: &At<'_>, matcher: &matcher::StringMatcher) -> Option<StringMatch> {
    use matcher::string_matcher::MatchPattern as Kind;
    let ignore_case = matcher.ignore_case;
    match matcher.match_pattern.as_ref() {
        Some(Kind::Exact(text)) => Some(StringMatch::exact(text, ignore_case)),
        Some(Kind::Prefix(text)) => Some(StringMatch::prefix(text, ignore_case)),
        Some(Kind::Suffix(text)) => Some(StringMatch::suffix(text, ignore_case)),
        Some(Kind::Contains(text)) => contains(&at.field("contains"), text, ignore_case),
        Some(Kind::SafeRegex(pattern)) => {
            regex(&at.field("safe_regex"), pattern).map(StringMatch::regex)
        }
        _ => {
            at.unsupported("");
            None
        }
    }
}
