//! Clients that misbehave beside the measured ones: half-open, slow and aborted.
//!
//! They have counts of their own and never touch latencies. None of them is waited for at the end.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use super::dial::{self, Farewell};
use super::{Core, Phase};
use crate::link::Link;
use crate::protocol::{Answers, Engine, http1};
use crate::record::Unfriendly;

/// Before a client whose connection was refused or cut tries again.
const PAUSE: Duration = Duration::from_millis(100);
/// How much of its request a half-open client sends.
const HALF: usize = 20;

/// Starts this worker's part of them.
pub(super) fn spawn_all(core: &Rc<Core>, worker: usize) {
    let wished = core.plan.unfriendly;
    for number in (0..wished.total()).filter(|number| number % core.plan.threads == worker) {
        let client = Client { core: Rc::clone(core), number };
        if number < wished.half_open {
            ringway_runtime::spawn(client.half_open());
        } else if number < wished.half_open + wished.slow {
            ringway_runtime::spawn(client.slow());
        } else {
            ringway_runtime::spawn(client.abort());
        }
    }
}

struct Client {
    core: Rc<Core>,
    number: usize,
}

impl Client {
    /// Sends the beginning of a request and stays.
    async fn half_open(self) {
        while self.is_running() {
            let Some(mut stream) = self.open(Farewell::Orderly).await else { continue };
            let request = self.request();
            stream.tail().extend_from_slice(&request[..request.len().min(HALF)]);
            self.count(|unfriendly| unfriendly.half_open += 1);
            if flush(&mut stream).await {
                while receive(&mut stream).await.is_some() {}
            }
            self.count(|unfriendly| unfriendly.half_open_cut += 1);
            ringway_runtime::sleep(PAUSE).await;
        }
    }

    /// Sends a request byte by byte and reads the answer as slowly.
    async fn slow(self) {
        while self.is_running() {
            let Some(mut stream) = self.open(Farewell::Orderly).await else { continue };
            if self.trickle(&mut stream).await {
                self.count(|unfriendly| unfriendly.slow_answered += 1);
            } else {
                self.count(|unfriendly| unfriendly.slow_cut += 1);
                ringway_runtime::sleep(PAUSE).await;
            }
        }
    }

    /// Whether a whole answer came.
    async fn trickle(&self, stream: &mut Link) -> bool {
        let pause = self.core.plan.unfriendly.slow_interval;
        for byte in self.request() {
            stream.tail().push(byte);
            if !flush(stream).await {
                return false;
            }
            ringway_runtime::sleep(pause).await;
        }
        let mut engine = Engine::Http1(http1::Reader::default());
        let mut answer = OneAnswer::default();
        while let Some(bytes) = receive(stream).await {
            if engine.receive(&bytes, &mut answer).is_err() {
                return false;
            }
            if answer.complete {
                return true;
            }
            ringway_runtime::sleep(pause).await;
        }
        engine.end_of_stream(&mut answer).is_ok() && answer.complete
    }

    /// Sends a request and resets the connection while the answer is under way.
    async fn abort(self) {
        let mut rng = fastrand::Rng::with_seed(self.core.plan.seed ^ self.number as u64);
        while self.is_running() {
            let Some(mut stream) = self.open(Farewell::Reset).await else { continue };
            stream.tail().extend_from_slice(&self.request());
            if flush(&mut stream).await {
                self.count(|unfriendly| unfriendly.aborted += 1);
                ringway_runtime::sleep(Duration::from_millis(rng.u64(0..3))).await;
            } else {
                self.count(|unfriendly| unfriendly.not_connected += 1);
                ringway_runtime::sleep(PAUSE).await;
            }
        }
    }

    fn is_running(&self) -> bool {
        self.core.phase.get() == Phase::Running
    }

    async fn open(&self, farewell: Farewell) -> Option<Link> {
        let lane = self.number % self.core.plan.lanes.len();
        let opened = dial::open(&self.core, lane, self.number, farewell).await;
        if opened.is_err() {
            self.count(|unfriendly| unfriendly.not_connected += 1);
            ringway_runtime::sleep(PAUSE).await;
        }
        opened.ok()
    }

    fn request(&self) -> Vec<u8> {
        let lane = self.number % self.core.plan.lanes.len();
        let request = &self.core.plan.requests[self.core.pick(lane)];
        let mut out = Vec::new();
        let mut filler = self.core.filler.borrow_mut();
        request.fill(&mut filler, self.number as u64, true, &mut out);
        out
    }

    fn count(&self, change: impl FnOnce(&mut Unfriendly)) {
        change(&mut self.core.record.borrow_mut().unfriendly);
    }
}

/// Whether all was sent.
async fn flush(stream: &mut Link) -> bool {
    poll_fn(|cx| stream.poll_flush(cx)).await.is_ok()
}

/// The next bytes; `None` when the connection is over.
async fn receive(stream: &mut Link) -> Option<ringway_runtime::buffer::Buf> {
    poll_fn(|cx| stream.poll_receive(cx)).await.ok().filter(|bytes| !bytes.is_empty())
}

/// Waits for one answer of any kind.
#[derive(Default)]
struct OneAnswer {
    complete: bool,
}

impl Answers for OneAnswer {
    fn oldest_is_head(&self) -> Option<bool> {
        (!self.complete).then_some(false)
    }

    fn head(&mut self, _: u16) {}

    fn data(&mut self, _: &[u8]) {}

    fn end(&mut self, _: bool) {
        self.complete = true;
    }
}
