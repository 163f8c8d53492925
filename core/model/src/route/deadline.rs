//! How long a stream of a route may last, and what gRPC's own deadline has to do with it.

use std::time::Duration;

use ringway_http::{Known, RequestHead};

use super::Forward;
use crate::grpc;

/// What becomes of a `grpc-timeout` before it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GrpcDeadline {
    /// The longest that is granted; `None` grants any.
    pub max: Option<Duration>,
    /// Taken off, so that the proxy gives up before the client does.
    pub offset: Duration,
}

impl GrpcDeadline {
    /// `grpc_timeout_header_max`, then `grpc_timeout_header_offset`: what is left may be nothing.
    fn of_stream(self, timeout: Duration) -> Duration {
        let granted = self.max.map_or(timeout, |max| timeout.min(max));
        granted.saturating_sub(self.offset)
    }

    /// `grpc_timeout_offset`, then `max_grpc_timeout`: here 0 means that there is no limit, so
    /// that an offset that would take all is not taken. `None` is no limit.
    fn of_response(self, timeout: Option<Duration>) -> Option<Duration> {
        let timeout = timeout.unwrap_or_default();
        let rest = match self.offset < timeout {
            true => timeout - self.offset,
            false => timeout,
        };
        match self.max {
            Some(max) if rest.is_zero() || rest > max => Some(max),
            _ => Some(rest).filter(|rest| !rest.is_zero()),
        }
    }
}

impl Forward {
    /// How long a stream may last from its beginning, `None` for no limit: the client's
    /// `grpc-timeout` where it counts, else the route's own limit, else that of the connection
    /// manager. As in Envoy any request may carry a `grpc-timeout`.
    pub fn stream_duration(
        &self,
        head: &RequestHead,
        of_manager: Option<Duration>,
    ) -> Option<Duration> {
        let own = || self.max_stream_duration.unwrap_or(of_manager);
        let Some(deadline) = self.grpc_stream else { return own() };
        match grpc::timeout(&head.fields) {
            Some(timeout) => Some(deadline.of_stream(timeout)),
            None => own(),
        }
    }

    /// `timeout`, or what `max_grpc_timeout` makes of the `grpc-timeout` of a gRPC request.
    pub fn response_timeout(&self, head: &RequestHead) -> Option<Duration> {
        match self.grpc_response.filter(|_| grpc::is_grpc(&head.fields)) {
            Some(deadline) => deadline.of_response(grpc::timeout(&head.fields)),
            None => self.timeout,
        }
    }

    /// Tells a gRPC upstream how long the proxy waits. `of_manager` is as in
    /// [`Forward::stream_duration`]; `response` is what [`Forward::response_timeout`] said, or
    /// what took its place.
    pub fn set_grpc_timeout(
        &self,
        head: &mut RequestHead,
        of_manager: Option<Duration>,
        response: Option<Duration>,
    ) {
        let counts = self.limits_streams || self.grpc_response.is_some();
        if !counts || !grpc::is_grpc(&head.fields) {
            return;
        }
        let timeout = match self.limits_streams {
            true => self.stream_duration(head, of_manager),
            false => response,
        };
        match timeout {
            Some(timeout) => grpc::set_timeout(&mut head.fields, timeout),
            // The route has lifted a limit, and so the deadline that went with it.
            None if self.limits_streams && of_manager.is_some() => {
                head.fields.remove_known(Known::GrpcTimeout);
            }
            None => {}
        }
    }
}
