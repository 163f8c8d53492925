//! One side of an HTTP/1 connection, read strictly.
//!
//! Owns the bytes of a socket and their reading as messages by RFC 9112, with no leniency: a proxy
//! must be liberal in what it accepts, its referee must not. It does not judge what a message says.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;

use crate::{PATIENCE, Transcript, escape};

/// No test sends a head beyond this; more is a runaway peer.
const MAX_HEAD: usize = 1 << 20;
/// No test reads a body beyond this into memory.
const MAX_BODY: usize = 256 << 20;
const READ_SIZE: usize = 64 << 10;

/// Why a message could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireError {
    /// The peer closed in order before the first byte of a message.
    Closed,
    /// The peer closed in the middle; the text says of what.
    Truncated(&'static str),
    /// The peer reset the connection.
    Reset,
    /// Nothing came within [`PATIENCE`].
    Silent,
    /// What came is not HTTP/1.1 by the letter.
    Malformed(String),
    /// The socket failed otherwise.
    Broken(String),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => write!(f, "closed"),
            Self::Truncated(what) => write!(f, "closed in the middle of the {what}"),
            Self::Reset => write!(f, "reset"),
            Self::Silent => write!(f, "silent for {PATIENCE:?}"),
            Self::Malformed(why) => write!(f, "malformed: {why}"),
            Self::Broken(why) => write!(f, "socket failed: {why}"),
        }
    }
}

impl std::error::Error for WireError {}

/// A connected socket of either family.
#[derive(Debug)]
pub enum Stream {
    /// TCP over IPv4 or IPv6.
    Tcp(TcpStream),
    /// A Unix stream socket.
    Unix(UnixStream),
}

impl Stream {
    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_read_timeout(Some(timeout)),
            Self::Unix(socket) => socket.set_read_timeout(Some(timeout)),
        }
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.shutdown(how),
            Self::Unix(socket) => socket.shutdown(how),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(into),
            Self::Unix(socket) => socket.read(into),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.write_all(bytes),
            Self::Unix(socket) => socket.write_all(bytes),
        }
    }
}

/// A start line and its fields, in the order and case of the wire. Bytes above 127 are kept as the
/// Latin-1 character of the same number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// `GET / HTTP/1.1` or `HTTP/1.1 200 OK`.
    pub start: String,
    /// Name and value, surrounding blanks of the value removed.
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// The value of the first field of that name, whatever its case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let same = |field: &&(String, String)| field.0.eq_ignore_ascii_case(name);
        self.fields.iter().find(same).map(|field| field.1.as_str())
    }

    /// The values of every field of that name, whatever its case.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let same = move |field: &&(String, String)| field.0.eq_ignore_ascii_case(name);
        self.fields.iter().filter(same).map(|field| field.1.as_str())
    }

    fn word(&self, index: usize) -> &str {
        self.start.splitn(3, ' ').nth(index).unwrap_or("")
    }

    /// The method, when this is the head of a request.
    pub fn method(&self) -> &str {
        self.word(0)
    }

    /// The request target as sent, when this is the head of a request.
    pub fn target(&self) -> &str {
        self.word(1)
    }

    /// The status, when this is the head of a response; 0 otherwise.
    pub fn status(&self) -> u16 {
        self.word(1).parse().unwrap_or(0)
    }
}

/// How the end of a body was known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There could be no body.
    #[default]
    None,
    /// `content-length`, in bytes.
    Length(usize),
    /// `transfer-encoding: chunked`.
    Chunked,
    /// The body ends where the connection does.
    UntilClose,
}

/// A whole message, or as much of it as came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Informational responses that came before this response.
    pub interim: Vec<Head>,
    /// Start line and fields.
    pub head: Head,
    /// How the body was delimited.
    pub framing: Framing,
    /// The body, without chunk framing.
    pub body: Vec<u8>,
    /// Fields after the last chunk.
    pub trailers: Vec<(String, String)>,
    /// What ended the body before its time, if anything did.
    pub cut: Option<WireError>,
}

impl Message {
    /// The status, when this is a response.
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A socket, what has been read ahead of it, and the record of what was said.
#[derive(Debug)]
pub struct Wire {
    stream: Stream,
    ahead: Vec<u8>,
    transcript: Arc<Transcript>,
}

impl Wire {
    /// Takes over a connected socket; all that passes is written to `transcript`.
    pub fn new(stream: Stream, transcript: Arc<Transcript>) -> io::Result<Self> {
        stream.set_read_timeout(PATIENCE)?;
        if let Stream::Tcp(socket) = &stream {
            socket.set_nodelay(true)?;
            socket.set_write_timeout(Some(PATIENCE))?;
        }
        Ok(Self { stream, ahead: Vec::new(), transcript })
    }

    /// How long reads wait from here; [`PATIENCE`] at first.
    pub fn patience(&self, patience: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(patience)
    }

    /// The record of this conversation.
    pub fn transcript(&self) -> &Arc<Transcript> {
        &self.transcript
    }

    /// Sends all bytes.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.transcript.sent(bytes);
        self.stream.write_all(bytes)
    }

    /// Says that nothing more will be sent (FIN), and goes on reading.
    pub fn finish(&mut self) -> io::Result<()> {
        self.transcript.note("we finish sending");
        self.stream.shutdown(Shutdown::Write)
    }

    /// Closes with RST instead of FIN.
    pub fn reset(self) -> io::Result<()> {
        self.transcript.note("we reset");
        if let Stream::Tcp(socket) = &self.stream {
            SockRef::from(socket).set_linger(Some(Duration::ZERO))?;
        }
        Ok(())
    }

    /// Reads what there is, waiting for at least one byte; `Closed` at the end of the stream.
    pub fn read_some(&mut self) -> Result<Vec<u8>, WireError> {
        if self.ahead.is_empty() {
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.ahead))
    }

    /// Expects that the peer closes and sends nothing before; a reset counts as closing, because
    /// the kernel turns a close with unread input into one.
    pub fn expect_close(&mut self) -> Result<(), WireError> {
        if !self.ahead.is_empty() {
            return Err(self.surplus());
        }
        match self.fill() {
            Err(WireError::Closed | WireError::Reset) => Ok(()),
            Err(other) => Err(other),
            Ok(()) => Err(self.surplus()),
        }
    }

    fn surplus(&self) -> WireError {
        WireError::Malformed(format!("bytes where the end was due: {}", escape(&self.ahead)))
    }

    fn fill(&mut self) -> Result<(), WireError> {
        let mut room = vec![0; READ_SIZE];
        let read = loop {
            match self.stream.read(&mut room) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        match read {
            Ok(0) => {
                self.transcript.note("they close");
                Err(WireError::Closed)
            }
            Ok(length) => {
                self.transcript.received(&room[..length]);
                self.ahead.extend_from_slice(&room[..length]);
                Ok(())
            }
            Err(error) => Err(self.failure(&error)),
        }
    }

    fn failure(&self, error: &io::Error) -> WireError {
        match error.kind() {
            ErrorKind::ConnectionReset => {
                self.transcript.note("they reset");
                WireError::Reset
            }
            ErrorKind::WouldBlock | ErrorKind::TimedOut => WireError::Silent,
            _ => WireError::Broken(error.to_string()),
        }
    }

    /// Reads up to the blank line after a head, and parses it.
    pub fn head(&mut self) -> Result<Head, WireError> {
        let end = loop {
            if let Some(at) = find(&self.ahead, b"\r\n\r\n") {
                break at;
            }
            if self.ahead.len() > MAX_HEAD {
                return Err(WireError::Malformed("head without end".into()));
            }
            self.fill_within("head")?;
        };
        let bytes: Vec<u8> = self.ahead.drain(..end + 4).collect();
        parse_head(&bytes[..end])
    }

    fn fill_within(&mut self, what: &'static str) -> Result<(), WireError> {
        let begun = !self.ahead.is_empty() || what != "head";
        match self.fill() {
            Err(WireError::Closed) if begun => Err(WireError::Truncated(what)),
            other => other,
        }
    }

    /// Reads a request with its body.
    pub fn request(&mut self) -> Result<Message, WireError> {
        let head = self.head()?;
        let framing = request_framing(&head)?;
        Ok(self.rest(head, framing))
    }

    /// Reads a response with its body and the informational responses before it. `method` is that
    /// of the request, since the answer to HEAD has no body.
    pub fn response(&mut self, method: &str) -> Result<Message, WireError> {
        let mut interim = Vec::new();
        loop {
            let head = self.head()?;
            check_status_line(&head.start)?;
            // RFC 9110 section 15.2: any number of 1xx comes before the final response; 101 ends
            // HTTP on this connection.
            if (100..200).contains(&head.status()) && head.status() != 101 {
                interim.push(head);
                continue;
            }
            let framing = response_framing(&head, method)?;
            return Ok(Message { interim, ..self.rest(head, framing) });
        }
    }

    /// Reads the body that `framing` announces after `head`.
    pub fn rest(&mut self, head: Head, framing: Framing) -> Message {
        let mut message = Message { head, framing, ..Message::default() };
        let read = match framing {
            Framing::None => Ok(()),
            Framing::Length(length) => self.sized(length, &mut message.body),
            Framing::Chunked => self.chunked(&mut message),
            Framing::UntilClose => self.until_close(&mut message.body),
        };
        message.cut = read.err();
        message
    }

    fn sized(&mut self, length: usize, body: &mut Vec<u8>) -> Result<(), WireError> {
        let end = body.len() + length;
        while body.len() < end {
            if self.ahead.is_empty() {
                self.fill_within("body")?;
            }
            let take = self.ahead.len().min(end - body.len());
            body.extend(self.ahead.drain(..take));
            if body.len() > MAX_BODY {
                return Err(WireError::Malformed("body beyond the limit".into()));
            }
        }
        Ok(())
    }

    fn until_close(&mut self, body: &mut Vec<u8>) -> Result<(), WireError> {
        loop {
            body.append(&mut self.ahead);
            match self.fill() {
                Ok(()) if body.len() <= MAX_BODY => {}
                Ok(()) => return Err(WireError::Malformed("body beyond the limit".into())),
                Err(WireError::Closed) => return Ok(()),
                Err(other) => return Err(other),
            }
        }
    }

    fn chunked(&mut self, message: &mut Message) -> Result<(), WireError> {
        loop {
            let line = self.line("chunk size")?;
            let size = usize::from_str_radix(&line, 16)
                .map_err(|_| WireError::Malformed(format!("chunk size {line:?}")))?;
            if size == 0 {
                return self.trailers(&mut message.trailers);
            }
            self.sized(size, &mut message.body)?;
            if !self.line("end of chunk")?.is_empty() {
                return Err(WireError::Malformed("no CRLF after chunk data".into()));
            }
        }
    }

    fn trailers(&mut self, trailers: &mut Vec<(String, String)>) -> Result<(), WireError> {
        loop {
            let line = self.line("trailers")?;
            if line.is_empty() {
                return Ok(());
            }
            trailers.push(parse_field(&line)?);
        }
    }

    fn line(&mut self, what: &'static str) -> Result<String, WireError> {
        loop {
            if let Some(at) = find(&self.ahead, b"\r\n") {
                let bytes: Vec<u8> = self.ahead.drain(..at + 2).collect();
                return Ok(latin1(&bytes[..at]));
            }
            if self.ahead.len() > MAX_HEAD {
                return Err(WireError::Malformed(format!("{what} without end")));
            }
            self.fill_within(what)?;
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn parse_head(bytes: &[u8]) -> Result<Head, WireError> {
    let text = latin1(bytes);
    let mut lines = text.split("\r\n");
    let start = lines.next().unwrap_or("").to_owned();
    check_line(&start)?;
    let fields = lines.map(parse_field).collect::<Result<_, _>>()?;
    Ok(Head { start, fields })
}

fn check_line(line: &str) -> Result<(), WireError> {
    match line.chars().find(|c| c.is_ascii_control() && *c != '\t') {
        Some(control) => Err(WireError::Malformed(format!("control {control:?} in {line:?}"))),
        None => Ok(()),
    }
}

/// RFC 9112 section 5: a token, a colon right after it, blanks around the value.
fn parse_field(line: &str) -> Result<(String, String), WireError> {
    check_line(line)?;
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    match line.split_once(':') {
        Some((name, value)) if !name.is_empty() && name.chars().all(token) => {
            Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
        }
        _ => Err(WireError::Malformed(format!("field line {line:?}"))),
    }
}

/// RFC 9112 section 4: `HTTP/1.x SP 3DIGIT SP [reason]`.
fn check_status_line(line: &str) -> Result<(), WireError> {
    let bytes = line.as_bytes();
    let sound = bytes.len() >= 13
        && (line.starts_with("HTTP/1.1 ") || line.starts_with("HTTP/1.0 "))
        && bytes[9..12].iter().all(u8::is_ascii_digit)
        && bytes[12] == b' ';
    match sound {
        true => Ok(()),
        false => Err(WireError::Malformed(format!("status line {line:?}"))),
    }
}

/// The length that a head announces; more than one `content-length`, or one beside
/// `transfer-encoding`, must never leave a proxy (RFC 9112 section 6.3).
fn announced(head: &Head) -> Result<Option<Framing>, WireError> {
    let lengths: Vec<&str> = head.all("content-length").collect();
    let codings: Vec<&str> = head.all("transfer-encoding").collect();
    match (&lengths[..], &codings[..]) {
        ([], []) => Ok(None),
        ([length], []) if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) => {
            let length = length.parse().map_err(|_| WireError::Malformed("length".into()))?;
            Ok(Some(Framing::Length(length)))
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Some(Framing::Chunked)),
        _ => Err(WireError::Malformed(format!("framing: {lengths:?} and {codings:?}"))),
    }
}

pub(crate) fn request_framing(head: &Head) -> Result<Framing, WireError> {
    Ok(announced(head)?.unwrap_or(Framing::None))
}

fn response_framing(head: &Head, method: &str) -> Result<Framing, WireError> {
    let announced = announced(head)?;
    // RFC 9112 section 6.3, points 1 and 2.
    if method == "HEAD" || matches!(head.status(), 101 | 204 | 304) {
        return Ok(Framing::None);
    }
    if method == "CONNECT" && (200..300).contains(&head.status()) {
        return Ok(Framing::None);
    }
    Ok(announced.unwrap_or(Framing::UntilClose))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn respond(bytes: &'static [u8], method: &str) -> Result<Message, WireError> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(bytes).unwrap();
        drop(theirs);
        let wire = Wire::new(Stream::Unix(ours), Arc::new(Transcript::new("test")));
        wire.unwrap().response(method)
    }

    #[test]
    fn reads_interim_chunks_and_trailers() {
        let message = respond(
            b"HTTP/1.1 103 Early\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
              \r\n3\r\nabc\r\n2\r\nde\r\n0\r\nx: y\r\n\r\n",
            "GET",
        )
        .unwrap();
        assert_eq!(message.interim[0].status(), 103);
        assert_eq!(message.text(), "abcde");
        assert_eq!(message.trailers, [("x".to_owned(), "y".to_owned())]);
        assert_eq!(message.cut, None);
    }

    #[test]
    fn forgives_nothing() {
        let malformed = [
            &b"HTTP/1.1 200\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\na : b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\na",
            b"HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\na",
            b"HTTP/1.1 200 OK\nx: y\r\n\r\n",
        ];
        for bytes in malformed {
            let error = respond(bytes, "GET").unwrap_err();
            assert!(matches!(error, WireError::Malformed(_)), "{}: {error}", escape(bytes));
        }
    }

    #[test]
    fn says_where_a_message_was_cut() {
        assert_eq!(respond(b"", "GET").unwrap_err(), WireError::Closed);
        let half = respond(b"HTTP/1.1 200 OK\r\ncontent-len", "GET").unwrap_err();
        assert_eq!(half, WireError::Truncated("head"));
        let short = respond(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", "GET").unwrap();
        assert_eq!(short.cut, Some(WireError::Truncated("body")));
        assert_eq!(short.text(), "ab");
    }

    #[test]
    fn head_and_204_have_no_body() {
        let head = respond(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", "HEAD").unwrap();
        assert_eq!(head.framing, Framing::None);
        assert_eq!(respond(b"HTTP/1.1 204 No\r\n\r\n", "GET").unwrap().framing, Framing::None);
    }
}
