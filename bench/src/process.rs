//! Processes that a bench starts: pinned, with enough descriptors, and ended with it.
//!
//! Only processes that were started here are ever ended, each by its own id.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::rank;

/// Descriptors that each process may have: enough for 10,000 idle connections twice.
const DESCRIPTORS: u64 = 65_536;
/// What a process gets to end in peace before it is killed.
const PEACE: Duration = Duration::from_secs(3);
/// Between two looks at whether a process has ended.
const LOOK: Duration = Duration::from_millis(5);

/// Binds the calling thread to CPUs.
///
/// # Errors
///
/// No such CPU, or none that this process may use.
pub(crate) fn pin_this_thread(cpus: &[usize]) -> io::Result<()> {
    Ok(sched_setaffinity(Pid::from_raw(0), &cpu_set(cpus)?)?)
}

fn cpu_set(cpus: &[usize]) -> io::Result<CpuSet> {
    let mut set = CpuSet::new();
    cpus.iter().try_for_each(|cpu| set.set(*cpu))?;
    Ok(set)
}

/// Raises this process's own limit of descriptors as far as it may.
pub(crate) fn raise_descriptors() {
    // Root may raise the hard limit; others keep what they have, and large workloads will say so.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS);
}

/// Descriptors that this process, and so each that it starts, may have.
pub(crate) fn descriptors() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft)
}

/// A process that ends when this value goes away.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` on `cpus` as what is compared, with what it says going to the file `log`.
    pub(crate) fn start(mut command: Command, cpus: &[usize], log: &Path) -> io::Result<Self> {
        let set = cpu_set(cpus)?;
        let output = File::create(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let before_exec = move || {
            sched_setaffinity(Pid::from_raw(0), &set)?;
            let _ = setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS);
            rank::before_strangers();
            // The bench may be killed: then its children must not stay.
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            Ok(())
        };
        // SAFETY: between fork and exec these make only system calls, on values made before.
        unsafe { command.pre_exec(before_exec) };
        let child = command.spawn()?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Its id.
    pub(crate) fn id(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill(Pid::from_raw(self.id()), signal)?)
    }

    /// Whether it has ended, and how.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until it ends.
    ///
    /// # Errors
    ///
    /// `TimedOut` when it is still there after `patience`.
    pub(crate) fn wait(&mut self, patience: Duration) -> io::Result<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(LOOK);
        }
    }

    /// The last lines of what it said.
    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_some() {
            return;
        }
        let family = crate::usage::family(self.id());
        // It may have ended since; then there is nothing to do.
        let _ = self.signal(Signal::SIGTERM);
        if self.wait(PEACE).is_err() {
            // Its own children first (a worker does not always end with its master).
            for id in family.into_iter().rev() {
                let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
            }
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_ends_with_its_value_and_leaves_its_words() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        let mut command = Command::new("sh");
        command.args(["-c", "echo hello; exec sleep 1000"]);
        let process = Process::start(command, &[0], &log).expect("started");
        let id = Pid::from_raw(process.id());
        assert_eq!(kill(id, None), Ok(()));
        drop(process);
        assert!(kill(id, None).is_err(), "it is still there");
        let mut command = Command::new("sh");
        command.args(["-c", "echo bye; exit 3"]);
        let mut process = Process::start(command, &[0], &log).expect("started");
        let status = process.wait(Duration::from_secs(10)).expect("it ends");
        assert_eq!((status.code(), process.last_words()), (Some(3), "bye".to_owned()));
    }
}
