//! A connection to an endpoint that carries what comes out of a tunnel, and no HTTP
//! (`connect_config`).

use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use ringway_http::{Body, Fields, ResetReason, ResponseHead, Version};
use ringway_model::stream::ResponseFlags;
use ringway_runtime::buffer::Buf;
use ringway_tls::Handshake;

use super::account::Account;
use super::pool::Pool;
use crate::hcm::sides::{Failure, ServerSide};
use crate::transport::Transport;
use crate::wire::{COPY_MAX, Event};

/// The server of one tunnel. Connecting is its answer: 200.
#[derive(Debug)]
pub(crate) struct Raw {
    transport: Transport,
    account: Account,
    /// The answer was given.
    answered: bool,
    /// The endpoint has ended its side.
    ended: bool,
    /// Our side ends behind what is queued.
    half_close: bool,
    no_trailers: Fields,
}

impl Raw {
    pub(super) fn new(transport: Transport, account: Account) -> Self {
        account.begin();
        Self {
            transport,
            account,
            answered: false,
            ended: false,
            half_close: false,
            no_trailers: Fields::new(),
        }
    }

    /// Where what goes in front of everything that comes out of the tunnel is written.
    pub(crate) fn head(&mut self) -> &mut Vec<u8> {
        self.transport.tail()
    }

    fn lost(&self) -> Failure {
        self.account.note_peer_close();
        Failure {
            reason: ResetReason::ConnectionTermination,
            flag: ResponseFlags::UPSTREAM_CONNECTION_TERMINATION,
        }
    }
}

impl ServerSide for Box<Raw> {
    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<Event, Failure>> {
        if !std::mem::replace(&mut self.answered, true) {
            head.clear();
            head.status = 200;
            return Poll::Ready(Ok(Event::Head));
        }
        if self.ended {
            return Poll::Ready(Ok(Event::Complete));
        }
        match ready!(self.transport.poll_receive(cx)) {
            Ok(data) if !data.is_empty() => Poll::Ready(Ok(Event::Data(data))),
            Ok(_) => {
                self.ended = true;
                self.account.note_peer_close();
                Poll::Ready(Ok(Event::Complete))
            }
            Err(_) => Poll::Ready(Err(self.lost())),
        }
    }

    fn body(&self) -> Body {
        Body::UntilClose
    }

    fn open_tunnel(&mut self) {}

    fn trailers(&self) -> &Fields {
        &self.no_trailers
    }

    fn send_data(&mut self, data: Buf) {
        match data.len() <= COPY_MAX {
            true => self.transport.tail().extend_from_slice(&data),
            false => self.transport.push(data),
        }
    }

    fn send_end(&mut self, _trailers: Option<&Fields>) {
        self.transport.say_goodbye();
        self.half_close = true;
    }

    fn queued_bytes(&self) -> usize {
        self.transport.queued_bytes()
    }

    fn is_stuck(&mut self) -> bool {
        self.transport.is_stuck()
    }

    fn is_slow(&self) -> bool {
        self.transport.is_slow()
    }

    fn receive_sparingly(&mut self, sparingly: bool) {
        self.transport.receive_sparingly(sparingly);
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        ready!(self.transport.poll_flush(cx)).map_err(drop)?;
        if std::mem::take(&mut self.half_close) {
            self.transport.shutdown_write();
        }
        Poll::Ready(Ok(()))
    }

    fn is_flushed(&mut self) -> bool {
        self.transport.is_flushed()
    }

    fn local_address(&self) -> Option<SocketAddr> {
        self.transport.local_address()
    }

    fn version(&self) -> Option<Version> {
        None
    }

    fn handshake(&self) -> Option<&Rc<Handshake>> {
        self.transport.handshake()
    }

    fn count_answer(&self, good: bool) {
        self.account.tally.count_answer(good);
    }

    fn end(self, pool: &Rc<Pool>, _is_clean: bool, _now: Instant) {
        pool.tunnel_closed();
        self.account.count_bytes(self.transport.transferred());
    }
}
