//! A connection's tie to the filter chain that it was accepted on, through all generations of the
//! configuration.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringway_bridge::stats::{CounterId, GaugeId};
use ringway_http::Version;
use ringway_model::http::ConnectionManager;
use ringway_model::listener::Terminal;
use ringway_model::overload::{Action, Timer};
use ringway_model::stats::HttpStats;
use ringway_model::stream::ConnectionInfo;

use crate::listener::{Listening, Open, find_chain};
use crate::tell::about_connection;
use crate::worker::Worker;

/// What requests are served by. Each of them clones it, and an `Arc` alone would have all cores
/// write one count.
pub(crate) type Policy = Rc<Arc<ConnectionManager>>;

/// What the end of a connection needs, while its streams may still use the rest.
pub(super) struct Parting {
    pub(super) worker: Rc<Worker>,
    pub(super) manager: Policy,
}

/// What a connection knows of its chain, and what it is counted as.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(super) worker: Rc<Worker>,
    pub(super) info: Rc<ConnectionInfo>,
    pub(super) manager: Policy,
    listening: Rc<Listening>,
    /// Counts the connection as open.
    open: Open,
    revision: u64,
    /// The next generation has no such chain: the connection ends with its next response.
    orphaned: bool,
    /// The gauge of its protocol, once that is known.
    protocol: Option<fn(&HttpStats) -> GaugeId>,
    /// The protocol itself.
    version: Option<Version>,
    closed_by_peer: bool,
    /// What of the bytes moved was counted already.
    counted: (u64, u64),
}

impl Binding {
    pub(crate) fn new(
        worker: Rc<Worker>,
        listening: Rc<Listening>,
        manager: &Arc<ConnectionManager>,
        info: ConnectionInfo,
        open: Open,
    ) -> Self {
        let stats = &manager.stats;
        worker.page.inc(stats.downstream_cx_total);
        worker.page.raise(stats.downstream_cx_active, 1);
        if info.tls.is_some() {
            worker.page.inc(stats.downstream_cx_ssl_total);
            worker.page.raise(stats.downstream_cx_ssl_active, 1);
        }
        Self {
            revision: listening.revision(),
            manager: listening.policy(manager),
            info: Rc::new(info),
            worker,
            listening,
            open,
            orphaned: false,
            protocol: None,
            version: None,
            closed_by_peer: false,
            counted: (0, 0),
        }
    }

    /// The protocol is known: the connection is counted under it.
    pub(super) fn speaks(
        &mut self,
        version: Version,
        total: CounterId,
        active: fn(&HttpStats) -> GaugeId,
    ) {
        self.version = Some(version);
        self.worker.page.inc(total);
        self.worker.page.raise(active(&self.manager.stats), 1);
        self.protocol = Some(active);
    }

    pub(super) fn parting(&self) -> Parting {
        Parting { worker: Rc::clone(&self.worker), manager: Rc::clone(&self.manager) }
    }

    /// How much may wait in one direction.
    pub(super) fn buffer_limit(&self) -> usize {
        self.listening.listener().buffer_limit
    }

    /// Since when this connection should come to an end, if it should.
    pub(super) fn ending_since(&self) -> Option<Instant> {
        self.worker.draining_since().or_else(|| self.listening.removed_since())
    }

    /// Takes the newest configuration of this connection's filter chain. A chain that is gone
    /// leaves the connection with what it had, for one more response.
    pub(super) fn follow_configuration(&mut self) {
        if self.revision == self.listening.revision() {
            return;
        }
        self.revision = self.listening.revision();
        let listener = self.listening.listener();
        let chain = find_chain(&listener, &self.info);
        let chain = chain.filter(|chain| self.info.chain.as_ref() == Some(&chain.name));
        match chain.as_deref().map(|chain| &chain.terminal) {
            Some(Terminal::Http(manager)) => {
                let same = manager.h1 == self.manager.h1 && manager.h2 == self.manager.h2;
                self.orphaned = !same;
                self.switch(manager);
            }
            _ => self.orphaned = true,
        }
    }

    fn switch(&mut self, manager: &Arc<ConnectionManager>) {
        let page = &self.worker.page;
        let (old, new) = (&self.manager.stats, &manager.stats);
        // The gauges follow the connection when the statistics have another prefix.
        page.lower(old.downstream_cx_active, 1);
        page.raise(new.downstream_cx_active, 1);
        if self.info.tls.is_some() {
            page.lower(old.downstream_cx_ssl_active, 1);
            page.raise(new.downstream_cx_ssl_active, 1);
        }
        if let Some(gauge) = self.protocol {
            page.lower(gauge(old), 1);
            page.raise(gauge(new), 1);
        }
        self.manager = self.listening.policy(manager);
    }

    /// Whether the connection should end after what it does now. Counts why.
    pub(super) fn wants_close(&self, now: Instant) -> bool {
        let (page, stats) = (&self.worker.page, &self.manager.stats);
        if self.orphaned || self.listening.wants_close(&self.worker) {
            page.inc(stats.downstream_cx_drain_close);
            return true;
        }
        if self.listening.strikes(&self.worker, Action::DisableHttpKeepalive) {
            page.inc(stats.downstream_cx_overload_disable_keepalive);
            page.inc(stats.downstream_cx_drain_close);
            return true;
        }
        if self.oldest_end().is_some_and(|end| now >= end) {
            page.inc(stats.downstream_cx_max_duration_reached);
            return true;
        }
        false
    }

    /// Whether its next request is refused, since there is too much to do.
    pub(super) fn refuses_request(&self) -> bool {
        self.listening.strikes(&self.worker, Action::StopAcceptingRequests)
    }

    /// When it ends if nothing is asked of it from `idle` on.
    pub(super) fn idle_end(&self, idle: Instant) -> Option<Instant> {
        let timeout = self.manager.timeouts.connection_idle;
        self.worker.scaled(Timer::ConnectionIdle, timeout).map(|timeout| idle + timeout)
    }

    /// When it is too old.
    pub(super) fn oldest_end(&self) -> Option<Instant> {
        let oldest = self.manager.timeouts.max_connection_duration;
        self.worker.scaled(Timer::ConnectionMax, oldest).map(|oldest| self.info.start + oldest)
    }

    /// How long a stream may rest.
    pub(super) fn stream_idle(&self) -> Option<Duration> {
        self.worker.scaled(Timer::StreamIdle, self.manager.timeouts.stream_idle)
    }

    /// Whether so many requests are all that one connection may have. Counts it.
    pub(super) fn is_worn(&self, requests: u32) -> bool {
        let max = self.manager.max_requests_per_connection;
        let worn = max.is_some_and(|max| requests >= max);
        if worn {
            self.worker.page.inc(self.manager.stats.downstream_cx_max_requests_reached);
        }
        worn
    }

    pub(super) fn note_peer_close(&mut self) {
        self.closed_by_peer = true;
    }

    /// Counts bytes, of which this many were received and sent since the connection began.
    pub(super) fn count_bytes(&mut self, (received, sent): (u64, u64)) {
        let (page, stats) = (&self.worker.page, &self.manager.stats);
        page.add(stats.downstream_cx_rx_bytes_total, received - self.counted.0);
        page.add(stats.downstream_cx_tx_bytes_total, sent - self.counted.1);
        self.counted = (received, sent);
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        let end = if self.closed_by_peer { "remote" } else { "local" };
        about_connection!(debug, "connection", self.info.id, "{end} close");
        let (moved, protocol) = (self.counted, self.version);
        self.open.tell(|line| {
            line.moved(moved);
            line.stream.protocol = protocol;
        });
        let (page, stats) = (&self.worker.page, &self.manager.stats);
        page.lower(stats.downstream_cx_active, 1);
        if self.info.tls.is_some() {
            page.lower(stats.downstream_cx_ssl_active, 1);
        }
        if let Some(gauge) = self.protocol {
            page.lower(gauge(stats), 1);
        }
        page.inc(stats.downstream_cx_destroy);
        page.inc(if self.closed_by_peer {
            stats.downstream_cx_destroy_remote
        } else {
            stats.downstream_cx_destroy_local
        });
        let length = self.info.start.elapsed().as_millis() as u64;
        page.record(stats.downstream_cx_length_ms, length);
    }
}
