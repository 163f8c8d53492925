//! The way of a session to its endpoint: cluster, endpoint, attempts, and the tunnel where one is
//! asked for.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use ringway_http::{RequestHead, ResetReason, ResponseHead};
use ringway_model::dns::Authority;
use ringway_model::format::FormatContext;
use ringway_model::original_dst::Bound;
use ringway_model::route::{Priority, hash_of_ip};
use ringway_model::stream::ResponseFlags;
use ringway_model::tcp::TunnelAnswer;

use super::far::Far;
use super::session::{Expired, Session};
use crate::tell::about_connection;
use crate::transport::Transport;
use crate::upstream::{Client, Host, HostsFrom, Named, NoConnection, Preface, Unit, Upstream};

/// Of the metadata that a tunnel leaves behind.
const NAMESPACE: &str = "envoy.filters.network.tcp_proxy";

impl Session {
    /// A connection to an endpoint of the cluster, after so many attempts as are allowed.
    pub(super) async fn connect(&mut self, down: &mut Transport) -> Option<Far> {
        if self.proxy.waits_for_data && !self.hear(down).await {
            return None;
        }
        let upstream = self.cluster()?;
        while self.stream.attempts < self.proxy.max_connect_attempts {
            if self.stream.attempts > 0 {
                self.pause().await?;
            }
            let stats = &upstream.cluster.policy.stats;
            let Some(unit) = upstream.leases.connection(Priority::Default) else {
                self.worker.page.inc(stats.upstream_cx_overflow);
                self.stream.flags.insert(ResponseFlags::UPSTREAM_OVERFLOW);
                return None;
            };
            let Some(host) = self.host(&upstream) else {
                self.stream.flags.insert(ResponseFlags::NO_HEALTHY_UPSTREAM);
                return None;
            };
            self.stream.attempts += 1;
            match self.attempt(&upstream, &host, unit, down).await? {
                Ok(connection) => return Some(connection),
                Err(failure) => self.note_failure(&host, failure),
            }
        }
        self.stream.flags.insert(ResponseFlags::UPSTREAM_RETRY_LIMIT_EXCEEDED);
        self.worker.page.inc(upstream.cluster.policy.stats.upstream_cx_connect_attempts_exceeded);
        None
    }

    /// Waits for the first bytes of the client; false when it says nothing.
    async fn hear(&mut self, down: &mut Transport) -> bool {
        self.touch();
        let heard = std::future::poll_fn(|cx| {
            if self.poll_early(down, cx).is_ready() || self.early.ended || self.early.bytes > 0 {
                return Poll::Ready(Ok(self.early.bytes > 0));
            }
            self.poll_times(cx).map(Err)
        });
        match heard.await {
            Ok(heard) => heard,
            Err(expired) => {
                self.expire(expired);
                false
            }
        }
    }

    /// Reads what a client says too early, as far as that is wanted; `Ready` when it is gone.
    fn poll_early(&mut self, down: &mut Transport, cx: &mut Context<'_>) -> Poll<()> {
        let Some(max) = self.proxy.early_data_max else { return Poll::Pending };
        let before = self.early.bytes;
        let gone = self.early.poll(down, max, cx);
        if self.early.bytes > before {
            let (page, stats) = (&self.worker.page, &self.proxy.stats);
            page.add(stats.early_data_received_count_total, u64::from(before == 0));
            self.count_bytes(down.transferred());
        }
        gone
    }

    fn cluster(&mut self) -> Option<Rc<Upstream>> {
        let upstream = match self.server_name() {
            Some(name) => {
                let id = self.worker.snapshot.borrow().cluster_ids.get(name).copied();
                id.and_then(|id| self.worker.upstream(id))
            }
            None => {
                let chosen = self.proxy.clusters.choose(self.worker.random());
                chosen.and_then(|cluster| self.worker.upstream(cluster.id))
            }
        };
        match &upstream {
            Some(upstream) => self.stream.cluster = Some(Rc::clone(&upstream.name)),
            None => {
                self.worker.page.inc(self.proxy.stats.downstream_cx_no_route);
                self.stream.flags.insert(ResponseFlags::NO_CLUSTER_FOUND);
            }
        }
        upstream
    }

    fn host(&self, upstream: &Upstream) -> Option<Rc<Host>> {
        let host = match (upstream.hosts_from(), self.sni_port) {
            (HostsFrom::Balancer, _) => {
                upstream.pick(&self.worker, self.hash(upstream)).map(Rc::clone)
            }
            (HostsFrom::Destination(original), _) => {
                let (connection, notes) = (&self.connection, self.stream.notes.as_deref());
                let bound = Bound { connection, notes, request: None };
                return upstream.destined(&self.worker, original, &bound);
            }
            (HostsFrom::Authority(_), Some(port)) => {
                let preamble = self.connection.preamble.as_deref();
                let name = preamble.map_or("", |preamble| &preamble.server_name);
                return self.named(upstream, &Authority::of_name(name.as_bytes(), port));
            }
            // As in Envoy, nobody looks the name up without the filter for it.
            (HostsFrom::Authority(_), None) => None,
        };
        if host.is_none() {
            self.worker.page.inc(upstream.cluster.policy.stats.upstream_cx_none_healthy);
        }
        host
    }

    /// The host of a name that was looked up already.
    fn named(&self, upstream: &Upstream, authority: &Authority<'_>) -> Option<Rc<Host>> {
        match upstream.named(&self.worker, authority) {
            Named::Host(host) => Some(host),
            // The name has just been dropped, or it is kept by another cache than the cluster's.
            Named::Asked(_) | Named::Nobody(_) => None,
        }
    }

    /// `hash_policy`
    fn hash(&self, upstream: &Upstream) -> Option<u64> {
        let counts = self.proxy.hash_source_ip && upstream.hashes();
        counts.then(|| hash_of_ip(self.connection.remote().ip())).flatten()
    }

    /// The cluster by `sni_cluster`.
    fn server_name(&self) -> Option<&str> {
        let preamble = self.connection.preamble.as_deref().filter(|_| self.sni_cluster)?;
        Some(&*preamble.server_name).filter(|name| !name.is_empty())
    }

    /// One attempt; `None` when the time of the whole connection is over.
    async fn attempt(
        &mut self,
        upstream: &Rc<Upstream>,
        host: &Rc<Host>,
        unit: Unit,
        down: &mut Transport,
    ) -> Option<Result<Far, NoConnection>> {
        let request = self.tunnel_request(host);
        let preface = host.preface(&Client {
            tlvs: &self.proxy.tlvs,
            merge: self.proxy.tlv_merge,
            ..Client::new(&self.connection, &self.stream)
        });
        let mut attempt = std::pin::pin!(open(upstream, host, unit, request, preface));
        self.deadline.set(self.patience());
        let mut gone = false;
        let outcome = std::future::poll_fn(|cx| {
            if let Poll::Ready(outcome) = attempt.as_mut().poll(cx) {
                return Poll::Ready(Some(outcome));
            }
            gone = self.poll_early(down, cx).is_ready();
            if gone { Poll::Ready(None) } else { self.deadline.poll(cx).map(|()| None) }
        });
        let outcome = outcome.await;
        match &outcome {
            None if gone => {}
            None if self.over_at.is_some_and(|over| over <= Instant::now()) => {
                self.expire(Expired::Duration);
            }
            None => self.expire(Expired::Idle),
            Some(Ok(_)) => self.note_host(host),
            Some(Err(_)) => {}
        }
        outcome
    }

    /// Until when an attempt may take. Connecting has its own time, but what another proxy makes
    /// of a request has none: without an answer the connection is idle.
    fn patience(&self) -> Option<Instant> {
        let idle = self.proxy.tunneling.as_ref().and(self.proxy.idle_timeout);
        let idle_at = idle.and_then(|idle| Instant::now().checked_add(idle));
        [self.over_at, idle_at].into_iter().flatten().min()
    }

    /// The request for a tunnel, if there is to be one.
    fn tunnel_request(&mut self, host: &Host) -> Option<Box<RequestHead>> {
        let proxy = Arc::clone(&self.proxy);
        let tunneling = proxy.tunneling.as_ref()?;
        let mut head = Box::new(RequestHead::new());
        let cx = FormatContext::new(&self.stream, &self.connection);
        let id = tunneling.write_request(host.scheme(), &cx, &mut head);
        if let (Some(id), Some(request_id)) = (id, &tunneling.request_id) {
            let notes = self.stream.notes.get_or_insert_default();
            notes.set_metadata(NAMESPACE, &request_id.metadata_key, &id);
        }
        Some(head)
    }

    fn note_host(&mut self, host: &Host) {
        self.stream.upstream_host = Some(Rc::clone(&host.address_text));
        self.stream.upstream_name = Some(Rc::clone(&host.name));
    }

    fn note_failure(&mut self, host: &Host, failure: NoConnection) {
        let (id, to) = (self.connection.id, &host.address_text);
        about_connection!(debug, "filter", id, "no connection to {to}: {failure:?}");
        let mut is_local = false;
        let reason = match failure {
            NoConnection::Overflow => return,
            NoConnection::Failed(failure) => {
                is_local = failure.reason == ResetReason::LocalConnectionFailure;
                failure.transport
            }
            NoConnection::Refused(head) => {
                self.note_answer(&head);
                format!("tunnel_response:{}", head.status).into()
            }
        };
        self.note_host(host);
        self.stream.upstream_transport_failure = Some(reason);
        // As in Envoy, an endpoint is not blamed for what this host refuses.
        if !is_local {
            self.stream.flags.insert(ResponseFlags::UPSTREAM_CONNECTION_FAILURE);
        }
    }

    /// `propagate_response_headers`
    pub(super) fn note_answer(&mut self, head: &ResponseHead) {
        if self.proxy.tunneling.as_ref().is_some_and(|tunneling| tunneling.keep_headers) {
            let answer =
                TunnelAnswer { head: Some((head.status, head.fields.clone())), trailers: None };
            self.stream.tunnel = Some(Box::new(answer));
        }
    }

    /// `propagate_response_trailers`
    pub(super) fn note_trailers(&mut self) {
        let wanted = self.proxy.tunneling.as_ref().is_some_and(|tunneling| tunneling.keep_trailers);
        if let Some(Far::Tunnel(tunnel)) = self.up.as_ref().filter(|_| wanted)
            && let Some(trailers) = tunnel.trailers()
        {
            self.stream.tunnel.get_or_insert_default().trailers = Some(trailers.clone());
        }
    }

    /// `backoff_options`: waits before the next attempt.
    async fn pause(&mut self) -> Option<()> {
        let Some(backoff) = self.proxy.backoff else { return Some(()) };
        let pause = backoff.pause(self.stream.attempts - 1, self.worker.random());
        let next = Instant::now() + pause;
        let over = self.over_at.filter(|over| *over < next);
        self.deadline.set(Some(over.unwrap_or(next)));
        std::future::poll_fn(|cx| self.deadline.poll(cx)).await;
        if over.is_some() {
            self.expire(Expired::Duration);
            return None;
        }
        Some(())
    }
}

/// Opens what leads to the endpoint.
async fn open(
    upstream: &Rc<Upstream>,
    host: &Rc<Host>,
    unit: Unit,
    request: Option<Box<RequestHead>>,
    preface: Option<Preface>,
) -> Result<Far, NoConnection> {
    let Some(request) = request else {
        return host.open_tcp(unit, preface).await.map(Far::Direct);
    };
    // The pool asks for a connection's unit itself, where it opens one.
    drop(unit);
    let tunnel = host.open_tunnel(upstream, &request, preface).await?;
    Ok(Far::Tunnel(Box::new(tunnel)))
}
