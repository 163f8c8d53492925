//! A connection of HTTP/1 that has no request: it holds its transport, a deadline, and little
//! else.

use std::task::{Context, Poll};

use ringway_runtime::deadline::Deadline;

use super::http1::Http1;

/// A connection between its requests. The last response may still be on its way.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) side: Box<Http1>,
    pub(super) deadline: Deadline,
}

impl Idle {
    pub(super) fn new(side: Box<Http1>) -> Self {
        Self { side, deadline: Deadline::new() }
    }

    /// Waits for bytes; false when the connection is over.
    pub(super) async fn wait(&mut self) -> bool {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let Http1 { wire, binding, .. } = &mut *self.side;
        if let Poll::Ready(Err(_)) = wire.stream.poll_flush_unattended(cx) {
            binding.note_peer_close();
            return Poll::Ready(false);
        }
        if !self.side.is_clogged() {
            let Http1 { wire, binding, .. } = &mut *self.side;
            if wire.has_input() {
                return Poll::Ready(true);
            }
            if let Poll::Ready(filled) = wire.poll_fill(cx) {
                if filled.is_err() {
                    binding.note_peer_close();
                }
                return Poll::Ready(filled.is_ok());
            }
        }
        self.side.poll_rest_end(cx, &mut self.deadline).map(|()| false)
    }
}
