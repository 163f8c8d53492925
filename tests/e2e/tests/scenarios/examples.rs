//! The example of the host guide runs, and does not only parse.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use ringway_test_support::{Launch, Make, Origin, RawClient};

use crate::only_ringway;

/// The example of an edge, with ports and files that a test may take, in front of this origin.
fn edge(origin: SocketAddr) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tuning/edge.yaml");
    let yaml = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .replace("port_value: 80,", "port_value: 0,")
        .replace("port_value: 9901", "port_value: 0")
        .replace("/var/log/ringway/access.log", "access.log");
    let upstream = format!("address: {}, port_value: {} }}", origin.ip(), origin.port());
    ["10.0.0.11", "10.0.0.12"].iter().fold(yaml, |yaml, host| {
        yaml.replace(&format!("address: {host}, port_value: 8080 }}"), &upstream)
    })
}

#[test]
fn the_edge_proxies_and_logs() {
    if !only_ringway("its own examples") {
        return;
    }
    let origin = Origin::named("a");
    let launch = Launch::new(Make::subject(), edge(origin.address()));
    let proxy = launch.start().unwrap_or_else(|error| panic!("{error}"));
    let port = proxy.listener("http").port();
    let mut client = RawClient::connect(SocketAddr::from(([127, 0, 0, 1], port)));
    assert_eq!(client.get("/hello").status(), 200);
    assert_eq!(origin.wait_for(1)[0].message.head.target(), "/hello");
    // Handing the line over takes until the worker keeps house.
    proxy.wait_file("access.log", |log| log.contains("\"GET /hello HTTP/1.1\" 200"));
}
