//! When a name is asked for again.

use std::time::Duration;

/// The refresh settings of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// `dns_refresh_rate`, 5 s.
    pub refresh: Duration,
    /// `dns_failure_refresh_rate`; without it the refresh rate holds.
    pub failure: Option<FailureRefresh>,
    /// `dns_jitter`: up to this much is added to the refresh rate.
    pub jitter: Duration,
    /// `respect_dns_ttl`: the answer's lowest TTL replaces the refresh rate.
    pub respect_ttl: bool,
}

/// `dns_failure_refresh_rate`: an exponential backoff with full jitter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureRefresh {
    /// `base_interval`.
    pub base: Duration,
    /// `max_interval`, ten times the base unless configured.
    pub max: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(5),
            failure: None,
            jitter: Duration::ZERO,
            respect_ttl: false,
        }
    }
}

impl Schedule {
    /// The pause after an answer; `random` is in 0..1. A TTL of 0 cannot be respected: the
    /// refresh rate holds.
    pub(super) fn after_answer(&self, ttl: Option<Duration>, random: f64) -> Duration {
        let ttl = ttl.filter(|ttl| self.respect_ttl && !ttl.is_zero());
        ttl.unwrap_or(self.refresh) + self.jitter.mul_f64(random)
    }

    /// The pause after that many failures in a row, one at least.
    pub(super) fn after_failure(&self, failures: u32, random: f64) -> Duration {
        let Some(backoff) = &self.failure else { return self.after_answer(None, random) };
        let factor = 1_u32 << failures.saturating_sub(1).min(16);
        let ceiling = backoff.base.saturating_mul(factor).min(backoff.max);
        // A pause of nothing would ask a failing name server in a tight loop.
        ceiling.mul_f64(random).max(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_ttl_counts_only_if_it_is_to_be_respected() {
        let mut schedule = Schedule { jitter: ms(1000), ..Schedule::default() };
        assert_eq!(schedule.after_answer(Some(ms(60_000)), 0.5), ms(5500));
        schedule.respect_ttl = true;
        assert_eq!(schedule.after_answer(Some(ms(60_000)), 0.0), ms(60_000));
        assert_eq!(schedule.after_answer(Some(ms(0)), 0.0), ms(5000));
        assert_eq!(schedule.after_answer(None, 0.0), ms(5000));
    }

    #[test]
    fn failures_back_off_up_to_a_maximum() {
        let failure = Some(FailureRefresh { base: ms(100), max: ms(500) });
        let schedule = Schedule { failure, ..Schedule::default() };
        let pauses = [1, 2, 3, 4, u32::MAX].map(|n| schedule.after_failure(n, 1.0));
        assert_eq!(pauses, [ms(100), ms(200), ms(400), ms(500), ms(500)]);
        assert_eq!(schedule.after_failure(1, 0.0), ms(1));
        assert_eq!(Schedule::default().after_failure(3, 0.0), ms(5000));
    }
}
