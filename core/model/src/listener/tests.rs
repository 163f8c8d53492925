use super::*;

fn query<'a>(destination: &str, source: &str, server_name: &'a str) -> ChainQuery<'a> {
    ChainQuery {
        destination: Some(destination.parse().expect("an address")),
        source: Some(source.parse().expect("an address")),
        direct_source: Some(source.parse().expect("an address")),
        server_name,
        transport_protocol: "tls",
        application_protocols: &["h2", "http/1.1"],
    }
}

fn matcher(rules: Vec<ChainMatch>, default: Option<usize>) -> ChainMatcher {
    ChainMatcher { tree: None, rules: rules.into_iter().zip(0..).collect(), default }
}

fn names(names: &[&str]) -> ChainMatch {
    ChainMatch { server_names: names.iter().map(|n| (*n).into()).collect(), ..Default::default() }
}

#[test]
fn an_exact_name_beats_a_long_wildcard_beats_a_short_one() {
    let matcher = matcher(
        vec![names(&["*.com"]), names(&["*.example.com"]), names(&["a.example.com"]), names(&[])],
        None,
    );
    let find = |name| matcher.find(&query("10.0.0.1:443", "10.0.0.2:9", name));
    assert_eq!(find("a.example.com"), Some(2));
    assert_eq!(find("b.example.com"), Some(1));
    assert_eq!(find("x.com"), Some(0));
    assert_eq!(find("example.org"), Some(3));
    assert_eq!(find(""), Some(3));
}

#[test]
fn there_is_no_way_back_from_a_more_specific_criterion() {
    let port = ChainMatch { destination_port: Some(443), ..names(&["a.com"]) };
    let matcher = matcher(vec![port, names(&["b.com"])], Some(7));
    assert_eq!(matcher.find(&query("10.0.0.1:443", "10.0.0.2:9", "a.com")), Some(0));
    assert_eq!(matcher.find(&query("10.0.0.1:443", "10.0.0.2:9", "b.com")), Some(7));
    assert_eq!(matcher.find(&query("10.0.0.1:444", "10.0.0.2:9", "b.com")), Some(1));
}

#[test]
fn the_longest_prefix_wins_and_mapped_addresses_count_as_ipv4() {
    let range = |net: &str| ChainMatch {
        source: vec![net.parse().expect("a range")],
        ..Default::default()
    };
    let matcher = matcher(vec![range("10.0.0.0/8"), range("10.1.0.0/16")], None);
    assert_eq!(matcher.find(&query("1.1.1.1:1", "10.1.2.3:9", "")), Some(1));
    assert_eq!(matcher.find(&query("1.1.1.1:1", "[::ffff:10.2.0.1]:9", "")), Some(0));
    assert_eq!(matcher.find(&query("1.1.1.1:1", "11.0.0.1:9", "")), None);
}

#[test]
fn source_type_tells_local_from_external() {
    let local = ChainMatch { source_type: SourceType::SameIpOrLoopback, ..Default::default() };
    let external = ChainMatch { source_type: SourceType::External, ..Default::default() };
    let matcher = matcher(vec![local, external], None);
    assert_eq!(matcher.find(&query("10.0.0.1:1", "127.0.0.1:9", "")), Some(0));
    assert_eq!(matcher.find(&query("10.0.0.1:1", "10.0.0.1:9", "")), Some(0));
    assert_eq!(matcher.find(&query("10.0.0.1:1", "10.0.0.2:9", "")), Some(1));
}
