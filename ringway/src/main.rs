//! Ringway, the program: it reads the command line, puts the rooms of the house together, and
//! runs them.

#![forbid(unsafe_code)]

mod base_id;
mod builtins;
mod cli;
mod configuration;
mod demo;
mod doctor;
mod end;
mod identity;
mod logging;
mod names;
mod secrets;
mod serve;
mod validate;
mod workers;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use cli::{Cli, Command, Mode, Options};

/// Envoy's words, which name its own API too.
const NO_CONFIGURATION: &str = "At least one of --config-path or --config-yaml or \
     Options::configProto() should be non-empty";

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    match cli.command {
        Some(Command::Demo(args)) => serve::demo(&args),
        Some(Command::Validate { files }) => validate::files(&files),
        Some(Command::Doctor(args)) => doctor::main(&args),
        None => envoy(&cli.options),
    }
}

/// Envoy's exit codes: 0 for `--help`, 1 for a command line that cannot be read.
fn explain(error: &clap::Error) -> ExitCode {
    // There is nobody to tell when the terminal is gone.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// The process as Envoy's command line asks for it.
fn envoy(options: &Options) -> ExitCode {
    if options.version {
        let name = std::env::args().next().unwrap_or_else(|| "ringway".to_owned());
        println!("\n{name}  version: {}\n", cli::version());
        return ExitCode::SUCCESS;
    }
    if options.hot_restart_version {
        println!("disabled");
        return ExitCode::SUCCESS;
    }
    if let Err(message) = prepare(options) {
        eprintln!("{message}");
        return ExitCode::FAILURE;
    }
    if options.has_no_configuration() {
        let why = format!("error initializing configuration '': {NO_CONFIGURATION}");
        logging::refuse(&why);
        return ExitCode::FAILURE;
    }
    match options.mode {
        Mode::Validate => validate::options(options),
        Mode::Serve | Mode::InitOnly => serve::run(options),
    }
}

/// What must be right before anything starts: options that cannot be honoured are refused.
fn prepare(options: &Options) -> Result<(), String> {
    if options.restart_epoch != 0 {
        return Err("not supported yet: --restart-epoch (hot restart)".to_owned());
    }
    let level = logging::parse_level(&options.log_level)?;
    let components = logging::parse_components(&options.component_log_level)?;
    logging::start(&logging::LogOptions {
        level,
        components,
        pattern: &options.log_format,
        escaped: options.log_format_escaped,
        path: options.log_path.as_deref(),
    })
    .map_err(|error| {
        let path = options.log_path.clone().unwrap_or_default();
        format!("cannot open the log file '{}': {error}", path.display())
    })
}
