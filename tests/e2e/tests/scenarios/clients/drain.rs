//! A proxy that is told to end while streams of HTTP/2 are open.

use ringway_test_support::{Bootstrap, H2, Proxy, RawOrigin, Signal, h2_upstream, skip};

use super::is_envoy;

const GRPC: [(&str, &str); 2] = [("content-type", "application/grpc"), ("te", "trailers")];

/// One message of gRPC.
fn message(text: &str) -> Vec<u8> {
    [&[0][..], &(text.len() as u32).to_be_bytes(), text.as_bytes()].concat()
}

/// A call that streams both ways while SIGTERM comes goes on to its end, with its trailers; the
/// client learns that the connection takes no further call; then the proxy ends.
#[test]
fn a_stream_of_grpc_outlives_sigterm_until_it_ends() {
    if is_envoy() {
        return skip("draining by SIGTERM: Envoy has no such thing");
    }
    ringway_test_support::ringway();
    let origin = RawOrigin::bind();
    let all = "- { match: { prefix: / }, route: { cluster: origin, timeout: 0s } }";
    let bootstrap = Bootstrap::new().routes("main", all);
    let bootstrap = bootstrap.cluster_with("origin", &[origin.address()], &h2_upstream("", ""));
    let mut proxy = Proxy::start(bootstrap.to_yaml());

    let mut client = H2::connect(proxy.listener("main"), &[]);
    let call = client.request("POST", "/test.Calls/Talk", &GRPC, false);
    client.data(call, &message("before"), false);
    let mut server = H2::server(origin.accept(), &[]);
    let (stream, _) = server.accept();
    server.until(stream, |so_far| so_far.body == message("before")).unwrap();
    server.headers(stream, &[(":status", "200"), GRPC[0]], false);
    server.data(stream, &message("before"), false);
    client.until(call, |so_far| so_far.body == message("before")).unwrap();

    proxy.signal(Signal::TERM);
    while client.goaways.is_empty() {
        client.take_frame().expect("GOAWAY before the end");
    }
    assert_eq!(client.goaways[0].1, 0, "NO_ERROR");
    for number in 0..20 {
        let text = format!("after {number}");
        client.data(call, &message(&text), false);
        let ends_with = |body: &[u8]| body.ends_with(&message(&text));
        server.until(stream, |so_far| ends_with(&so_far.body)).unwrap();
        server.data(stream, &message(&text), false);
        client.until(call, |so_far| ends_with(&so_far.body)).unwrap();
    }
    assert!(proxy.is_running());
    client.data(call, b"", true);
    server.until(stream, |so_far| so_far.ended).unwrap();
    server.headers(stream, &[("grpc-status", "0")], true);
    let answer = client.answer(call);
    assert_eq!(answer.trailers, Some(vec![("grpc-status".to_owned(), "0".to_owned())]));
    client.expect_end();
    assert_eq!(proxy.wait_exit().code(), Some(0));
}
