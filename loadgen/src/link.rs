//! A connection's bytes in plain text, sent and received through TLS where there is some; or the
//! socket of datagrams that takes the place of a connection.
//!
//! Owns: the socket, the TLS engine beside it, the order of their calls. Does not own: what the
//! bytes mean. Without TLS nothing is copied and nothing is added to the socket's own path.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use ringway_runtime::buffer::{self, Buf, Class};
use ringway_runtime::stream::Stream;
use ringway_tls::Engine;

use crate::datagrams::Datagrams;
use crate::send::poll_send;

/// Sealed bytes that may wait in the socket's queue before more are sealed.
const MAX_SEALED: usize = 256 * 1024;
/// What is longer gets a buffer of its own: a tail has room for twice as much.
const TAIL_MAX: usize = 2048;
/// What TLS adds to sealed bytes at most: 22 to each record, of 2 KiB or more, and an alert.
const SEAL_SHARE: usize = 64;
const SEAL_SPARE: usize = 1024;

/// One connection.
#[derive(Debug)]
pub(crate) enum Link {
    /// Without TLS.
    Plain(Stream),
    Sealed(Box<Sealed>),
    Datagrams(Box<Datagrams>),
}

#[derive(Debug)]
pub(crate) struct Sealed {
    stream: Stream,
    engine: Engine,
    /// Plaintext to be sealed, from `sealed` on.
    plain: Vec<u8>,
    sealed: usize,
    /// `close_notify` follows what is to be sealed.
    ends: bool,
    /// Received bytes that the engine has not taken yet.
    received: Buf,
}

impl Link {
    /// With TLS, whose handshake is still to come: [`Link::handshake`].
    pub(crate) fn sealed(stream: Stream, engine: Engine) -> Self {
        let (plain, received) = (Vec::new(), Buf::default());
        let sealed = Sealed { stream, engine, plain, sealed: 0, ends: false, received };
        Self::Sealed(Box::new(sealed))
    }

    /// The TLS engine, for what a handshake agreed on.
    pub(crate) fn tls(&self) -> Option<&Engine> {
        match self {
            Self::Sealed(tls) => Some(&tls.engine),
            Self::Plain(_) | Self::Datagrams(_) => None,
        }
    }

    /// Plaintext to be sent next; append to it.
    #[inline]
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Plain(stream) => stream.tail(),
            Self::Sealed(tls) => &mut tls.plain,
            Self::Datagrams(datagrams) => datagrams.tail(),
        }
    }

    /// Queues a whole buffer, without a copy where there is no TLS; a datagram is sent at once.
    pub(crate) fn push(&mut self, buf: Buf) {
        match self {
            Self::Plain(stream) => stream.push(buf),
            Self::Sealed(tls) => tls.plain.extend_from_slice(&buf),
            Self::Datagrams(datagrams) => datagrams.send(buf),
        }
    }

    /// Queues a copy of bytes: few behind what is there already, many in buffers of the pool, since
    /// a tail that had to grow so far would be mapped and unmapped by the allocator each time.
    pub(crate) fn append(&mut self, mut bytes: &[u8]) {
        let Self::Plain(stream) = self else { return self.tail().extend_from_slice(bytes) };
        if bytes.len() <= TAIL_MAX {
            return stream.tail().extend_from_slice(bytes);
        }
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(Class::LARGE.capacity()));
            let mut piece = buffer::take(Class::fitting(now.len()));
            piece.extend_from_slice(now);
            stream.push(Buf::new(piece));
            bytes = later;
        }
    }

    /// Bytes that wait to be sent, without those of the send that is under way.
    pub(crate) fn queued_bytes(&self) -> usize {
        match self {
            Self::Plain(stream) => stream.queued_bytes(),
            Self::Sealed(tls) => tls.stream.queued_bytes() + tls.plain.len() - tls.sealed,
            // The kernel has them, or nobody.
            Self::Datagrams(_) => 0,
        }
    }

    /// Hands what is queued to the kernel; see [`poll_send`].
    #[inline]
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => poll_send(stream, cx),
            Self::Sealed(tls) => tls.poll_send(cx),
            Self::Datagrams(datagrams) => datagrams.poll_send(cx),
        }
    }

    /// Sends all that is queued; `Ready` when the kernel has it.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_flush(cx),
            Self::Sealed(tls) => tls.poll_flush(cx),
            Self::Datagrams(datagrams) => datagrams.poll_send(cx),
        }
    }

    /// The next plaintext; an empty buffer is the end of the peer's bytes. What is sealed in one
    /// piece of input comes out in one piece.
    ///
    /// # Errors
    ///
    /// Those of the socket; `InvalidData` where TLS refuses what came; `UnexpectedEof` where the
    /// peer went without saying so.
    #[inline]
    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Buf>> {
        match self {
            Self::Plain(stream) => stream.poll_receive(cx),
            Self::Sealed(tls) => tls.poll_receive(cx),
            Self::Datagrams(datagrams) => datagrams.poll_receive(cx),
        }
    }

    /// Ends the handshake, if there is one.
    pub(crate) async fn handshake(&mut self) -> io::Result<()> {
        match self {
            Self::Sealed(tls) => poll_fn(|cx| tls.poll_handshake(cx)).await,
            Self::Plain(_) | Self::Datagrams(_) => Ok(()),
        }
    }

    /// Says behind what is queued that nothing more follows, as far as TLS has a word for it.
    pub(crate) fn say_end(&mut self) {
        if let Self::Sealed(tls) = self {
            tls.ends = true;
        }
    }

    /// Says so on the socket, too. Call when flushed.
    pub(crate) fn shutdown_write(&self) {
        match self {
            Self::Plain(stream) => stream.shutdown_write(),
            Self::Sealed(tls) => tls.stream.shutdown_write(),
            Self::Datagrams(_) => {}
        }
    }
}

impl Sealed {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.seal() {
            ready!(self.stream.poll_flush(cx))?;
        }
        poll_send(&mut self.stream, cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let more = self.seal();
            ready!(self.stream.poll_flush(cx))?;
            if !more {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Buf>> {
        loop {
            let opened = self.open().inspect_err(|_| {
                // The alert says why; that it arrives is not worth waiting for.
                self.seal();
                let _ = poll_send(&mut self.stream, cx);
            })?;
            if !opened.is_empty() || self.engine.peer_closed() {
                return Poll::Ready(Ok(opened));
            }
            self.received = ready!(self.stream.poll_receive(cx))?;
            if self.received.is_empty() {
                return Poll::Ready(self.end_of_stream().map(|()| Buf::default()));
            }
        }
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let taken = self.take();
            self.seal();
            if let Poll::Ready(Err(error)) = poll_send(&mut self.stream, cx) {
                return Poll::Ready(Err(error));
            }
            taken?;
            if !self.engine.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if self.received.is_empty() {
                self.received = ready!(self.stream.poll_receive(cx))?;
                if self.received.is_empty() {
                    return Poll::Ready(self.end_of_stream());
                }
            }
        }
    }

    /// Seals what waits, up to a bound; whether some of it is left.
    fn seal(&mut self) -> bool {
        while self.stream.queued_bytes() < MAX_SEALED {
            let sealed = self.engine.send(&self.plain[self.sealed..]);
            self.sealed += sealed;
            if self.ends && self.sealed == self.plain.len() {
                self.engine.close();
            }
            let transmitted = self.transmit(sealed);
            if sealed == 0 && transmitted == 0 {
                break;
            }
        }
        let left = self.sealed < self.plain.len();
        if !left {
            self.plain.clear();
            self.sealed = 0;
        }
        // What a handshake holds back is not more to send now.
        left && !self.engine.is_handshaking()
    }

    /// Queues what the engine has to send, of which so many bytes are new.
    fn transmit(&mut self, sealed: usize) -> usize {
        if sealed <= TAIL_MAX {
            return self.engine.transmit(self.stream.tail());
        }
        let mut piece = buffer::take(Class::fitting(sealed + sealed / SEAL_SHARE + SEAL_SPARE));
        let transmitted = self.engine.transmit(&mut piece);
        self.stream.push(Buf::new(piece));
        transmitted
    }

    /// Gives the engine what it takes of the received bytes.
    fn take(&mut self) -> io::Result<()> {
        if self.received.is_empty() {
            return Ok(());
        }
        let progress = self.engine.receive(&mut self.received, Instant::now()).map_err(refused)?;
        self.received.consume(progress.taken);
        Ok(())
    }

    /// The plaintext of all received bytes.
    fn open(&mut self) -> io::Result<Buf> {
        let mut plain = Vec::new();
        loop {
            loop {
                let piece = self.engine.plaintext();
                let length = piece.len();
                if length == 0 {
                    break;
                }
                if plain.capacity() == 0 {
                    plain = buffer::take(Class::SMALL);
                }
                plain.extend_from_slice(piece);
                self.engine.consume(length);
            }
            if self.received.is_empty() || self.engine.peer_closed() {
                return Ok(Buf::new(plain));
            }
            self.take()?;
        }
    }

    fn end_of_stream(&mut self) -> io::Result<()> {
        let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "closed without close_notify");
        self.engine.end_of_stream().map_err(|_| cut())
    }
}

/// A refusal by TLS: told from what sockets report by its kind.
fn refused(error: ringway_tls::TlsError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
