//! Flow control (RFC 9113 section 5.2): what the consumer read is given back to the peer, and who
//! waits for room is told when there is some.

use super::{Connection, Event};
use crate::h2::StreamId;
use crate::h2::frame;
use crate::h2::stream::Waiting;

impl Connection {
    /// The consumer is done with `bytes` of the data of a stream. The peer is told in steps of
    /// half a window. On a stream that is over this has no effect: its share of the connection's
    /// window was given back when it ended.
    pub fn release(&mut self, id: StreamId, bytes: usize) {
        let step = (self.options.settings.initial_stream_window / 2).max(1);
        let Some(stream) = self.streams.get_mut(id) else { return };
        let bytes = (bytes as u64).min(stream.unreleased);
        stream.unreleased -= bytes;
        stream.released += bytes;
        // What is released fits 31 bits: it was received within a window.
        if stream.released >= u64::from(step) && stream.state.may_receive() {
            let increment = std::mem::take(&mut stream.released);
            stream.receive_window += increment as i64;
            frame::write_window_update(id.0, increment as u32, &mut self.outbound.bytes);
            self.outbound.frame();
        }
        self.release_connection(bytes);
    }

    pub(super) fn release_connection(&mut self, bytes: u64) {
        let step = (self.options.settings.initial_connection_window / 2).max(1);
        self.released += bytes;
        if self.released >= u64::from(step) {
            let increment = std::mem::take(&mut self.released);
            self.receive_window += increment as i64;
            frame::write_window_update(0, increment as u32, &mut self.outbound.bytes);
            self.outbound.frame();
        }
    }

    /// Whether data of any stream can be taken now.
    pub(super) fn has_room(&self) -> bool {
        self.send_window > 0 && self.outbound.bytes.len() < self.options.limits.max_outbound_bytes
    }

    /// The next stream that waited and has room now. Streams take turns: one that is served and
    /// has more to send waits behind all others.
    pub(super) fn next_writable(&mut self) -> Option<Event> {
        while self.has_room() {
            let id = self.queue.pop_front()?;
            let Some(stream) = self.streams.get_mut(id) else { continue };
            if stream.send_window > 0 {
                stream.waiting = Waiting::No;
                return Some(Event::Writable(id));
            }
            stream.waiting = Waiting::ForStream;
        }
        None
    }

    /// Remembers that a stream has more to send than there is room for.
    pub(super) fn wait_for_room(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(id).filter(|at| at.waiting == Waiting::No) else {
            return;
        };
        if stream.send_window > 0 {
            stream.waiting = Waiting::Queued;
            self.queue.push_back(id);
        } else {
            stream.waiting = Waiting::ForStream;
        }
    }
}
