//! The downstream side: bytes to requests.

use super::body::BodyReader;
use super::chunked::TrailerSink;
use super::collect::Collected;
use super::error::HeadError;
use super::framing::{ConnectionTokens, FramingFields};
use super::lenient::reconsider_request;
use super::target::{is_authority, read_target};
use super::{MAX_BLANK_BYTES, SLOTS, Underscores, Upgrade, many_slots, slots};
use crate::h1::RequestError;
use crate::known::{JOINED_IN_REQUESTS, mask};
use crate::{Body, Fields, Known, Method, RequestHead, Step, Version};

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

/// What the current head says about its message and connection.
#[derive(Clone, Copy, Debug, Default)]
struct Traits {
    body: Body,
    keep_alive: bool,
    upgrade: Upgrade,
    expect_continue: bool,
    /// Fields that were dropped by `Underscores::Drop`.
    dropped_fields: u32,
}

/// Fields that need more than to be stored.
const CONTROL: u128 =
    mask(&[Known::Connection, Known::Expect, Known::ProxyConnection, Known::Upgrade]);

/// Envoy refuses `connection` with so many tokens, or `te` (if `connection` names it) so long.
const MAX_CONNECTION_TOKENS: usize = 10;
const MAX_NAMED_TE_BYTES: usize = 256;

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

impl RequestLimits {
    /// Parses a head at the start of `bytes`: its length and traits; `None` when it is not
    /// complete.
    #[inline]
    fn parse(
        &self,
        bytes: &[u8],
        head: &mut RequestHead,
    ) -> Result<Option<(usize, Traits)>, RequestError> {
        let mut slots = slots();
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(bytes, &mut slots) {
            Ok(httparse::Status::Complete(len)) => {
                Ok(Some((len, self.accept(&parsed, len, head)?)))
            }
            Ok(httparse::Status::Partial) => Ok(None),
            Err(httparse::Error::TooManyHeaders) if self.max_fields >= SLOTS => {
                self.parse_many(bytes, head)
            }
            Err(error) => self.parse_again(bytes, error, head),
        }
    }

    /// The same for a head with more fields than the slots on the stack.
    #[cold]
    fn parse_many(
        &self,
        bytes: &[u8],
        head: &mut RequestHead,
    ) -> Result<Option<(usize, Traits)>, RequestError> {
        let mut slots = many_slots(self.max_fields, bytes.len());
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(bytes, slots.spare_capacity_mut()) {
            Ok(httparse::Status::Complete(len)) => {
                Ok(Some((len, self.accept(&parsed, len, head)?)))
            }
            Ok(httparse::Status::Partial) => Ok(None),
            Err(error) => Err(HeadError::parse(error).into()),
        }
    }

    /// The same for a head that httparse refused.
    #[cold]
    fn parse_again(
        &self,
        bytes: &[u8],
        error: httparse::Error,
        head: &mut RequestHead,
    ) -> Result<Option<(usize, Traits)>, RequestError> {
        if error == httparse::Error::TooManyHeaders {
            return Err(RequestError::TooManyFields);
        }
        let Some(rewritten) = reconsider_request(bytes, self)? else { return Ok(None) };
        let mut slots = many_slots(self.max_fields, rewritten.head.len());
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(&rewritten.head, slots.spare_capacity_mut()) {
            Ok(httparse::Status::Complete(_)) => {
                Ok(Some((rewritten.len, self.accept(&parsed, rewritten.len, head)?)))
            }
            Ok(httparse::Status::Partial) => Err(HeadError::parse(error).into()),
            Err(error) => Err(HeadError::parse(error).into()),
        }
    }

    /// Writes a parsed head of `len` bytes into `head`, if it is within the rules.
    fn accept(
        &self,
        parsed: &httparse::Request<'_, '_>,
        len: usize,
        head: &mut RequestHead,
    ) -> Result<Traits, RequestError> {
        if len > self.max_head_bytes {
            return Err(RequestError::HeadTooLarge);
        }
        head.clear();
        self.accept_line(parsed, head)?;
        let target = parsed.path.unwrap_or_default().as_bytes();
        let named = read_target(target, self.allow_absolute_url, head)?;
        let (framing, dropped_fields) = self.accept_fields(parsed.headers, named, head)?;
        let mut traits = Traits { dropped_fields, ..Traits::default() };
        traits.keep_alive = head.version() == Version::Http11;
        if head.fields.has_any(CONTROL) {
            traits.accept_control(head)?;
        }
        traits.body = self.body_of(framing, head)?;
        Ok(traits)
    }

    #[inline]
    fn accept_line(
        &self,
        parsed: &httparse::Request<'_, '_>,
        head: &mut RequestHead,
    ) -> Result<(), RequestError> {
        let method = parsed.method.unwrap_or_default().as_bytes();
        head.set_method(method);
        if head.method_kind() == Method::Other {
            self.check_method(method)?;
        }
        if parsed.version == Some(0) {
            if !self.allow_http10 {
                return Err(RequestError::LowVersion);
            }
            head.set_version(Version::Http10);
        }
        Ok(())
    }

    /// Refuses methods that Envoy does not know, unless custom ones are allowed.
    pub(super) fn check_method(&self, method: &[u8]) -> Result<(), HeadError> {
        let known = || Method::classify(method) != Method::Other || is_envoy_method(method);
        match self.allow_custom_methods || known() {
            true => Ok(()),
            false => Err(HeadError::Malformed("unknown method")),
        }
    }

    /// Stores the fields. Returns what they say of the framing, and how many were dropped.
    #[inline]
    fn accept_fields(
        &self,
        parsed: &[httparse::Header<'_>],
        authority_named: bool,
        head: &mut RequestHead,
    ) -> Result<(FramingFields, u32), RequestError> {
        let mut framing = FramingFields::default();
        let mut dropped = 0;
        for field in parsed {
            let name = field.name.as_bytes();
            if self.underscores != Underscores::Allow && name.contains(&b'_') {
                if self.underscores == Underscores::Reject {
                    return Err(RequestError::UnexpectedUnderscore);
                }
                dropped += 1;
                continue;
            }
            let mut is_host = false;
            head.fields.push_decoded(name, field.value, JOINED_IN_REQUESTS, |known| {
                framing.see(known, field.value);
                is_host = known == Known::Host;
                !is_host
            });
            if is_host && !authority_named {
                head.join_authority(field.value);
            }
        }
        if !authority_named && !is_authority(head.authority()) {
            return Err(RequestError::InvalidAuthority);
        }
        match head.fields.len() + usize::from(head.has_authority()) > self.max_fields {
            true => Err(RequestError::TooManyFields),
            false => Ok((framing, dropped)),
        }
    }

    /// RFC 9112 section 6.3.
    #[inline]
    fn body_of(
        &self,
        framing: FramingFields,
        head: &mut RequestHead,
    ) -> Result<Body, RequestError> {
        if framing.bad_length {
            return Err(RequestError::Malformed("invalid content-length"));
        }
        if framing.has_coding() {
            return self.coded_body_of(framing, head);
        }
        match framing.length {
            None => Ok(Body::None),
            Some(length) if length > 0 && head.method_kind() == Method::Connect => {
                Err(RequestError::BodyNotAllowed)
            }
            Some(length) => Ok(Body::Length(length)),
        }
    }

    fn coded_body_of(
        &self,
        framing: FramingFields,
        head: &mut RequestHead,
    ) -> Result<Body, RequestError> {
        if framing.length.is_some() {
            if !self.allow_chunked_length || !framing.chunked {
                return Err(RequestError::LengthAndChunked);
            }
            head.fields.remove_known(Known::ContentLength);
        }
        if !framing.chunked || head.method_kind() == Method::Connect {
            return Err(RequestError::InvalidTransferEncoding);
        }
        // RFC 9112 section 6.1: codings came with HTTP/1.1, so a message of 1.0 with one is of
        // faulty framing (CVE-2026-2835). Envoy accepts it.
        match head.version() {
            Version::Http10 => Err(RequestError::TransferEncodingNotAllowed),
            _ => Ok(Body::Chunked),
        }
    }
}

impl Traits {
    /// Reads `connection` and the fields that go with it.
    #[cold]
    fn accept_control(&mut self, head: &mut RequestHead) -> Result<(), RequestError> {
        let tokens = ConnectionTokens::of(&head.fields);
        self.keep_alive = tokens.persists(head.version());
        // RFC 9110 sections 7.8 and 10.1.1: a server ignores both from HTTP/1.0.
        if head.version() == Version::Http11 {
            self.upgrade = upgrade_of(tokens, &head.fields);
            let expect = head.fields.known(Known::Expect);
            self.expect_continue =
                expect.is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"));
        }
        match self.upgrade {
            Upgrade::None => check_connection(head),
            _ => Ok(()),
        }
    }
}

/// What stands in `input` behind the message is the first data of the tunnel.
pub(super) fn first_tunnel_step(input: &[u8], consumed: usize) -> (usize, Step) {
    match consumed == input.len() {
        true => (consumed, Step::NeedMore),
        false => (input.len(), Step::Data(consumed..input.len())),
    }
}

fn upgrade_of(tokens: ConnectionTokens, fields: &Fields) -> Upgrade {
    match fields.known(Known::Upgrade) {
        Some(to) if tokens.upgrade && to.eq_ignore_ascii_case(b"websocket") => Upgrade::WebSocket,
        Some(to) if tokens.upgrade && !to.eq_ignore_ascii_case(b"h2c") => Upgrade::Other,
        _ => Upgrade::None,
    }
}

/// Refuses a `connection` field by which a client would have fields removed that tell where it
/// comes from. One that names `host` leaves the request without an authority.
fn check_connection(head: &mut RequestHead) -> Result<(), RequestError> {
    let Some(value) = head.fields.known(Known::Connection) else { return Ok(()) };
    let te_bytes = head.fields.known(Known::Te).map_or(0, <[u8]>::len);
    let mut names_host = false;
    let tokens = value.split(|byte| *byte == b',').filter(|token| !token.is_empty());
    for (index, token) in tokens.enumerate() {
        let token = token.trim_ascii();
        let is = |name: &[u8]| token.eq_ignore_ascii_case(name);
        let hides_origin =
            is(b"x-forwarded-for") || is(b"x-forwarded-host") || is(b"x-forwarded-proto");
        let long_te = is(b"te") && te_bytes >= MAX_NAMED_TE_BYTES;
        let too_many = index + 1 >= MAX_CONNECTION_TOKENS;
        if hides_origin || long_te || too_many || token.first() == Some(&b':') {
            return Err(RequestError::ConnectionRejected);
        }
        names_host |= is(b"host");
    }
    if names_host {
        head.clear_authority();
    }
    Ok(())
}

/// The methods that Envoy knows besides those of [`Method`].
fn is_envoy_method(method: &[u8]) -> bool {
    const METHODS: [&str; 26] = [
        "ACL",
        "BIND",
        "CHECKOUT",
        "COPY",
        "LINK",
        "LOCK",
        "MERGE",
        "MKACTIVITY",
        "MKCALENDAR",
        "MKCOL",
        "MOVE",
        "MSEARCH",
        "NOTIFY",
        "PROPFIND",
        "PROPPATCH",
        "PURGE",
        "QUERY",
        "REBIND",
        "REPORT",
        "SEARCH",
        "SOURCE",
        "SUBSCRIBE",
        "UNBIND",
        "UNLINK",
        "UNLOCK",
        "UNSUBSCRIBE",
    ];
    METHODS.iter().any(|known| known.as_bytes() == method)
}
