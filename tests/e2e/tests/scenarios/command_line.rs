//! Envoy's command line: what it prints and with which code it ends.

use std::fs;
use std::process::Command;

use ringway_test_support::{Bootstrap, Launch, Make, Process, RawClient, run_to_end, skip};

use crate::only_ringway;

const GOOD: &str =
    "admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }\n";

struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("ringway-cli-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str, text: &str) -> String {
        fs::write(self.0.join(name), text).unwrap();
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone_already = fs::remove_dir_all(&self.0);
    }
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    run_to_end(Make::subject(), arguments)
}

#[test]
fn validate_says_ok() {
    let folder = Folder::new("ok");
    let path = folder.file("good.yaml", GOOD);
    let (code, out, _) = run(&["--mode", "validate", "-c", &path]);
    assert_eq!((code, out), (0, format!("configuration '{path}' OK\n")));
}

#[test]
fn validate_says_why_not() {
    let folder = Folder::new("bad");
    let path = folder.file("bad.yaml", "admin:\n  adress: {}\n");
    let (code, out, err) = run(&["--mode", "validate", "-c", &path]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains(&path) && err.contains("adress"), "{err}");
    assert!(err.contains(&format!("error initializing configuration '{path}'")), "{err}");
}

#[test]
fn validate_opens_no_port() {
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port().to_string();
    let folder = Folder::new("busy");
    let yaml = Bootstrap::new()
        .routes("main", "- { match: { prefix: / }, direct_response: { status: 200 } }");
    let path = folder.file(
        "busy.yaml",
        &yaml.to_yaml().replace("port_value: 0", &format!("port_value: {port}")),
    );
    let (code, out, err) = run(&["--mode", "validate", "-c", &path]);
    assert_eq!((code, out), (0, format!("configuration '{path}' OK\n")), "{err}");
}

#[test]
fn validate_warns_of_what_changes_nothing() {
    if !only_ringway("warnings") {
        return;
    }
    let folder = Folder::new("warn");
    let yaml = Bootstrap::new().cluster_with("origin", &[], "dns_refresh_rate: 5s\n").to_yaml();
    let path = folder.file("warn.yaml", &yaml);
    let (code, out, err) = run(&["--mode", "validate", "-c", &path]);
    assert_eq!((code, out), (0, format!("configuration '{path}' OK\n")), "{err}");
    let place = "static_resources.clusters[0].dns_refresh_rate";
    assert!(err.starts_with("warning: ") && err.contains(place), "{err}");
}

#[test]
fn no_configuration() {
    let (code, _, err) = run(&["--mode", "validate"]);
    assert_eq!(code, 1);
    assert!(err.contains("At least one of --config-path or --config-yaml"), "{err}");
}

#[test]
fn a_missing_file() {
    let (code, _, err) = run(&["--mode", "validate", "-c", "/nowhere/missing.yaml"]);
    assert_eq!(code, 1);
    assert!(err.contains("/nowhere/missing.yaml"), "{err}");
}

#[test]
fn wrong_arguments() {
    let folder = Folder::new("wrong");
    let path = folder.file("good.yaml", GOOD);
    for (arguments, word) in [
        (&["--bogus"][..], "--bogus"),
        (&["--mode", "bogus", "-c", &path], "bogus"),
        (&["--concurrency", "x", "-c", &path], "concurrency"),
        (&["-l", "bogus", "-c", &path], "bogus"),
    ] {
        let (code, _, err) = run(arguments);
        assert_eq!(code, 1, "{arguments:?}: {err}");
        assert!(err.contains(word), "{arguments:?}: {err}");
    }
}

#[test]
fn version_and_help() {
    let (code, out, _) = run(&["--version"]);
    assert_eq!(code, 0);
    assert!(out.contains("version: "), "{out}");
    let (code, out, _) = run(&["--help"]);
    assert_eq!(code, 0);
    for flag in [
        "--config-path",
        "--config-yaml",
        "--mode",
        "--concurrency",
        "--base-id",
        "--log-level",
        "--log-format",
        "--log-path",
        "--service-node",
        "--service-cluster",
        "--service-zone",
        "--drain-time-s",
        "--drain-strategy",
        "--admin-address-path",
        "--version",
    ] {
        assert!(out.contains(flag), "{flag} is not in\n{out}");
    }
}

#[test]
fn the_version_names_the_commit_that_was_built() {
    if !only_ringway("a commit of this repository") {
        return;
    }
    let (_, out, _) = run(&["--version"]);
    let (_, version) = out.trim().split_once("version: ").expect("as Envoy says it");
    let parts: Vec<&str> = version.split('/').collect();
    let [revision, _, sources, "DEBUG" | "RELEASE", _] = parts[..] else { panic!("{version}") };
    let git = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "cat-file", "-t", revision])
        .output();
    match git {
        Ok(known) if sources != "Distribution" => {
            assert_eq!(String::from_utf8_lossy(&known.stdout), "commit\n", "{version}");
            assert!(matches!(sources, "Clean" | "Modified"), "{version}");
        }
        _ => skip("the program was not built in a repository"),
    }
}

#[test]
fn inline_yaml_is_merged_over_the_file() {
    let routes = "- { match: { prefix: / }, direct_response: { status: 200 } }";
    let yaml = Bootstrap::new().routes("one", routes).to_yaml();
    let inline = "{ node: { id: from-inline } }";
    let launch = Launch::new(Make::subject(), yaml).argument("--config-yaml").argument(inline);
    let proxy = launch.start().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(RawClient::connect(proxy.listener("one")).get("/").status(), 200);
    let dump = proxy.admin("/config_dump").text();
    assert!(dump.contains("\"from-inline\""), "{dump}");
}

#[test]
fn json_with_the_names_of_json() {
    let folder = Folder::new("json");
    let json = r#"{"admin":{"address":{"socketAddress":{"address":"127.0.0.1","portValue":0}}},
                   "staticResources":{"clusters":[{"name":"c","connectTimeout":"1.5s",
                   "loadAssignment":{"clusterName":"c"}}]}}"#;
    let path = folder.file("camel.json", json);
    let (code, out, err) = run(&["--mode", "validate", "-c", &path]);
    assert_eq!((code, out), (0, format!("configuration '{path}' OK\n")), "{err}");
}

#[test]
fn identity_from_the_command_line() {
    let yaml = Bootstrap::new().to_yaml();
    let launch = Launch::new(Make::subject(), yaml);
    let launch = launch.argument("--service-node").argument("n1");
    let launch = launch.argument("--service-cluster").argument("c1");
    let proxy = launch
        .argument("--service-zone")
        .argument("z1")
        .start()
        .unwrap_or_else(|error| panic!("{error}"));
    let info: serde_json::Value =
        serde_json::from_slice(&proxy.admin("/server_info").body).unwrap();
    let node = &info["node"];
    assert_eq!((&node["id"], &node["cluster"]), (&"n1".into(), &"c1".into()), "{info}");
    assert_eq!(node["locality"]["zone"], "z1", "{info}");
}

#[test]
fn the_log_goes_to_a_file() {
    let yaml = Bootstrap::new().to_yaml();
    let launch = Launch::new(Make::subject(), yaml).argument("--log-path").argument("own.log");
    let proxy =
        launch.argument("-l").argument("info").start().unwrap_or_else(|error| panic!("{error}"));
    let log = proxy.wait_file("own.log", |log| !log.is_empty());
    assert!(!proxy.log().contains(log.lines().next().unwrap()), "{log}");
}

/// Runs until it refuses, with the log in a file; gives standard error and the log.
fn refusal(folder: &Folder, arguments: &[&str]) -> (String, String) {
    let log = folder.0.join("own.log");
    let path = log.display().to_string();
    let _none_before = fs::remove_file(&log);
    let fixed = ["--log-path", &path, "--disable-hot-restart"];
    let fixed = if arguments.contains(&"--base-id") { &fixed[..2] } else { &fixed };
    let (code, _, err) = run(&[fixed, arguments].concat());
    assert_eq!(code, 1, "{err}");
    (err, fs::read_to_string(&log).unwrap_or_default())
}

#[test]
fn a_refusal_is_in_the_log_file_too() {
    let folder = Folder::new("refused");
    let bad = folder.file("bad.yaml", "admin:\n  adress: {}\n");
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("port_value: {}", busy.local_addr().unwrap().port());
    let yaml = Bootstrap::new()
        .routes("main", "- { match: { prefix: / }, direct_response: { status: 200 } }");
    let taken = folder.file("busy.yaml", &yaml.to_yaml().replace("port_value: 0", &port));
    for (file, words) in [(&bad, "adress"), (&taken, "Address already in use")] {
        let (err, log) = refusal(&folder, &["-c", file]);
        assert!(err.contains(words), "{err}");
        assert!(log.contains(words) && log.contains("[critical][main]"), "{log}");
    }
    if !only_ringway("a refused base id in the log") {
        return;
    }
    let id = (std::process::id() | 1 << 30).to_string();
    let _first = serving(&["--base-id", &id]);
    let (err, log) = refusal(&folder, &["--config-yaml", GOOD, "--base-id", &id]);
    let words = "unable to bind domain socket";
    assert!(err.contains(words), "{err}");
    assert!(log.contains("[critical][main]") && log.contains(words), "{log}");
    assert_eq!(log.lines().count(), 1, "{log}");
    // Nothing was on its way when there is nothing but errors.
    let (_, log) = refusal(&folder, &["-c", &bad]);
    assert!(!log.contains("workers run on"), "{log}");
}

#[test]
fn validate_as_a_command_of_its_own() {
    if !only_ringway("`validate FILE...`") {
        return;
    }
    let folder = Folder::new("many");
    let good = folder.file("good.yaml", GOOD);
    let bad = folder.file("bad.yaml", "admin:\n  adress: {}\nnodes: 1\n");
    let (code, out, _) = run(&["validate", &good]);
    assert_eq!((code, out), (0, format!("configuration '{good}' OK\n")));
    let (code, out, err) = run(&["validate", &good, &bad]);
    assert_eq!(code, 1);
    // All errors at once, each with its place.
    let all = format!("{out}{err}");
    assert!(all.contains(&format!("{bad}:2:")) && all.contains("admin.adress"), "{all}");
    assert!(all.contains(&format!("{bad}:3:")) && all.contains("nodes"), "{all}");
}

/// A process with an admin server and nothing else, once it serves.
fn serving(arguments: &[&str]) -> Process {
    let fixed = ["--config-yaml", GOOD, "--admin-address-path", "{folder}/admin"];
    let process = Process::start(Make::subject(), &[&fixed, arguments].concat());
    process.wait_file("admin", |address| !address.is_empty());
    process
}

#[test]
fn a_base_id_runs_once() {
    // Nobody else's, since no other process has this test's number.
    let id = std::process::id().to_string();
    let first = serving(&["--base-id", &id]);
    let (code, _, err) = run(&["--config-yaml", GOOD, "--base-id", &id]);
    let words = format!(
        "unable to bind domain socket with base_id={id}0, id=0, errno=98 (see --base-id option)"
    );
    assert_eq!(code, 1, "{err}");
    assert!(err.contains(&words), "{err}");
    let (code, _, err) = run(&["--config-yaml", GOOD, "--base-id", &id, "--mode", "validate"]);
    assert_eq!(code, 0, "validation needs no number: {err}");
    let _beside = serving(&["--base-id", &id, "--disable-hot-restart"]);
    drop(first);
    serving(&["--base-id", &id]);
}

#[test]
fn free_base_ids_are_chosen_and_told() {
    // Envoy writes the file when it ends.
    if !only_ringway("--base-id-path before the end") {
        return;
    }
    let arguments = ["--use-dynamic-base-id", "--base-id-path", "{folder}/base"];
    let processes = [(); 2].map(|()| serving(&arguments));
    let [one, two] = processes.each_ref().map(|process| process.file("base"));
    assert!(one.parse::<u32>().is_ok() && two.parse::<u32>().is_ok(), "{one} {two}");
    assert_ne!(one, two);
    let (code, _, err) = run(&["--config-yaml", GOOD, "--base-id", &one]);
    assert_eq!(code, 1, "{err}");
}
