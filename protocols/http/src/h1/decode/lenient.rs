//! A second look at a head that httparse refused.
//!
//! Envoy accepts some heads that httparse does not: folded lines, several blanks or tabs between
//! the words of the request line, other version numbers, requests of HTTP/0.9. Such a head is
//! rewritten to its plain form here and parsed again. For all others this tells which byte is
//! wrong, and so which error it is: the verdict depends on the first wrong byte alone, not on how
//! much of the head has arrived. None of this is on the path of an ordinary message.

use super::error::HeadError;
use super::request::RequestLimits;
use super::target::read_target;
use crate::RequestHead;
use crate::fields::is_token;

/// A head in a form that httparse reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rewritten {
    pub(super) head: Vec<u8>,
    /// Bytes of the original that it stands for.
    pub(super) len: usize,
}

/// Judges a request head; `None` when more of it must come first.
pub(super) fn reconsider_request(
    bytes: &[u8],
    limits: &RequestLimits,
) -> Result<Option<Rewritten>, HeadError> {
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        check_start_line(without_half_line_end(bytes))?;
        return Ok(None);
    };
    let line = without_line_end(&bytes[..=end]);
    check_start_line(line)?;
    let words = RequestLine::read(line)?;
    limits.check_method(words.method)?;
    let Some(minor) = words.minor_version(limits)? else {
        // A request of HTTP/0.9 is its first line.
        return Ok(Some(Rewritten { head: words.written(0, b"\r\n"), len: end + 1 }));
    };
    let Some((fields, len)) = unfold(&bytes[end + 1..])? else { return Ok(None) };
    Ok(Some(Rewritten { head: words.written(minor, &fields), len: end + 1 + len }))
}

/// Judges a response head; only folded lines are forgiven.
pub(super) fn reconsider_response(bytes: &[u8]) -> Result<Option<Rewritten>, HeadError> {
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        return Err(HeadError::Malformed("invalid status line"));
    };
    check_value(without_line_end(&bytes[..=end]))?;
    let Some((fields, len)) = unfold(&bytes[end + 1..])? else { return Ok(None) };
    let head = [&bytes[..=end], &fields].concat();
    Ok(Some(Rewritten { head, len: end + 1 + len }))
}

/// The words of a request line, between any blanks (RFC 9112 section 3).
struct RequestLine<'a> {
    method: &'a [u8],
    target: &'a [u8],
    version: Option<&'a [u8]>,
}

impl<'a> RequestLine<'a> {
    fn read(line: &'a [u8]) -> Result<Self, HeadError> {
        let mut words = line.split(|byte| is_blank(*byte)).filter(|word| !word.is_empty());
        let (method, target, version) = (words.next(), words.next(), words.next());
        match (method, target, words.next()) {
            (Some(method), Some(target), None) => Ok(Self { method, target, version }),
            _ => Err(HeadError::Malformed("invalid request line")),
        }
    }

    /// The last digit of the version as which the message is read; `None` for HTTP/0.9. Envoy
    /// takes every version but 1.1 for 1.0, if it takes that.
    fn minor_version(&self, limits: &RequestLimits) -> Result<Option<u8>, HeadError> {
        let minor = match self.version {
            None => None,
            Some(b"HTTP/1.1") => return Ok(Some(1)),
            Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                Some(0)
            }
            Some(_) => return Err(HeadError::Malformed("invalid protocol version")),
        };
        match limits.allow_http10 {
            true => Ok(minor),
            // Envoy looks at the target first: `GET HTTP/1.1` is nonsense rather than old.
            false if !self.has_target(limits) => {
                Err(HeadError::Malformed("invalid request target"))
            }
            false => Err(HeadError::LowVersion),
        }
    }

    fn has_target(&self, limits: &RequestLimits) -> bool {
        let mut head = RequestHead::new();
        head.set_method(self.method);
        read_target(self.target, limits.allow_absolute_url, &mut head).is_ok()
    }

    fn written(&self, minor: u8, fields: &[u8]) -> Vec<u8> {
        let version: &[u8] = if minor == 1 { b" HTTP/1.1\r\n" } else { b" HTTP/1.0\r\n" };
        [self.method, b" ", self.target, version, fields].concat()
    }
}

/// Joins folded lines (RFC 9112 section 5.2): as in Envoy the line end goes and the white space
/// stays. Returns the fields with the empty line behind them, and their length as received;
/// `None` when the empty line is still to come.
pub(super) fn unfold(fields: &[u8]) -> Result<Option<(Vec<u8>, usize)>, HeadError> {
    let mut joined = Vec::with_capacity(fields.len());
    let mut read = 0;
    for line in fields.split_inclusive(|byte| *byte == b'\n') {
        read += line.len();
        let whole = line.ends_with(b"\n");
        let content = if whole { without_line_end(line) } else { without_half_line_end(line) };
        match content.first() {
            None if whole => {
                joined.extend_from_slice(b"\r\n");
                return Ok(Some((joined, read)));
            }
            Some(first) if is_blank(*first) => {
                continue_line(&mut joined, content)?;
                check_value(content)?;
            }
            _ => {
                check_field(content, whole)?;
                joined.extend_from_slice(content);
            }
        }
        joined.extend_from_slice(b"\r\n");
    }
    Ok(None)
}

fn continue_line(joined: &mut Vec<u8>, content: &[u8]) -> Result<(), HeadError> {
    let Some(open) = joined.len().checked_sub(2) else {
        return Err(HeadError::Malformed("folded line without a field"));
    };
    joined.truncate(open);
    joined.extend_from_slice(content);
    Ok(())
}

fn check_start_line(line: &[u8]) -> Result<(), HeadError> {
    let method_len = line.iter().position(|byte| is_blank(*byte)).unwrap_or(line.len());
    let (method, rest) = line.split_at(method_len);
    if method.first().is_none_or(|byte| !is_token(*byte)) {
        // Not even the beginning of a request, such as a TLS ClientHello.
        return Err(HeadError::Malformed("invalid request line"));
    }
    refuse_first(method, is_token, "invalid method")?;
    let is_target = |byte| is_blank(byte) || (0x21..0x7f).contains(&byte);
    refuse_first(rest, is_target, "invalid request line")
}

fn check_field(line: &[u8], whole: bool) -> Result<(), HeadError> {
    let Some(colon) = memchr::memchr(b':', line) else {
        refuse_first(line, is_token, "invalid field name")?;
        return match whole {
            true => Err(HeadError::Malformed("field without a colon")),
            false => Ok(()),
        };
    };
    if colon == 0 {
        return Err(HeadError::Malformed("empty field name"));
    }
    refuse_first(&line[..colon], is_token, "invalid field name")?;
    check_value(&line[colon + 1..])
}

/// RFC 9110 section 5.5: visible characters, blanks and obs-text.
fn check_value(value: &[u8]) -> Result<(), HeadError> {
    refuse_first(value, |byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f), "invalid value")
}

/// Refuses by the first byte that is not `allowed`: control characters have an error of their own.
fn refuse_first(
    bytes: &[u8],
    allowed: impl Fn(u8) -> bool,
    what: &'static str,
) -> Result<(), HeadError> {
    match bytes.iter().find(|byte| !allowed(**byte)) {
        None => Ok(()),
        Some(b'\t' | b'\r' | b' '..=0x7e | 0x80..) => Err(HeadError::Malformed(what)),
        Some(_) => Err(HeadError::InvalidCharacters),
    }
}

/// The line without its CRLF or LF. A CR that is left is a lone one.
fn without_line_end(line: &[u8]) -> &[u8] {
    without_half_line_end(line.strip_suffix(b"\n").unwrap_or(line))
}

/// A line whose LF is still to come: a CR at its end may be half of the line end.
fn without_half_line_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(head: &str) -> Result<Option<String>, HeadError> {
        let limits = RequestLimits { allow_http10: true, ..RequestLimits::default() };
        let rewritten = reconsider_request(head.as_bytes(), &limits)?;
        Ok(rewritten.map(|rewritten| String::from_utf8(rewritten.head).unwrap()))
    }

    #[test]
    fn folds_lose_their_line_ends_only() {
        for (folded, plain) in [
            ("a: b\r\n  c\r\n\r\n", "a: b  c\r\n\r\n"),
            ("a: b \t\r\n\t c\n\r\n", "a: b \t\t c\r\n\r\n"),
            ("a: b\r\n c\r\n\td\r\nx: y\r\n\r\n", "a: b c\td\r\nx: y\r\n\r\n"),
            ("a: b\r\n \r\n c\r\n\r\n", "a: b  c\r\n\r\n"),
            ("a:\r\n c\r\n\r\n", "a: c\r\n\r\n"),
        ] {
            let (fields, len) = unfold(folded.as_bytes()).unwrap().unwrap();
            assert_eq!((fields.as_slice(), len), (plain.as_bytes(), folded.len()));
        }
    }

    #[test]
    fn request_lines_become_plain() {
        for (head, plain) in [
            ("GET  /  HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"),
            ("GET\t/\tHTTP/1.1\t\n\n", "GET / HTTP/1.1\r\n\r\n"),
            ("GET / HTTP/1.2\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"),
            ("GET /\r\n", "GET / HTTP/1.0\r\n\r\n"),
        ] {
            assert_eq!(rewrite(head).unwrap().as_deref(), Some(plain), "{head:?}");
        }
    }

    #[test]
    fn half_a_head_waits() {
        for head in ["GET  / HT", "GET  / HTTP/1.1\r", "GET  / HTTP/1.1\r\na: b\r\n c\r\n", "GET"] {
            assert_eq!(rewrite(head), Ok(None), "{head:?}");
        }
    }

    #[test]
    fn the_first_wrong_byte_decides() {
        let malformed = |head: &str| matches!(rewrite(head), Err(HeadError::Malformed(_)));
        for head in
            ["\u{16}\u{3}", " GET / HTTP/1.1", "G(T\0", "GET /\u{e9}", "GET / HTTP/1.1 x\r\n"]
        {
            assert!(malformed(head), "{head:?}");
        }
        for head in
            ["GE\u{1}T(", "GET /\0", "GET  / HTTP/1.1\r\na\0", "GET  / HTTP/1.1\r\na: \u{1}"]
        {
            assert_eq!(rewrite(head), Err(HeadError::InvalidCharacters), "{head:?}");
        }
        for fields in ["a b: c", "a\r\n", ": b", " a: b", "a: b\rc", "a: b\r\r\n"] {
            assert!(malformed(&format!("GET  / HTTP/1.1\r\n{fields}")), "{fields:?}");
        }
    }
}
