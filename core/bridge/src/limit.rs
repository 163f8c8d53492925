//! Limits that hold for the whole process, not per worker.
//!
//! A [`Limit`] counts units (connections, requests, ...) in one padded atomic. A worker takes
//! units through a [`Lease`], which keeps a few spare units when the limit is large, so that
//! cores do not write the same cache line at each request. The price is that a worker may be
//! refused while others hold spare units: at most [`Limit::slack`] units per other worker. Small
//! limits have no slack at all and are exact.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crossbeam_utils::CachePadded;

/// The most spare units that one worker keeps.
const SLACK_MAX: u64 = 32;
/// A worker may hold back this fraction of a limit: 1/64.
const SLACK_SHARE: u64 = 64;

/// How many units may be in use at once in the whole process.
#[derive(Debug)]
pub struct Limit {
    max: AtomicU64,
    taken: CachePadded<AtomicU64>,
    /// Spare units of each lease, for whoever looks from outside: each is written by its lease
    /// alone.
    spares: Mutex<Vec<Weak<AtomicU64>>>,
}

impl Limit {
    /// A limit of `max` units, none of them in use.
    pub fn new(max: u64) -> Arc<Self> {
        Arc::new(Self {
            max: AtomicU64::new(max),
            taken: CachePadded::new(AtomicU64::new(0)),
            spares: Mutex::default(),
        })
    }

    /// Changes the limit; units in use stay in use.
    pub fn set_max(&self, max: u64) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// The configured number of units.
    pub fn max(&self) -> u64 {
        self.max.load(Ordering::Relaxed)
    }

    /// Units in use or held as spare by some worker.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Units in use, without the spare ones. Read while workers take and give back, so that it
    /// may be off by what moved in between.
    pub fn used(&self) -> u64 {
        let spares = self.spares();
        let each = spares.iter().filter_map(Weak::upgrade);
        let spare: u64 = each.map(|spare| spare.load(Ordering::Relaxed)).sum();
        self.taken().saturating_sub(spare)
    }

    /// Whether the next unit would be refused everywhere (Envoy's `*_open` gauges). As there, a
    /// limit of zero is open only once it was exceeded.
    pub fn is_exhausted(&self) -> bool {
        let used = self.used();
        used > 0 && used >= self.max()
    }

    fn spares(&self) -> MutexGuard<'_, Vec<Weak<AtomicU64>>> {
        // A list of weak references is valid at every point.
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a new lease shows its spare units.
    fn new_spare(&self) -> Arc<AtomicU64> {
        let spare = Arc::default();
        let mut all = self.spares();
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(&spare));
        spare
    }

    /// Takes one unit without an account, exactly: for what begins rarely, such as connections.
    pub fn permit(self: &Arc<Self>) -> Option<Permit> {
        self.take(1).then(|| Permit(Arc::clone(self)))
    }

    /// Takes one unit even when there is none left: for what counts and is not limited.
    pub fn permit_anyway(self: &Arc<Self>) -> Permit {
        self.taken.fetch_add(1, Ordering::Relaxed);
        Permit(Arc::clone(self))
    }

    /// Spare units that a worker may keep.
    pub fn slack(&self) -> u64 {
        (self.max() / SLACK_SHARE).min(SLACK_MAX)
    }

    fn take(&self, units: u64) -> bool {
        let max = self.max();
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                taken.checked_add(units).filter(|sum| *sum <= max)
            })
            .is_ok()
    }

    fn give_back(&self, units: u64) {
        let before = self.taken.fetch_sub(units, Ordering::Relaxed);
        debug_assert!(before >= units, "more units given back than taken");
    }
}

/// One unit of a [`Limit`], given back when dropped.
#[derive(Debug)]
pub struct Permit(Arc<Limit>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.give_back(1);
    }
}

/// One worker's account with a [`Limit`].
#[derive(Debug)]
pub struct Lease {
    limit: Arc<Limit>,
    used: u64,
    /// Written here only; [`Limit::used`] reads it.
    spare: Arc<AtomicU64>,
}

impl Lease {
    /// An account with nothing on it.
    pub fn new(limit: Arc<Limit>) -> Self {
        let spare = limit.new_spare();
        Self { limit, used: 0, spare }
    }

    /// Takes one unit; `false` when the process has none left.
    pub fn acquire(&mut self) -> bool {
        let spare = self.spare();
        if spare > 0 {
            self.set_spare(spare - 1);
        } else if !self.refill() {
            return false;
        }
        self.used += 1;
        true
    }

    /// Gives one unit back.
    pub fn release(&mut self) {
        debug_assert!(self.used > 0, "a unit was released twice");
        self.used = self.used.saturating_sub(1);
        let (spare, slack) = (self.spare() + 1, self.limit.slack());
        if spare > slack {
            // Halfway, so that a worker on the edge does not write the shared line each time.
            self.set_spare(slack / 2);
            self.limit.give_back(spare - slack / 2);
        } else {
            self.set_spare(spare);
        }
    }

    fn spare(&self) -> u64 {
        self.spare.load(Ordering::Relaxed)
    }

    /// A plain store: nobody else writes it.
    fn set_spare(&self, units: u64) {
        self.spare.store(units, Ordering::Relaxed);
    }

    /// Units that this worker uses.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// The limit behind this account.
    pub fn limit(&self) -> &Arc<Limit> {
        &self.limit
    }

    fn refill(&mut self) -> bool {
        let extra = self.limit.slack() / 2;
        if extra > 0 && self.limit.take(1 + extra) {
            self.set_spare(extra);
            return true;
        }
        self.limit.take(1)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.limit.give_back(self.used + self.spare());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_limit_is_exact_across_workers() {
        let limit = Limit::new(3);
        let (mut a, mut b) = (Lease::new(Arc::clone(&limit)), Lease::new(Arc::clone(&limit)));
        assert!(a.acquire() && b.acquire() && a.acquire());
        assert!(!b.acquire(), "the fourth unit is refused");
        a.release();
        assert!(b.acquire(), "a unit given back by one worker serves another");
    }

    #[test]
    fn what_is_not_limited_counts() {
        let limit = Limit::new(2);
        let both = [limit.permit_anyway(), limit.permit_anyway()];
        assert!(limit.permit().is_none());
        let third = limit.permit_anyway();
        drop(both);
        assert!(limit.permit().is_some());
        drop(third);
        assert_eq!(limit.taken(), 0);
    }

    #[test]
    fn zero_refuses_everything() {
        assert!(!Lease::new(Limit::new(0)).acquire());
    }

    #[test]
    fn nothing_leaks_when_leases_end() {
        let limit = Limit::new(4096);
        {
            let mut lease = Lease::new(Arc::clone(&limit));
            for _ in 0..100 {
                assert!(lease.acquire());
            }
            for _ in 0..60 {
                lease.release();
            }
        }
        assert_eq!(limit.taken(), 0);
    }

    #[test]
    fn spare_units_are_not_in_use() {
        let limit = Limit::new(1024);
        let (mut a, mut b) = (Lease::new(Arc::clone(&limit)), Lease::new(Arc::clone(&limit)));
        assert!((0..1000).all(|_| a.acquire()) && (0..8).all(|_| b.acquire()));
        assert!(limit.taken() > limit.used());
        assert_eq!((limit.used(), limit.is_exhausted()), (1008, false));
        let rest = (0..100).take_while(|_| a.acquire() || b.acquire()).count();
        assert_eq!((rest, limit.used(), limit.is_exhausted()), (16, 1024, true));
        b.release();
        assert!(!limit.is_exhausted(), "a unit that is spare can be had");
        drop((a, b));
        assert_eq!((limit.used(), limit.is_exhausted()), (0, false));
    }

    #[test]
    fn workers_strand_no_more_than_the_slack() {
        let limit = Limit::new(1024);
        let mut idle = Lease::new(Arc::clone(&limit));
        for _ in 0..200 {
            assert!(idle.acquire());
        }
        for _ in 0..200 {
            idle.release();
        }
        let mut busy = Lease::new(Arc::clone(&limit));
        let granted = (0..2000).take_while(|_| busy.acquire()).count() as u64;
        assert!(granted >= 1024 - limit.slack(), "{granted}");
        assert!(granted <= 1024);
    }
}
