//! The weighted schedule: earliest deadline first. Each entry is due at (picks + 1) / weight, so
//! that picks are spread evenly over time in proportion to the weights instead of in bursts.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A schedule over entries named by a number that means something to the caller.
#[derive(Debug)]
pub(crate) struct Edf {
    heap: BinaryHeap<Entry>,
    /// Breaks ties between equal deadlines first in, first out.
    order: u64,
}

#[derive(Debug)]
struct Entry {
    deadline: f64,
    order: u64,
    id: u32,
    weight: f64,
    picks: u64,
}

impl Edf {
    /// A schedule over `(id, weight)` that stands where it would after about `offset` picks, so
    /// that workers with different seeds do not all begin with the same host. Weights must be
    /// positive. Costs O(n log n) whatever the offset.
    pub(crate) fn new(entries: impl Iterator<Item = (u32, f64)> + Clone, offset: u64) -> Self {
        // 2^32 picks are far beyond one round of any real schedule and keep f64 exact.
        let offset = offset % (1 << 32);
        let total: f64 = entries.clone().map(|(_, weight)| weight).sum();
        let time = if total > 0.0 { offset as f64 / total } else { 0.0 };
        let heap: BinaryHeap<Entry> = entries
            .enumerate()
            .map(|(order, (id, weight))| Entry::at(time, order as u64, id, weight))
            .collect();
        let done: u64 = heap.iter().map(|entry| entry.picks).sum();
        let mut edf = Self { order: heap.len() as u64, heap };
        // Each entry rounds down by less than one pick, so what is left is less than one round.
        let left = offset.saturating_sub(done).min(edf.heap.len() as u64);
        for _ in 0..left {
            edf.pick();
        }
        edf
    }

    /// The next entry by its own weight. O(log n), no allocation.
    pub(crate) fn pick(&mut self) -> Option<u32> {
        // k / weight is rounded once, so equal fractions are equal floats and ties stay ties: the
        // counts over one round are exact, which adding 1 / weight each time would not give.
        self.pick_with(|entry, _| (entry.picks + 1) as f64 / entry.weight)
    }

    /// The next entry, which comes back due after `delay(id, weight)` from now. O(log n), no
    /// allocation.
    pub(crate) fn pick_after(&mut self, delay: impl FnOnce(u32, f64) -> f64) -> Option<u32> {
        self.pick_with(|entry, now| now + delay(entry.id, entry.weight))
    }

    fn pick_with(&mut self, next: impl FnOnce(&Entry, f64) -> f64) -> Option<u32> {
        let mut top = self.heap.peek_mut()?;
        let now = top.deadline;
        top.picks += 1;
        top.order = self.order;
        self.order += 1;
        top.deadline = next(&top, now);
        Some(top.id)
    }
}

impl Entry {
    /// The entry as it stands once all its deadlines up to `time` have been served.
    fn at(time: f64, order: u64, id: u32, weight: f64) -> Self {
        let picks = (time * weight) as u64;
        Self { deadline: (picks + 1) as f64 / weight, order, id, weight, picks }
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        // Reversed: the heap's greatest is the entry with the earliest deadline.
        other.deadline.total_cmp(&self.deadline).then(other.order.cmp(&self.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(weights: &[f64], offset: u64) -> Edf {
        Edf::new(weights.iter().enumerate().map(|(id, &weight)| (id as u32, weight)), offset)
    }

    fn picks(edf: &mut Edf, count: usize) -> Vec<u32> {
        (0..count).map(|_| edf.pick().unwrap()).collect()
    }

    #[test]
    fn weights_interleave_instead_of_bursting() {
        assert_eq!(picks(&mut schedule(&[3.0, 1.0], 0), 8), [0, 0, 1, 0, 0, 0, 1, 0]);
        assert_eq!(picks(&mut schedule(&[1.0, 2.0], 0), 6), [1, 0, 1, 1, 0, 1]);
    }

    // Only the order among equal deadlines may differ from a schedule that ran that far.
    #[test]
    fn an_offset_stands_inside_the_same_round() {
        for offset in 0..60 {
            let mut counts = [0_i32; 4];
            for id in picks(&mut schedule(&[5.0, 3.0, 2.0, 1.0], offset), 11) {
                counts[id as usize] += 1;
            }
            for (found, wanted) in counts.iter().zip([5, 3, 2, 1]) {
                assert!((found - wanted).abs() <= 1, "after {offset} picks: {counts:?}");
            }
        }
    }

    #[test]
    fn different_offsets_begin_with_different_entries() {
        let firsts: Vec<u32> =
            (0..7).map(|offset| schedule(&[4.0, 2.0, 1.0], offset).pick().unwrap()).collect();
        assert_eq!(firsts, picks(&mut schedule(&[4.0, 2.0, 1.0], 0), 7));
    }

    #[test]
    fn a_huge_offset_is_cheap_and_an_empty_schedule_picks_nothing() {
        assert!(schedule(&[1e9, 1.0], u64::MAX).pick().is_some());
        assert_eq!(schedule(&[], u64::MAX).pick(), None);
    }

    #[test]
    fn a_longer_delay_is_picked_less_often() {
        let mut edf = schedule(&[1.0, 1.0], 0);
        let mut counts = [0; 2];
        for _ in 0..1000 {
            let id = edf.pick_after(|id, _| if id == 0 { 3.0 } else { 1.0 }).unwrap();
            counts[id as usize] += 1;
        }
        assert_eq!(counts, [250, 750]);
    }
}
