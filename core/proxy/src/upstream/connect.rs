//! Opening a connection to an endpoint.

use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use ringway_http::ResetReason;
use ringway_model::address::Address;
use ringway_model::cluster::Endpoint;
use ringway_runtime::connect;
use ringway_runtime::deadline::Deadline;
use ringway_runtime::stream::Stream;

use super::account::Tally;
use super::ticket::ConnectFailure;
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
    preface: Option<&[u8]>,
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
    preface: Option<&[u8]>,
) -> Result<Transport, ConnectFailure> {
    let mut stream = connect_to(&endpoint.address).await.map_err(|error| refused(&error))?;
    if let Some(keepalive) = tally.policy.keepalive {
        stream.set_keepalive(keepalive.time, keepalive.interval, keepalive.probes);
    }
    let tls = tally.policy.tls_of(endpoint);
    if let Some(preface) = preface {
        stream.tail().extend_from_slice(preface);
        // A handshake follows it at once; without one the client may have nothing to say yet.
        if tls.is_none() {
            begin_sending(&mut stream).await;
        }
    }
    let secured = transport::connect(worker, tls, endpoint, protocols, stream).await;
    secured.map_err(|reason| ConnectFailure {
        reason: ResetReason::RemoteConnectionFailure,
        transport: reason.into(),
    })
}

/// Starts to send what is queued. Whether it arrives shows in what follows.
async fn begin_sending(stream: &mut Stream) {
    std::future::poll_fn(|cx| {
        let _ = stream.poll_flush_unattended(cx);
        Poll::Ready(())
    })
    .await;
}

async fn connect_to(address: &Address) -> io::Result<Stream> {
    match address {
        Address::Ip(address) => connect::tcp(*address).await,
        Address::Pipe(path) => connect::unix(path).await,
    }
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
