//! The doctor against stored hosts and this one. `UPDATE_EXPECT=1` rewrites the expected reports.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use expect_test::{ExpectFile, expect_file};
use ringway_tuning::{ConfigFacts, DoctorArgs, ListenerFacts, doctor};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    doctor: DoctorArgs,
}

fn stored(host: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts").join(host)
}

/// Runs the doctor with these flags on the host below `root`: exit code and output.
fn run(root: &Path, facts: &ConfigFacts, flags: &[&str]) -> (u8, String) {
    let root = root.to_str().unwrap();
    let args = Cli::try_parse_from([&["doctor", "--root", root], flags].concat()).unwrap().doctor;
    let mut out = Vec::new();
    let code = doctor::run(&args, facts, &mut out).unwrap();
    (code, String::from_utf8(out).unwrap())
}

fn check(host: &str, facts: &ConfigFacts, flags: &[&str], code: u8, expected: ExpectFile) {
    let (found, text) = run(&stored(host), facts, flags);
    expected.assert_eq(&text);
    assert_eq!(found, code);
}

fn listener(name: &str, port: u16, backlog: Option<u32>) -> ListenerFacts {
    ListenerFacts { name: name.to_owned(), port: Some(port), backlog }
}

#[test]
fn a_good_host_has_nothing_to_do() {
    let facts = ConfigFacts::default();
    check("good", &facts, &["--all"], 0, expect_file!["expected/good.txt"]);
}

#[test]
fn a_bad_host_will_fail_under_load() {
    let facts = ConfigFacts::default();
    check("bad", &facts, &[], 2, expect_file!["expected/bad.txt"]);
}

#[test]
fn a_container_shows_less_and_gets_advice() {
    let facts = ConfigFacts {
        io_uring_refused: Some("The kernel said: Operation not permitted".to_owned()),
        ..ConfigFacts::default()
    };
    check("container", &facts, &["--all"], 1, expect_file!["expected/container.txt"]);
}

#[test]
fn a_configuration_sharpens_the_advice() {
    let facts = ConfigFacts {
        listeners: vec![
            listener("http", 80, Some(40_000)),
            listener("internal", 9_443, None),
            listener("known", 8_080, None),
        ],
        max_downstream_connections: Some(400_000),
        ..ConfigFacts::default()
    };
    let expected = expect_file!["expected/good-with-config.txt"];
    check("good", &facts, &["--concurrency", "12"], 2, expected);
}

#[test]
fn a_smaller_load_asks_for_less() {
    let facts = ConfigFacts::default();
    let findings = |size| {
        let (_, text) = run(&stored("container"), &facts, &["--size", size, "--format", "json"]);
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        let findings = report["findings"].as_array().unwrap().clone();
        findings.iter().filter(|finding| finding["severity"] == "advice").count()
    };
    assert!(findings("small") < findings("medium"));
    assert!(findings("medium") < findings("large"));
}

#[test]
fn json_says_the_same_as_the_text() {
    let facts = ConfigFacts::default();
    let (code, text) = run(&stored("bad"), &facts, &["--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, 2);
    assert_eq!(report["exit_code"], 2);
    assert_eq!(report["host"], "old-lb");
    assert_eq!(report["cpus"], 8);
    assert_eq!(report["size"], "medium");
    let findings = report["findings"].as_array().unwrap();
    let somaxconn =
        findings.iter().find(|finding| finding["setting"] == "net.core.somaxconn").unwrap();
    assert_eq!(somaxconn["severity"], "failure");
    assert_eq!(somaxconn["found"], "128");
    assert_eq!(somaxconn["fix"]["to"], "16384");
    let (_, people) = run(&stored("bad"), &facts, &["--all"]);
    for finding in findings {
        assert!(people.contains(finding["setting"].as_str().unwrap()), "{finding}");
    }
}

#[test]
fn fix_prints_and_changes_nothing() {
    let host = copy_of("bad");
    let before = files(host.path());
    let facts = ConfigFacts::default();
    let (code, text) = run(host.path(), &facts, &["--fix"]);
    expect_file!["expected/bad-fix.conf"].assert_eq(&text);
    assert_eq!(code, 2);
    assert_eq!(files(host.path()), before);

    let (code, text) = run(&stored("good"), &facts, &["--fix"]);
    assert_eq!((code, settings(&text).len()), (0, 0));
}

#[test]
fn apply_makes_the_changes_and_says_how_to_undo_them() {
    let host = copy_of("bad");
    let facts = ConfigFacts::default();
    let (_, wanted) = run(host.path(), &facts, &["--fix"]);
    let (code, text) = run(host.path(), &facts, &["--fix", "--apply"]);
    assert_eq!(code, 0);
    assert!(text.contains("undo  sysctl -w net.core.somaxconn=\"128\""), "{text}");
    for (name, value) in settings(&wanted) {
        let path = host.path().join("proc/sys").join(name.replace('.', "/"));
        assert_eq!(fs::read_to_string(path).unwrap().trim(), value, "{name}");
    }
    let (_, again) = run(host.path(), &facts, &["--fix", "--apply"]);
    assert_eq!(again, "No kernel setting needs a change.\n");
}

#[test]
fn a_change_that_fails_is_told_and_the_others_are_made() {
    let host = copy_of("bad");
    let somaxconn = host.path().join("proc/sys/net/core/somaxconn");
    fs::remove_file(&somaxconn).unwrap();
    // Readable, and no one may write it, not even root.
    std::os::unix::fs::symlink("/proc/version", &somaxconn).unwrap();
    let (code, text) = run(host.path(), &ConfigFacts::default(), &["--fix", "--apply"]);
    assert_eq!(code, 2);
    assert!(text.contains("FAILED   net.core.somaxconn = 16384: "), "{text}");
    assert!(text.contains("changed  net.ipv4.tcp_syncookies = 1"), "{text}");
}

#[test]
fn apply_needs_fix() {
    assert!(Cli::try_parse_from(["doctor", "--apply"]).is_err());
    assert!(Cli::try_parse_from(["doctor", "--size", "huge"]).is_err());
}

#[test]
fn this_host_gets_a_report() {
    let (code, text) = run(Path::new("/"), &ConfigFacts::default(), &["--all"]);
    assert!(code <= 2);
    assert!(text.starts_with("Host "), "{text}");
    assert!(text.contains("net.core.somaxconn"), "{text}");
}

/// The shipped file is what the doctor would set for a medium load, so that neither can drift.
#[test]
fn the_shipped_sysctl_file_satisfies_the_rules() {
    let shipped = settings(&document("99-ringway.conf"));
    let facts = ConfigFacts::default();
    let (_, wanted) = run(&stored("bad"), &facts, &["--fix"]);
    // What depends on the host's own trouble or table is no business of a shipped file.
    let of_this_host = ["net.core.netdev_", "net.netfilter.", "net.core.busy_", "fs.", "mem"];
    for (name, value) in settings(&wanted) {
        if of_this_host.iter().any(|part| name.contains(part)) {
            continue;
        }
        let is_shipped = shipped.iter().any(|(shipped, _)| *shipped == name);
        assert!(is_shipped, "{name} = {value} is not shipped");
    }
    let host = copy_of("bad");
    for (name, value) in &shipped {
        let path = host.path().join("proc/sys").join(name.replace('.', "/"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, value).unwrap();
    }
    let (_, text) = run(host.path(), &facts, &["--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    for finding in report["findings"].as_array().unwrap() {
        let mine = shipped.iter().any(|(name, _)| finding["setting"] == **name);
        assert!(!mine || finding["severity"] == "good", "{finding}");
    }
}

#[test]
fn the_guide_speaks_of_everything_that_the_doctor_looks_at() {
    let guide = document("README.md");
    let facts = ConfigFacts::default();
    for host in ["good", "bad", "container"] {
        let (_, text) = run(&stored(host), &facts, &["--format", "json"]);
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        for finding in report["findings"].as_array().unwrap() {
            let setting = finding["setting"].as_str().unwrap();
            // The name of a card is not part of the setting.
            let setting = setting.split(": ").last().unwrap();
            assert!(guide.contains(setting), "the guide does not speak of {setting}");
        }
    }
    for (name, _) in settings(&document("99-ringway.conf")) {
        assert!(guide.contains(&name), "the guide does not speak of {name}");
    }
}

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The settings of a file in the format of `/etc/sysctl.d`.
fn settings(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let pair = |line: &str| {
        let (name, value) = line.split_once('=').expect("a setting has a value");
        (name.trim().to_owned(), value.trim().to_owned())
    };
    lines.map(pair).collect()
}

/// A copy of a stored host that a test may write to.
fn copy_of(host: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let root = stored(host);
    for (path, content) in files(&root) {
        let target = copy.path().join(path.strip_prefix(&root).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, content).unwrap();
    }
    copy
}

fn files(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let content = fs::read(&path).unwrap();
            found.push((path, content));
        }
    }
    found.sort();
    found
}
