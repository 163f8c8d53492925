//! Virtual hosts: domains, ports, `require_tls`.

use proptest::prelude::*;

use super::*;

fn hosts(ignore_port: bool, domains: &[(&str, &[&str])]) -> Result<RouteTable, RouteTableError> {
    let virtual_hosts = domains
        .iter()
        .map(|(name, domains)| virtual_host(name, domains, vec![everything("r")]))
        .collect();
    let options =
        RouteTableOptions { ignore_port_in_host_matching: ignore_port, ..Default::default() };
    RouteTable::new(Arc::from("rc"), virtual_hosts, options)
}

fn found(table: &RouteTable, host: &str) -> String {
    match table.find(&request(host, "/", &[]), false, 0) {
        Found::Route(matched) => matched.virtual_host.name.to_string(),
        Found::NoVirtualHost => "-".to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn the_most_specific_domain_wins_without_regard_to_case() {
    let table = hosts(
        false,
        &[
            ("exact", &["a.com", "A.port.com:81", "[::1]"]),
            ("suffix", &["*.a.com"]),
            ("dash", &["*-x.a.com"]),
            ("prefix", &["pre.*"]),
            ("longer prefix", &["pre.b.*"]),
            ("empty", &[""]),
            ("suffix with port", &["*.p.com:80"]),
        ],
    )
    .expect("unique domains");
    for (host, expected) in [
        ("a.com", "exact"),
        ("A.COM", "exact"),
        ("x.a.com", "suffix"),
        (".a.com", "-"),
        ("y-x.a.com", "dash"),
        ("-x.a.com", "suffix"),
        ("pre.", "-"),
        ("pre.c", "prefix"),
        ("PRE.b.c", "longer prefix"),
        ("pre.b.", "prefix"),
        ("a.port.com:81", "exact"),
        ("a.port.com", "-"),
        ("[::1]", "exact"),
        ("", "empty"),
        ("a.com:80", "-"),
        ("q.p.com:80", "suffix with port"),
    ] {
        assert_eq!(found(&table, host), expected, "{host}");
    }
}

#[test]
fn ports_are_ignored_on_request() {
    let table = hosts(
        true,
        &[("exact", &["a.com", "A.port.com:81", "[::1]", "::1"]), ("suffix", &["*.a.com"])],
    )
    .expect("unique domains");
    for (host, expected) in [
        ("a.com:80", "exact"),
        ("x.a.com:9", "suffix"),
        ("a.port.com:81", "-"),
        ("a.com:", "exact"),
        ("a.com:x", "exact"),
        ("a.com:99999", "exact"),
        ("[::1]:80", "exact"),
        ("[::1]", "exact"),
        ("::1", "-"),
        ("::1:80", "exact"),
        (":80", "-"),
    ] {
        assert_eq!(found(&table, host), expected, "{host}");
    }
}

#[test]
fn a_request_without_authority_has_no_virtual_host() {
    let table = hosts(false, &[("any", &["*"])]).expect("unique domains");
    let mut head = get("/", &[]);
    assert!(matches!(table.find(&head, false, 0), Found::Route(_)));
    head.clear_authority();
    assert!(matches!(table.find(&head, false, 0), Found::NoVirtualHost));
}

#[test]
fn a_domain_belongs_to_one_virtual_host() {
    for (first, second, message) in [
        ("x.com", "X.com", "Duplicate entry of domain x.com in route rc"),
        ("*.x", "*.X", "Duplicate entry of domain *.x in route rc"),
        ("x.*", "x.*", "Duplicate entry of domain x.* in route rc"),
        ("*", "*", "Only a single wildcard domain is permitted in route rc"),
    ] {
        let error = hosts(false, &[("a", &[first]), ("b", &[second])]).expect_err("a duplicate");
        let text = error.to_string();
        assert!(text.contains(message), "{text}");
        assert!(text.contains("\"b\", first in \"a\""), "{text}");
        assert!(hosts(false, &[("a", &[first, second])]).is_err(), "within one virtual host");
    }
    // Names of virtual hosts may repeat.
    assert!(hosts(false, &[("a", &["x.com"]), ("a", &["y.com"])]).is_ok());
}

#[test]
fn tls_is_what_x_forwarded_proto_says() {
    let tls = ("x-forwarded-proto", "https");
    let internal = ("x-envoy-internal", "true");
    for (require_tls, is_tls, fields, redirected) in [
        (RequireTls::None, false, &[][..], false),
        (RequireTls::All, false, &[], true),
        (RequireTls::All, true, &[], false),
        (RequireTls::All, false, &[tls], false),
        (RequireTls::All, true, &[("x-forwarded-proto", "http")], true),
        (RequireTls::All, true, &[("x-forwarded-proto", "HTTPS")], true),
        (RequireTls::All, false, &[internal], true),
        (RequireTls::ExternalOnly, false, &[internal], false),
        (RequireTls::ExternalOnly, false, &[("x-envoy-internal", "false")], true),
        (RequireTls::ExternalOnly, false, &[], true),
        (RequireTls::ExternalOnly, false, &[tls], false),
    ] {
        let mut host = virtual_host("v", &["*"], vec![everything("r")]);
        host.require_tls = require_tls;
        let table = table_with(host, RouteTableOptions::default());
        let found = table.find(&get("/", fields), is_tls, 0);
        let case = format!("{require_tls:?} {is_tls} {fields:?}");
        assert_eq!(matches!(found, Found::TlsRequired { .. }), redirected, "{case}");
    }
}

/// The rule in its plainest words: try all domains, and keep the best.
fn naive(domains: &[String], host: &str) -> Option<usize> {
    let host = host.to_ascii_lowercase();
    let rank = |domain: &str| -> Option<(u8, usize)> {
        let domain = domain.to_ascii_lowercase();
        if domain == "*" {
            return Some((0, 0));
        }
        if let Some(suffix) = domain.strip_prefix('*') {
            let fits = host.ends_with(suffix) && host.len() > suffix.len();
            return fits.then_some((2, suffix.len()));
        }
        if let Some(prefix) = domain.strip_suffix('*') {
            let fits = host.starts_with(prefix) && host.len() > prefix.len();
            return fits.then_some((1, prefix.len()));
        }
        (domain == host).then_some((3, 0))
    };
    let ranked = domains.iter().enumerate().filter_map(|(at, domain)| Some((rank(domain)?, at)));
    ranked.max_by_key(|(rank, _)| *rank).map(|(_, at)| at)
}

/// Domains of few letters, so that many overlap: `*`, suffixes, exact ones, prefixes.
const DOMAIN: &str = "\\*|(\\*[.-])?[ab]{0,2}(\\.[abAB]){0,2}|[ab](\\.[ab]){0,2}[.]\\*";

proptest! {
    #[test]
    fn the_index_agrees_with_trying_all_domains(
        domains in prop::collection::hash_set(DOMAIN, 1..12),
        host in "[abAB-]{0,3}(\\.[abAB]){0,3}",
    ) {
        let mut domains: Vec<String> = domains.into_iter().collect();
        domains.sort_by_key(|domain| domain.to_ascii_lowercase());
        domains.dedup_by_key(|domain| domain.to_ascii_lowercase());
        let virtual_hosts = domains
            .iter()
            .map(|domain| virtual_host(domain, &[domain], vec![everything("r")]))
            .collect();
        let table = RouteTable::new(Arc::from("rc"), virtual_hosts, RouteTableOptions::default());
        let table = table.expect("unique domains");
        let expected = naive(&domains, &host).map_or("-", |at| &domains[at]);
        prop_assert_eq!(found(&table, &host), expected);
    }
}

#[test]
fn long_hosts_are_matched_and_do_not_panic() {
    let table = hosts(false, &[("suffix", &["*.com"])]).expect("unique domains");
    assert_eq!(found(&table, &format!("{}.COM", "A".repeat(5000))), "suffix");
    assert_eq!(found(&table, &"A".repeat(5000)), "-");
}
