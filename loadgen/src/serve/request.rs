//! Requests, strictly and cheaply: the head that came last is known by its bytes, and one that
//! means the same gets the same answer. No sockets.
//!
//! The second matters behind proxies that number requests: they never send the same bytes twice,
//! and must not find a slower origin for that.

use std::rc::Rc;

use memchr::memmem;

use super::answer::{Answer, Body, Defaults, Ending, FIELD, fill};
use crate::protocol::chunked::{Chunked, Found};
use crate::protocol::http1::decimal;
use crate::protocol::websocket;

/// Bytes of a head and fields in it; more is refused.
const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_FIELDS: usize = 128;
/// Bytes of a request body that is sent back.
const MAX_ECHO_BYTES: usize = 16 << 20;
/// Answers up to this size are made once.
const MAX_READY_BYTES: u64 = 64 * 1024;

/// A request whose head is known, and its answer.
#[derive(Debug)]
pub(super) struct Prepared {
    /// What the answer was read from.
    path: String,
    pub(super) answer: Answer,
    /// The whole answer, where it is always the same and small.
    pub(super) ready: Option<Vec<u8>>,
    /// The client takes another answer on this connection.
    pub(super) keep_alive: bool,
    /// The request was a HEAD.
    pub(super) is_head: bool,
    /// The answer is the end of HTTP: a WebSocket follows.
    pub(super) is_upgrade: bool,
    framing: Framing,
    pub(super) wants_continue: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Framing {
    #[default]
    None,
    Length(u64),
    Chunked,
}

/// Why a request is refused: status and words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused(pub(super) u16, pub(super) String);

fn refuse<T>(status: u16, text: &str) -> Result<T, Refused> {
    Err(Refused(status, text.to_owned()))
}

/// What came of some input.
#[derive(Debug)]
pub(super) enum Event {
    NeedMore,
    /// A client waits for a 100 before it sends its body.
    Continue,
    /// A whole request, with its body where it is to be sent back.
    Request(Rc<Prepared>, Vec<u8>),
}

/// Reads the requests of one connection.
#[derive(Debug)]
pub(super) struct Reader {
    defaults: Defaults,
    partial: Vec<u8>,
    known: Vec<u8>,
    prepared: Option<Rc<Prepared>>,
    state: State,
    echo: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Head,
    Length(u64),
    Chunked(Chunked),
}

impl Reader {
    pub(super) fn new(defaults: Defaults) -> Self {
        Self {
            defaults,
            partial: Vec::new(),
            known: Vec::new(),
            prepared: None,
            state: State::Head,
            echo: Vec::new(),
        }
    }

    /// The next step over `input`: how many bytes were consumed, and what came of them.
    #[inline]
    pub(super) fn step(&mut self, input: &[u8]) -> Result<(usize, Event), Refused> {
        match &mut self.state {
            State::Head => {
                if self.partial.is_empty()
                    && !self.known.is_empty()
                    && input.starts_with(&self.known)
                {
                    return Ok((self.known.len(), self.begin()));
                }
                self.head(input)
            }
            State::Length(left) => {
                let taken = usize::try_from(*left).map_or(input.len(), |n| n.min(input.len()));
                *left -= taken as u64;
                let done = *left == 0;
                self.keep_for_echo(&input[..taken])?;
                Ok((taken, if done { self.complete() } else { Event::NeedMore }))
            }
            State::Chunked(chunked) => {
                let (consumed, found) =
                    chunked.step(input).map_err(|text| Refused(400, text.to_owned()))?;
                match found {
                    Found::Done => return Ok((consumed, self.complete())),
                    Found::Data(range) => self.keep_for_echo(&input[range])?,
                    Found::NeedMore => {}
                }
                Ok((consumed, Event::NeedMore))
            }
        }
    }

    fn head(&mut self, input: &[u8]) -> Result<(usize, Event), Refused> {
        let before = self.partial.len();
        let room = (MAX_HEAD_BYTES + 1 - before).min(input.len());
        self.partial.extend_from_slice(&input[..room]);
        let from = before.saturating_sub(3);
        let Some(end) = memmem::find(&self.partial[from..], b"\r\n\r\n").map(|at| from + at + 4)
        else {
            if self.partial.len() > MAX_HEAD_BYTES {
                return refuse(431, "a head of more than 64 KiB");
            }
            return Ok((input.len(), Event::NeedMore));
        };
        self.partial.truncate(end);
        self.prepared = Some(prepare(&self.partial, self.defaults, self.prepared.take())?);
        std::mem::swap(&mut self.known, &mut self.partial);
        self.partial.clear();
        Ok((end - before, self.begin()))
    }

    /// The head is there; its meaning is in `prepared`.
    fn begin(&mut self) -> Event {
        let (framing, waits) = match &self.prepared {
            Some(prepared) => (prepared.framing, prepared.wants_continue),
            None => (Framing::None, false),
        };
        match framing {
            Framing::None | Framing::Length(0) => return self.complete(),
            Framing::Length(length) => self.state = State::Length(length),
            Framing::Chunked => self.state = State::Chunked(Chunked::new()),
        }
        if waits { Event::Continue } else { Event::NeedMore }
    }

    fn complete(&mut self) -> Event {
        self.state = State::Head;
        let body = std::mem::take(&mut self.echo);
        match &self.prepared {
            Some(prepared) => Event::Request(Rc::clone(prepared), body),
            None => Event::NeedMore,
        }
    }

    fn keep_for_echo(&mut self, data: &[u8]) -> Result<(), Refused> {
        if !self.prepared.as_ref().is_some_and(|p| p.answer.body == Body::Echo) {
            return Ok(());
        }
        if self.echo.len() + data.len() > MAX_ECHO_BYTES {
            return refuse(413, "a body of more than 16 MiB is not sent back");
        }
        self.echo.extend_from_slice(data);
        Ok(())
    }
}

/// Reads a head; `last` is what the head before it led to.
fn prepare(
    bytes: &[u8],
    defaults: Defaults,
    last: Option<Rc<Prepared>>,
) -> Result<Rc<Prepared>, Refused> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return refuse(431, "more than 128 fields"),
        _ => return refuse(400, "a malformed head"),
    }
    let wishes = Wishes::read(&request)?;
    let path = wishes.answer.unwrap_or(request.path.unwrap_or("/"));
    let keep_alive = !wishes.close && (request.version == Some(1) || wishes.keep_alive);
    let is_head = request.method == Some("HEAD");
    if let Some(last) = last
        && (path, keep_alive, is_head) == (&*last.path, last.keep_alive, last.is_head)
        && last.fits(&wishes)
    {
        return Ok(last);
    }
    let answer = Answer::read(path, defaults).map_err(|text| Refused(400, text))?;
    let mut prepared = Prepared {
        path: path.to_owned(),
        answer,
        ready: None,
        keep_alive,
        is_head,
        is_upgrade: false,
        framing: wishes.framing,
        wants_continue: wishes.wants_continue,
    };
    prepared.ready = ready(&prepared);
    if let Some(key) = wishes.key.filter(|_| wishes.is_websocket) {
        prepared.is_upgrade = true;
        prepared.ready = Some(handshake(key));
    }
    Ok(Rc::new(prepared))
}

impl Prepared {
    /// Whether the fields of another request decide the same.
    fn fits(&self, wishes: &Wishes<'_>) -> bool {
        (self.framing, self.wants_continue) == (wishes.framing, wishes.wants_continue)
            && !self.is_upgrade
            && !wishes.is_websocket
    }
}

/// The fields that decide something.
#[derive(Default)]
struct Wishes<'a> {
    framing: Framing,
    close: bool,
    keep_alive: bool,
    wants_continue: bool,
    answer: Option<&'a str>,
    is_websocket: bool,
    key: Option<&'a [u8]>,
}

impl<'a> Wishes<'a> {
    fn read(request: &httparse::Request<'_, 'a>) -> Result<Self, Refused> {
        let mut wishes = Self::default();
        for field in request.headers.iter() {
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            if is("content-length") {
                wishes.length(field.value)?;
            } else if is("transfer-encoding") {
                wishes.coding(field.value)?;
            } else if is("connection") {
                wishes.close |= names(field.value, b"close");
                wishes.keep_alive |= names(field.value, b"keep-alive");
            } else if is("expect") {
                wishes.wants_continue = field.value.eq_ignore_ascii_case(b"100-continue");
            } else if is("upgrade") {
                wishes.is_websocket = names(field.value, b"websocket");
            } else if is("sec-websocket-key") {
                wishes.key = Some(field.value);
            } else if is(FIELD) {
                wishes.answer = std::str::from_utf8(field.value).ok();
            }
        }
        Ok(wishes)
    }

    fn length(&mut self, value: &[u8]) -> Result<(), Refused> {
        let Some(length) = decimal(value) else {
            return refuse(400, "a content-length that is no number");
        };
        match std::mem::replace(&mut self.framing, Framing::Length(length)) {
            Framing::Length(other) if other != length => refuse(400, "two content-lengths"),
            Framing::Chunked => refuse(400, "content-length beside transfer-encoding"),
            _ => Ok(()),
        }
    }

    fn coding(&mut self, value: &[u8]) -> Result<(), Refused> {
        if !value.eq_ignore_ascii_case(b"chunked") {
            return refuse(501, "a transfer-encoding other than chunked");
        }
        match std::mem::replace(&mut self.framing, Framing::Chunked) {
            Framing::None => Ok(()),
            _ => refuse(400, "transfer-encoding beside another length"),
        }
    }
}

fn names(value: &[u8], option: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(option))
}

/// RFC 6455 section 4.2.2.
fn handshake(key: &[u8]) -> Vec<u8> {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {}\r\n\r\n",
        websocket::accept(key)
    )
    .into_bytes()
}

/// The bytes of an answer that is always the same, small, and needs no waiting.
fn ready(prepared: &Prepared) -> Option<Vec<u8>> {
    let answer = &prepared.answer;
    let Body::Bytes(size) = answer.body else { return None };
    let plain = answer.delay.is_zero()
        && matches!(answer.ending, Ending::Complete | Ending::Close)
        && size <= MAX_READY_BYTES;
    if !plain {
        return None;
    }
    let mut out = Vec::new();
    head(&mut out, prepared, Some(size));
    if !prepared.is_head && !answer.is_bodyless() {
        fill(&mut out, 0, size);
    }
    Some(out)
}

/// Appends the head of an answer; `length` is known for bodies with a length.
pub(super) fn head(out: &mut Vec<u8>, prepared: &Prepared, length: Option<u64>) {
    let answer = &prepared.answer;
    let mut text = format!("HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status));
    match (answer.body, length) {
        _ if answer.is_bodyless() => {}
        (_, Some(length)) => {
            text.push_str(&format!("content-type: text/plain\r\ncontent-length: {length}\r\n"));
        }
        (Body::Chunked { .. }, None) => {
            text.push_str("content-type: text/plain\r\ntransfer-encoding: chunked\r\n");
        }
        _ => text.push_str("content-type: text/plain\r\n"),
    }
    for number in 0..answer.fields {
        text.push_str(&format!("x-field-{number}: value-{number}\r\n"));
    }
    if !prepared.stays_open() {
        text.push_str("connection: close\r\n");
    }
    text.push_str("\r\n");
    out.extend_from_slice(text.as_bytes());
}

impl Prepared {
    /// Whether the connection can be used again after this answer.
    #[inline]
    pub(super) fn stays_open(&self) -> bool {
        self.keep_alive
            && self.answer.ending == Ending::Complete
            && !matches!(self.answer.body, Body::UntilClose(_))
    }
}

/// A whole answer to a request that is refused.
pub(super) fn refusal(Refused(status, text): &Refused) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} {}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{text}\n",
        reason(*status),
        text.len() + 1
    )
    .into_bytes()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        404 => "Not Found",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests;
