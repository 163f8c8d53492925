//! Opening a connection to an endpoint.

use std::borrow::Cow;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use ringway_http::ResetReason;
use ringway_model::address::Address;
use ringway_model::cluster::Endpoint;
use ringway_model::stream::UpstreamSource;
use ringway_runtime::connect::{self, Source, SourceError};
use ringway_runtime::deadline::Deadline;
use ringway_runtime::stream::Stream;

use super::account::Tally;
use super::preface::Preface;
use super::ticket::ConnectFailure;
use crate::listener;
use crate::transport::{self, Transport};
use crate::worker::Worker;

/// Connects within `connect_timeout` for somebody who speaks `protocols` (names of ALPN), and
/// counts how long that took or why it failed. `preface` goes in front of everything, the
/// handshake included.
pub(super) async fn open(
    worker: &Rc<Worker>,
    endpoint: &Endpoint,
    tally: &Tally,
    protocols: &[&[u8]],
    preface: Option<&Preface>,
) -> Result<Transport, ConnectFailure> {
    let start = Instant::now();
    let mut deadline = Deadline::new();
    deadline.set(Some(start + tally.policy.connect_timeout));
    let mut attempt = std::pin::pin!(attempt(worker, endpoint, tally, protocols, preface));
    let transport = std::future::poll_fn(|cx| {
        if let Poll::Ready(result) = attempt.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        deadline.poll(cx).map(|()| Err(timed_out(tally)))
    })
    .await?;
    let elapsed = ringway_runtime::now().saturating_duration_since(start).as_millis() as u64;
    tally.page.record(tally.policy.stats.upstream_cx_connect_ms, elapsed);
    Ok(transport)
}

/// Connects, and makes the handshake if there is one to make.
async fn attempt(
    worker: &Rc<Worker>,
    endpoint: &Endpoint,
    tally: &Tally,
    protocols: &[&[u8]],
    preface: Option<&Preface>,
) -> Result<Transport, ConnectFailure> {
    let source = preface.and_then(|preface| preface.source);
    let mut stream = connect_to(worker, &endpoint.address, source, tally).await?;
    if let Some(keepalive) = tally.policy.keepalive {
        stream.set_keepalive(keepalive.time, keepalive.interval, keepalive.probes);
    }
    let tls = tally.policy.tls_of(endpoint);
    if let Some(header) = preface.map(|preface| &preface.header).filter(|one| !one.is_empty()) {
        stream.tail().extend_from_slice(header);
        // A handshake follows it at once; without one the client may have nothing to say yet.
        if tls.is_none() {
            begin_sending(&mut stream).await;
        }
    }
    let secured = transport::connect(worker, tls, endpoint, protocols, stream).await;
    let mut transport = secured.map_err(|reason| ConnectFailure {
        reason: ResetReason::RemoteConnectionFailure,
        transport: reason.into(),
    })?;
    let policy = &tally.policy;
    transport.bound_backlog(policy.buffer_limit, policy.backlog_timeout);
    Ok(transport)
}

/// Starts to send what is queued. Whether it arrives shows in what follows.
async fn begin_sending(stream: &mut Stream) {
    std::future::poll_fn(|cx| {
        let _ = stream.poll_flush_unattended(cx);
        Poll::Ready(())
    })
    .await;
}

async fn connect_to(
    worker: &Rc<Worker>,
    address: &Address,
    source: Option<UpstreamSource>,
    tally: &Tally,
) -> Result<Stream, ConnectFailure> {
    let connected = match (address, source) {
        (Address::Ip(address), None) => connect::tcp(*address).await,
        (Address::Ip(address), Some(source)) => {
            let from = Source::new(source.ip, source.mark, *address);
            let from = from.map_err(|error| not_from_there(worker, source, &error, tally))?;
            connect::tcp_from(from, *address).await
        }
        (Address::Pipe(path), _) => connect::unix(path).await,
        (Address::Internal(name), _) => listener::connect(worker, name),
    };
    connected.map_err(|error| refused(&error))
}

/// The host does not let a connection come from another address.
fn not_from_there(
    worker: &Worker,
    source: UpstreamSource,
    error: &SourceError,
    tally: &Tally,
) -> ConnectFailure {
    let transport = match error {
        // As in Envoy, only the log tells; once is enough, since it will be so with all of them.
        SourceError::Option(error) => {
            if !worker.source_refused.replace(true) {
                let from = source.ip;
                tracing::warn!(target: "connection", "no connection can come from {from}: {error}");
            }
            Cow::Borrowed("")
        }
        SourceError::Bind(error) => {
            tally.count(|stats| stats.bind_errors);
            format!("failed to bind to {}:0: {}", source.ip, os_text(error)).into()
        }
    };
    ConnectFailure { reason: ResetReason::LocalConnectionFailure, transport }
}

fn refused(error: &io::Error) -> ConnectFailure {
    ConnectFailure {
        reason: ResetReason::RemoteConnectionFailure,
        transport: format!("delayed connect error: {}", os_text(error)).into(),
    }
}

fn timed_out(tally: &Tally) -> ConnectFailure {
    tally.count(|stats| stats.upstream_cx_connect_timeout);
    ConnectFailure { reason: ResetReason::ConnectionTimeout, transport: "".into() }
}

/// The text of `strerror`, as Envoy prints it: `Connection refused`.
fn os_text(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
