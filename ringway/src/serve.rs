//! The process while it serves: how workers and control thread start, what they react to.
//! How it ends is in `end`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ringway_bridge::stats::{Catalog, Page};
use ringway_config::compile::{Admin, Cause, Draft, GivenSockets, OpenSinks};
use ringway_config::{ConfigError, Loaded, print};
use ringway_control::ServerStats;
use ringway_control::admin::{
    self, AdminAddress, AdminServer, AdminState, ConfigSource, Lifecycle, LogLevels, ServerState,
};
use ringway_control::dns::NameCaches;
use ringway_control::log_writer::{LogTarget, LogWriter};
use ringway_control::overload::OverloadWatch;
use ringway_control::publish::Control;
use ringway_control::watch::FileWatch;
use ringway_model::access_log::SinkId;
use ringway_model::address::Address;
use ringway_model::listener::Listeners;
use ringway_model::overload::OverloadPolicy;
use ringway_model::snapshot::Snapshot;
use ringway_proxy::worker::Command;
use ringway_runtime::worker::{self, Driver};
use tokio::sync::{mpsc, watch};

use crate::base_id::BaseId;
use crate::cli::{self, DriverChoice, Mode, Options};
use crate::configuration::Configuration;
use crate::demo::{self, DemoArgs};
use crate::end::{Signals, stop_listening};
use crate::identity;
use crate::names::{self, Names};
use crate::secrets::{self, Secrets};
use crate::workers::Workers;
use crate::{logging, validate};

/// How long start-up waits for names before it serves without them (Envoy waits for ever; a name
/// that does not resolve must not keep the others down).
const WARM_UP_MAX: Duration = Duration::from_secs(15);
/// How long workers may take to follow a generation before that is worth a warning.
const ADOPTION_MAX: Duration = Duration::from_secs(5);
/// `stats_flush_interval`.
const FLUSH_INTERVAL: Duration = Duration::from_secs(5);
/// Admin commands that may wait.
const COMMANDS_MAX: usize = 16;

/// Serves the configuration of the command line.
pub(crate) fn run(options: &Options) -> ExitCode {
    let name = options.config_name();
    // Held until the process ends.
    let _claim = match BaseId::claim(options) {
        Ok(claim) => claim,
        Err(message) => return Failure::Other(message).report(&name),
    };
    let sockets = match given_sockets() {
        Ok(sockets) => sockets,
        Err(failure) => return failure.report(&name),
    };
    in_runtime(async {
        match Server::start(options.clone(), sockets).await {
            Ok(server) if options.mode == Mode::InitOnly => server.stop().await,
            Ok(server) => server.serve().await,
            Err(failure) => failure.report(&name),
        }
    })
}

/// Serves the demo and shows how it goes.
pub(crate) fn demo(args: &DemoArgs) -> ExitCode {
    let options = demo::options(args);
    if let Err(message) = crate::prepare(&options).and_then(|()| demo::check_ports(args)) {
        return demo::refuse(&message);
    }
    in_runtime(async {
        match Server::start(options, GivenSockets::default()).await {
            Ok(server) => {
                let listen = server.listener_address("demo").unwrap_or_default();
                let admin = &server.admin_address;
                demo::introduce(&listen, admin, server.concurrency, &server.driver.to_string());
                let catalog = Arc::clone(&server.catalog);
                tokio::spawn(demo::watch(Arc::clone(&catalog), server.concurrency));
                let code = server.serve().await;
                demo::leave(&catalog);
                code
            }
            Err(failure) => demo::refuse(&failure.to_string()),
        }
    })
}

/// Of socket activation, if that is how the process was started.
fn given_sockets() -> Result<GivenSockets, Failure> {
    let sockets = ringway_runtime::inherited::sockets().and_then(GivenSockets::new);
    sockets.map_err(failed("cannot take the sockets of the service manager"))
}

fn in_runtime(main: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(main),
        Err(error) => {
            logging::refuse(&format!("cannot start the control thread: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Why the process cannot start.
#[derive(Debug)]
enum Failure {
    Configuration(Vec<ConfigError>),
    Other(String),
}

impl Failure {
    fn report(self, name: &str) -> ExitCode {
        match self {
            Self::Configuration(errors) => validate::report(&errors, name),
            Self::Other(message) => logging::refuse(&message),
        }
        ExitCode::FAILURE
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(errors) => {
                errors.iter().try_for_each(|error| writeln!(f, "{error}"))
            }
            Self::Other(message) => writeln!(f, "{message}"),
        }
    }
}

fn failed(what: &str) -> impl Fn(io::Error) -> Failure + '_ {
    move |error| Failure::Other(format!("{what}: {error}"))
}

/// The running process.
pub(crate) struct Server {
    pub(crate) options: Options,
    concurrency: usize,
    driver: Driver,
    catalog: Arc<Catalog>,
    configuration: Configuration,
    sockets: GivenSockets,
    pub(crate) control: Control,
    pub(crate) workers: Workers,
    pub(crate) logs: LogWriter,
    names: Names,
    /// Names that come with requests.
    name_caches: NameCaches,
    pub(crate) lifecycle: Lifecycle,
    admin: Arc<AdminState>,
    admin_address: String,
    sources: watch::Sender<Arc<ConfigSource>>,
    pub(crate) commands: mpsc::Receiver<admin::Command>,
    watch: Option<FileWatch>,
    secrets: Secrets,
    overload: OverloadWatch,
    /// When the listeners close that `/drain_listeners?graceful` gave some time.
    close_at: Option<(tokio::time::Instant, Listeners)>,
}

impl Server {
    async fn start(options: Options, mut sockets: GivenSockets) -> Result<Self, Failure> {
        let started = Instant::now();
        let concurrency = options.concurrency.map_or_else(worker::cores, |n| n.max(1) as usize);
        let catalog = Arc::new(Catalog::default());
        let page = catalog.new_page();
        let (mut logs, log_senders) = LogWriter::start(&catalog, concurrency)
            .map_err(failed("cannot start the log writer"))?;
        let (path, inline) = (options.config_path.clone(), options.config_yaml.clone());
        let mut configuration = Configuration::new(path, inline, &catalog, concurrency);
        let mut names = Names::new(Arc::clone(&page))
            .map_err(|error| Failure::Other(format!("cannot use the resolver: {error}")))?;
        let loaded = configuration.read(Cause::Start).map_err(Failure::Configuration)?;
        let draft = compile(&mut configuration, &loaded, &names, &mut sockets, &mut logs)
            .map_err(Failure::Configuration)?;
        warn(&draft.warnings);
        warn_of_unused(&sockets);
        let driver = choose_driver(options.driver)?;
        let (control, ends) = Control::new(&catalog, Arc::clone(&page), concurrency)
            .map_err(failed("cannot make the lines to the workers"))?;
        let (spin, drain_time) = (Duration::from_micros(options.spin_us), options.drain_time());
        let (name_caches, name_ends) =
            names::caches(&page, &control).map_err(failed("cannot make the lines for names"))?;
        let lines = (log_senders, name_ends);
        let workers = Workers::start(ends, lines, &catalog, driver, spin, drain_time)
            .map_err(failed("cannot start the workers"))?;
        let lifecycle = Lifecycle::default();
        let (sender, commands) = mpsc::channel(COMMANDS_MAX);
        let sources = watch::Sender::new(Arc::new(source_of(&loaded)));
        let admin = AdminState::new(
            Arc::clone(&catalog),
            control.subscribe(),
            sources.subscribe(),
            identity::about(&options, concurrency, started, &loaded),
            lifecycle.clone(),
            log_levels(&options),
            sender,
            initialized(&catalog, &page, started, concurrency),
        );
        let admin = Arc::new(admin.with_names(name_caches.clone()));
        let admin_address = open_admin(draft.admin, &options, &admin)?;
        names.follow(draft.dns, &draft.snapshot);
        let overload = watch_overload(&catalog, &page, &workers, draft.overload.as_ref());
        let secrets = Secrets::new(page, loaded, draft.watched, &draft.updates);
        let watch = watch_files(&options)?;
        let mut server = Self {
            options,
            concurrency,
            driver,
            catalog,
            configuration,
            sockets,
            control,
            workers,
            logs,
            names,
            name_caches,
            lifecycle,
            admin,
            admin_address,
            sources,
            commands,
            watch,
            secrets,
            overload,
            close_at: None,
        };
        server.warm_up().await;
        server.first_generation().await;
        Ok(server)
    }

    /// Waits until each name was asked for once.
    async fn warm_up(&mut self) {
        let deadline = tokio::time::Instant::now() + WARM_UP_MAX;
        while !self.names.are_warm() {
            match tokio::time::timeout_at(deadline, self.names.changed()).await {
                Ok(cluster) => drop(self.resolved(&cluster)),
                Err(_) => {
                    tracing::warn!(target: "main", "some names did not resolve in time");
                    break;
                }
            }
        }
        self.lifecycle.set(ServerState::Initializing);
    }

    async fn first_generation(&mut self) {
        let snapshot = self.configuration.compiler().current();
        self.publish(snapshot).await;
        self.lifecycle.set(ServerState::Live);
        for listener in &self.control.current().listeners {
            tracing::info!(target: "main", "listener '{}' on {}", listener.name, listener.address);
        }
        tracing::info!(target: "main", "serving");
    }

    async fn publish(&mut self, snapshot: Snapshot) {
        let published = self.control.publish(snapshot);
        self.name_caches.follow(&published);
        let generation = published.generation;
        if !self.control.settled(generation, ADOPTION_MAX).await {
            tracing::warn!(target: "main", generation, "some worker does not follow");
        }
    }

    /// Serves until told to stop.
    async fn serve(mut self) -> ExitCode {
        let mut signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => {
                logging::refuse(&format!("cannot listen for signals: {error}"));
                return ExitCode::FAILURE;
            }
        };
        let mut flush = tokio::time::interval(FLUSH_INTERVAL);
        loop {
            // Every wait here keeps what it knows outside of its future, since the others drop it.
            tokio::select! {
                _ = signals.term.recv() => return self.drain(&mut signals).await,
                _ = signals.int.recv() => return self.stop().await,
                _ = signals.hup.recv() => self.reload().await,
                _ = signals.usr1.recv() => self.reopen_logs(),
                Some(command) = self.commands.recv() => {
                    if command == admin::Command::Quit {
                        return self.stop().await;
                    }
                    self.obey(command);
                }
                () = changed(&mut self.watch) => self.reload().await,
                () = self.secrets.changed() => self.renew_secrets().await,
                cluster = self.names.changed() => self.follow_names(&cluster).await,
                () = self.overload.due() => {
                    let changed = self.overload.refresh();
                    self.tell_overload(changed);
                }
                which = at(self.close_at) => self.close_listeners(which),
                _ = flush.tick() => self.admin.flush(),
            }
        }
    }

    fn obey(&mut self, command: admin::Command) {
        match command {
            admin::Command::Quit => {}
            admin::Command::DrainListeners { graceful, skip_exit, inbound_only } => {
                let which = if inbound_only { Listeners::Inbound } else { Listeners::All };
                self.drain_listeners(graceful, skip_exit, which);
            }
            admin::Command::ReopenLogs => self.reopen_logs(),
            admin::Command::FailHealthChecks => {
                self.workers.tell(&self.control, Command::FailHealthChecks(true));
            }
            admin::Command::PassHealthChecks => {
                self.workers.tell(&self.control, Command::FailHealthChecks(false));
            }
        }
    }

    /// `/drain_listeners`: close them now, or ask connections to go and close after the drain time.
    fn drain_listeners(&mut self, graceful: bool, skip_exit: bool, which: Listeners) {
        if graceful {
            self.workers.tell(&self.control, Command::SoftDrain(which));
        }
        match (graceful, skip_exit) {
            (true, true) => {}
            (true, false) => {
                let end = tokio::time::Instant::now() + self.options.drain_time();
                self.close_at = Some((end, which));
            }
            (false, _) => self.close_listeners(which),
        }
    }

    fn close_listeners(&mut self, which: Listeners) {
        self.close_at = None;
        self.workers.tell(&self.control, Command::StopListening(which));
        stop_listening(&self.control.current(), which);
    }

    fn tell_overload(&self, changed: bool) {
        if changed {
            self.workers.tell(&self.control, Command::Overload);
        }
    }

    fn reopen_logs(&self) {
        if let Err(error) = self.logs.reopen() {
            tracing::error!(target: "main", %error, "cannot reopen the access logs");
        }
    }

    /// Reads the configuration anew. What is wrong is said, and the generation before stays.
    async fn reload(&mut self) {
        let loaded = match self.configuration.read(Cause::Start) {
            Ok(loaded) => loaded,
            Err(errors) => return refuse(&errors),
        };
        let (configuration, sockets) = (&mut self.configuration, &mut self.sockets);
        let draft = match compile(configuration, &loaded, &self.names, sockets, &mut self.logs) {
            Ok(draft) => draft,
            Err(errors) => return refuse(&errors),
        };
        warn(&draft.warnings);
        self.secrets.report(&draft.updates);
        let changed = self.overload.follow(draft.overload.as_ref());
        self.names.follow(draft.dns, &draft.snapshot);
        self.sources.send_replace(Arc::new(source_of(&loaded)));
        self.secrets.follow(loaded, draft.watched);
        self.publish(draft.snapshot).await;
        self.tell_overload(changed);
        let generation = self.control.current().generation;
        tracing::info!(target: "config", generation, "the configuration was reloaded");
    }

    /// Compiles the configuration in force with the certificates and keys as they are by now.
    async fn renew_secrets(&mut self) {
        let Some(loaded) = self.secrets.loaded() else { return };
        let endpoints = self.names.answers();
        let (sockets, sinks) = (&mut self.sockets, &mut Sinks(&mut self.logs));
        let compiled =
            self.configuration.compile_for(Cause::Secrets, loaded, endpoints, sockets, sinks);
        let draft = match compiled {
            Ok(draft) => draft,
            Err(errors) => return refuse(&errors),
        };
        self.secrets.report(&draft.updates);
        self.secrets.watch(draft.watched);
        if !secrets::differ(&self.control.current(), &draft.snapshot) {
            return;
        }
        self.publish(draft.snapshot).await;
        let generation = self.control.current().generation;
        tracing::info!(target: "config", generation, "certificates were renewed");
    }

    async fn follow_names(&mut self, cluster: &str) {
        if let Some(snapshot) = self.resolved(cluster) {
            self.publish(snapshot).await;
        }
    }

    /// The generation with the newest addresses of a cluster, if they are new.
    fn resolved(&mut self, cluster: &str) -> Option<Snapshot> {
        let answers = self.names.answers().of(cluster)?;
        self.configuration.compiler().with_endpoints(cluster, answers)
    }

    fn listener_address(&self, name: &str) -> Option<String> {
        let current = self.control.current();
        let found = current.listeners.iter().find(|listener| &*listener.name == name);
        found.map(|listener| listener.address.to_string())
    }
}

/// Nobody has to be told at first: workers do not accept before there is a generation.
fn watch_overload(
    catalog: &Arc<Catalog>,
    page: &Arc<Page>,
    workers: &Workers,
    policy: Option<&OverloadPolicy>,
) -> OverloadWatch {
    let (page, overload) = (Arc::clone(page), Arc::clone(workers.overload()));
    let give_back = ringway_runtime::memory::give_back;
    let mut watch = OverloadWatch::new(catalog, page, overload, give_back);
    watch.follow(policy);
    watch
}

/// The statistics of a server that has read its configuration.
fn initialized(
    catalog: &Catalog,
    page: &Arc<Page>,
    started: Instant,
    concurrency: usize,
) -> ServerStats {
    let number = cli::version_number();
    let stats = ServerStats::new(catalog, Arc::clone(page), started, concurrency, number);
    stats.initialized();
    stats
}

async fn changed(watch: &mut Option<FileWatch>) {
    match watch {
        Some(watch) => {
            watch.changed().await;
        }
        None => std::future::pending().await,
    }
}

async fn at<T>(when: Option<(tokio::time::Instant, T)>) -> T {
    match when {
        Some((when, what)) => {
            tokio::time::sleep_until(when).await;
            what
        }
        None => std::future::pending().await,
    }
}

fn warn(warnings: &[ConfigError]) {
    for warning in warnings {
        tracing::warn!(target: "config", "{warning}");
    }
}

/// The service manager listens there, and nobody accepts.
fn warn_of_unused(sockets: &GivenSockets) {
    for address in sockets.unused() {
        tracing::warn!(target: "main", "a socket was given on {address}, and no listener is there");
    }
}

fn refuse(errors: &[ConfigError]) {
    for error in errors {
        tracing::error!(target: "config", "{error}");
    }
    tracing::warn!(target: "config", "the configuration was not changed: {} errors", errors.len());
}

fn compile(
    configuration: &mut Configuration,
    loaded: &Loaded,
    names: &Names,
    sockets: &mut GivenSockets,
    logs: &mut LogWriter,
) -> Result<Draft, Vec<ConfigError>> {
    configuration.compile(loaded, names.answers(), sockets, &mut Sinks(logs))
}

/// Opens the sinks of access logs with the log writer.
struct Sinks<'l>(&'l mut LogWriter);

impl OpenSinks for Sinks<'_> {
    fn file(&mut self, path: &Path) -> io::Result<SinkId> {
        self.0.open(&LogTarget::File(path.to_owned()))
    }

    fn stdout(&mut self) -> io::Result<SinkId> {
        self.0.open(&LogTarget::Stdout)
    }

    fn stderr(&mut self) -> io::Result<SinkId> {
        self.0.open(&LogTarget::Stderr)
    }
}

/// The driver, said in one line at start.
fn choose_driver(choice: DriverChoice) -> Result<Driver, Failure> {
    let (driver, why) = match choice {
        DriverChoice::Epoll => (Driver::Epoll, "it was asked for".to_owned()),
        DriverChoice::Monoio => (Driver::Monoio, "it was asked for".to_owned()),
        DriverChoice::Auto => worker::detect(),
        DriverChoice::IoUring => match worker::detect() {
            (Driver::Epoll, why) => return Err(Failure::Other(why)),
            found => found,
        },
    };
    tracing::info!(target: "main", "workers run on {driver}: {why}");
    Ok(driver)
}

fn open_admin(
    settings: Option<Admin>,
    options: &Options,
    state: &Arc<AdminState>,
) -> Result<String, Failure> {
    let Some(settings) = settings else { return Ok(String::new()) };
    let Some(address) = settings.address else { return Ok(String::new()) };
    let address = match address {
        Address::Ip(address) => AdminAddress::Tcp(address),
        Address::Pipe(path) => AdminAddress::Pipe(PathBuf::clone(&path)),
        // Refused when the configuration was compiled.
        Address::Internal(_) => return Ok(String::new()),
    };
    let other = |error: admin::AdminError| Failure::Other(error.to_string());
    let server = AdminServer::bind(&address).map_err(other)?.allowing(settings.allow_paths);
    if let Some(path) = &options.admin_address_path {
        server.write_address(path).map_err(other)?;
    }
    let bound = server.address().to_owned();
    tracing::info!(target: "main", "admin on {bound}");
    tokio::spawn(server.run(Arc::clone(state), settings.limits));
    Ok(bound)
}

fn watch_files(options: &Options) -> Result<Option<FileWatch>, Failure> {
    let Some(path) = options.config_path.as_ref().filter(|_| options.watch) else {
        return Ok(None);
    };
    let watch = FileWatch::new([path.clone()])
        .map_err(|error| Failure::Other(format!("cannot watch '{}': {error}", path.display())))?;
    Ok(Some(watch))
}

fn source_of(loaded: &Loaded) -> ConfigSource {
    let text = print::compact(&loaded.message);
    // What this program prints as JSON, it reads as JSON.
    ConfigSource::new(&text, SystemTime::now()).unwrap_or_default()
}

fn log_levels(options: &Options) -> LogLevels {
    let level = logging::parse_level(&options.log_level).unwrap_or(admin::Level::Info);
    LogLevels::new(admin::LOGGERS, level, Box::new(logging::set_levels))
}
