//! A stream with TLS on it.
//!
//! Plaintext that is to be sent waits here until the stream can take it, so that a head and the
//! body behind it become one record and one send.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use ringway_bridge::stats::{CounterId, Page};
use ringway_runtime::buffer::{self, Buf, Class};
use ringway_runtime::stream::Stream;
use ringway_tls::{Engine, Handshake, TlsError};

/// Records that may be read in one turn without yielding plaintext (tickets, key updates).
const FRUITLESS_MAX: u32 = 16;
/// What the seal adds to one record, and bytes of plaintext in it (RFC 8446 section 5.2).
const OVERHEAD: usize = 5 + 1 + 16 + 8;
const RECORD: usize = 16 << 10;
/// Plaintext that is sealed for one send.
const SEAL_MAX: usize = 4 * RECORD;

/// An established connection.
#[derive(Debug)]
pub(crate) struct Secured {
    pub(super) stream: Stream,
    engine: Box<Engine>,
    handshake: Rc<Handshake>,
    /// Received and not yet taken by the engine.
    input: Buf,
    unsealed: Unsealed,
    /// `close_notify` follows the plaintext.
    leaving: bool,
    /// Where it is counted that the peer ends it with an error, which it may do once.
    fault: Option<(Arc<Page>, CounterId)>,
    received_bytes: u64,
    sent_bytes: u64,
}

/// Plaintext to be sealed: whole buffers, then small pieces.
#[derive(Debug, Default)]
struct Unsealed {
    queue: Vec<Buf>,
    tail: Vec<u8>,
    queued_bytes: usize,
}

impl Unsealed {
    fn bytes(&self) -> usize {
        self.queued_bytes + self.tail.len()
    }

    fn push(&mut self, buf: Buf) {
        if !self.tail.is_empty() {
            self.queued_bytes += self.tail.len();
            self.queue.push(Buf::new(std::mem::take(&mut self.tail)));
        }
        if !buf.is_empty() {
            self.queued_bytes += buf.len();
            self.queue.push(buf);
        }
    }

    /// Seals up to `max` bytes behind what is in `out`; how many it were.
    fn seal(&mut self, engine: &mut Engine, max: usize, out: &mut Vec<u8>) -> usize {
        let mut room = max;
        while let Some(first) = self.queue.first_mut() {
            let sealed = engine.seal(&first[..first.len().min(room)], out);
            first.consume(sealed);
            self.queued_bytes -= sealed;
            room -= sealed;
            if !first.is_empty() {
                return max - room;
            }
            self.queue.remove(0);
        }
        if self.tail.is_empty() {
            return max - room;
        }
        let sealed = engine.seal(&self.tail[..self.tail.len().min(room)], out);
        if sealed == self.tail.len() {
            buffer::give(std::mem::take(&mut self.tail));
        } else {
            self.tail.drain(..sealed);
        }
        max - room + sealed
    }
}

impl Secured {
    pub(super) fn new(
        stream: Stream,
        engine: Box<Engine>,
        handshake: Rc<Handshake>,
        input: Buf,
    ) -> Self {
        Self {
            stream,
            engine,
            handshake,
            input,
            unsealed: Unsealed::default(),
            leaving: false,
            fault: None,
            received_bytes: 0,
            sent_bytes: 0,
        }
    }

    /// The protocol that was agreed on.
    pub(super) fn alpn(&self) -> Option<&[u8]> {
        self.handshake.alpn.as_deref()
    }

    pub(super) fn handshake(&self) -> &Rc<Handshake> {
        &self.handshake
    }

    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Buf>> {
        for _ in 0..FRUITLESS_MAX {
            if let Some(plaintext) = self.take_plaintext() {
                return Poll::Ready(Ok(plaintext));
            }
            if self.engine.peer_closed() {
                return Poll::Ready(Ok(Buf::default()));
            }
            if self.input.is_empty() {
                self.input = ready!(self.stream.poll_receive(cx))?;
                // Like Envoy, takes an end without `close_notify` for one: many peers never say
                // it, and the framing of messages tells whether something is missing.
                if self.input.is_empty() {
                    return Poll::Ready(Ok(Buf::default()));
                }
            }
            let opened = self.open();
            self.transmit();
            // An answer to the peer (an alert, a key update) leaves at once; whether it could is
            // for the next flush to find out.
            let _ = self.stream.poll_flush_unattended(cx);
            opened.map_err(|error| self.fail(error))?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Counts an error from here on: our side of a handshake of TLS 1.3 is over before the other
    /// has judged it.
    pub(super) fn counts_fault(&mut self, page: &Arc<Page>, counter: CounterId) {
        self.fault = Some((Arc::clone(page), counter));
    }

    fn fail(&mut self, error: TlsError) -> io::Error {
        if let (TlsError::Protocol(_), Some((page, counter))) = (&error, self.fault.take()) {
            page.inc(counter);
        }
        io::Error::other(error)
    }

    fn open(&mut self) -> Result<(), TlsError> {
        let expected = self.engine.expected_plaintext(self.input.len());
        self.engine.lend(buffer::take(Class::fitting(expected)));
        // The deadline of the handshake is over: the time does not matter any more.
        let progress = self.engine.receive(&mut self.input, ringway_runtime::now())?;
        self.input.consume(progress.taken);
        if self.input.is_empty() {
            self.input = Buf::default();
        }
        Ok(())
    }

    fn take_plaintext(&mut self) -> Option<Buf> {
        let plaintext = Buf::new(self.engine.take_plaintext());
        self.received_bytes += plaintext.len() as u64;
        (!plaintext.is_empty()).then_some(plaintext)
    }

    /// Gives back what only a busy connection needs.
    pub(super) fn relax(&mut self) {
        self.stream.relax();
        self.engine.relax();
    }

    pub(super) fn tail(&mut self) -> &mut Vec<u8> {
        if self.unsealed.tail.capacity() == 0 {
            self.unsealed.tail = buffer::take(Class::SMALL);
        }
        &mut self.unsealed.tail
    }

    pub(super) fn release_tail(&mut self) {
        if self.unsealed.tail.is_empty() {
            buffer::give(std::mem::take(&mut self.unsealed.tail));
        }
        self.stream.release_tail();
    }

    pub(super) fn push(&mut self, buf: Buf) {
        self.unsealed.push(buf);
    }

    pub(super) fn queued_bytes(&self) -> usize {
        self.unsealed.bytes() + self.stream.queued_bytes()
    }

    fn has_plaintext(&self) -> bool {
        self.unsealed.bytes() > 0
    }

    pub(super) fn is_flushed(&mut self) -> bool {
        !self.has_plaintext() && self.stream.is_flushed()
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_flush(cx))?;
            if !self.seal() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    pub(super) fn poll_flush_unattended(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.stream.poll_flush_unattended(cx) {
                Poll::Ready(flushed) => flushed?,
                // What waits to be sealed has to be sent next.
                Poll::Pending if self.has_plaintext() => ready!(self.stream.poll_flush(cx))?,
                Poll::Pending => return Poll::Pending,
            }
            if !self.seal() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Seals as much as one send should carry; false when there was nothing to seal.
    fn seal(&mut self) -> bool {
        let Self { stream, engine, unsealed, .. } = self;
        let plaintext = unsealed.bytes().min(SEAL_MAX);
        let len = plaintext + (plaintext / RECORD + unsealed.queue.len() + 1) * OVERHEAD;
        let sealed = if plaintext == 0 {
            0
        } else if len <= Class::SMALL.capacity() {
            unsealed.seal(engine, plaintext, stream.tail())
        } else {
            let mut out = buffer::take(Class::fitting(len));
            let sealed = unsealed.seal(engine, plaintext, &mut out);
            stream.push(Buf::new(out));
            sealed
        };
        self.sent_bytes += sealed as u64;
        if self.leaving && !self.has_plaintext() {
            self.engine.close();
        }
        self.transmit() || sealed > 0
    }

    /// Moves what waits to be sent without plaintext; false when there is nothing.
    fn transmit(&mut self) -> bool {
        self.engine.wants_transmit() && self.engine.transmit(self.stream.tail()) > 0
    }

    pub(super) fn say_goodbye(&mut self) {
        self.leaving = true;
        if !self.has_plaintext() {
            self.engine.close();
            self.transmit();
        }
    }

    /// Says goodbye where nobody waits for it to be sent: it leaves if the socket has room.
    pub(super) fn part(&mut self) {
        if !self.has_plaintext() {
            self.say_goodbye();
            let _ = self.stream.poll_flush_unattended(&mut Context::from_waker(Waker::noop()));
        }
    }

    pub(super) fn transferred(&self) -> (u64, u64) {
        (self.received_bytes, self.sent_bytes)
    }
}
