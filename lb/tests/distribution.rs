//! Exact shares: what each policy gives to each host over whole rounds.

use ringway_lb::{Balancer, Health, Host, LeastRequest, Policy, Selection, Settings};

fn weighted(weights: &[u32]) -> Vec<Host> {
    weights.iter().map(|&weight| Host { weight, ..Host::PLAIN }).collect()
}

fn balancer(hosts: &[Host], policy: Policy) -> Balancer {
    Balancer::new(hosts, &policy, &Settings::default(), 0)
}

/// A generator that only a test may use: splitmix64.
fn generator(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

fn no_random() -> u64 {
    panic!("this choice needs no random number")
}

fn idle(_: usize) -> u32 {
    0
}

fn counts(balancer: &mut Balancer, picks: usize, mut random: impl FnMut() -> u64) -> Vec<usize> {
    let mut counts = vec![0; balancer.hosts().len()];
    for _ in 0..picks {
        counts[balancer.pick(&mut random, idle).expect("a host")] += 1;
    }
    counts
}

fn assert_near(found: usize, wanted: usize, percent: usize) {
    let slack = wanted * percent / 100;
    assert!(found.abs_diff(wanted) <= slack, "{found} is not within {percent} % of {wanted}");
}

#[test]
fn equal_weights_rotate_in_order_without_randomness() {
    let mut balancer = balancer(&weighted(&[7, 7, 7]), Policy::RoundRobin);
    let picks: Vec<_> = (0..7).map(|_| balancer.pick(no_random, idle).unwrap()).collect();
    assert_eq!(picks, [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn the_seed_says_where_the_rotation_begins() {
    for seed in 0..9 {
        let hosts = weighted(&[1, 1, 1]);
        let mut balancer = Balancer::new(&hosts, &Policy::RoundRobin, &Settings::default(), seed);
        assert_eq!(balancer.pick(no_random, idle), Some(seed as usize % 3));
    }
    let hosts = weighted(&[1, 1, 1]);
    let mut last = Balancer::new(&hosts, &Policy::RoundRobin, &Settings::default(), u64::MAX);
    assert!(last.pick(no_random, idle).is_some() && last.pick(no_random, idle).is_some());
}

#[test]
fn unequal_weights_are_exact_over_a_round() {
    let weights = [5, 3, 2, 1, 89];
    for seed in [0, 1, 57, 99, 1_000_003] {
        let hosts = weighted(&weights);
        let mut balancer = Balancer::new(&hosts, &Policy::RoundRobin, &Settings::default(), seed);
        // 100 rounds: a host that is off by one at either end does not hide a drift.
        for (found, weight) in counts(&mut balancer, 100 * 100, no_random).iter().zip(weights) {
            assert!(found.abs_diff(weight as usize * 100) <= 1, "{found} for weight {weight}");
        }
    }
}

#[test]
fn a_weight_of_zero_counts_as_one() {
    let mut balancer = balancer(&weighted(&[0, 1]), Policy::RoundRobin);
    assert_eq!(counts(&mut balancer, 10, no_random), [5, 5]);
}

#[test]
fn random_is_uniform_and_ignores_weights() {
    let mut balancer = balancer(&weighted(&[1, 1000, 1, 1]), Policy::Random);
    for found in counts(&mut balancer, 40_000, generator(1)) {
        assert_near(found, 10_000, 4);
    }
}

#[test]
fn least_request_prefers_the_idle_host_of_the_two_it_draws() {
    let mut balancer =
        balancer(&weighted(&[1, 1, 1, 1]), Policy::LeastRequest(LeastRequest::default()));
    let mut random = generator(2);
    let mut counts = [0; 4];
    for _ in 0..40_000 {
        // Loads 0, 1, 2, 3: the lightest of two draws with replacement.
        counts[balancer.pick(&mut random, |host| host as u32).unwrap()] += 1;
    }
    for (found, sixteenths) in counts.into_iter().zip([7, 5, 3, 1]) {
        assert_near(found, sixteenths * 2_500, 6);
    }
}

#[test]
fn a_full_scan_finds_the_least_loaded_and_breaks_ties_evenly() {
    let params = LeastRequest { selection: Selection::FullScan, ..LeastRequest::default() };
    let mut balancer = balancer(&weighted(&[1; 5]), Policy::LeastRequest(params));
    let mut random = generator(3);
    let loads = [4, 2, 9, 2, 2];
    let mut counts = [0; 5];
    for _ in 0..30_000 {
        counts[balancer.pick(&mut random, |host| loads[host]).unwrap()] += 1;
    }
    assert_eq!((counts[0], counts[2]), (0, 0));
    for host in [1, 3, 4] {
        assert_near(counts[host], 10_000, 4);
    }
}

#[test]
fn weighted_least_request_divides_the_weight_by_the_load() {
    // Weights 4 and 1; the heavy host has three requests in flight: an equal share.
    let mut balancer = balancer(&weighted(&[4, 1]), Policy::LeastRequest(LeastRequest::default()));
    let mut counts = [0_usize; 2];
    for _ in 0..1_000 {
        counts[balancer.pick(no_random, |host| [3, 0][host]).unwrap()] += 1;
    }
    assert!(counts[0].abs_diff(500) <= 2, "{counts:?}");
}

#[test]
fn a_bias_of_zero_is_weighted_round_robin() {
    let params = LeastRequest { active_request_bias: 0.0, ..LeastRequest::default() };
    let mut balancer = balancer(&weighted(&[4, 1]), Policy::LeastRequest(params));
    let mut counts = [0_usize; 2];
    for _ in 0..1_000 {
        counts[balancer.pick(no_random, |host| [1000, 0][host]).unwrap()] += 1;
    }
    assert!(counts[0].abs_diff(800) <= 2, "{counts:?}");
}

#[test]
fn load_spills_over_to_the_next_priority() {
    let mut hosts = weighted(&[1; 8]);
    for (index, host) in hosts.iter_mut().enumerate() {
        host.priority = u32::from(index >= 4);
        // Half of priority 0 is down: 70 % stays.
        host.health = if index < 2 { Health::Unhealthy } else { Health::Healthy };
    }
    let mut balancer = balancer(&hosts, Policy::RoundRobin);
    let counts = counts(&mut balancer, 100_000, generator(4));
    assert_eq!(&counts[..2], [0, 0]);
    assert_near(counts[2], 35_000, 2);
    assert_near(counts[3], 35_000, 2);
    assert_near(counts[4..].iter().sum(), 30_000, 2);
}

#[test]
fn degraded_hosts_wait_for_a_shortage() {
    let mut hosts = weighted(&[1; 4]);
    hosts[3].health = Health::Degraded;
    let mut balancer = balancer(&hosts, Policy::RoundRobin);
    assert_eq!(counts(&mut balancer, 12, no_random), [4, 4, 4, 0]);

    balancer.set_healths([(1, Health::Degraded), (2, Health::Degraded)]);
    let counts = counts(&mut balancer, 100_000, generator(5));
    assert_near(counts[0], 35_000, 2);
    assert_near(counts[1..].iter().sum(), 65_000, 2);
}

#[test]
fn panic_ignores_health_or_refuses() {
    let mut hosts = weighted(&[1; 4]);
    hosts[1..].iter_mut().for_each(|host| host.health = Health::Unhealthy);
    let mut open = balancer(&hosts, Policy::RoundRobin);
    assert_eq!(counts(&mut open, 8, no_random), [2, 2, 2, 2]);
    assert_eq!(open.panic_picks(), 8);

    let refuse = Settings { fail_traffic_on_panic: true, ..Settings::default() };
    let mut closed = Balancer::new(&hosts, &Policy::RoundRobin, &refuse, 0);
    assert_eq!(closed.pick(no_random, idle), None);
    assert_eq!(closed.panic_picks(), 1);

    let calm = Settings { panic_threshold_percent: 0.0, ..Settings::default() };
    let mut calm = Balancer::new(&hosts, &Policy::RoundRobin, &calm, 0);
    assert_eq!(counts(&mut calm, 8, no_random), [8, 0, 0, 0]);
    calm.set_health(0, Health::Unhealthy);
    assert_eq!(calm.pick(no_random, idle), None);
    assert_eq!(calm.panic_picks(), 0);
}

#[test]
fn an_empty_cluster_has_no_host() {
    let mut balancer = balancer(&[], Policy::Random);
    assert_eq!(balancer.pick(no_random, idle), None);
    balancer.set_health(3, Health::Healthy);
    assert_eq!(balancer.pick(no_random, idle), None);
}

#[test]
fn localities_share_by_weight_and_availability() {
    let mut hosts = weighted(&[1; 8]);
    hosts.iter_mut().enumerate().for_each(|(index, host)| host.locality = index as u32 / 4);
    let settings = Settings { locality_weights: Some(vec![1, 2]), ..Settings::default() };
    let mut balancer = Balancer::new(&hosts, &Policy::RoundRobin, &settings, 0);
    let all = counts(&mut balancer, 1_200, no_random);
    assert_eq!(all, [100, 100, 100, 100, 200, 200, 200, 200]);

    // Half of locality 1 is gone: its weight is 2 * 0.5 * 1.4 = 1.4 against 1.
    balancer.set_healths([(4, Health::Unhealthy), (5, Health::Unhealthy)]);
    let fewer = counts(&mut balancer, 24_000, no_random);
    assert_eq!(&fewer[4..6], [0, 0]);
    assert!(fewer[..4].iter().sum::<usize>().abs_diff(10_000) <= 2, "{fewer:?}");
}

#[test]
fn a_locality_without_weight_gets_no_load_and_without_any_weight_all_do() {
    let mut hosts = weighted(&[1; 4]);
    hosts[3].locality = 7;
    let of = |weights| Settings { locality_weights: Some(weights), ..Settings::default() };
    let mut some = Balancer::new(&hosts, &Policy::RoundRobin, &of(vec![5]), 0);
    assert_eq!(counts(&mut some, 9, no_random), [3, 3, 3, 0]);
    let mut none = Balancer::new(&hosts, &Policy::RoundRobin, &of(vec![0]), 0);
    assert_eq!(counts(&mut none, 8, no_random), [2, 2, 2, 2]);
}

#[test]
fn a_host_that_flaps_does_not_restart_the_rotation() {
    let mut balancer = balancer(&weighted(&[1; 5]), Policy::RoundRobin);
    let mut counts = [0; 5];
    for round in 0..1_000 {
        let health = if round % 2 == 0 { Health::Unhealthy } else { Health::Healthy };
        balancer.set_health(4, health);
        counts[balancer.pick(no_random, idle).unwrap()] += 1;
    }
    // Rounds of five and of four hosts take turns: nobody is more than a little ahead.
    assert!(counts[..4].iter().all(|count| (200..=250).contains(count)), "{counts:?}");
}

#[test]
fn a_weighted_flap_does_not_restart_the_schedule() {
    let mut balancer = balancer(&weighted(&[4, 3, 2, 1, 5]), Policy::RoundRobin);
    let mut counts = [0; 5];
    for round in 0..2_000 {
        let health = if round % 2 == 0 { Health::Unhealthy } else { Health::Healthy };
        balancer.set_health(4, health);
        counts[balancer.pick(no_random, idle).unwrap()] += 1;
    }
    assert!(counts[..4].iter().all(|&count| count > 50), "somebody is starved: {counts:?}");
}
