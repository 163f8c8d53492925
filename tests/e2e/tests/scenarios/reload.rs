//! A changed configuration file takes effect, and no request is lost meanwhile.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use ringway_test_support::{Bootstrap, Launch, Make, Origin, Proxy, RawClient, Reply, Signal};

use crate::only_ringway;

fn launch(yaml: String, watch: bool) -> Proxy {
    let launch = Launch::new(Make::Ringway, yaml).concurrency(2);
    let launch = if watch { launch.argument("--watch") } else { launch };
    launch.start().unwrap_or_else(|error| panic!("{error}"))
}

/// Clients on keep-alive connections ask without pause until told to stop; every answer must be
/// 200. Gives how many there were.
fn load(address: SocketAddr, during: impl FnOnce()) -> usize {
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = RawClient::connect(address);
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(client.get("/").status(), 200);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(during));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    });
    served.into_inner()
}

/// Asks on new connections until the origin of that name answers.
fn wait_for_origin(address: SocketAddr, name: &str) {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        let response = RawClient::connect(address).get("/");
        if response.head.get("x-origin") == Some(name) {
            return;
        }
        assert!(Instant::now() < deadline, "{name} never answers");
    }
}

/// How often the endpoints change; `RINGWAY_E2E_RELOADS` asks for more than the usual ten.
fn rounds() -> usize {
    let asked = std::env::var("RINGWAY_E2E_RELOADS").ok();
    asked.and_then(|number| number.parse().ok()).unwrap_or(10)
}

fn change_endpoints_under_load(watch: bool) {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let to = |origin: &Origin| Bootstrap::proxying_to(origin.address()).to_yaml();
    let proxy = launch(to(&a), watch);
    let address = proxy.listener("main");
    let served = load(address, || {
        for round in 0..rounds() {
            let (name, origin) = if round % 2 == 0 { ("b", &b) } else { ("a", &a) };
            proxy.replace_config(&to(origin));
            if !watch {
                proxy.signal(Signal::HUP);
            }
            wait_for_origin(address, name);
        }
    });
    println!("{served} requests over {} changes, none lost", rounds());
    assert!(served > 100, "only {served} requests");
    assert_eq!(proxy.stat("http.main.downstream_rq_5xx"), 0);
}

#[test]
fn endpoints_change_by_signal_under_load() {
    if only_ringway("reload by SIGHUP") {
        change_endpoints_under_load(false);
    }
}

#[test]
fn endpoints_change_by_watching_under_load() {
    if only_ringway("--watch") {
        change_endpoints_under_load(true);
    }
}

#[test]
fn routes_change_and_the_pool_of_an_unchanged_cluster_stays() {
    if !only_ringway("reload by SIGHUP") {
        return;
    }
    let origin = Origin::named("a");
    let to = |prefix: &str| {
        let routes = format!("- {{ match: {{ prefix: {prefix} }}, route: {{ cluster: origin }} }}");
        Bootstrap::new().routes("main", &routes).cluster("origin", &[origin.address()]).to_yaml()
    };
    let proxy = launch(to("/old"), false);
    let mut client = RawClient::connect(proxy.listener("main"));
    assert_eq!((client.get("/old").status(), client.get("/new").status()), (200, 404));
    proxy.replace_config(&to("/new"));
    proxy.signal(Signal::HUP);
    let deadline = Instant::now() + Duration::from_secs(15);
    // The same downstream connection, and the same upstream connection.
    while client.get("/new").status() != 200 {
        assert!(Instant::now() < deadline, "the new route never comes:\n{}", proxy.log());
    }
    assert_eq!(client.get("/old").status(), 404);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_bad_file_changes_nothing() {
    if !only_ringway("reload by SIGHUP") {
        return;
    }
    let origin = Origin::named("a");
    let yaml = Bootstrap::proxying_to(origin.address()).to_yaml();
    let mut proxy = launch(yaml.clone(), false);
    let mut client = RawClient::connect(proxy.listener("main"));
    assert_eq!(client.get("/").status(), 200);
    proxy.replace_config("admin:\n  adress: {}\n");
    proxy.signal(Signal::HUP);
    proxy.wait_file("stderr", |log| log.contains("adress"));
    assert_eq!(client.get("/").status(), 200);
    assert_eq!(RawClient::connect(proxy.listener("main")).get("/").status(), 200);
    assert!(proxy.is_running());
}

#[test]
fn a_request_in_flight_ends_on_the_configuration_that_it_began_with() {
    if !only_ringway("reload by SIGHUP") {
        return;
    }
    // The old origin answers `/held` once the test lets go of the gate.
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write().unwrap();
    let theirs = gate.clone();
    let old = Origin::start(move |head| {
        if head.target() == "/held" {
            drop(theirs.read());
        }
        Reply::ok("old")
    });
    let new = Origin::named("new");
    let proxy = launch(Bootstrap::proxying_to(old.address()).to_yaml(), false);
    let mut client = RawClient::connect(proxy.listener("main"));
    client.send("GET /held HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(old.heard());
    proxy.replace_config(&Bootstrap::proxying_to(new.address()).to_yaml());
    proxy.signal(Signal::HUP);
    wait_for_origin(proxy.listener("main"), "new");
    drop(closed);
    assert_eq!(client.response().text(), "old");
    assert_eq!(client.get("/").head.get("x-origin"), Some("new"));
}
