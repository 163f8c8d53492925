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
    /// When the answer to the last PING is due, or else the next PING.
    next_ms: Option<u64>,
    /// Number of the PING whose answer has not come.
    awaited: Option<u64>,
    sent: u64,
}

impl Liveness {
    pub(super) fn new(keepalive: Option<Keepalive>, now_ms: u64) -> Self {
        let mut liveness = Self { keepalive, next_ms: None, awaited: None, sent: 0 };
        liveness.rest(now_ms);
        liveness
    }

    /// Nothing is awaited: the next PING comes after the interval.
    fn rest(&mut self, now_ms: u64) {
        let interval_ms = self.keepalive.and_then(|at| at.interval_ms);
        self.awaited = None;
        self.next_ms = interval_ms.map(|interval| now_ms.saturating_add(interval));
    }
}

impl Connection {
    /// When [`Connection::handle_timeout`] is due, in milliseconds of the caller's clock.
    #[must_use]
    pub fn next_timeout_ms(&self) -> Option<u64> {
        self.liveness.next_ms.filter(|_| self.failed.is_none())
    }

    /// Does what is due: sends a PING, or ends the connection whose peer did not answer.
    ///
    /// # Errors
    ///
    /// No answer within the timeout; the connection is over.
    pub fn handle_timeout(&mut self, now_ms: u64) -> Result<(), ConnectionError> {
        if self.next_timeout_ms().is_none_or(|due| now_ms < due) {
            return Ok(());
        }
        if self.liveness.awaited.is_some() {
            let (code, cause) = (ErrorCode::NoError, Cause::KeepaliveTimeout);
            return Err(self.fail(ConnectionError { code, cause }));
        }
        self.probe(now_ms);
        Ok(())
    }

    /// Sends a PING now, whose answer must come within `connection_keepalive.timeout`: for the
    /// first request after a long silence. Without effect while an answer is awaited, or without
    /// `connection_keepalive`.
    pub fn probe(&mut self, now_ms: u64) {
        let Some(keepalive) = self.liveness.keepalive else { return };
        if self.failed.is_some() || self.liveness.awaited.is_some() {
            return;
        }
        self.liveness.sent += 1;
        self.liveness.awaited = Some(self.liveness.sent);
        self.liveness.next_ms = Some(now_ms.saturating_add(keepalive.timeout_ms));
        frame::write_ping(false, self.liveness.sent.to_be_bytes(), &mut self.outbound.bytes);
        self.outbound.frame();
    }

    /// An answer to a PING; one that nobody waits for is ignored.
    pub(super) fn ping_answered(&mut self, payload: [u8; 8]) {
        if self.liveness.awaited == Some(u64::from_be_bytes(payload)) {
            self.liveness.rest(self.now_ms);
        }
    }
}
