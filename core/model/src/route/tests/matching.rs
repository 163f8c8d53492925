//! Matches: paths, headers, query parameters, cookies, fractions, gRPC.

use proptest::prelude::*;

use super::*;

fn matches(matcher: &RouteMatch, head: &RequestHead) -> bool {
    matcher.matches(head, head.path_without_query(), ClientTls::default(), 0)
}

fn pattern(source: &str) -> Pattern {
    Pattern::new(source).expect("a valid pattern")
}

fn path_match(path: PathMatch, case_sensitive: bool) -> RouteMatch {
    RouteMatch { case_sensitive, ..RouteMatch::new(path) }
}

#[test]
fn paths() {
    let regex = |source: &str| PathMatch::Regex(pattern(source));
    for (path, case_sensitive, yes, no) in [
        (PathMatch::prefix("/a?b"), true, &[][..], &["/a?bc", "/a%3Fb"][..]),
        (PathMatch::prefix("/a"), true, &["/a", "/ab", "/a?x"], &["/A", "/"]),
        (PathMatch::prefix("/Ab"), false, &["/aBc"], &["/a"]),
        (PathMatch::prefix(""), true, &["/zz", "*"], &[]),
        (PathMatch::exact("/exact"), true, &["/exact", "/exact?q"], &["/exact/", "/Exact"]),
        (PathMatch::exact("/eX"), false, &["/Ex"], &["/Exx"]),
        (
            PathMatch::separated_prefix("/api"),
            true,
            &["/api", "/api/", "/api/x", "/api?x"],
            &["/apix", "/ap"],
        ),
        (PathMatch::separated_prefix("/Api"), false, &["/aPI/x"], &["/apis"]),
        (regex("/a.c"), true, &["/abc", "/abc?x"], &["/abcd", "/x/abc"]),
        (regex("/abc"), false, &["/abc"], &["/ABC"]),
        (regex("/a|/ab"), true, &["/a", "/ab"], &["/abc"]),
    ] {
        let matcher = path_match(path, case_sensitive);
        for (paths, expected) in [(yes, true), (no, false)] {
            for path in paths {
                assert_eq!(matches(&matcher, &get(path, &[])), expected, "{path} {matcher:?}");
            }
        }
    }
}

#[test]
fn path_parameters_are_ignored_on_request() {
    let routes = || vec![route("r", RouteMatch::new(PathMatch::exact("/a/b")))];
    for ignore in [false, true] {
        let options = RouteTableOptions {
            ignore_path_parameters_in_path_matching: ignore,
            ..Default::default()
        };
        let table = table_with(virtual_host("v", &["*"], routes()), options);
        let found = table.find(&get("/a/b;v=1?q", &[]), false, 0);
        assert_eq!(matches!(found, Found::Route(_)), ignore);
    }
}

fn header(name: &str, condition: HeaderCondition, invert: bool, as_empty: bool) -> RouteMatch {
    let matcher = HeaderMatch {
        name: RequestField::new(name).expect("a header"),
        condition,
        invert,
        treat_missing_as_empty: as_empty,
    };
    RouteMatch { headers: vec![matcher], ..RouteMatch::new(PathMatch::prefix("/")) }
}

fn exact(text: &str) -> HeaderCondition {
    HeaderCondition::String(StringMatch::exact(text, false))
}

/// One row: condition, inverted, missing as empty, the headers, whether it matches.
type HeaderCase<'a> = (HeaderCondition, bool, bool, &'a [&'a str], bool);

#[test]
fn headers() {
    let range = || HeaderCondition::Range { start: 1, end: 10 };
    let present = HeaderCondition::Present;
    let string = HeaderCondition::String;
    let contains = StringMatch::contains("BeD", true).expect("a short text");
    let cases: Vec<HeaderCase<'_>> = vec![
        // Each of several fields is asked on its own.
        (exact("a,b"), false, false, &["a", "b"], false),
        (exact("b"), false, false, &["a", "b"], true),
        (exact("a,b"), false, false, &["a,b"], true),
        (exact("a"), true, false, &["a", "b"], false),
        // A missing header meets no condition on its value.
        (exact("v"), true, false, &[], false),
        (exact("v"), true, false, &["v"], false),
        (exact("v"), true, false, &["w"], true),
        (exact("v"), true, true, &[], true),
        (string(StringMatch::regex(pattern("a*"))), false, true, &[], true),
        (string(StringMatch::regex(pattern("a*"))), false, false, &[""], true),
        (present(true), false, false, &[], false),
        (present(true), false, false, &[""], true),
        (present(false), false, false, &[], true),
        (present(false), false, false, &["1"], false),
        (present(true), true, false, &[], true),
        (present(true), true, false, &["1"], false),
        (present(true), false, true, &[], true),
        (present(false), false, true, &[], false),
        (range(), false, false, &["1"], true),
        (range(), false, false, &["9"], true),
        (range(), false, false, &["10"], false),
        (range(), false, false, &["+5"], true),
        (range(), false, false, &["-1"], false),
        (range(), false, false, &["5 5"], false),
        (range(), false, false, &["5.0"], false),
        (range(), false, false, &["0x5"], false),
        (range(), false, false, &["99999999999999999999"], false),
        (range(), false, false, &["5", "6"], true),
        (range(), true, true, &[], true),
        (range(), true, true, &["zz"], true),
        (string(contains), false, false, &["aBEDx"], true),
        (string(StringMatch::prefix("ab", false)), false, false, &["abc"], true),
        (string(StringMatch::prefix("ab", false)), false, false, &["Abc"], false),
        (string(StringMatch::suffix("YZ", true)), false, false, &["xyz"], true),
        (string(StringMatch::suffix("YZ", true)), false, false, &["z"], false),
        (string(StringMatch::regex(pattern("a.c"))), false, false, &["abc"], true),
        (string(StringMatch::regex(pattern("a.c"))), false, false, &["abcd"], false),
    ];
    for (condition, invert, as_empty, values, expected) in cases {
        let matcher = header("X-A", condition, invert, as_empty);
        let fields: Vec<_> = values.iter().map(|value| ("x-a", *value)).collect();
        assert_eq!(matches(&matcher, &get("/", &fields)), expected, "{matcher:?} {values:?}");
    }
}

#[test]
fn pseudo_headers_and_headers_of_one_field() {
    let two = |name| [(name, "a"), (name, "b")];
    for (name, value, fields, expected) in [
        (":path", "/q?x", &[][..], true),
        (":authority", "h", &[], true),
        ("host", "h", &[], true),
        (":method", "GET", &[], true),
        (":scheme", "http", &[], true),
        (":protocol", "", &[], false),
        ("user-agent", "a,b", &two("user-agent"), true),
        ("user-agent", "b", &two("user-agent"), false),
        ("cookie", "b", &two("cookie"), true),
        ("cookie", "a,b", &two("cookie"), false),
    ] {
        let matcher = header(name, exact(value), false, false);
        assert_eq!(matches(&matcher, &get("/q?x", fields)), expected, "{name} {value}");
    }
}

#[test]
fn query_parameters() {
    let present = QueryCondition::Present;
    let is = |text: &str| QueryCondition::String(StringMatch::exact(text, false));
    let rows = [
        ("a", present(true), &["/?a", "/?a=", "/?a=1"][..], &["/?b=a", "/", "/?"][..]),
        ("a", present(false), &["/", "/?b"], &["/?a=1"]),
        (
            "a",
            is("1"),
            &["/?a=1", "/?a=1&a=2", "/?b&a=1", "/?&&a=1", "/?x=1?&a=1"],
            &["/?a=2&a=1", "/?a=1=2", "/?x?a=1", "/?A=1", "/?a=2"],
        ),
        // Nothing is decoded.
        ("a", is("x y"), &[], &["/?a=x%20y", "/?a=x+y"]),
        ("a", is("x%20y"), &["/?a=x%20y"], &[]),
        ("a b", is("1"), &[], &["/?a%20b=1"]),
        ("a", is("1;b=2"), &["/?a=1;b=2"], &[]),
    ];
    for (name, condition, yes, no) in rows {
        let matcher = QueryMatch { name: name.as_bytes().into(), condition };
        for (paths, expected) in [(yes, true), (no, false)] {
            for path in paths {
                assert_eq!(matcher.matches(&get(path, &[])), expected, "{path} {matcher:?}");
            }
        }
    }
}

#[test]
fn cookies() {
    let rows = [
        ("1", false, &["a=1"][..], true),
        ("1", false, &[], false),
        ("1", false, &["b=2; a=1"], true),
        ("1", false, &["b=2", "a=1"], true),
        ("1", false, &["a=1; a=2"], true),
        ("1", false, &["a=2; a=1"], false),
        ("1", false, &["a=\"1\""], true),
        ("\"1\"", false, &["a=\"1\""], false),
        ("1", false, &["a=1;b=2"], true),
        ("1", false, &["b;a=1"], true),
        ("1", false, &["a = 1"], false),
        ("1", false, &["A=1"], false),
        ("1=2", false, &["a=1=2"], true),
        ("", false, &["a="], true),
        ("", false, &["a"], false),
        ("1", true, &[], true),
        ("1", true, &["a=1"], false),
        ("1", true, &["a=2"], true),
        ("1", true, &["b=2"], true),
    ];
    for (value, invert, cookies, expected) in rows {
        let value = StringMatch::exact(value, false);
        let matcher = CookieMatch { name: b"a"[..].into(), value, invert };
        let fields: Vec<_> = cookies.iter().map(|cookie| ("cookie", *cookie)).collect();
        assert_eq!(matcher.matches(&get("/", &fields)), expected, "{matcher:?} {cookies:?}");
    }
}

#[test]
fn grpc_requests() {
    let matcher = RouteMatch { grpc: true, ..RouteMatch::new(PathMatch::prefix("/")) };
    for (kind, expected) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc-web", false),
        ("application/grpc;x", false),
        ("APPLICATION/GRPC", false),
    ] {
        assert_eq!(matches(&matcher, &get("/", &[("content-type", kind)])), expected, "{kind}");
    }
    assert!(!matches(&matcher, &get("/", &[])));
}

#[test]
fn a_fraction_of_the_requests() {
    let fraction = Fraction { numerator: 30, denominator: 100 };
    assert_eq!((0..1000).filter(|random| fraction.holds(*random)).count(), 300);
    assert!(fraction.holds(129) && !fraction.holds(130));
    assert!(!Fraction { numerator: 0, denominator: 100 }.holds(0));
    assert!(Fraction { numerator: 100, denominator: 100 }.holds(u64::MAX));
}

#[test]
fn patterns_are_read_as_re2_reads_them() {
    for (source, yes, no) in [
        (r"/\d+", &["/12"][..], &["/\u{661}"][..]),
        (r"/\w+", &["/a_1"], &["/\u{e9}"]),
        ("/x{id}", &["/x{id}"], &["/xid"]),
        ("/x{2}", &["/xx"], &["/x{2}"]),
        ("/x{1,}", &["/xx"], &["/"]),
        ("/x{,2}", &["/x{,2}"], &["/xx"]),
        (r"/\Qa.b\E+", &["/a.b", "/a.bb"], &["/axb"]),
        (r"/\Qa.b", &["/a.b"], &["/axb"]),
        ("/[a[b]+", &["/a[b"], &["/c"]),
        ("/[]a]+", &["/]a"], &["/b"]),
        ("/[^]a]+", &["/b"], &["/]"]),
        ("/[a&&b]+", &["/a&b"], &["/c"]),
        ("/[a~~b]+", &["/a~b"], &["/c"]),
        ("/[[:alpha:]-]+", &["/a-"], &["/1"]),
        (r"/[\]x]+", &["/]x"], &["/y"]),
        (r"/\p{Greek}", &["/\u{3b1}"], &["/a"]),
        (r"/\pN", &["/1"], &["/a"]),
        (r"/\x{41}", &["/A"], &["/a"]),
        ("(?i)/abc", &["/ABC"], &["/abd"]),
        ("/(?P<name>a)", &["/a"], &["/b"]),
        ("/a$", &["/a"], &["/a\n"]),
    ] {
        let pattern = pattern(source);
        for (texts, expected) in [(yes, true), (no, false)] {
            for text in texts {
                assert_eq!(pattern.is_full_match(text.as_bytes()), expected, "{source} {text}");
            }
        }
    }
}

#[test]
fn bad_patterns_are_errors() {
    for source in ["(", "a)(b", "[", "(?<n>a", r"\", "a{2", "((a{100}){100}){100}"] {
        let valid_in_re2 = source == "a{2";
        assert_eq!(Pattern::new(source).is_ok(), valid_in_re2, "{source}");
    }
    let text = Pattern::new("(").expect_err("an open group").to_string();
    assert!(text.starts_with("invalid regular expression \"(\": "), "{text}");
}

proptest! {
    #[test]
    fn no_pattern_panics(
        source in "[\\\\QECpx{}\\[\\]^&~:a-c,0-9()*|-]{0,12}",
        text in "[a-c{}&]{0,8}",
    ) {
        if let Ok(pattern) = Pattern::new(&source) {
            pattern.is_full_match(text.as_bytes());
        }
    }
}

/// Routes of few letters, so that many overlap.
fn any_routes() -> impl Strategy<Value = Vec<(u8, String, bool)>> {
    prop::collection::vec((0..4_u8, "/[ab]{0,3}(/[ab]{0,2})?", any::<bool>()), 17..60)
}

fn build(kind: u8, path: &str, case_sensitive: bool) -> RouteMatch {
    let path = match kind {
        0 => PathMatch::exact(path),
        1 => PathMatch::prefix(path),
        2 => PathMatch::separated_prefix(path),
        _ => PathMatch::Regex(pattern(&format!("{path}.?"))),
    };
    path_match(path, case_sensitive)
}

proptest! {
    // Each case compiles many regular expressions.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_index_of_many_routes_keeps_their_order(
        routes in any_routes(),
        paths in prop::collection::vec("/[abAB]{0,3}(/[ab]{0,2})?", 8),
    ) {
        let make = || routes.iter().map(|(kind, path, case)| build(*kind, path, *case));
        let table = table(make().map(|matcher| route("r", matcher)).collect());
        for path in paths {
            let head = get(&path, &[]);
            let expected = make().position(|matcher| matches(&matcher, &head));
            let actual = match table.find(&head, false, 0) {
                Found::Route(matched) => Some(matched.position.route as usize),
                _ => None,
            };
            prop_assert_eq!(actual, expected);
        }
    }
}

#[test]
fn the_first_of_few_routes_that_matches_serves() {
    let guarded = RouteMatch { grpc: true, ..RouteMatch::new(PathMatch::prefix("/a")) };
    let table = table(vec![
        route("grpc", guarded),
        route("long", RouteMatch::new(PathMatch::prefix("/ab"))),
        route("short", RouteMatch::new(PathMatch::prefix("/a"))),
    ]);
    for (path, expected) in [("/abc", "long"), ("/ac", "short")] {
        let Found::Route(matched) = table.find(&get(path, &[]), false, 0) else {
            panic!("{path} has a route");
        };
        assert_eq!(&*matched.route.name, expected);
        assert_eq!(&*table.at(matched.position).route.name, expected);
    }
    let Found::NoRoute { virtual_host } = table.find(&get("/x", &[]), false, 0) else {
        panic!("/x has no route");
    };
    assert_eq!(&*virtual_host.name, "v");
}

#[test]
fn a_request_without_a_path_matches_no_route() {
    let table = table(vec![route("all", RouteMatch::new(PathMatch::prefix("")))]);
    let head = get("", &[(":method", "CONNECT")]);
    assert!(matches!(table.find(&head, false, 0), Found::NoRoute { .. }));
}

#[test]
fn connect_matcher_matches_tunnels_and_nothing_else_does() {
    let tunnel = |name: &str| route(name, RouteMatch::new(PathMatch::Connect));
    let connect = request("a:443", "", &[(":method", "CONNECT")]);
    let udp = request("h", "/masque", &[("upgrade", "connect-udp")]);
    let plain = request("h", "/masque", &[("upgrade", "websocket")]);
    let name = |table: &RouteTable, head: &RequestHead| match table.find(head, false, 0) {
        Found::Route(found) => found.route.name.to_string(),
        _ => String::new(),
    };
    // The second number of routes is one that an index serves.
    for others in [1, 20] {
        let mut routes = vec![route("empty", RouteMatch::new(PathMatch::prefix("/none")))];
        routes.resize_with(others, || route("empty", RouteMatch::new(PathMatch::prefix("/none"))));
        routes.push(tunnel("tunnel"));
        routes.push(route("rest", RouteMatch::new(PathMatch::prefix(""))));
        let with = table(routes);
        for (head, expected) in [(&connect, "tunnel"), (&udp, "tunnel"), (&plain, "rest")] {
            assert_eq!(name(&with, head), expected, "{others}");
        }
    }
    let without = table(vec![route("rest", RouteMatch::new(PathMatch::prefix("")))]);
    assert_eq!(name(&without, &connect), "");
}

#[test]
fn connect_matcher_asks_the_other_conditions_too() {
    let present = HeaderCondition::Present(true);
    let name = RequestField::new("x-a").expect("a name");
    let headers = vec![HeaderMatch {
        name,
        condition: present,
        invert: false,
        treat_missing_as_empty: false,
    }];
    let matcher = RouteMatch { headers, ..RouteMatch::new(PathMatch::Connect) };
    assert!(matches(&matcher, &request("a:1", "", &[(":method", "CONNECT"), ("x-a", "1")])));
    assert!(!matches(&matcher, &request("a:1", "", &[(":method", "CONNECT")])));
}

#[test]
fn a_route_may_ask_for_the_certificate_of_the_client() {
    let tls = |presented, validated| ClientTls { secured: true, presented, validated };
    for (presented, validated, client, expected) in [
        (None, None, ClientTls::default(), true),
        (Some(true), None, tls(true, false), true),
        (Some(true), None, tls(false, false), false),
        (Some(true), None, ClientTls::default(), false),
        (Some(false), None, ClientTls::default(), true),
        (Some(true), Some(true), tls(true, true), true),
        (Some(true), Some(true), tls(true, false), false),
        (None, Some(false), tls(true, false), true),
    ] {
        let matcher = RouteMatch {
            cert_presented: presented,
            cert_validated: validated,
            ..RouteMatch::new(PathMatch::prefix("/"))
        };
        let head = get("/", &[]);
        let actual = matcher.matches(&head, b"/", client, 0);
        assert_eq!(actual, expected, "{presented:?} {validated:?} {client:?}");
    }
}
