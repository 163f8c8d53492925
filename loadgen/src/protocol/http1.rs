//! HTTP/1.1 answers, strictly and cheaply.
//!
//! A server under load gives the same head again and again, so the reader keeps the bytes of the
//! last head and its meaning: a head that is equal to it byte by byte is one comparison. Any other
//! head is parsed in full (httparse) and its framing judged by RFC 9112 section 6.

use memchr::memmem;

use super::chunked::{Chunked, Found};
use super::{Answers, Malformed};

/// Bytes of a head; more is refused.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Fields of a head; more are refused.
const MAX_FIELDS: usize = 128;

/// Reads the answers of one connection.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    state: State,
    /// The beginning of a head that came in pieces.
    partial: Vec<u8>,
    /// The last head, and what it means.
    known: Vec<u8>,
    meaning: Head,
    keep_alive: bool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

/// What a head says about its message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Head {
    status: u16,
    keep_alive: bool,
    framing: Framing,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    #[default]
    UntilClose,
}

impl Reader {
    /// Reads all of `input`, which may hold parts of several answers.
    pub(crate) fn receive(
        &mut self,
        mut input: &[u8],
        answers: &mut impl Answers,
    ) -> Result<(), Malformed> {
        while !input.is_empty() {
            let consumed = match &mut self.state {
                State::Head => self.head(input, answers)?,
                State::Length(left) => {
                    let taken = usize::try_from(*left).map_or(input.len(), |n| n.min(input.len()));
                    *left -= taken as u64;
                    let done = *left == 0;
                    answers.data(&input[..taken]);
                    if done {
                        self.complete(answers);
                    }
                    taken
                }
                State::Chunked(chunked) => {
                    let (consumed, found) = chunked.step(input).map_err(Malformed::Rules)?;
                    match found {
                        Found::Data(range) => answers.data(&input[range]),
                        Found::Done => self.complete(answers),
                        Found::NeedMore => {}
                    }
                    consumed
                }
                State::UntilClose => {
                    answers.data(input);
                    input.len()
                }
            };
            input = &input[consumed..];
        }
        Ok(())
    }

    /// The peer ended the stream: good when that ends the body, or when nothing was due.
    pub(crate) fn end_of_stream(&mut self, answers: &mut impl Answers) -> Result<(), Malformed> {
        if matches!(self.state, State::UntilClose) {
            self.complete(answers);
            return Ok(());
        }
        let between = matches!(self.state, State::Head) && self.partial.is_empty();
        if between && answers.oldest_is_head().is_none() {
            Ok(())
        } else {
            Err(Malformed::Truncated)
        }
    }

    fn head(&mut self, input: &[u8], answers: &mut impl Answers) -> Result<usize, Malformed> {
        let Some(to_head) = answers.oldest_is_head() else {
            return Err(Malformed::Unsolicited);
        };
        if self.partial.is_empty() && !self.known.is_empty() && input.starts_with(&self.known) {
            self.begin(self.meaning, to_head, answers)?;
            return Ok(self.known.len());
        }
        self.new_head(input, to_head, answers)
    }

    fn new_head(
        &mut self,
        input: &[u8],
        to_head: bool,
        answers: &mut impl Answers,
    ) -> Result<usize, Malformed> {
        // The blank line may straddle what came before and this input.
        let from = self.partial.len().saturating_sub(3);
        let before = self.partial.len();
        let end = if before == 0 {
            memmem::find(input, b"\r\n\r\n").map(|at| at + 4)
        } else {
            let room = (MAX_HEAD_BYTES + 4).saturating_sub(before).min(input.len());
            self.partial.extend_from_slice(&input[..room]);
            memmem::find(&self.partial[from..], b"\r\n\r\n").map(|at| from + at + 4)
        };
        let Some(end) = end else {
            if before == 0 {
                self.partial.extend_from_slice(&input[..input.len().min(MAX_HEAD_BYTES + 4)]);
            }
            self.refuse_early()?;
            return Ok(input.len());
        };
        let meaning = parse(if before == 0 { &input[..end] } else { &self.partial[..end] })?;
        self.known.clear();
        let bytes = if before == 0 { &input[..end] } else { &self.partial[..end] };
        self.known.extend_from_slice(bytes);
        self.partial.clear();
        self.meaning = meaning;
        self.begin(meaning, to_head, answers)?;
        Ok(end - before)
    }

    /// Bytes that can never become a head are refused at once, not when the peer gives up.
    fn refuse_early(&self) -> Result<(), Malformed> {
        let shared = self.partial.len().min(5);
        if self.partial[..shared] != b"HTTP/"[..shared] {
            return Err(Malformed::Rules("an answer that is not HTTP/1"));
        }
        if self.partial.len() > MAX_HEAD_BYTES {
            return Err(Malformed::Rules("a head of more than 64 KiB"));
        }
        Ok(())
    }

    fn begin(
        &mut self,
        head: Head,
        to_head: bool,
        answers: &mut impl Answers,
    ) -> Result<(), Malformed> {
        if head.status < 200 {
            // RFC 9110 section 15.2: interim answers come before the final one. Nobody asked for
            // the other protocol that a 101 announces.
            return match head.status {
                101 => Err(Malformed::Rules("101 without an upgrade that was asked for")),
                _ => Ok(()),
            };
        }
        self.keep_alive = head.keep_alive;
        answers.head(head.status);
        // RFC 9112 section 6.3: these never have a body, whatever their fields say.
        let bodyless = to_head || matches!(head.status, 204 | 304);
        match head.framing {
            _ if bodyless => self.complete(answers),
            Framing::Length(0) => self.complete(answers),
            Framing::Length(length) => self.state = State::Length(length),
            Framing::Chunked => self.state = State::Chunked(Chunked::new()),
            Framing::UntilClose => {
                self.keep_alive = false;
                self.state = State::UntilClose;
            }
        }
        Ok(())
    }

    fn complete(&mut self, answers: &mut impl Answers) {
        self.state = State::Head;
        answers.end(self.keep_alive);
    }
}

fn parse(bytes: &[u8]) -> Result<Head, Malformed> {
    if bytes.len() > MAX_HEAD_BYTES {
        return Err(Malformed::Rules("a head of more than 64 KiB"));
    }
    if !bytes.starts_with(b"HTTP/") {
        return Err(Malformed::Rules("an answer that is not HTTP/1"));
    }
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Malformed::Rules("a head of more than 128 fields"));
        }
        _ => return Err(Malformed::Rules("a malformed head")),
    }
    let status = response.code.unwrap_or(0);
    if !(100..=599).contains(&status) {
        return Err(Malformed::Rules("a status outside 100 to 599"));
    }
    let one_dot_one = response.version == Some(1);
    let fields = Fields::read(response.headers)?;
    Ok(Head { status, keep_alive: fields.keep_alive(one_dot_one), framing: fields.framing() })
}

/// The fields that decide about the message and the connection.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
}

impl Fields {
    fn read(headers: &[httparse::Header<'_>]) -> Result<Self, Malformed> {
        let mut fields = Self::default();
        for header in headers {
            // The lengths of the three names differ from nearly all others.
            match header.name.len() {
                14 if header.name.eq_ignore_ascii_case("content-length") => {
                    fields.content_length(header.value)?;
                }
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                    fields.transfer_encoding(header.value)?;
                }
                10 if header.name.eq_ignore_ascii_case("connection") => {
                    fields.connection(header.value);
                }
                _ => {}
            }
        }
        if fields.chunked && fields.length.is_some() {
            // RFC 9112 section 6.3: the sign of a smuggled answer.
            return Err(Malformed::Rules("content-length beside transfer-encoding"));
        }
        Ok(fields)
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Malformed> {
        let length =
            decimal(value).ok_or(Malformed::Rules("a content-length that is no number"))?;
        match self.length.replace(length) {
            Some(other) if other != length => {
                Err(Malformed::Rules("two different content-lengths"))
            }
            _ => Ok(()),
        }
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Malformed> {
        if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Malformed::Rules("a transfer-encoding other than chunked"));
        }
        self.chunked = true;
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',') {
            let option = option.trim_ascii();
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// RFC 9112 section 9.3.
    fn keep_alive(&self, one_dot_one: bool) -> bool {
        !self.close && (one_dot_one || self.keep_alive)
    }

    fn framing(&self) -> Framing {
        match self.length {
            _ if self.chunked => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None => Framing::UntilClose,
        }
    }
}

/// A number of digits only, as fields carry it.
pub(crate) fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 {
        return None;
    }
    value.iter().try_fold(0_u64, |sum, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests;
