//! The proxies that are compared, each with an equal configuration.
//!
//! Equal means: one worker, no log, connections to the origin kept in a pool that is large enough,
//! no limit that the load could meet, and otherwise the defaults that its users have.

mod envoy;
mod h2o;
mod haproxy;
mod nginx;

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::host;
use crate::process::Process;
use crate::programs;
use crate::transport::{self, Client, Identity, Transport};

/// Connections that every peer must allow.
const MOST_CONNECTIONS: u32 = 12_000;

/// Which proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Floor,
    Ringway,
    /// On epoll, as in a container that refuses io_uring.
    RingwayEpoll,
    Nginx,
    Haproxy,
    H2o,
    Envoy,
}

/// What a workload wants to be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Everything goes to one origin.
    Plain,
    /// So many exact paths `/r/N`, all to one cluster.
    Routes(usize),
    /// So many prefixes `/c/N/`, each to a cluster of its own.
    Clusters(usize),
    /// The origin changes while requests come.
    Reload,
}

impl Needs {
    /// Paths to ask for: spread over what is configured.
    pub(crate) fn paths(self, plain: &str) -> Vec<String> {
        const ASKED: usize = 32;
        let spread = |count: usize| (0..ASKED).map(move |n| (2 * n + 1) * count / (2 * ASKED));
        match self {
            Self::Plain | Self::Reload => vec![plain.to_owned()],
            Self::Routes(count) => spread(count).map(route_path).collect(),
            Self::Clusters(count) => spread(count).map(|n| cluster_prefix(n) + "x").collect(),
        }
    }
}

/// The path of route `number`.
fn route_path(number: usize) -> String {
    format!("/r/{number:05}")
}

/// The prefix of cluster `number`.
fn cluster_prefix(number: usize) -> String {
    format!("/c/{number:04}/")
}

/// Where a peer runs and what it is for.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// For its files.
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
    /// The origin's port.
    pub(crate) origin: u16,
    pub(crate) needs: Needs,
    pub(crate) transport: Transport,
    /// Bodies are large.
    pub(crate) bulk: bool,
    /// It looks for work for a while before it sleeps, if it can.
    pub(crate) spin: bool,
}

impl Setup {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.file(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// The certificate of the proxy, with TLS.
    fn identity(&self) -> Option<Identity> {
        self.transport.is_tls().then(|| transport::identity(&self.folder))
    }

    /// Clients speak HTTP/2.
    fn is_http2(&self) -> bool {
        self.transport.client == Client::Http2 || self.transport.is_grpc()
    }

    /// Writes a file so that whoever watches it sees the old or the new one, never a part.
    fn replace(&self, name: &str, text: &str) -> io::Result<()> {
        let aside = self.write(&format!("{name}.new"), text)?;
        fs::rename(aside, self.file(name))
    }
}

/// A proxy that is on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    pub(crate) program: PathBuf,
    pub(crate) version: String,
}

impl Kind {
    /// All, in the order of reports.
    pub(crate) const ALL: [Self; 7] = [
        Self::Floor,
        Self::Ringway,
        Self::RingwayEpoll,
        Self::Nginx,
        Self::Haproxy,
        Self::H2o,
        Self::Envoy,
    ];

    /// Whether it takes part without being named.
    pub(crate) fn is_default(self) -> bool {
        self != Self::RingwayEpoll
    }

    /// Its name in reports and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Ringway => "ringway",
            Self::RingwayEpoll => "ringway-epoll",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::H2o => "h2o",
            Self::Envoy => "envoy",
        }
    }

    /// Finds it on this machine, or says why it cannot take part.
    pub(crate) fn find(self) -> Result<Peer, String> {
        let missing = || "not on this machine: bench/install-peers.sh installs it".to_owned();
        let (program, option) = match self {
            Self::Floor => {
                let program = std::env::current_exe().map_err(|error| error.to_string())?;
                (program, "--version")
            }
            Self::Ringway | Self::RingwayEpoll => {
                (programs::sibling("ringway", "ringway")?, "--version")
            }
            Self::Nginx => (programs::on_path("nginx").ok_or_else(missing)?, "-v"),
            Self::Haproxy => (programs::on_path("haproxy").ok_or_else(missing)?, "-v"),
            Self::H2o => (programs::on_path("h2o").ok_or_else(missing)?, "--version"),
            Self::Envoy => (programs::envoy().ok_or_else(missing)?, "--version"),
        };
        let version = host::version(&program, option);
        Ok(Peer { kind: self, program, version })
    }

    /// Why it cannot do what a workload needs.
    pub(crate) fn cannot(self, needs: Needs) -> Option<&'static str> {
        match (self, needs) {
            (Self::Floor, Needs::Routes(_) | Needs::Clusters(_)) => {
                Some("it parses nothing, so that it routes nothing")
            }
            (Self::Floor, Needs::Reload) => Some("it has no configuration"),
            (Self::H2o, Needs::Reload) => {
                Some("it reloads only under start_server, as a new process")
            }
            _ => None,
        }
    }
}

impl Kind {
    /// A change of configuration is a new worker process beside the old one.
    pub(crate) fn replaces_workers(self) -> bool {
        matches!(self, Self::Nginx | Self::Haproxy)
    }
}

impl Peer {
    /// Starts it on `cpu` with a configuration for `setup`.
    pub(crate) fn start(&self, setup: &Setup, cpu: usize) -> io::Result<Process> {
        let mut command = Command::new(&self.program);
        match self.kind {
            Kind::Floor => floor(&mut command, setup),
            Kind::Ringway => envoy::ringway(&mut command, setup)?,
            Kind::RingwayEpoll => {
                envoy::ringway(&mut command, setup)?;
                command.args(["--driver", "epoll"]);
            }
            Kind::Envoy => envoy::envoy(&mut command, setup)?,
            Kind::Nginx => nginx::configure(&mut command, setup)?,
            Kind::Haproxy => haproxy::configure(&mut command, setup)?,
            Kind::H2o => h2o::configure(&mut command, setup)?,
        }
        // Figures are taken with logs off, whatever the environment says.
        command.env_remove("RUST_LOG");
        Process::start(command, &[cpu], &setup.file("log"))
    }

    /// Makes it send to another origin, without a restart.
    pub(crate) fn reload(&self, process: &Process, setup: &Setup) -> io::Result<()> {
        match self.kind {
            Kind::Ringway | Kind::RingwayEpoll => {
                envoy::rewrite_ringway(setup)?;
                process.signal(Signal::SIGHUP)
            }
            // It watches the file of its endpoints.
            Kind::Envoy => envoy::rewrite_endpoints(setup),
            Kind::Nginx => {
                nginx::rewrite(setup)?;
                process.signal(Signal::SIGHUP)
            }
            Kind::Haproxy => {
                haproxy::rewrite(setup)?;
                process.signal(Signal::SIGUSR2)
            }
            Kind::Floor | Kind::H2o => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// Ringway's arguments and files, for whoever starts it by another program.
pub(crate) fn ringway_arguments(command: &mut Command, setup: &Setup) -> io::Result<()> {
    envoy::ringway(command, setup)
}

fn floor(command: &mut Command, setup: &Setup) {
    command.arg("floor").arg("--listen").arg(format!("127.0.0.1:{}", setup.port));
    command.arg("--upstream").arg(format!("127.0.0.1:{}", setup.origin));
    match (setup.transport.client, setup.transport.origin) {
        (Client::Http2, transport::Origin::Direct) => drop(command.args(["--http2", "direct"])),
        (Client::Http2, transport::Origin::Http1) => drop(command.args(["--http2", "http1"])),
        _ => {}
    }
    if setup.bulk {
        command.args(["--bulk", "--buffer-bytes", "262144"]);
    }
}

/// The text of each item of a list, one after the other.
fn each(count: usize, mut write: impl FnMut(&mut String, usize)) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        write(&mut text, number);
        text
    })
}

/// Appends formatted text; a `String` never refuses it.
fn add(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(arguments);
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_spread_over_what_is_configured() {
        assert_eq!(Needs::Plain.paths("/a"), ["/a"]);
        let routes = Needs::Routes(10_000).paths("/");
        assert_eq!(routes.len(), 32);
        assert_eq!((routes[0].as_str(), routes[31].as_str()), ("/r/00156", "/r/09843"));
        let clusters = Needs::Clusters(1000).paths("/");
        assert_eq!((clusters[0].as_str(), clusters[31].as_str()), ("/c/0015/x", "/c/0984/x"));
    }

    #[test]
    fn every_needed_route_and_cluster_is_in_every_configuration() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut setup = setup(folder.path());
        let makers: [fn(&mut Command, &Setup) -> io::Result<()>; 5] =
            [envoy::ringway, envoy::envoy, nginx::configure, haproxy::configure, h2o::configure];
        for (needs, what) in [(Needs::Routes(100), "/r/"), (Needs::Clusters(100), "00")] {
            setup.needs = needs;
            for make in makers {
                make(&mut Command::new("x"), &setup).expect("files are written");
                let files = fs::read_dir(folder.path()).expect("a folder");
                let text: String = files
                    .map(|file| fs::read_to_string(file.expect("a file").path()).expect("text"))
                    .collect();
                assert!(text.matches(what).count() >= 100, "{needs:?}: {text}");
                for file in fs::read_dir(folder.path()).expect("a folder") {
                    fs::remove_file(file.expect("a file").path()).expect("removed");
                }
            }
        }
    }

    fn setup(folder: &Path) -> Setup {
        Setup {
            folder: folder.to_owned(),
            port: 1,
            origin: 2,
            needs: Needs::Plain,
            transport: Transport::PLAIN,
            bulk: false,
            spin: false,
        }
    }

    #[test]
    fn who_can_spin_for_a_while_is_told_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut setup = setup(folder.path());
        assert!(!written(envoy::ringway, &setup).contains("--spin-us"));
        setup.spin = true;
        assert!(written(envoy::ringway, &setup).contains("--spin-us"));
    }

    /// All that a peer writes, and its command line.
    fn written(make: Maker, setup: &Setup) -> String {
        let mut command = Command::new("x");
        make(&mut command, setup).expect("files are written");
        let files = fs::read_dir(&setup.folder).expect("a folder").map(|file| file.expect("it"));
        let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
        texts.collect::<String>() + &format!("{command:?}")
    }

    type Maker = fn(&mut Command, &Setup) -> io::Result<()>;

    #[test]
    fn every_transport_is_in_the_configuration_of_who_can_do_it() {
        use crate::transport::{Client, Origin, Tls};
        let makers: [(Kind, Maker, [&str; 7]); 4] = [
            (Kind::Envoy, envoy::envoy, ENVOY),
            (Kind::Nginx, nginx::configure, NGINX),
            (Kind::Haproxy, haproxy::configure, HAPROXY),
            (Kind::H2o, h2o::configure, H2O),
        ];
        const ENVOY: [&str; 7] = [
            "DownstreamTlsContext",
            "HttpConnectionManager",
            "explicit_http_config",
            "direct_response",
            "upgrade_type: websocket",
            "TcpProxy",
            "UdpProxyConfig",
        ];
        const NGINX: [&str; 7] = [
            "ssl_certificate_key",
            " http2;",
            "grpc_pass",
            "return 200",
            "proxy_set_header Upgrade",
            "stream {",
            " udp;",
        ];
        const HAPROXY: [&str; 7] =
            [" ssl crt ", " proto h2\n", " proto h2 pool", "return status 200", "", "mode tcp", ""];
        const H2O: [&str; 7] =
            ["certificate-file", "", "", "file.dir", "proxy.websocket: \"ON\"", "", ""];
        let plain = Transport::PLAIN;
        let transports = [
            Transport { tls: Tls::Full, ..plain },
            Transport { client: Client::Http2, ..plain },
            Transport { client: Client::Grpc, origin: Origin::Http2, ..plain },
            Transport { client: Client::Http2, origin: Origin::Direct, ..plain },
            Transport { client: Client::WebSocket, ..plain },
            Transport { client: Client::Tcp, origin: Origin::Echo, ..plain },
            Transport { client: Client::Udp, origin: Origin::Echo, ..plain },
        ];
        for (kind, make, marks) in makers {
            for (transport, mark) in transports.into_iter().zip(marks) {
                if transport.cannot(kind).is_some() {
                    continue;
                }
                let folder = tempfile::tempdir().expect("a folder");
                let folder_path = folder.path().to_owned();
                let setup = Setup { transport, ..setup(&folder_path) };
                let text = written(make, &setup);
                assert!(text.contains(mark), "{} {transport:?}: {text}", kind.name());
            }
        }
    }
}
