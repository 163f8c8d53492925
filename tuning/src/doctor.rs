//! `ringway doctor`: flags, output and exit code.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::facts::ConfigFacts;
use crate::finding::{Finding, exit_code};
use crate::fix;
use crate::host::Host;
use crate::report::{self, Report};
use crate::rules::examine;
use crate::size::Size;

/// Compare this host with what Ringway needs under load.
///
/// Exit code: 0 nothing to do, 1 advice, 2 requests will fail under load (or a change could not be
/// made).
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// Ringway's configuration: its listeners and limits are then compared with the host's
    #[arg(short, long, value_name = "FILE")]
    pub config_path: Option<PathBuf>,

    /// Number of workers that will run [default: one for each CPU]
    #[arg(long, value_name = "N")]
    pub concurrency: Option<usize>,

    /// The load to prepare for: up to 1,000, 50,000 or 1,000,000 connections at once
    #[arg(long, value_enum, default_value_t = Size::Medium)]
    pub size: Size,

    /// How to print the report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,

    /// List the settings that are as wanted, too
    #[arg(long)]
    pub all: bool,

    /// Print the changes of kernel settings as a file for /etc/sysctl.d instead of the report
    #[arg(long, conflicts_with = "format")]
    pub fix: bool,

    /// With --fix, change the kernel settings now; they last until the next boot
    #[arg(long, requires = "fix")]
    pub apply: bool,

    /// Look at the host below this directory instead of this one
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
}

/// How the report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one JSON object.
    Json,
}

/// Runs the doctor on standard output. `facts` is what the caller knows from the configuration
/// that [`DoctorArgs::config_path`] names.
pub fn main(args: &DoctorArgs, facts: &ConfigFacts) -> ExitCode {
    match run(args, facts, &mut io::stdout().lock()) {
        Ok(code) => ExitCode::from(code),
        // The reader of a pipe went away, which is no fault of the host.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringway doctor: cannot write the report: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs the doctor and returns the exit code.
///
/// # Errors
/// Those of writing to `out`; a host that hides its settings is a report, not an error.
pub fn run(args: &DoctorArgs, facts: &ConfigFacts, out: &mut impl Write) -> io::Result<u8> {
    let host = Host::read(&args.root);
    let facts = ConfigFacts { workers: args.concurrency.or(facts.workers), ..facts.clone() };
    let findings = examine(&host, &facts, args.size);
    if args.apply {
        return apply(args, &findings, out);
    }
    if args.fix {
        out.write_all(fix::as_sysctl_file(&findings).as_bytes())?;
        return Ok(exit_code(&findings));
    }
    let configured = facts.max_downstream_connections;
    let report = Report { host: &host, size: args.size, configured, findings: &findings };
    match args.format {
        Format::Text => out.write_all(report::text(&report, args.all).as_bytes())?,
        Format::Json => out.write_all(report::json(&report).as_bytes())?,
    }
    Ok(exit_code(&findings))
}

/// Makes the changes one by one and says for each how to undo it. One that fails does not stop
/// the others.
fn apply(args: &DoctorArgs, findings: &[Finding], out: &mut impl Write) -> io::Result<u8> {
    let mut made = Vec::new();
    let changes = fix::changes(findings);
    for change in &changes {
        match fix::apply(&args.root, change) {
            Ok(()) => {
                writeln!(out, "changed  {change}")?;
                writeln!(out, "   undo  sysctl -w {}=\"{}\"", change.name, change.from)?;
                made.push(change);
            }
            Err(error) => writeln!(out, "FAILED   {change}: {error}")?,
        }
    }
    if changes.is_empty() {
        writeln!(out, "No kernel setting needs a change.")?;
    }
    if !made.is_empty() {
        writeln!(out, "\nThese last until the next boot. To keep them, put this into a file in")?;
        writeln!(out, "/etc/sysctl.d, such as 99-ringway.conf:\n")?;
        made.iter().try_for_each(|change| writeln!(out, "{change}"))?;
    }
    if made.len() < changes.len() {
        writeln!(out, "\nChanging kernel settings takes root; in a container, the host's root.")?;
        return Ok(2);
    }
    Ok(0)
}
