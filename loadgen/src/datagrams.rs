//! A socket of UDP where others have a connection.
//!
//! Owns: the socket, what came of its sends. Does not own: what datagrams say, which is the
//! engine's ([`crate::protocol::udp`]).

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ringway_runtime::buffer::Buf;
use ringway_runtime::datagram::{Message, Options, PAYLOAD_MAX, Sent, Socket};
use socket2::{Domain, Protocol, Type};

/// Answers that are expected to be small are received into small buffers.
const SMALL: usize = 1500;

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Datagrams {
    socket: Socket,
    max: usize,
    outcome: Rc<Outcome>,
    /// What was appended to it leaves as one datagram.
    tail: Vec<u8>,
}

/// What came of sends.
#[derive(Debug, Default)]
struct Outcome {
    error: RefCell<Option<io::Error>>,
    waker: RefCell<Option<Waker>>,
}

impl Sent for Outcome {
    fn sent(&self, outcome: io::Result<usize>) {
        let Err(error) = outcome else { return };
        if is_lost(&error) {
            return;
        }
        self.error.borrow_mut().get_or_insert(error);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Queues of this host were full: as if any other on its way had been.
fn is_lost(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(NO_BUFFERS)
}

const NO_BUFFERS: i32 = nix::errno::Errno::ENOBUFS as i32;

impl Datagrams {
    /// A socket whose one peer is `to`; `expected` are the bytes of its largest right answer.
    pub(crate) fn connected(
        to: SocketAddr,
        source: Option<IpAddr>,
        expected: usize,
    ) -> io::Result<Self> {
        let socket =
            socket2::Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))?;
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        socket.connect(&to.into())?;
        let max = if expected <= SMALL { SMALL } else { PAYLOAD_MAX };
        let options = Options { max_payload: max, peers: false, locals: false };
        let socket = Socket::new(socket.into(), options)?;
        Ok(Self { socket, max, outcome: Rc::default(), tail: Vec::new() })
    }

    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.tail
    }

    /// Sends a datagram.
    pub(crate) fn send(&self, payload: Buf) {
        let teller = Rc::clone(&self.outcome) as Rc<dyn Sent>;
        self.socket.send(Message { payload, to: None, from: None, teller });
    }

    /// Sends the tail, if there is one; says what was wrong with an earlier datagram.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            self.send(Buf::new(tail));
        }
        let mut waker = self.outcome.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Ready(self.outcome.error.take().map_or(Ok(()), Err))
    }

    /// The next datagram that says something: an empty one answers nothing.
    pub(crate) fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<io::Result<Buf>> {
        loop {
            let datagram = std::task::ready!(self.socket.poll_receive(cx))?;
            if datagram.too_large {
                let text = format!("a datagram of more than {} bytes", self.max);
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::FileTooLarge, text)));
            }
            if !datagram.payload.is_empty() {
                return Poll::Ready(Ok(datagram.payload));
            }
        }
    }
}
