//! The certificates of a generation: `/certs`, the gauges of their expiration, and the days until
//! the first of them is expired.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringway_bridge::stats::Page;
use ringway_model::snapshot::Snapshot;
use ringway_model::transport::{Certificate, LoadedCertificate};
use serde::Serialize;

use crate::timestamp::rfc3339_seconds;

const DAY_S: i64 = 86_400;

/// What one TLS context holds, as `/certs` shows it (Envoy `admin.v3.Certificate`).
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(crate) struct Shown {
    ca_cert: Vec<Details>,
    cert_chain: Vec<Details>,
}

#[derive(Debug, Serialize, PartialEq, Eq)]
struct Details {
    path: String,
    serial_number: String,
    subject_alt_names: Vec<Name>,
    days_until_expiration: String,
    valid_from: String,
    expiration_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ocsp_details: Option<Ocsp>,
}

#[derive(Debug, Serialize, PartialEq, Eq)]
struct Ocsp {
    valid_from: String,
    expiration: String,
}

#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Name {
    Dns(String),
    Uri(String),
    IpAddress(String),
}

/// The leaves of a context, and its authorities.
type Context<'a> = (&'a [LoadedCertificate], &'a [LoadedCertificate]);

/// All contexts: those of clusters first, as Envoy has them.
pub(crate) fn shown(snapshot: &Snapshot, now: SystemTime) -> Vec<Shown> {
    contexts(snapshot).map(|context| shown_one(context, now)).collect()
}

fn shown_one((leaves, authorities): Context<'_>, now: SystemTime) -> Shown {
    let details = |list: &[LoadedCertificate]| list.iter().map(|one| one_of(one, now)).collect();
    Shown { ca_cert: details(authorities), cert_chain: details(leaves) }
}

/// What ends first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct First {
    /// Days until a certificate is expired; `None` without certificates.
    pub(crate) certificate_days: Option<u64>,
    /// Seconds until a stapled OCSP response is; `None` without any.
    pub(crate) ocsp_response_s: Option<u64>,
}

/// Writes the gauges, and tells what ends first.
pub(crate) fn refresh(page: &Page, snapshot: &Snapshot, now: SystemTime) -> First {
    let all = contexts(snapshot).flat_map(|(leaves, authorities)| leaves.iter().chain(authorities));
    refresh_all(page, all, now)
}

fn refresh_all<'a>(
    page: &Page,
    all: impl Iterator<Item = &'a LoadedCertificate>,
    now: SystemTime,
) -> First {
    let mut first = First::default();
    let earlier = |one: Option<u64>, other| Some(one.map_or(other, |one| one.min(other)));
    for one in all {
        let until = one.certificate.not_after_unix_s;
        page.set(one.expiration, u64::try_from(until).unwrap_or(0));
        first.certificate_days = earlier(first.certificate_days, days_until(&one.certificate, now));
        if let Some(ocsp) = one.ocsp {
            let until = ocsp.expires_unix_s.unwrap_or(0);
            let left = u64::try_from(until - unix_s(now)).unwrap_or(0);
            first.ocsp_response_s = earlier(first.ocsp_response_s, left);
        }
    }
    first
}

/// Leaves and authorities of each context.
fn contexts(snapshot: &Snapshot) -> impl Iterator<Item = Context<'_>> {
    let clusters = snapshot.clusters.iter().flatten();
    let clusters = clusters.flat_map(|cluster| cluster.policy.all_tls());
    let clusters = clusters.map(|tls| (&tls.certificates[..], &tls.authorities[..]));
    let chains = snapshot.listeners.iter().flat_map(|listener| &listener.chains);
    let chains = chains.filter_map(|chain| chain.tls.as_deref());
    clusters.chain(chains.map(|tls| (&tls.certificates[..], &tls.authorities[..])))
}

/// Whole days; 0 when it is expired already.
fn days_until(certificate: &Certificate, now: SystemTime) -> u64 {
    u64::try_from((certificate.not_after_unix_s - unix_s(now)) / DAY_S).unwrap_or(0)
}

fn unix_s(now: SystemTime) -> i64 {
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(now).unwrap_or(i64::MAX)
}

fn one_of(one: &LoadedCertificate, now: SystemTime) -> Details {
    let LoadedCertificate { path, certificate, ocsp, .. } = one;
    // As Envoy: what says nothing of its end is at its end now.
    let ocsp_details = ocsp.map(|ocsp| Ocsp {
        valid_from: time(ocsp.valid_from_unix_s),
        expiration: time(ocsp.expires_unix_s.unwrap_or_else(|| unix_s(now))),
    });
    Details {
        path: path.clone(),
        serial_number: certificate.serial.clone(),
        subject_alt_names: names(certificate),
        days_until_expiration: days_until(certificate, now).to_string(),
        valid_from: time(certificate.not_before_unix_s),
        expiration_time: time(certificate.not_after_unix_s),
        ocsp_details,
    }
}

fn names(certificate: &Certificate) -> Vec<Name> {
    let names = &certificate.names;
    let dns = names.dns.iter().cloned().map(Name::Dns);
    let uri = names.uri.iter().cloned().map(Name::Uri);
    let ip = names.ip.iter().map(|ip| Name::IpAddress(ip.to_string()));
    dns.chain(uri).chain(ip).collect()
}

fn time(unix_s: i64) -> String {
    let since = Duration::from_secs(u64::try_from(unix_s).unwrap_or(0));
    rfc3339_seconds(UNIX_EPOCH + since)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use ringway_bridge::stats::{Catalog, StatName, Total};
    use ringway_model::transport::{Names, OcspDetails};

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(NOW as u64)
    }

    fn certificate(catalog: &Catalog, until: i64) -> LoadedCertificate {
        let (dns, ip) = (vec!["a.test".to_owned()], vec![Ipv4Addr::LOCALHOST.into()]);
        let certificate = Certificate {
            subject: String::new(),
            common_name: None,
            issuer: String::new(),
            serial: "1ecea0".to_owned(),
            not_before_unix_s: 1_700_000_000,
            not_after_unix_s: NOW + until,
            not_after_text: String::new(),
            names: Names { dns, ip, ..Names::default() },
            sha1: [0; 20],
            sha256: [0; 32],
            spki_sha256: [0; 32],
        };
        let expiration = catalog.gauge(StatName::new("a", "a", "expiration", &[]));
        LoadedCertificate { path: "a.pem".to_owned(), certificate, expiration, ocsp: None }
    }

    #[test]
    fn they_are_shown_as_envoy_shows_them() {
        let leaf = [certificate(&Catalog::default(), 2 * DAY_S - 1)];
        let text = serde_json::to_string(&shown_one((&leaf, &[]), now())).expect("JSON");
        let expected = "{\"ca_cert\":[],\"cert_chain\":[{\"path\":\"a.pem\",\
            \"serial_number\":\"1ecea0\",\"subject_alt_names\":[{\"dns\":\"a.test\"},\
            {\"ip_address\":\"127.0.0.1\"}],\"days_until_expiration\":\"1\",\
            \"valid_from\":\"2023-11-14T22:13:20Z\",\
            \"expiration_time\":\"2027-01-17T07:59:59Z\"}]}";
        assert_eq!(text, expected);
    }

    #[test]
    fn responses_are_shown_with_their_certificates() {
        let catalog = Catalog::default();
        let page = catalog.new_page();
        let with = |until: Option<i64>| {
            let valid_from_unix_s = 1_700_000_000;
            let expires_unix_s = until.map(|until| NOW + until);
            let ocsp = Some(OcspDetails { valid_from_unix_s, expires_unix_s });
            LoadedCertificate { ocsp, ..certificate(&catalog, DAY_S) }
        };
        let shown = shown_one((&[with(Some(60)), with(None)], &[]), now());
        let ends: Vec<_> = shown.cert_chain.iter().flat_map(|one| &one.ocsp_details).collect();
        let ends: Vec<_> = ends.iter().map(|one| one.expiration.as_str()).collect();
        assert_eq!(ends, ["2027-01-15T08:01:00Z", "2027-01-15T08:00:00Z"]);
        let left = |list: &[LoadedCertificate]| refresh_all(&page, list.iter(), now());
        assert_eq!(left(&[with(Some(60)), with(Some(20))]).ocsp_response_s, Some(20));
        assert_eq!(left(&[with(Some(60)), with(Some(-9))]).ocsp_response_s, Some(0));
        assert_eq!(left(&[certificate(&catalog, 9)]).ocsp_response_s, None);
    }

    #[test]
    fn the_days_until_the_first_are_counted() {
        let catalog = Catalog::default();
        let page = catalog.new_page();
        let of = |times: &[i64]| {
            let all: Vec<_> = times.iter().map(|until| certificate(&catalog, *until)).collect();
            refresh_all(&page, all.iter(), now()).certificate_days
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[-DAY_S]), Some(0));
        assert_eq!(of(&[20 * DAY_S, 10 * DAY_S]), Some(10));
        let until = u64::try_from(NOW + 10 * DAY_S).expect("positive");
        assert_eq!(catalog.total("a.expiration"), Some(Total::Gauge(until)));
    }
}
