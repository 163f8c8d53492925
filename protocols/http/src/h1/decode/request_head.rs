//! One request head: from httparse's slices to `RequestHead`, by the rules.

use super::error::HeadError;
use super::framing::{ConnectionTokens, FramingFields};
use super::lenient::reconsider_request;
use super::request::RequestLimits;
use super::target::{is_authority, read_target};
use super::{SLOTS, Underscores, Upgrade, many_slots, slots};
use crate::h1::RequestError;
use crate::known::{JOINED_IN_REQUESTS, mask};
use crate::{Body, Fields, Known, Method, RequestHead, Version};

/// What the current head says about its message and connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traits {
    pub(super) body: Body,
    pub(super) keep_alive: bool,
    pub(super) upgrade: Upgrade,
    pub(super) expect_continue: bool,
    /// Fields that were dropped by `Underscores::Drop`.
    pub(super) dropped_fields: u32,
}

/// Fields that need more than to be stored.
const CONTROL: u128 =
    mask(&[Known::Connection, Known::Expect, Known::ProxyConnection, Known::Upgrade]);

/// Envoy refuses `connection` with so many tokens, or `te` (if `connection` names it) so long.
const MAX_CONNECTION_TOKENS: usize = 10;
const MAX_NAMED_TE_BYTES: usize = 256;

impl RequestLimits {
    /// Parses a head at the start of `bytes`: its length and traits; `None` when it is not
    /// complete.
    #[inline]
    pub(super) fn parse(
        &self,
        bytes: &[u8],
        head: &mut RequestHead,
    ) -> Result<Option<(usize, Traits)>, RequestError> {
        let mut slots = slots();
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(bytes, &mut slots) {
            Ok(httparse::Status::Complete(len)) => {
                self.check_size(len)?;
                Ok(Some((len, self.accept(&parsed, &bytes[..len], head)?)))
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
                self.check_size(len)?;
                Ok(Some((len, self.accept(&parsed, &bytes[..len], head)?)))
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
                self.check_size(rewritten.len)?;
                Ok(Some((rewritten.len, self.accept(&parsed, &rewritten.head, head)?)))
            }
            Ok(httparse::Status::Partial) => Err(HeadError::parse(error).into()),
            Err(error) => Err(HeadError::parse(error).into()),
        }
    }

    fn check_size(&self, len: usize) -> Result<(), RequestError> {
        if len > self.max_head_bytes { Err(RequestError::HeadTooLarge) } else { Ok(()) }
    }

    /// Writes what was parsed from `bytes` into `head`, if it is within the rules.
    fn accept(
        &self,
        parsed: &httparse::Request<'_, '_>,
        bytes: &[u8],
        head: &mut RequestHead,
    ) -> Result<Traits, RequestError> {
        head.clear();
        self.accept_method(parsed, head)?;
        let target = parsed.path.unwrap_or_default().as_bytes();
        let named = read_target(target, self.allow_absolute_url, head)?;
        self.accept_version(parsed, head)?;
        let (framing, dropped_fields) = self.accept_fields(parsed.headers, bytes, named, head)?;
        let mut traits = Traits { dropped_fields, ..Traits::default() };
        traits.keep_alive = head.version() == Version::Http11;
        if head.fields.has_any(CONTROL) {
            traits.accept_control(head)?;
        }
        traits.body = self.body_of(framing, head)?;
        Ok(traits)
    }

    #[inline]
    fn accept_method(
        &self,
        parsed: &httparse::Request<'_, '_>,
        head: &mut RequestHead,
    ) -> Result<(), RequestError> {
        let method = parsed.method.unwrap_or_default().as_bytes();
        head.set_method(method);
        if head.method_kind() == Method::Other {
            self.check_method(method)?;
        }
        Ok(())
    }

    #[inline]
    fn accept_version(
        &self,
        parsed: &httparse::Request<'_, '_>,
        head: &mut RequestHead,
    ) -> Result<(), RequestError> {
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
        bytes: &[u8],
        authority_named: bool,
        head: &mut RequestHead,
    ) -> Result<(FramingFields, u32), RequestError> {
        let mut framing = FramingFields::default();
        let mut dropped = 0;
        let first = parsed.first().map_or("", |field| field.name);
        let mut held = head.fields.hold(bytes, first.as_bytes());
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
            head.fields.push_held(&mut held, name, field.value, JOINED_IN_REQUESTS, |known| {
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
