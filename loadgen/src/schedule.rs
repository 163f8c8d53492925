//! When each request of an open loop is due.
//!
//! A [`Profile`] is the rate over time, in straight pieces; its integral says how many requests
//! are due by a time. A [`Schedule`] inverts that integral: arrival number `k` is due at the time
//! where the integral reaches `k` (constant) or the k-th event of a Poisson process of unit rate
//! (Poisson). Several schedules share one profile without talking to each other: constant ones take
//! every n-th arrival, Poisson ones thin the process, which is exact.
//!
//! Reads no clock; the random generator is an argument.

use std::time::Duration;

use crate::units::rate;

/// One straight piece of a rate over time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Piece {
    /// Requests per second at its beginning and at its end.
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// Seconds; infinite for the last one.
    pub(crate) seconds: f64,
}

impl Piece {
    /// Requests that are due within it by `t` seconds after its beginning.
    fn count_at(&self, t: f64) -> f64 {
        if self.from == self.to {
            return self.from * t;
        }
        self.from * t + (self.to - self.from) * t * t / (2.0 * self.seconds)
    }

    /// The time at which `count` requests are due: the inverse of `count_at`.
    fn time_of(&self, count: f64) -> f64 {
        let slope = (self.to - self.from) / self.seconds;
        if slope == 0.0 {
            return count / self.from;
        }
        // The stable form of the root: no difference of near-equal numbers when the slope is small.
        let root = (self.from * self.from + 2.0 * slope * count).max(0.0).sqrt();
        2.0 * count / (self.from + root)
    }
}

/// A rate over time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Profile {
    pieces: Vec<Piece>,
}

impl Profile {
    /// The same rate for ever.
    pub(crate) fn constant(rate: f64) -> Self {
        Self { pieces: vec![Piece { from: rate, to: rate, seconds: f64::INFINITY }] }
    }

    /// From one rate to another, then that one for ever.
    pub(crate) fn ramp(from: f64, to: f64, over: Duration) -> Self {
        let last = Piece { from: to, to, seconds: f64::INFINITY };
        Self { pieces: vec![Piece { from, to, seconds: over.as_secs_f64() }, last] }
    }

    /// Each rate for the same time; nothing is due after the last.
    pub(crate) fn steps(rates: &[f64], each: Duration) -> Self {
        let piece = |rate: &f64| Piece { from: *rate, to: *rate, seconds: each.as_secs_f64() };
        Self { pieces: rates.iter().map(piece).collect() }
    }

    /// The same after a time at the first rate, for warming up.
    #[must_use]
    pub(crate) fn after_warmup(mut self, warmup: Duration) -> Self {
        let rate = self.pieces.first().map_or(1.0, |piece| piece.from);
        if !warmup.is_zero() {
            self.pieces.insert(0, Piece { from: rate, to: rate, seconds: warmup.as_secs_f64() });
        }
        self
    }

    /// The rate, where it is the same all the time.
    pub(crate) fn constant_rate(&self) -> Option<f64> {
        let first = self.pieces.first()?.from;
        let same = |piece: &Piece| piece.from == first && piece.to == first;
        self.pieces.iter().all(same).then_some(first)
    }

    /// How the rate changes, where it does.
    pub(crate) fn changes(&self) -> Option<String> {
        if self.constant_rate().is_some() {
            return None;
        }
        if let Some(ramp) = self.pieces.iter().find(|piece| piece.from != piece.to) {
            let (from, to) = (rate(ramp.from), rate(ramp.to));
            return Some(format!("from {from} to {to} requests/s"));
        }
        let mut rates: Vec<String> = self.pieces.iter().map(|piece| rate(piece.from)).collect();
        // A warm-up is at the first rate.
        rates.dedup();
        Some(format!("at {} requests/s in turn", rates.join(", ")))
    }

    /// Its pieces as `(from, to, seconds)`, for those who show them.
    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }
}

/// How arrivals are spread around the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Arrivals {
    // Equal distances.
    Constant,
    // Independent users: exponential distances.
    Poisson,
}

/// Which part of all arrivals one schedule yields: a worker's share of a lane's share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    /// 0 <= `index` < `of`: the schedules of a lane, one a worker.
    pub(crate) index: u64,
    pub(crate) of: u64,
    /// 0 < `part` <= 1: the lane's part of the profile's rate.
    pub(crate) part: f64,
}

/// The due times of one worker in one lane.
#[derive(Debug)]
pub(crate) struct Schedule {
    pieces: Vec<Piece>,
    arrivals: Arrivals,
    share: Share,
    /// Arrivals of the whole profile before this one, whole for constant arrivals.
    count: f64,
    /// The piece that holds it, and what lies before that piece.
    piece: usize,
    before_count: f64,
    before_seconds: f64,
}

impl Schedule {
    /// The schedule of one share of `profile`.
    pub(crate) fn new(profile: &Profile, arrivals: Arrivals, share: Share) -> Self {
        Self {
            pieces: profile.pieces.clone(),
            arrivals,
            share,
            count: -1.0,
            piece: 0,
            before_count: 0.0,
            before_seconds: 0.0,
        }
    }

    /// When the next request is due, in nanoseconds from the start; `None` when none is left.
    pub(crate) fn next(&mut self, rng: &mut fastrand::Rng) -> Option<u64> {
        let step = self.share.of as f64 / self.share.part;
        self.count = match (self.arrivals, self.count < 0.0) {
            (Arrivals::Constant, true) => self.share.index as f64 / self.share.part,
            (Arrivals::Constant, false) => self.count + step,
            (Arrivals::Poisson, first) => {
                let count = if first { 0.0 } else { self.count };
                // 1 - f64() lies in (0, 1]: the logarithm is finite.
                count - (1.0 - rng.f64()).ln() * step
            }
        };
        self.time_of_count().map(|seconds| (seconds * 1e9) as u64)
    }

    fn time_of_count(&mut self) -> Option<f64> {
        loop {
            let piece = self.pieces.get(self.piece)?;
            let within = self.count - self.before_count;
            let whole = piece.count_at(piece.seconds);
            if within < whole {
                return Some(self.before_seconds + piece.time_of(within));
            }
            self.before_count += whole;
            self.before_seconds += piece.seconds;
            self.piece += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Share = Share { index: 0, of: 1, part: 1.0 };

    fn due(profile: &Profile, arrivals: Arrivals, share: Share, until: u64) -> Vec<u64> {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut schedule = Schedule::new(profile, arrivals, share);
        std::iter::from_fn(|| schedule.next(&mut rng)).take_while(|due| *due < until).collect()
    }

    #[test]
    fn changes_of_the_rate_are_told() {
        let (second, words) = (Duration::from_secs(1), |profile: Profile| profile.changes());
        assert_eq!(words(Profile::constant(5.0).after_warmup(second)), None);
        let ramp = words(Profile::ramp(100.0, 2000.0, second).after_warmup(second));
        assert_eq!(ramp.as_deref(), Some("from 100 to 2,000 requests/s"));
        let steps = words(Profile::steps(&[500.0, 1000.0], second).after_warmup(second));
        assert_eq!(steps.as_deref(), Some("at 500, 1,000 requests/s in turn"));
    }

    #[test]
    fn a_constant_rate_has_equal_distances() {
        let times = due(&Profile::constant(4.0), Arrivals::Constant, ALL, 1_000_000_001);
        assert_eq!(times, [0, 250_000_000, 500_000_000, 750_000_000, 1_000_000_000]);
    }

    #[test]
    fn shares_of_workers_and_lanes_interleave_to_the_whole() {
        let profile = Profile::ramp(100.0, 900.0, Duration::from_secs(2));
        let whole = due(&profile, Arrivals::Constant, ALL, 3_000_000_000);
        let mut parts: Vec<u64> = (0..3)
            .flat_map(|index| {
                let share = Share { index, of: 3, part: 1.0 };
                due(&profile, Arrivals::Constant, share, 3_000_000_000)
            })
            .collect();
        parts.sort_unstable();
        assert_eq!(parts, whole);
        let half = Share { index: 0, of: 1, part: 0.5 };
        assert_eq!(due(&profile, Arrivals::Constant, half, 3_000_000_000).len(), whole.len() / 2);
    }

    #[test]
    fn a_ramp_has_the_integral_of_its_rate_and_grows_denser() {
        let profile = Profile::ramp(0.0, 1000.0, Duration::from_secs(10));
        let times = due(&profile, Arrivals::Constant, ALL, 10_000_000_000);
        assert_eq!(times.len(), 5000);
        let first_half = times.iter().filter(|due| **due < 5_000_000_000).count();
        assert_eq!(first_half, 1250);
        assert!(times.windows(3).all(|w| w[2] - w[1] <= w[1] - w[0] + 1), "distances shrink");
        let after = due(&profile, Arrivals::Constant, ALL, 12_000_000_000);
        assert_eq!(after.len(), 7000, "and it stays at the last rate");
    }

    #[test]
    fn a_falling_ramp_and_a_nearly_flat_one_are_inverted_too() {
        let down = Profile::ramp(1000.0, 0.5, Duration::from_secs(10));
        let count = due(&down, Arrivals::Constant, ALL, 10_000_000_000).len();
        assert!((5002..=5003).contains(&count), "{count}");
        let flat = Profile::ramp(1_000.0, 1_000.000_001, Duration::from_secs(10));
        let times = due(&flat, Arrivals::Constant, ALL, 10_000_000_000);
        assert!(times.windows(2).all(|w| (w[1] - w[0]).abs_diff(1_000_000) < 3));
    }

    #[test]
    fn steps_end_and_a_warmup_comes_before_them() {
        let profile = Profile::steps(&[10.0, 20.0], Duration::from_secs(1));
        assert_eq!(due(&profile, Arrivals::Constant, ALL, u64::MAX).len(), 30);
        let warm = profile.after_warmup(Duration::from_secs(2));
        let times = due(&warm, Arrivals::Constant, ALL, u64::MAX);
        assert_eq!(times.len(), 50);
        assert_eq!(times.iter().filter(|due| **due < 2_000_000_000).count(), 20);
    }

    #[test]
    fn poisson_has_the_rate_and_the_spread_of_independent_arrivals() {
        let times = due(&Profile::constant(10_000.0), Arrivals::Poisson, ALL, 10_000_000_000);
        let count = times.len() as f64;
        assert!((count - 100_000.0).abs() < 1500.0, "{count} arrivals");
        let gaps: Vec<f64> = times.windows(2).map(|w| (w[1] - w[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        let variation = variance.sqrt() / mean;
        assert!((variation - 1.0).abs() < 0.02, "exponential gaps vary by their mean: {variation}");
    }

    #[test]
    fn poisson_shares_keep_the_rate() {
        let share = Share { index: 2, of: 4, part: 0.5 };
        let times = due(&Profile::constant(80_000.0), Arrivals::Poisson, share, 10_000_000_000);
        assert!((times.len() as f64 - 100_000.0).abs() < 1500.0, "{}", times.len());
    }
}
