//! The HTTP/2 engine (RFC 9113): bytes to events, calls to bytes. No IO, no clock, no random
//! numbers.
//!
//! Owns: frames, HPACK, the states and windows of streams, SETTINGS, PING, GOAWAY, and every limit
//! on what a peer may make this side keep or do. Does not own the bodies: data are ranges within
//! the input, and are copied only where the caller asks for it. One [`Connection`] serves either
//! side.
//!
//! Order of calls, as in the other engines:
//!
//! 1. [`Connection::receive`] with what was read.
//! 2. [`Connection::poll_event`] until it gives nothing. Ranges of data refer to that input; heads
//!    and trailers stand in storage that is reused and can be swapped out.
//! 3. Calls that send, each from the events or from elsewhere.
//! 4. [`Connection::poll_transmit`], once the bytes that it gave before are written: what waits in
//!    the meantime is what the limits on the outbound queue count. Then 2 again, for streams that
//!    waited for room.
//! 5. `receive` again with the input behind the consumed bytes.
//! 6. [`Connection::handle_timeout`] when [`Connection::next_timeout_ms`] is reached.
//!
//! After a [`ConnectionError`] what is queued should still be sent, and the connection closed.

mod connection;
mod error;
mod flood;
mod frame;
mod heads;
mod hpack;
mod limits;
mod stream;

pub use connection::{Backlog, Connection, Event, Side};
pub use error::{Cause, ConnectionError, ErrorCode, Flood, MessageError, SendError};
pub use frame::PREFACE;
pub use limits::{Keepalive, Limits, Options, Settings};
pub use stream::State;

/// A stream of one connection: odd, as all streams are opened by the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub(crate) u32);

impl StreamId {
    /// The stream of this number, which must be odd and below 2^31.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        (number % 2 == 1 && number < 1 << 31).then_some(Self(number))
    }

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }
}
