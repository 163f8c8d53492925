//! Which certificate a context presents to a client.
//!
//! Owns: the order of choice, which is Envoy's: names exactly, then by wildcard, and among equals
//! ECDSA before RSA where the client can verify it.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureAlgorithm;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::certificate::Certificate;
use crate::notes;

/// The certificates of one context, at least one.
#[derive(Debug)]
pub(crate) struct Selection {
    certificates: Vec<Arc<CertifiedKey>>,
    /// What their leaves say, in the same order.
    parsed: Vec<Option<Arc<Certificate>>>,
    /// Lower-case names (wildcards as `*.rest`) to places in `certificates`.
    by_name: HashMap<String, Vec<usize>>,
    /// `full_scan_certs_on_sni_mismatch`.
    full_scan: bool,
    require_sni: bool,
}

impl Selection {
    pub(crate) fn new(
        certificates: Vec<Arc<CertifiedKey>>,
        full_scan: bool,
        require_sni: bool,
    ) -> Self {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        let parse = |one: &Arc<CertifiedKey>| parse_leaf(one).map(Arc::new);
        let parsed: Vec<_> = certificates.iter().map(parse).collect();
        for (index, parsed) in parsed.iter().enumerate() {
            for name in parsed.iter().flat_map(|parsed| names(parsed)) {
                by_name.entry(name.to_ascii_lowercase()).or_default().push(index);
            }
        }
        Self { certificates, parsed, by_name, full_scan, require_sni }
    }

    fn select(&self, hello: &ClientHello<'_>) -> Option<&Arc<CertifiedKey>> {
        let Some(name) = hello.server_name() else {
            return (!self.require_sni).then(|| self.scan(hello))?;
        };
        let name = name.to_ascii_lowercase();
        let wildcard = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        let exact = self.by_name.get(&name);
        let listed = [exact, wildcard.as_ref().and_then(|name| self.by_name.get(name))];
        let mut named = listed.into_iter().flatten();
        let found =
            named.find_map(|list| best(list.iter().map(|at| &self.certificates[*at]), hello));
        match found {
            None if self.require_sni => None,
            None if self.full_scan => self.scan(hello),
            None => self.certificates.first(),
            found => found,
        }
    }

    fn scan(&self, hello: &ClientHello<'_>) -> Option<&Arc<CertifiedKey>> {
        best(self.certificates.iter(), hello).or(self.certificates.first())
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

/// The first that the client can verify with ECDSA, else the first that it can verify at all.
fn best<'a>(
    certificates: impl Iterator<Item = &'a Arc<CertifiedKey>> + Clone,
    hello: &ClientHello<'_>,
) -> Option<&'a Arc<CertifiedKey>> {
    let schemes = hello.signature_schemes();
    let mut fitting = certificates.filter(|one| one.key.choose_scheme(schemes).is_some());
    let first = fitting.next()?;
    let is_ecdsa = |one: &&Arc<CertifiedKey>| one.key.algorithm() == SignatureAlgorithm::ECDSA;
    Some(std::iter::once(first).chain(fitting).find(is_ecdsa).unwrap_or(first))
}

impl ResolvesServerCert for Selection {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        notes::note(|notes| notes.server_name = hello.server_name().map(Box::from));
        let selected = self.select(&hello)?;
        let place = self.certificates.iter().position(|one| Arc::ptr_eq(one, selected));
        let parsed = place.and_then(|place| self.parsed[place].clone());
        notes::note(|notes| notes.local = parsed);
        Some(Arc::clone(selected))
    }
}
