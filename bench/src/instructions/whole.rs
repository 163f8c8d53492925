//! A whole request through the proxy as its users run it, less what the kernel does.
//!
//! The difference of two runs of unequal length, so that start and end do not count. It moves by a
//! thousandth from run to run: what wakes up when is not the same each time.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::parse;
use crate::cores::Cores;
use crate::origin::Origin;
use crate::peers::{self, Needs, Setup};
use crate::process::Process;
use crate::programs;
use crate::transport::Transport;
use crate::wire;

/// What is counted: HTTP/1.1 on both sides, one connection each, one route, one filter.
pub(super) const NAME: &str = "proxy/http1-request";
/// Requests of the two runs.
const FEW: usize = 200;
const MANY: usize = 1200;
/// A program under valgrind takes a while to start, and to end.
const START: Duration = Duration::from_secs(60);
const END: Duration = Duration::from_secs(30);

/// Instructions of one request.
///
/// # Errors
///
/// A program is missing, does not answer, or valgrind says no count.
pub(super) fn count(valgrind: &Path) -> Result<f64, String> {
    let folder = std::env::temp_dir().join(format!("ringway-instructions-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let each = both(valgrind, &folder);
    // What cannot be removed is in the temporary folder, where it disturbs nobody.
    let _ = fs::remove_dir_all(&folder);
    each
}

fn both(valgrind: &Path, folder: &Path) -> Result<f64, String> {
    let cores = Cores::find()?;
    let load = programs::sibling("ringway-load", "ringway-loadgen")?;
    let origin = Origin::start(&load, folder, "origin", cores.origin, Some(64), &[])?;
    let run = |requests| one(valgrind, folder, &cores, origin.port, requests);
    let (few, many) = (run(FEW)?, run(MANY)?);
    Ok(many.saturating_sub(few) as f64 / (MANY - FEW) as f64)
}

/// Instructions of a proxy that answers so many requests and ends.
fn one(
    valgrind: &Path,
    folder: &Path,
    cores: &Cores,
    origin: u16,
    requests: usize,
) -> Result<u64, String> {
    let setup = setup(folder, origin).map_err(|error| error.to_string())?;
    let mut command = Command::new(valgrind);
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(programs::sibling("ringway", "ringway")?);
    peers::ringway_arguments(&mut command, &setup).map_err(|error| error.to_string())?;
    // Valgrind does not know all of io_uring; the path of a request is the same.
    command.args(["--driver", "epoll"]);
    let started = Process::start(command, &[cores.proxy], &folder.join("log"));
    let mut process = started.map_err(|error| format!("valgrind: {error}"))?;
    converse(&mut process, setup.port, requests)?;
    let ended = process.signal(Signal::SIGINT).and_then(|()| process.wait(END));
    ended.map_err(|error| format!("the end of ringway under valgrind: {error}"))?;
    let words = process.last_words();
    parse(&words).ok_or_else(|| format!("valgrind says no count: {words}"))
}

fn setup(folder: &Path, origin: u16) -> std::io::Result<Setup> {
    // Freed at once: proxies take a number and not a socket.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    Ok(Setup {
        folder: folder.to_owned(),
        port,
        origin,
        needs: Needs::Plain,
        transport: Transport::PLAIN,
        bulk: false,
        spin: false,
    })
}

/// Sends requests one by one, each when the last has its answer.
fn converse(process: &mut Process, port: u16, requests: usize) -> Result<(), String> {
    let deadline = Instant::now() + START;
    let mut stream = loop {
        match wire::connect(port) {
            Ok(stream) => break stream,
            Err(error) if process.ended().is_some() || Instant::now() > deadline => {
                return Err(format!("ringway under valgrind: {error}: {}", process.last_words()));
            }
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    };
    let request = wire::request("/", None, None);
    for _ in 0..requests {
        let answer = wire::ask(&mut stream, &request).map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(format!("ringway under valgrind answers {}", answer.status));
        }
    }
    Ok(())
}
