//! What the admin server knows, and whom it tells.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ringway_bridge::stats::Catalog;
use ringway_model::snapshot::Snapshot;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::config_dump::ConfigSource;
use super::logging::LogLevels;
use super::reply::Reply;
use super::server_info::CommandLine;
use crate::dns::NameCaches;
use crate::server_stats::ServerStats;
use crate::telemetry::{Reading, Telemetry};

/// The state of the server (Envoy `admin.v3.ServerInfo.State`, whose numbers these are).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    /// All listeners are up.
    Live = 0,
    /// Health checks fail, because an operator said so.
    Draining = 1,
    /// Clusters are not ready yet.
    PreInitializing = 2,
    /// Clusters are ready, listeners are not.
    Initializing = 3,
}

impl ServerState {
    /// As Envoy spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "LIVE",
            Self::Draining => "DRAINING",
            Self::PreInitializing => "PRE_INITIALIZING",
            Self::Initializing => "INITIALIZING",
        }
    }
}

/// Where the server stands between start and end; all clones are one.
#[derive(Debug, Clone)]
pub struct Lifecycle(Arc<watch::Sender<Stage>>);

#[derive(Debug, Clone, Copy)]
struct Stage {
    state: ServerState,
    failing: bool,
}

impl Default for Lifecycle {
    fn default() -> Self {
        let stage = Stage { state: ServerState::PreInitializing, failing: false };
        Self(Arc::new(watch::Sender::new(stage)))
    }
}

impl Lifecycle {
    /// Start-up goes on.
    pub fn set(&self, state: ServerState) {
        self.0.send_modify(|stage| stage.state = state);
    }

    /// `/healthcheck/fail` and `/healthcheck/ok`.
    pub fn fail_health_checks(&self, failing: bool) {
        self.0.send_modify(|stage| stage.failing = failing);
    }

    /// What `/ready` shows: draining while health checks are made to fail.
    pub fn state(&self) -> ServerState {
        let stage = *self.0.borrow();
        if stage.failing { ServerState::Draining } else { stage.state }
    }
}

/// What an operator asked for that concerns more than the control thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// `/quitquitquit`: end the process.
    Quit,
    /// `/drain_listeners`.
    DrainListeners {
        /// Drain connections for the drain time before the listeners close.
        graceful: bool,
        /// Never close the listeners.
        skip_exit: bool,
        /// Only listeners with `traffic_direction: INBOUND`.
        inbound_only: bool,
    },
    /// `/reopen_logs`, the same as SIGUSR1.
    ReopenLogs,
    /// `/healthcheck/fail`: workers close connections after a response.
    FailHealthChecks,
    /// `/healthcheck/ok`.
    PassHealthChecks,
}

/// What does not change while the process lives.
#[derive(Debug, Clone)]
pub struct About {
    /// As `/server_info` shows it: `revision/version/status/build/ssl`.
    pub version: String,
    /// When the process started.
    pub started: Instant,
    /// The command line in effect.
    pub command_line: CommandLine,
    /// `Bootstrap.node` as proto-JSON.
    pub node: Value,
}

/// Everything that replies are made of. It lives on the control thread; the locks are never
/// waited for.
#[derive(Debug)]
pub struct AdminState {
    /// All statistics.
    pub catalog: Arc<Catalog>,
    /// The generation that was published last.
    pub snapshot: watch::Receiver<Arc<Snapshot>>,
    /// The configuration that it was compiled from.
    pub config: watch::Receiver<Arc<ConfigSource>>,
    /// Version, start, command line.
    pub about: About,
    /// Start-up and health.
    pub lifecycle: Lifecycle,
    /// `/logging`.
    pub log_levels: LogLevels,
    /// Read by the composition root; a full channel refuses the command.
    pub commands: mpsc::Sender<Command>,
    telemetry: Mutex<(Telemetry, ServerStats)>,
    /// Names that came with requests, where there are any.
    pub(crate) names: Option<NameCaches>,
}

impl AdminState {
    /// Puts the parts together. `server_stats` must write to a page of the control thread.
    #[allow(clippy::too_many_arguments, reason = "each is one source of replies, named apart")]
    pub fn new(
        catalog: Arc<Catalog>,
        snapshot: watch::Receiver<Arc<Snapshot>>,
        config: watch::Receiver<Arc<ConfigSource>>,
        about: About,
        lifecycle: Lifecycle,
        log_levels: LogLevels,
        commands: mpsc::Sender<Command>,
        server_stats: ServerStats,
    ) -> Self {
        let telemetry = Mutex::new((Telemetry::new(Arc::clone(&catalog)), server_stats));
        let names = None;
        Self { catalog, snapshot, config, about, lifecycle, log_levels, commands, telemetry, names }
    }

    /// The same, showing these names among the endpoints of clusters.
    #[must_use]
    pub fn with_names(self, names: NameCaches) -> Self {
        Self { names: Some(names), ..self }
    }

    /// Ends a flush interval.
    pub fn flush(&self) {
        self.refresh().0.flush();
    }

    /// All statistics now.
    pub(crate) fn read_stats(&self) -> Reading {
        let mut guard = self.refresh();
        let mut reading = guard.0.read();
        guard.1.count_connections(&mut reading);
        reading
    }

    /// Brings the statistics of the server up to date.
    fn refresh(&self) -> MutexGuard<'_, (Telemetry, ServerStats)> {
        // Both halves are valid at every point where a panic could have left them.
        let mut guard = self.telemetry.lock().unwrap_or_else(PoisonError::into_inner);
        guard.1.refresh(self.lifecycle.state(), &self.catalog, &self.snapshot.borrow());
        guard
    }

    /// Passes a command on.
    pub(crate) fn order(&self, command: Command) -> Reply {
        match self.commands.try_send(command) {
            Ok(()) => Reply::ok(),
            Err(_) => Reply::error(
                hyper::StatusCode::SERVICE_UNAVAILABLE,
                "the server is busy with earlier commands\n",
            ),
        }
    }
}
