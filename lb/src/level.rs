//! One priority of a cluster: its hosts by health, and by locality where localities are weighted.

use crate::balancer::Settings;
use crate::edf::Edf;
use crate::host::{Health, Host};
use crate::load::Census;
use crate::policy::Policy;
use crate::source::Source;

#[derive(Debug)]
pub(crate) struct Level {
    /// All hosts of this priority, in the caller's order. The membership never changes.
    members: Vec<u32>,
    all: Source,
    healthy: Tier,
    degraded: Tier,
    seed: u64,
}

/// The hosts of one health: together, and by locality.
#[derive(Debug)]
struct Tier {
    whole: Source,
    localities: Option<Localities>,
}

#[derive(Debug)]
struct Localities {
    /// Hands out indices into `sources`.
    schedule: Edf,
    sources: Vec<Source>,
}

impl Level {
    pub(crate) fn new(members: Vec<u32>, hosts: &[Host], policy: &Policy, seed: u64) -> Self {
        let tier = || Tier { whole: Source::new(seed), localities: None };
        let mut all = Source::new(seed);
        all.refill(members.iter().copied(), hosts, policy);
        Self { members, all, healthy: tier(), degraded: tier(), seed }
    }

    /// Brings the tiers up to date with the health of the hosts and counts them. O(n log n) in
    /// the hosts of this priority.
    pub(crate) fn refresh(&mut self, hosts: &[Host], policy: &Policy, settings: &Settings) {
        let Self { members, healthy, degraded, seed, .. } = self;
        let build = Build { members, hosts, policy, settings, seed: *seed };
        build.refresh(healthy, Health::Healthy);
        build.refresh(degraded, Health::Degraded);
    }

    pub(crate) fn census(&self, hosts: &[Host]) -> Census {
        let mut census = Census::default();
        for &id in &self.members {
            let host = &hosts[id as usize];
            let weight = u64::from(host.effective_weight());
            census.hosts += 1;
            census.weight += weight;
            match host.health {
                Health::Healthy => {
                    census.healthy += 1;
                    census.healthy_weight += weight;
                }
                Health::Degraded => {
                    census.degraded += 1;
                    census.degraded_weight += weight;
                }
                Health::Unhealthy => {}
            }
        }
        census
    }

    /// Any host, whatever its health: the choice in panic.
    pub(crate) fn any(&mut self) -> &mut Source {
        &mut self.all
    }

    /// The hosts of this health among which the next request is balanced.
    pub(crate) fn available(&mut self, health: Health) -> &mut Source {
        let tier = match health {
            Health::Degraded => &mut self.degraded,
            Health::Healthy | Health::Unhealthy => &mut self.healthy,
        };
        match &mut tier.localities {
            Some(Localities { schedule, sources }) => match schedule.pick() {
                Some(index) => &mut sources[index as usize],
                None => &mut tier.whole,
            },
            None => &mut tier.whole,
        }
    }
}

/// What a rebuild reads.
struct Build<'a> {
    members: &'a [u32],
    hosts: &'a [Host],
    policy: &'a Policy,
    settings: &'a Settings,
    seed: u64,
}

impl Build<'_> {
    fn refresh(&self, tier: &mut Tier, health: Health) {
        let of_health = |&id: &u32| self.host(id).health == health;
        let members = self.members.iter().copied().filter(of_health);
        tier.whole.refill(members, self.hosts, self.policy);
        tier.localities = match &self.settings.locality_weights {
            Some(weights) => self.localities(weights, health),
            None => None,
        };
    }

    /// A schedule over the localities that have hosts of this health, or none where no locality
    /// has both such hosts and a weight: then the priority is balanced as a whole.
    fn localities(&self, weights: &[u32], health: Health) -> Option<Localities> {
        let mut sources = Vec::new();
        let mut entries = Vec::new();
        for (locality, &weight) in weights.iter().enumerate() {
            let weight = f64::from(weight) * self.locality_availability(locality as u32, health);
            if weight > 0.0 {
                entries.push((sources.len() as u32, weight));
                sources.push(self.locality_source(locality as u32, health));
            }
        }
        (!sources.is_empty())
            .then(|| Localities { schedule: Edf::new(entries.into_iter(), self.seed), sources })
    }

    /// The part of a locality's hosts that has this health, with overprovisioning, from 0 to 1.
    fn locality_availability(&self, locality: u32, health: Health) -> f64 {
        let members = || self.members.iter().filter(|&&id| self.host(id).locality == locality);
        let total = members().count();
        if total == 0 {
            return 0.0;
        }
        let available = members().filter(|&&id| self.host(id).health == health).count();
        let factor = f64::from(self.settings.overprovisioning_factor) / 100.0;
        (factor * available as f64 / total as f64).min(1.0)
    }

    fn locality_source(&self, locality: u32, health: Health) -> Source {
        let chosen = |&id: &u32| {
            let host = self.host(id);
            host.locality == locality && host.health == health
        };
        let mut source = Source::new(self.seed);
        let members = self.members.iter().copied().filter(chosen);
        source.refill(members, self.hosts, self.policy);
        source
    }

    fn host(&self, id: u32) -> &Host {
        &self.hosts[id as usize]
    }
}
