//! From an accepted connection to its filter chain, and to what the chain ends in.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ringway_model::listener::{FilterChain, Listener, Terminal};
use ringway_model::stream::{ConnectionInfo, ResponseFlags};
use ringway_runtime::stream::Stream;

use super::entry::Entry;
use super::line::Line;
use super::{Listening, filters, gate};
use crate::hcm::{self, Binding};
use crate::tcp;
use crate::tell::about_connection;
use crate::transport;
use crate::worker::Worker;

/// Lets the listener's filters look at a connection, then serves it.
pub(super) fn admit(
    worker: &Rc<Worker>,
    listening: &Rc<Listening>,
    listener: Arc<Listener>,
    stream: Stream,
    info: ConnectionInfo,
    entry: Entry,
) {
    let (worker, listening) = (Rc::clone(worker), Rc::clone(listening));
    if listener.filters.list.is_empty() {
        if let Some(admitted) = Admitted::find(&worker, &listener, info, entry) {
            ringway_runtime::spawn(admitted.serve(worker, listening, stream));
        }
        return;
    }
    ringway_runtime::spawn(async move {
        let Some((info, stream)) = look(&worker, &listener, stream, info).await else { return };
        // Only what was found to be meant for another address goes to another listener.
        if listener.hands_off
            && info.redirected_from().is_some()
            && let Some(owner) = worker.owner_of(&info.local)
            && !Rc::ptr_eq(&owner, &listening)
        {
            return take_over(worker, owner, stream, info, entry).await;
        }
        // There may be a new generation by now, which the connection follows from here on.
        if let Some(admitted) = Admitted::find(&worker, &listening.listener(), info, entry) {
            admitted.serve(worker, listening, stream).await;
        }
    });
}

/// The listener that a connection was meant for takes it: its filters look as well, and it stays
/// there whatever they find.
async fn take_over(
    worker: Rc<Worker>,
    owner: Rc<Listening>,
    stream: Stream,
    mut info: ConnectionInfo,
    mut entry: Entry,
) {
    let listener = owner.listener();
    entry.moves_to(&listener);
    info.listener = Arc::clone(&listener.name);
    let looked = match listener.filters.list.is_empty() {
        true => Some((info, stream)),
        false => look(&worker, &listener, stream, info).await,
    };
    let Some((info, stream)) = looked else { return };
    if let Some(admitted) = Admitted::find(&worker, &owner.listener(), info, entry) {
        admitted.serve(worker, owner, stream).await;
    }
}

async fn look(
    worker: &Rc<Worker>,
    listener: &Arc<Listener>,
    mut stream: Stream,
    mut info: ConnectionInfo,
) -> Option<(ConnectionInfo, Stream)> {
    let active = listener.stats.downstream_pre_cx_active;
    worker.page.raise(active, 1);
    let goes_on = filters::run(&worker.page, listener, &mut stream, &mut info).await;
    worker.page.lower(active, 1);
    if !goes_on {
        drop(Line::new(worker, listener, &info));
    }
    goes_on.then_some((info, stream))
}

/// A connection that has a filter chain.
struct Admitted {
    chain: Arc<FilterChain>,
    info: ConnectionInfo,
    open: Open,
}

impl Admitted {
    /// Finds the chain; a connection that has none is counted and closed.
    fn find(
        worker: &Rc<Worker>,
        listener: &Arc<Listener>,
        info: ConnectionInfo,
        entry: Entry,
    ) -> Option<Self> {
        let Some(chain) = find_chain(listener, &info) else {
            if let Some(mut line) = Line::new(worker, listener, &info) {
                line.stream.flags.insert(ResponseFlags::NO_ROUTE_FOUND);
                line.stream.details = "filter_chain_not_found".into();
            }
            worker.page.inc(listener.stats.no_filter_chain_match);
            let peer = &info.direct_remote;
            tracing::debug!(target: "conn_handler", "no matching filter chain for {peer}: closing");
            return None;
        };
        let mut open = Open::new(worker, listener, info.start, entry);
        let chained = Some(Arc::clone(&chain.name));
        let info = ConnectionInfo { id: open.id, chain: chained, ..info };
        open.line = Line::new(worker, listener, &info);
        let (name, peer) = (&listener.name, &info.direct_remote);
        about_connection!(debug, "conn_handler", info.id, "new connection from {peer} to '{name}'");
        Some(Self { chain, info, open })
    }

    /// What the chain ends in takes the connection. It goes on in a task of its own, so that what
    /// the beginning needs does not lie about to the end.
    async fn serve(self, worker: Rc<Worker>, listening: Rc<Listening>, stream: Stream) {
        let Self { chain, mut info, mut open } = self;
        let listener = Arc::clone(&open.listener);
        let passed = match gate::pass(&worker, &chain, &info).await {
            Ok(passed) => passed,
            Err(flags) => {
                open.tell(|line| line.stream.flags.insert(flags));
                if let Terminal::Tcp(proxy) = &chain.terminal {
                    let entry = tcp::Entry {
                        worker,
                        listening,
                        chain: Arc::clone(&chain.name),
                        proxy: Arc::clone(proxy),
                        sni_cluster: false,
                        sni_port: None,
                        buffer_limit: listener.buffer_limit,
                        has_line: open.line.is_some(),
                    };
                    tcp::refuse(entry, info, flags);
                }
                return;
            }
        };
        open.permits = passed.permits;
        let accepted = transport::accept(&worker, &listening, &listener, &chain, stream, &mut info);
        let accepted = accepted.await;
        let accepted = accepted.map(|down| transport::guard(&worker, &chain, down, &mut info));
        open.tell(|line| {
            line.stream.notes.clone_from(&info.notes);
            line.info = info.clone();
        });
        match &chain.terminal {
            Terminal::Tcp(proxy) => {
                let entry = tcp::Entry {
                    worker,
                    listening,
                    chain: Arc::clone(&chain.name),
                    proxy: Arc::clone(proxy),
                    sni_cluster: passed.sni_cluster,
                    sni_port: passed.sni_port,
                    buffer_limit: listener.buffer_limit,
                    has_line: open.line.is_some(),
                };
                ringway_runtime::spawn(async move {
                    let stream = tcp::serve(entry, accepted.ok(), info).await;
                    open.tell(|line| line.stream = stream);
                });
            }
            Terminal::Http(manager) => {
                let binding = Binding::new(worker, listening, manager, info, open);
                hcm::begin(binding, accepted).await;
            }
            Terminal::DirectResponse(bytes) => {
                if let Ok(down) = accepted {
                    let moved = tcp::respond(down, bytes).await;
                    open.tell(|line| line.moved(moved));
                }
            }
            Terminal::Echo => {
                if let Ok(down) = accepted {
                    let moved = tcp::echo(down).await;
                    open.tell(|line| line.moved(moved));
                }
            }
        }
    }
}

/// The chain that serves a connection with these properties.
pub(crate) fn find_chain(listener: &Listener, info: &ConnectionInfo) -> Option<Arc<FilterChain>> {
    let index = match listener.matcher.rules.as_slice() {
        // A single chain without conditions needs no search.
        [(rule, index)] if *rule == Default::default() => *index,
        _ => find_index(listener, info)?,
    };
    listener.chains.get(index).cloned()
}

fn find_index(listener: &Listener, info: &ConnectionInfo) -> Option<usize> {
    info.ask(|query| listener.matcher.find(query))
}

/// Counts an open connection until it is dropped.
#[derive(Debug)]
pub(crate) struct Open {
    id: u64,
    worker: Rc<Worker>,
    listener: Arc<Listener>,
    start: Instant,
    /// What filters hold until the connection ends.
    permits: Vec<gate::Counted>,
    /// What it counts as against limits on connections.
    _entry: Entry,
    /// What is told of it in the listener's log.
    line: Option<Box<Line>>,
}

impl Open {
    fn new(worker: &Rc<Worker>, listener: &Arc<Listener>, start: Instant, entry: Entry) -> Self {
        let page = &worker.page;
        page.inc(listener.stats.downstream_cx_total);
        page.raise(listener.stats.downstream_cx_active, 1);
        if let Some(stats) = listener.worker_stats.get(worker.index) {
            page.inc(stats.downstream_cx_total);
            page.raise(stats.downstream_cx_active, 1);
        }
        let id = worker.connection_begins();
        let (worker, listener) = (Rc::clone(worker), Arc::clone(listener));
        Self { id, worker, listener, start, permits: Vec::new(), _entry: entry, line: None }
    }

    /// Adds to what is told of the connection in the listener's log, if there is one.
    pub(crate) fn tell(&mut self, tell: impl FnOnce(&mut Line)) {
        if let Some(line) = &mut self.line {
            tell(line);
        }
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
        about_connection!(debug, "conn_handler", self.id, "connection is gone");
        self.worker.connection_ends();
    }
}
