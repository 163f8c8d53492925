//! A connection's bytes in plain text, sent and received through TLS where there is some.
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
pub(crate) struct Link {
    stream: Stream,
    tls: Option<Box<Sealed>>,
}

#[derive(Debug)]
struct Sealed {
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
    /// Without TLS.
    pub(crate) fn plain(stream: Stream) -> Self {
        Self { stream, tls: None }
    }

    /// With TLS, whose handshake is still to come: [`Link::handshake`].
    pub(crate) fn sealed(stream: Stream, engine: Engine) -> Self {
        let (plain, received) = (Vec::new(), Buf::default());
        let tls = Sealed { engine, plain, sealed: 0, ends: false, received };
        Self { stream, tls: Some(Box::new(tls)) }
    }

    /// The TLS engine, for what a handshake agreed on.
    pub(crate) fn tls(&self) -> Option<&Engine> {
        self.tls.as_deref().map(|tls| &tls.engine)
    }

    /// Plaintext to be sent next; append to it.
    #[inline]
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        match &mut self.tls {
            None => self.stream.tail(),
            Some(tls) => &mut tls.plain,
        }
    }

    /// Queues a whole buffer, without a copy where there is no TLS.
    pub(crate) fn push(&mut self, buf: Buf) {
        match &mut self.tls {
            None => self.stream.push(buf),
            Some(tls) => tls.plain.extend_from_slice(&buf),
        }
    }

    /// Queues a copy of bytes: few behind what is there already, many in buffers of the pool, since
    /// a tail that had to grow so far would be mapped and unmapped by the allocator each time.
    pub(crate) fn append(&mut self, mut bytes: &[u8]) {
        if bytes.len() <= TAIL_MAX || self.tls.is_some() {
            return self.tail().extend_from_slice(bytes);
        }
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(Class::LARGE.capacity()));
            let mut piece = buffer::take(Class::fitting(now.len()));
            piece.extend_from_slice(now);
            self.stream.push(Buf::new(piece));
            bytes = later;
        }
    }

    /// Bytes that wait to be sent, without those of the send that is under way.
    pub(crate) fn queued_bytes(&self) -> usize {
        let unsealed = self.tls.as_ref().map_or(0, |tls| tls.plain.len() - tls.sealed);
        self.stream.queued_bytes() + unsealed
    }

    /// Hands what is queued to the kernel; see [`poll_send`].
    #[inline]
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.seal() {
                return poll_send(&mut self.stream, cx);
            }
            ready!(self.stream.poll_flush(cx))?;
        }
    }

    /// Sends all that is queued; `Ready` when the kernel has it.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let more = self.seal();
            ready!(self.stream.poll_flush(cx))?;
            if !more {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Seals what waits, up to a bound; whether some of it is left.
    #[inline]
    fn seal(&mut self) -> bool {
        let Self { stream, tls: Some(tls) } = self else { return false };
        tls.seal(stream)
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
        let Some(tls) = &mut self.tls else { return self.stream.poll_receive(cx) };
        loop {
            let opened = tls.open().inspect_err(|_| {
                // The alert says why; that it arrives is not worth waiting for.
                tls.seal(&mut self.stream);
                let _ = poll_send(&mut self.stream, cx);
            })?;
            if !opened.is_empty() || tls.engine.peer_closed() {
                return Poll::Ready(Ok(opened));
            }
            tls.received = ready!(self.stream.poll_receive(cx))?;
            if tls.received.is_empty() {
                return Poll::Ready(tls.end_of_stream().map(|()| Buf::default()));
            }
        }
    }

    /// Ends the handshake, if there is one.
    pub(crate) async fn handshake(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_handshake(cx)).await
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(tls) = &mut self.tls else { return Poll::Ready(Ok(())) };
        loop {
            let taken = tls.take();
            tls.seal(&mut self.stream);
            if let Poll::Ready(Err(error)) = poll_send(&mut self.stream, cx) {
                return Poll::Ready(Err(error));
            }
            taken?;
            if !tls.engine.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if tls.received.is_empty() {
                tls.received = ready!(self.stream.poll_receive(cx))?;
                if tls.received.is_empty() {
                    return Poll::Ready(tls.end_of_stream());
                }
            }
        }
    }

    /// Says behind what is queued that nothing more follows, as far as TLS has a word for it.
    pub(crate) fn say_end(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.ends = true;
        }
    }

    /// Says so on the socket, too. Call when flushed.
    pub(crate) fn shutdown_write(&self) {
        self.stream.shutdown_write();
    }
}

impl Sealed {
    fn seal(&mut self, stream: &mut Stream) -> bool {
        while stream.queued_bytes() < MAX_SEALED {
            let sealed = self.engine.send(&self.plain[self.sealed..]);
            self.sealed += sealed;
            if self.ends && self.sealed == self.plain.len() {
                self.engine.close();
            }
            let transmitted = self.transmit(sealed, stream);
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
    fn transmit(&mut self, sealed: usize, stream: &mut Stream) -> usize {
        if sealed <= TAIL_MAX {
            return self.engine.transmit(stream.tail());
        }
        let mut piece = buffer::take(Class::fitting(sealed + sealed / SEAL_SHARE + SEAL_SPARE));
        let transmitted = self.engine.transmit(&mut piece);
        stream.push(Buf::new(piece));
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
