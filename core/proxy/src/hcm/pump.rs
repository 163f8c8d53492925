//! The one loop that moves a request up and its response down.
//!
//! Each direction is pulled only while the other side takes what it gets: a slow reader stops the
//! reading from its peer, and at most the buffer limit waits in between.

use std::task::{Context, Poll};

use ringway_http::decimal::decimal;
use ringway_http::h1::Framing;
use ringway_http::{Body, Fields, Known, Method, Version};
use ringway_model::stream::{LocalReply, ResponseFlags};
use ringway_runtime::buffer::Buf;

use super::exchange::{Ended, Exchange};
use super::filters::Passed;
use super::sides::{ClientSide, Failure, ServerSide};
use super::{grpc, response};
use crate::tell::{Lines, about_stream};
use crate::upstream::Upstream;
use crate::wire::Event;

/// More than this is never queued in one direction, whatever the configured limit: it would wait
/// in our memory instead of the peer's.
pub(super) const QUEUE_MAX: usize = 512 << 10;

/// So much is moved in one direction in one turn before others have theirs.
const TURN_BYTES: u64 = 1 << 20;

/// A request and its response in motion.
pub(super) struct Pump<'p, 'c, C, S> {
    exchange: &'p mut Exchange<'c, C>,
    server: &'p mut S,
    upstream: &'p Upstream,
    /// The request was handed to the upstream connection, to its last byte.
    request_sent: bool,
    /// Sending to the upstream failed; its answer may still be there to read.
    send_failed: bool,
    /// What ends the response was handed to the client's connection.
    response_ended: bool,
    response_complete: bool,
    tunnel: Tunnel,
    /// The request is one of gRPC.
    grpc: bool,
    /// Whether the endpoint did well was counted.
    judged: bool,
    /// Something moved in this turn, so its time was taken.
    progressed: bool,
    /// What had been moved before this turn, in bytes.
    moved_before: u64,
    /// How much may wait to be sent to the upstream.
    limit_up: usize,
    /// How much may wait to be sent to the client.
    limit_down: usize,
    /// The client is not read, since the upstream does not keep up.
    paused_up: bool,
    /// The upstream is not read, since the client does not keep up.
    paused_down: bool,
}

/// Whether the exchange becomes a tunnel (RFC 9110 sections 7.8 and 9.3.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tunnel {
    No,
    /// The upstream has not answered yet: what the client sends too early waits.
    Asked,
    Open,
}

impl<'p, 'c, C: ClientSide, S: ServerSide> Pump<'p, 'c, C, S> {
    pub(super) fn new(
        exchange: &'p mut Exchange<'c, C>,
        server: &'p mut S,
        upstream: &'p Upstream,
    ) -> Self {
        let limit_up = upstream.cluster.policy.buffer_limit.clamp(1, QUEUE_MAX);
        let limit_down = exchange.down.buffer_limit.clamp(1, QUEUE_MAX);
        Self {
            request_sent: exchange.request_complete,
            tunnel: if exchange.asks_for_tunnel { Tunnel::Asked } else { Tunnel::No },
            exchange,
            server,
            upstream,
            send_failed: false,
            response_ended: false,
            response_complete: false,
            grpc: false,
            judged: false,
            progressed: false,
            moved_before: 0,
            limit_up,
            limit_down,
            paused_up: false,
            paused_down: false,
        }
    }

    /// Whether the connection to the upstream is between messages again.
    pub(super) fn is_clean(&mut self) -> bool {
        self.tunnel == Tunnel::No
            && self.request_sent
            && self.response_complete
            && !self.send_failed
            && self.server.is_flushed()
    }

    /// Moves what can be moved; `Ready` when the response is complete or cannot be completed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        self.progressed = false;
        self.moved_before = self.moved();
        loop {
            let tunnel = self.tunnel;
            let full_up = self.pull_request(cx)?;
            self.flush_up(cx);
            let full_down = self.pull_response(cx)?;
            if let Poll::Ready(Err(lost)) = self.exchange.down.side.poll_flush(cx) {
                return Poll::Ready(Err(self.exchange.client_lost(lost)));
            }
            if self.is_over() {
                return Poll::Ready(Ok(()));
            }
            if self.had_its_turn() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            // What the client said too early can go now: nothing else would wake us for it.
            if self.tunnel != tunnel {
                continue;
            }
            // All that waited is on its way, where a side had stopped its peer: go on at once. A
            // send wakes nobody when it ends, unless something waits behind it.
            let room_up = full_up && !self.is_full_up();
            let room_down = full_down && !self.is_full_down();
            if !(room_up || room_down) {
                break;
            }
        }
        match self.exchange.poll_timers(cx) {
            Poll::Ready(expired) => {
                Poll::Ready(Err(self.exchange.expire(expired, Some(self.upstream))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Whether nothing is left to move: of a tunnel both halves end, each in its time.
    fn is_over(&self) -> bool {
        let half_open = self.tunnel == Tunnel::Open && !self.request_sent && !self.send_failed;
        self.response_complete && !half_open
    }

    /// Bytes of bodies that came, both ways.
    fn moved(&self) -> u64 {
        self.exchange.info.bytes_received + self.exchange.info.bytes_sent
    }

    /// What the kernel takes at once never waits in a queue: that is no reason to go on for ever.
    fn had_its_turn(&self) -> bool {
        self.moved() - self.moved_before >= TURN_BYTES
    }

    /// Whether as much waits for the upstream as may, or it takes nothing.
    fn is_full_up(&mut self) -> bool {
        let shares = self.server.queue_max().min(self.exchange.down.side.upload_max());
        self.server.queued_bytes() >= self.limit_up.min(shares) || self.server.is_stuck()
    }

    /// Whether as much waits for the client as may, or it takes nothing.
    fn is_full_down(&mut self) -> bool {
        let side = &mut self.exchange.down.side;
        side.queued_bytes() >= self.limit_down.min(side.queue_max()) || side.is_stuck()
    }

    /// Something moved: the stream is not idle.
    fn note_progress(&mut self) {
        if !std::mem::replace(&mut self.progressed, true) {
            self.exchange.down.now = ringway_runtime::now();
            self.exchange.timers.touch(self.exchange.down.now);
        }
    }

    /// Downstream to upstream. Returns whether it stopped because enough is queued.
    fn pull_request(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        self.exchange.down.side.receive_sparingly(self.server.is_slow());
        while !self.request_sent && self.tunnel != Tunnel::Asked {
            if self.had_its_turn() {
                return Ok(false);
            }
            let full = self.is_full_up();
            self.note_pause_up(full);
            if full {
                return Ok(true);
            }
            let down = &mut *self.exchange.down;
            let event = match down.side.poll_event(cx, &mut down.request) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(event)) => event,
                Poll::Ready(Err(lost)) => return Err(self.exchange.client_lost(lost)),
            };
            self.note_progress();
            self.push_up(event)?;
        }
        match self.exchange.down.side.poll_gone(cx) {
            Poll::Ready(lost) => Err(self.exchange.client_lost(lost)),
            Poll::Pending => Ok(false),
        }
    }

    /// Counts when reading from the client stops and goes on. In Envoy these are one event with two
    /// names, one for each side.
    fn note_pause_up(&mut self, paused: bool) {
        if std::mem::replace(&mut self.paused_up, paused) == paused {
            return;
        }
        let page = &self.exchange.down.worker.page;
        let (http, cluster) = (&self.exchange.manager.stats, &self.upstream.cluster.policy.stats);
        about_stream!(trace, "http", self.exchange, "reading from the client: paused {paused}");
        if paused {
            page.inc(http.downstream_flow_control_paused_reading_total);
            page.inc(cluster.upstream_flow_control_backed_up_total);
        } else {
            page.inc(http.downstream_flow_control_resumed_reading_total);
            page.inc(cluster.upstream_flow_control_drained_total);
        }
    }

    /// Counts when reading from the upstream stops and goes on.
    fn note_pause_down(&mut self, paused: bool) {
        if std::mem::replace(&mut self.paused_down, paused) == paused {
            return;
        }
        about_stream!(trace, "router", self.exchange, "reading from upstream: paused {paused}");
        let stats = &self.upstream.cluster.policy.stats;
        self.exchange.down.worker.page.inc(match paused {
            true => stats.upstream_flow_control_paused_reading_total,
            false => stats.upstream_flow_control_resumed_reading_total,
        });
    }

    fn push_up(&mut self, event: Event) -> Result<(), Ended> {
        match event {
            Event::Data(mut data) => {
                self.exchange.info.bytes_received += data.len() as u64;
                if self.exchange.filters_request_bodies() {
                    data = self.exchange.filter_request_data(data)?;
                }
                self.send_up(data);
            }
            Event::Trailers => self.end_request(true)?,
            Event::Complete => {
                if !self.exchange.request_complete {
                    self.end_request(false)?;
                }
                self.request_sent = true;
            }
            Event::Head | Event::Informational => {}
        }
        Ok(())
    }

    fn send_up(&mut self, data: Buf) {
        if !self.send_failed && !data.is_empty() {
            self.server.send_data(data);
        }
    }

    fn end_request(&mut self, trailers: bool) -> Result<(), Ended> {
        self.exchange.note_request_complete();
        self.exchange.info.request_sent = self.exchange.info.request_received;
        if self.exchange.filters_request_bodies() {
            return self.end_filtered_request(trailers);
        }
        let fields = trailers.then(|| self.exchange.down.side.trailers());
        self.server.send_end(fields);
        Ok(())
    }

    /// Filters have the last word on what follows the body.
    fn end_filtered_request(&mut self, trailers: bool) -> Result<(), Ended> {
        let mut fields = Fields::new();
        if trailers {
            fields.clone_from(self.exchange.down.side.trailers());
        }
        let tail = self.exchange.filter_request_end(&mut fields)?;
        self.send_up(tail);
        self.server.send_end(Some(&fields).filter(|fields| !fields.is_empty()));
        Ok(())
    }

    /// Sends what is queued.
    fn flush_up(&mut self, cx: &mut Context<'_>) {
        if !self.send_failed
            && let Poll::Ready(Err(())) = self.server.poll_flush(cx)
        {
            // The upstream may have answered before it closed: its end of the conversation decides.
            self.send_failed = true;
        }
    }

    /// Upstream to downstream. Returns whether it stopped because enough is queued.
    fn pull_response(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        self.server.receive_sparingly(self.exchange.down.side.is_slow());
        while !self.response_complete && !self.had_its_turn() {
            let full = self.is_full_down();
            self.note_pause_down(full);
            if full {
                return Ok(true);
            }
            let event = match self.server.poll_event(cx, &mut self.exchange.down.response) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(event)) => event,
                Poll::Ready(Err(failure)) => return Err(self.upstream_failed(failure)),
            };
            self.note_progress();
            self.push_down(event)?;
        }
        Ok(false)
    }

    fn push_down(&mut self, event: Event) -> Result<(), Ended> {
        match event {
            Event::Informational => self.informational(),
            Event::Head => self.response_head()?,
            Event::Data(data) if self.filters_down() => {
                let limit = self.limit_down;
                if let Some(data) = self.exchange.filter_response_data(data, limit)? {
                    self.send_down(data);
                }
            }
            Event::Data(data) => self.send_down(data),
            Event::Trailers => self.end_response(true)?,
            Event::Complete => {
                if !self.response_ended {
                    self.end_response(false)?;
                }
                self.response_complete = true;
                self.exchange.info.response_complete = Some(self.exchange.elapsed());
            }
        }
        Ok(())
    }

    /// What comes through a tunnel is no body.
    fn filters_down(&self) -> bool {
        self.tunnel != Tunnel::Open && self.exchange.filters_response_bodies()
    }

    fn send_down(&mut self, data: Buf) {
        self.exchange.info.bytes_sent += data.len() as u64;
        self.exchange.down.side.send_data(data);
    }

    /// A hint before the response (RFC 9110 section 15.2), which the client gets only under
    /// `proxy_100_continue`: Envoy has answered its expectation already.
    fn informational(&mut self) {
        let exchange = &mut *self.exchange;
        let status = exchange.down.response.status;
        self.upstream.count_status(&exchange.down.worker, status, exchange.internal);
        exchange.hinted = true;
        // RFC 9110 section 15.2: HTTP/1.0 knows none.
        let understood = exchange.down.request.version() != Version::Http10;
        if exchange.manager.proxy_100_continue && understood {
            response::send_informational(exchange);
        }
    }

    /// The head of the response: counted, filtered, and sent on.
    fn response_head(&mut self) -> Result<(), Ended> {
        let exchange = &mut *self.exchange;
        let elapsed = exchange.elapsed();
        exchange.info.response_received = Some(elapsed);
        exchange.info.details = "via_upstream".into();
        let status = exchange.down.response.status;
        about_stream!(debug, "router", exchange, "upstream headers complete: {status}");
        let fields = Lines(&exchange.down.response.fields);
        about_stream!(trace, "router", exchange, "upstream response headers:{fields}");
        exchange.info.response_code = status;
        self.upstream.count_status(&exchange.down.worker, status, exchange.internal);
        self.grpc = grpc::is_request(&exchange.down.request);
        self.count_success(|pump| match pump.grpc && status == 200 {
            true => grpc::success(&pump.exchange.down.response.fields),
            false => Some(status < 500),
        });
        let exchange = &mut *self.exchange;
        // Envoy counts from the end of the request: before it there is nothing to tell.
        if exchange.request_complete && !exchange.filters.router().suppress_envoy_headers {
            set_service_time(exchange, elapsed);
        }
        for cookie in exchange.cookies.drain(..) {
            exchange.down.response.fields.push(b"set-cookie", cookie.as_bytes());
        }
        response::mutate(exchange);
        // What comes through a tunnel is no body.
        let collects = !self.server.body().is_empty() && !self.opens_tunnel(status);
        let passed = self.exchange.filter_response(collects).map_err(Ended::Reply)?;
        if passed == Passed::Collecting {
            return Ok(());
        }
        self.settle_tunnel(status).map_err(Ended::Reply)?;
        let (framing, is_end) = self.framing();
        response::send_head(self.exchange, framing, is_end);
        Ok(())
    }

    /// Whether an answer of this status accepts the tunnel that was asked for.
    fn opens_tunnel(&self, status: u16) -> bool {
        let connects = self.exchange.down.request.method_kind() == Method::Connect;
        let accepts = status == 101 || connects && (200..300).contains(&status);
        accepts && self.tunnel == Tunnel::Asked
    }

    /// The answer decides whether there is a tunnel.
    fn settle_tunnel(&mut self, status: u16) -> Result<(), Box<LocalReply>> {
        if self.tunnel != Tunnel::Asked {
            return Ok(());
        }
        let opens = self.opens_tunnel(status);
        let exchange = &mut *self.exchange;
        if opens {
            self.tunnel = Tunnel::Open;
            exchange.timers.open_tunnel();
            exchange.down.side.open_tunnel();
            self.server.open_tunnel();
        } else {
            // RFC 9110 section 7.8: what the client sent meanwhile may be of either protocol.
            exchange.close = true;
            self.request_sent = true;
            // RFC 8441 section 5: to this client 2xx says that the protocol was switched.
            let is_http2 = exchange.down.request.version() == Version::Http2;
            if is_http2 && (200..300).contains(&status) {
                let reply = LocalReply::new(502, "upgrade_failed");
                return Err(Box::new(reply.flag(ResponseFlags::UPSTREAM_PROTOCOL_ERROR)));
            }
        }
        Ok(())
    }

    /// Counts once whether the endpoint did well, when that is known.
    fn count_success(&mut self, verdict: impl FnOnce(&Self) -> Option<bool>) {
        if !self.judged
            && let Some(good) = verdict(self)
        {
            self.judged = true;
            self.server.count_answer(good);
        }
    }

    /// How the response is framed towards the client (RFC 9112 section 6.3), and whether it ends
    /// with its head.
    fn framing(&mut self) -> (Framing, bool) {
        let exchange = &mut *self.exchange;
        let mut body = self.server.body();
        let described = exchange.down.response.fields.has(Known::ContentLength);
        if exchange.filters_response_bodies() && matches!(body, Body::Length(1..)) && !described {
            // A filter changes the body, and has taken its length away.
            body = Body::Chunked;
        }
        let request = &exchange.down.request;
        let status = exchange.down.response.status;
        let framing = Framing::of_response(body, status, request.method_kind(), request.version());
        // A client that knows no chunks reads until the end of the connection.
        exchange.close |= framing == Framing::None && !body.is_empty();
        (framing, body.is_empty())
    }

    fn end_response(&mut self, trailers: bool) -> Result<(), Ended> {
        self.response_ended = true;
        let manager = self.exchange.manager;
        self.count_success(|pump| {
            let trailers = trailers.then(|| pump.server.trailers());
            Some(trailers.and_then(grpc::success).unwrap_or(false))
        });
        if trailers && !manager.access_logs.is_empty() {
            self.exchange.down.trailers.clone_from(self.server.trailers());
        }
        if self.filters_down() && !self.server.body().is_empty() {
            return self.end_filtered_response(trailers);
        }
        let fields = trailers.then(|| self.server.trailers());
        self.exchange.down.side.send_end(fields);
        Ok(())
    }

    /// Filters have the last word on what follows the body, and on a response that was collected.
    fn end_filtered_response(&mut self, trailers: bool) -> Result<(), Ended> {
        let mut fields = Fields::new();
        if trailers {
            fields.clone_from(self.server.trailers());
        }
        let rest = match self.exchange.collected {
            None => self.exchange.filter_response_end(&mut fields),
            Some(_) => {
                let body = self.exchange.filter_whole(&mut fields).map_err(Ended::Reply)?;
                let head = &self.exchange.down;
                let (status, asked) = (head.response.status, head.request.method_kind());
                let whole = Body::Length(body.len() as u64);
                let framing = Framing::of_response(whole, status, asked, head.request.version());
                let is_end = body.is_empty() && fields.is_empty();
                response::send_head(self.exchange, framing, is_end);
                body
            }
        };
        if !rest.is_empty() {
            self.send_down(rest);
        }
        let fields = Some(&fields).filter(|fields| !fields.is_empty());
        self.exchange.down.side.send_end(fields);
        Ok(())
    }

    /// The upstream will not complete its response.
    fn upstream_failed(&mut self, failure: Failure) -> Ended {
        let exchange = &mut *self.exchange;
        exchange.down.now = ringway_runtime::now();
        if exchange.response_started && !self.judged {
            // A gRPC call whose status is missing.
            self.server.count_answer(false);
            let page = &exchange.down.worker.page;
            page.inc(exchange.manager.stats.rq_reset_after_downstream_response_started);
        }
        exchange.reset(failure)
    }
}

fn set_service_time<C>(exchange: &mut Exchange<'_, C>, elapsed: std::time::Duration) {
    let since = exchange.info.request_received.unwrap_or_default();
    let millis = elapsed.saturating_sub(since).as_millis() as u64;
    let (name, fields) = (Known::XEnvoyUpstreamServiceTime, &mut exchange.down.response.fields);
    fields.set_known(name, decimal(millis, &mut [0; 20]));
}
