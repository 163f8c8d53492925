//! One HTTP/1 connection to an endpoint.

use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use ringway_bridge::stats::{CounterId, Page};
use ringway_http::h1::{ResponseDecoder, ResponseLimits};
use ringway_http::{Body, ResponseHead};
use ringway_model::cluster::ClusterPolicy;
use ringway_model::stats::EndpointStats;
use std::sync::Arc;

use super::leases::Unit;
use crate::transport::Transport;
use crate::wire::Wire;

/// A connection, in use or idle. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) wire: Wire<ResponseDecoder>,
    /// Requests sent on it.
    served: u32,
    opened: Instant,
    /// Our own address on it.
    pub(crate) local: Option<SocketAddr>,
    /// Since when it waits in the pool.
    pub(super) idle_since: Instant,
    /// A request is on it that has not been answered completely.
    in_use: bool,
    /// Who is to blame for its end.
    closed_by_peer: bool,
    /// What of `transferred` was counted already.
    counted: (u64, u64),
    tally: Rc<Tally>,
    /// `None` for the one connection that an endpoint may have beyond the breaker.
    _unit: Option<Unit>,
}

/// Where a connection of a cluster is counted.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) page: Arc<Page>,
    pub(super) policy: Arc<ClusterPolicy>,
    pub(super) endpoint: EndpointStats,
}

impl Connection {
    pub(super) fn new(
        stream: Transport,
        tally: Rc<Tally>,
        unit: Option<Unit>,
        opened: Instant,
    ) -> Self {
        let policy = &tally.policy;
        let limits = ResponseLimits {
            max_head_bytes: policy.max_response_head_bytes,
            max_fields: policy.max_response_headers,
            enable_trailers: policy.enable_trailers,
            ..ResponseLimits::default()
        };
        let (page, stats) = (&tally.page, &policy.stats);
        page.inc(stats.upstream_cx_total);
        page.inc(stats.upstream_cx_http1_total);
        page.raise(stats.upstream_cx_active, 1);
        page.inc(tally.endpoint.cx_total);
        page.raise(tally.endpoint.cx_active, 1);
        Self {
            local: stream.local_address(),
            wire: Wire::new(stream, ResponseDecoder::new(limits)),
            served: 0,
            opened,
            idle_since: opened,
            in_use: false,
            closed_by_peer: false,
            counted: (0, 0),
            tally,
            _unit: unit,
        }
    }

    /// A request begins.
    pub(crate) fn begin(&mut self) {
        self.served += 1;
        self.in_use = true;
    }

    /// The response is complete, and so is the request: adds up what was transferred. Whether the
    /// connection may serve another request.
    pub(super) fn finish(&mut self, now: Instant) -> bool {
        self.in_use = false;
        self.idle_since = now;
        self.count_bytes();
        self.wire.stream.relax();
        if !self.wire.decoder.keep_alive() {
            self.note_farewell();
            return false;
        }
        self.wire.decoder.is_idle() && !self.has_surplus() && !self.is_worn(now)
    }

    /// The response was the last of this connection: it said so, or it ended with it.
    fn note_farewell(&mut self) {
        match self.wire.decoder.body() {
            Body::UntilClose => self.closed_by_peer = true,
            _ => self.tally.page.inc(self.tally.policy.stats.upstream_cx_close_notify),
        }
    }

    /// Whether the peer sent what nobody asked for.
    fn has_surplus(&self) -> bool {
        let surplus = self.wire.has_input();
        if surplus {
            self.tally.page.inc(self.tally.policy.stats.upstream_cx_protocol_error);
        }
        surplus
    }

    /// Whether `max_requests_per_connection` or `max_connection_duration` ends it.
    fn is_worn(&self, now: Instant) -> bool {
        let (page, policy) = (&self.tally.page, &self.tally.policy);
        if policy.max_requests_per_connection.is_some_and(|max| self.served >= max) {
            page.inc(policy.stats.upstream_cx_max_requests);
            return true;
        }
        let too_old = |max| now.duration_since(self.opened) >= max;
        if policy.max_connection_duration.is_some_and(too_old) {
            page.inc(policy.stats.upstream_cx_max_duration_reached);
            return true;
        }
        false
    }

    /// Whether an idle connection can be used: nothing has been received on it, since a peer has
    /// nothing to say but goodbye. Leaves `waker` to be woken when that changes.
    pub(super) fn is_alive(&mut self, waker: &Waker) -> bool {
        let mut cx = Context::from_waker(waker);
        let gone = self.wire.poll_gone(&mut cx).is_ready();
        self.closed_by_peer |= gone;
        !gone && !self.has_surplus()
    }

    /// Notes that the peer closed it.
    pub(crate) fn note_peer_close(&mut self) {
        self.closed_by_peer = true;
    }

    /// Counts in this cluster's statistics.
    pub(crate) fn count(&self, id: impl FnOnce(&ringway_model::stats::ClusterStats) -> CounterId) {
        self.tally.page.inc(id(&self.tally.policy.stats));
    }

    /// Counts an answer for the endpoint, by what it says of itself.
    pub(crate) fn count_answer(&self, good: bool) {
        let stats = &self.tally.endpoint;
        self.tally.page.inc(if good { stats.rq_success } else { stats.rq_error });
    }

    /// Waits for the next event of the response.
    pub(crate) fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<crate::wire::Event, crate::wire::Broken<ringway_http::ResponseError>>> {
        self.wire.poll_event(cx, head)
    }

    fn count_bytes(&mut self) {
        let (received, sent) = self.wire.stream.transferred();
        let (page, stats) = (&self.tally.page, &self.tally.policy.stats);
        page.add(stats.upstream_cx_rx_bytes_total, received - self.counted.0);
        page.add(stats.upstream_cx_tx_bytes_total, sent - self.counted.1);
        self.counted = (received, sent);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.count_bytes();
        let (page, stats) = (&self.tally.page, &self.tally.policy.stats);
        page.lower(stats.upstream_cx_active, 1);
        page.lower(self.tally.endpoint.cx_active, 1);
        page.inc(stats.upstream_cx_destroy);
        page.record(stats.upstream_cx_length_ms, self.opened.elapsed().as_millis() as u64);
        let (by, with_request) = if self.closed_by_peer {
            (stats.upstream_cx_destroy_remote, stats.upstream_cx_destroy_remote_with_active_rq)
        } else {
            (stats.upstream_cx_destroy_local, stats.upstream_cx_destroy_local_with_active_rq)
        };
        page.inc(by);
        if self.in_use {
            page.inc(stats.upstream_cx_destroy_with_active_rq);
            page.inc(with_request);
        }
    }
}
