//! DATA frames: bodies, handed on as ranges of the input as they come.

use super::receive::Reading;
use super::{Connection, Event};
use crate::h2::StreamId;
use crate::h2::error::{ConnectionError, ErrorCode, MessageError};
use crate::h2::frame::{self, Header};

/// What is left of a DATA frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Data {
    stream: u32,
    left: usize,
    padding: usize,
    is_end: bool,
}

impl Connection {
    /// RFC 9113 section 6.1, up to what the frame header tells.
    pub(super) fn begin_data(&mut self, header: Header) -> Result<(), ConnectionError> {
        if header.stream == 0 || self.is_idle(header.stream) {
            return Err(ConnectionError::protocol("DATA on an idle stream"));
        }
        self.count_received(header)?;
        if !header.has(frame::PADDED) {
            return self.begin_body(header, header.len, 0);
        }
        self.reading = Reading::PadLength(header);
        match header.len {
            0 => Err(ConnectionError::with(ErrorCode::FrameSizeError, "DATA without pad length")),
            _ => Ok(()),
        }
    }

    /// RFC 9113 section 6.9: padding counts against the windows as well.
    fn count_received(&mut self, header: Header) -> Result<(), ConnectionError> {
        let len = header.len as i64;
        self.receive_window -= len;
        if self.receive_window < 0 {
            let rule = "DATA beyond the connection's window";
            return Err(ConnectionError::with(ErrorCode::FlowControlError, rule));
        }
        let id = StreamId(header.stream);
        let Some(stream) = self.streams.get_mut(id) else {
            self.check_closed(header.stream)?;
            self.release_connection(header.len as u64);
            return Ok(());
        };
        stream.unreleased += header.len as u64;
        stream.receive_window -= len;
        let code = match () {
            () if !stream.state.may_receive() => ErrorCode::StreamClosed,
            () if !stream.has_received_head => ErrorCode::ProtocolError,
            () if stream.receive_window < 0 => ErrorCode::FlowControlError,
            () => return Ok(()),
        };
        self.stream_error(id, code, None)
    }

    pub(super) fn read_pad_length(
        &mut self,
        header: Header,
        input: &[u8],
        at: &mut usize,
    ) -> Result<bool, ConnectionError> {
        let Some(padding) = input.get(*at) else { return Ok(false) };
        *at += 1;
        let padding = usize::from(*padding);
        let Some(len) = (header.len - 1).checked_sub(padding) else {
            return Err(ConnectionError::protocol("padding is longer than its frame"));
        };
        self.begin_body(header, len, padding)?;
        self.release(StreamId(header.stream), padding + 1);
        Ok(true)
    }

    fn begin_body(
        &mut self,
        header: Header,
        left: usize,
        padding: usize,
    ) -> Result<(), ConnectionError> {
        let is_end = header.has(frame::END_STREAM);
        self.counters.payload(left > 0 || is_end, &self.options.limits)?;
        self.reading = Reading::Data(Data { stream: header.stream, left, padding, is_end });
        // RFC 9113 section 8.1.1: more than `content-length` promised.
        let id = StreamId(header.stream);
        let Some(stream) = self.streams.get_mut(id) else { return Ok(()) };
        let Some(promised) = stream.promised else { return Ok(()) };
        match promised.checked_sub(left as u64) {
            Some(rest) if rest == 0 || !is_end => {
                stream.promised = Some(rest);
                Ok(())
            }
            _ => self.stream_error(id, ErrorCode::ProtocolError, Some(MessageError::DataLength)),
        }
    }

    #[inline]
    pub(super) fn read_data(
        &mut self,
        mut data: Data,
        input: &[u8],
        at: &mut usize,
    ) -> Result<bool, ConnectionError> {
        let id = StreamId(data.stream);
        let taken = data.left.min(input.len() - *at);
        if taken > 0 {
            if self.streams.get(id).is_some() {
                let range = *at..*at + taken;
                self.events.push_back(Event::Data { stream: id, range });
            }
            *at += taken;
            data.left -= taken;
        }
        let padding = data.padding.min(input.len() - *at);
        if data.left == 0 {
            *at += padding;
            data.padding -= padding;
        }
        if data.left + data.padding > 0 {
            self.reading = Reading::Data(data);
            return Ok(false);
        }
        self.reading = Reading::Header;
        if data.is_end {
            self.end_received(id)?;
        }
        Ok(true)
    }

    /// The peer has sent everything on this stream.
    pub(super) fn end_received(&mut self, id: StreamId) -> Result<(), ConnectionError> {
        let Some(stream) = self.streams.get_mut(id) else { return Ok(()) };
        if stream.promised.is_some_and(|rest| rest > 0) {
            let error = Some(MessageError::DataLength);
            return self.stream_error(id, ErrorCode::ProtocolError, error);
        }
        stream.state = stream.state.end_received();
        self.events.push_back(Event::Complete(id));
        self.close_if_over(id);
        Ok(())
    }
}
