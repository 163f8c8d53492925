//! One request and its answer.
//!
//! `run` reads as the life of the request: prepare the head, find the route, pass the filters, do
//! what the route says, and `finish`: counters and access log, whatever happened.

use std::rc::Rc;
use std::time::Duration;

use ringway_http::Method;
use ringway_http::h1::{RequestError, Upgrade};
use ringway_model::filter::{FilterState, HttpFilterChain};
use ringway_model::format::{FormatContext, Occasion};
use ringway_model::http::ConnectionManager;
use ringway_model::overload::Timer;
use ringway_model::route::{Action, Found, Matched, WeightedCluster};
use ringway_model::stats::status_class;
use ringway_model::stream::{LocalReply, ResponseFlags, StreamInfo};

use super::downstream::{Downstream, Verdict};
use super::filters::Collected;
use super::sides::ClientSide;
use super::timers::Timers;
use super::{grpc, request, response};
use crate::tell::{Lines, Text, about_stream, is_wanted};
use crate::upstream::Upstream;
use crate::wire::Event;

/// A request under way.
pub(super) struct Exchange<'c, C> {
    pub(super) down: &'c mut Downstream<C>,
    pub(super) manager: &'c ConnectionManager,
    /// What the request passes, and what each of them knows of it.
    pub(super) filters: &'c HttpFilterChain,
    pub(super) states: Vec<FilterState>,
    pub(super) info: StreamInfo,
    pub(super) timers: Timers,
    /// The route, once it is found.
    pub(super) matched: Option<Matched<'c>>,
    /// The chosen entry of its weighted clusters.
    pub(super) weighted: Option<&'c WeightedCluster>,
    /// The same number decides on everything random about this request.
    pub(super) random: u64,
    /// The client is internal, by address.
    pub(super) internal: bool,
    /// The whole request was read.
    pub(super) request_complete: bool,
    /// Another protocol is asked for, and allowed.
    pub(super) asks_for_tunnel: bool,
    /// The response head is on its way: it cannot be replaced any more.
    pub(super) response_started: bool,
    /// The connection ends with this response.
    pub(super) close: bool,
    /// An informational response of the upstream has come.
    pub(super) hinted: bool,
    /// The response began and could not be completed.
    pub(super) cut: bool,
    /// The cluster of the route, as this worker uses it.
    pub(super) upstream: Option<Rc<Upstream>>,
    /// The client speaks gRPC, whatever filters make of its request: replies of our own are gRPC.
    pub(super) asks_grpc: bool,
    /// A response that a filter wants as a whole.
    pub(super) collected: Option<Box<Collected>>,
    /// `set-cookie` of cookies that requests are hashed by.
    pub(super) cookies: Vec<String>,
}

impl<'c, C: ClientSide> Exchange<'c, C> {
    pub(super) fn new(down: &'c mut Downstream<C>, manager: &'c ConnectionManager) -> Self {
        let now = ringway_runtime::now();
        down.now = now;
        down.trailers.clear();
        let random = down.worker.random();
        let (page, stats) = (&down.worker.page, &manager.stats);
        page.inc(stats.downstream_rq_total);
        C::count_request(page, manager);
        page.raise(stats.downstream_rq_active, 1);
        let mut states = std::mem::take(&mut down.states);
        states.resize_with(manager.filters.len(), || None);
        let stream_idle = manager.timeouts.stream_idle;
        let stream_idle = down.worker.scaled(Timer::StreamIdle, stream_idle);
        Self {
            info: StreamInfo::new(now, down.worker.wall_clock(now)),
            timers: Timers::start(&manager.timeouts, stream_idle, now),
            matched: None,
            weighted: None,
            random,
            internal: false,
            request_complete: false,
            asks_for_tunnel: false,
            response_started: false,
            close: false,
            hinted: false,
            cut: false,
            upstream: None,
            asks_grpc: false,
            collected: None,
            states,
            cookies: Vec::new(),
            down,
            manager,
            filters: &manager.filters,
        }
    }

    /// From now on these filters are the chain of the exchange; none has seen it yet.
    pub(super) fn pass(&mut self, filters: &'c HttpFilterChain) {
        self.filters = filters;
        self.states.resize_with(filters.len(), || None);
    }

    /// From the start of the stream to this turn of the loop.
    pub(super) fn elapsed(&self) -> Duration {
        // What is answered in the turn in which it came is common, and to subtract is not cheap.
        match self.down.now == self.info.start {
            true => Duration::ZERO,
            false => self.down.now.duration_since(self.info.start),
        }
    }

    /// Serves the request whose head was read.
    pub(super) async fn run(&mut self) -> Verdict {
        self.tell_request();
        let ended = match self.begin().await {
            Ok(()) => self.act().await,
            Err(ended) => Err(ended),
        };
        match ended {
            Ok(()) => {}
            Err(Ended::Reply(reply)) => self.reply(reply),
            Err(Ended::Cut) => {
                self.cut = true;
                return self.finish(Verdict::Close);
            }
            Err(Ended::Abort) => return self.finish(Verdict::Abort),
        }
        let verdict = self.verdict();
        self.finish(verdict)
    }

    fn tell_request(&self) {
        if !is_wanted() {
            return;
        }
        let head = &self.down.request;
        let (method, path) = (Text(head.method()), Text(head.path()));
        let authority = Text(head.authority());
        about_stream!(debug, "http", self, "request headers complete: {method} {authority} {path}");
        about_stream!(trace, "http", self, "request headers:{}", Lines(&head.fields));
    }

    /// Answers bytes that are not a request.
    pub(super) fn refuse(&mut self, error: RequestError) -> Verdict {
        self.down.worker.page.inc(self.manager.stats.downstream_cx_protocol_error);
        self.forget_head();
        about_stream!(debug, "http", self, "dispatch error: {}", error.details());
        let flag = ResponseFlags::DOWNSTREAM_PROTOCOL_ERROR;
        let reply = LocalReply::new(error.status(), error.details()).body(error.body());
        self.reply(Box::new(reply.flag(flag).close()));
        self.finish(Verdict::Close)
    }

    /// There is no request. Envoy logs its own protocol then.
    fn forget_head(&mut self) {
        self.down.request.clear();
        self.info.protocol = Some(self.down.request.version());
    }

    /// Answers a head that did not arrive in time.
    pub(super) fn too_late(&mut self, idle: bool) -> Verdict {
        self.forget_head();
        let stats = &self.manager.stats;
        let reply = if idle {
            self.down.worker.page.inc(stats.downstream_rq_idle_timeout);
            super::timers::Expired::Idle.reply(false)
        } else {
            self.down.worker.page.inc(stats.downstream_rq_header_timeout);
            LocalReply::new(408, "request_header_timeout").body("request header timeout").close()
        };
        self.reply(Box::new(reply));
        self.finish(Verdict::Close)
    }

    /// The client has gone before its head was whole. Envoy counts and logs a request then, if it
    /// was only an empty line that had come.
    pub(super) fn left(&mut self) -> Verdict {
        self.forget_head();
        let _nobody_to_answer = self.client_gone();
        self.finish(Verdict::Abort)
    }

    /// Everything before the route acts: policy of the connection manager, route, filters.
    async fn begin(&mut self) -> Result<(), Ended> {
        self.info.protocol = Some(self.down.request.version());
        self.close = !self.down.side.keep_alive();
        self.asks_grpc = grpc::is_request(&self.down.request);
        request::prepare(self)?;
        if !self.filters.has_router() {
            return Err(std::future::poll_fn(|cx| self.poll_impatience(cx, None)).await);
        }
        // As in Envoy, filters see requests without a route too: the router refuses them.
        let routed = self.find_route();
        let settled = request::settle_upgrade(self);
        self.name_route();
        settled?;
        self.filter_request().await?;
        self.down.worker.page.inc(self.manager.stats.rq_total);
        Ok(routed?)
    }

    fn find_route(&mut self) -> Result<(), Box<LocalReply>> {
        let (stats, page) = (&self.manager.stats, &self.down.worker.page);
        let found = self.manager.routes.find(
            &self.down.request,
            self.down.info.tls.as_deref(),
            self.random,
        );
        let matched = match found {
            Found::Route(matched) => matched,
            Found::TlsRequired { .. } => return Err(self.redirect_to_tls()),
            Found::NoVirtualHost | Found::NoRoute { .. } => {
                page.inc(stats.no_route);
                let path = Text(self.down.request.path());
                about_stream!(debug, "router", self, "no route match for URL '{path}'");
                let reply = LocalReply::new(404, "route_not_found");
                return Err(Box::new(reply.flag(ResponseFlags::NO_ROUTE_FOUND)));
            }
        };
        self.matched = Some(matched);
        if let Action::Forward(forward) = &matched.route.action {
            self.weighted = forward.choose(&self.down.request, self.random);
            self.upstream = self.find_cluster(forward);
            self.info.cluster = self.upstream.as_ref().map(|upstream| Rc::clone(&upstream.name));
        }
        self.tell_route(&matched);
        Ok(())
    }

    fn name_route(&mut self) {
        let Some(matched) = self.matched.filter(|matched| self.names_matter(matched)) else {
            return;
        };
        let worker = &self.down.worker;
        self.info.virtual_host = Some(worker.local_name(&matched.virtual_host.name));
        let name = &matched.route.name;
        self.info.route_name = (!name.is_empty()).then(|| worker.local_name(name));
    }

    fn tell_route(&self, matched: &Matched<'_>) {
        if !is_wanted() {
            return;
        }
        let (path, route) = (Text(self.down.request.path()), &matched.route.name);
        match &self.info.cluster {
            Some(cluster) => {
                about_stream!(debug, "router", self, "cluster '{cluster}' match for URL '{path}'");
            }
            None => about_stream!(debug, "router", self, "route '{route}' match for URL '{path}'"),
        }
    }

    /// Whether anything can ask for the names of the route: logs, filters, header mutations.
    fn names_matter(&self, matched: &Matched<'_>) -> bool {
        !self.manager.access_logs.is_empty()
            || !self.filters.is_empty()
            || matched.mutates_request()
            || matched.mutates_response()
    }

    fn redirect_to_tls(&mut self) -> Box<LocalReply> {
        self.down.worker.page.inc(self.manager.stats.rq_direct_response);
        let mut location = Vec::new();
        ringway_model::route::write_tls_location(&self.down.request, &mut location);
        let location = String::from_utf8_lossy(&location).into_owned();
        Box::new(LocalReply::new(301, "direct_response").header("location", location))
    }

    /// Does what the route says.
    async fn act(&mut self) -> Result<(), Ended> {
        let Some(matched) = self.matched else { return Err(Ended::Abort) };
        match &matched.route.action {
            Action::Forward(forward) => self.forward(forward).await,
            Action::Redirect(redirect) => {
                response::redirect(self, matched, redirect);
                Ok(())
            }
            Action::Direct(direct) => {
                response::direct(self, direct);
                Ok(())
            }
            Action::NonForwarding => {
                let reply = LocalReply::new(404, "route_not_found");
                Err(Ended::Reply(Box::new(reply.flag(ResponseFlags::NO_ROUTE_FOUND))))
            }
        }
    }

    /// Answers with a local reply instead of whatever would have come.
    pub(super) fn reply(&mut self, reply: Box<LocalReply>) {
        response::local(self, &reply);
    }

    /// How the connection goes on after a complete response.
    fn verdict(&self) -> Verdict {
        // RFC 9112 section 9.3: what is left of the request would be taken for the next one.
        if self.close || !self.request_complete { Verdict::Close } else { Verdict::KeepAlive }
    }

    /// Reads what was received of a request that nobody wants, and nothing more: a connection
    /// whose request has come as a whole can serve on, and whether it has does not depend on how
    /// fast the rest comes.
    pub(super) fn read_rest(&mut self) {
        let Downstream { side, request, .. } = &mut *self.down;
        while let Some(event) = side.received_event(request) {
            match event {
                Event::Data(data) => self.info.bytes_received += data.len() as u64,
                Event::Complete => return self.note_request_complete(),
                _ => {}
            }
        }
    }

    /// Whether the request has come to its end. What follows CONNECT or an upgrade never does.
    pub(super) fn request_ended(&self) -> bool {
        let endless = self.down.request.method_kind() == Method::Connect
            || self.down.side.upgrade() != Upgrade::None;
        self.request_complete && !endless
    }

    /// The end of every exchange: counters and access log.
    fn finish(&mut self, verdict: Verdict) -> Verdict {
        let elapsed = self.elapsed();
        self.info.finished = Some(elapsed);
        let (status, details) = (self.info.response_code, &self.info.details);
        about_stream!(debug, "http", self, "stream ends: {status} {details}, then {verdict:?}");
        let (page, stats) = (&self.down.worker.page, &self.manager.stats);
        page.lower(stats.downstream_rq_active, 1);
        page.record(stats.downstream_rq_time, elapsed.as_millis() as u64);
        page.record(self.manager.latency_us, elapsed.as_micros() as u64);
        if self.asks_for_tunnel {
            page.lower(stats.downstream_cx_upgrades_active, 1);
        }
        if self.cut {
            page.inc(stats.downstream_rq_tx_reset);
        }
        // In Envoy a stream that ends before its request does is reset, whoever ends it.
        if self.cut || verdict == Verdict::Close && !self.request_ended() {
            page.inc(stats.downstream_rq_rx_reset);
        }
        if let Some(class) = status_class(self.info.response_code) {
            page.inc(stats.downstream_rq_completed);
            page.inc(stats.by_class()[class]);
            let listener = &self.manager.listener_stats;
            page.inc(listener.downstream_rq_completed);
            page.inc(listener.by_class()[class]);
        }
        if !self.manager.access_logs.is_empty() {
            self.log();
        }
        self.states.clear();
        self.down.states = std::mem::take(&mut self.states);
        verdict
    }

    fn log(&self) {
        let cx = FormatContext::new(&self.info, &self.down.info)
            .request(&self.down.request)
            .response(&self.down.response)
            .trailers(&self.down.trailers)
            .on(Occasion::DownstreamEnd);
        self.down.worker.log.write(&self.manager.access_logs, &cx);
    }
}

/// Why an exchange did not end by itself.
#[derive(Debug)]
pub(super) enum Ended {
    /// This is answered instead, if nothing was answered yet.
    Reply(Box<LocalReply>),
    /// The response cannot be completed: what there is of it is sent, then the connection ends.
    Cut,
    /// Nothing can be answered any more.
    Abort,
}

impl From<Box<LocalReply>> for Ended {
    fn from(reply: Box<LocalReply>) -> Self {
        Self::Reply(reply)
    }
}
