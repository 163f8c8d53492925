//! The command line: Envoy's, and subcommands of Ringway's own.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ringway_control::admin::{CommandLine, seconds};

/// Ringway: a proxy that reads Envoy's configuration and runs one io_uring loop per core.
#[derive(Debug, Parser)]
#[command(name = "ringway", disable_version_flag = true, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    /// Envoy's options.
    #[command(flatten)]
    pub(crate) options: Options,
    /// Subcommands of Ringway's own.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What Ringway does beside serving a configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start with two small origins and an embedded configuration, and watch it work.
    Demo(crate::demo::DemoArgs),
    /// Check configuration files and report every error in them.
    Validate {
        /// Files to check.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Check this host against what a busy proxy needs.
    Doctor(ringway_tuning::DoctorArgs),
}

/// The level of the program's own log.
pub(crate) const LOG_LEVELS: &str = "trace, debug, info, warning|warn, error, critical, off";

/// Envoy's options, under Envoy's names.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Configuration file (.yaml, .yml or .json).
    #[arg(short = 'c', long, value_name = "FILE")]
    pub(crate) config_path: Option<PathBuf>,
    /// Configuration as YAML, merged over the file.
    #[arg(long, value_name = "YAML")]
    pub(crate) config_yaml: Option<String>,
    /// serve, validate (check the configuration and exit) or init_only.
    #[arg(long, value_enum, default_value_t = Mode::Serve)]
    pub(crate) mode: Mode,
    /// Number of workers; by default one per core that the process may use.
    #[arg(long, value_name = "N")]
    pub(crate) concurrency: Option<u32>,
    /// Take the default number of workers from the cpuset (it always is).
    #[arg(long)]
    pub(crate) cpuset_threads: bool,
    /// Follow changes of the configuration file (SIGHUP does it once): when it has been quiet for
    /// 100 ms, and at the latest 2 s after a change, however busy its folder is.
    #[arg(long)]
    pub(crate) watch: bool,
    /// What drives the workers' IO: auto takes io_uring where the host allows it.
    #[arg(long, value_enum, default_value_t = DriverChoice::Auto)]
    pub(crate) driver: DriverChoice,
    /// How long an idle worker looks for work before it sleeps, in microseconds; trades CPU for
    /// latency at low concurrency (50 covers most wake-ups).
    #[arg(long, default_value_t = 0, value_name = "US")]
    pub(crate) spin_us: u64,
    /// Distinguishes several Ringways on one host: each number runs once.
    #[arg(long, default_value_t = 0)]
    pub(crate) base_id: u32,
    /// Choose a free base id; --base-id-path tells which.
    #[arg(long)]
    pub(crate) use_dynamic_base_id: bool,
    /// Write the base id to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) base_id_path: Option<PathBuf>,
    /// Take no base id: any number of processes may run beside each other. (Hot restart itself is
    /// not built yet.)
    #[arg(long)]
    pub(crate) disable_hot_restart: bool,
    /// Epoch of hot restart; only 0 is supported yet.
    #[arg(long, default_value_t = 0)]
    pub(crate) restart_epoch: u32,
    /// Print the version of the hot restart protocol and exit.
    #[arg(long)]
    pub(crate) hot_restart_version: bool,
    /// trace, debug, info, warning, error, critical or off.
    #[arg(short = 'l', long, default_value = "info", value_name = "LEVEL")]
    pub(crate) log_level: String,
    /// Levels per component: upstream:debug,config:trace
    #[arg(long, default_value = "", value_name = "LIST")]
    pub(crate) component_log_level: String,
    /// spdlog pattern, or `json` for one JSON object per line.
    #[arg(long, default_value = crate::logging::DEFAULT_PATTERN, value_name = "PATTERN")]
    pub(crate) log_format: String,
    /// Escape line ends in log messages.
    #[arg(long)]
    pub(crate) log_format_escaped: bool,
    /// Log to this file instead of the standard error.
    #[arg(long, value_name = "FILE")]
    pub(crate) log_path: Option<PathBuf>,
    /// Node id.
    #[arg(long, default_value = "")]
    pub(crate) service_node: String,
    /// Cluster of the node.
    #[arg(long, default_value = "")]
    pub(crate) service_cluster: String,
    /// Zone of the node.
    #[arg(long, default_value = "")]
    pub(crate) service_zone: String,
    /// How long connections may take to end when draining, in seconds.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub(crate) drain_time_s: u32,
    /// gradual or immediate.
    #[arg(long, value_enum, default_value_t = DrainStrategy::Gradual)]
    pub(crate) drain_strategy: DrainStrategy,
    /// Hot restart: when the parent ends, in seconds.
    #[arg(long, default_value_t = 900, value_name = "SECONDS")]
    pub(crate) parent_shutdown_time_s: u32,
    /// Write the address of the admin server to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_address_path: Option<PathBuf>,
    /// v4 or v6.
    #[arg(long, default_value = "v4")]
    pub(crate) local_address_ip_version: String,
    /// Log files are flushed at least this often, in milliseconds.
    #[arg(long, default_value_t = 10_000, value_name = "MS")]
    pub(crate) file_flush_interval_msec: u32,
    /// Log files are flushed when this much waits, in KiB.
    #[arg(long, default_value_t = 64, value_name = "KIB")]
    pub(crate) file_flush_min_size_kb: u32,
    /// Do not warn of deprecated fields.
    #[arg(long)]
    pub(crate) skip_deprecated_logs: bool,
    /// Print the version and exit.
    #[arg(long)]
    pub(crate) version: bool,
}

impl Options {
    /// The defaults with this configuration.
    pub(crate) fn for_configuration(yaml: String, concurrency: Option<u32>) -> Self {
        let cli = Cli::parse_from(["ringway"]);
        Self { config_yaml: Some(yaml), concurrency, ..cli.options }
    }

    /// Whether there is nothing to serve.
    pub(crate) fn has_no_configuration(&self) -> bool {
        let none = |path: &PathBuf| path.as_os_str().is_empty();
        self.config_path.as_ref().is_none_or(none)
            && self.config_yaml.as_ref().is_none_or(String::is_empty)
    }

    /// The configuration file as the user named it; empty when there is none.
    pub(crate) fn config_name(&self) -> String {
        self.config_path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
    }

    /// `--drain-time-s`.
    pub(crate) fn drain_time(&self) -> Duration {
        Duration::from_secs(self.drain_time_s.into())
    }

    /// As `/server_info` shows them.
    pub(crate) fn command_line(&self, concurrency: usize) -> CommandLine {
        let text = |path: &Option<PathBuf>| {
            path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
        };
        CommandLine {
            base_id: self.base_id.to_string(),
            concurrency: u32::try_from(concurrency).unwrap_or(u32::MAX),
            config_path: text(&self.config_path),
            config_yaml: self.config_yaml.clone().unwrap_or_default(),
            admin_address_path: text(&self.admin_address_path),
            local_address_ip_version: self.local_address_ip_version.clone(),
            log_level: self.log_level.clone(),
            component_log_level: self.component_log_level.clone(),
            log_format: self.log_format.clone(),
            log_path: text(&self.log_path),
            service_cluster: self.service_cluster.clone(),
            service_node: self.service_node.clone(),
            service_zone: self.service_zone.clone(),
            file_flush_interval: seconds(Duration::from_millis(
                self.file_flush_interval_msec.into(),
            )),
            drain_time: seconds(self.drain_time()),
            parent_shutdown_time: seconds(Duration::from_secs(self.parent_shutdown_time_s.into())),
            mode: format!("{:?}", self.mode),
            disable_hot_restart: self.disable_hot_restart,
            cpuset_threads: self.cpuset_threads,
            log_format_escaped: self.log_format_escaped,
            use_dynamic_base_id: self.use_dynamic_base_id,
            base_id_path: text(&self.base_id_path),
            drain_strategy: format!("{:?}", self.drain_strategy),
            skip_deprecated_logs: self.skip_deprecated_logs,
            file_flush_min_size: self.file_flush_min_size_kb,
            ..CommandLine::default()
        }
    }
}

/// `--mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// Serve until told to stop.
    Serve,
    /// Check the configuration.
    Validate,
    /// Initialise as if to serve, and exit.
    InitOnly,
}

/// `--drain-strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DrainStrategy {
    /// More and more connections are asked to go, over the drain time.
    Gradual,
    /// All of them at once.
    Immediate,
}

/// `--driver`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum DriverChoice {
    /// io_uring, or epoll where it is refused.
    Auto,
    /// io_uring or nothing.
    IoUring,
    /// io_uring as monoio drives it: to compare.
    Monoio,
    /// epoll.
    Epoll,
}

/// What `--version` prints, as Envoy does: revision, version, state of the sources, build, TLS
/// library.
pub(crate) fn version() -> String {
    let build = if cfg!(debug_assertions) { "DEBUG" } else { "RELEASE" };
    let (version, sources) = (env!("CARGO_PKG_VERSION"), env!("RINGWAY_SOURCES"));
    format!("{REVISION}/{version}/{sources}/{build}/none")
}

/// The commit that this was built from (see `build.rs`).
const REVISION: &str = env!("RINGWAY_REVISION");

/// `server.version`: the first three bytes of the revision, as in Envoy.
pub(crate) fn version_number() -> u32 {
    let digits = REVISION.get(..6).unwrap_or_default();
    u32::from_str_radix(digits, 16).unwrap_or(0)
}
