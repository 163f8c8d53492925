//! The upstream side: bytes to responses.

use super::body::BodyReader;
use super::chunked::TrailerSink;
use super::collect::Collected;
use super::error::HeadError;
use super::framing::{ConnectionTokens, FramingFields};
use super::lenient::reconsider_response;
use super::{SLOTS, Upgrade, many_slots, slots};
use crate::h1::ResponseError;
use crate::known::{JOINED_IN_RESPONSES, mask};
use crate::{Body, Fields, Known, Method, ResponseHead, Step, Version};

/// What a response may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseLimits {
    /// Bytes of a head: status line, fields and line ends.
    pub max_head_bytes: usize,
    /// Fields of a head, lines that Envoy joins counted once; the same for trailers.
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

/// Decodes the responses of one connection. [`expect`] announces each before its bytes come.
///
/// [`expect`]: ResponseDecoder::expect
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
    Head(Asked),
    Body(BodyReader),
    /// Nothing more can be understood on this connection.
    Failed(ResponseError),
}

/// What the request was, as far as the length of its response depends on it.
#[derive(Clone, Copy, Debug)]
struct Asked {
    method: Method,
    upgrade: Upgrade,
}

/// What a head says.
struct Traits {
    /// `None` for an informational response.
    body: Option<Body>,
    keep_alive: bool,
}

impl ResponseDecoder {
    /// A decoder that expects nothing. It holds no buffer until a head comes in pieces.
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
        self.state = State::Head(Asked { method, upgrade });
    }

    /// Takes the next step over `input`: how many bytes of it were consumed, and what was found.
    ///
    /// `head` is written when the step is `Head` or `Informational`. `Complete` is due even when
    /// `input` is empty. After an error each call gives that error again.
    ///
    /// # Errors
    ///
    /// The upstream broke the rules; the connection must be closed and never pooled.
    #[inline]
    pub fn decode(
        &mut self,
        input: &[u8],
        head: &mut ResponseHead,
    ) -> Result<(usize, Step), ResponseError> {
        let result = match &mut self.state {
            State::Body(_) => self.decode_body(input),
            State::Head(_) if input.is_empty() => return Ok((0, Step::NeedMore)),
            State::Head(asked) => {
                let asked = *asked;
                self.decode_head(input, asked, head)
            }
            State::Idle if input.is_empty() => return Ok((0, Step::NeedMore)),
            State::Idle => Err(ResponseError::Unsolicited),
            State::Failed(error) => return Err(*error),
        };
        if let Err(error) = result {
            self.state = State::Failed(error);
            self.collected.clear();
        }
        result
    }

    /// The upstream closed its side. `Complete` when the close ends the body, `NeedMore` when no
    /// response was due.
    ///
    /// # Errors
    ///
    /// `Closed` where a response should begin, `Truncated` within one.
    pub fn finish_on_eof(&mut self) -> Result<Step, ResponseError> {
        let error = match &self.state {
            State::Idle => return Ok(Step::NeedMore),
            State::Body(BodyReader::UntilClose | BodyReader::Done) => {
                self.state = State::Idle;
                return Ok(Step::Complete);
            }
            State::Failed(error) => *error,
            State::Head(_) if self.collected.len() == 0 => ResponseError::Closed,
            _ => ResponseError::Truncated,
        };
        self.state = State::Failed(error);
        self.collected.clear();
        Err(error)
    }

    /// How long the body of the current response is, known from its `Head` step on.
    #[must_use]
    pub fn body(&self) -> Body {
        self.body
    }

    /// Whether the upstream allows another request behind the current one. Never after a body
    /// that the close ends, nor after an error.
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        self.keep_alive && !matches!(self.state, State::Failed(_))
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

    fn decode_body(&mut self, input: &[u8]) -> Result<(usize, Step), ResponseError> {
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

    fn decode_head(
        &mut self,
        input: &[u8],
        asked: Asked,
        head: &mut ResponseHead,
    ) -> Result<(usize, Step), ResponseError> {
        if self.collected.len() > 0 {
            return self.continue_head(input, asked, head);
        }
        // httparse would skip empty lines here; a response has none before it, and Envoy takes
        // none.
        if input[0] != b'H' {
            return Err(ResponseError::Malformed("invalid status line"));
        }
        if let Some((len, traits)) = self.limits.parse(input, asked, head)? {
            return Ok((len, self.begin_body(traits)));
        }
        let (taken, _) = self.collected.take(input);
        self.collected.note_probed();
        match self.collected.len() > self.limits.max_head_bytes {
            true => Err(ResponseError::HeadTooLarge),
            false => Ok((taken, Step::NeedMore)),
        }
    }

    fn continue_head(
        &mut self,
        input: &[u8],
        asked: Asked,
        head: &mut ResponseHead,
    ) -> Result<(usize, Step), ResponseError> {
        let (taken, ended) = self.collected.take(input);
        let oversized = self.collected.len() > self.limits.max_head_bytes;
        if !ended && !oversized && !self.collected.is_worth_probing() {
            return Ok((taken, Step::NeedMore));
        }
        match self.limits.parse(self.collected.bytes(), asked, head)? {
            Some((_, traits)) => {
                self.collected.clear();
                Ok((taken, self.begin_body(traits)))
            }
            None if oversized => Err(ResponseError::HeadTooLarge),
            None => Ok((taken, Step::NeedMore)),
        }
    }

    #[inline]
    fn begin_body(&mut self, traits: Traits) -> Step {
        let Some(body) = traits.body else { return Step::Informational };
        self.body = body;
        self.keep_alive = traits.keep_alive;
        self.state = State::Body(BodyReader::new(body));
        Step::Head
    }
}

/// Fields that need more than to be stored.
const CONTROL: u128 = mask(&[Known::Connection, Known::ProxyConnection]);

impl ResponseLimits {
    /// Parses a head at the start of `bytes`: its length and traits; `None` when it is not
    /// complete.
    #[inline]
    fn parse(
        &self,
        bytes: &[u8],
        asked: Asked,
        head: &mut ResponseHead,
    ) -> Result<Option<(usize, Traits)>, ResponseError> {
        let mut slots = slots();
        let mut parsed = httparse::Response::new(&mut []);
        match config().parse_response_with_uninit_headers(&mut parsed, bytes, &mut slots) {
            Ok(httparse::Status::Complete(len)) => {
                self.check_size(len)?;
                Ok(Some((len, self.accept(&parsed, &bytes[..len], asked, head)?)))
            }
            Ok(httparse::Status::Partial) => Ok(None),
            Err(httparse::Error::TooManyHeaders) if self.max_fields < SLOTS => {
                Err(ResponseError::TooManyFields)
            }
            Err(error) => self.parse_again(bytes, error, asked, head),
        }
    }

    /// The same for a head that httparse refused, or with more fields than the slots on the stack.
    #[cold]
    fn parse_again(
        &self,
        bytes: &[u8],
        error: httparse::Error,
        asked: Asked,
        head: &mut ResponseHead,
    ) -> Result<Option<(usize, Traits)>, ResponseError> {
        if error == httparse::Error::Version || error == httparse::Error::Status {
            return Err(HeadError::parse(error).into());
        }
        let Some(rewritten) = reconsider_response(bytes)? else { return Ok(None) };
        let mut slots = many_slots(self.max_fields, rewritten.head.len());
        let slots = slots.spare_capacity_mut();
        let mut parsed = httparse::Response::new(&mut []);
        match config().parse_response_with_uninit_headers(&mut parsed, &rewritten.head, slots) {
            Ok(httparse::Status::Complete(_)) => {
                self.check_size(rewritten.len)?;
                let traits = self.accept(&parsed, &rewritten.head, asked, head)?;
                Ok(Some((rewritten.len, traits)))
            }
            Ok(httparse::Status::Partial) => Err(HeadError::parse(error).into()),
            Err(error) => Err(HeadError::parse(error).into()),
        }
    }

    fn check_size(&self, len: usize) -> Result<(), ResponseError> {
        if len > self.max_head_bytes { Err(ResponseError::HeadTooLarge) } else { Ok(()) }
    }

    /// Writes what was parsed from `bytes` into `head`, if it is within the rules.
    fn accept(
        &self,
        parsed: &httparse::Response<'_, '_>,
        bytes: &[u8],
        asked: Asked,
        head: &mut ResponseHead,
    ) -> Result<Traits, ResponseError> {
        head.clear();
        head.version = if parsed.version == Some(0) { Version::Http10 } else { Version::Http11 };
        head.status = parsed.code.filter(|code| *code >= 100).unwrap_or_default();
        if head.status == 0 {
            return Err(ResponseError::Malformed("invalid status"));
        }
        let framing = self.accept_fields(parsed.headers, bytes, head)?;
        let body = self.body_of(framing, asked, head)?;
        // RFC 9112 section 6.1: HTTP/1.0 with a coding is of faulty framing; nothing may follow.
        let faulty = head.version == Version::Http10 && framing.has_coding();
        let persists = match head.fields.has_any(CONTROL) {
            true => ConnectionTokens::of(&head.fields).persists(head.version),
            false => head.version == Version::Http11,
        };
        let keep_alive = persists && !faulty && body != Some(Body::UntilClose);
        Ok(Traits { body, keep_alive })
    }

    #[inline]
    fn accept_fields(
        &self,
        parsed: &[httparse::Header<'_>],
        bytes: &[u8],
        head: &mut ResponseHead,
    ) -> Result<FramingFields, ResponseError> {
        let mut framing = FramingFields::default();
        let first = parsed.first().map_or("", |field| field.name);
        let mut held = head.fields.hold(bytes, first.as_bytes());
        for field in parsed {
            let name = field.name.as_bytes();
            head.fields.push_held(&mut held, name, field.value, JOINED_IN_RESPONSES, |known| {
                framing.see(known, field.value);
                true
            });
        }
        match head.fields.len() > self.max_fields {
            true => Err(ResponseError::TooManyFields),
            false => Ok(framing),
        }
    }

    /// RFC 9112 section 6.3; `None` for an informational response.
    #[inline]
    fn body_of(
        &self,
        framing: FramingFields,
        asked: Asked,
        head: &mut ResponseHead,
    ) -> Result<Option<Body>, ResponseError> {
        if framing.bad_length {
            return Err(ResponseError::Malformed("invalid content-length"));
        }
        match head.status {
            101 => switched(framing, asked).map(Some),
            100..200 => bodiless(framing).map(|()| None),
            204 => bodiless(framing).map(|()| Some(Body::None)),
            200..300 if asked.method == Method::Connect => Ok(Some(opened(head))),
            _ => self.ordinary_body_of(framing, asked, head).map(Some),
        }
    }

    #[inline]
    fn ordinary_body_of(
        &self,
        framing: FramingFields,
        asked: Asked,
        head: &mut ResponseHead,
    ) -> Result<Body, ResponseError> {
        if framing.has_coding() {
            if framing.length.is_some() {
                if !self.allow_chunked_length || !framing.chunked {
                    return Err(ResponseError::LengthAndChunked);
                }
                head.fields.remove_known(Known::ContentLength);
            }
            if !framing.chunked {
                return Err(ResponseError::InvalidTransferEncoding);
            }
        }
        if asked.method == Method::Head || head.status == 304 {
            return Ok(Body::None);
        }
        match framing.length {
            _ if framing.chunked => Ok(Body::Chunked),
            Some(length) => Ok(Body::Length(length)),
            None => Ok(Body::UntilClose),
        }
    }
}

/// A tunnel opens only if the request asked for one.
fn switched(framing: FramingFields, asked: Asked) -> Result<Body, ResponseError> {
    if asked.upgrade == Upgrade::None {
        return Err(ResponseError::UnexpectedUpgrade);
    }
    bodiless(framing).map(|()| Body::UntilClose)
}

/// RFC 9112 section 6.3, rule 2: framing fields in an answer to CONNECT mean nothing.
fn opened(head: &mut ResponseHead) -> Body {
    head.fields.remove_known(Known::ContentLength);
    head.fields.remove_known(Known::TransferEncoding);
    Body::UntilClose
}

/// RFC 9110 sections 8.6 and 15.2: neither 1xx nor 204 may announce a body. Envoy lets
/// `content-length: 0` pass.
fn bodiless(framing: FramingFields) -> Result<(), ResponseError> {
    if framing.has_coding() {
        return Err(ResponseError::TransferEncodingNotAllowed);
    }
    match framing.length {
        None | Some(0) => Ok(()),
        Some(_) => Err(ResponseError::BodyNotAllowed),
    }
}

/// Envoy takes several blanks between the words of a status line.
fn config() -> httparse::ParserConfig {
    let mut config = httparse::ParserConfig::default();
    config.allow_multiple_spaces_in_response_status_delimiters(true);
    config
}
