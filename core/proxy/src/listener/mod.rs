//! Listeners on this worker: from a socket that has something to accept to whoever serves it.
//!
//! `accept` takes connections; `filters` look at their first bytes; `admit` finds their filter
//! chain and hands them over, past the network filters of `gate`. `entry` are the limits on their
//! number, `line` is their log. `handed` are connections that one worker accepts and another
//! serves, `internal` those that this process makes to itself.

mod accept;
mod admit;
mod entry;
mod filters;
mod gate;
pub(crate) mod handed;
mod internal;
mod line;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ringway_model::address::Address;
use ringway_model::http::ConnectionManager;
use ringway_model::listener::{FilterChain, Listener, Sockets};
use ringway_model::overload::Action;
use ringway_runtime::listener::Stopper;
use rustc_hash::FxHashMap;

pub(crate) use admit::{Open, find_chain};
pub use handed::Neighbours;
pub(crate) use internal::{ByName, by_name, connect};

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
    /// One for each of its addresses.
    accepting: RefCell<Vec<Accepting>>,
    /// No more connections: whatever generation comes.
    stopped: Cell<bool>,
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
            accepting: RefCell::default(),
            stopped: Cell::new(false),
            policy: RefCell::new(None),
            datagrams: RefCell::new(None),
        });
        listening.begin(worker, listener);
        listening
    }

    fn begin(self: &Rc<Self>, worker: &Rc<Worker>, listener: &Arc<Listener>) {
        // Only a process without free descriptors fails here; the other workers may accept.
        let failed = |error: io::Error| {
            tracing::error!(listener = %listener.name, %error, "cannot listen");
        };
        if listener.udp.is_none() {
            self.accept_on(worker, listener).unwrap_or_else(failed);
            return;
        }
        match Datagrams::start(worker, listener) {
            Ok(datagrams) => *self.datagrams.borrow_mut() = Some(datagrams),
            Err(error) => failed(error),
        }
    }

    /// Accepts on the addresses that the listener has, and on those of before no more.
    fn accept_on(self: &Rc<Self>, worker: &Rc<Worker>, listener: &Listener) -> io::Result<()> {
        let has =
            |one: &Accepting| listener.all_sockets().any(|all| Arc::ptr_eq(all, &one.sockets));
        let (mut kept, gone): (Vec<_>, Vec<_>) = self.accepting.take().into_iter().partition(has);
        gone.into_iter().for_each(|one| one.stopper.stop());
        let outcome = self.accept_more(worker, listener, &mut kept);
        *self.accepting.borrow_mut() = kept;
        outcome
    }

    fn accept_more(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        listener: &Listener,
        accepting: &mut Vec<Accepting>,
    ) -> io::Result<()> {
        for sockets in listener.all_sockets() {
            let known = accepting.iter().any(|one| Arc::ptr_eq(&one.sockets, sockets));
            // An address that is not bound is a name: connections come from other listeners.
            if known || self.stopped.get() || self.rests(worker) || sockets.fds.is_empty() {
                continue;
            }
            let socket = accept::open(worker, listener, sockets)?;
            let (sockets, stopper) = (Arc::clone(sockets), socket.stopper());
            let paused = Rc::<Cell<bool>>::default();
            let known = Rc::clone(&paused);
            accepting.push(Accepting { sockets: Arc::clone(&sockets), stopper, paused: known });
            let (worker, listening) = (Rc::clone(worker), Rc::clone(self));
            ringway_runtime::spawn(accept::accept(worker, listening, sockets, socket, paused));
        }
        Ok(())
    }

    /// Whether a listener of the next generation uses some of the same sockets.
    pub(crate) fn listens_for(&self, listener: &Listener) -> bool {
        let own = self.listener.borrow();
        let is_own = |one: &Arc<Sockets>| own.all_sockets().any(|other| Arc::ptr_eq(one, other));
        listener.all_sockets().any(is_own)
    }

    /// Follows the next generation; connections notice with their next request.
    pub(crate) fn update(self: &Rc<Self>, worker: &Rc<Worker>, listener: &Arc<Listener>) {
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
        if listener.udp.is_none()
            && let Err(error) = self.accept_on(worker, listener)
        {
            tracing::error!(listener = %listener.name, %error, "cannot listen");
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
        self.stopped.set(true);
        self.accepting.take().into_iter().for_each(|one| one.stopper.stop());
    }

    /// Accepts, or lets clients wait in the kernel's queue for as long as the process is
    /// overloaded.
    pub(crate) fn follow_overload(self: &Rc<Self>, worker: &Rc<Worker>) {
        let listener = self.listener();
        if self.rests(worker) {
            for one in self.accepting.take() {
                one.paused.set(true);
                one.stopper.stop();
            }
        } else if listener.udp.is_none()
            && let Err(error) = self.accept_on(worker, &listener)
        {
            tracing::error!(listener = %listener.name, %error, "cannot listen");
        }
    }

    fn rests(&self, worker: &Worker) -> bool {
        worker.overload.is_full(Action::StopAcceptingConnections)
            && !self.listener.borrow().bypasses_overload
    }

    /// Whether an action against overload is to be taken this time.
    pub(crate) fn strikes(&self, worker: &Worker, action: Action) -> bool {
        worker.strikes(&self.listener.borrow(), action)
    }

    /// Whether what it serves should ask its clients to go away.
    pub(crate) fn wants_close(&self, worker: &Worker) -> bool {
        self.removed.get().is_some() || worker.wants_close(&self.listener.borrow())
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

/// The accepting on one address.
#[derive(Debug)]
struct Accepting {
    sockets: Arc<Sockets>,
    stopper: Stopper,
    /// Set before it is stopped for a while, so that the socket stays open.
    paused: Rc<Cell<bool>>,
}

/// Listeners by the addresses that connections are meant for.
pub(crate) type ByAddress = FxHashMap<SocketAddr, Rc<Listening>>;

/// Nothing where no listener hands connections to others.
pub(crate) fn by_address(all: &[Rc<Listening>]) -> ByAddress {
    let mut found = ByAddress::default();
    if !all.iter().any(|listening| listening.listener().hands_off) {
        return found;
    }
    for listening in all {
        let listener = listening.listener();
        let addresses = listener.all_sockets().filter_map(|sockets| sockets.address.ip());
        for address in addresses.filter(|_| listener.udp.is_none()) {
            found.entry(address).or_insert_with(|| Rc::clone(listening));
        }
    }
    found
}

impl Worker {
    /// The listener that a connection to this address is meant for, as Envoy finds it: the one
    /// with the address, or else the one for all addresses on its port. One that has stopped takes
    /// none.
    fn owner_of(&self, meant: &Address) -> Option<Rc<Listening>> {
        let meant = meant.ip()?;
        let any = match meant.ip() {
            IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        };
        let all = self.by_address.borrow();
        let takes = |address| all.get(&address).filter(|one: &&Rc<Listening>| !one.stopped.get());
        takes(meant).or_else(|| takes(SocketAddr::new(any, meant.port()))).cloned()
    }
}
