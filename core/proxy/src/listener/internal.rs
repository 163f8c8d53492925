//! Connections from this process to its own listeners (`internal_listener`).
//!
//! The two ends belong to one worker: a connection never leaves the worker of its client. Between
//! them is a pair of Unix sockets, so that whatever holds for connections to others, such as
//! backpressure, halves that end in their own time, or TLS, holds here as well.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use ringway_model::address::{Address, InternalAddress};
use ringway_model::listener::Listener;
use ringway_model::stream::ConnectionInfo;
use ringway_runtime::connect::pair;
use ringway_runtime::stream::Stream;
use rustc_hash::FxHashMap;

use super::entry::Entry;
use super::{Listening, admit};
use crate::worker::Worker;

/// What Envoy calls the client of such a connection.
const CLIENT: &str = "internal_client_address";

/// Internal listeners by their names.
pub(crate) type ByName = FxHashMap<Box<str>, Rc<Listening>>;

pub(crate) fn by_name(all: &[Rc<Listening>]) -> ByName {
    let named = |listening: &Rc<Listening>| match &listening.listener().address {
        Address::Internal(name) => Some((name.listener.clone(), Rc::clone(listening))),
        _ => None,
    };
    all.iter().filter_map(named).collect()
}

/// Connects to a listener of this worker.
///
/// # Errors
/// `ConnectionRefused` where there is no such listener, or it has stopped; and what the kernel says
/// where there are no more descriptors.
pub(crate) fn connect(worker: &Rc<Worker>, name: &Arc<InternalAddress>) -> io::Result<Stream> {
    let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
    let listening = worker.internal.borrow().get(&name.listener).cloned();
    let listening = listening.filter(|one| !one.stopped.get()).ok_or_else(refused)?;
    let listener = listening.listener();
    // As in Envoy, it counts against the listener's limit and is never refused for it: what bounds
    // such connections are the circuit breakers of the cluster.
    let mut entry = Entry::default();
    entry.moves_to(&listener);
    let (near, far) = pair(listener.internal_buffer)?;
    let info = connection_info(&listener, name);
    admit::admit(worker, &listening, listener, far, info, entry);
    Ok(near)
}

fn connection_info(listener: &Listener, name: &Arc<InternalAddress>) -> ConnectionInfo {
    ConnectionInfo {
        id: 0,
        socket_local: None,
        local: Address::Internal(Arc::clone(name)),
        chain: None,
        direct_remote: Address::internal(CLIENT, ""),
        listener: Arc::clone(&listener.name),
        tls: None,
        preamble: None,
        notes: None,
        transport_failure: None,
        start: ringway_runtime::now(),
    }
}
