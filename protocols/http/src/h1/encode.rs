//! Heads, chunk framing and trailers to bytes.
//!
//! The framing fields come from [`Framing`], never from the message: whatever `content-length`,
//! `transfer-encoding` and `connection` a head carries, the peer sees what this side does.
//!
//! Order as Envoy 1.40: start line, `host` first in requests, the fields in their order with
//! `content-length` where the head has it, then `connection`, then whatever framing field is left.

use super::reason::reason_phrase;
use crate::decimal::decimal;
use crate::fields::Piece;
use crate::known::mask;
use crate::{Body, Fields, Known, Method, RequestHead, ResponseHead, Version};

/// How the body is framed on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No framing field: no body, or one that ends with the connection. In a request whose method
    /// lets the peer expect a body (POST and the like) that is `content-length: 0`, as Envoy does.
    None,
    /// `content-length`, in the place where the head carries it, else at the end.
    Length(u64),
    /// `transfer-encoding: chunked`, at the end.
    Chunked,
    /// Answers to HEAD, and 304: no body follows, and the framing fields describe that of a GET.
    /// The `content-length` of the head passes. Without one an answer to HEAD says `chunked`, as
    /// Envoy does.
    Described,
}

impl Framing {
    /// The framing of a request whose body came in this form.
    #[must_use]
    pub fn of_request(body: Body) -> Self {
        match body {
            Body::None | Body::UntilClose => Self::None,
            Body::Length(length) => Self::Length(length),
            Body::Chunked => Self::Chunked,
        }
    }

    /// The framing of a response with this status, whose body came in this form, to a request of
    /// this method and version. With `None` and a body the connection must be closed behind it.
    #[must_use]
    pub fn of_response(body: Body, status: u16, asked: Method, version: Version) -> Self {
        let opens_tunnel = asked == Method::Connect && (200..300).contains(&status);
        match body {
            _ if status < 200 || status == 204 || opens_tunnel => Self::None,
            _ if asked == Method::Head || status == 304 => Self::Described,
            Body::None => Self::Length(0),
            Body::Length(length) => Self::Length(length),
            // RFC 9112 section 6.1: HTTP/1.0 knows no codings.
            Body::Chunked | Body::UntilClose if version == Version::Http10 => Self::None,
            Body::Chunked | Body::UntilClose => Self::Chunked,
        }
    }
}

/// What the `connection` field says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionField {
    /// Nothing: the version's default holds.
    #[default]
    Absent,
    /// `connection: close`
    Close,
    /// `connection: keep-alive`, for HTTP/1.0.
    KeepAlive,
    /// The message's own `connection` and `upgrade` fields pass.
    Upgrade,
}

/// How field names are written (`header_key_format`). Trailers are always lower-case, as in Envoy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderKeyFormat {
    /// `content-type`
    #[default]
    LowerCase,
    /// `Content-Type` (`proper_case_words`)
    ProperCaseWords,
}

/// Options of a request on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestOptions {
    /// The `connection` field.
    pub connection: ConnectionField,
    /// The case of names.
    pub key_format: HeaderKeyFormat,
    /// Write the target in absolute form (`send_fully_qualified_url`).
    pub absolute_form: bool,
}

/// Options of a response on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseOptions {
    /// The version of the request, in which the response is written too.
    pub version: Version,
    /// The `connection` field.
    pub connection: ConnectionField,
    /// The case of names.
    pub key_format: HeaderKeyFormat,
    /// The method of the request, on which [`Framing::Described`] depends.
    pub asked: Method,
}

/// Fields that the encoder writes by itself.
const OWN: u128 = mask(&[
    Known::Host,
    Known::Connection,
    Known::ContentLength,
    Known::TransferEncoding,
    Known::Upgrade,
]);

/// Writes a request head with its empty line behind `out`.
pub fn encode_request(
    head: &RequestHead,
    framing: Framing,
    options: RequestOptions,
    out: &mut Vec<u8>,
) {
    out.reserve(head.byte_size() + 4 * head.fields.len() + 128);
    write_cleanly(out, |out, values| write_request(head, framing, options, values, out));
}

/// Writes a response head with its empty line behind `out`. The version of the head is that of the
/// upstream and is not looked at.
pub fn encode_response(
    head: &ResponseHead,
    framing: Framing,
    options: ResponseOptions,
    out: &mut Vec<u8>,
) {
    out.reserve(head.fields.byte_size() + 4 * head.fields.len() + 128);
    write_cleanly(out, |out, values| write_response(head, framing, options, values, out));
}

/// Writes the line that begins a chunk of `len` bytes. Nothing for zero, which would end the body.
#[inline]
pub fn encode_chunk_prefix(len: usize, out: &mut Vec<u8>) {
    if len == 0 {
        return;
    }
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4);
    for digit in (0..digits).rev() {
        out.push(b"0123456789abcdef"[len >> (4 * digit) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the line end behind the data of a chunk.
#[inline]
pub fn encode_chunk_end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Ends a chunked body, with trailers if there are any.
pub fn encode_trailers(trailers: Option<&Fields>, out: &mut Vec<u8>) {
    let Some(trailers) = trailers else {
        return out.extend_from_slice(b"0\r\n\r\n");
    };
    write_cleanly(out, |out, values| {
        out.extend_from_slice(b"0\r\n");
        for (name, value) in trailers.iter() {
            write_field(name, value, HeaderKeyFormat::LowerCase, values, out);
        }
        out.extend_from_slice(b"\r\n");
        trailers.len() + 2
    });
}

/// Returns how many lines were written.
#[inline]
fn write_request(
    head: &RequestHead,
    framing: Framing,
    options: RequestOptions,
    values: Values,
    out: &mut Vec<u8>,
) -> usize {
    out.extend_from_slice(head.method());
    out.push(b' ');
    write_target(head, options.absolute_form, out);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let mut writer = Writer {
        out,
        connection: options.connection,
        format: options.key_format,
        values,
        rest: framing,
        lines: 1,
    };
    writer.field(b"host", head.authority());
    writer.fields(&head.fields);
    if framing == Framing::None && expects_body(head.method_kind(), options.connection) {
        writer.rest = Framing::Length(0);
    }
    writer.finish()
}

/// Returns how many lines were written.
#[inline]
fn write_response(
    head: &ResponseHead,
    framing: Framing,
    options: ResponseOptions,
    values: Values,
    out: &mut Vec<u8>,
) -> usize {
    write_status_line(head.status, options.version, out);
    let mut writer = Writer {
        out,
        connection: options.connection,
        format: options.key_format,
        values,
        rest: framing,
        lines: 1,
    };
    writer.fields(&head.fields);
    if writer.rest == Framing::Described {
        let coded = options.asked == Method::Head
            && options.version != Version::Http10
            && !matches!(head.status, ..200 | 204 | 304);
        writer.rest = if coded { Framing::Chunked } else { Framing::None };
    }
    writer.finish()
}

/// Whether field values are known to be free of control characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Values {
    AsTheyAre,
    Cleaned,
}

/// Writes fields and counts the lines of the head.
struct Writer<'a> {
    out: &'a mut Vec<u8>,
    connection: ConnectionField,
    format: HeaderKeyFormat,
    values: Values,
    /// The framing that is still to be announced.
    rest: Framing,
    lines: usize,
}

impl Writer<'_> {
    #[inline]
    fn field(&mut self, name: &[u8], value: &[u8]) {
        write_field(name, value, self.format, self.values, self.out);
        self.lines += 1;
    }

    #[inline]
    fn fields(&mut self, fields: &Fields) {
        if self.format != HeaderKeyFormat::LowerCase || self.values == Values::Cleaned {
            return self.rewritten_fields(fields);
        }
        for piece in fields.pieces(OWN) {
            match piece {
                Piece::Lines(lines, count) => {
                    self.out.extend_from_slice(lines);
                    self.lines += count;
                }
                Piece::Field(known, name, value) => self.stored_field(known, name, value),
            }
        }
    }

    /// Fields that cannot leave as they came.
    fn rewritten_fields(&mut self, fields: &Fields) {
        for (known, name, value) in fields.iter_known() {
            self.stored_field(known, name, value);
        }
    }

    #[inline]
    fn stored_field(&mut self, known: Option<Known>, name: &[u8], value: &[u8]) {
        match known {
            Some(known) if OWN & known.bit() != 0 => self.own_field(known, value),
            _ => self.field(name, value),
        }
    }

    fn own_field(&mut self, known: Known, value: &[u8]) {
        let upgrades = self.connection == ConnectionField::Upgrade;
        match (known, self.rest) {
            (Known::Connection | Known::Upgrade, _) if upgrades => {
                self.field(known.as_bytes(), value);
            }
            (Known::ContentLength, Framing::Length(length)) => {
                self.length(length);
                self.rest = Framing::None;
            }
            (Known::ContentLength, Framing::Described) => {
                self.field(known.as_bytes(), value);
                self.rest = Framing::None;
            }
            _ => {}
        }
    }

    fn length(&mut self, length: u64) {
        let mut digits = [0; 20];
        self.field(b"content-length", decimal(length, &mut digits));
    }

    /// Writes what is left to say and the empty line. Returns how many lines were written.
    fn finish(mut self) -> usize {
        match self.connection {
            ConnectionField::Close => self.field(b"connection", b"close"),
            ConnectionField::KeepAlive => self.field(b"connection", b"keep-alive"),
            ConnectionField::Absent | ConnectionField::Upgrade => {}
        }
        match self.rest {
            Framing::Length(length) => self.length(length),
            Framing::Chunked => self.field(b"transfer-encoding", b"chunked"),
            Framing::None | Framing::Described => {}
        }
        self.out.extend_from_slice(b"\r\n");
        self.lines + 1
    }
}

#[inline]
fn write_field(
    name: &[u8],
    value: &[u8],
    format: HeaderKeyFormat,
    values: Values,
    out: &mut Vec<u8>,
) {
    match format {
        HeaderKeyFormat::LowerCase => out.extend_from_slice(name),
        HeaderKeyFormat::ProperCaseWords => write_proper_case(name, out),
    }
    out.extend_from_slice(b": ");
    match values {
        Values::AsTheyAre => out.extend_from_slice(value),
        Values::Cleaned => {
            out.extend(value.iter().map(|byte| if is_control(*byte) { b' ' } else { *byte }));
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Capitals at the beginning and behind every character that is neither letter nor digit.
fn write_proper_case(name: &[u8], out: &mut Vec<u8>) {
    let mut starts_word = true;
    for byte in name {
        out.push(if starts_word { byte.to_ascii_uppercase() } else { *byte });
        starts_word = !byte.is_ascii_alphanumeric();
    }
}

fn write_target(head: &RequestHead, absolute_form: bool, out: &mut Vec<u8>) {
    let start = out.len();
    if head.method_kind() == Method::Connect {
        out.extend_from_slice(head.authority());
    } else {
        if absolute_form && head.path() != b"*" {
            out.extend_from_slice(if head.scheme().is_empty() { b"http" } else { head.scheme() });
            out.extend_from_slice(b"://");
            out.extend_from_slice(head.authority());
        }
        out.extend_from_slice(if head.path().is_empty() { b"/" } else { head.path() });
    }
    if out[start..].iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
        escape_blanks(out, start);
    }
}

/// A blank within the target would end it early, and let the rest pass for another version or
/// another request. Decoded targets have none; a rewrite may.
#[cold]
fn escape_blanks(out: &mut Vec<u8>, start: usize) {
    let target = out.split_off(start);
    for byte in target {
        if byte <= b' ' || byte == 0x7f {
            let digits = b"0123456789ABCDEF";
            out.extend_from_slice(&[b'%', digits[usize::from(byte >> 4)]]);
            out.push(digits[usize::from(byte & 0xf)]);
        } else {
            out.push(byte);
        }
    }
}

#[inline]
fn write_status_line(status: u16, version: Version, out: &mut Vec<u8>) {
    if status == 200 && version != Version::Http10 {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    let version: &[u8] = if version == Version::Http10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " };
    out.extend_from_slice(version);
    out.extend_from_slice(decimal(u64::from(status), &mut [0; 20]));
    out.push(b' ');
    out.extend_from_slice(reason_phrase(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The methods for which Envoy leaves out `content-length: 0` are those that have no body as a
/// rule.
fn expects_body(method: Method, connection: ConnectionField) -> bool {
    let bodiless = matches!(
        method,
        Method::Get | Method::Head | Method::Delete | Method::Trace | Method::Connect
    );
    !bodiless && connection != ConnectionField::Upgrade
}

/// Whether what was written is so many lines and holds no other control character.
///
/// A CR, LF or NUL within a field would begin a field or message of the peer's choosing. Decoded
/// fields have none; this catches those that a filter or a formatter composed. One pass counts all
/// control characters: the line ends must be all there are.
#[inline]
fn is_clean(written: &[u8], lines: usize) -> bool {
    let mut controls = 0;
    // Sums of one byte let the compiler count many bytes at once; a chunk cannot overflow them.
    for chunk in written.chunks(255) {
        controls += usize::from(chunk.iter().map(|byte| u8::from(is_control(*byte))).sum::<u8>());
    }
    controls == 2 * lines
}

fn is_control(byte: u8) -> bool {
    byte < b' ' && byte != b'\t'
}

/// Writes by `write`, which returns the number of lines; again with blanks for control characters
/// when there were any.
#[inline]
fn write_cleanly(out: &mut Vec<u8>, write: impl Fn(&mut Vec<u8>, Values) -> usize) {
    let start = out.len();
    let lines = write(out, Values::AsTheyAre);
    if !is_clean(&out[start..], lines) {
        debug_assert!(false, "a field holds a control character");
        out.truncate(start);
        write(out, Values::Cleaned);
    }
}

#[cfg(test)]
mod tests;
