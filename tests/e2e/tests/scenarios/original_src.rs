//! Connections to endpoints that come from the client's address (`original_src`), also where a
//! firewall has brought the client here without its knowledge.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringway_test_support::{Bootstrap, Message, Proxy, RawClient, indent};
use socket2::{Domain, Socket, Type};

use super::alone::{Rights, is_alone, rule};
use super::only_ringway;

const TYPES: &str = "type.googleapis.com/envoy.extensions.filters";
const PATIENCE: Duration = Duration::from_secs(20);

/// An origin that knows who has connected to it, and answers each request with `ok`.
struct Watched {
    address: SocketAddr,
    peers: Arc<Mutex<Vec<IpAddr>>>,
}

impl Watched {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let peers = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&peers);
        std::thread::spawn(move || {
            while let Ok((stream, peer)) = listener.accept() {
                Mutex::lock(&seen).unwrap().push(peer.ip());
                std::thread::spawn(move || answer(stream));
            }
        });
        Self { address, peers }
    }

    fn peers(&self) -> Vec<IpAddr> {
        self.peers.lock().unwrap().clone()
    }
}

fn answer(mut stream: TcpStream) {
    let mut bytes = [0; 4096];
    while stream.read(&mut bytes).is_ok_and(|count| count > 0) {
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
            return;
        }
    }
}

/// Listeners `http` and `tcp` in front of one endpoint.
fn yaml(origin: SocketAddr, filters: &str) -> String {
    let tcp = format!(
        "- name: tcp\n  address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }}\n  \
         filter_chains:\n  - filters:\n    - name: tcp\n      typed_config: {{ '@type': \
         {TYPES}.network.tcp_proxy.v3.TcpProxy, stat_prefix: tcp, cluster: origin }}\n"
    );
    let bootstrap =
        Bootstrap::new().routes("http", "- match: { prefix: / }\n  route: { cluster: origin }");
    let yaml = bootstrap.listener(&tcp).cluster("origin", &[origin]).to_yaml();
    let filters = indent(filters, 4);
    yaml.replace("    filter_chains:\n", &format!("{filters}    filter_chains:\n"))
}

fn source(fields: &str) -> String {
    format!(
        "- name: source\n  typed_config: {{ '@type': \
         {TYPES}.listener.original_src.v3.OriginalSrc, {fields} }}\n"
    )
}

/// A client at another address of this host.
pub(crate) fn client(from: [u8; 4], to: SocketAddr) -> RawClient {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(Ipv4Addr::from(from).into(), 0).into()).unwrap();
    socket.connect_timeout(&to.into(), PATIENCE).unwrap();
    RawClient::from_stream(socket.into())
}

fn get(client: &mut RawClient) -> Message {
    client.ask("GET / HTTP/1.1\r\nhost: x\r\n\r\n")
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn an_endpoint_sees_the_address_of_the_client() {
    if !is_alone("original_src::an_endpoint_sees_the_address_of_the_client", Rights::All) {
        return;
    }
    let origin = Watched::start();
    let header = format!(
        "- name: header\n  typed_config: {{ '@type': \
         {TYPES}.listener.proxy_protocol.v3.ProxyProtocol, \
         allow_requests_without_proxy_protocol: true }}\n"
    );
    let filters = format!("listener_filters:\n{header}{}", source("mark: 7"));
    let proxy = Proxy::start(yaml(origin.address, &filters));
    let (http, tcp) = (proxy.listener("http"), proxy.listener("tcp"));
    for from in [[127, 0, 0, 8], [127, 0, 0, 9]] {
        assert_eq!(get(&mut client(from, tcp)).status(), 200);
    }
    assert_eq!(origin.peers(), [ip("127.0.0.8"), ip("127.0.0.9")]);
    // Clients share connections with nobody who has another address.
    for from in [[127, 0, 0, 8], [127, 0, 0, 9], [127, 0, 0, 8]] {
        assert_eq!(get(&mut client(from, http)).status(), 200);
    }
    assert_eq!(origin.peers()[2..], [ip("127.0.0.8"), ip("127.0.0.9")]);
    // What a filter in front has found out counts, even if nobody here has such an address.
    let mut client = client([127, 0, 0, 8], tcp);
    client.send("PROXY TCP4 127.9.9.9 127.0.0.1 9 80\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!(client.response().status(), 200);
    assert_eq!(origin.peers()[4..], [ip("127.9.9.9")]);
    assert_eq!(proxy.stat("cluster.origin.bind_errors"), 0);
}

/// Envoy connects from its own address before it finds that it must not.
fn heard_of_nobody(origin: &Watched) {
    if only_ringway("an endpoint that hears of nobody who cannot come") {
        assert_eq!(origin.peers(), [] as [IpAddr; 0]);
    }
}

#[test]
fn a_client_of_another_family_has_no_way_to_the_endpoint() {
    let name = "original_src::a_client_of_another_family_has_no_way_to_the_endpoint";
    if !is_alone(name, Rights::All) {
        return;
    }
    let origin = Watched::start();
    let filters = format!("listener_filters:\n{}", source(""));
    let yaml =
        yaml(origin.address, &filters).replace("127.0.0.1, port_value: 0", "'::1', port_value: 0");
    let proxy = Proxy::start(yaml.replace("\"127.0.0.1\", port_value: 0", "'::1', port_value: 0"));
    let mut client = RawClient::connect(proxy.listener("http"));
    let answer = get(&mut client);
    assert_eq!(answer.status(), 503);
    assert!(answer.text().ends_with("reset reason: local connection failure"), "{}", answer.text());
    heard_of_nobody(&origin);
}

#[test]
fn without_the_right_to_it_there_is_no_connection() {
    let name = "original_src::without_the_right_to_it_there_is_no_connection";
    if !is_alone(name, Rights::NotOverTheNetwork) {
        return;
    }
    let origin = Watched::start();
    let filters = format!("listener_filters:\n{}", source("mark: 7"));
    let proxy = Proxy::start(yaml(origin.address, &filters));
    for count in 1..=2 {
        let answer = get(&mut RawClient::connect(proxy.listener("http")));
        assert_eq!(answer.status(), 503);
        let reason = "reset reason: local connection failure";
        assert!(answer.text().ends_with(reason), "{}", answer.text());
        proxy.wait_stat("cluster.origin.upstream_cx_destroy_local", |all| all == 2 * count - 1);
        let mut client = RawClient::connect(proxy.listener("tcp"));
        client.send_anyway("x");
        assert!(client.try_response("GET").is_err());
        proxy.wait_stat("cluster.origin.upstream_cx_connect_fail", |fails| fails == 2 * count);
    }
    heard_of_nobody(&origin);
}

/// Both ends of a connection stay what they were, though it was intercepted.
#[test]
fn a_connection_passes_through_unseen() {
    if !is_alone("original_src::a_connection_passes_through_unseen", Rights::All) {
        return;
    }
    let origin = Watched::start();
    let filters = format!(
        "transparent: true\nlistener_filters:\n- name: there\n  typed_config: {{ '@type': \
         {TYPES}.listener.original_dst.v3.OriginalDst }}\n{}",
        source("mark: 1337")
    );
    let nobody = "127.0.0.1:9".parse().unwrap();
    let cluster = "- name: there\n  type: ORIGINAL_DST\n  lb_policy: CLUSTER_PROVIDED\n  connect_timeout: 5s\n";
    let yaml = yaml(nobody, &filters).replace("cluster: origin", "cluster: there");
    let yaml = yaml.replacen("  clusters:\n", &format!("  clusters:\n{}", indent(cluster, 2)), 1);
    let proxy = Proxy::start(yaml);
    let (there, here) = (origin.address.port(), proxy.listener("tcp").port());
    let marked = format!(
        "iptables -t mangle -A OUTPUT -p tcp -s 127.0.0.9 --dport {there} -m mark ! --mark 1337 \
         -j MARK --set-mark 1"
    );
    let taken = format!(
        "iptables -t mangle -A PREROUTING -p tcp -m mark --mark 1 -j TPROXY --on-port {here} \
         --on-ip 127.0.0.1 --tproxy-mark 1"
    );
    if ![&marked, &taken].into_iter().all(|one| rule(one)) {
        return;
    }
    assert!(rule("ip rule add fwmark 1 lookup 100"));
    assert!(rule("ip route add local 0.0.0.0/0 dev lo table 100"));
    assert_eq!(get(&mut client([127, 0, 0, 9], origin.address)).status(), 200);
    assert_eq!(origin.peers(), [ip("127.0.0.9")]);
    assert_eq!(proxy.stat("tcp.tcp.downstream_cx_total"), 1);
    assert_eq!(proxy.stat("cluster.there.membership_total"), 1);
}
