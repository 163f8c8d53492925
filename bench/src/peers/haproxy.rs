//! HAProxy: one thread, connections to the origin shared by all clients.

use std::io;
use std::process::Command;

use super::{MOST_CONNECTIONS, Needs, Setup, add, each, path_text, route_path};
use crate::transport::{Client, DIRECT, Origin, Transport};

const FILE: &str = "haproxy.cfg";
const MAP: &str = "haproxy.map";

/// The command line and files. A master is needed only where the configuration changes.
pub(super) fn configure(command: &mut Command, setup: &Setup) -> io::Result<()> {
    rewrite(setup)?;
    let master = if setup.needs == Needs::Reload { "-W" } else { "-db" };
    command.args([master, "-f", &path_text(&setup.file(FILE))]);
    Ok(())
}

/// The files, or the files again with another origin.
pub(super) fn rewrite(setup: &Setup) -> io::Result<()> {
    setup.replace(MAP, &map(setup.needs))?;
    setup.replace(FILE, &text(setup))
}

// It asks for two descriptors a connection, which few need here: too few of them is no reason not
// to start.
fn text(setup: &Setup) -> String {
    let map = path_text(&setup.file(MAP));
    let choice = match setup.needs {
        Needs::Plain | Needs::Reload => String::new(),
        Needs::Routes(_) => format!("  use_backend %[path,map_str({map},origin)]\n"),
        Needs::Clusters(_) => format!("  use_backend %[path,field(3,/),map_str({map},origin)]\n"),
    };
    format!(
        "global
  nbthread 1
  maxconn {MOST_CONNECTIONS}
  no strict-limits
  tune.pool-high-fd-ratio 100
  tune.pool-low-fd-ratio 100
{buffers}defaults
  mode {mode}
  timeout connect 5s
  timeout client 600s
  timeout server 600s
frontend bench
  bind 127.0.0.1:{port} backlog 16384{protocols}
{choice}  {answer}
{backends}",
        buffers = if setup.bulk { "  tune.bufsize 65536\n" } else { "" },
        port = setup.port,
        mode = mode(setup.transport.client, setup.bulk),
        protocols = protocols(setup),
        answer = answer(setup.transport),
        backends = backends(setup),
    )
}

/// Bulk is always spliced, which costs less here than what the program chooses by itself; what
/// concerns HTTP only is not for TCP.
fn mode(client: Client, bulk: bool) -> &'static str {
    match client {
        Client::Tcp if bulk => "tcp\n  option splice-request\n  option splice-response",
        Client::Tcp => "tcp\n  option splice-auto",
        _ => {
            "http\n  timeout http-keep-alive 600s\n  timeout http-request 600s\n  \
             timeout tunnel 600s\n  http-reuse always"
        }
    }
}

fn protocols(setup: &Setup) -> String {
    match (setup.identity(), setup.is_http2()) {
        (None, false) => String::new(),
        (None, true) => " proto h2".to_owned(),
        (Some(identity), _) => {
            format!(" ssl crt {} alpn h2,http/1.1 prefer-client-ciphers", identity.both)
        }
    }
}

fn answer(transport: Transport) -> String {
    match transport.origin {
        Origin::Direct => {
            format!("http-request return status 200 content-type text/plain string \"{DIRECT}\"")
        }
        _ => "default_backend origin".to_owned(),
    }
}

fn backends(setup: &Setup) -> String {
    let protocol = if setup.transport.origin == Origin::Http2 { " proto h2" } else { "" };
    let backend = |name: &str, port| backend(name, port, protocol);
    let mut text = backend("origin", setup.origin);
    if let Needs::Clusters(count) = setup.needs {
        text += &each(count, |text, number| {
            text.push_str(&backend(&format!("c{number:04}"), setup.origin));
        });
    }
    text
}

fn backend(name: &str, port: u16, protocol: &str) -> String {
    format!("backend {name}\n  server origin 127.0.0.1:{port}{protocol} pool-purge-delay 600s\n")
}

fn map(needs: Needs) -> String {
    match needs {
        Needs::Plain | Needs::Reload => String::new(),
        Needs::Routes(count) => {
            each(count, |text, number| add(text, format_args!("{} origin\n", route_path(number))))
        }
        Needs::Clusters(count) => {
            each(count, |text, number| add(text, format_args!("{number:04} c{number:04}\n")))
        }
    }
}
