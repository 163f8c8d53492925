//! A transport that an HTTP/1 decoder reads from: bytes to events, without copying bodies.

use std::task::{Context, Poll, ready};

use ringway_http::h1::{
    RequestDecoder, RequestError, ResponseDecoder, ResponseError, encode_chunk_end,
    encode_chunk_prefix,
};
use ringway_http::{RequestHead, ResponseHead, Step};
use ringway_runtime::buffer::{self, Buf, Class};

use crate::transport::Transport;

/// Pieces up to this size are copied behind the head that precedes them, so that both leave in
/// one send; larger ones are handed on as they are.
pub(crate) const COPY_MAX: usize = 4096;

/// What the one pump knows of any codec. Heads and trailers lie in the storage that the caller
/// gave or the decoder keeps.
#[derive(Debug)]
pub(crate) enum Event {
    Informational,
    Head,
    Data(Buf),
    Trailers,
    Complete,
}

/// Why a wire yields no more events.
#[derive(Debug)]
pub(crate) enum Broken<E> {
    /// The peer closed or reset the connection.
    Closed,
    /// The peer broke the protocol.
    Protocol(E),
}

/// The common shape of the two HTTP/1 decoders.
pub(crate) trait Decode {
    type Head;
    type Error;
    fn decode(&mut self, input: &[u8], head: &mut Self::Head)
    -> Result<(usize, Step), Self::Error>;
    /// The peer ended its side. `None` when that cannot be the end of a message.
    fn end(&mut self) -> Result<Option<Event>, Self::Error>;
}

impl Decode for RequestDecoder {
    type Head = RequestHead;
    type Error = RequestError;

    fn decode(
        &mut self,
        input: &[u8],
        head: &mut RequestHead,
    ) -> Result<(usize, Step), RequestError> {
        Self::decode(self, input, head)
    }

    fn end(&mut self) -> Result<Option<Event>, RequestError> {
        Ok(None)
    }
}

impl Decode for ResponseDecoder {
    type Head = ResponseHead;
    type Error = ResponseError;

    fn decode(
        &mut self,
        input: &[u8],
        head: &mut ResponseHead,
    ) -> Result<(usize, Step), ResponseError> {
        Self::decode(self, input, head)
    }

    fn end(&mut self) -> Result<Option<Event>, ResponseError> {
        match self.finish_on_eof() {
            Ok(Step::Complete) => Ok(Some(Event::Complete)),
            Ok(_) | Err(ResponseError::Closed) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A connected transport, and the bytes that were received but not consumed. The decoder is the
/// caller's, who may have none while nothing comes.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) stream: Transport,
    input: Buf,
    /// The peer's side has ended or failed: nothing more may be received.
    ended: bool,
}

impl Wire {
    /// `input` was received already.
    pub(crate) fn new(stream: Transport, input: Buf) -> Self {
        Self { stream, input, ended: false }
    }

    /// The next event of the message under way.
    pub(crate) fn poll_event<D: Decode>(
        &mut self,
        cx: &mut Context<'_>,
        decoder: &mut D,
        head: &mut D::Head,
    ) -> Poll<Result<Event, Broken<D::Error>>> {
        loop {
            if let Some(event) = self.received_event(decoder, head)? {
                return Poll::Ready(Ok(event));
            }
            if ready!(self.poll_fill(cx)).is_err() {
                return Poll::Ready(end(decoder));
            }
        }
    }

    /// The next event, if what was received already holds one.
    pub(crate) fn received_event<D: Decode>(
        &mut self,
        decoder: &mut D,
        head: &mut D::Head,
    ) -> Result<Option<Event>, Broken<D::Error>> {
        let (consumed, step) = decoder.decode(&self.input, head).map_err(Broken::Protocol)?;
        let event = match step {
            Step::NeedMore => {
                self.input = Buf::default();
                return Ok(None);
            }
            Step::Data(range) => return Ok(Some(Event::Data(self.take(range, consumed)))),
            Step::Informational => Event::Informational,
            Step::Head => Event::Head,
            Step::Trailers => Event::Trailers,
            Step::Complete => Event::Complete,
        };
        self.input.consume(consumed);
        Ok(Some(event))
    }

    /// Receives more input, where all of it was consumed. `Err` means that there will never be
    /// more.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        if self.ended {
            return Poll::Ready(Err(()));
        }
        match ready!(self.stream.poll_receive(cx)) {
            Ok(bytes) if !bytes.is_empty() => {
                self.input = bytes;
                Poll::Ready(Ok(()))
            }
            _ => {
                self.ended = true;
                Poll::Ready(Err(()))
            }
        }
    }

    /// Takes a piece of body out of the input. The whole buffer goes when nothing (or little)
    /// follows the piece; a small piece among other bytes is copied.
    fn take(&mut self, range: std::ops::Range<usize>, consumed: usize) -> Buf {
        let rest = self.input.len() - consumed;
        if rest == 0 {
            let mut data = std::mem::take(&mut self.input);
            data.consume(range.start);
            data.truncate(range.len());
            return data;
        }
        if rest <= range.len() / 4 {
            let mut data = std::mem::take(&mut self.input);
            self.input = copied(&data[consumed..]);
            data.consume(range.start);
            data.truncate(range.len());
            return data;
        }
        let data = copied(&self.input[range]);
        self.input.consume(consumed);
        data
    }

    /// Whether the peer went away while nothing is expected of it. Bytes that arrive early (the
    /// next request of a pipeline) are kept, and nothing more is received until they are used.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.input.is_empty() {
            return Poll::Pending;
        }
        match self.poll_fill(cx) {
            Poll::Ready(Err(())) => Poll::Ready(()),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    /// Whether received bytes wait to be decoded.
    pub(crate) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Throws away what was received.
    pub(crate) fn discard_input(&mut self) {
        self.input = Buf::default();
    }

    /// Queues a piece of body behind what is queued already, in a chunk of its own where chunks
    /// are used.
    pub(crate) fn queue(&mut self, data: Buf, chunked: bool) {
        if chunked {
            encode_chunk_prefix(data.len(), self.stream.tail());
        }
        if data.len() <= COPY_MAX {
            self.stream.tail().extend_from_slice(&data);
        } else {
            self.stream.push(data);
        }
        if chunked {
            encode_chunk_end(self.stream.tail());
        }
    }
}

/// What the end of the peer's side means to the message under way.
fn end<D: Decode>(decoder: &mut D) -> Result<Event, Broken<D::Error>> {
    match decoder.end() {
        Ok(Some(event)) => Ok(event),
        Ok(None) => Err(Broken::Closed),
        Err(error) => Err(Broken::Protocol(error)),
    }
}

pub(crate) fn copied(bytes: &[u8]) -> Buf {
    let mut copy = buffer::take(Class::fitting(bytes.len()));
    copy.extend_from_slice(bytes);
    Buf::new(copy)
}
