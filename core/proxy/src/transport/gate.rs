//! How many handshakes one turn of the loop works on.
//!
//! A step of a handshake costs as much as a hundred requests. When many clients connect at once,
//! only a few of them have their step in each turn, and the requests of the others go on between.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Steps in one turn: well under a millisecond with elliptic curves.
const STEPS: u32 = 4;

/// A worker's gate.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    passed: Cell<u32>,
    /// Handshakes that wait for a turn, at most one entry for each connection.
    waiting: RefCell<VecDeque<Waker>>,
}

impl Gate {
    /// Lets a step pass, or has its task woken in a later turn.
    pub(super) fn poll_pass(self: &Rc<Self>, cx: &Context<'_>) -> Poll<()> {
        let passed = self.passed.get();
        if passed == STEPS {
            self.waiting.borrow_mut().push_back(cx.waker().clone());
            return Poll::Pending;
        }
        if passed == 0 {
            // What is spawned runs in the next turn.
            let gate = Rc::clone(self);
            ringway_runtime::spawn(async move { gate.next_turn() });
        }
        self.passed.set(passed + 1);
        Poll::Ready(())
    }

    fn next_turn(&self) {
        self.passed.set(0);
        let mut waiting = self.waiting.borrow_mut();
        let count = waiting.len().min(STEPS as usize);
        for waker in waiting.drain(..count) {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_few_pass_in_one_turn() {
        let gate = Rc::new(Gate::default());
        gate.passed.set(1);
        let cx = Context::from_waker(Waker::noop());
        let passed = (0..10).filter(|_| gate.poll_pass(&cx).is_ready()).count();
        assert_eq!(passed, STEPS as usize - 1);
        assert_eq!(gate.waiting.borrow().len(), 10 - passed);
        gate.next_turn();
        assert_eq!(gate.waiting.borrow().len(), 10 - passed - STEPS as usize);
        assert_eq!(gate.passed.get(), 0);
    }
}
