//! The process: workers, control thread, and the order in which they come and go.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ringway_bridge::stats::Catalog;
use ringway_config::compile::{Admin, BindSockets, Draft, OpenSinks};
use ringway_config::{ConfigError, Loaded, print};
use ringway_control::ServerStats;
use ringway_control::admin::{
    self, About, AdminAddress, AdminServer, AdminState, ConfigSource, Lifecycle, LogLevels,
    ServerState,
};
use ringway_control::log_writer::{LogTarget, LogWriter};
use ringway_control::publish::Control;
use ringway_control::watch::FileWatch;
use ringway_model::access_log::SinkId;
use ringway_model::address::Address;
use ringway_model::snapshot::Snapshot;
use ringway_proxy::worker::Command;
use ringway_runtime::worker::{self, Driver};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::cli::{self, DriverChoice, Mode, Options};
use crate::configuration::Configuration;
use crate::demo::{self, DemoArgs};
use crate::names::Names;
use crate::workers::Workers;
use crate::{logging, validate};

/// How long start-up waits for names before it serves without them (Envoy waits for ever; a name
/// that does not resolve must not keep the others down).
const WARM_UP_MAX: Duration = Duration::from_secs(15);
/// How long workers may take to follow a generation before that is worth a warning.
const ADOPTION_MAX: Duration = Duration::from_secs(5);
/// `stats_flush_interval`.
const FLUSH_INTERVAL: Duration = Duration::from_secs(5);
/// How often a draining process looks whether its workers are done.
const DRAIN_POLL: Duration = Duration::from_millis(20);
/// Admin commands that may wait.
const COMMANDS_MAX: usize = 16;
/// `server.version`: Envoy shows the first bytes of its revision.
const VERSION_NUMBER: u32 = 0;

/// Serves the configuration of the command line.
pub(crate) fn run(options: &Options) -> ExitCode {
    in_runtime(async {
        match Server::start(options.clone()).await {
            Ok(server) if options.mode == Mode::InitOnly => server.stop(),
            Ok(server) => server.serve().await,
            Err(failure) => failure.report(),
        }
    })
}

/// Serves the demo and shows how it goes.
pub(crate) fn demo(args: &DemoArgs) -> ExitCode {
    let mut options = Options::for_configuration(demo::configuration(args), args.concurrency);
    options.log_level = "warning".to_owned();
    if let Err(message) = crate::prepare(&options) {
        eprintln!("{message}");
        return ExitCode::FAILURE;
    }
    in_runtime(async {
        match Server::start(options).await {
            Ok(server) => {
                let listen = server.listener_address("demo").unwrap_or_default();
                let admin = server.admin_address.clone();
                demo::introduce(&listen, &admin, server.concurrency, &server.driver.to_string());
                let catalog = Arc::clone(&server.catalog);
                tokio::spawn(demo::watch(catalog, server.concurrency));
                server.serve().await
            }
            Err(failure) => failure.report(),
        }
    })
}

fn in_runtime(main: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(main),
        Err(error) => {
            eprintln!("cannot start the control thread: {error}");
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
    fn report(self) -> ExitCode {
        match self {
            Self::Configuration(errors) => validate::report(&errors),
            Self::Other(message) => eprintln!("{message}"),
        }
        ExitCode::FAILURE
    }
}

fn failed(what: &str) -> impl Fn(io::Error) -> Failure + '_ {
    move |error| Failure::Other(format!("{what}: {error}"))
}

/// The running process.
struct Server {
    options: Options,
    concurrency: usize,
    driver: Driver,
    catalog: Arc<Catalog>,
    configuration: Configuration,
    control: Control,
    workers: Workers,
    logs: LogWriter,
    names: Names,
    lifecycle: Lifecycle,
    admin: Arc<AdminState>,
    admin_address: String,
    sources: watch::Sender<Arc<ConfigSource>>,
    commands: mpsc::Receiver<admin::Command>,
    watch: Option<FileWatch>,
}

impl Server {
    async fn start(options: Options) -> Result<Self, Failure> {
        let started = Instant::now();
        let concurrency = options.concurrency.map_or_else(worker::cores, |n| n.max(1) as usize);
        let driver = choose_driver(options.driver)?;
        let catalog = Arc::new(Catalog::default());
        let page = catalog.new_page();
        let (mut logs, log_senders) = LogWriter::start(&catalog, concurrency)
            .map_err(failed("cannot start the log writer"))?;
        let (path, inline) = (options.config_path.clone(), options.config_yaml.clone());
        let mut configuration = Configuration::new(path, inline, &catalog, concurrency);
        let mut names = Names::new(Arc::clone(&page))
            .map_err(|error| Failure::Other(format!("cannot use the resolver: {error}")))?;
        let loaded = configuration.read().map_err(Failure::Configuration)?;
        let draft = compile(&mut configuration, &loaded, &names, &mut logs)
            .map_err(Failure::Configuration)?;
        let (control, ends) = Control::new(&catalog, Arc::clone(&page), concurrency)
            .map_err(failed("cannot make the lines to the workers"))?;
        let workers = Workers::start(
            ends,
            log_senders,
            &catalog,
            driver,
            Duration::from_micros(options.spin_us),
        )
        .map_err(failed("cannot start the workers"))?;
        let lifecycle = Lifecycle::default();
        let (sender, commands) = mpsc::channel(COMMANDS_MAX);
        let sources = watch::Sender::new(Arc::new(source_of(&loaded)));
        let server_stats =
            ServerStats::new(&catalog, Arc::clone(&page), started, concurrency, VERSION_NUMBER);
        server_stats.initialized();
        let admin = Arc::new(AdminState::new(
            Arc::clone(&catalog),
            control.subscribe(),
            sources.subscribe(),
            about(&options, concurrency, started, &loaded),
            lifecycle.clone(),
            log_levels(&options),
            sender,
            server_stats,
        ));
        let admin_address = open_admin(draft.admin.as_ref(), &options, &admin)?;
        names.follow(draft.dns, &draft.snapshot);
        let watch = watch_files(&options)?;
        let mut server = Self {
            options,
            concurrency,
            driver,
            catalog,
            configuration,
            control,
            workers,
            logs,
            names,
            lifecycle,
            admin,
            admin_address,
            sources,
            commands,
            watch,
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
        let generation = self.control.publish(snapshot).generation;
        if !self.control.settled(generation, ADOPTION_MAX).await {
            tracing::warn!(target: "main", generation, "some worker does not follow");
        }
    }

    /// Serves until told to stop.
    async fn serve(mut self) -> ExitCode {
        let (Ok(mut term), Ok(mut int), Ok(mut hup), Ok(mut usr1)) = (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
            signal(SignalKind::hangup()),
            signal(SignalKind::user_defined1()),
        ) else {
            eprintln!("cannot listen for signals");
            return ExitCode::FAILURE;
        };
        let mut flush = tokio::time::interval(FLUSH_INTERVAL);
        loop {
            tokio::select! {
                _ = term.recv() => return self.drain(&mut term, &mut int).await,
                _ = int.recv() => return self.stop(),
                _ = hup.recv() => self.reload().await,
                _ = usr1.recv() => self.reopen_logs(),
                Some(command) = self.commands.recv() => {
                    if command == admin::Command::Quit {
                        return self.stop();
                    }
                    self.obey(command);
                }
                () = changed(&mut self.watch) => self.reload().await,
                cluster = self.names.changed() => self.follow_names(&cluster).await,
                _ = flush.tick() => self.admin.flush(),
            }
        }
    }

    fn obey(&mut self, command: admin::Command) {
        match command {
            admin::Command::Quit => {}
            admin::Command::DrainListeners { graceful, skip_exit, .. } => {
                if graceful {
                    self.workers.tell(&self.control, Command::SoftDrain(true));
                }
                if !skip_exit {
                    self.workers.tell(&self.control, Command::StopListening);
                }
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

    fn reopen_logs(&self) {
        if let Err(error) = self.logs.reopen() {
            tracing::error!(target: "main", %error, "cannot reopen the access logs");
        }
    }

    /// Reads the configuration anew. What is wrong is said, and the generation before stays.
    async fn reload(&mut self) {
        let loaded = match self.configuration.read() {
            Ok(loaded) => loaded,
            Err(errors) => return refuse(&errors),
        };
        let draft = match compile(&mut self.configuration, &loaded, &self.names, &mut self.logs) {
            Ok(draft) => draft,
            Err(errors) => return refuse(&errors),
        };
        self.names.follow(draft.dns, &draft.snapshot);
        self.sources.send_replace(Arc::new(source_of(&loaded)));
        self.publish(draft.snapshot).await;
        let generation = self.control.current().generation;
        tracing::info!(target: "config", generation, "the configuration was reloaded");
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

    /// SIGTERM: end without losing a request, within the drain time.
    async fn drain(mut self, term: &mut Signal, int: &mut Signal) -> ExitCode {
        tracing::info!(target: "main", "draining for up to {} s", self.options.drain_time_s);
        self.workers.tell(&self.control, Command::Drain);
        let limit = Duration::from_secs(u64::from(self.options.drain_time_s));
        let drained = async {
            while !self.workers.are_drained() {
                tokio::time::sleep(DRAIN_POLL).await;
            }
        };
        tokio::select! {
            _ = term.recv() => tracing::warn!(target: "main", "a second signal: ending at once"),
            _ = int.recv() => tracing::warn!(target: "main", "a second signal: ending at once"),
            result = tokio::time::timeout(limit, drained) => if result.is_err() {
                tracing::warn!(target: "main", "the drain time is over");
            },
        }
        self.stop()
    }

    /// Ends now.
    fn stop(self) -> ExitCode {
        tracing::info!(target: "main", "exiting");
        self.workers.tell(&self.control, Command::Stop);
        self.workers.join();
        // Writes what the workers handed over last.
        drop(self.logs);
        ExitCode::SUCCESS
    }

    fn listener_address(&self, name: &str) -> Option<String> {
        let current = self.control.current();
        let found = current.listeners.iter().find(|listener| &*listener.name == name);
        found.map(|listener| listener.address.to_string())
    }
}

async fn changed(watch: &mut Option<FileWatch>) {
    match watch {
        Some(watch) => {
            watch.changed().await;
        }
        None => std::future::pending().await,
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
    logs: &mut LogWriter,
) -> Result<Draft, Vec<ConfigError>> {
    configuration.compile(loaded, names.answers(), &mut BindSockets, &mut Sinks(logs))
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
    settings: Option<&Admin>,
    options: &Options,
    state: &Arc<AdminState>,
) -> Result<String, Failure> {
    let Some(settings) = settings else { return Ok(String::new()) };
    let Some(address) = &settings.address else { return Ok(String::new()) };
    let address = match address {
        Address::Ip(address) => AdminAddress::Tcp(*address),
        Address::Pipe(path) => AdminAddress::Pipe(PathBuf::clone(path)),
    };
    let other = |error: admin::AdminError| Failure::Other(error.to_string());
    let server = AdminServer::bind(&address).map_err(other)?;
    if let Some(path) = &options.admin_address_path {
        server.write_address(path).map_err(other)?;
    }
    let bound = server.address().to_owned();
    tracing::info!(target: "main", "admin on {bound}");
    tokio::spawn(server.run(Arc::clone(state)));
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

fn about(options: &Options, concurrency: usize, started: Instant, loaded: &Loaded) -> About {
    let node = loaded.bootstrap.node.clone().unwrap_or_default();
    let or = |flag: &String, own: String| if flag.is_empty() { own } else { flag.clone() };
    About {
        version: cli::version(),
        started,
        command_line: options.command_line(concurrency),
        node: serde_json::json!({
            "id": or(&options.service_node, node.id),
            "cluster": or(&options.service_cluster, node.cluster),
            "user_agent_name": "ringway",
        }),
    }
}
