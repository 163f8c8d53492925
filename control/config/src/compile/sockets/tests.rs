use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use socket2::SockRef;

use super::*;

fn spec(address: Address, workers: usize) -> SocketSpec {
    SocketSpec {
        place: 0,
        bound: true,
        listener: Arc::from("web"),
        address,
        datagrams: false,
        workers,
        ipv4_compat: false,
        mode: 0,
        reuse_port: true,
        backlog: 16,
        keepalive: None,
        transparent: false,
        freebind: false,
        mptcp: false,
        options: Vec::new(),
    }
}

fn any_port(ip: &str) -> Address {
    Address::Ip(SocketAddr::new(ip.parse().unwrap(), 0))
}

fn open(spec: &SocketSpec) -> Arc<Sockets> {
    BindSockets.open(spec).unwrap()
}

fn fd_of(sockets: &Sockets, worker: usize) -> OwnedFd {
    sockets.fds.duplicate(worker).unwrap()
}

fn port(sockets: &Sockets) -> u16 {
    sockets.address.ip().unwrap().port()
}

/// Connects and has one of the listeners accept.
fn reaches(sockets: &Sockets, to: SocketAddr) -> bool {
    let Ok(mut client) = TcpStream::connect(to) else { return false };
    client.write_all(b"x").unwrap();
    drop(client);
    let listeners: Vec<TcpListener> =
        (0..sockets.fds.len()).map(|worker| TcpListener::from(fd_of(sockets, worker))).collect();
    // The kernel has put it into the queue of one of them before `connect` returned.
    for listener in &listeners {
        listener.set_nonblocking(true).unwrap();
        if let Ok((mut accepted, _)) = listener.accept() {
            accepted.set_nonblocking(false).unwrap();
            let mut byte = [0];
            return accepted.read_exact(&mut byte).is_ok() && byte == *b"x";
        }
    }
    false
}

#[test]
fn each_worker_has_a_socket_on_the_port_that_the_kernel_chose() {
    let sockets = open(&spec(any_port("127.0.0.1"), 3));
    assert_eq!(sockets.fds.len(), 3);
    assert_ne!(port(&sockets), 0);
    for worker in 0..3 {
        let fd = fd_of(&sockets, worker);
        let socket = SockRef::from(&fd);
        assert_eq!(socket.local_addr().unwrap().as_socket(), sockets.address.ip());
        assert!(socket.reuse_port().unwrap() && socket.is_listener().unwrap());
        assert!(socket.tcp_nodelay().unwrap());
    }
    // Connections spread by their addresses: whichever socket has one, it is accepted.
    assert!((0..8).all(|_| reaches(&sockets, sockets.address.ip().unwrap())));
}

#[test]
fn without_reuse_port_all_workers_share_one_socket() {
    let spec = SocketSpec { reuse_port: false, ..spec(any_port("127.0.0.1"), 2) };
    let sockets = open(&spec);
    assert_eq!(sockets.fds.len(), 2);
    assert!(!SockRef::from(&fd_of(&sockets, 0)).reuse_port().unwrap());
    assert!(reaches(&sockets, sockets.address.ip().unwrap()));
}

#[test]
fn a_busy_address_is_an_error() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Ip(holder.local_addr().unwrap());
    let error = BindSockets.open(&spec(address, 2)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn a_dual_stack_socket_takes_ipv4_too_and_another_does_not() {
    for ipv4_compat in [true, false] {
        let spec = SocketSpec { ipv4_compat, ..spec(any_port("::"), 1) };
        let Ok(sockets) = BindSockets.open(&spec) else {
            println!("skipped: no IPv6 here");
            return;
        };
        assert_eq!(SockRef::from(&fd_of(&sockets, 0)).only_v6().unwrap(), !ipv4_compat);
        let port = port(&sockets);
        assert!(reaches(&sockets, SocketAddr::new("::1".parse().unwrap(), port)));
        let by_ipv4 = SocketAddr::new("127.0.0.1".parse().unwrap(), port);
        // Without IPv4 the port belongs to nobody there, or to somebody else.
        assert!(!ipv4_compat || reaches(&sockets, by_ipv4));
    }
}

#[test]
fn accepted_connections_inherit_keepalive_and_nodelay() {
    let keepalive = TcpKeepalive { probes: Some(3), time: Some(50), interval: Some(7) };
    let spec = SocketSpec { keepalive: Some(keepalive), ..spec(any_port("127.0.0.1"), 1) };
    let sockets = open(&spec);
    let _client = TcpStream::connect(sockets.address.ip().unwrap()).unwrap();
    let listener = TcpListener::from(fd_of(&sockets, 0));
    let (accepted, _) = listener.accept().unwrap();
    let accepted = SockRef::from(&accepted);
    assert!(accepted.keepalive().unwrap() && accepted.tcp_nodelay().unwrap());
    assert_eq!(accepted.tcp_keepalive_time().unwrap(), Duration::from_secs(50));
    assert_eq!(accepted.tcp_keepalive_interval().unwrap(), Duration::from_secs(7));
    assert_eq!(accepted.tcp_keepalive_retries().unwrap(), 3);
}

fn option(level: i32, name: i32, value: OptionValue, state: SocketState) -> SocketOption {
    SocketOption { level, name, value, state }
}

#[test]
fn options_are_set_in_every_state() {
    let options = vec![
        option(1, 8, OptionValue::Int(65536), SocketState::Prebind),
        option(0, 1, OptionValue::Int(0x20), SocketState::Bound),
        option(6, 13, OptionValue::Bytes(b"reno\0".to_vec()), SocketState::Bound),
        option(1, 9, OptionValue::Int(1), SocketState::Listening),
    ];
    let sockets = open(&SocketSpec { options, ..spec(any_port("127.0.0.1"), 1) });
    let fd = fd_of(&sockets, 0);
    let socket = SockRef::from(&fd);
    assert!(socket.recv_buffer_size().unwrap() >= 65536);
    assert_eq!(socket.tos_v4().unwrap(), 0x20);
    assert!(socket.tcp_congestion().unwrap().starts_with(b"reno"));
    assert!(socket.keepalive().unwrap());
}

#[test]
fn an_option_that_the_kernel_refuses_is_named() {
    let bad = option(6, 13, OptionValue::Bytes(b"no-such".to_vec()), SocketState::Prebind);
    let spec = SocketSpec { options: vec![bad], ..spec(any_port("127.0.0.1"), 1) };
    let error = BindSockets.open(&spec).unwrap_err().to_string();
    assert!(error.starts_with("socket option 6/13: "), "{error}");
}

#[test]
fn a_unix_socket_takes_the_place_of_a_stale_one_and_is_shared() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.sock");
    // A process that ended has left its socket behind.
    drop(UnixListener::bind(&path).unwrap());
    let address = Address::Pipe(Arc::new(path.clone()));
    let sockets = open(&SocketSpec { mode: 0o620, ..spec(address.clone(), 2) });
    assert_eq!((sockets.fds.len(), &sockets.address), (2, &address));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o620);
    assert!(accepts(&sockets, || UnixStream::connect(&path)));
}

/// A listener with other options opens its path anew while it still listens there.
#[test]
fn a_unix_socket_of_this_process_gives_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.sock");
    let spec = spec(Address::Pipe(Arc::new(path.clone())), 1);
    let _first = open(&spec);
    let second = open(&SocketSpec { backlog: 32, ..spec });
    assert!(accepts(&second, || UnixStream::connect(&path)));
}

/// A datagram socket refuses the probe in a way of its own.
#[test]
fn a_socket_of_another_type_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.sock");
    let other = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let error = BindSockets.open(&spec(Address::Pipe(Arc::new(path.clone())), 1)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    let client = std::os::unix::net::UnixDatagram::unbound().unwrap();
    client.send_to(b"x", &path).unwrap();
    assert_eq!(other.recv(&mut [0; 8]).unwrap(), 1);
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("precious");
    std::fs::write(&path, "text").unwrap();
    let address = Address::Pipe(Arc::new(path.clone()));
    let error = BindSockets.open(&spec(address, 1)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "text");
}

#[test]
fn an_abstract_name_needs_no_file() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("ringway-test-{}", std::process::id());
    let address = Address::Pipe(Arc::new(PathBuf::from(format!("@{name}"))));
    let sockets = open(&spec(address, 2));
    let peer = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    assert!(accepts(&sockets, || UnixStream::connect_addr(&peer)));
}

/// Whether the last of the duplicates accepts.
fn accepts(sockets: &Sockets, connect: impl Fn() -> io::Result<UnixStream>) -> bool {
    let _client = connect().unwrap();
    let last = fd_of(sockets, sockets.fds.len() - 1);
    UnixListener::from(last).accept().is_ok()
}

#[test]
fn validation_opens_nothing() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Ip(holder.local_addr().unwrap());
    let sockets = NoSockets.open(&spec(address.clone(), 4)).unwrap();
    assert_eq!((sockets.fds.len(), &sockets.address), (0, &address));
}

#[test]
fn a_new_name_keeps_the_sockets_unless_their_port_was_chosen_by_the_kernel() {
    let fixed = spec(Address::Ip("127.0.0.1:80".parse().unwrap()), 2);
    let renamed = SocketSpec { listener: Arc::from("other"), ..fixed.clone() };
    assert!(fixed.serves(&renamed));
    assert!(!fixed.serves(&SocketSpec { backlog: 1, ..fixed.clone() }));
    let chosen = spec(any_port("127.0.0.1"), 2);
    assert!(chosen.serves(&chosen.clone()));
    assert!(!chosen.serves(&SocketSpec { listener: Arc::from("other"), ..chosen.clone() }));
}

/// A socket as a service manager has it, and its address.
fn given(ip: &str) -> (OwnedFd, Address) {
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let address = Address::Ip(listener.local_addr().unwrap());
    (listener.into(), address)
}

#[test]
fn a_given_socket_is_shared_by_all_workers_and_can_be_had_again() {
    let (fd, address) = given("127.0.0.1");
    SockRef::from(&fd).set_nonblocking(true).unwrap();
    let mut sockets = GivenSockets::new(vec![fd]).unwrap();
    assert_eq!(sockets.unused().collect::<Vec<_>>(), [&address]);
    for backlog in [16, 32] {
        let spec = SocketSpec { backlog, ..spec(address.clone(), 3) };
        let opened = sockets.open(&spec).unwrap();
        assert_eq!((opened.fds.len(), opened.given), (3, true));
        assert!(!SockRef::from(&fd_of(&opened, 0)).nonblocking().unwrap());
        assert!(SockRef::from(&fd_of(&opened, 2)).tcp_nodelay().unwrap());
        assert!(reaches(&opened, address.ip().unwrap()));
    }
    assert_eq!(sockets.unused().count(), 0);
    // Another address is bound as ever.
    let other = sockets.open(&spec(any_port("127.0.0.1"), 2)).unwrap();
    assert_eq!((other.fds.len(), other.given), (2, false));
}

#[test]
fn more_given_sockets_than_workers_are_refused() {
    let bound = open(&spec(any_port("127.0.0.1"), 3));
    let fds = (0..bound.fds.len()).map(|worker| fd_of(&bound, worker)).collect();
    let mut sockets = GivenSockets::new(fds).unwrap();
    let error = sockets.open(&spec(bound.address.clone(), 2)).unwrap_err().to_string();
    assert!(error.starts_with("3 sockets were given for 2 workers"), "{error}");
    // With as many workers each has its own, and with more they share.
    for workers in [3, 4] {
        assert_eq!(sockets.open(&spec(bound.address.clone(), workers)).unwrap().fds.len(), workers);
    }
}

#[test]
fn a_given_socket_that_takes_ipv4_needs_ipv4_compat() {
    let Ok(listener) = TcpListener::bind("[::]:0") else { return };
    let address = Address::Ip(listener.local_addr().unwrap());
    let takes_ipv4 = !SockRef::from(&listener).only_v6().unwrap();
    let mut sockets = GivenSockets::new(vec![listener.into()]).unwrap();
    for ipv4_compat in [true, false] {
        let spec = SocketSpec { ipv4_compat, ..spec(address.clone(), 1) };
        assert_eq!(sockets.open(&spec).is_ok(), ipv4_compat == takes_ipv4);
    }
}

#[test]
fn what_does_not_listen_cannot_be_given() {
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for fd in [OwnedFd::from(bound), OwnedFd::from(datagrams)] {
        assert!(GivenSockets::new(vec![fd]).is_err());
    }
}

#[test]
fn an_address_that_is_not_bound_opens_nothing() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::Ip(holder.local_addr().unwrap());
    let sockets = open(&SocketSpec { bound: false, ..spec(address.clone(), 2) });
    assert!(sockets.fds.is_empty());
    assert_eq!(sockets.address, address);
}

#[test]
fn any_port_of_one_place_serves_no_other() {
    let own = spec(any_port("127.0.0.1"), 1);
    assert!(own.serves(&own.clone()));
    assert!(!own.serves(&SocketSpec { place: 1, ..own.clone() }));
    let fixed = spec(Address::Ip("127.0.0.1:8080".parse().unwrap()), 1);
    assert!(fixed.serves(&SocketSpec { place: 1, ..fixed.clone() }));
    assert!(!fixed.serves(&SocketSpec { bound: false, ..fixed.clone() }));
}
