//! The times that a request may take, and which of them is over.

use std::time::{Duration, Instant};

use ringway_model::grpc;
use ringway_model::http::HttpTimeouts;
use ringway_model::stream::{LocalReply, ResponseFlags};

/// Deadlines of one request; `None` is off. Kept as plain times: the connection's one deadline
/// is moved to the earliest of them.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// `stream_idle_timeout` or the route's `idle_timeout`, restarted by each transfer.
    idle: Option<Duration>,
    idle_at: Option<Instant>,
    /// `request_timeout`: until the request is complete.
    request_at: Option<Instant>,
    /// `max_stream_duration`.
    duration_at: Option<Instant>,
    /// The cluster's `max_stream_duration`, from the upstream connection on.
    upstream_at: Option<Instant>,
    /// Route `timeout`: from the end of the request on.
    pub(super) response: Option<Duration>,
    response_at: Option<Instant>,
}

/// The timer that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    Idle,
    Request,
    Duration,
    Response,
    UpstreamDuration,
}

impl Timers {
    /// A request began, whose stream may be idle for so long.
    pub(super) fn start(timeouts: &HttpTimeouts, idle: Option<Duration>, now: Instant) -> Self {
        Self {
            idle,
            idle_at: idle.map(|idle| now + idle),
            request_at: timeouts.request.map(|request| now + request),
            duration_at: timeouts.max_stream_duration.map(|duration| now + duration),
            upstream_at: None,
            response: None,
            response_at: None,
        }
    }

    /// The request goes to a cluster with a maximum duration of its own.
    pub(super) fn upstream_begins(&mut self, duration: Option<Duration>, now: Instant) {
        self.upstream_at = duration.map(|duration| now + duration);
    }

    /// The route has an idle timeout of its own.
    pub(super) fn set_idle(&mut self, idle: Option<Duration>, now: Instant) {
        self.idle = idle;
        self.touch(now);
    }

    /// The route is known, and what it says of the duration.
    pub(super) fn set_duration(&mut self, duration: Option<Duration>, start: Instant) {
        self.duration_at = duration.map(|duration| start + duration);
    }

    /// Something moved in either direction.
    pub(super) fn touch(&mut self, now: Instant) {
        self.idle_at = self.idle.map(|idle| now + idle);
    }

    /// The request is complete: the upstream's time begins.
    pub(super) fn request_complete(&mut self, now: Instant) {
        self.request_at = None;
        self.response_at = self.response.map(|response| now + response);
    }

    /// A request for an upgrade has no end before its answer: the upstream's time begins with its
    /// head. That of CONNECT does not, as in Envoy.
    pub(super) fn upgrade_requested(&mut self, now: Instant) {
        self.response_at = self.response.map(|response| now + response);
    }

    /// The upstream has accepted a tunnel, which has no end that could be waited for.
    pub(super) fn open_tunnel(&mut self) {
        self.request_at = None;
        self.response = None;
        self.response_at = None;
    }

    /// The earliest of all.
    pub(super) fn next(&self) -> Option<Instant> {
        [self.idle_at, self.request_at, self.duration_at, self.upstream_at, self.response_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Which timer is over at `now`.
    pub(super) fn expired(&self, now: Instant) -> Option<Expired> {
        let over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if over(self.response_at) {
            Some(Expired::Response)
        } else if over(self.request_at) {
            Some(Expired::Request)
        } else if over(self.duration_at) {
            Some(Expired::Duration)
        } else if over(self.upstream_at) {
            Some(Expired::UpstreamDuration)
        } else {
            over(self.idle_at).then_some(Expired::Idle)
        }
    }
}

impl Expired {
    /// What Envoy 1.40 answers: 504 when the request was complete, 408 and the end of the
    /// connection when it was not.
    pub(super) fn reply(self, request_complete: bool) -> LocalReply {
        let (body, details, flag) = match self {
            Self::Idle => {
                ("stream timeout", "stream_idle_timeout", ResponseFlags::STREAM_IDLE_TIMEOUT)
            }
            Self::Request => {
                return LocalReply::new(408, "request_overall_timeout")
                    .body("request timeout")
                    .close();
            }
            Self::Duration => {
                ("downstream duration timeout", "max_duration_timeout", ResponseFlags::default())
            }
            Self::UpstreamDuration => (
                "upstream max stream duration reached",
                "upstream_max_stream_duration_reached",
                ResponseFlags::UPSTREAM_MAX_STREAM_DURATION_REACHED,
            ),
            Self::Response => (
                "upstream request timeout",
                "response_timeout",
                ResponseFlags::UPSTREAM_REQUEST_TIMEOUT,
            ),
        };
        let status = if request_complete || self == Self::Response { 504 } else { 408 };
        let mut reply = LocalReply::new(status, details).body(body).flag(flag);
        if self == Self::Duration {
            reply = reply.grpc_status(grpc::DEADLINE_EXCEEDED);
        }
        if status == 408 { reply.close() } else { reply }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeouts() -> HttpTimeouts {
        HttpTimeouts {
            stream_idle: Some(Duration::from_secs(300)),
            request: Some(Duration::from_secs(10)),
            request_headers: None,
            connection_idle: None,
            max_connection_duration: None,
            max_stream_duration: None,
            drain: Duration::from_secs(5),
            delayed_close: None,
        }
    }

    #[test]
    fn the_request_timeout_ends_with_the_request_and_the_routes_begins() {
        let start = Instant::now();
        let mut timers = Timers::start(&timeouts(), timeouts().stream_idle, start);
        timers.response = Some(Duration::from_secs(15));
        assert_eq!(timers.next(), Some(start + Duration::from_secs(10)));
        let complete = start + Duration::from_secs(2);
        timers.request_complete(complete);
        assert_eq!(timers.next(), Some(complete + Duration::from_secs(15)));
        assert_eq!(timers.expired(complete + Duration::from_secs(14)), None);
        assert_eq!(timers.expired(complete + Duration::from_secs(15)), Some(Expired::Response));
    }

    #[test]
    fn an_idle_stream_is_408_before_and_504_after_the_request() {
        let mut timers = Timers::start(&timeouts(), None, Instant::now());
        let later = Instant::now() + Duration::from_secs(1);
        timers.set_idle(Some(Duration::from_millis(5)), later);
        assert_eq!(timers.expired(later + Duration::from_millis(5)), Some(Expired::Idle));
        let reply = Expired::Idle.reply(false);
        assert_eq!((reply.status, reply.close), (408, true));
        assert_eq!(Expired::Idle.reply(true).status, 504);
    }
}
