//! The statistics as a reader sees them: totals, the last flush interval of histograms, and
//! whether a statistic was ever written.
//!
//! The numbers themselves live in the pages of `ringway_bridge::stats`; this module owns what
//! must be remembered between two readings.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ringway_bridge::stats::{Catalog, Kind, StatName, Total};

use crate::distribution::Distribution;

/// Statistics whose full name begins with this are kept for other pages (`/clusters`) and are
/// not listed by `/stats`.
pub(crate) const HIDDEN_PREFIX: char = '@';

/// A counter or a gauge.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    pub(crate) name: Arc<StatName>,
    pub(crate) kind: Kind,
    pub(crate) value: u64,
    /// Whether it was written since the start, as far as can be seen from its values.
    pub(crate) used: bool,
}

/// A histogram: all its values, and those of the last complete flush interval.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    pub(crate) name: Arc<StatName>,
    pub(crate) interval: Distribution,
    pub(crate) total: Distribution,
}

/// All statistics at one moment, each list in the order of full names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    pub(crate) scalars: Vec<Scalar>,
    pub(crate) histograms: Vec<Histogram>,
}

/// Memory between two readings.
#[derive(Debug)]
pub(crate) struct Telemetry {
    catalog: Arc<Catalog>,
    /// Scalars that were not zero at some reading.
    seen: HashSet<Key>,
    flushed: HashMap<Key, Flushed>,
}

/// Names are never dropped from the catalog, so the address of one identifies it.
type Key = usize;

fn key(name: &Arc<StatName>) -> Key {
    Arc::as_ptr(name) as usize
}

#[derive(Debug, Default)]
struct Flushed {
    total: Distribution,
    interval: Distribution,
}

impl Telemetry {
    /// Reads from `catalog`.
    pub(crate) fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog, seen: HashSet::new(), flushed: HashMap::new() }
    }

    /// Ends an interval of the histograms (Envoy `stats_flush_interval`, 5 s).
    pub(crate) fn flush(&mut self) {
        for (entry, total) in self.catalog.totals() {
            match total {
                Total::Histogram { counts, sum } => {
                    let flushed = self.flushed.entry(key(&entry.name)).or_default();
                    let now = Distribution::new(&counts, sum);
                    flushed.interval = now.since(&flushed.total);
                    flushed.total = now;
                }
                Total::Counter(value) | Total::Gauge(value) => {
                    self.note(&entry.name, value);
                }
            }
        }
    }

    /// The statistics now.
    pub(crate) fn read(&mut self) -> Reading {
        let mut reading = Reading::default();
        for (entry, total) in self.catalog.totals() {
            if entry.name.full.starts_with(HIDDEN_PREFIX) {
                continue;
            }
            match total {
                Total::Histogram { counts, sum } => {
                    let flushed = self.flushed.get(&key(&entry.name));
                    let interval = flushed.map(|f| f.interval.clone()).unwrap_or_default();
                    let total = Distribution::new(&counts, sum);
                    reading.histograms.push(Histogram { name: entry.name, interval, total });
                }
                Total::Counter(value) | Total::Gauge(value) => {
                    let (used, value) = (self.note(&entry.name, value), settle(entry.kind, value));
                    let (name, kind) = (entry.name, entry.kind);
                    reading.scalars.push(Scalar { name, kind, value, used });
                }
            }
        }
        reading
    }

    fn note(&mut self, name: &Arc<StatName>, value: u64) -> bool {
        self.seen.contains(&key(name)) || (value != 0 && self.seen.insert(key(name)))
    }
}

/// A gauge that is raised on one thread and lowered on another may be read in between, and then
/// its sum is below zero: it is as good as zero.
fn settle(kind: Kind, value: u64) -> u64 {
    if kind == Kind::Gauge && value > i64::MAX as u64 { 0 } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(full: &str) -> StatName {
        StatName::new("", "", full, &[])
    }

    #[test]
    fn an_interval_ends_with_a_flush_and_totals_do_not_wait_for_it() {
        let catalog = Arc::new(Catalog::default());
        let (page, id) = (catalog.new_page(), catalog.histogram(name("h")));
        let mut telemetry = Telemetry::new(Arc::clone(&catalog));
        page.record(id, 3);
        let counts = |telemetry: &mut Telemetry| {
            let reading = telemetry.read();
            (reading.histograms[0].interval.count(), reading.histograms[0].total.count())
        };
        assert_eq!(counts(&mut telemetry), (0, 1));
        telemetry.flush();
        page.record(id, 4);
        page.record(id, 5);
        assert_eq!(counts(&mut telemetry), (1, 3));
        telemetry.flush();
        assert_eq!(counts(&mut telemetry), (2, 3));
    }

    #[test]
    fn a_statistic_that_was_seen_above_zero_stays_used() {
        let catalog = Arc::new(Catalog::default());
        let (page, id) = (catalog.new_page(), catalog.gauge(name("g")));
        let mut telemetry = Telemetry::new(Arc::clone(&catalog));
        assert!(!telemetry.read().scalars[0].used);
        page.raise(id, 1);
        telemetry.flush();
        page.lower(id, 1);
        let reading = telemetry.read();
        assert_eq!((reading.scalars[0].used, reading.scalars[0].value), (true, 0));
    }

    #[test]
    fn a_gauge_below_zero_reads_as_zero_and_hidden_names_are_not_listed() {
        let catalog = Arc::new(Catalog::default());
        let page = catalog.new_page();
        page.lower(catalog.gauge(name("g")), 1);
        page.inc(catalog.counter(name("@endpoint.x")));
        let reading = Telemetry::new(catalog).read();
        assert_eq!((reading.scalars.len(), reading.scalars[0].value), (1, 0));
    }
}
