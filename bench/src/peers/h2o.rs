//! h2o: one thread, keep-alive to the origin.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use super::{MOST_CONNECTIONS, Needs, Setup, add, cluster_prefix, each, path_text, route_path};
use crate::transport::{Client, DIRECT, Identity, Origin};

/// What it answers by itself.
const FILES: &str = "files";

/// The command line and files.
pub(super) fn configure(command: &mut Command, setup: &Setup) -> io::Result<()> {
    if setup.transport.origin == Origin::Direct {
        fs::create_dir_all(setup.file(FILES))?;
        fs::write(setup.file(FILES).join("index.html"), DIRECT)?;
    }
    let file = setup.write("h2o.yaml", &text(setup))?;
    command.args(["-m", "worker", "-c", &path_text(&file)]);
    Ok(())
}

fn text(setup: &Setup) -> String {
    let path = |text: &mut String, path: &str| add(text, format_args!("{}", rule(path, setup)));
    let mut paths = match setup.needs {
        Needs::Plain | Needs::Reload => String::new(),
        Needs::Routes(count) => each(count, |text, number| path(text, &route_path(number))),
        Needs::Clusters(count) => each(count, |text, number| path(text, &cluster_prefix(number))),
    };
    match setup.transport.origin {
        Origin::Direct => add(&mut paths, format_args!("{}", direct(&setup.folder))),
        _ => path(&mut paths, "/"),
    }
    format!(
        "num-threads: 1
user: root
max-connections: {MOST_CONNECTIONS}
http1-request-timeout: 600
limit-request-body: 1073741824
error-log: /dev/null
listen: {{ host: 127.0.0.1, port: {port}{tls} }}
hosts:
  default:
    paths:
{paths}",
        port = setup.port,
        tls = tls(setup),
    )
}

fn tls(setup: &Setup) -> String {
    setup.identity().map_or(String::new(), |Identity { certificate, key, .. }| {
        format!(", ssl: {{ certificate-file: {certificate}, key-file: {key} }}")
    })
}

/// It has no answer of its own but files.
fn direct(folder: &Path) -> String {
    format!("      \"/\":\n        file.dir: {}\n", path_text(&folder.join(FILES)))
}

/// The path is named twice, so that the origin sees what the other proxies send to it.
fn rule(path: &str, setup: &Setup) -> String {
    format!(
        "      \"{path}\":
        proxy.reverse.url: \"http://127.0.0.1:{port}{path}\"
        proxy.timeout.keepalive: 600000
        proxy.timeout.io: 600000
        proxy.preserve-host: \"ON\"
        proxy.websocket: \"{websocket}\"
",
        port = setup.origin,
        websocket = if setup.transport.client == Client::WebSocket { "ON" } else { "OFF" },
    )
}
