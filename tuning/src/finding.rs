//! What a rule says about a host.

use std::fmt;

use serde::Serialize;

/// How much a finding matters, most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Under the load that the host is to carry, requests will fail.
    Failure,
    /// Works, but costs latency, capacity or safety.
    Advice,
    /// Worth knowing; right or wrong only by measurement. Does not change the exit code.
    Note,
    /// As wanted.
    Good,
    /// The host does not show it: another kernel, a container, or no permission.
    Unknown,
}

/// One line of the doctor's table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The setting's name as the host knows it, such as `net.core.somaxconn`.
    pub setting: String,
    /// What the host has.
    pub found: String,
    /// What it should have.
    pub wanted: String,
    /// What happens otherwise.
    pub why: String,
    /// How to change it, as a command or a line of configuration.
    pub how: String,
    /// The change itself, where it is one kernel setting that `--apply` can make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<SysctlChange>,
}

/// A kernel setting to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SysctlChange {
    /// Name with dots, as `sysctl` takes it.
    pub name: String,
    /// The value that the host has now.
    pub from: String,
    /// The value to set.
    pub to: String,
}

/// As a line of a file in `/etc/sysctl.d`.
impl fmt::Display for SysctlChange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} = {}", self.name, self.to)
    }
}

/// The exit code that the findings amount to: 0 nothing to do, 1 advice, 2 will fail under load.
pub(crate) fn exit_code(findings: &[Finding]) -> u8 {
    match findings.iter().map(|finding| finding.severity).min() {
        Some(Severity::Failure) => 2,
        Some(Severity::Advice) => 1,
        _ => 0,
    }
}
