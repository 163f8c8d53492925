//! The table of loads: what is asked for, by how many, and what else happens meanwhile.

mod transports;

use crate::peers::Needs;
use crate::transport::{Origin, Transport};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// Bytes of a small answer.
const SMALL: usize = 64;

/// One load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Workload {
    /// On the command line and in reports.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Connections that are busy all the time.
    pub(crate) connections: usize,
    /// Bytes of each request's body.
    pub(crate) upload: Option<usize>,
    /// Bytes of each answer's body.
    pub(crate) answer: usize,
    /// Each request on a connection of its own.
    pub(crate) new_connections: bool,
    pub(crate) needs: Needs,
    /// Proxies that can look for work for a while before they sleep do.
    pub(crate) spin: bool,
    pub(crate) transport: Transport,
    pub(crate) companions: Companions,
    /// Latencies are taken at fixed rates, too.
    pub(crate) latency: bool,
    /// What a reader of its table must know.
    pub(crate) remark: &'static str,
}

/// Who else is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Companions {
    None,
    /// Connections that were used once and now wait.
    Idle(usize),
    /// Clients that read a large answer slowly.
    SlowReaders(usize),
    /// As `Idle`, in the transport of the workload.
    Held(usize),
}

const fn small(name: &'static str, title: &'static str, connections: usize) -> Workload {
    Workload {
        name,
        title,
        connections,
        upload: None,
        answer: SMALL,
        new_connections: false,
        needs: Needs::Plain,
        spin: false,
        transport: Transport::PLAIN,
        companions: Companions::None,
        latency: false,
        remark: "",
    }
}

const fn spinning(name: &'static str, title: &'static str, connections: usize) -> Workload {
    let remark = "Ringway with --spin-us 50; HAProxy's busy-polling never ends, and would take the \
                  CPU of those whose turn it is";
    Workload { spin: true, remark, ..small(name, title, connections) }
}

const fn download(name: &'static str, title: &'static str, count: usize, size: usize) -> Workload {
    Workload { answer: size, ..small(name, title, count) }
}

const fn upload(name: &'static str, title: &'static str, count: usize, size: usize) -> Workload {
    Workload { upload: Some(size), ..small(name, title, count) }
}

/// All loads, in the order of reports.
fn all() -> impl Iterator<Item = &'static Workload> {
    PLAIN.iter().chain(&transports::TRANSPORTS)
}

/// Those of HTTP/1.1 without TLS.
static PLAIN: [Workload; 19] = [
    Workload { latency: true, ..small("small-1", "64 B answers, 1 keep-alive connection", 1) },
    small("small-2", "64 B answers, 2 keep-alive connections", 2),
    spinning("spin-1", "the same as small-1, with a proxy that spins before it sleeps", 1),
    spinning("spin-2", "the same as small-2, with a proxy that spins before it sleeps", 2),
    Workload { latency: true, ..small("small-64", "64 B answers, 64 keep-alive connections", 64) },
    Workload {
        latency: true,
        ..small("small-256", "64 B answers, 256 keep-alive connections", 256)
    },
    small("small-1024", "64 B answers, 1,024 keep-alive connections", 1024),
    download("down-1k", "1 KiB answers, 64 connections", 64, KIB),
    download("down-64k", "64 KiB answers, 16 connections", 16, 64 * KIB),
    download("down-1m", "1 MiB answers, 16 connections", 16, MIB),
    upload("up-1k", "1 KiB request bodies, 64 connections", 64, KIB),
    upload("up-64k", "64 KiB request bodies, 16 connections", 16, 64 * KIB),
    upload("up-1m", "1 MiB request bodies, 16 connections", 16, MIB),
    Workload {
        new_connections: true,
        latency: true,
        remark: "the floor opens an upstream connection for each request, which proxies do not: \
                 it is none here",
        ..small("connect", "a new connection for each request, 64 at a time", 64)
    },
    Workload {
        companions: Companions::Idle(10_000),
        latency: true,
        ..small("idle-10k", "64 busy connections beside 10,000 idle ones", 64)
    },
    Workload {
        needs: Needs::Routes(10_000),
        ..small("routes-10k", "10,000 exact routes, 64 connections", 64)
    },
    Workload {
        needs: Needs::Clusters(1000),
        ..small("clusters-1k", "1,000 clusters by prefix, 64 connections", 64)
    },
    Workload {
        companions: Companions::SlowReaders(200),
        latency: true,
        ..small("slow-readers", "64 busy connections beside 200 slow readers of 1 MiB", 64)
    },
    Workload {
        needs: Needs::Reload,
        remark: "one turn for each round; workers of nginx and HAProxy end while they are counted, \
                 so that their CPU time is not known",
        ..small("reload", "the origin changes 100 times under load, 64 connections", 64)
    },
];

/// What `--quick` runs: something of each kind, in about two minutes.
const QUICK: [&str; 5] = ["small-64", "small-256", "down-64k", "connect", "reload"];

impl Workload {
    /// Paths to ask for.
    pub(crate) fn paths(&self) -> Vec<String> {
        let plain =
            if self.answer == SMALL { "/".to_owned() } else { format!("/bytes/{}", self.answer) };
        self.needs.paths(&plain)
    }

    /// Connections of all clients.
    pub(crate) fn clients(&self) -> usize {
        self.connections
            + match self.companions {
                Companions::None => 0,
                Companions::Idle(count)
                | Companions::SlowReaders(count)
                | Companions::Held(count) => count,
            }
    }

    /// Bodies are large enough to be worth large buffers.
    pub(crate) fn is_bulk(&self) -> bool {
        let bytes = matches!(self.transport.origin, Origin::Sink | Origin::Source);
        bytes || self.answer.max(self.upload.unwrap_or(0)) >= 16 * KIB
    }
}

/// The loads that were asked for: names, beginnings of names (`small`), or all.
///
/// # Errors
///
/// A name that fits none.
pub(crate) fn choose(names: &[String], quick: bool) -> Result<Vec<Workload>, String> {
    if names.is_empty() {
        let chosen = |workload: &&Workload| !quick || QUICK.contains(&workload.name);
        return Ok(all().filter(chosen).cloned().collect());
    }
    let fits = |workload: &Workload, name: &str| {
        let rest = workload.name.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    if let Some(unknown) = names.iter().find(|name| !all().any(|w| fits(w, name))) {
        let known: Vec<&str> = all().map(|workload| workload.name).collect();
        return Err(format!("no workload `{unknown}`: there are {}", known.join(", ")));
    }
    let chosen = |workload: &&Workload| names.iter().any(|name| fits(workload, name));
    Ok(all().filter(chosen).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str], quick: bool) -> Result<Vec<&'static str>, String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Ok(choose(&names, quick)?.iter().map(|workload| workload.name).collect())
    }

    #[test]
    fn names_and_their_beginnings_choose() {
        assert_eq!(chosen(&[], false).map(|all| all.len()), Ok(all().count()));
        assert_eq!(chosen(&[], true).map(|all| all.len()), Ok(QUICK.len()));
        let small = ["small-1", "small-2", "small-64", "small-256", "small-1024", "connect"];
        assert_eq!(chosen(&["connect", "small"], true).as_deref(), Ok(&small[..]));
        assert_eq!(chosen(&["small-1"], false).as_deref(), Ok(&["small-1"][..]));
        assert!(chosen(&["smal"], false).is_err_and(|error| error.starts_with("no workload")));
    }

    #[test]
    fn paths_ask_for_the_answer() {
        let of = |name: &str| choose(&[name.to_owned()], false).expect("known").remove(0);
        assert_eq!(of("small-64").paths(), ["/"]);
        assert_eq!(of("down-64k").paths(), ["/bytes/65536"]);
        assert_eq!(of("routes-10k").paths().len(), 32);
        assert!(of("up-64k").is_bulk() && !of("up-1k").is_bulk());
    }
}
