//! Loads beside HTTP/1.1 without TLS.
//!
//! HTTP/2 and gRPC are without TLS, so that what they cost is seen alone.

use super::{Companions, MIB, Workload, small};
use crate::transport::{Client, Origin, Tls, Transport};

const KEPT: Transport = Transport { tls: Tls::Full, ..Transport::PLAIN };
const RESUMED: Transport = Transport { tls: Tls::Resumed, ..Transport::PLAIN };
const UDP: Transport = Transport { client: Client::Udp, origin: Origin::Echo, ..Transport::PLAIN };
const MANY: Transport = Transport { streams: 8, ..UDP };
const WEBSOCKET: Transport = Transport { client: Client::WebSocket, ..Transport::PLAIN };

/// Connections of HTTP/2, each with many streams.
const FEW: usize = 8;

const fn with(transport: Transport, workload: Workload) -> Workload {
    Workload { transport, ..workload }
}

const fn handshakes(transport: Transport, workload: Workload) -> Workload {
    Workload { transport, new_connections: true, ..workload }
}

const fn http2(
    name: &'static str,
    title: &'static str,
    connections: usize,
    streams: usize,
    origin: Origin,
) -> Workload {
    let transport = Transport { client: Client::Http2, tls: Tls::None, streams, origin };
    Workload { transport, ..small(name, title, connections) }
}

const fn tcp(
    name: &'static str,
    title: &'static str,
    connections: usize,
    origin: Origin,
) -> Workload {
    let transport = Transport { client: Client::Tcp, origin, ..Transport::PLAIN };
    Workload { transport, ..small(name, title, connections) }
}

/// In the order of reports.
pub(super) static TRANSPORTS: [Workload; 24] = [
    with(KEPT, small("tls-64", "TLS 1.3, 64 B answers, 64 keep-alive connections", 64)),
    Workload {
        answer: 64 * 1024,
        ..with(KEPT, small("tls-down-64k", "TLS 1.3, 64 KiB answers, 16 connections", 16))
    },
    handshakes(KEPT, small("tls-full", "a full handshake of TLS 1.3 for each request", 16)),
    handshakes(RESUMED, small("tls-resumed", "a resumed handshake for each request", 16)),
    Workload {
        companions: Companions::Held(1000),
        ..with(KEPT, small("tls-idle", "64 busy connections beside 1,000 idle ones, TLS", 64))
    },
    http2("h2-1", "HTTP/2, 64 connections of 1 stream, HTTP/1.1 to the origin", 64, 1, H1),
    http2("h2-10", "HTTP/2, 8 connections of 10 streams, HTTP/1.1 to the origin", FEW, 10, H1),
    http2("h2-100", "HTTP/2, 8 connections of 100 streams, HTTP/1.1 to the origin", FEW, 100, H1),
    http2("h2h2-1", "HTTP/2, 64 connections of 1 stream, HTTP/2 to the origin", 64, 1, H2),
    http2("h2h2-10", "HTTP/2, 8 connections of 10 streams, HTTP/2 to the origin", FEW, 10, H2),
    http2("h2h2-100", "HTTP/2, 8 connections of 100 streams, HTTP/2 to the origin", FEW, 100, H2),
    http2("h2direct-1", "HTTP/2, 64 connections of 1 stream, a direct answer", 64, 1, DIRECT),
    http2("h2direct-10", "HTTP/2, 8 connections of 10 streams, a direct answer", FEW, 10, DIRECT),
    http2("h2direct-100", "HTTP/2, 8 connections of 100 streams, direct", FEW, 100, DIRECT),
    Workload {
        companions: Companions::Held(1000),
        ..http2("h2-idle", "8 connections of 10 streams beside 1,000 idle ones", FEW, 10, H1)
    },
    Workload {
        transport: Transport { client: Client::Grpc, tls: Tls::None, streams: 10, origin: H2 },
        ..small("grpc-10", "gRPC unary calls, 8 connections of 10 streams", FEW)
    },
    Workload {
        transport: Transport {
            client: Client::GrpcStream,
            tls: Tls::None,
            streams: 10,
            origin: H2,
        },
        ..small("grpc-stream", "gRPC calls with 100 messages back, 8 connections of 10", FEW)
    },
    with(WEBSOCKET, small("ws-64", "WebSocket, 64 B echoes on 64 connections", 64)),
    tcp("tcp-64", "TCP relay, 64 B echoes on 64 connections", 64, Origin::Echo),
    Workload {
        remark: "a request is 1 MiB: us/req times 1,024 is the CPU time for each GiB",
        ..tcp("tcp-down", "TCP relay, 1 MiB to the client, 16 connections", 16, Origin::Source)
    },
    Workload {
        upload: Some(MIB),
        remark: "a request is 1 MiB: us/req times 1,024 is the CPU time for each GiB",
        ..tcp("tcp-up", "TCP relay, 1 MiB to the origin, 16 connections", 16, Origin::Sink)
    },
    Workload {
        new_connections: true,
        ..tcp("tcp-connect", "TCP relay, a connection for each 64 B echo", 64, Origin::Echo)
    },
    with(UDP, small("udp-64", "UDP, 64 B echoes of 64 clients, one datagram at a time", 64)),
    Workload {
        remark: "what is lost is waited for one second, in which the others go on",
        ..with(MANY, small("udp-many", "UDP, 64 B echoes of 64 clients, 8 datagrams at a time", 64))
    },
];

const H1: Origin = Origin::Http1;
const H2: Origin = Origin::Http2;
const DIRECT: Origin = Origin::Direct;
