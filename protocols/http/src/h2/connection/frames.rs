//! The frames of fixed layout: SETTINGS, PING, GOAWAY, RST_STREAM, PRIORITY, WINDOW_UPDATE.

use super::{Connection, Event, FIRST_WINDOW, Leaving, Side};
use crate::ResetReason;
use crate::h2::StreamId;
use crate::h2::error::{ConnectionError, ErrorCode, Flood};
use crate::h2::frame::{self, Header, MAX_WINDOW, MIN_MAX_FRAME_SIZE};
use crate::h2::stream::Waiting;

/// RFC 9113 section 6.5.2: the largest SETTINGS_MAX_FRAME_SIZE.
const MAX_MAX_FRAME_SIZE: u32 = (1 << 24) - 1;

fn frame_size(rule: &'static str) -> ConnectionError {
    ConnectionError::with(ErrorCode::FrameSizeError, rule)
}

impl Connection {
    /// Queues this side's SETTINGS, and the WINDOW_UPDATE that lifts the connection's window, which
    /// SETTINGS cannot. The order of the entries is Envoy's.
    pub(super) fn greet(&mut self) {
        let own = self.options.settings;
        let entries = [
            (frame::ENABLE_PUSH, 0),
            (frame::HEADER_TABLE_SIZE, own.header_table_size),
            (frame::ENABLE_CONNECT_PROTOCOL, u32::from(own.allow_connect)),
            (frame::MAX_CONCURRENT_STREAMS, own.max_concurrent_streams),
            (frame::INITIAL_WINDOW_SIZE, own.initial_stream_window),
        ];
        // RFC 9113 section 6.5.2: a server must not send ENABLE_PUSH other than 0; Envoy's sends
        // none.
        let entries = match self.side {
            Side::Client => &entries[..],
            Side::Server => &entries[1..],
        };
        frame::write_settings(entries, &mut self.outbound.bytes);
        self.outbound.frame();
        self.unacknowledged_settings += 1;
        let more = i64::from(own.initial_connection_window) - FIRST_WINDOW;
        if more > 0 {
            frame::write_window_update(0, more as u32, &mut self.outbound.bytes);
            self.outbound.frame();
            self.receive_window += more;
        }
    }

    /// RFC 9113 section 6.5.
    pub(super) fn settings(
        &mut self,
        header: Header,
        payload: &[u8],
    ) -> Result<(), ConnectionError> {
        if header.stream != 0 {
            return Err(ConnectionError::protocol("SETTINGS on a stream"));
        }
        if header.has(frame::ACK) {
            return match payload.is_empty() {
                true => self.settings_acknowledged(),
                false => Err(frame_size("SETTINGS acknowledgement with payload")),
            };
        }
        if !payload.len().is_multiple_of(6) {
            return Err(frame_size("SETTINGS payload is no multiple of six"));
        }
        if payload.len() / 6 > self.options.limits.max_settings_entries {
            return Err(Flood::SettingsEntries.into());
        }
        let mut initial_window = None;
        for (identifier, value) in frame::settings(payload) {
            match identifier {
                frame::INITIAL_WINDOW_SIZE => initial_window = Some(window_size(value)?),
                _ => self.setting(identifier, value)?,
            }
        }
        // The last value counts: one walk over the streams, however often the frame repeats it.
        if let Some(window) = initial_window {
            self.set_peer_initial_window(window)?;
        }
        self.peer.has_sent_settings = true;
        frame::write_settings_ack(&mut self.outbound.bytes);
        self.outbound.control();
        Ok(())
    }

    fn setting(&mut self, identifier: u16, value: u32) -> Result<(), ConnectionError> {
        match identifier {
            frame::HEADER_TABLE_SIZE => self.encoder.set_peer_size(value as usize),
            frame::MAX_CONCURRENT_STREAMS => self.peer.max_concurrent_streams = value,
            frame::ENABLE_PUSH if value > 1 || (value == 1 && self.side == Side::Client) => {
                return Err(ConnectionError::protocol("SETTINGS_ENABLE_PUSH"));
            }
            // Frames of this side never exceed the smallest value that is allowed.
            frame::MAX_FRAME_SIZE
                if !(MIN_MAX_FRAME_SIZE as u32..=MAX_MAX_FRAME_SIZE).contains(&value) =>
            {
                return Err(ConnectionError::protocol("SETTINGS_MAX_FRAME_SIZE"));
            }
            // RFC 8441 section 3: once allowed, for ever.
            frame::ENABLE_CONNECT_PROTOCOL => match (self.peer.allows_connect, value) {
                (_, 1) => self.peer.allows_connect = true,
                (false, 0) => {}
                _ => return Err(ConnectionError::protocol("SETTINGS_ENABLE_CONNECT_PROTOCOL")),
            },
            // RFC 9113 section 6.5.2: unknown settings are ignored.
            _ => {}
        }
        Ok(())
    }

    /// RFC 9113 section 6.9.2: the windows of all streams move with the setting.
    fn set_peer_initial_window(&mut self, window: i64) -> Result<(), ConnectionError> {
        let by = window - self.peer.initial_window;
        self.peer.initial_window = window;
        if by == 0 {
            return Ok(());
        }
        let queue = &mut self.queue;
        let is_within = self.streams.all(|stream| {
            let is_within = stream.grow_send_window(by);
            if stream.waiting == Waiting::ForStream && stream.send_window > 0 {
                stream.waiting = Waiting::Queued;
                queue.push_back(stream.id);
            }
            is_within
        });
        match is_within {
            true => Ok(()),
            false => Err(overflow()),
        }
    }

    /// What was announced holds from here (RFC 9113 section 6.5.3).
    fn settings_acknowledged(&mut self) -> Result<(), ConnectionError> {
        let Some(left) = self.unacknowledged_settings.checked_sub(1) else {
            return Err(ConnectionError::protocol("SETTINGS acknowledgement that was not due"));
        };
        self.unacknowledged_settings = left;
        let own = self.options.settings;
        self.decoder.set_allowed_size(own.header_table_size as usize);
        let by = i64::from(own.initial_stream_window) - self.own_initial_window;
        self.own_initial_window += by;
        self.streams.all(|stream| {
            stream.receive_window += by;
            true
        });
        Ok(())
    }

    /// RFC 9113 section 6.7. CVE-2019-9512: the answers count against the outbound queue.
    pub(super) fn ping(&mut self, header: Header, payload: &[u8]) -> Result<(), ConnectionError> {
        if header.stream != 0 {
            return Err(ConnectionError::protocol("PING on a stream"));
        }
        let Ok(payload) = <[u8; 8]>::try_from(payload) else {
            return Err(frame_size("PING payload is not eight bytes"));
        };
        if header.has(frame::ACK) {
            self.ping_answered(payload);
            return Ok(());
        }
        frame::write_ping(true, payload, &mut self.outbound.bytes);
        self.outbound.control();
        Ok(())
    }

    /// RFC 9113 section 6.8.
    pub(super) fn goaway(&mut self, header: Header, payload: &[u8]) -> Result<(), ConnectionError> {
        if header.stream != 0 {
            return Err(ConnectionError::protocol("GOAWAY on a stream"));
        }
        let (Some(last), Some(code)) =
            (frame::number_31(payload), payload.get(4..).and_then(|rest| rest.first_chunk()))
        else {
            return Err(frame_size("GOAWAY payload is shorter than eight bytes"));
        };
        let code = ErrorCode::from_number(u32::from_be_bytes(*code));
        // A later GOAWAY may only lower the last stream.
        let last = self.peer.last_stream.map_or(last, |before| before.min(last));
        let is_news = self.peer.last_stream != Some(last);
        self.peer.last_stream = Some(last);
        if !is_news {
            return Ok(());
        }
        self.events.push_back(Event::GoAway { last_stream: last, code });
        if self.side == Side::Client {
            self.refuse_above(last);
        }
        Ok(())
    }

    /// The server did nothing for these requests: each may be sent again elsewhere.
    fn refuse_above(&mut self, last: u32) {
        while let Some(stream) = self.streams.highest().filter(|stream| stream.0 > last) {
            self.close(stream);
            self.events.push_back(Event::Reset {
                stream,
                code: ErrorCode::RefusedStream,
                reason: ResetReason::RemoteRefusedStreamReset,
                error: None,
            });
        }
    }

    /// RFC 9113 section 6.4. CVE-2023-44487: each is charged, since the work that the stream began
    /// goes on for a while though it no longer counts as open.
    pub(super) fn reset_by_peer(
        &mut self,
        header: Header,
        payload: &[u8],
    ) -> Result<(), ConnectionError> {
        if payload.len() != 4 {
            return Err(frame_size("RST_STREAM payload is not four bytes"));
        }
        if header.stream == 0 || self.is_idle(header.stream) {
            return Err(ConnectionError::protocol("RST_STREAM on an idle stream"));
        }
        self.charge_reset()?;
        let stream = StreamId(header.stream);
        if self.streams.get(stream).is_none() {
            return Ok(());
        }
        let number = payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let code = ErrorCode::from_number(number);
        self.close(stream);
        let reason = code.reset_reason();
        self.events.push_back(Event::Reset { stream, code, reason, error: None });
        Ok(())
    }

    /// RFC 9113 section 5.3.2: priorities are deprecated, and ignored here.
    pub(super) fn priority(
        &mut self,
        header: Header,
        payload: &[u8],
    ) -> Result<(), ConnectionError> {
        if header.stream == 0 {
            return Err(ConnectionError::protocol("PRIORITY without a stream"));
        }
        if payload.len() != 5 {
            return Err(frame_size("PRIORITY payload is not five bytes"));
        }
        Ok(self.counters.priority(&self.options.limits)?)
    }

    /// RFC 9113 section 6.9.
    pub(super) fn window_update(
        &mut self,
        header: Header,
        payload: &[u8],
    ) -> Result<(), ConnectionError> {
        let increment = match payload.len() {
            4 => i64::from(frame::number_31(payload).unwrap_or(0)),
            _ => return Err(frame_size("WINDOW_UPDATE payload is not four bytes")),
        };
        self.counters.window_update(&self.options.limits)?;
        if header.stream != 0 {
            return self.stream_window_update(StreamId(header.stream), increment);
        }
        if increment == 0 {
            return Err(ConnectionError::protocol("WINDOW_UPDATE by zero"));
        }
        self.send_window += increment;
        match self.send_window > MAX_WINDOW {
            true => Err(overflow()),
            false => Ok(()),
        }
    }

    fn stream_window_update(
        &mut self,
        id: StreamId,
        increment: i64,
    ) -> Result<(), ConnectionError> {
        if self.is_idle(id.0) {
            return Err(ConnectionError::protocol("WINDOW_UPDATE on an idle stream"));
        }
        // RFC 9113 section 5.1: it may cross the end of the stream.
        let Some(stream) = self.streams.get_mut(id) else { return Ok(()) };
        if increment == 0 {
            return self.stream_error(id, ErrorCode::ProtocolError, None);
        }
        if !stream.grow_send_window(increment) {
            return self.stream_error(id, ErrorCode::FlowControlError, None);
        }
        if stream.waiting == Waiting::ForStream && stream.send_window > 0 {
            stream.waiting = Waiting::Queued;
            self.queue.push_back(id);
        }
        Ok(())
    }

    // ---- leaving ------------------------------------------------------------------------------

    /// Begins to leave: tells the peer to open no more streams, and goes on to serve those that
    /// are under way to it (RFC 9113 section 6.8). A round trip later, or after Envoy's drain
    /// timeout, [`Connection::go_away`] draws the line.
    pub fn announce_leaving(&mut self) {
        if self.leaving == Leaving::No && self.failed.is_none() {
            self.leaving = Leaving::Announced;
            frame::write_goaway(MAX_WINDOW as u32, ErrorCode::NoError, &mut self.outbound.bytes);
            self.outbound.frame();
        }
    }

    /// Leaves: streams that the peer opens from here are ignored, those before are finished.
    /// Returns whether that is news.
    pub fn go_away(&mut self, code: ErrorCode) -> bool {
        if matches!(self.leaving, Leaving::After(_)) || self.failed.is_some() {
            return false;
        }
        let last = if self.side == Side::Server { self.highest } else { 0 };
        self.leaving = Leaving::After(last);
        frame::write_goaway(last, code, &mut self.outbound.bytes);
        self.outbound.frame();
        true
    }
}

fn window_size(value: u32) -> Result<i64, ConnectionError> {
    match i64::from(value) {
        window @ 0..=MAX_WINDOW => Ok(window),
        _ => Err(overflow()),
    }
}

fn overflow() -> ConnectionError {
    ConnectionError::with(ErrorCode::FlowControlError, "window is larger than 2^31 - 1")
}
