//! From the fields of a header block to heads and trailers, by the rules of RFC 9113 section 8.
//!
//! Owns the judgement on one block: pseudo header fields, forbidden fields, counts and sizes as
//! decoded. Bytes are counted before anything is stored, so that a small block that refers to a
//! large table entry many times costs no more memory than a large block (CVE-2026-47774).

use super::error::MessageError;
use super::hpack::{Field, Name, Sink};
use super::limits::Limits;
use crate::h1::Underscores;
use crate::hop_by_hop::NOT_IN_TRAILERS;
use crate::known::{JOINED_IN_REQUESTS, JOINED_IN_RESPONSES, mask};
use crate::{Fields, Known, Method, RequestHead, ResponseHead, Version};

/// RFC 9113 section 8.2.2.
const CONNECTION_FIELDS: u128 = mask(&[
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::TransferEncoding,
    Known::Upgrade,
]);

/// What a block is, and where its parts go.
pub(super) enum Target<'a> {
    Request(&'a mut RequestHead, &'a mut Vec<u8>),
    Response(&'a mut ResponseHead),
    Trailers(&'a mut Fields),
    /// The stream is over: the block is decoded for the table's sake alone.
    Nothing,
}

/// Takes the fields of one block.
pub(super) struct Assembly<'a> {
    target: Target<'a>,
    limits: &'a Limits,
    underscores: Underscores,
    /// Crumbs of `cookie` (RFC 9113 section 8.2.3), joined once at the end: to append them one by
    /// one to a field would copy each of them as often as others follow.
    cookie: &'a mut Vec<u8>,
    seen: u8,
    bytes: usize,
    lines: usize,
    has_regular: bool,
    dropped: u32,
    error: Option<MessageError>,
}

/// Bits of `seen`.
const METHOD: u8 = 1;
const SCHEME: u8 = 2;
const AUTHORITY: u8 = 4;
const PATH: u8 = 8;
const PROTOCOL: u8 = 16;
const STATUS: u8 = 32;

impl<'a> Assembly<'a> {
    pub(super) fn new(
        target: Target<'a>,
        limits: &'a Limits,
        underscores: Underscores,
        cookie: &'a mut Vec<u8>,
    ) -> Self {
        cookie.clear();
        Self {
            target,
            limits,
            underscores,
            cookie,
            seen: 0,
            bytes: 0,
            lines: 0,
            has_regular: false,
            dropped: 0,
            error: None,
        }
    }

    /// Fields that were dropped for an underscore in their name.
    pub(super) fn dropped(&self) -> u32 {
        self.dropped
    }

    /// The verdict on the whole block.
    pub(super) fn finish(mut self) -> Result<(), MessageError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.store_cookie();
        match self.target {
            Target::Request(head, protocol) => finish_request(head, protocol, self.seen),
            Target::Response(head) => finish_response(head, self.seen),
            Target::Trailers(_) | Target::Nothing => Ok(()),
        }
    }

    fn store_cookie(&mut self) {
        if let Target::Request(head, _) = &mut self.target
            && !self.cookie.is_empty()
        {
            head.fields.push_known(Known::Cookie, self.cookie);
        }
    }

    fn fields(&mut self) -> Option<&mut Fields> {
        match &mut self.target {
            Target::Request(head, _) => Some(&mut head.fields),
            Target::Response(head) => Some(&mut head.fields),
            Target::Trailers(fields) => Some(fields),
            Target::Nothing => None,
        }
    }

    /// Judges one field and stores it.
    #[inline]
    fn take(&mut self, field: &Field<'_>) -> Result<(), MessageError> {
        self.count(field)?;
        if !field.is_sound {
            return Err(MessageError::InvalidField);
        }
        match field.tag {
            Name::Known(known) => {
                self.has_regular = true;
                self.known(known, trim(field.value))
            }
            Name::Other => {
                self.has_regular = true;
                self.other(field.name, trim(field.value))
            }
            pseudo => self.pseudo(pseudo, field.value),
        }
    }

    /// Sizes as decoded. A crumb of a cookie may be empty: it counts as what it becomes.
    #[inline]
    fn count(&mut self, field: &Field<'_>) -> Result<(), MessageError> {
        self.bytes += field.name.len() + field.value.len();
        if field.tag == Name::Known(Known::Cookie) {
            self.bytes += b"; ".len();
            return match self.bytes > self.limits.max_head_bytes {
                true => Err(MessageError::CookiesTooLarge),
                false => Ok(()),
            };
        }
        self.lines += 1;
        if self.bytes > self.limits.max_head_bytes {
            return Err(MessageError::HeadTooLarge);
        }
        // Pseudo header fields are counted as Envoy counts them: as headers.
        match self.lines > self.limits.max_fields {
            true => Err(MessageError::TooManyFields),
            false => Ok(()),
        }
    }

    #[inline]
    fn known(&mut self, known: Known, value: &[u8]) -> Result<(), MessageError> {
        if CONNECTION_FIELDS & known.bit() != 0 {
            return Err(MessageError::ConnectionField);
        }
        let (fields, joined) = match &mut self.target {
            Target::Request(head, _) => {
                match known {
                    Known::Cookie => return crumb(self.cookie, value),
                    Known::Host => return host(head, self.seen, value),
                    Known::Te if !value.eq_ignore_ascii_case(b"trailers") => {
                        return Err(MessageError::InvalidTe);
                    }
                    _ => {}
                }
                (&mut head.fields, JOINED_IN_REQUESTS)
            }
            Target::Response(head) => (&mut head.fields, JOINED_IN_RESPONSES),
            Target::Trailers(fields) => {
                // Dropped, as in HTTP/1.
                if NOT_IN_TRAILERS & known.bit() != 0 {
                    return Ok(());
                }
                (&mut **fields, 0)
            }
            Target::Nothing => return Ok(()),
        };
        match joined & known.bit() != 0 && fields.has(known) {
            true => fields.append_known(known, b",", value),
            false => fields.push_known(known, value),
        }
        Ok(())
    }

    fn other(&mut self, name: &[u8], value: &[u8]) -> Result<(), MessageError> {
        let is_request = matches!(self.target, Target::Request(..));
        if is_request && self.underscores != Underscores::Allow && name.contains(&b'_') {
            return match self.underscores {
                Underscores::Reject => Err(MessageError::UnexpectedUnderscore),
                _ => {
                    self.dropped += 1;
                    Ok(())
                }
            };
        }
        if let Some(fields) = self.fields() {
            fields.push(name, value);
        }
        Ok(())
    }

    fn pseudo(&mut self, name: Name, value: &[u8]) -> Result<(), MessageError> {
        if self.has_regular {
            return Err(MessageError::InvalidHead("pseudo header field behind a regular one"));
        }
        let bit = match (&mut self.target, name) {
            (Target::Request(head, _), Name::Method) => {
                head.set_method(value);
                METHOD
            }
            (Target::Request(head, _), Name::Scheme) => {
                head.set_scheme(value);
                SCHEME
            }
            (Target::Request(head, _), Name::Authority) => {
                head.set_authority(value);
                AUTHORITY
            }
            (Target::Request(head, _), Name::Path) => {
                head.set_path(value);
                PATH
            }
            (Target::Request(_, protocol), Name::Protocol) => {
                protocol.clear();
                protocol.extend_from_slice(value);
                PROTOCOL
            }
            (Target::Response(head), Name::Status) => {
                head.status = status(value)?;
                STATUS
            }
            (Target::Nothing, _) => return Ok(()),
            _ => return Err(MessageError::InvalidHead("pseudo header field out of place")),
        };
        if self.seen & bit != 0 {
            return Err(MessageError::InvalidHead("pseudo header field twice"));
        }
        self.seen |= bit;
        Ok(())
    }
}

impl Sink for Assembly<'_> {
    #[inline]
    fn field(&mut self, field: Field<'_>) {
        if self.error.is_none() {
            self.error = self.take(&field).err();
        }
    }
}

fn crumb(cookie: &mut Vec<u8>, value: &[u8]) -> Result<(), MessageError> {
    if !cookie.is_empty() {
        cookie.extend_from_slice(b"; ");
    }
    cookie.extend_from_slice(value);
    Ok(())
}

/// `host` is the authority where there is none, and is dropped where there is one, as Envoy does:
/// the next hop sees one of them only. Two that differ leave no answer to whose request it is.
fn host(head: &mut RequestHead, seen: u8, value: &[u8]) -> Result<(), MessageError> {
    if seen & AUTHORITY != 0 {
        return Ok(());
    }
    if head.has_authority() && head.authority() != value {
        return Err(MessageError::InvalidHead("two hosts"));
    }
    head.set_authority(value);
    Ok(())
}

fn status(value: &[u8]) -> Result<u16, MessageError> {
    match value {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            let digit = |byte: &u8| u16::from(byte - b'0');
            Ok(digit(a) * 100 + digit(b) * 10 + digit(c))
        }
        _ => Err(MessageError::InvalidHead("status is not three digits")),
    }
}

/// RFC 9113 section 8.3.1, and RFC 8441 section 4 for `:protocol`.
fn finish_request(head: &mut RequestHead, protocol: &[u8], seen: u8) -> Result<(), MessageError> {
    head.set_version(Version::Http2);
    let is_connect = head.method_kind() == Method::Connect;
    let needed = match (is_connect, seen & PROTOCOL != 0) {
        (true, false) => METHOD | AUTHORITY,
        (true, true) => METHOD | SCHEME | PATH | AUTHORITY | PROTOCOL,
        (false, false) => METHOD | SCHEME | PATH,
        (false, true) => return Err(MessageError::InvalidHead("protocol without CONNECT")),
    };
    if seen & needed != needed {
        return Err(MessageError::InvalidHead("pseudo header field is missing"));
    }
    if is_connect && seen & PROTOCOL == 0 && seen & (SCHEME | PATH) != 0 {
        return Err(MessageError::InvalidHead("CONNECT with scheme or path"));
    }
    if head.method_kind() == Method::Other && !is_method(head.method()) {
        return Err(MessageError::InvalidField);
    }
    if seen & PATH != 0 && !is_path(head.path(), head.method_kind()) {
        return Err(MessageError::InvalidField);
    }
    if seen & SCHEME != 0 && !is_scheme(head.scheme()) {
        return Err(MessageError::InvalidField);
    }
    if !is_authority(head.authority()) {
        return Err(MessageError::InvalidField);
    }
    if seen & PROTOCOL != 0 {
        become_upgrade(head, protocol)?;
    }
    Ok(())
}

/// Envoy hands an extended CONNECT on as the HTTP/1.1 upgrade that it stands for, so that one set
/// of rules decides on both.
fn become_upgrade(head: &mut RequestHead, protocol: &[u8]) -> Result<(), MessageError> {
    if protocol.is_empty() || !is_method(protocol) {
        return Err(MessageError::InvalidField);
    }
    head.set_method(b"GET");
    head.fields.set_known(Known::Upgrade, protocol);
    head.fields.set_known(Known::Connection, b"upgrade");
    Ok(())
}

fn finish_response(head: &mut ResponseHead, seen: u8) -> Result<(), MessageError> {
    head.version = Version::Http2;
    if seen & STATUS == 0 {
        return Err(MessageError::InvalidHead("status is missing"));
    }
    // RFC 9113 section 8.6: HTTP/2 has no 101.
    match head.status {
        101 => Err(MessageError::InvalidHead("status 101")),
        _ => Ok(()),
    }
}

fn is_method(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| crate::fields::is_token(*byte))
}

/// An HTTP/1 hop puts the path into a line, where a blank would end it.
fn is_path(path: &[u8], method: Method) -> bool {
    match path.first() {
        Some(b'/') => !path.iter().fold(false, |bad, at| bad | (*at <= b' ') | (*at == 0x7f)),
        Some(b'*') => path.len() == 1 && method == Method::Options,
        _ => false,
    }
}

fn is_scheme(scheme: &[u8]) -> bool {
    matches!(scheme, b"http" | b"https")
        || scheme.first().is_some_and(u8::is_ascii_alphabetic)
            && scheme.iter().all(|at| at.is_ascii_alphanumeric() || b"+-.".contains(at))
}

/// The bytes of RFC 3986 section 3.2, without the user information that RFC 9113 section 8.3.1
/// forbids. A comma would make two hosts of one on the way (HAProxy b743b566b).
fn is_authority(authority: &[u8]) -> bool {
    authority.iter().fold(true, |good, at| good & AUTHORITY_BYTES[usize::from(*at)])
}

static AUTHORITY_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let at = byte as u8;
        table[byte] = at.is_ascii_alphanumeric()
            || matches!(at, b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&' | b'[' | b']')
            || matches!(at, b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=' | b':');
        byte += 1;
    }
    table
};

/// Envoy switches nghttp2's check for blanks around values off; `Fields` holds none.
#[inline]
fn trim(value: &[u8]) -> &[u8] {
    match value {
        [b' ' | b'\t', ..] | [.., b' ' | b'\t'] => value.trim_ascii(),
        _ => value,
    }
}

/// The number in `content-length`; an error when it is none, or stands there twice.
pub(super) fn content_length(fields: &Fields) -> Result<Option<u64>, MessageError> {
    let Some(value) = fields.known(Known::ContentLength) else { return Ok(None) };
    let is_number = !value.is_empty() && value.len() <= 19 && value.iter().all(u8::is_ascii_digit);
    if !is_number {
        return Err(MessageError::ContentLength);
    }
    // Nineteen digits fit 64 bits.
    Ok(Some(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))))
}
