//! The walk over the input: preface, frame headers, payloads in one piece or many.

use super::data::Data;
use super::{Connection, MAX_EVENTS};
use crate::h2::StreamId;
use crate::h2::error::{ConnectionError, ErrorCode};
use crate::h2::frame::{self, HEADER_LEN, Header, MIN_MAX_FRAME_SIZE, PREFACE};

/// What comes next on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reading {
    /// The client's preface, of which so many bytes have come.
    Preface(usize),
    Header,
    /// A payload that is obeyed when all of it has come.
    Payload(Header),
    /// The length of the padding of a DATA frame.
    PadLength(Header),
    /// A body, handed on as it comes.
    Data(Data),
    /// So many bytes of a frame of unknown type (RFC 9113 section 4.1).
    Skip(usize),
}

/// A header block that CONTINUATION frames go on with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) stream: StreamId,
    pub(super) is_end: bool,
    pub(super) continuations: u32,
}

impl Connection {
    /// Takes what was read; returns how much of it was consumed. Less than all of it means that
    /// many events wait: poll them, then give the rest. `now_ms` are milliseconds of a monotonic
    /// clock with any origin.
    ///
    /// # Errors
    ///
    /// The peer broke the protocol or a limit; the connection is over. Events from before the
    /// error can still be polled.
    pub fn receive(&mut self, input: &[u8], now_ms: u64) -> Result<usize, ConnectionError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.now_ms = now_ms;
        if !self.events.is_empty() {
            return Ok(0);
        }
        self.requests.rewind();
        self.responses.rewind();
        self.trailers.rewind();
        let mut at = 0;
        match self.advance(input, &mut at) {
            Ok(()) => Ok(at),
            Err(error) => Err(self.fail(error)),
        }
    }

    fn advance(&mut self, input: &[u8], at: &mut usize) -> Result<(), ConnectionError> {
        while self.events.len() < MAX_EVENTS {
            let goes_on = match self.reading {
                Reading::Preface(seen) => self.read_preface(seen, input, at)?,
                Reading::Header => self.read_header(input, at)?,
                Reading::Payload(header) => self.read_payload(header, input, at)?,
                Reading::PadLength(header) => self.read_pad_length(header, input, at)?,
                Reading::Data(data) => self.read_data(data, input, at)?,
                Reading::Skip(left) => self.skip(left, input, at),
            };
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    /// RFC 9113 section 3.4.
    fn read_preface(
        &mut self,
        seen: usize,
        input: &[u8],
        at: &mut usize,
    ) -> Result<bool, ConnectionError> {
        let expected = &PREFACE[seen..];
        let came = &input[*at..];
        let len = expected.len().min(came.len());
        if came[..len] != expected[..len] {
            return Err(ConnectionError::protocol("invalid connection preface"));
        }
        *at += len;
        let is_whole = len == expected.len();
        self.reading = if is_whole { Reading::Header } else { Reading::Preface(seen + len) };
        Ok(is_whole)
    }

    #[inline]
    fn read_header(&mut self, input: &[u8], at: &mut usize) -> Result<bool, ConnectionError> {
        if self.partial.is_empty()
            && let Some(bytes) = input[*at..].first_chunk()
        {
            *at += HEADER_LEN;
            self.begin_frame(Header::parse(bytes))?;
            return Ok(true);
        }
        self.gather(HEADER_LEN, input, at);
        let Some(bytes) = self.partial.first_chunk() else { return Ok(false) };
        let header = Header::parse(bytes);
        self.partial.clear();
        self.begin_frame(header)?;
        Ok(true)
    }

    /// Adds input to `partial` until that holds `len` bytes; whether it does.
    fn gather(&mut self, len: usize, input: &[u8], at: &mut usize) -> bool {
        let missing = len.saturating_sub(self.partial.len());
        let taken = missing.min(input.len() - *at);
        self.partial.extend_from_slice(&input[*at..*at + taken]);
        *at += taken;
        taken == missing
    }

    /// What a header alone can be refused for, before any of its payload is kept.
    fn begin_frame(&mut self, header: Header) -> Result<(), ConnectionError> {
        if header.len > MIN_MAX_FRAME_SIZE {
            let rule = "frame is larger than SETTINGS_MAX_FRAME_SIZE";
            return Err(ConnectionError::with(ErrorCode::FrameSizeError, rule));
        }
        // RFC 9113 section 3.4: SETTINGS come first from either side.
        let is_first = !self.peer.has_sent_settings;
        if is_first && (header.kind != frame::SETTINGS || header.has(frame::ACK)) {
            return Err(ConnectionError::protocol("first frame is not SETTINGS"));
        }
        self.check_block(header)?;
        self.reading = match header.kind {
            frame::DATA => return self.begin_data(header),
            frame::HEADERS..=frame::CONTINUATION => Reading::Payload(header),
            _ => Reading::Skip(header.len),
        };
        Ok(())
    }

    /// RFC 9113 section 4.3: nothing may come between the frames of one header block.
    fn check_block(&self, header: Header) -> Result<(), ConnectionError> {
        let is_continuation = header.kind == frame::CONTINUATION;
        match self.block {
            Some(block) if is_continuation && block.stream.0 == header.stream => Ok(()),
            None if !is_continuation => Ok(()),
            Some(_) => Err(ConnectionError::protocol("frame within a header block")),
            None => Err(ConnectionError::protocol("CONTINUATION without a header block")),
        }
    }

    #[inline]
    fn read_payload(
        &mut self,
        header: Header,
        input: &[u8],
        at: &mut usize,
    ) -> Result<bool, ConnectionError> {
        let rest = &input[*at..];
        if self.partial.is_empty()
            && let Some(payload) = rest.get(..header.len)
        {
            *at += header.len;
            self.reading = Reading::Header;
            self.obey(header, payload)?;
            return Ok(true);
        }
        if !self.gather(header.len, input, at) {
            return Ok(false);
        }
        self.reading = Reading::Header;
        let mut payload = std::mem::take(&mut self.partial);
        let result = self.obey(header, &payload);
        payload.clear();
        self.partial = payload;
        result.map(|()| true)
    }

    fn skip(&mut self, left: usize, input: &[u8], at: &mut usize) -> bool {
        let taken = left.min(input.len() - *at);
        *at += taken;
        let is_over = taken == left;
        self.reading = if is_over { Reading::Header } else { Reading::Skip(left - taken) };
        is_over
    }

    fn obey(&mut self, header: Header, payload: &[u8]) -> Result<(), ConnectionError> {
        match header.kind {
            frame::HEADERS => self.headers(header, payload)?,
            frame::CONTINUATION => self.continuation(header, payload)?,
            frame::WINDOW_UPDATE => self.window_update(header, payload)?,
            frame::RST_STREAM => self.reset_by_peer(header, payload)?,
            frame::SETTINGS => self.settings(header, payload)?,
            frame::PING => self.ping(header, payload)?,
            frame::GOAWAY => self.goaway(header, payload)?,
            frame::PRIORITY => self.priority(header, payload)?,
            // RFC 9113 section 8.4: a server never gets one, and our clients forbid it.
            _ => return Err(ConnectionError::protocol("PUSH_PROMISE")),
        }
        Ok(self.check_outbound()?)
    }
}
