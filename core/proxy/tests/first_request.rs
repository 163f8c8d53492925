//! One worker, a snapshot made by hand, and a client on a plain socket.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use ringway_bridge::log_ring::log_ring;
use ringway_bridge::mailbox::mailbox;
use ringway_bridge::published;
use ringway_bridge::stats::{Catalog, StatName, Total};
use ringway_bridge::wake::Bell;
use ringway_http::h1::RequestLimits;
use ringway_model::address::Address;
use ringway_model::cluster::{
    Cluster, ClusterId, ClusterPolicy, ClusterRef, Endpoint, PriorityLimits,
};
use ringway_model::filter::HttpFilterChain;
use ringway_model::http::*;
use ringway_model::listener::*;
use ringway_model::route::*;
use ringway_model::snapshot::Snapshot;
use ringway_model::stats::*;
use ringway_proxy::worker::{Command, Parts, run};
use ringway_runtime::worker;

fn manager(catalog: &Catalog, routes: RouteTable) -> ConnectionManager {
    let name = StatName::new("", "", "@latency", &[]);
    ConnectionManager {
        stat_prefix: "t".into(),
        routes: Arc::new(routes),
        filters: HttpFilterChain::default(),
        access_logs: Vec::new(),
        h1: RequestLimits::default(),
        enable_trailers: false,
        default_host_for_http_10: None,
        proper_case: false,
        allow_absolute_url: true,
        keep_connection_on_error: false,
        path: PathPolicy::default(),
        host: HostPolicy::default(),
        server_name: "envoy".into(),
        server_header: ServerHeader::Overwrite,
        via: "".into(),
        client_address: ClientAddress {
            local_ip: IpAddr::from([10, 0, 0, 1]),
            use_remote_address: false,
            trusted_hops: 0,
            skip_append: false,
            append_port: false,
            ipv4_mapped: false,
            internal: None,
        },
        request_id: RequestIdPolicy {
            generate: true,
            preserve_external: false,
            in_response: false,
            pack_trace_reason: true,
        },
        forward_client_cert: ForwardClientCert::Sanitize,
        scheme_to_overwrite: None,
        proxy_100_continue: false,
        suppress_envoy_headers: false,
        timeouts: HttpTimeouts {
            stream_idle: Some(Duration::from_secs(300)),
            request: None,
            request_headers: None,
            connection_idle: Some(Duration::from_secs(3600)),
            max_connection_duration: None,
            max_stream_duration: None,
            drain: Duration::from_secs(5),
            delayed_close: Some(Duration::from_secs(1)),
        },
        max_requests_per_connection: None,
        stats: HttpStats::register(catalog, "http.t", "http", &[]),
        listener_stats: ListenerHttpStats::register(catalog, "listener.l.http.t", "l", &[]),
        latency_us: catalog.histogram(name),
    }
}

fn cluster(catalog: &Catalog, address: std::net::SocketAddr) -> Arc<Cluster> {
    let limit = ringway_bridge::limit::Limit::new;
    let limits = || PriorityLimits {
        connections: limit(1024),
        pending: limit(1024),
        requests: limit(1024),
        retries: limit(3),
    };
    let policy = ClusterPolicy {
        connect_timeout: Duration::from_secs(5),
        balancing: ringway_lb::Policy::RoundRobin,
        settings: ringway_lb::Settings::default(),
        limits: [limits(), limits()],
        idle_timeout: Some(Duration::from_secs(3600)),
        max_requests_per_connection: None,
        max_connection_duration: None,
        max_stream_duration: None,
        max_response_headers: 100,
        max_response_head_bytes: 80 << 10,
        buffer_limit: 1 << 20,
        keepalive: None,
        enable_trailers: false,
        proper_case: false,
        resolves_names: false,
        stat_scope: StatName::new("", "", "cluster.up", &[]),
        stats: ClusterStats::register(catalog, "cluster.up", "cluster", &[]),
    };
    let endpoint = Endpoint {
        address: Address::Ip(address),
        address_text: address.to_string().into(),
        hostname: "".into(),
        host: ringway_lb::Host::PLAIN,
        locality: Arc::default(),
    };
    Arc::new(Cluster {
        name: "up".into(),
        id: ClusterId(0),
        policy: Arc::new(policy),
        endpoints: vec![Arc::new(endpoint)],
    })
}

#[test]
fn a_request_goes_up_and_its_response_comes_down() {
    let origin = TcpListener::bind("127.0.0.1:0").expect("a port");
    let origin_address = origin.local_addr().expect("an address");
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("an address");
    let catalog = Arc::new(Catalog::default());
    let forward =
        Forward::new(ClusterChoice::Named(ClusterRef { name: "up".into(), id: ClusterId(0) }));
    let route =
        Route::new(RouteMatch::new(PathMatch::prefix("/")), Action::Forward(Box::new(forward)));
    let host = VirtualHost::new("v".into(), vec!["*".into()], vec![route]);
    let routes = RouteTable::new("r".into(), vec![host], RouteTableOptions::default());
    let chain = FilterChain {
        name: "c".into(),
        terminal: Terminal::Http(Arc::new(manager(&catalog, routes.expect("a table")))),
        transport_connect_timeout: None,
    };
    let listener = Listener {
        name: "l".into(),
        address: Address::Ip(address),
        sockets: Arc::new(Sockets { fds: vec![socket.into()], address: Address::Ip(address) }),
        chains: vec![Arc::new(chain)],
        matcher: ChainMatcher { rules: vec![(ChainMatch::default(), 0)], default: None },
        buffer_limit: 1 << 20,
        stats: ListenerStats::register(&catalog, "listener.l", "listener", &[]),
        worker_stats: Vec::new(),
    };
    let snapshot = Snapshot {
        generation: 1,
        listeners: vec![Arc::new(listener)],
        clusters: vec![Some(cluster(&catalog, origin_address))],
        cluster_ids: Arc::default(),
    };
    let (publisher, mut readers) = published::channel(1);
    publisher.publish(&Arc::new(snapshot));
    let (bell, ear) = Bell::pair().expect("a bell");
    let (commands, inbox) = mailbox(16);
    let (adopted, _reports) = mailbox(16);
    let (drained, reports) = mailbox(16);
    let parts = Parts {
        index: 0,
        workers: 1,
        page: catalog.new_page(),
        catalog: Arc::clone(&catalog),
        snapshots: readers.remove(0),
        commands: inbox,
        ear,
        log: log_ring(16).0,
        adopted,
        drained,
    };
    let (driver, _) = worker::detect();
    let thread = worker::start("w".into(), None, driver, move || run(parts)).expect("a worker");

    let mut client = TcpStream::connect(address).expect("connected");
    client.write_all(b"GET /x HTTP/1.1\r\nHost: h\r\nX-A: b\r\n\r\n").expect("sent");
    let (mut upstream, _) = origin.accept().expect("a connection");
    let mut buffer = [0; 4096];
    for round in 0..3 {
        let received = upstream.read(&mut buffer).expect("a request");
        let request = String::from_utf8_lossy(&buffer[..received]).into_owned();
        println!("{request}");
        assert!(request.starts_with("GET /x HTTP/1.1\r\nhost: h\r\nx-a: b\r\n"), "{request}");
        upstream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").expect("answered");
        let received = client.read(&mut buffer).expect("a response");
        let response = String::from_utf8_lossy(&buffer[..received]).into_owned();
        println!("{response}");
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        assert!(response.ends_with("\r\n\r\nhello"), "{response}");
        if round < 2 {
            client.write_all(b"GET /x HTTP/1.1\r\nHost: h\r\nX-A: b\r\n\r\n").expect("sent");
        }
    }
    drop(client);
    commands.send(Command::Drain).expect("room");
    bell.ring();
    while reports.receive().is_none() {
        std::thread::yield_now();
    }
    assert_eq!(catalog.total("cluster.up.upstream_cx_total"), Some(Total::Counter(1)));
    assert_eq!(catalog.total("http.t.downstream_rq_2xx"), Some(Total::Counter(3)));
    assert_eq!(catalog.total("http.t.downstream_cx_active"), Some(Total::Gauge(0)));
    commands.send(Command::Stop).expect("room");
    bell.ring();
    thread.join().expect("the worker ends well");
}
