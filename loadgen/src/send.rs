//! Sending without being woken for it.

use std::io;
use std::task::{Context, Poll, Waker};

use ringway_runtime::stream::Stream;

/// Hands what is queued to the kernel. The task is woken when that is done only if something is
/// left that must follow it: who waits for an answer has no use for a wake-up before it.
///
/// An error may also show at the next call, or as the end of the stream.
#[inline]
pub(crate) fn poll_send(stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    if stream.is_flushed() {
        return Poll::Ready(Ok(()));
    }
    let sent = stream.poll_flush(&mut Context::from_waker(Waker::noop()));
    if sent.is_pending() && stream.queued_bytes() > 0 {
        return stream.poll_flush(cx);
    }
    sent
}
