//! Connections that one worker accepts and another serves (`exact_balance`).
//!
//! The kernel spreads connections by chance. Where a listener asks for equal numbers, whoever
//! accepts one looks who has the fewest, and puts the descriptor in the box of that worker.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use ringway_bridge::mailbox::{Receiver, Sender, mailbox};
use ringway_bridge::wake::Bell;
use ringway_model::listener::Sockets;
use ringway_runtime::stream::Stream;

use super::entry::Entry;
use super::{Listening, accept};
use crate::worker::Worker;

/// Connections that may wait for one worker. Where the box is full, whoever accepts serves.
const HANDED_MAX: usize = 1024;

/// A connection on its way.
#[derive(Debug)]
struct Handed {
    fd: OwnedFd,
    peer: Option<SocketAddr>,
    sockets: Arc<Sockets>,
    entry: Entry,
    /// The generation of whoever accepted it: there is a listener for it in that one.
    generation: u64,
}

/// A worker, as the others see it.
#[derive(Debug, Clone)]
struct Neighbour {
    connections: Sender<Handed>,
    bell: Arc<Bell>,
}

/// The ways from each worker to each other; none by default.
#[derive(Debug, Default)]
pub struct Neighbours {
    /// Indexed by worker.
    all: Vec<Neighbour>,
    arrived: Option<Receiver<Handed>>,
    /// One that is of a generation which has not come yet. Those behind it wait in the box.
    early: RefCell<Option<Handed>>,
}

impl Neighbours {
    /// For workers with these bells, in their order.
    pub fn of(bells: Vec<Arc<Bell>>) -> Vec<Self> {
        let boxes = bells.into_iter().map(|bell| (bell, mailbox(HANDED_MAX)));
        let (all, arrived): (Vec<_>, Vec<_>) = boxes
            .map(|(bell, (connections, arrived))| (Neighbour { connections, bell }, arrived))
            .unzip();
        let each = arrived.into_iter();
        each.map(|arrived| Self {
            all: all.clone(),
            arrived: Some(arrived),
            early: RefCell::default(),
        })
        .collect()
    }

    /// Whether there is nobody to share with.
    pub(super) fn are_none(&self) -> bool {
        self.all.len() < 2
    }
}

/// Gives a connection to the worker with the fewest.
pub(super) fn place(
    worker: &Rc<Worker>,
    listening: &Rc<Listening>,
    sockets: &Arc<Sockets>,
    (fd, peer): (OwnedFd, Option<SocketAddr>),
    mut entry: Entry,
) {
    let seat = sockets.balance.seat(worker.index);
    let chosen = worker.neighbours.all.get(seat.worker()).filter(|_| seat.worker() != worker.index);
    entry.sit(seat);
    let Some(chosen) = chosen else {
        return serve(worker, listening, sockets, fd, peer, entry);
    };
    let (sockets, generation) = (Arc::clone(sockets), worker.snapshot.borrow().generation);
    match chosen.connections.send(Handed { fd, peer, sockets, entry, generation }) {
        Ok(()) => chosen.bell.ring(),
        Err(Handed { fd, peer, sockets, mut entry, .. }) => {
            entry.sit(sockets.balance.seat_at(worker.index));
            serve(worker, listening, &sockets, fd, peer, entry);
        }
    }
}

/// Serves what others have accepted for this worker.
pub(crate) fn receive(worker: &Rc<Worker>) {
    let Neighbours { arrived: Some(arrived), early, .. } = &worker.neighbours else { return };
    let next = || early.take().or_else(|| arrived.receive());
    while let Some(handed) = next() {
        if handed.generation > worker.snapshot.borrow().generation {
            // The bell rings again when that generation is here.
            early.replace(Some(handed));
            return;
        }
        let Handed { fd, peer, sockets, entry, .. } = handed;
        match listening_on(worker, &sockets) {
            Some(listening) => serve(worker, &listening, &sockets, fd, peer, entry),
            // The listener is gone since: as if the connection had come a moment later.
            None => drop((fd, entry)),
        }
    }
}

fn listening_on(worker: &Worker, sockets: &Arc<Sockets>) -> Option<Rc<Listening>> {
    let all = worker.listening.borrow();
    let has = |listening: &&Rc<Listening>| {
        listening.listener().all_sockets().any(|one| Arc::ptr_eq(one, sockets))
    };
    all.iter().find(has).cloned()
}

fn serve(
    worker: &Rc<Worker>,
    listening: &Rc<Listening>,
    sockets: &Sockets,
    fd: OwnedFd,
    peer: Option<SocketAddr>,
    entry: Entry,
) {
    match Stream::from_fd(fd) {
        Ok(stream) => accept::begin(worker, listening, sockets, stream, peer, entry),
        Err(error) => tracing::warn!(%error, "accept failed"),
    }
}
