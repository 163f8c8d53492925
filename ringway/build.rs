//! What `--version` says of the sources: their commit, and whether they were changed since.
//!
//! It runs again when `HEAD` moves or a source of the program changes, and asks git alone. Where
//! there is no git, or the sources lie in somebody else's repository, there is no commit to name:
//! then it is the one of `RINGWAY_REVISION`, which packagers may set, or none.

use std::path::Path;
use std::process::Command;

/// What the program is built from, seen from this folder.
const SOURCES: [&str; 9] = [
    "../Cargo.toml",
    "../Cargo.lock",
    "../control",
    "../core",
    "../filters",
    "../lb",
    "../protocols",
    "../ringway",
    "../tuning/src",
];

fn main() {
    println!("cargo::rerun-if-env-changed=RINGWAY_REVISION");
    println!("cargo::rerun-if-changed=build.rs");
    let (revision, state) = from_git().unwrap_or_else(|| {
        // Git's own name for no object.
        let revision = std::env::var("RINGWAY_REVISION").unwrap_or_else(|_| "0".repeat(40));
        // Envoy's word for sources without a repository.
        (revision, "Distribution")
    });
    println!("cargo::rustc-env=RINGWAY_REVISION={revision}");
    println!("cargo::rustc-env=RINGWAY_SOURCES={state}");
}

fn from_git() -> Option<(String, &'static str)> {
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    let revision = git(&["rev-parse", "HEAD"])?;
    watch("HEAD");
    // A detached HEAD names no reference.
    if let Some(reference) = git(&["symbolic-ref", "--quiet", "HEAD"]) {
        watch(&reference);
    }
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let changed = git(&[&["status", "--porcelain", "--"], &SOURCES[..]].concat())?;
    Some((revision, if changed.is_empty() { "Clean" } else { "Modified" }))
}

/// A file of the repository, which lies elsewhere in a second work tree. A reference that was
/// packed has none, and gets one with the next commit; a file that is missing would have this
/// run each time.
fn watch(name: &str) {
    let mut path = git(&["rev-parse", "--git-path", name]);
    if !path.as_deref().is_some_and(|path| Path::new(path).exists()) {
        path = git(&["rev-parse", "--git-path", "packed-refs"]);
    }
    if let Some(path) = path.filter(|path| Path::new(path).exists()) {
        println!("cargo::rerun-if-changed={path}");
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    // Only looked at: the index must not be locked beside whoever works on it.
    let output = Command::new("git").arg("--no-optional-locks").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
