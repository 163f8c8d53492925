//! Finding the first of many routes that matches.
//!
//! Routes are tried in their order, and the first match wins. For few of them that is a scan. For
//! many, their plain paths lead to the few that can match at all; the order is kept since each
//! group of candidates is in order and the least of the groups' matches wins.

use rustc_hash::FxHashMap;

use super::{PathMatch, Route};

/// Below this number a scan is faster than the look-ups.
const SCAN_LIMIT: usize = 16;

#[derive(Debug, Default)]
pub(super) struct RouteIndex {
    /// Whether to use the groups at all.
    indexed: bool,
    /// Exact, case-sensitive paths.
    exact: FxHashMap<Box<[u8]>, Vec<u32>>,
    /// Case-sensitive prefixes, separated ones too.
    prefix: FxHashMap<Box<[u8]>, Vec<u32>>,
    /// The lengths of prefixes that occur.
    lengths: Vec<usize>,
    /// All others: regular expressions, CONNECT, and paths without case.
    others: Vec<u32>,
}

impl RouteIndex {
    pub(super) fn new(routes: &[Route]) -> Self {
        let mut index = Self { indexed: routes.len() > SCAN_LIMIT, ..Self::default() };
        if !index.indexed {
            return index;
        }
        for (at, route) in routes.iter().enumerate() {
            let group = match &route.matcher.path {
                _ if !route.matcher.case_sensitive => &mut index.others,
                PathMatch::Regex(_) | PathMatch::Connect => &mut index.others,
                PathMatch::Exact(path) => index.exact.entry(path.clone()).or_default(),
                PathMatch::Prefix(prefix) | PathMatch::SeparatedPrefix(prefix) => {
                    index.prefix.entry(prefix.clone()).or_default()
                }
            };
            group.push(at as u32);
        }
        index.lengths = index.prefix.keys().map(|prefix| prefix.len()).collect();
        index.lengths.sort_unstable();
        index.lengths.dedup();
        index
    }

    /// The first of `routes` for which `matches` says yes. `path` is as routes match it.
    pub(super) fn find(
        &self,
        routes: &[Route],
        path: &[u8],
        matches: impl Fn(&Route) -> bool,
    ) -> Option<usize> {
        if !self.indexed {
            return routes.iter().position(matches);
        }
        let mut best = u32::MAX;
        let mut improve = |group: &[u32]| {
            let earlier = group.iter().take_while(|at| **at < best);
            let found = earlier.copied().find(|at| matches(&routes[*at as usize]));
            best = found.unwrap_or(best);
        };
        if let Some(group) = self.exact.get(path) {
            improve(group);
        }
        for length in self.lengths.iter().take_while(|length| **length <= path.len()) {
            if let Some(group) = self.prefix.get(&path[..*length]) {
                improve(group);
            }
        }
        improve(&self.others);
        (best != u32::MAX).then_some(best as usize)
    }
}
