//! Frames on the wire (RFC 9113 sections 4 and 6): headers of nine bytes, fixed payloads.
//!
//! Owns layout only. Which frame may come when, and what it does, is the connection's business.

use super::error::ErrorCode;

/// What a client sends first (RFC 9113 section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of a frame header.
pub(super) const HEADER_LEN: usize = 9;

/// RFC 9113 section 6.5.2: the smallest SETTINGS_MAX_FRAME_SIZE, which is also the first.
pub(super) const MIN_MAX_FRAME_SIZE: usize = 16384;

/// The largest window (RFC 9113 section 6.9.1).
pub(super) const MAX_WINDOW: i64 = (1 << 31) - 1;

pub(super) const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
pub(super) const PRIORITY: u8 = 0x2;
pub(super) const RST_STREAM: u8 = 0x3;
pub(super) const SETTINGS: u8 = 0x4;
// PUSH_PROMISE is 0x5: nobody may send one here.
pub(super) const PING: u8 = 0x6;
pub(super) const GOAWAY: u8 = 0x7;
pub(super) const WINDOW_UPDATE: u8 = 0x8;
pub(super) const CONTINUATION: u8 = 0x9;

pub(super) const ACK: u8 = 0x1;
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const HAS_PRIORITY: u8 = 0x20;

pub(super) const HEADER_TABLE_SIZE: u16 = 0x1;
pub(super) const ENABLE_PUSH: u16 = 0x2;
pub(super) const MAX_CONCURRENT_STREAMS: u16 = 0x3;
pub(super) const INITIAL_WINDOW_SIZE: u16 = 0x4;
pub(super) const MAX_FRAME_SIZE: u16 = 0x5;
pub(super) const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;

/// A frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) len: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Header {
    /// RFC 9113 section 4.1; the reserved bit of the stream identifier is ignored.
    #[inline]
    pub(super) fn parse(bytes: &[u8; HEADER_LEN]) -> Self {
        let [l0, l1, l2, kind, flags, stream @ ..] = *bytes;
        Self {
            len: u32::from_be_bytes([0, l0, l1, l2]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & 0x7fff_ffff,
        }
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    #[inline]
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bytes());
    }

    #[inline]
    pub(super) fn to_bytes(self) -> [u8; HEADER_LEN] {
        let [_, l0, l1, l2] = (self.len as u32).to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [l0, l1, l2, self.kind, self.flags, s0, s1, s2, s3]
    }
}

/// The 32-bit number at the start of a payload, without its highest bit.
pub(super) fn number_31(payload: &[u8]) -> Option<u32> {
    payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes) & 0x7fff_ffff)
}

/// The entries of a SETTINGS payload: identifier, value.
pub(super) fn settings(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> {
    let (entries, _) = payload.as_chunks::<6>();
    entries.iter().map(|[i0, i1, v0, v1, v2, v3]| {
        (u16::from_be_bytes([*i0, *i1]), u32::from_be_bytes([*v0, *v1, *v2, *v3]))
    })
}

pub(super) fn write_settings(entries: &[(u16, u32)], out: &mut Vec<u8>) {
    Header { len: entries.len() * 6, kind: SETTINGS, flags: 0, stream: 0 }.write(out);
    for (identifier, value) in entries {
        out.extend_from_slice(&identifier.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

pub(super) fn write_settings_ack(out: &mut Vec<u8>) {
    Header { len: 0, kind: SETTINGS, flags: ACK, stream: 0 }.write(out);
}

pub(super) fn write_ping(is_ack: bool, payload: [u8; 8], out: &mut Vec<u8>) {
    let flags = if is_ack { ACK } else { 0 };
    Header { len: 8, kind: PING, flags, stream: 0 }.write(out);
    out.extend_from_slice(&payload);
}

pub(super) fn write_window_update(stream: u32, increment: u32, out: &mut Vec<u8>) {
    Header { len: 4, kind: WINDOW_UPDATE, flags: 0, stream }.write(out);
    out.extend_from_slice(&increment.to_be_bytes());
}

pub(super) fn write_reset(stream: u32, code: ErrorCode, out: &mut Vec<u8>) {
    Header { len: 4, kind: RST_STREAM, flags: 0, stream }.write(out);
    out.extend_from_slice(&code.number().to_be_bytes());
}

pub(super) fn write_goaway(last_stream: u32, code: ErrorCode, out: &mut Vec<u8>) {
    Header { len: 8, kind: GOAWAY, flags: 0, stream: 0 }.write(out);
    out.extend_from_slice(&last_stream.to_be_bytes());
    out.extend_from_slice(&code.number().to_be_bytes());
}

/// Completes the frame of a header block whose nine bytes of header were left free at `start`:
/// writes them, and cuts the block into CONTINUATION frames where it is longer than `max_len`.
/// Returns the number of frames.
pub(super) fn finish_headers(
    stream: u32,
    flags: u8,
    start: usize,
    max_len: usize,
    out: &mut Vec<u8>,
) -> u32 {
    let block_len = out.len() - start - HEADER_LEN;
    let first_len = block_len.min(max_len);
    let end = if block_len == first_len { END_HEADERS } else { 0 };
    let header = Header { len: first_len, kind: HEADERS, flags: flags | end, stream };
    out[start..start + HEADER_LEN].copy_from_slice(&header.to_bytes());
    match block_len == first_len {
        true => 1,
        false => 1 + continue_headers(stream, start + HEADER_LEN + first_len, max_len, out),
    }
}

/// Only a head of more than 16 KiB comes here: its rest is copied once.
#[cold]
fn continue_headers(stream: u32, at: usize, max_len: usize, out: &mut Vec<u8>) -> u32 {
    let rest = out.split_off(at);
    let pieces = rest.chunks(max_len);
    let count = pieces.len();
    for (index, piece) in pieces.enumerate() {
        let flags = if index + 1 == count { END_HEADERS } else { 0 };
        Header { len: piece.len(), kind: CONTINUATION, flags, stream }.write(out);
        out.extend_from_slice(piece);
    }
    count as u32
}
