//! Listeners on this worker: from a socket that has something to accept to whoever serves it.
//!
//! `accept` takes connections; `filters` look at their first bytes; `admit` finds their filter
//! chain and hands them over, past the network filters of `gate`. `entry` are the limits on their
//! number, `line` is their log.

mod accept;
mod admit;
mod entry;
mod filters;
mod gate;
mod line;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ringway_model::http::ConnectionManager;
use ringway_model::listener::{FilterChain, Listener};
use ringway_runtime::listener::Stopper;

pub(crate) use admit::{Open, find_chain};

use crate::hcm::Policy;
use crate::udp::Datagrams;
use crate::worker::Worker;

/// A listener on this worker. Connections hold it to learn of changes.
#[derive(Debug)]
pub(crate) struct Listening {
    listener: RefCell<Arc<Listener>>,
    /// Grows with each change, so that a connection sees at a glance whether there was one.
    revision: Cell<u64>,
    removed: Cell<Option<Instant>>,
    stopper: RefCell<Option<Stopper>>,
    /// What its latest connection of HTTP is served by, which they share.
    policy: RefCell<Option<Policy>>,
    /// Of a listener for UDP, which has no connections.
    datagrams: RefCell<Option<Rc<Datagrams>>>,
}

impl Listening {
    /// Starts accepting on this worker's socket of `listener`.
    pub(crate) fn start(worker: &Rc<Worker>, listener: &Arc<Listener>) -> Rc<Self> {
        let listening = Rc::new(Self {
            listener: RefCell::new(Arc::clone(listener)),
            revision: Cell::new(0),
            removed: Cell::new(None),
            stopper: RefCell::new(None),
            policy: RefCell::new(None),
            datagrams: RefCell::new(None),
        });
        // Only a process without free descriptors fails here; the other workers may accept.
        if let Err(error) = listening.begin(worker, listener) {
            tracing::error!(listener = %listener.name, %error, "cannot listen");
        }
        listening
    }

    fn begin(self: &Rc<Self>, worker: &Rc<Worker>, listener: &Arc<Listener>) -> io::Result<()> {
        if listener.udp.is_some() {
            *self.datagrams.borrow_mut() = Some(Datagrams::start(worker, listener)?);
            return Ok(());
        }
        let socket = accept::open(worker, listener)?;
        *self.stopper.borrow_mut() = Some(socket.stopper());
        ringway_runtime::spawn(accept::accept(Rc::clone(worker), Rc::clone(self), socket));
        Ok(())
    }

    /// Whether a listener of the next generation uses the same sockets.
    pub(crate) fn listens_for(&self, listener: &Listener) -> bool {
        Arc::ptr_eq(&self.listener.borrow().sockets, &listener.sockets)
    }

    /// Follows the next generation; connections notice with their next request.
    pub(crate) fn update(&self, listener: &Arc<Listener>) {
        let before = self.listener.replace(Arc::clone(listener));
        if Arc::ptr_eq(&before, listener) {
            return;
        }
        self.revision.set(self.revision.get() + 1);
        self.policy.take();
        let lives = |chain: &Arc<FilterChain>| listener.has_chain(&chain.name);
        // Those that the TCP proxy serves have no next request with which to notice.
        if !before.chains.iter().all(lives) {
            ringway_runtime::deadline::wake_all();
        }
        if let Some(datagrams) = &*self.datagrams.borrow() {
            datagrams.update(listener);
        }
    }

    /// The clusters may be others, whether the listener is or not.
    pub(crate) fn follow_clusters(&self) {
        if let Some(datagrams) = &*self.datagrams.borrow() {
            datagrams.follow_clusters();
        }
    }

    /// Stops accepting; connections go on, and so do datagrams: a session of UDP has no end that
    /// could be waited for.
    pub(crate) fn stop(&self) {
        if let Some(stopper) = self.stopper.take() {
            stopper.stop();
        }
    }

    /// Takes no more datagrams, and ends their sessions.
    pub(crate) fn end_datagrams(&self) {
        if let Some(datagrams) = self.datagrams.take() {
            datagrams.end();
        }
    }

    /// The next generation has no such listener: connections end with their next response.
    pub(crate) fn remove(&self) {
        self.removed.set(Some(Instant::now()));
        self.stop();
        self.end_datagrams();
        ringway_runtime::deadline::wake_all();
    }

    /// Since when no generation has this listener, if none has.
    pub(crate) fn removed_since(&self) -> Option<Instant> {
        self.removed.get()
    }

    /// This manager as connections hold it.
    pub(crate) fn policy(&self, manager: &Arc<ConnectionManager>) -> Policy {
        let mut latest = self.policy.borrow_mut();
        let known = latest.take().filter(|policy| Arc::ptr_eq(policy, manager));
        Rc::clone(latest.insert(known.unwrap_or_else(|| Rc::new(Arc::clone(manager)))))
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision.get()
    }

    pub(crate) fn listener(&self) -> Arc<Listener> {
        Arc::clone(&self.listener.borrow())
    }
}
