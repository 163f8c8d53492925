//! HTTP/2 on either side of the proxy.

mod bodies;
mod conformance;
mod endings;
mod floods;
mod leaks;
mod lives;
mod messages;
mod upgrades;

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use ringway_test_support::{Bootstrap, H2, H2Message, Proxy, RawOrigin};

/// Everything goes to one origin that speaks HTTP/2.
fn to_h2(origin: SocketAddr) -> Bootstrap {
    let all = "- { match: { prefix: / }, route: { cluster: origin } }";
    Bootstrap::new().routes("main", all).h2_cluster("origin", &[origin], "allow_connect: true")
}

fn start(bootstrap: &Bootstrap) -> Proxy {
    Proxy::start(bootstrap.to_yaml())
}

fn client(proxy: &Proxy) -> H2 {
    H2::connect(proxy.listener("main"), &[])
}

/// Has the program built before anybody waits for its connection.
fn ready() {
    ringway_test_support::ringway();
}

/// Serves the first connection of the proxy to `origin` with HTTP/2, on a thread of its own, by
/// `serve`; what that gives is had by joining.
fn serve<T: Send + 'static>(
    origin: RawOrigin,
    serve: impl FnOnce(&RawOrigin, H2) -> T + Send + 'static,
) -> JoinHandle<T> {
    ready();
    thread::spawn(move || {
        let server = H2::server(origin.accept(), &[]);
        serve(&origin, server)
    })
}

/// Answers each request of one connection with 200 and its own body, until the proxy closes it.
/// Gives the requests.
fn echo(mut server: H2) -> Vec<H2Message> {
    let mut requests = Vec::new();
    while let Ok(frame) = server.take_frame() {
        let stream = match frame {
            ringway_test_support::Frame::Headers { stream, end: true, .. }
            | ringway_test_support::Frame::Data { stream, end: true, .. } => stream,
            _ => continue,
        };
        let request = server.so_far(stream);
        let body = request.body.clone();
        requests.push(request);
        server.headers(stream, &[(":status", "200")], body.is_empty());
        if !body.is_empty() && server.body(stream, &body, true).is_err() {
            break;
        }
    }
    requests
}
