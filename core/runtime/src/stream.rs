//! A connected socket with one armed receive and one batched send.
//!
//! Both operations live in the stream, not in the future that waits for them: a task may stop
//! waiting, hand the stream to another task or park it in a pool, and no byte is lost, because an
//! operation that was started is never dropped while the stream lives. Whoever polls last is
//! woken.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::backlog::Backlog;
use crate::buffer::{self, Buf, Class};
use crate::flow::Flow;
use crate::{adapter, epoll, ring};

/// Bytes in a tail from which on the next piece begins a new one.
const TAIL_MAX: usize = 4096;
/// A piece of so many bytes is sent when it is pushed, while the caches hold it; smaller ones go
/// with all others at the end of the turn, which saves system calls.
const BULK_MIN: usize = 16 << 10;
/// What is read for a peer that takes bytes slowly, at a time.
const SPARING: Class = Class::SMALL.grown();
/// Pieces in a row for which the kernel had room until a peer is not slow any more: more than it
/// makes room for at once.
const SMOOTH_MIN: u8 = 128;

/// A TCP or Unix stream.
pub struct Stream {
    io: Io,
    flow: Flow,
    /// What hardly any stream has; boxed, since all would have the room for it.
    rare: Option<Box<Rare>>,
    sending: bool,
    /// The kernel had no room for all that was pushed, and what it left is not sent yet.
    stuck: bool,
    /// Pieces until the peer is not slow any more; 0 for one that is not.
    slow: u8,
    /// Whoever gets what is received takes it slowly.
    sparing: bool,
    queue: Vec<Buf>,
    tail: Vec<u8>,
    queued_bytes: usize,
    received_bytes: u64,
    sent_bytes: u64,
}

/// What a stream has for a moment, or where it is asked for.
#[derive(Default)]
struct Rare {
    /// What was received and given back, if anything.
    front: Buf,
    /// How long the peer may leave what it was sent.
    backlog: Option<Backlog>,
}

/// What moves the bytes: the worker's own ring, its epoll, or monoio.
enum Io {
    Ring(ring::socket::Socket),
    Epoll(epoll::socket::Socket),
    Monoio(Box<adapter::Socket>),
}

impl Io {
    fn send_one(&mut self, buf: Buf) {
        match self {
            Self::Ring(socket) => socket.send_one(buf),
            Self::Epoll(socket) => socket.send_one(buf),
            Self::Monoio(socket) => socket.send(adapter::Sending::One(buf)),
        }
    }

    /// Takes all of `queue`, and leaves its capacity.
    fn send_many(&mut self, queue: &mut Vec<Buf>) {
        match self {
            Self::Ring(socket) => socket.send_many(queue),
            Self::Epoll(socket) => socket.send_many(queue),
            Self::Monoio(socket) => socket.send(adapter::Sending::Many(std::mem::take(queue))),
        }
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Ring(socket) => socket.poll_sent(cx),
            Self::Epoll(socket) => socket.poll_sent(cx),
            Self::Monoio(socket) => socket.poll_sent(cx),
        }
    }

    /// Hands over what the kernel has room for now; nothing where the driver cannot.
    fn send_at_once(&self, queue: &mut Vec<Buf>) -> Option<usize> {
        match self {
            Self::Ring(socket) => Some(socket.send_at_once(queue)),
            Self::Epoll(socket) => Some(socket.send_at_once(queue)),
            Self::Monoio(_) => None,
        }
    }

    fn waits_for_room(&self) -> bool {
        match self {
            Self::Ring(socket) => socket.waits_for_room(),
            Self::Epoll(socket) => socket.waits_for_room(),
            Self::Monoio(_) => false,
        }
    }

    fn has_sent(&self) -> bool {
        match self {
            Self::Ring(socket) => socket.has_sent(),
            Self::Epoll(socket) => socket.has_sent(),
            Self::Monoio(_) => false,
        }
    }

    /// The outcome of the send under way, if it can be seen without waiting.
    fn sent(&self) -> Option<io::Result<()>> {
        match self {
            Self::Ring(socket) => socket.sent(),
            Self::Epoll(socket) => socket.sent(),
            Self::Monoio(_) => None,
        }
    }
}

impl Stream {
    /// Takes over a connected stream socket of any family.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        if let Some(ring) = ring::current() {
            return Ok(Self::new(Io::Ring(ring::socket::Socket::new(ring, fd.into_raw_fd()))));
        }
        match epoll::current() {
            Some(poller) => Ok(Self::from_epoll(epoll::socket::Socket::new(poller, fd)?)),
            None => Ok(Self::new(Io::Monoio(Box::new(adapter::Socket::from_fd(fd)?)))),
        }
    }

    pub(crate) fn from_epoll(socket: epoll::socket::Socket) -> Self {
        Self::new(Io::Epoll(socket))
    }

    pub(crate) fn from_monoio(stream: monoio::net::TcpStream) -> Self {
        Self::new(Io::Monoio(Box::new(adapter::Socket::new(stream))))
    }

    fn new(io: Io) -> Self {
        Self {
            io,
            flow: Flow::default(),
            rare: None,
            sending: false,
            stuck: false,
            slow: 0,
            sparing: false,
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
        self.poll_backlog(cx)?;
        if let Some(front) = self.take_front() {
            self.received_bytes += front.len() as u64;
            return Poll::Ready(Ok(front));
        }
        let class = match self.sparing {
            true => self.flow.class().min(SPARING),
            false => self.flow.class(),
        };
        let received = match &mut self.io {
            Io::Ring(socket) => socket.poll_receive(cx, class),
            Io::Epoll(socket) => socket.poll_receive(cx, class),
            Io::Monoio(socket) => socket.poll_receive(cx, class),
        };
        let Poll::Ready(received) = received else {
            self.flow.waits();
            return Poll::Pending;
        };
        let bytes = received?;
        self.received_bytes += bytes.len() as u64;
        self.flow.received(bytes.len());
        Poll::Ready(Ok(Buf::new(bytes)))
    }

    /// Whether to receive little at a time, since it is for a peer that is slow.
    pub fn receive_sparingly(&mut self, sparingly: bool) {
        self.sparing = sparingly;
    }

    /// Gives back what was received, for whoever receives next. At most once before that.
    pub fn unreceive(&mut self, bytes: Buf) {
        if !bytes.is_empty() {
            self.received_bytes = self.received_bytes.saturating_sub(bytes.len() as u64);
            let rare = self.rare.get_or_insert_default();
            debug_assert!(rare.front.is_empty(), "bytes were given back twice");
            rare.front = bytes;
        }
    }

    fn take_front(&mut self) -> Option<Buf> {
        let rare = self.rare.as_mut()?;
        let front = std::mem::take(&mut rare.front);
        if rare.backlog.is_none() {
            self.rare = None;
        }
        Some(front).filter(|front| !front.is_empty())
    }

    /// The next receive holds a small buffer: call when the connection goes idle. A receive of our
    /// own drivers holds none, and keeps the size that the flow had: the next response is most
    /// likely as large as the last.
    pub fn relax(&mut self) {
        if let Io::Monoio(_) = self.io {
            self.flow = Flow::default();
        }
    }

    /// Bytes to append to what will be sent next; for heads and small pieces. Ask for it anew for
    /// each of them: one that is long enough is put aside, so that it never grows by copying.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        if self.tail.len() >= TAIL_MAX {
            self.seal_tail();
        }
        if self.tail.capacity() == 0 {
            self.tail = buffer::take(Class::SMALL);
        }
        &mut self.tail
    }

    /// Gives back a tail that nothing was appended to: it would stay for as long as nothing is.
    pub fn release_tail(&mut self) {
        if self.tail.is_empty() {
            buffer::give(std::mem::take(&mut self.tail));
        }
    }

    /// Queues a whole buffer without copying it; a large one is sent at once, as far as the kernel
    /// has room. An empty one is left out: a send of nothing would look like a connection that
    /// takes nothing.
    pub fn push(&mut self, buf: Buf) {
        if buf.is_empty() {
            return;
        }
        self.seal_tail();
        let is_bulk = buf.len() >= BULK_MIN;
        self.queued_bytes += buf.len();
        self.queue.push(buf);
        if is_bulk && !self.is_sending() {
            self.send_at_once();
        }
    }

    fn send_at_once(&mut self) {
        let Some(sent) = self.io.send_at_once(&mut self.queue) else { return };
        self.queued_bytes -= sent;
        self.sent_bytes += sent as u64;
        self.stuck = !self.queue.is_empty();
        self.slow = if self.stuck { SMOOTH_MIN } else { self.slow.saturating_sub(1) };
    }

    /// Whether the peer does not take what it was sent: nothing more should be queued until it
    /// does. Whoever flushes is woken then.
    pub fn is_stuck(&mut self) -> bool {
        // Asked first: a send that has ended changes the answer.
        let sending = self.is_sending();
        self.stuck || sending && self.io.waits_for_room()
    }

    /// Whether the peer was stuck lately.
    pub fn is_slow(&self) -> bool {
        self.slow > 0
    }

    /// Whether a send is under way, as far as that can be seen without waiting.
    fn is_sending(&mut self) -> bool {
        if self.sending && self.io.has_sent() {
            self.send_ends();
        }
        self.sending
    }

    fn send_ends(&mut self) {
        self.sending = false;
        self.stuck = false;
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
    pub fn is_flushed(&mut self) -> bool {
        !self.is_sending() && self.queue.is_empty() && self.tail.is_empty()
    }

    /// Sends what is queued; `Ready` when all of it has been handed to the kernel.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.poll_sent(cx);
        self.poll_backlog(cx)?;
        flushed
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.sending && !self.send_queued() {
                return Poll::Ready(Ok(()));
            }
            let Poll::Ready(result) = self.io.poll_sent(cx) else { return Poll::Pending };
            self.send_ends();
            result?;
        }
    }

    /// Sends what is queued, without asking to be woken when it is sent: for whoever has nothing
    /// to do then, which saves a task's turn per send. `Ready` when nothing is under way. What is
    /// queued behind a send under way does wake the task, since it must be sent next; and so does
    /// the end of a send that had to wait, since nothing was read meanwhile.
    pub fn poll_flush_unattended(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.poll_sent_unattended(cx);
        self.poll_backlog(cx)?;
        flushed
    }

    fn poll_sent_unattended(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.sending && !self.send_queued() {
                return Poll::Ready(Ok(()));
            }
            let blind = matches!(self.io, Io::Monoio(_));
            let waits = blind || self.stuck || self.io.waits_for_room();
            if waits || !self.queue.is_empty() || !self.tail.is_empty() {
                return self.poll_sent(cx);
            }
            let Some(result) = self.io.sent() else { return Poll::Pending };
            self.send_ends();
            result?;
        }
    }

    /// Starts a send of all that is queued; `false` when that is nothing.
    fn send_queued(&mut self) -> bool {
        self.sent_bytes += self.queued_bytes() as u64;
        if !self.queue.is_empty() {
            self.seal_tail();
            self.queued_bytes = 0;
            match self.queue.len() {
                1 => self.io.send_one(self.queue.pop().unwrap_or_default()),
                _ => self.io.send_many(&mut self.queue),
            }
        } else if !self.tail.is_empty() {
            self.io.send_one(Buf::new(std::mem::take(&mut self.tail)));
        } else {
            return false;
        }
        self.sending = true;
        true
    }

    /// Bounds how long the peer may leave what it was sent: for so long it may take nothing, or
    /// leave at least `limit` bytes waiting here, without taking half of that. Then receiving and
    /// flushing fail, and the connection ends with a reset.
    pub fn bound_backlog(&mut self, limit: usize, timeout: Duration) {
        self.rare.get_or_insert_default().backlog = Some(Backlog::new(limit, timeout));
    }

    /// Whether that time is over.
    pub fn is_overdue(&self) -> bool {
        let backlog = self.rare.as_ref().and_then(|rare| rare.backlog.as_ref());
        backlog.is_some_and(|backlog| backlog.is_over)
    }

    /// Asked with each step of each stream, of which hardly any has something to bound.
    #[inline]
    fn poll_backlog(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.rare.take() {
            None => Ok(()),
            Some(rare) => self.poll_rare(rare, cx),
        }
    }

    #[cold]
    fn poll_rare(&mut self, mut rare: Box<Rare>, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(backlog) = &mut rare.backlog else {
            self.rare = Some(rare);
            return Ok(());
        };
        // One that has room ends at once: what is under way for so long waits.
        let outcome = self.still_sends(cx).and_then(|sends| {
            let is_above = sends || backlog.is_above(self.queued_bytes());
            backlog.poll(is_above, self.sent_bytes, cx)
        });
        self.rare = Some(rare);
        if outcome.is_err() {
            // What waits in the kernel must not wait on.
            self.reset_on_drop();
        }
        outcome
    }

    /// Whether a send is under way, which monoio tells only when it is waited for.
    fn still_sends(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let Io::Monoio(socket) = &mut self.io else { return Ok(self.is_sending()) };
        if self.sending
            && let Poll::Ready(result) = socket.poll_sent(cx)
        {
            self.send_ends();
            result?;
        }
        Ok(self.sending)
    }

    /// Bytes received and bytes given to sends since the stream was made.
    pub fn transferred(&self) -> (u64, u64) {
        (self.received_bytes, self.sent_bytes)
    }

    /// Tells the peer that nothing more will be sent. Call when flushed.
    pub fn shutdown_write(&self) {
        // The result does not matter: a peer that is gone needs no end of stream.
        let _ = self.socket(|socket| socket.shutdown(std::net::Shutdown::Write));
    }

    /// Closes with a reset when dropped: the peer must see that something is missing.
    pub fn reset_on_drop(&self) {
        // Without it the peer gets an ordinary end.
        let _ = self.socket(|socket| socket.set_linger(Some(std::time::Duration::ZERO)));
    }

    /// Our own address, if it is an IP address.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.socket(|socket| socket.local_addr()).ok()?.as_socket()
    }

    /// Where the client connected to before a firewall rule redirected it here
    /// (`SO_ORIGINAL_DST`), if that is known.
    pub fn original_destination(&self) -> Option<SocketAddr> {
        let v6 = self.local_address().is_some_and(|local| local.is_ipv6());
        let original = self.socket(|socket| match v6 {
            true => socket.original_dst_v6(),
            false => socket.original_dst_v4(),
        });
        original.ok()?.as_socket()
    }

    /// Whether it may have an address that is not this host's (`IP_TRANSPARENT`): then a rule of
    /// the firewall may have brought it here without a change of its destination (TPROXY).
    pub fn is_transparent(&self) -> bool {
        let v6 = self.local_address().is_some_and(|local| local.is_ipv6());
        let transparent = self.socket(|socket| match v6 {
            true => socket.ip_transparent_v6(),
            false => socket.ip_transparent_v4(),
        });
        transparent.unwrap_or(false)
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

    fn fd(&self) -> RawFd {
        match &self.io {
            Io::Ring(socket) => socket.fd(),
            Io::Epoll(socket) => socket.fd(),
            Io::Monoio(socket) => socket.fd(),
        }
    }

    fn socket<T>(&self, f: impl FnOnce(&socket2::Socket) -> io::Result<T>) -> io::Result<T> {
        // SAFETY: the descriptor stays open as long as this stream owns it, and the borrowed
        // socket does not outlive this call.
        let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(self.fd()) };
        f(&socket2::SockRef::from(&borrowed))
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("fd", &self.fd()).finish_non_exhaustive()
    }
}
