//! `ringway-load serve`: an origin that is cheap enough to measure others with.
//!
//! Shared-nothing like the proxy: each thread has its own listening socket on the same port.
//! [`answer`] reads what a path or a field asks for, [`request`] reads requests, [`connection`]
//! serves one client and [`http2`], [`websocket`], [`tcp`] and [`udp`] those who want something
//! else.

mod answer;
mod connection;
mod http2;
mod request;
mod tcp;
mod udp;
mod websocket;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use ringway_runtime::listener::Listener;
use ringway_runtime::worker::{self, Driver};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::cli::{ServeArgs, TcpWish};
use crate::compile::{parse_address, threads};
use crate::plan::Address;
use crate::tls;
use answer::Defaults;
use connection::Shared;

/// Connections that wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 16_384;
/// After an accept that failed for lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Serves until the process is ended.
pub(crate) fn run(args: &ServeArgs, driver: Driver) -> Result<(), String> {
    let defaults = Defaults { size: args.size, delay: args.delay };
    if args.size == 0 && matches!(args.tcp, Some(TcpWish::Sink | TcpWish::Source)) {
        return Err("--size: the answer to nothing has no end".to_owned());
    }
    let shared = Shared { defaults, tls: tls::server(&args.tls)?, tcp: args.tcp };
    let threads = threads(&args.place)?;
    let failed = |error: io::Error| format!("{}: {error}", args.listen);
    let (sockets, text) = match parse_address(&args.listen)? {
        Address::Tcp(address) if args.udp => udp_sockets(address, threads).map_err(failed)?,
        Address::Unix(_) if args.udp => {
            return Err("--udp: datagrams need an address of IP".to_owned());
        }
        Address::Tcp(address) => tcp_sockets(address, threads, driver).map_err(failed)?,
        // A Unix address cannot be shared by several sockets.
        Address::Unix(_) if args.place.threads.is_some_and(|threads| threads > 1) => {
            return Err("-t: a Unix socket is served by one thread".to_owned());
        }
        Address::Unix(path) => unix_socket(path, driver).map_err(failed)?,
    };
    let pinned = sockets.len() > 1 || args.place.cpus.is_some();
    let spin = args.place.busy_poll;
    let workers: Result<Vec<_>, io::Error> = sockets
        .into_iter()
        .enumerate()
        .map(|(index, socket)| {
            let core = pinned.then(|| index % worker::cores());
            let name = format!("serve-{index}");
            let spec = worker::Spec { name, core, driver, spin };
            let shared = shared.clone();
            worker::start_with(spec, move || accept_all(socket, shared))
        })
        .collect();
    let workers = workers.map_err(|error| format!("a worker could not be started: {error}"))?;
    announce(args, &text)?;
    for worker in workers {
        // A worker ends only by a panic, which has said so on standard error.
        let _ = worker.join();
    }
    Err("all workers have ended".to_owned())
}

/// One listening socket of a worker.
enum Listening {
    Tcp(OwnedFd),
    Unix(OwnedFd),
    Udp(OwnedFd, SocketAddr),
}

fn tcp_sockets(
    address: SocketAddr,
    count: usize,
    driver: Driver,
) -> io::Result<(Vec<Listening>, String)> {
    let (mut sockets, mut address) = (Vec::new(), address);
    for _ in 0..count {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        // A second process on the same port is an error unless this one shares it with itself.
        socket.set_reuse_port(count > 1)?;
        socket.set_tcp_nodelay(true)?;
        socket.bind(&address.into())?;
        listen(&socket, driver)?;
        // The first socket takes a free port; the others share it.
        address = socket.local_addr()?.as_socket().unwrap_or(address);
        sockets.push(Listening::Tcp(socket.into()));
    }
    Ok((sockets, address.to_string()))
}

fn udp_sockets(address: SocketAddr, count: usize) -> io::Result<(Vec<Listening>, String)> {
    let (sockets, address) = udp::sockets(address, count)?;
    let sockets = sockets.into_iter().map(|socket| Listening::Udp(socket, address)).collect();
    Ok((sockets, address.to_string()))
}

fn unix_socket(path: PathBuf, driver: Driver) -> io::Result<(Vec<Listening>, String)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let text = format!("unix:{}", path.display());
    // An abstract name begins with a zero byte where its text has an `@`.
    let name = match path.to_str().and_then(|path| path.strip_prefix('@')) {
        Some(name) => PathBuf::from(format!("\0{name}")),
        None => path,
    };
    socket.bind(&SockAddr::unix(name)?)?;
    listen(&socket, driver)?;
    Ok((vec![Listening::Unix(socket.into())], text))
}

fn listen(socket: &Socket, driver: Driver) -> io::Result<()> {
    // A ring waits only for a socket that may block itself; with epoll an accept that blocked
    // would stop the whole worker.
    socket.set_nonblocking(driver == Driver::Epoll)?;
    socket.listen(BACKLOG)
}

fn announce(args: &ServeArgs, address: &str) -> Result<(), String> {
    let mut stdout = io::stdout();
    // A pipe that is gone is no reason not to serve.
    let _ = writeln!(stdout, "listening on {address}").and_then(|()| stdout.flush());
    let Some(path) = &args.port_file else { return Ok(()) };
    let port = address.rsplit(':').next().unwrap_or_default();
    // Written aside and renamed, so that whoever waits for the file never reads half of it.
    let aside = path.with_extension("new");
    std::fs::write(&aside, port)
        .and_then(|()| std::fs::rename(&aside, path))
        .map_err(|error| format!("{}: {error}", path.display()))
}

async fn accept_all(socket: Listening, shared: Shared) {
    let listener = match socket {
        Listening::Tcp(fd) => Listener::tcp(fd),
        Listening::Unix(fd) => Listener::unix(fd),
        Listening::Udp(fd, address) => return udp::serve(fd, address).await,
    };
    let listener = match listener {
        Ok(listener) => listener,
        Err(error) => return eprintln!("ringway-load: {error}"),
    };
    let shared = Rc::new(shared);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                stream.set_nodelay();
                ringway_runtime::spawn(connection::serve(stream, Rc::clone(&shared)));
            }
            Err(_) => ringway_runtime::sleep(ACCEPT_PAUSE).await,
        }
    }
}
