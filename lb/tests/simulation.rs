//! A seeded simulation of a cluster under load: requests arrive, take as long as their host takes,
//! and hosts fail and recover. `RINGWAY_SIM_SEED=n` replays one seed.

use ringway_lb::{Balancer, Health, Host, LeastRequest, Policy, Settings};

struct Rng(u64);

impl Rng {
    /// xorshift64*: enough for a test, and the same everywhere.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }
}

/// One cluster: `service[i]` is the number of ticks that host `i` needs for a request.
struct Cluster {
    balancer: Balancer,
    rng: Rng,
    service: Vec<u64>,
    active: Vec<u32>,
    /// (tick at which the request ends, host).
    in_flight: Vec<(u64, usize)>,
    served: Vec<u64>,
    peak: Vec<u32>,
}

impl Cluster {
    fn new(seed: u64, hosts: &[Host], policy: Policy, service: Vec<u64>) -> Self {
        let zero = vec![0; hosts.len()];
        Self {
            balancer: Balancer::new(hosts, &policy, &Settings::default(), seed),
            // Spread over all bits; the generator must not start at zero.
            rng: Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            service,
            active: zero.clone(),
            in_flight: Vec::new(),
            served: vec![0; hosts.len()],
            peak: zero,
        }
    }

    fn tick(&mut self, now: u64, arrivals: u32) {
        let active = &mut self.active;
        self.in_flight.retain(|&(end, host)| {
            active[host] -= u32::from(end <= now);
            end > now
        });
        for _ in 0..arrivals {
            self.arrive(now);
        }
    }

    fn arrive(&mut self, now: u64) {
        let Self { balancer, rng, active, .. } = self;
        let host = balancer.pick(|| rng.next(), |host| active[host]).expect("a host in panic too");
        self.active[host] += 1;
        self.served[host] += 1;
        self.peak[host] = self.peak[host].max(self.active[host]);
        self.in_flight.push((now + self.service[host], host));
    }
}

fn seeds() -> Vec<u64> {
    match std::env::var("RINGWAY_SIM_SEED") {
        Ok(seed) => vec![seed.parse().expect("RINGWAY_SIM_SEED is a number")],
        Err(_) => (1..=20).collect(),
    }
}

#[test]
fn least_request_keeps_a_slow_host_from_piling_up() {
    for seed in seeds() {
        let mut service = vec![10; 8];
        service[3] = 100;
        let hosts = [Host::PLAIN; 8];
        let run = |policy| {
            let mut cluster = Cluster::new(seed, &hosts, policy, service.clone());
            (0..5_000).for_each(|now| cluster.tick(now, 2));
            cluster
        };
        let least = run(Policy::LeastRequest(LeastRequest::default()));
        let turn = run(Policy::RoundRobin);
        assert!(
            least.peak[3] * 4 < turn.peak[3] * 3,
            "seed {seed}: {:?} {:?}",
            least.peak,
            turn.peak
        );
        assert!(least.served[3] * 4 < turn.served[3] * 3, "seed {seed}: {:?}", least.served);
    }
}

#[test]
fn hosts_that_fail_and_recover_never_take_more_than_panic_allows() {
    for seed in seeds() {
        let hosts: Vec<_> =
            (0..9).map(|index| Host { priority: index / 5, ..Host::PLAIN }).collect();
        let mut cluster = Cluster::new(seed, &hosts, Policy::RoundRobin, vec![3; 9]);
        for now in 0..3_000 {
            let host = cluster.rng.below(9) as usize;
            let healths = [Health::Healthy, Health::Degraded, Health::Unhealthy];
            let health = healths[cluster.rng.below(3) as usize];
            cluster.balancer.set_health(host, health);
            let before = (cluster.balancer.panic_picks(), cluster.served.clone());
            cluster.tick(now, 1);
            let picked = (0..9).find(|&host| cluster.served[host] > before.1[host]).unwrap();
            let panicked = cluster.balancer.panic_picks() > before.0;
            let healthy = cluster.balancer.hosts()[picked].health != Health::Unhealthy;
            assert!(healthy || panicked, "seed {seed}, tick {now}: host {picked} is down");
        }
    }
}

#[test]
fn a_seed_replays_exactly() {
    let run = |seed| {
        let policy = Policy::LeastRequest(LeastRequest::default());
        let mut cluster = Cluster::new(seed, &[Host::PLAIN; 6], policy, vec![5; 6]);
        (0..500).for_each(|now| cluster.tick(now, 3));
        cluster.in_flight
    };
    assert_eq!(run(42), run(42));
    assert_ne!(run(42), run(43));
}
