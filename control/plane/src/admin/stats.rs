//! `/stats` and `/stats/prometheus`: which statistics are asked for, and in which form.

mod html;
mod json;
mod prometheus;
mod text;

use regex::{Regex, RegexBuilder};
use ringway_bridge::stats::Kind;

use super::query::{Params, Request};
use super::reply::Reply;
use super::state::AdminState;
use crate::telemetry::Reading;

/// Memory that a filter's automaton may take: a filter comes from whoever reaches the admin port.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// How histograms are shown (`histogram_buckets=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Buckets {
    Summary,
    Cumulative,
    Disjoint,
    Detailed,
}

/// `/stats`
pub(crate) fn stats(state: &AdminState, request: &Request) -> Reply {
    match request.params.get("format") {
        Some("prometheus") => prometheus(state, request),
        format => match select(state, &request.params) {
            Ok((reading, buckets)) => render(format, &reading, buckets),
            Err(refusal) => refusal,
        },
    }
}

fn render(format: Option<&str>, reading: &Reading, buckets: Option<Buckets>) -> Reply {
    let buckets = buckets.unwrap_or(Buckets::Summary);
    match format {
        None | Some("text") => Reply::text(text::render(reading, buckets)),
        Some("json") => Reply::json(json::render(reading, buckets)),
        Some("html") => Reply::html(html::render(reading, buckets, None)),
        Some("active-html") => Reply::html(html::render(reading, buckets, Some(5))),
        Some(_) => {
            Reply::bad_request("usage: /stats?format=(html|active-html|json|prometheus|text)\n\n")
        }
    }
}

/// `/stats/prometheus`
pub(crate) fn prometheus(state: &AdminState, request: &Request) -> Reply {
    let (reading, buckets) = match select(state, &request.params) {
        Ok(selected) => selected,
        Err(refusal) => return refusal,
    };
    match buckets.unwrap_or(Buckets::Cumulative) {
        Buckets::Cumulative => Reply::text(prometheus::render(&reading, false)),
        Buckets::Summary => Reply::text(prometheus::render(&reading, true)),
        Buckets::Disjoint | Buckets::Detailed => {
            Reply::bad_request("unsupported prometheus histogram bucket mode\n")
        }
    }
}

/// The statistics that the parameters select, and how histograms are to be shown.
fn select(state: &AdminState, params: &Params) -> Result<(Reading, Option<Buckets>), Reply> {
    let buckets = buckets(params)?;
    let wanted = Wanted::from(params)?;
    let filter = params.get("filter").filter(|pattern| !pattern.is_empty());
    let filter = filter.map(compile_filter).transpose()?;
    let invert = params.has("invert_filter");
    let used_only = params.has("usedonly");
    let mut reading = state.read_stats();
    let passes = |name: &str| filter.as_ref().is_none_or(|regex| regex.is_match(name) != invert);
    reading.scalars.retain(|scalar| {
        wanted.kind(scalar.kind) && (scalar.used || !used_only) && passes(&scalar.name.full)
    });
    reading.histograms.retain(|histogram| {
        wanted.kind(Kind::Histogram)
            && (!used_only || histogram.total.count() > 0)
            && passes(&histogram.name.full)
    });
    Ok((reading, buckets))
}

fn buckets(params: &Params) -> Result<Option<Buckets>, Reply> {
    Ok(Some(match params.get("histogram_buckets") {
        None => return Ok(None),
        Some("summary") => Buckets::Summary,
        Some("cumulative") => Buckets::Cumulative,
        Some("disjoint") => Buckets::Disjoint,
        Some("detailed") => Buckets::Detailed,
        Some(_) => {
            return Err(Reply::bad_request(
                "usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary)\n",
            ));
        }
    }))
}

/// A search in full names, as `filter=` asks for it.
pub(super) fn compile_filter(pattern: &str) -> Result<Regex, Reply> {
    RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).build().map_err(|error| {
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Reply::bad_request(format!("Invalid re2 regex: {reason}: {pattern}\n"))
    })
}

/// `type=`
struct Wanted(Option<Kind>, bool);

impl Wanted {
    fn from(params: &Params) -> Result<Self, Reply> {
        Ok(match params.get("type") {
            None | Some("All") => Self(None, true),
            Some("Counters") => Self(Some(Kind::Counter), true),
            Some("Gauges") => Self(Some(Kind::Gauge), true),
            Some("Histograms") => Self(Some(Kind::Histogram), true),
            // There are no text readouts yet, so this selects nothing.
            Some("TextReadouts") => Self(None, false),
            Some(_) => return Err(Reply::bad_request("invalid &type= param\n")),
        })
    }

    fn kind(&self, kind: Kind) -> bool {
        self.1 && self.0.is_none_or(|wanted| wanted == kind)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ringway_bridge::stats::{Catalog, StatName};

    use super::*;
    use crate::telemetry::Telemetry;

    /// A little of everything, read before the first flush.
    pub(super) fn sample() -> Reading {
        let catalog = Arc::new(Catalog::default());
        let page = catalog.new_page();
        let tags = [("envoy.cluster_name", "a".to_owned())];
        let name = |leaf: &str| StatName::new("cluster.a", "cluster", leaf, &tags);
        page.add(catalog.counter(name("upstream_rq_200")), 3);
        page.raise(catalog.gauge(name("upstream_rq_active")), 1);
        page.set(catalog.gauge(StatName::new("server", "server", "live", &[])), 1);
        catalog.histogram(name("quiet_ms"));
        let time = catalog.histogram(name("upstream_rq_time"));
        [1, 30, 100].iter().for_each(|value| page.record(time, *value));
        Telemetry::new(catalog).read()
    }

    #[test]
    fn a_filter_that_is_no_regex_is_refused() {
        let refusal = compile_filter("((").expect_err("unbalanced");
        assert_eq!(refusal.status, 400);
        assert!(refusal.body.starts_with("Invalid re2 regex: "), "{}", refusal.body);
        assert!(refusal.body.ends_with(": ((\n"), "{}", refusal.body);
        assert!(compile_filter(&"a{1000}".repeat(1000)).is_err(), "too large to compile");
    }
}
