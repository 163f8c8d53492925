//! What the data path reads from and writes to: bytes as they are, or TLS in between.
//!
//! Owns: the choice between the two, which a codec never sees. Does not own: sockets and buffers
//! (`ringway_runtime::stream`), nor the rules of TLS (`ringway_tls`).

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use ringway_runtime::buffer::Buf;
use ringway_runtime::stream::Stream;

/// A connection. Lengths are those of the plaintext, except for [`Transport::transferred`].
#[derive(Debug)]
pub(crate) enum Transport {
    /// `raw_buffer`
    Plain(Stream),
}

impl Transport {
    /// Waits for bytes, see [`Stream::poll_receive`]; `Ready` with an empty buffer is the end.
    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Buf>> {
        match self {
            Self::Plain(stream) => stream.poll_receive(cx),
        }
    }

    /// Bytes to append to what will be sent next; for heads and small pieces.
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Plain(stream) => stream.tail(),
        }
    }

    /// Queues a whole buffer without copying it, where that is possible.
    pub(crate) fn push(&mut self, buf: Buf) {
        match self {
            Self::Plain(stream) => stream.push(buf),
        }
    }

    /// Bytes that wait to be sent, without those of the send that is under way.
    pub(crate) fn queued_bytes(&self) -> usize {
        match self {
            Self::Plain(stream) => stream.queued_bytes(),
        }
    }

    /// Whether everything was sent.
    pub(crate) fn is_flushed(&mut self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_flushed(),
        }
    }

    /// Sends what is queued; `Ready` when all of it has been handed to the kernel.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_flush(cx),
        }
    }

    /// The same without asking to be woken, see [`Stream::poll_flush_unattended`].
    pub(crate) fn poll_flush_unattended(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_flush_unattended(cx),
        }
    }

    /// Gives back what only a busy connection needs: call when it goes idle.
    pub(crate) fn relax(&mut self) {
        match self {
            Self::Plain(stream) => stream.relax(),
        }
    }

    /// The protocol that ALPN has chosen.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
        }
    }

    /// Bytes of the socket, received and given to sends.
    pub(crate) fn transferred(&self) -> (u64, u64) {
        match self {
            Self::Plain(stream) => stream.transferred(),
        }
    }

    /// Queues what is said before the end (the `close_notify` of TLS). Flush afterwards, then
    /// [`Transport::shutdown_write`].
    pub(crate) fn say_goodbye(&mut self) {
        match self {
            Self::Plain(_) => {}
        }
    }

    /// Tells the peer that nothing more will be sent. Call when flushed.
    pub(crate) fn shutdown_write(&self) {
        self.stream().shutdown_write();
    }

    /// Our own address, if it is an IP address.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        self.stream().local_address()
    }

    fn stream(&self) -> &Stream {
        match self {
            Self::Plain(stream) => stream,
        }
    }
}
