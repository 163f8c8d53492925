//! From an accepted connection to its filter chain, and to what the chain ends in.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ringway_model::listener::{ChainQuery, FilterChain, Listener, Terminal};
use ringway_model::stream::ConnectionInfo;
use ringway_runtime::stream::Stream;

use super::Listening;
use crate::hcm;
use crate::tell::about_connection;
use crate::transport::Transport;
use crate::worker::Worker;

/// Serves a connection by the chain that matches it, or closes it.
pub(super) fn admit(
    worker: &Rc<Worker>,
    listening: &Rc<Listening>,
    listener: &Arc<Listener>,
    stream: Stream,
    info: ConnectionInfo,
) {
    let Some(chain) = find_chain(listener, &info) else {
        worker.page.inc(listener.stats.no_filter_chain_match);
        worker.page.inc(listener.stats.downstream_cx_destroy);
        let peer = &info.direct_remote;
        tracing::debug!(target: "conn_handler", "no matching filter chain for {peer}: closing");
        return;
    };
    let open = Open::new(worker, listener, info.start);
    let info = ConnectionInfo { id: open.id, ..info };
    let (listener, peer) = (&listener.name, &info.direct_remote);
    about_connection!(debug, "conn_handler", info.id, "new connection from {peer} to '{listener}'");
    let (worker, listening) = (Rc::clone(worker), Rc::clone(listening));
    ringway_runtime::spawn(async move {
        serve(worker, listening, &chain, stream, info).await;
        drop(open);
    });
}

/// What the chain ends in takes the connection, to its end.
async fn serve(
    worker: Rc<Worker>,
    listening: Rc<Listening>,
    chain: &FilterChain,
    stream: Stream,
    info: ConnectionInfo,
) {
    let name = Arc::clone(&chain.name);
    match &chain.terminal {
        Terminal::Http(manager) => {
            let (manager, stream) = (Arc::clone(manager), Transport::Plain(stream));
            hcm::serve(worker, listening, name, manager, stream, info).await;
        }
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
        about_connection!(debug, "conn_handler", self.id, "connection is gone");
        self.worker.connection_ends();
    }
}
