//! The figures of a run, in the form in which they are stored, compared and shown.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::plan::{Load, Plan};
use crate::record::{Failure, Record};
use crate::run::Outcome;

/// The format of the JSON; a change that breaks readers has another number.
pub const FORMAT: &str = "ringway-load/1";

/// The percentiles of reports.
pub(crate) const PERCENTILES: [f64; 9] = [10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99];

/// A whole run. Times are nanoseconds and rates per second, unless the name says otherwise.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    /// [`FORMAT`].
    pub format: String,
    /// What was asked for.
    pub plan: PlanSummary,
    /// Seconds over which the rate is counted.
    pub elapsed_s: f64,
    /// The user ended it early.
    pub interrupted: bool,
    /// Requests with a right answer, and those without one.
    pub right: u64,
    /// Failed requests and connections.
    pub failed: u64,
    /// Requests that were due and for which no connection was free until the end.
    pub unsent: u64,
    /// Right answers per second.
    pub rate: f64,
    /// Received and sent bytes.
    pub bytes_received: u64,
    /// Sent bytes.
    pub bytes_sent: u64,
    /// Answers by status.
    pub statuses: Vec<StatusCount>,
    /// Failures by kind.
    pub failures: Vec<FailureCount>,
    /// Right answers by kind of request.
    pub requests: Vec<RequestCount>,
    /// From the time at which a request was due (open loop) or sent (closed loop).
    pub latency: Times,
    /// From the time at which it was sent; open loop only.
    pub service: Option<Times>,
    /// How late the generator itself was; open loop only.
    pub lateness: Option<Times>,
    /// Opening connections.
    pub connect: Times,
    /// How equally connections were served.
    pub connections: Connections,
    /// By steps of the rate, where it has some.
    pub steps: Vec<StepSummary>,
    /// TLS handshakes, where there were some.
    pub handshakes: Option<HandshakeCount>,
    /// Clients that misbehaved, where there were some.
    pub unfriendly: Option<UnfriendlySummary>,
    /// What the generator itself cost.
    pub generator: Generator,
}

/// What was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlanSummary {
    /// `closed` or `open`.
    pub load: String,
    /// Wished requests per second, where the rate is constant.
    pub rate: Option<f64>,
    /// How the rate changes, where it does.
    #[serde(default)]
    pub profile: Option<String>,
    /// Targets.
    pub urls: Vec<String>,
    /// What is spoken to them.
    #[serde(default)]
    pub protocols: Vec<String>,
    /// Measured connections.
    pub connections: usize,
    /// Requests on a connection before the first answer.
    pub pipeline: usize,
    /// Threads of the generator.
    pub threads: usize,
    /// Requests of a connection before it is closed.
    pub requests_per_connection: Option<u64>,
    /// Seconds before the measured time.
    pub warmup_s: f64,
}

/// Answers of one status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusCount {
    /// The status.
    pub status: u16,
    /// How often it came.
    pub count: u64,
}

/// Failures of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureCount {
    /// The kind.
    pub failure: Failure,
    /// How often it happened.
    pub count: u64,
    /// The first of them.
    pub example: String,
}

/// Right answers to one kind of request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestCount {
    /// Its name.
    pub name: String,
    /// How many.
    pub right: u64,
}

/// A distribution of times, in nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Samples.
    pub count: u64,
    /// The shortest.
    pub min: u64,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation.
    pub deviation: f64,
    /// The longest.
    pub max: u64,
    /// Percentile (0 to 100) and time.
    pub percentiles: Vec<(f64, u64)>,
    /// Upper edge of a bucket, and samples in it: for drawing.
    pub buckets: Vec<(u64, u64)>,
}

/// How equally connections were served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Connections {
    /// Opened sockets.
    pub opened: u64,
    /// Fewest answers on one connection.
    pub min: u64,
    /// Mean answers.
    pub mean: f64,
    /// Most answers.
    pub max: u64,
    /// Standard deviation by mean: 0 when all are served equally.
    pub imbalance: f64,
}

/// TLS handshakes, warm-up and first connections included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandshakeCount {
    /// With a certificate.
    pub full: u64,
    /// By a session of before.
    pub resumed: u64,
    /// Version, suite and group of the first one.
    pub agreed: String,
}

/// One step of the rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepSummary {
    /// Wished requests per second.
    pub wished: f64,
    /// Right answers per second.
    pub rate: f64,
    /// Failed requests.
    pub failed: u64,
    /// From the due time.
    pub latency: Times,
}

/// What clients that misbehave did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnfriendlySummary {
    /// Half-open connections, over time.
    pub half_open: u64,
    /// Of these, cut by the server.
    pub half_open_cut: u64,
    /// Slow requests with an answer.
    pub slow_answered: u64,
    /// Slow requests that the server cut.
    pub slow_cut: u64,
    /// Requests that the client reset.
    pub aborted: u64,
    /// Attempts that did not connect.
    pub not_connected: u64,
}

/// What the generator cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// CPU microseconds per answer.
    pub cpu_us_per_request: f64,
    /// Of these, in user space.
    pub user_us_per_request: f64,
    /// Of these, in the kernel.
    pub system_us_per_request: f64,
    /// CPU seconds per second: 1.0 is one whole core.
    pub cores: f64,
    /// Its threads spin while they wait, so that the cost is that of the waiting too.
    pub spins: bool,
}

impl Times {
    /// The figures of a histogram.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let percentiles = if histogram.is_empty() { &[][..] } else { &PERCENTILES };
        let at = |p: &f64| (*p, histogram.value_at_quantile(p / 100.0).min(histogram.max()));
        Self {
            count: histogram.len(),
            min: if histogram.is_empty() { 0 } else { histogram.min() },
            mean: histogram.mean(),
            deviation: histogram.stdev(),
            max: histogram.max(),
            percentiles: percentiles.iter().map(at).collect(),
            buckets: buckets(histogram),
        }
    }

    /// The time at one of the stored percentiles.
    #[must_use]
    pub fn percentile(&self, percentile: f64) -> Option<u64> {
        let found = self.percentiles.iter().find(|(p, _)| (p - percentile).abs() < 1e-9);
        found.map(|(_, time)| *time)
    }
}

/// Rows of a drawn histogram.
const ROWS: usize = 12;

/// Buckets whose edges differ by one factor, from the 0.1th percentile (or the shortest time) to
/// the 99.9th; the last one takes what is longer.
fn buckets(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    if histogram.is_empty() {
        return Vec::new();
    }
    let low = (histogram.value_at_quantile(0.001).max(1)) as f64;
    let high = (histogram.value_at_quantile(0.999) as f64).max(low * 1.01);
    let factor = (high / low).powf(1.0 / (ROWS - 1) as f64);
    let mut edges: Vec<u64> =
        (0..ROWS - 1).map(|row| (low * factor.powi(row as i32 + 1)) as u64).collect();
    edges.push(histogram.max());
    let mut counts = vec![0; ROWS];
    for value in histogram.iter_recorded() {
        let row = edges.partition_point(|edge| *edge < value.value_iterated_to()).min(ROWS - 1);
        counts[row] += value.count_at_value();
    }
    let mut rows: Vec<(u64, u64)> = edges.into_iter().zip(counts).collect();
    // Of few times, the 99.9th percentile is the longest one.
    if rows.last().is_some_and(|(_, samples)| *samples == 0) {
        rows.pop();
    }
    rows
}

impl Summary {
    /// The figures of a run.
    pub(crate) fn of(plan: &Plan, outcome: &Outcome) -> Self {
        let total = &outcome.total;
        let elapsed_s = outcome.elapsed.as_secs_f64();
        let open = plan.is_open();
        Self {
            format: FORMAT.to_owned(),
            plan: PlanSummary::of(plan),
            elapsed_s,
            interrupted: outcome.interrupted,
            right: total.right(),
            failed: total.failures.total(),
            unsent: total.unsent,
            rate: total.in_time as f64 / elapsed_s,
            bytes_received: total.bytes_received,
            bytes_sent: total.bytes_sent,
            statuses: statuses(total),
            failures: failures(total),
            requests: requests(plan, total),
            latency: Times::of(&total.latency),
            service: open.then(|| Times::of(&total.service)),
            lateness: open.then(|| Times::of(&total.lateness)),
            connect: Times::of(&total.connect),
            connections: Connections::of(&outcome.answers, total.connect.len()),
            steps: steps(plan, &outcome.steps),
            handshakes: HandshakeCount::of(total),
            unfriendly: (plan.unfriendly.total() > 0).then(|| UnfriendlySummary::of(total)),
            generator: Generator::of(plan, total, elapsed_s),
        }
    }

    /// Whether every request got its right answer.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failed == 0 && self.unsent == 0 && self.right > 0
    }
}

impl PlanSummary {
    /// What a plan asks for.
    pub(crate) fn of(plan: &Plan) -> Self {
        let (rate, profile) = match &plan.load {
            Load::Open { profile, .. } => (profile.constant_rate(), profile.changes()),
            Load::Closed => (None, None),
        };
        Self {
            load: if plan.is_open() { "open" } else { "closed" }.to_owned(),
            rate,
            profile,
            urls: plan.requests.iter().map(|request| request.url.to_string()).collect(),
            protocols: protocols(plan),
            connections: plan.connections(),
            pipeline: plan.pipeline,
            threads: plan.threads,
            requests_per_connection: plan.requests_per_connection,
            warmup_s: plan.warmup.as_secs_f64(),
        }
    }
}

fn protocols(plan: &Plan) -> Vec<String> {
    let name = |lane: &crate::plan::Lane| {
        let tls = if lane.tls.is_some() { " over TLS" } else { "" };
        format!("{}{tls}", lane.protocol.name())
    };
    let mut names: Vec<String> = plan.lanes.iter().map(name).collect();
    names.dedup();
    names
}

fn statuses(total: &Record) -> Vec<StatusCount> {
    let mut statuses: Vec<_> = total
        .statuses
        .iter()
        .map(|(status, count)| StatusCount { status: *status, count: *count })
        .collect();
    statuses.sort_by_key(|count| count.status);
    statuses
}

fn failures(total: &Record) -> Vec<FailureCount> {
    let of = |(failure, count, example): (Failure, u64, &str)| FailureCount {
        failure,
        count,
        example: example.to_owned(),
    };
    total.failures.iter().map(of).collect()
}

fn requests(plan: &Plan, total: &Record) -> Vec<RequestCount> {
    let named = plan.requests.iter().zip(&total.by_request);
    named
        .map(|(request, right)| RequestCount { name: request.name.clone(), right: *right })
        .collect()
}

fn steps(plan: &Plan, records: &[Record]) -> Vec<StepSummary> {
    let Load::Open { profile, .. } = &plan.load else { return Vec::new() };
    let warm = usize::from(!plan.warmup.is_zero());
    let pieces = profile.pieces().iter().skip(warm);
    if pieces.len() < 2 || pieces.clone().any(|piece| piece.seconds.is_infinite()) {
        return Vec::new();
    }
    let of = |(piece, record): (&crate::schedule::Piece, &Record)| StepSummary {
        wished: piece.from,
        rate: record.right() as f64 / piece.seconds,
        failed: record.failures.total(),
        latency: Times::of(&record.latency),
    };
    pieces.zip(records).map(of).collect()
}

impl Connections {
    fn of(answers: &[u64], opened: u64) -> Self {
        let count = answers.len().max(1) as f64;
        let mean = answers.iter().sum::<u64>() as f64 / count;
        let variance = answers.iter().map(|n| (*n as f64 - mean).powi(2)).sum::<f64>() / count;
        Self {
            opened,
            min: answers.iter().copied().min().unwrap_or(0),
            mean,
            max: answers.iter().copied().max().unwrap_or(0),
            imbalance: if mean > 0.0 { variance.sqrt() / mean } else { 0.0 },
        }
    }
}

impl HandshakeCount {
    fn of(total: &Record) -> Option<Self> {
        let (full, resumed) = (total.handshakes.full, total.handshakes.resumed);
        let agreed = total.handshakes.agreed.as_deref().unwrap_or_default().to_owned();
        (full + resumed > 0).then_some(Self { full, resumed, agreed })
    }
}

impl UnfriendlySummary {
    fn of(total: &Record) -> Self {
        let all = total.unfriendly;
        Self {
            half_open: all.half_open,
            half_open_cut: all.half_open_cut,
            slow_answered: all.slow_answered,
            slow_cut: all.slow_cut,
            aborted: all.aborted,
            not_connected: all.not_connected,
        }
    }
}

impl Generator {
    fn of(plan: &Plan, total: &Record, elapsed_s: f64) -> Self {
        let per_request = |ns: u64| ns as f64 / 1e3 / total.answers.max(1) as f64;
        let all = total.cpu.user_ns + total.cpu.system_ns;
        Self {
            cpu_us_per_request: per_request(all),
            user_us_per_request: per_request(total.cpu.user_ns),
            system_us_per_request: per_request(total.cpu.system_ns),
            cores: all as f64 / 1e9 / elapsed_s,
            spins: plan.spins(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record;

    #[test]
    fn buckets_hold_every_sample_once() {
        let mut histogram = record::times();
        for time in 1..=10_000_u64 {
            histogram.saturating_record(time * 1000);
        }
        histogram.saturating_record(5_000_000_000);
        let times = Times::of(&histogram);
        assert_eq!(times.buckets.len(), ROWS);
        assert_eq!(times.buckets.iter().map(|(_, count)| count).sum::<u64>(), 10_001);
        assert!(times.buckets.windows(2).all(|pair| pair[0].0 < pair[1].0), "{:?}", times.buckets);
        let p50 = times.percentile(50.0).expect("stored");
        assert!(p50.abs_diff(5_000_000) < 10_000, "{p50}");
    }

    #[test]
    fn equal_samples_and_none_at_all_are_no_trouble() {
        let mut histogram = record::times();
        assert_eq!(Times::of(&histogram).buckets, []);
        histogram.saturating_record(50_000);
        let times = Times::of(&histogram);
        assert_eq!(times.buckets.iter().map(|(_, count)| count).sum::<u64>(), 1);
    }

    #[test]
    fn imbalance_is_zero_for_equals_and_grows_with_the_spread() {
        assert_eq!(Connections::of(&[5, 5, 5], 3).imbalance, 0.0);
        let uneven = Connections::of(&[0, 10], 2);
        assert_eq!((uneven.min, uneven.max, uneven.imbalance), (0, 10, 1.0));
        assert_eq!(Connections::of(&[], 0).imbalance, 0.0);
    }
}
