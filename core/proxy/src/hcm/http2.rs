//! A downstream connection that speaks HTTP/2: when it begins streams, and when it ends. What
//! serves a stream is in `stream`.

mod stream;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ringway_http::Version;
use ringway_http::h2::ErrorCode;
use ringway_runtime::buffer::Buf;
use ringway_runtime::deadline::Deadline;

use self::stream::{Http2, Job, Shared, serve_streams};
use super::binding::Binding;
use super::downstream::Downstream;
use super::farewell::linger;
use super::seat::Seats;
use crate::http2::{Accepted, Counts, Driver, Over, Turn};
use crate::transport::Transport;

/// How long a connection without streams may stay when the worker or its listener is going away.
const DRAIN_GRACE: Duration = Duration::from_secs(1);
/// How long a connection without streams keeps what makes the next one cheap.
const REST: Duration = Duration::from_millis(100);

/// A connection while it lasts.
struct Connection {
    driver: Driver,
    shared: Rc<Shared>,
    deadline: Deadline,
    /// Streams taken.
    served: u32,
    /// Since when no stream is open.
    idle_since: Option<Instant>,
    /// Since when it is going away.
    leaving_since: Option<Instant>,
    /// Since when the client owes the rest of a head.
    head_since: Option<Instant>,
    /// The last GOAWAY was said.
    said_last: bool,
    /// What an idle connection does not need was given back.
    resting: bool,
}

/// What is due at some time.
#[derive(Debug, Clone, Copy)]
enum Due {
    /// No stream for a while.
    Rest,
    /// `max_connection_duration`
    Leave,
    /// `drain_timeout` after the first GOAWAY.
    LastGoaway,
    /// `request_headers_timeout`, or that of an idle stream.
    Late,
    /// `idle_timeout`, or the end of what was left to do.
    End,
}

/// Serves a connection to its end. `input` was received already.
pub(super) async fn serve(binding: Binding, transport: Transport, input: Buf) {
    let mut connection = Connection::new(binding, transport, input);
    let over = std::future::poll_fn(|cx| connection.poll(cx)).await;
    connection.shared.session.end(over);
    connection.shared.seats.close();
    connection.note(over);
    let Connection { driver, shared, deadline, .. } = &mut connection;
    if !matches!(over, Over::Closed) {
        driver.say_last_words();
        let parting = shared.binding.borrow().parting();
        linger(&mut driver.transport, deadline, &parting, false).await;
    }
    let bytes = driver.transport.transferred();
    shared.binding.borrow_mut().count_bytes(bytes);
}

impl Connection {
    fn new(mut binding: Binding, transport: Transport, input: Buf) -> Self {
        let total = binding.manager.stats.downstream_cx_http2_total;
        binding.speaks(Version::Http2, total, |stats| stats.downstream_cx_http2_active);
        let manager = &binding.manager;
        let options = manager.h2_keepalive.vary(&manager.h2, binding.worker.random());
        let counts = Counts::new(&binding.worker.page, &manager.h2_stats);
        let driver = Driver::new(transport, input, counts, |now_ms| {
            ringway_http::h2::Connection::server(options, now_ms)
        });
        let shared = Shared {
            session: Rc::clone(&driver.session),
            binding: RefCell::new(binding),
            seats: Seats::default(),
        };
        Self {
            driver,
            shared: Rc::new(shared),
            deadline: Deadline::new(),
            served: 0,
            idle_since: None,
            leaving_since: None,
            head_since: None,
            said_last: false,
            resting: false,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Over> {
        while let Poll::Ready(turn) = self.driver.poll(cx) {
            match turn {
                Turn::Opened(accepted) => self.begin(accepted),
                Turn::Refused => self.refused(),
                Turn::Leaving => {}
                Turn::Over(over) => return Poll::Ready(over),
            }
        }
        let bytes = self.driver.transport.transferred();
        self.shared.binding.borrow_mut().count_bytes(bytes);
        self.poll_end(cx)
    }

    /// A new stream: its task begins with its head.
    fn begin(&mut self, accepted: Accepted) {
        self.served += 1;
        self.idle_since = None;
        self.resting = false;
        let mut binding = self.shared.binding.borrow_mut();
        binding.follow_configuration();
        if binding.is_worn(self.served) {
            self.shared.session.announce_leaving();
        }
        let manager = Rc::clone(&binding.manager);
        drop(binding);
        let job = Job { accepted, head: self.driver.take_request(), manager };
        if let Err(job) = self.shared.seats.give(job) {
            let binding = self.shared.binding.borrow();
            let (worker, info) = (Rc::clone(&binding.worker), Rc::clone(&binding.info));
            let side = Http2::new(job.accepted, Rc::clone(&self.shared));
            let down = Downstream::new(side, worker, info, Deadline::new(), binding.buffer_limit());
            ringway_runtime::spawn(serve_streams(down, job.head, job.manager));
        }
    }

    /// As in Envoy, a stream that is refused is no error of its connection.
    fn refused(&self) {
        let binding = self.shared.binding.borrow();
        binding.worker.page.inc(binding.manager.stats.downstream_rq_total);
    }

    /// Whether the connection comes to its end: nobody uses it, or nobody wants it.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Over> {
        loop {
            let now = ringway_runtime::now();
            self.note_streams(now);
            self.leave_if_wanted(now);
            if self.shared.session.is_done() {
                return Poll::Ready(Over::Done);
            }
            let Some((at, due)) = self.next_due() else {
                self.deadline.set(None);
                return Poll::Pending;
            };
            self.deadline.set(Some(at));
            if self.deadline.poll(cx).is_pending() {
                return Poll::Pending;
            }
            match due {
                Due::Rest => self.rest(),
                Due::Leave => {
                    self.count_old_age();
                    self.leave(now);
                }
                Due::LastGoaway => self.say_last(),
                Due::Late => {
                    self.count_late_head();
                    self.say_last();
                    return Poll::Ready(Over::Done);
                }
                Due::End => {
                    self.count_idle_timeout();
                    self.say_last();
                    return Poll::Ready(Over::Done);
                }
            }
        }
    }

    fn note_streams(&mut self, now: Instant) {
        let owes = self.shared.session.is_mid_head();
        self.head_since = owes.then(|| self.head_since.unwrap_or(now));
        if self.shared.session.open_streams() > 0 {
            self.idle_since = None;
            self.resting = false;
        } else if self.idle_since.is_none() {
            self.idle_since = Some(now);
            self.driver.transport.relax();
        }
    }

    /// Gives back what an idle connection does not need.
    fn rest(&mut self) {
        self.resting = true;
        self.shared.seats.dismiss();
        self.shared.session.shrink();
    }

    fn leave_if_wanted(&mut self, now: Instant) {
        let wanted = self.shared.binding.borrow().ending_since().is_some();
        if self.leaving_since.is_none() && (wanted || self.shared.session.is_leaving()) {
            self.leave(now);
        }
    }

    /// The first of the two GOAWAY frames (RFC 9113 section 6.8).
    fn leave(&mut self, now: Instant) {
        self.leaving_since = Some(now);
        self.shared.session.announce_leaving();
    }

    /// The second: streams that the client opens from here are ignored.
    fn say_last(&mut self) {
        self.said_last = true;
        self.shared.session.go_away(ErrorCode::NoError);
    }

    /// What time brings next.
    fn next_due(&self) -> Option<(Instant, Due)> {
        let binding = self.shared.binding.borrow();
        let timeouts = &binding.manager.timeouts;
        let (leaving, idle) = (self.leaving_since, self.idle_since);
        let leave = binding.oldest_end().filter(|_| leaving.is_none()).map(|at| (at, Due::Leave));
        let last = leaving.filter(|_| !self.said_last);
        let last = last.map(|since| (since + timeouts.drain, Due::LastGoaway));
        let unused = idle.and_then(|since| binding.idle_end(since));
        let drained = idle.zip(leaving).map(|(idle, leaving)| idle.max(leaving) + DRAIN_GRACE);
        let end = [unused, drained].into_iter().flatten().min().map(|at| (at, Due::End));
        let head = timeouts.request_headers.or_else(|| binding.stream_idle());
        let late = self.head_since.zip(head).map(|(since, head)| (since + head, Due::Late));
        let rest = idle.filter(|_| !self.resting).map(|since| (since + REST, Due::Rest));
        [rest, leave, last, late, end].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    fn count_late_head(&self) {
        let binding = self.shared.binding.borrow();
        binding.worker.page.inc(binding.manager.stats.downstream_rq_header_timeout);
    }

    fn count_old_age(&self) {
        let binding = self.shared.binding.borrow();
        binding.worker.page.inc(binding.manager.stats.downstream_cx_max_duration_reached);
    }

    fn count_idle_timeout(&self) {
        let binding = self.shared.binding.borrow();
        if self.leaving_since.is_none() {
            binding.worker.page.inc(binding.manager.stats.downstream_cx_idle_timeout);
        }
    }

    /// Counts how the connection ended.
    fn note(&self, over: Over) {
        let mut binding = self.shared.binding.borrow_mut();
        let page = Arc::clone(&binding.worker.page);
        let manager = Rc::clone(&binding.manager);
        let (stats, cut) = (&manager.stats, self.shared.session.has_cut_streams());
        if cut {
            page.inc(stats.downstream_cx_destroy_active_rq);
        }
        match over {
            Over::Closed => {
                binding.note_peer_close();
                if cut {
                    page.inc(stats.downstream_cx_destroy_remote_active_rq);
                }
            }
            Over::Failed(error) if error.is_protocol_error() => {
                page.inc(stats.downstream_cx_protocol_error);
            }
            Over::Done | Over::Failed(_) => {}
        }
    }
}
