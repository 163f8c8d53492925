use super::*;

fn check<R>(
    transform: impl Fn(&[u8], &mut Vec<u8>) -> R,
    path: &str,
    expected: &str,
    result: impl Fn(R) -> bool,
) {
    let mut out = b"left over".to_vec();
    let changed = result(transform(path.as_bytes(), &mut out));
    assert_eq!(String::from_utf8(out).unwrap(), expected, "{path:?}");
    assert_eq!(changed, path != expected, "{path:?}");
}

/// Path, then what Envoy 1.40 makes of it by `normalize_path`, by `merge_slashes` alone, and by
/// UNESCAPE_AND_FORWARD alone. `-` says that it is unchanged.
#[rustfmt::skip]
const ENVOY: &[(&str, &str, &str, &str)] = &[
    ("/", "-", "-", "-"),
    ("/a", "-", "-", "-"),
    ("/a/./b", "/a/b", "-", "-"),
    ("/a/../b", "/b", "-", "-"),
    ("/../a", "/a", "-", "-"),
    ("/..", "/", "-", "-"),
    ("/.", "/", "-", "-"),
    ("/a/..", "/", "-", "-"),
    ("/a/.", "/a/", "-", "-"),
    ("/a/../..", "/", "-", "-"),
    ("/a/b/../../..", "/", "-", "-"),
    ("/a//b", "-", "/a/b", "-"),
    ("//", "-", "-", "-"),
    ("//a", "-", "/a", "-"),
    ("///a//b///", "-", "/a/b/", "-"),
    ("/a/b/", "-", "-", "-"),
    ("/a?x=/../y//z", "-", "-", "-"),
    ("/a/..?q", "/?q", "-", "-"),
    ("/%2e%2e/a", "/a", "-", "-"),
    ("/a/%2e/b", "/a/b", "-", "-"),
    ("/a/%2E%2e/b", "/b", "-", "-"),
    ("/a/.%2e/b", "/b", "-", "-"),
    ("/a%2fb", "-", "-", "/a/b"),
    ("/a%2Fb", "-", "-", "/a/b"),
    ("/a%5cb", "-", "-", "/a\\b"),
    ("/a%5Cb", "-", "-", "/a\\b"),
    ("/a\\b", "/a/b", "-", "-"),
    ("/a\\..\\b", "/b", "-", "-"),
    ("/\\a", "//a", "-", "-"),
    ("/a/b\\", "/a/b/", "-", "-"),
    ("/%41%42", "/AB", "-", "-"),
    ("/%7e", "/~", "-", "-"),
    ("/%7Ea", "/~a", "-", "-"),
    ("/a%20b", "-", "-", "-"),
    ("/%zz", "-", "-", "-"),
    ("/%", "-", "-", "-"),
    ("/%4", "-", "-", "-"),
    ("/a%", "-", "-", "-"),
    ("/a%2", "-", "-", "-"),
    ("/%00", "400", "-", "-"),
    ("/a%00b", "400", "-", "-"),
    ("/a%0a", "-", "-", "-"),
    ("/%ff", "-", "-", "-"),
    ("/%C3%A9", "-", "-", "-"),
    ("/%c3%a9", "-", "-", "-"),
    ("/a+b", "-", "-", "-"),
    ("/a;b", "-", "-", "-"),
    ("/a;b/../c", "/c", "-", "-"),
    ("/a/..;/b", "/b", "-", "-"),
    ("/..;/a", "/a", "-", "-"),
    ("/a/..;x/b", "/b", "-", "-"),
    ("/.;/a", "/a", "-", "-"),
    ("/a/.;b/c", "/a/c", "-", "-"),
    ("/<>", "/%3C%3E", "-", "-"),
    ("/\"", "/%22", "-", "-"),
    ("/{}", "/%7B%7D", "-", "-"),
    ("/|^`", "/%7C%5E%60", "-", "-"),
    ("/[]", "-", "-", "-"),
    ("/'", "-", "-", "-"),
    ("/a@b:c", "-", "-", "-"),
    ("/~a", "-", "-", "-"),
    ("/a,b!$&()*=", "-", "-", "-"),
    ("/...", "-", "-", "-"),
    ("/.../a", "-", "-", "-"),
    ("/..a", "-", "-", "-"),
    ("/a..", "-", "-", "-"),
    ("/.a/b", "-", "-", "-"),
    ("/%2f%2f", "-", "-", "///"),
    ("/%2f..%2fa", "-", "-", "//../a"),
    ("/a%2f..%2fb", "-", "-", "/a/../b"),
    ("/a%252fb", "-", "-", "-"),
    ("/%252e%252e/a", "-", "-", "-"),
    ("/a?%2f", "-", "-", "-"),
    ("/a%2f?x=%2F", "-", "-", "/a/?x=%2F"),
    ("/a/%2e%2e", "/", "-", "-"),
    ("/a/%2e", "/a/", "-", "-"),
    ("/..%2f..", "-", "-", "/../.."),
    ("/a/b/..//c", "/a//c", "/a/b/../c", "-"),
    ("/a//../b", "/a/b", "/a/../b", "-"),
    ("//..//a", "//a", "/../a", "-"),
    ("/a//./b", "/a//b", "/a/./b", "-"),
    ("/%2e", "/", "-", "-"),
    ("/?", "-", "-", "-"),
    ("/a?", "-", "-", "-"),
    ("/??a", "-", "-", "-"),
    ("/%2", "-", "-", "-"),
    ("/a%2f", "-", "-", "/a/"),
    ("/%2fa", "-", "-", "//a"),
    ("/%5c%2f", "-", "-", "/\\/"),
    ("/a%2f%2fb", "-", "-", "/a//b"),
    ("/.%2e", "/", "-", "-"),
    ("/%2E%2E", "/", "-", "-"),
    ("/a/b/%2e%2e/c?d=%2e%2e", "/a/c?d=%2e%2e", "-", "-"),
    ("/%2a%2A", "-", "-", "-"),
    ("/%61%3f", "/a%3f", "-", "-"),
    ("/a%3Fb%23c", "-", "-", "-"),
    ("/a%3bb", "-", "-", "-"),
    ("/%25", "-", "-", "-"),
    ("/%2525", "-", "-", "-"),
    ("/%7f", "-", "-", "-"),
    ("/%80", "-", "-", "-"),
    ("/%21%22%23%24%25%26%27%28%29%2a%2b%2c%2d%2e%2f", "/%21%22%23%24%25%26%27%28%29%2a%2b%2c-.%2f", "-", "/%21%22%23%24%25%26%27%28%29%2a%2b%2c%2d%2e/"),
    ("/%3a%3b%3c%3d%3e%3f%40", "-", "-", "-"),
    ("/%5b%5c%5d%5e%5f%60", "/%5b%5c%5d%5e_%60", "-", "/%5b\\%5d%5e%5f%60"),
    ("/%7b%7c%7d%7e%7f", "/%7b%7c%7d~%7f", "-", "-"),
    ("/!\"$%&'()*+,-./", "/!%22$%&'()*+,-./", "-", "-"),
];

#[test]
fn paths_as_envoy() {
    for (path, normalized, merged, unescaped) in ENVOY {
        let or_same = |expected: &'static str| if expected == "-" { *path } else { expected };
        check(merge_slashes, path, or_same(merged), |changed| changed);
        check(unescape_slashes, path, or_same(unescaped), |changed| changed);
        match *normalized {
            "400" => assert_eq!(normalize_path(path.as_bytes(), &mut Vec::new()), Err(InvalidPath)),
            _ => check(normalize_path, path, or_same(normalized), Result::unwrap),
        }
    }
}

#[test]
fn normalisation_is_idempotent() {
    for (path, ..) in ENVOY {
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        if normalize_path(path.as_bytes(), &mut once).is_ok() {
            assert_eq!(normalize_path(&once, &mut twice), Ok(false), "{path:?}");
        }
    }
}

#[test]
fn only_absolute_paths_can_be_normalised() {
    for path in ["", "*", "a", "?a", "\\a"] {
        assert_eq!(normalize_path(path.as_bytes(), &mut Vec::new()), Err(InvalidPath), "{path:?}");
    }
}

/// CVE-2021-29492, CVE-2026-73511: escapes and parameters must not hide dot segments.
#[test]
fn hidden_dot_segments_are_found() {
    for path in ["/a/%2e%2e/b", "/a/..;/b", "/a/.%2E;x/b", "/a\\..\\b", "/a/%2e%2e;%2f/b"] {
        check(normalize_path, path, "/b", Result::unwrap);
    }
}

/// Host, then the lengths without a matching port (49463) and without any port.
#[test]
fn ports_as_envoy() {
    for (host, matching, any) in [
        ("h", "h", "h"),
        ("h:80", "h:80", "h"),
        ("h:49463", "h", "h"),
        ("h:0049463", "h", "h"),
        ("h:", "h:", "h:"),
        ("h:x", "h:x", "h:x"),
        ("h:99999", "h:99999", "h"),
        ("h:99999999999", "h:99999999999", "h:99999999999"),
        ("h:+80", "h:+80", "h"),
        ("[::1]", "[::1]", "[::1]"),
        ("[::1]:80", "[::1]:80", "[::1]"),
        ("[::1]:49463", "[::1]", "[::1]"),
        ("::1", "::1", ":"),
        ("a:b:80", "a:b:80", "a:b"),
        ("h:80:80", "h:80:80", "h:80"),
        (":80", ":80", ""),
        ("", "", ""),
    ] {
        assert_eq!(strip_matching_host_port(host.as_bytes(), 49463), matching.len(), "{host}");
        assert_eq!(strip_any_host_port(host.as_bytes()), any.len(), "{host}");
    }
}

#[test]
fn trailing_dots_as_envoy() {
    for (host, expected) in [
        ("h", "h"),
        ("h.", "h"),
        ("h.:80", "h:80"),
        ("h..", "h."),
        ("h.:", "h:"),
        ("[::1].", "[::1]"),
        ("[::1]:80", "[::1]:80"),
        ("1.2.3.4.:5", "1.2.3.4:5"),
        (".", ""),
        ("h:80.", "h:80"),
        (":80", ":80"),
        ("", ""),
    ] {
        let mut stripped = host.as_bytes().to_vec();
        assert_eq!(strip_trailing_host_dot(&mut stripped), host != expected, "{host}");
        assert_eq!(String::from_utf8(stripped).unwrap(), expected, "{host}");
    }
}

/// An escape would be made of it that the rule for escapes refuses.
#[test]
fn a_bare_nul_is_refused_like_an_escaped_one() {
    for path in [&b"/\0"[..], b"/a\0b/c", b"/%00"] {
        assert_eq!(normalize_path(path, &mut Vec::new()), Err(InvalidPath), "{path:?}");
    }
}
