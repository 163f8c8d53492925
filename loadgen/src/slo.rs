//! The search for the highest rate that keeps an objective. Pure: a rate out, a result in.
//!
//! It doubles until a rate fails, then halves the distance between the best that passed and the
//! worst that failed, until they are near enough. A rate fails when it breaks the objective twice;
//! one that was not reached breaks it, whatever its latencies were.

use std::fmt;
use std::str::FromStr;

use crate::units::{duration, nanoseconds, parse_duration};

/// What a rate must keep.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Objective {
    /// Percentile (0 to 100) and the longest time in nanoseconds at it.
    pub(crate) latencies: Vec<(f64, u64)>,
    /// Failed requests of all, 0 to 1.
    pub(crate) errors: f64,
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut objective = Self { latencies: Vec::new(), errors: 0.0 };
        for part in text.split(',') {
            let (name, value) =
                part.split_once('=').ok_or("write p99=5ms or errors=0.1%, with commas between")?;
            match (name.trim(), name.trim().strip_prefix('p')) {
                ("errors", _) => objective.errors = parse_percent(value)?,
                (_, Some(percentile)) => {
                    let percentile: f64 =
                        percentile.parse().map_err(|_| format!("`{name}` is no percentile"))?;
                    if !(percentile > 0.0 && percentile < 100.0) {
                        return Err(format!("`{name}` is no percentile"));
                    }
                    let limit = nanoseconds(parse_duration(value)?);
                    objective.latencies.push((percentile, limit));
                }
                _ => {
                    return Err(format!("`{name}` is unknown: there are p50, p99, ... and errors"));
                }
            }
        }
        if objective.latencies.is_empty() {
            return Err("it needs a latency, as p99=5ms".to_owned());
        }
        Ok(objective)
    }
}

fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.trim().strip_suffix('%').ok_or("write errors as a share, as 0.1%")?;
    let percent: f64 = number.parse().map_err(|_| format!("`{text}` is no share"))?;
    if (0.0..=100.0).contains(&percent) {
        Ok(percent / 100.0)
    } else {
        Err("0 to 100 %".to_owned())
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (percentile, limit) in &self.latencies {
            write!(f, "p{percentile} <= {}, ", duration(*limit))?;
        }
        write!(f, "errors <= {}%", self.errors * 100.0)
    }
}

/// What one trial showed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Trial {
    /// Asked for and reached, in requests per second.
    pub(crate) rate: f64,
    pub(crate) reached: f64,
    /// For each latency of the objective, in its order; nanoseconds.
    pub(crate) latencies: Vec<u64>,
    /// Failed or unsent requests of all, 0 to 1.
    pub(crate) errors: f64,
    /// The generator was late, so that a part of the latencies is its own.
    pub(crate) late: bool,
}

/// A trial must reach this part of its rate.
const REACHED: f64 = 0.98;

impl Objective {
    /// Why a trial does not keep it; `None` when it does.
    pub(crate) fn broken_by(&self, trial: &Trial) -> Option<String> {
        if trial.errors > self.errors {
            return Some(format!("{:.2}% errors", trial.errors * 100.0));
        }
        for ((percentile, limit), found) in self.latencies.iter().zip(&trial.latencies) {
            if found > limit {
                return Some(format!("p{percentile} {}", duration(*found)));
            }
        }
        let short = trial.reached < trial.rate * REACHED;
        short.then(|| format!("only {:.0} requests/s were reached", trial.reached))
    }
}

/// The rates to try.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    /// The best that passed and the worst that failed.
    passed: Option<f64>,
    failed: Option<f64>,
    next: f64,
    /// The next rate was broken once: it is tried again before that is believed.
    doubted: bool,
    trials: u32,
}

/// The first rate that is tried.
const FIRST: f64 = 1000.0;
/// Near enough: the best and the worst differ by this part.
const PRECISION: f64 = 0.03;
/// Who cannot do one request in ten seconds keeps no objective.
const LEAST: f64 = 0.1;
/// More trials tell nothing.
const MOST_TRIALS: u32 = 40;

impl Search {
    pub(crate) fn new() -> Self {
        Self { passed: None, failed: None, next: FIRST, doubted: false, trials: 0 }
    }

    /// The rate to try next; `None` when the search is over.
    pub(crate) fn next_rate(&self) -> Option<f64> {
        let near =
            matches!((self.passed, self.failed), (Some(p), Some(f)) if f / p <= 1.0 + PRECISION);
        let over = near || self.trials >= MOST_TRIALS || self.next < LEAST || self.next > 1e8;
        (!over).then_some(self.next)
    }

    /// What came of the rate that `next_rate` gave.
    pub(crate) fn tried(&mut self, kept: bool) {
        self.trials += 1;
        // One hiccup of a shared machine must not decide the search.
        self.doubted = !kept && !self.doubted;
        if self.doubted {
            return;
        }
        if kept {
            self.passed = Some(self.next);
        } else {
            self.failed = Some(self.next);
        }
        self.next = match (self.passed, self.failed) {
            (Some(passed), None) => passed * 2.0,
            (None, Some(failed)) => failed / 4.0,
            // The middle of ratios, since rates differ by factors.
            (Some(passed), Some(failed)) => (passed * failed).sqrt(),
            (None, None) => self.next,
        };
    }

    /// The highest rate that kept the objective.
    pub(crate) fn best(&self) -> Option<f64> {
        self.passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches on a server that keeps the objective up to `capacity`.
    fn search(capacity: f64) -> (Option<f64>, u32) {
        let mut search = Search::new();
        while let Some(rate) = search.next_rate() {
            search.tried(rate <= capacity);
        }
        (search.best(), search.trials)
    }

    #[test]
    fn the_search_finds_any_capacity_within_its_precision() {
        for capacity in [3.0, 77.0, 999.0, 1000.0, 1001.0, 12_345.0, 98_765.0, 5e6] {
            let (best, trials) = search(capacity);
            let best = best.expect("found");
            assert!(best <= capacity && best > capacity / 1.04, "{best} for {capacity}");
            assert!(trials < 36, "{trials} trials for {capacity}");
        }
    }

    #[test]
    fn one_hiccup_at_each_rate_changes_nothing() {
        let (mut search, mut seen) = (Search::new(), Vec::new());
        while let Some(rate) = search.next_rate() {
            let first = !seen.contains(&rate);
            seen.push(rate);
            search.tried(rate <= 12_345.0 && !first);
        }
        let best = search.best().expect("found");
        assert!(best <= 12_345.0 && best > 12_345.0 / 1.04, "{best}");
    }

    #[test]
    fn a_server_that_keeps_nothing_ends_the_search() {
        let (best, trials) = search(0.0);
        assert_eq!(best, None);
        assert!(trials < 16);
    }

    #[test]
    fn objectives_are_read_and_shown() {
        let objective: Objective = "p99=5ms,p99.9=20ms,errors=0.1%".parse().expect("read");
        assert_eq!(objective.latencies, [(99.0, 5_000_000), (99.9, 20_000_000)]);
        assert_eq!(objective.to_string(), "p99 <= 5.00ms, p99.9 <= 20.0ms, errors <= 0.1%");
        for wrong in ["", "p99", "p0=5ms", "p100=1s", "q=1", "errors=1%", "p99=5ms,errors=2"] {
            assert!(wrong.parse::<Objective>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_trial_breaks_an_objective_by_errors_latency_or_by_falling_short() {
        let objective: Objective = "p99=5ms,errors=1%".parse().expect("read");
        let good = Trial {
            rate: 1000.0,
            reached: 999.0,
            latencies: vec![4_000_000],
            errors: 0.01,
            late: false,
        };
        assert_eq!(objective.broken_by(&good), None);
        let broken = |trial| objective.broken_by(&trial).expect("broken");
        assert_eq!(broken(Trial { errors: 0.02, ..good.clone() }), "2.00% errors");
        assert_eq!(broken(Trial { latencies: vec![6_000_000], ..good.clone() }), "p99 6.00ms");
        assert!(broken(Trial { reached: 900.0, ..good }).contains("only 900"));
    }
}
