//! What an exchange needs of the two it stands between, whatever protocol they speak.
//!
//! Each side gives events and takes heads, data and an end; how these look on a wire, and whether
//! other streams share it, is its own business.

use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use ringway_bridge::stats::Page;
use ringway_http::h1::{HeaderKeyFormat, RequestError, Upgrade};
use ringway_http::{Body, Fields, Method, RequestHead, ResetReason, ResponseHead, Version};
use ringway_model::http::ConnectionManager;
use ringway_model::stream::ResponseFlags;
use ringway_runtime::buffer::Buf;
use ringway_tls::Handshake;

use crate::upstream::Pool;
use crate::wire::Event;

/// The side that asks.
pub(crate) trait ClientSide {
    /// Counts a request of this protocol.
    fn count_request(page: &Page, manager: &ConnectionManager);

    /// The next event of the request behind its head.
    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut RequestHead,
    ) -> Poll<Result<Event, Lost>>;

    /// The next event, if what was received already holds one.
    fn received_event(&mut self, head: &mut RequestHead) -> Option<Event>;

    /// Whether the client went away while nothing is read of it.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Lost>;

    /// How the request's body is framed.
    fn body(&self) -> Body;

    /// The trailers of the request, once they have come.
    fn trailers(&self) -> &Fields;

    /// Whether another protocol is asked for.
    fn upgrade(&self) -> Upgrade;

    /// Whether the client waits for a word before it sends the body.
    fn expects_continue(&self) -> bool;

    /// Whether the client wants to go on after this request.
    fn keep_alive(&self) -> bool;

    /// Whether the process has too much to do for one more request.
    fn refuses_request(&self) -> bool;

    /// Whether the connection should end with the response that begins now. Counts why.
    fn wants_close(&mut self, now: Instant) -> bool;

    /// From here on both sides send what they like until each has ended: an upgrade or CONNECT was
    /// accepted.
    fn open_tunnel(&mut self);

    /// Tells a client that waits to go on.
    fn send_continue(&mut self);

    /// Sends a head of 1xx.
    fn send_informational(&mut self, head: &ResponseHead, asked: Asked);

    /// Sends the head of the response; `is_end` where nothing follows it.
    fn send_head(&mut self, head: &ResponseHead, answer: Answer, is_end: bool);

    /// Queues a piece of the body.
    fn send_data(&mut self, data: Buf);

    /// Queues a body that is small.
    fn send_text(&mut self, text: &[u8]);

    /// The response is complete.
    fn send_end(&mut self, trailers: Option<&Fields>);

    /// Queues a body that is small, and with it the response is complete.
    fn send_last_text(&mut self, text: &[u8]) {
        self.send_text(text);
        self.send_end(None);
    }

    /// Bytes that wait to be sent.
    fn queued_bytes(&self) -> usize;

    /// How many may wait, whatever is configured: less where others share the room.
    fn queue_max(&self) -> usize {
        usize::MAX
    }

    /// Whether the client does not take what it was sent: nothing more should be queued until it
    /// does, of which whoever flushes is told.
    fn is_stuck(&mut self) -> bool {
        false
    }

    /// Whether the connection ends since the client did not take what it was sent.
    fn is_overdue(&self) -> bool {
        false
    }

    /// Whether the client was stuck lately.
    fn is_slow(&self) -> bool {
        false
    }

    /// Whether to receive little at a time, since the upstream takes it slowly.
    fn receive_sparingly(&mut self, _sparingly: bool) {}

    /// How much of its request may wait for the upstream, whatever is configured: less where other
    /// requests come on the same connection.
    fn upload_max(&self) -> usize {
        usize::MAX
    }

    /// Sends what is queued; `Ready` when all of it is on its way.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>>;

    /// The client closed its connection in the middle of this exchange. Counts it.
    fn note_peer_close(&mut self);
}

/// What of a request decides on the form of its response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) version: Version,
}

/// How a response is to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) asked: Asked,
    /// The form of the body.
    pub(crate) framing: ringway_http::h1::Framing,
    /// The connection ends with this response.
    pub(crate) close: bool,
    pub(crate) key_format: HeaderKeyFormat,
}

/// Why a client will say nothing more.
#[derive(Debug)]
pub(crate) enum Lost {
    /// Its connection ended.
    Closed,
    /// It reset the stream, or the stream was reset because of what it sent.
    Reset { details: &'static str, flag: ResponseFlags },
    /// What it sent is no HTTP.
    Malformed(RequestError),
}

/// The side that answers.
pub(crate) trait ServerSide {
    /// The next event of the response.
    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<Event, Failure>>;

    /// As [`ClientSide::open_tunnel`].
    fn open_tunnel(&mut self);

    /// How the response's body is framed.
    fn body(&self) -> Body;

    /// The trailers of the response, once they have come.
    fn trailers(&self) -> &Fields;

    /// Queues a piece of the body.
    fn send_data(&mut self, data: Buf);

    /// The request is complete.
    fn send_end(&mut self, trailers: Option<&Fields>);

    /// Bytes that wait to be sent.
    fn queued_bytes(&self) -> usize;

    /// How many may wait, whatever is configured: less where others share the room.
    fn queue_max(&self) -> usize {
        usize::MAX
    }

    /// As [`ClientSide::is_stuck`].
    fn is_stuck(&mut self) -> bool {
        false
    }

    /// As [`ClientSide::is_slow`].
    fn is_slow(&self) -> bool {
        false
    }

    /// As [`ClientSide::receive_sparingly`].
    fn receive_sparingly(&mut self, _sparingly: bool) {}

    /// Sends what is queued; `Ready` when all of it is on its way.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>>;

    /// Whether everything was sent.
    fn is_flushed(&mut self) -> bool;

    /// Our own address towards the endpoint.
    fn local_address(&self) -> Option<SocketAddr>;

    /// The protocol that is spoken; none where bytes pass as they are.
    fn version(&self) -> Option<Version>;

    /// What the handshake with the endpoint came to, if there was one.
    fn handshake(&self) -> Option<&Rc<Handshake>>;

    /// Counts an answer for the endpoint, by what it says of itself.
    fn count_answer(&self, good: bool);

    /// The exchange is over. `is_clean`: request and response are complete, and what carried them
    /// may carry others.
    fn end(self, pool: &Rc<Pool>, is_clean: bool, now: Instant);
}

/// Why a response will not be completed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure {
    pub(crate) reason: ResetReason,
    pub(crate) flag: ResponseFlags,
}
