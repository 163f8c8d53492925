//! The balancer of one cluster on one worker: priority, then health, then locality, then host.

use std::sync::Arc;

use crate::host::{Health, Host};
use crate::level::Level;
use crate::load::{self, PriorityLoad};
use crate::policy::{Consistent, Policy};
use crate::source::below;
use crate::table::{Build, HashTables};

/// Priorities that a cluster may have; `LocalityLbEndpoints.priority` goes up to 128.
const MAX_PRIORITIES: u32 = 129;

/// What `common_lb_config`, the locality part of a typed policy, and `ClusterLoadAssignment.policy`
/// say about sharing the load.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `healthy_panic_threshold`: below this percentage of available hosts a priority panics.
    /// Rounded to a whole percent as in Envoy; 0 turns panic off.
    pub panic_threshold_percent: f64,
    /// `overprovisioning_factor`: percent by which a priority or locality is taken to be larger
    /// than it needs to be.
    pub overprovisioning_factor: u32,
    /// `weighted_priority_health`: a priority's health is that of its weight, not of its hosts.
    pub weighted_priority_health: bool,
    /// `zone_aware_lb_config.fail_traffic_on_panic`: in panic, refuse instead of trying any host.
    pub fail_traffic_on_panic: bool,
    /// Present with `locality_weighted_lb_config`: `LocalityLbEndpoints.load_balancing_weight`,
    /// indexed by [`Host::locality`]. A locality without a weight, or beyond the end, gets no
    /// load.
    pub locality_weights: Option<Vec<u32>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            panic_threshold_percent: 50.0,
            overprovisioning_factor: 140,
            weighted_priority_health: false,
            fail_traffic_on_panic: false,
            locality_weights: None,
        }
    }
}

impl Settings {
    pub(crate) fn panic_threshold(&self) -> u32 {
        // The cast saturates, and sends NaN to 0.
        self.panic_threshold_percent.round().clamp(0.0, 100.0) as u32
    }
}

/// Chooses hosts for the requests of one cluster on one worker.
///
/// Hosts are named by their index in the slice given to [`Balancer::new`]. Membership is fixed
/// for the life of a balancer; health may change.
#[derive(Debug)]
pub struct Balancer {
    hosts: Vec<Host>,
    levels: Vec<Level>,
    loads: Vec<PriorityLoad>,
    policy: Policy,
    settings: Settings,
    panic_picks: u64,
    /// Of a policy that hashes.
    hashing: Option<Hashing>,
}

#[derive(Debug)]
struct Hashing {
    policy: Consistent,
    keys: Arc<[Arc<str>]>,
    tables: Arc<HashTables>,
}

impl Balancer {
    /// A balancer over `hosts`. `seed` says where the schedules begin: give each worker another,
    /// or all of them begin with the same host. A priority above 128 counts as 128.
    pub fn new(hosts: &[Host], policy: &Policy, settings: &Settings, seed: u64) -> Self {
        let mut balancer = Self {
            hosts: hosts.to_vec(),
            levels: levels(hosts, policy, seed),
            loads: Vec::new(),
            policy: *policy,
            settings: settings.clone(),
            panic_picks: 0,
            hashing: None,
        };
        for level in &mut balancer.levels {
            level.refresh(&balancer.hosts, policy, settings);
        }
        balancer.redistribute();
        balancer
    }

    /// The tables of a policy that hashes, over `hosts` with these keys: one key for each host.
    /// `None` for any other policy. They are made once and shared by all workers.
    pub fn hash_tables(
        hosts: &[Host],
        keys: &[Arc<str>],
        policy: &Policy,
        settings: &Settings,
    ) -> Option<HashTables> {
        let consistent = policy.consistent()?;
        let loads = Self::new(hosts, policy, settings, 0).loads;
        Some(Build { hosts, keys, settings, policy: consistent, loads: &loads }.tables())
    }

    /// The same balancer with the tables that [`Balancer::hash_tables`] has made of the same
    /// hosts, keys, policy and settings.
    #[must_use]
    pub fn with_tables(mut self, keys: Arc<[Arc<str>]>, tables: Arc<HashTables>) -> Self {
        let policy = self.policy.consistent().copied();
        self.hashing = policy.map(|policy| Hashing { policy, keys, tables });
        self
    }

    /// As [`Balancer::pick`] for a request with this hash, which counts if the policy hashes. A
    /// request without one goes anywhere.
    pub fn pick_hashed(
        &mut self,
        hash: Option<u64>,
        mut random: impl FnMut() -> u64,
        active: impl Fn(usize) -> u32,
    ) -> Option<usize> {
        let Some(Hashing { policy, tables, .. }) = &self.hashing else {
            return self.pick(random, active);
        };
        let hash = hash.unwrap_or_else(&mut random);
        // Envoy casts the hash where other policies cast a random number.
        let roll = (hash % 100) as u32;
        let Some((priority, _)) = priority_of(&self.loads, roll) else {
            self.panic_picks += u64::from(self.settings.panic_threshold_percent > 0.0);
            return None;
        };
        self.panic_picks += u64::from(self.loads[priority].panic);
        tables.pick(policy, priority, hash, active)
    }

    /// The host for the next request, or `None` when no host may take it: the cluster is empty,
    /// has no available host with panic off, or panics with `fail_traffic_on_panic`.
    ///
    /// `random` must be uniform over all of `u64`; `active(i)` is the number of requests in
    /// flight to host `i`. Costs O(log hosts) at most, plus O(priorities) when the first priority
    /// cannot carry all the load (`Selection::FullScan` apart), and allocates nothing.
    pub fn pick(
        &mut self,
        mut random: impl FnMut() -> u64,
        active: impl Fn(usize) -> u32,
    ) -> Option<usize> {
        let Some((priority, health)) = choose_priority(&self.loads, &mut random) else {
            // Envoy takes a cluster without any host for one in panic.
            self.panic_picks += u64::from(self.settings.panic_threshold_percent > 0.0);
            return None;
        };
        let level = self.levels.get_mut(priority)?;
        let source = if self.loads[priority].panic {
            self.panic_picks += 1;
            if self.settings.fail_traffic_on_panic {
                return None;
            }
            level.any()
        } else {
            level.available(health)
        };
        source.pick(&self.policy, &mut random, &active)
    }

    /// Records the health of one host. O(n log n) in the hosts of its priority when the health
    /// changed, nothing otherwise. An index out of range is ignored.
    pub fn set_health(&mut self, index: usize, health: Health) {
        self.set_healths([(index, health)]);
    }

    /// Records the health of several hosts with one rebuild for each priority that changed.
    pub fn set_healths(&mut self, changes: impl IntoIterator<Item = (usize, Health)>) {
        let mut stale = vec![false; self.levels.len()];
        for (index, health) in changes {
            let Some(host) = self.hosts.get_mut(index) else { continue };
            stale[level_of(host)] |= host.health != health;
            host.health = health;
        }
        if !stale.contains(&true) {
            return;
        }
        for (level, _) in self.levels.iter_mut().zip(stale).filter(|(_, stale)| *stale) {
            level.refresh(&self.hosts, &self.policy, &self.settings);
        }
        self.redistribute();
    }

    /// The hosts, with their present health, in the order given to [`Balancer::new`].
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The share of each priority in the load, from priority 0 up.
    pub fn loads(&self) -> &[PriorityLoad] {
        &self.loads
    }

    /// Picks that met a priority in panic since the balancer was made: `lb_healthy_panic`.
    pub fn panic_picks(&self) -> u64 {
        self.panic_picks
    }

    fn redistribute(&mut self) {
        let census: Vec<_> = self.levels.iter().map(|level| level.census(&self.hosts)).collect();
        self.loads = load::distribute(&census, &self.settings);
        if let Some(Hashing { policy, keys, tables }) = &mut self.hashing {
            let (hosts, settings, loads) = (&self.hosts, &self.settings, &self.loads);
            *tables = Arc::new(Build { hosts, keys, settings, policy, loads }.tables());
        }
    }
}

fn levels(hosts: &[Host], policy: &Policy, seed: u64) -> Vec<Level> {
    let count = hosts.iter().map(level_of).max().map_or(0, |highest| highest + 1);
    let mut members = vec![Vec::new(); count];
    for (id, host) in hosts.iter().enumerate() {
        members[level_of(host)].push(id as u32);
    }
    members.into_iter().map(|members| Level::new(members, hosts, policy, seed)).collect()
}

fn level_of(host: &Host) -> usize {
    host.priority.min(MAX_PRIORITIES - 1) as usize
}

/// Which priority takes the request, and which of its hosts.
fn choose_priority(
    loads: &[PriorityLoad],
    random: &mut impl FnMut() -> u64,
) -> Option<(usize, Health)> {
    // The usual case needs no draw: priority 0 carries everything.
    if loads.first()?.healthy == 100 {
        return Some((0, Health::Healthy));
    }
    priority_of(loads, below(random(), 100) as u32)
}

/// The same for a number below 100.
fn priority_of(loads: &[PriorityLoad], mut roll: u32) -> Option<(usize, Health)> {
    let healthy = loads.iter().map(|load| (load.healthy, Health::Healthy)).enumerate();
    let degraded = loads.iter().map(|load| (load.degraded, Health::Degraded)).enumerate();
    for (priority, (share, health)) in healthy.chain(degraded) {
        if roll < share {
            return Some((priority, health));
        }
        roll -= share;
    }
    None
}
