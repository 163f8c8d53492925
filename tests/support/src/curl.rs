//! curl as a client that many people know.

use std::process::Command;

/// What curl printed and how it ended.
#[derive(Debug)]
pub struct Curl {
    /// Exit code; 0 is success, the others are in curl's manual.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs curl with `arguments`, silent but for errors, no proxy from the environment, 15 s at most.
/// `None` where the machine has no curl.
pub fn curl(arguments: &[&str]) -> Option<Curl> {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "15"])
        .args(arguments)
        .output()
        .ok()?;
    Some(Curl {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
