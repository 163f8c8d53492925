//! The command line of `ringway-bench`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{compare, counts, floor, instructions};

const EXAMPLES: &str = "\
Examples:
  ringway-bench compare --quick                     two minutes: a first impression
  ringway-bench compare                             all loads, all peers that are on this machine
  ringway-bench compare --workloads small,connect --peers floor,ringway,nginx --rounds 9
  ringway-bench counts --workload small-256         system calls and allocations per request
  ringway-bench instructions --check                against bench/baseline.json
  ringway-bench floor --listen 127.0.0.1:8000 --upstream 127.0.0.1:8080";

/// Ringway beside its peers, and the floor that the kernel sets.
#[derive(Debug, Parser)]
#[command(name = "ringway-bench", version, about, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run proxies under the same loads and print what they cost
    Compare(compare::Options),
    /// Count system calls, allocations and context switches for each request
    Counts(counts::Options),
    /// Count the instructions of small pieces of the request path under valgrind
    Instructions(instructions::Options),
    /// Run one piece (what `instructions` runs under valgrind)
    #[command(hide = true)]
    Case {
        /// Its name
        name: String,
    },
    /// Relay bytes without looking at them: what the kernel alone costs
    Floor(floor::Options),
}

/// Runs the program.
pub fn main() -> ExitCode {
    let result = match &Cli::parse().command {
        Command::Compare(options) => compare::run(options),
        Command::Counts(options) => counts::run(options),
        Command::Instructions(options) => instructions::run(options),
        Command::Case { name } => instructions::one(name),
        Command::Floor(options) => floor::run(options).map_err(|error| error.to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringway-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
