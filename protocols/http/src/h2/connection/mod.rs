//! One connection, on either side.
//!
//! Owns the state that all parts share. `receive` walks over the input, `frames` obeys the small
//! frames, `message` the header blocks, `data` the bodies; `send` writes heads and data, `flow`
//! gives windows back, `time` keeps the connection alive.

mod data;
mod flow;
mod frames;
mod message;
mod pool;
mod receive;
mod recent;
mod send;
mod time;

use std::collections::VecDeque;
use std::ops::Range;

use super::StreamId;
use super::error::{ConnectionError, ErrorCode, Flood, MessageError};
use super::flood::Counters;
use super::frame;
use super::hpack::{Decoder, Encoder};
use super::limits::Options;
use super::stream::{Resets, State, Streams, Waiting};
use crate::{Body, Fields, RequestHead, ResetReason, ResponseHead};
use pool::Pool;
use receive::{Block, Reading};
use recent::{Received, Sent};
use time::Liveness;

/// RFC 9113 section 6.9.2: the windows before any SETTINGS or WINDOW_UPDATE.
const FIRST_WINDOW: i64 = 65535;

/// So many bytes that wait to be sent are copied instead of swapped for the buffer that takes
/// them: an idle connection would keep it.
const COPIED_MAX: usize = 1024;

/// `receive` stops after so many events, so that what one input makes is bounded.
const MAX_EVENTS: usize = 32;

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Takes requests.
    Server,
    /// Sends requests.
    Client,
}

/// What happened on a connection. The words are those of [`crate::Step`], for each stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A 1xx head (client only): [`Connection::response_mut`]. The final one is still to come.
    Informational(StreamId),
    /// The head of a request (server: [`Connection::request_mut`]) or of a response (client:
    /// [`Connection::response_mut`]).
    Head {
        /// The stream; on a server it is new.
        stream: StreamId,
        /// `None`: `Complete` follows. `UntilClose`: the length is not known.
        body: Body,
    },
    /// The next piece of the body, as a range within the input of the last `receive`; never empty.
    /// Its bytes count against the windows until [`Connection::release`].
    Data {
        /// The stream.
        stream: StreamId,
        /// Where in the input.
        range: Range<usize>,
    },
    /// Trailers: [`Connection::trailers_mut`].
    Trailers(StreamId),
    /// The peer has sent everything on this stream.
    Complete(StreamId),
    /// The stream is over before its time; no call on it has an effect any more.
    Reset {
        /// The stream.
        stream: StreamId,
        /// The code that the peer sent, or that was sent to it.
        code: ErrorCode,
        /// Envoy's word for it. `RemoteRefusedStreamReset`: the peer did nothing, a retry is safe.
        reason: ResetReason,
        /// Why this side reset the stream; `None` where the peer did.
        error: Option<MessageError>,
    },
    /// A request was refused before it became a stream; for counters and logs.
    Refused {
        /// The identifier that the stream would have had.
        stream: StreamId,
        /// `None`: more than `max_concurrent_streams`.
        error: Option<MessageError>,
    },
    /// A stream that could not send all its data may send some now.
    Writable(StreamId),
    /// The peer takes (client) or opens (server) no further streams.
    GoAway {
        /// The last stream that the peer dealt with.
        last_stream: u32,
        /// Why.
        code: ErrorCode,
    },
}

/// What the peer announced, with RFC 9113's values before it did.
#[derive(Debug)]
struct Peer {
    max_concurrent_streams: u32,
    initial_window: i64,
    allows_connect: bool,
    has_sent_settings: bool,
    /// The last stream that a GOAWAY of the peer leaves alive.
    last_stream: Option<u32>,
}

/// GOAWAY frames of this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    No,
    /// The first of the two: no new streams soon.
    Announced,
    /// The last: streams above this one are ignored.
    After(u32),
}

/// What waits to be sent, of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Bytes, frame headers among them.
    pub bytes: usize,
    /// Frames.
    pub frames: usize,
    /// Of these PING, SETTINGS and RST_STREAM.
    pub control_frames: usize,
}

/// Bytes that wait to be sent, and how many frames they are.
#[derive(Debug, Default)]
struct Outbound {
    bytes: Vec<u8>,
    frames: u32,
    control_frames: u32,
}

/// One HTTP/2 connection. See the [module](super) for the order of calls.
#[derive(Debug)]
pub struct Connection {
    side: Side,
    options: Options,
    now_ms: u64,
    failed: Option<ConnectionError>,

    reading: Reading,
    /// The beginning of a frame header or payload whose rest has not come.
    partial: Vec<u8>,
    block: Option<Block>,
    block_bytes: Vec<u8>,
    decoder: Decoder,
    encoder: Encoder,
    cookie: Vec<u8>,
    dropped_fields: u32,
    protocol: Vec<u8>,
    requests: Pool<Box<RequestHead>>,
    responses: Pool<ResponseHead>,
    trailers: Pool<Fields>,
    recent_request: Received<RequestHead>,
    recent_response: Received<ResponseHead>,
    sent_response: Sent,
    events: VecDeque<Event>,

    streams: Streams,
    /// The highest stream of the peer (server) or of this side (client).
    highest: u32,
    peer: Peer,
    leaving: Leaving,
    resets: Resets,
    counters: Counters,

    send_window: i64,
    /// Streams that wait for `send_window` or for the outbound queue, in turn.
    queue: VecDeque<StreamId>,
    receive_window: i64,
    released: u64,
    /// The stream window that the peer knows of: 65535 until it acknowledged our SETTINGS.
    own_initial_window: i64,
    unacknowledged_settings: u32,

    outbound: Outbound,
    liveness: Liveness,
}

impl Connection {
    /// The side that takes requests. It sends its SETTINGS at once.
    #[must_use]
    pub fn server(options: Options, now_ms: u64) -> Self {
        let mut connection = Self::new(Side::Server, options, now_ms);
        connection.greet();
        connection
    }

    /// The side that sends requests. It sends the preface and its SETTINGS at once.
    #[must_use]
    pub fn client(options: Options, now_ms: u64) -> Self {
        let mut connection = Self::new(Side::Client, options, now_ms);
        connection.outbound.bytes.extend_from_slice(frame::PREFACE);
        connection.greet();
        connection
    }

    fn new(side: Side, options: Options, now_ms: u64) -> Self {
        let limits = &options.limits;
        Self {
            side,
            now_ms,
            failed: None,
            reading: if side == Side::Server { Reading::Preface(0) } else { Reading::Header },
            partial: Vec::new(),
            block: None,
            block_bytes: Vec::new(),
            decoder: Decoder::new(limits.max_field_bytes),
            encoder: Encoder::new(options.settings.header_table_size as usize, options.use_huffman),
            cookie: Vec::new(),
            dropped_fields: 0,
            protocol: Vec::new(),
            requests: Pool::default(),
            responses: Pool::default(),
            trailers: Pool::default(),
            recent_request: Received::default(),
            recent_response: Received::default(),
            sent_response: Sent::default(),
            events: VecDeque::new(),
            streams: Streams::default(),
            highest: 0,
            peer: Peer {
                max_concurrent_streams: u32::MAX,
                initial_window: FIRST_WINDOW,
                allows_connect: false,
                has_sent_settings: false,
                last_stream: None,
            },
            leaving: Leaving::No,
            resets: Resets::default(),
            counters: Counters::new(limits),
            send_window: FIRST_WINDOW,
            queue: VecDeque::new(),
            receive_window: FIRST_WINDOW,
            released: 0,
            own_initial_window: FIRST_WINDOW,
            unacknowledged_settings: 0,
            outbound: Outbound::default(),
            liveness: Liveness::new(options.keepalive, now_ms),
            options,
        }
    }

    // ---- what the caller may ask --------------------------------------------------------------

    /// Which end this is.
    #[must_use]
    pub fn side(&self) -> Side {
        self.side
    }

    /// The state of a stream.
    #[must_use]
    pub fn state(&self, stream: StreamId) -> State {
        match self.streams.get(stream) {
            Some(stream) => stream.state,
            None if self.is_idle(stream.0) => State::Idle,
            None => State::Closed,
        }
    }

    /// Streams that are neither idle nor closed.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// How many requests may be sent now (client): what the peer's `max_concurrent_streams` and
    /// this side's leave, and none on a connection that is going away.
    #[must_use]
    pub fn free_streams(&self) -> usize {
        let own = self.options.settings.max_concurrent_streams;
        let allowed = own.min(self.peer.max_concurrent_streams) as usize;
        match self.is_leaving() {
            true => 0,
            false => allowed.saturating_sub(self.streams.len()),
        }
    }

    /// Whether the SETTINGS of the peer have come.
    #[must_use]
    pub fn has_peer_settings(&self) -> bool {
        self.peer.has_sent_settings
    }

    /// Whether the peer announced RFC 8441: an upgrade can be sent to it.
    #[must_use]
    pub fn peer_allows_connect(&self) -> bool {
        self.peer.allows_connect
    }

    /// Whether either side sent GOAWAY, or the connection failed.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving != Leaving::No || self.peer.last_stream.is_some() || self.failed.is_some()
    }

    /// Whether the connection can be closed: it is leaving and no stream is open.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let is_last = matches!(self.leaving, Leaving::After(_));
        (is_last || self.peer.last_stream.is_some()) && self.streams.len() == 0
            || self.failed.is_some()
    }

    /// The head of the last `Head` event of a server. To keep it, swap it with another, whose
    /// storage then serves a later head.
    pub fn request_mut(&mut self) -> &mut RequestHead {
        self.requests.current_mut()
    }

    /// As [`Connection::request_mut`], where both are boxed: nothing of them is moved.
    pub fn swap_request(&mut self, head: &mut Box<RequestHead>) {
        std::mem::swap(self.requests.current_mut(), head);
    }

    /// The head of the last `Head` or `Informational` event of a client; as above.
    pub fn response_mut(&mut self) -> &mut ResponseHead {
        self.responses.current_mut()
    }

    /// The fields of the last `Trailers` event; as above.
    pub fn trailers_mut(&mut self) -> &mut Fields {
        self.trailers.current_mut()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        let Some(event) = self.events.pop_front() else { return self.next_writable() };
        match event {
            Event::Head { .. } if self.side == Side::Server => self.requests.advance(),
            Event::Head { .. } | Event::Informational(_) => self.responses.advance(),
            Event::Trailers(_) => self.trailers.advance(),
            _ => {}
        }
        Some(event)
    }

    /// The next thing that happened, if it is one of this stream and not its head.
    pub fn poll_event_of(&mut self, stream: StreamId) -> Option<Event> {
        let is_of = match self.events.front()? {
            Event::Data { stream: of, .. } | Event::Reset { stream: of, .. } => *of == stream,
            Event::Trailers(of) | Event::Complete(of) => *of == stream,
            _ => false,
        };
        if is_of { self.poll_event() } else { None }
    }

    /// Moves all bytes that wait to be sent to the end of `into`; whether there were any. Where
    /// they are many, an empty `into` is swapped with the queue, so that they are not copied.
    pub fn poll_transmit(&mut self, into: &mut Vec<u8>) -> bool {
        self.outbound.frames = 0;
        self.outbound.control_frames = 0;
        if self.outbound.bytes.is_empty() {
            return false;
        }
        match into.is_empty() && self.outbound.bytes.len() > COPIED_MAX {
            true => std::mem::swap(into, &mut self.outbound.bytes),
            false => into.append(&mut self.outbound.bytes),
        }
        self.outbound.bytes.clear();
        true
    }

    /// Bytes that wait to be sent.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.outbound.bytes.len()
    }

    /// Whether the preface or a header block has begun and not ended: the peer owes the rest.
    #[must_use]
    pub fn is_mid_head(&self) -> bool {
        self.block.is_some()
            || match self.reading {
                Reading::Preface(_) => true,
                Reading::Payload(header) => header.kind == frame::HEADERS,
                _ => false,
            }
    }

    /// What waits to be sent.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        Backlog {
            bytes: self.outbound.bytes.len(),
            frames: self.outbound.frames as usize,
            control_frames: self.outbound.control_frames as usize,
        }
    }

    /// Fields that were dropped for an underscore in their name since the last call.
    pub fn take_dropped_fields(&mut self) -> u32 {
        std::mem::take(&mut self.dropped_fields)
    }

    /// Gives back the storage that an idle connection does not need: buffers, heads, streams.
    pub fn shrink(&mut self) {
        self.requests.shrink();
        self.responses.shrink();
        self.trailers.shrink();
        self.recent_request.forget();
        self.recent_response.forget();
        self.sent_response.forget();
        self.streams.shrink();
        self.resets.shrink();
        self.cookie = Vec::new();
        self.block_bytes.shrink_to_fit();
        self.partial.shrink_to_fit();
        self.events.shrink_to_fit();
        self.outbound.bytes.shrink_to_fit();
    }

    // ---- inside -------------------------------------------------------------------------------

    /// Whether no frame may have been sent on this stream yet. Nobody pushes, so that all even
    /// streams stay idle for ever.
    fn is_idle(&self, id: u32) -> bool {
        id.is_multiple_of(2) || id > self.highest
    }

    /// Ends the connection: what follows on the wire is a GOAWAY with the reason.
    fn fail(&mut self, error: ConnectionError) -> ConnectionError {
        let last = if self.side == Side::Server { self.highest } else { 0 };
        frame::write_goaway(last, error.code, &mut self.outbound.bytes);
        self.failed = Some(error);
        error
    }

    /// The peer may not make this side queue answers without end.
    fn check_outbound(&self) -> Result<(), Flood> {
        let limits = &self.options.limits;
        if self.outbound.control_frames > limits.max_outbound_control_frames {
            return Err(Flood::OutboundControlFrames);
        }
        match self.outbound.frames > limits.max_outbound_frames {
            true => Err(Flood::OutboundFrames),
            false => Ok(()),
        }
    }

    /// Takes a stream out of the table and gives its share of the connection's window back.
    fn close(&mut self, id: StreamId) {
        let is_queued = self.streams.get(id).is_some_and(|at| at.waiting == Waiting::Queued);
        if is_queued {
            self.queue.retain(|at| *at != id);
        }
        let unreleased = self.streams.remove(id);
        self.release_connection(unreleased);
    }

    /// Closes the stream if both sides have ended it.
    fn close_if_over(&mut self, id: StreamId) {
        if self.streams.get(id).is_some_and(|stream| stream.state == State::Closed) {
            self.close(id);
        }
    }

    /// RFC 9113 section 5.1: what the peer sent before it heard of a reset is on its way and is
    /// ignored. Anything else on a stream that is over comes from a peer that has lost count: its
    /// head would wait for its answer for ever (section 5.1.1).
    fn check_closed(&self, id: u32) -> Result<(), ConnectionError> {
        let is_ignored = matches!(self.leaving, Leaving::After(last) if id > last)
            || self.peer.last_stream.is_some_and(|last| id > last)
            || self.resets.may_hold(id);
        match is_ignored {
            true => Ok(()),
            false => {
                let rule = "frame on a closed stream";
                Err(ConnectionError::with(ErrorCode::StreamClosed, rule))
            }
        }
    }

    /// Queues RST_STREAM.
    fn write_reset(&mut self, id: StreamId, code: ErrorCode) {
        self.resets.note(id.0);
        frame::write_reset(id.0, code, &mut self.outbound.bytes);
        self.outbound.control();
    }

    /// The peer broke the rules on one stream (RFC 9113 section 5.4.2): that stream is over. The
    /// reset is charged as if the peer had sent it (CVE-2025-8671), since it costs as much.
    fn stream_error(
        &mut self,
        id: StreamId,
        code: ErrorCode,
        error: Option<MessageError>,
    ) -> Result<(), ConnectionError> {
        self.charge_reset()?;
        self.write_reset(id, code);
        if self.streams.get(id).is_some() {
            self.close(id);
            let reason = ResetReason::ProtocolError;
            self.events.push_back(Event::Reset { stream: id, code, reason, error });
        }
        Ok(())
    }

    /// Envoy limits resets on servers only: a client chose its peer.
    fn charge_reset(&mut self) -> Result<(), Flood> {
        match self.side {
            Side::Server => self.counters.reset(self.now_ms),
            Side::Client => Ok(()),
        }
    }
}

impl Outbound {
    /// Counts a frame that was written.
    fn frame(&mut self) {
        self.frames = self.frames.saturating_add(1);
    }

    /// Counts a frame that answers the peer.
    fn control(&mut self) {
        self.frame();
        self.control_frames = self.control_frames.saturating_add(1);
    }
}
