//! The rules of the house that a machine can check.
//!
//! Owns: reading the workspace (packages, manifests, source files) and one form of complaint: the
//! place, the rule, its reason and what to do instead. The rules themselves are the tests beside
//! this crate: `dependencies` (who may see whom), `source` (shape and names of code), `rooms`
//! (documents). A rule without a reason and a substitute does not belong here.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, MetadataCommand};

/// The top of the tree.
pub fn root() -> PathBuf {
    let tidy = Path::new(env!("CARGO_MANIFEST_DIR"));
    tidy.ancestors().nth(2).expect("this crate lies two folders below the top").to_owned()
}

/// What cargo knows of the workspace's own packages.
pub fn packages() -> Metadata {
    let mut command = MetadataCommand::new();
    command.manifest_path(root().join("Cargo.toml")).no_deps();
    command.exec().expect("cargo can read the workspace")
}

/// One Rust file of the workspace.
pub struct Source {
    /// From the top of the tree, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// Whether it is only compiled for tests: a test program, a bench, a module `tests`.
    pub fn is_test(&self) -> bool {
        let in_folder = |name: &str| self.path.contains(&format!("/{name}/"));
        let programs = self.path.contains("/e2e/") || self.path.starts_with("tests/fuzz/");
        let tests = in_folder("tests") || in_folder("benches") || in_folder("examples");
        tests || programs || self.path.ends_with("/tests.rs")
    }

    /// Its lines with their numbers, without the inline `#[cfg(test)]` module that ends it.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = self.text.find("#[cfg(test)]\nmod ").unwrap_or(self.text.len());
        let lines = self.text[..end].lines().enumerate();
        lines.map(|(index, line)| (index + 1, line))
    }
}

/// Every Rust file of the workspace's packages, in order of path.
pub fn sources() -> Vec<Source> {
    let root = root();
    let mut sources = Vec::new();
    for package in packages().packages {
        let folder = package.manifest_path.parent().expect("a manifest lies in a folder");
        collect(folder.as_std_path(), &root, &mut sources);
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    sources.dedup_by(|one, other| one.path == other.path);
    assert!(
        sources.len() > 20,
        "the workspace has {} files: was the wrong place read?",
        sources.len()
    );
    sources
}

fn collect(folder: &Path, root: &Path, sources: &mut Vec<Source>) {
    let entries = fs::read_dir(folder).expect("a folder of the workspace can be read");
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            collect(&path, root, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(root).expect("below the top").to_string_lossy();
            // A file that vanishes meanwhile is another process's draft.
            let Ok(text) = fs::read_to_string(&path) else { continue };
            sources.push(Source { path: relative.replace('\\', "/"), text });
        }
    }
}

/// Fails with every complaint at once, and the reason and the substitute of the rule.
pub fn report(rule: &str, reason: &str, instead: &str, complaints: &[String]) {
    let list: String = complaints.iter().map(|complaint| format!("  {complaint}\n")).collect();
    let text = format!("\n{rule}\n{list}why: {reason}\ninstead: {instead}\n");
    assert!(complaints.is_empty(), "{text}");
}
