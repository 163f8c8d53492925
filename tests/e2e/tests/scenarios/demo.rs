//! `ringway demo`: one command, and there is something to ask.

use std::net::SocketAddr;

use ringway_test_support::{Make, Process, RawClient, Signal, run_to_end};

use crate::only_ringway;

#[test]
fn it_answers_shows_where_to_ask_and_ends() {
    if !only_ringway("demo") {
        return;
    }
    let arguments =
        ["demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--concurrency", "1"];
    let mut demo = Process::start(Make::Ringway, &arguments);
    let out = demo.wait_file("stdout", |out| out.contains("curl ") && out.contains("admin"));
    let address = |before: &str| -> SocketAddr {
        let rest = out.split(before).nth(1).unwrap_or_else(|| panic!("{before} is not in\n{out}"));
        let end = rest.find('/').unwrap_or(rest.len());
        rest[..end].parse().unwrap_or_else(|error| panic!("{error}: {rest}"))
    };
    let mut client = RawClient::connect(address("curl -i http://"));
    for path in ["/", "/a", "/b"] {
        assert_eq!(client.get(path).status(), 200, "{path}");
    }
    let ready = RawClient::connect(address("admin   http://")).get("/ready");
    assert_eq!(ready.text(), "LIVE\n");
    // Figures follow: a rate and percentiles.
    demo.wait_file("stdout", |out| out.contains("p99"));
    demo.signal(Signal::INT);
    assert!(demo.wait_exit().success());
}

#[test]
fn a_port_that_is_taken_is_said_so() {
    if !only_ringway("demo") {
        return;
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--admin"] {
        let other = if flag == "--listen" { "--admin" } else { "--listen" };
        let arguments = ["demo", flag, &address, other, "127.0.0.1:0"];
        let (code, out, err) = run_to_end(Make::Ringway, &arguments);
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(err.contains(&format!("cannot listen on {address}")), "{err}");
    }
}
