//! Numbers from 0 to 1 that one thread sets now and then, and that all others read often.

use std::sync::atomic::{AtomicU32, Ordering};

use crossbeam_utils::CachePadded;

/// As many numbers as `N`; 0 in the beginning. A reader may see a new value late, and never a
/// mixture of two.
#[derive(Debug)]
pub struct Levels<const N: usize>(CachePadded<[AtomicU32; N]>);

impl<const N: usize> Levels<N> {
    /// The number at a place that exists.
    pub fn get(&self, place: usize) -> f32 {
        f32::from_bits(self.0[place].load(Ordering::Relaxed))
    }

    /// Sets the number at a place that exists, to the nearest from 0 to 1, and returns the one
    /// before. What is no number counts as 0.
    pub fn set(&self, place: usize, level: f32) -> f32 {
        let level = if level.is_nan() { 0.0 } else { level.clamp(0.0, 1.0) };
        f32::from_bits(self.0[place].swap(level.to_bits(), Ordering::Relaxed))
    }
}

impl<const N: usize> Default for Levels<N> {
    fn default() -> Self {
        Self(CachePadded::new(std::array::from_fn(|_| AtomicU32::new(0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_its_own_number_within_its_bounds() {
        let levels = Levels::<3>::default();
        assert_eq!([0, 1, 2].map(|place| levels.get(place)), [0.0; 3]);
        assert_eq!(levels.set(1, 0.25), 0.0);
        assert_eq!(levels.set(1, 7.0), 0.25);
        assert_eq!(levels.set(2, f32::NAN), 0.0);
        assert_eq!(levels.set(0, -1.0), 0.0);
        assert_eq!([0, 1, 2].map(|place| levels.get(place)), [0.0, 1.0, 0.0]);
    }
}
