//! `--mode validate` and `ringway validate`: everything that is wrong, and nothing started.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use ringway_bridge::stats::Catalog;
use ringway_config::ConfigError;
use ringway_config::compile::{Cause, NoSinks, NoSockets, ResolvedEndpoints};

use crate::cli::Options;
use crate::configuration::Configuration;
use crate::logging;

/// `--mode validate`, in Envoy's words.
pub(crate) fn options(options: &Options) -> ExitCode {
    verdict(options.config_path.clone(), options.config_yaml.clone(), &options.config_name())
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
    match check(path, inline) {
        Ok(warnings) => {
            for warning in warnings {
                eprintln!("warning: {warning}");
            }
            println!("configuration '{name}' OK");
            ExitCode::SUCCESS
        }
        Err(errors) => {
            report(&errors, name);
            ExitCode::FAILURE
        }
    }
}

/// Reads and compiles. Opens no socket and no file but the configuration's own.
fn check(
    path: Option<PathBuf>,
    inline: Option<String>,
) -> Result<Vec<ConfigError>, Vec<ConfigError>> {
    let mut configuration = Configuration::new(path, inline, &Arc::new(Catalog::default()), 1);
    let loaded = configuration.read(Cause::Validation)?;
    let endpoints = ResolvedEndpoints::new();
    let (sockets, sinks) = (&mut NoSockets, &mut NoSinks);
    let draft =
        configuration.compile_for(Cause::Validation, &loaded, &endpoints, sockets, sinks)?;
    Ok(draft.warnings)
}

/// Prints every error on a line of its own, and at the end Envoy's words, for scripts that look
/// for them.
pub(crate) fn report(errors: &[ConfigError], name: &str) {
    errors.iter().for_each(logging::refuse_configuration);
    let count = errors.len();
    let s = if count == 1 { "" } else { "s" };
    logging::refuse(&format!("error initializing configuration '{name}': {count} error{s}"));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn tuning(file: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tuning").join(file)
    }

    #[test]
    fn the_example_of_an_edge_is_valid_without_a_warning() {
        assert_eq!(check(Some(tuning("edge.yaml")), None), Ok(Vec::new()));
    }

    /// The configuration is a text within the manifest, behind a `|`.
    #[test]
    fn the_example_for_kubernetes_is_valid_without_a_warning() {
        let manifest = std::fs::read_to_string(tuning("kubernetes/ringway.yaml")).expect("read");
        let (_, rest) = manifest.split_once("ringway.yaml: |\n").expect("a configuration");
        let inside = |line: &&str| line.is_empty() || line.starts_with("    ");
        let lines: Vec<&str> = rest.lines().take_while(inside).collect();
        assert!(lines.len() > 10, "{lines:?}");
        assert_eq!(check(None, Some(lines.join("\n"))), Ok(Vec::new()));
    }

    #[test]
    fn the_demo_is_valid_without_a_warning() {
        let text = crate::demo::example();
        assert_eq!(check(None, Some(text)), Ok(Vec::new()));
    }
}
