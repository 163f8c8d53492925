//! Regular expressions and conditions on strings.

use ringway_model::route::{Pattern, RegexRewrite, StringMatch};

use super::at::At;
use super::proto::matcher;

/// `type.matcher.v3.RegexMatcher`.
pub(super) fn regex(at: &At<'_>, matcher: &matcher::RegexMatcher) -> Option<Pattern> {
    at.field("regex").take(Pattern::new(&matcher.regex))
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
    at.take(RegexRewrite::new(&pattern.regex, &rewrite.substitution))
}

/// `type.matcher.v3.StringMatcher`.
pub(super) fn string(at: &At<'_>, matcher: &matcher::StringMatcher) -> Option<StringMatch> {
    use matcher::string_matcher::MatchPattern as Kind;
    let ignore_case = matcher.ignore_case;
    match matcher.match_pattern.as_ref() {
        Some(Kind::Exact(text)) => Some(StringMatch::exact(text, ignore_case)),
        Some(Kind::Prefix(text)) => Some(StringMatch::prefix(text, ignore_case)),
        Some(Kind::Suffix(text)) => Some(StringMatch::suffix(text, ignore_case)),
        Some(Kind::Contains(text)) => {
            at.field("contains").take(StringMatch::contains(text, ignore_case))
        }
        Some(Kind::SafeRegex(pattern)) => {
            regex(&at.field("safe_regex"), pattern).map(StringMatch::regex)
        }
        _ => {
            at.unsupported("");
            None
        }
    }
}
