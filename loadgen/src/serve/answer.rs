//! What an answer is, as its path or a field asks for it. Pure.
//!
//! A path is a list of wishes: `/delay/20ms/status/503/bytes/100`. The field `x-ringway-answer`
//! holds the same words and goes before the path. Words that are no wish mean nothing, so that any
//! path has an answer.

use std::sync::LazyLock;
use std::time::Duration;

use crate::units::{parse_count, parse_duration, parse_size};

/// The field that holds wishes.
pub(super) const FIELD: &str = "x-ringway-answer";
/// The largest body.
const MAX_BYTES: u64 = 1 << 40;
/// The longest wait.
const MAX_WAIT: Duration = Duration::from_secs(3600);
/// Most added fields.
const MAX_FIELDS: u64 = 1000;
/// Most times that a call gets its messages back.
const MAX_MESSAGES: u64 = 1_000_000;

/// What an answer is when nothing is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults {
    /// Bytes of the body.
    pub(crate) size: u64,
    /// Before the answer.
    pub(crate) delay: Duration,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) delay: Duration,
    pub(super) body: Body,
    /// Fields to add, for large heads.
    pub(super) fields: u64,
    pub(super) ending: Ending,
    /// How often a gRPC call gets its messages back, and with which status.
    pub(super) messages: u64,
    pub(super) grpc_status: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// With a length.
    Bytes(u64),
    /// So many chunks of so many bytes, with a pause before each.
    Chunked { count: u64, size: u64, pause: Duration },
    /// Without a length: the close ends it.
    UntilClose(u64),
    /// The body of the request.
    Echo,
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The connection stays.
    Complete,
    /// `connection: close`.
    Close,
    /// The connection is closed in the middle of the answer.
    Truncated,
    /// The connection is closed instead of an answer.
    Silent,
}

impl Answer {
    /// Reads the wishes of a path.
    ///
    /// # Errors
    ///
    /// A wish whose value cannot be read, in words for the client.
    pub(super) fn read(path: &str, defaults: Defaults) -> Result<Self, String> {
        let mut answer = Self {
            status: 200,
            delay: defaults.delay,
            body: Body::Bytes(defaults.size),
            fields: 0,
            ending: Ending::Complete,
            messages: 1,
            grpc_status: 0,
        };
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let mut words = path.split('/').filter(|word| !word.is_empty());
        let mut pause = Duration::ZERO;
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("`/{word}` needs a value"));
            match word {
                "bytes" => answer.body = Body::Bytes(bytes(value()?)?),
                "chunked" => answer.body = chunked(value()?)?,
                "until-close" => answer.body = Body::UntilClose(bytes(value()?)?),
                "echo" => answer.body = Body::Echo,
                "delay" => answer.delay = wait(value()?)?,
                "pause" => pause = wait(value()?)?,
                "status" => answer.status = status(value()?)?,
                "fields" => answer.fields = parse_count(value()?)?.min(MAX_FIELDS),
                "messages" => answer.messages = parse_count(value()?)?.min(MAX_MESSAGES),
                "grpc-status" => answer.grpc_status = grpc_status(value()?)?,
                "close" => answer.ending = Ending::Close,
                "truncate" => answer.ending = Ending::Truncated,
                "silent" => answer.ending = Ending::Silent,
                _ => {}
            }
        }
        if let Body::Chunked { pause: before_each, .. } = &mut answer.body {
            *before_each = pause;
        }
        Ok(answer)
    }

    /// RFC 9110 sections 15.3.5 and 15.4.5: these have no body.
    pub(super) fn is_bodyless(&self) -> bool {
        matches!(self.status, 204 | 304)
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    let size = parse_size(text)?;
    if size <= MAX_BYTES { Ok(size) } else { Err(format!("`{text}` is too large")) }
}

fn chunked(text: &str) -> Result<Body, String> {
    let (count, size) = text.split_once('x').ok_or(format!("`{text}`: write 10x1024"))?;
    let (count, size) = (parse_count(count)?, bytes(size)?);
    if size == 0 {
        return Err("a chunk of no bytes would end the body".to_owned());
    }
    Ok(Body::Chunked { count, size, pause: Duration::ZERO })
}

fn wait(text: &str) -> Result<Duration, String> {
    let wait = parse_duration(text)?;
    if wait <= MAX_WAIT { Ok(wait) } else { Err(format!("`{text}` is too long")) }
}

fn status(text: &str) -> Result<u16, String> {
    let status = text.parse().ok().filter(|status| (200..=599).contains(status));
    status.ok_or(format!("`{text}` is no final status"))
}

fn grpc_status(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("`{text}` is no status of gRPC"))
}

/// Bodies repeat this line, so that a piece of one can be recognised.
const LINE: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.\n";
/// So many lines, so that a large body is a few large copies.
const LINES: usize = 1024;
static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| LINE.repeat(LINES));

/// Bytes `from..to` of a body, or as many of them as stand in one piece: at least a half of the
/// pattern unless there are fewer.
pub(super) fn piece(from: u64, to: u64) -> &'static [u8] {
    let start = (from % LINE.len() as u64) as usize;
    let length = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
    &PATTERN[start..start + length.min(PATTERN.len() - start)]
}

/// Appends bytes `from..to` of a body.
pub(super) fn fill(out: &mut Vec<u8>, from: u64, to: u64) {
    let mut at = from;
    while at < to {
        let piece = piece(at, to);
        out.extend_from_slice(piece);
        at += piece.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: Defaults = Defaults { size: 64, delay: Duration::ZERO };

    fn read(path: &str) -> Answer {
        Answer::read(path, DEFAULTS).expect(path)
    }

    #[test]
    fn a_path_is_a_list_of_wishes() {
        assert_eq!(read("/").body, Body::Bytes(64));
        assert_eq!(read("/any/thing?else").body, Body::Bytes(64));
        let all = read("/api/delay/20ms/status/503/bytes/64k/close/fields/5?x=/status/200");
        let expected = Answer {
            status: 503,
            delay: Duration::from_millis(20),
            body: Body::Bytes(65_536),
            fields: 5,
            ending: Ending::Close,
            messages: 1,
            grpc_status: 0,
        };
        assert_eq!(all, expected);
        let call = read("/a.B/C/messages/10/grpc-status/5");
        assert_eq!((call.messages, call.grpc_status), (10, 5));
        let pause = Duration::from_millis(5);
        let chunked = Body::Chunked { count: 10, size: 1024, pause };
        assert_eq!(read("/chunked/10x1024/pause/5ms").body, chunked);
        assert_eq!(read("/pause/5ms/chunked/10x1024").body, chunked);
    }

    #[test]
    fn wishes_that_cannot_be_read_are_named() {
        let error = |path| Answer::read(path, DEFAULTS).expect_err(path);
        assert_eq!(error("/bytes"), "`/bytes` needs a value");
        assert_eq!(error("/status/99"), "`99` is no final status");
        assert_eq!(error("/status/100"), "`100` is no final status");
        assert!(error("/delay/2x").contains("`x` is no unit"));
        assert!(error("/delay/2h").contains("too long"));
        assert!(error("/chunked/5").contains("write 10x1024"));
        assert!(error("/chunked/5x0").contains("end the body"));
    }

    #[test]
    fn any_part_of_a_body_is_the_same_as_in_the_whole() {
        let (mut whole, mut parts) = (Vec::new(), Vec::new());
        fill(&mut whole, 0, 1000);
        for from in (0..1000).step_by(125) {
            fill(&mut parts, from, from + 125);
        }
        assert_eq!(whole.len(), 1000);
        assert!(whole == parts);
        let mut long = Vec::new();
        fill(&mut long, 3, 200_003);
        assert!(long.len() == 200_000 && (0..200_000).all(|at| long[at] == LINE[(at + 3) % 64]));
    }
}
