//! Watching a run: the bar on a terminal, and the files that grow by a line a second.

use std::io::{self, IsTerminal, Write};
use std::time::SystemTime;

use crate::plan::Plan;
use crate::record::Record;
use crate::report::series::Series;
use crate::run::{Observer, piece_end_seconds};
use crate::units::{count, duration, plain_duration, rate};

/// Pieces of a quarter second that make a line of a file, and a figure of the bar.
const PIECES: u64 = 4;
/// The width of the bar.
const BAR: usize = 20;

/// Shows and writes what a run does.
pub(crate) struct Progress {
    bar: Option<Bar>,
    series: Vec<Box<dyn Series>>,
    /// What came since the last line.
    second: Record,
    from: f64,
    to: f64,
    /// The first file that could not be written.
    pub(crate) error: Option<io::Error>,
}

impl Progress {
    /// The bar appears only where somebody can see it: not in a pipe and not when `quiet`.
    pub(crate) fn new(quiet: bool, series: Vec<Box<dyn Series>>) -> Self {
        let bar = (!quiet && io::stderr().is_terminal()).then(Bar::default);
        Self { bar, series, second: Record::new(0), from: 0.0, to: 0.0, error: None }
    }

    fn write(&mut self) {
        let seconds = self.to - self.from;
        if seconds > 0.0 {
            let (from, record) = (self.from, &self.second);
            let written = self.series.iter_mut().try_for_each(|s| s.add(from, seconds, record));
            self.keep(written);
        }
        self.second = Record::new(0);
        self.from = self.to;
    }

    fn keep(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.error.get_or_insert(error);
        }
    }
}

impl Observer for Progress {
    fn begin(&mut self, plan: &Plan, measured_from: SystemTime) {
        let written = self.series.iter_mut().try_for_each(|series| series.begin(measured_from));
        self.keep(written);
        if let Some(bar) = &mut self.bar {
            bar.begin(plan);
        }
    }

    fn piece(&mut self, index: u64, record: &Record) {
        self.second.merge(record);
        self.to = piece_end_seconds(index);
        if let Some(bar) = &mut self.bar {
            bar.piece(self.to, record);
        }
        if (index + 1).is_multiple_of(PIECES) {
            self.write();
        }
    }

    fn end(&mut self) {
        self.write();
        let written = self.series.iter_mut().try_for_each(|series| series.end());
        self.keep(written);
        if let Some(bar) = &mut self.bar {
            bar.clear();
        }
    }
}

/// One line that is drawn again and again.
#[derive(Default)]
struct Bar {
    seconds: Option<f64>,
    requests: Option<u64>,
    done: u64,
    errors: u64,
    /// The last second, as pieces.
    recent: std::collections::VecDeque<Record>,
}

impl Bar {
    fn begin(&mut self, plan: &Plan) {
        self.seconds = plan.duration.map(|duration| duration.as_secs_f64());
        self.requests = plan.count;
        if !plan.warmup.is_zero() {
            draw(&format!("warming up for {}", plain_duration(plan.warmup)));
        }
    }

    fn piece(&mut self, at: f64, record: &Record) {
        self.done += record.right();
        self.errors += record.failures.total();
        self.recent.push_back(record.clone());
        if self.recent.len() > PIECES as usize {
            self.recent.pop_front();
        }
        draw(&self.line(at));
    }

    fn line(&self, at: f64) -> String {
        let mut recent = Record::new(0);
        self.recent.iter().for_each(|record| recent.merge(record));
        let per_second = recent.right() as f64 * PIECES as f64 / self.recent.len().max(1) as f64;
        let quantile = |q| duration(recent.latency.value_at_quantile(q));
        let (part, goal) = match (self.seconds, self.requests) {
            (Some(seconds), _) => (at / seconds, format!("{at:.1}s of {seconds}s")),
            (None, Some(requests)) => (
                self.done as f64 / requests as f64,
                format!("{} of {}", count(self.done), count(requests)),
            ),
            (None, None) => (0.0, format!("{at:.1}s")),
        };
        let errors = match self.errors {
            0 => String::new(),
            errors => format!("  {} errors", count(errors)),
        };
        format!(
            "{} {goal}  {}/s  p50 {}  p99 {}{errors}",
            bar(part),
            rate(per_second),
            quantile(0.5),
            quantile(0.99)
        )
    }

    fn clear(&self) {
        draw("");
    }
}

fn bar(part: f64) -> String {
    let filled = ((part * BAR as f64) as usize).min(BAR);
    format!("[{}{}]", "#".repeat(filled), "-".repeat(BAR - filled))
}

/// Replaces the current line of the terminal.
fn draw(text: &str) {
    let mut stderr = io::stderr().lock();
    // A terminal that is gone shows nothing; the run goes on.
    let _ = write!(stderr, "\r\x1b[2K{text}");
    let _ = stderr.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_and_never_overflows() {
        assert_eq!(bar(0.0), "[--------------------]");
        assert_eq!(bar(0.5), "[##########----------]");
        assert_eq!(bar(7.0), "[####################]");
    }

    #[test]
    fn the_line_shows_the_last_second_and_all_errors() {
        let mut bar = Bar { seconds: Some(10.0), ..Bar::default() };
        for _ in 0..8 {
            let mut record = Record::new(0);
            (0..250).for_each(|_| record.latency.saturating_record(1_000_000));
            record.failures.add(crate::record::Failure::Reset, String::new);
            bar.errors += record.failures.total();
            bar.recent.push_back(record);
            if bar.recent.len() > 4 {
                bar.recent.pop_front();
            }
        }
        let line = bar.line(2.0);
        assert_eq!(
            line,
            "[####----------------] 2.0s of 10s  1,000/s  p50 1.00ms  p99 1.00ms  8 errors"
        );
    }
}
