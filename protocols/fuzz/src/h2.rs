//! Driving one side of an HTTP/2 connection, and judging what it sends.

use std::collections::BTreeMap;

use ringway_http::h2::{Connection, ConnectionError, Event, Options, PREFACE};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const FIRST_WINDOW: i64 = 65_535;
const MAX_FRAME: usize = 16_384;

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A server whose client has greeted and confirmed the server's SETTINGS.
pub fn server(options: Options) -> Connection {
    let mut connection = Connection::server(options, 0);
    let greeting =
        [&PREFACE[..], &frame(SETTINGS, 0, 0, &[]), &frame(SETTINGS, 1, 0, &[])].concat();
    connection.receive(&greeting, 0).expect("a greeting");
    connection
}

/// A client whose server has greeted, allowed extended CONNECT and confirmed the client's SETTINGS.
pub fn client(options: Options) -> Connection {
    let mut connection = Connection::client(options, 0);
    let allows_connect = frame(SETTINGS, 0, 0, &[0, 8, 0, 0, 0, 1]);
    let greeting = [allows_connect, frame(SETTINGS, 1, 0, &[])].concat();
    connection.receive(&greeting, 0).expect("a greeting");
    connection
}

/// Events in words, with pieces of data joined, so that those of different cuts can be compared.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Story {
    pub lines: Vec<String>,
    /// The bytes of the body that came last, if nothing else has come behind them.
    data: Option<(u32, Vec<u8>)>,
}

impl Story {
    fn data(&mut self, stream: u32, bytes: &[u8]) {
        assert!(!bytes.is_empty(), "data is never empty");
        match &mut self.data {
            Some((last, data)) if *last == stream => data.extend_from_slice(bytes),
            _ => {
                self.flush();
                self.data = Some((stream, bytes.to_vec()));
            }
        }
    }

    fn flush(&mut self) {
        if let Some((stream, data)) = self.data.take() {
            self.lines.push(format!("data {stream} {}", data.escape_ascii()));
        }
    }

    fn event(&mut self, connection: &mut Connection, event: &Event) {
        self.flush();
        let fields = match event {
            Event::Head { .. } | Event::Informational(_) => match connection.side() {
                ringway_http::h2::Side::Server => format!("{:?}", connection.request_mut()),
                ringway_http::h2::Side::Client => format!("{:?}", connection.response_mut()),
            },
            Event::Trailers(_) => format!("{:?}", connection.trailers_mut()),
            _ => String::new(),
        };
        self.lines.push(format!("{event:?} {fields}"));
    }
}

/// Gives one piece to the connection and writes down what happens.
pub fn feed(
    connection: &mut Connection,
    piece: &[u8],
    story: &mut Story,
) -> Result<(), ConnectionError> {
    let mut at = 0;
    loop {
        let rest = &piece[at..];
        let taken = connection.receive(rest, 0);
        while let Some(event) = connection.poll_event() {
            match event {
                Event::Data { stream, range } => story.data(stream.number(), &rest[range]),
                Event::Writable(_) => {}
                event => story.event(connection, &event),
            }
        }
        at += taken?;
        if at == piece.len() {
            return Ok(());
        }
    }
}

/// All that `pieces` tell, and the bytes that are sent for them.
pub fn told(mut connection: Connection, pieces: &[&[u8]]) -> (Story, Vec<u8>) {
    let mut story = Story::default();
    for piece in pieces {
        if let Err(error) = feed(&mut connection, piece, &mut story) {
            story.flush();
            story.lines.push(format!("{error:?}"));
            break;
        }
    }
    story.flush();
    let mut sent = Vec::new();
    connection.poll_transmit(&mut sent);
    (story, sent)
}

#[derive(Debug, Default)]
struct Stream {
    window: i64,
    is_ended: bool,
    has_head: bool,
}

/// What a connection sends, judged as its peer would: whole frames, within the windows that the
/// peer gave, nothing behind the end of a stream.
#[derive(Debug)]
pub struct Watch {
    streams: BTreeMap<u32, Stream>,
    window: i64,
    initial: i64,
    block: Option<(u32, bool)>,
}

impl Default for Watch {
    fn default() -> Self {
        let streams = BTreeMap::new();
        Self { streams, window: FIRST_WINDOW, initial: FIRST_WINDOW, block: None }
    }
}

impl Watch {
    /// The peer gives room: WINDOW_UPDATE that was obeyed.
    pub fn grant(&mut self, stream: u32, by: u32) {
        match stream {
            0 => self.window += i64::from(by),
            _ => self.stream(stream).window += i64::from(by),
        }
    }

    /// The peer's SETTINGS_INITIAL_WINDOW_SIZE was obeyed.
    pub fn set_initial(&mut self, window: u32) {
        let by = i64::from(window) - self.initial;
        self.initial += by;
        self.streams.values_mut().for_each(|stream| stream.window += by);
    }

    /// The peer reset a stream.
    pub fn reset(&mut self, stream: u32) {
        self.stream(stream).is_ended = true;
    }

    fn stream(&mut self, id: u32) -> &mut Stream {
        let window = self.initial;
        self.streams.entry(id).or_insert_with(|| Stream { window, ..Stream::default() })
    }

    /// Takes all that waits to be sent, and judges it.
    pub fn check(&mut self, connection: &mut Connection) {
        let mut bytes = Vec::new();
        connection.poll_transmit(&mut bytes);
        let mut rest = bytes.strip_prefix(PREFACE).unwrap_or(&bytes);
        while let Some((head, after)) = rest.split_first_chunk::<9>() {
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            assert!(len <= MAX_FRAME, "a frame of {len} bytes");
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let payload = after.get(..len).expect("whole frames only");
            self.frame(head[3], head[4], stream, payload);
            rest = &after[len..];
        }
        assert!(rest.is_empty(), "whole frames only");
    }

    fn frame(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) {
        if let Some((stream, is_end)) = self.block {
            assert_eq!((kind, id), (CONTINUATION, stream), "a frame within a header block");
            return self.block_goes_on(flags, stream, is_end);
        }
        match kind {
            DATA => self.data(flags, id, payload.len() as i64),
            HEADERS => {
                let stream = self.stream(id);
                assert!(!stream.is_ended, "HEADERS behind the end of stream {id}");
                stream.has_head = true;
                self.block_goes_on(flags, id, flags & END_STREAM != 0);
            }
            RST_STREAM => {
                assert!(id != 0, "RST_STREAM of no stream");
                self.stream(id).is_ended = true;
            }
            WINDOW_UPDATE => {
                let by = u32::from_be_bytes(payload.try_into().expect("four bytes"));
                assert!(by > 0 && by < 1 << 31, "WINDOW_UPDATE by {by}");
            }
            kind => assert!(kind < CONTINUATION && id == 0, "a frame {kind} on {id}"),
        }
    }

    fn block_goes_on(&mut self, flags: u8, id: u32, is_end: bool) {
        let is_over = flags & END_HEADERS != 0;
        self.block = (!is_over).then_some((id, is_end));
        if is_over {
            self.stream(id).is_ended |= is_end;
        }
    }

    fn data(&mut self, flags: u8, id: u32, len: i64) {
        self.window -= len;
        let stream = self.stream(id);
        stream.window -= len;
        assert!(stream.has_head && !stream.is_ended, "DATA on stream {id}: {stream:?}");
        assert!(len == 0 || stream.window >= 0, "beyond the window of stream {id}: {stream:?}");
        stream.is_ended |= flags & END_STREAM != 0;
        assert!(len == 0 || self.window >= 0, "beyond the window of the connection");
    }
}
