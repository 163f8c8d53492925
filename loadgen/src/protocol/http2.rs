//! The client's side of HTTP/2, and of gRPC, which is HTTP/2 with a status in its trailers.
//!
//! Requests are numbered from 0 in the order in which they are sent; number n is stream 2n + 1.

use std::collections::VecDeque;

use ringway_http::h2::{Connection, ErrorCode, Event, Options, SendError, StreamId};
use ringway_http::{RequestHead, ResetReason};

use super::http1::decimal;
use super::{Answers, Malformed};

/// Streams before the server has said how many it takes (RFC 9113 section 6.5.2 recommends at
/// least so many).
const FIRST_STREAMS: usize = 100;
/// Fields and bytes of an answer's head; a load generator takes what a client must.
const MAX_FIELDS: usize = 1000;

/// One connection.
#[derive(Debug)]
pub(crate) struct Streams {
    connection: Connection,
    /// Bodies that found no room yet, from `.2` on.
    unsent: VecDeque<(StreamId, Vec<u8>, usize)>,
    /// Answers end with a `grpc-status`.
    grpc: bool,
}

impl Streams {
    /// Its preface waits to be transmitted.
    pub(crate) fn new(grpc: bool) -> Self {
        let mut options = Options::default();
        options.limits.max_fields = MAX_FIELDS;
        options.stream_error_on_invalid_message = true;
        Self { connection: Connection::client(options, 0), unsent: VecDeque::new(), grpc }
    }

    /// How many requests may be sent now.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        match self.connection.has_peer_settings() {
            true => self.connection.free_streams(),
            false => FIRST_STREAMS.saturating_sub(self.connection.open_streams()),
        }
    }

    /// No further request can be sent on this connection.
    #[inline]
    pub(crate) fn is_leaving(&self) -> bool {
        self.connection.is_leaving()
    }

    /// Sends a request, its body as far as there is room.
    ///
    /// # Errors
    ///
    /// The connection takes no more: ask [`Streams::room`] first.
    pub(crate) fn request(&mut self, head: &RequestHead, body: &[u8]) -> Result<(), SendError> {
        let stream = self.connection.send_request(head, body.is_empty())?;
        if body.is_empty() {
            return Ok(());
        }
        let sent = self.connection.send_data(stream, body, true)?;
        if sent < body.len() {
            self.unsent.push_back((stream, body[sent..].to_vec(), 0));
        }
        Ok(())
    }

    /// Gives up request `number`.
    pub(crate) fn cancel(&mut self, number: u32) {
        if let Some(stream) = StreamId::from_number(2 * number + 1) {
            self.connection.reset(stream, ErrorCode::Cancel);
            self.forget(stream);
        }
    }

    /// Says goodbye; to be transmitted.
    pub(crate) fn leave(&mut self) {
        self.connection.go_away(ErrorCode::NoError);
    }

    /// Appends what is to be sent.
    #[inline]
    pub(crate) fn transmit(&mut self, out: &mut Vec<u8>) {
        while self.connection.poll_transmit(out) {
            // What is sent makes room for bodies that wait.
            while let Some(event) = self.connection.poll_event() {
                if let Event::Writable(stream) = event {
                    self.go_on(stream);
                }
            }
        }
    }

    /// Reads all of `input`.
    pub(crate) fn receive(
        &mut self,
        input: &[u8],
        answers: &mut impl Answers,
    ) -> Result<(), Malformed> {
        let mut rest = input;
        while !rest.is_empty() {
            let taken = self.connection.receive(rest, 0);
            while let Some(event) = self.connection.poll_event() {
                self.event(event, rest, answers);
            }
            rest = &rest[taken.map_err(Malformed::Http2)?..];
        }
        Ok(())
    }

    fn event(&mut self, event: Event, input: &[u8], answers: &mut impl Answers) {
        match event {
            Event::Head { stream, .. } => {
                let head = self.connection.response_mut();
                let status = head.status;
                let call = self.grpc.then(|| grpc_status(head.fields.get("grpc-status")));
                if answers.select(number(stream)) {
                    answers.head(status);
                    if let Some(status) = call {
                        answers.grpc_status(status);
                    }
                }
            }
            Event::Data { stream, range } => {
                let length = range.len();
                if answers.select(number(stream)) {
                    answers.data(&input[range]);
                }
                self.connection.release(stream, length);
            }
            Event::Trailers(stream) if self.grpc => {
                let status = grpc_status(self.connection.trailers_mut().get("grpc-status"));
                if answers.select(number(stream)) {
                    answers.grpc_status(status);
                }
            }
            Event::Complete(stream) => {
                self.end_early(stream);
                if answers.select(number(stream)) {
                    answers.end(!self.connection.is_leaving());
                }
            }
            Event::Reset { stream, code, reason, error } => {
                self.forget(stream);
                let refused = reason == ResetReason::RemoteRefusedStreamReset;
                if !answers.select(number(stream)) {
                    return;
                }
                // RFC 9113 section 8.7.
                match refused && self.connection.is_leaving() {
                    true => answers.not_processed(),
                    false => answers.reset(code, error),
                }
            }
            Event::Writable(stream) => self.go_on(stream),
            Event::Informational(_)
            | Event::Trailers(_)
            | Event::Refused { .. }
            | Event::GoAway { .. } => {}
        }
    }

    /// An answer that is complete before its request is: the rest of it is of no use (RFC 9113
    /// section 8.1).
    fn end_early(&mut self, stream: StreamId) {
        if !self.unsent.is_empty() && self.forget(stream) {
            self.connection.reset(stream, ErrorCode::Cancel);
        }
    }

    fn forget(&mut self, stream: StreamId) -> bool {
        let before = self.unsent.len();
        self.unsent.retain(|(waiting, ..)| *waiting != stream);
        self.unsent.len() < before
    }

    /// Sends more of a body.
    fn go_on(&mut self, stream: StreamId) {
        let Some(at) = self.unsent.iter().position(|(waiting, ..)| *waiting == stream) else {
            return;
        };
        let (_, body, from) = &mut self.unsent[at];
        // A stream that is over needs no more of it.
        let sent = self.connection.send_data(stream, &body[*from..], true).ok();
        *from += sent.unwrap_or(body.len() - *from);
        if *from == body.len() {
            self.unsent.remove(at);
        }
    }
}

/// The number of a stream's request.
fn number(stream: StreamId) -> u32 {
    stream.number() / 2
}

fn grpc_status(value: Option<&[u8]>) -> Option<u32> {
    value.and_then(decimal).and_then(|status| u32::try_from(status).ok())
}

#[cfg(test)]
mod tests;
