//! `/server_info`, `/hot_restart_version`.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::query::Request;
use super::reply::Reply;
use super::state::AdminState;

/// The command line in effect (Envoy `admin.v3.CommandLineOptions`), in the order of the message.
/// Durations are texts such as `600s`, see [`seconds`].
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "the fields carry the names of Envoy's options, documented there")]
pub struct CommandLine {
    pub base_id: String,
    pub concurrency: u32,
    pub config_path: String,
    pub config_yaml: String,
    pub allow_unknown_static_fields: bool,
    pub admin_address_path: String,
    pub local_address_ip_version: String,
    pub log_level: String,
    pub component_log_level: String,
    pub log_format: String,
    pub log_path: String,
    pub service_cluster: String,
    pub service_node: String,
    pub service_zone: String,
    pub file_flush_interval: String,
    pub drain_time: String,
    pub parent_shutdown_time: String,
    pub mode: String,
    pub disable_hot_restart: bool,
    pub enable_mutex_tracing: bool,
    pub restart_epoch: u32,
    pub cpuset_threads: bool,
    pub reject_unknown_dynamic_fields: bool,
    pub log_format_escaped: bool,
    pub disabled_extensions: Vec<String>,
    pub ignore_unknown_dynamic_fields: bool,
    pub use_dynamic_base_id: bool,
    pub base_id_path: String,
    pub drain_strategy: String,
    pub enable_fine_grain_logging: bool,
    pub socket_path: String,
    pub socket_mode: u32,
    pub enable_core_dump: bool,
    pub stats_tag: Vec<String>,
    pub skip_hot_restart_on_no_parent: bool,
    pub skip_hot_restart_parent_stats: bool,
    pub skip_deprecated_logs: bool,
    pub file_flush_min_size: u32,
    pub log_stacktrace_single_entry: bool,
}

impl Default for CommandLine {
    /// Envoy's defaults.
    fn default() -> Self {
        Self {
            base_id: "0".to_owned(),
            concurrency: 0,
            config_path: String::new(),
            config_yaml: String::new(),
            allow_unknown_static_fields: false,
            admin_address_path: String::new(),
            local_address_ip_version: "v4".to_owned(),
            log_level: "info".to_owned(),
            component_log_level: String::new(),
            log_format: "[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v".to_owned(),
            log_path: String::new(),
            service_cluster: String::new(),
            service_node: String::new(),
            service_zone: String::new(),
            file_flush_interval: seconds(Duration::from_secs(10)),
            drain_time: seconds(Duration::from_secs(600)),
            parent_shutdown_time: seconds(Duration::from_secs(900)),
            mode: "Serve".to_owned(),
            disable_hot_restart: true,
            enable_mutex_tracing: false,
            restart_epoch: 0,
            cpuset_threads: false,
            reject_unknown_dynamic_fields: false,
            log_format_escaped: false,
            disabled_extensions: Vec::new(),
            ignore_unknown_dynamic_fields: false,
            use_dynamic_base_id: false,
            base_id_path: String::new(),
            drain_strategy: "Gradual".to_owned(),
            enable_fine_grain_logging: false,
            socket_path: "@envoy_domain_socket".to_owned(),
            socket_mode: 0,
            enable_core_dump: false,
            stats_tag: Vec::new(),
            skip_hot_restart_on_no_parent: false,
            skip_hot_restart_parent_stats: false,
            skip_deprecated_logs: false,
            file_flush_min_size: 0,
            log_stacktrace_single_entry: false,
        }
    }
}

/// A duration as proto-JSON writes it: `600s`, `0.250s`.
pub fn seconds(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        millis => format!("{}.{millis:03}s", duration.as_secs()),
    }
}

/// There is no hot restart yet: what Envoy says with `--disable-hot-restart`.
const HOT_RESTART_VERSION: &str = "disabled";

/// `/hot_restart_version`
pub(crate) fn hot_restart_version(_: &AdminState, _: &Request) -> Reply {
    Reply::text(HOT_RESTART_VERSION)
}

/// `/server_info`
pub(crate) fn server_info(state: &AdminState, _: &Request) -> Reply {
    let about = &state.about;
    let uptime = format!("{}s", about.started.elapsed().as_secs());
    Reply::pretty(&json!({
        "version": about.version,
        "state": state.lifecycle.state().name(),
        "uptime_current_epoch": uptime,
        "uptime_all_epochs": uptime,
        "hot_restart_version": HOT_RESTART_VERSION,
        "command_line_options": about.command_line,
        "node": about.node,
    }))
}
