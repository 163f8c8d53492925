//! The shipped units, as systemd itself reads them. Skipped where it is not installed.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// The exposure that `systemd-analyze security` may find, in tenths of its scale of 0 to 10.
const MOST_EXPOSURE: &str = "20";

/// A folder with the units, whose programs are there: they are checked, and ours is not installed.
fn units() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["ringway.service", "ringway.socket"] {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name);
        let text = fs::read_to_string(shipped).unwrap();
        fs::write(folder.path().join(name), text.replace("/usr/bin/ringway", "/bin/true")).unwrap();
    }
    folder
}

fn analyze(folder: &Path, arguments: &[&str]) -> Option<Output> {
    match Command::new("systemd-analyze").args(arguments).current_dir(folder).output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("skipped: systemd-analyze: {error}");
            None
        }
    }
}

/// The major version; some checks came late.
fn version(folder: &Path) -> Option<u32> {
    let output = analyze(folder, &["--version"])?;
    String::from_utf8_lossy(&output.stdout).split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn systemd_understands_every_line_of_the_units() {
    let folder = units();
    let arguments = ["verify", "./ringway.service", "./ringway.socket"];
    let Some(output) = analyze(folder.path(), &arguments) else { return };
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    // Units of the host may have faults of their own.
    let ours: Vec<&str> = text.lines().filter(|line| line.contains("ringway")).collect();
    assert!(ours.is_empty(), "{text}");
}

#[test]
fn the_service_is_as_closed_as_the_guide_says() {
    let folder = units();
    // `--offline` is of version 250.
    if version(folder.path()).is_none_or(|version| version < 250) {
        return;
    }
    let threshold = format!("--threshold={MOST_EXPOSURE}");
    let arguments = ["security", "--offline=true", "--no-pager", &threshold, "./ringway.service"];
    let Some(output) = analyze(folder.path(), &arguments) else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}
