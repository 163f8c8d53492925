//! What an operator reads from a histogram: quantiles, counts up to a bound, and bins.
//!
//! The bins are those of the statistics page (`ringway_bridge::stats::bucket_bounds`); how values
//! are spread inside a bin follows Envoy, so that small values print as Envoy prints them.

use ringway_bridge::stats::bucket_bounds;

/// The quantiles that Envoy computes.
pub(crate) const QUANTILES: [f64; 10] = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1.0];

/// Upper bounds of the buckets that Envoy shows by default (`histogram_bucket_settings` unset).
pub(crate) const BOUNDS: [f64; 19] = [
    0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 3e5, 6e5,
    1.8e6, 3.6e6,
];

/// The values of a histogram, without its empty bins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Distribution {
    /// Bin and how many values it has, in ascending order.
    cells: Vec<(usize, u64)>,
    /// Sum of all values.
    pub(crate) sum: u64,
}

/// Some values that are known to lie in `low..low + width`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bin {
    pub(crate) low: f64,
    pub(crate) width: f64,
    pub(crate) count: u64,
}

impl Distribution {
    /// From one count per bin.
    pub(crate) fn new(counts: &[u64], sum: u64) -> Self {
        let cells = counts.iter().copied().enumerate().filter(|(_, count)| *count > 0).collect();
        Self { cells, sum }
    }

    /// The values that came after `earlier`, which is the same histogram some time ago.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let before = |bin: usize| {
            let found = earlier.cells.binary_search_by_key(&bin, |cell| cell.0);
            found.map_or(0, |index| earlier.cells[index].1)
        };
        let newer = self.cells.iter().map(|&(bin, count)| (bin, count.saturating_sub(before(bin))));
        Self {
            cells: newer.filter(|(_, count)| *count > 0).collect(),
            sum: self.sum.wrapping_sub(earlier.sum),
        }
    }

    /// How many values there are.
    pub(crate) fn count(&self) -> u64 {
        self.cells.iter().map(|(_, count)| count).sum()
    }

    /// The bins that are not empty, in ascending order.
    pub(crate) fn bins(&self) -> impl Iterator<Item = Bin> {
        self.cells.iter().map(|&(bin, count)| {
            let (low, high) = bucket_bounds(bin);
            Bin { low: low as f64, width: width(low, high), count }
        })
    }

    /// Values in bins that begin at or below `bound`, which is what Envoy's `le` means.
    pub(crate) fn count_up_to(&self, bound: f64) -> u64 {
        self.bins().take_while(|bin| bin.low <= bound).map(|bin| bin.count).sum()
    }

    /// The value below which the fraction `q` of all values lies; `None` without values. The
    /// values of a bin are taken as spread evenly inside it.
    pub(crate) fn quantile(&self, q: f64) -> Option<f64> {
        let mut rank = ((self.count() as f64 * q).ceil() as u64).max(1);
        for bin in self.bins() {
            if rank <= bin.count {
                return Some(bin.low + bin.width * rank as f64 / (bin.count + 1) as f64);
            }
            rank -= bin.count;
        }
        None
    }
}

/// Envoy keeps two decimal digits, so below 10 a bin holds a single integer and is a tenth wide.
fn width(low: u64, high: u64) -> f64 {
    match (low, high - low) {
        (0, 1) => 0.0,
        (1..10, 1) => 0.1,
        (_, width) => width as f64,
    }
}

#[cfg(test)]
mod tests {
    use ringway_bridge::stats::{Catalog, StatName, Total};

    use super::*;

    fn of(values: &[u64]) -> Distribution {
        let catalog = Catalog::default();
        let page = catalog.new_page();
        let id = catalog.histogram(StatName::new("", "", "h", &[]));
        values.iter().for_each(|value| page.record(id, *value));
        let Some(Total::Histogram { counts, sum }) = catalog.total("h") else {
            panic!("a histogram")
        };
        Distribution::new(&counts, sum)
    }

    /// Seen on Envoy 1.40: five values of 0 and two of 1.
    #[test]
    fn quantiles_of_small_values_are_those_of_envoy() {
        let values = of(&[0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(values.quantile(0.5), Some(0.0));
        assert_eq!(values.quantile(0.75), Some(1.0 + 0.1 / 3.0));
        assert_eq!(values.quantile(1.0), Some(1.0 + 0.2 / 3.0));
    }

    #[test]
    fn nothing_recorded_has_no_quantile() {
        assert_eq!(of(&[]).quantile(0.5), None);
        assert_eq!(of(&[]).count_up_to(1e9), 0);
    }

    #[test]
    fn bounds_count_the_bins_that_begin_there_or_below() {
        let values = of(&[0, 1, 1, 14, 100, 250, 260]);
        let counts = BOUNDS[..9].iter().map(|bound| values.count_up_to(*bound));
        assert_eq!(counts.collect::<Vec<_>>(), [1, 3, 3, 3, 4, 4, 5, 6, 7]);
        assert_eq!(values.sum, 626);
    }

    #[test]
    fn an_interval_is_what_came_since() {
        let interval = of(&[1, 1, 7, 30]).since(&of(&[1, 30]));
        assert_eq!(interval, of(&[1, 7]));
    }
}
