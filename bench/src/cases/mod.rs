//! Small pieces of the request path, each run alone: what micro benchmarks time and what
//! instruction counts hold.
//!
//! Owns: inputs that look like traffic, and one closure for each piece. Does not own: how they are
//! measured (`crate::instructions`, `benches/micro.rs`).

mod balancing;
mod filters;
mod http1;
mod http2;
mod routing;
mod statistics;

/// One piece.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// `room/what`.
    pub name: &'static str,
    /// Prepares it; each call of the result does the work once.
    pub make: fn() -> Box<dyn FnMut()>,
}

/// All of them.
pub fn all() -> impl Iterator<Item = Case> {
    [
        http1::CASES,
        http2::CASES,
        filters::CASES,
        routing::CASES,
        balancing::CASES,
        statistics::CASES,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// Does the work so many times. Never inlined: callgrind counts what happens inside of it only.
#[inline(never)]
pub fn repeat(work: &mut dyn FnMut(), times: u64) {
    for _ in 0..times {
        work();
    }
}

/// A generator without state elsewhere (Marsaglia's xorshift64): each run draws the same numbers.
fn numbers() -> impl FnMut() -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_case_works_more_than_once_and_has_a_name_of_its_own() {
        let mut names = HashSet::new();
        for case in all() {
            assert!(names.insert(case.name), "{} is there twice", case.name);
            repeat(&mut *(case.make)(), 3);
        }
        assert!(names.len() >= 15);
    }
}
