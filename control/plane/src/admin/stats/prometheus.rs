//! The Prometheus text format, with Envoy's names and labels.
//!
//! `cluster.a.upstream_rq_200` becomes
//! `envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="a"}`: the values that
//! tags carry are not part of the metric's name.

use std::fmt::Write;

use ringway_bridge::stats::{Kind, StatName};

use super::text::percent;
use crate::distribution::{BOUNDS, QUANTILES};
use crate::telemetry::{Histogram, Reading, Scalar};

/// Counters, gauges, histograms; each metric's series stand together under one `# TYPE` line.
pub(super) fn render(reading: &Reading, summaries: bool) -> String {
    let mut out = String::new();
    scalars(&mut out, reading, Kind::Counter, "counter");
    scalars(&mut out, reading, Kind::Gauge, "gauge");
    let kind = if summaries { "summary" } else { "histogram" };
    let write: fn(&mut String, &Series<&Histogram>) = if summaries { summary } else { histogram };
    families(&mut out, kind, series(reading.histograms.iter(), |h| &h.name), write);
    out
}

fn scalars(out: &mut String, reading: &Reading, kind: Kind, kind_text: &str) {
    let all = reading.scalars.iter().filter(|scalar| scalar.kind == kind);
    families(out, kind_text, series(all, |scalar| &scalar.name), scalar);
}

/// One statistic with its name split the way Prometheus wants it.
struct Series<T> {
    /// Envoy's name without the values of tags, by which metrics are ordered.
    base: String,
    metric: String,
    labels: String,
    value: T,
}

fn series<T>(all: impl Iterator<Item = T>, name: impl Fn(&T) -> &StatName) -> Vec<Series<T>> {
    let split = all.map(|value| {
        let (base, labels) = split(name(&value));
        let metric = format!("envoy_{}", sanitize(&base));
        Series { base, metric, labels, value }
    });
    let mut all: Vec<Series<T>> = split.collect();
    // Stable: series of one metric keep the order of their full names.
    all.sort_by(|a, b| a.base.cmp(&b.base));
    all
}

fn families<T>(
    out: &mut String,
    kind: &str,
    all: Vec<Series<T>>,
    write: impl Fn(&mut String, &Series<T>),
) {
    for family in all.chunk_by(|a, b| a.metric == b.metric) {
        push(out, format_args!("# TYPE {} {kind}\n", family[0].metric));
        family.iter().for_each(|series| write(out, series));
    }
}

/// Writing to a string cannot fail.
fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

fn scalar(out: &mut String, series: &Series<&Scalar>) {
    let Series { metric, labels, value, .. } = series;
    push(out, format_args!("{metric}{{{labels}}} {}\n", value.value));
}

fn histogram(out: &mut String, series: &Series<&Histogram>) {
    let (metric, values) = (&series.metric, &series.value.total);
    let before = before_more(&series.labels);
    for bound in BOUNDS {
        let count = values.count_up_to(bound);
        push(out, format_args!("{metric}_bucket{{{before}le=\"{bound}\"}} {count}\n"));
    }
    push(out, format_args!("{metric}_bucket{{{before}le=\"+Inf\"}} {}\n", values.count()));
    sum_and_count(out, series);
}

fn summary(out: &mut String, series: &Series<&Histogram>) {
    let before = before_more(&series.labels);
    for q in QUANTILES {
        let value = series.value.interval.quantile(q);
        let value = value.map_or_else(|| "NaN".to_owned(), |value| value.to_string());
        let (metric, q) = (&series.metric, percent(q) / 100.0);
        push(out, format_args!("{metric}{{{before}quantile=\"{q}\"}} {value}\n"));
    }
    sum_and_count(out, series);
}

fn sum_and_count(out: &mut String, series: &Series<&Histogram>) {
    let Series { metric, labels, value, .. } = series;
    push(out, format_args!("{metric}_sum{{{labels}}} {}\n", value.total.sum));
    push(out, format_args!("{metric}_count{{{labels}}} {}\n", value.total.count()));
}

fn before_more(labels: &str) -> String {
    if labels.is_empty() { String::new() } else { format!("{labels},") }
}

/// The name without tag values, and the labels. Response codes are part of the catalog's names;
/// Envoy's default tags (`envoy.response_code`, `envoy.response_code_class`) take them out.
fn split(name: &StatName) -> (String, String) {
    let (base, code) = split_code(&name.base);
    let tags = name.tags.iter().map(|(tag, value)| (*tag, value.as_str()));
    let labels = code
        .into_iter()
        .chain(tags)
        .map(|(tag, value)| format!("{}=\"{}\"", sanitize(tag), escape(value)));
    (base, labels.collect::<Vec<_>>().join(","))
}

fn split_code(base: &str) -> (String, Option<(&'static str, &str)>) {
    if let Some(at) = base.rfind("_rq_") {
        let (stem, code) = (&base[..at], &base[at + 4..]);
        match code.as_bytes() {
            [b'0'..=b'9', b'x', b'x'] => {
                return (format!("{stem}_rq_xx"), Some(("envoy.response_code_class", &code[..1])));
            }
            [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9'] => {
                return (format!("{stem}_rq"), Some(("envoy.response_code", code)));
            }
            _ => {}
        }
    }
    (base.to_owned(), None)
}

/// Only letters, digits and `_` may stand in the name of a metric or a label.
fn sanitize(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// A label value: `\`, `"` and line ends are escaped.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn names_labels_and_types_are_those_of_envoy() {
        let text = render(&sample(), false);
        let head = "# TYPE envoy_cluster_upstream_rq counter\n\
            envoy_cluster_upstream_rq{envoy_response_code=\"200\",envoy_cluster_name=\"a\"} 3\n\
            # TYPE envoy_cluster_upstream_rq_active gauge\n\
            envoy_cluster_upstream_rq_active{envoy_cluster_name=\"a\"} 1\n\
            # TYPE envoy_server_live gauge\n\
            envoy_server_live{} 1\n\
            # TYPE envoy_cluster_quiet_ms histogram\n\
            envoy_cluster_quiet_ms_bucket{envoy_cluster_name=\"a\",le=\"0.5\"} 0\n";
        assert!(text.starts_with(head), "{text}");
        let tail = "time_bucket{envoy_cluster_name=\"a\",le=\"3600000\"} 3\n\
            envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"a\",le=\"+Inf\"} 3\n\
            envoy_cluster_upstream_rq_time_sum{envoy_cluster_name=\"a\"} 131\n\
            envoy_cluster_upstream_rq_time_count{envoy_cluster_name=\"a\"} 3\n";
        assert!(text.ends_with(tail), "{text}");
    }

    #[test]
    fn summaries_show_the_last_interval() {
        let text = render(&sample(), true);
        assert!(text.contains("# TYPE envoy_cluster_upstream_rq_time summary\n"), "{text}");
        let line = "rq_time{envoy_cluster_name=\"a\",quantile=\"0.995\"} NaN\n";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn codes_become_labels() {
        let split = |base| split(&StatName::new("", "", base, &[]));
        let class = ("a.rq_xx".to_owned(), String::new());
        assert_eq!(split("a.rq_xx"), class);
        let cases = [
            ("c.upstream_rq_5xx", "c.upstream_rq_xx", "envoy_response_code_class=\"5\""),
            ("c.upstream_rq_503", "c.upstream_rq", "envoy_response_code=\"503\""),
            ("c.upstream_rq_total", "c.upstream_rq_total", ""),
        ];
        for (base, stem, labels) in cases {
            assert_eq!(split(base), (stem.to_owned(), labels.to_owned()));
        }
    }

    #[test]
    fn hostile_tag_values_stay_inside_their_quotes() {
        let tags = [("envoy.cluster_name", "a\"} 1\n\\x".to_owned())];
        let (_, labels) = split(&StatName::new("c", "c", "x", &tags));
        assert_eq!(labels, "envoy_cluster_name=\"a\\\"} 1\\n\\\\x\"");
    }
}
