//! Streams, listeners and deadlines on both drivers.

mod workers;

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::mpsc;
use std::task::Poll;
use std::time::{Duration, Instant};

use ringway_runtime::buffer::Buf;
use ringway_runtime::deadline::Deadline;
use ringway_runtime::listener::Listener;
use ringway_runtime::stream::Stream;
use ringway_runtime::{connect, spawn};

use workers::on_each;

async fn receive(stream: &mut Stream) -> Vec<u8> {
    poll_fn(|cx| stream.poll_receive(cx)).await.expect("bytes").to_vec()
}

async fn flush(stream: &mut Stream) {
    poll_fn(|cx| stream.poll_flush(cx)).await.expect("sent");
}

#[test]
fn echo_over_tcp_and_the_end_of_stream() {
    let echoed = on_each("echo", || async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let client = std::thread::spawn(move || {
            let mut stream = TcpStream::connect(address).expect("connected");
            stream.write_all(b"hello").expect("sent");
            stream.shutdown(std::net::Shutdown::Write).expect("shut down");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("answered");
            answer
        });
        let listener = Listener::tcp(listener.into()).expect("a listener");
        let (mut stream, peer) = listener.accept().await.expect("accepted");
        assert!(peer.is_some_and(|peer| peer.ip().is_loopback()));
        loop {
            let bytes = receive(&mut stream).await;
            if bytes.is_empty() {
                break;
            }
            stream.tail().extend_from_slice(&bytes);
            flush(&mut stream).await;
        }
        client
    });
    let echoed: Vec<String> =
        echoed.into_iter().map(|client| client.join().expect("the client ends well")).collect();
    assert!(echoed.iter().all(|answer| answer == "hello"), "{echoed:?}");
}

#[test]
fn many_pieces_arrive_in_order_through_a_slow_reader() {
    let pieces = on_each("pieces", || async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let reader = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accepted");
            let mut all = Vec::new();
            stream.read_to_end(&mut all).expect("read");
            all
        });
        let mut stream = connect::tcp(address).await.expect("connected");
        let mut expected = Vec::new();
        for round in 0..200_u8 {
            let piece = vec![round; 50_000];
            expected.extend_from_slice(b"head");
            expected.extend_from_slice(&piece);
            stream.tail().extend_from_slice(b"head");
            stream.push(Buf::new(piece));
        }
        assert!(stream.queued_bytes() <= expected.len());
        flush(&mut stream).await;
        assert!(stream.is_flushed());
        stream.shutdown_write();
        (reader, expected)
    });
    for (reader, expected) in pieces {
        let all = reader.join().expect("the reader ends well");
        assert!(all == expected, "the bytes differ");
    }
}

#[test]
fn a_stream_waits_in_other_hands_without_losing_a_byte() {
    on_each("hands", || async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut stream = connect::tcp(address).await.expect("connected");
        let (mut peer, _) = listener.accept().expect("accepted");
        // Armed here, given up by this task, and completed in another one.
        poll_fn(|cx| {
            assert!(stream.poll_receive(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        peer.write_all(b"late").expect("sent");
        let (sender, received) = mpsc::channel();
        spawn(async move {
            sender.send(receive(&mut stream).await).expect("the test waits");
        });
        let mut deadline = Deadline::new();
        let bytes = poll_fn(|cx| {
            deadline.set(Some(Instant::now() + Duration::from_millis(4)));
            let _ = deadline.poll(cx);
            received.try_recv().map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        assert_eq!(bytes, b"late");
    });
}

#[test]
fn unix_sockets_work_the_same() {
    on_each("unix", || async {
        let name = format!("@ringway-test-{}-{:?}", std::process::id(), Instant::now());
        let address = std::os::unix::net::SocketAddr::from_pathname("/nonexistent").err();
        drop(address);
        use std::os::linux::net::SocketAddrExt;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name[1..]).expect("name");
        let listener = UnixListener::bind_addr(&address).expect("bound");
        let listener = Listener::unix(listener.into()).expect("a listener");
        let mut client = connect::unix(std::path::Path::new(&name)).await.expect("connected");
        let (mut server, peer) = listener.accept().await.expect("accepted");
        assert!(peer.is_none());
        client.tail().extend_from_slice(b"ping");
        flush(&mut client).await;
        assert_eq!(receive(&mut server).await, b"ping");
    });
}

#[test]
fn what_nobody_attends_to_is_sent_all_the_same() {
    on_each("unattended", || async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut stream = connect::tcp(address).await.expect("connected");
        let (mut peer, _) = listener.accept().expect("accepted");
        peer.set_nonblocking(true).expect("set");
        let mut received = Vec::new();
        for round in 0..100_u32 {
            stream.tail().extend_from_slice(&round.to_le_bytes());
            poll_fn(|cx| {
                let _ = stream.poll_flush_unattended(cx).map(|sent| sent.expect("sent"));
                Poll::Ready(())
            })
            .await;
        }
        while received.len() < 400 {
            // Gives the loop a turn; what was queued behind a send wakes this task by itself.
            ringway_runtime::sleep(Duration::from_millis(2)).await;
            poll_fn(|cx| {
                let _ = stream.poll_flush_unattended(cx).map(|sent| sent.expect("sent"));
                Poll::Ready(())
            })
            .await;
            let mut bytes = [0; 4096];
            if let Ok(count) = peer.read(&mut bytes) {
                received.extend_from_slice(&bytes[..count]);
            }
        }
        let expected: Vec<u8> = (0..100_u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(received, expected);
    });
}

#[test]
fn a_peer_that_sends_more_than_is_read_has_to_wait() {
    const TOTAL: usize = 64 << 20;
    on_each("flood", || async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut stream = connect::tcp(address).await.expect("connected");
        let (mut peer, _) = listener.accept().expect("accepted");
        peer.set_nonblocking(true).expect("set");
        let chunk = vec![7; 1 << 16];
        let mut sent = 0;
        // Nobody reads: in time the kernel's buffers are full, and ours must not take more.
        let mut refused = 0;
        poll_fn(|cx| Poll::Ready(stream.poll_receive(cx).is_pending())).await;
        while refused < 50 && sent < TOTAL {
            match peer.write(&chunk) {
                Ok(count) => sent += count,
                Err(_) => {
                    refused += 1;
                    ringway_runtime::sleep(Duration::from_millis(2)).await;
                }
            }
        }
        assert!(sent < TOTAL, "all of it was taken");
        // And what was taken arrives, to the last byte.
        peer.shutdown(std::net::Shutdown::Write).expect("shut down");
        let mut received = 0;
        loop {
            let bytes = receive(&mut stream).await;
            if bytes.is_empty() {
                break;
            }
            assert!(bytes.iter().all(|byte| *byte == 7));
            received += bytes.len();
        }
        assert_eq!(received, sent);
    });
}

#[test]
fn a_peer_that_does_not_read_is_noticed_and_forgiven_when_it_does() {
    const PIECE: usize = 1 << 16;
    let kept = on_each("stuck", || async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut stream = connect::tcp(address).await.expect("connected");
        let (mut peer, _) = listener.accept().expect("accepted");
        let before = (stream.is_stuck(), stream.is_slow());
        let mut pushed = 0;
        while !stream.is_stuck() && pushed < 32 << 20 {
            stream.push(Buf::new(vec![7; PIECE]));
            pushed += PIECE;
        }
        // What the kernel had room for does not wait here.
        let (stuck, queued) = (stream.is_stuck(), stream.queued_bytes());
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).expect("read");
            all.len()
        });
        flush(&mut stream).await;
        let after = (stream.is_stuck(), stream.is_slow());
        stream.shutdown_write();
        (before, (stuck, queued <= PIECE), after, (reader, pushed))
    });
    for (driver, (before, (stuck, little), after, (reader, pushed))) in kept.into_iter().enumerate()
    {
        assert_eq!(before, (false, false));
        assert_eq!(reader.join().expect("the reader ends well"), pushed);
        // Monoio, which comes last, does not know.
        let knows = driver < 2;
        assert_eq!((stuck, little), (knows, knows));
        assert_eq!(after, (false, knows));
    }
}

#[test]
fn waiting_for_a_connection_stops_nothing_else() {
    on_each("waiting", || async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let listener = Listener::tcp(listener.into()).expect("a listener");
        let (sender, accepted) = mpsc::channel();
        spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("accepted");
            sender.send(receive(&mut stream).await).expect("the test waits");
        });
        // Only now, when the accept waits already, somebody connects: on this very thread.
        ringway_runtime::sleep(Duration::from_millis(4)).await;
        let mut client = connect::tcp(address).await.expect("connected");
        client.tail().extend_from_slice(b"hello");
        flush(&mut client).await;
        let mut bytes = None;
        while bytes.is_none() {
            ringway_runtime::sleep(Duration::from_millis(2)).await;
            bytes = accepted.try_recv().ok();
        }
        assert_eq!(bytes.as_deref(), Some(b"hello".as_slice()));
    });
}

#[test]
fn a_stopper_ends_the_pending_accept() {
    on_each("stop", || async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let listener = Listener::tcp(listener.into()).expect("a listener");
        let stopper = listener.stopper();
        spawn(async move { stopper.stop() });
        let error = listener.accept().await.expect_err("stopped");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{error}");
        let folder = std::env::temp_dir().join(format!("ringway-stop-{:?}", Instant::now()));
        let listener = UnixListener::bind(&folder).expect("a socket");
        let listener = Listener::unix(listener.into()).expect("a listener");
        let stopper = listener.stopper();
        spawn(async move { stopper.stop() });
        let error = listener.accept().await.expect_err("stopped");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{error}");
        std::fs::remove_file(folder).expect("removed");
    });
}

#[test]
fn a_deadline_fires_late_rather_than_early_and_moves_both_ways() {
    let waits = on_each("deadline", || async {
        let mut deadline = Deadline::new();
        let start = Instant::now();
        deadline.set(Some(start + Duration::from_secs(3600)));
        deadline.set(Some(start + Duration::from_millis(5)));
        deadline.set(Some(start + Duration::from_millis(20)));
        poll_fn(|cx| deadline.poll(cx)).await;
        start.elapsed()
    });
    assert!(waits.iter().all(|wait| *wait >= Duration::from_millis(20)), "{waits:?}");
}

#[test]
fn the_time_of_a_turn_is_never_ahead_and_goes_on_with_the_turns() {
    let kept = workers::on_each("time", || async {
        let (before, clock) = (ringway_runtime::now(), Instant::now());
        ringway_runtime::sleep(Duration::from_millis(5)).await;
        let after = ringway_runtime::now();
        before <= clock && after - before >= Duration::from_millis(5) && after <= Instant::now()
    });
    assert!(kept.into_iter().all(|kept| kept));
}
