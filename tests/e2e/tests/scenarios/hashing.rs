//! Requests go to the host that their hash belongs to: that of Envoy 1.40, key by key.
//!
//! The expectations were told by Envoy itself; `RINGWAY_E2E_SUBJECT=envoy` asks it again.

use std::net::SocketAddr;

use ringway_test_support::{Bootstrap, Origin, Proxy, RawClient, indent};

const TYPES: &str = "type.googleapis.com/envoy.extensions.load_balancing_policies";
const WEIGHTS: [(&str, u32); 4] = [("a", 1), ("b", 1), ("c", 2), ("d", 1)];
const MAGLEV: &str = "lb_policy: MAGLEV\nmaglev_lb_config: { table_size: 1009 }\n";
const BY_KEY: &str = "{ header: { header_name: k } }";

struct Four([Origin; 4]);

impl Four {
    fn new() -> Self {
        Self(WEIGHTS.map(|(name, _)| Origin::named(name)))
    }

    fn addresses(&self) -> [SocketAddr; 4] {
        self.0.each_ref().map(Origin::address)
    }

    /// The bootstrap's text with weights, and with keys in the place of addresses, which are other
    /// ones each time.
    fn with_keys(&self, yaml: &str) -> String {
        let mut yaml = yaml.to_owned();
        for (origin, (name, weight)) in self.0.iter().zip(WEIGHTS) {
            let plain = format!("port_value: {} }} }} }} }}", origin.address().port());
            let keyed = format!(
                "port_value: {} }} }} }}, load_balancing_weight: {weight}, metadata: {{ \
                 filter_metadata: {{ envoy.lb: {{ hash_key: host-{name} }} }} }} }}",
                origin.address().port()
            );
            yaml = yaml.replace(&plain, &keyed);
        }
        yaml
    }

    fn start(&self, cluster: &str, policies: &str) -> Proxy {
        let routes = format!(
            "- {{ match: {{ prefix: / }}, route: {{ cluster: four, hash_policy: [{policies}] }} }}"
        );
        let bootstrap = Bootstrap::new().routes("main", &routes);
        let bootstrap = bootstrap.cluster_with("four", &self.addresses(), cluster);
        Proxy::start(self.with_keys(&bootstrap.to_yaml()))
    }
}

fn ask(client: &mut RawClient, path: &str, fields: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\n{fields}\r\n");
    client.ask(request).head.get("x-origin").unwrap().to_owned()
}

/// Who answers requests with the keys k0 to k47.
fn by_key(proxy: &Proxy) -> String {
    let mut client = RawClient::connect(proxy.listener("main"));
    (0..48)
        .map(|key| ask(&mut client, &format!("/?q={}", key % 7), &format!("k: k{key}\r\n")))
        .collect()
}

#[test]
fn rings_and_tables_are_those_of_envoy() {
    let typed = |kind: &str, message: &str, fields: &str| {
        format!(
            "load_balancing_policy: {{ policies: [{{ typed_extension_config: {{ name: p, \
             typed_config: {{ '@type': {TYPES}.{kind}.v3.{message}, {fields} }} }} }}] }}\n"
        )
    };
    let murmur = "lb_policy: RING_HASH\nring_hash_lb_config: { hash_function: MURMUR_HASH_2, \
                  minimum_ring_size: 100, maximum_ring_size: 117 }\n";
    let bounded = "consistent_hashing_lb_config: { hash_balance_factor: 120 }";
    let cases = [
        ("lb_policy: RING_HASH\n", "cdcbaccddadbcccdcabcbbbadadddcaccddbbcdccccccbcc"),
        (murmur, "bdbbccdcaaadacdacbcacdbbdcbcdccacaabdccadbcaadcc"),
        (MAGLEV, "adcccccbcbdbbbaabadcbbccccccaccccccddcccccabcaca"),
        (
            &typed("ring_hash", "RingHash", "minimum_ring_size: 64"),
            "cdabcccdcbbcaccccaccbcbababadcccadcdcaabbcbcdcac",
        ),
        (&typed("maglev", "Maglev", bounded), "cacbcccaddcdccdcadccdaacaacbdcbbacccacccaccabbac"),
    ];
    for (cluster, expected) in cases {
        let four = Four::new();
        assert_eq!(by_key(&four.start(cluster, BY_KEY)), expected, "{cluster}");
    }
}

#[test]
fn the_tables_are_told() {
    let four = Four::new();
    let ring = four.start("lb_policy: RING_HASH\n", BY_KEY);
    let stat = |proxy: &Proxy, name: &str| proxy.stat(&format!("cluster.four.{name}"));
    assert_eq!(stat(&ring, "ring_hash_lb.size"), 1025);
    assert_eq!(stat(&ring, "ring_hash_lb.min_hashes_per_host"), 205);
    assert_eq!(stat(&ring, "ring_hash_lb.max_hashes_per_host"), 410);
    let maglev = four.start(MAGLEV, BY_KEY);
    assert_eq!(stat(&maglev, "maglev_lb.min_entries_per_host"), 202);
    assert_eq!(stat(&maglev, "maglev_lb.max_entries_per_host"), 403);
}

#[test]
fn several_sources_make_one_hash() {
    let query = "{ query_parameter: { name: q } }";
    let rewrite = "{ header: { header_name: k, regex_rewrite: { pattern: { regex: 'k(.)' }, \
                   substitution: '\\1' } } }";
    let cases = [
        (format!("{BY_KEY}, {query}"), "cbcccdcccacbcaaccadcbdbcacaacdcbdccddcdacccccdba"),
        (
            format!("{{ header: {{ header_name: k }}, terminal: true }}, {query}"),
            "adcccccbcbdbbbaabadcbbccccccaccccccddcccccabcaca",
        ),
        (rewrite.to_owned(), "caccdcaccccbaccdccccdaccdbbcacaaaabccbcdacacaccd"),
    ];
    for (policies, expected) in cases {
        let four = Four::new();
        assert_eq!(by_key(&four.start(MAGLEV, &policies)), expected, "{policies}");
    }
}

#[test]
fn clients_are_told_apart_by_address_and_cookie() {
    let four = Four::new();
    let address = four.start(MAGLEV, "{ connection_properties: { source_ip: true } }");
    let mut client = RawClient::connect(address.listener("main"));
    let mut from =
        |last: usize| ask(&mut client, "/", &format!("x-forwarded-for: 10.0.0.{last}\r\n"));
    assert_eq!((0..24).map(&mut from).collect::<String>(), "ccbbdabdcdccbcbcccbcdcca");
    let cookie = four.start(MAGLEV, "{ cookie: { name: c } }");
    let mut client = RawClient::connect(cookie.listener("main"));
    let mut with =
        |value: usize| ask(&mut client, "/", &format!("cookie: a=1; c=\"w{value}\"\r\n"));
    assert_eq!((0..24).map(&mut with).collect::<String>(), "cbcccadbbcbcaccccccdbdcc");
}

#[test]
fn a_client_without_a_cookie_gets_one_and_stays() {
    let four = Four::new();
    let attributes = "attributes: [{ name: SameSite, value: Lax }, { name: Secure }]";
    let proxy = four
        .start(MAGLEV, &format!("{{ cookie: {{ name: c, ttl: 60s, path: /p, {attributes} }} }}"));
    for _ in 0..8 {
        let mut client = RawClient::connect(proxy.listener("main"));
        let first = client.get("/");
        let set = first.head.get("set-cookie").unwrap();
        let value = set.strip_prefix("c=\"").unwrap().split('"').next().unwrap();
        assert!(value.len() == 16 && value.bytes().all(|byte| byte.is_ascii_hexdigit()), "{set}");
        assert!(set.ends_with("\"; Max-Age=60; Path=/p; SameSite=Lax; Secure; HttpOnly"), "{set}");
        let host = first.head.get("x-origin").unwrap();
        let mut other = RawClient::connect(proxy.listener("main"));
        let again = other.ask(format!("GET / HTTP/1.1\r\nhost: h\r\ncookie: c={value}\r\n\r\n"));
        assert_eq!(again.head.get("x-origin"), Some(host));
        assert_eq!(again.head.get("set-cookie"), None);
    }
}

#[test]
fn a_tcp_proxy_hashes_by_address() {
    let four = Four::new();
    let tcp = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
    let filter = format!(
        "- name: tcp\n  typed_config: {{ '@type': {tcp}, stat_prefix: tp, cluster: four, \
         hash_policy: [{{ source_ip: {{}} }}] }}\n"
    );
    let address = "{ socket_address: { address: 127.0.0.1, port_value: 0 } }";
    let bootstrap =
        Bootstrap::new().cluster_with("four", &four.addresses(), MAGLEV).listener(&format!(
            "- name: main\n  address: {address}\n  filter_chains:\n  - filters:\n{}",
            indent(&filter, 4)
        ));
    let proxy = Proxy::start(four.with_keys(&bootstrap.to_yaml()));
    for _ in 0..4 {
        let mut client = RawClient::connect(proxy.listener("main"));
        assert_eq!(ask(&mut client, "/", ""), "c");
    }
}
