//! A tunnel through another proxy (Envoy `TunnelingConfig`): a request whose body is what one
//! client says, and whose answer's body is what it is told.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ringway_http::h1::Upgrade;
use ringway_http::{Body, Fields, Known, Method, RequestHead, ResponseHead, Version};
use ringway_model::cluster::ClusterPolicy;
use ringway_model::route::Priority;
use ringway_model::stream::ResponseFlags;
use ringway_runtime::buffer::Buf;
use ringway_tls::Handshake;

use super::account::Tally;
use super::cluster::Upstream;
use super::host::Host;
use super::http1::Connection;
use super::http2::Server;
use super::in_flight::InFlight;
use super::pool::{Acquired, Pool};
use super::preface::Preface;
use super::tcp::NoConnection;
use super::ticket::{Carrier, ConnectFailure};
use crate::hcm::sides::{Failure, ServerSide};
use crate::wire::Event;

/// Connections that are asked for, when one after the other has gone before it was used.
const ACQUIRE_MAX: u32 = 3;

/// A request that was accepted, or waits for its answer. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Tunnel {
    /// `None` only when it is dropped.
    carrier: Option<Carried>,
    pool: Rc<Pool>,
    tally: Rc<Tally>,
    /// The answer.
    head: ResponseHead,
    /// The request asks for another protocol (RFC 9110 section 7.8).
    is_upgrade: bool,
    /// The answer has trailers.
    has_trailers: bool,
    /// Why the answer will not be completed.
    failure: Option<ResponseFlags>,
    /// What was received and sent through it.
    moved: (u64, u64),
    /// The peer has ended its side.
    ended: bool,
    /// Our side was ended.
    said_goodbye: bool,
    _in_flight: InFlight,
}

/// What carries the request.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a tunnel is boxed as a whole")]
enum Carried {
    Http1(Box<Connection>),
    Http2(Server),
}

/// Does the same with whatever carries the request.
macro_rules! each {
    ($carrier:expr, $server:ident => $what:expr, $none:expr) => {
        match $carrier {
            Some(Carried::Http1($server)) => $what,
            Some(Carried::Http2($server)) => $what,
            None => $none,
        }
    };
}

/// Counts a request that nobody waits for any more.
struct Waits<'t>(Option<&'t Tally>);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if let Some(tally) = self.0 {
            tally.count(|stats| stats.upstream_rq_cancelled);
        }
    }
}

impl Host {
    /// The scheme of requests to this endpoint.
    pub(crate) fn scheme(&self) -> &'static [u8] {
        match self.tally.policy.tls_of(&self.endpoint) {
            Some(_) => b"https",
            None => b"http",
        }
    }

    /// Asks the endpoint for a tunnel, and waits for its answer.
    pub(crate) async fn open_tunnel(
        self: &Rc<Self>,
        upstream: &Rc<Upstream>,
        request: &RequestHead,
        preface: Option<Preface>,
    ) -> Result<Tunnel, NoConnection> {
        let pool = self.pool(Version::Http11, preface);
        let carrier = self.acquire(&pool).await?;
        let is_upgrade = request.fields.has(Known::Upgrade);
        if let (Carrier::Http2(reserved), true) = (&carrier, is_upgrade) {
            // RFC 8441 section 3: the peer has to say first that it takes them.
            std::future::poll_fn(|cx| reserved.poll_settled(cx)).await;
        }
        let Some(unit) = upstream.leases.request(Priority::Default) else {
            pool.put_back(carrier);
            self.tally.count(|stats| stats.upstream_rq_active_overflow);
            return Err(NoConnection::Overflow);
        };
        let in_flight = InFlight::new(&self.worker, Rc::clone(upstream), Rc::clone(self), unit);
        let carrier = send(carrier, request).map_err(|failure| failed(&failure))?;
        let mut tunnel = Tunnel {
            carrier: Some(carrier),
            pool,
            tally: Rc::clone(&self.tally),
            head: ResponseHead::new(),
            is_upgrade,
            has_trailers: false,
            failure: None,
            moved: (0, 0),
            ended: false,
            said_goodbye: false,
            _in_flight: in_flight,
        };
        std::future::poll_fn(|cx| tunnel.poll_answer(cx)).await?;
        Ok(tunnel)
    }

    /// A connection, or a place on one.
    async fn acquire(&self, pool: &Rc<Pool>) -> Result<Carrier, NoConnection> {
        let mut tries = ACQUIRE_MAX;
        loop {
            tries -= 1;
            let carrier = match pool.acquire(Priority::Default) {
                Acquired::Ready(carrier) => carrier,
                Acquired::Overflow => return Err(NoConnection::Overflow),
                Acquired::Wait(ticket) => {
                    let mut waits = Waits(Some(&self.tally));
                    let outcome = std::future::poll_fn(|cx| ticket.poll(cx)).await;
                    waits.0 = None;
                    outcome.map_err(NoConnection::Failed)?
                }
            };
            match &carrier {
                Carrier::Http2(reserved) if tries > 0 && reserved.is_void() => {}
                _ => return Ok(carrier),
            }
        }
    }
}

/// Sends the request by what takes it there.
fn send(carrier: Carrier, request: &RequestHead) -> Result<Carried, Failure> {
    match carrier {
        Carrier::Http1(mut connection) => {
            let connects = request.method_kind() == Method::Connect;
            let upgrades = request.fields.has(Known::Upgrade);
            let body = if connects || upgrades { Body::None } else { Body::Chunked };
            let upgrade = if upgrades { Upgrade::Other } else { Upgrade::None };
            connection.send_head(request, body, upgrade);
            Ok(Carried::Http1(connection))
        }
        Carrier::Http2(reserved) => reserved.open(request, false).map(Carried::Http2),
        // A pool of HTTP gives no such thing.
        Carrier::Raw(_) => Err(Failure {
            reason: ringway_http::ResetReason::LocalRefusedStreamReset,
            flag: ResponseFlags::LOCAL_RESET,
        }),
    }
}

fn failed(failure: &Failure) -> NoConnection {
    NoConnection::Failed(ConnectFailure { reason: failure.reason, transport: "".into() })
}

impl Tunnel {
    /// Sends the request and waits for the head of the answer.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NoConnection>> {
        // An error shows in the answer, which may have come before it.
        let _ = self.poll_flush(cx);
        loop {
            let head = &mut self.head;
            let event = each!(&mut self.carrier, server => server.poll_event(cx, head), {
                return Poll::Pending;
            });
            match ready!(event) {
                Ok(Event::Informational) => {}
                Ok(_) if self.is_accepted() => {
                    each!(&mut self.carrier, server => server.open_tunnel(), ());
                    return Poll::Ready(Ok(()));
                }
                Ok(_) => {
                    let head = Box::new(std::mem::take(&mut self.head));
                    return Poll::Ready(Err(NoConnection::Refused(head)));
                }
                Err(failure) => return Poll::Ready(Err(failed(&failure))),
            }
        }
    }

    /// Whether the answer lets bytes pass, as Envoy sees it: RFC 9110 section 9.3.6 has any 2xx do
    /// so, but in HTTP/2 only 200 does; what ends with its head is no tunnel.
    fn is_accepted(&self) -> bool {
        let status = self.head.status;
        let good = match &self.carrier {
            // Of HTTP/2, 200 has become this.
            _ if self.is_upgrade => status == 101,
            Some(Carried::Http2(_)) => status == 200,
            _ => (200..300).contains(&status),
        };
        good && !each!(&self.carrier, server => server.body().is_empty(), true)
    }

    /// Waits for bytes; `Ready` with an empty buffer is the end.
    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Buf, ()>> {
        while !self.ended {
            let head = &mut self.head;
            let event = each!(&mut self.carrier, server => server.poll_event(cx, head), {
                return Poll::Ready(Err(()));
            });
            match ready!(event) {
                Ok(Event::Data(data)) if !data.is_empty() => {
                    self.moved.0 += data.len() as u64;
                    return Poll::Ready(Ok(data));
                }
                Ok(Event::Trailers) => self.has_trailers = true,
                Ok(Event::Complete) => self.ended = true,
                Ok(_) => {}
                Err(failure) => {
                    self.failure = Some(failure.flag);
                    return Poll::Ready(Err(()));
                }
            }
        }
        Poll::Ready(Ok(Buf::default()))
    }

    /// Queues bytes.
    pub(crate) fn push(&mut self, data: Buf) {
        self.moved.1 += data.len() as u64;
        each!(&mut self.carrier, server => server.send_data(data), ());
    }

    /// Ends our side behind what is queued.
    pub(crate) fn say_goodbye(&mut self) {
        if !std::mem::replace(&mut self.said_goodbye, true) {
            each!(&mut self.carrier, server => server.send_end(None), ());
        }
    }

    /// Bytes that wait to be sent.
    pub(crate) fn queued_bytes(&self) -> usize {
        each!(&self.carrier, server => server.queued_bytes(), 0)
    }

    /// How many may wait, whatever is configured.
    pub(crate) fn queue_max(&self) -> usize {
        each!(&self.carrier, server => server.queue_max(), 0)
    }

    /// Sends what is queued; `Ready` when all of it is on its way, and woken until then.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        match &mut self.carrier {
            Some(Carried::Http1(connection)) => connection.poll_sent(cx),
            Some(Carried::Http2(server)) => server.poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Whether everything was sent.
    pub(crate) fn is_flushed(&mut self) -> bool {
        each!(&mut self.carrier, server => server.is_flushed(), true)
    }

    /// The head of the answer.
    pub(crate) fn head(&self) -> &ResponseHead {
        &self.head
    }

    /// The trailers of the answer, once they have come.
    pub(crate) fn trailers(&self) -> Option<&Fields> {
        let trailers = each!(&self.carrier, server => Some(server.trailers()), None);
        trailers.filter(|_| self.has_trailers)
    }

    /// Why the answer was not completed.
    pub(crate) fn failure(&self) -> Option<ResponseFlags> {
        self.failure
    }

    /// Bytes received and sent: of a connection those on the wire, of a stream those of its body.
    pub(crate) fn transferred(&self) -> (u64, u64) {
        match &self.carrier {
            Some(Carried::Http1(connection)) => connection.transferred(),
            _ => self.moved,
        }
    }

    /// Adds up the bytes that were moved so far; a connection of streams does so by itself.
    pub(crate) fn count_bytes(&self) {
        if let Some(Carried::Http1(connection)) = &self.carrier {
            connection.count_bytes();
        }
    }

    /// Ends with a reset when dropped; a stream does so by itself.
    pub(crate) fn reset_on_drop(&self) {
        if let Some(Carried::Http1(connection)) = &self.carrier {
            connection.reset_on_drop();
        }
    }

    /// Notes that the peer was the one to end it.
    pub(crate) fn note_peer_close(&self) {
        if let Some(Carried::Http1(connection)) = &self.carrier {
            connection.note_peer_close();
        }
    }

    pub(crate) fn policy(&self) -> &Arc<ClusterPolicy> {
        &self.tally.policy
    }

    /// Our own address towards the endpoint.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        each!(&self.carrier, server => server.local_address(), None)
    }

    /// What the handshake with the endpoint came to, if there was one.
    pub(crate) fn handshake(&self) -> Option<&Rc<Handshake>> {
        each!(&self.carrier, server => server.handshake(), None)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let now = ringway_runtime::now();
        let is_whole = self.ended && self.said_goodbye && self.is_flushed();
        match self.carrier.take() {
            // As in Envoy, its connection ends with the tunnel, even if it was a POST.
            Some(Carried::Http1(connection)) => connection.end(&self.pool, false, now),
            Some(Carried::Http2(server)) => server.end(&self.pool, is_whole, now),
            None => {}
        }
    }
}
