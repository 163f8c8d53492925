//! One HTTP/1 connection to an endpoint.

use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use ringway_http::h1::{
    ConnectionField, Framing, HeaderKeyFormat, RequestOptions, ResponseDecoder, ResponseError,
    ResponseLimits, Upgrade, encode_request, encode_trailers,
};
use ringway_http::{Body, Fields, RequestHead, ResetReason, ResponseHead, Version};
use ringway_model::stream::ResponseFlags;
use ringway_runtime::buffer::Buf;
use ringway_tls::Handshake;

use super::account::Account;
use super::pool::Pool;
use crate::hcm::sides::{Failure, ServerSide};
use crate::transport::Transport;
use crate::wire::{Broken, Event, Wire};

/// A connection, in use or idle. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Connection {
    wire: Wire,
    decoder: ResponseDecoder,
    account: Account,
    /// Our own address on it.
    local: Option<SocketAddr>,
    /// Since when it waits in the pool.
    pub(super) idle_since: Instant,
    /// The request goes out in chunks.
    chunked: bool,
    /// Bytes pass as they are, both ways.
    tunnel: bool,
    /// Our side of a tunnel ends behind what is queued.
    half_close: bool,
}

impl Connection {
    pub(super) fn new(transport: Transport, account: Account) -> Self {
        let policy = &account.tally.policy;
        let limits = ResponseLimits {
            max_head_bytes: policy.max_response_head_bytes,
            max_fields: policy.max_response_headers,
            enable_trailers: policy.enable_trailers,
            ..ResponseLimits::default()
        };
        account.tally.count(|stats| stats.upstream_cx_http1_total);
        Self {
            local: transport.local_address(),
            wire: Wire::new(transport, Buf::default()),
            decoder: ResponseDecoder::new(limits),
            idle_since: account.opened,
            account,
            chunked: false,
            tunnel: false,
            half_close: false,
        }
    }

    pub(super) fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Sends the head of a request whose body has this form.
    pub(crate) fn send_head(&mut self, head: &RequestHead, body: Body, upgrade: Upgrade) {
        let framing = Framing::of_request(body);
        let options = RequestOptions {
            key_format: if self.account.tally.policy.proper_case {
                HeaderKeyFormat::ProperCaseWords
            } else {
                HeaderKeyFormat::LowerCase
            },
            connection: match upgrade {
                Upgrade::None => ConnectionField::Absent,
                _ => ConnectionField::Upgrade,
            },
            ..RequestOptions::default()
        };
        self.account.begin();
        self.chunked = framing == Framing::Chunked;
        self.decoder.expect(head.method_kind(), upgrade);
        encode_request(head, framing, options, self.wire.stream.tail());
    }

    /// The response is complete, and so is the request: adds up what was transferred. Whether the
    /// connection may serve another request.
    pub(super) fn finish(&mut self, now: Instant) -> bool {
        self.account.rest();
        self.idle_since = now;
        self.account.count_bytes(self.wire.stream.transferred());
        self.wire.stream.relax();
        if !self.decoder.keep_alive() {
            self.note_farewell();
            return false;
        }
        self.decoder.is_idle() && !self.has_surplus() && !self.account.is_worn(now)
    }

    /// The response was the last of this connection: it said so, or it ended with it.
    fn note_farewell(&mut self) {
        match self.decoder.body() {
            Body::UntilClose => self.account.note_peer_close(),
            _ => self.account.tally.count(|stats| stats.upstream_cx_close_notify),
        }
    }

    /// Sends what is queued, and is woken when all of it is on its way.
    pub(super) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        ready!(self.wire.stream.poll_flush(cx)).map_err(drop)?;
        if std::mem::take(&mut self.half_close) {
            self.wire.stream.shutdown_write();
        }
        Poll::Ready(Ok(()))
    }

    /// Bytes received and sent on the connection.
    pub(super) fn transferred(&self) -> (u64, u64) {
        self.wire.stream.transferred()
    }

    /// Adds up the bytes that were moved so far.
    pub(super) fn count_bytes(&self) {
        self.account.count_bytes(self.transferred());
    }

    /// Closes with a reset when dropped.
    pub(super) fn reset_on_drop(&self) {
        self.wire.stream.reset_on_drop();
    }

    /// Notes that the peer was the one to end it.
    pub(super) fn note_peer_close(&self) {
        self.account.note_peer_close();
    }

    /// Whether the peer sent what nobody asked for.
    fn has_surplus(&self) -> bool {
        let surplus = self.wire.has_input();
        if surplus {
            self.account.tally.count(|stats| stats.upstream_cx_protocol_error);
        }
        surplus
    }

    /// Whether an idle connection can be used: nothing has been received on it, since a peer has
    /// nothing to say but goodbye. Leaves `waker` to be woken when that changes.
    pub(super) fn is_alive(&mut self, waker: &Waker) -> bool {
        let mut cx = Context::from_waker(waker);
        let gone = self.wire.poll_gone(&mut cx).is_ready();
        if gone {
            self.account.note_peer_close();
        }
        !gone && !self.has_surplus()
    }

    /// Why the response will not be completed.
    fn failure(&mut self, broken: &Broken<ResponseError>) -> Failure {
        match broken {
            Broken::Closed => {
                if !self.wire.stream.is_overdue() {
                    self.account.note_peer_close();
                }
                let flag = ResponseFlags::UPSTREAM_CONNECTION_TERMINATION;
                Failure { reason: ResetReason::ConnectionTermination, flag }
            }
            Broken::Protocol(error) => {
                if *error == ResponseError::Truncated {
                    self.account.note_peer_close();
                }
                self.account.tally.count(|stats| stats.upstream_cx_protocol_error);
                let flag = ResponseFlags::UPSTREAM_PROTOCOL_ERROR;
                Failure { reason: error.reset_reason(), flag }
            }
        }
    }
}

impl ServerSide for Box<Connection> {
    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<Event, Failure>> {
        let event = self.wire.poll_event(cx, &mut self.decoder, head);
        event.map_err(|broken| self.failure(&broken))
    }

    fn open_tunnel(&mut self) {
        self.tunnel = true;
    }

    fn body(&self) -> Body {
        self.decoder.body()
    }

    fn trailers(&self) -> &Fields {
        self.decoder.trailers()
    }

    fn send_data(&mut self, data: Buf) {
        let chunked = self.chunked;
        self.wire.queue(data, chunked);
    }

    fn send_end(&mut self, trailers: Option<&Fields>) {
        if std::mem::take(&mut self.chunked) {
            let trailers = trailers.filter(|_| self.account.tally.policy.enable_trailers);
            encode_trailers(trailers, self.wire.stream.tail());
        }
        self.half_close = self.tunnel;
    }

    fn queued_bytes(&self) -> usize {
        self.wire.stream.queued_bytes()
    }

    fn is_stuck(&mut self) -> bool {
        self.wire.stream.is_stuck()
    }

    fn is_slow(&self) -> bool {
        self.wire.stream.is_slow()
    }

    fn receive_sparingly(&mut self, sparingly: bool) {
        self.wire.stream.receive_sparingly(sparingly);
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        match self.half_close {
            true => self.poll_sent(cx),
            false => self.wire.stream.poll_flush_unattended(cx).map_err(drop),
        }
    }

    fn is_flushed(&mut self) -> bool {
        self.wire.stream.is_flushed()
    }

    fn local_address(&self) -> Option<SocketAddr> {
        self.local
    }

    fn version(&self) -> Option<Version> {
        Some(Version::Http11)
    }

    fn handshake(&self) -> Option<&Rc<Handshake>> {
        self.wire.stream.handshake()
    }

    fn count_answer(&self, good: bool) {
        self.account.tally.count_answer(good);
    }

    fn end(self, pool: &Rc<Pool>, is_clean: bool, now: Instant) {
        match is_clean {
            true => pool.release(self, now),
            false => pool.abandon(self),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.account.is_in_use() {
            self.wire.stream.part();
        }
        self.account.count_bytes(self.wire.stream.transferred());
    }
}
