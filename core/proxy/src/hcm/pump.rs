//! The one loop that moves a request up and its response down.
//!
//! Each direction is pulled only while the other side takes what it gets: a slow reader stops the
//! reading from its peer, and at most the buffer limit waits in between.

use std::task::{Context, Poll};
use std::time::Instant;

use ringway_http::h1::{
    Framing, ResponseError, encode_chunk_end, encode_chunk_prefix, encode_trailers,
};
use ringway_http::{Known, ResetReason, Version};
use ringway_model::stream::{LocalReply, ResponseFlags};
use ringway_runtime::buffer::Buf;

use super::exchange::{Ended, Exchange};
use super::forward::reset_body;
use super::{grpc, response};
use crate::tell::{Lines, about_stream};
use crate::upstream::{Connection, Upstream};
use crate::wire::{Broken, Decode, Event, Wire};

/// More than this is never queued in one direction, whatever the configured limit: it would wait
/// in our memory instead of the peer's.
pub(super) const QUEUE_MAX: usize = 512 << 10;

/// A request and its response in motion.
pub(super) struct Pump<'p, 'c> {
    exchange: &'p mut Exchange<'c>,
    connection: &'p mut Connection,
    upstream: &'p Upstream,
    /// The request body goes up in chunks.
    chunked_up: bool,
    /// The response body goes down in chunks.
    chunked_down: bool,
    /// The request was handed to the upstream connection, to its last byte.
    request_sent: bool,
    /// Sending to the upstream failed; its answer may still be there to read.
    send_failed: bool,
    response_complete: bool,
    /// The request is one of gRPC.
    grpc: bool,
    /// Whether the endpoint did well was counted.
    judged: bool,
    /// Something moved in this turn, so its time was taken.
    progressed: bool,
    /// How much may wait to be sent to the upstream.
    limit_up: usize,
    /// How much may wait to be sent to the client.
    limit_down: usize,
    /// The client is not read, since the upstream does not keep up.
    paused_up: bool,
    /// The upstream is not read, since the client does not keep up.
    paused_down: bool,
}

impl<'p, 'c> Pump<'p, 'c> {
    pub(super) fn new(
        exchange: &'p mut Exchange<'c>,
        connection: &'p mut Connection,
        upstream: &'p Upstream,
        chunked_up: bool,
    ) -> Self {
        let limit_up = upstream.cluster.policy.buffer_limit.clamp(1, QUEUE_MAX);
        let limit_down = exchange.down.buffer_limit.clamp(1, QUEUE_MAX);
        Self {
            request_sent: exchange.request_complete,
            exchange,
            connection,
            upstream,
            chunked_up,
            chunked_down: false,
            send_failed: false,
            response_complete: false,
            grpc: false,
            judged: false,
            progressed: false,
            limit_up,
            limit_down,
            paused_up: false,
            paused_down: false,
        }
    }

    /// Whether the connection to the upstream is between messages again.
    pub(super) fn is_clean(&mut self) -> bool {
        self.request_sent
            && self.response_complete
            && !self.send_failed
            && self.connection.wire.stream.is_flushed()
    }

    /// Moves what can be moved; `Ready` when the response is complete or cannot be completed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        self.progressed = false;
        loop {
            let full_up = self.pull_request(cx)?;
            let flushed_up = self.flush_up(cx);
            let full_down = self.pull_response(cx)?;
            let down = &mut self.exchange.down.wire.stream;
            let flushed_down = match down.poll_flush_unattended(cx) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(self.exchange.client_gone())),
                Poll::Pending => false,
            };
            if self.response_complete {
                return Poll::Ready(Ok(()));
            }
            // Room was made on a side that had stopped its peer: go on at once.
            if !(full_up && flushed_up || full_down && flushed_down) {
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

    /// Something moved: the stream is not idle.
    fn note_progress(&mut self) {
        if !std::mem::replace(&mut self.progressed, true) {
            self.exchange.down.now = Instant::now();
            self.exchange.timers.touch(self.exchange.down.now);
        }
    }

    /// Downstream to upstream. Returns whether it stopped because enough is queued.
    fn pull_request(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        while !self.request_sent {
            let full = self.connection.wire.stream.queued_bytes() >= self.limit_up;
            self.note_pause_up(full);
            if full {
                return Ok(true);
            }
            let down = &mut *self.exchange.down;
            let event = match down.wire.poll_event(cx, &mut down.request) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(event)) => event,
                Poll::Ready(Err(Broken::Closed)) => return Err(self.exchange.client_gone()),
                Poll::Ready(Err(Broken::Protocol(error))) => {
                    return Err(self.bad_request(error));
                }
            };
            self.note_progress();
            self.push_up(event);
        }
        if self.exchange.down.wire.poll_gone(cx).is_ready() {
            return Err(self.exchange.client_gone());
        }
        Ok(false)
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

    fn push_up(&mut self, event: Event) {
        match event {
            Event::Data(data) => {
                self.exchange.info.bytes_received += data.len() as u64;
                if !self.send_failed {
                    queue(&mut self.connection.wire, data, self.chunked_up);
                }
            }
            Event::Trailers => self.end_request(true),
            Event::Complete => {
                if !self.exchange.request_complete {
                    self.end_request(false);
                }
                self.request_sent = true;
            }
            Event::Head | Event::Informational => {}
        }
    }

    /// The last chunk, with or without trailers.
    fn end_request(&mut self, trailers: bool) {
        self.exchange.note_request_complete();
        if self.chunked_up {
            let policy = &self.upstream.cluster.policy;
            let with_trailers = trailers && policy.enable_trailers;
            let fields = with_trailers.then(|| self.exchange.down.wire.decoder.trailers());
            let tail = self.connection.wire.stream.tail();
            encode_trailers(fields, tail);
        }
    }

    /// A body whose framing is broken: the upstream request cannot be completed.
    fn bad_request(&mut self, error: ringway_http::RequestError) -> Ended {
        let (page, stats) = (&self.exchange.down.worker.page, &self.exchange.manager.stats);
        page.inc(stats.downstream_cx_protocol_error);
        let reply = LocalReply::new(error.status(), error.details()).body(error.body());
        Ended::Reply(Box::new(reply.flag(ResponseFlags::DOWNSTREAM_PROTOCOL_ERROR).close()))
    }

    /// Whether everything is sent.
    fn flush_up(&mut self, cx: &mut Context<'_>) -> bool {
        if self.send_failed {
            return true;
        }
        match self.connection.wire.stream.poll_flush_unattended(cx) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(_)) => {
                // The upstream may have answered before it closed: its end of the conversation
                // decides.
                self.send_failed = true;
                true
            }
            Poll::Pending => false,
        }
    }

    /// Upstream to downstream. Returns whether it stopped because enough is queued.
    fn pull_response(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        while !self.response_complete {
            let full = self.exchange.down.wire.stream.queued_bytes() >= self.limit_down;
            self.note_pause_down(full);
            if full {
                return Ok(true);
            }
            let event = match self.connection.poll_event(cx, &mut self.exchange.down.response) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(event)) => event,
                Poll::Ready(Err(broken)) => return Err(self.upstream_broken(&broken)),
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
            Event::Data(data) => {
                self.exchange.info.bytes_sent += data.len() as u64;
                queue(&mut self.exchange.down.wire, data, self.chunked_down);
            }
            Event::Trailers => self.end_response(true),
            Event::Complete => {
                if !self.response_complete {
                    self.end_response(false);
                }
                self.response_complete = true;
            }
        }
        Ok(())
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
        if exchange.request_complete && !exchange.manager.suppress_envoy_headers {
            set_service_time(exchange, elapsed);
        }
        response::mutate(exchange);
        exchange.filter_response().map_err(Ended::Reply)?;
        let framing = self.framing();
        self.chunked_down = framing == Framing::Chunked;
        response::send_head(self.exchange, framing);
        Ok(())
    }

    /// Counts once whether the endpoint did well, when that is known.
    fn count_success(&mut self, verdict: impl FnOnce(&Self) -> Option<bool>) {
        if !self.judged
            && let Some(good) = verdict(self)
        {
            self.judged = true;
            self.connection.count_answer(good);
        }
    }

    /// How the response is framed towards the client (RFC 9112 section 6.3).
    fn framing(&mut self) -> Framing {
        let exchange = &mut *self.exchange;
        let body = self.connection.wire.decoder.body();
        let request = &exchange.down.request;
        let status = exchange.down.response.status;
        let framing = Framing::of_response(body, status, request.method_kind(), request.version());
        // A client that knows no chunks reads until the end of the connection.
        exchange.close |= framing == Framing::None && !body.is_empty();
        framing
    }

    fn end_response(&mut self, trailers: bool) {
        let manager = self.exchange.manager;
        self.count_success(|pump| {
            let trailers = trailers.then(|| pump.connection.wire.decoder.trailers());
            Some(trailers.and_then(grpc::success).unwrap_or(false))
        });
        if trailers && !manager.access_logs.is_empty() {
            self.exchange.down.trailers.clone_from(self.connection.wire.decoder.trailers());
        }
        if self.chunked_down {
            let with_trailers = trailers && manager.enable_trailers;
            let fields = with_trailers.then(|| self.connection.wire.decoder.trailers());
            let tail = self.exchange.down.wire.stream.tail();
            encode_trailers(fields, tail);
            self.chunked_down = false;
        }
    }

    /// The upstream will not complete its response.
    fn upstream_broken(&mut self, broken: &Broken<ResponseError>) -> Ended {
        let (reason, flag) = match broken {
            Broken::Closed => {
                self.connection.note_peer_close();
                let flag = ResponseFlags::UPSTREAM_CONNECTION_TERMINATION;
                (ResetReason::ConnectionTermination, flag)
            }
            Broken::Protocol(error) => {
                if *error == ResponseError::Truncated {
                    self.connection.note_peer_close();
                }
                self.connection.count(|stats| stats.upstream_cx_protocol_error);
                (error.reset_reason(), ResponseFlags::UPSTREAM_PROTOCOL_ERROR)
            }
        };
        let exchange = &mut *self.exchange;
        about_stream!(debug, "router", exchange, "upstream reset: reset reason: {}", reason.text());
        if exchange.response_started {
            if !self.judged {
                // A gRPC call whose status is missing.
                self.connection.count_answer(false);
                let page = &exchange.down.worker.page;
                page.inc(exchange.manager.stats.rq_reset_after_downstream_response_started);
            }
            exchange.info.flags.insert(flag);
            let details = format!("upstream_reset_after_response_started{{{}}}", reason.detail());
            exchange.info.details = details.into();
            return Ended::Cut;
        }
        let status = if reason == ResetReason::ProtocolError { 502 } else { 503 };
        let when = if exchange.hinted { "after" } else { "before" };
        let details = format!("upstream_reset_{when}_response_started{{{}}}", reason.detail());
        Ended::Reply(Box::new(LocalReply::new(status, details).body(reset_body(reason)).flag(flag)))
    }
}

fn set_service_time(exchange: &mut Exchange<'_>, elapsed: std::time::Duration) {
    let since = exchange.info.request_received.unwrap_or_default();
    let millis = elapsed.saturating_sub(since).as_millis() as u64;
    exchange.down.response.fields.set_known_with(Known::XEnvoyUpstreamServiceTime, |out| {
        use std::io::Write;
        // Writing to a vector cannot fail.
        let _ = write!(out, "{millis}");
    });
}

/// Queues a piece of body, in a chunk of its own where chunks are used.
fn queue<D: Decode>(wire: &mut Wire<D>, data: Buf, chunked: bool) {
    if chunked {
        encode_chunk_prefix(data.len(), wire.stream.tail());
    }
    wire.queue(data);
    if chunked {
        encode_chunk_end(wire.stream.tail());
    }
}
