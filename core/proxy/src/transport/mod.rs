//! What the data path reads from and writes to: bytes as they are, or TLS in between.
//!
//! Owns: the choice between the two, which a codec never sees. Does not own: sockets and buffers
//! (`ringway_runtime::stream`), nor the rules of TLS (`ringway_tls`).

mod accept;
mod connect;
mod count;
mod gate;
mod guarded;
mod handshake;
mod key_log;
mod secured;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ringway_runtime::buffer::Buf;
use ringway_runtime::stream::Stream;
use ringway_tls::Handshake;

pub(crate) use accept::{Refused, accept};
pub(crate) use connect::connect;
pub(crate) use count::MetNames;
pub(crate) use gate::Gate;
pub(crate) use guarded::{Guarded, guard};
pub(crate) use secured::Secured;

/// A connection. All lengths are those of the plaintext.
#[derive(Debug)]
pub(crate) enum Transport {
    /// `raw_buffer`
    Plain(Stream),
    /// `tls`
    Tls(Box<Secured>),
    /// Either of them, behind network filters that look at bytes.
    Guarded(Box<Guarded>),
}

impl Transport {
    /// Waits for bytes, see [`Stream::poll_receive`]; `Ready` with an empty buffer is the end.
    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Buf>> {
        match self {
            Self::Plain(stream) => stream.poll_receive(cx),
            Self::Tls(secured) => secured.poll_receive(cx),
            Self::Guarded(guarded) => guarded.poll_receive(cx),
        }
    }

    /// Bytes to append to what will be sent next; for heads and small pieces.
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Plain(stream) => stream.tail(),
            Self::Tls(secured) => secured.tail(),
            Self::Guarded(guarded) => guarded.inner.tail(),
        }
    }

    /// Gives back a tail that nothing was appended to.
    pub(crate) fn release_tail(&mut self) {
        match self {
            Self::Plain(stream) => stream.release_tail(),
            Self::Tls(secured) => secured.release_tail(),
            Self::Guarded(guarded) => guarded.inner.release_tail(),
        }
    }

    /// Queues a whole buffer without copying it, where that is possible.
    pub(crate) fn push(&mut self, buf: Buf) {
        match self {
            Self::Plain(stream) => stream.push(buf),
            Self::Tls(secured) => secured.push(buf),
            Self::Guarded(guarded) => guarded.inner.push(buf),
        }
    }

    /// Bytes that wait to be sent, without those of the send that is under way.
    pub(crate) fn queued_bytes(&self) -> usize {
        match self {
            Self::Plain(stream) => stream.queued_bytes(),
            Self::Tls(secured) => secured.queued_bytes(),
            Self::Guarded(guarded) => guarded.inner.queued_bytes(),
        }
    }

    /// Whether the peer does not take what it was sent, see [`Stream::is_stuck`].
    pub(crate) fn is_stuck(&mut self) -> bool {
        self.stream_mut().is_stuck()
    }

    /// Whether the peer was stuck lately.
    pub(crate) fn is_slow(&self) -> bool {
        self.stream().is_slow()
    }

    /// Whether to receive little at a time, since it is for a peer that is slow.
    pub(crate) fn receive_sparingly(&mut self, sparingly: bool) {
        self.stream_mut().receive_sparingly(sparingly);
    }

    /// Whether everything was sent.
    pub(crate) fn is_flushed(&mut self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_flushed(),
            Self::Tls(secured) => secured.is_flushed(),
            Self::Guarded(guarded) => guarded.inner.is_flushed(),
        }
    }

    /// Sends what is queued; `Ready` when all of it has been handed to the kernel.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_flush(cx),
            Self::Tls(secured) => secured.poll_flush(cx),
            Self::Guarded(guarded) => guarded.inner.poll_flush(cx),
        }
    }

    /// The same without asking to be woken, see [`Stream::poll_flush_unattended`].
    pub(crate) fn poll_flush_unattended(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_flush_unattended(cx),
            Self::Tls(secured) => secured.poll_flush_unattended(cx),
            Self::Guarded(guarded) => guarded.inner.poll_flush_unattended(cx),
        }
    }

    /// Gives back what only a busy connection needs: call when it goes idle.
    pub(crate) fn relax(&mut self) {
        match self {
            Self::Plain(stream) => stream.relax(),
            Self::Tls(secured) => secured.relax(),
            Self::Guarded(guarded) => guarded.inner.relax(),
        }
    }

    /// Bytes received and bytes given to sends.
    pub(crate) fn transferred(&self) -> (u64, u64) {
        match self {
            Self::Plain(stream) => stream.transferred(),
            Self::Tls(secured) => secured.transferred(),
            Self::Guarded(guarded) => guarded.inner.transferred(),
        }
    }

    /// Queues what is said before the end (the `close_notify` of TLS). Flush afterwards, then
    /// [`Transport::shutdown_write`].
    pub(crate) fn say_goodbye(&mut self) {
        match self {
            Self::Plain(_) => {}
            Self::Tls(secured) => secured.say_goodbye(),
            Self::Guarded(guarded) => guarded.inner.say_goodbye(),
        }
    }

    /// Says goodbye on a connection that is dropped next, where nobody waits for it to be sent.
    pub(crate) fn part(&mut self) {
        match self {
            Self::Plain(_) => {}
            Self::Tls(secured) => secured.part(),
            Self::Guarded(guarded) => guarded.inner.part(),
        }
    }

    /// The protocol that was agreed on by ALPN.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(secured) => secured.alpn(),
            Self::Guarded(guarded) => guarded.inner.alpn(),
        }
    }

    /// What the handshake came to, if there was one.
    pub(crate) fn handshake(&self) -> Option<&Rc<Handshake>> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(secured) => Some(secured.handshake()),
            Self::Guarded(guarded) => guarded.inner.handshake(),
        }
    }

    /// Tells the peer that nothing more will be sent. Call when flushed.
    pub(crate) fn shutdown_write(&self) {
        self.stream().shutdown_write();
    }

    /// Closes with a reset when dropped, and without a goodbye.
    pub(crate) fn reset_on_drop(&self) {
        self.stream().reset_on_drop();
    }

    /// Bounds how long the peer may leave what it was sent, see [`Stream::bound_backlog`].
    pub(crate) fn bound_backlog(&mut self, limit: usize, timeout: Option<Duration>) {
        // Without a limit nothing is above it.
        if let Some(timeout) = timeout.filter(|_| limit < usize::MAX) {
            self.stream_mut().bound_backlog(limit, timeout);
        }
    }

    /// Whether it ends since the peer did not take what it was sent.
    pub(crate) fn is_overdue(&self) -> bool {
        self.stream().is_overdue()
    }

    /// Our own address, if it is an IP address.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        self.stream().local_address()
    }

    fn stream(&self) -> &Stream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(secured) => &secured.stream,
            Self::Guarded(guarded) => guarded.inner.stream(),
        }
    }

    fn stream_mut(&mut self) -> &mut Stream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(secured) => &mut secured.stream,
            Self::Guarded(guarded) => guarded.inner.stream_mut(),
        }
    }
}
