//! One client of the origin.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use ringway_runtime::buffer::Buf;
use ringway_runtime::deadline::Deadline;
use ringway_runtime::stream::Stream;

use super::answer::{Body, Defaults, Ending, fill};
use super::request::{Event, Prepared, Reader, head, refusal};
use crate::send::poll_send;

/// Bytes that may wait to be sent before reading stops.
const MAX_QUEUED: usize = 256 * 1024;
/// Large bodies go out in pieces of this size.
const PIECE: u64 = 128 * 1024;

/// What all connections of a worker share.
#[derive(Debug)]
pub(super) struct Shared {
    defaults: Defaults,
}

impl Shared {
    pub(super) fn new(defaults: Defaults) -> Self {
        Self { defaults }
    }
}

/// Serves a client until one of the two has enough.
pub(super) async fn serve(stream: Stream, shared: Rc<Shared>) {
    let mut client = Client { stream, open: true };
    let mut reader = Reader::new(shared.defaults);
    // A client that breaks off is no trouble of the origin's.
    let _ = client.serve(&mut reader).await;
}

struct Client {
    stream: Stream,
    open: bool,
}

impl Client {
    async fn serve(&mut self, reader: &mut Reader) -> io::Result<()> {
        while self.open {
            let input = self.receive().await?;
            if input.is_empty() {
                break;
            }
            self.answer_all(reader, &input).await?;
        }
        self.flush().await?;
        self.stream.shutdown_write();
        self.drain().await
    }

    /// The next bytes, while what is queued goes out.
    async fn receive(&mut self) -> io::Result<Buf> {
        if self.stream.queued_bytes() > MAX_QUEUED {
            self.flush().await?;
        }
        poll_fn(|cx| {
            if let Poll::Ready(Err(error)) = poll_send(&mut self.stream, cx) {
                return Poll::Ready(Err(error));
            }
            self.stream.poll_receive(cx)
        })
        .await
    }

    async fn answer_all(&mut self, reader: &mut Reader, input: &[u8]) -> io::Result<()> {
        let mut rest = input;
        while self.open && !rest.is_empty() {
            let (consumed, event) = match reader.step(rest) {
                Ok(step) => step,
                Err(refused) => {
                    self.stream.tail().extend_from_slice(&refusal(&refused));
                    self.open = false;
                    return Ok(());
                }
            };
            rest = &rest[consumed..];
            match event {
                Event::NeedMore => {}
                Event::Continue => {
                    self.stream.tail().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
                Event::Request(prepared, body) => match &prepared.ready {
                    Some(ready) => {
                        self.stream.tail().extend_from_slice(ready);
                        self.open = prepared.stays_open();
                    }
                    None => self.answer(&prepared, body).await?,
                },
            }
            if self.stream.queued_bytes() > MAX_QUEUED {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// An answer that waits, streams or fails.
    async fn answer(&mut self, prepared: &Prepared, body: Vec<u8>) -> io::Result<()> {
        let answer = &prepared.answer;
        if !answer.delay.is_zero() {
            self.flush().await?;
            ringway_runtime::sleep(answer.delay).await;
        }
        self.open = prepared.stays_open();
        if answer.ending == Ending::Silent {
            return Ok(());
        }
        let length = match answer.body {
            Body::Bytes(size) => Some(size),
            Body::Echo => Some(body.len() as u64),
            Body::Chunked { .. } | Body::UntilClose(_) => None,
        };
        head(self.stream.tail(), prepared, length);
        if prepared.is_head || answer.is_bodyless() {
            return Ok(());
        }
        let half = |size: u64| if answer.ending == Ending::Truncated { size / 2 } else { size };
        match answer.body {
            Body::Bytes(size) | Body::UntilClose(size) => self.bytes(half(size)).await,
            Body::Chunked { count, size, pause } => {
                for _ in 0..half(count) {
                    if !pause.is_zero() {
                        self.flush().await?;
                        ringway_runtime::sleep(pause).await;
                    }
                    self.stream.tail().extend_from_slice(format!("{size:x}\r\n").as_bytes());
                    self.bytes(size).await?;
                    self.stream.tail().extend_from_slice(b"\r\n");
                }
                if answer.ending != Ending::Truncated {
                    self.stream.tail().extend_from_slice(b"0\r\n\r\n");
                }
                Ok(())
            }
            Body::Echo => {
                self.stream.push(Buf::new(body));
                Ok(())
            }
        }
    }

    /// Sends so many bytes of the usual body, in pieces.
    async fn bytes(&mut self, size: u64) -> io::Result<()> {
        let mut at = 0;
        while at < size {
            let to = (at + PIECE).min(size);
            fill(self.stream.tail(), at, to);
            at = to;
            if self.stream.queued_bytes() > MAX_QUEUED {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.stream.poll_flush(cx)).await
    }

    /// Reads what the client still sends, as far as it was on its way: a close with unread bytes
    /// is a reset, which could destroy the answer before the client has read it (RFC 9112
    /// section 9.6).
    async fn drain(&mut self) -> io::Result<()> {
        let mut patience = Deadline::new();
        patience.set(Some(Instant::now() + PATIENCE));
        for _ in 0..MAX_DRAINED {
            let received = poll_fn(|cx| match patience.poll(cx) {
                Poll::Ready(()) => Poll::Ready(Ok(Buf::default())),
                Poll::Pending => self.stream.poll_receive(cx),
            });
            if received.await?.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

/// What a client may take to close its side, and to send until then.
const PATIENCE: Duration = Duration::from_secs(2);
const MAX_DRAINED: usize = 64;
