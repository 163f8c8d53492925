//! One client of the origin, and the answers of HTTP/1.1.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use ringway_runtime::buffer::{self, Buf, Class};
use ringway_runtime::deadline::Deadline;
use ringway_runtime::stream::Stream;
use ringway_tls::{Engine, ServerContext};

use super::answer::{Body, Defaults, Ending, fill};
use super::request::{Event, Prepared, Reader, head, refusal};
use super::{http2, tcp, websocket};
use crate::cli::TcpWish;
use crate::link::Link;

/// Bytes that may wait to be sent before reading stops.
pub(super) const MAX_QUEUED: usize = 256 * 1024;
/// Large bodies go out in pieces of this size.
const PIECE: u64 = 128 * 1024;

/// What a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How the client preface of HTTP/2 begins (RFC 9113 section 3.4); no method of HTTP/1.1 does.
const PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// What all connections of the origin share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) defaults: Defaults,
    pub(super) tls: Option<ServerContext>,
    pub(super) tcp: Option<TcpWish>,
}

/// Serves a client until one of the two has enough.
pub(super) async fn serve(stream: Stream, shared: Rc<Shared>) {
    let link = match &shared.tls {
        None => Link::Plain(stream),
        Some(context) => {
            match Engine::server(context, Instant::now(), Some(HANDSHAKE)) {
                Ok(engine) => Link::sealed(stream, engine),
                // Nothing was said yet that could be answered.
                Err(_) => return,
            }
        }
    };
    let mut client = Client { link, open: true };
    // A client that breaks off is no trouble of the origin's.
    let _ = client.serve(&shared).await;
}

/// One connection.
pub(super) struct Client {
    pub(super) link: Link,
    open: bool,
}

/// What HTTP/1.1 led to.
enum Then {
    /// The end.
    Close,
    /// HTTP/2, beginning with these bytes.
    Http2(Buf),
    /// A WebSocket, beginning with these bytes.
    WebSocket(Vec<u8>),
}

impl Client {
    async fn serve(&mut self, shared: &Shared) -> io::Result<()> {
        self.link.handshake().await?;
        let is_h2 = self.link.tls().and_then(Engine::alpn) == Some(b"h2");
        if let Some(wish) = shared.tcp {
            tcp::serve(self, wish, shared.defaults.size).await?;
        } else if is_h2 {
            http2::serve(self, Buf::default(), shared.defaults).await?;
        } else {
            let mut reader = Reader::new(shared.defaults);
            match self.http1(&mut reader).await? {
                Then::Close => {}
                Then::Http2(first) => http2::serve(self, first, shared.defaults).await?,
                Then::WebSocket(early) => websocket::serve(self, &early).await?,
            }
        }
        self.link.say_end();
        self.flush().await?;
        self.link.shutdown_write();
        self.drain().await
    }

    async fn http1(&mut self, reader: &mut Reader) -> io::Result<Then> {
        let mut is_first = true;
        while self.open {
            let input = self.receive().await?;
            if input.is_empty() {
                break;
            }
            if std::mem::take(&mut is_first) && input.starts_with(PREFACE) {
                return Ok(Then::Http2(input));
            }
            if let Some(early) = self.answer_all(reader, &input).await? {
                return Ok(Then::WebSocket(early));
            }
        }
        Ok(Then::Close)
    }

    /// The next bytes, while what is queued goes out.
    pub(super) async fn receive(&mut self) -> io::Result<Buf> {
        if self.link.queued_bytes() > MAX_QUEUED {
            self.flush().await?;
        }
        poll_fn(|cx| {
            if let Poll::Ready(Err(error)) = self.link.poll_send(cx) {
                return Poll::Ready(Err(error));
            }
            self.link.poll_receive(cx)
        })
        .await
    }

    /// Answers what is in the input; what follows a handshake of WebSocket is given back.
    async fn answer_all(
        &mut self,
        reader: &mut Reader,
        input: &[u8],
    ) -> io::Result<Option<Vec<u8>>> {
        let mut rest = input;
        while self.open && !rest.is_empty() {
            let (consumed, event) = match reader.step(rest) {
                Ok(step) => step,
                Err(refused) => {
                    self.link.tail().extend_from_slice(&refusal(&refused));
                    self.open = false;
                    return Ok(None);
                }
            };
            rest = &rest[consumed..];
            match event {
                Event::NeedMore => {}
                Event::Continue => {
                    self.link.tail().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
                Event::Request(prepared, body) => match &prepared.ready {
                    Some(ready) => {
                        self.link.append(ready);
                        self.open = prepared.stays_open();
                        if prepared.is_upgrade {
                            return Ok(Some(rest.to_vec()));
                        }
                    }
                    None => self.answer(&prepared, body).await?,
                },
            }
            if self.link.queued_bytes() > MAX_QUEUED {
                self.flush().await?;
            }
        }
        Ok(None)
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
        head(self.link.tail(), prepared, length);
        if prepared.is_head || answer.is_bodyless() {
            return Ok(());
        }
        let half = |size: u64| if answer.ending == Ending::Truncated { size / 2 } else { size };
        match answer.body {
            Body::Bytes(size) | Body::UntilClose(size) => self.bytes(0, half(size)).await,
            Body::Chunked { count, size, pause } => {
                for number in 0..half(count) {
                    if !pause.is_zero() {
                        self.flush().await?;
                        ringway_runtime::sleep(pause).await;
                    }
                    self.link.tail().extend_from_slice(format!("{size:x}\r\n").as_bytes());
                    let from = number.saturating_mul(size);
                    self.bytes(from, from.saturating_add(size)).await?;
                    self.link.tail().extend_from_slice(b"\r\n");
                }
                if answer.ending != Ending::Truncated {
                    self.link.tail().extend_from_slice(b"0\r\n\r\n");
                }
                Ok(())
            }
            Body::Echo => {
                self.link.push(Buf::new(body));
                Ok(())
            }
        }
    }

    /// Sends bytes `at..end` of the usual body, in pieces.
    pub(super) async fn bytes(&mut self, mut at: u64, end: u64) -> io::Result<()> {
        while at < end {
            let to = (at + PIECE).min(end);
            self.append(at, to);
            at = to;
            if self.link.queued_bytes() > MAX_QUEUED {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Queues bytes `at..to` of the usual body: few behind the head, many in a buffer of their own,
    /// since a head's buffer that had to grow so far would be made anew for each answer.
    fn append(&mut self, at: u64, to: u64) {
        let length = (to - at) as usize;
        if length <= Class::SMALL.capacity() / 2 {
            return fill(self.link.tail(), at, to);
        }
        let mut piece = buffer::take(Class::fitting(length));
        fill(&mut piece, at, to);
        self.link.push(Buf::new(piece));
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.link.poll_flush(cx)).await
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
                Poll::Pending => self.link.poll_receive(cx),
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
