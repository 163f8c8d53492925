//! The upstream side: bytes to responses.

use super::body::BodyReader;
use super::collect::Collected;
use super::{BodyError, Upgrade};
use crate::h1::ResponseError;
use crate::{Body, Fields, Method, ResponseHead, Step};

/// What a response may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseLimits {
    /// Bytes of a head: status line, fields and line ends.
    pub max_head_bytes: usize,
    /// Fields of a head; the same for trailers.
    pub max_fields: usize,
    /// Accept `content-length` beside chunked coding and drop it (`allow_chunked_length`).
    pub allow_chunked_length: bool,
    /// Report trailers instead of dropping them (`enable_trailers`).
    pub enable_trailers: bool,
}

impl Default for ResponseLimits {
    fn default() -> Self {
        Self {
            max_head_bytes: 80 * 1024,
            max_fields: 100,
            allow_chunked_length: false,
            enable_trailers: false,
        }
    }
}

/// Decodes the responses of one connection. `expect` announces each before its bytes come.
#[derive(Debug)]
pub struct ResponseDecoder {
    limits: ResponseLimits,
    state: State,
    collected: Collected,
    trailers: Fields,
    body: Body,
    keep_alive: bool,
}

#[derive(Debug, Default)]
enum State {
    /// No request is waiting for an answer.
    #[default]
    Idle,
    Head(Method, Upgrade),
    Body(BodyReader),
    Failed(ResponseError),
}

impl ResponseDecoder {
    /// A decoder between messages.
    #[must_use]
    pub fn new(limits: ResponseLimits) -> Self {
        Self {
            limits,
            state: State::Idle,
            collected: Collected::default(),
            trailers: Fields::new(),
            body: Body::None,
            keep_alive: false,
        }
    }

    /// Announces that the next bytes answer a request of this method, which asked for an upgrade
    /// or not: the length of a response depends on it (RFC 9112 section 6.3).
    pub fn expect(&mut self, method: Method, upgrade: Upgrade) {
        debug_assert!(self.is_idle(), "one response at a time");
        self.state = State::Head(method, upgrade);
    }

    /// Takes the next step over `input`: how many bytes of it were consumed, and what was found.
    ///
    /// # Errors
    ///
    /// The upstream broke the rules; the connection must be closed and never pooled.
    pub fn decode(
        &mut self,
        input: &[u8],
        head: &mut ResponseHead,
    ) -> Result<(usize, Step), ResponseError> {
        let _ = (head, &self.collected, self.limits, BodyError::TrailersTooLarge);
        match (&self.state, input.is_empty()) {
            (State::Failed(error), _) => Err(*error),
            (State::Idle, false) => Err(ResponseError::Unsolicited),
            (State::Body(BodyReader::Done), _) => Ok((0, Step::Complete)),
            _ => Ok((input.len(), Step::NeedMore)),
        }
    }

    /// The upstream closed its side. `Complete` when the close ends the body, nothing when no
    /// response was due.
    ///
    /// # Errors
    ///
    /// `Truncated` when it came within a head or a body.
    pub fn finish_on_eof(&mut self) -> Result<Step, ResponseError> {
        match &self.state {
            State::Idle => Ok(Step::NeedMore),
            State::Body(BodyReader::UntilClose | BodyReader::Done) => {
                self.state = State::Idle;
                Ok(Step::Complete)
            }
            State::Failed(error) => Err(*error),
            _ => Err(ResponseError::Truncated),
        }
    }

    /// How long the body of the current response is, known from its `Head` step on.
    #[must_use]
    pub fn body(&self) -> Body {
        self.body
    }

    /// Whether the upstream allows another request behind the current one.
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Trailers of the current response, valid at the `Trailers` step.
    #[must_use]
    pub fn trailers(&self) -> &Fields {
        &self.trailers
    }

    /// Whether no response is due and nothing is buffered.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }
}
