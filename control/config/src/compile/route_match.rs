//! When a route matches (Envoy `RouteMatch`).

use ringway_model::route::{
    CookieMatch, Fraction, HeaderCondition, HeaderMatch, PathMatch, QueryCondition, QueryMatch,
    RequestField, RouteMatch, StringMatch,
};

use super::at::At;
use super::pattern;
use super::proto::{core, route};
use super::value::or_bool;
use route::header_matcher::HeaderMatchSpecifier;
use route::query_parameter_matcher::QueryParameterMatchSpecifier;

pub(super) fn route_match(at: &At<'_>, matcher: &route::RouteMatch) -> Option<RouteMatch> {
    let path = path(at, matcher);
    let headers = each(&at.field("headers"), &matcher.headers, header);
    let query = each(&at.field("query_parameters"), &matcher.query_parameters, query);
    let cookies = each(&at.field("cookies"), &matcher.cookies, cookie);
    let tls = matcher.tls_context.as_ref();
    Some(RouteMatch {
        path: path?,
        case_sensitive: or_bool(matcher.case_sensitive, true),
        headers: headers?,
        query: query?,
        cookies: cookies?,
        runtime_fraction: matcher.runtime_fraction.as_ref().map(fraction),
        grpc: matcher.grpc.is_some(),
        cert_presented: tls.and_then(|tls| tls.presented).map(|presented| presented.value),
        cert_validated: tls.and_then(|tls| tls.validated).map(|validated| validated.value),
    })
}

/// All elements, or none if one of them is wrong.
fn each<T, M>(
    at: &At<'_>,
    list: &[M],
    compile: impl Fn(&At<'_>, &M) -> Option<T>,
) -> Option<Vec<T>> {
    let all = list.iter().enumerate().map(|(index, one)| compile(&at.index(index), one));
    // Collected twice, so that each element has its say.
    all.collect::<Vec<_>>().into_iter().collect()
}

fn path(at: &At<'_>, matcher: &route::RouteMatch) -> Option<PathMatch> {
    use route::route_match::PathSpecifier as Kind;
    match matcher.path_specifier.as_ref() {
        Some(Kind::Prefix(text)) => Some(PathMatch::prefix(text)),
        Some(Kind::Path(text)) => Some(PathMatch::exact(text)),
        Some(Kind::PathSeparatedPrefix(text)) => Some(PathMatch::separated_prefix(text)),
        Some(Kind::SafeRegex(regex)) => {
            pattern::regex(&at.field("safe_regex"), regex).map(PathMatch::Regex)
        }
        Some(Kind::ConnectMatcher(_)) => Some(PathMatch::Connect),
        _ => {
            at.unsupported("");
            None
        }
    }
}

fn header(at: &At<'_>, matcher: &route::HeaderMatcher) -> Option<HeaderMatch> {
    let name = RequestField::new(&matcher.name);
    if name.is_none() {
        let name = &matcher.name;
        at.field("name").invalid(format_args!("\"{name}\" is not the name of a header"));
    }
    let condition = condition(at, matcher.header_match_specifier.as_ref());
    Some(HeaderMatch {
        name: name?,
        condition: condition?,
        invert: matcher.invert_match,
        treat_missing_as_empty: matcher.treat_missing_header_as_empty,
    })
}

fn condition(at: &At<'_>, specifier: Option<&HeaderMatchSpecifier>) -> Option<HeaderCondition> {
    use HeaderMatchSpecifier as Kind;
    let string = match specifier {
        None => return Some(HeaderCondition::Present(true)),
        Some(Kind::PresentMatch(present)) => return Some(HeaderCondition::Present(*present)),
        Some(Kind::RangeMatch(range)) => {
            return Some(HeaderCondition::Range { start: range.start, end: range.end });
        }
        Some(Kind::StringMatch(matcher)) => pattern::string(&at.field("string_match"), matcher),
        Some(Kind::ExactMatch(text)) => Some(StringMatch::exact(text, false)),
        Some(Kind::PrefixMatch(text)) => Some(StringMatch::prefix(text, false)),
        Some(Kind::SuffixMatch(text)) => Some(StringMatch::suffix(text, false)),
        Some(Kind::ContainsMatch(text)) => {
            pattern::contains(&at.field("contains_match"), text, false)
        }
        Some(Kind::SafeRegexMatch(regex)) => {
            pattern::regex(&at.field("safe_regex_match"), regex).map(StringMatch::regex)
        }
    };
    string.map(HeaderCondition::String)
}

fn query(at: &At<'_>, matcher: &route::QueryParameterMatcher) -> Option<QueryMatch> {
    use QueryParameterMatchSpecifier as Kind;
    let condition = match matcher.query_parameter_match_specifier.as_ref() {
        None => QueryCondition::Present(true),
        Some(Kind::PresentMatch(present)) => QueryCondition::Present(*present),
        Some(Kind::StringMatch(matcher)) => {
            QueryCondition::String(pattern::string(&at.field("string_match"), matcher)?)
        }
    };
    Some(QueryMatch { name: matcher.name.as_bytes().into(), condition })
}

fn cookie(at: &At<'_>, matcher: &route::CookieMatcher) -> Option<CookieMatch> {
    let Some(value) = &matcher.string_match else {
        at.invalid("a string_match is necessary");
        return None;
    };
    Some(CookieMatch {
        name: matcher.name.as_bytes().into(),
        value: pattern::string(&at.field("string_match"), value)?,
        invert: matcher.invert_match,
    })
}

/// There is no runtime to ask, so that the default value is the value.
fn fraction(runtime: &core::RuntimeFractionalPercent) -> Fraction {
    use envoy_types::pb::envoy::r#type::v3::fractional_percent::DenominatorType;
    let percent = runtime.default_value.unwrap_or_default();
    let denominator = match DenominatorType::try_from(percent.denominator) {
        Ok(DenominatorType::TenThousand) => 10_000,
        Ok(DenominatorType::Million) => 1_000_000,
        Ok(DenominatorType::Hundred) | Err(_) => 100,
    };
    Fraction { numerator: percent.numerator, denominator }
}
