//! The documents of the rooms.

use std::collections::BTreeSet;
use std::fs;

use ringway_tidy::{packages, report, root};

/// A page.
const LINES: usize = 66;

/// Rooms whose README is something else than a page about the room, with the reason.
const EXEMPT: &[&str] = &[
    // It is the host guide itself.
    "tuning",
];

fn rooms() -> BTreeSet<String> {
    let root = root();
    let room = |manifest: &str| {
        let relative = manifest.strip_prefix(root.to_str()?)?.trim_start_matches('/');
        Some(relative.split('/').next()?.to_owned())
    };
    packages().packages.iter().filter_map(|package| room(package.manifest_path.as_str())).collect()
}

#[test]
fn each_room_has_a_page() {
    let mut complaints = Vec::new();
    for room in rooms() {
        match fs::read_to_string(root().join(&room).join("README.md")) {
            Err(_) => complaints.push(format!("{room}/README.md is missing")),
            Ok(text) if text.lines().count() > LINES && !EXEMPT.contains(&room.as_str()) => {
                complaints.push(format!("{room}/README.md has {} lines", text.lines().count()));
            }
            Ok(_) => {}
        }
    }
    report(
        "a room without a page about it",
        "whoever enters must learn what the room owns, what it must not know and where to start",
        "README.md of at most a page; what is longer goes to docs/",
        &complaints,
    );
}

#[test]
fn the_first_page_begins_with_two_commands() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap_or_default();
    let start: String = readme.lines().take(15).collect::<Vec<_>>().join("\n");
    let missing = ["cargo run --release -- demo", "cargo test --workspace"];
    let missing = missing.iter().filter(|command| !start.contains(**command));
    report(
        "README.md does not begin with what to run",
        "the first minute decides whether a reader becomes a user",
        "the two commands in its first lines",
        &missing.map(|command| command.to_string()).collect::<Vec<_>>(),
    );
}

/// Relative links of Markdown files lead somewhere.
#[test]
fn links_of_documents_lead_somewhere() {
    let mut complaints = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && name != "results" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".md") {
                let text = fs::read_to_string(&path).unwrap_or_default();
                for link in links(&text).filter(|link| !folder.join(link).exists()) {
                    complaints.push(format!("{}: {link}", path.display()));
                }
            }
        }
    }
    report(
        "a link that leads nowhere",
        "a document that is not kept is not believed",
        "the path as it is now",
        &complaints,
    );
}

fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let relative = |target: &&str| !target.contains("://") && !target.starts_with(['#', '<']);
    let files = targets.filter(relative).filter_map(|target| target.split('#').next());
    files.filter(|file| !file.is_empty())
}

#[test]
fn only_relative_links_are_followed() {
    let text = "[a](b.md#c) [d](https://e/f) [g](#h) ![i](j/k.svg)";
    assert_eq!(links(text).collect::<Vec<_>>(), ["b.md", "j/k.svg"]);
}
