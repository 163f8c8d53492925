//! Accepting connections on this worker's sockets and finding their filter chain.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringway_model::address::Address;
use ringway_model::listener::{ChainQuery, FilterChain, Listener, Terminal};
use ringway_model::stream::ConnectionInfo;
use ringway_runtime::listener::{self as socket, Stopper, canonical};
use ringway_runtime::stream::Stream;

use crate::hcm;
use crate::transport::Transport;
use crate::worker::Worker;

/// Pause after an `accept` that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A listener on this worker. Connections hold it to learn of changes.
#[derive(Debug)]
pub(crate) struct Listening {
    listener: RefCell<Arc<Listener>>,
    /// Grows with each change, so that a connection sees at a glance whether there was one.
    revision: Cell<u64>,
    removed: Cell<Option<Instant>>,
    stopper: RefCell<Option<Stopper>>,
}

impl Listening {
    /// Starts accepting on this worker's socket of `listener`.
    pub(crate) fn start(worker: &Rc<Worker>, listener: &Arc<Listener>) -> Rc<Self> {
        let listening = Rc::new(Self {
            listener: RefCell::new(Arc::clone(listener)),
            revision: Cell::new(0),
            removed: Cell::new(None),
            stopper: RefCell::new(None),
        });
        match open(worker, listener) {
            Ok(socket) => {
                *listening.stopper.borrow_mut() = Some(socket.stopper());
                let accepting = accept(Rc::clone(worker), Rc::clone(&listening), socket);
                ringway_runtime::spawn(accepting);
            }
            // Only a process without free descriptors comes here; the other workers may accept.
            Err(error) => tracing::error!(listener = %listener.name, %error, "cannot listen"),
        }
        listening
    }

    /// Whether a listener of the next generation uses the same sockets.
    pub(crate) fn listens_for(&self, listener: &Listener) -> bool {
        Arc::ptr_eq(&self.listener.borrow().sockets, &listener.sockets)
    }

    /// Follows the next generation; connections notice with their next request.
    pub(crate) fn update(&self, listener: &Arc<Listener>) {
        let changed = !Arc::ptr_eq(&self.listener.borrow(), listener);
        if changed {
            *self.listener.borrow_mut() = Arc::clone(listener);
            self.revision.set(self.revision.get() + 1);
        }
    }

    /// Stops accepting; connections go on.
    pub(crate) fn stop(&self) {
        if let Some(stopper) = self.stopper.take() {
            stopper.stop();
        }
    }

    /// The next generation has no such listener: connections end with their next response.
    pub(crate) fn remove(&self) {
        self.removed.set(Some(Instant::now()));
        self.stop();
        ringway_runtime::deadline::wake_all();
    }

    /// Since when no generation has this listener, if none has.
    pub(crate) fn removed_since(&self) -> Option<Instant> {
        self.removed.get()
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision.get()
    }

    pub(crate) fn listener(&self) -> Arc<Listener> {
        Arc::clone(&self.listener.borrow())
    }
}

fn open(worker: &Worker, listener: &Listener) -> io::Result<socket::Listener> {
    let fd = listener.sockets.fds.get(worker.index);
    let fd = fd.ok_or_else(|| io::Error::other("no socket for this worker"))?.try_clone()?;
    match listener.sockets.address {
        Address::Ip(_) => socket::Listener::tcp(fd),
        Address::Pipe(_) => socket::Listener::unix(fd),
    }
}

async fn accept(worker: Rc<Worker>, listening: Rc<Listening>, socket: socket::Listener) {
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => begin(&worker, &listening, stream, peer),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return socket.close(),
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                ringway_runtime::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// accept(2): errors of a connection that ended before it was accepted.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

fn begin(worker: &Rc<Worker>, listening: &Rc<Listening>, stream: Stream, peer: Option<SocketAddr>) {
    let listener = listening.listener();
    worker.page.inc(listener.stats.downstream_cx_total);
    let start = Instant::now();
    let info = connection_info(&listener, &stream, peer, start);
    let Some(chain) = find_chain(&listener, &info) else {
        worker.page.inc(listener.stats.no_filter_chain_match);
        worker.page.inc(listener.stats.downstream_cx_destroy);
        return;
    };
    let open = Open::new(worker, &listener, start);
    let Terminal::Http(manager) = &chain.terminal;
    let (worker, listening) = (Rc::clone(worker), Rc::clone(listening));
    let (manager, chain) = (Arc::clone(manager), Arc::clone(&chain.name));
    let info = ConnectionInfo { id: open.id, ..info };
    ringway_runtime::spawn(async move {
        hcm::serve(worker, listening, chain, manager, Transport::Plain(stream), info).await;
        drop(open);
    });
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
        tls: false,
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

/// The chain that serves a connection with these properties.
pub(crate) fn find_chain(listener: &Listener, info: &ConnectionInfo) -> Option<Arc<FilterChain>> {
    let source = info.direct_remote.ip();
    let query = ChainQuery {
        destination: info.local.ip(),
        source,
        direct_source: source,
        server_name: "",
        transport_protocol: "raw_buffer",
        application_protocols: &[],
    };
    let index = match listener.matcher.rules.as_slice() {
        // A single chain without conditions needs no search.
        [(rule, index)] if *rule == Default::default() => *index,
        _ => listener.matcher.find(&query)?,
    };
    listener.chains.get(index).cloned()
}

/// Counts an open connection until it is dropped.
struct Open {
    id: u64,
    worker: Rc<Worker>,
    listener: Arc<Listener>,
    start: Instant,
}

impl Open {
    fn new(worker: &Rc<Worker>, listener: &Arc<Listener>, start: Instant) -> Self {
        let page = &worker.page;
        page.raise(listener.stats.downstream_cx_active, 1);
        if let Some(stats) = listener.worker_stats.get(worker.index) {
            page.inc(stats.downstream_cx_total);
            page.raise(stats.downstream_cx_active, 1);
        }
        let id = worker.connection_begins();
        Self { id, worker: Rc::clone(worker), listener: Arc::clone(listener), start }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let (page, stats) = (&self.worker.page, &self.listener.stats);
        page.lower(stats.downstream_cx_active, 1);
        if let Some(stats) = self.listener.worker_stats.get(self.worker.index) {
            page.lower(stats.downstream_cx_active, 1);
        }
        page.inc(stats.downstream_cx_destroy);
        page.record(stats.downstream_cx_length_ms, self.start.elapsed().as_millis() as u64);
        self.worker.connection_ends();
    }
}
