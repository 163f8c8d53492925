//! Heads, data, trailers and resets of this side.

use super::recent::Sent;
use super::{Connection, Side};
use crate::h2::StreamId;
use crate::h2::error::{ErrorCode, SendError};
use crate::h2::frame::{self, HEADER_LEN, Header, MIN_MAX_FRAME_SIZE};
use crate::h2::hpack::Encoder;
use crate::h2::stream::{Answer, State, Stream};
use crate::known::mask;
use crate::{Fields, Known, Method, RequestHead, ResponseHead};

/// RFC 9113 section 8.2.2: what concerns one HTTP/1 connection never crosses; `host` is the
/// authority.
const NEVER_SENT: u128 = mask(&[
    Known::Connection,
    Known::Host,
    Known::Http2Settings,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::TransferEncoding,
    Known::Upgrade,
]);

impl Connection {
    /// Opens a stream with a request (client). With `is_end` nothing follows the head. A head with
    /// `upgrade`, named by `connection`, is sent as an extended CONNECT (RFC 8441), and its answer
    /// 200 comes back as 101.
    ///
    /// # Errors
    ///
    /// No stream can be opened here now; nothing was sent, and a retry elsewhere is safe.
    pub fn send_request(
        &mut self,
        head: &RequestHead,
        is_end: bool,
    ) -> Result<StreamId, SendError> {
        let next = if self.highest == 0 { 1 } else { self.highest + 2 };
        if self.side == Side::Server || self.is_leaving() || next > i32::MAX as u32 {
            return Err(SendError::GoingAway);
        }
        if self.free_streams() == 0 {
            return Err(SendError::TooManyStreams);
        }
        let protocol = protocol_of(head);
        if protocol.is_some() && !self.peer.allows_connect {
            return Err(SendError::NoExtendedConnect);
        }
        self.highest = next;
        let id = StreamId(next);
        let mut stream = Stream::new(id, self.peer.initial_window, self.own_initial_window);
        stream.has_sent_head = true;
        stream.answer = match head.method_kind() {
            Method::Head => Answer::HeadOnly,
            Method::Connect => Answer::Tunnel,
            _ if protocol.is_some() => Answer::Tunnel,
            _ => Answer::Message,
        };
        stream.protocol = protocol.map(Into::into);
        self.streams.insert(stream);
        self.counters.opened_streams += 1;
        self.write_block(id, is_end, |encoder, out| {
            encode_request(encoder, head, protocol, out);
        });
        self.end_sent(id, is_end);
        Ok(id)
    }

    /// Sends the head of a response (server): 1xx, of which any number may come, or the final one.
    /// On a stream that was opened as an upgrade, 101 is sent as 200 (RFC 8441 section 5).
    ///
    /// # Errors
    ///
    /// The stream is over, or its final head was sent before.
    pub fn send_response(
        &mut self,
        id: StreamId,
        head: &ResponseHead,
        is_end: bool,
    ) -> Result<(), SendError> {
        let stream = self.streams.get_mut(id).ok_or(SendError::StreamClosed)?;
        if !stream.state.may_send() || stream.has_sent_head {
            return Err(SendError::OutOfOrder);
        }
        let is_upgrade = head.status == 101 && stream.protocol.is_some();
        let status = if is_upgrade { 200 } else { head.status };
        // RFC 9113 section 8.1: an informational head ends nothing, and 101 does not exist.
        if status < 200 && (is_end || status == 101) {
            return Err(SendError::OutOfOrder);
        }
        if status >= 200 {
            stream.has_sent_head = true;
            self.counters.opened_streams += 1;
        }
        let mut sent = std::mem::take(&mut self.sent_response);
        self.write_block(id, is_end, |encoder, out| {
            encode_response(encoder, &mut sent, status, &head.fields, out);
        });
        self.sent_response = sent;
        self.end_sent(id, is_end);
        Ok(())
    }

    /// Sends trailers, which end this side of the stream.
    ///
    /// # Errors
    ///
    /// The stream is over, or has no head yet.
    pub fn send_trailers(&mut self, id: StreamId, trailers: &Fields) -> Result<(), SendError> {
        self.check_body(id)?;
        self.write_block(id, true, |encoder, out| encode_fields(encoder, trailers, out));
        self.end_sent(id, true);
        Ok(())
    }

    /// How many bytes of data would be taken now.
    #[must_use]
    pub fn send_capacity(&self, id: StreamId) -> usize {
        let Some(stream) = self.streams.get(id).filter(|at| at.state.may_send()) else { return 0 };
        match self.has_room() {
            // Windows are at most 2^31 - 1, and above zero here.
            true => stream.send_window.min(self.send_window).max(0) as usize,
            false => 0,
        }
    }

    /// Copies as much of `data` into the outbound queue as windows and queue have room for, and
    /// returns how much that was. `is_end` ends this side of the stream once all of it is taken.
    /// When not all was taken, a `Writable` event follows as soon as there is room.
    ///
    /// # Errors
    ///
    /// The stream is over, or has no head yet.
    pub fn send_data(
        &mut self,
        id: StreamId,
        data: &[u8],
        is_end: bool,
    ) -> Result<usize, SendError> {
        let mut sent = 0;
        loop {
            let rest = &data[sent..];
            let Some((prefix, taken)) = self.data_prefix(id, rest.len(), is_end)? else {
                return Ok(sent);
            };
            self.outbound.bytes.extend_from_slice(&prefix);
            self.outbound.bytes.extend_from_slice(&rest[..taken]);
            sent += taken;
            if sent == data.len() {
                return Ok(sent);
            }
        }
    }

    /// As [`Connection::send_data`] for one frame whose data the caller writes itself: the frame
    /// header, and how many bytes of data must follow it at once on the wire, behind what
    /// [`Connection::poll_transmit`] gives now. `None`: there is no room; `Writable` follows.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn data_prefix(
        &mut self,
        id: StreamId,
        len: usize,
        is_end: bool,
    ) -> Result<Option<([u8; HEADER_LEN], usize)>, SendError> {
        self.check_body(id)?;
        if len == 0 && !is_end {
            return Ok(None);
        }
        let taken = len.min(self.send_capacity(id)).min(MIN_MAX_FRAME_SIZE);
        if taken == 0 && len > 0 {
            self.wait_for_room(id);
            return Ok(None);
        }
        let is_last = is_end && taken == len;
        if let Some(stream) = self.streams.get_mut(id) {
            stream.send_window -= taken as i64;
        }
        self.send_window -= taken as i64;
        self.counters.sent_data_frames += 1;
        self.outbound.frame();
        let flags = if is_last { frame::END_STREAM } else { 0 };
        let header = Header { len: taken, kind: frame::DATA, flags, stream: id.0 };
        self.end_sent(id, is_last);
        Ok(Some((header.to_bytes(), taken)))
    }

    /// Ends a stream at once, in both directions. Without effect on one that is over.
    pub fn reset(&mut self, id: StreamId, code: ErrorCode) {
        if self.streams.get(id).is_some() {
            self.write_reset(id, code);
            self.close(id);
        }
    }

    // ---- inside -------------------------------------------------------------------------------

    fn check_body(&self, id: StreamId) -> Result<(), SendError> {
        match self.streams.get(id) {
            Some(stream) if !stream.state.may_send() => Err(SendError::StreamClosed),
            Some(stream) if !stream.has_sent_head => Err(SendError::OutOfOrder),
            Some(_) => Ok(()),
            None => Err(SendError::StreamClosed),
        }
    }

    /// Queues a header block that `write` composes.
    fn write_block(
        &mut self,
        id: StreamId,
        is_end: bool,
        write: impl FnOnce(&mut Encoder, &mut Vec<u8>),
    ) {
        let out = &mut self.outbound.bytes;
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_LEN]);
        self.encoder.begin(out);
        write(&mut self.encoder, out);
        let flags = if is_end { frame::END_STREAM } else { 0 };
        let frames = frame::finish_headers(id.0, flags, start, MIN_MAX_FRAME_SIZE, out);
        self.outbound.frames = self.outbound.frames.saturating_add(frames);
    }

    fn end_sent(&mut self, id: StreamId, is_end: bool) {
        if !is_end {
            return;
        }
        if let Some(stream) = self.streams.get_mut(id) {
            stream.state = stream.state.end_sent();
            if stream.state == State::Closed {
                self.close(id);
            }
        }
    }
}

/// The protocol of an upgrade: `upgrade`, where `connection` names it. The preface of HTTP/2
/// itself is none.
fn protocol_of(head: &RequestHead) -> Option<&[u8]> {
    let connection = head.fields.known(Known::Connection)?;
    let upgrade = head.fields.known(Known::Upgrade)?;
    let mut tokens = connection.split(|byte| *byte == b',');
    let is_named = tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
    (is_named && !upgrade.is_empty() && !upgrade.eq_ignore_ascii_case(b"h2c")).then_some(upgrade)
}

/// RFC 9113 section 8.3.1, and 8.5 for CONNECT.
fn encode_request(
    encoder: &mut Encoder,
    head: &RequestHead,
    protocol: Option<&[u8]>,
    out: &mut Vec<u8>,
) {
    let is_connect = head.method_kind() == Method::Connect && protocol.is_none();
    let method = if protocol.is_some() { b"CONNECT" } else { head.method() };
    encoder.method(method, out);
    if !is_connect {
        encoder.scheme(if head.scheme().is_empty() { b"http" } else { head.scheme() }, out);
        encoder.path(if head.path().is_empty() { b"/" } else { head.path() }, out);
    }
    if head.has_authority() {
        encoder.authority(head.authority(), out);
    }
    if let Some(protocol) = protocol {
        encoder.other(b":protocol", protocol, out);
    }
    encode_fields(encoder, &head.fields, out);
}

/// A response, or the block of the last one where this is the same.
fn encode_response(
    encoder: &mut Encoder,
    sent: &mut Sent,
    status: u16,
    fields: &Fields,
    out: &mut Vec<u8>,
) {
    let (changes, start) = (encoder.changes(), out.len());
    if let Some(block) = sent.recall(status, fields, changes) {
        return out.extend_from_slice(block);
    }
    encoder.status(status, out);
    encode_fields(encoder, fields, out);
    if encoder.changes() == changes {
        sent.note(status, fields, changes, &out[start..]);
    }
}

fn encode_fields(encoder: &mut Encoder, fields: &Fields, out: &mut Vec<u8>) {
    for (known, name, value) in fields.iter_known() {
        match known {
            Some(known) if NEVER_SENT & known.bit() != 0 => {}
            Some(Known::Te) if !value.eq_ignore_ascii_case(b"trailers") => {}
            Some(known) => encoder.known(known, value, out),
            // A name with a colon would pass for a pseudo header field.
            None if name.first() != Some(&b':') => encoder.other(name, value, out),
            None => {}
        }
    }
}
