//! One connection: opens it, sends what is due, reads the answers, opens the next one.
//!
//! Everything a request meets between its due time and its record happens in one poll function,
//! without a lock, a timer or an allocation.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ringway_runtime::stream::Stream;

use super::dial::{self, Farewell};
use super::{Core, NEVER, Phase, Slot};
use crate::check::{Verdict, Wrong};
use crate::protocol::{Answers, Engine, Malformed, http1};
use crate::record::Failure;
use crate::send::poll_send;
use crate::units::nanoseconds;

/// After a connection that could not be opened: short, so that a server that is gone ends a run of
/// a fixed count soon, and long enough not to spend the core on refusals.
const PAUSE: Duration = Duration::from_millis(10);

/// Why a connection is over, when it did not end as agreed.
type Lost = (Failure, String);

/// Keeps one slot busy until the run is over.
pub(super) async fn run(core: Rc<Core>, slot: Rc<Slot>) {
    let mut stream = open_first(&core, &slot).await;
    let mut exchange = Exchange::new(Rc::clone(&core), Rc::clone(&slot));
    loop {
        let Some(open) = stream.take() else {
            if !exchange.wait_for_request().await {
                return;
            }
            match dial(&core, &slot).await {
                Ok(opened) => stream = Some(opened),
                Err((failure, text)) => {
                    exchange.fail_all(failure, &text);
                    ringway_runtime::sleep(PAUSE).await;
                }
            }
            continue;
        };
        if let Err((failure, text)) = exchange.converse(open).await {
            exchange.fail_all(failure, &text);
        }
    }
}

/// The connection that is there before the run begins.
async fn open_first(core: &Rc<Core>, slot: &Rc<Slot>) -> Option<Stream> {
    // Where each request has a connection of its own, opening it is part of each request.
    if core.plan.requests_per_connection == Some(1) {
        core.tried.set(core.tried.get() + 1);
        core.opened.set(core.opened.get() + 1);
        return None;
    }
    let opened = dial(core, slot).await;
    core.tried.set(core.tried.get() + 1);
    match opened {
        Ok(stream) => {
            core.opened.set(core.opened.get() + 1);
            Some(stream)
        }
        Err((failure, text)) => {
            core.record.borrow_mut().failures.add(failure, || text);
            None
        }
    }
}

async fn dial(core: &Rc<Core>, slot: &Slot) -> Result<Stream, Lost> {
    let begun = Instant::now();
    slot.set_deadline(core.now().saturating_add(nanoseconds(core.plan.connect_timeout)));
    let mut opening = pin!(dial::open(core, slot.lane, slot.number, Farewell::Orderly));
    let result = poll_fn(|cx| {
        slot.wake_me(cx);
        if slot.has_expired() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        opening.as_mut().poll(cx)
    })
    .await;
    slot.set_deadline(NEVER);
    let stream = result.map_err(|error| (dial::failure(&error), error.to_string()))?;
    core.record.borrow_mut().connect.saturating_record(nanoseconds(begun.elapsed()));
    Ok(stream)
}

/// Sends what is queued, and says whether sending failed.
fn sent(stream: &mut Stream, cx: &mut Context<'_>) -> Result<(), Lost> {
    match poll_send(stream, cx) {
        Poll::Ready(Err(error)) => Err((dial::loss(&error), error.to_string())),
        _ => Ok(()),
    }
}

/// A request without its whole answer.
#[derive(Debug, Clone, Copy)]
struct Open {
    request: usize,
    due: u64,
    sent: u64,
}

/// The requests and answers of a slot.
struct Exchange {
    core: Rc<Core>,
    slot: Rc<Slot>,
    /// Taken, but not yet sent.
    pending: Option<Due>,
    open: VecDeque<Open>,
    /// Of the oldest open request.
    verdict: Verdict,
    sent_on_this: u64,
    /// The connection carries no further request.
    closing: bool,
    now: u64,
}

/// A request that is to be sent.
#[derive(Debug, Clone, Copy)]
struct Due {
    at: u64,
    /// It waited for the clock, not for a connection.
    by_clock: bool,
}

impl Exchange {
    fn new(core: Rc<Core>, slot: Rc<Slot>) -> Self {
        Self {
            core,
            slot,
            pending: None,
            open: VecDeque::new(),
            verdict: Verdict::default(),
            sent_on_this: 0,
            closing: false,
            now: 0,
        }
    }

    /// Waits without a connection until there is a request to send; false when the run is over.
    async fn wait_for_request(&mut self) -> bool {
        poll_fn(|cx| {
            self.slot.wake_me(cx);
            self.now = self.core.now();
            self.pending = self.pending.or_else(|| self.next_due());
            match self.core.phase.get() {
                _ if self.pending.is_some() => Poll::Ready(true),
                Phase::Stopping => Poll::Ready(false),
                _ => Poll::Pending,
            }
        })
        .await
    }

    fn next_due(&mut self) -> Option<Due> {
        if let Some(at) = self.slot.take_assigned() {
            return Some(Due { at, by_clock: true });
        }
        let at = self.core.take(self.slot.lane, self.now);
        if at.is_none() && self.core.phase.get() == Phase::Running {
            self.core.wait_for_due(&self.slot);
        }
        at.map(|at| Due { at, by_clock: false })
    }

    /// Uses one connection until it is over.
    async fn converse(&mut self, mut stream: Stream) -> Result<(), Lost> {
        let mut engine = Engine::Http1(http1::Reader::default());
        self.sent_on_this = 0;
        self.closing = false;
        let result = poll_fn(|cx| self.poll(&mut stream, &mut engine, cx)).await;
        self.slot.set_deadline(NEVER);
        result
    }

    fn poll(
        &mut self,
        stream: &mut Stream,
        engine: &mut Engine,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Lost>> {
        self.slot.wake_me(cx);
        if self.slot.has_expired() {
            let text = format!("no answer to {} in time", self.oldest());
            return Poll::Ready(Err((Failure::Timeout, text)));
        }
        self.now = self.core.now();
        loop {
            self.send(stream);
            if self.is_over() {
                return Poll::Ready(Ok(()));
            }
            if let Err(lost) = sent(stream, cx) {
                return Poll::Ready(Err(lost));
            }
            let Poll::Ready(received) = stream.poll_receive(cx) else { return Poll::Pending };
            self.now = self.core.now();
            match received {
                Ok(bytes) if bytes.is_empty() => {
                    return Poll::Ready(sent(stream, cx).and_then(|()| self.ended(engine)));
                }
                Ok(bytes) => {
                    self.core.record.borrow_mut().bytes_received += bytes.len() as u64;
                    if let Err(malformed) = engine.receive(&bytes, self) {
                        return Poll::Ready(Err(self.broken(malformed)));
                    }
                }
                Err(_) if self.open.is_empty() && self.pending.is_none() => {
                    return Poll::Ready(Ok(()));
                }
                Err(error) => {
                    return Poll::Ready(Err((dial::loss(&error), error.to_string())));
                }
            }
        }
    }

    /// Nothing is open, and nothing more will be sent on this connection.
    fn is_over(&self) -> bool {
        self.open.is_empty()
            && self.pending.is_none()
            && (self.closing || self.core.phase.get() == Phase::Stopping)
    }

    /// Queues what is due, as far as the pipeline allows.
    fn send(&mut self, stream: &mut Stream) {
        while !self.closing && self.open.len() < self.core.plan.pipeline {
            let Some(due) = self.pending.take().or_else(|| self.next_due()) else { return };
            self.sent_on_this += 1;
            let core = &self.core;
            self.closing = Some(self.sent_on_this) == core.plan.requests_per_connection;
            let request = core.pick(self.slot.lane);
            let out = stream.tail();
            let before = out.len();
            core.plan.requests[request].fill(
                &mut core.filler.borrow_mut(),
                self.slot.number as u64,
                self.closing,
                out,
            );
            self.record_sent(due, (out.len() - before) as u64);
            if self.open.is_empty() {
                self.expect_answer_to(self.now);
            }
            self.open.push_back(Open { request, due: due.at, sent: self.now });
        }
    }

    fn record_sent(&self, due: Due, bytes: u64) {
        let mut record = self.core.record.borrow_mut();
        record.bytes_sent += bytes;
        if due.by_clock && self.core.is_measured(due.at) {
            record.lateness.saturating_record(self.now.saturating_sub(due.at));
        }
    }

    fn expect_answer_to(&self, sent: u64) {
        self.slot.set_deadline(sent.saturating_add(nanoseconds(self.core.plan.timeout)));
    }

    fn ended(&mut self, engine: &mut Engine) -> Result<(), Lost> {
        match engine.end_of_stream(self) {
            // The engine is content; requests behind the last answer are not.
            Ok(()) if self.open.is_empty() => Ok(()),
            Ok(()) => Err(self.broken(Malformed::Truncated)),
            Err(malformed) => Err(self.broken(malformed)),
        }
    }

    fn broken(&self, malformed: Malformed) -> Lost {
        match malformed {
            Malformed::Truncated => (Failure::Closed, format!("on {}", self.oldest())),
            _ => (Failure::Malformed, format!("{}, on {}", malformed.text(), self.oldest())),
        }
    }

    /// The name of the oldest open request, for messages.
    fn oldest(&self) -> &str {
        let open = self.open.front();
        open.map_or("nothing", |open| &self.core.plan.requests[open.request].name)
    }

    /// The connection is lost, and with it every request that was on it.
    fn fail_all(&mut self, failure: Failure, text: &str) {
        let pending = self.pending.take().map(|due| due.at);
        let lost = self.open.drain(..).map(|open| open.due).chain(pending);
        let mut count = 0;
        let mut record = self.core.record.borrow_mut();
        for due in lost {
            count += 1;
            if self.core.is_measured(due) {
                record.failures.add(failure, || text.to_owned());
            }
        }
        // Bytes that nobody asked for are wrong even when no request is open.
        if count == 0 && failure == Failure::Malformed {
            record.failures.add(failure, || text.to_owned());
        }
        self.core.in_flight.set(self.core.in_flight.get() - count);
        self.core.last_result.set(self.core.now());
    }

    fn record_answer(&mut self, open: Open) {
        let core = &self.core;
        let check = &core.plan.requests[open.request].check;
        let result = self.verdict.end(check);
        if !core.is_measured(open.due) {
            return;
        }
        let mut record = core.record.borrow_mut();
        record.status(self.verdict.status());
        if let Err(wrong) = result {
            let failure = match wrong {
                Wrong::Status(_) => Failure::WrongStatus,
                _ => Failure::WrongBody,
            };
            let name = &core.plan.requests[open.request].name;
            record.failures.add(failure, || format!("{wrong} to {name}"));
            return;
        }
        record.latency.saturating_record(self.now.saturating_sub(open.due));
        if core.plan.is_open() {
            record.service.saturating_record(self.now.saturating_sub(open.sent));
        }
        record.by_request[open.request] += 1;
        record.in_time += u64::from(self.now <= core.end.get());
    }
}

impl Answers for Exchange {
    fn oldest_is_head(&self) -> Option<bool> {
        self.open.front().map(|open| self.core.plan.requests[open.request].is_head)
    }

    fn head(&mut self, status: u16) {
        if let Some(open) = self.open.front() {
            self.verdict.begin(&self.core.plan.requests[open.request].check, status);
        }
    }

    fn data(&mut self, data: &[u8]) {
        if let Some(open) = self.open.front() {
            self.verdict.data(&self.core.plan.requests[open.request].check, data);
        }
    }

    fn end(&mut self, keep_alive: bool) {
        let Some(open) = self.open.pop_front() else { return };
        self.closing |= !keep_alive;
        match self.open.front() {
            Some(next) => self.expect_answer_to(next.sent),
            None => self.slot.set_deadline(NEVER),
        }
        self.record_answer(open);
        let core = &self.core;
        core.in_flight.set(core.in_flight.get() - 1);
        core.answers.set(core.answers.get() + 1);
        core.last_result.set(self.now);
        self.slot.answers.set(self.slot.answers.get() + 1);
    }
}
