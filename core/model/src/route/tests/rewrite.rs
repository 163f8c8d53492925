//! Rewrites of path and host, and the choice of a cluster.

use proptest::prelude::*;

use super::*;
use crate::filter::RouteConfigs;

fn regex_rewrite(pattern: &str, substitution: &str) -> RegexRewrite {
    RegexRewrite::new(pattern, substitution).expect("a valid rewrite")
}

fn rewritten(forward: &Forward, matcher: PathMatch, head: &mut RequestHead, suppress: bool) {
    let matcher = RouteMatch::new(matcher);
    forward.rewrite(&matcher, None, head, suppress, &mut Scratch::new());
}

#[test]
fn prefix_rewrite_replaces_what_matched() {
    let regex = Pattern::new("/sr/.*").expect("a valid pattern");
    for (matcher, rewrite, path, expected) in [
        (PathMatch::prefix("/lit"), "/n", "/lit/a?q=1", "/n/a?q=1"),
        (PathMatch::prefix("/"), "/root/", "/foo?x", "/root/foo?x"),
        (PathMatch::prefix("/a/"), "/", "/a/b", "/b"),
        (PathMatch::Regex(regex), "/new", "/sr/a?b", "/new?b"),
        (PathMatch::exact("/exact"), "/new2", "/exact?x", "/new2?x"),
        (PathMatch::separated_prefix("/sep"), "/", "/sep", "/"),
        (PathMatch::separated_prefix("/sep"), "/", "/sep/a", "//a"),
    ] {
        let mut forward = forward();
        forward.path_rewrite = PathRewrite::Prefix(rewrite.as_bytes().into());
        let mut head = get(path, &[]);
        rewritten(&forward, matcher, &mut head, false);
        assert_eq!(head.path(), expected.as_bytes(), "{path}");
        assert_eq!(lines(&head.fields), format!("x-envoy-original-path: {path}"));
    }
}

#[test]
fn regex_rewrite_works_on_the_path_without_its_query() {
    for (pattern, substitution, path, expected) in [
        ("/([a-z]*)/([0-9]*)", r"/\2/\1", "/rx/abc/12/d/9?z=/a/1", "//rxabc/12/9/d?z=/a/1"),
        ("/e1", "", "/e1/foo?q", "/foo?q"),
        ("/e2", r"\0", "/e2/a", "/e2/a"),
        (".*", "/z", "/e5/a?b", "/z?b"),
        ("^/", "/y/", "/e6", "/y/e6"),
        ("/|$", "!", "/e7", "!e7!"),
        ("x*", "-", "/emptyrxxx", "-/-e-m-p-t-y-r-"),
        ("a", r"\\", "/a", r"/\"),
    ] {
        let mut forward = forward();
        forward.path_rewrite = PathRewrite::Regex(regex_rewrite(pattern, substitution));
        let mut head = get(path, &[]);
        rewritten(&forward, PathMatch::prefix("/"), &mut head, false);
        assert_eq!(String::from_utf8_lossy(head.path()), expected, "{pattern} {path}");
        assert_eq!(lines(&head.fields), format!("x-envoy-original-path: {path}"));
    }
}

#[test]
fn a_path_does_not_become_empty() {
    let mut forward = forward();
    forward.path_rewrite = PathRewrite::Regex(regex_rewrite(".*", ""));
    let mut head = get("/a?q", &[]);
    rewritten(&forward, PathMatch::prefix("/"), &mut head, false);
    assert_eq!((head.path(), head.fields.is_empty()), (&b"/a?q"[..], true));
}

#[test]
fn bad_substitutions_are_errors() {
    for (pattern, substitution, message) in [
        ("a", r"\1", r"\1 is used, and the pattern has 0 groups"),
        ("(a)", r"\2", r"\2 is used, and the pattern has 1 groups"),
        ("a", r"\x", r"a '\' must be followed by a digit or by '\'"),
        ("a", r"\", r"a '\' must be followed by a digit or by '\'"),
    ] {
        let error = RegexRewrite::new(pattern, substitution).expect_err(substitution);
        assert_eq!(error.to_string(), message);
    }
    assert!(RegexRewrite::new("(", "").is_err());
    assert!(RegexRewrite::new("(?P<n>a)", r"\0\1").is_ok());
}

proptest! {
    /// Where a match is never empty, the well-known replacement of `str` says the same.
    #[test]
    fn replacing_a_literal_agrees_with_str(text in "[ab/]{0,20}", literal in "[ab/]{1,3}") {
        let mut out = Vec::new();
        regex_rewrite(&literal, "<>").replace_all(text.as_bytes(), &mut out);
        prop_assert_eq!(String::from_utf8(out).expect("UTF-8"), text.replace(&literal, "<>"));
    }
}

/// One row: the rewrite, x-forwarded-host appended, the fields, the host and the fields after.
type HostCase<'a> = (HostRewrite, bool, &'a [(&'a str, &'a str)], &'a str, &'a str);

#[test]
fn host_rewrites() {
    let header = || HostRewrite::Header(RequestField::new("x-h").expect("a header"));
    let path = || HostRewrite::PathRegex(regex_rewrite("^/pr/([^/]*)/.*$", r"\1.com"));
    let literal = || HostRewrite::Literal(Box::from("nh"));
    let xfh = "x-forwarded-host";
    let cases: [HostCase<'_>; 9] = [
        (HostRewrite::None, true, &[], "h", ""),
        (literal(), false, &[], "nh", "x-envoy-original-host: h"),
        (literal(), true, &[], "nh", "x-envoy-original-host: h | x-forwarded-host: h"),
        (
            literal(),
            true,
            &[(xfh, "a,h")],
            "nh",
            "x-forwarded-host: a,h | x-envoy-original-host: h",
        ),
        (literal(), true, &[(xfh, "a")], "nh", "x-forwarded-host: a,h | x-envoy-original-host: h"),
        (header(), false, &[("x-h", "hv")], "hv", "x-h: hv | x-envoy-original-host: h"),
        (header(), true, &[], "h", ""),
        (header(), true, &[("x-h", "")], "h", "x-h: "),
        (path(), false, &[], "foo.com", "x-envoy-original-host: h"),
    ];
    for (rewrite, append, fields, host, expected) in cases {
        let name = format!("{rewrite:?} {fields:?}");
        let mut forward = forward();
        forward.host_rewrite = rewrite;
        forward.append_x_forwarded_host = append;
        let mut head = get("/pr/foo/b?x", fields);
        rewritten(&forward, PathMatch::prefix("/"), &mut head, false);
        assert_eq!(String::from_utf8_lossy(head.authority()), host, "{name}");
        assert_eq!(lines(&head.fields), expected, "{name}");
    }
}

#[test]
fn a_forged_original_host_is_overwritten_in_its_place() {
    let mut forward = forward();
    forward.host_rewrite = HostRewrite::Literal(Box::from("nh"));
    let mut head = get("/", &[("x-envoy-original-host", "evil"), ("x-a", "1")]);
    rewritten(&forward, PathMatch::prefix("/"), &mut head, false);
    assert_eq!(lines(&head.fields), "x-envoy-original-host: h | x-a: 1");
}

#[test]
fn suppressed_envoy_headers_leave_no_trace() {
    let mut forward = forward();
    forward.host_rewrite = HostRewrite::Literal(Box::from("nh"));
    forward.path_rewrite = PathRewrite::Prefix(b"/n"[..].into());
    forward.append_x_forwarded_host = true;
    let mut head = get("/lit", &[]);
    rewritten(&forward, PathMatch::prefix("/lit"), &mut head, true);
    assert_eq!(lines(&head.fields), "x-forwarded-host: h");
}

#[test]
fn the_host_of_the_endpoint() {
    let mut forward = forward();
    forward.host_rewrite = HostRewrite::Auto;
    let mut head = get("/", &[]);
    rewritten(&forward, PathMatch::prefix("/"), &mut head, false);
    assert_eq!((head.authority(), head.fields.is_empty()), (&b"h"[..], true), "not chosen yet");
    forward.rewrite_to_endpoint(&mut head, "", false);
    assert_eq!(head.authority(), b"h", "an endpoint without a name");
    forward.rewrite_to_endpoint(&mut head, "c1.internal", false);
    assert_eq!(head.authority(), b"c1.internal");
    assert_eq!(lines(&head.fields), "x-envoy-original-host: h");
}

#[test]
fn host_and_path_rewrites_keep_envoys_order_of_headers() {
    let mut forward = forward();
    forward.host_rewrite = HostRewrite::Literal(Box::from("newhost"));
    forward.path_rewrite = PathRewrite::Prefix(b"/new"[..].into());
    forward.append_x_forwarded_host = true;
    let mut head = request("Old:80", "/rw/z?q", &[]);
    rewritten(&forward, PathMatch::prefix("/rw"), &mut head, false);
    let expected = "x-envoy-original-host: Old:80 | x-forwarded-host: Old:80 | \
                    x-envoy-original-path: /rw/z?q";
    assert_eq!(lines(&head.fields), expected);
    assert_eq!((head.authority(), head.path()), (&b"newhost"[..], &b"/new/z?q"[..]));
}

fn entry(name: &str, weight: u32) -> WeightedCluster {
    WeightedCluster {
        weight,
        cluster: cluster(name),
        request_headers: HeaderMutations::default(),
        response_headers: HeaderMutations::default(),
        host_rewrite: Box::from(""),
        filter_configs: RouteConfigs::default(),
    }
}

fn weighted(weights: &[(&str, u32)], header: Option<&str>) -> Forward {
    let entries = weights.iter().map(|(name, weight)| entry(name, *weight)).collect();
    let header = header.map(|name| ringway_http::FieldName::new(name).expect("a name"));
    let clusters = WeightedClusters::new(entries, header).expect("a weight");
    Forward::new(ClusterChoice::Weighted(clusters))
}

fn chosen(forward: &Forward, head: &RequestHead, random: u64) -> String {
    let entry = forward.choose(head, random).expect("weights");
    match forward.target(Some(entry), head) {
        ClusterTarget::Named(cluster) => cluster.name.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn weights_share_the_requests_exactly() {
    let forward = weighted(&[("a", 1), ("none", 0), ("b", 3)], None);
    let head = get("/", &[]);
    let count = |name| (0..400).filter(|random| chosen(&forward, &head, *random) == name).count();
    assert_eq!((count("a"), count("none"), count("b")), (100, 0, 300));
    assert_eq!(chosen(&forward, &head, u64::MAX), "b");
    assert!(WeightedClusters::new(vec![entry("a", 0)], None).is_none());
    assert!(WeightedClusters::new(Vec::new(), None).is_none());
}

#[test]
fn a_header_can_give_the_random_number() {
    let forward = weighted(&[("a", 1), ("b", 1)], Some("x-random"));
    for (fields, expected) in [
        (&[("x-random", "0")][..], "a"),
        (&[("x-random", "1")], "b"),
        (&[("x-random", "x")], "b"),
        (&[("x-random", "0"), ("x-random", "0")], "b"),
        (&[], "b"),
    ] {
        assert_eq!(chosen(&forward, &get("/", fields), 1), expected, "{fields:?}");
    }
}

#[test]
fn a_header_can_name_the_cluster() {
    let name = |name| RequestField::new(name).expect("a header");
    let target = |field, fields: &[(&str, &str)]| {
        let forward = Forward::new(ClusterChoice::Header { name: name(field) });
        match forward.target(None, &get("/", fields)) {
            ClusterTarget::Dynamic(name) => String::from_utf8(name.to_vec()).expect("UTF-8"),
            ClusterTarget::Missing => "missing".to_owned(),
            ClusterTarget::Named(_) => "named".to_owned(),
        }
    };
    assert_eq!(target("x-c", &[("x-c", "c9")]), "c9");
    assert_eq!(target("x-c", &[("x-c", "")]), "missing");
    assert_eq!(target("x-c", &[]), "missing");
    assert_eq!(target(":authority", &[]), "h");
}
