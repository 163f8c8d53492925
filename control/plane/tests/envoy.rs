//! The same admin requests to the real Envoy and to the admin server of this crate, on the same
//! listener and cluster: status, headers and body must be equal.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ringway_bridge::limit::Limit;
use ringway_bridge::stats::{Catalog, StatName};
use ringway_control::ServerStats;
use ringway_control::admin::{
    About, AdminAddress, AdminServer, AdminState, CommandLine, ConfigSource, Level, Lifecycle,
    LogLevels, ServerState,
};
use ringway_lb::{Health, Host, Policy, Settings};
use ringway_model::address::Address;
use ringway_model::cluster::{
    Cluster, ClusterId, ClusterPolicy, Endpoint, Locality, PriorityLimits,
};
use ringway_model::listener::{ChainMatcher, Listener, Sockets};
use ringway_model::snapshot::Snapshot;
use ringway_model::stats::{ClusterStats, Http2Stats, ListenerStats};
use ringway_test_support::{Make, Message, Proxy, RawClient, envoy, skip};
use tokio::sync::{mpsc, watch};

const BOOTSTRAP: &str = r#"
admin:
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
static_resources:
  listeners:
  - name: main
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: tcp
          cluster: backend
  clusters:
  - name: backend
    type: STATIC
    load_assignment:
      cluster_name: backend
      endpoints:
      - locality: {region: r1, zone: z1}
        priority: 0
        lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9}}}
          load_balancing_weight: 3
        - endpoint: {address: {socket_address: {address: "::1", port_value: 9}}, hostname: foo}
          health_status: UNHEALTHY
"#;

/// The cluster of the bootstrap as proto-JSON.
const CLUSTERS: &str = r#"{"static_resources": {"clusters": [{
    "name": "backend", "type": "STATIC",
    "load_assignment": {"cluster_name": "backend", "endpoints": [{
        "locality": {"region": "r1", "zone": "z1"},
        "lb_endpoints": [
            {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 9}}},
             "load_balancing_weight": 3},
            {"endpoint": {"address": {"socket_address": {"address": "::1", "port_value": 9}},
                          "hostname": "foo"},
             "health_status": "UNHEALTHY"}]}]}}]}}"#;

/// Asked in this order, since some change what the next ones show.
const REQUESTS: &[(&str, &str)] = &[
    ("GET", "/ready"),
    ("POST", "/ready"),
    ("GET", "/quitquitquit"),
    ("DELETE", "/reset_counters"),
    ("GET", "/logging"),
    ("POST", "/logging?group=http:debug"),
    ("POST", "/logging?level=xx"),
    ("POST", "/logging?paths=main"),
    ("POST", "/logging?main=warning"),
    ("GET", "/listeners"),
    ("GET", "/listeners?format=json"),
    ("GET", "/listeners?format=foo"),
    ("GET", "/clusters"),
    ("GET", "/clusters?format=json"),
    ("GET", "/clusters?filter=^x"),
    ("GET", "/certs"),
    ("GET", "/runtime"),
    ("GET", "/init_dump"),
    ("GET", "/hot_restart_version"),
    ("GET", "/stats?filter=^server.concurrency$"),
    ("GET", "/stats?filter=^server%5C.concurrency$&type=Gauges&usedonly"),
    ("GET", "/stats?filter=^server.concurrency$&format=json"),
    ("GET", "/stats?filter=^cluster.backend.membership_(total|healthy)$&format=prometheus"),
    ("GET", "/stats?filter=^cluster.backend.upstream_cx_length_ms$"),
    ("GET", "/stats?filter=^cluster.backend.upstream_cx_length_ms$&histogram_buckets=cumulative"),
    ("GET", "/stats?filter=^cluster.backend.upstream_cx_length_ms$&histogram_buckets=detailed"),
    ("GET", "/stats?filter=^cluster.backend.upstream_cx_length_ms$&format=json"),
    ("GET", "/stats?filter=backend.upstream_cx_length_ms$&format=json&histogram_buckets=detailed"),
    ("GET", "/stats/prometheus?filter=^cluster.backend.upstream_cx_length_ms$"),
    ("GET", "/stats?filter=nothing&format=json"),
    ("GET", "/stats?type=TextReadouts"),
    ("GET", "/stats?type=foo"),
    ("GET", "/stats?format=xx"),
    ("GET", "/stats/prometheus?histogram_buckets=detailed"),
    ("GET", "/config_dump?resource=static_clusters"),
    ("GET", "/config_dump?resource=static_clusters&mask=cluster.name"),
    ("GET", "/config_dump?resource=static_clusters&name_regex=no.*"),
    ("GET", "/config_dump?resource=dynamic_listeners"),
    ("GET", "/config_dump?resource=foo"),
    ("GET", "/config_dump?mask=foo"),
    ("POST", "/reset_counters"),
    ("POST", "/reopen_logs"),
    ("POST", "/healthcheck/fail"),
    ("GET", "/ready"),
    ("POST", "/healthcheck/ok"),
    ("GET", "/ready"),
];

#[test]
fn replies_are_those_of_envoy() {
    if envoy().is_none() {
        return skip("the real Envoy cannot be had here");
    }
    let reference = Proxy::of(Make::Envoy, BOOTSTRAP);
    let (ours, _end) = serve(reference.listener("main"));
    let mut differences = Vec::new();
    for (method, path) in REQUESTS {
        let theirs = shown(path, &ask(reference.admin_address(), method, path));
        let own = shown(path, &ask(ours, method, path));
        if theirs != own {
            differences.push(format!("{method} {path}\n--- Envoy\n{theirs}\n--- own\n{own}\n"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn ask(address: SocketAddr, method: &str, path: &str) -> Message {
    let length = if method == "GET" { "" } else { "content-length: 0\r\n" };
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{length}\r\n");
    RawClient::connect(address).ask(request)
}

/// Status, headers and body, without what depends on the moment.
fn shown(path: &str, message: &Message) -> String {
    let fields = message.head.fields.iter().filter(|(name, _)| name != "date");
    let mut fields: Vec<String> = fields.map(|(name, value)| format!("{name}: {value}")).collect();
    fields.sort();
    if path.starts_with("/config_dump") && message.status() >= 400 {
        // Envoy repeats a header here and forgets the charset.
        fields.clear();
    }
    let body = message.text();
    let logger = |line: &str| path.starts_with("/logging") && line.starts_with("  ");
    let lines = body.lines().filter(|line| !line.contains("\"last_updated\"") && !logger(line));
    // The line before one that is left out ends in a comma.
    let lines = lines.map(|line| line.trim_end_matches(','));
    let mut lines: Vec<&str> = lines.collect();
    if path == "/runtime" {
        // Envoy's order of keys varies from run to run.
        lines.sort_unstable();
    }
    let body = lines.join("\n");
    format!("{}\n{}\n\n{body}", message.status(), fields.join("\n"))
}

/// The admin server on a thread of its own, which ends when the sender is dropped.
fn serve(listener: SocketAddr) -> (SocketAddr, mpsc::Sender<()>) {
    let (tell, address) = std::sync::mpsc::channel();
    let (end, mut ended) = mpsc::channel::<()>(1);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let any = AdminAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
            let server = AdminServer::bind(&any).expect("bound");
            tell.send(server.address().parse().expect("an address")).expect("heard");
            let (state, _commands) = state(listener);
            tokio::select! {
                () = server.run(Arc::new(state), Default::default()) => {}
                _ = ended.recv() => {}
            }
        });
    });
    (address.recv_timeout(Duration::from_secs(30)).expect("bound"), end)
}

fn state(listener: SocketAddr) -> (AdminState, mpsc::Receiver<ringway_control::admin::Command>) {
    let catalog = Arc::new(Catalog::default());
    let lifecycle = Lifecycle::default();
    lifecycle.set(ServerState::Live);
    let about = About {
        version: String::new(),
        started: Instant::now(),
        command_line: CommandLine::default(),
        node: serde_json::Value::Null,
    };
    let (orders, commands) = mpsc::channel(64);
    let config = ConfigSource::new(CLUSTERS, SystemTime::now()).expect("JSON");
    let page = catalog.new_page();
    let (mut control, _workers) =
        ringway_control::publish::Control::new(&catalog, Arc::clone(&page), 0).expect("made");
    control.publish(snapshot(&catalog, listener));
    let stats = ServerStats::new(&catalog, page, about.started, 1, 0);
    let state = AdminState::new(
        Arc::clone(&catalog),
        control.subscribe(),
        watch::channel(Arc::new(config)).1,
        about,
        lifecycle,
        LogLevels::new(&["main"], Level::Info, Box::new(|_| ())),
        orders,
        stats,
    );
    (state, commands)
}

fn snapshot(catalog: &Catalog, listener: SocketAddr) -> Snapshot {
    let address = Address::Ip(listener);
    let listener = Listener {
        name: "main".into(),
        address: address.clone(),
        sockets: Arc::new(Sockets::new(Vec::new(), address)),
        additional: Vec::new(),
        direction: Default::default(),
        modify_only: false,
        hands_off: false,
        exact_balance: false,
        bypasses_overload: false,
        internal_buffer: None,
        fast_open: None,
        filters: ringway_model::listener::ListenerFilters::default(),
        udp: None,
        chains: Vec::new(),
        matcher: ChainMatcher::default(),
        buffer_limit: 1 << 20,
        backlog_timeout: None,
        access_logs: Vec::new(),
        limits: Default::default(),
        accepts_at_once: u32::MAX,
        stats: ListenerStats::register(catalog, "listener.main", "listener", &[]),
        worker_stats: Vec::new(),
    };
    let endpoint = |address: &str, hostname: &str, weight, health| {
        let ip: SocketAddr = address.parse().expect("an address");
        Arc::new(Endpoint {
            address: Address::Ip(ip),
            address_text: address.into(),
            hostname: hostname.into(),
            host: Host { weight, health, ..Host::PLAIN },
            locality: Arc::new(Locality {
                region: "r1".to_owned(),
                zone: "z1".to_owned(),
                sub_zone: String::new(),
            }),
            transport_match: None,
            hash_key: None,
            tlvs: Default::default(),
            server_name: None,
        })
    };
    let cluster = Cluster {
        name: "backend".into(),
        id: ClusterId(0),
        policy: Arc::new(policy(catalog)),
        endpoints: vec![
            endpoint("127.0.0.1:9", "", 3, Health::Healthy),
            endpoint("[::1]:9", "foo", 1, Health::Unhealthy),
        ],
        hashing: None,
    };
    Snapshot {
        listeners: vec![Arc::new(listener)],
        clusters: vec![Some(Arc::new(cluster))],
        ..Snapshot::default()
    }
}

fn policy(catalog: &Catalog) -> ClusterPolicy {
    let limits = PriorityLimits {
        connections: Limit::new(1024),
        pending: Limit::new(1024),
        requests: Limit::new(1024),
        retries: Limit::new(3),
    };
    let tags = [("envoy.cluster_name", "backend".to_owned())];
    ClusterPolicy {
        connect_timeout: Duration::from_secs(5),
        balancing: Policy::RoundRobin,
        settings: Settings::default(),
        limits: [limits.clone(), limits],
        idle_timeout: None,
        max_requests_per_connection: None,
        max_connection_duration: None,
        max_stream_duration: None,
        max_response_headers: 100,
        max_response_head_bytes: 80 * 1024,
        buffer_limit: 1 << 20,
        backlog_timeout: None,
        keepalive: None,
        enable_trailers: false,
        proper_case: false,
        tls: None,
        tls_matches: Vec::new(),
        proxy_header: None,
        proxy_header_matches: Vec::new(),
        protocol: ringway_model::cluster::UpstreamProtocol::Http1,
        h2: Default::default(),
        h2_keepalive: Default::default(),
        resolves_names: false,
        dynamic: None,
        original_dst: None,
        stat_scope: StatName::new("", "", "cluster.backend", &[]),
        stats: ClusterStats::register(catalog, "cluster.backend", "cluster", &tags),
        h2_stats: Http2Stats::register(catalog, "cluster.backend.http2", "cluster.http2", &tags),
        hash_stats: None,
    }
}
