//! What all tests of the binary share.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_ringway-load");

/// `ringway-load serve` on a free port; ends with the value.
pub(crate) struct Origin {
    process: Child,
    pub(crate) address: String,
}

impl Origin {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", args)
    }

    pub(crate) fn start_at(listen: &str, args: &[&str]) -> Self {
        let mut process = Command::new(BINARY)
            .args(["serve", "-t", "1", "--listen", listen])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the origin starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening on ").expect("an address").to_owned();
        Self { process, address }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn load(args: &[&str]) -> Output {
    let output = Command::new(BINARY).args(["-t", "1"]).args(args).output();
    output.expect("the load generator runs")
}

/// The JSON report and the exit code.
pub(crate) fn report(args: &[&str]) -> (Value, i32) {
    let output = load(&[&["--json"], args].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let json = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}{errors}"));
    (json, output.status.code().expect("an exit code"))
}

pub(crate) fn number(json: &Value, name: &str) -> u64 {
    json[name].as_u64().unwrap_or_else(|| panic!("{name} of {json}"))
}

/// The count of one kind of failure; it must be the only kind.
pub(crate) fn only_failure(json: &Value, name: &str) -> u64 {
    let failures = json["failures"].as_array().expect("a list");
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0]["failure"], name, "{failures:?}");
    number(&failures[0], "count")
}
