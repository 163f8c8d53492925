//! The requests and answers of one connection.
//!
//! Everything a request meets between its due time and its record happens in one poll function,
//! without a lock, a timer or an allocation.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use ringway_http::h2::{ErrorCode, MessageError};

use super::open::{Open, OpenRequests};
use super::{Core, NEVER, Phase, Slot, dial};
use crate::check::{Verdict, Wrong, grpc};
use crate::link::Link;
use crate::protocol::{Answers, Engine, Malformed};
use crate::record::Failure;
use crate::units::nanoseconds;

/// Why a connection is over, when it did not end as agreed.
pub(super) type Lost = (Failure, String);

/// Requests from the oldest without an answer to the last: what overtakes a missing answer is
/// bounded, and datagrams have as many numbers.
const SPAN_MAX: usize = 1 << 16;

/// Sends what is queued, and says whether sending failed.
fn sent(link: &mut Link, cx: &mut Context<'_>) -> Result<(), Lost> {
    match link.poll_send(cx) {
        Poll::Ready(Err(error)) => Err((dial::loss(&error), error.to_string())),
        _ => Ok(()),
    }
}

/// The requests and answers of a slot.
pub(super) struct Exchange {
    core: Rc<Core>,
    slot: Rc<Slot>,
    /// Taken, but not yet sent, or refused by a connection that ends: at most a pipeline.
    pending: VecDeque<Due>,
    open: OpenRequests,
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
    pub(super) fn new(core: Rc<Core>, slot: Rc<Slot>) -> Self {
        Self {
            core,
            slot,
            pending: VecDeque::new(),
            open: OpenRequests::default(),
            sent_on_this: 0,
            closing: false,
            now: 0,
        }
    }

    /// Waits without a connection until there is a request to send; false when the run is over.
    pub(super) async fn wait_for_request(&mut self) -> bool {
        poll_fn(|cx| {
            self.slot.wake_me(cx);
            self.now = self.core.now();
            if self.pending.is_empty() {
                let due = self.next_due();
                self.pending.extend(due);
            }
            match self.core.phase.get() {
                _ if !self.pending.is_empty() => Poll::Ready(true),
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
    pub(super) async fn converse(&mut self, mut link: Link) -> Result<(), Lost> {
        let mut engine = Engine::new(self.core.plan.lanes[self.slot.lane].protocol);
        self.sent_on_this = 0;
        self.closing = false;
        // Numbers begin anew on each connection; what was open on the last one is over.
        drop(self.open.reset());
        let result = poll_fn(|cx| self.poll(&mut link, &mut engine, cx)).await;
        self.slot.set_deadline(NEVER);
        result
    }

    fn poll(
        &mut self,
        link: &mut Link,
        engine: &mut Engine,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Lost>> {
        self.slot.wake_me(cx);
        self.now = self.core.now();
        if self.slot.has_expired() {
            self.expire(engine)?;
        }
        loop {
            self.send(link, engine);
            if self.is_over() {
                leave(link, engine, cx);
                return Poll::Ready(Ok(()));
            }
            sent(link, cx)?;
            let Poll::Ready(received) = link.poll_receive(cx) else { return Poll::Pending };
            self.now = self.core.now();
            match received {
                Ok(bytes) if bytes.is_empty() => {
                    return Poll::Ready(sent(link, cx).and_then(|()| self.ended(engine)));
                }
                Ok(bytes) => {
                    self.core.record.borrow_mut().bytes_received += bytes.len() as u64;
                    engine.receive(&bytes, self).map_err(|malformed| {
                        // What HTTP/2 says to a peer that broke its rules.
                        leave(link, engine, cx);
                        self.broken(malformed)
                    })?;
                }
                Err(_) if self.open.is_empty() && self.pending.is_empty() => {
                    return Poll::Ready(Ok(()));
                }
                Err(error) => {
                    return Poll::Ready(Err((dial::loss(&error), error.to_string())));
                }
            }
        }
    }

    /// The oldest answer took too long: where others can still come, they may.
    fn expire(&mut self, engine: &mut Engine) -> Result<(), Lost> {
        let text = format!("no answer to {} in time", self.oldest());
        let sent_by = self.now.saturating_sub(nanoseconds(self.core.plan.timeout));
        for number in self.open.sent_by(sent_by) {
            if !engine.cancel(number) {
                return Err((engine.overdue(), text));
            }
            self.open.select(number);
            self.fail_one(engine.overdue(), || text.clone());
        }
        Ok(())
    }

    /// Nothing is open, and nothing more will be sent on this connection.
    fn is_over(&self) -> bool {
        let nothing_left = || self.pending.is_empty() && self.core.phase.get() == Phase::Stopping;
        self.open.is_empty() && (self.closing || nothing_left())
    }

    /// Whether one more request fits the pipeline, and what waits behind a missing answer.
    fn has_room(&self, engine: &Engine) -> bool {
        let fits = self.open.len() < self.core.plan.pipeline && self.open.span() < SPAN_MAX;
        fits && engine.room() > 0
    }

    /// Queues what is due, as far as the pipeline allows.
    fn send(&mut self, link: &mut Link, engine: &mut Engine) {
        self.closing |= engine.is_leaving();
        while !self.closing && self.has_room(engine) {
            let Some(due) = self.pending.pop_front().or_else(|| self.next_due()) else { break };
            self.sent_on_this += 1;
            let core = &self.core;
            let last = Some(self.sent_on_this) == core.plan.requests_per_connection;
            let request = core.pick(self.slot.lane);
            let mut verdict = Verdict::default();
            let bytes = engine.request(
                &core.plan.requests[request],
                &mut core.filler.borrow_mut(),
                (self.slot.number as u64, last),
                &mut verdict,
                link,
            );
            let Some(bytes) = bytes else {
                // It goes on the next connection.
                self.pending.push_front(due);
                self.closing = true;
                break;
            };
            self.closing = last;
            self.record_sent(due, bytes as u64);
            if self.open.is_empty() {
                self.expect_answer_to(self.now);
            }
            self.open.push(Open { request, due: due.at, sent: self.now, verdict });
        }
        if engine.has_own_output() {
            let out = link.tail();
            let before = out.len();
            engine.transmit(out);
            self.core.record.borrow_mut().bytes_sent += (out.len() - before) as u64;
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
        let open = self.open.oldest();
        open.map_or("nothing", |open| &self.core.plan.requests[open.request].name)
    }

    /// The connection is lost, and with it every request that was on it.
    pub(super) fn fail_all(&mut self, failure: Failure, text: &str) {
        let pending = self.pending.drain(..).map(|due| due.at);
        let lost = self.open.reset().chain(pending);
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

    /// The current request is lost, and no other.
    fn fail_one(&mut self, failure: Failure, text: impl FnOnce() -> String) {
        let Some(open) = self.take_current() else { return };
        if self.core.is_measured(open.due) {
            self.core.record.borrow_mut().failures.add(failure, text);
        }
        self.core.in_flight.set(self.core.in_flight.get() - 1);
        self.core.last_result.set(self.now);
    }

    /// The current request is over.
    fn take_current(&mut self) -> Option<Open> {
        let open = self.open.take()?;
        match self.open.oldest().map(|next| next.sent) {
            Some(sent) => self.expect_answer_to(sent),
            None => self.slot.set_deadline(NEVER),
        }
        Some(open)
    }

    fn record_answer(&mut self, open: &mut Open) {
        let core = &self.core;
        let request = &core.plan.requests[open.request];
        let result = open.verdict.end(&request.check);
        if !core.is_measured(open.due) {
            return;
        }
        let mut record = core.record.borrow_mut();
        record.status(open.verdict.status());
        if let Err(wrong) = result {
            record.failures.add(failure(wrong), || format!("{wrong} to {}", request.name));
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

/// The goodbye of a client that closes; that it arrives is not worth waiting for.
fn leave(link: &mut Link, engine: &mut Engine, cx: &mut Context<'_>) {
    if engine.has_own_output() {
        engine.leave(link.tail());
    }
    link.say_end();
    let _ = link.poll_send(cx);
}

fn failure(wrong: Wrong) -> Failure {
    match wrong {
        Wrong::Status(_) => Failure::WrongStatus,
        Wrong::Grpc(grpc::Wrong::Status(_)) => Failure::WrongGrpcStatus,
        _ => Failure::WrongBody,
    }
}

impl Answers for Exchange {
    #[inline]
    fn oldest_is_head(&self) -> Option<bool> {
        self.open.oldest().map(|open| self.core.plan.requests[open.request].is_head)
    }

    #[inline]
    fn select(&mut self, number: u32) -> bool {
        self.open.select(number)
    }

    #[inline]
    fn head(&mut self, status: u16) {
        if let Some(open) = self.open.current_mut() {
            open.verdict.begin(&self.core.plan.requests[open.request].check, status);
        }
    }

    #[inline]
    fn data(&mut self, data: &[u8]) {
        if let Some(open) = self.open.current_mut() {
            open.verdict.data(&self.core.plan.requests[open.request].check, data);
        }
    }

    fn grpc_status(&mut self, status: Option<u32>) {
        if let Some(open) = self.open.current_mut() {
            open.verdict.grpc_status(status);
        }
    }

    #[inline]
    fn end(&mut self, keep_alive: bool) {
        let Some(mut open) = self.take_current() else { return };
        self.closing |= !keep_alive;
        self.record_answer(&mut open);
        let core = &self.core;
        core.in_flight.set(core.in_flight.get() - 1);
        core.answers.set(core.answers.get() + 1);
        core.last_result.set(self.now);
        self.slot.answers.set(self.slot.answers.get() + 1);
    }

    fn not_processed(&mut self) {
        self.closing = true;
        if let Some(open) = self.take_current() {
            self.pending.push_back(Due { at: open.due, by_clock: false });
        }
    }

    fn reset(&mut self, code: ErrorCode, error: Option<MessageError>) {
        let Some(open) = self.open.current_mut() else { return };
        let name = open.request;
        let plan = std::sync::Arc::clone(&self.core.plan);
        let text = || match error {
            Some(error) => format!("{error}, on {}", plan.requests[name].name),
            None => format!("{code:?}, on {}", plan.requests[name].name),
        };
        let failure = match error {
            Some(_) => Failure::Malformed,
            None => Failure::StreamReset,
        };
        self.fail_one(failure, text);
    }
}
