//! The binary against its own origin, over real sockets.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use support::{BINARY, Origin, load, number, only_failure, report};

#[test]
fn a_fixed_count_is_sent_exactly_and_the_run_is_clean() {
    let origin = Origin::start(&[]);
    let (json, code) = report(&["-n", "1003", "-c", "7", &origin.url("/")]);
    assert_eq!((number(&json, "right"), number(&json, "failed"), code), (1003, 0, 0));
    assert_eq!(json["statuses"], serde_json::json!([{"status": 200, "count": 1003}]));
    assert_eq!(number(&json["latency"], "count"), 1003);
    assert_eq!(number(&json["connections"], "opened"), 7);
    assert!(json["generator"]["cpu_us_per_request"].as_f64().expect("a number") > 0.0);
}

#[test]
fn several_threads_share_a_count_and_every_target() {
    let (one, two) = (Origin::start(&[]), Origin::start(&[]));
    let heavy = format!("3@{}", one.url("/"));
    let args = ["-t", "2", "-n", "2000", "-c", "8", &heavy, &two.url("/"), "--json"];
    let output = Command::new(BINARY).args(args).output().expect("it runs");
    let json: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!((number(&json, "right"), output.status.code()), (2000, Some(0)));
    let rights: Vec<u64> =
        json["requests"].as_array().expect("a list").iter().map(|r| number(r, "right")).collect();
    assert!(rights.iter().all(|right| *right > 0), "{rights:?}");
}

#[test]
fn every_framing_is_read_to_its_end() {
    let origin = Origin::start(&[]);
    for path in ["/bytes/0", "/bytes/1M", "/chunked/20x5000", "/until-close/70k", "/fields/100"] {
        let length = match path {
            "/bytes/0" => "0",
            "/bytes/1M" => "1M",
            "/chunked/20x5000" => "100000",
            "/until-close/70k" => "70k",
            _ => "64",
        };
        let args = ["-n", "20", "-c", "2", "--expect-length", length, &origin.url(path)];
        let (json, code) = report(&args);
        assert_eq!((number(&json, "right"), code), (20, 0), "{path}: {json}");
    }
    let (json, code) = report(&["-n", "50", "-c", "2", "-m", "HEAD", &origin.url("/bytes/500")]);
    assert_eq!((number(&json, "right"), code), (50, 0), "{json}");
}

#[test]
fn wrong_answers_are_errors() {
    let origin = Origin::start(&[]);
    let cases: [(&str, &[&str], &str); 6] = [
        ("/status/503", &[], "wrong_status"),
        ("/", &["--expect-status", "404,5xx"], "wrong_status"),
        ("/bytes/10", &["--expect-length", "11"], "wrong_body"),
        ("/bytes/10", &["--expect-hash", "xxh3:0000000000000000"], "wrong_body"),
        ("/truncate/bytes/1000", &[], "closed"),
        ("/silent", &[], "closed"),
    ];
    for (path, extra, failure) in cases {
        let (json, code) = report(&[&["-n", "20", "-c", "2", &origin.url(path)], extra].concat());
        assert_eq!((number(&json, "right"), code), (0, 1), "{path}");
        assert_eq!(only_failure(&json, failure), 20, "{path}");
    }
    let (json, code) = report(&["-n", "20", "--expect-status", "503", &origin.url("/status/503")]);
    assert_eq!((number(&json, "right"), code), (20, 0));
}

#[test]
fn bodies_are_compared_by_file_and_by_hash() {
    let origin = Origin::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let (body, other) = (folder.path().join("body"), folder.path().join("other"));
    fs::write(&body, vec![b'x'; 100_000]).expect("written");
    fs::write(&other, vec![b'y'; 100_000]).expect("written");
    let sent = format!("@{}", body.display());
    for (expected, code) in [(&body, 0), (&other, 1)] {
        let expected = expected.to_string_lossy();
        let url = origin.url("/echo");
        let args = ["-n", "10", "-c", "2", "-b", &sent, "--expect-body", &expected, &url];
        assert_eq!(report(&args).1, code, "{expected}");
    }
    // head -c 10 of the origin's body | sha256sum
    let hash = "sha256:84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882";
    let (json, code) = report(&["-n", "10", "--expect-hash", hash, &origin.url("/bytes/10")]);
    assert_eq!(code, 0, "{json}");
}

#[test]
fn an_open_loop_keeps_its_rate_and_counts_from_the_due_time() {
    let origin = Origin::start(&[]);
    let args = ["-r", "500", "-d", "1s", "-c", "10", "--pacing", "sleep", &origin.url("/")];
    let (json, code) = report(&args);
    assert_eq!((number(&json, "right"), number(&json, "unsent"), code), (500, 0, 0));
    // One connection, 20 ms an answer, 100 requests a second: the server falls behind, and only
    // times from the due time show it.
    let (json, code) = report(&["-r", "100", "-d", "1s", "-c", "1", &origin.url("/delay/20ms")]);
    let p99 = |times: &str| {
        let percentiles = json[times]["percentiles"].as_array().expect("a list");
        let found = percentiles.iter().find(|pair| pair[0] == 99.0).expect("p99");
        found[1].as_u64().expect("a time")
    };
    assert_eq!(code, 1, "requests that could not be sent make the run unclean");
    assert!(number(&json, "unsent") > 20, "{json}");
    assert!(p99("latency") > 300_000_000, "{}", p99("latency"));
    assert!(p99("latency") > 3 * p99("service"));
}

#[test]
fn steps_have_figures_of_their_own() {
    let origin = Origin::start(&[]);
    let steps = "100,400:500ms";
    let (json, _) = report(&["--steps", steps, "--pacing", "sleep", &origin.url("/")]);
    // A host that stalls at the end of the time leaves some unsent.
    let right = number(&json, "right");
    assert_eq!(right + number(&json, "unsent"), 250);
    let steps = json["steps"].as_array().expect("a list");
    let counts: Vec<u64> = steps.iter().map(|step| number(&step["latency"], "count")).collect();
    assert_eq!(counts.iter().sum::<u64>(), right);
    // An answer may come just after its step.
    assert!(counts.len() == 2 && (45..=50).contains(&counts[0]), "{counts:?}");
}

#[test]
fn a_warmup_is_not_measured() {
    let origin = Origin::start(&[]);
    let args = ["-r", "200", "-w", "500ms", "-d", "500ms", "--pacing", "sleep", &origin.url("/")];
    let (json, code) = report(&args);
    assert_eq!((number(&json, "right"), code), (100, 0));
}

#[test]
fn connections_are_used_as_often_as_wished() {
    let origin = Origin::start(&[]);
    let opened = |args: &[&str]| {
        let url = origin.url("/");
        let (json, code) = report(&[&["-n", "100", "-c", "4", &url], args].concat());
        assert_eq!((number(&json, "right"), code), (100, 0));
        number(&json["connections"], "opened")
    };
    assert_eq!(opened(&[]), 4);
    assert_eq!(opened(&["--new-connections"]), 100);
    let tenth = opened(&["--requests-per-connection", "10"]);
    assert!((10..=14).contains(&tenth), "{tenth}");
    assert_eq!(opened(&["--pipeline", "8"]), 4);
    // The origin closes after each answer, which is its right.
    let (json, code) = report(&["-n", "100", "-c", "4", &origin.url("/close")]);
    assert_eq!((number(&json, "right"), code), (100, 0));
    assert_eq!(number(&json["connections"], "opened"), 100, "{json}");
}

#[test]
fn own_addresses_are_spread() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let seen = thread::spawn(move || {
        let mut peers = Vec::new();
        for _ in 0..4 {
            let (mut stream, peer) = listener.accept().expect("accepted");
            peers.push(peer.ip().to_string());
            answer(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
        peers.sort();
        peers
    });
    let url = format!("http://{address}/");
    let args = ["-n", "4", "-c", "4", "--source", "127.0.0.2-127.0.0.5", "--new-connections", &url];
    assert_eq!(report(&args).1, 0);
    let expected = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"];
    assert_eq!(seen.join().expect("the server ends well"), expected);
}

/// Reads one request and answers it.
fn answer(stream: &mut TcpStream, bytes: &[u8]) -> String {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("read") > 0 {
        request.push(byte[0]);
    }
    stream.write_all(bytes).expect("sent");
    String::from_utf8(request).expect("text")
}

/// A server that takes one connection and answers its first request with these bytes.
fn one_answer(bytes: &'static [u8]) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/path", listener.local_addr().expect("an address"));
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accepted");
        answer(&mut stream, bytes)
    });
    (url, server)
}

#[test]
fn answers_that_break_the_rules_are_malformed() {
    for bytes in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nmore than was asked for",
    ] {
        let (url, server) = one_answer(bytes);
        let (json, code) = report(&["-n", "1", "-c", "1", &url]);
        assert_eq!((only_failure(&json, "malformed"), code), (1, 1), "{json}");
        server.join().expect("the server ends well");
    }
}

#[test]
fn a_reset_is_told_from_a_close() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("accepted");
        // Closing with unread bytes is a reset: wait for them without reading.
        stream.peek(&mut [0]).expect("a request");
    });
    let (json, code) = report(&["-n", "1", "-c", "1", &url]);
    assert_eq!((only_failure(&json, "reset"), code), (1, 1), "{json}");
    server.join().expect("the server ends well");
}

#[test]
fn what_takes_too_long_is_given_up() {
    let origin = Origin::start(&[]);
    let started = Instant::now();
    let args = ["-n", "4", "-c", "2", "--timeout", "100ms", &origin.url("/delay/60s")];
    let (json, code) = report(&args);
    assert_eq!((only_failure(&json, "timeout"), code), (4, 1));
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn nobody_at_the_address_is_said_clearly() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it").port();
    let output = load(&["-n", "1", &format!("http://127.0.0.1:{port}/")]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("connection refused: is the server running"), "{errors}");
    let output = load(&["https://127.0.0.1/"]);
    assert_eq!(output.status.code(), Some(2));
}

/// Answers the requests of one connection: `count` of them, then tells and goes.
fn answers_so_many(count: usize, told: mpsc::Sender<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accepted");
        for _ in 0..count {
            answer(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
        told.send(()).expect("the test waits");
    });
    url
}

#[test]
fn a_server_that_dies_leaves_errors_not_a_hang() {
    let (sender, died) = mpsc::channel();
    let url = answers_so_many(20, sender);
    let (json, code) = report(&["-n", "60", "-c", "1", "--timeout", "2s", &url]);
    died.recv().expect("it answered");
    assert_eq!((number(&json, "right"), number(&json, "failed"), code), (20, 40, 1), "{json}");
}

#[test]
fn unfriendly_clients_are_counted_apart() {
    let origin = Origin::start(&[]);
    let url = origin.url("/");
    let clients = ["--half-open", "2", "--slow", "1", "--aborted", "50%", "--slow-interval", "1ms"];
    let (json, code) = report(&[&["-d", "1s", "-c", "4", &url], &clients[..]].concat());
    assert_eq!(code, 0, "they must not make the run unclean: {json}");
    let others = &json["unfriendly"];
    assert_eq!(number(others, "half_open"), 2, "{others}");
    assert!(number(others, "slow_answered") > 0 && number(others, "aborted") > 10, "{others}");
}

#[test]
fn requests_come_from_a_file() {
    let origin = Origin::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("mix.http");
    let text = "# @weight 3\nGET /bytes/{{random 1 9}}\n\n### echo\n# @length 46\nPOST /echo\n\n\
                {\"id\": \"{{uuid}}\"}\n\n### gone\n# @status 404\nGET /status/404\n";
    fs::write(&file, text).expect("written");
    let args = ["-n", "500", "-c", "4", "-f", &file.to_string_lossy(), &origin.url("/")];
    let (json, code) = report(&args);
    assert_eq!((number(&json, "right"), code), (500, 0), "{json}");
    let names: Vec<&str> = json["requests"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|r| r["name"].as_str())
        .collect();
    assert_eq!(names, ["GET /bytes/{{random 1 9}}", "echo", "gone"]);
}

#[test]
fn both_drivers_and_unix_sockets_work() {
    let origin = Origin::start(&["--epoll"]);
    let (json, code) = report(&["-n", "500", "--epoll", &origin.url("/bytes/100k")]);
    assert_eq!((number(&json, "right"), code), (500, 0));
    let folder = tempfile::tempdir().expect("a folder");
    let listen = format!("unix:{}", folder.path().join("socket").display());
    let origin = Origin::start_at(&listen, &[]);
    let args = ["-n", "100", "-c", "2", "--connect-to", &origin.address, "http://any/bytes/5"];
    let (json, code) = report(&args);
    assert_eq!((number(&json, "right"), code), (100, 0));
}

/// Right answers of a server that limits its rate, each second, and what may come at once: a busy
/// host must not look like a higher rate.
const LIMIT: f64 = 200.0;
const BURST: f64 = 20.0;

/// A server with that limit: 503 above it.
fn limited() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let bucket = std::sync::Arc::new(std::sync::Mutex::new((BURST, Instant::now())));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, bucket) = (stream.expect("accepted"), bucket.clone());
            thread::spawn(move || {
                // A client that has enough ends its thread.
                let (mut request, mut length) = ([0; 1024], 1);
                while length > 0 {
                    length = stream.read(&mut request).unwrap_or(0);
                    let (tokens, last) = &mut *bucket.lock().expect("nobody panics");
                    *tokens = BURST.min(*tokens + last.elapsed().as_secs_f64() * LIMIT);
                    *last = Instant::now();
                    let status = if *tokens < 1.0 { 503 } else { 200 };
                    *tokens -= if *tokens < 1.0 { 0.0 } else { 1.0 };
                    let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
                    let _ = stream.write_all(answer.as_bytes());
                }
            });
        }
    });
    url
}

#[test]
fn an_objective_is_searched() {
    let args = ["--slo", "p99=1s", "-d", "500ms", "-c", "2", "--pacing", "sleep", &limited()];
    let output = load(&args);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let line = text.lines().find(|line| line.starts_with("Highest rate")).expect("a result");
    let rate = line.split(": ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a rate");
    let rate: f64 = rate.replace(',', "").parse().expect("a number");
    // The burst is used up within half a second; the search ends within 3 %.
    let highest = (LIMIT + BURST / 0.5) * 1.03;
    assert!((LIMIT * 0.9..highest).contains(&rate), "{text}");
    let origin = Origin::start(&[]);
    let url = origin.url("/delay/10ms");
    assert_eq!(load(&["--slo", "p99=1us", "-d", "100ms", &url]).status.code(), Some(1));
}

#[test]
fn reports_are_written_and_compared() {
    let origin = Origin::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (json, hdr, csv) = (format!("--json={}", path("a.json")), path("a.hdr"), path("a.csv"));
    let output =
        load(&["-d", "1200ms", "-c", "2", &json, "--hdr", &hdr, "--csv", &csv, &origin.url("/")]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in ["Requests", "99.99%", "Histogram", "imbalance", "us of CPU per request"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(output.stderr.is_empty(), "no bar in a pipe");
    let lines = |path: &str| fs::read_to_string(Path::new(path)).expect("a file").lines().count();
    assert!(lines(&csv) >= 3, "a head and two seconds");
    assert!(lines(&hdr) >= 6, "four lines of head and two seconds");
    let a = path("a.json");
    let output = load_plain(&["compare", &a, &a, "--fail-above", "1"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1.000"));
    assert_eq!(load_plain(&["compare", &a, &csv]).status.code(), Some(2));
}

fn load_plain(args: &[&str]) -> Output {
    Command::new(BINARY).args(args).output().expect("it runs")
}

#[test]
fn an_interrupt_ends_the_run_with_its_report() {
    let (sender, answered) = mpsc::channel();
    let url = answers_so_many(100, sender);
    let run = Command::new(BINARY)
        .args(["-t", "1", "-d", "60s", "-c", "1", "--json", &url])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    answered.recv().expect("the run is under way");
    let id = i32::try_from(run.id()).expect("an id");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::SIGINT).expect("sent");
    let output = run.wait_with_output().expect("it ends");
    let json: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(json["interrupted"], true);
    assert!(number(&json, "right") == 100 && json["elapsed_s"].as_f64() < Some(30.0), "{json}");
}

#[test]
fn the_port_file_names_the_port() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("port");
    let origin = Origin::start(&["--port-file", &file.to_string_lossy()]);
    // The line on standard output comes first, the file right after it.
    while !file.exists() {
        thread::sleep(Duration::from_millis(5));
    }
    let port = fs::read_to_string(&file).expect("a port");
    assert_eq!(origin.address, format!("127.0.0.1:{port}"));
}
