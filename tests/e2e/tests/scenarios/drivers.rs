//! What drives the workers' IO: io_uring where the host allows it, epoll otherwise or by order.

use ringway_test_support::{Bootstrap, Launch, Make, Origin, Proxy, RawClient, skip};

use crate::only_ringway;

fn with_driver(origin: &Origin, driver: &str) -> Result<Proxy, ringway_test_support::StartError> {
    let yaml = Bootstrap::proxying_to(origin.address()).to_yaml();
    Launch::new(Make::Ringway, yaml).concurrency(2).argument("--driver").argument(driver).start()
}

/// The same conversation whatever drives it: bodies both ways, and a client that goes away.
fn converse(proxy: &Proxy, origin: &Origin) {
    let mut client = RawClient::connect(proxy.listener("main"));
    assert_eq!(client.get("/bytes/1000000").body.len(), 1_000_000);
    assert_eq!(client.get("/chunked/100000").body.len(), 100_000);
    let body = "x".repeat(300_000);
    let head = format!("POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
    assert_eq!(client.ask(head + &body).status(), 200);
    assert_eq!(origin.wait_for(3)[2].message.text(), body);
    client.send("GET / HT");
    client.reset();
    assert_eq!(RawClient::connect(proxy.listener("main")).get("/").status(), 200);
}

#[test]
fn epoll_by_order() {
    if !only_ringway("--driver") {
        return;
    }
    let origin = Origin::named("a");
    let proxy = with_driver(&origin, "epoll").unwrap_or_else(|error| panic!("{error}"));
    converse(&proxy, &origin);
    assert!(proxy.log().contains("epoll"), "{}", proxy.log());
}

#[test]
fn io_uring_by_order() {
    if !only_ringway("--driver") {
        return;
    }
    let origin = Origin::named("a");
    match with_driver(&origin, "io_uring") {
        Ok(proxy) => {
            converse(&proxy, &origin);
            assert!(proxy.log().contains("io_uring"), "{}", proxy.log());
        }
        // Containers often forbid it; then the order cannot be kept, and that must be said.
        Err(error) => {
            assert_eq!(error.status.and_then(|status| status.code()), Some(1), "{error}");
            assert!(error.log.contains("io_uring"), "{error}");
            skip("this host refuses io_uring");
        }
    }
}

#[test]
fn one_line_says_which_and_why() {
    if !only_ringway("--driver") {
        return;
    }
    let origin = Origin::named("a");
    let proxy = with_driver(&origin, "auto").unwrap_or_else(|error| panic!("{error}"));
    let log = proxy.log();
    let lines = log.lines().filter(|line| line.contains("io_uring") || line.contains("epoll"));
    assert_eq!(lines.count(), 1, "{log}");
}
