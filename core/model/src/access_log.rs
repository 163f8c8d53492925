//! Access logs, compiled: where a line goes, which streams get one, and how it reads.

use std::sync::Arc;

use crate::format::{Format, FormatContext};
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
            Self::And(all) => all.iter().all(|filter| filter.accepts(cx)),
            Self::Or(any) => any.iter().any(|filter| filter.accepts(cx)),
        }
    }
}
