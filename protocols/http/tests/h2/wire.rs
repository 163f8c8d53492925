//! Frames by hand, and a connection that has got over its greetings.

use ringway_http::h2::{Connection, ConnectionError, Event, Options, PREFACE};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;

/// GET http://a/ without any use of the dynamic table.
pub(crate) const GET: &[u8] = b"\x82\x86\x84\x01\x01a";
/// POST of the same.
pub(crate) const POST: &[u8] = b"\x83\x86\x84\x01\x01a";

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

pub(crate) fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, GET)
}

pub(crate) fn post(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, POST)
}

/// A field that is not indexed, plain.
pub(crate) fn literal(name: &str, value: &str) -> Vec<u8> {
    assert!(name.len() < 127 && value.len() < 127);
    let mut bytes = vec![0, name.len() as u8];
    bytes.extend(name.bytes());
    bytes.push(value.len() as u8);
    bytes.extend(value.bytes());
    bytes
}

pub(crate) fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (identifier, value) in entries {
        payload.extend(identifier.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(SETTINGS, 0, 0, &payload)
}

/// Feeds all of `input`, and returns all events.
pub(crate) fn feed(
    connection: &mut Connection,
    input: &[u8],
) -> Result<Vec<Event>, ConnectionError> {
    feed_at(connection, input, 0)
}

pub(crate) fn feed_at(
    connection: &mut Connection,
    input: &[u8],
    now_ms: u64,
) -> Result<Vec<Event>, ConnectionError> {
    let (mut at, mut events) = (0, Vec::new());
    loop {
        at += connection.receive(&input[at..], now_ms)?;
        events.extend(std::iter::from_fn(|| connection.poll_event()));
        if at == input.len() {
            return Ok(events);
        }
    }
}

/// All frames that wait to be sent.
pub(crate) fn sent(connection: &mut Connection) -> Vec<Frame> {
    let mut bytes = Vec::new();
    connection.poll_transmit(&mut bytes);
    let mut rest = bytes.strip_prefix(PREFACE).unwrap_or(&bytes);
    let mut frames = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<9>() {
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let payload = after[..len].to_vec();
        frames.push(Frame { kind: head[3], flags: head[4], stream, payload });
        rest = &after[len..];
    }
    assert!(rest.is_empty(), "whole frames only");
    frames
}

/// A server whose client has sent its preface and empty SETTINGS, and confirmed the server's.
pub(crate) fn server(options: Options) -> Connection {
    let mut connection = Connection::server(options, 0);
    let mut input = PREFACE.to_vec();
    input.extend(settings(&[]));
    input.extend(frame(SETTINGS, 1, 0, b""));
    assert_eq!(feed(&mut connection, &input), Ok(vec![]));
    sent(&mut connection);
    connection
}

/// A client whose server has sent SETTINGS and confirmed the client's.
pub(crate) fn client(options: Options) -> Connection {
    let mut connection = Connection::client(options, 0);
    let mut input = settings(&[(8, 1)]);
    input.extend(frame(SETTINGS, 1, 0, b""));
    assert_eq!(feed(&mut connection, &input), Ok(vec![]));
    sent(&mut connection);
    connection
}
