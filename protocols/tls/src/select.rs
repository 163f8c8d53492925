//! Which certificate a context presents to a client.
//!
//! Owns: the order of choice, which is Envoy's: names exactly, then by wildcard, and among equals
//! ECDSA before RSA where the client can verify it; and whether an OCSP response goes with it.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureAlgorithm;
use rustls::pki_types::UnixTime;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::certificate::Certificate;
use crate::load::ContextError;
use crate::notes;
use crate::staple::{Staple, StaplePolicy, Stapled, requires_staple};

/// What a context says of its choice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// `full_scan_certs_on_sni_mismatch`
    pub(crate) full_scan: bool,
    pub(crate) require_sni: bool,
    pub(crate) staple: StaplePolicy,
}

/// The certificates of one context, at least one.
#[derive(Debug)]
pub(crate) struct Selection {
    entries: Vec<Entry>,
    /// Lower-case names (wildcards as `*.rest`) to places in `entries`.
    by_name: HashMap<String, Vec<usize>>,
    rules: Rules,
}

/// One certificate.
#[derive(Debug)]
struct Entry {
    bare: Arc<CertifiedKey>,
    /// The same with its response.
    stapled: Option<(Arc<CertifiedKey>, Staple)>,
    policy: StaplePolicy,
    /// What the leaf says.
    parsed: Option<Arc<Certificate>>,
}

impl Entry {
    fn new(
        bare: Arc<CertifiedKey>,
        staple: Option<Staple>,
        policy: StaplePolicy,
    ) -> Result<Self, ContextError> {
        let refuse = |reason| Err(ContextError::of_field("ocsp_staple_policy", reason));
        let is_bound = bare.cert.first().is_some_and(|leaf| requires_staple(leaf));
        if staple.is_none() && is_bound {
            return refuse("OCSP response is required for must-staple certificate");
        }
        if staple.is_none() && policy == StaplePolicy::Must {
            return refuse("Required OCSP response is missing from TLS context");
        }
        let policy = if is_bound { StaplePolicy::Must } else { policy };
        let stapled = staple.map(|staple| {
            let mut certified = CertifiedKey::clone(&bare);
            certified.ocsp = Some(staple.der.clone());
            (Arc::new(certified), staple)
        });
        let parsed = parse_leaf(&bare).map(Arc::new);
        Ok(Self { bare, stapled, policy, parsed })
    }

    /// What a client that asks for a response gets with it.
    fn staple(&self, now_unix_s: i64) -> Stapled {
        let good = self.stapled.as_ref().is_some_and(|(_, staple)| !staple.is_old(now_unix_s));
        match (good, self.policy) {
            (true, _) => Stapled::Response,
            (false, StaplePolicy::Must) => Stapled::Failed,
            (false, StaplePolicy::Strict) if self.stapled.is_some() => Stapled::Failed,
            (false, _) => Stapled::Omitted,
        }
    }
}

impl Selection {
    /// Of these certificates, each with its response.
    pub(crate) fn new(
        certificates: Vec<Arc<CertifiedKey>>,
        staples: Vec<Option<Staple>>,
        rules: Rules,
    ) -> Result<Self, ContextError> {
        let both = certificates.into_iter().zip(staples);
        let entries = both.map(|(one, staple)| Entry::new(one, staple, rules.staple));
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, entry) in entries.iter().enumerate() {
            for name in entry.parsed.iter().flat_map(|parsed| names(parsed)) {
                by_name.entry(name.to_ascii_lowercase()).or_default().push(index);
            }
        }
        Ok(Self { entries, by_name, rules })
    }

    fn select(&self, hello: &ClientHello<'_>, now: Option<i64>) -> Option<&Entry> {
        let Some(name) = hello.server_name() else {
            return (!self.rules.require_sni).then(|| self.scan(hello, now))?;
        };
        let name = name.to_ascii_lowercase();
        let wildcard = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        let exact = self.by_name.get(&name);
        let listed = [exact, wildcard.as_ref().and_then(|name| self.by_name.get(name))];
        let mut named = listed.into_iter().flatten();
        let found =
            named.find_map(|list| best(list.iter().map(|at| &self.entries[*at]), hello, now));
        match found {
            None if self.rules.require_sni => None,
            None if self.rules.full_scan => self.scan(hello, now),
            None => self.entries.first(),
            found => found,
        }
    }

    fn scan(&self, hello: &ClientHello<'_>, now: Option<i64>) -> Option<&Entry> {
        best(self.entries.iter(), hello, now).or(self.entries.first())
    }
}

/// The names for which a certificate speaks: its common name only where it has no alternative.
fn names(parsed: &Certificate) -> Vec<&String> {
    match parsed.names.dns.is_empty() {
        true => parsed.common_name.iter().collect(),
        false => parsed.names.dns.iter().collect(),
    }
}

/// What the leaf says.
pub(crate) fn parse_leaf(certified: &CertifiedKey) -> Option<Certificate> {
    certified.cert.first().and_then(|leaf| Certificate::parse(leaf))
}

/// The first that the client can verify with ECDSA, else the first that it can verify at all. With
/// the time, for a client that asks for a response of OCSP, only what may be presented to it.
fn best<'a>(
    entries: impl Iterator<Item = &'a Entry> + Clone,
    hello: &ClientHello<'_>,
    now: Option<i64>,
) -> Option<&'a Entry> {
    let schemes = hello.signature_schemes();
    let mut fitting = entries.filter(|one| {
        one.bare.key.choose_scheme(schemes).is_some()
            && now.is_none_or(|now| one.staple(now) != Stapled::Failed)
    });
    let first = fitting.next()?;
    let is_ecdsa = |one: &&Entry| one.bare.key.algorithm() == SignatureAlgorithm::ECDSA;
    Some(std::iter::once(first).chain(fitting).find(is_ecdsa).unwrap_or(first))
}

impl ResolvesServerCert for Selection {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        notes::note(|notes| notes.server_name = hello.server_name().map(Box::from));
        let asks = notes::noted(|notes| notes.asks_for_status);
        let now = asks.then(|| i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX));
        let selected = self.select(&hello, now)?;
        let stapled = now.map(|now| selected.staple(now));
        notes::note(|notes| notes.stapled = stapled);
        if stapled == Some(Stapled::Failed) {
            return None;
        }
        notes::note(|notes| notes.local.clone_from(&selected.parsed));
        let response = selected.stapled.as_ref().filter(|_| stapled == Some(Stapled::Response));
        Some(Arc::clone(response.map_or(&selected.bare, |(with, _)| with)))
    }
}
