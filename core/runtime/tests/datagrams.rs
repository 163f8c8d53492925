//! UDP sockets, with each of the drivers.

mod workers;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use ringway_runtime::buffer::Buf;
use ringway_runtime::datagram::{
    Datagram, Message, Options, PAYLOAD_MAX, Sent, Socket, is_about_a_peer,
};
use ringway_runtime::sleep;

use workers::on_each;

const ANYBODY: Options = Options { max_payload: 1500, peers: true, locals: false };
/// The longest payload over IPv4.
const LONGEST: usize = 65_507;

/// What became of the datagrams that were sent.
#[derive(Default)]
struct Fates(RefCell<Vec<Result<usize, Option<i32>>>>);

impl Sent for Fates {
    fn sent(&self, outcome: io::Result<usize>) {
        self.0.borrow_mut().push(outcome.map_err(|error| error.raw_os_error()));
    }
}

fn peer() -> UdpSocket {
    let peer = UdpSocket::bind("127.0.0.1:0").expect("a port");
    peer.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
    peer
}

fn bound(to: &str, options: Options) -> (Socket, SocketAddr) {
    let std = UdpSocket::bind(to).expect("a port");
    let address = std.local_addr().expect("an address");
    (Socket::new(std.into(), options).expect("a socket"), address)
}

async fn receive(socket: &Socket) -> io::Result<Datagram> {
    poll_fn(|cx| socket.poll_receive(cx)).await
}

/// Polls once, so that whatever the future starts is under way.
async fn begin(future: impl Future) {
    let mut future = pin!(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await;
}

fn message(payload: &[u8], to: Option<SocketAddr>, fates: &Rc<Fates>) -> Message {
    let teller: Rc<Fates> = Rc::clone(fates);
    Message { payload: Buf::new(payload.to_vec()), to, from: None, teller }
}

#[test]
fn datagrams_come_whole_with_their_peers_and_go_back() {
    on_each("echo", || async {
        let (socket, address) = bound("127.0.0.1:0", ANYBODY);
        let (one, other) = (peer(), peer());
        let fates = Rc::new(Fates::default());
        for (peer, text) in [(&one, "first"), (&other, ""), (&one, "third"), (&one, "")] {
            peer.send_to(text.as_bytes(), address).expect("sent");
            let datagram = receive(&socket).await.expect("a datagram");
            assert_eq!(&*datagram.payload, text.as_bytes());
            assert_eq!(datagram.peer, Some(peer.local_addr().expect("an address")));
            assert!(!datagram.too_large);
            socket.send(message(&datagram.payload, datagram.peer, &fates));
            // The ring submits when this task waits.
            sleep(Duration::from_millis(1)).await;
            let mut echoed = [0; 100];
            let (length, from) = peer.recv_from(&mut echoed).expect("an echo");
            assert_eq!((&echoed[..length], from), (text.as_bytes(), address));
        }
        assert_eq!(*fates.0.borrow(), [Ok(5), Ok(0), Ok(5), Ok(0)]);
    });
}

#[test]
fn what_is_too_large_is_said_to_be_and_the_next_one_comes() {
    on_each("large", || async {
        let (socket, address) = bound("127.0.0.1:0", ANYBODY);
        let peer = peer();
        for length in [1500, 1501, 5000, LONGEST, 1] {
            peer.send_to(&vec![b'x'; length], address).expect("sent");
            let datagram = receive(&socket).await.expect("a datagram");
            let fits = length <= 1500;
            assert_eq!(datagram.too_large, !fits, "{length}");
            assert_eq!(datagram.payload.len(), if fits { length } else { 0 });
        }
        let whole = Options { max_payload: PAYLOAD_MAX, ..ANYBODY };
        let (socket, address) = bound("127.0.0.1:0", whole);
        peer.send_to(&vec![b'x'; LONGEST], address).expect("sent");
        assert_eq!(receive(&socket).await.expect("a datagram").payload.len(), LONGEST);
    });
}

#[test]
fn a_burst_is_received_in_order() {
    on_each("burst", || async {
        let whole = Options { max_payload: PAYLOAD_MAX, ..ANYBODY };
        for options in [ANYBODY, whole] {
            let (socket, address) = bound("127.0.0.1:0", options);
            let peer = peer();
            for round in 0..5_u32 {
                for number in 0..150_u32 {
                    peer.send_to(&(round * 1000 + number).to_be_bytes(), address).expect("sent");
                }
                for number in 0..150_u32 {
                    let datagram = receive(&socket).await.expect("a datagram");
                    assert_eq!(*datagram.payload, (round * 1000 + number).to_be_bytes());
                }
            }
            assert_eq!(socket.take_dropped(), 0);
        }
    });
}

#[test]
fn what_finds_no_room_is_counted() {
    on_each("dropped", || async {
        let std = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket2::SockRef::from(&std).set_recv_buffer_size(4096).expect("set");
        let address = std.local_addr().expect("an address");
        let socket = Socket::new(std.into(), ANYBODY).expect("a socket");
        let peer = peer();
        // Armed, so that each wait below receives what is there.
        begin(receive(&socket)).await;
        for _ in 0..100 {
            peer.send_to(&[7; 1000], address).expect("sent");
        }
        // The kernel tells with a datagram that comes after those that were dropped.
        let (mut sent, mut received, mut last) = (100, 0, false);
        while !last {
            peer.send_to(b"last", address).expect("sent");
            sent += 1;
            sleep(Duration::from_millis(1)).await;
            poll_fn(|cx| {
                while let Poll::Ready(datagram) = socket.poll_receive(cx) {
                    last |= &*datagram.expect("a datagram").payload == b"last";
                    received += 1;
                }
                Poll::Ready(())
            })
            .await;
        }
        assert!(received < 100, "all of them fitted");
        assert_eq!(socket.take_dropped(), sent - received);
        assert_eq!(socket.take_dropped(), 0);
    });
}

#[test]
fn a_socket_of_all_addresses_answers_from_the_one_that_was_asked() {
    on_each("local", || async {
        let peer = peer();
        for (to, mapped) in [("0.0.0.0:0", false), ("[::]:0", true)] {
            let (socket, bound) = bound(to, Options { locals: true, ..ANYBODY });
            let target = SocketAddr::new([127, 0, 0, 2].into(), bound.port());
            peer.send_to(b"where?", target).expect("sent");
            let datagram = receive(&socket).await.expect("a datagram");
            let expected: IpAddr = match mapped {
                true => "::ffff:127.0.0.2".parse().expect("an address"),
                false => [127, 0, 0, 2].into(),
            };
            assert_eq!(datagram.local, Some(expected));
            let fates = Rc::new(Fates::default());
            let mut answer = message(b"here", datagram.peer, &fates);
            answer.from = datagram.local;
            socket.send(answer);
            sleep(Duration::from_millis(1)).await;
            let mut bytes = [0; 10];
            let (_, from) = peer.recv_from(&mut bytes).expect("an answer");
            assert_eq!(from, target);
        }
    });
}

#[test]
fn a_peer_that_is_not_there_is_an_error_and_no_end() {
    on_each("refused", || async {
        let gone = peer();
        let address = gone.local_addr().expect("an address");
        let socket = Socket::connected(address, PAYLOAD_MAX).expect("a socket");
        drop(gone);
        let fates = Rc::new(Fates::default());
        for _ in 0..3 {
            socket.send(message(b"anybody?", None, &fates));
            let error = receive(&socket).await.expect_err("nobody is there");
            assert!(is_about_a_peer(&error), "{error}");
        }
        let back = UdpSocket::bind(address).expect("the port again");
        back.send_to(b"yes", socket.local_address().expect("an address")).expect("sent");
        assert_eq!(&*receive(&socket).await.expect("a datagram").payload, b"yes");
        assert_eq!(*fates.0.borrow(), [Ok(8), Ok(8), Ok(8)]);
    });
}

#[test]
fn a_datagram_that_nothing_can_carry_is_refused() {
    on_each("refused-size", || async {
        let peer = peer();
        let to = peer.local_addr().expect("an address");
        let socket = Socket::connected(to, PAYLOAD_MAX).expect("a socket");
        let fates = Rc::new(Fates::default());
        socket.send(message(&[0; LONGEST + 1], None, &fates));
        sleep(Duration::from_millis(1)).await;
        assert_eq!(*fates.0.borrow(), [Err(Some(libc_emsgsize()))]);
    });
}

/// `EMSGSIZE` of Linux.
fn libc_emsgsize() -> i32 {
    90
}
