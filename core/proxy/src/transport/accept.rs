//! The downstream side of a handshake: `DownstreamTlsContext`.

use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use ringway_model::listener::{FilterChain, Listener};
use ringway_model::overload::Timer;
use ringway_model::stream::ConnectionInfo;
use ringway_model::transport::DownstreamTls;
use ringway_runtime::deadline::Deadline;
use ringway_runtime::recycled::Recycled;
use ringway_runtime::stream::Stream;
use ringway_tls::Engine;

use super::handshake::{Established, Failure, Handshaking};
use super::{Transport, count, key_log};
use crate::listener::Listening;
use crate::worker::Worker;

/// How long a handshake may take where no `transport_socket_connect_timeout` is configured, as
/// long as an idle connection may stay.
const PATIENCE: Duration = Duration::from_secs(3600);
/// How long it may go on when the worker or its listener is going away.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// A connection that never came to be.
#[derive(Debug)]
pub(crate) struct Refused {
    /// It took too long; otherwise the peer is to blame.
    pub(crate) timed_out: bool,
}

/// The transport of a connection by its chain, after the handshake if there is one to make. Tells
/// `info` what the handshake came to, or why it failed.
pub(crate) async fn accept(
    worker: &Rc<Worker>,
    listening: &Listening,
    listener: &Listener,
    chain: &FilterChain,
    stream: Stream,
    info: &mut ConnectionInfo,
) -> Result<Transport, Refused> {
    let mut transport = match &chain.tls {
        None => Transport::Plain(stream),
        // A handshake takes kilobytes, which its task should not keep.
        Some(tls) => {
            let secured = || secure(worker, listening, listener, (chain, tls), stream, info);
            Recycled::new(secured).await?
        }
    };
    transport.bound_backlog(listener.buffer_limit, listener.backlog_timeout);
    Ok(transport)
}

async fn secure(
    worker: &Rc<Worker>,
    listening: &Listening,
    listener: &Listener,
    (chain, tls): (&FilterChain, &DownstreamTls),
    stream: Stream,
    info: &mut ConnectionInfo,
) -> Result<Transport, Refused> {
    let timeout = worker.scaled(Timer::TransportConnect, chain.transport_connect_timeout);
    let outcome = handshake(worker, listening, tls, timeout, stream, info).await;
    if let Some(outcome) = &outcome {
        let (local, remote) = (info.local.ip(), info.direct_remote.ip());
        key_log::write(worker, tls.key_log.as_ref(), outcome, local, remote);
    }
    match outcome {
        Some(Ok(mut established)) => {
            count::established(worker, &tls.stats, &tls.scope, &mut established);
            info.tls = Some(Rc::clone(established.secured.handshake()));
            Ok(Transport::Tls(Box::new(established.secured)))
        }
        Some(Err(failure)) => {
            count::failed(worker, &tls.stats, &failure);
            info.transport_failure = Some(Rc::new(failure.reason));
            info.tls = Some(failure.handshake);
            Err(Refused { timed_out: false })
        }
        None => {
            worker.page.inc(listener.stats.downstream_cx_transport_socket_connect_timeout);
            info.tls = Some(Rc::default());
            Err(Refused { timed_out: true })
        }
    }
}

/// `None` when the time is over.
async fn handshake(
    worker: &Rc<Worker>,
    listening: &Listening,
    tls: &DownstreamTls,
    timeout: Option<Duration>,
    stream: Stream,
    info: &ConnectionInfo,
) -> Option<Result<Established, Failure>> {
    let engine = match Engine::server(&tls.context, info.start, None) {
        Ok(engine) => engine,
        Err(error) => {
            tracing::error!(%error, listener = %info.listener, "no TLS connection can be made");
            return Some(Err(Failure::of_ours(error.to_string())));
        }
    };
    let handshaking = Handshaking::new(stream, engine, Rc::clone(&worker.handshakes));
    let mut running = std::pin::pin!(handshaking.run());
    let mut deadline = Deadline::new();
    let latest = info.start + timeout.unwrap_or(PATIENCE);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(outcome) = running.as_mut().poll(cx) {
            return Poll::Ready(Some(outcome));
        }
        let ending = worker.draining_since().or_else(|| listening.removed_since());
        let grace = ending.map(|since| since.max(info.start) + DRAIN_GRACE);
        deadline.set(Some(grace.map_or(latest, |grace: Instant| grace.min(latest))));
        deadline.poll(cx).map(|()| None)
    })
    .await
}
