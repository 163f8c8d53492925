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
            let gate = Rc::clone(self);
            ringway_runtime::spawn(async move {
                ringway_runtime::behind_io().await;
                gate.next_turn();
            });
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
    use std::future::poll_fn;
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc;

    use ringway_runtime::stream::Stream;
    use ringway_runtime::worker::{self, Driver};

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

    async fn echo(mut stream: Stream) {
        loop {
            match poll_fn(|cx| stream.poll_receive(cx)).await {
                Ok(bytes) if !bytes.is_empty() => stream.push(bytes),
                _ => return,
            }
            if poll_fn(|cx| stream.poll_flush(cx)).await.is_err() {
                return;
            }
        }
    }

    /// Both ends of a connection that stays on this worker.
    fn pair(driver: Driver) -> (Stream, Stream) {
        let (one, other) = UnixStream::pair().expect("a pair");
        let stream = |socket: UnixStream| {
            // A ring waits only for a socket that may block itself.
            socket.set_nonblocking(driver == Driver::Epoll).expect("set");
            Stream::from_fd(socket.into()).expect("a stream")
        };
        (stream(one), stream(other))
    }

    /// Requests on another connection while so many handshakes wait for their turns: how many
    /// there were, and the most steps of handshakes that one of them had to wait for.
    async fn requests_beside(handshakes: u32, driver: Driver) -> (u32, u32) {
        let (gate, steps) = (Rc::new(Gate::default()), Rc::new(Cell::new(0)));
        for _ in 0..handshakes {
            let (gate, steps) = (Rc::clone(&gate), Rc::clone(&steps));
            ringway_runtime::spawn(async move {
                poll_fn(|cx| gate.poll_pass(cx)).await;
                steps.set(steps.get() + 1);
            });
        }
        let (mut client, server) = pair(driver);
        ringway_runtime::spawn(echo(server));
        let (mut requests, mut most) = (0, 0);
        while steps.get() < handshakes {
            let before = steps.get();
            client.tail().push(b'?');
            poll_fn(|cx| client.poll_flush(cx)).await.expect("sent");
            let answer = poll_fn(|cx| client.poll_receive(cx)).await.expect("answered");
            assert_eq!(&*answer, b"?");
            (requests, most) = (requests + 1, most.max(steps.get() - before));
        }
        (requests, most)
    }

    #[test]
    fn requests_go_on_while_two_thousand_handshakes_arrive_together() {
        const HANDSHAKES: u32 = 2000;
        // There and back is a handful of turns.
        const MOST: u32 = 16 * STEPS;
        for driver in [worker::detect().0, Driver::Epoll] {
            let (tell, told) = mpsc::channel();
            let thread = worker::start("gate".into(), None, driver, move || async move {
                tell.send(requests_beside(HANDSHAKES, driver).await).expect("the test listens");
            });
            let (requests, most) = told.recv().expect("an outcome");
            thread.expect("a worker").join().expect("it ends");
            assert!(most <= MOST && requests >= HANDSHAKES / MOST, "{driver}: {requests}, {most}");
        }
    }
}
