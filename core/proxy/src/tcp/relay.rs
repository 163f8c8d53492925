//! Bytes both ways between two sides, each way with an end of its own.
//!
//! Buffers go from one side's receive to the other side's send as they are. A side that does not
//! keep up stops its peer at the buffer limit.

use std::task::{Context, Poll};

use ringway_runtime::buffer::Buf;
use ringway_runtime::deadline::Deadline;

use super::far::Far;
use super::origin::Early;
use crate::transport::Transport;
use crate::upstream::Tunnel;

/// How often one way may go on in one turn of the loop before others have theirs, and how many
/// bytes it may hand on each time.
const ROUNDS_MAX: usize = 16;
const ROUND_BYTES: u64 = 1 << 20;

/// A side that bytes come from and go to.
pub(super) trait Side {
    /// Waits for bytes; `Ready` with an empty buffer is the end.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Buf, ()>>;

    /// Queues bytes.
    fn push(&mut self, bytes: Buf);

    /// Bytes that wait to be sent.
    fn queued_bytes(&self) -> usize;

    /// How many may wait, whatever is configured.
    fn queue_max(&self) -> usize {
        usize::MAX
    }

    /// Whether the peer does not take what it was sent.
    fn is_stuck(&mut self) -> bool {
        false
    }

    /// Whether the peer was stuck lately.
    fn is_slow(&self) -> bool {
        false
    }

    /// Whether to receive little at a time.
    fn receive_sparingly(&mut self, _sparingly: bool) {}

    /// Queues what is said before the end.
    fn say_goodbye(&mut self);

    /// Sends what is queued; `Ready` when all of it has been handed on, and woken until then.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>>;

    /// The same without asking to be woken, unless something waits behind what is under way.
    fn poll_flush_unattended(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        self.poll_flush(cx)
    }

    /// Tells the peer that nothing more will be sent. Call when flushed.
    fn shutdown_write(&mut self) {}
}

impl Side for Transport {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Buf, ()>> {
        self.poll_receive(cx).map_err(drop)
    }

    fn push(&mut self, bytes: Buf) {
        self.push(bytes);
    }

    fn queued_bytes(&self) -> usize {
        self.queued_bytes()
    }

    fn is_stuck(&mut self) -> bool {
        self.is_stuck()
    }

    fn is_slow(&self) -> bool {
        self.is_slow()
    }

    fn receive_sparingly(&mut self, sparingly: bool) {
        self.receive_sparingly(sparingly);
    }

    fn say_goodbye(&mut self) {
        self.say_goodbye();
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        self.poll_flush(cx).map_err(drop)
    }

    fn poll_flush_unattended(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        self.poll_flush_unattended(cx).map_err(drop)
    }

    fn shutdown_write(&mut self) {
        Self::shutdown_write(self);
    }
}

impl Side for Tunnel {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Buf, ()>> {
        self.poll_receive(cx)
    }

    fn push(&mut self, bytes: Buf) {
        self.push(bytes);
    }

    fn queued_bytes(&self) -> usize {
        self.queued_bytes()
    }

    fn queue_max(&self) -> usize {
        self.queue_max()
    }

    fn say_goodbye(&mut self) {
        self.say_goodbye();
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        self.poll_flush(cx)
    }
}

/// One way: from where bytes come, as far as they have come.
#[derive(Debug)]
pub(super) struct Way {
    /// Bytes that may wait to be sent before reading stops.
    limit: usize,
    /// Bytes that were taken from the one side and given to the other.
    pub(super) moved: u64,
    /// The sender has ended its side.
    pub(super) ended: bool,
    /// It did so when the other side had.
    last: bool,
    /// That was put behind what is queued.
    said: bool,
    /// The receiver was told so.
    told: bool,
    /// The sender is not read, since the receiver does not keep up.
    stopped: bool,
    /// The same, as it was told last.
    paused: bool,
}

/// Which side broke the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    Downstream,
    Upstream,
}

/// What happened to the flow of one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Same,
    Paused,
    Resumed,
}

impl Way {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            moved: 0,
            ended: false,
            last: false,
            said: false,
            told: false,
            stopped: false,
            paused: false,
        }
    }

    /// Hands on what was received before there was a receiver.
    pub(super) fn begin(&mut self, early: &mut Early, to: &mut Far) {
        let Early { pieces, bytes, ended } = std::mem::take(early);
        self.moved += bytes as u64;
        self.ended = ended;
        pieces.into_iter().for_each(|piece| to.push(piece));
    }

    /// Whether everything was moved, the end included.
    pub(super) fn is_over(&self) -> bool {
        self.told
    }

    /// Moves what can be moved. `Err(true)` when the sender failed, `Err(false)` when the receiver
    /// did. The second value says whether it stopped with more to do at once. `is_last`: the other
    /// way is over.
    fn turn(
        &mut self,
        from: &mut impl Side,
        to: &mut impl Side,
        is_last: bool,
        cx: &mut Context<'_>,
    ) -> Result<bool, bool> {
        for _ in 0..ROUNDS_MAX {
            let before = self.moved;
            let full = self.pull(from, to, cx)?;
            let flushed = self.push(to, full, is_last, cx)?;
            // What the kernel takes at once is never much in the queue: that is no reason to go on
            // for ever.
            if self.moved - before >= ROUND_BYTES && !self.ended {
                return Ok(true);
            }
            self.stopped = full && !flushed;
            // Room was made where the sender had been stopped: go on at once.
            if !(full && flushed) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes from the sender until there is nothing, or enough. True when there was enough.
    fn pull(
        &mut self,
        from: &mut impl Side,
        to: &mut impl Side,
        cx: &mut Context<'_>,
    ) -> Result<bool, bool> {
        let before = self.moved;
        from.receive_sparingly(to.is_slow());
        while !self.ended && self.moved - before < ROUND_BYTES {
            if to.queued_bytes() >= self.limit.min(to.queue_max()) || to.is_stuck() {
                return Ok(true);
            }
            match from.poll_receive(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(bytes)) if bytes.is_empty() => self.ended = true,
                Poll::Ready(Ok(bytes)) => {
                    self.moved += bytes.len() as u64;
                    to.push(bytes);
                }
                Poll::Ready(Err(_)) => return Err(true),
            }
        }
        Ok(false)
    }

    /// Sends what is queued, and the end behind all of it. True when everything is sent.
    fn push(
        &mut self,
        to: &mut impl Side,
        full: bool,
        is_last: bool,
        cx: &mut Context<'_>,
    ) -> Result<bool, bool> {
        if self.told {
            return Ok(true);
        }
        if self.ended && !std::mem::replace(&mut self.said, true) {
            to.say_goodbye();
        }
        // Whoever still reads is woken by what comes; otherwise the end of the send has to do it.
        let sent = match self.ended || full {
            true => to.poll_flush(cx),
            false => to.poll_flush_unattended(cx),
        };
        match sent {
            Poll::Pending => Ok(false),
            Poll::Ready(Err(_)) => Err(false),
            Poll::Ready(Ok(())) => {
                if self.ended {
                    // The last end is told by closing, which follows: nothing is left to be read
                    // that would make a reset of it.
                    if !is_last {
                        to.shutdown_write();
                    }
                    self.told = true;
                }
                Ok(true)
            }
        }
    }

    /// Whether this way ended behind the other one.
    pub(super) fn ended_last(&self) -> bool {
        self.last
    }

    /// Whether the sender is stopped since the last time that this was asked.
    pub(super) fn flow(&mut self) -> Flow {
        match (std::mem::replace(&mut self.paused, self.stopped), self.stopped) {
            (false, true) => Flow::Paused,
            (true, false) => Flow::Resumed,
            _ => Flow::Same,
        }
    }
}

/// Moves what can be moved both ways; `Ready` when both have ended, or one side is broken.
pub(super) fn poll(
    down: &mut impl Side,
    up: &mut impl Side,
    to_up: &mut Way,
    to_down: &mut Way,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Broken>> {
    let (client_had_ended, upstream_had) = (to_up.ended, to_down.ended);
    let more_up = to_up.turn(down, up, to_down.is_over(), cx).map_err(|sender| match sender {
        true => Broken::Downstream,
        false => Broken::Upstream,
    });
    // What the upstream has said is worth having even if it takes nothing any more.
    let more_down = to_down.turn(up, down, to_up.is_over(), cx).map_err(|sender| match sender {
        true => Broken::Upstream,
        false => Broken::Downstream,
    });
    let more = more_up? | more_down?;
    to_down.last |= client_had_ended && to_down.ended && !upstream_had;
    if to_up.is_over() && to_down.is_over() {
        return Poll::Ready(Ok(()));
    }
    if more {
        cx.waker().wake_by_ref();
    }
    Poll::Pending
}

/// Sends what is left and ends our side, before the deadline.
pub(super) async fn flush(side: &mut impl Side, deadline: &Deadline) {
    side.say_goodbye();
    deliver(side, deadline).await;
    side.shutdown_write();
}

/// Sends what is left, before the deadline.
pub(super) async fn deliver(side: &mut impl Side, deadline: &Deadline) {
    std::future::poll_fn(|cx| match side.poll_flush(cx) {
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => deadline.poll(cx),
    })
    .await;
}
