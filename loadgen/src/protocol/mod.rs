//! What a connection speaks: requests to bytes, bytes to answers. No sockets, no clock.
//!
//! [`Engine`] is the one door: a further protocol is one more variant and one more module. Every
//! engine gives what it finds to an [`Answers`], so that recording and checking are written once.

pub(crate) mod chunked;
pub(crate) mod http1;

/// Receives what an engine reads.
pub(crate) trait Answers {
    /// Whether the oldest open request was a HEAD, whose answer has no body; `None` when no
    /// request is open, so that any byte is unsolicited.
    fn oldest_is_head(&self) -> Option<bool>;
    /// The final head of the answer to the oldest open request.
    fn head(&mut self, status: u16);
    /// A piece of its body.
    fn data(&mut self, data: &[u8]);
    /// It is complete; `keep_alive` tells whether the connection may be used again.
    fn end(&mut self, keep_alive: bool);
}

/// Why bytes are no answer; the text ends up in the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// The bytes break the protocol's rules.
    Rules(&'static str),
    /// Bytes came that no request asked for.
    Unsolicited,
    /// The stream ended within an answer, or before it.
    Truncated,
}

impl Malformed {
    /// What was wrong, for a person.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Rules(text) => text,
            Self::Unsolicited => "bytes that no request asked for",
            Self::Truncated => "the connection was closed before the answer was complete",
        }
    }
}

/// The protocol of one connection.
#[derive(Debug)]
pub(crate) enum Engine {
    /// HTTP/1.1 without TLS.
    Http1(http1::Reader),
}

impl Engine {
    /// Reads all of `input`.
    pub(crate) fn receive(
        &mut self,
        input: &[u8],
        answers: &mut impl Answers,
    ) -> Result<(), Malformed> {
        match self {
            Self::Http1(reader) => reader.receive(input, answers),
        }
    }

    /// The peer ended the stream: `Err` when an answer is missing or incomplete.
    pub(crate) fn end_of_stream(&mut self, answers: &mut impl Answers) -> Result<(), Malformed> {
        match self {
            Self::Http1(reader) => reader.end_of_stream(answers),
        }
    }
}
