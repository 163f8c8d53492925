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
    /// A schedule over `(id, weight)` that stands exactly where it would after `offset` picks, so
    /// that workers with different seeds do not all begin with the same host. Weights must be
    /// positive. Costs O(n log n) whatever the offset.
    pub(crate) fn new(entries: impl Iterator<Item = (u32, f64)> + Clone, offset: u64) -> Self {
        // 2^32 picks are far beyond one round of any real schedule and keep f64 exact.
        let offset = offset % (1 << 32);
        let total: f64 = entries.clone().map(|(_, weight)| weight).sum();
        let mut entries: Vec<Entry> = entries
            .map(|(id, weight)| Entry::after(offset as f64 * weight / total, id, weight))
            .collect();
        entries.sort_by(Entry::by_last_pick);
        for (order, entry) in entries.iter_mut().enumerate() {
            entry.order = order as u64;
        }
        let done: u64 = entries.iter().map(|entry| entry.picks).sum();
        let mut edf = Self { order: entries.len() as u64, heap: entries.into() };
        // Each entry rounds down by less than one pick, so what is left is less than one round.
        for _ in 0..offset.saturating_sub(done).min(edf.order) {
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
    /// The entry as it stands after this many picks, rounded down.
    fn after(picks: f64, id: u32, weight: f64) -> Self {
        let picks = picks as u64;
        Self { deadline: (picks + 1) as f64 / weight, order: 0, id, weight, picks }
    }

    /// The order in which a running schedule would have put these entries back: by the time of
    /// their last pick; of those that were due together, the lightest had waited longest and went
    /// first.
    fn by_last_pick(&self, other: &Self) -> Ordering {
        let last = |entry: &Self| entry.picks as f64 / entry.weight;
        let waited = |entry: &Self| if entry.picks > 0 { entry.weight } else { 0.0 };
        last(self).total_cmp(&last(other)).then(waited(self).total_cmp(&waited(other)))
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

    #[test]
    fn an_offset_continues_the_same_schedule() {
        for weights in [[5.0, 3.0, 2.0, 1.0], [4.0, 2.0, 1.0, 1.0], [7.0, 7.0, 14.0, 1.0]] {
            let whole = picks(&mut schedule(&weights, 0), 100);
            for offset in 0..80 {
                let rest = picks(&mut schedule(&weights, offset as u64), 20);
                assert_eq!(rest, whole[offset..offset + 20], "{weights:?} after {offset} picks");
            }
        }
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
