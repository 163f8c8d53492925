//! Rates that hold for the whole process, not per worker.
//!
//! A [`TokenBucket`] is one padded atomic: the moment at which the bucket was, or would have been,
//! empty. What has flowed in since then is what may be taken. Who takes a token moves that moment,
//! so that filling needs neither a timer nor a lock, and no token is ever given twice.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

/// Tokens that flow in at a steady rate, up to a limit (Envoy `type.v3.TokenBucket`).
#[derive(Debug)]
pub struct TokenBucket {
    max_tokens: u64,
    /// What one token takes to flow in, in nanoseconds.
    token_ns: u64,
    /// All times are counted from here.
    origin: Instant,
    /// When the bucket was empty, in nanoseconds behind `origin`, which is [`FULL_NS`] old.
    empty_at_ns: CachePadded<AtomicU64>,
}

/// The age of a bucket's origin: longer than any bucket takes to be full.
const FULL_NS: u64 = u64::MAX / 2;

impl TokenBucket {
    /// A full bucket of `max_tokens`, into which `tokens_per_fill` flow within each
    /// `fill_interval`. At least one token flows in within 2^63 ns / `max_tokens`.
    pub fn new(max_tokens: u32, tokens_per_fill: u32, fill_interval: Duration) -> Self {
        let max_tokens = u64::from(max_tokens);
        let interval_ns = u64::try_from(fill_interval.as_nanos()).unwrap_or(u64::MAX);
        let slowest = FULL_NS / max_tokens.max(1);
        let token_ns = (interval_ns / u64::from(tokens_per_fill.max(1))).clamp(1, slowest);
        let full = FULL_NS - max_tokens * token_ns;
        Self {
            max_tokens,
            token_ns,
            origin: Instant::now(),
            empty_at_ns: CachePadded::new(AtomicU64::new(full)),
        }
    }

    /// Takes one token; false when there is none at `now`.
    pub fn take(&self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.origin).as_nanos();
        let now_ns = FULL_NS.saturating_add(u64::try_from(since).unwrap_or(u64::MAX));
        let full = now_ns.saturating_sub(self.max_tokens.saturating_mul(self.token_ns));
        let taken = self.empty_at_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |empty| {
            let after = empty.max(full).saturating_add(self.token_ns);
            (after <= now_ns).then_some(after)
        });
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn taken(bucket: &TokenBucket, now: Instant) -> usize {
        (0..1000).take_while(|_| bucket.take(now)).count()
    }

    #[test]
    fn a_full_bucket_gives_all_that_it_holds() {
        let bucket = TokenBucket::new(3, 1, SECOND);
        let now = Instant::now();
        assert_eq!(taken(&bucket, now), 3);
        assert_eq!(taken(&bucket, now), 0);
    }

    #[test]
    fn tokens_flow_in_one_by_one_and_no_further_than_to_the_brim() {
        let bucket = TokenBucket::new(4, 10, SECOND);
        let now = Instant::now();
        assert_eq!(taken(&bucket, now), 4);
        assert_eq!(taken(&bucket, now + SECOND / 10), 1);
        assert_eq!(taken(&bucket, now + SECOND * 3 / 10), 2);
        assert_eq!(taken(&bucket, now + SECOND * 10), 4);
        assert_eq!(taken(&bucket, now + SECOND), 0, "time that goes back gives nothing");
    }

    #[test]
    fn extremes_do_not_overflow() {
        let now = Instant::now();
        assert_eq!(taken(&TokenBucket::new(u32::MAX, u32::MAX, Duration::ZERO), now), 1000);
        let slow = TokenBucket::new(2, 1, Duration::MAX);
        assert_eq!((taken(&slow, now), taken(&slow, now + SECOND)), (2, 0));
        assert_eq!(taken(&TokenBucket::new(0, 1, SECOND), now), 0);
    }

    #[test]
    fn no_token_is_given_twice() {
        let bucket = Arc::new(TokenBucket::new(1000, 1, Duration::from_secs(1000)));
        let now = Instant::now();
        let takers: Vec<_> = (0..4)
            .map(|_| Arc::clone(&bucket))
            .map(|bucket| std::thread::spawn(move || taken(&bucket, now)))
            .collect();
        let all: usize = takers.into_iter().map(|taker| taker.join().unwrap()).sum();
        assert_eq!(all, 1000);
    }
}
