//! How many connections there may be: the limits of a listener, and of all of them together.

use std::rc::Rc;
use std::sync::Arc;

use ringway_bridge::balance::Seat;
use ringway_bridge::limit::{Limit, Permit};
use ringway_model::listener::Listener;
use ringway_model::overload::Action;

use crate::worker::Worker;

/// A connection that is within the limits, and counts against them until dropped.
#[derive(Debug, Default)]
pub(super) struct Entry {
    _own: Option<Permit>,
    _global: Option<Permit>,
    /// Its place among the workers, where they are to have equally many: few listeners ask for it.
    seat: Option<Box<Seat>>,
}

impl Entry {
    /// `None` for a connection that is one too many; it is counted, and to be closed.
    pub(super) fn new(worker: &Rc<Worker>, listener: &Listener) -> Option<Self> {
        let (page, stats, limits) = (&worker.page, &listener.stats, &listener.limits);
        let anyway = |limit: &Arc<Limit>| Some(limit.permit_anyway());
        let global = match &limits.global {
            Some(limit) if limits.ignores_global => anyway(limit),
            Some(limit) => {
                let permit = limit.permit();
                if permit.is_none() {
                    page.inc(stats.downstream_global_cx_overflow);
                    limits.global_refusals.iter().for_each(|refusals| page.inc(*refusals));
                    return None;
                }
                permit
            }
            None => None,
        };
        if worker.strikes(listener, Action::RejectIncomingConnections) {
            page.inc(stats.downstream_cx_overload_reject);
            return None;
        }
        let own = match &limits.own {
            Some(limit) => {
                let permit = limit.permit();
                if permit.is_none() {
                    page.inc(stats.downstream_cx_overflow);
                    return None;
                }
                permit
            }
            None => None,
        };
        Some(Self { _own: own, _global: global, seat: None })
    }

    /// Takes a place with the worker that is to serve it.
    pub(super) fn sit(&mut self, seat: Seat) {
        self.seat = Some(Box::new(seat));
    }

    /// The connection is one of another listener from here on, whose limit it counts against and
    /// which refuses none that comes in this way, as in Envoy.
    pub(super) fn moves_to(&mut self, listener: &Listener) {
        self._own = listener.limits.own.as_ref().map(Limit::permit_anyway);
        self.seat = None;
    }
}
