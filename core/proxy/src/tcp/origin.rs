//! Where a session comes from: its listener, its filter chain, and what the client said early.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use ringway_model::listener::ChainName;
use ringway_runtime::buffer::Buf;

use crate::listener::Listening;
use crate::transport::Transport;
use crate::worker::Worker;

/// The filter chain of a connection, through all generations of the configuration.
pub(super) struct Origin {
    listening: Rc<Listening>,
    chain: Arc<ChainName>,
    /// The generation of the listener that was looked at.
    revision: u64,
    /// Since when it has no such filter chain.
    gone: Option<Instant>,
}

impl Origin {
    pub(super) fn new(listening: Rc<Listening>, chain: Arc<ChainName>) -> Self {
        Self { revision: listening.revision(), listening, chain, gone: None }
    }

    /// Since when the listener or the filter chain is gone. A chain that comes back under its name
    /// takes its connections back.
    pub(super) fn gone_since(&mut self) -> Option<Instant> {
        let revision = self.listening.revision();
        if self.revision != revision {
            self.revision = revision;
            let lives = self.listening.listener().has_chain(&self.chain);
            self.gone = (!lives).then(|| self.gone.unwrap_or_else(Instant::now));
        }
        self.listening.removed_since().or(self.gone)
    }

    /// Whether the connection should come to its end: one of them was gone when that was asked
    /// last, or the listener drains.
    pub(super) fn wants_close(&self, worker: &Worker) -> bool {
        self.gone.is_some() || self.listening.wants_close(worker)
    }
}

/// What a client said before there was an upstream (`max_early_data_bytes`).
#[derive(Default)]
pub(super) struct Early {
    pub(super) pieces: Vec<Buf>,
    pub(super) bytes: usize,
    /// The client has ended its side.
    pub(super) ended: bool,
}

impl Early {
    /// Reads until more than `max` bytes are there; `Ready` when the client is gone.
    pub(super) fn poll(
        &mut self,
        down: &mut Transport,
        max: usize,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        while !self.ended && self.bytes <= max {
            match down.poll_receive(cx) {
                Poll::Pending => break,
                Poll::Ready(Ok(bytes)) if bytes.is_empty() => self.ended = true,
                Poll::Ready(Ok(bytes)) => {
                    self.bytes += bytes.len();
                    self.pieces.push(bytes);
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }
}
