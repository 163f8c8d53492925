//! A look at a TLS ClientHello without taking part in the handshake.
//!
//! Owns: records, the message, the extensions that routing and fingerprints need. Does not own: the
//! handshake (the TLS engine reads the same bytes again), nor what is done with a client that says
//! nothing of use.

mod fingerprint;
mod parse;

use std::borrow::Cow;

use crate::Progress;
use crate::reader::Reader;

pub use fingerprint::{ja3, ja3_text, ja4};
pub use parse::ClientHello;

/// Envoy's `max_client_hello_size`, in bytes.
pub const MAX_HELLO: usize = 16 * 1024;
/// RFC 8446 section 5.1: the most that one plaintext record holds.
const MAX_RECORD: usize = 1 << 14;
const RECORD_HEAD: usize = 5;
const HANDSHAKE_HEAD: usize = 4;

/// Why there is no ClientHello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// Another protocol: Envoy counts `tls_inspector.tls_not_found`.
    #[error("not a TLS handshake")]
    NotTls,
    /// Above the limit: Envoy counts `tls_inspector.client_hello_too_large`.
    #[error("ClientHello is larger than the limit")]
    TooLarge,
    /// It begins like one but is none.
    #[error("malformed ClientHello: {0}")]
    Malformed(&'static str),
}

/// Reads the ClientHello at the start of a connection, however many records it comes in. `max_len`
/// bounds the bytes that are looked at, record heads included.
pub fn peek(bytes: &[u8], max_len: usize) -> Result<Progress<ClientHello>, HelloError> {
    let limited = &bytes[..bytes.len().min(max_len)];
    match message(limited, max_len)? {
        Message::Whole(body, used) => Ok(Progress::Done(parse::client_hello(&body)?, used)),
        Message::Missing(missing) if limited.len() + missing > max_len => Err(HelloError::TooLarge),
        Message::Missing(missing) => Ok(Progress::NeedMore(missing)),
    }
}

enum Message<'a> {
    /// The body of the handshake message, and the bytes from the start that hold it.
    Whole(Cow<'a, [u8]>, usize),
    /// How many bytes more it takes at least.
    Missing(usize),
}

/// Joins records until they hold one handshake message.
fn message(bytes: &[u8], max_len: usize) -> Result<Message<'_>, HelloError> {
    let mut reader = Reader(bytes);
    let mut joined: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    loop {
        let len = match record_head(reader.0)? {
            Head::Len(len) => len,
            Head::Missing(missing) => return Ok(Message::Missing(missing)),
        };
        let available = reader.0.len() - RECORD_HEAD;
        let record = &reader.0[RECORD_HEAD..][..available.min(len)];
        append(&mut joined, record);
        let wanted = wanted(&joined)?;
        if wanted + RECORD_HEAD > max_len {
            return Err(HelloError::TooLarge);
        }
        if joined.len() >= wanted {
            // What else the record holds is none of the answer's: it may not have come yet.
            let surplus = joined.len() - wanted;
            let used = bytes.len() - reader.0.len() + RECORD_HEAD + record.len() - surplus;
            return Ok(Message::Whole(body(joined, wanted), used));
        }
        if available < len {
            let within_record = len - available;
            return Ok(Message::Missing(within_record.min(wanted - joined.len())));
        }
        reader.0 = &reader.0[RECORD_HEAD + len..];
    }
}

/// Borrows the first record, which mostly is the only one; copies when there are more.
fn append<'a>(joined: &mut Cow<'a, [u8]>, record: &'a [u8]) {
    if joined.is_empty() {
        *joined = Cow::Borrowed(record);
    } else {
        joined.to_mut().extend_from_slice(record);
    }
}

/// How long the message is with its head, as far as the bytes can tell.
fn wanted(message: &[u8]) -> Result<usize, HelloError> {
    match *message {
        [1, high, middle, low, ..] => {
            Ok(HANDSHAKE_HEAD + u32::from_be_bytes([0, high, middle, low]) as usize)
        }
        [] | [1, ..] => Ok(HANDSHAKE_HEAD),
        _ => Err(HelloError::Malformed("the first handshake message is not a ClientHello")),
    }
}

fn body(joined: Cow<'_, [u8]>, wanted: usize) -> Cow<'_, [u8]> {
    match joined {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[HANDSHAKE_HEAD..wanted]),
        Cow::Owned(bytes) => Cow::Owned(bytes[HANDSHAKE_HEAD..wanted].to_vec()),
    }
}

enum Head {
    Len(usize),
    Missing(usize),
}

/// RFC 8446 section 5.1. Refuses at the first byte that cannot belong to a handshake record.
fn record_head(bytes: &[u8]) -> Result<Head, HelloError> {
    let handshake = bytes.first().is_none_or(|kind| *kind == 22);
    // A version 3.x; the minor number says nothing in a first flight.
    if !handshake || bytes.get(1).is_some_and(|major| *major != 3) {
        return Err(HelloError::NotTls);
    }
    let Some(&[_, _, _, high, low]) = bytes.get(..RECORD_HEAD) else {
        return Ok(Head::Missing(RECORD_HEAD - bytes.len()));
    };
    match usize::from(u16::from_be_bytes([high, low])) {
        // Empty records would make an endless hello of heads.
        0 => Err(HelloError::Malformed("empty handshake record")),
        len if len > MAX_RECORD => Err(HelloError::Malformed("record of more than 16 KiB")),
        len => Ok(Head::Len(len)),
    }
}
