//! `match_typed_subject_alt_names`, and the older list without kinds.

use ringway_tls::{NameKind, NameMatcher, Text};

use super::super::at::At;
use super::super::pattern;
use super::super::proto::{matcher, tls};

/// Both lists as one: a certificate is good when any of them fits.
pub(super) fn all(
    at: &At<'_>,
    message: &tls::CertificateValidationContext,
) -> Option<Vec<NameMatcher>> {
    let at_typed = at.field("match_typed_subject_alt_names");
    let typed = message.match_typed_subject_alt_names.iter().enumerate();
    let typed =
        typed.map(|(index, one)| self::typed(&at_typed.index(index), one).map(|one| vec![one]));
    let at_plain = at.field("match_subject_alt_names");
    let plain = message.match_subject_alt_names.iter().enumerate();
    let plain = plain.map(|(index, one)| untyped(&at_plain.index(index), one));
    let all: Vec<_> = typed.chain(plain).collect();
    all.into_iter().collect::<Option<Vec<_>>>().map(|lists| lists.concat())
}

fn typed(at: &At<'_>, message: &tls::SubjectAltNameMatcher) -> Option<NameMatcher> {
    use tls::subject_alt_name_matcher::SanType;
    let kind = match SanType::try_from(message.san_type) {
        Ok(SanType::Email) => NameKind::Email,
        Ok(SanType::Dns) => NameKind::Dns,
        Ok(SanType::Uri) => NameKind::Uri,
        Ok(SanType::IpAddress) => NameKind::Ip,
        Ok(SanType::OtherName) if is_oid(&message.oid) => NameKind::Other(message.oid.clone()),
        Ok(SanType::OtherName) => {
            at.field("oid").invalid(format_args!(
                "Failed to create SAN matcher for OTHER_NAME with OID: {}",
                message.oid
            ));
            return None;
        }
        // The rules of the API refuse this.
        Ok(SanType::Unspecified) | Err(_) => return None,
    };
    let (text, ignore_case) = text(&at.field("matcher"), message.matcher.as_ref()?)?;
    Some(NameMatcher { kind, text, ignore_case })
}

/// Dotted decimals, two at least.
fn is_oid(text: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.contains('.') && text.split('.').all(number)
}

/// Envoy looks at names of every kind.
fn untyped(at: &At<'_>, message: &matcher::StringMatcher) -> Option<Vec<NameMatcher>> {
    let (text, ignore_case) = text(at, message)?;
    let kinds = [NameKind::Dns, NameKind::Uri, NameKind::Email, NameKind::Ip];
    let each = kinds.into_iter().map(|kind| NameMatcher { kind, text: text.clone(), ignore_case });
    Some(each.collect())
}

fn text(at: &At<'_>, message: &matcher::StringMatcher) -> Option<(Text, bool)> {
    use matcher::string_matcher::MatchPattern as Kind;
    // Says what is wrong with a pattern, as for every other matcher of texts.
    pattern::string(at, message)?;
    let text = match message.match_pattern.as_ref()? {
        Kind::Exact(text) => Text::Exact(text.clone()),
        Kind::Prefix(text) => Text::Prefix(text.clone()),
        Kind::Suffix(text) => Text::Suffix(text.clone()),
        Kind::Contains(text) => Text::Contains(text.clone()),
        Kind::SafeRegex(regex) => {
            at.field("safe_regex").field("regex").take(Text::regex(&regex.regex))?
        }
        Kind::Custom(_) => return None,
    };
    Some((text, message.ignore_case))
}
