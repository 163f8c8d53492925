//! h2o: one thread, keep-alive to the origin.

use std::io;
use std::process::Command;

use super::{MOST_CONNECTIONS, Needs, Setup, add, cluster_prefix, each, path_text, route_path};

/// The command line and files.
pub(super) fn configure(command: &mut Command, setup: &Setup) -> io::Result<()> {
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
    path(&mut paths, "/");
    format!(
        "num-threads: 1
user: root
max-connections: {MOST_CONNECTIONS}
http1-request-timeout: 600
limit-request-body: 1073741824
error-log: /dev/null
listen: {{ host: 127.0.0.1, port: {port} }}
hosts:
  default:
    paths:
{paths}",
        port = setup.port,
    )
}

/// The path is named twice, so that the origin sees what the other proxies send to it.
fn rule(path: &str, setup: &Setup) -> String {
    format!(
        "      \"{path}\":
        proxy.reverse.url: \"http://127.0.0.1:{port}{path}\"
        proxy.timeout.keepalive: 600000
        proxy.timeout.io: 600000
        proxy.preserve-host: \"ON\"
",
        port = setup.origin
    )
}
