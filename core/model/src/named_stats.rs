//! Statistics whose names are met at run time, such as those of a gRPC method.

use std::cell::RefCell;
use std::sync::Arc;

use ringway_bridge::stats::{CounterId, HistogramId, Page};
// Filters, which do not see the bridge, read in their tests what they have counted.
pub use ringway_bridge::stats::{Catalog, StatName, Total};
use rustc_hash::FxHashMap;

/// How many names one worker takes; each has its slot in every page for the life of the process.
const NAMES_MAX: usize = 4096;

/// One worker's statistics of names that come with requests. Bounded, since clients choose the
/// names: what comes beyond that is not counted.
#[derive(Debug)]
pub struct NamedStats {
    page: Arc<Page>,
    catalog: Arc<Catalog>,
    counters: RefCell<Names<CounterId>>,
    histograms: RefCell<Names<HistogramId>>,
}

/// Ids by scope and leaf, joined with a space, which no name has.
#[derive(Debug)]
struct Names<I> {
    ids: FxHashMap<Box<str>, I>,
    key: String,
}

impl<I: Copy> Names<I> {
    fn new() -> Self {
        Self { ids: FxHashMap::default(), key: String::new() }
    }

    /// Finds without an allocation what is known already.
    fn id(&mut self, scope: &str, leaf: &[&str], register: impl FnOnce(&str) -> I) -> Option<I> {
        self.key.clear();
        self.key.push_str(scope);
        self.key.push(' ');
        leaf.iter().for_each(|part| self.key.push_str(part));
        if let Some(id) = self.ids.get(self.key.as_str()) {
            return Some(*id);
        }
        if self.ids.len() >= NAMES_MAX {
            return None;
        }
        let id = register(&self.key[scope.len() + 1..]);
        self.ids.insert(self.key.as_str().into(), id);
        Some(id)
    }
}

impl NamedStats {
    /// No names yet.
    pub fn new(page: Arc<Page>, catalog: Arc<Catalog>) -> Self {
        Self {
            page,
            catalog,
            counters: RefCell::new(Names::new()),
            histograms: RefCell::new(Names::new()),
        }
    }

    /// Adds to the counter `<scope>.<leaf>`, the leaf being these parts without anything between.
    /// `name` is asked when it is met for the first time, since it may have tags of its own.
    pub fn add(
        &self,
        scope: &StatName,
        leaf: &[&str],
        name: impl FnOnce(&str) -> StatName,
        n: u64,
    ) {
        let register = |leaf: &str| self.catalog.counter(name(leaf));
        if let Some(id) = self.counters.borrow_mut().id(&scope.full, leaf, register) {
            self.page.add(id, n);
        }
    }

    /// Records a value in the histogram `<scope>.<leaf>`; `name` is as for [`NamedStats::add`].
    pub fn record(
        &self,
        scope: &StatName,
        leaf: &[&str],
        name: impl FnOnce(&str) -> StatName,
        value: u64,
    ) {
        let register = |leaf: &str| self.catalog.histogram(name(leaf));
        if let Some(id) = self.histograms.borrow_mut().id(&scope.full, leaf, register) {
            self.page.record(id, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_counted_until_there_are_too_many() {
        let catalog = Arc::new(Catalog::default());
        let stats = NamedStats::new(catalog.new_page(), Arc::clone(&catalog));
        let scope = StatName::new("", "", "cluster.c", &[]);
        let add = |leaf: &[&str], n| {
            let name = |leaf: &str| StatName::new(&scope.full, &scope.base, leaf, &[]);
            stats.add(&scope, leaf, name, n);
        };
        add(&["grpc.", "a"], 2);
        add(&["grpc.a"], 1);
        assert_eq!(catalog.total("cluster.c.grpc.a"), Some(Total::Counter(3)));
        for number in 0..NAMES_MAX {
            add(&["grpc.", &number.to_string()], 1);
        }
        assert_eq!(catalog.total(&format!("cluster.c.grpc.{}", NAMES_MAX - 1)), None);
        add(&["grpc.a"], 1);
        assert_eq!(catalog.total("cluster.c.grpc.a"), Some(Total::Counter(4)));
    }
}
