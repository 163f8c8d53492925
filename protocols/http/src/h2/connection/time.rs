//! PING to keep the connection alive (`connection_keepalive`), and the next time of day that
//! matters.

use super::Connection;
use crate::h2::error::{Cause, ConnectionError, ErrorCode};
use crate::h2::frame;
use crate::h2::limits::Keepalive;

/// The PINGs of this side.
#[derive(Debug)]
pub(super) struct Liveness {
    keepalive: Option<Keepalive>,
    /// When the next PING is due, or the answer to the last one.
    next_ms: u64,
    /// Number of the PING whose answer has not come.
    awaited: Option<u64>,
    sent: u64,
}

impl Liveness {
    pub(super) fn new(keepalive: Option<Keepalive>, now_ms: u64) -> Self {
        let next_ms = keepalive.map_or(0, |at| now_ms.saturating_add(at.interval_ms));
        Self { keepalive, next_ms, awaited: None, sent: 0 }
    }
}

impl Connection {
    /// When [`Connection::handle_timeout`] is due, in milliseconds of the caller's clock.
    #[must_use]
    pub fn next_timeout_ms(&self) -> Option<u64> {
        self.liveness.keepalive.filter(|_| self.failed.is_none()).map(|_| self.liveness.next_ms)
    }

    /// Does what is due: sends a PING, or ends the connection whose peer did not answer.
    ///
    /// # Errors
    ///
    /// No answer within the timeout; the connection is over.
    pub fn handle_timeout(&mut self, now_ms: u64) -> Result<(), ConnectionError> {
        let Some(keepalive) = self.liveness.keepalive else { return Ok(()) };
        if self.failed.is_some() || now_ms < self.liveness.next_ms {
            return Ok(());
        }
        if self.liveness.awaited.is_some() {
            let (code, cause) = (ErrorCode::NoError, Cause::KeepaliveTimeout);
            return Err(self.fail(ConnectionError { code, cause }));
        }
        self.liveness.sent += 1;
        self.liveness.awaited = Some(self.liveness.sent);
        self.liveness.next_ms = now_ms.saturating_add(keepalive.timeout_ms);
        frame::write_ping(false, self.liveness.sent.to_be_bytes(), &mut self.outbound.bytes);
        self.outbound.frame();
        Ok(())
    }

    /// An answer to a PING; one that nobody waits for is ignored.
    pub(super) fn ping_answered(&mut self, payload: [u8; 8]) {
        if self.liveness.awaited != Some(u64::from_be_bytes(payload)) {
            return;
        }
        self.liveness.awaited = None;
        let interval_ms = self.liveness.keepalive.map_or(0, |at| at.interval_ms);
        self.liveness.next_ms = self.now_ms.saturating_add(interval_ms);
    }
}
