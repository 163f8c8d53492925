//! Header mutations, their order and their levels.

use ringway_http::ResponseHead;

use super::*;
use crate::filter::RouteConfigs;

use AppendAction::{AddIfAbsent, AppendIfExistsOrAdd, OverwriteIfExists, OverwriteIfExistsOrAdd};

fn add(name: &str, value: &str, action: AppendAction) -> HeaderAdd {
    HeaderAdd {
        name: mutable_name(name).expect("a name"),
        value: crate::format::Format::text_omitting_empty(value).expect("a format"),
        action,
        keep_empty_value: false,
    }
}

fn keeping_empty(add: HeaderAdd) -> HeaderAdd {
    HeaderAdd { keep_empty_value: true, ..add }
}

fn level(name: &str) -> HeaderMutations {
    HeaderMutations {
        add: vec![add("x-l", name, AppendIfExistsOrAdd), add("x-o", name, OverwriteIfExistsOrAdd)],
        remove: Vec::new(),
    }
}

fn applied(mutations: &HeaderMutations, fields: &[(&str, &str)]) -> String {
    let stream = Stream::new();
    let mut head = get("/m", fields);
    mutations.apply_request(&mut head, &stream.cx(), &mut Scratch::new());
    lines(&head.fields)
}

#[test]
fn each_action() {
    for (action, value, absent, present) in [
        (AppendIfExistsOrAdd, "1", "x-a: 1", "x-a: 0 | x-b: b | x-a: 1"),
        (AddIfAbsent, "1", "x-a: 1", "x-a: 0 | x-b: b"),
        (OverwriteIfExistsOrAdd, "1", "x-a: 1", "x-b: b | x-a: 1"),
        (OverwriteIfExists, "1", "", "x-b: b | x-a: 1"),
        // An empty value does nothing, not even overwrite.
        (OverwriteIfExistsOrAdd, "%REQ(x-none)%", "", "x-a: 0 | x-b: b"),
        (AppendIfExistsOrAdd, "%REQ(x-none)%", "", "x-a: 0 | x-b: b"),
        (AppendIfExistsOrAdd, "a%REQ(x-none)%b", "x-a: ab", "x-a: 0 | x-b: b | x-a: ab"),
    ] {
        let mutations =
            HeaderMutations { add: vec![add("X-A", value, action)], remove: Vec::new() };
        assert_eq!(applied(&mutations, &[]), absent, "{action:?} {value}");
        let fields = [("x-a", "0"), ("x-b", "b")];
        assert_eq!(applied(&mutations, &fields), present, "{action:?} {value}");
    }
}

#[test]
fn empty_values_are_kept_on_request() {
    let value = keeping_empty(add("x-a", "%REQ(x-none)%", AppendIfExistsOrAdd));
    let mutations = HeaderMutations { add: vec![value], remove: Vec::new() };
    assert_eq!(applied(&mutations, &[]), "x-a: ");
}

#[test]
fn removals_come_first_then_overwrites_then_additions_from_the_old_values() {
    let mutations = HeaderMutations {
        add: vec![
            add("x-a", "%REQ(x-ow)%", AppendIfExistsOrAdd),
            add("x-ow", "new", OverwriteIfExistsOrAdd),
            add("x-new", "one", AddIfAbsent),
            add("x-new", "two", AddIfAbsent),
            add("x-gone", "%REQ(x-rm)%", AppendIfExistsOrAdd),
        ],
        remove: vec![removable_name("X-Rm").expect("a name")],
    };
    let fields = [("x-ow", "1"), ("x-mid", "1"), ("x-ow", "2"), ("x-rm", "r")];
    let expected = "x-mid: 1 | x-ow: new | x-a: 1 | x-new: one | x-new: two";
    assert_eq!(applied(&mutations, &fields), expected);
}

#[test]
fn headers_that_envoy_keeps_as_one_field_are_appended_to() {
    let append = |name, value| add(name, value, AppendIfExistsOrAdd);
    let mutations = HeaderMutations {
        add: vec![
            append("user-agent", "ua2"),
            append("x-forwarded-for", "9.9.9.9"),
            append("via", "v"),
            append("cookie", "c=3"),
        ],
        remove: Vec::new(),
    };
    let fields =
        [("user-agent", "ua1"), ("x-forwarded-for", "1.1.1.1"), ("via", "v0"), ("cookie", "c=1")];
    let expected = "user-agent: ua1,ua2 | x-forwarded-for: 1.1.1.1,9.9.9.9 | via: v0,v | \
                    cookie: c=1 | cookie: c=3";
    assert_eq!(applied(&mutations, &fields), expected);
}

#[test]
fn values_speak_of_the_stream() {
    let mut stream = Stream::new();
    stream.info.response_code = 200;
    let mutations = HeaderMutations {
        add: vec![
            add("x-path", "%REQ(:path)%", AppendIfExistsOrAdd),
            add("x-up", "%RESP(x-up)%", AppendIfExistsOrAdd),
            add("x-status", "%RESP(:status)%", AppendIfExistsOrAdd),
            add("x-flags", "%RESPONSE_FLAGS%", AppendIfExistsOrAdd),
            add("x-percent", "%%x", AppendIfExistsOrAdd),
            add("cache-control", "no", AppendIfExistsOrAdd),
            add("cache-control", "yes", AppendIfExistsOrAdd),
            add("set-cookie", "a", AppendIfExistsOrAdd),
            add("set-cookie", "b", AppendIfExistsOrAdd),
        ],
        remove: Vec::new(),
    };
    let request = get("/d", &[]);
    let mut head = ResponseHead { status: 200, ..ResponseHead::new() };
    head.fields.push(b"x-up", b"upv");
    let cx = stream.cx().request(&request);
    mutations.apply_response(&mut head, &cx, &mut Scratch::new());
    let expected = "x-up: upv | x-path: /d | x-up: upv | x-status: 200 | x-flags: - | \
                    x-percent: %x | cache-control: no,yes | set-cookie: a | set-cookie: b";
    assert_eq!(lines(&head.fields), expected);
}

fn leveled(most_specific_wins: bool) -> RouteTable {
    let mut route = everything("r");
    route.request_headers = level("rt");
    route.response_headers = level("rt");
    let mut host = virtual_host("v", &["*"], vec![route]);
    host.request_headers = level("vh");
    host.request_headers.add.push(add("x-late", "%REQ(x-l)%", AppendIfExistsOrAdd));
    host.response_headers = level("vh");
    let options = RouteTableOptions {
        most_specific_header_mutations_wins: most_specific_wins,
        request_headers: level("rc"),
        response_headers: level("rc"),
        ..RouteTableOptions::default()
    };
    table_with(host, options)
}

fn weighted() -> WeightedCluster {
    WeightedCluster {
        weight: 1,
        cluster: cluster("c1"),
        request_headers: level("wc"),
        response_headers: level("wc"),
        host_rewrite: Box::from("wchost"),
        filter_configs: RouteConfigs::default(),
    }
}

#[test]
fn levels_are_applied_in_envoys_order() {
    let without = "x-l: rt | x-l: vh | x-late: rt | x-o: rc | x-l: rc";
    let specific_wins = "x-l: rc | x-l: vh | x-late: rc | x-o: rt | x-l: rt";
    // The weighted cluster comes first either way.
    let with_weights = "x-l: wc | x-l: rt | x-l: vh | x-late: wc | x-o: rc | x-l: rc";
    let both = "x-l: wc | x-l: rc | x-l: vh | x-late: wc | x-o: rt | x-l: rt";
    for (most_specific_wins, entry, expected) in [
        (false, None, without),
        (true, None, specific_wins),
        (false, Some(weighted()), with_weights),
        (true, Some(weighted()), both),
    ] {
        let table = leveled(most_specific_wins);
        let mut head = get("/", &[]);
        let Found::Route(matched) = table.find(&head, false, 0) else { panic!("a route") };
        assert!(matched.mutates_request());
        let (stream, mut scratch) = (Stream::new(), Scratch::new());
        matched.apply_request_mutations(entry.as_ref(), &mut head, &stream.cx(), &mut scratch);
        assert_eq!(lines(&head.fields), expected);

        let mut response = ResponseHead::new();
        let cx = stream.cx();
        matched.apply_response_mutations(entry.as_ref(), &mut response, &cx, &mut scratch);
        let expected = expected.replace(" | x-late: rt", "").replace(" | x-late: rc", "");
        assert_eq!(lines(&response.fields), expected.replace(" | x-late: wc", ""));
    }
}

#[test]
fn the_host_of_a_weighted_cluster_counts_for_the_levels_behind() {
    let mut route = everything("r");
    route.request_headers.add.push(add("x-h", "%REQ(:authority)%", AppendIfExistsOrAdd));
    let table = table(vec![route]);
    let mut head = get("/", &[]);
    let Found::Route(matched) = table.find(&head, false, 0) else { panic!("a route") };
    let (stream, entry) = (Stream::new(), weighted());
    matched.apply_request_mutations(Some(&entry), &mut head, &stream.cx(), &mut Scratch::new());
    assert_eq!(head.fields.get("x-h"), Some(&b"wchost"[..]));
}

#[test]
fn some_names_cannot_be_changed() {
    for name in ["host", "Host", ":path", ":authority", ":status"] {
        let error = mutable_name(name).expect_err(name).to_string();
        assert_eq!(error, ":-prefixed or host headers may not be modified");
        let error = removable_name(name).expect_err(name).to_string();
        assert_eq!(error, ":-prefixed or host headers may not be removed");
    }
    for name in ["", "bad name", "x(", "a\r\nb"] {
        assert!(matches!(mutable_name(name), Err(MutationError::Invalid(_))), "{name}");
    }
}
