//! From authorities to virtual hosts.

use rustc_hash::FxHashMap;
use thiserror::Error;

use super::VirtualHost;

/// Why a route table cannot be. The words begin as Envoy's do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RouteTableError {
    /// Two virtual hosts, or one twice, claim a domain (compared without case).
    #[error(
        "Only unique values for domains are permitted. Duplicate entry of domain {domain} in \
         route {table} (virtual host \"{virtual_host}\", first in \"{first}\")"
    )]
    DuplicateDomain {
        /// The name of the table.
        table: String,
        /// The domain, in lower case.
        domain: String,
        /// The virtual host that claimed it second.
        virtual_host: String,
        /// The one that claimed it first.
        first: String,
    },
    /// Two virtual hosts, or one twice, claim `*`.
    #[error(
        "Only a single wildcard domain is permitted in route {table} (virtual host \
         \"{virtual_host}\", first in \"{first}\")"
    )]
    DuplicateWildcard {
        /// The name of the table.
        table: String,
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

/// Authorities up to this length are copied on the stack: longer than any DNS name.
pub(super) const STACK_BYTES: usize = 288;

impl HostIndex {
    /// Indexes the domains of the virtual hosts of the table of that name.
    pub(super) fn new(table: &str, virtual_hosts: &[VirtualHost]) -> Result<Self, RouteTableError> {
        let mut index = Self::default();
        for (at, virtual_host) in virtual_hosts.iter().enumerate() {
            for domain in &virtual_host.domains {
                let domain = domain.to_ascii_lowercase();
                if let Some(first) = index.insert(&domain, at) {
                    let names = (&*virtual_host.name, &*virtual_hosts[first].name);
                    return Err(duplicate(table, domain, names));
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
        if self.is_empty_but_for_any() {
            return self.any;
        }
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

    fn is_empty_but_for_any(&self) -> bool {
        let wildcards = self.suffixes.lengths.len() + self.prefixes.lengths.len();
        wildcards + self.exact.len() == 0
    }

    fn find_lower(&self, host: &[u8]) -> Option<usize> {
        let exact = self.exact.get(host).copied();
        let suffix = || self.suffixes.find(host, |length| &host[host.len() - length..]);
        let prefix = || self.prefixes.find(host, |length| &host[..length]);
        exact.or_else(suffix).or_else(prefix).or(self.any)
    }
}

fn duplicate(table: &str, domain: String, (second, first): (&str, &str)) -> RouteTableError {
    let (table, virtual_host, first) = (table.to_owned(), second.to_owned(), first.to_owned());
    match domain.as_str() {
        "*" => RouteTableError::DuplicateWildcard { table, virtual_host, first },
        _ => RouteTableError::DuplicateDomain { table, domain, virtual_host, first },
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

/// Where `:port` begins in an authority. As in Envoy all that follows the last colon counts as the
/// port, be it digits or not: no domain that a virtual host can claim has a colon elsewhere.
pub(super) fn port_start(authority: &[u8]) -> Option<usize> {
    let colon = authority.iter().rposition(|byte| *byte == b':')?;
    // A colon inside of brackets belongs to an IPv6 address.
    let bracket = authority.iter().rposition(|byte| *byte == b']');
    bracket.is_none_or(|at| at < colon).then_some(colon)
}
