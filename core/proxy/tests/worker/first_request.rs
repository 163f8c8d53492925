//! A request goes up, its response comes down, and nothing is left.

use std::io::{Read, Write};

use ringway_bridge::stats::Total;

use crate::rig::Rig;

#[test]
fn a_request_goes_up_and_its_response_comes_down() {
    let rig = Rig::start(Vec::new());
    let mut client = rig.connect();
    client.write_all(b"GET /x HTTP/1.1\r\nHost: h\r\nX-A: b\r\n\r\n").expect("sent");
    let (mut upstream, _) = rig.origin.accept().expect("a connection");
    let mut buffer = [0; 4096];
    for round in 0..3 {
        let received = upstream.read(&mut buffer).expect("a request");
        let request = String::from_utf8_lossy(&buffer[..received]).into_owned();
        assert!(request.starts_with("GET /x HTTP/1.1\r\nhost: h\r\nx-a: b\r\n"), "{request}");
        upstream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").expect("answered");
        let received = client.read(&mut buffer).expect("a response");
        let response = String::from_utf8_lossy(&buffer[..received]).into_owned();
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        assert!(response.ends_with("\r\n\r\nhello"), "{response}");
        if round < 2 {
            client.write_all(b"GET /x HTTP/1.1\r\nHost: h\r\nX-A: b\r\n\r\n").expect("sent");
        }
    }
    drop(client);
    rig.drain();
    assert_eq!(rig.total("cluster.up.upstream_cx_total"), Some(Total::Counter(1)));
    assert_eq!(rig.total("http.t.downstream_rq_2xx"), Some(Total::Counter(3)));
    assert_eq!(rig.total("http.t.downstream_cx_active"), Some(Total::Gauge(0)));
    rig.stop();
}
