//! Consistent hashing with bounded loads (`hash_balance_factor`): no host has more than so many
//! percent of its share of the requests in flight, and what is beyond goes to other hosts, in an
//! order that the hash decides.

/// The host of `hash`, which belongs to `first` as long as that is not overloaded. Of hosts that
/// are all overloaded it is the one that is least so.
pub(super) fn pick(
    weights: &[(u32, f64)],
    factor: u32,
    first: u32,
    hash: u64,
    active: impl Fn(usize) -> u32,
) -> u32 {
    let all: u64 = weights.iter().map(|(id, _)| u64::from(active(*id as usize))).sum();
    let slots = ((all + 1) * u64::from(factor)).div_ceil(100) as f64;
    let overload =
        |id: u32, weight: f64| f64::from(active(id as usize)) / (slots * weight).ceil().max(1.0);
    let weight = weights.iter().find(|(id, _)| *id == first).map_or(0.0, |(_, weight)| *weight);
    let mut least = (overload(first, weight), first);
    if least.0 <= 1.0 {
        return first;
    }
    // Only who is overloaded pays for a shuffle.
    let mut order: Vec<usize> = (0..weights.len()).collect();
    let mut random = Mt19937::new(hash as u32);
    for at in 0..order.len() {
        let other = at + random.below((order.len() - at) as u32) as usize;
        order.swap(at, other);
        let (id, weight) = weights[order[at]];
        if id == first {
            continue;
        }
        let overload = overload(id, weight);
        if overload <= 1.0 {
            return id;
        }
        if overload < least.0 {
            least = (overload, id);
        }
    }
    least.1
}

/// The Mersenne Twister, since Envoy shuffles by `std::mt19937`: the order of hosts must be the
/// same.
struct Mt19937 {
    state: [u32; Self::N],
    at: usize,
}

impl Mt19937 {
    const N: usize = 624;

    fn new(seed: u32) -> Self {
        let mut state = [seed; Self::N];
        for at in 1..Self::N {
            let before = state[at - 1];
            let mixed = 1_812_433_253_u32.wrapping_mul(before ^ (before >> 30));
            state[at] = mixed.wrapping_add(at as u32);
        }
        Self { state, at: Self::N }
    }

    fn next(&mut self) -> u32 {
        if self.at == Self::N {
            self.twist();
        }
        let mut value = self.state[self.at];
        self.at += 1;
        value ^= value >> 11;
        value ^= (value << 7) & 0x9d2c_5680;
        value ^= (value << 15) & 0xefc6_0000;
        value ^ (value >> 18)
    }

    fn twist(&mut self) {
        for at in 0..Self::N {
            let next = self.state[(at + 1) % Self::N];
            let joined = (self.state[at] & 0x8000_0000) | (next & 0x7fff_ffff);
            let odd = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[at] = self.state[(at + 397) % Self::N] ^ (joined >> 1) ^ odd;
        }
        self.at = 0;
    }

    /// A number below `bound`, which is not zero.
    fn below(&mut self, bound: u32) -> u32 {
        let bucket = (1_u64 << 32) / u64::from(bound);
        loop {
            let number = u64::from(self.next()) / bucket;
            if number < u64::from(bound) {
                return number as u32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_twister_is_that_of_the_standard() {
        let mut random = Mt19937::new(5489);
        let last = (0..10_000).map(|_| random.next()).last();
        // ISO C++ [rand.predef]: the 10000th number of a default mt19937.
        assert_eq!(last, Some(4_123_659_995));
    }

    #[test]
    fn what_one_host_cannot_take_goes_to_others() {
        let weights = [(0, 0.5), (1, 0.5)];
        let pick = |active: [u32; 2]| pick(&weights, 150, 0, 7, |id| active[id]);
        assert_eq!(pick([0, 0]), 0);
        // (4 + 1) * 1.5 = 8 slots, 4 for each host.
        assert_eq!(pick([4, 0]), 0);
        assert_eq!(pick([6, 0]), 0, "11 slots, 6 each");
        assert_eq!(pick([12, 0]), 1, "20 slots, 10 each");
    }

    #[test]
    fn of_overloaded_hosts_the_least_overloaded_is_chosen() {
        // Factors below 100 come from no configuration; they overload all hosts here.
        let weights = [(0, 1.0 / 3.0), (1, 1.0 / 3.0), (2, 1.0 / 3.0)];
        let active = [9, 7, 8];
        assert_eq!(pick(&weights, 10, 0, 1, |id| active[id]), 1);
    }
}
