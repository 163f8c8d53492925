//! Accepting connections on this worker's socket.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use ringway_model::address::Address;
use ringway_model::listener::Listener;
use ringway_model::stream::ConnectionInfo;
use ringway_runtime::listener::{self as socket, canonical};
use ringway_runtime::stream::Stream;

use super::entry::Entry;
use super::{Listening, admit};
use crate::worker::Worker;

/// Pause after an `accept` that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

pub(super) fn open(worker: &Worker, listener: &Listener) -> io::Result<socket::Listener> {
    let fd = listener.sockets.fds.get(worker.index);
    let fd = fd.ok_or_else(|| io::Error::other("no socket for this worker"))?.try_clone()?;
    match listener.sockets.address {
        Address::Ip(_) => socket::Listener::tcp(fd),
        Address::Pipe(_) => socket::Listener::unix(fd),
    }
}

pub(super) async fn accept(worker: Rc<Worker>, listening: Rc<Listening>, socket: socket::Listener) {
    let mut accepted: u32 = 0;
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => {
                let at_once = begin(&worker, &listening, stream, peer);
                accepted += 1;
                if accepted >= at_once {
                    accepted = 0;
                    let_others_run().await;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                // On a socket that was given, whoever connects now is for the next process.
                if !listening.listener().sockets.given {
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

/// Serves a connection. Returns after how many of them others have their turn.
fn begin(
    worker: &Rc<Worker>,
    listening: &Rc<Listening>,
    stream: Stream,
    peer: Option<SocketAddr>,
) -> u32 {
    let listener = listening.listener();
    let at_once = listener.accepts_at_once;
    if let Some(entry) = Entry::new(worker, &listener) {
        let info = connection_info(&listener, &stream, peer, ringway_runtime::now());
        admit::admit(worker, listening, listener, stream, info, entry);
    }
    at_once
}

fn connection_info(
    listener: &Listener,
    stream: &Stream,
    peer: Option<SocketAddr>,
    start: Instant,
) -> ConnectionInfo {
    let direct_remote = match peer {
        Some(peer) => Address::Ip(canonical(peer)),
        None => listener.address.clone(),
    };
    ConnectionInfo {
        id: 0,
        local: local_address(listener, stream),
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
fn local_address(listener: &Listener, stream: &Stream) -> Address {
    match listener.address {
        Address::Ip(bound) if bound.ip().is_unspecified() => {
            Address::Ip(stream.local_address().map_or(bound, canonical))
        }
        ref bound => bound.clone(),
    }
}
