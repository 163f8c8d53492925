//! Where a connection counts (`http2.*`, `cluster.<name>.http2.*`).

use std::cell::Cell;
use std::sync::Arc;

use ringway_bridge::stats::{CounterId, Page};
use ringway_http::h2::{Backlog, Cause, ConnectionError, ErrorCode, Flood, MessageError};
use ringway_model::stats::Http2Stats;

/// The page of this worker, and what of this connection its gauges show.
#[derive(Debug)]
pub(crate) struct Counts {
    page: Arc<Page>,
    stats: Box<Http2Stats>,
    shown: Cell<Backlog>,
}

impl Counts {
    pub(crate) fn new(page: &Arc<Page>, stats: &Http2Stats) -> Self {
        let shown = Cell::new(Backlog::default());
        Self { page: Arc::clone(page), stats: Box::new(stats.clone()), shown }
    }

    pub(super) fn count(&self, id: impl FnOnce(&Http2Stats) -> CounterId) {
        self.page.inc(id(&self.stats));
    }

    pub(super) fn stream_begins(&self) {
        self.page.raise(self.stats.streams_active, 1);
    }

    pub(super) fn stream_ends(&self) {
        self.page.lower(self.stats.streams_active, 1);
    }

    /// The peer reset a stream.
    pub(super) fn reset_received(&self, code: ErrorCode) {
        self.count(|stats| stats.rx_reset);
        if code == ErrorCode::RefusedStream {
            self.count(|stats| stats.stream_refused_errors);
        }
    }

    /// A message was refused. Of data that do not add up Envoy's codec sees the reset only.
    pub(super) fn refused(&self, error: MessageError) {
        self.count(|stats| match error {
            MessageError::DataLength => stats.tx_reset,
            MessageError::TooManyFields => stats.header_overflow,
            MessageError::HeadTooLarge => stats.header_list_size_too_large,
            MessageError::CookiesTooLarge => stats.cookies_total_bytes_too_large,
            MessageError::UnexpectedUnderscore => {
                stats.requests_rejected_with_underscores_in_headers
            }
            _ => stats.rx_messaging_error,
        });
    }

    /// The connection is over because of what the peer did.
    pub(super) fn failed(&self, error: ConnectionError) {
        let flood = match error.cause {
            Cause::Message(error) => return self.refused(error),
            Cause::KeepaliveTimeout => return self.count(|stats| stats.keepalive_timeout),
            // A counter of the connection manager has these, and a stream's message was counted.
            Cause::Protocol(_) | Cause::Compression(_) | Cause::StreamMessage(_) => return,
            Cause::Flood(flood) => flood,
        };
        self.count(|stats| match flood {
            Flood::OutboundFrames => stats.outbound_flood,
            Flood::OutboundControlFrames => stats.outbound_control_flood,
            Flood::EmptyPayloads => stats.inbound_empty_frames_flood,
            Flood::Priority => stats.inbound_priority_frames_flood,
            Flood::WindowUpdates => stats.inbound_window_update_frames_flood,
            Flood::HeaderBlock => stats.header_overflow,
            Flood::StreamResets | Flood::Continuations | Flood::SettingsEntries => {
                stats.rx_messaging_error
            }
        });
    }

    /// Shows what waits to be sent.
    pub(super) fn show(&self, now: Backlog) {
        let before = self.shown.replace(now);
        if before == now {
            return;
        }
        let (page, stats) = (&self.page, &self.stats);
        for (id, before, now) in [
            (stats.pending_send_bytes, before.bytes, now.bytes),
            (stats.outbound_frames_active, before.frames, now.frames),
            (stats.outbound_control_frames_active, before.control_frames, now.control_frames),
        ] {
            page.lower(id, before as u64);
            page.raise(id, now as u64);
        }
    }
}

impl Drop for Counts {
    fn drop(&mut self) {
        self.show(Backlog::default());
    }
}
