//! `--mode validate` and `ringway validate`: everything that is wrong, and nothing started.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use ringway_bridge::stats::Catalog;
use ringway_config::ConfigError;
use ringway_config::compile::{NoSinks, NoSockets, ResolvedEndpoints};

use crate::cli::Options;
use crate::configuration::Configuration;

/// `--mode validate`, in Envoy's words.
pub(crate) fn options(options: &Options) -> ExitCode {
    let name = options.config_path.as_deref().map(|path| path.display().to_string());
    verdict(options.config_path.clone(), options.config_yaml.clone(), &name.unwrap_or_default())
}

/// `ringway validate FILE...`: one verdict per file.
pub(crate) fn files(files: &[PathBuf]) -> ExitCode {
    let check = |file: &PathBuf| verdict(Some(file.clone()), None, &file.display().to_string());
    // Every file is looked at, whatever the one before it was.
    let verdicts: Vec<ExitCode> = files.iter().map(check).collect();
    let good = verdicts.iter().all(|verdict| *verdict == ExitCode::SUCCESS);
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn verdict(path: Option<PathBuf>, inline: Option<String>, name: &str) -> ExitCode {
    let mut configuration = Configuration::new(path, inline, &Arc::new(Catalog::default()), 1);
    let checked = configuration.read().and_then(|loaded| {
        let endpoints = ResolvedEndpoints::new();
        configuration.compile(&loaded, &endpoints, &mut NoSockets, &mut NoSinks).map(drop)
    });
    match checked {
        Ok(()) => {
            println!("configuration '{name}' OK");
            ExitCode::SUCCESS
        }
        Err(errors) => {
            report(&errors);
            ExitCode::FAILURE
        }
    }
}

/// Prints every error on a line of its own.
pub(crate) fn report(errors: &[ConfigError]) {
    for error in errors {
        eprintln!("{error}");
    }
    if errors.len() > 1 {
        eprintln!("{} errors", errors.len());
    }
}
