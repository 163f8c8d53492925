//! Two runs side by side.

use std::fmt::Write as _;

use crate::summary::Summary;
use crate::units::{duration, rate};

/// One compared figure.
#[derive(Debug, Clone, PartialEq)]
struct Figure {
    name: String,
    base: String,
    other: String,
    /// The second by the first.
    ratio: Option<f64>,
    more_is_better: bool,
}

impl Figure {
    /// By how many percent the second is worse; negative when it is better.
    fn worse_by(&self) -> Option<f64> {
        let ratio = self.ratio?;
        let worse = if self.more_is_better { 1.0 / ratio } else { ratio };
        Some((worse - 1.0) * 100.0)
    }
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comparison {
    /// A table.
    pub(crate) text: String,
    /// The figure that became worst, and by how many percent.
    pub(crate) worst: Option<(String, f64)>,
}

/// Reads a report.
pub(crate) fn parse(json: &str) -> Result<Summary, String> {
    let summary: Summary = serde_json::from_str(json).map_err(|error| error.to_string())?;
    if summary.format == crate::summary::FORMAT {
        Ok(summary)
    } else {
        Err(format!("its format is `{}`, not `{}`", summary.format, crate::summary::FORMAT))
    }
}

/// Compares `other` with `base`.
pub(crate) fn compare(base: &Summary, other: &Summary, names: (&str, &str)) -> Comparison {
    let figures = figures(base, other);
    let mut text = String::new();
    let width = names.0.len().max(names.1.len()).max(12);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{:<22}{:>width$}  {:>width$}     ratio", "", names.0, names.1);
    for figure in &figures {
        let ratio = figure.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}"));
        let verdict = match figure.worse_by() {
            Some(worse) if worse > 2.0 => "  worse",
            Some(worse) if worse < -2.0 => "  better",
            _ => "",
        };
        let (base, other) = (&figure.base, &figure.other);
        let _ = writeln!(
            text,
            "{:<22}{base:>width$}  {other:>width$}  {ratio:>8}{verdict}",
            figure.name
        );
    }
    notes(&mut text, base, other);
    let worse = figures.iter().filter_map(|f| Some((f.name.clone(), f.worse_by()?)));
    Comparison { text, worst: worse.max_by(|a, b| a.1.total_cmp(&b.1)) }
}

fn figures(base: &Summary, other: &Summary) -> Vec<Figure> {
    let mut figures = vec![
        figure("requests/s", base.rate, other.rate, rate, true),
        figure("errors", base.failed as f64, other.failed as f64, |n| format!("{n:.0}"), false),
    ];
    let time = |name: &str, base: u64, other: u64| {
        figure(name, base as f64, other as f64, |ns| duration(ns as u64), false)
    };
    figures.push(time("latency mean", base.latency.mean as u64, other.latency.mean as u64));
    for percentile in [50.0, 90.0, 99.0, 99.9, 99.99] {
        let both = (base.latency.percentile(percentile), other.latency.percentile(percentile));
        if let (Some(one), Some(two)) = both {
            figures.push(time(&format!("latency p{percentile}"), one, two));
        }
    }
    figures.push(time("latency max", base.latency.max, other.latency.max));
    let cost = |summary: &Summary| summary.generator.cpu_us_per_request;
    // The generator's cost says whether both runs were driven by equal means; it is no result.
    let own =
        figure("generator us/request", cost(base), cost(other), |us| format!("{us:.2}"), false);
    figures.push(Figure { ratio: None, ..own });
    figures
}

fn figure(
    name: &str,
    base: f64,
    other: f64,
    show: impl Fn(f64) -> String,
    more_is_better: bool,
) -> Figure {
    let ratio = (base > 0.0 && other > 0.0).then(|| other / base);
    let (base, other) = (show(base), show(other));
    Figure { name: name.to_owned(), base, other, ratio, more_is_better }
}

/// What makes the two no equal runs.
fn notes(text: &mut String, base: &Summary, other: &Summary) {
    let mut differs = Vec::new();
    let (one, two) = (&base.plan, &other.plan);
    if (&one.load, one.rate, &one.profile) != (&two.load, two.rate, &two.profile) {
        differs.push("load");
    }
    if (one.connections, one.pipeline, one.requests_per_connection)
        != (two.connections, two.pipeline, two.requests_per_connection)
    {
        differs.push("connections");
    }
    if one.threads != two.threads {
        differs.push("threads");
    }
    if one.protocols != two.protocols {
        differs.push("protocols");
    }
    if one.urls != two.urls {
        differs.push("URLs");
    }
    if !differs.is_empty() {
        let _ = writeln!(text, "Note: the runs differ in {}", differs.join(", "));
    }
    for (name, summary) in [("first", base), ("second", other)] {
        if !summary.is_clean() {
            let _ = writeln!(text, "Note: the {name} run was not clean");
        }
    }
}

#[cfg(test)]
mod tests;
