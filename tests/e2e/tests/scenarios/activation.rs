//! Socket activation: a service manager listens, and the process takes over its sockets.

use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;

use ringway_test_support::{Bootstrap, Launch, Make, Proxy, RawClient, Signal};

use crate::only_ringway;

const ANSWER: &str = "- { match: { prefix: / }, direct_response: { status: 200 } }";

/// A listener on that port; the bootstrap has it on port 0.
fn on(port: u16) -> String {
    let yaml = Bootstrap::new().routes("main", ANSWER).to_yaml();
    // Admin comes after the listeners in the text or before them, and keeps its port 0.
    let (before, after) = yaml.split_once("name: main").expect("a listener");
    let after = after.replacen("port_value: 0", &format!("port_value: {port}"), 1);
    format!("{before}name: main{after}")
}

fn started(launch: Launch) -> Proxy {
    launch.start().unwrap_or_else(|error| panic!("{error}"))
}

/// One process serves, ends, and the next one serves who has connected meanwhile.
fn hand_over(driver: &str, end: Signal) {
    if !only_ringway("socket activation") {
        return;
    }
    let manager = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = manager.local_addr().unwrap();
    let launch = Launch::new(Make::Ringway, on(address.port())).socket(&manager);
    let launch = launch.concurrency(2).argument("--driver").argument(driver);
    let mut first = started(launch.clone());
    // Several, so that both workers get some.
    for _ in 0..8 {
        assert_eq!(RawClient::connect(address).get("/").status(), 200);
    }
    first.signal(end);
    assert_eq!(first.wait_exit().code(), Some(0));
    let mut waiting: Vec<RawClient> = (0..8).map(|_| RawClient::connect(address)).collect();
    let _second = started(launch);
    for client in &mut waiting {
        assert_eq!(client.get("/").status(), 200);
    }
}

#[test]
fn whoever_connects_between_two_processes_is_served() {
    hand_over("auto", Signal::TERM);
}

#[test]
fn so_it_is_with_epoll() {
    hand_over("epoll", Signal::TERM);
}

#[test]
fn so_it_is_when_the_process_is_stopped_at_once() {
    hand_over("auto", Signal::INT);
}

#[test]
fn a_changed_listener_takes_the_given_socket_again() {
    if !only_ringway("socket activation") {
        return;
    }
    let manager = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = manager.local_addr().unwrap();
    let proxy = started(Launch::new(Make::Ringway, on(address.port())).socket(&manager));
    let none = Bootstrap::new().to_yaml();
    let changed = on(address.port()).replace("stat_prefix: main", "stat_prefix: other");
    for (round, yaml) in [none, changed].iter().enumerate() {
        proxy.replace_config(yaml);
        proxy.signal(Signal::HUP);
        let reloads = |log: &str| log.matches("the configuration was reloaded").count();
        proxy.wait_file("stderr", |log| reloads(log) == round + 1);
    }
    assert_eq!(RawClient::connect(address).get("/").status(), 200);
    proxy.wait_stat("http.other.downstream_rq_total", |count| count == 1);
}

#[test]
fn a_unix_socket_can_be_given() {
    if !only_ringway("socket activation") {
        return;
    }
    let folder = std::env::temp_dir().join(format!("ringway-given-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("in.sock");
    let manager = UnixListener::bind(&path).unwrap();
    let tcp = "address: { socket_address: { address: \"127.0.0.1\", port_value: 0 } }";
    let yaml = Bootstrap::new().routes("main", ANSWER).to_yaml();
    assert!(yaml.contains(tcp), "{yaml}");
    let pipe = format!("address: {{ pipe: {{ path: '{}' }} }}", path.display());
    let launch = Launch::new(Make::Ringway, yaml.replace(tcp, &pipe)).socket(&manager);
    for _ in 0..2 {
        let mut proxy = started(launch.clone());
        assert_eq!(RawClient::connect_unix(&path).get("/").status(), 200);
        proxy.signal(Signal::TERM);
        assert_eq!(proxy.wait_exit().code(), Some(0));
    }
    drop(std::fs::remove_dir_all(&folder));
}

#[test]
fn a_socket_that_no_listener_wants_is_told() {
    if !only_ringway("socket activation") {
        return;
    }
    let manager = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = manager.local_addr().unwrap();
    let proxy = started(Launch::new(Make::Ringway, on(0)).socket(&manager));
    let words = format!("a socket was given on {address}, and no listener is there");
    assert!(proxy.log().contains(&words), "{}", proxy.log());
}

#[test]
fn what_does_not_listen_is_refused() {
    if !only_ringway("socket activation") {
        return;
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let refused = Launch::new(Make::Ringway, on(0)).socket(&socket).start();
    let error = refused.expect_err("a datagram socket");
    assert_eq!(error.status.and_then(|status| status.code()), Some(1), "{error}");
    assert!(error.log.contains("does not listen for streams"), "{error}");
}
