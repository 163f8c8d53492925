//! A proxy as a process: Ringway, or the real Envoy on the same configuration.
//!
//! Owns: its configuration, readiness, the ports that the kernel gave it and admin requests. The
//! process itself, its folder, signals and end are `Process`.

use std::fmt;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{POLL, Process, eventually};
use crate::wire::{Message, Stream, Wire, WireError};
use crate::{Transcript, envoy, ringway};

/// A debug build that shares two cores with other tests needs its time to start.
const START_PATIENCE: Duration = Duration::from_secs(40);

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// The program under test.
    Ringway,
    /// The reference.
    Envoy,
}

impl Make {
    /// What the end-to-end tests run: Ringway, or Envoy with `RINGWAY_E2E_SUBJECT=envoy`, which
    /// shows that a test's expectation is the reference's behaviour.
    pub fn subject() -> Self {
        match std::env::var("RINGWAY_E2E_SUBJECT").as_deref() {
            Ok("envoy") => Self::Envoy,
            _ => Self::Ringway,
        }
    }

    pub(crate) fn program(self) -> &'static Path {
        match self {
            Self::Ringway => ringway(),
            Self::Envoy => envoy().expect("Envoy was asked for and cannot be had"),
        }
    }
}

/// Why a proxy did not become ready.
#[derive(Debug)]
pub struct StartError {
    /// Its exit status, when it exited.
    pub status: Option<ExitStatus>,
    /// What it said on standard error.
    pub log: String,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "the proxy ended with {status}:\n{}", self.log),
            None => write!(f, "the proxy is not ready after {START_PATIENCE:?}:\n{}", self.log),
        }
    }
}

impl std::error::Error for StartError {}

/// How a proxy is to be started.
#[derive(Clone, Debug)]
pub struct Launch {
    make: Make,
    yaml: String,
    concurrency: usize,
    arguments: Vec<String>,
    socket: Option<Arc<OwnedFd>>,
}

impl Launch {
    /// That program on this bootstrap, with one worker.
    pub fn new(make: Make, yaml: impl Into<String>) -> Self {
        Self { make, yaml: yaml.into(), concurrency: 1, arguments: Vec::new(), socket: None }
    }

    /// With that many workers.
    pub fn concurrency(mut self, workers: usize) -> Self {
        self.concurrency = workers;
        self
    }

    /// With one more argument.
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// With a socket of a service manager, which passes a duplicate and keeps its own.
    pub fn socket(mut self, socket: impl AsFd) -> Self {
        let copy = socket.as_fd().try_clone_to_owned().expect("a descriptor can be duplicated");
        self.socket = Some(Arc::new(copy));
        self
    }

    /// Starts it and waits until it is ready. The file of the configuration is `config.yaml` in
    /// the proxy's folder, which the YAML may name as `{folder}`.
    pub fn start(self) -> Result<Proxy, StartError> {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let yaml = self.yaml.replace("{folder}", &folder.path().display().to_string());
        fs::write(folder.path().join("config.yaml"), yaml).expect("the folder takes files");
        let arguments = self.arguments();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let process = match &self.socket {
            None => Process::start_in(folder, self.make, &arguments),
            Some(socket) => {
                let socket = socket.try_clone().expect("a descriptor can be duplicated");
                Process::start_with_socket(folder, self.make, socket, &arguments)
            }
        };
        let admin = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut proxy = Proxy { make: self.make, process, admin, listeners: Vec::new() };
        proxy.become_ready()?;
        Ok(proxy)
    }

    /// What `RINGWAY_E2E_DRIVER` asks for, unless this one is told what to run on.
    fn driver(&self) -> Vec<String> {
        let told = self.arguments.iter().any(|argument| argument == "--driver");
        match std::env::var("RINGWAY_E2E_DRIVER") {
            Ok(driver) if self.make == Make::Ringway && !told => vec!["--driver".into(), driver],
            _ => Vec::new(),
        }
    }

    fn arguments(&self) -> Vec<String> {
        // Hot restart would tie processes that run beside each other by one shared memory, and
        // access logs reach their file only every ten seconds by default.
        let fixed = [
            "-c",
            "{folder}/config.yaml",
            "--admin-address-path",
            "{folder}/admin",
            "--disable-hot-restart",
            "--file-flush-interval-msec",
            "20",
            "--concurrency",
        ];
        let fixed = fixed.map(str::to_owned).into_iter().chain([self.concurrency.to_string()]);
        fixed.chain(self.driver()).chain(self.arguments.iter().cloned()).collect()
    }
}

#[derive(Clone, Debug)]
enum Address {
    Socket(SocketAddr),
    Pipe(String),
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    make: Make,
    process: Process,
    admin: SocketAddr,
    listeners: Vec<(String, Address)>,
}

impl Proxy {
    /// Starts the program under test (see [`Make::subject`]) on a bootstrap.
    pub fn start(yaml: impl Into<String>) -> Self {
        Self::of(Make::subject(), yaml)
    }

    /// Starts one of the programs on a bootstrap.
    pub fn of(make: Make, yaml: impl Into<String>) -> Self {
        Launch::new(make, yaml).start().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Which program this is.
    pub fn make(&self) -> Make {
        self.make
    }

    fn become_ready(&mut self) -> Result<(), StartError> {
        let deadline = Instant::now() + START_PATIENCE;
        while !self.is_ready() {
            let status = self.process.status();
            if status.is_some() || Instant::now() > deadline {
                return Err(StartError { status, log: self.log() });
            }
            sleep(POLL);
        }
        self.learn_listeners();
        Ok(())
    }

    fn is_ready(&mut self) -> bool {
        if self.admin.port() == 0 {
            let written = self.file("admin");
            let Ok(address) = written.trim().parse() else { return false };
            self.admin = address;
        }
        self.try_admin("GET", "/ready").is_ok_and(|answer| answer.status() == 200)
    }

    /// Asks admin for the listeners' addresses again, as after a change of configuration.
    pub fn learn_listeners(&mut self) {
        let answer = self.admin("/listeners?format=json");
        let json: Value = serde_json::from_slice(&answer.body).expect("/listeners gives JSON");
        let statuses = json["listener_statuses"].as_array().cloned().unwrap_or_default();
        self.listeners = statuses.iter().flat_map(listener_addresses).collect();
    }

    /// Where the listener of that name accepts TCP.
    pub fn listener(&self, name: &str) -> SocketAddr {
        match self.address_of(name) {
            Address::Socket(address) => *address,
            Address::Pipe(path) => panic!("listener {name} is the Unix socket {path}"),
        }
    }

    /// Every address of the listener of that name, `additional_addresses` included.
    pub fn addresses(&self, name: &str) -> Vec<SocketAddr> {
        let own = self.listeners.iter().filter(|(listener, _)| listener == name);
        let sockets = own.filter_map(|(_, address)| match address {
            Address::Socket(address) => Some(*address),
            Address::Pipe(_) => None,
        });
        sockets.collect()
    }

    fn address_of(&self, name: &str) -> &Address {
        let found = self.listeners.iter().find(|(listener, _)| listener == name);
        &found.unwrap_or_else(|| panic!("no listener {name} in {:?}", self.listeners)).1
    }

    /// Where admin listens.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// GETs an admin path.
    pub fn admin(&self, path: &str) -> Message {
        self.try_admin("GET", path).unwrap_or_else(|error| panic!("admin {path}: {error}"))
    }

    /// POSTs to an admin path.
    pub fn admin_post(&self, path: &str) -> Message {
        self.try_admin("POST", path).unwrap_or_else(|error| panic!("admin {path}: {error}"))
    }

    fn try_admin(&self, method: &str, path: &str) -> Result<Message, WireError> {
        let broken = |error: std::io::Error| WireError::Broken(error.to_string());
        let stream = TcpStream::connect(self.admin).map_err(broken)?;
        let transcript = Arc::new(Transcript::new("admin"));
        let mut wire = Wire::new(Stream::Tcp(stream), transcript).map_err(broken)?;
        let length = if method == "POST" { "content-length: 0\r\n" } else { "" };
        let head = format!("{method} {path} HTTP/1.1\r\nhost: admin\r\n{length}\r\n");
        wire.send(head.as_bytes()).map_err(broken)?;
        wire.response(method)
    }

    /// The value of a counter or gauge; 0 when the program does not show it.
    pub fn stat(&self, name: &str) -> u64 {
        let answer = self.admin("/stats").text();
        let line = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    /// Waits until a counter or gauge satisfies `wanted`.
    pub fn wait_stat(&self, name: &str, wanted: impl Fn(u64) -> bool) {
        let mut value = 0;
        let seen = eventually(|| {
            value = self.stat(name);
            wanted(value)
        });
        assert!(seen, "{name} stays {value}");
    }

    /// Puts another configuration in place by rename, so that no half-written file can be read.
    pub fn replace_config(&self, yaml: &str) {
        let new = self.folder().join("config.yaml.new");
        let yaml = yaml.replace("{folder}", &self.folder().display().to_string());
        fs::write(&new, yaml).expect("the folder takes files");
        fs::rename(&new, self.folder().join("config.yaml")).expect("a file can be renamed");
    }
}

impl Deref for Proxy {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Proxy {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn listener_addresses(status: &Value) -> Vec<(String, Address)> {
    let name = status["name"].as_str().unwrap_or_default();
    let more = status["additional_local_addresses"].as_array();
    let all = std::iter::once(&status["local_address"]).chain(more.into_iter().flatten());
    all.filter_map(address).map(|address| (name.to_owned(), address)).collect()
}

fn address(address: &Value) -> Option<Address> {
    if let Some(path) = address["pipe"]["path"].as_str() {
        return Some(Address::Pipe(path.to_owned()));
    }
    let socket = &address["socket_address"];
    let ip = socket["address"].as_str()?.parse().ok()?;
    let port = u16::try_from(socket["port_value"].as_u64()?).ok()?;
    Some(Address::Socket(SocketAddr::new(ip, port)))
}
