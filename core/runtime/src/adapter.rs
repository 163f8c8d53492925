//! monoio's sockets in the shape that [`crate::stream`] needs.
//!
//! monoio's operations are futures that borrow the socket and must not be dropped while they are
//! pending. Here each direction is one future that never ends: it takes a request from a slot,
//! carries it out, and leaves the result in the slot. Whoever waits polls it.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use monoio::io::{AsyncReadRent, AsyncWriteRent, Splitable};
use monoio::net::TcpStream;

use crate::buffer::{self, Buf, Class};
use crate::iovec::IoVecs;

/// What one send carries: nearly always a single piece.
pub(crate) enum Sending {
    One(Buf),
    Many(Vec<Buf>),
}

/// An operation that never ends: each time it is polled it moves the current transfer along.
type Endless = Pin<Box<dyn Future<Output = ()>>>;

/// Both directions of a socket.
pub(crate) struct Socket {
    fd: RawFd,
    receive: Endless,
    receive_slot: Rc<ReceiveSlot>,
    receiving: bool,
    send: Endless,
    send_slot: Rc<SendSlot>,
}

#[derive(Default)]
struct ReceiveSlot {
    request: Cell<Option<Vec<u8>>>,
    done: Cell<Option<(io::Result<usize>, Vec<u8>)>>,
}

#[derive(Default)]
struct SendSlot {
    request: Cell<Option<Sending>>,
    done: Cell<Option<io::Result<()>>>,
}

impl Socket {
    pub(crate) fn from_fd(fd: OwnedFd) -> io::Result<Self> {
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
            send: Box::pin(send_endlessly(writer, Rc::clone(&send_slot))),
            send_slot,
        }
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.fd
    }

    pub(crate) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        class: Class,
    ) -> Poll<io::Result<Vec<u8>>> {
        if !self.receiving {
            self.receive_slot.request.set(Some(buffer::take(class)));
            self.receiving = true;
        }
        let pending = self.receive.as_mut().poll(cx);
        debug_assert!(pending.is_pending(), "the receive loop never ends");
        let Some((result, bytes)) = self.receive_slot.done.take() else { return Poll::Pending };
        self.receiving = false;
        Poll::Ready(result.map(|_| bytes))
    }

    pub(crate) fn send(&mut self, outgoing: Sending) {
        self.send_slot.request.set(Some(outgoing));
    }

    pub(crate) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let pending = self.send.as_mut().poll(cx);
        debug_assert!(pending.is_pending(), "the send loop never ends");
        self.send_slot.done.take().map_or(Poll::Pending, Poll::Ready)
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
            Sending::One(buf) => send_one(&mut writer, buf).await,
            Sending::Many(mut queue) => loop {
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
