//! Peers that do not take what they are sent (`per_connection_buffer_high_watermark_timeout`).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use ringway_test_support::{Bootstrap, H2, Launch, Make, Proxy, RawClient};
use socket2::{Domain, Socket, Type};

const TYPES: &str = "type.googleapis.com/envoy.extensions";
const PATIENCE: Duration = Duration::from_secs(20);
const BOUNDS: &str = "per_connection_buffer_limit_bytes: 32768\n\
                      per_connection_buffer_high_watermark_timeout: 1s\n";

/// An origin that sends for ever, or one that never reads. Says when it cannot go on.
fn endless() -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (ended, end) = channel();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let ended = ended.clone();
            std::thread::spawn(move || {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request);
                let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n";
                let mut sent = stream.write_all(head);
                while sent.is_ok() {
                    sent = stream.write_all(&[b'x'; 1 << 16]);
                }
                let _ = ended.send(());
            });
        }
    });
    (address, end)
}

/// A connection with little room at this end.
fn narrow(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(8192).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.into()
}

/// Listeners `http` and `tcp` in front of the origin, whose clients have their time.
fn yaml(origin: SocketAddr, of_listeners: &str, of_cluster: &str) -> String {
    let manager = format!(
        "access_log:\n- name: log\n  typed_config:\n    '@type': \
         {TYPES}.access_loggers.file.v3.FileAccessLog\n    path: access.log\n    log_format: {{ \
         text_format_source: {{ inline_string: \"%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\\n\" }} }}\n\
         route_config:\n  virtual_hosts:\n  - name: all\n    domains: ['*']\n    routes:\n    \
         - {{ match: {{ prefix: /here }}, direct_response: {{ status: 200 }} }}\n    \
         - {{ match: {{ prefix: / }}, route: {{ cluster: origin, timeout: 0s }} }}\n"
    );
    let tcp = format!(
        "- name: tcp\n  address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }}\n  \
         filter_chains:\n  - filters:\n    - name: tcp\n      typed_config: {{ '@type': \
         {TYPES}.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: tcp, cluster: origin }}\n"
    );
    let bootstrap = Bootstrap::new().http("http", &manager).listener(&tcp);
    let yaml = bootstrap.cluster_with("origin", &[origin], of_cluster).to_yaml();
    let of_listeners = ringway_test_support::indent(of_listeners, 4);
    yaml.replace("    filter_chains:\n", &format!("{of_listeners}    filter_chains:\n"))
}

fn is_reset(mut client: TcpStream) -> bool {
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
        .read_to_end(&mut Vec::new())
        .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
}

#[test]
fn a_client_that_takes_nothing_is_let_go() {
    let drivers: &[&str] = match Make::subject() {
        Make::Envoy => &["auto"],
        Make::Ringway => &["auto", "epoll"],
    };
    for driver in drivers {
        let (origin, end) = endless();
        let mut launch = Launch::new(Make::subject(), yaml(origin, BOUNDS, ""));
        if *driver != "auto" {
            launch = launch.argument("--driver").argument(*driver);
        }
        let proxy = launch.start().unwrap();
        for name in ["tcp", "http"] {
            let mut client = narrow(proxy.listener(name));
            client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
            end.recv_timeout(PATIENCE).expect("the origin is let go, too");
            // Envoy ends what was cut as if that were all.
            assert!(is_reset(client) || Make::subject() == Make::Envoy, "{name} {driver}");
        }
        let why = "DC downstream_local_disconnect(buffer_high_watermark_timeout_reached)\n";
        proxy.wait_file("access.log", |log| log == why);
        proxy.wait_stat("cluster.origin.upstream_cx_destroy_local", |all| all == 2);
    }
}

#[test]
fn a_client_of_http2_that_takes_nothing_is_let_go() {
    let (origin, end) = endless();
    let proxy = Proxy::start(yaml(origin, BOUNDS, ""));
    let stream = narrow(proxy.listener("http"));
    // Windows in which everything fits: it is the connection that is full.
    let window = (4, (1 << 31) - 1);
    let mut client = H2::client(RawClient::from_stream(stream).into_wire(), &[window]);
    client.window_update(0, (1 << 31) - (1 << 16));
    client.request("GET", "/", &[], true);
    end.recv_timeout(PATIENCE).expect("the origin is let go");
    proxy.wait_stat("http.http.downstream_cx_destroy", |all| all == 1);
}

#[test]
fn a_client_that_takes_its_time_stays() {
    let (origin, _end) = endless();
    let proxy = Proxy::start(yaml(origin, BOUNDS, ""));
    for name in ["tcp", "http"] {
        let mut client = narrow(proxy.listener(name));
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let until = Instant::now() + Duration::from_millis(2500);
        let mut bytes = vec![0; 1 << 20];
        while Instant::now() < until {
            assert!(client.read(&mut bytes).unwrap() > 0, "{name}");
        }
    }
}

#[test]
fn a_connection_that_waits_for_the_next_request_stays() {
    let (origin, end) = endless();
    let proxy = Proxy::start(yaml(origin, BOUNDS, ""));
    let mut client = RawClient::connect(proxy.listener("http"));
    assert_eq!(client.get("/here").status(), 200);
    // Longer than the time of one who takes nothing.
    let mut other = narrow(proxy.listener("tcp"));
    other.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    end.recv_timeout(PATIENCE).expect("the other is let go");
    assert_eq!(client.get("/here").status(), 200);
}

#[test]
fn an_endpoint_that_takes_nothing_is_let_go() {
    // Connections are accepted by the kernel, and nobody reads.
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(yaml(origin.local_addr().unwrap(), "", BOUNDS));
    for name in ["http", "tcp"] {
        let mut client = TcpStream::connect(proxy.listener(name)).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut sending = client.try_clone().unwrap();
        let sender = std::thread::spawn(move || {
            let head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000000\r\n\r\n";
            let mut sent = sending.write_all(head);
            while sent.is_ok() {
                sent = sending.write_all(&[b'y'; 1 << 16]);
            }
        });
        let mut said = vec![0; 4096];
        let length = client.read(&mut said).unwrap_or_default();
        let said = String::from_utf8_lossy(&said[..length]).into_owned();
        match name {
            "http" => {
                assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
                assert!(said.ends_with("reset reason: connection termination"), "{said}");
            }
            _ => assert_eq!(said, ""),
        }
        drop(client);
        sender.join().unwrap();
    }
    proxy.wait_stat("cluster.origin.upstream_cx_destroy_local", |all| all == 2);
}
