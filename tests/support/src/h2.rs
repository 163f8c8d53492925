//! One side of an HTTP/2 connection, frame by frame (RFC 9113).
//!
//! Owns frames, header blocks and, unless a test wants to play that itself, the answers that every
//! peer owes: acknowledged SETTINGS, answered PINGs, windows that are opened again. It reads
//! strictly and forgives nothing. It sends what it is told to, wrong or not.

use std::collections::{BTreeMap, VecDeque};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use loona_hpack::{Decoder, Encoder};

use crate::{PATIENCE, Stream, Transcript, Wire, WireError};

/// Types of frames and their flags (RFC 9113 section 6).
pub mod kind {
    #![allow(missing_docs, reason = "the names are those of the standard")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
    pub const END_STREAM: u8 = 1;
    pub const ACK: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The smallest SETTINGS_MAX_FRAME_SIZE, which nobody here raises.
const FRAME_MAX: usize = 16_384;
const FIRST_WINDOW: i64 = 65_535;
/// SETTINGS_INITIAL_WINDOW_SIZE
const INITIAL_WINDOW: u16 = 4;

/// What the peer sent. Header blocks are decoded, CONTINUATION joined to its HEADERS.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the standard")]
pub enum Frame {
    Data { stream: u32, data: Vec<u8>, end: bool },
    Headers { stream: u32, fields: Vec<(String, String)>, end: bool },
    Reset { stream: u32, code: u32 },
    Settings(Vec<(u16, u32)>),
    SettingsAck,
    Ping([u8; 8]),
    Pong([u8; 8]),
    GoAway { last: u32, code: u32, debug: String },
    WindowUpdate { stream: u32, by: u32 },
    Other { kind: u8, stream: u32 },
}

/// All that came on one stream so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct H2Message {
    /// Informational heads.
    pub interim: Vec<Vec<(String, String)>>,
    /// The head, pseudo header fields first.
    pub head: Vec<(String, String)>,
    /// The payload of all DATA frames.
    pub body: Vec<u8>,
    /// The fields after the body.
    pub trailers: Option<Vec<(String, String)>>,
    /// END_STREAM has come.
    pub ended: bool,
    /// The code of RST_STREAM.
    pub reset: Option<u32>,
}

impl H2Message {
    /// The value of the first field of that name, pseudo header fields included.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.head.iter().find(|field| field.0 == name).map(|field| field.1.as_str())
    }

    /// The status of a response; 0 where there is none.
    pub fn status(&self) -> u16 {
        self.get(":status").and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn is_over(&self) -> bool {
        self.ended || self.reset.is_some()
    }
}

/// One side of a connection.
#[derive(Debug)]
pub struct H2 {
    wire: Wire,
    /// Bytes that leave together with those behind them.
    held: Option<Vec<u8>>,
    input: VecDeque<u8>,
    encoder: Coder<Encoder<'static>>,
    decoder: Coder<Decoder<'static>>,
    next_stream: u32,
    streams: BTreeMap<u32, H2Message>,
    /// The last stream and the code of each GOAWAY.
    pub goaways: Vec<(u32, u32)>,
    /// What the peer's SETTINGS say, by identifier.
    pub settings: BTreeMap<u16, u32>,
    /// PINGs that the peer sent.
    pub pings: usize,
    /// Whether PINGs are answered.
    pub answers_pings: bool,
    /// Whether windows are opened again as data comes.
    pub opens_windows: bool,
    send_window: i64,
    stream_windows: BTreeMap<u32, i64>,
}

/// The coders of HPACK say nothing of themselves.
struct Coder<T>(T);

impl<T> std::fmt::Debug for Coder<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("coder")
    }
}

impl H2 {
    /// Connects as a client with prior knowledge; its SETTINGS hold these entries.
    pub fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE);
        let stream = stream.unwrap_or_else(|error| panic!("connect to {address}: {error}"));
        let transcript = Arc::new(Transcript::new(format!("HTTP/2 client to {address}")));
        let wire = Wire::new(Stream::Tcp(stream), transcript).expect("a socket takes its options");
        Self::client(wire, settings)
    }

    /// The client's side of a connected socket.
    pub fn client(wire: Wire, settings: &[(u16, u32)]) -> Self {
        let mut client = Self::new(wire);
        client.send_raw(PREFACE);
        client.settings(settings);
        client
    }

    /// The server's side of a connection that was accepted: reads the preface, sends SETTINGS.
    pub fn server(wire: Wire, settings: &[(u16, u32)]) -> Self {
        let mut server = Self::new(wire);
        server.fill(PREFACE.len()).expect("a preface");
        let preface: Vec<u8> = server.input.drain(..PREFACE.len()).collect();
        assert_eq!(preface, PREFACE);
        server.settings(settings);
        server
    }

    fn new(wire: Wire) -> Self {
        Self {
            wire,
            held: None,
            input: VecDeque::new(),
            encoder: Coder(Encoder::new()),
            decoder: Coder(Decoder::new()),
            next_stream: 1,
            streams: BTreeMap::new(),
            goaways: Vec::new(),
            settings: BTreeMap::new(),
            pings: 0,
            answers_pings: true,
            opens_windows: true,
            send_window: FIRST_WINDOW,
            stream_windows: BTreeMap::new(),
        }
    }

    // ---- sending ------------------------------------------------------------------------------

    /// Sends bytes as they are; a peer that has closed already is no error.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        if let Some(held) = &mut self.held {
            return held.extend_from_slice(bytes);
        }
        let _closed_already = self.wire.send(bytes);
    }

    /// All that is said meanwhile leaves in one piece, so that nothing can come between.
    pub fn together(&mut self, say: impl FnOnce(&mut Self)) {
        self.held = Some(Vec::new());
        say(self);
        let held = self.held.take().unwrap_or_default();
        self.send_raw(&held);
    }

    /// Sends bytes as they are; says whether they went out.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.wire.send(bytes).is_ok()
    }

    /// The bytes of one frame.
    pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("a frame is short").to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags];
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    /// Sends one frame, whatever it is.
    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> &mut Self {
        self.send_raw(&Self::frame(kind, flags, stream, payload));
        self
    }

    /// Sends SETTINGS.
    pub fn settings(&mut self, entries: &[(u16, u32)]) -> &mut Self {
        let entry =
            |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
        let payload: Vec<u8> = entries.iter().flat_map(entry).collect();
        self.send(kind::SETTINGS, 0, 0, &payload)
    }

    /// The next stream of this client.
    pub fn next_stream(&mut self) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        stream
    }

    /// A header block.
    pub fn block(&mut self, fields: &[(&str, &str)]) -> Vec<u8> {
        self.encoder
            .0
            .encode(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    }

    /// Sends a head or trailers.
    pub fn headers(&mut self, stream: u32, fields: &[(&str, &str)], end: bool) -> &mut Self {
        let block = self.block(fields);
        let mut pieces = block.chunks(FRAME_MAX).peekable();
        let (mut kind, mut flags) = (kind::HEADERS, if end { kind::END_STREAM } else { 0 });
        while let Some(piece) = pieces.next() {
            flags |= if pieces.peek().is_none() { kind::END_HEADERS } else { 0 };
            self.send(kind, flags, stream, piece);
            (kind, flags) = (kind::CONTINUATION, 0);
        }
        self
    }

    /// Opens a stream with a request for `http://test` and these further fields.
    pub fn request(&mut self, method: &str, path: &str, fields: &[(&str, &str)], end: bool) -> u32 {
        let own =
            [(":method", method), (":scheme", "http"), (":authority", "test"), (":path", path)];
        let stream = self.next_stream();
        self.headers(stream, &[&own, fields].concat(), end);
        stream
    }

    /// Sends one DATA frame, whatever the windows say.
    pub fn data(&mut self, stream: u32, data: &[u8], end: bool) -> &mut Self {
        self.send(kind::DATA, if end { kind::END_STREAM } else { 0 }, stream, data)
    }

    /// Sends a body as far as the windows let it, reading whatever comes meanwhile.
    pub fn body(&mut self, stream: u32, mut body: &[u8], end: bool) -> Result<(), WireError> {
        if body.is_empty() {
            self.data(stream, body, end);
        }
        while !body.is_empty() {
            let room = self.room(stream).min(FRAME_MAX as i64).min(body.len() as i64);
            if room <= 0 {
                self.take_frame()?;
                continue;
            }
            let (piece, rest) = body.split_at(room as usize);
            self.send_window -= room;
            *self.window_of(stream) -= room;
            self.data(stream, piece, end && rest.is_empty());
            body = rest;
        }
        Ok(())
    }

    /// How much data the peer would take on a stream now.
    pub fn room(&mut self, stream: u32) -> i64 {
        (*self.window_of(stream)).min(self.send_window)
    }

    fn window_of(&mut self, stream: u32) -> &mut i64 {
        let initial = self.settings.get(&INITIAL_WINDOW).copied().map_or(FIRST_WINDOW, i64::from);
        self.stream_windows.entry(stream).or_insert(initial)
    }

    /// Sends RST_STREAM.
    pub fn reset_stream(&mut self, stream: u32, code: u32) -> &mut Self {
        self.send(kind::RST_STREAM, 0, stream, &code.to_be_bytes())
    }

    /// Sends WINDOW_UPDATE.
    pub fn window_update(&mut self, stream: u32, by: u32) -> &mut Self {
        self.send(kind::WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
    }

    /// Sends GOAWAY.
    pub fn go_away(&mut self, last: u32, code: u32) -> &mut Self {
        self.send(kind::GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
    }

    /// Sends FIN.
    pub fn finish(&mut self) {
        let _closed_already = self.wire.finish();
    }

    /// Sends RST.
    pub fn tear(self) {
        let _closed_already = self.wire.reset();
    }

    // ---- receiving ----------------------------------------------------------------------------

    fn fill(&mut self, length: usize) -> Result<(), WireError> {
        while self.input.len() < length {
            let begun = !self.input.is_empty();
            match self.wire.read_some() {
                Ok(bytes) => self.input.extend(bytes),
                Err(WireError::Closed) if begun => return Err(WireError::Truncated("frame")),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn raw_frame(&mut self) -> Result<(u8, u8, u32, Vec<u8>), WireError> {
        self.fill(9)?;
        let header: Vec<u8> = self.input.iter().take(9).copied().collect();
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        if length > FRAME_MAX {
            return Err(WireError::Malformed(format!("a frame of {length} bytes")));
        }
        self.fill(9 + length)?;
        let payload = self.input.drain(..9 + length).skip(9).collect();
        let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
        Ok((header[3], header[4], stream, payload))
    }

    fn fields(&mut self, flags: u8, stream: u32, payload: Vec<u8>) -> Result<Frame, WireError> {
        let mut block = payload;
        let mut complete = flags & kind::END_HEADERS != 0;
        while !complete {
            let (next, more, of, payload) = self.raw_frame()?;
            if (next, of) != (kind::CONTINUATION, stream) {
                return Err(WireError::Malformed("a frame within a header block".into()));
            }
            block.extend(payload);
            complete = more & kind::END_HEADERS != 0;
        }
        let text = |bytes: Vec<u8>| bytes.into_iter().map(char::from).collect();
        let decoded = self.decoder.0.decode(&block);
        let decoded = decoded.map_err(|error| WireError::Malformed(format!("HPACK: {error:?}")))?;
        let fields = decoded.into_iter().map(|(name, value)| (text(name), text(value))).collect();
        Ok(Frame::Headers { stream, fields, end: flags & kind::END_STREAM != 0 })
    }

    /// The next frame, with nothing answered and nothing noted.
    pub fn read(&mut self) -> Result<Frame, WireError> {
        let (kind, flags, stream, payload) = self.raw_frame()?;
        let number = |at: usize| -> u32 {
            payload.get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
        };
        let eight = || <[u8; 8]>::try_from(&payload[..]).unwrap_or_default();
        let ack = flags & kind::ACK != 0;
        Ok(match kind {
            kind::DATA => Frame::Data { stream, data: payload, end: flags & kind::END_STREAM != 0 },
            kind::HEADERS => return self.fields(flags, stream, payload),
            kind::RST_STREAM => Frame::Reset { stream, code: number(0) },
            kind::SETTINGS if ack => Frame::SettingsAck,
            kind::SETTINGS => {
                let entry = |b: &[u8]| {
                    (u16::from_be_bytes([b[0], b[1]]), u32::from_be_bytes([b[2], b[3], b[4], b[5]]))
                };
                Frame::Settings(payload.chunks_exact(6).map(entry).collect())
            }
            kind::PING if ack => Frame::Pong(eight()),
            kind::PING => Frame::Ping(eight()),
            kind::GOAWAY => Frame::GoAway {
                last: number(0),
                code: number(4),
                debug: String::from_utf8_lossy(payload.get(8..).unwrap_or_default()).into_owned(),
            },
            kind::WINDOW_UPDATE => Frame::WindowUpdate { stream, by: number(0) },
            kind => Frame::Other { kind, stream },
        })
    }

    /// Takes one frame: notes what it says, and answers what has to be answered.
    pub fn take_frame(&mut self) -> Result<Frame, WireError> {
        let frame = self.read()?;
        match &frame {
            Frame::Settings(entries) => {
                self.note_settings(entries);
                self.send(kind::SETTINGS, kind::ACK, 0, &[]);
            }
            Frame::Ping(payload) => {
                self.pings += 1;
                if self.answers_pings {
                    self.send(kind::PING, kind::ACK, 0, payload);
                }
            }
            Frame::GoAway { last, code, .. } => self.goaways.push((*last, *code)),
            Frame::WindowUpdate { stream: 0, by } => self.send_window += i64::from(*by),
            Frame::WindowUpdate { stream, by } => *self.window_of(*stream) += i64::from(*by),
            Frame::Data { stream, data, end } => self.note_data(*stream, data, *end),
            Frame::Headers { stream, fields, end } => self.note_headers(*stream, fields, *end)?,
            Frame::Reset { stream, code } => self.message(*stream).reset = Some(*code),
            Frame::SettingsAck | Frame::Pong(_) | Frame::Other { .. } => {}
        }
        Ok(frame)
    }

    fn note_settings(&mut self, entries: &[(u16, u32)]) {
        let before = self.settings.get(&INITIAL_WINDOW).copied().map_or(FIRST_WINDOW, i64::from);
        self.settings.extend(entries.iter().copied());
        let now = self.settings.get(&INITIAL_WINDOW).copied().map_or(FIRST_WINDOW, i64::from);
        self.stream_windows.values_mut().for_each(|window| *window += now - before);
    }

    fn note_data(&mut self, stream: u32, data: &[u8], end: bool) {
        let message = self.message(stream);
        message.body.extend(data);
        message.ended |= end;
        if self.opens_windows && !data.is_empty() {
            let by = data.len() as u32;
            self.window_update(0, by);
            if !end {
                self.window_update(stream, by);
            }
        }
    }

    fn note_headers(
        &mut self,
        stream: u32,
        fields: &[(String, String)],
        end: bool,
    ) -> Result<(), WireError> {
        let message = self.message(stream);
        let hint = fields.iter().any(|(n, v)| n == ":status" && v.starts_with('1'));
        match () {
            () if hint => message.interim.push(fields.to_vec()),
            () if message.head.is_empty() => message.head = fields.to_vec(),
            () if end && message.trailers.is_none() => message.trailers = Some(fields.to_vec()),
            () => return Err(WireError::Malformed("HEADERS out of order".into())),
        }
        message.ended |= end;
        Ok(())
    }

    fn message(&mut self, stream: u32) -> &mut H2Message {
        self.streams.entry(stream).or_default()
    }

    /// What has come on a stream so far.
    pub fn so_far(&self, stream: u32) -> H2Message {
        self.streams.get(&stream).cloned().unwrap_or_default()
    }

    /// Reads until `ready` holds of what came on a stream.
    pub fn until(
        &mut self,
        stream: u32,
        ready: impl Fn(&H2Message) -> bool,
    ) -> Result<H2Message, WireError> {
        while !self.streams.get(&stream).is_some_and(&ready) {
            self.take_frame()?;
        }
        Ok(self.so_far(stream))
    }

    /// Reads until a stream has ended or was reset.
    pub fn try_answer(&mut self, stream: u32) -> Result<H2Message, WireError> {
        self.until(stream, H2Message::is_over)
    }

    /// Reads until a stream has ended or was reset.
    pub fn answer(&mut self, stream: u32) -> H2Message {
        self.try_answer(stream).unwrap_or_else(|error| self.fail(stream, &error))
    }

    /// Reads until a stream has its head.
    pub fn head(&mut self, stream: u32) -> H2Message {
        let has_head = |message: &H2Message| !message.head.is_empty() || message.is_over();
        self.until(stream, has_head).unwrap_or_else(|error| self.fail(stream, &error))
    }

    fn fail(&self, stream: u32, error: &WireError) -> ! {
        let (so_far, goaways) = (self.streams.get(&stream), &self.goaways);
        let transcript = self.wire.transcript();
        panic!("stream {stream}: {error}; {so_far:?}, GOAWAY {goaways:?}\n{transcript}")
    }

    /// GETs a path and reads the answer.
    pub fn get(&mut self, path: &str) -> H2Message {
        let stream = self.request("GET", path, &[], true);
        self.answer(stream)
    }

    /// POSTs a body and reads the answer.
    pub fn post(&mut self, path: &str, body: &[u8]) -> H2Message {
        let stream = self.request("POST", path, &[], false);
        self.body(stream, body, true).unwrap_or_else(|error| self.fail(stream, &error));
        self.answer(stream)
    }

    /// Server: the next stream that a client opened and whose head has come.
    pub fn accept(&mut self) -> (u32, H2Message) {
        loop {
            match self.take_frame() {
                Ok(Frame::Headers { stream, .. }) => {
                    let message = self.so_far(stream);
                    if message.trailers.is_none() {
                        return (stream, message);
                    }
                }
                Ok(_) => {}
                Err(error) => panic!("no stream: {error}\n{}", self.wire.transcript()),
            }
        }
    }

    /// Server: reads a whole request.
    pub fn accept_whole(&mut self) -> (u32, H2Message) {
        let (stream, _) = self.accept();
        (stream, self.answer(stream))
    }

    /// Reads until the peer has answered a PING: everything before it was obeyed then.
    pub fn round_trip(&mut self) -> Result<(), WireError> {
        let payload = *b"are you?";
        self.send(kind::PING, 0, 0, &payload);
        while self.take_frame()? != Frame::Pong(payload) {}
        Ok(())
    }

    /// Reads to the end of the connection; gives what ended it.
    pub fn read_to_end(&mut self) -> WireError {
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            if let Err(error) = self.take_frame() {
                return error;
            }
            if Instant::now() > deadline {
                return WireError::Silent;
            }
        }
    }

    /// Expects the end of the connection, with whatever before it.
    pub fn expect_end(&mut self) {
        let end = self.read_to_end();
        let closed = matches!(end, WireError::Closed | WireError::Reset);
        assert!(closed, "the end was due, but {end}\n{}", self.wire.transcript());
    }

    /// How long reads wait from here; `PATIENCE` at first.
    pub fn patience(&mut self, patience: Duration) {
        self.wire.patience(patience).expect("a socket takes its timeout");
    }

    /// The record of this conversation.
    pub fn transcript(&self) -> &Arc<Transcript> {
        self.wire.transcript()
    }
}
