//! Network filters that answer by themselves: `direct_response` and `echo`.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ringway_runtime::deadline::Deadline;

use super::relay::flush;
use crate::transport::Transport;

/// How long a client may take for the bytes that it is owed.
const PATIENCE: Duration = Duration::from_secs(300);
/// Bytes that may wait to be sent back before reading stops.
const ECHO_MAX: usize = 1 << 20;

/// Sends the bytes and closes. Says how many bytes were received and sent.
pub(crate) async fn respond(mut down: Transport, bytes: &[u8]) -> (u64, u64) {
    down.tail().extend_from_slice(bytes);
    let mut deadline = Deadline::new();
    deadline.set(Some(Instant::now() + PATIENCE));
    flush(&mut down, &deadline).await;
    down.transferred()
}

/// Sends back what comes, until the client has ended its side and has got everything. Says how
/// many bytes were received and sent.
pub(crate) async fn echo(mut down: Transport) -> (u64, u64) {
    let ended = std::future::poll_fn(|cx| poll_echo(&mut down, cx)).await;
    if ended.is_ok() {
        let mut deadline = Deadline::new();
        deadline.set(Some(Instant::now() + PATIENCE));
        flush(&mut down, &deadline).await;
    }
    down.transferred()
}

fn poll_echo(down: &mut Transport, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
    loop {
        while down.queued_bytes() < ECHO_MAX {
            match down.poll_receive(cx)? {
                Poll::Pending => {
                    // What comes next wakes this task, and so does the end of the send.
                    let _ = down.poll_flush(cx)?;
                    return Poll::Pending;
                }
                Poll::Ready(bytes) if bytes.is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(bytes) => down.push(bytes),
            }
        }
        if down.poll_flush(cx)?.is_pending() {
            return Poll::Pending;
        }
    }
}
