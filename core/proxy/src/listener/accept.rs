//! Accepting connections on this worker's socket.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use ringway_model::address::Address;
use ringway_model::listener::{Listener, Sockets};
use ringway_model::stream::ConnectionInfo;
use ringway_runtime::listener::{self as socket, canonical};
use ringway_runtime::stream::Stream;

use super::entry::Entry;
use super::{Listening, admit, handed};
use crate::worker::Worker;

/// Pause after an `accept` that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

pub(super) fn open(
    worker: &Worker,
    listener: &Listener,
    sockets: &Sockets,
) -> io::Result<socket::Listener> {
    let fd = sockets.fds.duplicate(worker.index)?;
    if let (Some(queue), Address::Ip(_)) = (listener.fast_open, &sockets.address)
        && let Err(error) = socket::set_fast_open(&fd, queue)
    {
        tracing::warn!(listener = %listener.name, %error, "TCP Fast Open was refused");
    }
    match sockets.address {
        Address::Ip(_) => socket::Listener::tcp(fd),
        // Nobody binds an internal address.
        Address::Pipe(_) | Address::Internal(_) => socket::Listener::unix(fd),
    }
}

pub(super) async fn accept(
    worker: Rc<Worker>,
    listening: Rc<Listening>,
    sockets: Arc<Sockets>,
    socket: socket::Listener,
    paused: Rc<Cell<bool>>,
) {
    let mut accepted: u32 = 0;
    loop {
        match one(&worker, &listening, &sockets, &socket).await {
            Ok(at_once) => {
                accepted += 1;
                if accepted >= at_once {
                    accepted = 0;
                    let_others_run().await;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                // On a socket that was given, whoever connects now is for the next process.
                if !sockets.given && !paused.get() {
                    socket.close();
                }
                return;
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                ringway_runtime::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Goes on behind all tasks that are ready now.
async fn let_others_run() {
    let mut waited = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// accept(2): errors of a connection that ended before it was accepted.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// Accepts a connection, which is served here or by another worker. Returns after how many of them
/// others have their turn.
async fn one(
    worker: &Rc<Worker>,
    listening: &Rc<Listening>,
    sockets: &Arc<Sockets>,
    socket: &socket::Listener,
) -> io::Result<u32> {
    if worker.neighbours.are_none() || !listening.listener().exact_balance {
        let (stream, peer) = socket.accept().await?;
        let listener = listening.listener();
        if let Some(entry) = Entry::new(worker, &listener) {
            begin(worker, listening, sockets, stream, peer, entry);
        }
        return Ok(listener.accepts_at_once);
    }
    let (fd, peer) = socket.accept_fd().await?;
    let listener = listening.listener();
    if let Some(entry) = Entry::new(worker, &listener) {
        handed::place(worker, listening, sockets, (fd, peer), entry);
    }
    Ok(listener.accepts_at_once)
}

/// Serves a connection.
pub(super) fn begin(
    worker: &Rc<Worker>,
    listening: &Rc<Listening>,
    sockets: &Sockets,
    stream: Stream,
    peer: Option<SocketAddr>,
    entry: Entry,
) {
    let listener = listening.listener();
    let info = connection_info(&listener, sockets, &stream, peer, ringway_runtime::now());
    admit::admit(worker, listening, listener, stream, info, entry);
}

fn connection_info(
    listener: &Listener,
    sockets: &Sockets,
    stream: &Stream,
    peer: Option<SocketAddr>,
    start: Instant,
) -> ConnectionInfo {
    let direct_remote = match peer {
        Some(peer) => Address::Ip(canonical(peer)),
        None => sockets.address.clone(),
    };
    let local = local_address(sockets, stream);
    ConnectionInfo {
        id: 0,
        socket_local: None,
        local,
        chain: None,
        direct_remote,
        listener: Arc::clone(&listener.name),
        tls: None,
        preamble: None,
        notes: None,
        transport_failure: None,
        start,
    }
}

/// The address that the client connected to. Only a wildcard socket has to ask the kernel.
fn local_address(sockets: &Sockets, stream: &Stream) -> Address {
    match sockets.address {
        Address::Ip(bound) if bound.ip().is_unspecified() => {
            Address::Ip(stream.local_address().map_or(bound, canonical))
        }
        ref bound => bound.clone(),
    }
}
