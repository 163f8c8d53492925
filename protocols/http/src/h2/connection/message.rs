//! HEADERS and CONTINUATION: header blocks to heads and trailers, streams opened by them.

use super::receive::Block;
use super::{Connection, Event, Leaving, Side};
use crate::h1::Underscores;
use crate::h2::StreamId;
use crate::h2::error::{Cause, ConnectionError, ErrorCode, Flood, MessageError};
use crate::h2::frame::{self, Header};
use crate::h2::heads::{Assembly, Target, content_length};
use crate::h2::stream::{Answer, Stream};
use crate::{Body, Known, ResetReason};

/// What a header block stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Request,
    Response,
    Trailers,
    /// Of a stream that is over or refused.
    Discarded,
}

impl Connection {
    /// RFC 9113 section 6.2.
    pub(super) fn headers(
        &mut self,
        header: Header,
        payload: &[u8],
    ) -> Result<(), ConnectionError> {
        if header.stream.is_multiple_of(2)
            || (self.side == Side::Client && self.is_idle(header.stream))
        {
            return Err(ConnectionError::protocol("HEADERS on a stream that cannot be"));
        }
        let fragment = fragment(header, payload)?;
        let is_end = header.has(frame::END_STREAM);
        self.counters.payload(!fragment.is_empty() || is_end, &self.options.limits)?;
        let stream = StreamId(header.stream);
        if header.has(frame::END_HEADERS) {
            return self.block_complete(stream, is_end, fragment);
        }
        self.block = Some(Block { stream, is_end, continuations: 0 });
        self.block_bytes.clear();
        self.block_bytes.extend_from_slice(fragment);
        Ok(())
    }

    /// RFC 9113 section 6.10. CVE-2024-27316: a block without end must not grow, nor be decoded
    /// again and again.
    pub(super) fn continuation(
        &mut self,
        header: Header,
        payload: &[u8],
    ) -> Result<(), ConnectionError> {
        let Some(block) = &mut self.block else {
            return Err(ConnectionError::protocol("CONTINUATION without a header block"));
        };
        block.continuations += 1;
        let limits = &self.options.limits;
        if block.continuations > limits.max_continuations {
            return Err(Flood::Continuations.into());
        }
        let is_last = header.has(frame::END_HEADERS);
        self.counters.payload(!payload.is_empty() || is_last, limits)?;
        if self.block_bytes.len() + payload.len() > limits.max_block_bytes() {
            return Err(Flood::HeaderBlock.into());
        }
        self.block_bytes.extend_from_slice(payload);
        if !is_last {
            return Ok(());
        }
        let Block { stream, is_end, .. } = *block;
        self.block = None;
        let bytes = std::mem::take(&mut self.block_bytes);
        let result = self.block_complete(stream, is_end, &bytes);
        self.block_bytes = bytes;
        result
    }

    fn block_complete(
        &mut self,
        id: StreamId,
        is_end: bool,
        block: &[u8],
    ) -> Result<(), ConnectionError> {
        let known = self.streams.get(id).map(|at| (at.state.may_receive(), at.has_received_head));
        match known {
            // RFC 9113 section 5.1, half-closed (remote).
            Some((false, _)) => {
                self.discard(block)?;
                self.stream_error(id, ErrorCode::StreamClosed, None)
            }
            Some((true, false)) => self.response(id, is_end, block),
            Some((true, true)) => self.trailers(id, is_end, block),
            None if self.side == Side::Server && id.0 > self.highest => {
                self.request(id, is_end, block)
            }
            None => {
                self.check_closed(id.0)?;
                self.discard(block)
            }
        }
    }

    /// Decodes a block into the storage for its role; the verdict on the message is the inner
    /// result.
    fn decode(
        &mut self,
        role: Role,
        block: &[u8],
    ) -> Result<Result<(), MessageError>, ConnectionError> {
        let changes = self.decoder.changes();
        if changes.is_some_and(|changes| self.recall(role, block, changes)) {
            return Ok(Ok(()));
        }
        let target = match role {
            Role::Request => {
                let head = self.requests.next_mut();
                head.clear();
                self.protocol.clear();
                Target::Request(head, &mut self.protocol)
            }
            Role::Response => {
                let head = self.responses.next_mut();
                head.clear();
                Target::Response(head)
            }
            Role::Trailers => {
                let fields = self.trailers.next_mut();
                fields.clear();
                Target::Trailers(fields)
            }
            Role::Discarded => Target::Nothing,
        };
        let underscores = match self.side {
            Side::Server => self.options.underscores,
            Side::Client => Underscores::Allow,
        };
        let limits = &self.options.limits;
        let mut assembly = Assembly::new(target, limits, underscores, &mut self.cookie);
        self.decoder.decode(block, &mut assembly)?;
        let dropped = assembly.dropped();
        let verdict = assembly.finish();
        self.dropped_fields = self.dropped_fields.saturating_add(dropped);
        if let Some(changes) = changes
            && verdict.is_ok()
            && dropped == 0
            && self.decoder.changes() == Some(changes)
        {
            self.note(role, block, changes);
        }
        Ok(verdict)
    }

    /// The head of a block that came just now as well, with the same table.
    #[inline]
    fn recall(&mut self, role: Role, block: &[u8], changes: u64) -> bool {
        match role {
            Role::Request => {
                self.protocol.clear();
                self.recent_request.recall(block, changes, self.requests.next_mut())
            }
            Role::Response => {
                self.recent_response.recall(block, changes, self.responses.next_mut())
            }
            Role::Trailers | Role::Discarded => false,
        }
    }

    /// Takes note of a block without fault that has left the table as it was.
    fn note(&mut self, role: Role, block: &[u8], changes: u64) {
        match role {
            // What it asks for beside its head is not kept.
            Role::Request if self.protocol.is_empty() => {
                self.recent_request.note(block, changes, self.requests.next_mut());
            }
            Role::Response => {
                self.recent_response.note(block, changes, self.responses.next_mut());
            }
            Role::Request | Role::Trailers | Role::Discarded => {}
        }
    }

    /// Decodes a block that nobody wants, since the table must follow the peer's.
    fn discard(&mut self, block: &[u8]) -> Result<(), ConnectionError> {
        self.decode(Role::Discarded, block).map(drop)
    }

    /// A new stream (server).
    fn request(&mut self, id: StreamId, is_end: bool, block: &[u8]) -> Result<(), ConnectionError> {
        self.highest = id.0;
        if matches!(self.leaving, Leaving::After(last) if id.0 > last) {
            return self.discard(block);
        }
        if self.streams.len() >= self.options.settings.max_concurrent_streams as usize {
            self.discard(block)?;
            self.events.push_back(Event::Refused { stream: id, error: None });
            return self.stream_error(id, ErrorCode::RefusedStream, None);
        }
        let verdict = self.decode(Role::Request, block)?;
        match verdict.and_then(|()| self.request_body(is_end)) {
            Ok((body, promised)) => self.open(id, is_end, body, promised),
            Err(error) => self.refuse(id, error),
        }
    }

    /// How long the body of the request just decoded is, and what its length promises.
    fn request_body(&mut self, is_end: bool) -> Result<(Body, Option<u64>), MessageError> {
        let is_extended = !self.protocol.is_empty();
        if is_extended && !self.options.settings.allow_connect {
            // RFC 8441 section 3: `:protocol` only where the setting announced it.
            return Err(MessageError::InvalidField);
        }
        body_of(content_length(&self.requests.next_mut().fields)?, is_end)
    }

    fn open(
        &mut self,
        id: StreamId,
        is_end: bool,
        body: Body,
        promised: Option<u64>,
    ) -> Result<(), ConnectionError> {
        self.requests.commit();
        let mut stream = Stream::new(id, self.peer.initial_window, self.own_initial_window);
        stream.has_received_head = true;
        stream.promised = promised;
        if !self.protocol.is_empty() {
            stream.protocol = Some(self.protocol.as_slice().into());
        }
        self.streams.insert(stream);
        self.events.push_back(Event::Head { stream: id, body });
        match is_end {
            true => self.end_received(id),
            false => Ok(()),
        }
    }

    /// Envoy ends the connection for a malformed message unless configured otherwise, and only the
    /// stream for one that is too large.
    fn refuse(&mut self, id: StreamId, error: MessageError) -> Result<(), ConnectionError> {
        if !error.is_limit() && !self.options.stream_error_on_invalid_message {
            return Err(self.fail_by(id, error));
        }
        // The codes of Envoy 1.40.
        let code = match error.is_limit() {
            true => ErrorCode::InternalError,
            false => ErrorCode::ProtocolError,
        };
        if self.streams.get(id).is_none() {
            self.events.push_back(Event::Refused { stream: id, error: Some(error) });
        }
        self.stream_error(id, code, Some(error))
    }

    /// The stream at fault hears what was wrong, its neighbours that the connection is over.
    fn fail_by(&mut self, id: StreamId, error: MessageError) -> ConnectionError {
        if self.streams.get(id).is_none() {
            return error.into();
        }
        let (code, reason) = (ErrorCode::ProtocolError, ResetReason::ProtocolError);
        self.events.push_back(Event::Reset { stream: id, code, reason, error: Some(error) });
        ConnectionError { code, cause: Cause::StreamMessage(error) }
    }

    /// A head of a response, informational or final (client).
    fn response(
        &mut self,
        id: StreamId,
        is_end: bool,
        block: &[u8],
    ) -> Result<(), ConnectionError> {
        if let Err(error) = self.decode(Role::Response, block)? {
            return self.refuse(id, error);
        }
        let status = self.responses.next_mut().status;
        if status >= 200 {
            return self.final_response(id, is_end, status);
        }
        if is_end {
            // RFC 9113 section 8.1.
            return self.refuse(id, MessageError::InvalidHead("1xx ends the stream"));
        }
        self.responses.commit();
        self.events.push_back(Event::Informational(id));
        Ok(())
    }

    fn final_response(
        &mut self,
        id: StreamId,
        is_end: bool,
        status: u16,
    ) -> Result<(), ConnectionError> {
        let head = self.responses.next_mut();
        let Some(stream) = self.streams.get_mut(id) else { return Ok(()) };
        // RFC 9110 section 6.4.1: a length in these says nothing about their own body.
        let length = match (stream.answer, status) {
            (Answer::HeadOnly, _) | (_, 204 | 304) if is_end => Ok((Body::None, None)),
            (Answer::HeadOnly, _) | (_, 204 | 304) => Ok((Body::Length(0), Some(0))),
            (Answer::Tunnel, 200..300) => body_of(None, is_end),
            _ => content_length(&head.fields).and_then(|length| body_of(length, is_end)),
        };
        let (body, promised) = match length {
            Ok(length) => length,
            Err(error) => return self.refuse(id, error),
        };
        stream.has_received_head = true;
        stream.promised = promised;
        if let Some(protocol) = &stream.protocol
            && status == 200
        {
            // The answer to an upgrade, in the words in which it was asked (RFC 8441 section 5).
            head.status = 101;
            head.fields.set_known(Known::Upgrade, protocol);
            head.fields.set_known(Known::Connection, b"upgrade");
        }
        self.responses.commit();
        self.events.push_back(Event::Head { stream: id, body });
        match is_end {
            true => self.end_received(id),
            false => Ok(()),
        }
    }

    fn trailers(
        &mut self,
        id: StreamId,
        is_end: bool,
        block: &[u8],
    ) -> Result<(), ConnectionError> {
        if let Err(error) = self.decode(Role::Trailers, block)? {
            return self.refuse(id, error);
        }
        if !is_end {
            // RFC 9113 section 8.1: trailers end the stream.
            return self.refuse(id, MessageError::InvalidHead("a second head"));
        }
        if self.streams.get(id).is_some_and(|at| at.promised.is_some_and(|rest| rest > 0)) {
            return self.refuse(id, MessageError::ContentLength);
        }
        self.trailers.commit();
        self.events.push_back(Event::Trailers(id));
        self.end_received(id)
    }
}

/// The body that a head announces, and how many bytes its data must add up to.
fn body_of(length: Option<u64>, is_end: bool) -> Result<(Body, Option<u64>), MessageError> {
    match (length, is_end) {
        (Some(1..), true) => Err(MessageError::ContentLength),
        (_, true) => Ok((Body::None, None)),
        (Some(length), false) => Ok((Body::Length(length), Some(length))),
        (None, false) => Ok((Body::UntilClose, None)),
    }
}

/// The piece of the header block in a HEADERS payload. Priorities are read over (RFC 9113 section
/// 5.3.2), but for one that nobody can mean (RFC 7540 section 5.3.1), which Envoy refuses as well.
fn fragment(header: Header, payload: &[u8]) -> Result<&[u8], ConnectionError> {
    let too_short = || ConnectionError::with(ErrorCode::FrameSizeError, "HEADERS is too short");
    let (mut payload, mut padding) = (payload, 0);
    if header.has(frame::PADDED) {
        let (len, rest) = payload.split_first().ok_or_else(too_short)?;
        (payload, padding) = (rest, usize::from(*len));
    }
    if header.has(frame::HAS_PRIORITY) {
        if frame::number_31(payload) == Some(header.stream) {
            return Err(ConnectionError::protocol("a stream depends on itself"));
        }
        payload = payload.get(5..).ok_or_else(too_short)?;
    }
    let too_long = || ConnectionError::protocol("padding is longer than its frame");
    let len = payload.len().checked_sub(padding).ok_or_else(too_long)?;
    Ok(&payload[..len])
}
