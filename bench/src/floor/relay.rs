//! Which bytes go where: pairs of connections and what is under way on them.
//!
//! Bounded: a direction queues at most [`MOST_QUEUED`] buffers, and there are as many pairs as the
//! process may have descriptors. A descriptor is closed only when no operation on it is under way,
//! so that a token always means the pair that it was made for.

use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use slab::Slab;
use socket2::{Domain, Protocol, Socket, Type};

use super::Options;
use super::ring::{Completion, Ring};

/// Buffers that wait in one direction. More means that the other side does not read.
const MOST_QUEUED: usize = 64;
/// In bulk mode: one is sent while the other is filled.
const BULK_QUEUED: usize = 2;
const ACCEPT: u64 = u64::MAX;

/// What an operation was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Connect,
    Receive(usize),
    Send(usize),
}

impl Operation {
    fn token(self, pair: usize) -> u64 {
        let code = match self {
            Self::Connect => 0,
            Self::Receive(from) => 2 + from as u64,
            Self::Send(from) => 4 + from as u64,
        };
        (pair as u64) << 3 | code
    }

    fn of(token: u64) -> (usize, Self) {
        let direction = (token & 1) as usize;
        let operation = match token & 0b110 {
            2 => Self::Receive(direction),
            4 => Self::Send(direction),
            _ => Self::Connect,
        };
        ((token >> 3) as usize, operation)
    }
}

/// Received bytes: `from..to` of a buffer are still to be sent.
#[derive(Debug, Clone, Copy)]
struct Piece {
    buffer: u16,
    from: u32,
    to: u32,
}

/// Bytes that come from one side and go to the other.
#[derive(Debug, Default)]
struct Direction {
    queue: VecDeque<Piece>,
    receiving: bool,
    sending: bool,
    /// The sender has said that nothing more comes, and whether the receiver was told.
    ended: bool,
    told: bool,
}

/// A downstream connection (0) and its upstream connection (1); direction 0 comes from downstream.
#[derive(Debug)]
struct Pair {
    sockets: [TcpStream; 2],
    directions: [Direction; 2],
    /// Operations under way.
    operations: u32,
    dead: bool,
}

/// The relay.
pub(super) struct Relay {
    ring: Ring,
    listener: TcpListener,
    upstream: SocketAddr,
    bulk: bool,
    pairs: Slab<Pair>,
    /// Receives that found no buffer.
    starved: Vec<(usize, usize)>,
}

impl Relay {
    pub(super) fn new(ring: Ring, listener: TcpListener, options: &Options) -> Self {
        Self {
            ring,
            listener,
            upstream: options.upstream,
            bulk: options.bulk,
            pairs: Slab::new(),
            starved: Vec::new(),
        }
    }

    pub(super) fn run(mut self) -> io::Result<()> {
        self.ring.accept(self.listener.as_raw_fd(), ACCEPT)?;
        let mut completions = Vec::new();
        loop {
            self.ring.turn(&mut completions)?;
            for completion in completions.drain(..) {
                self.complete(completion)?;
            }
            for (pair, from) in std::mem::take(&mut self.starved) {
                self.receive(pair, from)?;
            }
        }
    }

    fn complete(&mut self, completion: Completion) -> io::Result<()> {
        if completion.token == ACCEPT {
            return self.accepted(completion);
        }
        let (index, operation) = Operation::of(completion.token);
        // Safe by the module's rule: a pair outlives its operations.
        let pair = &mut self.pairs[index];
        if !completion.more {
            pair.operations -= 1;
        }
        match operation {
            Operation::Connect => self.connected(index, completion.result)?,
            Operation::Receive(from) => self.received(index, from, completion)?,
            Operation::Send(from) => self.sent(index, from, completion.result)?,
        }
        self.remove_if_over(index);
        Ok(())
    }

    fn accepted(&mut self, completion: Completion) -> io::Result<()> {
        if !completion.more {
            self.ring.accept(self.listener.as_raw_fd(), ACCEPT)?;
        }
        if completion.result < 0 {
            return Ok(());
        }
        // SAFETY: the kernel has just made this descriptor for us.
        let downstream = unsafe { OwnedFd::from_raw_fd(completion.result) };
        // Without a descriptor for upstream the client sees a close, as with any proxy.
        let Ok(upstream) = upstream_socket(self.upstream) else { return Ok(()) };
        let pair = Pair {
            sockets: [downstream.into(), upstream],
            directions: Default::default(),
            operations: 1,
            dead: false,
        };
        let fd = pair.sockets[1].as_raw_fd();
        let index = self.pairs.insert(pair);
        self.ring.connect(fd, Operation::Connect.token(index))
    }

    fn connected(&mut self, index: usize, result: i32) -> io::Result<()> {
        if result < 0 {
            self.pairs[index].end();
            return Ok(());
        }
        self.receive(index, 0)?;
        self.receive(index, 1)
    }

    /// Arms a receive, unless one is armed or there is nothing to wait for.
    fn receive(&mut self, index: usize, from: usize) -> io::Result<()> {
        let Some(pair) = self.pairs.get_mut(index) else { return Ok(()) };
        let direction = &mut pair.directions[from];
        let full = self.bulk && direction.queue.len() >= BULK_QUEUED;
        if pair.dead || direction.receiving || direction.ended || full {
            return Ok(());
        }
        direction.receiving = true;
        pair.operations += 1;
        let fd = pair.fd(from);
        self.ring.receive(fd, !self.bulk, Operation::Receive(from).token(index))
    }

    fn received(&mut self, index: usize, from: usize, completion: Completion) -> io::Result<()> {
        let pair = &mut self.pairs[index];
        let direction = &mut pair.directions[from];
        direction.receiving = completion.more;
        match (completion.result, completion.buffer) {
            (1.., Some(buffer)) => {
                direction.queue.push_back(Piece { buffer, from: 0, to: completion.result as u32 });
                if direction.queue.len() > MOST_QUEUED {
                    pair.end();
                    return Ok(());
                }
            }
            (error, _) if error == -libc::ENOBUFS => self.starved.push((index, from)),
            (0, buffer) => {
                direction.ended = true;
                buffer.into_iter().for_each(|buffer| self.ring.give(buffer));
            }
            _ => pair.end(),
        }
        self.send(index, from)?;
        if !completion.more && completion.result > 0 { self.receive(index, from) } else { Ok(()) }
    }

    /// Sends the next piece; when there is none and none will come, says so to the other side.
    fn send(&mut self, index: usize, from: usize) -> io::Result<()> {
        let pair = &mut self.pairs[index];
        let fd = pair.fd(1 - from);
        let direction = &mut pair.directions[from];
        if pair.dead || direction.sending {
            return Ok(());
        }
        let Some(Piece { buffer, from: start, to }) = direction.queue.front().copied() else {
            if direction.ended && !direction.told {
                direction.told = true;
                // A peer that is gone needs no end.
                let _ = pair.sockets[1 - from].shutdown(Shutdown::Write);
            }
            return Ok(());
        };
        direction.sending = true;
        pair.operations += 1;
        self.ring.send(fd, buffer, start, to, Operation::Send(from).token(index))
    }

    fn sent(&mut self, index: usize, from: usize, result: i32) -> io::Result<()> {
        let pair = &mut self.pairs[index];
        let direction = &mut pair.directions[from];
        direction.sending = false;
        let Some(piece) = direction.queue.front_mut().filter(|_| result > 0) else {
            pair.end();
            return Ok(());
        };
        piece.from += result as u32;
        if piece.from >= piece.to {
            let buffer = piece.buffer;
            direction.queue.pop_front();
            self.ring.give(buffer);
        }
        self.send(index, from)?;
        if self.bulk { self.receive(index, from) } else { Ok(()) }
    }

    fn remove_if_over(&mut self, index: usize) {
        let pair = &self.pairs[index];
        let done = pair.directions.iter().all(|direction| direction.told);
        if pair.operations > 0 || !(pair.dead || done) {
            return;
        }
        let pair = self.pairs.remove(index);
        for piece in pair.directions.iter().flat_map(|direction| &direction.queue) {
            self.ring.give(piece.buffer);
        }
    }
}

impl Pair {
    fn fd(&self, side: usize) -> RawFd {
        self.sockets[side].as_raw_fd()
    }

    /// Nothing more is relayed; operations under way return, since the sockets are shut down.
    fn end(&mut self) {
        self.dead = true;
        for socket in &self.sockets {
            // Refused for a socket that never connected or is closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

pub(super) fn upstream_socket(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}
