//! The requests of one connection whose answers are not complete.

use std::collections::VecDeque;

use crate::check::Verdict;

/// A request without its whole answer.
pub(super) struct Open {
    pub(super) request: usize,
    pub(super) due: u64,
    pub(super) sent: u64,
    /// What its answer was like so far.
    pub(super) verdict: Verdict,
}

/// Open requests in the order in which they were sent, though some may have their answer before
/// others. Requests are numbered from 0 on each connection.
#[derive(Default)]
pub(super) struct OpenRequests {
    /// `None` where the answer has come while an older one is due. The first is always there.
    queue: VecDeque<Option<Open>>,
    /// The number of the first.
    first: u32,
    open: usize,
    /// Where in the queue the one is that the next calls are about.
    current: usize,
}

impl OpenRequests {
    /// How many answers are due.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.open
    }

    /// How many there are from the oldest to the last, those between them included that are over.
    #[inline]
    pub(super) fn span(&self) -> usize {
        self.queue.len()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.open == 0
    }

    #[inline]
    pub(super) fn push(&mut self, open: Open) {
        self.queue.push_back(Some(open));
        self.open += 1;
    }

    #[inline]
    pub(super) fn oldest(&self) -> Option<&Open> {
        self.queue.front().and_then(Option::as_ref)
    }

    /// Makes request `number` the current one; false when its answer is not due.
    #[inline]
    pub(super) fn select(&mut self, number: u32) -> bool {
        let Some(at) = number.checked_sub(self.first) else { return false };
        self.current = at as usize;
        self.current_mut().is_some()
    }

    /// The request that was selected last, or the oldest.
    #[inline]
    pub(super) fn current_mut(&mut self) -> Option<&mut Open> {
        self.queue.get_mut(self.current)?.as_mut()
    }

    /// Takes the current request out; the oldest is current then.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Open> {
        let open = self.queue.get_mut(self.current)?.take()?;
        self.current = 0;
        self.open -= 1;
        while let Some(None) = self.queue.front() {
            self.queue.pop_front();
            self.first += 1;
        }
        Some(open)
    }

    /// The numbers of requests that were sent by `time`.
    pub(super) fn sent_by(&self, time: u64) -> Vec<u32> {
        let numbered = (self.first..).zip(&self.queue);
        let late = numbered.filter(|(_, open)| open.as_ref().is_some_and(|o| o.sent <= time));
        late.map(|(number, _)| number).collect()
    }

    /// Forgets everything, for the next connection; the due times of what was open.
    pub(super) fn reset(&mut self) -> impl Iterator<Item = u64> + '_ {
        self.first = 0;
        self.current = 0;
        self.open = 0;
        self.queue.drain(..).flatten().map(|open| open.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(count: u64) -> OpenRequests {
        let mut requests = OpenRequests::default();
        for due in 0..count {
            requests.push(Open { request: 0, due, sent: due, verdict: Verdict::default() });
        }
        requests
    }

    #[test]
    fn answers_may_overtake_each_other() {
        let mut requests = requests(4);
        assert!(requests.select(2));
        assert_eq!(requests.take().map(|open| open.due), Some(2));
        assert!(!requests.select(2) && !requests.select(4));
        assert_eq!((requests.len(), requests.oldest().map(|open| open.due)), (3, Some(0)));
        assert_eq!(requests.span(), 4);
        assert!(requests.select(0) && requests.take().is_some());
        assert!(requests.select(1) && requests.take().is_some());
        assert_eq!(requests.oldest().map(|open| open.due), Some(3));
        assert!(!requests.select(1) && requests.select(3));
        assert!(requests.take().is_some() && requests.is_empty() && requests.oldest().is_none());
    }

    #[test]
    fn without_a_choice_the_oldest_is_meant() {
        let mut requests = requests(2);
        assert_eq!(requests.take().map(|open| open.due), Some(0));
        assert_eq!(requests.take().map(|open| open.due), Some(1));
        assert!(requests.take().is_none());
    }

    #[test]
    fn late_ones_are_found_and_a_new_connection_begins_at_zero() {
        let mut requests = requests(4);
        assert!(requests.select(1) && requests.take().is_some());
        assert_eq!(requests.sent_by(2), [0, 2]);
        assert_eq!(requests.reset().collect::<Vec<_>>(), [0, 2, 3]);
        assert!(requests.is_empty() && !requests.select(0));
    }
}
