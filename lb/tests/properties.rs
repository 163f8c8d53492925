//! What must hold for every cluster, whatever its hosts, policy and settings.

use std::collections::HashSet;

use proptest::prelude::*;
use ringway_lb::{Balancer, Health, Host, LeastRequest, Policy, Selection, Settings};

fn health() -> impl Strategy<Value = Health> {
    prop_oneof![Just(Health::Healthy), Just(Health::Degraded), Just(Health::Unhealthy)]
}

fn hosts() -> impl Strategy<Value = Vec<Host>> {
    let host = (any::<bool>(), 0..u32::MAX, health(), 0..4_u32, 0..4_u32).prop_map(
        |(plain, weight, health, priority, locality)| Host {
            weight: if plain { 1 } else { weight },
            health,
            priority,
            locality,
        },
    );
    prop::collection::vec(host, 0..24)
}

fn policy() -> impl Strategy<Value = Policy> {
    let bias = prop_oneof![Just(0.0), Just(1.0), any::<f64>()];
    let selection = prop_oneof![(0..5_u32).prop_map(Selection::Choices), Just(Selection::FullScan)];
    prop_oneof![
        Just(Policy::RoundRobin),
        Just(Policy::Random),
        (selection, bias).prop_map(|(selection, active_request_bias)| {
            Policy::LeastRequest(LeastRequest { selection, active_request_bias })
        }),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let weights = prop::option::of(prop::collection::vec(any::<u32>(), 0..5));
    (any::<f64>(), 100..1_000_u32, any::<bool>(), any::<bool>(), weights).prop_map(
        |(percent, overprovisioning_factor, weighted, fail, locality_weights)| Settings {
            panic_threshold_percent: percent.abs() % 101.0,
            overprovisioning_factor,
            weighted_priority_health: weighted,
            fail_traffic_on_panic: fail,
            locality_weights,
        },
    )
}

proptest! {
    #[test]
    fn shares_add_up_to_a_hundred(hosts in hosts(), policy in policy(), settings in settings()) {
        let balancer = Balancer::new(&hosts, &policy, &settings, 0);
        let total: u32 = balancer.loads().iter().map(|load| load.healthy + load.degraded).sum();
        prop_assert_eq!(total, if hosts.is_empty() { 0 } else { 100 });
    }

    #[test]
    fn a_pick_is_a_host_that_may_take_load(
        hosts in hosts(),
        policy in policy(),
        settings in settings(),
        randoms in prop::collection::vec(any::<u64>(), 1..64),
        seed in any::<u64>(),
    ) {
        let mut balancer = Balancer::new(&hosts, &policy, &settings, seed);
        let mut draws = randoms.iter().copied().cycle();
        for _ in 0..100 {
            let before = balancer.panic_picks();
            let active = |host: usize| randoms[host % randoms.len()] as u32;
            let picked = balancer.pick(|| draws.next().unwrap(), active);
            let panicked = balancer.panic_picks() > before;
            match picked {
                Some(index) => {
                    let host = hosts[index];
                    let load = balancer.loads()[host.priority as usize];
                    prop_assert_eq!(panicked, load.panic);
                    prop_assert!(panicked || host.health != Health::Unhealthy);
                    prop_assert!(load.healthy + load.degraded > 0);
                }
                None => {
                    let available = hosts.iter().any(|host| host.health != Health::Unhealthy);
                    prop_assert!(!available || (panicked && settings.fail_traffic_on_panic));
                }
            }
        }
    }

    #[test]
    fn health_may_change_in_any_order(
        hosts in hosts(),
        policy in policy(),
        settings in settings(),
        changes in prop::collection::vec((0..30_usize, health()), 0..40),
    ) {
        let mut one_by_one = Balancer::new(&hosts, &policy, &settings, 7);
        let mut at_once = Balancer::new(&hosts, &policy, &settings, 7);
        for &(index, health) in &changes {
            one_by_one.set_health(index, health);
        }
        at_once.set_healths(changes);
        prop_assert_eq!(one_by_one.hosts(), at_once.hosts());
        prop_assert_eq!(one_by_one.loads(), at_once.loads());
        let fresh = Balancer::new(at_once.hosts(), &policy, &settings, 7);
        prop_assert_eq!(fresh.loads(), at_once.loads());
    }

    #[test]
    fn every_healthy_host_gets_its_turn(weights in prop::collection::vec(1..20_u32, 1..12)) {
        let hosts: Vec<_> =
            weights.iter().map(|&weight| Host { weight, ..Host::PLAIN }).collect();
        let mut balancer = Balancer::new(&hosts, &Policy::RoundRobin, &Settings::default(), 0);
        let round: u32 = weights.iter().sum();
        let seen: HashSet<_> =
            (0..round).filter_map(|_| balancer.pick(|| 0, |_| 0)).collect();
        prop_assert_eq!(seen.len(), hosts.len());
    }
}
