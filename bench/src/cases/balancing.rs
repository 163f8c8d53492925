//! One pick of each balancer.

use std::hint::black_box;

use ringway_lb::{Balancer, Host, LeastRequest, Policy, Selection, Settings};

use super::{Case, numbers};

pub(super) const CASES: &[Case] = &[
    Case { name: "lb/round-robin-8", make: || pick(8, 1, Policy::RoundRobin) },
    Case { name: "lb/round-robin-1000-weighted", make: || pick(1000, 7, Policy::RoundRobin) },
    Case { name: "lb/least-request-8", make: || pick(8, 1, least(Selection::Choices(2))) },
    Case {
        name: "lb/least-request-1000-weighted",
        make: || pick(1000, 7, least(Selection::Choices(2))),
    },
    Case { name: "lb/least-request-scan-8", make: || pick(8, 1, least(Selection::FullScan)) },
    Case { name: "lb/random-8", make: || pick(8, 1, Policy::Random) },
];

fn least(selection: Selection) -> Policy {
    Policy::LeastRequest(LeastRequest { selection, ..LeastRequest::default() })
}

/// Hosts with weights from 1 to `weights` in turn.
fn pick(count: u32, weights: u32, policy: Policy) -> Box<dyn FnMut()> {
    let hosts: Vec<Host> =
        (0..count).map(|n| Host { weight: n % weights + 1, ..Host::PLAIN }).collect();
    let mut balancer = Balancer::new(&hosts, &policy, &Settings::default(), 1);
    let mut random = numbers();
    Box::new(move || {
        let host = balancer.pick(&mut random, |host| host as u32 % 3);
        black_box(host.expect("all hosts are healthy"));
    })
}
