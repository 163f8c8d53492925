//! One worker on a snapshot made by hand: a listener, a route to one origin, and the filters that
//! a test wants.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ringway_bridge::log_ring::log_ring;
use ringway_bridge::mailbox::{Receiver, Sender, mailbox};
use ringway_bridge::published;
use ringway_bridge::stats::{Catalog, StatName, Total};
use ringway_bridge::wake::Bell;
use ringway_http::h1::RequestLimits;
use ringway_model::address::Address;
use ringway_model::cluster::{
    Cluster, ClusterId, ClusterPolicy, ClusterRef, Endpoint, PriorityLimits,
};
use ringway_model::dns::NameLine;
use ringway_model::filter::{HttpFilter, HttpFilterChain, Router};
use ringway_model::http::*;
use ringway_model::listener::*;
use ringway_model::route::*;
use ringway_model::snapshot::Snapshot;
use ringway_model::stats::*;
use ringway_model::transport::{DownstreamTls, UpstreamTls};
use ringway_proxy::worker::{Command, Parts, run};
use ringway_runtime::worker;
use ringway_tls::{ClientContext, ServerContext};

fn manager(catalog: &Catalog, routes: RouteTable, filters: HttpFilterChain) -> ConnectionManager {
    let name = StatName::new("", "", "@latency", &[]);
    ConnectionManager {
        stat_prefix: "t".into(),
        routes: Arc::new(routes),
        filters,
        access_logs: Vec::new(),
        h1: RequestLimits::default(),
        enable_trailers: false,
        default_host_for_http_10: None,
        proper_case: false,
        codec: ringway_model::http::Codec::default(),
        h2: ringway_http::h2::Options::default(),
        h2_keepalive: Default::default(),
        upgrades: Vec::new(),
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
        client_cert_details: ClientCertDetails::default(),
        scheme_to_overwrite: None,
        local_replies: None,
        proxy_100_continue: false,
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
        h2_stats: Http2Stats::register(catalog, "http2", "http2", &[]),
        listener_stats: ListenerHttpStats::register(catalog, "listener.l.http.t", "l", &[]),
        latency_us: catalog.histogram(name),
    }
}

fn cluster(
    catalog: &Catalog,
    address: std::net::SocketAddr,
    tls: Option<Arc<UpstreamTls>>,
) -> Arc<Cluster> {
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
        backlog_timeout: None,
        keepalive: None,
        enable_trailers: false,
        proper_case: false,
        tls,
        tls_matches: Vec::new(),
        proxy_header: None,
        proxy_header_matches: Vec::new(),
        protocol: ringway_model::cluster::UpstreamProtocol::Http1,
        h2: ringway_http::h2::Options::default(),
        h2_keepalive: Default::default(),
        resolves_names: false,
        dynamic: None,
        original_dst: None,
        hash_stats: None,
        stat_scope: StatName::new("", "", "cluster.up", &[]),
        stats: ClusterStats::register(catalog, "cluster.up", "cluster", &[]),
        h2_stats: Http2Stats::register(catalog, "cluster.up.http2", "cluster.http2", &[]),
    };
    let endpoint = Endpoint {
        address: Address::Ip(address),
        address_text: address.to_string().into(),
        hostname: "".into(),
        host: ringway_lb::Host::PLAIN,
        locality: Arc::default(),
        transport_match: None,
        hash_key: None,
        tlvs: Default::default(),
        server_name: None,
    };
    let endpoints = vec![Arc::new(endpoint)];
    Arc::new(Cluster::new("up".into(), ClusterId(0), Arc::new(policy), endpoints))
}

/// What a test wants otherwise.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) filters: Vec<Arc<dyn HttpFilter>>,
    pub(crate) downstream: Option<ServerContext>,
    pub(crate) upstream: Option<ClientContext>,
    pub(crate) handshake_timeout: Option<Duration>,
}

/// A worker that runs until it is stopped.
pub(crate) struct Rig {
    pub(crate) address: SocketAddr,
    pub(crate) origin: TcpListener,
    catalog: Arc<Catalog>,
    commands: Sender<Command>,
    bell: Bell,
    drained: Receiver<usize>,
    thread: JoinHandle<()>,
}

impl Rig {
    pub(crate) fn start(filters: Vec<Arc<dyn HttpFilter>>) -> Self {
        Self::with(Setup { filters, ..Setup::default() })
    }

    pub(crate) fn with(setup: Setup) -> Self {
        let origin = TcpListener::bind("127.0.0.1:0").expect("a port");
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("an address");
        let catalog = Arc::new(Catalog::default());
        let snapshot = snapshot(&catalog, socket, &origin, setup);
        let (publisher, mut readers) = published::channel(1);
        publisher.publish(&Arc::new(snapshot));
        let (bell, ear) = Bell::pair().expect("a bell");
        let (commands, inbox) = mailbox(16);
        let (adopted, _reports) = mailbox(16);
        let (report, drained) = mailbox(16);
        let parts = Parts {
            index: 0,
            workers: 1,
            page: catalog.new_page(),
            catalog: Arc::clone(&catalog),
            snapshots: readers.remove(0),
            commands: inbox,
            ear,
            log: log_ring(16).0,
            names: NameLine {
                asks: mailbox(16).0,
                bell: Arc::new(Bell::pair().expect("a bell").0),
                told: mailbox(16).1,
            },
            drain_time: Duration::from_secs(600),
            overload: Arc::default(),
            adopted,
            drained: report,
            neighbours: Default::default(),
        };
        let (driver, _) = worker::detect();
        let thread = worker::start("w".into(), None, driver, move || run(parts));
        let thread = thread.expect("a worker");
        Self { address, origin, catalog, commands, bell, drained, thread }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).expect("connected")
    }

    /// Waits until the last connection is gone.
    pub(crate) fn drain(&self) {
        self.tell(Command::Drain);
        while self.drained.receive().is_none() {
            std::thread::yield_now();
        }
    }

    pub(crate) fn total(&self, name: &str) -> Option<Total> {
        self.catalog.total(name)
    }

    pub(crate) fn stop(self) {
        self.tell(Command::Stop);
        self.thread.join().expect("the worker ends well");
    }

    fn tell(&self, command: Command) {
        self.commands.send(command).expect("room");
        self.bell.ring();
    }
}

fn snapshot(
    catalog: &Catalog,
    socket: TcpListener,
    origin: &TcpListener,
    setup: Setup,
) -> Snapshot {
    let address = Address::Ip(socket.local_addr().expect("an address"));
    let named = |filter| (Arc::from("filter"), filter);
    let scope = |full: &str| StatName::new("", "", full, &[]);
    let ssl = |prefix: &str| SslStats::register(catalog, prefix, prefix, &[]);
    let downstream = |context| {
        let (stats, scope) = (ssl("listener.l.ssl"), scope("listener.l.ssl"));
        let (certificates, authorities) = Default::default();
        Arc::new(DownstreamTls { context, stats, scope, certificates, authorities, key_log: None })
    };
    let upstream = |context| {
        let (stats, scope) = (ssl("cluster.up.ssl"), scope("cluster.up.ssl"));
        let sni = Some("a.test".into());
        let (certificates, authorities) = Default::default();
        let auto_host_sni = false;
        Arc::new(UpstreamTls {
            context,
            sni,
            auto_host_sni,
            stats,
            scope,
            certificates,
            authorities,
            key_log: None,
        })
    };
    let filters =
        HttpFilterChain::new(setup.filters.into_iter().map(named).collect(), Router::default());
    let chain = FilterChain {
        filters: Vec::new(),
        name: Arc::new(ChainName { text: "c".into(), is_given: true }),
        terminal: Terminal::Http(Arc::new(manager(catalog, routes(), filters))),
        tls: setup.downstream.map(downstream),
        transport_connect_timeout: setup.handshake_timeout,
    };
    let listener = Listener {
        name: "l".into(),
        address: address.clone(),
        sockets: Arc::new(Sockets::new(vec![socket.into()], address)),
        additional: Vec::new(),
        direction: Default::default(),
        modify_only: false,
        hands_off: false,
        exact_balance: false,
        bypasses_overload: false,
        internal_buffer: None,
        fast_open: None,
        filters: ListenerFilters::default(),
        udp: None,
        chains: vec![Arc::new(chain)],
        matcher: ChainMatcher {
            tree: None,
            rules: vec![(ChainMatch::default(), 0)],
            default: None,
        },
        buffer_limit: 1 << 20,
        backlog_timeout: None,
        access_logs: Vec::new(),
        limits: Default::default(),
        accepts_at_once: u32::MAX,
        stats: ListenerStats::register(catalog, "listener.l", "listener", &[]),
        worker_stats: Vec::new(),
    };
    let origin = origin.local_addr().expect("an address");
    Snapshot {
        generation: 1,
        listeners: vec![Arc::new(listener)],
        clusters: vec![Some(cluster(catalog, origin, setup.upstream.map(upstream)))],
        cluster_ids: Arc::default(),
        timer_scales: Default::default(),
    }
}

fn routes() -> RouteTable {
    let forward =
        Forward::new(ClusterChoice::Named(ClusterRef { name: "up".into(), id: ClusterId(0) }));
    let route =
        Route::new(RouteMatch::new(PathMatch::prefix("/x")), Action::Forward(Box::new(forward)));
    let host = VirtualHost::new("v".into(), vec!["*".into()], vec![route]);
    RouteTable::new("r".into(), vec![host], RouteTableOptions::default()).expect("a table")
}
