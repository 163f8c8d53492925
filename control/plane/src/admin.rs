//! The admin server: Envoy's operator interface (`/ready`, `/stats`, `/clusters`, ...).
//!
//! It owns the HTTP server, the table of commands and the rendering of replies. What it shows
//! comes from [`AdminState`]; what a command changes outside of this module goes to the
//! composition root as a [`Command`].

mod clusters;
pub(crate) mod commands;
mod config_dump;
mod diagnostics;
mod lifecycle;
mod listeners;
mod logging;
mod memory;
mod query;
mod reply;
mod server;
mod server_info;
mod state;
mod stats;

pub use config_dump::ConfigSource;
pub use logging::{LOGGERS, Level, LogLevels};
pub use server::{AdminAddress, AdminError, AdminServer};
pub use server_info::{CommandLine, seconds};
pub use state::{About, AdminState, Command, Lifecycle, ServerState};
