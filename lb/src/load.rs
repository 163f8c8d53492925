//! How the load is shared between priorities: availability, overprovisioning, spill-over to
//! degraded hosts and lower priorities, and panic. Integer percentages throughout, with Envoy's
//! rounding, so that the shares are the same to the percent.

use crate::balancer::Settings;

/// What one priority is made of. Counts decide panic; the two ratios decide availability.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Census {
    pub(crate) hosts: u64,
    pub(crate) healthy: u64,
    pub(crate) degraded: u64,
    /// Sums of weights, filled by the same walk for `weighted_priority_health`.
    pub(crate) weight: u64,
    pub(crate) healthy_weight: u64,
    pub(crate) degraded_weight: u64,
}

/// The share of one priority in the load of the cluster. The shares of all priorities add up
/// to 100 as long as the cluster has a priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PriorityLoad {
    /// Percent of the load that goes to this priority's healthy hosts; in panic, to all its hosts.
    pub healthy: u32,
    /// Percent of the load that goes to this priority's degraded hosts.
    pub degraded: u32,
    /// Too few hosts are available: health is ignored, or the load refused.
    pub panic: bool,
}

/// Percent of a priority that can carry load, each already multiplied by overprovisioning and
/// capped at 100.
#[derive(Clone, Copy)]
struct Availability {
    healthy: u32,
    degraded: u32,
}

/// Shares out the load over priorities `0..levels.len()`.
pub(crate) fn distribute(levels: &[Census], settings: &Settings) -> Vec<PriorityLoad> {
    let available: Vec<_> = levels.iter().map(|level| availability(level, settings)).collect();
    let total: u32 = available.iter().map(|level| level.healthy + level.degraded).sum();
    let total = total.min(100);
    let mut loads = vec![PriorityLoad::default(); levels.len()];
    if total > 0 {
        share_by_availability(&mut loads, &available, total);
    }
    // With enough hosts in all priorities together there is no panic, however poor one of them is.
    if total < 100 {
        mark_panic(&mut loads, levels, settings.panic_threshold());
    }
    if loads.iter().all(|load| load.panic) {
        share_by_hosts(&mut loads, levels);
    } else if total == 0 {
        book_on_the_first(&mut loads, levels);
    }
    loads
}

fn availability(level: &Census, settings: &Settings) -> Availability {
    let (healthy, degraded, total) = if settings.weighted_priority_health {
        (level.healthy_weight, level.degraded_weight, level.weight)
    } else {
        (level.healthy, level.degraded, level.hosts)
    };
    let percent = |part: u64| {
        let scaled = u64::from(settings.overprovisioning_factor).saturating_mul(part);
        // An empty priority has no availability. The cap makes the cast lossless.
        scaled.checked_div(total).unwrap_or(0).min(100) as u32
    };
    Availability { healthy: percent(healthy), degraded: percent(degraded) }
}

/// Gives healthy hosts of all priorities what they can carry, in order of priority, then degraded
/// hosts what is left. `total` is the availability of all priorities, from 1 to 100.
fn share_by_availability(loads: &mut [PriorityLoad], available: &[Availability], total: u32) {
    let mut left = 100;
    for (load, level) in loads.iter_mut().zip(available) {
        load.healthy = left.min(level.healthy * 100 / total);
        left -= load.healthy;
    }
    for (load, level) in loads.iter_mut().zip(available) {
        load.degraded = left.min(level.degraded * 100 / total);
        left -= load.degraded;
    }
    // What is left is rounding: it goes to the first priority that is available at all.
    if let Some(first) = available.iter().position(|level| level.healthy > 0) {
        loads[first].healthy += left;
    } else if let Some(first) = available.iter().position(|level| level.degraded > 0) {
        loads[first].degraded += left;
    }
}

fn mark_panic(loads: &mut [PriorityLoad], levels: &[Census], threshold_percent: u32) {
    for (load, level) in loads.iter_mut().zip(levels) {
        // available / hosts < threshold / 100 without a division; an empty priority counts as 0 %.
        let available = (level.healthy + level.degraded) * 100;
        load.panic = match level.hosts {
            0 => threshold_percent > 0,
            hosts => available < hosts * u64::from(threshold_percent),
        };
    }
}

/// The share of each priority by its number of hosts, whatever their health: every priority
/// panics.
fn share_by_hosts(loads: &mut [PriorityLoad], levels: &[Census]) {
    let total: u64 = levels.iter().map(|level| level.hosts).sum();
    let mut left = 100;
    for (load, level) in loads.iter_mut().zip(levels) {
        load.degraded = 0;
        load.healthy = (level.hosts * 100 / total.max(1)) as u32;
        left -= load.healthy;
    }
    let first = levels.iter().position(|level| level.hosts > 0).unwrap_or(0);
    if let Some(load) = loads.get_mut(first) {
        load.healthy += left;
    }
}

/// Nothing is available to the percent, and panic is off. Envoy then books all the load on
/// priority 0; here it goes to the few hosts that are available after all, whose share was rounded
/// down to nothing, and to priority 0 only when there are none.
fn book_on_the_first(loads: &mut [PriorityLoad], levels: &[Census]) {
    let healthy = levels.iter().position(|level| level.healthy > 0);
    let degraded = levels.iter().position(|level| level.degraded > 0);
    match (healthy, degraded) {
        (None, Some(first)) => loads[first].degraded = 100,
        _ => loads[healthy.unwrap_or(0)].healthy = 100,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Levels given as (hosts, healthy, degraded); the answer as (healthy, degraded, panic).
    fn check(levels: &[(u64, u64, u64)], wanted: &[(u32, u32, bool)]) {
        check_with(&Settings::default(), levels, wanted);
    }

    fn check_with(settings: &Settings, levels: &[(u64, u64, u64)], wanted: &[(u32, u32, bool)]) {
        let census: Vec<_> = levels
            .iter()
            .map(|&(hosts, healthy, degraded)| Census { hosts, healthy, degraded, ..empty() })
            .collect();
        let found: Vec<_> = distribute(&census, settings)
            .iter()
            .map(|load| (load.healthy, load.degraded, load.panic))
            .collect();
        assert_eq!(found, wanted, "for {levels:?}");
    }

    fn empty() -> Census {
        Census::default()
    }

    // The table in Envoy's documentation of priority levels, two priorities.
    #[test]
    fn two_priorities_spill_over_as_documented() {
        check(&[(100, 100, 0), (100, 100, 0)], &[(100, 0, false), (0, 0, false)]);
        check(&[(100, 72, 0), (100, 72, 0)], &[(100, 0, false), (0, 0, false)]);
        check(&[(100, 71, 0), (100, 71, 0)], &[(99, 0, false), (1, 0, false)]);
        check(&[(100, 50, 0), (100, 50, 0)], &[(70, 0, false), (30, 0, false)]);
        check(&[(100, 25, 0), (100, 100, 0)], &[(35, 0, false), (65, 0, false)]);
        check(&[(100, 0, 0), (100, 100, 0)], &[(0, 0, false), (100, 0, false)]);
    }

    // The rows of the same table where both are short and the threshold is below them.
    #[test]
    fn a_shortage_is_shared_in_proportion() {
        let calm = Settings { panic_threshold_percent: 0.0, ..Settings::default() };
        check_with(&calm, &[(100, 25, 0), (100, 25, 0)], &[(50, 0, false), (50, 0, false)]);
        check_with(&calm, &[(100, 25, 0), (100, 20, 0)], &[(56, 0, false), (44, 0, false)]);
    }

    // The table in Envoy's documentation of the panic threshold.
    #[test]
    fn panic_is_per_priority_and_only_when_all_are_short() {
        check(&[(100, 72, 0), (100, 72, 0)], &[(100, 0, false), (0, 0, false)]);
        check(&[(100, 30, 0), (100, 60, 0)], &[(42, 0, false), (58, 0, false)]);
        check(&[(100, 50, 0), (100, 10, 0)], &[(84, 0, false), (16, 0, true)]);
        check(&[(100, 5, 0), (100, 65, 0)], &[(8, 0, true), (92, 0, false)]);
    }

    #[test]
    fn total_panic_shares_by_the_number_of_hosts() {
        check(&[(2, 0, 0), (1, 0, 0)], &[(67, 0, true), (33, 0, true)]);
        check(&[(100, 10, 0), (100, 20, 0)], &[(50, 0, true), (50, 0, true)]);
        check(&[(0, 0, 0), (3, 0, 0)], &[(0, 0, true), (100, 0, true)]);
    }

    #[test]
    fn with_panic_off_nothing_available_books_all_on_priority_zero() {
        let calm = Settings { panic_threshold_percent: 0.0, ..Settings::default() };
        check_with(&calm, &[(4, 0, 0), (4, 0, 0)], &[(100, 0, false), (0, 0, false)]);
    }

    #[test]
    fn a_share_rounded_down_to_nothing_still_finds_the_last_host() {
        let calm = Settings { panic_threshold_percent: 0.0, ..Settings::default() };
        check_with(&calm, &[(4, 0, 0), (200, 1, 0)], &[(0, 0, false), (100, 0, false)]);
        check_with(&calm, &[(4, 0, 0), (200, 0, 1)], &[(0, 0, false), (0, 100, false)]);
    }

    // The worked example of Envoy's documentation of degraded endpoints: 25 % healthy and 75 %
    // degraded.
    #[test]
    fn degraded_hosts_take_what_healthy_hosts_cannot() {
        check(&[(4, 1, 3)], &[(35, 65, false)]);
        check(&[(4, 3, 1)], &[(100, 0, false)]);
        check(&[(4, 0, 4)], &[(0, 100, false)]);
    }

    // Healthy hosts of a lower priority come before degraded hosts of a higher one.
    #[test]
    fn a_lower_priority_goes_before_degraded_hosts() {
        check(&[(2, 0, 2), (2, 2, 0)], &[(0, 0, false), (100, 0, false)]);
    }

    // 10 / 20 / 10 % healthy and 20 / 10 / 0 % degraded: normalised to 100 with the rounding
    // given to the first healthy priority. Factor 100 makes availability equal to health.
    #[test]
    fn a_shortage_is_normalised_over_healthy_and_degraded() {
        let plain = Settings {
            overprovisioning_factor: 100,
            panic_threshold_percent: 0.0,
            ..Settings::default()
        };
        check_with(
            &plain,
            &[(10, 1, 2), (10, 2, 1), (10, 1, 0)],
            &[(16, 28, false), (28, 14, false), (14, 0, false)],
        );
    }

    #[test]
    fn weighted_health_counts_weights_instead_of_hosts() {
        let weighted = Settings { weighted_priority_health: true, ..Settings::default() };
        let level =
            Census { hosts: 2, healthy: 1, weight: 100, healthy_weight: 90, ..Census::default() };
        let spare = Census { hosts: 1, healthy: 1, weight: 1, healthy_weight: 1, ..empty() };
        assert_eq!(distribute(&[level, spare], &weighted)[0].healthy, 100);
        assert_eq!(distribute(&[level, spare], &Settings::default())[0].healthy, 70);
    }

    #[test]
    fn a_cluster_without_priorities_has_no_shares() {
        assert!(distribute(&[], &Settings::default()).is_empty());
    }
}
