//! The report that a person reads.

use std::fmt::Write as _;
use std::time::Duration;

use crate::slo::{Objective, Trial};
use crate::summary::{Summary, Times};
use crate::units::{bytes, count, duration, plain_duration, rate};

/// The width of the bars of the histogram.
const BAR: usize = 40;

/// One line on what will be done.
pub(crate) fn headline(summary: &crate::summary::PlanSummary, time: Option<Duration>) -> String {
    let mut line = String::from("Running");
    if let Some(time) = time {
        let _ = write!(line, " {}", plain_duration(time));
    }
    match (summary.load.as_str(), summary.rate) {
        ("closed", _) => line.push_str(" at full speed"),
        (_, Some(wished)) => {
            let _ = write!(line, " at {} requests/s", rate(wished));
        }
        _ => {
            let _ = write!(line, " {}", summary.profile.as_deref().unwrap_or("at a changing rate"));
        }
    }
    let _ = write!(line, ", {}", plural(summary.connections, "connection"));
    if summary.pipeline > 1 {
        let _ = write!(line, " with {} requests in flight each", summary.pipeline);
    }
    let _ = write!(line, ", {}", plural(summary.threads, "thread"));
    let _ = write!(line, ", {}", summary.protocols.join(", "));
    for url in summary.urls.iter().take(4) {
        let _ = write!(line, "\n  {url}");
    }
    if summary.urls.len() > 4 {
        let _ = write!(line, "\n  and {} more", summary.urls.len() - 4);
    }
    line
}

fn plural(n: usize, word: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {word}{s}", count(n as u64))
}

/// The whole report.
pub(crate) fn report(summary: &Summary) -> String {
    let mut out = String::new();
    totals(&mut out, summary);
    errors(&mut out, summary);
    latency(&mut out, summary);
    histogram(&mut out, &summary.latency);
    steps(&mut out, summary);
    mix(&mut out, summary);
    connections(&mut out, summary);
    generator(&mut out, summary);
    warnings(&mut out, summary);
    out
}

/// A line with its name in a column of its own. Writing to a string cannot fail.
fn line(out: &mut String, name: &str, text: &str) {
    let _ = writeln!(out, "{name:<12}{text}");
}

fn totals(out: &mut String, summary: &Summary) {
    let early = if summary.interrupted { " (interrupted)" } else { "" };
    let text = format!(
        "{} right in {}{early}, {} requests/s",
        count(summary.right),
        duration((summary.elapsed_s * 1e9) as u64),
        rate(summary.rate)
    );
    line(out, "Requests", &text);
    let per_second = |total: u64| bytes(total as f64 / summary.elapsed_s);
    let text = format!(
        "{}/s received, {}/s sent",
        per_second(summary.bytes_received),
        per_second(summary.bytes_sent)
    );
    line(out, "Bytes", &text);
    let statuses: Vec<String> =
        summary.statuses.iter().map(|s| format!("{}: {}", s.status, count(s.count))).collect();
    if !statuses.is_empty() {
        line(out, "Statuses", &statuses.join("  "));
    }
}

fn errors(out: &mut String, summary: &Summary) {
    if summary.failed == 0 && summary.unsent == 0 {
        line(out, "Errors", "none");
        return;
    }
    let all = (summary.right + summary.failed + summary.unsent).max(1) as f64;
    let share = (summary.failed + summary.unsent) as f64 / all * 100.0;
    line(out, "Errors", &format!("{} ({share:.2}%)", count(summary.failed + summary.unsent)));
    for failure in &summary.failures {
        let times = count(failure.count);
        let _ = writeln!(out, "  {times:>10}  {}", failure.failure.text());
        if !failure.example.is_empty() {
            let _ = writeln!(out, "  {:>10}    first: {}", "", failure.example);
        }
    }
    if summary.unsent > 0 {
        let _ = writeln!(
            out,
            "  {:>10}  due but never sent: no connection was free until the end",
            count(summary.unsent)
        );
    }
}

fn latency(out: &mut String, summary: &Summary) {
    let times = &summary.latency;
    if times.count == 0 {
        return;
    }
    let from = match &summary.service {
        Some(_) => "from the time each request was due; in brackets from when it was sent",
        None => "from when each request began",
    };
    let _ = writeln!(out, "\nLatency     {from}");
    let service = summary.service.as_ref();
    let sent = |value: Option<u64>| {
        value.map_or(String::new(), |value| format!("  ({})", duration(value)))
    };
    row(out, "min", times.min, &sent(service.map(|s| s.min)));
    row(out, "mean", times.mean as u64, &sent(service.map(|s| s.mean as u64)));
    row(out, "stddev", times.deviation as u64, &sent(service.map(|s| s.deviation as u64)));
    for (percentile, time) in &times.percentiles {
        let also = sent(service.and_then(|s| s.percentile(*percentile)));
        row(out, &format!("{percentile}%"), *time, &also);
    }
    row(out, "max", times.max, &sent(service.map(|s| s.max)));
}

fn row(out: &mut String, name: &str, time: u64, also: &str) {
    let _ = writeln!(out, "  {name:>8}  {:>8}{also}", duration(time));
}

/// Rows of equal factors; a bar is as long as its share of the largest.
fn histogram(out: &mut String, times: &Times) {
    let largest = times.buckets.iter().map(|(_, count)| *count).max().unwrap_or(0);
    if largest == 0 {
        return;
    }
    let _ = writeln!(out, "\nHistogram   how many took at most");
    for (edge, samples) in &times.buckets {
        let bar = bar(*samples as f64 / largest as f64);
        let text = format!("  {:>8}  {bar:<BAR$}  {}", duration(*edge), count(*samples));
        let _ = writeln!(out, "{}", text.trim_end());
    }
}

/// A bar in eighths of a character; anything above nothing is visible.
fn bar(share: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share * (BAR * 8) as f64).round() as usize;
    let eighths = if share > 0.0 { eighths.max(1) } else { 0 };
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

fn steps(out: &mut String, summary: &Summary) {
    if summary.steps.is_empty() {
        return;
    }
    let _ =
        writeln!(out, "\nSteps       wished/s  reached/s    errors       p50       p99     p99.9");
    for step in &summary.steps {
        let at = |percentile| step.latency.percentile(percentile).map_or("-".to_owned(), duration);
        let _ = writeln!(
            out,
            "{:>20} {:>10} {:>9} {:>9} {:>9} {:>9}",
            rate(step.wished),
            rate(step.rate),
            count(step.failed),
            at(50.0),
            at(99.0),
            at(99.9)
        );
    }
}

fn mix(out: &mut String, summary: &Summary) {
    if summary.requests.len() < 2 {
        return;
    }
    let _ = writeln!(out, "\nMix         right answers by request");
    for request in &summary.requests {
        let share = request.right as f64 / summary.right.max(1) as f64 * 100.0;
        let _ = writeln!(out, "  {:>10}  {share:>5.1}%  {}", count(request.right), request.name);
    }
}

fn connections(out: &mut String, summary: &Summary) {
    let all = &summary.connections;
    out.push('\n');
    let text = format!(
        "{} answers each on average (fewest {}, most {}, imbalance {:.1}%)",
        rate(all.mean),
        count(all.min),
        count(all.max),
        all.imbalance * 100.0
    );
    line(out, "Connections", &text);
    if let (Some(p50), Some(p99)) =
        (summary.connect.percentile(50.0), summary.connect.percentile(99.0))
    {
        let text = format!(
            "{} opened, p50 {}, p99 {}, max {}",
            count(summary.connect.count),
            duration(p50),
            duration(p99),
            duration(summary.connect.max)
        );
        line(out, "", &text);
    }
    if let Some(done) = &summary.handshakes {
        let (full, resumed) = (count(done.full), count(done.resumed));
        line(out, "", &format!("TLS handshakes: {full} full, {resumed} resumed, {}", done.agreed));
    }
    if let Some(others) = &summary.unfriendly {
        let text = format!(
            "{} half-open ({} cut by the server), {} slow answered ({} cut), {} aborted, \
             {} not connected",
            count(others.half_open),
            count(others.half_open_cut),
            count(others.slow_answered),
            count(others.slow_cut),
            count(others.aborted),
            count(others.not_connected)
        );
        line(out, "Unfriendly", &text);
    }
}

fn generator(out: &mut String, summary: &Summary) {
    let own = &summary.generator;
    let spin = if own.spins { ", spinning while it waits" } else { "" };
    let text = format!(
        "{:.2} us of CPU per request ({:.2} user, {:.2} system), {:.0}% of a core{spin}",
        own.cpu_us_per_request,
        own.user_us_per_request,
        own.system_us_per_request,
        own.cores * 100.0
    );
    line(out, "Generator", &text);
    let late = summary.lateness.as_ref().filter(|late| late.count > 0);
    if let Some(late) = late {
        let at = |percentile| late.percentile(percentile).map_or("-".to_owned(), duration);
        let text = format!(
            "sent {} requests from waiting connections: p50 {} late, p99 {}, max {}",
            count(late.count),
            at(50.0),
            at(99.0),
            duration(late.max)
        );
        line(out, "", &text);
    }
}

/// What makes the figures say less than they seem to.
fn warnings(out: &mut String, summary: &Summary) {
    let mut warn = |text: &str| {
        let _ = writeln!(out, "Note: {text}");
    };
    if summary.unsent > 0 && !summary.interrupted {
        warn("the wished rate was not kept up: latencies grow for as long as the run lasts");
    }
    if !summary.generator.spins && summary.generator.cores > 0.95 * summary.plan.threads as f64 {
        warn("the generator used all of its CPU: the server may be able to do more");
    }
    let late = summary.lateness.as_ref().and_then(|late| late.percentile(99.0)).unwrap_or(0);
    if is_late(late, summary.latency.percentile(99.0).unwrap_or(0)) {
        warn("the generator itself was late: part of the latency is its own");
    }
}

/// Whether the generator's own lateness is a part of latencies that counts; both are percentiles.
pub(crate) fn is_late(lateness_ns: u64, latency_ns: u64) -> bool {
    lateness_ns > 1_000_000 && lateness_ns * 5 > latency_ns
}

/// One line for a trial of a search.
pub(crate) fn trial(objective: &Objective, trial: &Trial, broken: Option<&str>) -> String {
    let mut text = format!("  {:>10} requests/s", rate(trial.rate));
    for ((percentile, _), time) in objective.latencies.iter().zip(&trial.latencies) {
        let _ = write!(text, "  p{percentile} {:>8}", duration(*time));
    }
    let _ = write!(text, "  errors {:.2}%", trial.errors * 100.0);
    match broken {
        None => text.push_str("  kept"),
        Some(why) => {
            let _ = write!(text, "  broken: {why}");
        }
    }
    if trial.late {
        text.push_str(" (the generator itself was late)");
    }
    text
}

#[cfg(test)]
mod tests;
