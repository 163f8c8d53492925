//! Whole bootstraps, as people write them: `corpus/supported` is read and compiled,
//! `corpus/warned` as well with remarks, `corpus/not_yet` is valid for Envoy and refused by name,
//! `corpus/wrong` is refused by both, `corpus/stricter` only here. What is said stands beside each
//! file. Where the real Envoy is at hand, it has to agree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use expect_test::expect_file;
use ringway_bridge::stats::Catalog;
use ringway_config::compile::{
    Cause, Compiler, Draft, Environment, NoSinks, NoSockets, ResolvedEndpoints,
};
use ringway_config::{ConfigError, ErrorKind, Source, Support, load};
use ringway_model::filter::Registry;

#[test]
fn supported_files_are_read() {
    for file in files("supported") {
        let errors = errors_of(&file);
        assert!(errors.is_empty(), "{}:\n{}", file.display(), lines(&errors));
    }
}

#[test]
fn what_is_not_built_yet_is_named() {
    for file in files("not_yet") {
        let errors = errors_of(&file);
        let others = errors.iter().filter(|error| error.kind != ErrorKind::NotSupported);
        assert_eq!(others.count(), 0, "{}:\n{}", file.display(), lines(&errors));
        expect_file![beside(&file)].assert_eq(&lines(&errors));
    }
}

#[test]
fn wrong_files_are_refused_with_all_their_errors() {
    for file in ["wrong", "stricter"].into_iter().flat_map(files) {
        let errors = errors_of(&file);
        assert!(!errors.is_empty(), "{} was read", file.display());
        expect_file![beside(&file)].assert_eq(&lines(&errors));
    }
}

#[test]
fn what_changes_nothing_is_remarked() {
    for file in files("warned") {
        let draft = compiled(&file).unwrap_or_else(|errors| panic!("{}", lines(&errors)));
        expect_file![beside(&file)].assert_eq(&lines(&draft.warnings));
    }
}

#[test]
fn envoy_agrees() {
    let Some(envoy) = envoy() else { return };
    let folders = [
        ("supported", true),
        ("warned", true),
        ("not_yet", true),
        ("stricter", true),
        ("wrong", false),
    ];
    for (folder, accepted) in folders {
        for file in files(folder) {
            let output = Command::new(&envoy)
                .args(["--mode", "validate", "-l", "error", "--base-id"])
                .arg(std::process::id().to_string())
                .arg("-c")
                .arg(&file)
                .output()
                .expect("Envoy can be run");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.success(), accepted, "{}: {said}", file.display());
        }
    }
}

/// The files of a folder of the corpus, without the expected errors.
fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let entries = fs::read_dir(folder).expect("the corpus is there");
    let paths = entries.map(|entry| entry.expect("a readable entry").path());
    let mut files: Vec<_> =
        paths.filter(|path| path.extension().is_none_or(|extension| extension != "txt")).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn errors_of(file: &Path) -> Vec<ConfigError> {
    compiled(file).err().unwrap_or_default()
}

/// Reads and compiles a file, without sockets and files.
fn compiled(file: &Path) -> Result<Draft, Vec<ConfigError>> {
    let source = Source::open(file.to_str().expect("the corpus has plain names"));
    let mut source = source.expect("the corpus is readable");
    // The folder of the checkout has no place in the expected errors.
    source.name = file.file_name().expect("a file").to_string_lossy().into_owned();
    let mut compiler = Compiler::new(Environment {
        catalog: Arc::new(Catalog::default()),
        registry: Registry::default(),
        workers: 1,
        local_ip: "192.0.2.1".parse().expect("an address"),
    });
    let loaded = load::read(&[source], &Support::built_in())
        .map_err(|refused| compiler.errors_of(Cause::Start, refused))?;
    compiler.compile(&loaded, &ResolvedEndpoints::new(), &mut NoSockets, &mut NoSinks)
}

fn lines(errors: &[ConfigError]) -> String {
    errors.iter().map(|error| format!("{error}\n")).collect()
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.file_name().expect("a file").to_owned();
    name.push(".txt");
    file.with_file_name(name)
}

/// The real Envoy 1.40: `ENVOY_BIN`, or what the script of the tests installs.
fn envoy() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("ENVOY_BIN") {
        return Some(path.into());
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/install-envoy.sh");
    let output = Command::new("bash").arg(&script).output().expect("bash can be run");
    if output.status.success() {
        return Some(String::from_utf8_lossy(&output.stdout).trim().into());
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    println!("skipped: Envoy cannot be had: {reason}");
    None
}
