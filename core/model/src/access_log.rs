//! Access logs, compiled: where a line goes, which streams get one, and how it reads.

use std::sync::Arc;

use crate::format::{Format, FormatContext};
use crate::grpc;
use crate::stream::ResponseFlags;

/// A sink's number, given by the control thread, which opened the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SinkId(pub u32);

/// One configured access log (Envoy `config.accesslog.v3.AccessLog`).
#[derive(Debug)]
pub struct AccessLog {
    /// Where lines go.
    pub sink: SinkId,
    /// How a line reads, line end included.
    pub format: Arc<Format>,
    /// Which streams get a line; `None` means all.
    pub filter: Option<LogFilter>,
}

/// A condition on a finished stream (Envoy `AccessLogFilter`).
#[derive(Debug)]
pub enum LogFilter {
    /// `status_code_filter`.
    Status(Comparison),
    /// `duration_filter`, in milliseconds.
    Duration(Comparison),
    /// `response_flag_filter`; an empty set means any flag at all.
    Flags(ResponseFlags),
    /// `grpc_status_filter`.
    Grpc {
        /// `statuses`: bit n stands for status n.
        statuses: u32,
        /// `exclude`: all but these.
        exclude: bool,
    },
    /// `and_filter`.
    And(Vec<LogFilter>),
    /// `or_filter`.
    Or(Vec<LogFilter>),
}

/// A comparison with a fixed value (`ComparisonFilter` with its `default_value`).
#[derive(Debug, Clone, Copy)]
pub struct Comparison {
    /// How to compare.
    pub op: Op,
    /// With what.
    pub value: u64,
}

/// `ComparisonFilter.op`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Equal.
    Eq,
    /// Greater or equal.
    Ge,
    /// Less or equal.
    Le,
    /// Not equal.
    Ne,
}

impl Comparison {
    fn holds(self, actual: u64) -> bool {
        match self.op {
            Op::Eq => actual == self.value,
            Op::Ge => actual >= self.value,
            Op::Le => actual <= self.value,
            Op::Ne => actual != self.value,
        }
    }
}

impl LogFilter {
    /// Whether the stream gets a line.
    pub fn accepts(&self, cx: &FormatContext<'_>) -> bool {
        match self {
            Self::Status(comparison) => comparison.holds(u64::from(cx.info.response_code)),
            Self::Duration(comparison) => {
                comparison.holds(cx.info.finished.unwrap_or_default().as_millis() as u64)
            }
            Self::Flags(flags) if flags.is_empty() => !cx.info.flags.is_empty(),
            Self::Flags(flags) => cx.info.flags.intersects(*flags),
            Self::Grpc { statuses, exclude } => {
                let found = statuses & 1 << grpc::status_of(cx) != 0;
                found != *exclude
            }
            Self::And(all) => all.iter().all(|filter| filter.accepts(cx)),
            Self::Or(any) => any.iter().any(|filter| filter.accepts(cx)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use ringway_http::{Fields, Known, ResponseHead};

    use super::*;
    use crate::address::Address;
    use crate::stream::{ConnectionInfo, StreamInfo};

    fn with_status(fields: &mut Fields, status: &str) {
        if !status.is_empty() {
            fields.push_known(Known::GrpcStatus, status.as_bytes());
        }
    }

    #[test]
    fn the_status_of_a_call_is_where_grpc_puts_it() {
        let address = Address::Ip(([127, 0, 0, 1], 80).into());
        let connection = ConnectionInfo {
            id: 1,
            local: address.clone(),
            direct_remote: address,
            listener: "l".into(),
            tls: None,
            transport_failure: None,
            start: Instant::now(),
            preamble: None,
            notes: None,
            chain: None,
            socket_local: None,
        };
        let not_found = LogFilter::Grpc { statuses: 1 << 5, exclude: false };
        let others = LogFilter::Grpc { statuses: 1 << 5, exclude: true };
        for (head_says, trailers_say, http, expected) in [
            ("", "5", 200, true),
            ("5", "", 200, true),
            ("0", "5", 200, true),
            ("5", "0", 200, false),
            ("5", "x", 200, true),
            ("", "", 404, false),
        ] {
            let (mut head, mut trailers) = (ResponseHead::new(), Fields::new());
            with_status(&mut head.fields, head_says);
            with_status(&mut trailers, trailers_say);
            let mut info = StreamInfo::new(Instant::now(), SystemTime::UNIX_EPOCH);
            info.response_code = http;
            let cx = FormatContext::new(&info, &connection).response(&head).trailers(&trailers);
            assert_eq!(not_found.accepts(&cx), expected, "{head_says} {trailers_say}");
            assert_eq!(others.accepts(&cx), !expected, "{head_says} {trailers_say}");
            let unimplemented = LogFilter::Grpc { statuses: 1 << 12, exclude: false };
            assert_eq!(unimplemented.accepts(&cx), http == 404);
        }
    }
}
