//! Statistics: one page per worker, written by that worker alone, summed when somebody asks.
//!
//! The [`Catalog`] gives each statistic a slot by name; the same name always gets the same slot,
//! so counters survive a change of configuration. A worker adds to its own [`Page`] with a plain
//! load and store: no locked instruction, no cache line that another core writes. The control
//! thread has a page too. A reader may see a value that is a few instructions old, never a torn
//! one, and counters never go backwards.

mod catalog;
mod histogram;
mod page;

pub use catalog::{Catalog, Entry, Kind, StatName, Tag, Total};
pub use histogram::{BUCKETS, Histogram, bucket_bounds};
pub use page::Page;

/// The slot of a counter: a number that only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterId(u32);

/// The slot of a gauge: a number that goes up and down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GaugeId(u32);

/// The slot of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistogramId(u32);

/// Declares a group of statistics that share a prefix, as Envoy declares its stat structs.
///
/// Each field becomes an id; `register` enters all of them in a [`Catalog`] under
/// `<prefix>.<field>` with the given tags.
#[macro_export]
macro_rules! stat_group {
    ($(#[$doc:meta])* pub struct $name:ident {
        counters { $($counter:ident),* $(,)? }
        gauges { $($gauge:ident),* $(,)? }
        histograms { $($histogram:ident),* $(,)? }
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        #[allow(missing_docs, reason = "the fields carry Envoy's own names, documented there")]
        pub struct $name {
            $(pub $counter: $crate::stats::CounterId,)*
            $(pub $gauge: $crate::stats::GaugeId,)*
            $(pub $histogram: $crate::stats::HistogramId,)*
        }
        impl $name {
            /// Enters the group in the catalog under `prefix`; `base` is the prefix without the
            /// values that `tags` carry (Prometheus metric name).
            pub fn register(
                catalog: &$crate::stats::Catalog,
                prefix: &str,
                base: &str,
                tags: &[$crate::stats::Tag],
            ) -> Self {
                Self {
                    $($counter: catalog.counter($crate::stats::StatName::new(
                        prefix, base, stringify!($counter), tags)),)*
                    $($gauge: catalog.gauge($crate::stats::StatName::new(
                        prefix, base, stringify!($gauge), tags)),)*
                    $($histogram: catalog.histogram($crate::stats::StatName::new(
                        prefix, base, stringify!($histogram), tags)),)*
                }
            }
        }
    };
}
