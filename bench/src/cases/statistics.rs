//! Counting.

use std::hint::black_box;

use ringway_bridge::stats::{Catalog, StatName};

use super::{Case, numbers};

pub(super) const CASES: &[Case] = &[
    Case { name: "stats/counter", make: counter },
    Case { name: "stats/histogram", make: histogram },
];

fn name(leaf: &str) -> StatName {
    StatName::new("cluster.origin", "cluster", leaf, &[])
}

fn counter() -> Box<dyn FnMut()> {
    let catalog = Catalog::default();
    let (id, page) = (catalog.counter(name("upstream_rq_total")), catalog.new_page());
    Box::new(move || page.inc(black_box(id)))
}

fn histogram() -> Box<dyn FnMut()> {
    let catalog = Catalog::default();
    let (id, page) = (catalog.histogram(name("upstream_rq_time")), catalog.new_page());
    let mut random = numbers();
    Box::new(move || page.record(black_box(id), random() % 10_000))
}
