//! TLS, HTTP/2, gRPC, WebSocket, TCP and UDP: the client against the origin of the same make.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;

use serde_json::Value;
use support::{Origin, load, number, only_failure, report};

/// The origin's URL with another scheme.
fn url(scheme: &str, origin: &Origin, path: &str) -> String {
    format!("{scheme}://{}{path}", origin.address)
}

/// A clean run of so many requests.
fn clean(args: &[&str], count: u64) -> Value {
    let (json, code) = report(&[&["-n", &count.to_string()], args].concat());
    assert_eq!((number(&json, "right"), code), (count, 0), "{args:?}: {json}");
    json
}

#[test]
fn http2_comes_at_once_or_by_alpn() {
    let (plain, sealed) = (Origin::start(&[]), Origin::start(&["--tls"]));
    for streams in ["1", "10", "300"] {
        let (plain, sealed) = (url("http", &plain, "/"), url("https", &sealed, "/"));
        let args = ["-2", "-c", "2", "--streams", streams];
        clean(&[&args[..], &[&plain]].concat(), 1000);
        let json = clean(&[&args[..], &["-k", &sealed]].concat(), 1000);
        assert_eq!(json["statuses"], serde_json::json!([{"status": 200, "count": 1000}]));
        assert_eq!(json["plan"]["protocols"], serde_json::json!(["HTTP/2 over TLS"]));
        assert_eq!(number(&json["connections"], "opened"), 2);
    }
}

#[test]
fn bodies_of_http2_are_checked_both_ways() {
    let origin = Origin::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let body = folder.path().join("body");
    // More than all windows of both sides at first.
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n % 97) as u8).collect();
    fs::write(&body, bytes).expect("written");
    let (sent, expected) = (format!("@{}", body.display()), body.to_string_lossy());
    let echo = url("http", &origin, "/echo");
    let args = ["-2", "-c", "2", "--streams", "5", "-b", &sent, "--expect-body", &expected];
    clean(&[&args[..], &[&echo]].concat(), 50);
    clean(&[&args[..], &["--chunked", "1k", &echo]].concat(), 50);
    for (path, length) in [("/bytes/1M", "1M"), ("/chunked/20x5000", "100000"), ("/bytes/0", "0")] {
        let url = url("http", &origin, path);
        clean(&["-2", "-c", "1", "--streams", "8", "--expect-length", length, &url], 40);
    }
    clean(&["-2", "-m", "HEAD", &url("http", &origin, "/bytes/500")], 40);
    let wrong = url("http", &origin, "/bytes/10");
    let (json, code) = report(&["-2", "-n", "20", "--expect-length", "11", &wrong]);
    assert_eq!((only_failure(&json, "wrong_body"), code), (20, 1));
}

#[test]
fn streams_fail_alone() {
    let origin = Origin::start(&[]);
    let args = ["-2", "-n", "20", "-c", "1", "--streams", "4"];
    for path in ["/silent", "/truncate/bytes/1000"] {
        let (json, code) = report(&[&args[..], &[&url("http", &origin, path)]].concat());
        assert_eq!((only_failure(&json, "stream_reset"), code), (20, 1), "{path}");
        assert_eq!(number(&json["connections"], "opened"), 1, "{path}");
    }
    let slow = url("http", &origin, "/delay/60s");
    let fast = format!("3@{}", url("http", &origin, "/"));
    let (json, code) = report(&[&args[..], &["--timeout", "300ms", &slow, &fast]].concat());
    let late = only_failure(&json, "timeout");
    assert_eq!((number(&json, "right") + late, code), (20, 1), "{json}");
    assert!(late > 0 && number(&json["connections"], "opened") == 1, "{json}");
}

#[test]
fn answers_of_http2_wait_and_overtake_each_other() {
    let origin = Origin::start(&[]);
    let slow = url("http", &origin, "/delay/30ms");
    let paused = url("http", &origin, "/chunked/3x10/pause/20ms");
    let json = clean(&["-2", "-c", "1", "--streams", "50", &slow], 50);
    assert!(number(&json["latency"], "min") >= 30_000_000, "{json}");
    assert!(json["elapsed_s"].as_f64() < Some(1.0), "one after the other takes 1.5 s: {json}");
    let json = clean(&["-2", "-c", "1", "--streams", "5", "--expect-length", "30", &paused], 5);
    assert!(number(&json["latency"], "min") >= 60_000_000, "{json}");
    let gone = url("http", &origin, "/close");
    let json = clean(&["-2", "-c", "2", "--streams", "3", &gone], 30);
    assert!(number(&json["connections"], "opened") >= 10, "GOAWAY ends a connection: {json}");
}

#[test]
fn handshakes_are_full_or_resumed_as_wished() {
    let origin = Origin::start(&["--tls"]);
    let https = url("https", &origin, "/");
    for version in ["1.2", "1.3"] {
        let usual = ["-k", "-c", "2", "--new-connections", "--tls-version", version, &https];
        let json = clean(&usual, 30);
        let handshakes = &json["handshakes"];
        assert_eq!((number(handshakes, "full"), number(handshakes, "resumed")), (30, 0));
        assert!(handshakes["agreed"].to_string().contains(&format!("TLSv{version} ")), "{json}");
        let json = clean(&[&usual[..], &["--resume"]].concat(), 30);
        let [full, resumed] = ["full", "resumed"].map(|n| number(&json["handshakes"], n));
        assert_eq!(full + resumed, 30, "{version}");
        assert!(full <= 2, "only the first on each connection: {json}");
    }
    let json = clean(&["-k", "-c", "3", "-p", "4", &https], 300);
    assert_eq!(number(&json["handshakes"], "full"), 3);
}

#[test]
fn certificates_are_verified_unless_told_otherwise() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("made");
    fs::write(path("cert"), made.cert.pem()).expect("written");
    fs::write(path("key"), made.signing_key.serialize_pem()).expect("written");
    let origin = Origin::start(&["--cert", &path("cert"), "--key", &path("key")]);
    let https = url("https", &origin, "/bytes/100k");
    clean(&["--cacert", &path("cert"), "--expect-length", "100k", &https], 20);
    clean(&["--insecure", &https], 20);
    let output = load(&["-n", "1", &https]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("UnknownIssuer"), "{errors}");
    let other = url("https", &origin, "/").replace("127.0.0.1", "localhost");
    let output = load(&["-n", "1", "--cacert", &path("cert"), &other]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("OtherError(Name)"), "another name than asked for: {errors}");
}

#[test]
fn calls_of_grpc_need_their_status_and_their_messages() {
    let (plain, sealed) = (Origin::start(&[]), Origin::start(&["--tls"]));
    let call = url("grpc", &plain, "/test.Echo/Call");
    clean(&["-c", "2", "--streams", "10", "-b", "hello", "--expect-messages", "1", &call], 500);
    clean(&["-k", "-b", "n {{seq}}", &url("grpcs", &sealed, "/test.Echo/Call")], 100);
    clean(&[&call], 20);
    let many = ["-H", "x-ringway-answer: messages/25", "-b", "hello"];
    clean(&[&many[..], &["--expect-messages", "25", "--expect-length", "250", &call]].concat(), 50);
    let (json, code) =
        report(&[&many[..], &["-n", "5", "--expect-messages", "24", &call]].concat());
    assert_eq!((only_failure(&json, "wrong_body"), code), (5, 1));
    let refused = ["-H", "x-ringway-answer: grpc-status/7", "-n", "5", &call];
    let (json, code) = report(&refused);
    assert_eq!((only_failure(&json, "wrong_grpc_status"), code), (5, 1));
    clean(&["-H", "x-ringway-answer: grpc-status/7", "--expect-grpc-status", "7", &call], 5);
}

#[test]
fn websockets_get_back_what_they_send() {
    let (plain, sealed) = (Origin::start(&[]), Origin::start(&["--tls"]));
    let ws = url("ws", &plain, "/");
    let json = clean(&["-c", "3", &ws], 300);
    assert_eq!(json["statuses"], serde_json::json!([]), "messages have no status");
    clean(&["-c", "2", "-p", "8", "-b", "n {{seq}}", &ws], 200);
    clean(&["--new-connections", "-H", "origin: http://here", &ws], 20);
    clean(&["-k", "-b", "hello", &url("wss", &sealed, "/any/path")], 100);
    let folder = tempfile::tempdir().expect("a folder");
    let body = folder.path().join("body");
    fs::write(&body, vec![b'x'; 200_000]).expect("written");
    clean(&["-p", "2", "-b", &format!("@{}", body.display()), &ws], 20);
    let (json, code) = report(&["-n", "5", "--expect-length", "3", &ws]);
    assert_eq!((only_failure(&json, "wrong_body"), code), (5, 1));
}

#[test]
fn an_upgrade_that_is_refused_is_said_clearly() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let ws = format!("ws://{}/", listener.local_addr().expect("an address"));
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accepted");
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").expect("sent");
    });
    let output = load(&["-n", "1", "-c", "1", &ws]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("status 403"), "{errors}");
    server.join().expect("the server ends well");
}

/// Reads up to the end of a head.
fn read_head(stream: &mut TcpStream) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
}

#[test]
fn bytes_go_there_and_back() {
    let echo = Origin::start(&["--tcp", "echo"]);
    let tcp = url("tcp", &echo, "");
    clean(&["-c", "3", &tcp], 300);
    clean(&["-p", "5", "-b", "n {{seq}}", &tcp], 300);
    clean(&["--new-connections", &tcp], 30);
    let sealed = Origin::start(&["--tcp", "echo", "--tls"]);
    clean(&["-k", &url("tls", &sealed, "")], 100);
    let sink = Origin::start(&["--tcp", "sink", "--size", "10000"]);
    let folder = tempfile::tempdir().expect("a folder");
    let body = folder.path().join("body");
    fs::write(&body, vec![b'x'; 10_000]).expect("written");
    let body = format!("@{}", body.display());
    let args = ["-p", "3", "-b", &body, "--expect-length", "1", &url("tcp", &sink, "")];
    let json = clean(&args, 300);
    assert_eq!((number(&json, "bytes_sent"), number(&json, "bytes_received")), (3_000_000, 300));
    let source = Origin::start(&["--tcp", "source", "--size", "1M"]);
    let args = ["-p", "3", "-b", ".", "--expect-length", "1M", &url("tcp", &source, "")];
    assert_eq!(number(&clean(&args, 30), "bytes_received"), 30 << 20);
}

#[test]
fn a_wrong_echo_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let tcp = format!("tcp://{}", listener.local_addr().expect("an address"));
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accepted");
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).expect("a request");
        stream.write_all(b"hellO").expect("sent");
        // Until the client has had enough.
        let _ = stream.read(&mut bytes);
    });
    let (json, code) = report(&["-n", "1", "-c", "1", "-b", "hello", &tcp]);
    assert_eq!((only_failure(&json, "wrong_body"), code), (1, 1));
    server.join().expect("the server ends well");
}

#[test]
fn bodies_go_in_chunks() {
    let origin = Origin::start(&[]);
    let echo = url("http", &origin, "/echo");
    let text = "a body of forty bytes, in chunks of seven";
    clean(&["-p", "3", "-b", text, "--chunked", "7", "--expect-length", "41", &echo], 50);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("mix.http");
    fs::write(&file, "# @chunked 4\n# @length 12\nPOST /echo\n\nseq {{hex 8}}\n").expect("written");
    clean(&["-f", &file.to_string_lossy(), &echo], 50);
}

#[test]
fn what_is_no_http2_is_malformed() {
    let origin = Origin::start(&["--tcp", "echo"]);
    let (json, code) = report(&["-2", "-n", "3", "-c", "1", &url("http", &origin, "/")]);
    assert_eq!((number(&json, "right"), code), (0, 1));
    assert!(json["failures"].to_string().contains("malformed"), "{json}");
    let output = load(&["-2", "-n", "1", "-k", &url("https", &Origin::start(&[]), "/")]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn datagrams_come_back() {
    let origin = Origin::start(&["--udp"]);
    let url = url("udp", &origin, "");
    for driver in [&[][..], &["--epoll"]] {
        for load in [["-c", "4", "-p", "1"], ["-c", "2", "-p", "20"]] {
            let json = clean(&[driver, &load, &[&url]].concat(), 2000);
            assert_eq!(json["plan"]["protocols"], serde_json::json!(["UDP"]));
        }
    }
    clean(&["-c", "3", "-b", &"x".repeat(9000), &url], 100);
    clean(&["-c", "3", "-b", "{{seq}}{{hex 20}}", &url], 100);
    clean(&["-c", "4", "--source", "127.1.0.0/30", &url], 100);
    let json = clean(&["-c", "2", "--new-connections", &url], 100);
    assert_eq!(number(&json["connections"], "opened"), 100);
    clean(&["-c", "4", "-r", "2000", "--arrivals", "poisson", "--expect-length", "64", &url], 200);
}

/// Answers as `answer` says, until a datagram of one byte comes.
fn datagram_peer(
    answer: impl Fn(usize, &[u8]) -> Vec<Vec<u8>> + Send + 'static,
) -> (String, thread::JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let address = socket.local_addr().expect("an address");
    let serve = move || {
        let mut datagram = [0; 2000];
        for count in 0.. {
            let (length, from) = socket.recv_from(&mut datagram).expect("a datagram");
            if length == 1 {
                return;
            }
            for answer in answer(count, &datagram[..length]) {
                socket.send_to(&answer, from).expect("sent");
            }
        }
    };
    (address.to_string(), thread::spawn(serve))
}

fn end(peer: (String, thread::JoinHandle<()>)) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
    socket.send_to(b"x", &peer.0).expect("sent");
    peer.1.join().expect("it ends");
}

#[test]
fn lost_datagrams_are_errors_of_their_own_and_their_socket_goes_on() {
    let peer = datagram_peer(|count, datagram| match count % 10 {
        3 => Vec::new(),
        // Twice, and behind that, what nobody asked for.
        5 => vec![datagram.to_vec(), datagram.to_vec(), b"\xff\xff???".to_vec(), Vec::new()],
        _ => vec![datagram.to_vec()],
    });
    let url = format!("udp://{}", peer.0);
    for load in [&["-p", "1"][..], &["-p", "5"], &["-r", "1000"]] {
        let args = [&["-n", "100", "-c", "1", "--timeout", "200ms"], load, &[&url]].concat();
        let (json, code) = report(&args);
        assert_eq!((only_failure(&json, "lost"), number(&json, "right"), code), (10, 90, 1));
        assert_eq!(number(&json["connections"], "opened"), 1, "{json}");
    }
    end(peer);
}

#[test]
fn wrong_datagrams_and_closed_ports_are_told_apart() {
    let peer = datagram_peer(|_, datagram| vec![[&datagram[..2], b"other content"].concat()]);
    let (json, _) = report(&["-n", "20", "-c", "2", &format!("udp://{}", peer.0)]);
    assert_eq!(only_failure(&json, "wrong_body"), 20);
    end(peer);
    let huge = datagram_peer(|_, _| vec![vec![b'x'; 1800]]);
    let (json, _) = report(&["-n", "5", "-c", "1", &format!("udp://{}", huge.0)]);
    assert_eq!(only_failure(&json, "malformed"), 5);
    end(huge);
    let closed = UdpSocket::bind("127.0.0.1:0").expect("bound").local_addr().expect("an address");
    for driver in [&[][..], &["--epoll"]] {
        let url = format!("udp://{closed}");
        let args = ["-n", "20", "-c", "2", "--timeout", "300ms", &url];
        let (json, code) = report(&[driver, &args].concat());
        // Where epoll waits already, it is the next datagram that hears of it.
        let count = |name: &str| {
            let failures = json["failures"].as_array().expect("a list");
            failures
                .iter()
                .filter(|f| f["failure"] == name)
                .map(|f| number(f, "count"))
                .sum::<u64>()
        };
        assert_eq!((count("refused") + count("lost"), code), (20, 1), "{json}");
        assert!(count("refused") >= 16, "{json}");
    }
}
