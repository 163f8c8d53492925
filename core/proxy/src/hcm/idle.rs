//! A connection of HTTP/1 that has no request: it holds its transport, a deadline, and little
//! else.

use std::task::{Context, Poll};

use ringway_runtime::deadline::Deadline;

use super::http1::Resting;

/// A connection between its requests. The last response may still be on its way.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) side: Box<Resting>,
    pub(super) deadline: Deadline,
}

impl Idle {
    pub(super) fn new(side: Box<Resting>) -> Self {
        Self { side, deadline: Deadline::new() }
    }

    /// Waits for bytes; false when the connection is over.
    pub(super) async fn wait(&mut self) -> bool {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let Resting { wire, binding, .. } = &mut *self.side;
        if let Poll::Ready(Err(_)) = wire.stream.poll_flush_unattended(cx) {
            binding.note_peer_close();
            return Poll::Ready(false);
        }
        if !self.side.is_clogged() {
            let Resting { wire, binding, .. } = &mut *self.side;
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

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_model::stream::ConnectionInfo;

    /// What a connection takes while it waits: to be lowered where it can be.
    #[test]
    fn a_connection_that_waits_stays_small() {
        let sizes = [
            ("a connection", size_of::<Resting>(), 352),
            ("its addresses", size_of::<ConnectionInfo>(), 152),
            ("its task holds", size_of::<Idle>(), 32),
        ];
        let large: Vec<_> = sizes.into_iter().filter(|(_, size, most)| size > most).collect();
        assert!(large.is_empty(), "larger than it was: {large:?}");
    }
}
