//! `name: value` lines, histograms last.

use std::fmt::Write;

use super::Buckets;
use crate::distribution::{BOUNDS, Distribution, QUANTILES};
use crate::telemetry::{Histogram, Reading};

pub(super) fn render(reading: &Reading, buckets: Buckets) -> String {
    let mut out = String::new();
    for scalar in &reading.scalars {
        push(&mut out, format_args!("{}: {}\n", scalar.name.full, scalar.value));
    }
    for histogram in &reading.histograms {
        push(&mut out, format_args!("{}:", histogram.name.full));
        out.push_str(if buckets == Buckets::Detailed && histogram.total.count() > 0 {
            "\n"
        } else {
            " "
        });
        match buckets {
            _ if histogram.total.count() == 0 => out.push_str("No recorded values"),
            Buckets::Detailed => detailed(&mut out, histogram),
            Buckets::Summary => summary(&mut out, histogram),
            Buckets::Cumulative => bounds(&mut out, histogram, Distribution::count_up_to),
            Buckets::Disjoint => disjoint(&mut out, histogram),
        }
        out.push('\n');
    }
    out
}

/// Writing to a string cannot fail.
fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

/// `P0(interval,total) P25(...)`
fn summary(out: &mut String, histogram: &Histogram) {
    for (index, q) in QUANTILES.iter().enumerate() {
        let separator = if index == 0 { "" } else { " " };
        let (interval, total) = (histogram.interval.quantile(*q), histogram.total.quantile(*q));
        let (interval, total) = (number(interval), number(total));
        push(out, format_args!("{separator}P{}({interval},{total})", percent(*q)));
    }
}

/// 0.995 as 99.5, without what binary fractions add.
pub(super) fn percent(q: f64) -> f64 {
    (q * 1000.0).round() / 10.0
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "nan".to_owned(), |value| value.to_string())
}

/// `B0.5(interval,total) B1(...)`
fn bounds(out: &mut String, histogram: &Histogram, count: impl Fn(&Distribution, f64) -> u64) {
    for (index, bound) in BOUNDS.iter().enumerate() {
        let separator = if index == 0 { "" } else { " " };
        let interval = count(&histogram.interval, *bound);
        let total = count(&histogram.total, *bound);
        push(out, format_args!("{separator}B{}({interval},{total})", bound_text(*bound)));
    }
}

/// As C++ prints a double by default: six digits, then with an exponent.
fn bound_text(bound: f64) -> String {
    if bound < 1e6 { bound.to_string() } else { format!("{}e+06", bound / 1e6) }
}

fn disjoint(out: &mut String, histogram: &Histogram) {
    bounds(out, histogram, between);
}

/// Values above the bound before and up to this one.
pub(super) fn between(values: &Distribution, bound: f64) -> u64 {
    let below = BOUNDS.iter().rev().find(|other| **other < bound);
    values.count_up_to(bound) - below.map_or(0, |below| values.count_up_to(*below))
}

/// The bins themselves: `low,width:count`.
fn detailed(out: &mut String, histogram: &Histogram) {
    push(out, format_args!("  totals={}", bins(&histogram.total)));
    push(out, format_args!("\n  intervals={}", bins(&histogram.interval)));
    out.push_str("\n  summary=");
    summary(out, histogram);
}

fn bins(values: &Distribution) -> String {
    let bins = values.bins().map(|bin| format!("{},{}:{}", bin.low, bin.width, bin.count));
    bins.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn scalars_come_first_then_histograms() {
        let text = render(&sample(), Buckets::Summary);
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("cluster.a.upstream_rq_200: 3"));
        assert_eq!(lines.next(), Some("cluster.a.upstream_rq_active: 1"));
        assert_eq!(lines.next(), Some("server.live: 1"));
        assert_eq!(lines.next(), Some("cluster.a.quiet_ms: No recorded values"));
        let summary = "cluster.a.upstream_rq_time: P0(nan,1.05) P25(nan,1.05) P50(nan,30.5) \
                       P75(nan,102) P90(nan,102) P95(nan,102) P99(nan,102) P99.5(nan,102) \
                       P99.9(nan,102) P100(nan,102)";
        assert_eq!(lines.next(), Some(summary));
        assert_eq!(lines.next(), None);
    }

    #[test]
    fn buckets_are_cumulative_disjoint_or_the_bins() {
        let of = |buckets| render(&sample(), buckets).lines().last().map(str::to_owned);
        let cumulative = of(Buckets::Cumulative).expect("a line");
        assert!(cumulative.contains(": B0.5(0,0) B1(0,1) B5(0,1)"), "{cumulative}");
        assert!(cumulative.ends_with("B600000(0,3) B1.8e+06(0,3) B3.6e+06(0,3)"), "{cumulative}");
        let disjoint = of(Buckets::Disjoint).expect("a line");
        assert!(disjoint.contains("B25(0,0) B50(0,1) B100(0,1) B250(0,0)"), "{disjoint}");
        let detailed = render(&sample(), Buckets::Detailed);
        let expected = "\n  totals=1,0.1:1, 30,1:1, 100,4:1\n  intervals=\n  summary=P0(nan,1.05)";
        assert!(detailed.contains(expected), "{detailed}");
    }
}
