//! The changes of kernel settings: as a file for `/etc/sysctl.d`, and performed.

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use crate::finding::{Finding, SysctlChange};
use crate::host::sysctl_path;
use crate::report::wrap;

/// The kernel settings that the findings ask to change.
pub(crate) fn changes(findings: &[Finding]) -> Vec<&SysctlChange> {
    findings.iter().filter_map(|finding| finding.fix.as_ref()).collect()
}

/// The changes in the format of `/etc/sysctl.d`, each with what it replaces.
pub(crate) fn as_sysctl_file(findings: &[Finding]) -> String {
    let mut text = String::from("# Kernel settings that `ringway doctor` wants changed.\n");
    for finding in findings {
        let Some(change) = &finding.fix else { continue };
        text.push('\n');
        text.push_str(&wrap(&finding.why, "# ", "# ", 78));
        // Writing to a String does not fail.
        let _ = writeln!(text, "# Was: {}\n{change}", shown(&change.from));
    }
    if changes(findings).is_empty() {
        text.push_str("# There are none.\n");
    }
    text
}

/// Performs one change on the host below `root`. It lasts until the next boot.
pub(crate) fn apply(root: &Path, change: &SysctlChange) -> io::Result<()> {
    fs::write(sysctl_path(root, &change.name), format!("{}\n", change.to))
}

/// A value as people read it.
fn shown(value: &str) -> &str {
    if value.is_empty() { "(empty)" } else { value }
}
