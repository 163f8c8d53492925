//! The downstream side: bytes to requests. Heads are judged in `request_head`.

use super::body::BodyReader;
use super::chunked::TrailerSink;
use super::collect::Collected;
use super::request_head::Traits;
use super::{MAX_BLANK_BYTES, Underscores, Upgrade};
use crate::h1::RequestError;
use crate::{Body, Fields, RequestHead, Step};

/// What the configuration allows a request to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Bytes of a head: request line, fields and line ends (`max_request_headers_kb` times 1024).
    pub max_head_bytes: usize,
    /// Fields of a head, `host` included, lines that Envoy joins counted once
    /// (`max_headers_count`); the same for trailers.
    pub max_fields: usize,
    /// Accept HTTP/1.0, and HTTP/0.9 (`accept_http_10`).
    pub allow_http10: bool,
    /// Accept `content-length` beside chunked coding and drop it (`allow_chunked_length`).
    pub allow_chunked_length: bool,
    /// Read absolute-form targets (`allow_absolute_url`).
    pub allow_absolute_url: bool,
    /// Accept methods that Envoy does not know (`allow_custom_methods`).
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
///
/// A request that asks for an upgrade, and CONNECT, are messages like others until [`tunnel`] is
/// called: bytes behind them are never taken for tunnel data before the upstream has agreed.
///
/// [`tunnel`]: RequestDecoder::tunnel
#[derive(Debug)]
pub struct RequestDecoder {
    limits: RequestLimits,
    state: State,
    collected: Collected,
    trailers: Fields,
    traits: Traits,
    tunnel: bool,
    /// Bytes of empty lines since the last message.
    blank_bytes: usize,
}

#[derive(Debug, Default)]
enum State {
    /// Between messages; empty lines are skipped.
    #[default]
    Idle,
    /// Within a head that came in pieces.
    Head,
    Body(BodyReader),
    /// Nothing more can be understood on this connection.
    Failed(RequestError),
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
            tunnel: false,
            blank_bytes: 0,
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
    #[inline]
    pub fn decode(
        &mut self,
        input: &[u8],
        head: &mut RequestHead,
    ) -> Result<(usize, Step), RequestError> {
        let result = match &mut self.state {
            State::Idle => self.begin_head(input, head),
            State::Body(_) => self.decode_body(input),
            State::Head => self.continue_head(input, head),
            State::Failed(error) => return Err(*error),
        };
        if let Err(error) = result {
            self.state = State::Failed(error);
            self.collected.clear();
        }
        result
    }

    /// Once the current request is complete, passes everything behind it on as data without end:
    /// the upstream has accepted the upgrade or the CONNECT. To be called from its `Head` step on,
    /// before `Complete`.
    pub fn tunnel(&mut self) {
        self.tunnel = matches!(self.state, State::Body(_));
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
        self.traits.dropped_fields
    }

    /// Trailers of the current request, valid at the `Trailers` step.
    #[must_use]
    pub fn trailers(&self) -> &Fields {
        &self.trailers
    }

    /// Whether the decoder is between messages and nothing of the next one has come. Empty lines
    /// belong to the request that they stand before, as in Envoy.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle) && self.blank_bytes == 0
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
        if step != Step::Complete {
            return Ok((consumed, step));
        }
        if std::mem::take(&mut self.tunnel) {
            *reader = BodyReader::UntilClose;
            self.traits.body = Body::UntilClose;
            return Ok(first_tunnel_step(input, consumed));
        }
        self.state = State::Idle;
        Ok((consumed, Step::Complete))
    }

    fn begin_head(
        &mut self,
        input: &[u8],
        head: &mut RequestHead,
    ) -> Result<(usize, Step), RequestError> {
        let blank = self.skip_blank_lines(input)?;
        let rest = &input[blank..];
        if rest.is_empty() {
            return Ok((blank, Step::NeedMore));
        }
        if let Some((len, traits)) = self.limits.parse(rest, head)? {
            self.begin_body(traits);
            return Ok((blank + len, Step::Head));
        }
        let (taken, _) = self.collected.take(rest);
        self.collected.note_probed();
        self.state = State::Head;
        match self.collected.len() > self.limits.max_head_bytes {
            true => Err(RequestError::HeadTooLarge),
            false => Ok((blank + taken, Step::NeedMore)),
        }
    }

    /// RFC 9112 section 2.2: empty lines before a request line are ignored. A lone CR is not one,
    /// but Envoy ignores it too.
    #[inline]
    fn skip_blank_lines(&mut self, input: &[u8]) -> Result<usize, RequestError> {
        if !matches!(input.first(), Some(b'\r' | b'\n')) {
            return Ok(0);
        }
        let blank = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.blank_bytes += blank;
        match self.blank_bytes > MAX_BLANK_BYTES {
            true => Err(RequestError::Malformed("too many empty lines")),
            false => Ok(blank),
        }
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
        match self.limits.parse(self.collected.bytes(), head)? {
            Some((len, traits)) => {
                // A request of HTTP/0.9 ends with its first line, and that with this input.
                let behind = self.collected.len() - len;
                self.collected.clear();
                self.begin_body(traits);
                Ok((taken.saturating_sub(behind), Step::Head))
            }
            None if oversized => Err(RequestError::HeadTooLarge),
            None => Ok((taken, Step::NeedMore)),
        }
    }

    #[inline]
    fn begin_body(&mut self, traits: Traits) {
        self.traits = traits;
        self.tunnel = false;
        self.blank_bytes = 0;
        self.state = State::Body(BodyReader::new(traits.body));
    }
}

/// What stands in `input` behind the message is the first data of the tunnel.
fn first_tunnel_step(input: &[u8], consumed: usize) -> (usize, Step) {
    match consumed == input.len() {
        true => (consumed, Step::NeedMore),
        false => (input.len(), Step::Data(consumed..input.len())),
    }
}
