//! An exchange on its way through the HTTP filters of its connection manager.
//!
//! Owns which filter is visited when, and the response that one of them collects. Does not own
//! what moves the bodies (`pump`) nor what a filter is (`ringway_model::filter`).

use std::task::Poll;

use ringway_http::{Fields, Known};
use ringway_model::filter::{End, HttpFilter, Piece, ResponseStep, Step, StreamCx, Whole};
use ringway_model::stream::LocalReply;
use ringway_runtime::buffer::Buf;

use super::exchange::{Ended, Exchange};
use super::sides::ClientSide;

/// A response that waits until it is complete.
#[derive(Debug)]
pub(super) struct Collected {
    /// The filter that wants it.
    filter: usize,
    body: Vec<u8>,
}

/// How far the head of a response has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passed {
    /// Through all filters.
    All,
    /// To one that collects the response.
    Collecting,
}

impl<C: ClientSide> Exchange<'_, C> {
    /// Visits one filter.
    fn visit<T>(
        &mut self,
        index: usize,
        visit: impl FnOnce(&dyn HttpFilter, &mut Visit<'_, '_>) -> T,
    ) -> T {
        let filter = self.filters.get(index);
        let mut state = self.states[index].take();
        let down = &mut *self.down;
        let upstream = self.upstream.as_ref();
        let (matched, name) = (self.matched.as_ref(), self.filters.name(index));
        let weighted = self.weighted;
        let cx = StreamCx {
            connection: &down.info,
            info: &mut self.info,
            stats: &down.worker.named,
            cluster: upstream.map(|upstream| &upstream.cluster.policy.stat_scope),
            dynamic: upstream.and_then(|upstream| upstream.cluster.policy.dynamic.as_ref()),
            names: &down.worker.dns,
            route_config: matched.and_then(|matched| matched.filter_config(weighted, name)),
        };
        let (request, response) = (&mut down.request, &mut down.response);
        let mut visited = Visit { state: &mut state, request, response, cx };
        let result = visit(filter, &mut visited);
        self.states[index] = state;
        result
    }

    /// Passes the head of the request through the filters.
    pub(super) async fn filter_request(&mut self) -> Result<(), Ended> {
        for &index in self.filters.request_head() {
            let step = self.visit(index, |filter, visit| {
                filter.request_head(visit.state, visit.request, &mut visit.cx)
            });
            self.settle(step).await?;
        }
        Ok(())
    }

    /// Waits for a filter that has not decided yet, as long as the client waits too.
    async fn settle(&mut self, mut step: Step) -> Result<(), Ended> {
        loop {
            let mut future = match step {
                Step::Continue => return Ok(()),
                Step::Respond(reply) => return Err(Ended::Reply(reply)),
                Step::Wait(future) => future,
            };
            let next = std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
                Poll::Ready(next) => {
                    self.down.now = ringway_runtime::now();
                    Poll::Ready(Ok(next))
                }
                Poll::Pending => self.poll_impatience(cx, None).map(Err),
            });
            step = next.await?;
        }
    }

    /// Whether any filter looks at the bodies of requests.
    pub(super) fn filters_request_bodies(&self) -> bool {
        !self.filters.request_body().is_empty()
    }

    /// Whether any filter looks at the bodies of responses, or wants this one as a whole.
    pub(super) fn filters_response_bodies(&self) -> bool {
        !self.filters.response_body().is_empty() || self.collected.is_some()
    }

    /// Passes a piece of the request through the filters; what is left of it may be empty.
    pub(super) fn filter_request_data(&mut self, mut data: Buf) -> Result<Buf, Ended> {
        for &index in self.filters.request_body() {
            if let Some(bytes) = self.request_piece(index, &data)? {
                data = Buf::new(bytes);
            }
        }
        Ok(data)
    }

    /// What a filter puts in the place of a piece of the request.
    fn request_piece(&mut self, index: usize, data: &[u8]) -> Result<Option<Vec<u8>>, Ended> {
        let mut piece = Piece::new(data);
        let looked = self.visit(index, |filter, visit| {
            filter.request_data(visit.state, &mut piece, &mut visit.cx)
        });
        looked.map_err(Ended::Reply)?;
        Ok(piece.into_replacement())
    }

    /// Passes the end of the request through the filters. `trailers` are those that came, and
    /// become those to send; what goes behind the body is returned.
    pub(super) fn filter_request_end(&mut self, trailers: &mut Fields) -> Result<Buf, Ended> {
        let mut tail = Vec::new();
        for &index in self.filters.request_body() {
            if !tail.is_empty() {
                tail = self.request_piece(index, &tail)?.unwrap_or(tail);
            }
            let mut end = End { trailers, tail: &mut tail };
            let looked = self.visit(index, |filter, visit| {
                filter.request_end(visit.state, &mut end, &mut visit.cx)
            });
            looked.map_err(Ended::Reply)?;
        }
        Ok(Buf::new(tail))
    }

    /// Passes the head of the response through the filters. Where it cannot be collected, as a
    /// whole that has come already or as a reply of our own, nobody collects it.
    pub(super) fn filter_response(&mut self, collects: bool) -> Result<Passed, Box<LocalReply>> {
        self.response_head_below(usize::MAX, collects)
    }

    /// The filters with an index below `before` come later on the way of a response.
    fn response_head_below(
        &mut self,
        before: usize,
        collects: bool,
    ) -> Result<Passed, Box<LocalReply>> {
        let list = self.filters.response_head();
        for &index in list.iter().filter(|index| **index < before) {
            let step = self.visit(index, |filter, visit| {
                filter.response_head(visit.state, visit.request, visit.response, &mut visit.cx)
            });
            match step {
                ResponseStep::Continue => {}
                ResponseStep::Respond(reply) => return Err(reply),
                ResponseStep::Collect if collects => {
                    let collected = Collected { filter: index, body: Vec::new() };
                    self.collected = Some(Box::new(collected));
                    return Ok(Passed::Collecting);
                }
                ResponseStep::Collect => {}
            }
        }
        Ok(Passed::All)
    }

    /// Passes a piece of the response through the filters. `None` when it was collected, or when
    /// nothing is left of it.
    pub(super) fn filter_response_data(
        &mut self,
        data: Buf,
        limit: usize,
    ) -> Result<Option<Buf>, Ended> {
        let until = self.collected.as_ref().map_or(0, |collected| collected.filter + 1);
        let data = self.response_piece(data, until, usize::MAX);
        let Some(collected) = &mut self.collected else {
            return Ok(Some(data).filter(|data| !data.is_empty()));
        };
        if collected.body.len() + data.len() > limit {
            self.collected = None;
            self.down.worker.page.inc(self.manager.stats.rs_too_large);
            let reply = LocalReply::new(500, "response_payload_too_large");
            return Err(Ended::Reply(Box::new(reply.body("Internal Server Error"))));
        }
        collected.body.extend_from_slice(&data);
        Ok(None)
    }

    /// Of the filters from `from` to `before`, in the order of responses.
    fn response_piece(&mut self, mut data: Buf, from: usize, before: usize) -> Buf {
        let list = self.filters.response_body();
        for &index in list.iter().filter(|index| (from..before).contains(*index)) {
            let mut piece = Piece::new(&data);
            self.visit(index, |filter, visit| {
                filter.response_data(visit.state, &mut piece, &mut visit.cx);
            });
            if let Some(bytes) = piece.into_replacement() {
                data = Buf::new(bytes);
            }
        }
        data
    }

    /// Passes the end of the response through the filters from `from` to `before`; as
    /// [`Self::filter_request_end`].
    fn response_end(&mut self, trailers: &mut Fields, from: usize, before: usize) -> Buf {
        let list = self.filters.response_body();
        let mut tail = Vec::new();
        for &index in list.iter().filter(|index| (from..before).contains(*index)) {
            if !tail.is_empty() {
                let mut piece = Piece::new(&tail);
                self.visit(index, |filter, visit| {
                    filter.response_data(visit.state, &mut piece, &mut visit.cx);
                });
                tail = piece.into_replacement().unwrap_or(tail);
            }
            let mut end = End { trailers, tail: &mut tail };
            self.visit(index, |filter, visit| {
                filter.response_end(visit.state, &mut end, &mut visit.cx);
            });
        }
        Buf::new(tail)
    }

    /// As [`Self::filter_request_end`] for a response that is not collected.
    pub(super) fn filter_response_end(&mut self, trailers: &mut Fields) -> Buf {
        self.response_end(trailers, 0, usize::MAX)
    }

    /// The response that was collected is complete: its filter sees it, and those behind pass it.
    /// What is left of the body is returned, and its length is in the head.
    pub(super) fn filter_whole(&mut self, trailers: &mut Fields) -> Result<Buf, Box<LocalReply>> {
        let Some(collected) = self.collected.take() else { return Ok(Buf::default()) };
        let Collected { filter: index, mut body } = *collected;
        let tail = self.response_end(trailers, index + 1, usize::MAX);
        body.extend_from_slice(&tail);
        self.visit(index, |filter, visit| {
            let head = &mut *visit.response;
            let mut whole = Whole { head, body: &mut body, trailers };
            filter.response_whole(visit.state, visit.request, &mut whole, &mut visit.cx);
        });
        self.response_head_below(index, false)?;
        let body = self.response_piece(Buf::new(body), 0, index);
        let tail = self.response_end(trailers, 0, index);
        let body = joined(body, &tail);
        set_length(&mut self.down.response.fields, body.len());
        Ok(body)
    }

    /// Passes a reply of our own through the filters, its head and this body; `None` leaves the
    /// body as it is.
    pub(super) fn filter_reply(&mut self, body: &[u8]) -> Result<Option<Buf>, Box<LocalReply>> {
        if self.filter_response(!body.is_empty())? == Passed::All {
            return Ok(self.filter_text(body));
        }
        let before = self.collected.as_ref().map_or(0, |collected| collected.filter + 1);
        let data = self.response_piece(Buf::new(body.to_vec()), before, usize::MAX);
        if let Some(collected) = &mut self.collected {
            collected.body.extend_from_slice(&data);
        }
        self.filter_whole(&mut Fields::new()).map(Some)
    }

    fn filter_text(&mut self, body: &[u8]) -> Option<Buf> {
        if self.filters.response_body().is_empty() || body.is_empty() {
            return None;
        }
        let passed = self.response_piece(Buf::new(body.to_vec()), 0, usize::MAX);
        let tail = self.filter_response_end(&mut Fields::new());
        let passed = joined(passed, &tail);
        set_length(&mut self.down.response.fields, passed.len());
        Some(passed)
    }
}

/// What a filter is given.
struct Visit<'v, 'c> {
    state: &'v mut ringway_model::filter::FilterState,
    request: &'v mut ringway_http::RequestHead,
    response: &'v mut ringway_http::ResponseHead,
    cx: StreamCx<'c>,
}

fn joined(body: Buf, tail: &[u8]) -> Buf {
    if tail.is_empty() { body } else { Buf::new([&body, tail].concat()) }
}

fn set_length(fields: &mut Fields, length: usize) {
    fields.set_known_with(Known::ContentLength, |out| {
        use std::io::Write;
        // Writing to a vector cannot fail.
        let _ = write!(out, "{length}");
    });
}
