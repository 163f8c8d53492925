//! A guess at plain HTTP from the first line, as Envoy's `http_inspector` makes it.
//!
//! Owns: the three answers that become the detected application protocol. Does not own: parsing of
//! requests, which the codec does again and strictly.

use crate::Progress;

/// The client connection preface of RFC 9113 section 3.4.
pub const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How much Envoy looks at before it says that this is not HTTP, in bytes.
pub const MAX_SNIFF: usize = 64 * 1024;

/// What the bytes begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sniff {
    /// A request line that ends in `HTTP/1.0`.
    Http10,
    /// A request line that ends in `HTTP/1.1`.
    Http11,
    /// HTTP/2 with prior knowledge.
    H2c,
    /// Anything else.
    NotHttp,
}

impl Sniff {
    /// The application protocol that filter chains match on, in Envoy's words.
    pub fn application_protocol(self) -> Option<&'static str> {
        match self {
            Self::Http10 => Some("http/1.0"),
            Self::Http11 => Some("http/1.1"),
            Self::H2c => Some("h2c"),
            Self::NotHttp => None,
        }
    }
}

/// Looks at the start of a connection; says `NotHttp` when `max_len` bytes hold no line end.
pub fn sniff(bytes: &[u8], max_len: usize) -> Progress<Sniff> {
    let bytes = &bytes[..bytes.len().min(max_len)];
    if let Some(progress) = preface(bytes) {
        return progress;
    }
    // RFC 9112 section 2.2: a server ignores empty lines before the request line.
    let empty = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let line = &bytes[empty..];
    match line.iter().position(|byte| *byte == b'\n') {
        Some(end) => Progress::Done(of_line(&line[..end]), empty + end + 1),
        None if !may_be_request(line) => Progress::Done(Sniff::NotHttp, bytes.len()),
        None if bytes.len() == max_len => Progress::Done(Sniff::NotHttp, max_len),
        None => Progress::NeedMore(1),
    }
}

fn preface(bytes: &[u8]) -> Option<Progress<Sniff>> {
    let seen = bytes.len().min(H2_PREFACE.len());
    if seen == 0 {
        return Some(Progress::NeedMore(1));
    }
    // `PRI` is no method of HTTP/1, so that a start that fits can only become this.
    match bytes[..seen] == H2_PREFACE[..seen] {
        true if seen == H2_PREFACE.len() => Some(Progress::Done(Sniff::H2c, seen)),
        // A method such as PROPFIND shares the first letters: wait until they part.
        true => Some(Progress::NeedMore(1)),
        false => None,
    }
}

/// Whether an unfinished line begins with a method (RFC 9110 section 5.6.2: a token).
fn may_be_request(line: &[u8]) -> bool {
    let method = line.split(|byte| *byte == b' ').next().unwrap_or(line);
    let complete = method.len() < line.len();
    method.iter().all(|byte| is_token(*byte)) && !(complete && method.is_empty())
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn of_line(line: &[u8]) -> Sniff {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let words: Vec<&[u8]> = line.splitn(4, |byte| *byte == b' ').collect();
    let [method, target, version] = words[..] else { return Sniff::NotHttp };
    let method_is_token = !method.is_empty() && method.iter().all(|byte| is_token(*byte));
    if !method_is_token || target.is_empty() {
        return Sniff::NotHttp;
    }
    match version {
        b"HTTP/1.0" => Sniff::Http10,
        b"HTTP/1.1" => Sniff::Http11,
        _ => Sniff::NotHttp,
    }
}
