//! The request target (RFC 9112 section 3.2).

use crate::{Method, RequestError, RequestHead};

/// Splits `target` into authority and path, by its form. Returns whether it named the authority,
/// which then wins over `host` (RFC 9112 section 3.2.2).
pub(super) fn read_target(
    target: &[u8],
    allow_absolute_url: bool,
    head: &mut RequestHead,
) -> Result<bool, RequestError> {
    // httparse takes obs-text here; Envoy does not.
    if !target.is_ascii() {
        return Err(RequestError::Malformed("invalid request target"));
    }
    match (head.method_kind(), target.first()) {
        (Method::Connect, _) => read_authority_form(target, head),
        (_, Some(b'/')) => Ok(keep_as_path(target, head)),
        (method, Some(b'*')) => match method == Method::Options || !allow_absolute_url {
            true => Ok(keep_as_path(target, head)),
            false => Err(RequestError::InvalidTarget),
        },
        _ => read_absolute_form(target, allow_absolute_url, head),
    }
}

fn keep_as_path(target: &[u8], head: &mut RequestHead) -> bool {
    head.set_path(target);
    false
}

/// RFC 9112 section 3.2.3: CONNECT names a host and a port.
fn read_authority_form(target: &[u8], head: &mut RequestHead) -> Result<bool, RequestError> {
    let port = host_len(target).ok_or(RequestError::InvalidTarget)?;
    if port == target.len() {
        return Err(RequestError::InvalidTarget);
    }
    head.set_authority(target);
    Ok(true)
}

/// RFC 9112 section 3.2.2. The scheme is kept: Envoy serves `https://` over plain text too, and
/// the connection manager has the word on it.
fn read_absolute_form(
    target: &[u8],
    allowed: bool,
    head: &mut RequestHead,
) -> Result<bool, RequestError> {
    let malformed = RequestError::Malformed("invalid request target");
    let colon = memchr::memmem::find(target, b"://").ok_or(malformed)?;
    let (scheme, rest) = (&target[..colon], &target[colon + 3..]);
    if !scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)) {
        return Err(malformed);
    }
    if !allowed {
        return Ok(keep_as_path(target, head));
    }
    set_scheme(scheme, head)?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
    // RFC 9110 section 4.2.4: userinfo is of no use here; Envoy drops it.
    let host = memchr::memrchr(b'@', authority).map_or(authority, |at| &authority[at + 1..]);
    host_len(host).ok_or(RequestError::InvalidTarget)?;
    head.set_authority(host);
    set_path_of_uri(path, head);
    Ok(true)
}

fn set_scheme(scheme: &[u8], head: &mut RequestHead) -> Result<(), RequestError> {
    if scheme.eq_ignore_ascii_case(b"http") {
        head.set_scheme(b"http");
    } else if scheme.eq_ignore_ascii_case(b"https") {
        head.set_scheme(b"https");
    } else {
        return Err(RequestError::InvalidScheme);
    }
    Ok(())
}

/// An empty path means `/` (RFC 9112 section 3.2.1).
fn set_path_of_uri(path: &[u8], head: &mut RequestHead) {
    let whole = head.path_mut();
    whole.clear();
    if path.first() != Some(&b'/') {
        whole.push(b'/');
    }
    whole.extend_from_slice(path);
}

/// Length of the host in `host[:port]`; `None` when either is not valid in a URI, as Envoy sees
/// it: names of letters, digits, `-`, `.` and `%`, addresses in brackets, ports of 16 bits.
pub(crate) fn host_len(authority: &[u8]) -> Option<usize> {
    let len = match authority.first()? {
        b'[' => bracketed_len(authority)?,
        _ => memchr::memchr(b':', authority).unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(len);
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.%".contains(byte);
    let valid = !host.is_empty() && (host[0] == b'[' || host.iter().all(is_name));
    (valid && is_port(port)).then_some(len)
}

fn bracketed_len(authority: &[u8]) -> Option<usize> {
    let end = memchr::memchr(b']', authority)?;
    let is_address = |byte: &u8| byte.is_ascii_hexdigit() || b":.".contains(byte);
    (end > 2 && authority[1..end].iter().all(is_address)).then_some(end + 1)
}

/// Nothing, or a colon with a number of 16 bits.
fn is_port(port: &[u8]) -> bool {
    match port.split_first() {
        None => true,
        Some((b':', digits)) => {
            (1..=5).contains(&digits.len())
                && digits.iter().all(u8::is_ascii_digit)
                && digits.iter().fold(0, |port, digit| port * 10 + u32::from(digit - b'0'))
                    <= u32::from(u16::MAX)
        }
        Some(_) => false,
    }
}

/// Whether every byte of a `host` field may stand in an authority, as Envoy's
/// `HeaderUtility::authorityIsValid` has it.
pub(super) fn is_authority(host: &[u8]) -> bool {
    host.iter().all(|byte| AUTHORITY[*byte as usize])
}

const AUTHORITY: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let char = byte as u8;
        table[byte] = char.is_ascii_alphanumeric()
            || matches!(char, b'!' | b'$'..=b'.' | b':' | b';' | b'=' | b'@' | b'[' | b']')
            || matches!(char, b'_' | b'~');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, target: &str) -> Result<(String, String, String), RequestError> {
        let mut head = RequestHead::new();
        head.set_method(method.as_bytes());
        head.set_authority(b"HOST");
        read_target(target.as_bytes(), true, &mut head)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ok((text(head.scheme()), text(head.authority()), text(head.path())))
    }

    #[test]
    fn targets_that_envoy_accepts() {
        for (method, target, scheme, authority, path) in [
            ("GET", "/", "", "HOST", "/"),
            ("GET", "//a", "", "HOST", "//a"),
            ("GET", "/a?http://c", "", "HOST", "/a?http://c"),
            ("GET", "/\"<>{}|^`\\[]%zz", "", "HOST", "/\"<>{}|^`\\[]%zz"),
            ("GET", "/a#f", "", "HOST", "/a#f"),
            ("OPTIONS", "*", "", "HOST", "*"),
            ("GET", "http://x/y", "http", "x", "/y"),
            ("GET", "http://x", "http", "x", "/"),
            ("GET", "http://x?q", "http", "x", "/?q"),
            ("GET", "hTTp://X:80/y", "http", "X:80", "/y"),
            ("GET", "https://x/y", "https", "x", "/y"),
            ("GET", "http://u:p@x/y", "http", "x", "/y"),
            ("GET", "http://[::1]:8/y", "http", "[::1]:8", "/y"),
            ("GET", "http://x/a?b=http://c", "http", "x", "/a?b=http://c"),
            ("CONNECT", "h:80", "", "h:80", ""),
            ("CONNECT", "h:0", "", "h:0", ""),
            ("CONNECT", "[::1]:80", "", "[::1]:80", ""),
        ] {
            let expected = (scheme.into(), authority.into(), path.into());
            assert_eq!(read(method, target), Ok(expected), "{method} {target}");
        }
    }

    #[test]
    fn targets_that_envoy_refuses() {
        let malformed = RequestError::Malformed("invalid request target");
        for (method, target, error) in [
            ("GET", "a", malformed),
            ("GET", "?x", malformed),
            ("GET", "#", malformed),
            ("GET", "\\", malformed),
            ("GET", "http:/x", malformed),
            ("GET", "h:80", malformed),
            ("GET", "urn:x", malformed),
            ("GET", "/\u{e9}", malformed),
            ("GET", "*", RequestError::InvalidTarget),
            ("PUT", "*", RequestError::InvalidTarget),
            ("GET", "ftp://x/y", RequestError::InvalidScheme),
            ("GET", "ws://x/y", RequestError::InvalidScheme),
            ("GET", "http:///y", RequestError::InvalidTarget),
            ("GET", "http://x:/y", RequestError::InvalidTarget),
            ("GET", "http://x:abc/y", RequestError::InvalidTarget),
            ("GET", "http://x:65536/y", RequestError::InvalidTarget),
            ("GET", "http://[::1/y", RequestError::InvalidTarget),
            ("GET", "http://a,b/", RequestError::InvalidTarget),
            ("GET", "http://x;/", RequestError::InvalidTarget),
            ("CONNECT", "h", RequestError::InvalidTarget),
            ("CONNECT", "/", RequestError::InvalidTarget),
            ("CONNECT", "*", RequestError::InvalidTarget),
            ("CONNECT", "http://h:80/", RequestError::InvalidTarget),
            ("CONNECT", "h:80/x", RequestError::InvalidTarget),
            ("CONNECT", "h:", RequestError::InvalidTarget),
            ("CONNECT", ":80", RequestError::InvalidTarget),
            ("CONNECT", "h:99999", RequestError::InvalidTarget),
            ("CONNECT", "u@h:80", RequestError::InvalidTarget),
            ("CONNECT", "::1:80", RequestError::InvalidTarget),
        ] {
            assert_eq!(read(method, target), Err(error), "{method} {target}");
        }
    }

    #[test]
    fn without_absolute_urls_the_target_is_the_path() {
        let mut head = RequestHead::new();
        head.set_method(b"GET");
        assert_eq!(read_target(b"http://x/y", false, &mut head), Ok(false));
        assert_eq!((head.path(), head.has_authority()), (&b"http://x/y"[..], false));
        assert!(read_target(b"a", false, &mut head).is_err());
    }

    #[test]
    fn authority_bytes_are_those_of_envoy() {
        let allowed: Vec<u8> = (0..=255).filter(|byte| is_authority(&[*byte])).collect();
        let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ[]_abcdefghijklmnopqrstuvwxyz~";
        let expected = format!("!$%&'()*+,-.0123456789:;=@{letters}");
        assert_eq!(String::from_utf8(allowed).unwrap(), expected);
    }
}
