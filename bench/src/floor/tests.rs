use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use ringway_http::h2::{Connection, Event, Options as Http2Options};
use ringway_http::{RequestHead, ResponseHead};

use super::{Answers, Options, listen, serve};

/// An origin that sends back what it gets.
fn echo() -> SocketAddr {
    let origin = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let upstream = origin.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in origin.incoming() {
            let mut stream = stream.expect("a connection");
            thread::spawn(move || {
                let mut back = stream.try_clone().expect("a second handle");
                // The client may go away first.
                let _ = std::io::copy(&mut stream, &mut back);
                let _ = back.shutdown(Shutdown::Write);
            });
        }
    });
    upstream
}

/// A floor in front of an origin that sends back what it gets.
fn floor(bulk: bool, buffer_bytes: u32) -> SocketAddr {
    floor_to(echo(), |options| (options.bulk, options.buffer_bytes) = (bulk, buffer_bytes))
}

fn floor_to(upstream: SocketAddr, change: impl FnOnce(&mut Options)) -> SocketAddr {
    let local = "127.0.0.1:0".parse().expect("an address");
    let listener = listen(local).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let mut options = Options {
        listen: local,
        upstream,
        buffer_bytes: 4096,
        bulk: false,
        http2: None,
        core: None,
    };
    change(&mut options);
    // The ring is made on the thread that uses it.
    thread::spawn(move || serve(listener, &options));
    address
}

fn there_and_back(address: SocketAddr, length: usize) {
    let sent: Vec<u8> = (0..length).map(|at| (at * 7 + at / 256) as u8).collect();
    let mut stream = TcpStream::connect(address).expect("the floor listens");
    let mut writer = stream.try_clone().expect("a second handle");
    let copy = sent.clone();
    let sender = thread::spawn(move || {
        writer.write_all(&copy).expect("all of it");
        writer.shutdown(Shutdown::Write).expect("open");
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).expect("until the end");
    sender.join().expect("no panic");
    assert!(received == sent, "{} of {} bytes, or other ones", received.len(), sent.len());
}

#[test]
fn bytes_arrive_unchanged_and_the_end_is_passed_on() {
    let address = floor(false, 4096);
    for length in [0, 1, 100, 4096, 4097, 100_000] {
        there_and_back(address, length);
    }
}

#[test]
fn bulk_mode_moves_more_than_all_buffers_hold() {
    let address = floor(true, 65_536);
    there_and_back(address, 100 << 20);
}

#[test]
fn a_client_that_leaves_disturbs_nobody() {
    let address = floor(true, 4096);
    for _ in 0..100 {
        let mut stream = TcpStream::connect(address).expect("the floor listens");
        stream.write_all(&[0; 100_000]).expect("room in the sockets");
        // Unread bytes make this close a reset.
    }
    there_and_back(address, 10_000);
}

#[test]
fn an_upstream_that_refuses_closes_the_connection() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let upstream = closed.local_addr().expect("bound");
    drop(closed);
    let address = floor_to(upstream, |_| ());
    let mut stream = TcpStream::connect(address).expect("the floor listens");
    let mut rest = Vec::new();
    // An end or a reset: both tell the client.
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty());
}

/// What `count` requests at a time, some times over, are answered with.
fn ask(address: SocketAddr, count: usize, times: usize) {
    let mut stream = TcpStream::connect(address).expect("the floor listens");
    let mut client = Connection::client(Http2Options::default(), 0);
    for _ in 0..times {
        for _ in 0..count {
            client.send_request(&get(), true).expect("room for a stream");
        }
        assert_eq!(answers(&mut stream, &mut client, count), 64 * count);
    }
}

fn get() -> RequestHead {
    let mut head = RequestHead::new();
    head.set_method(b"GET");
    head.set_path(b"/");
    head.set_authority(b"a");
    head
}

/// Bytes of the bodies of so many whole answers.
fn answers(stream: &mut TcpStream, client: &mut Connection, count: usize) -> usize {
    let (mut bytes, mut whole, mut input) = (0, 0, Vec::new());
    while whole < count {
        let mut output = Vec::new();
        client.poll_transmit(&mut output);
        stream.write_all(&output).expect("the floor reads");
        let mut chunk = [0; 4096];
        let length = stream.read(&mut chunk).expect("the floor answers");
        assert!(length > 0, "the floor has closed the connection");
        input.extend_from_slice(&chunk[..length]);
        // It stops when many events wait.
        while !input.is_empty() {
            let consumed = client.receive(&input, 0).expect("HTTP/2");
            let (body, ends) = take_events(client);
            (bytes, whole) = (bytes + body, whole + ends);
            input.drain(..consumed);
        }
    }
    bytes
}

/// Bytes of bodies, and how many of them have ended.
fn take_events(client: &mut Connection) -> (usize, usize) {
    let (mut bytes, mut whole) = (0, 0);
    while let Some(event) = client.poll_event() {
        match event {
            Event::Head { .. } => {
                let head: &ResponseHead = client.response_mut();
                assert_eq!(head.status, 200);
            }
            Event::Data { stream, range } => {
                bytes += range.len();
                client.release(stream, range.len());
            }
            Event::Complete(_) => whole += 1,
            other => panic!("{other:?}"),
        }
    }
    (bytes, whole)
}

#[test]
fn every_request_of_http2_is_answered() {
    let nobody = "127.0.0.1:1".parse().expect("an address");
    let address = floor_to(nobody, |options| options.http2 = Some(Answers::Direct));
    ask(address, 1, 3);
    ask(address, 20, 10);
}

#[test]
fn every_request_of_http2_is_answered_by_the_origin() {
    let address = floor_to(echo(), |options| options.http2 = Some(Answers::Http1));
    ask(address, 1, 3);
    ask(address, 20, 10);
}
