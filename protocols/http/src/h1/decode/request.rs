//! The downstream side: bytes to requests.

use super::body::BodyReader;
use super::chunked::TrailerSink;
use super::collect::{Collected, has_fold, unfold};
use super::fields::{describe, slots};
use super::framing::{ConnectionTokens, FramingFields};
use super::target::read_target;
use super::{BodyError, Underscores, Upgrade};
use crate::h1::RequestError;
use crate::{Body, Fields, Known, Method, RequestHead, Step, Version};

/// What the configuration allows a request to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Bytes of a head: request line, fields and line ends (`max_request_headers_kb` times 1024).
    pub max_head_bytes: usize,
    /// Fields of a head, `host` included (`max_headers_count`); the same for trailers.
    pub max_fields: usize,
    /// Accept HTTP/1.0 (`accept_http_10`).
    pub allow_http10: bool,
    /// Accept `content-length` beside chunked coding and drop it (`allow_chunked_length`).
    pub allow_chunked_length: bool,
    /// Read absolute-form targets (`allow_absolute_url`).
    pub allow_absolute_url: bool,
    /// Accept methods that HTTP does not define (`allow_custom_methods`).
    pub allow_custom_methods: bool,
    /// Report trailers instead of dropping them (`enable_trailers`).
    pub enable_trailers: bool,
    /// Field names with `_` (`headers_with_underscores_action`).
    pub underscores: Underscores,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            max_head_bytes: 60 * 1024,
            max_fields: 100,
            allow_http10: false,
            allow_chunked_length: false,
            allow_absolute_url: true,
            allow_custom_methods: false,
            enable_trailers: false,
            underscores: Underscores::Allow,
        }
    }
}

/// Decodes the requests of one connection, one after the other.
#[derive(Debug)]
pub struct RequestDecoder {
    limits: RequestLimits,
    state: State,
    collected: Collected,
    trailers: Fields,
    traits: Traits,
}

#[derive(Debug, Default)]
enum State {
    /// Between messages; blank lines are skipped.
    #[default]
    Idle,
    /// Within a head that came in pieces.
    Head,
    Body(BodyReader),
    /// Nothing more can be understood on this connection.
    Failed(RequestError),
}

/// What the current head says about its message and connection.
#[derive(Clone, Copy, Debug, Default)]
struct Traits {
    body: Body,
    keep_alive: bool,
    upgrade: Upgrade,
    expect_continue: bool,
    /// Names that were dropped by `Underscores::Drop`.
    dropped: u32,
}

impl RequestDecoder {
    /// A decoder between messages. It holds no buffer until a head comes in pieces.
    #[must_use]
    pub fn new(limits: RequestLimits) -> Self {
        Self {
            limits,
            state: State::Idle,
            collected: Collected::default(),
            trailers: Fields::new(),
            traits: Traits::default(),
        }
    }

    /// Takes the next step over `input`: how many bytes of it were consumed, and what was found.
    ///
    /// `head` is written when the step is `Head`, and may hold half a head before. `Complete` is
    /// due even when `input` is empty. After an error each call gives that error again.
    ///
    /// # Errors
    ///
    /// The downstream broke the rules; the connection must be closed after the reply.
    pub fn decode(
        &mut self,
        input: &[u8],
        head: &mut RequestHead,
    ) -> Result<(usize, Step), RequestError> {
        let result = match &mut self.state {
            State::Body(_) => self.decode_body(input),
            State::Idle => self.begin_head(input, head),
            State::Head => self.continue_head(input, head),
            State::Failed(error) => Err(*error),
        };
        if let Err(error) = result {
            self.state = State::Failed(error);
            self.collected.clear();
        }
        result
    }

    /// How long the body of the current request is, known from its `Head` step on.
    #[must_use]
    pub fn body(&self) -> Body {
        self.traits.body
    }

    /// Whether the client allows another request behind the current one.
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        self.traits.keep_alive
    }

    /// The upgrade that the current request asks for.
    #[must_use]
    pub fn upgrade(&self) -> Upgrade {
        self.traits.upgrade
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    #[must_use]
    pub fn expect_continue(&self) -> bool {
        self.traits.expect_continue
    }

    /// Fields of the current head that were dropped for an underscore in their name.
    #[must_use]
    pub fn dropped_fields(&self) -> u32 {
        self.traits.dropped
    }

    /// Trailers of the current request, valid at the `Trailers` step.
    #[must_use]
    pub fn trailers(&self) -> &Fields {
        &self.trailers
    }

    /// Whether the decoder is between messages with nothing buffered.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    fn decode_body(&mut self, input: &[u8]) -> Result<(usize, Step), RequestError> {
        let State::Body(reader) = &mut self.state else {
            return Ok((0, Step::NeedMore));
        };
        let sink = TrailerSink {
            collected: &mut self.collected,
            trailers: &mut self.trailers,
            enabled: self.limits.enable_trailers,
            max_bytes: self.limits.max_head_bytes,
            max_fields: self.limits.max_fields,
        };
        let (consumed, step) = reader.step(input, sink)?;
        if step == Step::Complete {
            self.state = State::Idle;
        }
        Ok((consumed, step))
    }

    fn begin_head(
        &mut self,
        input: &[u8],
        head: &mut RequestHead,
    ) -> Result<(usize, Step), RequestError> {
        // RFC 9112 section 2.2: empty lines before the request line are ignored.
        let blank = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if blank == input.len() {
            return Ok((blank, Step::NeedMore));
        }
        let (consumed, step) = match self.parse(&input[blank..], head)? {
            Some(len) => (len, Step::Head),
            None => {
                self.state = State::Head;
                self.continue_head(&input[blank..], head)?
            }
        };
        Ok((blank + consumed, step))
    }

    fn continue_head(
        &mut self,
        input: &[u8],
        head: &mut RequestHead,
    ) -> Result<(usize, Step), RequestError> {
        let (taken, ended) = self.collected.take(input);
        let oversized = self.collected.len() > self.limits.max_head_bytes;
        if !ended && !oversized && !self.collected.is_worth_probing() {
            return Ok((taken, Step::NeedMore));
        }
        let collected = std::mem::take(&mut self.collected);
        let parsed = self.parse(collected.bytes(), head);
        self.collected = collected;
        if parsed?.is_none() {
            return match oversized {
                true => Err(RequestError::HeadTooLarge),
                false => Ok((taken, Step::NeedMore)),
            };
        }
        self.collected.clear();
        Ok((taken, Step::Head))
    }

    /// Parses a head at the start of `bytes`; `None` when it is not complete.
    fn parse(
        &mut self,
        bytes: &[u8],
        head: &mut RequestHead,
    ) -> Result<Option<usize>, RequestError> {
        let mut slots = slots();
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(bytes, &mut slots) {
            Ok(httparse::Status::Complete(len)) => {
                self.accept(&parsed, len, head)?;
                Ok(Some(len))
            }
            Ok(httparse::Status::Partial) => Ok(None),
            Err(error) => Err(RequestError::Malformed(describe(error))),
        }
    }

    fn accept(
        &mut self,
        parsed: &httparse::Request<'_, '_>,
        len: usize,
        head: &mut RequestHead,
    ) -> Result<(), RequestError> {
        let _ = (has_fold, unfold, Method::Other, Known::Te, BodyError::TrailersTooLarge);
        let _ = (FramingFields::default(), ConnectionTokens::default(), Version::Http10);
        if len > self.limits.max_head_bytes {
            return Err(RequestError::HeadTooLarge);
        }
        head.clear();
        head.set_method(parsed.method.unwrap_or_default().as_bytes());
        read_target(
            parsed.path.unwrap_or_default().as_bytes(),
            self.limits.allow_absolute_url,
            head,
        )?;
        Ok(())
    }
}

impl From<BodyError> for RequestError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Malformed(what) => Self::Malformed(what),
            BodyError::TrailersTooLarge => Self::TrailersTooLarge,
        }
    }
}
