//! Rules about strings and bytes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use envoy_types::pb::validate::string_rules::WellKnown;
use envoy_types::pb::validate::{BytesRules, KnownRegex, StringRules};
use regex::Regex;

/// The patterns met so far, compiled. A pattern that does not compile is kept as `None`; a unit
/// test sees to it that the API has none.
#[derive(Default)]
pub(super) struct Patterns {
    compiled: HashMap<String, Option<Regex>>,
}

impl Patterns {
    /// What is wrong with a string, in the words of protoc-gen-validate.
    pub(super) fn string(&mut self, rules: &StringRules, text: &str) -> Option<String> {
        if rules.ignore_empty() && text.is_empty() {
            return None;
        }
        if let Some(wanted) = rules.r#const.as_ref().filter(|wanted| *wanted != text) {
            return Some(format!("value must equal {wanted:?}"));
        }
        let characters = text.chars().count() as u64;
        length(characters, rules.len, rules.min_len, rules.max_len, "characters")
            .or_else(|| {
                let bytes = text.len() as u64;
                length(bytes, rules.len_bytes, rules.min_bytes, rules.max_bytes, "bytes")
            })
            .or_else(|| parts(rules, text))
            .or_else(|| listed(rules, text))
            .or_else(|| well_known(rules, text))
            .or_else(|| self.pattern(rules, text))
    }

    fn pattern(&mut self, rules: &StringRules, text: &str) -> Option<String> {
        let pattern = rules.pattern.as_ref()?;
        let regex = self.compiled.entry(pattern.clone()).or_insert_with(|| compile(pattern));
        let fails = regex.as_ref().is_some_and(|regex| !regex.is_match(text));
        fails.then(|| format!("value does not match regex pattern {pattern:?}"))
    }
}

/// The patterns of the API are RE2, of which the regex crate knows what the API uses.
pub(super) fn compile(pattern: &str) -> Option<Regex> {
    Regex::new(pattern).ok()
}

pub(super) fn bytes(rules: &BytesRules, bytes: &[u8]) -> Option<String> {
    if rules.ignore_empty() && bytes.is_empty() {
        return None;
    }
    if rules.r#const.as_ref().is_some_and(|wanted| wanted != bytes) {
        return Some("value must equal a constant".to_owned());
    }
    let count = bytes.len() as u64;
    let contains =
        |part: &Vec<u8>| part.is_empty() || bytes.windows(part.len()).any(|window| window == part);
    length(count, rules.len, rules.min_len, rules.max_len, "bytes")
        .or_else(|| fails(&rules.prefix, |part| bytes.starts_with(part), "have the prefix"))
        .or_else(|| fails(&rules.suffix, |part| bytes.ends_with(part), "have the suffix"))
        .or_else(|| fails(&rules.contains, contains, "contain the bytes"))
}

fn length(
    count: u64,
    exact: Option<u64>,
    min: Option<u64>,
    max: Option<u64>,
    unit: &str,
) -> Option<String> {
    if let Some(exact) = exact.filter(|exact| *exact != count) {
        return Some(format!("value length must be {exact} {unit}"));
    }
    let outside = min.is_some_and(|min| count < min) || max.is_some_and(|max| count > max);
    let bounds = match (min, max) {
        (Some(min), Some(max)) => format!("between {min} and {max} {unit}, inclusive"),
        (Some(min), None) => format!("at least {min} {unit}"),
        (None, Some(max)) => format!("at most {max} {unit}"),
        (None, None) => return None,
    };
    outside.then(|| format!("value length must be {bounds}"))
}

fn fails<T: std::fmt::Debug>(
    part: &Option<T>,
    holds: impl Fn(&T) -> bool,
    verb: &str,
) -> Option<String> {
    let part = part.as_ref().filter(|part| !holds(part))?;
    Some(format!("value does not {verb} {part:?}"))
}

fn parts(rules: &StringRules, text: &str) -> Option<String> {
    fails(&rules.prefix, |part| text.starts_with(part.as_str()), "have prefix")
        .or_else(|| fails(&rules.suffix, |part| text.ends_with(part.as_str()), "have suffix"))
        .or_else(|| {
            fails(&rules.contains, |part| text.contains(part.as_str()), "contain substring")
        })
        .or_else(|| {
            let part = rules.not_contains.as_ref().filter(|part| text.contains(part.as_str()))?;
            Some(format!("value contains substring {part:?}"))
        })
}

fn listed(rules: &StringRules, text: &str) -> Option<String> {
    let has = |list: &[String]| list.iter().any(|item| item == text);
    if !rules.r#in.is_empty() && !has(&rules.r#in) {
        return Some(format!("value must be in list [{}]", rules.r#in.join(", ")));
    }
    has(&rules.not_in).then(|| format!("value must not be in list [{}]", rules.not_in.join(", ")))
}

fn well_known(rules: &StringRules, text: &str) -> Option<String> {
    let (holds, what) = match rules.well_known.as_ref()? {
        WellKnown::Email(true) => (is_email(text), "email address"),
        WellKnown::Hostname(true) => (is_hostname(text), "hostname"),
        WellKnown::Ip(true) => (text.parse::<IpAddr>().is_ok(), "IP address"),
        WellKnown::Ipv4(true) => (text.parse::<Ipv4Addr>().is_ok(), "IPv4 address"),
        WellKnown::Ipv6(true) => (text.parse::<Ipv6Addr>().is_ok(), "IPv6 address"),
        WellKnown::Uri(true) => (is_uri(text), "URI"),
        WellKnown::UriRef(true) => (is_uri_reference(text), "URI"),
        WellKnown::Address(true) => {
            (is_hostname(text) || text.parse::<IpAddr>().is_ok(), "hostname, or ip address")
        }
        WellKnown::Uuid(true) => (is_uuid(text), "UUID"),
        WellKnown::WellKnownRegex(known) => {
            let strict = rules.strict.unwrap_or(true);
            return header(KnownRegex::try_from(*known).ok()?, strict, text);
        }
        _ => return None,
    };
    (!holds).then(|| format!("value must be a valid {what}"))
}

/// The two patterns of protoc-gen-validate for header names and values (RFC 9110 sections 5.1 and
/// 5.5); not strict, they only keep out what would break the framing of HTTP/1.
fn header(known: KnownRegex, strict: bool, text: &str) -> Option<String> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_|~`".contains(&b);
    let holds = match known {
        KnownRegex::Unknown => true,
        _ if !strict => !text.bytes().any(|b| matches!(b, 0 | b'\n' | b'\r')),
        KnownRegex::HttpHeaderName => {
            let name = text.strip_prefix(':').unwrap_or(text);
            !name.is_empty() && name.bytes().all(token)
        }
        KnownRegex::HttpHeaderValue => !text.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f),
    };
    let what = if known == KnownRegex::HttpHeaderName { "name" } else { "value" };
    (!holds).then(|| format!("value must be a valid HTTP header {what}: {text:?}"))
}

/// RFC 1034 section 3.5, as protoc-gen-validate reads it: labels of letters, digits and hyphens.
fn is_hostname(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn is_email(text: &str) -> bool {
    text.len() <= 254
        && text
            .rsplit_once('@')
            .is_some_and(|(local, host)| (1..=64).contains(&local.len()) && is_hostname(host))
}

/// RFC 3986 section 3: a scheme is what makes a URI of a reference.
fn is_uri(text: &str) -> bool {
    let scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    };
    text.split_once(':').is_some_and(|(before, rest)| scheme(before) && is_uri_reference(rest))
}

fn is_uri_reference(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"{}|\\^`".contains(&b))
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths = groups.iter().map(|group| group.len());
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_and_values() {
        let name = |strict, text| header(KnownRegex::HttpHeaderName, strict, text).is_none();
        assert!(name(true, "x-foo") && name(true, ":path"));
        assert!(!name(true, "x foo") && !name(true, "") && !name(true, "x\r\ny"));
        assert!(name(false, "x foo") && name(false, "") && !name(false, "x\ny"));
        let value = |text| header(KnownRegex::HttpHeaderValue, true, text).is_none();
        assert!(value("a b\tc") && value("") && !value("a\nb") && !value("\u{7f}"));
    }

    #[test]
    fn names_and_addresses() {
        assert!(is_hostname("a-b.example.com.") && is_hostname("1"));
        assert!(!is_hostname("-a") && !is_hostname("a..b") && !is_hostname("a_b"));
        assert!(is_uri("https://a/b?c") && is_uri("urn:x") && !is_uri("/a") && !is_uri("1:x"));
        assert!(is_uuid("123e4567-e89b-12d3-a456-426614174000") && !is_uuid("123e4567"));
        assert!(is_email("a@b.c") && !is_email("@b.c") && !is_email("a"));
    }
}
