//! The streams of a connection: their states, windows and the table that finds them.
//!
//! A table holds the streams that are neither idle nor closed; what the identifiers below the
//! highest one stand for otherwise is `closed` (RFC 9113 section 5.1.1).

use std::collections::VecDeque;

use super::StreamId;
use super::frame::MAX_WINDOW;

/// RFC 9113 section 5.1, without the states of pushed streams, which no side here allows.
///
/// ```text
///              idle
///                | head, sent or received
///                v
///              open ------------------------------.
///     END_STREAM |                                |
///       received |          END_STREAM sent       |
///                v                                v
///   half-closed (remote)                half-closed (local)
///                |                                |
///                | END_STREAM sent                | END_STREAM received
///                |                                |
///                '-------->  closed  <------------'
///                   RST_STREAM, sent or received, leads here from everywhere
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing was sent or received on it.
    Idle,
    /// Both sides may send.
    Open,
    /// This side has sent everything.
    HalfClosedLocal,
    /// The peer has sent everything.
    HalfClosedRemote,
    /// Over.
    Closed,
}

impl State {
    /// This side sent END_STREAM.
    #[must_use]
    pub fn end_sent(self) -> Self {
        match self {
            Self::Idle | Self::Open => Self::HalfClosedLocal,
            Self::HalfClosedLocal => Self::HalfClosedLocal,
            Self::HalfClosedRemote | Self::Closed => Self::Closed,
        }
    }

    /// The peer sent END_STREAM.
    #[must_use]
    pub fn end_received(self) -> Self {
        match self {
            Self::Idle | Self::Open => Self::HalfClosedRemote,
            Self::HalfClosedRemote => Self::HalfClosedRemote,
            Self::HalfClosedLocal | Self::Closed => Self::Closed,
        }
    }

    /// Whether this side may still send a head, data or trailers.
    #[must_use]
    pub fn may_send(self) -> bool {
        matches!(self, Self::Open | Self::HalfClosedRemote)
    }

    /// Whether the peer may still send a head, data or trailers.
    #[must_use]
    pub fn may_receive(self) -> bool {
        matches!(self, Self::Open | Self::HalfClosedLocal)
    }
}

/// How the body of a response is to be read, by its request (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Answer {
    /// As its own head says.
    #[default]
    Message,
    /// HEAD: there is none, whatever length is named.
    HeadOnly,
    /// CONNECT: the bytes of a tunnel, if it was opened.
    Tunnel,
}

/// How a stream waits for room to send data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Waiting {
    /// It does not.
    #[default]
    No,
    /// For its own window; the next WINDOW_UPDATE of the stream moves it on.
    ForStream,
    /// In the queue of those that wait for the connection's window or for the outbound queue.
    Queued,
}

/// One stream that is neither idle nor closed.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) state: State,
    /// What the peer lets this side send; below zero after it lowered its initial window.
    pub(super) send_window: i64,
    /// What this side lets the peer send.
    pub(super) receive_window: i64,
    /// Bytes received and not yet released by the consumer.
    pub(super) unreleased: u64,
    /// Bytes released and not yet given back to the peer.
    pub(super) released: u64,
    /// What `content-length` still promises.
    pub(super) promised: Option<u64>,
    pub(super) waiting: Waiting,
    /// The head that is expected from the peer has come: what follows it are trailers.
    pub(super) has_received_head: bool,
    /// This side has sent its (final) head.
    pub(super) has_sent_head: bool,
    /// What the request (of a client) says about the body of its response.
    pub(super) answer: Answer,
    /// RFC 8441: the protocol of an extended CONNECT.
    pub(super) protocol: Option<Box<[u8]>>,
}

impl Stream {
    pub(super) fn new(id: StreamId, send_window: i64, receive_window: i64) -> Self {
        Self {
            id,
            state: State::Open,
            send_window,
            receive_window,
            unreleased: 0,
            released: 0,
            promised: None,
            waiting: Waiting::No,
            has_received_head: false,
            has_sent_head: false,
            answer: Answer::Message,
            protocol: None,
        }
    }

    /// RFC 9113 section 6.9.1: false when the window would grow beyond 2^31 - 1.
    pub(super) fn grow_send_window(&mut self, by: i64) -> bool {
        self.send_window += by;
        self.send_window <= MAX_WINDOW
    }
}

/// The streams by identifier. New streams have the highest identifier and old ones tend to end
/// first, so that a sorted queue is found in by halving and cut at its ends; unlike a hash table
/// it has no worst case that a peer could choose identifiers for.
#[derive(Debug, Default)]
pub(super) struct Streams {
    order: VecDeque<(u32, u32)>,
    slots: Vec<Stream>,
    free: Vec<u32>,
    /// The stream found last: most calls come in runs on one stream.
    last: Option<(u32, u32)>,
}

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    #[inline]
    fn slot_of(&self, id: StreamId) -> Option<u32> {
        if let Some((_, slot)) = self.last.filter(|last| last.0 == id.0) {
            return Some(slot);
        }
        let at = self.place_of(id)?;
        Some(self.order[at].1)
    }

    /// Where in the order a stream stands. New streams and the oldest are asked for most.
    #[inline]
    fn place_of(&self, id: StreamId) -> Option<usize> {
        if self.order.back()?.0 < id.0 {
            return None;
        }
        if self.order.front()?.0 == id.0 {
            return Some(0);
        }
        self.order.binary_search_by_key(&id.0, |entry| entry.0).ok()
    }

    #[inline]
    pub(super) fn get(&self, id: StreamId) -> Option<&Stream> {
        self.slots.get(self.slot_of(id)? as usize)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        let slot = self.slot_of(id)?;
        self.last = Some((id.0, slot));
        self.slots.get_mut(slot as usize)
    }

    /// Adds a stream, whose identifier must be above all others.
    pub(super) fn insert(&mut self, stream: Stream) {
        let id = stream.id;
        debug_assert!(self.order.back().is_none_or(|last| last.0 < id.0));
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = stream;
                slot
            }
            None => {
                self.slots.push(stream);
                self.slots.len() as u32 - 1
            }
        };
        self.order.push_back((id.0, slot));
        self.last = Some((id.0, slot));
    }

    /// Takes a stream out; returns the bytes that its consumer had not released.
    pub(super) fn remove(&mut self, id: StreamId) -> u64 {
        let Some(at) = self.place_of(id) else { return 0 };
        let Some((_, slot)) = self.order.remove(at) else { return 0 };
        self.last = None;
        self.free.push(slot);
        let stream = &mut self.slots[slot as usize];
        stream.protocol = None;
        std::mem::take(&mut stream.unreleased)
    }

    /// The stream opened last of those in the table.
    pub(super) fn highest(&self) -> Option<StreamId> {
        self.order.back().map(|entry| StreamId(entry.0))
    }

    /// Applies `change` to each stream; stops at the first that says no.
    pub(super) fn all(&mut self, mut change: impl FnMut(&mut Stream) -> bool) -> bool {
        self.order.iter().all(|(_, slot)| change(&mut self.slots[*slot as usize]))
    }

    /// Gives back the storage of streams that are over.
    pub(super) fn shrink(&mut self) {
        if self.order.is_empty() {
            *self = Self::default();
        }
    }
}

/// Streams that this side has reset not long ago: what their peer sent before it heard of that may
/// still come.
#[derive(Debug, Default)]
pub(super) struct Resets {
    latest: VecDeque<u32>,
    /// The highest stream that was forgotten for want of room: below it nobody knows.
    forgotten: u32,
}

impl Resets {
    /// Those that are remembered by name.
    const MAX: usize = 64;

    pub(super) fn note(&mut self, id: u32) {
        if self.latest.len() == Self::MAX {
            self.forget();
        }
        self.latest.push_back(id);
    }

    fn forget(&mut self) {
        let oldest = self.latest.pop_front().unwrap_or(0);
        self.forgotten = self.forgotten.max(oldest);
    }

    /// Whether this stream may be one of them.
    pub(super) fn may_hold(&self, id: u32) -> bool {
        id <= self.forgotten || self.latest.contains(&id)
    }

    /// Gives back the storage.
    pub(super) fn shrink(&mut self) {
        while !self.latest.is_empty() {
            self.forget();
        }
        self.latest = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_found_until_they_are_removed() {
        let mut streams = Streams::default();
        for id in (1..200).step_by(2) {
            streams.insert(Stream::new(StreamId(id), 0, 0));
        }
        for id in (1..200).step_by(4) {
            streams.get_mut(StreamId(id)).unwrap().unreleased = 7;
            assert_eq!(streams.remove(StreamId(id)), 7);
            assert_eq!(streams.remove(StreamId(id)), 0);
        }
        for id in 0..210 {
            let is_there = id < 200 && id % 4 == 3;
            assert_eq!(streams.get(StreamId(id)).is_some(), is_there, "{id}");
            assert_eq!(streams.get_mut(StreamId(id)).is_some(), is_there, "{id}");
        }
        assert_eq!(streams.len(), 50);
    }

    #[test]
    fn resets_are_remembered_and_then_taken_for_possible() {
        let mut resets = Resets::default();
        (0..100).for_each(|at| resets.note(at * 4 + 1));
        assert!(resets.may_hold(397) && !resets.may_hold(395));
        assert!(resets.may_hold(3) && !resets.may_hold(4 * 99 + 3));
        resets.shrink();
        assert!(resets.may_hold(397) && !resets.may_hold(399));
    }

    #[test]
    fn both_ends_close_in_either_order() {
        assert_eq!(State::Open.end_sent().end_received(), State::Closed);
        assert_eq!(State::Open.end_received().end_sent(), State::Closed);
        assert!(State::Open.end_sent().may_receive());
        assert!(!State::Open.end_sent().may_send());
    }
}
