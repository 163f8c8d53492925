//! The `ssl.` statistics of listeners and clusters.

use std::cell::RefCell;
use std::collections::HashMap;

use ringway_bridge::stats::{CounterId, Page, StatName};
use ringway_model::stats::SslStats;
use ringway_tls::{Counter, Handshake, Stapled};

use super::handshake::{Established, Failure};
use crate::worker::Worker;

/// Counters that a worker has met: by scope, then by kind and name.
#[derive(Debug, Default)]
pub(crate) struct MetNames(RefCell<HashMap<String, Vec<Met>>>);

type Met = (&'static str, &'static str, CounterId);

impl MetNames {
    fn counter(
        &self,
        worker: &Worker,
        scope: &StatName,
        kind: &'static str,
        name: &'static str,
    ) -> CounterId {
        let mut scopes = self.0.borrow_mut();
        if !scopes.contains_key(&scope.full) {
            scopes.insert(scope.full.clone(), Vec::new());
        }
        let met = scopes.entry(scope.full.clone()).or_default();
        if let Some((.., id)) = met.iter().find(|(k, n, _)| (*k, *n) == (kind, name)) {
            return *id;
        }
        let id = worker.catalog.counter(stat_name(scope, kind, name));
        met.push((kind, name, id));
        id
    }
}

/// `<scope>.ciphers.<name>`, with the name as a tag.
fn stat_name(scope: &StatName, kind: &'static str, name: &str) -> StatName {
    let tag = match kind {
        // Envoy 1.40 has one name for the tag of listeners and another for that of clusters.
        "ciphers" if scope.full.starts_with("cluster.") => "cipher_suite",
        "ciphers" => "envoy.ssl_cipher",
        "curves" => "envoy.ssl_curve",
        "sigalgs" => "envoy.ssl_sigalg",
        _ => "envoy.ssl_version",
    };
    let mut tags = vec![(tag, name.to_owned())];
    tags.extend_from_slice(&scope.tags);
    let full = format!("{}.{kind}.{name}", scope.full);
    StatName { full, base: format!("{}.{kind}", scope.base), tags }
}

/// Counts a handshake that came to its end, and whatever the peer finds wrong with it later.
pub(super) fn established(
    worker: &Worker,
    stats: &SslStats,
    scope: &StatName,
    outcome: &mut Established,
) {
    let page = &worker.page;
    let handshake = outcome.secured.handshake();
    page.inc(stats.handshake);
    count_staple(page, stats, handshake);
    if handshake.resumed {
        page.inc(stats.session_reused);
    }
    if !handshake.peer.presented() {
        page.inc(stats.no_certificate);
    }
    if let Some(counter) = outcome.tolerated {
        count(page, stats, counter);
    }
    let Handshake { version, cipher, group, peer_scheme, .. } = **handshake;
    for (kind, name) in
        [("versions", version), ("ciphers", cipher), ("curves", group), ("sigalgs", peer_scheme)]
    {
        if let Some(name) = name {
            page.inc(worker.met_names.counter(worker, scope, kind, name));
        }
    }
    outcome.secured.counts_fault(page, stats.connection_error);
}

/// Counts one that failed. A peer that just goes away is no error.
pub(super) fn failed(worker: &Worker, stats: &SslStats, failure: &Failure) {
    count_staple(&worker.page, stats, &failure.handshake);
    if let Some(counter) = failure.counter {
        count(&worker.page, stats, counter);
    }
}

/// What became of a client that asked for a response of OCSP.
fn count_staple(page: &Page, stats: &SslStats, handshake: &Handshake) {
    let Some(stapled) = handshake.stapled else { return };
    page.inc(stats.ocsp_staple_requests);
    page.inc(match stapled {
        Stapled::Response => stats.ocsp_staple_responses,
        Stapled::Omitted => stats.ocsp_staple_omitted,
        Stapled::Failed => stats.ocsp_staple_failed,
    });
}

fn count(page: &Page, stats: &SslStats, counter: Counter) {
    page.inc(match counter {
        Counter::ConnectionError => stats.connection_error,
        Counter::FailVerifyError => stats.fail_verify_error,
        Counter::FailVerifyNoCert => stats.fail_verify_no_cert,
        Counter::FailVerifySan => stats.fail_verify_san,
        Counter::FailVerifyCertHash => stats.fail_verify_cert_hash,
    });
}
