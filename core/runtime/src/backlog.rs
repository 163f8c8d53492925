//! How long a peer may leave what it was sent (Envoy
//! `per_connection_buffer_high_watermark_timeout`).
//!
//! Owns the time that counts while a stream is above its mark. What is above it is up to the
//! stream.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::deadline::Deadline;

/// The time of a peer that does not take what waits for it.
#[derive(Debug)]
pub(crate) struct Backlog {
    /// Bytes that wait, from which on it counts.
    limit: usize,
    timeout: Duration,
    deadline: Deadline,
    /// Bytes that were given to sends when the time began; none while there is nothing to count.
    since: Option<u64>,
    pub(crate) is_over: bool,
}

impl Backlog {
    pub(crate) fn new(limit: usize, timeout: Duration) -> Self {
        let deadline = Deadline::new();
        Self { limit: limit.max(1), timeout, deadline, since: None, is_over: false }
    }

    /// Whether so many bytes are above the mark.
    pub(crate) fn is_above(&self, queued: usize) -> bool {
        queued >= self.limit
    }

    /// Takes note of how it stands: whether the stream is above its mark, and how many bytes were
    /// given to sends so far. The time begins anew for a peer that takes half of the limit: in
    /// Envoy it falls below the low watermark then.
    fn note(&mut self, is_above: bool, sent: u64) {
        let half = (self.limit / 2) as u64;
        match self.since {
            _ if !is_above => {
                self.since = None;
                self.deadline.set(None);
            }
            Some(since) if sent - since < half => {}
            _ => {
                self.since = Some(sent);
                self.deadline.set(crate::now().checked_add(self.timeout));
            }
        }
    }

    /// # Errors
    /// The time is over, from now on.
    pub(crate) fn poll(
        &mut self,
        is_above: bool,
        sent: u64,
        cx: &mut Context<'_>,
    ) -> io::Result<()> {
        if !self.is_over {
            self.note(is_above, sent);
            self.is_over = self.since.is_some() && self.deadline.poll(cx) == Poll::Ready(());
        }
        match self.is_over {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => Ok(()),
        }
    }
}
