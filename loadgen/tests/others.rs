//! Beside programs of others: their clients at our origin, our client at their servers.
//!
//! A program that is not on this machine is left out, and said to be.

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Origin, number, report};

/// A program, when it is here.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let found = folders.find_map(|folder| Some(folder.join(name)).filter(|path| path.is_file()));
    if found.is_none() {
        eprintln!("left out: {name} is not on this machine");
    }
    found
}

/// Python, when it is here with these modules.
fn python(modules: &str) -> Option<PathBuf> {
    let python = program("python3")?;
    let import = Command::new(&python).args(["-c", &format!("import {modules}")]).output();
    let has = import.is_ok_and(|output| output.status.success());
    if !has {
        eprintln!("left out: Python has no {modules}");
    }
    has.then_some(python)
}

/// A process that ends with its value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that is free, for programs that take no socket.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Starts a server that listens on `port`.
fn server(command: &mut Command, port: u16) -> Process {
    let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let process = Process(process);
    let deadline = Instant::now() + Duration::from_secs(20);
    // A server has no other way to say that it listens.
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "{command:?} does not listen");
        thread::sleep(Duration::from_millis(10));
    }
    process
}

/// A certificate for this host, and its key.
fn identity(folder: &Path) -> (String, String) {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("made");
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    fs::write(&cert, made.cert.pem()).expect("written");
    fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    (cert.display().to_string(), key.display().to_string())
}

/// A clean run of so many requests.
fn clean(args: &[&str], count: u64) -> Value {
    let (json, code) = report(&[&["-n", &count.to_string()], args].concat());
    assert_eq!((number(&json, "right"), code), (count, 0), "{args:?}: {json}");
    json
}

#[test]
fn h2load_at_our_origin() {
    let Some(h2load) = program("h2load") else { return };
    for (args, scheme) in [(&[][..], "http"), (&["--tls"], "https")] {
        let origin = Origin::start(args);
        let url = format!("{scheme}://{}/bytes/1000", origin.address);
        let args = ["-n", "500", "-c", "3", "-m", "20", &url];
        let output = Command::new(&h2load).args(args).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("500 succeeded, 0 failed") && text.contains("500 2xx"), "{text}");
    }
}

#[test]
fn curl_at_our_origin() {
    let Some(curl) = program("curl") else { return };
    let origin = Origin::start(&["--tls"]);
    let url = format!("https://{}/chunked/3x5/pause/5ms", origin.address);
    for (option, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let args = ["-sk", option, "-w", " %{http_version} %{http_code}", &url];
        let output = Command::new(&curl).args(args).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text, format!("0123456789abcde {version} 200"));
    }
}

#[test]
fn our_client_at_nginx() {
    let Some(nginx) = program("nginx") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = identity(folder.path());
    let (plain, sealed) = (free_port(), free_port());
    let here = folder.path().display();
    let text = format!(
        "daemon off; pid {here}/pid; error_log {here}/log; events {{}} http {{ access_log off;
         client_body_temp_path {here}/a; proxy_temp_path {here}/b; fastcgi_temp_path {here}/c;
         uwsgi_temp_path {here}/d; scgi_temp_path {here}/e;
         ssl_certificate {cert}; ssl_certificate_key {key};
         ssl_protocols TLSv1.2 TLSv1.3; keepalive_requests 100;
         server {{ listen 127.0.0.1:{plain} http2; listen 127.0.0.1:{sealed} ssl http2;
         location / {{ return 200 hello; }} }} }}"
    );
    let file = folder.path().join("nginx.conf");
    fs::write(&file, text).expect("written");
    let mut command = Command::new(nginx);
    command
        .arg("-c")
        .arg(&file)
        .arg("-p")
        .arg(folder.path())
        .arg("-e")
        .arg(folder.path().join("x"));
    let _nginx = server(&mut command, sealed);
    let (plain, sealed) =
        (format!("http://127.0.0.1:{plain}/"), format!("https://127.0.0.1:{sealed}/"));
    // More streams than it allows at first, and connections that it ends by GOAWAY.
    let two = ["-2", "-c", "2", "--expect-length", "5"];
    let json = clean(&[&two[..], &["--streams", "300", &plain]].concat(), 2000);
    assert!(number(&json["connections"], "opened") > 10, "{json}");
    clean(&[&two[..], &["--streams", "10", "--cacert", &cert, &sealed]].concat(), 500);
    let once = ["--cacert", &cert, "-c", "2", "--new-connections", &sealed];
    let json = clean(&once, 50);
    assert_eq!(number(&json["handshakes"], "full"), 50);
    for version in ["1.2", "1.3"] {
        let resumed = ["--resume", "--tls-version", version];
        let json = clean(&[&resumed[..], &once].concat(), 50);
        assert!(number(&json["handshakes"], "full") <= 4, "{version}: {json}");
    }
}

#[test]
fn our_client_at_openssl() {
    let Some(openssl) = program("openssl") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = identity(folder.path());
    fs::write(folder.path().join("page"), "x".repeat(50_000)).expect("written");
    let port = free_port();
    let mut command = Command::new(openssl);
    command.args(["s_server", "-quiet", "-WWW", "-cert", &cert, "-key", &key]);
    command.args(["-accept", &format!("127.0.0.1:{port}")]).current_dir(folder.path());
    let _openssl = server(&mut command, port);
    let url = format!("https://127.0.0.1:{port}/page");
    for version in ["1.2", "1.3"] {
        let args = ["--cacert", &cert, "--tls-version", version, "--expect-length", "50000"];
        clean(&[&args[..], &["-c", "1", "--new-connections", &url]].concat(), 10);
    }
}

const CALLS: &str = "
import grpc, sys
from concurrent import futures
class Calls(grpc.GenericRpcHandler):
    def service(self, call):
        if call.method.endswith('/Stream'):
            return grpc.unary_stream_rpc_method_handler(lambda m, c: (m for _ in range(10)))
        if call.method.endswith('/Fail'):
            return grpc.unary_unary_rpc_method_handler(
                lambda m, c: c.abort(grpc.StatusCode.NOT_FOUND, 'no such thing'))
        return grpc.unary_unary_rpc_method_handler(lambda m, c: m)
server = grpc.server(futures.ThreadPoolExecutor(4))
server.add_generic_rpc_handlers((Calls(),))
print(server.add_insecure_port('127.0.0.1:0'), flush=True)
server.start()
server.wait_for_termination()
";

/// Starts a server that prints its port.
fn python_server(python: &Path, code: &str) -> (Process, u16) {
    let mut command = Command::new(python);
    let started = command.args(["-c", code]).stdout(Stdio::piped()).spawn();
    let mut process = Process(started.expect("it starts"));
    let mut line = String::new();
    let stdout = process.0.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    (process, line.trim().parse().expect("a port"))
}

#[test]
fn our_client_at_grpcio() {
    let Some(python) = python("grpc") else { return };
    let (_server, port) = python_server(&python, CALLS);
    let url = |method: &str| format!("grpc://127.0.0.1:{port}/test.Calls/{method}");
    let usual = ["-c", "2", "--streams", "5", "-b", "hello"];
    let unary = ["--expect-messages", "1", "--expect-length", "10"];
    clean(&[&usual[..], &unary, &[&url("Unary")]].concat(), 200);
    clean(&[&usual[..], &["--expect-messages", "10", &url("Stream")]].concat(), 50);
    clean(&[&usual[..], &["--expect-grpc-status", "5", &url("Fail")]].concat(), 50);
}

#[test]
fn grpcio_at_our_origin() {
    let Some(python) = python("grpc") else { return };
    let origin = Origin::start(&[]);
    let code = "
import grpc, queue, sys
channel = grpc.insecure_channel(sys.argv[1])
unary = channel.unary_unary('/t.E/U')
assert unary(b'hello') == b'hello'
assert unary(b'x' * 3000000) == b'x' * 3000000
wish = lambda text: [('x-ringway-answer', text)]
assert list(channel.unary_stream('/t.E/S')(b'm', metadata=wish('messages/7'))) == [b'm'] * 7
try:
    unary(b'', metadata=wish('grpc-status/5'))
    raise SystemExit('no error')
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.NOT_FOUND
# Each message comes back before the next one is sent.
messages = queue.Queue()
call = channel.stream_stream('/t.E/B')(iter(messages.get, None))
for number in range(5):
    messages.put(b'%d' % number)
    assert next(call) == b'%d' % number
messages.put(None)
assert list(call) == []
";
    let output = Command::new(python).args(["-c", code, &origin.address]).output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

const ECHO: &str = "
import asyncio, websockets
async def echo(socket):
    async for message in socket:
        await socket.send(message)
async def main():
    async with websockets.serve(echo, '127.0.0.1', 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()
asyncio.run(main())
";

#[test]
fn our_client_at_python_websockets() {
    let Some(python) = python("websockets") else { return };
    let (_server, port) = python_server(&python, ECHO);
    let url = format!("ws://127.0.0.1:{port}/");
    clean(&["-c", "2", "-p", "4", "-b", "hello {{seq}}", &url], 200);
    clean(&["-c", "2", "--new-connections", "-b", &"x".repeat(70_000), &url], 20);
}

#[test]
fn python_websockets_at_our_origin() {
    let Some(python) = python("websockets") else { return };
    let origin = Origin::start(&[]);
    let code = "
import asyncio, sys, websockets
async def main():
    async with websockets.connect('ws://%s/' % sys.argv[1]) as socket:
        for message in ['hello', b'x' * 100000, '']:
            await socket.send(message)
            assert await socket.recv() == message
        await socket.send(['a', 'b', 'c'])
        assert await socket.recv() == 'abc'
        await (await socket.ping())
    assert socket.close_code == 1000
asyncio.run(main())
";
    let output = Command::new(python).args(["-c", code, &origin.address]).output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
