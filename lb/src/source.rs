//! A set of hosts that may take a request, and the turn that is kept over it: rotation where the
//! weights are equal, a weighted schedule where they are not.

use crate::edf::Edf;
use crate::host::Host;
use crate::policy::{LeastRequest, Policy, Selection};

#[derive(Debug)]
pub(crate) struct Source {
    /// Indices into the balancer's hosts, ascending.
    members: Vec<u32>,
    /// Present where the policy goes by weight and the weights differ.
    schedule: Option<Edf>,
    /// Where the schedule stands: picks so far, from a seed. It outlives a rebuild, so that a
    /// host that flaps does not send every restart to the same place.
    turn: u64,
    /// Where the rotation stands: the member to pick next.
    cursor: usize,
    /// The host that the rotation gave last, after which it goes on when the members change.
    last: Option<u32>,
}

impl Source {
    pub(crate) fn new(seed: u64) -> Self {
        Self { members: Vec::new(), schedule: None, turn: seed, cursor: 0, last: None }
    }

    /// Takes new members, keeping the turn.
    pub(crate) fn refill(
        &mut self,
        members: impl Iterator<Item = u32>,
        hosts: &[Host],
        policy: &Policy,
    ) {
        self.members.clear();
        self.members.extend(members);
        self.cursor = self.resume();
        let weighted =
            !matches!(policy, Policy::Random | Policy::Consistent(_)) && self.weights_differ(hosts);
        self.schedule = weighted.then(|| {
            let weight = |&id: &u32| (id, f64::from(hosts[id as usize].effective_weight()));
            Edf::new(self.members.iter().map(weight), self.turn)
        });
    }

    /// The next host by the policy, as an index into the balancer's hosts.
    pub(crate) fn pick(
        &mut self,
        policy: &Policy,
        random: &mut impl FnMut() -> u64,
        active: &impl Fn(usize) -> u32,
    ) -> Option<usize> {
        if self.members.len() <= 1 {
            return self.members.first().map(|&id| id as usize);
        }
        let picked = match policy {
            Policy::RoundRobin => self.in_turn()?,
            Policy::LeastRequest(params) => self.least_loaded(params, random, active)?,
            // Where requests have a hash, a table takes the place of this.
            Policy::Random | Policy::Consistent(_) => self.at_random(random),
        };
        Some(picked as usize)
    }

    fn in_turn(&mut self) -> Option<u32> {
        if let Some(schedule) = &mut self.schedule {
            self.turn = self.turn.wrapping_add(1);
            return schedule.pick();
        }
        let id = *self.members.get(self.cursor)?;
        self.cursor = if self.cursor + 1 < self.members.len() { self.cursor + 1 } else { 0 };
        self.last = Some(id);
        Some(id)
    }

    /// The place of the rotation among new members.
    fn resume(&self) -> usize {
        let len = self.members.len().max(1);
        match self.last {
            Some(last) => self.members.partition_point(|&id| id <= last) % len,
            None => (self.turn % len as u64) as usize,
        }
    }

    fn least_loaded(
        &mut self,
        params: &LeastRequest,
        random: &mut impl FnMut() -> u64,
        active: &impl Fn(usize) -> u32,
    ) -> Option<u32> {
        if let Some(schedule) = &mut self.schedule {
            self.turn = self.turn.wrapping_add(1);
            return schedule.pick_after(|id, weight| {
                load_factor(active(id as usize), params.active_request_bias) / weight
            });
        }
        Some(match params.selection {
            Selection::Choices(count) => self.least_of(count, random, active),
            Selection::FullScan => self.least_of_all(random, active),
        })
    }

    fn least_of(
        &self,
        count: u32,
        random: &mut impl FnMut() -> u64,
        active: &impl Fn(usize) -> u32,
    ) -> u32 {
        let mut best = self.at_random(random);
        let mut least = active(best as usize);
        for _ in 1..count {
            let other = self.at_random(random);
            let load = active(other as usize);
            if load < least {
                (best, least) = (other, load);
            }
        }
        best
    }

    fn least_of_all(
        &self,
        random: &mut impl FnMut() -> u64,
        active: &impl Fn(usize) -> u32,
    ) -> u32 {
        let mut best = self.members[0];
        let mut least = active(best as usize);
        let mut ties = 1;
        for &other in &self.members[1..] {
            let load = active(other as usize);
            if load > least {
                continue;
            }
            ties = if load == least { ties + 1 } else { 1 };
            // Reservoir sampling: of the hosts that tie, each is kept with the same chance.
            if ties == 1 || below(random(), ties) == 0 {
                (best, least) = (other, load);
            }
        }
        best
    }

    fn at_random(&self, random: &mut impl FnMut() -> u64) -> u32 {
        self.members[below(random(), self.members.len())]
    }

    fn weights_differ(&self, hosts: &[Host]) -> bool {
        let weight = |&id: &u32| hosts[id as usize].effective_weight();
        self.members.windows(2).any(|pair| weight(&pair[0]) != weight(&pair[1]))
    }
}

/// (active + 1) to the power of the bias: what a host's weight is divided by.
fn load_factor(active: u32, bias: f64) -> f64 {
    let load = f64::from(active) + 1.0;
    if bias == 1.0 || bias < 0.0 || bias.is_nan() {
        load
    } else if bias == 0.0 {
        1.0
    } else {
        // A bias beyond reason must not make a deadline infinite, from which no host comes back.
        load.powf(bias).min(1e15)
    }
}

/// Scales a random number to `0..bound` by its high bits: no division, and the bias is below
/// `bound` in 2^64.
pub(crate) fn below(random: u64, bound: usize) -> usize {
    ((u128::from(random) * bound as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_covers_the_range_evenly() {
        assert_eq!(below(0, 3), 0);
        assert_eq!(below(u64::MAX / 2, 3), 1);
        assert_eq!(below(u64::MAX, 3), 2);
    }

    #[test]
    fn the_load_factor_follows_the_bias() {
        assert_eq!(load_factor(3, 1.0), 4.0);
        assert_eq!(load_factor(3, 2.0), 16.0);
        assert_eq!(load_factor(3, 0.0), 1.0);
        assert_eq!(load_factor(3, -1.0), 4.0);
        assert_eq!(load_factor(3, f64::NAN), 4.0);
        assert!(load_factor(u32::MAX, f64::INFINITY).is_finite());
    }
}
