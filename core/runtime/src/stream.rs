//! A connected socket with one armed receive and one batched send.
//!
//! Both operations live in the stream, not in the future that waits for them: a task may stop
//! waiting, hand the stream to another task or park it in a pool, and no byte is lost, because an
//! operation that was started is never dropped while the stream lives. Whoever polls last is
//! woken.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use monoio::io::{AsyncReadRent, AsyncWriteRent, Splitable};
use monoio::net::TcpStream;

use crate::buffer::{self, Buf, Class};
use crate::iovec::IoVecs;

/// An operation that never ends: each time it is polled it moves the current transfer along.
type Endless = Pin<Box<dyn Future<Output = ()>>>;

/// A TCP or Unix stream.
pub struct Stream {
    fd: RawFd,
    receive: Endless,
    receive_slot: Rc<ReceiveSlot>,
    receiving: bool,
    class: Class,
    send: Endless,
    send_slot: Rc<SendSlot>,
    sending: bool,
    queue: Vec<Buf>,
    tail: Vec<u8>,
    queued_bytes: usize,
    received_bytes: u64,
    sent_bytes: u64,
}

#[derive(Default)]
struct ReceiveSlot {
    request: Cell<Option<Vec<u8>>>,
    done: Cell<Option<(io::Result<usize>, Vec<u8>)>>,
}

#[derive(Default)]
struct SendSlot {
    request: Cell<Option<Outgoing>>,
    done: Cell<Option<io::Result<()>>>,
}

/// What one send carries: nearly always a single piece.
enum Outgoing {
    One(Vec<u8>),
    Many(Vec<Buf>),
}

impl Stream {
    /// Takes over a connected stream socket of any family.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        // SAFETY: the descriptor is owned and open; monoio's TCP stream only ever receives, sends
        // and shuts down, which is the same for every stream socket.
        let std = unsafe { std::net::TcpStream::from_raw_fd(fd.into_raw_fd()) };
        Ok(Self::new(TcpStream::from_std(std)?))
    }

    pub(crate) fn new(stream: TcpStream) -> Self {
        let fd = stream.as_raw_fd();
        let (reader, writer) = stream.into_split();
        let receive_slot = Rc::new(ReceiveSlot::default());
        let send_slot = Rc::new(SendSlot::default());
        Self {
            fd,
            receive: Box::pin(receive_endlessly(reader, Rc::clone(&receive_slot))),
            receive_slot,
            receiving: false,
            class: Class::SMALL,
            send: Box::pin(send_endlessly(writer, Rc::clone(&send_slot))),
            send_slot,
            sending: false,
            queue: Vec::new(),
            tail: Vec::new(),
            queued_bytes: 0,
            received_bytes: 0,
            sent_bytes: 0,
        }
    }

    /// Waits for bytes. Arms a receive when none is armed; `Ready` with an empty buffer is the
    /// peer's end of stream. Do not call again after an end or an error.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Buf>> {
        if !self.receiving {
            self.receive_slot.request.set(Some(buffer::take(self.class)));
            self.receiving = true;
        }
        let pending = self.receive.as_mut().poll(cx);
        debug_assert!(pending.is_pending(), "the receive loop never ends");
        let Some((result, bytes)) = self.receive_slot.done.take() else { return Poll::Pending };
        self.receiving = false;
        let received = result?;
        self.received_bytes += received as u64;
        self.adapt(received);
        Poll::Ready(Ok(Buf::new(bytes)))
    }

    /// Follows the flow: a receive that fills its buffer makes the next one larger, one that
    /// uses little of it makes the next one smaller.
    fn adapt(&mut self, received: usize) {
        if received >= self.class.capacity() {
            self.class = self.class.grown();
        } else if received < self.class.capacity() / 8 {
            self.class = self.class.shrunk();
        }
    }

    /// The next receive holds a small buffer: call when the connection goes idle.
    pub fn relax(&mut self) {
        self.class = Class::SMALL;
    }

    /// Bytes to append to what will be sent next; for heads and small pieces.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        if self.tail.capacity() == 0 {
            self.tail = buffer::take(Class::SMALL);
        }
        &mut self.tail
    }

    /// Queues a whole buffer without copying it.
    pub fn push(&mut self, buf: Buf) {
        self.seal_tail();
        self.queued_bytes += buf.len();
        self.queue.push(buf);
    }

    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            self.queued_bytes += self.tail.len();
            self.queue.push(Buf::new(std::mem::take(&mut self.tail)));
        }
    }

    /// Bytes that wait to be sent, without those of the send that is under way.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes + self.tail.len()
    }

    /// Whether everything was sent.
    pub fn is_flushed(&self) -> bool {
        !self.sending && self.queue.is_empty() && self.tail.is_empty()
    }

    /// Sends what is queued; `Ready` when all of it has been handed to the kernel.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.sending {
                let Some(outgoing) = self.next_outgoing() else { return Poll::Ready(Ok(())) };
                self.send_slot.request.set(Some(outgoing));
                self.sending = true;
            }
            let pending = self.send.as_mut().poll(cx);
            debug_assert!(pending.is_pending(), "the send loop never ends");
            let Some(result) = self.send_slot.done.take() else { return Poll::Pending };
            self.sending = false;
            result?;
        }
    }

    fn next_outgoing(&mut self) -> Option<Outgoing> {
        if self.queue.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            self.sent_bytes += tail.len() as u64;
            return (!tail.is_empty()).then_some(Outgoing::One(tail));
        }
        self.seal_tail();
        self.sent_bytes += self.queued_bytes as u64;
        self.queued_bytes = 0;
        Some(Outgoing::Many(std::mem::take(&mut self.queue)))
    }

    /// Bytes received and bytes given to sends since the stream was made.
    pub fn transferred(&self) -> (u64, u64) {
        (self.received_bytes, self.sent_bytes)
    }

    /// Tells the peer that nothing more will be sent. Call when flushed.
    pub fn shutdown_write(&self) {
        // SAFETY: the descriptor stays open as long as this stream owns both halves.
        // The result does not matter: a peer that is gone needs no end of stream.
        unsafe { libc::shutdown(self.fd, libc::SHUT_WR) };
    }

    /// Our own address, if it is an IP address.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.socket(|socket| socket.local_addr()).ok()?.as_socket()
    }

    /// Sets `TCP_NODELAY`; has no effect on Unix sockets.
    pub fn set_nodelay(&self) {
        // Refused for Unix sockets, which have no such delay.
        let _ = self.socket(|socket| socket.set_tcp_nodelay(true));
    }

    /// Sets TCP keepalive: idle time, interval and number of probes, in seconds where given.
    pub fn set_keepalive(&self, time: Option<u32>, interval: Option<u32>, probes: Option<u32>) {
        let seconds = |s: u32| std::time::Duration::from_secs(u64::from(s));
        let mut keepalive = socket2::TcpKeepalive::new();
        if let Some(time) = time {
            keepalive = keepalive.with_time(seconds(time));
        }
        if let Some(interval) = interval {
            keepalive = keepalive.with_interval(seconds(interval));
        }
        if let Some(probes) = probes {
            keepalive = keepalive.with_retries(probes);
        }
        // Refused for Unix sockets, whose peers cannot vanish silently.
        let _ = self.socket(|socket| socket.set_tcp_keepalive(&keepalive));
    }

    fn socket<T>(&self, f: impl FnOnce(&socket2::Socket) -> io::Result<T>) -> io::Result<T> {
        // SAFETY: the descriptor stays open as long as this stream owns both halves, and the
        // borrowed socket does not outlive this call.
        let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(self.fd) };
        f(&socket2::SockRef::from(&borrowed))
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("fd", &self.fd).finish_non_exhaustive()
    }
}

async fn receive_endlessly(mut reader: impl AsyncReadRent, slot: Rc<ReceiveSlot>) {
    loop {
        let buffer = requested(&slot.request).await;
        let done = reader.read(buffer).await;
        slot.done.set(Some(done));
    }
}

async fn send_endlessly(mut writer: impl AsyncWriteRent, slot: Rc<SendSlot>) {
    let mut iovecs = IoVecs::default();
    loop {
        let result = match requested(&slot.request).await {
            Outgoing::One(bytes) => send_one(&mut writer, Buf::new(bytes)).await,
            Outgoing::Many(mut queue) => loop {
                iovecs.fill(&mut queue);
                let result;
                (result, iovecs) = send_batch(&mut writer, iovecs).await;
                iovecs.clear();
                if result.is_err() || queue.is_empty() {
                    break result;
                }
            },
        };
        slot.done.set(Some(result));
    }
}

async fn send_one(writer: &mut impl AsyncWriteRent, mut buf: Buf) -> io::Result<()> {
    loop {
        let (result, back) = writer.write(SendBuf(buf)).await;
        buf = back.0;
        let sent = result?;
        if sent == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        buf.consume(sent);
        if buf.is_empty() {
            return Ok(());
        }
    }
}

async fn send_batch(
    writer: &mut impl AsyncWriteRent,
    mut iovecs: IoVecs,
) -> (io::Result<()>, IoVecs) {
    loop {
        iovecs.aim();
        let result;
        (result, iovecs) = writer.writev(iovecs).await;
        match result {
            Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), iovecs),
            Ok(sent) if iovecs.advance(sent) => return (Ok(()), iovecs),
            Ok(_) => {}
            Err(error) => return (Err(error), iovecs),
        }
    }
}

/// Waits until the owner of the stream has put a request in the slot. No waker is kept: the
/// owner polls the loop itself, right after it made its request.
async fn requested<T>(slot: &Cell<Option<T>>) -> T {
    poll_fn(|_| slot.take().map_or(Poll::Pending, Poll::Ready)).await
}

struct SendBuf(Buf);

// SAFETY: a `Buf` owns heap memory that does not move with it and is not touched while the
// runtime owns the value; pointer and length describe its initialised, unread part.
unsafe impl monoio::buf::IoBuf for SendBuf {
    fn read_ptr(&self) -> *const u8 {
        self.0.as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.0.len()
    }
}
