//! Counters behind the limits on what a peer may make this side do.

use super::error::Flood;
use super::limits::Limits;

/// What the peer has done so far.
#[derive(Debug)]
pub(super) struct Counters {
    /// Consecutive frames of a head or data without payload and without END_STREAM.
    empty_frames: u32,
    priority_frames: u64,
    window_updates: u64,
    /// Streams whose head was answered (server) or sent (client).
    pub(super) opened_streams: u64,
    pub(super) sent_data_frames: u64,
    resets: Bucket,
}

impl Counters {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            empty_frames: 0,
            priority_frames: 0,
            window_updates: 0,
            opened_streams: 0,
            sent_data_frames: 0,
            resets: Bucket::new(limits.stream_reset_burst, limits.stream_reset_rate),
        }
    }

    /// A HEADERS, CONTINUATION or DATA frame (CVE-2019-9518). One that carries nothing and ends
    /// nothing costs its sender nine bytes and this side a turn.
    #[inline]
    pub(super) fn payload(&mut self, carries: bool, limits: &Limits) -> Result<(), Flood> {
        if carries {
            self.empty_frames = 0;
            return Ok(());
        }
        self.empty_frames += 1;
        match self.empty_frames > limits.max_consecutive_empty_frames {
            true => Err(Flood::EmptyPayloads),
            false => Ok(()),
        }
    }

    /// Envoy: `max_inbound_priority_frames_per_stream * (1 + opened_streams)`.
    pub(super) fn priority(&mut self, limits: &Limits) -> Result<(), Flood> {
        self.priority_frames += 1;
        let allowed = limits.max_priority_frames_per_stream.saturating_mul(1 + self.opened_streams);
        match self.priority_frames > allowed {
            true => Err(Flood::Priority),
            false => Ok(()),
        }
    }

    /// Envoy: `5 + 2 * (opened_streams + max_..._per_data_frame_sent * outbound_data_frames)`.
    #[inline]
    pub(super) fn window_update(&mut self, limits: &Limits) -> Result<(), Flood> {
        self.window_updates += 1;
        let for_data =
            limits.max_window_updates_per_data_frame.saturating_mul(self.sent_data_frames);
        let allowed = self.opened_streams.saturating_add(for_data).saturating_mul(2);
        match self.window_updates > allowed.saturating_add(5) {
            true => Err(Flood::WindowUpdates),
            false => Ok(()),
        }
    }

    /// A stream that the peer reset, or that this side had to reset for what the peer did on it:
    /// both leave work behind that the limit on concurrent streams no longer sees.
    pub(super) fn reset(&mut self, now_ms: u64) -> Result<(), Flood> {
        match self.resets.take(now_ms) {
            true => Ok(()),
            false => Err(Flood::StreamResets),
        }
    }
}

/// A token bucket in thousandths of a token, so that a rate each second is exact in milliseconds.
#[derive(Debug)]
struct Bucket {
    level: u64,
    burst: u64,
    rate: u64,
    last_ms: Option<u64>,
}

impl Bucket {
    fn new(burst: u64, rate: u64) -> Self {
        let burst = burst.saturating_mul(1000);
        Self { level: burst, burst, rate, last_ms: None }
    }

    fn take(&mut self, now_ms: u64) -> bool {
        let elapsed = now_ms.saturating_sub(self.last_ms.unwrap_or(now_ms));
        self.last_ms = Some(now_ms);
        let refilled = self.level.saturating_add(elapsed.saturating_mul(self.rate));
        self.level = refilled.min(self.burst);
        match self.level.checked_sub(1000) {
            Some(level) => {
                self.level = level;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut bucket = Bucket::new(3, 10);
        assert_eq!((0..5).filter(|_| bucket.take(1000)).count(), 3);
        assert!(!bucket.take(1099));
        assert!(bucket.take(1100));
        assert!(!bucket.take(1100));
        assert_eq!((0..9).filter(|_| bucket.take(u64::MAX)).count(), 3);
    }
}
