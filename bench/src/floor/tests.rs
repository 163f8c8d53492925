use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use super::relay::Relay;
use super::{Options, listen};

/// An origin that sends back what it gets, and a floor in front of it.
fn floor(bulk: bool, buffer_bytes: u32) -> SocketAddr {
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
    let local = "127.0.0.1:0".parse().expect("an address");
    let listener = listen(local).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let options = Options { listen: local, upstream, buffer_bytes, bulk, core: None };
    thread::spawn(move || {
        // The ring is made on the thread that uses it.
        Relay::new(listener, &options).expect("a ring").run()
    });
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
    let local = "127.0.0.1:0".parse().expect("an address");
    let listener = listen(local).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let options = Options { listen: local, upstream, buffer_bytes: 4096, bulk: false, core: None };
    thread::spawn(move || Relay::new(listener, &options).expect("a ring").run());
    let mut stream = TcpStream::connect(address).expect("the floor listens");
    let mut rest = Vec::new();
    // An end or a reset: both tell the client.
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty());
}
