//! `{"stats":[...]}` in one line, histograms as one last element.

use serde_json::{Value, json};

use super::Buckets;
use super::text::{between, percent};
use crate::distribution::{BOUNDS, Distribution, QUANTILES};
use crate::telemetry::{Histogram, Reading};

pub(super) fn render(reading: &Reading, buckets: Buckets) -> String {
    let scalars = reading.scalars.iter();
    let mut stats: Vec<Value> =
        scalars.map(|scalar| json!({"name": scalar.name.full, "value": scalar.value})).collect();
    if !reading.histograms.is_empty() {
        stats.push(json!({"histograms": histograms(&reading.histograms, buckets)}));
    }
    json!({"stats": stats}).to_string()
}

fn histograms(all: &[Histogram], buckets: Buckets) -> Value {
    match buckets {
        Buckets::Summary => json!({
            "supported_quantiles": percents(),
            "computed_quantiles": each(all, |h| json!({
                "name": h.name.full,
                "values": quantiles(h),
            })),
        }),
        Buckets::Detailed => json!({
            "supported_percentiles": percents(),
            "details": each(all, |h| json!({
                "name": h.name.full,
                "totals": bins(&h.total),
                "intervals": bins(&h.interval),
                "percentiles": quantiles(h),
            })),
        }),
        Buckets::Cumulative => each(all, |h| bounds(h, Distribution::count_up_to)),
        Buckets::Disjoint => each(all, |h| bounds(h, between)),
    }
}

fn each(all: &[Histogram], render: impl Fn(&Histogram) -> Value) -> Value {
    all.iter().map(render).collect()
}

fn percents() -> Vec<Value> {
    QUANTILES.iter().map(|q| number(percent(*q))).collect()
}

/// Whole numbers without a fraction, as Envoy prints them.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { json!(value as i64) } else { json!(value) }
}

fn quantiles(histogram: &Histogram) -> Value {
    let value = |values: &Distribution, q: f64| values.quantile(q).map_or(Value::Null, number);
    QUANTILES
        .iter()
        .map(|q| {
            let total = value(&histogram.total, *q);
            json!({"cumulative": total, "interval": value(&histogram.interval, *q)})
        })
        .collect()
}

fn bounds(histogram: &Histogram, count: impl Fn(&Distribution, f64) -> u64) -> Value {
    let buckets = BOUNDS.iter().map(|bound| {
        json!({
            "upper_bound": number(*bound),
            "interval": count(&histogram.interval, *bound),
            "cumulative": count(&histogram.total, *bound),
        })
    });
    json!({"name": histogram.name.full, "buckets": buckets.collect::<Vec<_>>()})
}

fn bins(values: &Distribution) -> Value {
    let bin = |low, width, count| json!({"lower_bound": low, "width": width, "count": count});
    values.bins().map(|b| bin(number(b.low), number(b.width), b.count)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    fn parsed(buckets: Buckets) -> Value {
        serde_json::from_str(&render(&sample(), buckets)).expect("valid JSON")
    }

    #[test]
    fn scalars_then_quantiles() {
        let stats = &parsed(Buckets::Summary)["stats"];
        assert_eq!(stats[0], json!({"name": "cluster.a.upstream_rq_200", "value": 3}));
        let histograms = &stats[3]["histograms"];
        assert_eq!(histograms["supported_quantiles"].to_string(), {
            "[0,25,50,75,90,95,99,99.5,99.9,100]"
        });
        let computed = &histograms["computed_quantiles"];
        assert_eq!(computed[0]["values"][0], json!({"cumulative": null, "interval": null}));
        assert_eq!(computed[1]["values"][2], json!({"cumulative": 30.5, "interval": null}));
        assert!(stats.get(4).is_none());
    }

    #[test]
    fn buckets_and_bins() {
        let cumulative = &parsed(Buckets::Cumulative)["stats"][3]["histograms"][1]["buckets"];
        let expected = json!({"upper_bound": 50, "interval": 0, "cumulative": 2});
        assert_eq!(cumulative[5], expected);
        let detail = &parsed(Buckets::Detailed)["stats"][3]["histograms"]["details"][1];
        let expected = json!({"lower_bound": 30, "width": 1, "count": 1});
        assert_eq!(detail["totals"][1], expected);
    }

    #[test]
    fn nothing_selected_is_an_empty_list() {
        assert_eq!(render(&Reading::default(), Buckets::Summary), r#"{"stats":[]}"#);
    }
}
