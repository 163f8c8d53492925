//! A session whose datagrams go through another proxy (`tunneling_config`): the tunnel, and what
//! waits for it.
//!
//! A datagram that cannot go now waits within the bounds of `buffer_options`, or is lost, as it
//! may be on any link.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll};

use ringway_http::RequestHead;
use ringway_http::capsule::{self, PAYLOAD_MAX};
use ringway_model::format::FormatContext;
use ringway_model::stats::UdpClusterStats;
use ringway_model::stream::{ConnectionInfo, ResponseFlags, StreamInfo};
use ringway_model::udp::{UdpProxy, UdpTunneling};
use ringway_runtime::buffer::{self, Buf, Class};

use super::session::TURN_MAX;
use crate::upstream::{Host, NoConnection, Tunnel, Upstream};
use crate::wire::copied;
use crate::worker::Worker;

/// What stands in front of a datagram in its capsule takes less.
const HEADER_ROOM: usize = 16;

/// The way of a session through another proxy.
pub(super) struct Tunnelled {
    upstream: Rc<Upstream>,
    stats: Rc<UdpClusterStats>,
    /// `None` until the other proxy has accepted it, and when it has ended.
    open: RefCell<Option<Open>>,
    waiting: RefCell<Waiting>,
    attempts: Cell<u32>,
    flags: Cell<ResponseFlags>,
    failure: RefCell<Option<Cow<'static, str>>>,
}

struct Open {
    tunnel: Tunnel,
    decoder: capsule::Decoder,
}

/// Datagrams that wait as they will be sent, the oldest first.
#[derive(Default)]
struct Waiting {
    datagrams: VecDeque<Buf>,
    bytes: usize,
}

/// What is told of the tunnel in the session's line.
pub(super) struct Told {
    pub(super) attempts: u32,
    pub(super) flags: ResponseFlags,
    pub(super) failure: Option<Cow<'static, str>>,
}

impl Tunnelled {
    pub(super) fn new(upstream: &Rc<Upstream>, stats: &Rc<UdpClusterStats>) -> Self {
        Self {
            upstream: Rc::clone(upstream),
            stats: Rc::clone(stats),
            open: RefCell::default(),
            waiting: RefCell::default(),
            attempts: Cell::default(),
            flags: Cell::default(),
            failure: RefCell::default(),
        }
    }

    pub(super) fn told(&self) -> Told {
        let failure = self.failure.borrow().clone();
        Told { attempts: self.attempts.get(), flags: self.flags.get(), failure }
    }

    pub(super) fn flag(&self, flag: ResponseFlags) {
        let mut flags = self.flags.get();
        flags.insert(flag);
        self.flags.set(flags);
    }

    // ---- opening -------------------------------------------------------------------------------

    /// Opens the tunnel, after so many attempts as are allowed; false when there is none. Each
    /// attempt after the first looks for a host of its own, of which `tries` is told.
    pub(super) async fn connect(
        &self,
        worker: &Rc<Worker>,
        proxy: &UdpProxy,
        connection: &ConnectionInfo,
        first: Rc<Host>,
        tries: impl Fn(&Rc<Host>),
    ) -> bool {
        let Some(tunneling) = &proxy.tunneling else { return false };
        let stats = &self.upstream.cluster.policy.stats;
        let mut host = Some(first);
        for attempt in 0..tunneling.max_connect_attempts {
            if attempt > 0 {
                if let Some(backoff) = tunneling.backoff {
                    ringway_runtime::sleep(backoff.pause(attempt - 1, worker.random())).await;
                }
                host = self.upstream.pick(worker, None).map(Rc::clone);
            }
            let Some(host) = &host else {
                worker.page.inc(stats.upstream_cx_none_healthy);
                self.flag(ResponseFlags::NO_HEALTHY_UPSTREAM);
                break;
            };
            self.attempts.set(attempt + 1);
            tries(host);
            match self.attempt(worker, tunneling, connection, host).await {
                Ok(tunnel) => {
                    worker.page.inc(self.stats.sess_tunnel_success);
                    let decoder = capsule::Decoder::default();
                    *self.open.borrow_mut() = Some(Open { tunnel, decoder });
                    return true;
                }
                Err(NoConnection::Overflow) => {
                    self.flag(ResponseFlags::UPSTREAM_OVERFLOW);
                    worker.page.inc(self.stats.sess_tunnel_failure);
                    return false;
                }
                Err(failure) => self.note(failure),
            }
        }
        worker.page.inc(self.stats.sess_tunnel_failure);
        if self.attempts.get() >= tunneling.max_connect_attempts {
            worker.page.inc(stats.upstream_cx_connect_attempts_exceeded);
            self.flag(ResponseFlags::UPSTREAM_RETRY_LIMIT_EXCEEDED);
        }
        false
    }

    async fn attempt(
        &self,
        worker: &Worker,
        tunneling: &UdpTunneling,
        connection: &ConnectionInfo,
        host: &Rc<Host>,
    ) -> Result<Tunnel, NoConnection> {
        let info = StreamInfo::new(connection.start, worker.wall_clock(connection.start));
        let cx = FormatContext::new(&info, connection);
        let mut request = RequestHead::new();
        tunneling.write_request(host.scheme(), &cx, &mut request);
        host.open_tunnel(&self.upstream, &request, None).await
    }

    fn note(&self, failure: NoConnection) {
        let reason = match failure {
            NoConnection::Overflow => return,
            NoConnection::Failed(failure) => failure.transport,
            NoConnection::Refused(head) => format!("tunnel_response:{}", head.status).into(),
        };
        *self.failure.borrow_mut() = Some(reason);
        self.flag(ResponseFlags::UPSTREAM_CONNECTION_FAILURE);
    }

    // ---- datagrams -----------------------------------------------------------------------------

    /// Takes a datagram of the client: it goes with what the task of the session sends next.
    pub(super) fn push(&self, worker: &Worker, tunneling: &UdpTunneling, payload: Buf) {
        let ready = self.waiting.borrow().datagrams.is_empty()
            && self.open.borrow_mut().as_mut().is_some_and(|open| has_room(&open.tunnel));
        let data = if tunneling.capsules { encoded(&payload) } else { payload };
        if ready {
            if let Some(open) = &mut *self.open.borrow_mut() {
                open.tunnel.push(data);
            }
            return;
        }
        let (mut waiting, buffer) = (self.waiting.borrow_mut(), tunneling.buffer);
        if buffer.max_datagrams == 0 {
            return;
        }
        // As in Envoy, they wait as they will be sent.
        let bytes = waiting.bytes + data.len();
        if waiting.datagrams.len() >= buffer.max_datagrams || bytes > buffer.max_bytes {
            worker.page.inc(self.stats.sess_tunnel_buffer_overflow);
            return;
        }
        waiting.bytes = bytes;
        waiting.datagrams.push_back(data);
    }

    /// Sends what waits and receives what has come, which `heard` is told; `Ready` when the tunnel
    /// has ended.
    pub(super) fn poll(
        &self,
        cx: &mut Context<'_>,
        tunneling: &UdpTunneling,
        mut heard: impl FnMut(Buf),
    ) -> Poll<()> {
        let mut open = self.open.borrow_mut();
        let Some(Open { tunnel, decoder }) = &mut *open else { return Poll::Ready(()) };
        self.send_waiting(tunnel);
        if let Poll::Ready(Err(())) = tunnel.poll_flush(cx) {
            return Poll::Ready(());
        }
        for _ in 0..TURN_MAX {
            let data = match tunnel.poll_receive(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(data)) if !data.is_empty() => data,
                // Its end, or its failure.
                Poll::Ready(_) => return Poll::Ready(()),
            };
            if !tunneling.capsules {
                heard(data);
            } else if let Err(error) = decoder.feed(&data, |payload| heard(copied(payload))) {
                tracing::debug!(target: "filter", "the tunnel ends: {error}");
                return Poll::Ready(());
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn send_waiting(&self, tunnel: &mut Tunnel) {
        let mut waiting = self.waiting.borrow_mut();
        while has_room(tunnel)
            && let Some(data) = waiting.datagrams.pop_front()
        {
            waiting.bytes -= data.len();
            tunnel.push(data);
        }
    }

    /// Ends the tunnel.
    pub(super) fn close(&self) {
        self.open.take();
    }
}

/// Whether more may wait to be sent than waits now.
fn has_room(tunnel: &Tunnel) -> bool {
    tunnel.queued_bytes() < tunnel.queue_max().min(tunnel.policy().buffer_limit)
}

/// The capsule of a datagram; the kernel hands out no larger ones.
fn encoded(payload: &[u8]) -> Buf {
    let payload = &payload[..payload.len().min(PAYLOAD_MAX)];
    let mut bytes = buffer::take(Class::fitting(payload.len() + HEADER_ROOM));
    capsule::encode(payload, &mut bytes);
    Buf::new(bytes)
}
