//! Normalisation of paths and hosts, as pure functions.
//!
//! Each tells whether anything changed, and paths are written into a buffer that the caller reuses
//! (swap it with `RequestHead::path_mut`). Owns no policy: the connection manager decides which of
//! them run and what is answered. Envoy's order: escaped slashes, `normalize_path`,
//! `merge_slashes`; a redirect goes to the result of all three.

/// `path_with_escaped_slashes_action`: what to do with `%2F` and `%5C` in a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EscapedSlashes {
    /// Leave them.
    #[default]
    KeepUnchanged,
    /// Refuse the request with 400.
    RejectRequest,
    /// Answer 307 to the path without escapes.
    UnescapeAndRedirect,
    /// Go on with the path without escapes.
    UnescapeAndForward,
}

/// A path that cannot be normalised: 400 `path_normalization_failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("path cannot be normalised")]
pub struct InvalidPath;

/// Normalises `path` (with query) as Envoy's `normalize_path` does. Returns whether `out` differs
/// from `path`; `out` is written in any case.
///
/// Backslashes become slashes, escaped unreserved characters are decoded, characters that a path
/// may not hold are escaped, and dot segments are removed (RFC 3986 section 5.2.4), also when they
/// carry parameters (`/..;x/`). Climbing above the root stays at the root. Other escapes stay as
/// they are, in their case. The query is not touched.
///
/// # Errors
///
/// The path does not begin with a slash, or holds `%00` or a bare NUL.
pub fn normalize_path(path: &[u8], out: &mut Vec<u8>) -> Result<bool, InvalidPath> {
    out.clear();
    let (whole, query) = split_query(path);
    let Some((b'/', mut rest)) = whole.split_first() else {
        return Err(InvalidPath);
    };
    out.push(b'/');
    loop {
        // Here `out` ends with the slash before the segment.
        let start = out.len();
        let end = memchr::memchr2(b'/', b'\\', rest);
        push_canonical(&rest[..end.unwrap_or(rest.len())], out)?;
        let ends_open = keep_segment(out, start);
        let Some(end) = end else { break };
        if !ends_open {
            out.push(b'/');
        }
        rest = &rest[end + 1..];
    }
    out.extend_from_slice(query);
    Ok(out != path)
}

/// Drops the segment that begins at `start` if it is a dot segment, and what `..` takes with it.
/// Returns whether `out` ends with the slash before the next segment.
fn keep_segment(out: &mut Vec<u8>, start: usize) -> bool {
    let segment = &out[start..];
    let name_len = memchr::memchr(b';', segment).unwrap_or(segment.len());
    match &segment[..name_len] {
        b"." => out.truncate(start),
        b".." => {
            out.truncate(start);
            remove_last_segment(out);
        }
        _ => return false,
    }
    true
}

/// Takes the last segment and the slash behind it from a path that ends with a slash.
fn remove_last_segment(path: &mut Vec<u8>) {
    let parent = path.len().checked_sub(1).and_then(|end| memchr::memrchr(b'/', &path[..end]));
    path.truncate(parent.unwrap_or(0) + 1);
}

/// Writes one segment with canonical escapes.
fn push_canonical(segment: &[u8], out: &mut Vec<u8>) -> Result<(), InvalidPath> {
    let mut rest = segment;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match (byte, escaped_byte(behind)) {
            // No head lets a bare NUL pass; an escaped one must not come of it here either.
            (0, _) | (b'%', Some(0)) => return Err(InvalidPath),
            (b'%', Some(value)) if is_unreserved(value) => {
                out.push(value);
                rest = &behind[2..];
            }
            (b'%', _) => out.push(b'%'),
            _ if needs_escape(*byte) => push_escaped(*byte, out),
            _ => out.push(*byte),
        }
    }
    Ok(())
}

/// The byte for which the two digits behind a `%` stand.
fn escaped_byte(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| (*digits.get(at)? as char).to_digit(16);
    u8::try_from(digit(0)? << 4 | digit(1)?).ok()
}

/// RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What may not stand in a path.
fn needs_escape(byte: u8) -> bool {
    !(0x21..0x7f).contains(&byte) || b"\"<>^`{|}".contains(&byte)
}

fn push_escaped(byte: u8, out: &mut Vec<u8>) {
    let digits = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'%', digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
}

/// Joins adjacent slashes of the path, not of its query. Returns whether `out` differs; `out` is
/// written in any case.
///
/// As in Envoy a path of slashes alone keeps two of them.
pub fn merge_slashes(path: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let (whole, query) = split_query(path);
    if whole.len() > 1 && whole.iter().all(|byte| *byte == b'/') {
        out.extend_from_slice(b"//");
    } else {
        for byte in whole {
            if *byte != b'/' || out.last() != Some(&b'/') {
                out.push(*byte);
            }
        }
    }
    out.extend_from_slice(query);
    out != path
}

/// Replaces `%2F` by `/` and `%5C` by `\` in the path, not in its query. Returns whether `out`
/// differs, which is whether the path held an escaped slash; `out` is written in any case.
pub fn unescape_slashes(path: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let (mut rest, query) = split_query(path);
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match (byte, escaped_byte(behind)) {
            (b'%', Some(slash @ (b'/' | b'\\'))) => {
                out.push(slash);
                rest = &behind[2..];
            }
            _ => out.push(*byte),
        }
    }
    out.extend_from_slice(query);
    out != path
}

fn split_query(path: &[u8]) -> (&[u8], &[u8]) {
    path.split_at(memchr::memchr(b'?', path).unwrap_or(path.len()))
}

/// Length of `host` without its port, when that is `port` (`strip_matching_host_port`). Not for
/// CONNECT, which needs its port.
#[must_use]
pub fn strip_matching_host_port(host: &[u8], port: u16) -> usize {
    match split_port(host) {
        Some((len, found)) if found == u32::from(port) => len,
        _ => host.len(),
    }
}

/// Length of `host` without its port (`strip_any_host_port`). Not for CONNECT.
#[must_use]
pub fn strip_any_host_port(host: &[u8]) -> usize {
    split_port(host).map_or(host.len(), |(len, _)| len)
}

/// Removes the dot at the end of a host name, before the port if there is one
/// (`strip_trailing_host_dot`; behind the port stripping). Returns whether it was there.
pub fn strip_trailing_host_dot(host: &mut Vec<u8>) -> bool {
    if host.last() == Some(&b'.') {
        host.pop();
        return true;
    }
    match memchr::memrchr(b':', host) {
        Some(colon) if colon > 0 && host[colon - 1] == b'.' => {
            host.remove(colon - 1);
            true
        }
        _ => false,
    }
}

/// Length of the host and number of the port, if there is one. A name behind the last colon that
/// is no number is no port; neither is anything within brackets.
fn split_port(host: &[u8]) -> Option<(usize, u32)> {
    let colon = memchr::memrchr(b':', host)?;
    if memchr::memrchr(b']', host).is_some_and(|bracket| bracket > colon) {
        return None;
    }
    let digits = &host[colon + 1..];
    let digits = digits.strip_prefix(b"+").unwrap_or(digits);
    let digits = std::str::from_utf8(digits).ok()?;
    let port = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?;
    Some((colon, port?))
}

#[cfg(test)]
mod tests;
