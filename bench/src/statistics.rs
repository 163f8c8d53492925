//! Medians and spreads of few samples.

use serde::{Deserialize, Serialize};

/// A middle and the extremes around it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of samples in any order; `None` when there are none.
    pub(crate) fn of(samples: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut samples: Vec<f64> = samples.into_iter().collect();
        samples.sort_by(f64::total_cmp);
        let (first, last) = (*samples.first()?, *samples.last()?);
        let (low, high) = (samples[(samples.len() - 1) / 2], samples[samples.len() / 2]);
        Some(Self { median: f64::midpoint(low, high), min: first, max: last })
    }

    /// Half of the distance between the extremes, in percent of the median.
    pub(crate) fn percent(self) -> f64 {
        if self.median == 0.0 { 0.0 } else { (self.max - self.min) / 2.0 / self.median * 100.0 }
    }
}

/// The middle of samples; `None` when there are none.
pub(crate) fn median(samples: impl IntoIterator<Item = f64>) -> Option<f64> {
    Spread::of(samples).map(|spread| spread.median)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_does_not_follow_an_outlier() {
        let spread = Spread::of([10.0, 1000.0, 9.0, 11.0]).expect("samples");
        assert_eq!((spread.median, spread.min, spread.max), (10.5, 9.0, 1000.0));
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([]), None);
        assert_eq!(Spread::of([9.0, 10.0, 11.0]).map(Spread::percent), Some(10.0));
    }
}
