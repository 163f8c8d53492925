//! What becomes of operations whose owner has gone, and of peers that want too much.

mod workers;

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use ringway_runtime::buffer::Buf;
use ringway_runtime::listener::Listener;
use ringway_runtime::stream::Stream;
use ringway_runtime::{connect, sleep, spawn};

use workers::on_each;

fn listening() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

async fn receive(stream: &mut Stream) -> Vec<u8> {
    poll_fn(|cx| stream.poll_receive(cx)).await.expect("bytes").to_vec()
}

async fn flush(stream: &mut Stream) {
    poll_fn(|cx| stream.poll_flush(cx)).await.expect("sent");
}

/// Polls once, so that whatever the future starts is under way.
async fn begin(future: impl Future) {
    let mut future = pin!(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await;
}

#[test]
fn a_stream_that_was_dropped_does_not_wait_for_a_peer_that_reads_nothing() {
    const TOTAL: usize = 64 << 20;
    let received = on_each("unread", || async {
        let (listener, address) = listening();
        let mut stream = connect::tcp(address).await.expect("connected");
        let (mut peer, _) = listener.accept().expect("accepted");
        stream.push(Buf::new(vec![7; TOTAL]));
        begin(poll_fn(|cx| stream.poll_flush(cx))).await;
        // Long enough for the kernel's buffers to be full.
        sleep(Duration::from_millis(50)).await;
        drop(stream);
        sleep(Duration::from_millis(50)).await;
        peer.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
        let reader = std::thread::spawn(move || {
            let mut received = Vec::new();
            // A reset is as good an end as any.
            let ended = peer.read_to_end(&mut received);
            let waits = ended.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
            (received.len(), waits)
        });
        while !reader.is_finished() {
            sleep(Duration::from_millis(2)).await;
        }
        reader.join().expect("the reader ends well")
    });
    assert!(received.iter().all(|(count, waits)| *count < TOTAL && !waits), "{received:?}");
}

#[test]
fn a_connect_that_was_given_up_at_once_leads_nobody_astray() {
    on_each("astray", || async {
        let (_wrong, wrong_address) = listening();
        let (right, right_address) = listening();
        for _ in 0..20 {
            // In the same turn, so that neither has been submitted when the first is dropped.
            begin(connect::tcp(wrong_address)).await;
            let mut stream = connect::tcp(right_address).await.expect("connected");
            let (mut peer, _) = right.accept().expect("accepted");
            peer.write_all(b"here").expect("sent");
            assert_eq!(receive(&mut stream).await, b"here");
        }
    });
}

#[test]
fn connections_end_with_their_worker() {
    let peers = on_each("ending", || async {
        let (listener, address) = listening();
        let mut stream = connect::tcp(address).await.expect("connected");
        let (peer, _) = listener.accept().expect("accepted");
        stream.push(Buf::new(vec![7; 64 << 20]));
        spawn(async move {
            poll_fn(|cx| {
                let _ = stream.poll_flush(cx);
                stream.poll_receive(cx).map(drop)
            })
            .await;
        });
        sleep(Duration::from_millis(20)).await;
        peer
    });
    // Only our own drivers are asked for it: monoio, which comes last, leaves its tasks to the end of
    // the process.
    for mut peer in peers.into_iter().take(2) {
        peer.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
        let mut bytes = Vec::new();
        let ended = peer.read_to_end(&mut bytes);
        assert!(!ended.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock), "still open");
    }
}

#[test]
fn more_connections_have_bytes_at_once_than_buffers_are_offered() {
    on_each("at-once", || async {
        let (listener, address) = listening();
        let mut streams = Vec::new();
        let mut peers = Vec::new();
        for _ in 0..400 {
            let mut stream = connect::tcp(address).await.expect("connected");
            begin(poll_fn(|cx| stream.poll_receive(cx))).await;
            streams.push(stream);
            peers.push(listener.accept().expect("accepted").0);
        }
        for round in 0..3_u32 {
            for (number, peer) in (0_u32..).zip(&mut peers) {
                peer.write_all(&(number + round).to_le_bytes()).expect("sent");
            }
            // Some go while their bytes are on the way; the others get theirs.
            for _ in 0..10 {
                drop((streams.pop(), peers.pop()));
            }
            for (number, stream) in (0_u32..).zip(&mut streams) {
                assert_eq!(receive(stream).await, (number + round).to_le_bytes());
            }
        }
    });
}

#[test]
fn connections_that_nobody_takes_yet_are_all_taken_later() {
    const COUNT: usize = 700;
    on_each("pause", || async {
        let (listener, address) = listening();
        // No connection shall be refused and tried again a second later.
        socket2::SockRef::from(&listener).listen(1024).expect("a longer queue");
        let listener = Listener::tcp(listener.into()).expect("a listener");
        let clients = std::thread::spawn(move || {
            let connect = |_| TcpStream::connect(address).expect("connected");
            (0..COUNT).map(connect).collect::<Vec<_>>()
        });
        let mut accepted = vec![listener.accept().await.expect("accepted").0];
        // Those that come meanwhile wait.
        sleep(Duration::from_millis(100)).await;
        while accepted.len() < COUNT {
            accepted.push(listener.accept().await.expect("accepted").0);
        }
        for mut client in clients.join().expect("the clients end well") {
            client.write_all(b"!").expect("sent");
        }
        for stream in &mut accepted {
            assert_eq!(receive(stream).await, b"!");
        }
    });
}

#[test]
fn an_empty_piece_is_no_end() {
    on_each("empty", || async {
        let (listener, address) = listening();
        let mut stream = connect::tcp(address).await.expect("connected");
        let (mut peer, _) = listener.accept().expect("accepted");
        stream.push(Buf::default());
        flush(&mut stream).await;
        stream.push(Buf::new(b"more".to_vec()));
        flush(&mut stream).await;
        let mut bytes = [0; 4];
        peer.read_exact(&mut bytes).expect("read");
        assert_eq!(&bytes, b"more");
    });
}

#[test]
fn a_client_of_an_abstract_socket_waits_for_its_answer() {
    use std::os::linux::net::SocketAddrExt;
    on_each("abstract", || async {
        let name =
            format!("ringway-answer-{}-{:?}", std::process::id(), std::thread::current().id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
        let listener = std::os::unix::net::UnixListener::bind_addr(&address).expect("bound");
        let path = format!("@{name}");
        let mut client = connect::unix(std::path::Path::new(&path)).await.expect("connected");
        let (mut peer, _) = listener.accept().expect("accepted");
        begin(poll_fn(|cx| client.poll_receive(cx))).await;
        sleep(Duration::from_millis(4)).await;
        peer.write_all(b"answer").expect("sent");
        assert_eq!(receive(&mut client).await, b"answer");
    });
}
