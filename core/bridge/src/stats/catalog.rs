//! The names of the statistics, and their totals.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::histogram::BUCKETS;
use super::page::{Page, SLOTS_MAX};
use super::{CounterId, GaugeId, HistogramId};

/// A tag of a statistic, for example (`envoy.cluster_name`, `backend`).
pub type Tag = (&'static str, String);

/// A statistic's name in Envoy's dotted form, and the same split in base and tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatName {
    /// `cluster.backend.upstream_rq_total`
    pub full: String,
    /// `cluster.upstream_rq_total`
    pub base: String,
    /// (`envoy.cluster_name`, `backend`)
    pub tags: Vec<Tag>,
}

impl StatName {
    /// `<prefix>.<leaf>` with `<base>.<leaf>` as its name without tags; an empty prefix adds no
    /// dot.
    pub fn new(prefix: &str, base: &str, leaf: &str, tags: &[Tag]) -> Self {
        Self { full: join(prefix, leaf), base: join(base, leaf), tags: tags.to_vec() }
    }
}

fn join(prefix: &str, leaf: &str) -> String {
    if prefix.is_empty() { leaf.to_owned() } else { format!("{prefix}.{leaf}") }
}

/// What a statistic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// A registered statistic.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name.
    pub name: Arc<StatName>,
    /// What it is.
    pub kind: Kind,
    slot: u32,
}

/// The total of a statistic over all pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Total {
    /// Of a counter, since the start or the last reset.
    Counter(u64),
    /// Of a gauge.
    Gauge(u64),
    /// Of a histogram: one count per bucket, and the sum of the values.
    Histogram {
        /// One count per bucket, see [`super::bucket_bounds`].
        counts: Vec<u64>,
        /// Sum of all values.
        sum: u64,
    },
}

/// The registry of all statistics and the pages that hold their values.
///
/// Used by the control side and when a worker meets a dynamic name for the first time; never on
/// the path of a request in steady state, which is why a mutex is good enough.
#[derive(Debug, Default)]
pub struct Catalog {
    names: Mutex<Names>,
    pages: Mutex<Vec<Arc<Page>>>,
}

#[derive(Debug, Default)]
struct Names {
    by_name: HashMap<String, usize>,
    entries: Vec<Entry>,
    scalars: u32,
    histograms: u32,
    /// What `/reset_counters` subtracts, by entry.
    baseline: HashMap<usize, u64>,
}

impl Catalog {
    /// Registers a counter, or finds the one of that name.
    pub fn counter(&self, name: StatName) -> CounterId {
        CounterId(self.names().register(Kind::Counter, name))
    }

    /// Registers a gauge, or finds the one of that name.
    pub fn gauge(&self, name: StatName) -> GaugeId {
        GaugeId(self.names().register(Kind::Gauge, name))
    }

    /// Registers a histogram, or finds the one of that name.
    pub fn histogram(&self, name: StatName) -> HistogramId {
        HistogramId(self.names().register(Kind::Histogram, name))
    }

    /// A page for a thread that counts.
    pub fn new_page(&self) -> Arc<Page> {
        let page = Arc::new(Page::default());
        lock(&self.pages).push(Arc::clone(&page));
        page
    }

    /// All statistics with their totals, in the order of their names.
    pub fn totals(&self) -> Vec<(Entry, Total)> {
        let names = self.names();
        let pages = lock(&self.pages);
        let mut all: Vec<(Entry, Total)> = (names.entries.iter().enumerate())
            .map(|(index, entry)| (entry.clone(), names.total(index, entry, &pages)))
            .collect();
        all.sort_by(|a, b| a.0.name.full.cmp(&b.0.name.full));
        all
    }

    /// The total of the statistic of that name.
    pub fn total(&self, full_name: &str) -> Option<Total> {
        let names = self.names();
        let index = *names.by_name.get(full_name)?;
        Some(names.total(index, &names.entries[index], &lock(&self.pages)))
    }

    /// Counters start at zero again (`/reset_counters`). The pages keep their values, since only
    /// their threads may write them: the totals subtract what stood there.
    pub fn reset_counters(&self) {
        let mut names = self.names();
        let pages = lock(&self.pages);
        let counters = names.entries.iter().enumerate().filter(|(_, e)| e.kind == Kind::Counter);
        let baseline = counters.map(|(index, entry)| (index, sum(&pages, entry.slot))).collect();
        names.baseline = baseline;
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        lock(&self.names)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The data is valid at every point where a panic could have left it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn sum(pages: &[Arc<Page>], slot: u32) -> u64 {
    pages.iter().fold(0, |sum: u64, page| sum.wrapping_add(page.scalar(slot)))
}

impl Names {
    fn register(&mut self, kind: Kind, name: StatName) -> u32 {
        if let Some(&index) = self.by_name.get(&name.full) {
            let entry = &self.entries[index];
            if entry.kind == kind {
                return entry.slot;
            }
            // Two kinds under one name can only come from names that the configuration chose;
            // the first keeps the name, the second counts beside it.
            return self.register(kind, StatName { full: format!("{}_", name.full), ..name });
        }
        let next = if kind == Kind::Histogram { &mut self.histograms } else { &mut self.scalars };
        let slot = (*next).min(SLOTS_MAX);
        *next = slot + 1;
        self.by_name.insert(name.full.clone(), self.entries.len());
        self.entries.push(Entry { name: Arc::new(name), kind, slot });
        slot
    }

    fn total(&self, index: usize, entry: &Entry, pages: &[Arc<Page>]) -> Total {
        match entry.kind {
            Kind::Counter => {
                let base = self.baseline.get(&index).copied().unwrap_or(0);
                Total::Counter(sum(pages, entry.slot).wrapping_sub(base))
            }
            Kind::Gauge => Total::Gauge(sum(pages, entry.slot)),
            Kind::Histogram => {
                let mut counts = vec![0; BUCKETS];
                let histograms = pages.iter().filter_map(|page| page.histogram(entry.slot));
                let sum = histograms.map(|histogram| histogram.add_to(&mut counts)).sum();
                Total::Histogram { counts, sum }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(full: &str) -> StatName {
        StatName::new("", "", full, &[])
    }

    #[test]
    fn pages_add_up_and_names_keep_their_slots() {
        let catalog = Catalog::default();
        let (one, two) = (catalog.new_page(), catalog.new_page());
        let id = catalog.counter(name("http.rq"));
        one.inc(id);
        two.add(catalog.counter(name("http.rq")), 2);
        assert_eq!(catalog.total("http.rq"), Some(Total::Counter(3)));
        assert_eq!(catalog.total("http.other"), None);
    }

    #[test]
    fn a_gauge_may_be_raised_here_and_lowered_there() {
        let catalog = Catalog::default();
        let (one, two) = (catalog.new_page(), catalog.new_page());
        let id = catalog.gauge(name("cx_active"));
        one.raise(id, 3);
        two.lower(id, 1);
        assert_eq!(catalog.total("cx_active"), Some(Total::Gauge(2)));
    }

    #[test]
    fn reset_starts_counters_at_zero_and_leaves_gauges() {
        let catalog = Catalog::default();
        let page = catalog.new_page();
        let (counter, gauge) = (catalog.counter(name("c")), catalog.gauge(name("g")));
        page.inc(counter);
        page.raise(gauge, 5);
        catalog.reset_counters();
        page.inc(counter);
        assert_eq!(catalog.total("c"), Some(Total::Counter(1)));
        assert_eq!(catalog.total("g"), Some(Total::Gauge(5)));
    }

    #[test]
    fn one_name_for_two_kinds_stays_two_statistics() {
        let catalog = Catalog::default();
        let page = catalog.new_page();
        page.inc(catalog.counter(name("x")));
        page.set(catalog.gauge(name("x")), 7);
        assert_eq!(catalog.total("x"), Some(Total::Counter(1)));
        assert_eq!(catalog.total("x_"), Some(Total::Gauge(7)));
    }

    #[test]
    fn histograms_sum_over_pages() {
        let catalog = Catalog::default();
        let (one, two) = (catalog.new_page(), catalog.new_page());
        let id = catalog.histogram(name("rq_time"));
        one.record(id, 3);
        two.record(id, 5);
        let Some(Total::Histogram { counts, sum }) = catalog.total("rq_time") else {
            panic!("a histogram")
        };
        assert_eq!((counts[3], counts[5], sum), (1, 1, 8));
    }
}
