//! A connection to an endpoint that serves one client only, from its first byte to its last.

use std::rc::Rc;
use std::sync::Arc;

use ringway_bridge::stats::Page;
use ringway_http::{ResetReason, ResponseHead};
use ringway_model::cluster::ClusterPolicy;
use ringway_model::route::Priority;

use super::account::{Account, Tally};
use super::connect;
use super::host::Host;
use super::leases::Unit;
use super::preface::Preface;
use super::ticket::ConnectFailure;
use crate::transport::Transport;

/// An open connection, counted as one connection with one request on it.
#[derive(Debug)]
pub(crate) struct TcpConnection {
    pub(crate) transport: Transport,
    account: Account,
    host: Rc<Host>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum NoConnection {
    /// `max_pending_requests`
    Overflow,
    /// The endpoint refused it or did not answer.
    Failed(ConnectFailure),
    /// The endpoint is another proxy, and this is its answer to the request for a tunnel.
    Refused(Box<ResponseHead>),
}

/// Counts as waiting until dropped.
struct Waiting {
    _unit: Unit,
    tally: Rc<Tally>,
}

impl Host {
    /// Opens a connection; `unit` is its share of `max_connections`, `preface` what goes in front.
    pub(crate) async fn open_tcp(
        self: &Rc<Self>,
        unit: Unit,
        preface: Option<Preface>,
    ) -> Result<TcpConnection, NoConnection> {
        let tally = Rc::clone(&self.tally);
        let Some(pending) = self.leases.pending(Priority::Default) else {
            tally.count(|stats| stats.upstream_rq_pending_overflow);
            return Err(NoConnection::Overflow);
        };
        let waiting = Waiting::begin(pending, &tally);
        let preface = preface.as_ref();
        let outcome = connect::open(&self.worker, &self.endpoint, &tally, &[], preface).await;
        drop(waiting);
        let transport = outcome.map_err(|failure| {
            count_failure(&tally, &failure);
            NoConnection::Failed(failure)
        })?;
        let account = Account::new(Rc::clone(&tally), Some(unit), ringway_runtime::now());
        account.begin();
        tally.count(|stats| stats.upstream_rq_total);
        tally.page.raise(tally.policy.stats.upstream_rq_active, 1);
        self.request_begins();
        Ok(TcpConnection { transport, account, host: Rc::clone(self) })
    }
}

fn count_failure(tally: &Tally, failure: &ConnectFailure) {
    let (page, stats) = (&tally.page, &tally.policy.stats);
    page.inc(stats.upstream_cx_connect_fail);
    page.inc(stats.upstream_rq_pending_failure_eject);
    page.inc(tally.endpoint.cx_connect_fail);
    page.inc(tally.endpoint.cx_total);
    page.inc(stats.upstream_cx_total);
    page.inc(stats.upstream_cx_destroy);
    page.inc(match failure.reason {
        ResetReason::ConnectionTimeout | ResetReason::LocalConnectionFailure => {
            stats.upstream_cx_destroy_local
        }
        _ => stats.upstream_cx_destroy_remote,
    });
}

impl Waiting {
    fn begin(unit: Unit, tally: &Rc<Tally>) -> Self {
        tally.count(|stats| stats.upstream_rq_pending_total);
        tally.page.raise(tally.policy.stats.upstream_rq_pending_active, 1);
        Self { _unit: unit, tally: Rc::clone(tally) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.tally.page.lower(self.tally.policy.stats.upstream_rq_pending_active, 1);
    }
}

impl TcpConnection {
    /// Notes that the peer was the one to end it.
    pub(crate) fn note_peer_close(&self) {
        self.account.note_peer_close();
    }

    /// Adds up the bytes that were moved so far.
    pub(crate) fn count_bytes(&self) {
        self.account.count_bytes(self.transport.transferred());
    }

    pub(crate) fn policy(&self) -> &Arc<ClusterPolicy> {
        &self.account.tally.policy
    }

    pub(crate) fn page(&self) -> &Page {
        &self.account.tally.page
    }
}

impl Drop for TcpConnection {
    fn drop(&mut self) {
        self.count_bytes();
        self.page().lower(self.policy().stats.upstream_rq_active, 1);
        self.host.request_ends();
    }
}
