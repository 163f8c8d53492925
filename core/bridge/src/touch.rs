//! When a thread used something last, for another thread that clears away what nobody uses.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

/// A mark is moved when it is older than this, in milliseconds: whoever uses a thing at each
/// request writes it some times in a second.
const COARSE_MS: u64 = 100;

/// The moment of the last use. One thread writes it, and another one looks at it now and then.
#[derive(Debug, Clone)]
pub struct Touch(Arc<CachePadded<AtomicU64>>);

impl Touch {
    /// Used at `now_ms`, in milliseconds since a moment on which both threads agree.
    pub fn new(now_ms: u64) -> Self {
        Self(Arc::new(CachePadded::new(AtomicU64::new(now_ms))))
    }

    /// Used again.
    pub fn mark(&self, now_ms: u64) {
        if now_ms.saturating_sub(self.last_ms()) >= COARSE_MS {
            self.0.store(now_ms, Ordering::Relaxed);
        }
    }

    /// The last use, which may have been 100 ms later than it says.
    pub fn last_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_moves_when_it_is_old_enough() {
        let touch = Touch::new(1000);
        let seen = touch.clone();
        touch.mark(1099);
        assert_eq!(seen.last_ms(), 1000);
        touch.mark(1100);
        assert_eq!(seen.last_ms(), 1100);
        touch.mark(5);
        assert_eq!(seen.last_ms(), 1100);
    }
}
