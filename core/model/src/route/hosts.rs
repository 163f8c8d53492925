//! From authorities to virtual hosts.

use rustc_hash::FxHashMap;
use thiserror::Error;

use super::VirtualHost;

/// Why a route table cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RouteTableError {
    /// Two virtual hosts, or one twice, claim a domain (compared without case).
    #[error(
        "only unique values for domains are permitted: \"{domain}\" of virtual host \
         \"{virtual_host}\" is already in \"{first}\""
    )]
    DuplicateDomain {
        /// The domain, in lower case.
        domain: String,
        /// The virtual host that claimed it second.
        virtual_host: String,
        /// The one that claimed it first.
        first: String,
    },
}

/// Virtual hosts by domain: exact, then the longest suffix wildcard, the longest prefix wildcard,
/// and `*`. All keys are lower-case.
#[derive(Debug, Default)]
pub(super) struct HostIndex {
    exact: FxHashMap<Box<[u8]>, usize>,
    /// `*.x` and `*-x`, without the asterisk.
    suffixes: Wildcards,
    /// `x.*`, without the asterisk.
    prefixes: Wildcards,
    any: Option<usize>,
}

#[derive(Debug, Default)]
struct Wildcards {
    /// The lengths that occur, longest first.
    lengths: Vec<usize>,
    by_text: FxHashMap<Box<[u8]>, usize>,
}

/// Authorities up to this length are lower-cased on the stack: longer than any DNS name.
const STACK_BYTES: usize = 288;

impl HostIndex {
    pub(super) fn new(virtual_hosts: &[VirtualHost]) -> Result<Self, RouteTableError> {
        let mut index = Self::default();
        for (at, virtual_host) in virtual_hosts.iter().enumerate() {
            for domain in &virtual_host.domains {
                let domain = domain.to_ascii_lowercase();
                if let Some(first) = index.insert(&domain, at) {
                    return Err(RouteTableError::DuplicateDomain {
                        domain,
                        virtual_host: virtual_host.name.to_string(),
                        first: virtual_hosts[first].name.to_string(),
                    });
                }
            }
        }
        index.suffixes.sort();
        index.prefixes.sort();
        Ok(index)
    }

    /// Adds a domain; returns who has it already.
    fn insert(&mut self, domain: &str, at: usize) -> Option<usize> {
        let bytes = domain.as_bytes();
        match bytes {
            b"*" => {
                let before = self.any;
                self.any = before.or(Some(at));
                before
            }
            [b'*', suffix @ ..] => insert(&mut self.suffixes.by_text, suffix, at),
            [prefix @ .., b'*'] => insert(&mut self.prefixes.by_text, prefix, at),
            exact => insert(&mut self.exact, exact, at),
        }
    }

    /// The virtual host of an authority, which may be in any case.
    pub(super) fn find(&self, authority: &[u8]) -> Option<usize> {
        if !authority.iter().any(u8::is_ascii_uppercase) {
            return self.find_lower(authority);
        }
        let mut stack = [0; STACK_BYTES];
        match stack.get_mut(..authority.len()) {
            Some(lower) => {
                lower.copy_from_slice(authority);
                lower.make_ascii_lowercase();
                self.find_lower(lower)
            }
            None => self.find_lower(&authority.to_ascii_lowercase()),
        }
    }

    fn find_lower(&self, host: &[u8]) -> Option<usize> {
        let exact = self.exact.get(host).copied();
        let suffix = || self.suffixes.find(host, |length| &host[host.len() - length..]);
        let prefix = || self.prefixes.find(host, |length| &host[..length]);
        exact.or_else(suffix).or_else(prefix).or(self.any)
    }
}

fn insert(map: &mut FxHashMap<Box<[u8]>, usize>, key: &[u8], at: usize) -> Option<usize> {
    match map.get(key) {
        Some(first) => Some(*first),
        None => map.insert(key.into(), at),
    }
}

impl Wildcards {
    fn sort(&mut self) {
        self.lengths = self.by_text.keys().map(|text| text.len()).collect();
        self.lengths.sort_unstable_by(|a, b| b.cmp(a));
        self.lengths.dedup();
    }

    /// The longest wildcard that matches; its asterisk stands for at least one character.
    fn find<'h>(&self, host: &[u8], part: impl Fn(usize) -> &'h [u8]) -> Option<usize> {
        let shorter = self.lengths.iter().filter(|length| **length < host.len());
        shorter.map(|length| part(*length)).find_map(|text| self.by_text.get(text).copied())
    }
}

/// Where `:port` begins in an authority, if it ends in one.
pub(super) fn port_start(authority: &[u8]) -> Option<usize> {
    let colon = authority.iter().rposition(|byte| *byte == b':')?;
    // A colon inside of brackets belongs to an IPv6 address.
    let bracket = authority.iter().rposition(|byte| *byte == b']');
    if bracket.is_some_and(|at| at > colon) || colon == 0 && authority.len() == 1 {
        return None;
    }
    let port = &authority[colon + 1..];
    let is_port = !port.is_empty() && port.iter().all(u8::is_ascii_digit);
    is_port.then_some(colon)
}
