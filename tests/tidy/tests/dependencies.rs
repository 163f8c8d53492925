//! Who may depend on whom.

use cargo_metadata::DependencyKind;
use ringway_tidy::{packages, report, root};

/// Each room and the rooms that it may see. A new package must be put on this list, at its level.
const SEES: &[(&str, &[&str])] = &[
    // Level 1 knows nobody.
    ("ringway-bridge", &[]),
    ("ringway-runtime", &[]),
    ("ringway-http", &[]),
    ("ringway-tls", &[]),
    ("ringway-preamble", &[]),
    ("ringway-lb", &[]),
    // Level 2: the vocabulary.
    ("ringway-model", &["http", "tls", "lb", "bridge"]),
    // Level 3.
    ("ringway-proxy", &["model", "bridge", "runtime", "http", "tls", "preamble", "lb"]),
    ("ringway-filters", &["model", "http", "preamble"]),
    ("ringway-config", &["model", "http", "tls", "lb", "bridge"]),
    // Level 4.
    ("ringway-control", &["config", "model", "bridge", "lb"]),
    // Level 5: the composition root sees all.
    (
        "ringway",
        &[
            "bridge", "runtime", "http", "tls", "preamble", "lb", "model", "proxy", "filters",
            "config", "control", "tuning",
        ],
    ),
    // Beside the proxy.
    ("ringway-loadgen", &["runtime", "http", "tls"]),
    (
        "ringway-bench",
        &[
            "runtime", "http", "tls", "lb", "model", "filters", "proxy", "config", "bridge",
            "loadgen",
        ],
    ),
    ("ringway-tuning", &[]),
    // Tests see the program as a process, not its rooms.
    ("ringway-test-support", &[]),
    ("ringway-e2e", &["test-support"]),
    ("ringway-tidy", &[]),
];

#[test]
fn rooms_see_only_rooms_below_them() {
    let mut complaints = Vec::new();
    for package in packages().packages {
        let Some((_, sees)) = SEES.iter().find(|(name, _)| *name == package.name.as_str()) else {
            complaints.push(format!("{} is on no level: put it on the list SEES", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            let Some(room) = dependency.name.strip_prefix("ringway-") else { continue };
            // Test support may help every room's tests.
            let for_tests =
                dependency.kind == DependencyKind::Development && room == "test-support";
            if !for_tests && !sees.contains(&room) {
                complaints.push(format!("{} sees {}", package.name, dependency.name));
            }
        }
    }
    report(
        "a room sees a room that it must not know",
        "the direction of dependencies keeps filters replaceable, engines pure and the control \
         thread out of the data path",
        "pass what is needed as an argument, or move the shared type to core/model",
        &complaints,
    );
}

struct Fence {
    crates: &'static [&'static str],
    inside: &'static [&'static str],
    /// Whether tests outside may use it.
    tests: bool,
    reason: &'static str,
    instead: &'static str,
}

const FENCES: &[Fence] = &[
    Fence {
        crates: &["monoio", "monoio-compat", "io-uring", "mio"],
        inside: &["ringway-runtime", "ringway-bench"],
        tests: false,
        reason: "the driver must stay replaceable, and its defects are stepped round in one place",
        instead: "ringway-runtime",
    },
    Fence {
        crates: &["tokio", "hyper", "hyper-util", "tonic", "reqwest", "axum", "tower", "async-std"],
        inside: &["ringway-control", "ringway", "ringway-test-support", "ringway-e2e"],
        tests: true,
        reason: "a second runtime on a worker would block it; only the control thread runs tokio",
        instead: "ringway-runtime on workers, ringway-bridge to reach the control thread",
    },
    Fence {
        crates: &["envoy-types", "prost", "prost-types", "prost-reflect", "protox", "pbjson"],
        inside: &["ringway-config", "ringway-filters"],
        tests: true,
        reason: "protobuf types stop at the compiler, so that the data path reads a compiled plan",
        instead: "compile to a type of ringway-model",
    },
    Fence {
        crates: &["openssl", "native-tls", "openssl-sys", "boring"],
        inside: &[],
        tests: false,
        reason: "one TLS engine without sockets, which needs no C library",
        instead: "rustls, behind protocols/tls",
    },
];

#[test]
fn crates_stay_inside_their_fences() {
    for fence in FENCES {
        let mut complaints = Vec::new();
        for package in packages().packages {
            if fence.inside.contains(&package.name.as_str()) {
                continue;
            }
            for dependency in &package.dependencies {
                let for_tests = dependency.kind == DependencyKind::Development && fence.tests;
                if fence.crates.contains(&dependency.name.as_str()) && !for_tests {
                    complaints.push(format!("{} uses {}", package.name, dependency.name));
                }
            }
        }
        let rule = format!("only {:?} may use {:?}", fence.inside, fence.crates);
        report(&rule, fence.reason, fence.instead, &complaints);
    }
}

#[test]
fn each_dependency_has_its_reason_beside_it() {
    let mut manifests = vec![root().join("Cargo.toml")];
    let packages = packages().packages;
    manifests
        .extend(packages.iter().map(|package| package.manifest_path.clone().into_std_path_buf()));
    let mut complaints = Vec::new();
    for manifest in manifests {
        let text = std::fs::read_to_string(&manifest).expect("a manifest can be read");
        complaints.extend(unexplained(&text).map(|line| format!("{}: {line}", manifest.display())));
    }
    report(
        "a dependency without a reason",
        "each one is code of strangers, build time and a door; whoever removes it later must know \
         what it is for",
        "a comment at the end of its line, or the version in [workspace.dependencies] with one",
        &complaints,
    );
}

/// Lines that name a dependency with its version, without a comment on them or just above.
fn unexplained(manifest: &str) -> impl Iterator<Item = &str> {
    let mut section = "";
    let mut above = "";
    manifest.lines().filter(move |line| {
        if line.starts_with('[') {
            section = line;
        }
        let explained = line.contains('#') || above.trim_start().starts_with('#');
        let names_version = line.contains("version") || line.contains(" = \"");
        let elsewhere = line.contains("path =") || line.starts_with('[');
        above = line;
        section.contains("dependencies") && names_version && !elsewhere && !explained
    })
}

#[test]
fn every_package_obeys_the_lints_of_the_workspace() {
    let obeys = |manifest: &str| manifest.contains("[lints]\nworkspace = true");
    let packages = packages().packages;
    let complaints: Vec<String> = packages
        .iter()
        .filter(|package| {
            !obeys(&std::fs::read_to_string(&package.manifest_path).unwrap_or_default())
        })
        .map(|package| package.name.to_string())
        .collect();
    report(
        "a package with lints of its own",
        "what is denied must be denied everywhere",
        "`[lints]` with `workspace = true`",
        &complaints,
    );
}

#[test]
fn an_unexplained_dependency_is_seen() {
    let manifest = "[dependencies]\nused = \"1\"\nsaid = \"1\" # why\nroom.workspace = true\n\
                    # why\nabove = \"1\"\n";
    assert_eq!(unexplained(manifest).collect::<Vec<_>>(), ["used = \"1\""]);
}
