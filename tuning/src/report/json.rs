//! The report as one JSON object. Field names are an interface: add, do not rename.

use serde::Serialize;

use super::Report;
use crate::finding::{Finding, exit_code};
use crate::size::Size;

#[derive(Serialize)]
struct Document<'a> {
    host: Option<&'a str>,
    kernel: Option<&'a str>,
    cpus: Option<usize>,
    size: Size,
    connections: u64,
    exit_code: u8,
    findings: &'a [Finding],
}

pub(crate) fn json(report: &Report<'_>) -> String {
    let document = Document {
        host: report.host.name.as_deref(),
        kernel: report.host.release.as_deref(),
        cpus: report.host.cpus.online,
        size: report.size,
        connections: report.connections(),
        exit_code: exit_code(report.findings),
        findings: report.findings,
    };
    // Strings and numbers only: there is nothing in it that JSON cannot hold.
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}
