use std::net::{IpAddr, Ipv4Addr};
use std::time::{Instant, SystemTime};

use ringway_bridge::stats::{Catalog, StatName, Total};
use ringway_model::snapshot::Snapshot;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, watch};

use super::*;
use crate::admin::{
    About, Command, CommandLine, ConfigSource, Level, Lifecycle, LogLevels, ServerState,
};
use crate::server_stats::ServerStats;

struct Served {
    address: String,
    catalog: Arc<Catalog>,
    lifecycle: Lifecycle,
    commands: mpsc::Receiver<Command>,
    _running: JoinSet<()>,
}

fn loopback() -> AdminAddress {
    AdminAddress::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))
}

/// An admin server on a free port; it ends with the value.
fn serve(address: &AdminAddress) -> Served {
    let catalog = Arc::new(Catalog::default());
    let (orders, commands) = mpsc::channel(1);
    let lifecycle = Lifecycle::default();
    let about = About {
        version: "0/1/Clean/RELEASE/x".to_owned(),
        started: Instant::now(),
        command_line: CommandLine::default(),
        node: serde_json::json!({"id": "n"}),
    };
    let config = ConfigSource::new("{\"node\":{\"id\":\"n\"}}", SystemTime::now()).expect("JSON");
    let stats = ServerStats::new(&catalog, catalog.new_page(), about.started, 1, 0);
    let state = AdminState::new(
        Arc::clone(&catalog),
        watch::channel(Arc::new(Snapshot::default())).1,
        watch::channel(Arc::new(config)).1,
        about,
        lifecycle.clone(),
        LogLevels::new(&["main"], Level::Info, Box::new(|_| ())),
        orders,
        stats,
    );
    let server = AdminServer::bind(address).expect("bound");
    let address = server.address().to_owned();
    let mut running = JoinSet::new();
    running.spawn(server.run(Arc::new(state), Default::default()));
    Served { address, catalog, lifecycle, commands, _running: running }
}

/// Sends raw bytes and reads to the end.
async fn talk(address: &str, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(bytes.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer
}

async fn ask(served: &Served, method: &str, path: &str) -> String {
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    talk(&served.address, &request).await
}

/// The status, the headers that every reply has (sorted), and the body without its chunks.
fn parts(answer: &str) -> (u16, Vec<String>, String) {
    let (head, mut rest) = answer.split_once("\r\n\r\n").expect("a head");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let fixed = |line: &&str| !line.starts_with("date: ") && !line.starts_with("connection: ");
    let mut headers: Vec<String> = lines.filter(fixed).map(str::to_owned).collect();
    headers.sort();
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        body.push_str(&after[..size]);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    (status.expect("a status"), headers, body)
}

const HEADERS: [&str; 5] = [
    "cache-control: no-cache, max-age=0",
    "content-type: text/plain; charset=UTF-8",
    "server: envoy",
    "transfer-encoding: chunked",
    "x-content-type-options: nosniff",
];

#[tokio::test]
async fn replies_have_the_status_headers_and_words_of_envoy() {
    let served = serve(&loopback());
    let cases = [
        ("GET", "/ready", 503, "PRE_INITIALIZING\n"),
        ("GET", "/quitquitquit", 405, "Method GET not allowed, POST required."),
        ("DELETE", "/logging", 405, "Method DELETE not allowed, POST required."),
        ("GET", "/stats?format=xx", 400, {
            "usage: /stats?format=(html|active-html|json|prometheus|text)\n\n"
        }),
        ("GET", "/stats?type=foo", 400, "invalid &type= param\n"),
        ("GET", "/stats/prometheus?histogram_buckets=detailed", 400, {
            "unsupported prometheus histogram bucket mode\n"
        }),
        ("POST", "/reset_counters", 200, "OK\n"),
        ("GET", "/stats?type=TextReadouts", 200, ""),
        ("POST", "/logging?level=off", 200, "active loggers:\n  main: off\n\n"),
        ("GET", "/config_dump?resource=foo", 404, "foo not found in config dump\n"),
        ("GET", "/hot_restart_version", 200, "disabled"),
        ("GET", "/cpuprofiler", 405, "Method GET not allowed, POST required."),
        ("POST", "/cpuprofiler", 400, "?enable=<y|n>\n"),
        ("POST", "/cpuprofiler?enable=n", 200, "OK\n"),
        ("POST", "/heapprofiler", 501, "The current build does not support heap profiler"),
        ("GET", "/heap_dump", 501, "Heap profile is not implemented in current build"),
        ("POST", "/stats/recentlookups/clear", 200, "OK\n"),
        ("POST", "/stats/recentlookups/enable", 501, "Lookup tracking is not built\n"),
        ("POST", "/runtime_modify?a=b", 503, "No admin layer specified"),
    ];
    for (method, path, status, text) in cases {
        let (found, headers, body) = parts(&ask(&served, method, path).await);
        assert_eq!((found, body.as_str()), (status, text), "{path}");
        assert_eq!(headers, HEADERS, "{path}");
    }
}

#[tokio::test]
async fn a_path_that_is_no_command_lists_the_commands() {
    let served = serve(&loopback());
    let (status, _, help) = parts(&ask(&served, "GET", "/help").await);
    assert_eq!(status, 200);
    assert!(help.starts_with("admin commands are:\n  /: Admin home page\n"), "{help}");
    for path in ["/nothere", "/ready/", "/READY", "/stats/foo"] {
        let (status, _, text) = parts(&ask(&served, "GET", path).await);
        assert_eq!((status, text), (404, format!("invalid path. {help}")), "{path}");
    }
}

#[tokio::test]
async fn ready_follows_start_up_and_health_commands() {
    let mut served = serve(&loopback());
    served.lifecycle.set(ServerState::Live);
    assert_eq!(parts(&ask(&served, "GET", "/ready").await).2, "LIVE\n");
    assert_eq!(parts(&ask(&served, "POST", "/healthcheck/fail").await).2, "OK\n");
    let (status, _, text) = parts(&ask(&served, "GET", "/ready").await);
    assert_eq!((status, text.as_str()), (503, "DRAINING\n"));
    assert_eq!(served.commands.recv().await, Some(Command::FailHealthChecks));
    assert_eq!(parts(&ask(&served, "POST", "/healthcheck/ok").await).0, 200);
    assert_eq!(served.commands.recv().await, Some(Command::PassHealthChecks));
    assert_eq!(parts(&ask(&served, "GET", "/ready").await).0, 200);
}

#[tokio::test]
async fn commands_reach_the_composition_root_and_are_refused_when_it_is_behind() {
    let mut served = serve(&loopback());
    let path = "/drain_listeners?graceful&inboundonly";
    assert_eq!(parts(&ask(&served, "POST", path).await).0, 200);
    assert_eq!(parts(&ask(&served, "POST", "/quitquitquit").await).0, 503, "the queue is full");
    let drain = Command::DrainListeners { graceful: true, skip_exit: false, inbound_only: true };
    assert_eq!(served.commands.recv().await, Some(drain));
    assert_eq!(parts(&ask(&served, "POST", "/quitquitquit").await).2, "OK\n");
    assert_eq!(served.commands.recv().await, Some(Command::Quit));
}

#[tokio::test]
async fn statistics_are_selected_and_used_ones_told_apart() {
    let served = serve(&loopback());
    let page = served.catalog.new_page();
    page.add(served.catalog.counter(StatName::new("", "", "a.used", &[])), 2);
    served.catalog.counter(StatName::new("", "", "a.quiet", &[]));
    let (_, _, text) = parts(&ask(&served, "GET", "/stats?filter=^a%5C.").await);
    assert_eq!(text, "a.quiet: 0\na.used: 2\n");
    let (_, _, text) = parts(&ask(&served, "GET", "/stats?filter=^a&usedonly").await);
    assert_eq!(text, "a.used: 2\n");
    let query = "/stats?filter=^a&invert_filter&usedonly&type=Gauges";
    let (_, _, text) = parts(&ask(&served, "GET", query).await);
    assert!(text.contains("server.concurrency: 1\n") && !text.contains("a.used"), "{text}");
    let (_, _, text) = parts(&ask(&served, "GET", "/stats/prometheus?filter=^a.u").await);
    assert_eq!(text, "# TYPE envoy_a_used counter\nenvoy_a_used{} 2\n");
    ask(&served, "POST", "/reset_counters").await;
    let (_, _, text) = parts(&ask(&served, "GET", "/stats?filter=a.used").await);
    assert_eq!(text, "a.used: 0\n");
}

#[tokio::test]
async fn json_replies_are_json() {
    let served = serve(&loopback());
    let paths = [
        "/stats?format=json",
        "/clusters?format=json",
        "/listeners?format=json",
        "/config_dump",
        "/config_dump?include_eds",
        "/server_info",
        "/memory",
        "/certs",
        "/runtime",
        "/init_dump",
    ];
    for path in paths {
        let (status, headers, body) = parts(&ask(&served, "GET", path).await);
        assert_eq!(status, 200, "{path}");
        assert!(headers.contains(&"content-type: application/json".to_owned()), "{path}");
        assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{path}: {body}");
    }
    let (_, _, info) = parts(&ask(&served, "GET", "/server_info").await);
    let info: serde_json::Value = serde_json::from_str(&info).expect("JSON");
    assert_eq!(info["state"], "PRE_INITIALIZING");
    assert_eq!(info["command_line_options"]["drain_time"], "600s");
    assert_eq!(info["node"]["id"], "n");
}

#[tokio::test]
async fn one_connection_serves_many_requests_and_is_counted() {
    let served = serve(&loopback());
    let two = "GET /ready HTTP/1.1\r\nhost: x\r\n\r\n\
               GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = talk(&served.address, two).await;
    assert_eq!(answer.matches("HTTP/1.1 503").count(), 2, "{answer}");
    let count = |name: &str| served.catalog.total(name);
    assert_eq!(count("http.admin.downstream_rq_5xx"), Some(Total::Counter(2)));
    assert_eq!(count("http.admin.downstream_cx_total"), Some(Total::Counter(1)));
    assert_eq!(count("listener.admin.downstream_cx_total"), Some(Total::Counter(1)));
}

#[tokio::test]
async fn hostile_requests_get_an_error_and_nothing_else_suffers() {
    let served = serve(&loopback());
    let many = (0..200).map(|n| format!("h{n}: x\r\n")).collect::<String>();
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(HEAD_BYTES_MAX));
    let bad = [
        ("\0\u{1}\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n"), "431"),
        (long, "4"),
        ("GET /ready HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n".to_owned(), "400"),
    ];
    for (bytes, status) in bad {
        let answer = talk(&served.address, &bytes).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    assert_eq!(parts(&ask(&served, "GET", "/ready").await).0, 503);
}

#[tokio::test]
async fn a_body_that_nobody_asked_for_is_not_read() {
    let served = serve(&loopback());
    let bytes = "POST /reset_counters HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\nxxx";
    let mut stream = TcpStream::connect(&served.address).await.expect("connected");
    stream.write_all(bytes.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("closed by the server");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[tokio::test]
async fn a_busy_address_is_named() {
    let served = serve(&loopback());
    let taken = AdminAddress::Tcp(served.address.parse().expect("an address"));
    let error = AdminServer::bind(&taken).expect_err("busy").to_string();
    let expected = format!("admin: cannot bind '{}': Address already in use", served.address);
    assert!(error.starts_with(&expected), "{error}");
}

#[tokio::test]
async fn a_unix_socket_serves_and_a_stale_one_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("admin.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
    assert!(path.exists(), "left over");
    let served = serve(&AdminAddress::Pipe(path.clone()));
    let busy = AdminServer::bind(&AdminAddress::Pipe(path.clone()));
    assert!(matches!(busy, Err(AdminError::Bind { .. })), "somebody listens there");
    let mut stream = UnixStream::connect(&path).await.expect("connected");
    let request = b"GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert_eq!(served.address, path.display().to_string());
}

#[tokio::test]
async fn the_bound_address_is_written_where_scripts_find_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = AdminServer::bind(&loopback()).expect("bound");
    let path = folder.path().join("address");
    server.write_address(&path).expect("written");
    assert_eq!(fs::read_to_string(&path).expect("read"), server.address());
    let error = server.write_address(&folder.path().join("no/such")).expect_err("no folder");
    assert!(error.to_string().contains("no/such"), "{error}");
}
