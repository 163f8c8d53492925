//! Consistent hashing: the tables of `RING_HASH` and `MAGLEV`, and bounded loads.
//!
//! Owns: which host a hash belongs to. The tables are those of Envoy 1.40, entry by entry, so that
//! an Envoy and a Ringway with the same endpoints send the same key to the same host.

mod bounded;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::balancer::Settings;
use crate::hash::{hash, murmur_hash_2, second_hash};
use crate::host::{Health, Host};
use crate::load::PriorityLoad;
use crate::policy::{Consistent, HashFunction, Maglev, RingHash, Table as Kind};

/// The tables of a cluster, one per priority. Immutable: all workers share them.
#[derive(Debug, PartialEq)]
pub struct HashTables {
    levels: Vec<Level>,
    figures: Figures,
}

/// What is told of the tables (`ring_hash_lb.*`, `maglev_lb.*`). As in Envoy, the priority that
/// was built last counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Entries of the table.
    pub size: u64,
    /// Entries of the host that has the fewest.
    pub min_per_host: u64,
    /// Entries of the host that has the most.
    pub max_per_host: u64,
}

/// One priority.
#[derive(Debug, PartialEq)]
struct Level {
    table: Table,
    /// The hosts with their share of all weights; only for bounded loads.
    weights: Vec<(u32, f64)>,
}

#[derive(Debug, PartialEq)]
enum Table {
    /// Hashes in their order, each with its host.
    Ring(Vec<(u64, u32)>),
    /// The host of each remainder; empty where there is no host.
    Maglev(Vec<u32>),
}

/// What the tables are made from.
pub(crate) struct Build<'a> {
    pub(crate) hosts: &'a [Host],
    /// What stands for each host: its address, its name, or the `hash_key` of its metadata.
    pub(crate) keys: &'a [Arc<str>],
    pub(crate) settings: &'a Settings,
    pub(crate) policy: &'a Consistent,
    /// The share of each priority, which says whether it is in panic.
    pub(crate) loads: &'a [PriorityLoad],
}

impl Build<'_> {
    pub(crate) fn tables(&self) -> HashTables {
        let mut figures = Figures::default();
        let each = self.loads.iter().enumerate().map(|(priority, load)| {
            let weights = self.weights(priority as u32, load.panic);
            let (table, of_level) = match &self.policy.table {
                Kind::RingHash(ring) => self.ring(ring, &weights),
                Kind::Maglev(maglev) => self.maglev(maglev, &weights),
            };
            figures = of_level.unwrap_or(figures);
            let bounded = self.policy.balance_factor > 0;
            Level { table, weights: if bounded { weights } else { Vec::new() } }
        });
        HashTables { levels: each.collect(), figures }
    }

    /// The hosts of a priority that take load, with their shares of its weight. Degraded hosts
    /// take none, as in Envoy.
    fn weights(&self, priority: u32, panic: bool) -> Vec<(u32, f64)> {
        let takes =
            |host: &Host| host.priority == priority && (panic || host.health == Health::Healthy);
        let ids = 0..self.hosts.len() as u32;
        let members: Vec<u32> = ids.filter(|id| takes(&self.hosts[*id as usize])).collect();
        let Some(localities) = &self.settings.locality_weights else {
            return self.shares(&members, 1.0);
        };
        let of = |locality: usize| {
            let is_in = move |id: &&u32| self.hosts[**id as usize].locality == locality as u32;
            members.iter().filter(is_in).copied().collect::<Vec<u32>>()
        };
        let mut listed: Vec<usize> = members.iter().map(|id| self.locality_of(*id)).collect();
        listed.dedup();
        let weight = |locality: &usize| localities.get(*locality).copied().unwrap_or(0);
        let sum: u64 = listed.iter().map(|locality| u64::from(weight(locality))).sum();
        let weighted = listed.iter().filter(|locality| weight(locality) > 0);
        weighted
            .flat_map(|locality| {
                let share = f64::from(weight(locality)) / sum as f64;
                self.shares(&of(*locality), share)
            })
            .collect()
    }

    fn locality_of(&self, id: u32) -> usize {
        self.hosts[id as usize].locality as usize
    }

    /// Shares out `whole` by the weights of these hosts.
    fn shares(&self, members: &[u32], whole: f64) -> Vec<(u32, f64)> {
        let weight = |id: u32| self.hosts[id as usize].effective_weight();
        let sum: u64 = members.iter().map(|id| u64::from(weight(*id))).sum();
        let share = |id: u32| f64::from(weight(id)) * whole / sum as f64;
        members.iter().map(|id| (*id, share(*id))).collect()
    }

    /// Each host has as many places on the ring as its weight says; the one with the least has a
    /// whole number of them. The sums run on, so that rounding does not add up.
    fn ring(&self, ring: &RingHash, weights: &[(u32, f64)]) -> (Table, Option<Figures>) {
        let least = weights.iter().map(|(_, weight)| *weight).fold(f64::INFINITY, f64::min);
        if weights.is_empty() {
            return (Table::Ring(Vec::new()), None);
        }
        let scale = ((least * ring.min_size as f64).ceil() / least).min(ring.max_size as f64);
        let size = scale.ceil() as u64;
        let mut figures = Figures { size, min_per_host: size, max_per_host: 0 };
        let mut places = Vec::with_capacity(size as usize);
        let (mut current, mut target) = (0.0, 0.0);
        let mut text = String::new();
        for (id, weight) in weights {
            target += scale * weight;
            let mut place = 0_u64;
            while current < target {
                use std::fmt::Write;
                text.clear();
                // Writing to a string cannot fail.
                let _ = write!(text, "{}_{place}", self.keys[*id as usize]);
                places.push((ring.function.of(text.as_bytes()), *id));
                place += 1;
                current += 1.0;
            }
            figures.min_per_host = figures.min_per_host.min(place);
            figures.max_per_host = figures.max_per_host.max(place);
        }
        places.sort_by_key(|(hash, _)| *hash);
        (Table::Ring(places), Some(figures))
    }

    /// "Maglev: A Fast and Reliable Software Network Load Balancer", section 3.4, with weights:
    /// a host of a third of the greatest weight has its turn in every third round.
    fn maglev(&self, maglev: &Maglev, weights: &[(u32, f64)]) -> (Table, Option<Figures>) {
        if weights.is_empty() {
            return (Table::Maglev(Vec::new()), None);
        }
        let size = maglev.table_size.max(2);
        let mut entries: Vec<Entry<'_>> = weights
            .iter()
            .map(|(id, weight)| Entry::new(*id, &self.keys[*id as usize], *weight, size))
            .collect();
        entries.sort_by(|one, other| one.key.cmp(other.key));
        let greatest = weights.iter().map(|(_, weight)| *weight).fold(0.0, f64::max);
        let mut table = vec![u32::MAX; size as usize];
        let mut filled = 0;
        let mut round = 0.0;
        while filled < size {
            round += 1.0;
            for entry in &mut entries {
                if filled == size || round * entry.weight < entry.target {
                    continue;
                }
                entry.target += greatest;
                entry.take_place(&mut table);
                filled += 1;
            }
        }
        let counts = || entries.iter().map(|entry| entry.count);
        let (min, max) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
        let figures = Figures { size, min_per_host: min, max_per_host: max };
        (Table::Maglev(table), Some(figures))
    }
}

/// A host while a Maglev table is filled.
struct Entry<'a> {
    id: u32,
    key: &'a str,
    weight: f64,
    target: f64,
    offset: u64,
    skip: u64,
    next: u64,
    count: u64,
}

impl<'a> Entry<'a> {
    fn new(id: u32, key: &'a str, weight: f64, size: u64) -> Self {
        let offset = hash(key.as_bytes()) % size;
        let skip = second_hash(key.as_bytes()) % (size - 1) + 1;
        Self { id, key, weight, target: 0.0, offset, skip, next: 0, count: 0 }
    }

    /// Takes the first free place of this host's permutation. The size of the table is a prime,
    /// so that the permutation comes to each place.
    fn take_place(&mut self, table: &mut [u32]) {
        let size = table.len() as u64;
        loop {
            let place = self.offset.wrapping_add(self.skip.wrapping_mul(self.next)) % size;
            self.next += 1;
            let place = &mut table[place as usize];
            if *place == u32::MAX {
                *place = self.id;
                self.count += 1;
                return;
            }
        }
    }
}

impl HashFunction {
    fn of(self, bytes: &[u8]) -> u64 {
        match self {
            Self::XxHash => hash(bytes),
            Self::MurmurHash2 => murmur_hash_2(bytes),
        }
    }
}

impl HashTables {
    /// What is told of them.
    pub fn figures(&self) -> Figures {
        self.figures
    }

    /// The host of a hash in a priority. `active(i)` is the number of requests in flight to host
    /// `i`. Costs O(log places); with bounded loads O(hosts).
    pub(crate) fn pick(
        &self,
        policy: &Consistent,
        priority: usize,
        hash: u64,
        active: impl Fn(usize) -> u32,
    ) -> Option<usize> {
        let level = self.levels.get(priority)?;
        let host = level.table.host(hash)?;
        let host = match policy.balance_factor {
            0 => host,
            factor => bounded::pick(&level.weights, factor, host, hash, active),
        };
        Some(host as usize)
    }
}

impl Table {
    fn host(&self, hash: u64) -> Option<u32> {
        match self {
            Self::Ring(places) => {
                let next = places.partition_point(|(place, _)| *place < hash);
                places.get(next).or(places.first()).map(|(_, id)| *id)
            }
            Self::Maglev(table) => {
                let place = hash.checked_rem(table.len() as u64)?;
                table.get(place as usize).copied()
            }
        }
    }
}
