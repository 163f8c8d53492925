//! Log-linear histograms with a fixed layout, so that one thread can write while another reads.
//!
//! Sixteen linear steps per power of two: a value is known to within 6.25 %, from 0 to 2^40.

use std::sync::atomic::{AtomicU64, Ordering};

const STEP_BITS: u32 = 4;
const STEPS: usize = 1 << STEP_BITS;
const VALUE_BITS: u32 = 40;

/// Buckets of a histogram.
pub const BUCKETS: usize = STEPS * (VALUE_BITS - STEP_BITS + 1) as usize;

/// Counts per bucket, and the sum of the values.
#[derive(Debug)]
pub struct Histogram {
    counts: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; BUCKETS], sum: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts one value; single writer.
    #[inline]
    pub(super) fn record(&self, value: u64) {
        bump(&self.counts[bucket(value)], 1);
        bump(&self.sum, value);
    }

    /// Adds this histogram's counts to `counts` (one per bucket); returns the sum of its values.
    pub(super) fn add_to(&self, counts: &mut [u64]) -> u64 {
        for (total, own) in counts.iter_mut().zip(&self.counts) {
            *total += own.load(Ordering::Relaxed);
        }
        self.sum.load(Ordering::Relaxed)
    }
}

#[inline]
fn bump(cell: &AtomicU64, n: u64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}

#[inline]
fn bucket(value: u64) -> usize {
    if value < STEPS as u64 {
        return value as usize;
    }
    let value = value.min((1 << VALUE_BITS) - 1);
    let exponent = value.ilog2();
    let step = (value >> (exponent - STEP_BITS)) as usize - STEPS;
    STEPS * (exponent - STEP_BITS + 1) as usize + step
}

/// The smallest value of a bucket and the smallest value beyond it.
pub fn bucket_bounds(bucket: usize) -> (u64, u64) {
    if bucket < STEPS {
        return (bucket as u64, bucket as u64 + 1);
    }
    let shift = (bucket / STEPS - 1) as u32;
    let low = ((STEPS + bucket % STEPS) as u64) << shift;
    (low, low + (1 << shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_lies_in_its_bucket() {
        for value in (0..5000).chain((0..VALUE_BITS).map(|bit| 1 << bit)) {
            let (low, high) = bucket_bounds(bucket(value));
            assert!(low <= value && value < high, "{value} not in {low}..{high}");
        }
    }

    #[test]
    fn buckets_are_adjacent_and_the_last_takes_all() {
        for index in 1..BUCKETS {
            assert_eq!(bucket_bounds(index - 1).1, bucket_bounds(index).0);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }
}
