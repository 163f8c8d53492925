//! The end of a connection that was told to go.
//!
//! Closing a socket with unread bytes would reset the connection and destroy the last response on
//! its way, so the client gets a moment to read it (`delayed_close_timeout`).

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ringway_runtime::deadline::Deadline;

use super::binding::Parting;
use crate::transport::Transport;

/// How long the last bytes may take to be sent when no stream timeout is configured.
const FLUSH_PATIENCE: Duration = Duration::from_secs(300);
/// Bytes that are read and thrown away from a client that was told to go.
const LINGER_BYTES: u64 = 1 << 20;

/// Sends what is queued, ends our side, and reads on for a while, unless the client is known to be
/// silent.
pub(super) async fn linger(
    transport: &mut Transport,
    deadline: &mut Deadline,
    parting: &Parting,
    is_silent: bool,
) {
    let timeouts = &parting.manager.timeouts;
    let patience = timeouts.stream_idle.unwrap_or(FLUSH_PATIENCE);
    deadline.set(Some(Instant::now() + patience));
    transport.say_goodbye();
    let flushed = std::future::poll_fn(|cx| match transport.poll_flush(cx) {
        Poll::Ready(result) => Poll::Ready(result.is_ok()),
        Poll::Pending => poll_patience(cx, deadline, parting).map(|()| false),
    });
    if !flushed.await || is_silent {
        return;
    }
    transport.shutdown_write();
    let Some(delay) = timeouts.delayed_close else { return };
    deadline.set(Some(Instant::now() + delay));
    let (start, _) = transport.transferred();
    std::future::poll_fn(|cx| poll_goodbye(cx, transport, start, deadline, parting)).await;
}

/// A client that does not take its last response is given up when its time is over.
fn poll_patience(cx: &mut Context<'_>, deadline: &mut Deadline, parting: &Parting) -> Poll<()> {
    if deadline.poll(cx).is_pending() {
        return Poll::Pending;
    }
    parting.worker.page.inc(parting.manager.stats.downstream_cx_delayed_close_timeout);
    Poll::Ready(())
}

fn poll_goodbye(
    cx: &mut Context<'_>,
    transport: &mut Transport,
    start: u64,
    deadline: &mut Deadline,
    parting: &Parting,
) -> Poll<()> {
    loop {
        if poll_patience(cx, deadline, parting).is_ready() {
            return Poll::Ready(());
        }
        match transport.poll_receive(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(bytes)) if !bytes.is_empty() => {
                if transport.transferred().0 - start > LINGER_BYTES {
                    return Poll::Ready(());
                }
            }
            Poll::Ready(_) => return Poll::Ready(()),
        }
    }
}
