//! Upgrades and CONNECT on Ringway and on Envoy, between all versions: what the client is told,
//! what the origin received, whether bytes pass, whether the connection lives on.

use std::fmt::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use ringway_test_support::{
    Bootstrap, Frame, H2, Launch, Make, PATIENCE, Proxy, RawClient, Stream, Transcript, Wire,
    envoy, h2_upstream, skip,
};

use crate::mask::{self, Ports};

/// How long an answer is waited for that may never come.
const SHORT: Duration = Duration::from_secs(3);
/// SETTINGS_ENABLE_CONNECT_PROTOCOL.
const ALLOWS_CONNECT: (u16, u32) = (8, 1);

/// What one client asks for; each is asked over both versions, and of origins of both.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    listener: &'static str,
    /// `CONNECT`, or the protocol of an upgrade.
    protocol: &'static str,
    /// What the origin does: the last segment of the path, or the first label of the authority.
    asks: &'static str,
    /// Bytes that the client sends before it has its answer.
    early: &'static str,
}

fn cases() -> Vec<Case> {
    let main = |name, asks| Case { name, listener: "main", protocol: "websocket", asks, early: "" };
    let of = |name, protocol, asks| Case { protocol, ..main(name, asks) };
    vec![
        main("accepted", "yes"),
        main("refused", "no"),
        main("bytes behind the answer", "first"),
        main("no answer", "close"),
        main("answered too late", "silent"),
        main("idle for too long", "idle"),
        Case { early: "early", ..main("bytes before the answer", "yes") },
        Case { early: "early", ..main("bytes before a refusal", "no") },
        of("name in capitals", "WebSocket", "yes"),
        of("unknown name", "tea", "yes"),
        of("another name that is allowed", "Foo", "yes"),
        main("a route that allows none", "off"),
        Case { listener: "none", ..main("allowed nowhere", "yes") },
        Case { listener: "none", ..main("a route that allows it", "on") },
        of("CONNECT", "CONNECT", "yes"),
        of("CONNECT refused", "CONNECT", "no"),
        of("CONNECT answered too late", "CONNECT", "silent"),
        Case { listener: "none", ..of("CONNECT allowed nowhere", "CONNECT", "yes") },
    ]
}

fn bootstrap(http1: SocketAddr, http2: SocketAddr) -> String {
    let routes = |extra: &str| -> String {
        let route = |version: &str, what: &str, more: &str| {
            format!(
                "  - {{ match: {{ prefix: /{version}/{what} }}, route: {{ cluster: {version}, \
                 timeout: 0.5s{more} }} }}\n"
            )
        };
        let each = |version: &str| {
            let connect = format!(
                "  - {{ match: {{ connect_matcher: {{}}, headers: [{{ name: x-version, \
                 string_match: {{ exact: {version} }} }}] }}, route: {{ cluster: {version}, \
                 timeout: 0.5s }} }}\n"
            );
            let upgrade = |enabled| {
                format!(", upgrade_configs: [{{ upgrade_type: websocket, enabled: {enabled} }}]")
            };
            [
                connect,
                route(version, "off", &upgrade(false)),
                route(version, "on", &upgrade(true)),
                route(version, "idle", ", idle_timeout: 0.2s"),
                route(version, "", ""),
            ]
            .concat()
        };
        format!(
            "{extra}http2_protocol_options: {{ allow_connect: true }}\nroute_config:\n  \
             virtual_hosts:\n  - name: all\n    domains: ['*']\n    routes:\n{}{}{}",
            ringway_test_support::indent(&each("http1"), 2),
            ringway_test_support::indent(&each("http2"), 2),
            "    - { match: { path: /probe }, direct_response: { status: 200 } }\n",
        )
    };
    let allowed = "upgrade_configs: [{ upgrade_type: websocket }, { upgrade_type: foo }, \
                   { upgrade_type: CONNECT }]\n";
    Bootstrap::new()
        .http("main", &routes(allowed))
        .http("none", &routes(""))
        .cluster("http1", &[http1])
        .cluster_with("http2", &[http2], &h2_upstream("allow_connect: true", ""))
        .to_yaml()
}

// ---- origins ----------------------------------------------------------------------------------

/// What the origins of one program received.
type Record = Arc<(Mutex<Vec<String>>, Condvar)>;

fn note(record: &Record, line: String) {
    record.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(line);
    record.1.notify_all();
}

/// What was noted so far, once an origin has heard the end of a tunnel where there was one.
fn take(record: &Record, had_tunnel: bool) -> Vec<String> {
    let lines = record.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let is_missing =
        |lines: &mut Vec<String>| had_tunnel && !lines.iter().any(|it| it.starts_with(TUNNEL));
    let waited = record.1.wait_timeout_while(lines, PATIENCE, is_missing);
    std::mem::take(&mut *waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0)
}

/// Serves each connection on a thread of its own, for as long as the tests run.
fn origin(record: &Record, serve: fn(Wire, &Record)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("an origin can listen");
    let address = listener.local_addr().expect("a listener has an address");
    let record = record.clone();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let record = record.clone();
            thread::spawn(move || serve(wire(socket), &record));
        }
    });
    address
}

fn wire(socket: TcpStream) -> Wire {
    let transcript = Arc::new(Transcript::new("origin of tunnels"));
    Wire::new(Stream::Tcp(socket), transcript).expect("a socket takes its options")
}

/// What a request asks the origin to do.
fn asked(path: &str, authority: &str) -> String {
    let word = |text: &str| text.rsplit('/').next().unwrap_or("").to_owned();
    match path.starts_with('/') {
        true => word(path),
        false => authority.split('.').next().unwrap_or("").to_owned(),
    }
}

fn noted(record: &Record, start: &str, fields: &[(String, String)]) {
    let shown = fields.iter().filter(|(name, _)| !name.starts_with(':') || name == ":protocol");
    let shown: Vec<String> = shown
        .filter(|(name, _)| name != "x-forwarded-proto")
        .map(|(n, v)| mask::field(n, v, &Ports::default()))
        .collect();
    note(record, format!("origin: {start} {}", shown.join(", ")));
}

/// All that came through a tunnel. What follows a refusal is no tunnel, and how much of it an
/// origin sees is a matter of timing.
fn heard(record: &Record, bytes: &[u8]) {
    if !bytes.is_empty() {
        note(record, format!("{TUNNEL}{}", String::from_utf8_lossy(bytes)));
    }
}

const TUNNEL: &str = "origin's tunnel: ";

fn serve_http1(mut wire: Wire, record: &Record) {
    while let Ok(head) = wire.head() {
        noted(record, &head.start, &head.fields);
        let accepts = match head.get("upgrade") {
            Some(name) => {
                format!("HTTP/1.1 101 Yes\r\nconnection: upgrade\r\nupgrade: {name}\r\n\r\n")
            }
            None => "HTTP/1.1 200 Yes\r\n\r\n".to_owned(),
        };
        match asked(head.target(), head.get("host").unwrap_or("")).as_str() {
            "yes" | "on" | "off" | "idle" => drop(wire.send(accepts.as_bytes())),
            "first" => drop(wire.send(format!("{accepts}first").as_bytes())),
            "silent" => while wire.read_some().is_ok() {},
            "close" => return,
            _ => {
                let _gone = wire.send(b"HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno");
                continue;
            }
        }
        let mut bytes = Vec::new();
        while let Ok(more) = wire.read_some() {
            let _gone = wire.send(&more);
            bytes.extend(more);
        }
        return heard(record, &bytes);
    }
}

fn serve_http2(wire: Wire, record: &Record) {
    let mut server = H2::server(wire, &[ALLOWS_CONNECT]);
    let mut open = Vec::new();
    while let Ok(frame) = server.take_frame() {
        match frame {
            Frame::Headers { stream, fields, .. } => {
                let head = server.so_far(stream);
                let (path, authority) = (head.get(":path"), head.get(":authority"));
                let method = head.get(":method").unwrap_or("").to_owned();
                noted(record, &format!("{method} {}", path.unwrap_or("")), &fields);
                match asked(path.unwrap_or(""), authority.unwrap_or("")).as_str() {
                    "yes" | "on" | "off" | "idle" => {
                        open.push(stream);
                        server.headers(stream, &[(":status", "200")], false);
                    }
                    "first" => {
                        open.push(stream);
                        server.headers(stream, &[(":status", "200")], false);
                        server.data(stream, b"first", false);
                    }
                    "silent" => {}
                    "close" => drop(server.reset_stream(stream, 2)),
                    _ => {
                        server.headers(stream, &[(":status", "403")], false);
                        server.data(stream, b"no", true);
                    }
                }
            }
            // Envoy resets what Ringway ends: a difference on record.
            Frame::Data { stream, end: true, .. } | Frame::Reset { stream, .. }
                if open.contains(&stream) =>
            {
                open.retain(|at| *at != stream);
                heard(record, &server.so_far(stream).body);
                if server.so_far(stream).reset.is_none() {
                    server.data(stream, b"", true);
                }
            }
            Frame::Data { stream, data, .. } if open.contains(&stream) => {
                server.data(stream, &data, false);
            }
            _ => {}
        }
    }
}

// ---- clients ----------------------------------------------------------------------------------

fn fields(outcome: &mut Vec<String>, fields: &[(String, String)]) {
    let shown = fields.iter().map(|(n, v)| format!("  {}", mask::field(n, v, &Ports::default())));
    outcome.extend(shown);
}

fn over_http1(proxy: &Proxy, case: &Case, version: &str) -> Vec<String> {
    let Case { protocol, asks, early, .. } = case;
    let mut outcome = Vec::new();
    let mut client = RawClient::connect(proxy.listener(case.listener));
    client.wire().patience(SHORT).expect("a socket takes its timeout");
    let request = match *protocol {
        "CONNECT" => {
            format!(
                "CONNECT {asks}.test:80 HTTP/1.1\r\nhost: {asks}.test:80\r\nx-version: {version}"
            )
        }
        name => format!(
            "GET /{version}/{asks} HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: {name}"
        ),
    };
    client.send(format!("{request}\r\n\r\n{early}"));
    let head = match client.wire().head() {
        Ok(head) => head,
        Err(_) => return vec!["no answer".to_owned()],
    };
    outcome.push(head.start.clone());
    fields(&mut outcome, &head.fields);
    let is_open = head.status() == 101 || (*protocol == "CONNECT" && head.status() == 200);
    match is_open {
        true => tunnelled_http1(client.wire(), case, &mut outcome),
        false => refused_http1(client.wire(), head.get("content-length"), &mut outcome),
    }
    outcome
}

/// How many bytes come back through the tunnel of a case.
fn due(case: &Case) -> usize {
    let first = if case.asks == "first" { 5 } else { 0 };
    case.early.len() + first + "hello".len()
}

fn tunnelled_http1(wire: &mut Wire, case: &Case, outcome: &mut Vec<String>) {
    let mut bytes = Vec::new();
    if case.asks != "idle" {
        let _gone = wire.send(b"hello");
        while bytes.len() < due(case) {
            match wire.read_some() {
                Ok(more) => bytes.extend(more),
                Err(_) => break,
            }
        }
        let _gone = wire.finish();
    }
    outcome.push(format!("tunnel: {}", String::from_utf8_lossy(&bytes)));
    outcome.push(format!("ends: {}", wire.expect_close().is_ok()));
}

fn refused_http1(wire: &mut Wire, length: Option<&str>, outcome: &mut Vec<String>) {
    let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = Vec::new();
    while body.len() < length {
        match wire.read_some() {
            Ok(more) => body.extend(more),
            Err(_) => break,
        }
    }
    outcome.push(format!("body: {}", String::from_utf8_lossy(&body)));
    let _gone = wire.send(b"GET /probe HTTP/1.1\r\nhost: a\r\n\r\n");
    outcome.push(format!("serves on: {}", wire.head().is_ok_and(|head| head.status() == 200)));
}

fn over_http2(proxy: &Proxy, case: &Case, version: &str) -> Vec<String> {
    let mut outcome = Vec::new();
    let mut client = H2::connect(proxy.listener(case.listener), &[]);
    client.patience(SHORT);
    client.round_trip().expect("a connection");
    let stream = client.next_stream();
    let (path, authority) = (format!("/{version}/{}", case.asks), format!("{}.test:80", case.asks));
    let head: &[(&str, &str)] = match case.protocol {
        "CONNECT" => &[(":method", "CONNECT"), (":authority", &authority), ("x-version", version)],
        name => &[
            (":method", "CONNECT"),
            (":protocol", name),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", &path),
        ],
    };
    client.headers(stream, head, false);
    if !case.early.is_empty() {
        client.data(stream, case.early.as_bytes(), false);
    }
    let has_head = |message: &ringway_test_support::H2Message| {
        !message.head.is_empty() || message.reset.is_some()
    };
    let Ok(answer) = client.until(stream, has_head) else {
        return vec!["no answer".to_owned()];
    };
    fields(&mut outcome, &answer.head);
    if answer.status() == 200 {
        tunnelled_http2(&mut client, stream, case, &mut outcome);
    } else {
        let ended = client.try_answer(stream).map(|answer| answer.text());
        outcome.push(format!("body: {}", ended.unwrap_or_default()));
    }
    outcome.push(format!("serves on: {}", client.round_trip().is_ok()));
    outcome
}

fn tunnelled_http2(client: &mut H2, stream: u32, case: &Case, outcome: &mut Vec<String>) {
    if case.asks == "idle" {
        let ended = client.try_answer(stream);
        return outcome.push(format!("ends: {}", ended.is_ok()));
    }
    client.data(stream, b"hello", false);
    let due = due(case);
    let _what_came = client.until(stream, |it| it.body.len() >= due || it.reset.is_some());
    outcome.push(format!("tunnel: {}", client.so_far(stream).text()));
    // That a half ends on its own is a difference on record: the tunnel is torn down as a whole.
    client.reset_stream(stream, 8);
}

// ---- the comparison ---------------------------------------------------------------------------

type Outcomes = Vec<(String, Vec<String>)>;

fn play(make: Make) -> Outcomes {
    let record = Record::default();
    let (http1, http2) = (origin(&record, serve_http1), origin(&record, serve_http2));
    let proxy = Launch::new(make, bootstrap(http1, http2)).start();
    let proxy = proxy.unwrap_or_else(|error| panic!("{error}"));
    let mut outcomes = Outcomes::new();
    for case in cases() {
        for version in ["http1", "http2"] {
            type Client = fn(&Proxy, &Case, &str) -> Vec<String>;
            let clients: [(&str, Client); 2] = [("http1", over_http1), ("http2", over_http2)];
            for (own, client) in clients {
                let mut outcome = client(&proxy, &case, version);
                settle(&proxy);
                let had_tunnel =
                    outcome.iter().any(|it| it.starts_with("tunnel: ") && it.len() > 8);
                outcome.extend(take(&record, had_tunnel));
                outcomes.push((format!("{}, {own} to {version}", case.name), outcome));
            }
        }
    }
    outcomes.push(("statistics".to_owned(), statistics(&proxy)));
    outcomes
}

/// Nothing of a case goes on, so that what the origin tells belongs to it.
fn settle(proxy: &Proxy) {
    for gauge in ["downstream_cx_active", "downstream_rq_active", "downstream_cx_upgrades_active"] {
        for listener in ["main", "none"] {
            proxy.wait_stat(&format!("http.{listener}.{gauge}"), |active| active == 0);
        }
    }
    for gauge in ["http1.upstream_rq_active", "http2.upstream_rq_active"] {
        proxy.wait_stat(&format!("cluster.{gauge}"), |active| active == 0);
    }
}

fn statistics(proxy: &Proxy) -> Vec<String> {
    let wanted = ["upgrades_total", "_rq_ws_on", "_rq_1xx", "_rq_2xx", "_rq_4xx", "_rq_5xx"];
    let text = proxy.admin("/stats").text();
    let is_wanted = |line: &&str| {
        !line.starts_with("http.admin.")
            && line.starts_with("http.")
            && wanted.iter().any(|part| line.contains(part))
    };
    text.lines().filter(is_wanted).map(str::to_owned).collect()
}

/// Differences that are meant, each with its reason.
const KNOWN: &[(&str, &str)] = &[];

#[test]
fn tunnels_are_opened_as_envoy_opens_them() {
    if envoy().is_none() {
        return skip("nothing to compare with");
    }
    let (theirs, ours) = thread::scope(|scope| {
        let theirs = scope.spawn(|| play(Make::Envoy));
        let ours = play(Make::subject());
        (theirs.join().expect("the reference's side does not panic"), ours)
    });
    let mut report = String::new();
    for ((name, theirs), (_, ours)) in theirs.iter().zip(&ours) {
        let known = KNOWN.iter().any(|(known, _)| known == name);
        match (theirs == ours, known) {
            (true, true) => drop(writeln!(report, "no difference any more: {name}")),
            (false, false) => {
                let _ = writeln!(report, "=== {name}\n- {}", theirs.join("\n- "));
                let _ = writeln!(report, "+ {}", ours.join("\n+ "));
            }
            _ => {}
        }
    }
    assert!(report.is_empty() || Make::subject() == Make::Envoy, "\n{report}");
}
