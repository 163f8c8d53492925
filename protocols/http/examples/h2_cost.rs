//! What a small request costs on the server side of HTTP/2, without any IO: the engine of this
//! crate beside the h2 crate, both fed with the same bytes.
//!
//! `cargo run --release -p ringway-http --example h2_cost`; the least of several rounds counts,
//! since everything that disturbs a round makes it longer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use ringway_http::h2::{Connection, Event, Options};
use ringway_http::{Known, RequestHead, ResponseHead};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const REQUESTS: usize = 50_000;
const ROUNDS: usize = 7;
const BODY: [u8; 64] = [b'x'; 64];
const FIELDS: [(&str, &str); 4] = [
    ("content-type", "text/plain"),
    ("content-length", "64"),
    ("server", "ringway"),
    ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
];

fn main() {
    println!("requests at once | engine ns/request | h2 crate ns/request | h2 / engine");
    for at_once in [1, 10, 100] {
        let batches = requests(at_once);
        let least = |cost: fn(&[Vec<u8>]) -> f64| {
            (0..ROUNDS).map(|_| cost(&batches)).fold(f64::INFINITY, f64::min)
        };
        let (ours, theirs) = (least(engine), least(h2_crate));
        println!("{at_once:>16} | {ours:>17.0} | {theirs:>19.0} | {:>11.1}", theirs / ours);
    }
}

/// What a client sends: its greeting with the first batch, then so many requests at once. The path
/// is a Huffman literal each time, as common clients send it; the rest comes from the table.
fn requests(at_once: usize) -> Vec<Vec<u8>> {
    let mut options = Options::default();
    options.settings.max_concurrent_streams = u32::MAX;
    options.settings.initial_connection_window = i32::MAX as u32;
    let mut client = Connection::client(options, 0);
    let mut head = RequestHead::new();
    head.set_method(b"GET");
    head.set_scheme(b"http");
    head.set_authority(b"www.example.com:8080");
    head.set_path(b"/api/v1/items?id=42&sort=asc");
    head.fields.push_known(Known::UserAgent, b"h2load nghttp2/1.52.0");
    head.fields.push_known(Known::Accept, b"*/*");
    (0..REQUESTS / at_once)
        .map(|_| {
            for _ in 0..at_once {
                client.send_request(&head, true).expect("no limit is near");
            }
            let mut batch = Vec::new();
            client.poll_transmit(&mut batch);
            batch
        })
        .collect()
}

fn engine(batches: &[Vec<u8>]) -> f64 {
    let mut server = Connection::server(Options::default(), 0);
    let mut head = ResponseHead::new();
    let mut out = Vec::new();
    let mut answered = 0;
    let start = Instant::now();
    for batch in batches {
        let mut at = 0;
        while at < batch.len() {
            at += server.receive(&batch[at..], 0).expect("sound input");
            while let Some(event) = server.poll_event() {
                let Event::Head { stream, .. } = event else { continue };
                head.clear();
                head.status = 200;
                for (name, value) in FIELDS {
                    head.fields.push(name.as_bytes(), value.as_bytes());
                }
                server.send_response(stream, &head, false).expect("the stream is open");
                server.send_data(stream, &BODY, true).expect("the stream is open");
                answered += 1;
            }
        }
        out.clear();
        server.poll_transmit(&mut out);
    }
    assert_eq!(answered, REQUESTS);
    start.elapsed().as_nanos() as f64 / REQUESTS as f64
}

/// Reads the batch that was put in, and forgets what is written.
struct Pipe<'a>(&'a [u8]);

impl AsyncRead for Pipe<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.is_empty() {
            return Poll::Pending;
        }
        let (now, later) = self.0.split_at(self.0.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(std::hint::black_box(bytes).len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The h2 crate owns its IO for good, so that the batches come through a shared slot.
struct Slot<'a>(std::rc::Rc<std::cell::RefCell<Pipe<'a>>>);

impl AsyncRead for Slot<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_read(context, buffer)
    }
}

impl AsyncWrite for Slot<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn h2_crate(batches: &[Vec<u8>]) -> f64 {
    let pipe = std::rc::Rc::new(std::cell::RefCell::new(Pipe(&batches[0])));
    let mut context = Context::from_waker(Waker::noop());
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(1024);
    let mut handshake = Box::pin(builder.handshake::<_, Bytes>(Slot(pipe.clone())));
    let Poll::Ready(Ok(mut connection)) = handshake.as_mut().poll(&mut context) else {
        panic!("the preface is in the first batch")
    };
    let mut answered = 0;
    let start = Instant::now();
    for (number, batch) in batches.iter().enumerate() {
        if number > 0 {
            pipe.borrow_mut().0 = batch;
        }
        while let Poll::Ready(Some(accepted)) = connection.poll_accept(&mut context) {
            let (_request, mut respond) = accepted.expect("sound input");
            let mut response = http::Response::builder().status(200);
            for (name, value) in FIELDS {
                response = response.header(
                    http::HeaderName::from_static(name),
                    http::HeaderValue::from_static(value),
                );
            }
            let response = response.body(()).expect("sound fields");
            let mut body = respond.send_response(response, false).expect("the stream is open");
            body.send_data(Bytes::from_static(&BODY), true).expect("the stream is open");
            answered += 1;
        }
    }
    assert_eq!(answered, REQUESTS);
    start.elapsed().as_nanos() as f64 / REQUESTS as f64
}
