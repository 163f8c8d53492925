//! The report, for people and for programs.

mod json;
mod text;
mod wrap;

use crate::finding::Finding;
use crate::host::Host;
use crate::size::Size;

pub(crate) use json::json;
pub(crate) use text::text;
pub(crate) use wrap::wrap;

/// What a report is made from.
pub(crate) struct Report<'a> {
    pub(crate) host: &'a Host,
    pub(crate) size: Size,
    /// Connections that the configuration allows, where it says so.
    pub(crate) configured: Option<u64>,
    pub(crate) findings: &'a [Finding],
}

impl Report<'_> {
    /// Connections that the host was looked at for.
    fn connections(&self) -> u64 {
        self.configured.unwrap_or(self.size.connections())
    }
}
