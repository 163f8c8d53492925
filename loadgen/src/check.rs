//! What a right answer is: status, length, content.
//!
//! An answer that is not right is an error and never counts as a success, however fast it came.

pub(crate) mod grpc;

use std::fmt;

use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::Xxh3;

/// What is expected of an answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Check {
    /// Empty for any status from 200 to 399.
    pub(crate) statuses: Vec<StatusRange>,
    /// Bytes of the body.
    pub(crate) length: Option<u64>,
    pub(crate) content: Content,
    /// The answer is one to a gRPC call.
    pub(crate) grpc: Option<grpc::Expected>,
}

/// What the body must be.
#[derive(Debug, Clone, Default)]
pub(crate) enum Content {
    /// Anything.
    #[default]
    Any,
    /// Exactly these bytes.
    Bytes(Vec<u8>),
    /// What has this SHA-256.
    Sha256([u8; 32]),
    /// What has this XXH3 (64 bits).
    Xxh3(u64),
    /// What was sent.
    Echo,
}

/// Statuses from `.0` to `.1`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StatusRange(pub(crate) u16, pub(crate) u16);

/// Reads `200`, `2xx`, `200-299`.
pub(crate) fn parse_status(text: &str) -> Result<StatusRange, String> {
    let wrong = || format!("`{text}` is no status: write 200, 2xx or 200-204");
    let lower = text.to_ascii_lowercase();
    let range = if let Some(class) = lower.strip_suffix("xx") {
        let class: u16 = class.parse().map_err(|_| wrong())?;
        StatusRange(class.saturating_mul(100), class.saturating_mul(100).saturating_add(99))
    } else if let Some((from, to)) = lower.split_once('-') {
        StatusRange(from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?)
    } else {
        let status = lower.parse().map_err(|_| wrong())?;
        StatusRange(status, status)
    };
    if range.0 >= 100 && range.0 <= range.1 && range.1 <= 599 { Ok(range) } else { Err(wrong()) }
}

/// Reads `sha256:HEX` or `xxh3:HEX`.
pub(crate) fn parse_hash(text: &str) -> Result<Content, String> {
    let wrong = || format!("`{text}` is no hash: write sha256:<64 hex digits> or xxh3:<16>");
    if let Some(hex) = text.strip_prefix("sha256:") {
        return Ok(Content::Sha256(parse_hex(hex).ok_or_else(wrong)?));
    }
    let bytes = text.strip_prefix("xxh3:").and_then(parse_hex).ok_or_else(wrong)?;
    Ok(Content::Xxh3(u64::from_be_bytes(bytes)))
}

fn parse_hex<const N: usize>(hex: &str) -> Option<[u8; N]> {
    if hex.len() != 2 * N || !hex.is_ascii() {
        return None;
    }
    let mut bytes = [0; N];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}

/// Why an answer is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    Status(u16),
    Length { expected: u64, found: u64 },
    Content,
    Grpc(grpc::Wrong),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::Length { expected, found } => {
                write!(f, "a body of {found} bytes instead of {expected}")
            }
            Self::Content => f.write_str("a body with other content than expected"),
            Self::Grpc(grpc::Wrong::Status(Some(status))) => write!(f, "grpc-status {status}"),
            Self::Grpc(grpc::Wrong::Status(None)) => f.write_str("no grpc-status"),
            Self::Grpc(grpc::Wrong::Messages(count)) => write!(f, "{count} messages"),
            Self::Grpc(grpc::Wrong::Cut) => f.write_str("a message that was cut"),
        }
    }
}

impl Check {
    fn allows(&self, status: u16) -> bool {
        match self.statuses.as_slice() {
            // What is no HTTP has no status.
            [] if status == 0 => true,
            [] => (200..400).contains(&status),
            ranges => ranges.iter().any(|range| (range.0..=range.1).contains(&status)),
        }
    }

    /// Bytes that the body must have, where that is known.
    pub(crate) fn length(&self) -> Option<u64> {
        match &self.content {
            Content::Bytes(bytes) => Some(bytes.len() as u64),
            _ => self.length,
        }
    }
}

/// Judges one answer as it arrives; reused for the next.
#[derive(Default)]
pub(crate) struct Verdict {
    status: u16,
    received: u64,
    hash: Hash,
    differs: bool,
    /// XXH3 of what was sent, where the same must come back.
    sent: u64,
    messages: grpc::Messages,
}

#[derive(Default)]
enum Hash {
    #[default]
    None,
    Sha256(Box<Sha256>),
    Xxh3(Box<Xxh3>),
}

impl Verdict {
    /// The head has come: a new answer begins.
    #[inline]
    pub(crate) fn begin(&mut self, check: &Check, status: u16) {
        self.status = status;
        self.received = 0;
        self.differs = false;
        self.hash = match check.content {
            Content::Any | Content::Bytes(_) => Hash::None,
            Content::Sha256(_) => Hash::Sha256(Box::default()),
            Content::Xxh3(_) | Content::Echo => Hash::Xxh3(Box::default()),
        };
        if check.grpc.is_some() {
            self.messages = grpc::Messages::default();
        }
    }

    /// What was sent, for checks that want it back.
    pub(crate) fn sent(&mut self, check: &Check, data: &[u8]) {
        if matches!(check.content, Content::Echo) {
            self.sent = xxhash_rust::xxh3::xxh3_64(data);
        }
    }

    /// The status of a call.
    pub(crate) fn grpc_status(&mut self, status: Option<u32>) {
        self.messages.status(status);
    }

    /// A piece of the body.
    #[inline]
    pub(crate) fn data(&mut self, check: &Check, data: &[u8]) {
        match (&check.content, &mut self.hash) {
            (Content::Bytes(expected), _) => {
                let from = usize::try_from(self.received).unwrap_or(usize::MAX);
                let same = expected.get(from..).is_some_and(|rest| rest.starts_with(data));
                self.differs |= !same;
            }
            (_, Hash::Sha256(hash)) => hash.update(data),
            (_, Hash::Xxh3(hash)) => hash.update(data),
            _ => {}
        }
        if check.grpc.is_some() {
            self.messages.data(data);
        }
        self.received += data.len() as u64;
    }

    /// The answer is complete.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong: a wrong status explains a wrong body.
    #[inline]
    pub(crate) fn end(&mut self, check: &Check) -> Result<(), Wrong> {
        if !check.allows(self.status) {
            return Err(Wrong::Status(self.status));
        }
        if let Some(expected) = &check.grpc {
            self.messages.end(expected).map_err(Wrong::Grpc)?;
        }
        match check.length() {
            Some(expected) if expected != self.received => {
                return Err(Wrong::Length { expected, found: self.received });
            }
            _ => {}
        }
        if self.content_is(&check.content) { Ok(()) } else { Err(Wrong::Content) }
    }

    fn content_is(&mut self, expected: &Content) -> bool {
        match (expected, std::mem::take(&mut self.hash)) {
            (Content::Sha256(expected), Hash::Sha256(hash)) => {
                hash.finalize().as_slice() == expected
            }
            (Content::Xxh3(expected), Hash::Xxh3(hash)) => hash.digest() == *expected,
            (Content::Echo, Hash::Xxh3(hash)) => hash.digest() == self.sent,
            _ => !self.differs,
        }
    }

    /// The status of the current answer.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(check: &Check, status: u16, pieces: &[&str]) -> Result<(), Wrong> {
        let mut verdict = Verdict::default();
        // What came before must not matter.
        verdict.begin(check, 500);
        verdict.data(check, b"left over");
        verdict.begin(check, status);
        for piece in pieces {
            verdict.data(check, piece.as_bytes());
        }
        verdict.end(check)
    }

    #[test]
    fn without_wishes_2xx_and_3xx_are_right() {
        let check = Check::default();
        assert_eq!(judge(&check, 200, &["x"]), Ok(()));
        assert_eq!(judge(&check, 302, &[]), Ok(()));
        assert_eq!(judge(&check, 404, &[]), Err(Wrong::Status(404)));
        assert_eq!(judge(&check, 503, &[]), Err(Wrong::Status(503)));
    }

    #[test]
    fn statuses_are_named_singly_by_class_or_by_range() {
        let statuses = vec![parse_status("404").unwrap(), parse_status("2xx").unwrap()];
        let check = Check { statuses, ..Check::default() };
        assert_eq!(judge(&check, 404, &[]), Ok(()));
        assert_eq!(judge(&check, 299, &[]), Ok(()));
        assert_eq!(judge(&check, 302, &[]), Err(Wrong::Status(302)));
        assert_eq!(parse_status("200-204"), Ok(StatusRange(200, 204)));
        for wrong in ["", "9xx", "20", "204-200", "abc", "70000", "xx"] {
            assert!(parse_status(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn length_and_content_are_checked_over_any_pieces() {
        let length = Check { length: Some(5), ..Check::default() };
        assert_eq!(judge(&length, 200, &["he", "llo"]), Ok(()));
        assert_eq!(judge(&length, 200, &["hell"]), Err(Wrong::Length { expected: 5, found: 4 }));
        let bytes = Check { content: Content::Bytes(b"hello".to_vec()), ..Check::default() };
        assert_eq!(judge(&bytes, 200, &["hel", "lo"]), Ok(()));
        assert_eq!(judge(&bytes, 200, &["hel", "xo"]), Err(Wrong::Content));
        assert_eq!(
            judge(&bytes, 200, &["hello", "!"]),
            Err(Wrong::Length { expected: 5, found: 6 })
        );
    }

    #[test]
    fn hashes_are_those_of_the_usual_tools() {
        // printf hello | sha256sum; printf hello | xxhsum -H3
        let sha = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        for hash in [sha, "xxh3:9555e8555c62dcfd"] {
            let check = Check { content: parse_hash(hash).unwrap(), ..Check::default() };
            assert_eq!(judge(&check, 200, &["h", "ello"]), Ok(()), "{hash}");
            assert_eq!(judge(&check, 200, &["Hello"]), Err(Wrong::Content), "{hash}");
        }
        for wrong in ["md5:00", "sha256:00", "xxh3:123456789012345x", "xxh3:é23456789012345"] {
            assert!(parse_hash(wrong).is_err(), "{wrong}");
        }
    }
}
