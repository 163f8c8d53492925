//! Whether a `referer` may pass (RFC 9110 section 10.1.3: neither user information nor a fragment).
//!
//! As Envoy's `Http::Utility::isValidRefererValue` judges; what is not a referer is removed, not
//! refused, and that is the connection manager's part.

use crate::h1::host_len;

/// Whether `value` is an absolute URI without user information and fragment, or a relative
/// reference without fragment.
#[must_use]
pub fn is_valid_referer(value: &[u8]) -> bool {
    match memchr::memmem::find(value, b"://") {
        Some(colon) if is_scheme(&value[..colon]) => is_rest_of_uri(&value[colon + 3..]),
        _ => is_relative(value),
    }
}

fn is_scheme(scheme: &[u8]) -> bool {
    !scheme.is_empty() && scheme.iter().all(u8::is_ascii_alphabetic)
}

/// What follows `scheme://`. A user name is no part of a host, so it fails there.
fn is_rest_of_uri(rest: &[u8]) -> bool {
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
    host_len(authority).is_some()
        && path.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#')
}

/// RFC 3986 section 4.2: the first segment holds no colon.
fn is_relative(value: &[u8]) -> bool {
    let path = memchr::memchr(b'/', value).unwrap_or(value.len());
    let allowed =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@/?".contains(byte);
    !value[..path].contains(&b':') && value.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Envoy 1.40 was seen to do.
    #[test]
    fn envoys_verdict() {
        for (value, valid) in [
            ("", true),
            ("x", true),
            ("/x?y", true),
            ("//h/x", true),
            ("a/b:c", true),
            ("http://h/x", true),
            ("ftp://h/x", true),
            ("http://h/<x>", true),
            ("http://[::1]/", true),
            ("http://u:p@h/x", false),
            ("http://u@h", false),
            ("http://h/x#y", false),
            ("/x#y", false),
            ("/x?y=#", false),
            ("foo:bar", false),
            ("about:blank", false),
            ("http://h/x y", false),
            ("http://", false),
            ("http://h:99999/", false),
            ("http://h/\u{e9}", false),
            ("\"x\"", false),
        ] {
            assert_eq!(is_valid_referer(value.as_bytes()), valid, "{value}");
        }
    }
}
