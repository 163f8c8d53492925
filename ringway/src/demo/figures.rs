//! The figures of one second, as a line for a pipe and as a panel for a terminal.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use ringway_bridge::stats::{Catalog, bucket_bounds};

/// Seconds of history in the panel.
const HISTORY: usize = 40;
/// Lines of the panel.
const LINES: usize = 3;
/// More cores than this show as bars alone.
const CORES_IN_NUMBERS: usize = 8;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Counters at one moment.
pub(super) struct Sample {
    at: Instant,
    requests: u64,
    latency: Vec<u64>,
    /// CPU time of each worker in nanoseconds.
    cpu: HashMap<String, u64>,
}

impl Sample {
    pub(super) fn take(catalog: &Catalog) -> Self {
        Self {
            at: Instant::now(),
            requests: super::requests(catalog),
            latency: super::latency(catalog),
            cpu: worker_cpu(),
        }
    }

    fn cpu_of(&self, worker: usize) -> u64 {
        self.cpu.get(&format!("worker_{worker}")).copied().unwrap_or(0)
    }
}

/// What happened between two samples.
pub(super) struct Figures {
    /// Requests per second.
    pub(super) rate: f64,
    /// p50, p99 and p99.9 in microseconds; none without requests.
    latency: [Option<u64>; 3],
    /// Share of its core that each worker used, from 0 to 1.
    cores: Vec<f64>,
}

impl Figures {
    pub(super) fn between(before: &Sample, now: &Sample, workers: usize) -> Self {
        let seconds = now.at.duration_since(before.at).as_secs_f64().max(1e-9);
        let earlier = |index: usize| before.latency.get(index).copied().unwrap_or(0);
        let counts = now.latency.iter().enumerate();
        let counts: Vec<u64> =
            counts.map(|(index, count)| count.saturating_sub(earlier(index))).collect();
        let share = |worker| {
            now.cpu_of(worker).saturating_sub(before.cpu_of(worker)) as f64 / 1e9 / seconds
        };
        Self {
            rate: now.requests.saturating_sub(before.requests) as f64 / seconds,
            latency: [0.5, 0.99, 0.999].map(|share| percentile(&counts, share)),
            cores: (0..workers).map(share).collect(),
        }
    }

    /// One line for a pipe or a file.
    pub(super) fn line(&self) -> String {
        let [p50, p99, p999] = self.latency.map(duration);
        let rate = thousands(self.rate as u64);
        let cores = self.percents();
        format!("{rate:>9} req/s   p50 {p50:>7}  p99 {p99:>7}  p99.9 {p999:>7}   cores {cores}\n")
    }

    /// The panel, drawn over the one before.
    pub(super) fn panel(&self, history: &History, again: bool) -> String {
        let [p50, p99, p999] = self.latency.map(duration);
        let up = if again { format!("\x1b[{LINES}A") } else { String::new() };
        let rate = thousands(self.rate as u64);
        let cores =
            if self.cores.len() <= CORES_IN_NUMBERS { self.percents() } else { self.bars() };
        format!(
            "{up}\r\x1b[K  rate    {rate} req/s  {}\n\
             \r\x1b[K  latency p50 {p50}  p99 {p99}  p99.9 {p999}\n\
             \r\x1b[K  cores   {cores}\n",
            history.bars()
        )
    }

    fn percents(&self) -> String {
        let each = self.cores.iter().map(|share| format!("{:>3.0}%", 100.0 * share));
        each.collect::<Vec<_>>().join(" ")
    }

    fn bars(&self) -> String {
        self.cores.iter().map(|share| bar(*share)).collect()
    }
}

/// The rates of the last seconds.
#[derive(Default)]
pub(super) struct History(VecDeque<f64>);

impl History {
    pub(super) fn push(&mut self, rate: f64) {
        if self.0.len() == HISTORY {
            self.0.pop_front();
        }
        self.0.push_back(rate);
    }

    /// Each rate as a share of the highest.
    fn bars(&self) -> String {
        let highest = self.0.iter().copied().fold(0.0, f64::max);
        if highest == 0.0 {
            return "(waiting for requests)".to_owned();
        }
        self.0.iter().map(|rate| bar(rate / highest)).collect()
    }
}

fn bar(share: f64) -> char {
    let last = BARS.len() - 1;
    // A cast of a float saturates, so that any share finds its bar.
    BARS[((share * last as f64).round() as usize).min(last)]
}

/// The lower bound of the bucket that holds this share of the values, in microseconds.
fn percentile(counts: &[u64], share: f64) -> Option<u64> {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return None;
    }
    let wanted = (total as f64 * share).ceil() as u64;
    let mut seen = 0;
    let found = counts.iter().position(|count| {
        seen += count;
        seen >= wanted
    });
    found.map(|index| bucket_bounds(index).0)
}

fn duration(micros: Option<u64>) -> String {
    match micros {
        None => "-".to_owned(),
        Some(micros) if micros < 1000 => format!("{micros}us"),
        Some(micros) => format!("{:.1}ms", micros as f64 / 1e3),
    }
}

/// `1234567` as `1,234,567`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// CPU time of each worker thread, from the process's own accounting.
fn worker_cpu() -> HashMap<String, u64> {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return HashMap::new() };
    tasks
        .flatten()
        .filter_map(|task| {
            let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
            let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            let nanos = stat.split(' ').next()?.parse().ok()?;
            Some((name.trim().to_owned(), nanos))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn percentiles_name_the_bucket() {
        let mut counts = vec![0; 64];
        counts[3] = 99;
        counts[10] = 1;
        assert_eq!(percentile(&counts, 0.5), Some(3));
        assert_eq!(percentile(&counts, 0.999), Some(10));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn numbers_are_easy_to_read() {
        let said = [0, 999, 1000, 1234567].map(thousands);
        assert_eq!(said, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([None, Some(7), Some(1500)].map(duration), ["-", "7us", "1.5ms"]);
        assert_eq!([0.0, 0.5, 1.0, 7.0].map(bar), ['▁', '▅', '█', '█']);
    }

    #[test]
    fn a_line_and_a_panel_tell_the_same() {
        let start = Instant::now();
        let cpu = |nanos| HashMap::from([("worker_0".to_owned(), nanos)]);
        let sample =
            |at, requests, cpu| Sample { at, requests, latency: vec![0, 0, requests], cpu };
        let before = sample(start, 0, cpu(0));
        let now = sample(start + Duration::from_secs(2), 3000, cpu(1_000_000_000));
        let figures = Figures::between(&before, &now, 1);
        let line = "    1,500 req/s   p50     2us  p99     2us  p99.9     2us   cores  50%\n";
        assert_eq!(figures.line(), line);
        let mut history = History::default();
        history.push(figures.rate);
        let panel = figures.panel(&history, true);
        assert!(panel.starts_with("\x1b[3A") && panel.contains("1,500 req/s  █\n"), "{panel:?}");
        assert_eq!(panel.lines().count(), LINES);
    }
}
