//! From a route to an upstream connection: cluster, endpoint, circuit breakers, request head.

use std::rc::Rc;
use std::task::{Poll, ready};

use ringway_http::decimal::decimal;
use ringway_http::{Body, Known, Method, ResetReason};
use ringway_model::cluster::ClusterId;
use ringway_model::dns::Authority;
use ringway_model::format::FormatContext;
use ringway_model::original_dst::Bound;
use ringway_model::overload::Timer;
use ringway_model::route::{ClusterTarget, ConnectEnd, Forward, HashSubject, Priority, hash_of};
use ringway_model::stream::{LocalReply, ResponseFlags};

use super::exchange::{Ended, Exchange};
use super::pump::Pump;
use super::sides::{ClientSide, Failure, Lost, ServerSide};
use super::timers::Expired;
use crate::tell::{Lines, Text, about_stream, is_wanted};
use crate::upstream::{
    Acquired, Carrier, Client, ConnectFailure, Host, HostsFrom, InFlight, Named, NoName, Pool,
    Reserved, Ticket, Upstream,
};

/// Connections that are asked for, when one after the other has gone before it was used.
const ACQUIRE_MAX: u32 = 3;
/// The details of a request whose client did not take what it was sent.
const OVERDUE: &str = "downstream_local_disconnect(buffer_high_watermark_timeout_reached)";
/// The details of a reply where the balancer has found nobody.
const NO_HOST: NoName = NoName::Borrowed("no_healthy_upstream");

impl<C: ClientSide> Exchange<'_, C> {
    /// Forwards the request and its response.
    pub(super) async fn forward(&mut self, forward: &Forward) -> Result<(), Ended> {
        let Some(upstream) = self.upstream.clone() else { return Err(self.no_cluster(forward)) };
        self.set_timers(forward);
        self.prepare_upstream_head(forward);
        let host = match upstream.hosts_from() {
            HostsFrom::Balancer => {
                let hash = self.hash(forward, &upstream);
                let picked = upstream.pick(&self.down.worker, hash).map(Rc::clone);
                picked.ok_or_else(|| self.no_host(&upstream))
            }
            HostsFrom::Authority(port) => self.named_host(&upstream, port).await,
            HostsFrom::Destination(original) => {
                let (connection, notes) = (&self.down.info, self.info.notes.as_deref());
                let bound = Bound { connection, notes, request: Some(&self.down.request) };
                let host = upstream.destined(&self.down.worker, original, &bound);
                host.ok_or_else(|| self.nobody(&upstream, NO_HOST))
            }
        };
        let (host, result) = match host {
            Ok(host) => {
                let result = self.attempt(forward, &upstream, &host).await;
                (Some(host), result)
            }
            Err(ended) => (None, Err(ended)),
        };
        if let Err(Ended::Reply(reply)) = &result {
            self.charge(reply, &upstream, host.as_deref());
        }
        result
    }

    /// The host that the request names.
    async fn named_host(&mut self, upstream: &Rc<Upstream>, port: u16) -> Result<Rc<Host>, Ended> {
        let worker = &self.down.worker;
        let authority = Authority::new(self.down.request.authority(), port);
        let mut asking = match upstream.named(worker, &authority) {
            Named::Host(host) => return Ok(host),
            Named::Nobody(reason) => return Err(self.nobody(upstream, reason)),
            Named::Asked(asking) => asking,
        };
        let outcome = std::future::poll_fn(|cx| match asking.as_mut().poll(cx) {
            Poll::Ready(outcome) => {
                self.down.now = ringway_runtime::now();
                Poll::Ready(Ok(outcome))
            }
            Poll::Pending => self.poll_impatience(cx, Some(upstream)).map(Err),
        })
        .await?;
        let authority = Authority::new(self.down.request.authority(), port);
        let host = upstream.host_at(&self.down.worker, &authority, outcome);
        host.map_err(|reason| self.nobody(upstream, reason))
    }

    /// What the request is hashed by, if that counts. A client may get a cookie for it.
    fn hash(&mut self, forward: &Forward, upstream: &Upstream) -> Option<u64> {
        if forward.hash.is_empty() || !upstream.hashes() {
            return None;
        }
        let connection = &self.down.info;
        let subject = HashSubject {
            remote: self.info.remote.or_else(|| connection.remote().ip()),
            ends: (connection.remote(), &connection.local),
        };
        let cookies = &mut self.cookies;
        hash_of(&forward.hash, &self.down.request, &subject, |cookie| cookies.push(cookie))
    }

    /// Counts a reply of the router in place of the upstream's answer.
    fn charge(&self, reply: &LocalReply, upstream: &Upstream, host: Option<&Host>) {
        let late = reply.flag == ResponseFlags::UPSTREAM_REQUEST_TIMEOUT;
        if let Some(host) = host.filter(|_| late) {
            host.count_timeout();
        }
        // As in Envoy, an upstream that has given a hint has answered.
        if self.response_started || self.hinted || !is_of_the_router(reply) {
            return;
        }
        upstream.count_status(&self.down.worker, reply.status, self.internal);
        if let Some(host) = host {
            host.count_failure();
        }
    }

    fn no_host(&mut self, upstream: &Upstream) -> Ended {
        self.down.worker.page.inc(upstream.cluster.policy.stats.upstream_cx_none_healthy);
        self.nobody(upstream, NO_HOST)
    }

    fn nobody(&mut self, upstream: &Upstream, details: NoName) -> Ended {
        self.info.attempts += 1;
        about_stream!(debug, "upstream", self, "no healthy host in cluster '{}'", upstream.name);
        let reply = LocalReply::new(503, details).body("no healthy upstream");
        Ended::Reply(Box::new(reply.flag(ResponseFlags::NO_HEALTHY_UPSTREAM)))
    }

    /// The cluster that serves the request, if this generation has it.
    pub(super) fn find_cluster(&self, forward: &Forward) -> Option<Rc<Upstream>> {
        let id = match forward.target(self.weighted, &self.down.request) {
            ClusterTarget::Named(cluster) => Some(cluster.id),
            ClusterTarget::Dynamic(name) => self.cluster_by_name(name),
            ClusterTarget::Missing => None,
        };
        self.down.worker.upstream(id?)
    }

    fn no_cluster(&self, forward: &Forward) -> Ended {
        self.down.worker.page.inc(self.manager.stats.no_cluster);
        about_stream!(debug, "router", self, "unknown cluster");
        let reply = LocalReply::new(forward.cluster_not_found_code, "cluster_not_found");
        Ended::Reply(Box::new(reply.flag(ResponseFlags::NO_CLUSTER_FOUND)))
    }

    fn cluster_by_name(&self, name: &[u8]) -> Option<ClusterId> {
        let name = std::str::from_utf8(name).ok()?;
        self.down.worker.snapshot.borrow().cluster_ids.get(name).copied()
    }

    fn set_timers(&mut self, forward: &Forward) {
        let now = self.down.now;
        let of_manager = self.manager.timeouts.max_stream_duration;
        let duration = forward.stream_duration(&self.down.request, of_manager);
        self.timers.response = forward.response_timeout(&self.down.request);
        if self.internal {
            self.timers.response = self.requested_timeout().unwrap_or(self.timers.response);
        }
        if let Some(idle) = forward.idle_timeout {
            let idle = self.down.worker.scaled(Timer::StreamIdle, idle);
            self.timers.set_idle(idle, now);
        }
        self.timers.set_duration(duration, self.info.start);
        if self.request_complete {
            self.timers.request_complete(now);
        } else if self.asks_for_tunnel && self.down.request.method_kind() != Method::Connect {
            self.timers.upgrade_requested(now);
        }
    }

    /// `x-envoy-upstream-rq-timeout-ms` of an internal client; 0 turns the timeout off.
    fn requested_timeout(&self) -> Option<Option<std::time::Duration>> {
        let value = self.down.request.fields.known(Known::XEnvoyUpstreamRqTimeoutMs)?;
        let millis: u64 = std::str::from_utf8(value).ok()?.parse().ok()?;
        Some((millis > 0).then(|| std::time::Duration::from_millis(millis)))
    }

    /// What the router does to the request head, in Envoy's order.
    fn prepare_upstream_head(&mut self, forward: &Forward) {
        let suppress = self.filters.router().suppress_envoy_headers;
        let down = &mut *self.down;
        down.request.fields.remove_known(Known::XEnvoyUpstreamRqTimeoutMs);
        down.request.fields.remove_known(Known::XEnvoyUpstreamRqPerTryTimeoutMs);
        if let Some(timeout) = self.timers.response.filter(|_| !suppress) {
            let (name, millis) = (Known::XEnvoyExpectedRqTimeoutMs, timeout.as_millis() as u64);
            down.request.fields.set_known(name, decimal(millis, &mut [0; 20]));
        }
        let of_manager = self.manager.timeouts.max_stream_duration;
        forward.set_grpc_timeout(&mut down.request, of_manager, self.timers.response);
        if let Some(matched) = self.matched {
            if matched.mutates_request() || self.weighted.is_some() {
                let cx = FormatContext::new(&self.info, &down.info);
                let (request, scratch) = (&mut down.request, &mut down.scratch);
                matched.apply_request_mutations(self.weighted, request, &cx, scratch);
            }
            let (request, scratch) = (&mut down.request, &mut down.scratch);
            forward.rewrite(&matched.route.matcher, self.weighted, request, suppress, scratch);
        }
    }

    /// One attempt at one endpoint.
    async fn attempt(
        &mut self,
        forward: &Forward,
        upstream: &Rc<Upstream>,
        host: &Rc<Host>,
    ) -> Result<(), Ended> {
        self.info.attempts += 1;
        self.info.upstream_host = Some(Rc::clone(&host.address_text));
        self.info.upstream_name = Some(Rc::clone(&host.name));
        about_stream!(debug, "router", self, "upstream host {}", host.address_text);
        let suppress = self.filters.router().suppress_envoy_headers;
        let hostname = &host.endpoint.hostname;
        forward.rewrite_to_endpoint(&mut self.down.request, hostname, suppress);
        let preface = host.preface(&Client::new(&self.down.info, &self.info));
        let end = self.tunnel_end(forward);
        let pool = match end {
            Some(_) => host.raw_pool(preface),
            None => host.pool(self.down.request.version(), preface),
        };
        let carrier = self.acquire(&pool, forward.priority, upstream).await?;
        // Like Envoy, asks only once there is a connection: whoever waits for one is held back by
        // `max_pending_requests`.
        let Some(unit) = upstream.leases.request(forward.priority) else {
            pool.put_back(carrier);
            let stats = &upstream.cluster.policy.stats;
            self.down.worker.page.inc(stats.upstream_rq_active_overflow);
            about_stream!(debug, "pool", self, "max streams count overflow");
            return Err(overflow());
        };
        let worker = &self.down.worker;
        let in_flight = InFlight::new(worker, Rc::clone(upstream), Rc::clone(host), unit);
        let result = self.carry(carrier, &pool, upstream, end).await;
        drop(in_flight);
        result
    }

    /// Whether what the request carries goes on as it is (`connect_config`): what comes through a
    /// CONNECT, or the body of a POST where that is allowed.
    fn tunnel_end<'f>(&self, forward: &'f Forward) -> Option<&'f ConnectEnd> {
        let end = forward.connect_end()?;
        let ends = match self.down.request.method_kind() {
            Method::Connect => self.asks_for_tunnel,
            Method::Post => end.allow_post,
            _ => false,
        };
        ends.then_some(end)
    }

    /// A connection, or a place on one. A peer that went away while the request waited has not
    /// seen it, so that another connection may be asked for.
    async fn acquire(
        &mut self,
        pool: &Rc<Pool>,
        priority: Priority,
        upstream: &Upstream,
    ) -> Result<Carrier, Ended> {
        let mut tries = ACQUIRE_MAX;
        loop {
            tries -= 1;
            let carrier = match pool.acquire(priority) {
                Acquired::Ready(carrier) => carrier,
                Acquired::Overflow => return Err(overflow()),
                Acquired::Wait(ticket) => self.wait(&ticket, upstream).await?,
            };
            match &carrier {
                Carrier::Http2(reserved) if tries > 0 && reserved.is_void() => {}
                _ => return Ok(carrier),
            }
        }
    }

    /// Sends the request by what takes it there.
    async fn carry(
        &mut self,
        carrier: Carrier,
        pool: &Rc<Pool>,
        upstream: &Rc<Upstream>,
        end: Option<&ConnectEnd>,
    ) -> Result<(), Ended> {
        let duration = upstream.cluster.policy.max_stream_duration;
        self.timers.upstream_begins(duration, self.down.now);
        self.info.upstream_sent = Some(self.elapsed());
        self.tell_upstream_head();
        if let Carrier::Http2(reserved) = &carrier
            && self.asks_for_tunnel
            && let Err(ended) = self.settle_peer(reserved, upstream).await
        {
            // Others may wait for the stream that was promised.
            pool.put_back(carrier);
            return Err(ended);
        }
        let (head, side) = (&self.down.request, &self.down.side);
        if side.body().is_empty() && !self.asks_for_tunnel {
            self.info.request_sent = self.info.upstream_sent;
        }
        match carrier {
            Carrier::Http1(mut connection) => {
                // What goes through a tunnel is no body.
                let body = match side.body() {
                    _ if self.asks_for_tunnel => Body::None,
                    // A filter changes the body, and has taken its length away.
                    Body::Length(1..)
                        if self.filters_request_bodies()
                            && !head.fields.has(Known::ContentLength) =>
                    {
                        Body::Chunked
                    }
                    body => body,
                };
                connection.send_head(head, body, side.upgrade());
                self.converse(connection, pool, upstream).await
            }
            Carrier::Raw(mut raw) => {
                if let Some(header) = end.and_then(|end| end.proxy_header.as_deref()) {
                    let client = Client::new(&self.down.info, &self.info);
                    client.write(header, &[], &self.down.worker.page, raw.head());
                }
                self.converse(raw, pool, upstream).await
            }
            Carrier::Http2(reserved) => {
                let is_end = side.body().is_empty() && !self.asks_for_tunnel;
                let opened = reserved.open(head, is_end);
                let server = opened.map_err(|failure| self.reset(failure))?;
                self.converse(server, pool, upstream).await
            }
        }
    }

    /// Waits for a connection, as long as the client waits too.
    async fn wait(&mut self, ticket: &Ticket, upstream: &Upstream) -> Result<Carrier, Ended> {
        let outcome = std::future::poll_fn(|cx| {
            if let Poll::Ready(outcome) = ticket.poll(cx) {
                self.down.now = ringway_runtime::now();
                return Poll::Ready(outcome.map_err(|failure| self.no_connection(&failure)));
            }
            let ended = ready!(self.poll_impatience(cx, Some(upstream)));
            self.down.worker.page.inc(upstream.cluster.policy.stats.upstream_rq_cancelled);
            Poll::Ready(Err(ended))
        });
        outcome.await
    }

    fn no_connection(&mut self, failure: &ConnectFailure) -> Ended {
        let details = match failure.transport.is_empty() {
            true => {
                format!("upstream_reset_before_response_started{{{}}}", failure.reason.detail())
            }
            false => format!(
                "upstream_reset_before_response_started{{{}|{}}}",
                failure.reason.detail(),
                failure.transport.replace(' ', "_")
            ),
        };
        let (reason, transport) = (failure.reason.detail(), &failure.transport);
        about_stream!(debug, "router", self, "upstream reset: {reason}, transport: {transport}");
        self.info.upstream_transport_failure = Some(failure.transport.clone());
        let reply = LocalReply::new(503, details).body(reset_body(failure.reason));
        Ended::Reply(Box::new(reply.flag(ResponseFlags::UPSTREAM_CONNECTION_FAILURE)))
    }

    /// Waits for the settings of the peer, as long as the client waits too.
    async fn settle_peer(&mut self, peer: &Reserved, upstream: &Upstream) -> Result<(), Ended> {
        let settled = std::future::poll_fn(|cx| match peer.poll_settled(cx) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => self.poll_impatience(cx, Some(upstream)).map(Err),
        });
        settled.await
    }

    fn tell_upstream_head(&self) {
        if !is_wanted() {
            return;
        }
        let head = &self.down.request;
        let (method, path) = (Text(head.method()), Text(head.path()));
        about_stream!(debug, "router", self, "request headers sent to upstream: {method} {path}");
        about_stream!(trace, "router", self, "upstream request headers:{}", Lines(&head.fields));
    }

    /// Moves bodies both ways until the response is complete.
    async fn converse<S: ServerSide>(
        &mut self,
        mut server: S,
        pool: &Rc<Pool>,
        upstream: &Rc<Upstream>,
    ) -> Result<(), Ended> {
        self.info.upstream_local = server.local_address();
        self.info.upstream_protocol = server.version();
        self.info.upstream_tls = server.handshake().map(Rc::clone);
        let mut pump = Pump::new(self, &mut server, upstream);
        let result = std::future::poll_fn(|cx| pump.poll(cx)).await;
        let clean = pump.is_clean();
        if result.is_ok()
            && let Some(received) = self.info.request_received
        {
            let time = self.elapsed().saturating_sub(received);
            upstream.record_time(&self.down.worker, time.as_millis() as u64, self.internal);
        }
        server.end(pool, result.is_ok() && clean, self.down.now);
        result
    }

    /// The upstream's stream ended before its time.
    pub(super) fn reset(&mut self, failure: Failure) -> Ended {
        let Failure { reason, flag } = failure;
        about_stream!(debug, "router", self, "upstream reset: reset reason: {}", reason.text());
        if self.response_started {
            self.info.flags.insert(flag);
            let details = format!("upstream_reset_after_response_started{{{}}}", reason.detail());
            self.info.details = details.into();
            return Ended::Cut;
        }
        let status = if reason == ResetReason::ProtocolError { 502 } else { 503 };
        let when = if self.hinted { "after" } else { "before" };
        let details = format!("upstream_reset_{when}_response_started{{{}}}", reason.detail());
        Ended::Reply(Box::new(LocalReply::new(status, details).body(reset_body(reason)).flag(flag)))
    }

    /// The whole request was read.
    pub(super) fn note_request_complete(&mut self) {
        let now = self.down.now;
        self.request_complete = true;
        self.info.request_received = Some(self.elapsed());
        self.timers.request_complete(now);
    }

    /// The client will say nothing more before it was answered.
    pub(super) fn client_lost(&mut self, lost: Lost) -> Ended {
        self.down.now = ringway_runtime::now();
        let (page, stats) = (&self.down.worker.page, &self.manager.stats);
        match lost {
            Lost::Malformed(error) => {
                // The upstream request cannot be completed.
                page.inc(stats.downstream_cx_protocol_error);
                let reply = LocalReply::new(error.status(), error.details()).body(error.body());
                let flag = ResponseFlags::DOWNSTREAM_PROTOCOL_ERROR;
                Ended::Reply(Box::new(reply.flag(flag).close()))
            }
            Lost::Reset { details, flag } => {
                page.inc(stats.downstream_rq_rx_reset);
                self.info.flags.insert(flag);
                self.info.details = details.into();
                about_stream!(debug, "http", self, "stream reset: {details}");
                Ended::Abort
            }
            Lost::Closed => self.client_gone(),
        }
    }

    /// The client closed its connection before it was answered.
    pub(super) fn client_gone(&mut self) -> Ended {
        self.info.flags.insert(ResponseFlags::DOWNSTREAM_CONNECTION_TERMINATION);
        self.info.details = match self.down.side.is_overdue() {
            true => OVERDUE.into(),
            false => {
                self.down.side.note_peer_close();
                "downstream_remote_disconnect".into()
            }
        };
        about_stream!(debug, "http", self, "stream reset: the client has gone");
        let (page, stats) = (&self.down.worker.page, &self.manager.stats);
        page.inc(stats.downstream_rq_rx_reset);
        Ended::Abort
    }

    /// Whether a timer is over; moves the connection's deadline to the next one.
    pub(super) fn poll_timers(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Expired> {
        self.down.deadline.set(self.timers.next());
        if self.down.deadline.poll(cx).is_pending() {
            return Poll::Pending;
        }
        // The deadline has a coarse tick: it is over for whichever timer is the earliest.
        self.down.now = ringway_runtime::now();
        self.timers.expired(self.down.now).map_or(Poll::Pending, Poll::Ready)
    }

    /// Whether the wait for something else is over, since the client has left or a timer is over.
    pub(super) fn poll_impatience(
        &mut self,
        cx: &mut std::task::Context<'_>,
        upstream: Option<&Upstream>,
    ) -> Poll<Ended> {
        if let Poll::Ready(lost) = self.down.side.poll_gone(cx) {
            return Poll::Ready(self.client_lost(lost));
        }
        self.poll_timers(cx).map(|expired| self.expire(expired, upstream))
    }

    /// Counts the timer that is over, and says what is answered.
    pub(super) fn expire(&mut self, expired: Expired, upstream: Option<&Upstream>) -> Ended {
        let stats = &self.manager.stats;
        let upstream = upstream.map(|upstream| &upstream.cluster.policy.stats);
        let counter = match expired {
            Expired::Idle => Some(stats.downstream_rq_idle_timeout),
            Expired::Request => Some(stats.downstream_rq_timeout),
            Expired::Duration => Some(stats.downstream_rq_max_duration_reached),
            Expired::Response => upstream.map(|stats| stats.upstream_rq_timeout),
            Expired::UpstreamDuration => {
                upstream.map(|stats| stats.upstream_rq_max_duration_reached)
            }
        };
        if let Some(counter) = counter {
            self.down.worker.page.inc(counter);
        }
        about_stream!(debug, "http", self, "timeout: {expired:?}");
        Ended::Reply(Box::new(expired.reply(self.request_complete)))
    }
}

/// Whether the router made this reply, which then counts as an answer of the cluster; those of the
/// connection manager (a stream that is idle, a request that is none) do not.
fn is_of_the_router(reply: &LocalReply) -> bool {
    [
        ResponseFlags::NO_HEALTHY_UPSTREAM,
        ResponseFlags::UPSTREAM_REQUEST_TIMEOUT,
        ResponseFlags::UPSTREAM_CONNECTION_FAILURE,
        ResponseFlags::UPSTREAM_CONNECTION_TERMINATION,
        ResponseFlags::UPSTREAM_OVERFLOW,
        ResponseFlags::UPSTREAM_PROTOCOL_ERROR,
    ]
    .contains(&reply.flag)
}

/// The body of the reply to a request whose upstream failed.
pub(super) fn reset_body(reason: ResetReason) -> String {
    format!(
        "upstream connect error or disconnect/reset before headers. reset reason: {}",
        reason.text()
    )
}

fn overflow() -> Ended {
    let details = "upstream_reset_before_response_started{overflow}";
    let reply = LocalReply::new(503, details)
        .body(reset_body(ResetReason::Overflow))
        .flag(ResponseFlags::UPSTREAM_OVERFLOW)
        .header("x-envoy-overloaded", "true");
    Ended::Reply(Box::new(reply))
}
