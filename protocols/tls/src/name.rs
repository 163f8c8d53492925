//! Names in certificates, and what a configuration wants of them.

use std::net::IpAddr;

use regex::Regex;

use crate::certificate::Names;

/// Which kind of subject alternative name is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameKind {
    /// `DNS`; an exact text also meets a wildcard in the certificate.
    Dns,
    /// `URI`.
    Uri,
    /// `EMAIL`.
    Email,
    /// `IP_ADDRESS`, compared as text in its canonical form.
    Ip,
    /// `OTHER_NAME` of this object identifier, in dotted decimals.
    Other(String),
}

/// How a text is compared.
#[derive(Debug, Clone)]
pub enum Text {
    /// Equal.
    Exact(String),
    /// Begins so.
    Prefix(String),
    /// Ends so.
    Suffix(String),
    /// Has it somewhere.
    Contains(String),
    /// Matches from end to end, see [`Text::regex`].
    Regex(Regex),
}

impl Text {
    /// A regular expression that has to match the whole text, as Envoy's `safe_regex` does.
    pub fn regex(pattern: &str) -> Result<Self, regex::Error> {
        // Compiled alone first, so that `a)(b` cannot leave the group.
        Regex::new(pattern)?;
        Regex::new(&format!("^(?:{pattern})$")).map(Self::Regex)
    }

    fn matches(&self, value: &str, ignore_case: bool) -> bool {
        let lower = |text: &str| text.to_ascii_lowercase();
        match (self, ignore_case) {
            (Self::Exact(text), false) => value == text,
            (Self::Exact(text), true) => value.eq_ignore_ascii_case(text),
            (Self::Prefix(text), false) => value.starts_with(text.as_str()),
            (Self::Prefix(text), true) => lower(value).starts_with(&lower(text)),
            (Self::Suffix(text), false) => value.ends_with(text.as_str()),
            (Self::Suffix(text), true) => lower(value).ends_with(&lower(text)),
            (Self::Contains(text), false) => value.contains(text.as_str()),
            (Self::Contains(text), true) => lower(value).contains(&lower(text)),
            // Envoy: `ignore_case` has no effect on a regular expression.
            (Self::Regex(regex), _) => regex.is_match(value),
        }
    }
}

/// One entry of `match_typed_subject_alt_names`.
#[derive(Debug, Clone)]
pub struct NameMatcher {
    /// The kind of name that it looks at.
    pub kind: NameKind,
    /// What the name has to be.
    pub text: Text,
    /// `ignore_case` of Envoy's `StringMatcher`.
    pub ignore_case: bool,
}

impl NameMatcher {
    pub(crate) fn matches(&self, names: &Names) -> bool {
        match &self.kind {
            NameKind::Dns => names.dns.iter().any(|name| self.matches_dns(name)),
            NameKind::Uri => self.any(&names.uri),
            NameKind::Email => self.any(&names.email),
            NameKind::Ip => names.ip.iter().any(|ip| self.matches_ip(*ip)),
            NameKind::Other(wanted) => names
                .other
                .iter()
                .any(|(oid, value)| oid == wanted && self.text.matches(value, self.ignore_case)),
        }
    }

    fn any(&self, names: &[String]) -> bool {
        names.iter().any(|name| self.text.matches(name, self.ignore_case))
    }

    fn matches_dns(&self, name: &str) -> bool {
        match &self.text {
            Text::Exact(wanted) => dns_name_matches(wanted, name),
            text => text.matches(name, self.ignore_case),
        }
    }

    fn matches_ip(&self, ip: IpAddr) -> bool {
        match &self.text {
            // Two spellings of one IPv6 address are one address.
            Text::Exact(wanted) => wanted.parse() == Ok(ip),
            text => text.matches(&ip.to_string(), self.ignore_case),
        }
    }
}

/// Whether `name` is what the certificate's `pattern` stands for. RFC 6125 section 6.4.3: a
/// wildcard is the whole leftmost label and stands for exactly one label.
pub(crate) fn dns_name_matches(name: &str, pattern: &str) -> bool {
    let Some(suffix) = pattern.strip_prefix("*.") else {
        return name.eq_ignore_ascii_case(pattern);
    };
    let rest = name.split_once('.').filter(|(label, _)| !label.is_empty());
    // `*.com` would speak for every site.
    suffix.contains('.') && rest.is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(suffix))
}

#[cfg(test)]
mod tests {
    use super::dns_name_matches;

    #[test]
    fn wildcards_stand_for_one_label() {
        for (name, pattern, expected) in [
            ("a.test", "A.TEST", true),
            ("x.a.test", "*.a.test", true),
            ("X.a.test", "*.A.test", true),
            ("a.test", "*.a.test", false),
            ("y.x.a.test", "*.a.test", false),
            (".a.test", "*.a.test", false),
            ("a.test", "*.test", false),
            ("xa.b.test", "x*.b.test", false),
        ] {
            assert_eq!(dns_name_matches(name, pattern), expected, "{name} {pattern}");
        }
    }
}
