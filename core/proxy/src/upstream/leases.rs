//! This worker's accounts with the circuit breakers of a cluster.

use std::cell::RefCell;
use std::rc::Rc;

use ringway_bridge::limit::Lease;
use ringway_model::cluster::ClusterPolicy;
use ringway_model::route::Priority;

/// One account per breaker and priority.
#[derive(Debug)]
pub(crate) struct Leases([PriorityLeases; 2]);

#[derive(Debug)]
struct PriorityLeases {
    connections: RefCell<Lease>,
    pending: RefCell<Lease>,
    requests: RefCell<Lease>,
}

/// Which breaker a unit belongs to.
#[derive(Debug, Clone, Copy)]
enum Breaker {
    Connections,
    Pending,
    Requests,
}

/// A unit of a breaker, given back when dropped.
#[derive(Debug)]
pub(crate) struct Unit {
    leases: Rc<Leases>,
    priority: usize,
    breaker: Breaker,
}

/// A unit of `max_requests`.
pub(crate) type RequestUnit = Unit;

impl Leases {
    pub(crate) fn new(policy: &ClusterPolicy) -> Rc<Self> {
        Rc::new(Self([0, 1].map(|priority| {
            let limits = &policy.limits[priority];
            PriorityLeases {
                connections: RefCell::new(Lease::new(limits.connections.clone())),
                pending: RefCell::new(Lease::new(limits.pending.clone())),
                requests: RefCell::new(Lease::new(limits.requests.clone())),
            }
        })))
    }

    pub(crate) fn connection(self: &Rc<Self>, priority: Priority) -> Option<Unit> {
        self.unit(priority, Breaker::Connections)
    }

    pub(crate) fn pending(self: &Rc<Self>, priority: Priority) -> Option<Unit> {
        self.unit(priority, Breaker::Pending)
    }

    pub(crate) fn request(self: &Rc<Self>, priority: Priority) -> Option<RequestUnit> {
        self.unit(priority, Breaker::Requests)
    }

    fn unit(self: &Rc<Self>, priority: Priority, breaker: Breaker) -> Option<Unit> {
        let priority = priority as usize;
        let acquired = self.account(priority, breaker).borrow_mut().acquire();
        acquired.then(|| Unit { leases: Rc::clone(self), priority, breaker })
    }

    fn account(&self, priority: usize, breaker: Breaker) -> &RefCell<Lease> {
        let leases = &self.0[priority];
        match breaker {
            Breaker::Connections => &leases.connections,
            Breaker::Pending => &leases.pending,
            Breaker::Requests => &leases.requests,
        }
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        self.leases.account(self.priority, self.breaker).borrow_mut().release();
    }
}
