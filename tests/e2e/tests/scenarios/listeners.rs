//! Where the proxy listens, and what it says when it cannot.

use std::net::{SocketAddr, TcpListener};

use ringway_test_support::{Bootstrap, Launch, Make, Origin, Proxy, RawClient, Signal, skip};

use crate::only_ringway;

fn answering(name: &str) -> String {
    format!(
        "route_config:\n  virtual_hosts:\n  - name: all\n    domains: ['*']\n    routes: [{{ match: \
         {{ prefix: / }}, direct_response: {{ status: 200, body: {{ inline_string: {name} }} }} }}]\n"
    )
}

fn have_ipv6() -> bool {
    let have = TcpListener::bind("[::1]:0").is_ok();
    if !have {
        skip("this machine has no IPv6 loopback");
    }
    have
}

#[test]
fn several_listeners_of_both_families() {
    if !have_ipv6() {
        return;
    }
    let bootstrap = Bootstrap::new()
        .http("four", &answering("v4"))
        .http_on("::1", "six", &answering("v6"))
        .http_on("0.0.0.0", "any", &answering("any"));
    let proxy = Proxy::start(bootstrap.to_yaml());
    assert!(proxy.listener("six").is_ipv6());
    assert_eq!(RawClient::connect(proxy.listener("four")).get("/").text(), "v4");
    assert_eq!(RawClient::connect(proxy.listener("six")).get("/").text(), "v6");
    let any = SocketAddr::from(([127, 0, 0, 1], proxy.listener("any").port()));
    assert_eq!(RawClient::connect(any).get("/").text(), "any");
}

#[test]
fn dual_stack() {
    if !have_ipv6() {
        return;
    }
    let yaml = Bootstrap::new().http_on("::", "both", &answering("both")).to_yaml();
    let proxy = Proxy::start(yaml.replace(
        "port_value: 0 } }\n    filter",
        "port_value: 0, ipv4_compat: true } }\n    filter",
    ));
    let port = proxy.listener("both").port();
    let four = SocketAddr::from(([127, 0, 0, 1], port));
    let six: SocketAddr = format!("[::1]:{port}").parse().unwrap();
    assert_eq!(RawClient::connect(four).get("/").text(), "both");
    assert_eq!(RawClient::connect(six).get("/").text(), "both");
}

#[test]
fn a_unix_socket() {
    let yaml = Bootstrap::new().http("pipe", &answering("pipe")).to_yaml();
    let tcp = "address: { socket_address: { address: \"127.0.0.1\", port_value: 0 } }";
    assert!(yaml.contains(tcp), "{yaml}");
    let proxy = Proxy::start(yaml.replace(tcp, "address: { pipe: { path: '{folder}/in.sock' } }"));
    let path = proxy.folder().join("in.sock");
    assert_eq!(RawClient::connect_unix(&path).get("/").text(), "pipe");
}

#[test]
fn a_unix_socket_that_somebody_serves_is_not_taken_away() {
    if !only_ringway("a Unix socket in use is an error") {
        return;
    }
    let tcp = "address: { socket_address: { address: \"127.0.0.1\", port_value: 0 } }";
    let on = |path: &str, text: &str| {
        let yaml = Bootstrap::new().http("pipe", &answering(text)).to_yaml();
        assert!(yaml.contains(tcp), "{yaml}");
        yaml.replace(tcp, &format!("address: {{ pipe: {{ path: '{path}' }} }}"))
    };
    let first = Launch::new(Make::Ringway, on("{folder}/in.sock", "first"))
        .start()
        .unwrap_or_else(|error| panic!("{error}"));
    let path = first.folder().join("in.sock");
    let taken = path.display().to_string();
    let refused = Launch::new(Make::Ringway, on(&taken, "second")).start();
    let error = refused.expect_err("the path is in use");
    assert_eq!(error.status.and_then(|status| status.code()), Some(1), "{error}");
    let words = format!("listener \"pipe\": cannot bind {taken}: Address already in use");
    assert!(error.log.contains(&words), "{error}");
    assert_eq!(RawClient::connect_unix(&path).get("/").text(), "first");
    // With another mode its own process opens the path anew.
    first.replace_config(&on(&taken, "changed").replace("in.sock'", "in.sock', mode: 384"));
    first.signal(Signal::HUP);
    first.wait_file("stderr", |log| log.contains("the configuration was reloaded"));
    assert_eq!(RawClient::connect_unix(&path).get("/").text(), "changed");
}

#[test]
fn an_origin_on_a_unix_socket() {
    use std::io::{Read, Write};
    let folder = tempfile();
    let path = folder.join("origin.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nunix").unwrap();
        socket
    });
    let unused = "127.0.0.1:1".parse().unwrap();
    let yaml = Bootstrap::proxying_to(unused).to_yaml();
    let pipe = format!("pipe: {{ path: {} }}", path.display());
    let socket = "socket_address: { address: \"127.0.0.1\", port_value: 1 }";
    assert!(yaml.contains(socket), "{yaml}");
    let proxy = Proxy::start(yaml.replace(socket, &pipe));
    assert_eq!(RawClient::connect(proxy.listener("main")).get("/").text(), "unix");
    drop(server.join().unwrap());
    std::fs::remove_dir_all(folder).unwrap();
}

fn tempfile() -> std::path::PathBuf {
    let name = format!("ringway-e2e-{}-unix", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_busy_port_is_an_error_that_names_the_listener() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    let yaml = Bootstrap::new().http("the_busy_one", &answering("x")).to_yaml();
    let yaml =
        yaml.replace("\"127.0.0.1\", port_value: 0", &format!("\"127.0.0.1\", port_value: {port}"));
    let error = Launch::new(Make::subject(), yaml).start().unwrap_err();
    assert_eq!(error.status.and_then(|status| status.code()), Some(1), "{error}");
    assert!(error.log.contains(&format!("127.0.0.1:{port}")), "{error}");
    assert!(error.log.contains("Address already in use"), "{error}");
    if Make::subject() == Make::Ringway {
        assert!(error.log.contains("the_busy_one"), "{error}");
    }
}

#[test]
fn an_address_of_another_machine_is_an_error() {
    // RFC 5737: nobody has this address.
    let yaml = Bootstrap::new().http_on("192.0.2.1", "far", &answering("x")).to_yaml();
    let error = Launch::new(Make::subject(), yaml).start().unwrap_err();
    assert_eq!(error.status.and_then(|status| status.code()), Some(1), "{error}");
    assert!(error.log.contains("192.0.2.1:0"), "{error}");
}

#[test]
fn every_worker_accepts() {
    let origin = Origin::named("a");
    let yaml = Bootstrap::proxying_to(origin.address()).to_yaml();
    let proxy = Launch::new(Make::subject(), yaml).concurrency(2).start();
    let proxy = proxy.unwrap_or_else(|error| panic!("{error}"));
    let mut clients: Vec<RawClient> =
        (0..64).map(|_| RawClient::connect(proxy.listener("main"))).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status(), 200);
    }
    assert_eq!(proxy.stat("http.main.downstream_cx_total"), 64);
    assert_eq!(proxy.stat("http.main.downstream_cx_active"), 64);
    // With sockets of their own the kernel spreads connections by hash: all 64 on one worker would
    // be a chance of 2 in 2^64. The name has the configured port.
    let spread = [0, 1].map(|worker| {
        proxy.stat(&format!("listener.127.0.0.1_0.worker_{worker}.downstream_cx_total"))
    });
    assert_eq!(spread.iter().sum::<u64>(), 64, "{spread:?}");
    assert!(spread.iter().all(|share| *share > 0), "{spread:?}");
    clients.clear();
    proxy.wait_stat("http.main.downstream_cx_active", |active| active == 0);
}
