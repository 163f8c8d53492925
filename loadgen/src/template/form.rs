//! What a request is on its connection: bytes of HTTP/1.1, a stream of HTTP/2, or a message.
//!
//! Whatever has no blanks is made once.

use ringway_http::RequestHead;

use super::parts::{Filler, Part, Place, append, append_number};

/// One kind of request, ready to be sent.
#[derive(Debug, Clone)]
pub(super) enum Form {
    /// The bytes of HTTP/1.1, and the same with `connection: close`.
    Fixed { usual: Vec<u8>, last: Vec<u8> },
    /// HTTP/1.1 with blanks.
    Filled { head: Vec<Part>, body: Vec<Part>, length: Length },
    /// HTTP/2 and gRPC.
    Stream(Box<StreamForm>),
    /// A message of WebSocket, or bytes.
    Message(Payload),
}

/// How a body says its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// Not at all: there is none, or the user says it.
    Silent,
    /// `content-length`.
    Counted,
    /// In chunks of so many bytes.
    Chunked(usize),
}

/// A body.
#[derive(Debug, Clone)]
pub(super) enum Payload {
    Fixed(Vec<u8>),
    Filled(Vec<Part>),
}

impl Payload {
    pub(super) fn new(parts: Vec<Part>) -> Self {
        match fixed(&parts) {
            Some(bytes) => Self::Fixed(bytes.to_vec()),
            None => Self::Filled(parts),
        }
    }
}

/// A request of HTTP/2.
#[derive(Debug, Clone)]
pub(super) struct StreamForm {
    /// Without its blanks.
    pub(super) head: RequestHead,
    /// The path and fields that have blanks.
    pub(super) path: Option<Vec<Part>>,
    pub(super) fields: Vec<(String, Vec<Part>)>,
    pub(super) body: Payload,
    pub(super) counted: bool,
    /// The body is one message of gRPC.
    pub(super) framed: bool,
}

impl Form {
    /// For HTTP/1.1, from its request line with fields and its body.
    pub(super) fn http1(head: Vec<Part>, body: Vec<Part>, length: Length) -> Self {
        let (Some(fixed_head), Some(fixed_body)) = (fixed(&head), fixed(&body)) else {
            return Self::Filled { head, body, length };
        };
        let make = |last| {
            let mut bytes = fixed_head.to_vec();
            finish(&mut bytes, fixed_body, length, last);
            bytes
        };
        Self::Fixed { usual: make(false), last: make(true) }
    }

    /// The bytes of HTTP/1.1 where they are always the same.
    #[inline]
    pub(super) fn fixed(&self, wants_last: bool) -> Option<&[u8]> {
        match self {
            Self::Fixed { last, .. } if wants_last => Some(last),
            Self::Fixed { usual, .. } => Some(usual),
            _ => None,
        }
    }

    /// Appends the bytes of HTTP/1.1; `last` asks the server to close after its answer.
    #[inline]
    pub(super) fn fill(&self, filler: &mut Filler, connection: u64, last: bool, out: &mut Vec<u8>) {
        match self {
            Self::Fixed { .. } => out.extend_from_slice(self.fixed(last).unwrap_or_default()),
            Self::Filled { head, body, length } => {
                let mut filled = std::mem::take(&mut filler.scratch);
                filled.clear();
                let place = Place { connection, sequence: filler.sequence() };
                append(body, filler, place, &mut filled);
                append(head, filler, place, out);
                finish(out, &filled, *length, last);
                filler.scratch = filled;
            }
            // The engine of a lane fits its requests: they were made for the same protocol.
            Self::Stream(_) | Self::Message(_) => {}
        }
    }

    /// The head and the body of a stream.
    #[inline]
    pub(super) fn stream<'a>(
        &'a self,
        filler: &'a mut Filler,
        connection: u64,
    ) -> Option<(&'a RequestHead, &'a [u8])> {
        let Self::Stream(form) = self else { return None };
        match &form.body {
            Payload::Fixed(body) if !form.has_blanks() => Some((&form.head, body)),
            _ => {
                form.fill(filler, connection);
                Some((&filler.head, &filler.scratch))
            }
        }
    }

    /// The bytes of a message.
    #[inline]
    pub(super) fn message<'a>(&'a self, filler: &'a mut Filler, connection: u64) -> &'a [u8] {
        match self {
            Self::Message(Payload::Fixed(bytes)) => bytes,
            Self::Message(Payload::Filled(parts)) => {
                let place = Place { connection, sequence: filler.sequence() };
                let mut filled = std::mem::take(&mut filler.scratch);
                filled.clear();
                append(parts, filler, place, &mut filled);
                filler.scratch = filled;
                &filler.scratch
            }
            _ => &[],
        }
    }
}

impl StreamForm {
    /// Makes once what has no blanks.
    pub(super) fn finished(mut self) -> Self {
        if let Payload::Fixed(body) = &mut self.body {
            if self.framed {
                frame(body);
            }
            if self.counted {
                let length = body.len().to_string();
                self.head.fields.push(b"content-length", length.as_bytes());
            }
        }
        self
    }

    fn has_blanks(&self) -> bool {
        self.path.is_some() || !self.fields.is_empty()
    }

    /// Fills head and body into the filler's storage.
    fn fill(&self, filler: &mut Filler, connection: u64) {
        let place = Place { connection, sequence: filler.sequence() };
        let mut head = std::mem::take(&mut filler.head);
        let mut filled = std::mem::take(&mut filler.scratch);
        head.clone_from(&self.head);
        if let Some(path) = &self.path {
            filled.clear();
            append(path, filler, place, &mut filled);
            head.set_path(&filled);
        }
        for (name, value) in &self.fields {
            filled.clear();
            append(value, filler, place, &mut filled);
            head.fields.push(name.as_bytes(), &filled);
        }
        filled.clear();
        match &self.body {
            Payload::Fixed(body) => filled.extend_from_slice(body),
            Payload::Filled(parts) => {
                append(parts, filler, place, &mut filled);
                if self.framed {
                    frame(&mut filled);
                }
                if self.counted {
                    let length = filled.len().to_string();
                    head.fields.push(b"content-length", length.as_bytes());
                }
            }
        }
        filler.head = head;
        filler.scratch = filled;
    }
}

/// Puts the prefix of a gRPC message before it: not compressed, and its length.
fn frame(message: &mut Vec<u8>) {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    message.splice(0..0, [0, length[0], length[1], length[2], length[3]]);
}

/// The bytes of parts without blanks.
fn fixed(parts: &[Part]) -> Option<&[u8]> {
    match parts {
        [] => Some(&[]),
        [Part::Bytes(bytes)] => Some(bytes),
        _ => None,
    }
}

/// The end of a head, and the body.
fn finish(out: &mut Vec<u8>, body: &[u8], length: Length, last: bool) {
    match length {
        Length::Silent => {}
        Length::Counted => {
            out.extend_from_slice(b"content-length: ");
            append_number(body.len() as u64, out);
            out.extend_from_slice(b"\r\n");
        }
        Length::Chunked(_) => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    // RFC 9112 section 9.6: a client that will send no more says so.
    out.extend_from_slice(if last { b"connection: close\r\n\r\n" } else { b"\r\n" });
    match length {
        Length::Chunked(size) => append_chunks(body, size, out),
        _ => out.extend_from_slice(body),
    }
}

/// RFC 9112 section 7.1.
fn append_chunks(body: &[u8], size: usize, out: &mut Vec<u8>) {
    for chunk in body.chunks(size.max(1)) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
}
